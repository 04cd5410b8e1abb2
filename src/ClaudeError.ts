/**
 * The error channel of every call, split in two: `ClaudeRetryableError` is worth waiting for, `ClaudeFatalError` is not.
 *
 * Each carries a typed `reason`, so a program asks the error instead of parsing its message:
 * `Effect.catchTag("ClaudeFatalError", …)`, `Effect.catchReason("ClaudeRetryableError", "RateLimited", …)`.
 * Both are schemas and cross process borders. A refusal, or a cut at `max_tokens`, is no error: it is a `stop_reason`.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Tokens that were billed, as the API counts them. @category models @since 0.1.0 */
export interface Usage extends Schema.Schema.Type<typeof Usage> {}

/** @category models @since 0.1.0 */
export const Usage = Schema.Struct({
  input_tokens: Schema.Finite,
  output_tokens: Schema.Finite,
  cache_creation_input_tokens: Schema.Finite,
  cache_read_input_tokens: Schema.Finite
})

/** What had arrived of a message before the call failed. @category models @since 0.1.0 */
export type PartialMessage = Message

const PartialMessage = Schema.declare((u: unknown): u is PartialMessage =>
  Predicate.hasProperty(u, "content") && Array.isArray(u.content)
)

// -----------------------------------------------------------------------------
// retryable reasons
// -----------------------------------------------------------------------------

/** 429: a rate limit; `retryAfter` on the error says until when. @category retryable reasons @since 0.1.0 */
export class RateLimited extends Schema.TaggedClass<RateLimited>("effect-claude/RateLimited")("RateLimited", {}) {}

/** 529, or an `overloaded_error` in a stream. @category retryable reasons @since 0.1.0 */
export class Overloaded extends Schema.TaggedClass<Overloaded>("effect-claude/Overloaded")("Overloaded", {}) {}

/** 408, 409, 5xx, or an `api_error` in a stream. @category retryable reasons @since 0.1.0 */
export class ServerError extends Schema.TaggedClass<ServerError>("effect-claude/ServerError")("ServerError", {}) {}

/** No response: refused, DNS, or reset before the headers. @category retryable reasons @since 0.1.0 */
export class ConnectionFailed
  extends Schema.TaggedClass<ConnectionFailed>("effect-claude/ConnectionFailed")("ConnectionFailed", {
    code: Schema.optionalKey(Schema.String)
  })
{}

/** A timeout of ours ended the attempt. @category retryable reasons @since 0.1.0 */
export class TimedOut extends Schema.TaggedClass<TimedOut>("effect-claude/TimedOut")("TimedOut", {
  phase: Schema.Literals(["headers", "firstContent", "idle"])
}) {}

/** The response broke off before `message_stop`. @category retryable reasons @since 0.1.0 */
export class StreamInterrupted
  extends Schema.TaggedClass<StreamInterrupted>("effect-claude/StreamInterrupted")("StreamInterrupted", {
    code: Schema.optionalKey(Schema.String)
  })
{}

/** A 200 that is no message: HTML, broken JSON, events out of order. @category retryable reasons @since 0.1.0 */
export class InvalidResponse
  extends Schema.TaggedClass<InvalidResponse>("effect-claude/InvalidResponse")("InvalidResponse", {
    event: Schema.optionalKey(Schema.Int),
    offset: Schema.optionalKey(Schema.Int)
  })
{}

/** The circuit of this endpoint and model is open; `retryAfter` on the error says until when. @category retryable reasons @since 0.2.0 */
export class CircuitOpen extends Schema.TaggedClass<CircuitOpen>("effect-claude/CircuitOpen")("CircuitOpen", {
  key: Schema.String
}) {}

/** As many calls wait as may wait: a retry here would feed the overload. @category retryable reasons @since 0.2.0 */
export class QueueFull extends Schema.TaggedClass<QueueFull>("effect-claude/QueueFull")("QueueFull", {
  limit: Schema.Int
}) {}

// -----------------------------------------------------------------------------
// fatal reasons
// -----------------------------------------------------------------------------

/** The request is wrong and will be wrong again. @category fatal reasons @since 0.1.0 */
export class InvalidRequest
  extends Schema.TaggedClass<InvalidRequest>("effect-claude/InvalidRequest")("InvalidRequest", {
    field: Schema.optionalKey(Schema.String)
  })
{}

/** 401: the credential is missing, wrong or revoked. @category fatal reasons @since 0.1.0 */
export class Authentication
  extends Schema.TaggedClass<Authentication>("effect-claude/Authentication")("Authentication", {})
{}

/** 403: the credential may not do this. @category fatal reasons @since 0.1.0 */
export class PermissionDenied
  extends Schema.TaggedClass<PermissionDenied>("effect-claude/PermissionDenied")("PermissionDenied", {})
{}

