import { APIConnectionError, APIConnectionTimeoutError, APIError, APIUserAbortError } from "@anthropic-ai/sdk/error"
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { ClaudeError } from "effect-claude"
import { createRequire } from "node:module"
import { inspect } from "node:util"
import * as Classify from "../../src/transport/Classify.ts"

/** The SDK's CommonJS build has classes of its own, none of which is an instance of the ESM build's. */
const cjs: { readonly APIError: typeof APIError; readonly APIConnectionError: typeof APIConnectionError } =
  createRequire(
    import.meta.url
  )("@anthropic-ai/sdk/error")

const NOW = Date.UTC(2026, 10, 21, 12, 0, 0)

interface Answer {
  readonly status: number
  readonly type?: string
  readonly code?: string
  readonly message?: string
  readonly headers?: Record<string, string>
}

const envelope = ({ code, message = "it says so", type = "some_error" }: Answer) => ({
  type: "error",
  error: { type, message, ...(code === undefined ? undefined : { details: { error_code: code } }) }
})

/** What the SDK throws for an answer, in either build. */
const thrownFor = (answer: Answer, build: { readonly APIError: typeof APIError } = { APIError }) =>
  build.APIError.generate(
    answer.status,
    envelope(answer),
    undefined,
    new Headers({ "request-id": "req_1", ...answer.headers })
  )

const classify = (answer: Answer) => Classify.fromThrown(thrownFor(answer), NOW)

/** What a failure is and what may be done about it, in one line. */
const verdict = (error: ClaudeError.ClaudeError) =>
  [
    error._tag === "ClaudeRetryableError" ? "retryable" : "fatal",
    error.reason._tag,
    error.retryHere ? "retry" : "no retry",
    error.mayFailOver ? "fail over" : "stay"
  ].join(", ")

const network = (code: string, message = `it broke with ${code}`) =>
  new APIConnectionError({
    cause: new TypeError("fetch failed", { cause: Object.assign(new Error(message), { code }) })
  })

