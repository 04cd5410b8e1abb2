import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option, Stream } from "effect"
import { Claude, ClaudeError, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { AiError, LanguageModel } from "effect/ai"
import { TestClock } from "effect/testing"
import * as AiErrors from "../../src/ai/AiErrors.ts"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as Failure from "../../src/Failure.ts"
import { streams } from "../decode/streams.ts"
import { bodies, layerOf, stream } from "./support.ts"

const retryable: ReadonlyArray<readonly [ClaudeError.ClaudeRetryableError["reason"], string]> = [
  [new ClaudeError.RateLimited({}), "RateLimitError"],
  [new ClaudeError.Overloaded({}), "InternalProviderError"],
  [new ClaudeError.ServerError({}), "InternalProviderError"],
  [new ClaudeError.ConnectionFailed({ code: "ECONNREFUSED" }), "NetworkError"],
  [new ClaudeError.TimedOut({ phase: "idle" }), "NetworkError"],
  [new ClaudeError.StreamInterrupted({}), "NetworkError"],
  [new ClaudeError.InvalidResponse({}), "InternalProviderError"],
  [new ClaudeError.CircuitOpen({ key: "k" }), "InternalProviderError"],
  [new ClaudeError.QueueFull({ limit: 1 }), "InternalProviderError"]
]

const fatal: ReadonlyArray<readonly [ClaudeError.ClaudeFatalError["reason"], string]> = [
  [new ClaudeError.InvalidRequest({ field: "max_tokens" }), "InvalidRequestError"],
  [new ClaudeError.Authentication({}), "AuthenticationError"],
  [new ClaudeError.PermissionDenied({}), "AuthenticationError"],
  [new ClaudeError.NotFound({}), "InvalidRequestError"],
  [new ClaudeError.RequestTooLarge({}), "InvalidRequestError"],
  [new ClaudeError.SpendLimit({}), "QuotaExhaustedError"],
  [
    new ClaudeError.BudgetExceeded({ budget: "b", unit: "USD", limit: 1, spent: 1, needed: 1 }),
    "QuotaExhaustedError"
  ],
  [new ClaudeError.DeadlineExceeded({}), "UnknownError"],
  [new ClaudeError.Incomplete({ stopReason: "refusal" }), "UnknownError"],
  [new ClaudeError.SchemaMismatch({ stopReason: null, issue: "i" }), "UnknownError"],
  [new ClaudeError.Misconfigured({ option: "o" }), "InvalidRequestError"]
]

const details = { type: "t", status: 418, requestId: "req_1", attempts: 3, retryAfter: Duration.seconds(7) }

describe("each ClaudeError", () => {
  const all = [
    ...retryable.map(([reason, name]) => [Failure.retryable(reason, "what happened", details), name] as const),
    ...fatal.map(([reason, name]) => [Failure.fatal(reason, "what happened", details), name] as const)
  ]
  for (const [error, name] of all) {
    it(`${error.reason._tag} is ${name}, as retryable as before, with its hint, and is found again`, () => {
      const aiError = AiErrors.fromClaudeError(error, "generateText", 0)
      assert.isTrue(AiError.isAiError(aiError))
      assert.strictEqual(aiError.reason._tag, name)
      assert.strictEqual(aiError.isRetryable, error._tag === "ClaudeRetryableError")
      assert.deepStrictEqual(aiError.retryAfter, Duration.seconds(7))
      assert.deepStrictEqual(ClaudeLanguageModel.claudeError(aiError), Option.some(error))
      assert.deepStrictEqual(ClaudeLanguageModel.claudeError(aiError.reason), Option.some(error))
      assert.deepStrictEqual(ClaudeLanguageModel.claudeError(new Error("mine", { cause: aiError })), Option.some(error))
      if (name !== "NetworkError" && "metadata" in aiError.reason) {
        assert.deepInclude(aiError.reason.metadata["anthropic"], {
          reason: error.reason._tag,
          status: 418,
          requestId: "req_1",
          message: "what happened"
        })
      }
    })
  }

  it("leaves other errors alone", () => {
    const other = AiError.make({ module: "m", method: "f", reason: new AiError.RateLimitError({}) })
    assert.isTrue(Option.isNone(ClaudeLanguageModel.claudeError(other)))
    assert.isTrue(Option.isNone(ClaudeLanguageModel.claudeError("no")))
  })

  it("says of a budget of the program's own that it is one", () => {
    const reason = new ClaudeError.BudgetExceeded({ budget: "daily", limit: 1, spent: 0.9, needed: 0.2, unit: "USD" })
    const error = AiErrors.fromClaudeError(Failure.fatal(reason, "The budget daily is spent.", details), "f", 1_000)
    assert.strictEqual(error.reason.message, "The budget daily is spent.")
    assert.notInclude(error.message, "billing")
  })

  it("says when a budget's window ends", () => {
    const { reason } = AiErrors.fromClaudeError(Failure.fatal(new ClaudeError.SpendLimit({}), "", details), "f", 1_000)
    assert(reason._tag === "QuotaExhaustedError")
    assert.strictEqual(reason.resetAt?.epochMilliseconds, 8_000)
  })
})

/** With a clock that goes on. */
function inTime<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
  return Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self)
    for (let n = 0; n < 20; n++) yield* TestClock.adjust("10 seconds")
    return yield* Fiber.join(fiber)
  })
}