/** 404: no such model or resource. @category fatal reasons @since 0.1.0 */
export class NotFound extends Schema.TaggedClass<NotFound>("effect-claude/NotFound")("NotFound", {}) {}

/** 413: the request is larger than the API takes. @category fatal reasons @since 0.1.0 */
export class RequestTooLarge
  extends Schema.TaggedClass<RequestTooLarge>("effect-claude/RequestTooLarge")("RequestTooLarge", {})
{}

/** The account's own spend limit or billing stops it. @category fatal reasons @since 0.1.0 */
export class SpendLimit extends Schema.TaggedClass<SpendLimit>("effect-claude/SpendLimit")("SpendLimit", {}) {}

/** A budget of the client's own would be overspent; `retryAfter` says when its window ends. @category fatal reasons @since 0.2.0 */
export class BudgetExceeded
  extends Schema.TaggedClass<BudgetExceeded>("effect-claude/BudgetExceeded")("BudgetExceeded", {
    budget: Schema.String,
    unit: Schema.Literals(["USD", "tokens"]),
    limit: Schema.Finite,
    /** Spent and reserved before this call. */
    spent: Schema.Finite,
    /** What this call might have cost. */
    needed: Schema.Finite
  })
{}

/** The call's `total` timeout ran out, or could not be met. @category fatal reasons @since 0.1.0 */
export class DeadlineExceeded
  extends Schema.TaggedClass<DeadlineExceeded>("effect-claude/DeadlineExceeded")("DeadlineExceeded", {})
{}

/** A text that stopped before its end: cut, or refused. What came is in `partial`. @category fatal reasons @since 0.1.0 */
export class Incomplete extends Schema.TaggedClass<Incomplete>("effect-claude/Incomplete")("Incomplete", {
  stopReason: Schema.String
}) {}

/**
 * An object that does not fit its schema, also after it was asked to correct it. `issue` names paths and what was
 * expected, in at most some 2000 characters; what came is in `partial`.
 *
 * @category fatal reasons
 * @since 0.1.0
 */
export class SchemaMismatch
  extends Schema.TaggedClass<SchemaMismatch>("effect-claude/SchemaMismatch")("SchemaMismatch", {
    stopReason: Schema.NullOr(Schema.String),
    issue: Schema.String
  })
{}

/** The client is set up wrongly: an option, a URL, a certificate. @category fatal reasons @since 0.1.0 */
export class Misconfigured extends Schema.TaggedClass<Misconfigured>("effect-claude/Misconfigured")("Misconfigured", {
  option: Schema.optionalKey(Schema.String)
}) {}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const fields = {
  /** What happened, with which values, and what to do. */
  message: Schema.String,
  /** The closed set of telemetry's `error.type`: the API's own name where it gave one. */
  type: Schema.String,
  /** Worth a backoff against the same target. */
  retryHere: Schema.Boolean,
  /** Another model or provider may serve it. */
  mayFailOver: Schema.Boolean,
  /** How many times the request was sent. */
  attempts: Schema.Int,
  status: Schema.optionalKey(Schema.Int),
  requestId: Schema.optionalKey(Schema.String),
  /** How long the server asked to be left alone. */
  retryAfter: Schema.optionalKey(Schema.Duration),
  /** What was billed all the same, over all attempts. */
  usage: Schema.optionalKey(Usage),
  partial: Schema.optionalKey(PartialMessage)
}

/** Worth waiting for: the same request may succeed later. @category errors @since 0.1.0 */
export class ClaudeRetryableError extends Schema.TaggedError<ClaudeRetryableError>()("ClaudeRetryableError", {
  reason: Schema.Union([
    RateLimited,
    Overloaded,
    ServerError,
    ConnectionFailed,
    TimedOut,
    StreamInterrupted,
    InvalidResponse,
    CircuitOpen,
    QueueFull
  ]),
  ...fields
}) {}

/** Not worth waiting for: the request, the account or the program must change. @category errors @since 0.1.0 */
export class ClaudeFatalError extends Schema.TaggedError<ClaudeFatalError>()("ClaudeFatalError", {
  reason: Schema.Union([
    InvalidRequest,
    Authentication,
    PermissionDenied,
    NotFound,
    RequestTooLarge,
    SpendLimit,
    BudgetExceeded,
    DeadlineExceeded,
    Incomplete,
    SchemaMismatch,
    Misconfigured
  ]),
  ...fields
}) {}

/** Every failure of a call. @category errors @since 0.1.0 */
export type ClaudeError = ClaudeRetryableError | ClaudeFatalError

/** The schema of `ClaudeError`, to send one to another process. @category errors @since 0.1.0 */
export const ClaudeError = Schema.Union([ClaudeRetryableError, ClaudeFatalError])

/** @category guards @since 0.1.0 */
export const isClaudeError: (u: unknown) => u is ClaudeError = Schema.is(ClaudeError)