describe("answers with an error status", () => {
  const backoff = (reason: string) => `retryable, ${reason}, retry, fail over`
  const fatal = (reason: string) => `fatal, ${reason}, no retry, stay`
  const blocked = "fatal, SpendLimit, no retry, fail over"

  const rows: ReadonlyArray<readonly [what: string, answer: Answer, expected: string, type: string]> = [
    // retryable, with a backoff
    ["a 408", { status: 408, type: "timeout_error" }, backoff("ServerError"), "timeout_error"],
    ["a 500", { status: 500, type: "api_error" }, backoff("ServerError"), "api_error"],
    ["a 501", { status: 501, type: "api_error" }, backoff("ServerError"), "api_error"],
    ["a 502", { status: 502 }, backoff("ServerError"), "502"],
    ["a 503", { status: 503 }, backoff("ServerError"), "503"],
    ["a 504", { status: 504, type: "timeout_error" }, backoff("ServerError"), "timeout_error"],
    ["a 529", { status: 529, type: "overloaded_error" }, backoff("Overloaded"), "overloaded_error"],
    [
      "a compaction that is unavailable",
      {
        status: 529,
        type: "overloaded_error",
        code: "compaction_unavailable"
      },
      backoff("Overloaded"),
      "overloaded_error"
    ],
    [
      "a key that cannot be reached",
      { status: 503, type: "api_error", code: "cmek_key_unreachable" },
      backoff("ServerError"),
      "api_error"
    ],
    // after the server's hint
    ["a rate limit", { status: 429, type: "rate_limit_error" }, backoff("RateLimited"), "rate_limit_error"],
    [
      "a ramp limit",
      { status: 429, type: "rate_limit_error", code: "ramp_limit_exceeded" },
      backoff("RateLimited"),
      "rate_limit_error"
    ],
    // conditional
    ["a conflict without a code", { status: 409, type: "conflict_error" }, backoff("ServerError"), "conflict_error"],
    [
      "a conflict with a code",
      { status: 409, type: "conflict_error", code: "skill_name_taken" },
      fatal("InvalidRequest"),
      "conflict_error"
    ],
    [
      "a thread that is being continued",
      {
        status: 400,
        type: "invalid_request_error",
        code: "thread_continue_in_flight"
      },
      backoff("ServerError"),
      "invalid_request_error"
    ],
    // budget and billing
    [
      "a contract's spend limit",
      { status: 429, type: "rate_limit_error", code: "contract_spend_limit_reached" },
      blocked,
      "rate_limit_error"
    ],
    [
      "an enforced spend limit",
      { status: 429, type: "rate_limit_error", code: "enforced_spend_limit_reached" },
      blocked,
      "rate_limit_error"
    ],
    ["a 402", { status: 402, type: "billing_error" }, blocked, "billing_error"],
    [
      "a 402 with a code",
      { status: 402, type: "billing_error", code: "linked_organization_spend_limit_reached" },
      blocked,
      "billing_error"
    ],
    [
      "billing that is not authorized",
      { status: 403, type: "permission_error", code: "user_profile_billing_not_authorized" },
      blocked,
      "permission_error"
    ],
    [
      "a profile that cannot be billed",
      { status: 403, type: "permission_error", code: "user_profile_not_billable" },
      blocked,
      "permission_error"
    ],
    [
      "a usage limit",
      {
        status: 400,
        type: "invalid_request_error",
        message: "You have reached your specified API usage limits. You will regain access on 2026-12-01."
      },
      blocked,
      "invalid_request_error"
    ],
    [
      "a workspace's usage limit",
      {
        status: 400,
        type: "invalid_request_error",
        message: "You have reached your specified workspace API usage limits."
      },
      blocked,
      "invalid_request_error"
    ],
    // the request
    ["a 400", { status: 400, type: "invalid_request_error" }, fatal("InvalidRequest"), "invalid_request_error"],
    [
      "a compaction that does not fit",
      {
        status: 400,
        type: "invalid_request_error",
        code: "compaction_content_mismatch"
      },
      fatal("InvalidRequest"),
      "invalid_request_error"
    ],
    [
      "a tool's name taken twice",
      { status: 400, type: "invalid_request_error", code: "tool_name_conflict" },
      fatal("InvalidRequest"),
      "invalid_request_error"
    ],
    ["a 404", { status: 404, type: "not_found_error" }, fatal("NotFound"), "not_found_error"],
    ["a 412", { status: 412 }, fatal("InvalidRequest"), "412"],
    ["a 413", { status: 413, type: "request_too_large" }, fatal("RequestTooLarge"), "request_too_large"],
    ["a 422", { status: 422 }, fatal("InvalidRequest"), "422"],
    ["a 431", { status: 431 }, fatal("InvalidRequest"), "431"],
    // the account
    ["a 401", { status: 401, type: "authentication_error" }, fatal("Authentication"), "authentication_error"],
    ["a 403", { status: 403, type: "permission_error" }, fatal("PermissionDenied"), "permission_error"],
    [
      "an organization on hold",
      { status: 400, type: "invalid_request_error", code: "organization_on_hold" },
      fatal("PermissionDenied"),
      "invalid_request_error"
    ],
    [
      "a key that is disabled",
      { status: 400, type: "invalid_request_error", code: "cmek_key_disabled" },
      fatal("PermissionDenied"),
      "invalid_request_error"
    ],
    // what nobody has heard of
    ["a status of the client's kind", { status: 418 }, fatal("InvalidRequest"), "418"],
    ["a status of the server's kind", { status: 599 }, backoff("ServerError"), "599"],
    ["a redirect", { status: 301 }, fatal("Misconfigured"), "301"],
    [
      "a 429 with an unknown code",
      { status: 429, type: "rate_limit_error", code: "new_code" },
      backoff("RateLimited"),
      "rate_limit_error"
    ]
  ]

  it.each(rows)("%s is classified", (_, answer, expected, type) => {
    const error = classify(answer)
    assert.deepStrictEqual([verdict(error), error.type, error.status, error.requestId, error.retryAfter], [
      expected,
      type,
      answer.status,
      "req_1",
      undefined
    ])
    assert.include(error.message, answer.message ?? "it says so")
    assert.include(error.message, String(answer.status))
  })

  it.each(rows)("%s is the same from the SDK's other build, and without any class", (_, answer, expected, type) => {
    const thrown = thrownFor(answer, cjs)
    assert.isFalse(thrown instanceof APIError)
    const plain = Object.assign(new Error("plain"), {
      status: thrown.status,
      type: thrown.type,
      errorCode: thrown.errorCode,
      apiMessage: thrown.apiMessage,
      requestID: thrown.requestID,
      headers: thrown.headers
    })
    for (const error of [Classify.fromThrown(thrown, NOW), Classify.fromThrown(plain, NOW)]) {
      assert.deepStrictEqual([verdict(error), error.type, error.requestId], [expected, type, "req_1"])
    }
  })

  it("an envelope type that is unknown becomes the status, so that telemetry's set stays closed", () => {
    assert.strictEqual(classify({ status: 500, type: "brand_new_error" }).type, "500")
    assert.include(classify({ status: 500, type: "brand_new_error" }).message, "brand_new_error")
  })

  it("a body that is no JSON gives its status and none of its markup", () => {
    const error = Classify.fromThrown(
      APIError.generate(502, undefined, "<html><body>Bad Gateway</body></html>", new Headers()),
      NOW
    )
    assert.strictEqual(verdict(error), backoff("ServerError"))
    assert.notInclude(error.message, "<")
    assert.isUndefined(error.requestId)
  })

  it("a message without end is cut", () => {
    assert.isBelow(classify({ status: 400, message: "x".repeat(100_000) }).message.length, 1_200)
  })

  it("crosses a process border", () => {
    assert.isTrue(ClaudeError.isClaudeError(classify({ status: 429, headers: { "retry-after": "3" } })))
  })
})

