/**
 * A `ClaudeError` as an `AiError`, whose `isRetryable` says the same, and the way back.
 *
 * An AiError has fewer reasons and knows less. So the ClaudeError goes with it, as the reason's `cause`: `claudeError`
 * finds it. The surprise: it stays in this process. What crosses a border keeps the reason's `metadata.anthropic`.
 */
import * as AiError from "effect/ai/AiError"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as ClaudeError from "../ClaudeError.ts"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * The AiError that a ClaudeError is; `now` dates the end of a budget's window.
 *
 * @internal
 */
export const fromClaudeError = (error: ClaudeError.ClaudeError, method: string, now: number): AiError.AiError => {
  const reason = reasonOf(error, now)
  // Neither is a field of most reasons: `AiError.retryAfter` looks for one, and `cause` is where an Error keeps it.
  define(reason, "cause", error)
  if (error.retryAfter !== undefined) define(reason, "retryAfter", error.retryAfter)
  return fromReason(reason, method)
}

/** @internal */
export const fromReason = (reason: AiError.AiErrorReason, method: string): AiError.AiError =>
  AiError.make({ module: "ClaudeLanguageModel", method, reason })

/**
 * The ClaudeError behind an AiError: its typed reason, status, request id, attempts, what was billed, what had arrived.
 *
 * @internal
 */
export const claudeError = (error: unknown): Option.Option<ClaudeError.ClaudeError> => {
  let cause = error
  // An AiError's cause is its reason, and the reason's is what it was made of; more may lie around them.
  for (let depth = 0; depth < 8 && cause !== undefined; depth++) {
    if (ClaudeError.isClaudeError(cause)) return Option.some(cause)
    cause = Predicate.hasProperty(cause, "cause") ? cause.cause : undefined
  }
  return Option.none()
}

// -----------------------------------------------------------------------------
// reasons
// -----------------------------------------------------------------------------

const reasonOf = (error: ClaudeError.ClaudeError, now: number): AiError.AiErrorReason => {
  const description = error.message
  const metadata = metadataOf(error)
  switch (error.reason._tag) {
    case "RateLimited":
      return new AiError.RateLimitError({
        metadata,
        ...(error.retryAfter === undefined ? undefined : { retryAfter: error.retryAfter })
      })
    case "ConnectionFailed":
    case "TimedOut":
    case "StreamInterrupted":
      return new AiError.NetworkError({
        reason: "TransportError",
        method: "POST",
        url: "/v1/messages",
        description,
        cause: error
      })
    // An InvalidResponseError would say that it is not to be tried again.
    case "InvalidResponse":
    case "Overloaded":
    case "ServerError":
    case "CircuitOpen":
    case "QueueFull":
      return new AiError.InternalProviderError({ description, metadata })
    case "Authentication":
      return new AiError.AuthenticationError({ kind: "InvalidKey", description, metadata })
    case "PermissionDenied":
      return new AiError.AuthenticationError({ kind: "InsufficientPermissions", description, metadata })
    case "SpendLimit":
    case "BudgetExceeded":
      return new AiError.QuotaExhaustedError({
        metadata,
        ...(error.retryAfter === undefined
          ? undefined
          : { resetAt: DateTime.makeUnsafe(now + Duration.toMillis(error.retryAfter)) })
      })
    case "InvalidRequest":
      return new AiError.InvalidRequestError({ description, metadata, ...parameter(error.reason.field) })
    case "Misconfigured":
      return new AiError.InvalidRequestError({ description, metadata, ...parameter(error.reason.option) })
    case "NotFound":
    case "RequestTooLarge":
      return new AiError.InvalidRequestError({ description, metadata })
    // Those of effect/ai that name it say that it may be tried again, and these may not.
    case "DeadlineExceeded":
    case "Incomplete":
    case "SchemaMismatch":
      return new AiError.UnknownError({ description, metadata })
  }
}

const parameter = (name: string | undefined) => name === undefined ? undefined : { parameter: name }

/** What is left of it where the error goes to another process. */
const metadataOf = (error: ClaudeError.ClaudeError) => ({
  anthropic: {
    reason: error.reason._tag,
    type: error.type,
    message: error.message,
    attempts: error.attempts,
    ...(error.status === undefined ? undefined : { status: error.status }),
    ...(error.requestId === undefined ? undefined : { requestId: error.requestId })
  }
})

const define = (target: object, key: string, value: unknown): void =>
  void Object.defineProperty(target, key, { value, configurable: true, enumerable: false, writable: true })
