/**
 * Any failure of a request, as a `ClaudeError`: what the API answered, what the SDK threw, what the socket did.
 *
 * Errors are told apart by status, type, code and name, never by class: the SDK's ESM and CommonJS builds have
 * different ones. `x-should-retry` decides where it is present. Messages are the API's own, without the request.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

/** The envelope types that telemetry's closed set of `error.type` takes verbatim. */
const envelopeTypes = new Set([
  "invalid_request_error",
  "authentication_error",
  "billing_error",
  "permission_error",
  "not_found_error",
  "conflict_error",
  "request_too_large",
  "rate_limit_error",
  "timeout_error",
  "api_error",
  "overloaded_error"
])

const spendLimitCodes = new Set([
  "contract_spend_limit_reached",
  "enforced_spend_limit_reached",
  "user_profile_billing_not_authorized",
  "user_profile_not_billable"
])

const accountCodes = new Set(["organization_on_hold", "cmek_key_disabled"])

/** What an answer with an error status says. @internal */
export interface StatusFailure {
  readonly status: number
  /** Where it was told, if not by the status. */
  readonly origin?: string | undefined
  readonly type?: string | null | undefined
  readonly code?: string | null | undefined
  readonly message: string
  readonly requestId?: string | null | undefined
  readonly headers?: { readonly get: (name: string) => string | null } | undefined
}

/** From an answer whose status is an error. @internal */
export const fromStatus = (failure: StatusFailure, now: number): ClaudeError.ClaudeError => {
  const { code, headers, status } = failure
  const shouldRetry = headers?.get("x-should-retry")
  const message = `${failure.message.slice(0, 1000)} (${failure.origin ?? status}${
    failure.type ? `, ${failure.type}` : ""
  })`
  const details: Failure.Details = {
    type: failure.type && envelopeTypes.has(failure.type) ? failure.type : String(status),
    status,
    requestId: failure.requestId ?? headers?.get("request-id") ?? undefined,
    retryAfter: headers === undefined ? undefined : retryAfter(headers, now),
    shouldRetry: shouldRetry === "true" ? true : shouldRetry === "false" ? false : undefined
  }
  const retryable = (reason: ClaudeError.ClaudeRetryableError["reason"]) => Failure.retryable(reason, message, details)
  const fatal = (reason: ClaudeError.ClaudeFatalError["reason"], advice: string) =>
    Failure.fatal(reason, `${message}. ${advice}`, details)

  if (
    status === 402 || spendLimitCodes.has(code ?? "") ||
    /^You have reached your specified .*usage limits/.test(failure.message)
  ) {
    return fatal(new ClaudeError.SpendLimit({}), "Raise the spend limit or settle the billing of this account.")
  }
  if (accountCodes.has(code ?? "")) {
    return fatal(new ClaudeError.PermissionDenied({}), "The account must be put in order first.")
  }
  switch (status) {
    case 401:
      return fatal(new ClaudeError.Authentication({}), "Check the API key: ANTHROPIC_API_KEY, or the apiKey option.")
    case 403:
      return fatal(new ClaudeError.PermissionDenied({}), "Check what this key and its workspace may use.")
    case 404:
      return fatal(new ClaudeError.NotFound({}), "Check the model's name and the base URL.")
    case 408:
      return retryable(new ClaudeError.ServerError({}))
    case 409:
      return code ? fatal(new ClaudeError.InvalidRequest({}), conflict) : retryable(new ClaudeError.ServerError({}))
    case 413:
      return fatal(new ClaudeError.RequestTooLarge({}), "Send less, or upload large content with the Files API.")
    case 429:
      return retryable(new ClaudeError.RateLimited({}))
    case 529:
      return retryable(new ClaudeError.Overloaded({}))
  }
  if (status >= 500 || code === "thread_continue_in_flight") return retryable(new ClaudeError.ServerError({}))
  if (status < 400) {
    return fatal(new ClaudeError.Misconfigured({ option: "baseURL" }), "The API does not redirect: check the base URL.")
  }
  return fatal(new ClaudeError.InvalidRequest({}), "The request must change before it is sent again.")
}

const conflict = "The request must change before it is sent again."

/** From an `error` event inside a stream. @internal */
export const fromEvent = (
  event: { readonly error?: object | undefined },
  requestId: string | undefined,
  redact: (text: string) => string = (text) => text
): ClaudeError.ClaudeError => {
  const told: { readonly type?: unknown; readonly message?: unknown; readonly details?: unknown } = event.error ?? {}
  const type = redact(text(told.type) ?? "api_error").slice(0, 100)
  const status = Object.hasOwn(streamStatus, type) ? streamStatus[type] : undefined
  const message = redact(text(told.message) ?? "The stream reported an error").slice(0, 1000)
  if (status !== undefined) {
    const code = Predicate.hasProperty(told.details, "error_code") ? text(told.details.error_code) : undefined
    const error = fromStatus({ status, origin: "in the stream", type, code, message, requestId }, 0)
    // The HTTP status was 200: only its meaning is borrowed.
    const details = { type: envelopeTypes.has(type) ? type : "_OTHER", requestId }
    return error._tag === "ClaudeFatalError"
      ? Failure.fatal(error.reason, error.message, details)
      : Failure.retryable(error.reason, error.message, details)
  }
  return Failure.retryable(new ClaudeError.ServerError({}), `${message} (in the stream, ${type})`, {
    type: envelopeTypes.has(type) ? type : "_OTHER",
    requestId
  })
}

const streamStatus: Readonly<Record<string, number | undefined>> = {
  overloaded_error: 529,
  api_error: 500,
  timeout_error: 504,
  rate_limit_error: 429,
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  // What Bedrock's client makes of the exceptions in its binary stream.
  internalServerException: 500,
  modelStreamErrorException: 500,
  modelTimeoutException: 504,
  serviceUnavailableException: 503,
  throttlingException: 429,
  validationException: 400
}

