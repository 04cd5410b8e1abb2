/**
 * From what a caller writes to what is sent: defaults, the `prompt` sugar, and the mistakes that need no server.
 *
 * It runs once per call, so it reads a request once and decodes nothing. Only what is known to fail is refused: a
 * parameter that this library never heard of goes out as it is. No message ever holds the text of a prompt.
 */
import type {
  Message,
  MessageCountTokensParams,
  MessageCreateParamsBase,
  MessageParam,
  Model as ModelId
} from "@anthropic-ai/sdk/resources/messages/messages"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Model from "./Model.ts"
import * as PerModel from "./PerModel.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

type OrUndefined<T> = { [K in keyof T]: T[K] | undefined }

/** A prompt's name, and one of its versions. @category models @since 0.2.0 */
export interface PromptIdentity {
  readonly name: string
  readonly version: string
}

/** Where a request says which prompt it was rendered from: it is never sent, nor part of a cache key. @internal */
export const promptIdentity: unique symbol = Symbol.for("effect-claude/prompt")

/** The prompt that a request, or what it comes to, was rendered from. @internal */
export const promptOf = (request: object): PromptIdentity | undefined =>
  // Nobody but `Prompts` sets the symbol.
  (request as { readonly [promptIdentity]?: PromptIdentity })[promptIdentity]

/** One user message, as a text. @category models @since 0.1.0 */
export interface Prompt {
  readonly prompt: string
  readonly messages?: undefined
}

/** A conversation so far. @category models @since 0.1.0 */
export interface Messages {
  readonly messages: ReadonlyArray<MessageParam>
  readonly prompt?: undefined
}

/** The SDK's parameters of a message, where `model` and `max_tokens` have defaults. @category models @since 0.1.0 */
export interface MessageFields
  extends OrUndefined<Omit<MessageCreateParamsBase, "stream" | "model" | "max_tokens" | "messages">>
{
  model?: ModelId | undefined
  max_tokens?: number | undefined
}

/** @category models @since 0.1.0 */
export interface PromptRequest extends MessageFields, Prompt {}

/** @category models @since 0.1.0 */
export interface MessagesRequest extends MessageFields, Messages {}

/** What a message is asked with. @category models @since 0.1.0 */
export type MessageRequest = PromptRequest | MessagesRequest

/** The SDK's parameters of a token count, where `model` has a default. @category models @since 0.1.0 */
export interface CountTokensFields extends OrUndefined<Omit<MessageCountTokensParams, "model" | "messages">> {
  model?: ModelId | undefined
}

/** What counting tokens takes; a `MessageRequest` serves too. @category models @since 0.1.0 */
export type CountTokensRequest = CountTokensFields & (Prompt | Messages)

/** A message's parameters, ready to be sent. @category models @since 0.1.0 */
export interface Params extends Omit<MessageCreateParamsBase, "stream"> {}

/** A token count's parameters, ready to be sent. @category models @since 0.1.0 */
export interface CountTokensParams extends MessageCountTokensParams {
  readonly max_tokens?: undefined
}

/** What a request comes to. @category models @since 0.1.0 */
export type Resolved = Params | CountTokensParams

/** What a request may leave out. @category options @since 0.1.0 */
export interface Defaults {
  readonly model?: ModelId | undefined
  /** @default 4096 */
  readonly max_tokens?: number | undefined
}

/** `max_tokens` where neither the request nor the layer says. @category options @since 0.1.0 */
export const DEFAULT_MAX_TOKENS = 4096

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * The parameters of a message, or what is wrong with them; `now` decides whether a model has retired.
 *
 * @category combinators
 * @since 0.1.0
 */
export const resolve = (
  request: MessageRequest,
  defaults: Defaults,
  now: number,
  lookup: typeof Model.lookup = Model.lookup
): Params | ClaudeError.ClaudeFatalError => {
  const messages = messagesOf(request)
  if ("_tag" in messages) return messages
  const model = modelOf(request, defaults, now)
  if (typeof model !== "string") return model
  const max_tokens = request.max_tokens ?? defaults.max_tokens ?? DEFAULT_MAX_TOKENS
  const invalid = checkMaxTokens(max_tokens, lookup(model)) ?? checkThinking(request, max_tokens)
  return invalid ?? withRest<Params>(request, { model, max_tokens, messages }, none)
}

