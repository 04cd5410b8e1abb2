/**
 * The mistakes of a request that need no server: each said with the field, its value, what was expected and what to do.
 *
 * Only what is known to fail is refused. No message ever holds the text of a prompt.
 */
import type { MessageParam, Model as ModelId } from "@anthropic-ai/sdk/resources/messages/messages"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Model from "./Model.ts"
import type { Defaults, MessageRequest, Messages, Prompt } from "./Request.ts"

/** The messages that a request asks with, or what is wrong with them. @internal */
export const messagesOf = (request: Prompt | Messages): ReadonlyArray<MessageParam> | ClaudeError.ClaudeFatalError => {
  const { messages, prompt } = request
  if (prompt == null) {
    return messages == null
      ? invalidRequest(
        "messages",
        "missing, and so is prompt",
        "one of the two",
        "Set prompt to a text, or messages to a list that starts with a user message."
      )
      : checkMessages(messages)
  }
  if (messages != null) {
    return invalidRequest(
      "prompt",
      "set beside messages",
      "one of the two",
      "Remove prompt, and add its text as the last user message."
    )
  }
  if (typeof prompt !== "string" || prompt === "") {
    return invalidRequest("prompt", kind(prompt), "a text that is not empty", "Set prompt to what the model is asked.")
  }
  return [{ role: "user", content: prompt }]
}

const roles: ReadonlySet<unknown> = new Set(["user", "assistant", "system"])

const checkMessages = (
  messages: ReadonlyArray<MessageParam>
): ReadonlyArray<MessageParam> | ClaudeError.ClaudeFatalError => {
  if (!Array.isArray(messages) || messages.length === 0) {
    return invalidRequest(
      "messages",
      kind(messages),
      "a list of at least one message",
      "Add a user message, or set prompt instead."
    )
  }
  const first: unknown = messages[0]
  if (typeof first !== "object" || first === null || Array.isArray(first)) {
    return invalidRequest("messages[0]", kind(first), "an object of role and content", EXAMPLE)
  }
  const { content, role } = first as { readonly content?: unknown; readonly role?: unknown }
  if (!roles.has(role)) {
    return invalidRequest("messages[0].role", show(role), "\"user\", \"assistant\" or \"system\"", EXAMPLE)
  }
  if (!(typeof content === "string" || Array.isArray(content)) || content.length === 0) {
    return invalidRequest("messages[0].content", kind(content), "a text or a list of blocks that is not empty", EXAMPLE)
  }
  return messages
}

const EXAMPLE = "Write it as { role: \"user\", content: \"…\" }."

/** The model that a request asks, or what is wrong with it; `now` decides whether it has retired. @internal */
export const modelOf = (
  request: { readonly model?: ModelId | undefined },
  defaults: Defaults,
  now: number
): string | ClaudeError.ClaudeFatalError => {
  const model: unknown = request.model ?? defaults.model
  if (typeof model !== "string" || model.trim() === "") {
    return invalidRequest(
      "model",
      show(model),
      "the id of a model, such as \"claude-opus-5-5\"",
      "Set it on the request, in Claude.layer({ defaults: { model } }), or as CLAUDE_MODEL with Claude.layerConfig."
    )
  }
  const known = Model.firstParty(model)
  if (known === undefined || !Model.isRetired(known, now)) return model
  return invalidRequest(
    "model",
    show(model),
    `a model in service: this one was retired on ${known.retiresAt}`,
    known.successor === undefined ? "Choose a current model." : `Use ${show(known.successor)} instead.`
  )
}

/** What is wrong with the length of an answer. @internal */
export const maxTokens = (
  max_tokens: unknown,
  model: Model.KnownModel | undefined
): ClaudeError.ClaudeFatalError | undefined => {
  // Zero is a request of its own: it fills the prompt cache and generates nothing.
  if (!(Number.isSafeInteger(max_tokens) && Number(max_tokens) >= 0)) {
    return invalidRequest(
      "max_tokens",
      show(max_tokens),
      "a whole number above zero, or zero to fill the prompt cache only",
      `Set it to the longest answer wanted, in tokens, or leave it out for the default.`
    )
  }
  if (model?.maxOutput !== undefined && Number(max_tokens) > model.maxOutput) {
    return invalidRequest(
      "max_tokens",
      show(max_tokens),
      `at most ${model.maxOutput}, the output limit of ${model.label}`,
      `Set max_tokens to ${model.maxOutput} or less, or choose a model with a higher limit.`
    )
  }
  return undefined
}

/** What is wrong with what is to be thought. @internal */
export const thinking = (request: MessageRequest, max_tokens: number): ClaudeError.ClaudeFatalError | undefined => {
  const { thinking } = request
  if (thinking?.type !== "enabled" || !(thinking.budget_tokens >= max_tokens)) return undefined
  const origin = request.max_tokens == null ? ` (the default)` : ""
  return invalidRequest(
    "thinking.budget_tokens",
    show(thinking.budget_tokens),
    `less than max_tokens, which is ${max_tokens}${origin}`,
    `Thinking counts towards max_tokens: raise max_tokens above ${show(thinking.budget_tokens)}, or lower the budget.`
  )
}

/** What is wrong with a parameter, by its name. @internal */
export const parameter = (field: string, value: unknown): ClaudeError.ClaudeFatalError | undefined =>
  parameters.get(field)?.(field, value)

type Refusal = (field: string, value: unknown) => ClaudeError.ClaudeFatalError

const dropped: Refusal = (field, value) =>
  refused(
    field,
    `${field} is ${show(value)}, but version 2026-10-21 of the API dropped temperature, top_p and top_k. ` +
      "Remove it; steer the answer through the prompt or output_config.effort instead."
  )

const parameters: ReadonlyMap<string, Refusal> = new Map([
  ["temperature", dropped],
  ["top_p", dropped],
  ["top_k", dropped],
  ["stream", (field, value) =>
    refused(
      field,
      `${field} is ${show(value)}, but the call decides whether it streams. ` +
        "Remove it; Claude.stream and Claude.streamText hand the answer on as it comes."
    )]
])

// -----------------------------------------------------------------------------
// messages of errors
// -----------------------------------------------------------------------------

const invalidRequest = (field: string, value: string, expected: string, todo: string): ClaudeError.ClaudeFatalError =>
  refused(field, `${field} is ${value}; expected ${expected}. ${todo}`)

/** The refusal of a request, of what field. @internal */
export const refused = (field: string, message: string): ClaudeError.ClaudeFatalError =>
  Failure.fatal(new ClaudeError.InvalidRequest({ field }), message, { type: "invalid_request_error" })

/** A value that holds nothing of a prompt; long ones are cut. */
const show = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)
  return typeof value === "number" || typeof value === "boolean" ? String(value) : kind(value)
}

/** What kind of value it is, for those that may hold a prompt. */
const kind = (value: unknown): string => {
  if (value === undefined) return "missing"
  if (value === null) return "null"
  if (value === "") return "an empty text"
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list"
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}
