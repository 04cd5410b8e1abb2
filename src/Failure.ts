/**
 * How the library makes its errors: every `ClaudeError` that a caller meets begins here.
 */
import * as Duration from "effect/Duration"
import * as ClaudeError from "./ClaudeError.ts"

/** What an error knows beside its reason and message. @internal */
export interface Details {
  readonly type: string
  readonly status?: number | undefined
  readonly requestId?: string | undefined
  readonly retryAfter?: Duration.Duration | undefined
  /** What the server said of retrying (`x-should-retry`), where it did. */
  readonly shouldRetry?: boolean | undefined
  readonly partial?: ClaudeError.PartialMessage | undefined
  readonly usage?: ClaudeError.Usage | undefined
  readonly attempts?: number | undefined
  /** Whether another target may serve it, where its reason does not say. */
  readonly mayFailOver?: boolean | undefined
}

const common = (details: Details, retryHere: boolean, mayFailOver: boolean) => ({
  type: details.type,
  retryHere,
  mayFailOver,
  attempts: details.attempts ?? 0,
  ...(details.status === undefined ? undefined : { status: details.status }),
  ...(details.requestId === undefined ? undefined : { requestId: details.requestId }),
  ...(details.retryAfter === undefined ? undefined : { retryAfter: details.retryAfter }),
  ...(details.usage === undefined ? undefined : { usage: details.usage }),
  ...(details.partial === undefined ? undefined : { partial: details.partial })
})

/** @internal */
export const retryable = (
  reason: ClaudeError.ClaudeRetryableError["reason"],
  message: string,
  details: Details
): ClaudeError.ClaudeRetryableError =>
  new ClaudeError.ClaudeRetryableError({ reason, message, ...common(details, details.shouldRetry ?? true, true) })

/** A spend limit is never waited for, and another account may have money left, whatever the server says. @internal */
export const fatal = (
  reason: ClaudeError.ClaudeFatalError["reason"],
  message: string,
  details: Details
): ClaudeError.ClaudeFatalError => {
  const isSpendLimit = reason._tag === "SpendLimit"
  const retryHere = !isSpendLimit && (details.shouldRetry ?? false)
  const mayFailOver = details.mayFailOver ?? (retryHere || isSpendLimit)
  return new ClaudeError.ClaudeFatalError({ reason, message, ...common(details, retryHere, mayFailOver) })
}

/** The same error, knowing more. @internal */
export const enrich = (
  error: ClaudeError.ClaudeError,
  more: {
    readonly attempts: number
    readonly usage?: ClaudeError.Usage | undefined
    readonly partial?: ClaudeError.PartialMessage | undefined
    readonly message?: string | undefined
  }
): ClaudeError.ClaudeError => {
  const { message, name: _name, stack: _stack, cause: _cause, reason: _reason, _tag, ...known } = error
  const all = {
    ...known,
    message: more.message ?? message,
    attempts: more.attempts,
    ...(more.usage === undefined ? undefined : { usage: more.usage }),
    ...(more.partial === undefined ? undefined : { partial: more.partial })
  }
  return error._tag === "ClaudeFatalError"
    ? new ClaudeError.ClaudeFatalError({ ...all, reason: error.reason })
    : new ClaudeError.ClaudeRetryableError({ ...all, reason: error.reason })
}

/** Adds up what was billed. @internal */
export const addUsage = (
  before: ClaudeError.Usage | undefined,
  usage: { readonly [K in keyof ClaudeError.Usage]: number | null }
): ClaudeError.Usage => ({
  input_tokens: (before?.input_tokens ?? 0) + count(usage.input_tokens),
  output_tokens: (before?.output_tokens ?? 0) + count(usage.output_tokens),
  cache_creation_input_tokens: (before?.cache_creation_input_tokens ?? 0) + count(usage.cache_creation_input_tokens),
  cache_read_input_tokens: (before?.cache_read_input_tokens ?? 0) + count(usage.cache_read_input_tokens)
})

/** What a server tells is counted where it is a number. */
const count = (tokens: unknown): number => Number.isFinite(tokens) ? Number(tokens) : 0

/** An option that cannot be used, by name. @internal */
export const misconfigured = (option: string, message: string): ClaudeError.ClaudeFatalError =>
  fatal(new ClaudeError.Misconfigured({ option }), message, { type: "_OTHER" })

/** The end of a call's total timeout. @internal */
export const deadlineExceeded = (): ClaudeError.ClaudeFatalError =>
  fatal(
    new ClaudeError.DeadlineExceeded({}),
    "The call took longer than its total timeout. Raise timeouts.total, or ask for less.",
    { type: "client_timeout_error" }
  )

/** A wait that would not end before the call's deadline; nobody else's need be as long. @internal */
export const tooLong = (
  what: string,
  wait: Duration.Duration,
  details?: Partial<Details>
): ClaudeError.ClaudeFatalError =>
  fatal(
    new ClaudeError.DeadlineExceeded({}),
    `${what} in ${Duration.format(wait)} at the earliest, which is past the call's total timeout. ` +
      "Try again then, raise timeouts.total, or name another target in fallback.",
    { type: "client_timeout_error", retryAfter: wait, mayFailOver: true, ...details }
  )

/** What a client answers whose scope has ended. @internal */
export const closed = (): ClaudeError.ClaudeFatalError =>
  fatal(
    new ClaudeError.Misconfigured({}),
    "This client is closed: its layer ended while the call was under way. Keep the layer open for as long as it is called.",
    { type: "connection_error" }
  )
