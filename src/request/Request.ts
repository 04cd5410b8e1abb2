/**
 * From what a caller writes to what is sent: defaults, the `prompt` sugar, and the mistakes that need no server.
 *
 * It runs once per call, so it reads a request once and decodes nothing. A parameter that this library never heard of
 * goes out as it is.
 */
import type {
  Message,
  MessageCountTokensParams,
  MessageCreateParamsBase,
  MessageParam,
  Model as ModelId
} from "@anthropic-ai/sdk/resources/messages/messages"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Model from "./Model.ts"
import * as PerModel from "./PerModel.ts"
import * as RequestCheck from "./RequestCheck.ts"

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
  const messages = RequestCheck.messagesOf(request)
  if ("_tag" in messages) return messages
  const model = RequestCheck.modelOf(request, defaults, now)
  if (typeof model !== "string") return model
  const max_tokens = request.max_tokens ?? defaults.max_tokens ?? DEFAULT_MAX_TOKENS
  const invalid = RequestCheck.maxTokens(max_tokens, lookup(model)) ?? RequestCheck.thinking(request, max_tokens)
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
  const messages = RequestCheck.messagesOf(request)
  if ("_tag" in messages) return messages
  const model = RequestCheck.modelOf(request, defaults, now)
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
    const refusal = RequestCheck.parameter(key, value)
    if (refusal !== undefined) return refusal
    if (!skipped.has(key)) resolved[key] = value
  }
  // The request's own parameters as they were typed, less those that are undefined, and the resolved ones.
  return resolved as P
}