describe("x-should-retry", () => {
  const withHint = (answer: Answer, hint: string) =>
    verdict(classify({ ...answer, headers: { "x-should-retry": hint } }))

  it("true makes a fatal answer worth a backoff", () => {
    assert.strictEqual(withHint({ status: 400 }, "true"), "fatal, InvalidRequest, retry, fail over")
    assert.strictEqual(withHint({ status: 404 }, "true"), "fatal, NotFound, retry, fail over")
  })

  it("false ends what else would be tried again", () => {
    assert.strictEqual(withHint({ status: 500 }, "false"), "retryable, ServerError, no retry, fail over")
    assert.strictEqual(withHint({ status: 529 }, "false"), "retryable, Overloaded, no retry, fail over")
    assert.strictEqual(withHint({ status: 429 }, "false"), "retryable, RateLimited, no retry, fail over")
  })

  it("changes nothing where it agrees, or says anything else", () => {
    assert.strictEqual(withHint({ status: 500 }, "true"), "retryable, ServerError, retry, fail over")
    assert.strictEqual(withHint({ status: 400 }, "false"), "fatal, InvalidRequest, no retry, stay")
    assert.strictEqual(withHint({ status: 500 }, "maybe"), "retryable, ServerError, retry, fail over")
  })

  it.each(["true", "false"])("%s neither backs off into a spend limit nor keeps it from failing over", (hint) => {
    const limit = { status: 429, code: "enforced_spend_limit_reached" }
    assert.strictEqual(withHint(limit, hint), "fatal, SpendLimit, no retry, fail over")
    assert.strictEqual(withHint({ status: 402 }, hint), "fatal, SpendLimit, no retry, fail over")
  })
})

describe("the server's hint", () => {
  const date = (millis: number) => new Date(NOW + millis).toUTCString()
  const rows: ReadonlyArray<readonly [what: string, headers: Record<string, string>, millis: number | undefined]> = [
    ["seconds", { "retry-after": "7" }, 7_000],
    ["a fraction of seconds", { "retry-after": "0.25" }, 250],
    ["seconds between spaces", { "retry-after": "  2 " }, 2_000],
    ["milliseconds", { "retry-after-ms": "1500" }, 1_500],
    ["a fraction of milliseconds", { "retry-after-ms": "0.5" }, 0.5],
    ["both: milliseconds are the finer", { "retry-after-ms": "1500", "retry-after": "2" }, 1_500],
    ["milliseconds that are garbage, then seconds", { "retry-after-ms": "soon", "retry-after": "2" }, 2_000],
    ["milliseconds that are zero, then seconds", { "retry-after-ms": "0", "retry-after": "2" }, 2_000],
    ["an HTTP date", { "retry-after": date(90_000) }, 90_000],
    ["an ISO date", { "retry-after": new Date(NOW + 90_000).toISOString() }, 90_000],
    ["a date that is past", { "retry-after": date(-90_000) }, undefined],
    ["the present", { "retry-after": date(0) }, undefined],
    ["zero", { "retry-after": "0" }, undefined],
    ["a negative number", { "retry-after": "-5" }, undefined],
    ["negative milliseconds", { "retry-after-ms": "-5" }, undefined],
    ["garbage", { "retry-after": "in a while" }, undefined],
    ["nothing", { "retry-after": "" }, undefined],
    ["spaces", { "retry-after": "   ", "retry-after-ms": " " }, undefined],
    ["NaN", { "retry-after": "NaN" }, undefined],
    ["Infinity", { "retry-after": "Infinity" }, Number.MAX_SAFE_INTEGER],
    ["a number past all counting", { "retry-after": "1e306" }, Number.MAX_SAFE_INTEGER],
    ["milliseconds without end", { "retry-after-ms": "Infinity" }, undefined],
    ["more than a timer takes", { "retry-after": "99999999999" }, 99_999_999_999_000],
    ["no header", {}, undefined]
  ]

  it.each(rows)("%s is read", (_, headers, millis) => {
    const error = classify({ status: 429, headers })
    assert.strictEqual(error.retryAfter === undefined ? undefined : Duration.toMillis(error.retryAfter), millis)
  })

  it("is read beside any status", () => {
    for (const status of [400, 408, 500, 503, 529]) {
      assert.deepStrictEqual(classify({ status, headers: { "retry-after": "2" } }).retryAfter, Duration.seconds(2))
    }
  })
})