/** A text without the secrets that it may echo. @internal */
export const redact = (text: string, secrets: ReadonlyArray<string>): string =>
  secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)

/** From whatever the SDK threw instead of answering; `secrets` appear in no message. @internal */
export const fromThrown = (
  thrown: unknown,
  now: number,
  secrets: ReadonlyArray<string> = []
): ClaudeError.ClaudeError => {
  const scrub = (message: string) => redact(message, secrets)
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const facts = error as Error & {
    status?: unknown
    type?: unknown
    errorCode?: unknown
    apiMessage?: unknown
    requestID?: unknown
    headers?: StatusFailure["headers"]
  }
  if (typeof facts.status === "number") {
    return fromStatus({
      status: facts.status,
      type: scrub(text(facts.type) ?? ""),
      code: text(facts.errorCode),
      message: scrub(text(facts.apiMessage) ?? "") || statusMessage(facts.status, scrub(error.message)),
      requestId: scrub(text(facts.requestID) ?? facts.headers?.get("request-id") ?? "") || undefined,
      headers: facts.headers
    }, now)
  }
  const code = causeCode(error)
  const root = rootCause(error)
  if (code === "UND_ERR_DESTROYED" || code === "UND_ERR_CLOSED") {
    return Failure.closed()
  }
  if (misconfigured(code, root.message)) {
    return Failure.fatal(
      new ClaudeError.Misconfigured({ option: "baseURL" }),
      `The connection cannot be made as it is set up: ${
        scrub(root.message)
      }. Check baseURL, its scheme, its port and its certificate.`,
      { type: "connection_error" }
    )
  }
  // The SDK wraps what its fetch threw; what it throws bare is its own refusal to send.
  if (unanswered.has(error.name) || isNetwork(root, code)) {
    return Failure.retryable(
      new ClaudeError.ConnectionFailed(code === undefined ? {} : { code }),
      `No response: ${scrub(root.message || error.message)}${
        code && !root.message.includes(code) ? ` (${code})` : ""
      }. Check that the API can be reached from here.`,
      { type: "connection_error" }
    )
  }
  if (error.name === "SyntaxError") {
    return Failure.retryable(new ClaudeError.InvalidResponse({}), "The response is not JSON.", { type: "_OTHER" })
  }
  return Failure.fatal(
    new ClaudeError.Misconfigured({}),
    `The request could not be made: ${scrub(error.message)}`,
    { type: "_OTHER" }
  )
}

/** Ours abort only what nobody waits for any more: an abort that arrives here was a fetch's or a middleware's own. */
const unanswered = new Set([
  "APIConnectionError",
  "APIConnectionTimeoutError",
  "APIUserAbortError",
  "AbortError",
  "TimeoutError"
])

/** From a body that broke off. @internal */
export const fromBroken = (thrown: unknown): ClaudeError.ClaudeRetryableError => {
  const code = causeCode(thrown)
  const root = rootCause(thrown)
  return Failure.retryable(
    new ClaudeError.StreamInterrupted(code === undefined ? {} : { code }),
    // What else a reader throws may quote the bytes that it could not read.
    `The connection broke before the message was complete: ${isNetwork(root, code) ? root.message : root.name}.`,
    { type: "stream_truncated" }
  )
}

/** The server's hint: milliseconds, seconds or a date. A hint that is no positive time is none. @internal */
export const retryAfter = (
  headers: { readonly get: (name: string) => string | null },
  now: number
): Duration.Duration | undefined => {
  const ms = headers.get("retry-after-ms")
  if (ms !== null && Number(ms) > 0 && Number.isFinite(Number(ms))) return Duration.millis(Number(ms))
  const hint = headers.get("retry-after")
  if (hint === null || hint.trim() === "") return undefined
  const seconds = Number(hint)
  const millis = Number.isNaN(seconds) ? Date.parse(hint) - now : seconds * 1000
  // A time past all counting is a hint all the same, not to be waited for.
  return millis > 0 ? Duration.millis(Math.min(millis, Number.MAX_SAFE_INTEGER)) : undefined
}

const text = (u: unknown): string | undefined => typeof u === "string" ? u : undefined

/** The SDK puts the status and the body into its message; of a body that is no JSON only the beginning is of use. */
const statusMessage = (status: number, message: string): string => {
  const rest = message.startsWith(`${status} `) ? message.slice(4) : message
  return rest.includes("<") ? `HTTP ${status} with a body that is no JSON` : rest.slice(0, 200)
}

const rootCause = (error: unknown): Error => {
  let root = error instanceof Error ? error : new Error(String(error))
  for (let depth = 0; depth < 8 && root.cause instanceof Error; depth++) root = root.cause
  return root
}

const causeCode = (error: unknown): string | undefined => {
  let at: unknown = error
  for (let depth = 0; depth < 8 && Predicate.isObject(at); depth++) {
    const code = (at as { code?: unknown }).code
    if (typeof code === "string") return code
    at = (at as { cause?: unknown }).cause
  }
  return undefined
}

const misconfigured = (code: string | undefined, message: string): boolean =>
  code === "UND_ERR_INVALID_ARG" || code === "ERR_INVALID_URL" || /^bad port$/.test(message) ||
  (code !== undefined && /^(ERR_SSL_|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code))

const isNetwork = (root: Error, code: string | undefined): boolean =>
  root.message === "terminated" || root.message === "fetch failed" ||
  (code !== undefined && /^(UND_ERR_|E[A-Z]+$|EAI_)/.test(code))