/** Asks both ways; between them is the time that a server asks for. */
const failures = Effect.gen(function*() {
  const whole = yield* Effect.flip(LanguageModel.generateText({ prompt: "Hi" }))
  const parts: Array<unknown> = []
  const streamed = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
    Stream.runForEach((part) => Effect.sync(() => parts.push(part.type))),
    Effect.flip
  )
  return { whole, streamed, parts }
}).pipe(inTime)

const once = { retry: RetryPolicy.none }

describe("a call that fails", () => {
  it.effect("fails with what the API said, both ways", () =>
    Effect.gen(function*() {
      const { parts, streamed, whole } = yield* failures
      for (const error of [whole, streamed]) {
        assert.strictEqual(error.reason._tag, "RateLimitError")
        assert.deepStrictEqual(error.retryAfter, Duration.seconds(90))
        const claude = Option.getOrThrow(ClaudeLanguageModel.claudeError(error))
        assert.strictEqual(claude.reason._tag, "RateLimited")
        assert.strictEqual(claude.status, 429)
      }
      assert.strictEqual(whole.method, "generateText")
      assert.strictEqual(streamed.method, "streamText")
      assert.deepStrictEqual(parts, [])
    }).pipe(Effect.provide(layerOf([Answer.error(429, { retryAfter: "90 seconds" })], {}, once))))

  it.effect("is retried by the policy of the Claude layer, and by the nearest one", () =>
    Effect.gen(function*() {
      const ask = LanguageModel.generateText({ prompt: "Hi" })
      assert.strictEqual(
        (yield* ask.pipe(Claude.withPolicy({ retry: RetryPolicy.make({ times: 3, initial: 0 }) }))).text,
        "ok"
      )
      assert.strictEqual((yield* bodies).length, 3)
    }).pipe(
      Effect.provide(
        layerOf([Answer.error(529), Answer.error(500), Answer.text("ok")], {}, {
          ...once,
          retryBudget: { ratio: 1, burst: 10 }
        })
      )
    ))

  for (
    const [name, answer] of Object.entries({
      "that is cut": Answer.close("midStream"),
      "that is reset": Answer.reset("midStream"),
      "with an error event": Answer.errorEvent("overloaded_error", "Overloaded"),
      "with an event that is none": Answer.garbage("badEvent")
    })
  ) {
    it.effect(`a stream ${name} is a failure, whatever came before, and no part tells of it`, () =>
      Effect.gen(function*() {
        const { parts, streamed, whole } = yield* failures
        assert.isTrue(whole.isRetryable)
        assert.isTrue(streamed.isRetryable)
        assert.notInclude(parts, "error")
        assert.notInclude(parts, "finish")
        const claude = Option.getOrThrow(ClaudeLanguageModel.claudeError(streamed))
        assert.isDefined(claude.partial)
      }).pipe(Effect.provide(layerOf([answer], {}, once))))
  }

  it.effect("is not begun again where a policy would, since parts cannot tell of that", () =>
    Effect.gen(function*() {
      const parts: Array<string> = []
      const error = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Claude.withPolicy({ onBreak: "restart" }),
        Stream.runForEach((part) => Effect.sync(() => parts.push(part.type))),
        Effect.flip,
        inTime
      )
      assert.strictEqual(error.reason._tag, "NetworkError")
      assert.strictEqual(parts.filter((type) => type === "response-metadata").length, 1)
      assert.strictEqual((yield* bodies).length, 1)
    }).pipe(
      Effect.provide(layerOf([Answer.close("midStream"), Answer.hello], {}, { retryBudget: { ratio: 1, burst: 10 } }))
    ))

  it.effect("a call of a tool that nobody declared is ToolNotFoundError, both ways", () =>
    Effect.gen(function*() {
      const { streamed, whole } = yield* failures
      assert.strictEqual(whole.reason._tag, "ToolNotFoundError")
      assert.strictEqual(streamed.reason._tag, "ToolNotFoundError")
    }).pipe(Effect.provide(layerOf([Answer.tool("nobody", {})]))))

  it.effect("input that is no JSON fails both ways alike", () =>
    Effect.gen(function*() {
      const { streamed, whole } = yield* failures
      assert.strictEqual(whole.reason._tag, "InternalProviderError")
      assert.strictEqual(streamed.reason._tag, "InternalProviderError")
    }).pipe(Effect.provide(layerOf(
      [stream(
        streams["a tool call"]!.events.map((event) => {
          const { delta } = event as { delta?: { type?: string } }
          return delta?.type === "input_json_delta" ? { ...event, delta: { ...delta, partial_json: "}{" } } : event
        })
      )],
      {},
      once
    ))))

  it.effect("a prompt without a message is refused before anything is sent", () =>
    Effect.gen(function*() {
      const { streamed, whole } = yield* failures
      assert.strictEqual(whole.reason._tag, "InvalidRequestError")
      assert.strictEqual(streamed.reason._tag, "InvalidRequestError")
      assert.deepStrictEqual(yield* bodies, [])
    }).pipe(Effect.provide(layerOf([Answer.hello], { max_tokens: -1 }))))
})