describe("no answer", () => {
  const failed = "retryable, ConnectionFailed, retry, fail over"
  const codes = [
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTFOUND",
    "EAI_AGAIN",
    "EPIPE",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "UND_ERR_SOCKET",
    "UND_ERR_CONNECT_TIMEOUT"
  ]

  it.each(codes)("%s is a connection that failed, with its code", (code) => {
    const error = Classify.fromThrown(network(code), NOW)
    assert.deepStrictEqual([verdict(error), error.type, error.status], [failed, "connection_error", undefined])
    assert.deepStrictEqual(error.reason, new ClaudeError.ConnectionFailed({ code }))
    assert.include(error.message, code)
  })

  it("is told from the other build, from bare errors of fetch, and after the SDK's own timeout", () => {
    for (
      const thrown of [
        new cjs.APIConnectionError({ cause: new TypeError("fetch failed") }),
        new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "ECONNREFUSED" }) }),
        Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" }),
        new APIConnectionTimeoutError(),
        new TypeError("terminated")
      ]
    ) assert.strictEqual(verdict(Classify.fromThrown(thrown, NOW)), failed)
  })

  const setups: ReadonlyArray<string> = [
    "UND_ERR_INVALID_ARG",
    "ERR_INVALID_URL",
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "ERR_SSL_PACKET_LENGTH_TOO_LONG",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "CERT_HAS_EXPIRED",
    "CERT_UNTRUSTED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
  ]

  it.each(setups)("%s is a misconfiguration in disguise", (code) => {
    const error = Classify.fromThrown(network(code), NOW)
    assert.deepStrictEqual([verdict(error), error.type], ["fatal, Misconfigured, no retry, stay", "connection_error"])
  })

  it("a port that fetch forbids is a misconfiguration, though it comes without a code", () => {
    const error = Classify.fromThrown(
      new APIConnectionError({ cause: new TypeError("fetch failed", { cause: new Error("bad port") }) }),
      NOW
    )
    assert.strictEqual(verdict(error), "fatal, Misconfigured, no retry, stay")
  })

  it("bad JSON in an answer is no message", () => {
    const error = Classify.fromThrown(new SyntaxError("Unexpected token p, \"private\" is not JSON"), NOW)
    assert.strictEqual(verdict(error), "retryable, InvalidResponse, retry, fail over")
    assert.notInclude(error.message, "private")
  })

  it("an abort by someone else is a connection that failed: ours never wait for an answer", () => {
    for (const thrown of [new APIUserAbortError(), new DOMException("This operation was aborted", "AbortError")]) {
      assert.strictEqual(verdict(Classify.fromThrown(thrown, NOW)), failed)
    }
  })

  it("what the SDK refuses to send is a misconfiguration", () => {
    const error = Classify.fromThrown(new Error("Could not resolve authentication method."), NOW)
    assert.strictEqual(verdict(error), "fatal, Misconfigured, no retry, stay")
    assert.include(error.message, "Could not resolve authentication method")
    for (const thrown of ["a string", null, undefined, 3, {}]) {
      assert.strictEqual(Classify.fromThrown(thrown, NOW)._tag, "ClaudeFatalError")
    }
  })

  it("causes that go in a circle are followed to an end", () => {
    const error = new Error("round")
    error.cause = new Error("and round", { cause: error })
    assert.strictEqual(Classify.fromThrown(error, NOW)._tag, "ClaudeFatalError")
  })
})

