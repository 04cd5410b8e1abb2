/**
 * A `ClaudeError` as an `AiError`, whose `isRetryable` says the same, and the way back.
 *
 * An AiError has fewer reasons and knows less. So the ClaudeError goes with it, as the reason's `cause`: `claudeError`
 * finds it. The surprise: it stays in this process. What crosses a border keeps the reason's `metadata.anthropic`, but for
 * a NetworkError, which has none, and keeps the message.
 */
import * as AiError from "effect/ai/AiError"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Claude from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

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

/** An object that stopped before its end: asked again, it would again. @internal */
export const cutObject = (message: Claude.Message, responseText: string, method: string): AiError.AiError => {
  const { attempts, billed: usage, requestId, stop_reason: stopReason } = message
  const description = `The answer stopped early (stop_reason ${stopReason}). ${remedies[String(stopReason)] ?? ""}`
  const reason = new AiError.StructuredOutputError({ description, responseText })
  define(
    reason,
    "cause",
    Failure.fatal(new ClaudeError.SchemaMismatch({ stopReason, issue: "It stopped early." }), description, {
      type: "schema_mismatch",
      attempts,
      requestId,
      usage,
      partial: message
    })
  )
  // Of its kind, and not of this one.
  define(reason, "isRetryable", false)
  return fromReason(reason, method)
}

const remedies: Readonly<Record<string, string>> = {
  max_tokens: "It was cut at max_tokens: raise it.",
  model_context_window_exceeded: "The model's context window was full: shorten the prompt.",
  refusal: "The model refused: change the prompt, or ask another model.",
  pause_turn: "A tool of the API takes longer than a turn: gather first, and ask for the object of what was found."
}

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
    case "BudgetExceeded": {
      const reason = new AiError.QuotaExhaustedError({
        metadata,
        ...(error.retryAfter === undefined
          ? undefined
          : { resetAt: DateTime.makeUnsafe(now + Duration.toMillis(error.retryAfter)) })
      })
      // Its own words send the reader to the account's billing, also where a budget of the program is spent.
      return Object.defineProperty(reason, "message", { value: description })
    }
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
