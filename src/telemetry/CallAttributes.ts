/**
 * The attributes of a call's span, at its start and at its end, of its events, and of the spans of its attempts.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as ClaudeError from "../ClaudeError.ts"
import type * as Cost from "../request/Cost.ts"
import type { PromptIdentity } from "../request/Request.ts"
import * as Attributes from "./Attributes.ts"
import type { CallTelemetry, Operation } from "./CallTelemetry.ts"

/** What a call says of itself at its start. @internal */
export interface CallInfo {
  readonly operation: Operation
  readonly model: string
  /** The body of the request, read for its attributes. */
  readonly params: object
  /** The response comes as a stream of events. */
  readonly streamed: boolean
  /** The caller reads it as a stream too. */
  readonly stream: boolean
  readonly tenant: string | undefined
  readonly tags: Readonly<Record<string, string>> | undefined
  /** Which the request was rendered from. */
  readonly prompt?: PromptIdentity | undefined
}

/** @internal */
export const atStart = (telemetry: CallTelemetry, info: CallInfo): Record<string, unknown> => {
  const params = info.params as {
    readonly max_tokens?: number
    readonly service_tier?: string
    readonly output_config?: { readonly effort?: string | null; readonly format?: unknown } | null
  }
  const attributes: Record<string, unknown> = {
    [Attributes.operationName]: Attributes.operation[info.operation],
    [Attributes.providerName]: telemetry.provider,
    [Attributes.requestModel]: info.model,
    [Attributes.serverAddress]: telemetry.server.address,
    [Attributes.serverPort]: telemetry.server.port
  }
  if (params.max_tokens !== undefined) attributes[Attributes.requestMaxTokens] = params.max_tokens
  if (info.streamed) attributes[Attributes.requestStream] = true
  if (params.service_tier !== undefined) attributes[Attributes.requestServiceTier] = params.service_tier
  if (params.output_config?.effort != null) attributes[Attributes.requestReasoningLevel] = params.output_config.effort
  if (params.output_config?.format != null) attributes[Attributes.outputType] = "json"
  if (info.tenant !== undefined) attributes[Attributes.tenant] = info.tenant
  if (info.prompt !== undefined) {
    attributes[Attributes.promptName] = info.prompt.name
    attributes[Attributes.promptVersion] = info.prompt.version
  }
  if (info.tags !== undefined) {
    for (const [name, value] of Object.entries(info.tags)) attributes[Attributes.tag(name)] = value
  }
  return attributes
}

/** Of the span of one attempt, by its number. @internal */
export const atAttempt = (
  { server }: CallTelemetry,
  operation: Operation,
  attempt: number
): Record<string, unknown> => ({
  [Attributes.httpRequestMethod]: "POST",
  [Attributes.urlFull]: `${server.url}${operation === "chat" ? "/v1/messages" : "/v1/messages/count_tokens"}`,
  [Attributes.serverAddress]: server.address,
  [Attributes.serverPort]: server.port,
  [Attributes.attemptNumber]: attempt,
  ...(attempt > 1 ? { [Attributes.httpRequestResendCount]: attempt - 1 } : undefined)
})

/** Of a retry that is to be waited for so many seconds. @internal */
export const atRetry = (
  attempt: number,
  delay: number,
  { reason, retryAfter }: ClaudeError.ClaudeError
): Record<string, unknown> => ({
  [Attributes.retryAttempt]: attempt,
  [Attributes.retryReason]: reason._tag,
  [Attributes.retryDelay]: delay,
  ...(retryAfter === undefined ? undefined : { [Attributes.retryHint]: Duration.toSeconds(retryAfter) })
})

/** Of a call that goes on to another target; without an error it was a refusal. @internal */
export const atFallback = (
  from: string,
  to: string,
  error: ClaudeError.ClaudeError | undefined
): Record<string, unknown> => ({
  [Attributes.fallbackFrom]: from,
  [Attributes.fallbackTo]: to,
  [Attributes.fallbackReason]: error?.reason._tag ?? "refusal"
})

/** A model at an endpoint, as spans name it. @internal */
export const targetOf = ({ server }: CallTelemetry, model: string): string => `${model} at ${server.address}`