describe("a body that broke off", () => {
  const interrupted = "retryable, StreamInterrupted, retry, fail over"

  it.each([
    [
      "a socket that closed",
      new TypeError("terminated", { cause: Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" }) }),
      "UND_ERR_SOCKET"
    ],
    [
      "undici's body timeout",
      new TypeError("terminated", {
        cause: Object.assign(new Error("Body Timeout Error"), { code: "UND_ERR_BODY_TIMEOUT" })
      }),
      "UND_ERR_BODY_TIMEOUT"
    ],
    ["a bare TypeError", new TypeError("terminated"), undefined],
    ["a DOMException", new DOMException("This operation was aborted", "AbortError"), undefined],
    ["no error at all", "gone", undefined]
  ])("%s interrupts the stream", (_, thrown, code) => {
    const error = Classify.fromBroken(thrown)
    assert.deepStrictEqual([verdict(error), error.type], [interrupted, "stream_truncated"])
    assert.deepStrictEqual(error.reason, new ClaudeError.StreamInterrupted(code === undefined ? {} : { code }))
  })

  it("what a platform's reader says of the bytes that it could not read is not repeated", () => {
    const error = Classify.fromBroken(new Error("Could not parse a Bedrock chunk into JSON: the user's own words"))
    assert.strictEqual(verdict(error), interrupted)
    assert.notInclude(error.message, "the user's own words")
  })
})

describe("error events in a stream", () => {
  const rows: ReadonlyArray<readonly [type: string, code: string | undefined, expected: string, errorType: string]> = [
    ["overloaded_error", undefined, "retryable, Overloaded, retry, fail over", "overloaded_error"],
    ["overloaded_error", "compaction_unavailable", "retryable, Overloaded, retry, fail over", "overloaded_error"],
    ["api_error", undefined, "retryable, ServerError, retry, fail over", "api_error"],
    ["timeout_error", undefined, "retryable, ServerError, retry, fail over", "timeout_error"],
    ["rate_limit_error", undefined, "retryable, RateLimited, retry, fail over", "rate_limit_error"],
    ["rate_limit_error", "enforced_spend_limit_reached", "fatal, SpendLimit, no retry, fail over", "rate_limit_error"],
    ["invalid_request_error", undefined, "fatal, InvalidRequest, no retry, stay", "invalid_request_error"],
    ["authentication_error", undefined, "fatal, Authentication, no retry, stay", "authentication_error"],
    ["billing_error", undefined, "fatal, SpendLimit, no retry, fail over", "billing_error"],
    ["permission_error", undefined, "fatal, PermissionDenied, no retry, stay", "permission_error"],
    ["not_found_error", undefined, "fatal, NotFound, no retry, stay", "not_found_error"],
    ["request_too_large", undefined, "fatal, RequestTooLarge, no retry, stay", "request_too_large"],
    ["brand_new_error", undefined, "retryable, ServerError, retry, fail over", "_OTHER"],
    // As Bedrock's client names the frames of its binary stream.
    ["throttlingException", undefined, "retryable, RateLimited, retry, fail over", "_OTHER"],
    ["serviceUnavailableException", undefined, "retryable, ServerError, retry, fail over", "_OTHER"],
    ["modelTimeoutException", undefined, "retryable, ServerError, retry, fail over", "_OTHER"],
    ["validationException", undefined, "fatal, InvalidRequest, no retry, stay", "_OTHER"]
  ]

  it.each(rows)("%s (code %s) is classified", (type, code, expected, errorType) => {
    const error = Classify.fromEvent({
      error: { type, message: "it says so", ...(code === undefined ? undefined : { details: { error_code: code } }) }
    }, "req_2")
    assert.deepStrictEqual([verdict(error), error.type, error.status, error.requestId], [
      expected,
      errorType,
      undefined,
      "req_2"
    ])
    assert.include(error.message, "it says so")
  })

  it("one without a body is a server's error", () => {
    assert.strictEqual(verdict(Classify.fromEvent({}, undefined)), "retryable, ServerError, retry, fail over")
    assert.isUndefined(Classify.fromEvent({}, undefined).requestId)
  })
})

describe("secrets", () => {
  const secret = "sk-ant-very-secret"

  it("stand in no error, wherever they were echoed", () => {
    const thrown: ReadonlyArray<unknown> = [
      thrownFor({ status: 401, message: `invalid x-api-key ${secret}, Bearer ${secret}` }),
      thrownFor({ status: 400, message: `${"x".repeat(990)}${secret}` }),
      APIError.generate(502, undefined, `Bearer ${secret}`, new Headers()),
      APIError.generate(400, undefined, `${"x".repeat(185)}${secret}`, new Headers()),
      network("ECONNREFUSED", `connect with ${secret}`),
      network("ERR_SSL_X", `connect with ${secret}`),
      new Error(`Bearer ${secret} is not a legal HTTP header value`)
    ]
    for (const one of thrown) {
      const error = Classify.fromThrown(one, NOW, [secret])
      for (
        const shown of [error.message, String(error), inspect(error, { depth: 9 }), JSON.stringify(error), error.stack]
      ) {
        assert.notInclude(shown, "very-secret")
      }
    }
  })
})