/**
 * The parameters of a token count, or what is wrong with them; what only a message takes is left out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const resolveCount = (
  request: CountTokensRequest,
  defaults: Defaults,
  now: number
): CountTokensParams | ClaudeError.ClaudeFatalError => {
  const messages = messagesOf(request)
  if ("_tag" in messages) return messages
  const model = modelOf(request, defaults, now)
  if (typeof model !== "string") return model
  return withRest<CountTokensParams>(request, { model, messages }, messageOnly)
}

/** The same request for another model, of no longer an answer than that one gives. @internal */
export const forModel = (asked: Resolved, model: string): Resolved => {
  const resolved = PerModel.rewrite(asked, model)
  const most = Model.lookup(model)?.maxOutput
  const { max_tokens } = resolved
  if (max_tokens === undefined || most === undefined || max_tokens <= most) return { ...resolved, model }
  const shorter = { ...resolved, model, max_tokens: most }
  return resolved.thinking?.type === "enabled"
    // Thinking has the same part of a shorter answer.
    ? {
      ...shorter,
      thinking: { ...resolved.thinking, budget_tokens: Math.floor(resolved.thinking.budget_tokens * most / max_tokens) }
    }
    : shorter
}

/** The tokens of a usage that count towards rate limits: what is read from the prompt cache does not. @internal */
export const countedTokens = (usage: Message["usage"]): {
  readonly inputTokens: number
  readonly outputTokens: number
} => ({
  inputTokens: finite(usage.input_tokens) + finite(usage.cache_creation_input_tokens),
  outputTokens: finite(usage.output_tokens)
})

/** What a server tells is counted where it is a number. */
const finite = (tokens: unknown): number => Number.isFinite(tokens) ? Number(tokens) : 0

/** How long a whole call may take, in milliseconds, where nobody said. @category combinators @since 0.1.0 */
export const totalTimeout = (max_tokens: number | undefined): number =>
  Math.max(10 * MINUTE, (60 * MINUTE * (max_tokens ?? 0)) / 128_000)

const MINUTE = 60_000

// -----------------------------------------------------------------------------
// the rest of the parameters
// -----------------------------------------------------------------------------

const none: ReadonlySet<string> = new Set()

/** What the API refuses beside a count, so that one request may be counted and then sent. */
const messageOnly: ReadonlySet<string> = new Set([
  "max_tokens",
  "stop_sequences",
  "metadata",
  "service_tier",
  "container",
  "diagnostics",
  "inference_geo"
])

type Refusal = (field: string, value: unknown) => ClaudeError.ClaudeFatalError

const dropped: Refusal = (field, value) =>
  refusedParameter(
    field,
    `${field} is ${show(value)}, but version 2026-10-21 of the API dropped temperature, top_p and top_k. ` +
      "Remove it; steer the answer through the prompt or output_config.effort instead."
  )

const refused: ReadonlyMap<string, Refusal> = new Map([
  ["temperature", dropped],
  ["top_p", dropped],
  ["top_k", dropped],
  ["stream", (field, value) =>
    refusedParameter(
      field,
      `${field} is ${show(value)}, but the call decides whether it streams. ` +
        "Remove it; Claude.stream and Claude.streamText hand the answer on as it comes."
    )]
])

/** Adds what else the request says: parameters that are undefined go unsent, those of no use here are refused. */
const withRest = <P>(
  request: MessageRequest | CountTokensRequest,
  resolved: Record<string, unknown>,
  skipped: ReadonlySet<string>
): P | ClaudeError.ClaudeFatalError => {
  const prompt = promptOf(request)
  if (prompt !== undefined) Object.assign(resolved, { [promptIdentity]: prompt })
  PerModel.carry(request, resolved)
  // An interface has no index, and its parameters are an open set.
  const given = request as object as Readonly<Record<string, unknown>>
  for (const key of Object.keys(given)) {
    const value = given[key]
    if (value === undefined || key in resolved || key === "prompt") continue
    const refusal = refused.get(key)
    if (refusal !== undefined) return refusal(key, value)
    if (!skipped.has(key)) resolved[key] = value
  }
  // The request's own parameters as they were typed, less those that are undefined, and the resolved ones.
  return resolved as P
}

// -----------------------------------------------------------------------------
// checks
// -----------------------------------------------------------------------------

const messagesOf = (request: Prompt | Messages): ReadonlyArray<MessageParam> | ClaudeError.ClaudeFatalError => {
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

const modelOf = (
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

const checkMaxTokens = (
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

const checkThinking = (request: MessageRequest, max_tokens: number): ClaudeError.ClaudeFatalError | undefined => {
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

// -----------------------------------------------------------------------------
// messages of errors
// -----------------------------------------------------------------------------

const invalidRequest = (field: string, value: string, expected: string, todo: string): ClaudeError.ClaudeFatalError =>
  refusedParameter(field, `${field} is ${value}; expected ${expected}. ${todo}`)

const refusedParameter = (field: string, message: string): ClaudeError.ClaudeFatalError =>
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