/** What a call has come to. @internal */
export interface CallOutcome {
  /** Rejected is what was turned away before it was sent. */
  readonly outcome: Attributes.Outcome | "rejected"
  /** `error.type`, or nothing. */
  readonly type: string
  readonly attempts: number
  /** In seconds. */
  readonly waited: number
  readonly requestId: string | undefined
  readonly message: Message | undefined
  readonly bill: {
    readonly usage: ClaudeError.Usage | undefined
    readonly reasoning: number
    readonly cost: Cost.Cost | undefined
  }
  /** In seconds, of a streamed answer. */
  readonly firstContent: number | undefined
  readonly cacheOutcome: Attributes.CacheOutcome | undefined
  readonly servedBy: string | undefined
}

/** @internal */
export const atEnd = (call: CallOutcome): Record<string, unknown> => {
  const { bill: { cost, reasoning, usage }, message, outcome } = call
  const attributes: Record<string, unknown> = {
    [Attributes.outcome]: outcome,
    [Attributes.attemptCount]: call.attempts
  }
  if (call.waited > 0) attributes[Attributes.waitTotal] = call.waited
  if (call.type !== "") attributes[Attributes.errorType] = call.type
  if (call.cacheOutcome !== undefined) attributes[Attributes.cacheOutcome] = call.cacheOutcome
  if (call.servedBy !== undefined) attributes[Attributes.servedBy] = call.servedBy
  if (call.requestId !== undefined) attributes[Attributes.requestId] = call.requestId
  if (call.firstContent !== undefined) attributes[Attributes.responseTimeToFirstChunk] = call.firstContent
  if (message !== undefined) {
    attributes[Attributes.responseId] = message.id
    attributes[Attributes.responseModel] = message.model
    attributes[Attributes.responseFinishReasons] = [message.stop_reason ?? "error"]
    if (message.stop_reason != null) attributes[Attributes.stopReason] = message.stop_reason
  }
  // A message that was kept tells the usage of the call that it answered first, which is none of this one.
  if (message !== undefined && usage !== undefined) {
    const { cache_creation, service_tier } = message.usage
    if (service_tier != null) attributes[Attributes.responseServiceTier] = service_tier
    if (cache_creation != null) {
      attributes[Attributes.cacheCreation5m] = cache_creation.ephemeral_5m_input_tokens
      attributes[Attributes.cacheCreation1h] = cache_creation.ephemeral_1h_input_tokens
    }
  }
  if (usage !== undefined) {
    attributes[Attributes.usageInputTokens] = allInput(usage)
    attributes[Attributes.usageOutputTokens] = usage.output_tokens
    attributes[Attributes.usageCacheReadTokens] = usage.cache_read_input_tokens
    attributes[Attributes.usageCacheWriteTokens] = usage.cache_creation_input_tokens
    if (reasoning > 0) attributes[Attributes.usageReasoningTokens] = reasoning
  }
  if (cost !== undefined) {
    attributes[Attributes.costAmount] = cost.amount
    attributes[Attributes.costCurrency] = cost.currency
    attributes[Attributes.costSource] = cost.source
    attributes[Attributes.pricingVersion] = cost.pricingVersion
  }
  return attributes
}

/** Anthropic's input tokens leave the cached ones out; the conventions count them in. @internal */
export const allInput = (usage: ClaudeError.Usage): number =>
  usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens

/** The error that ended a call or an attempt. @internal */
export const errorOf = (exit: Exit.Exit<unknown, unknown>): ClaudeError.ClaudeError | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  for (const reason of exit.cause.reasons) {
    // Not by schema, which would read all that a partial message holds.
    if (Cause.isFailReason(reason) && isClaudeError(reason.error)) return reason.error
  }
  return undefined
}

const isClaudeError = (u: unknown): u is ClaudeError.ClaudeError =>
  u instanceof ClaudeError.ClaudeRetryableError || u instanceof ClaudeError.ClaudeFatalError

/** `error.type`, where there is one: without an error it was a defect. @internal */
export const typeOf = (outcome: Attributes.Outcome, error: ClaudeError.ClaudeError | undefined): string =>
  outcome === "error" ? error?.type ?? "_OTHER" : ""
