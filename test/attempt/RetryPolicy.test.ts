import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schedule, Stream } from "effect"
import { Claude, ClaudeError, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { RetryBudget } from "../../src/attempt/Retrying.ts"
import { errorOf, type Options, play, valueOf } from "./scripted.ts"

const request = { prompt: "Hi" }
const text = Claude.text(request)
const gaps = (at: ReadonlyArray<number>) => at.slice(1).map((time, index) => time - (at[index] ?? 0))
const within = (gaps: ReadonlyArray<number>, middles: ReadonlyArray<number>) => {
  assert.strictEqual(gaps.length, middles.length)
  for (const [index, middle] of middles.entries()) {
    // Jitter is a fifth to either side; waits are whole milliseconds.
    assert.isAtLeast(gaps[index] ?? 0, middle * 0.8)
    assert.isAtMost(gaps[index] ?? 0, middle * 1.2 + 1)
  }
}

describe("the schedule", () => {
  it.effect("is by default four retries that double from half a second, jittered", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.error(529)], text)
      within(gaps(played.at), [500, 1_000, 2_000, 4_000])
      const error = errorOf(played)
      assert.deepStrictEqual([error.reason._tag, error.attempts, error.status], ["Overloaded", 5, 529])
      assert.strictEqual(played.end, played.at[4])
    }))

  it.effect("stays at its longest delay", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.make({ times: 6, initial: "2 seconds", max: "5 seconds" })
      within(gaps((yield* play([Answer.error(500)], text, { retry })).at), [2_000, 4_000, 5_000, 5_000, 5_000, 5_000])
      const long = RetryPolicy.make({ times: 8 })
      const longest = gaps((yield* play([Answer.error(500)], text, { retry: long })).at)
      within(longest.slice(6), [20_000, 20_000])
    }))

  it.effect("differs between calls", () =>
    Effect.gen(function*() {
      const first = yield* Effect.forEach(
        Array.from({ length: 8 }),
        () => play([Answer.error(529), Answer.hello], text)
      )
      assert.isAbove(new Set(first.map(({ at }) => at[1])).size, 1)
    }))

  it.effect("is any schedule, and its end is the last retry", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.fromSchedule(Schedule.spaced("3 seconds").pipe(Schedule.upTo({ times: 2 })))
      const played = yield* play([Answer.error(529)], text, { retry })
      assert.deepStrictEqual(played.at, [0, 3_000, 6_000])
      assert.strictEqual(errorOf(played).attempts, 3)
    }))

  it.effect("may ask the error", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.fromSchedule(
        Schedule.spaced("1 second").pipe(
          Schedule.setInputType<ClaudeError.ClaudeError>(),
          Schedule.while(({ input }) => input.reason._tag === "Overloaded")
        )
      )
      const played = yield* play([Answer.error(529), Answer.error(529), Answer.error(500)], text, { retry })
      assert.deepStrictEqual(played.at, [0, 1_000, 2_000])
      assert.strictEqual(errorOf(played).reason._tag, "ServerError")
    }))

  it.effect("none is one attempt", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.error(529, { retryAfter: "1 second" })], text, { retry: RetryPolicy.none })
      assert.deepStrictEqual([played.at, played.end, errorOf(played).attempts], [[0], 0, 1])
    }))

  it.effect("counts the retries of a call over failures of different kinds", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.make({ times: 3, initial: "1 second" })
      const answers = [
        Answer.error(529),
        Answer.reset("beforeHeaders"),
        Answer.truncate("midStream"),
        Answer.garbage("html"),
        Answer.hello
      ]
      const played = yield* play(answers, text, { retry })
      assert.strictEqual(errorOf(played).reason._tag, "InvalidResponse")
      assert.strictEqual(errorOf(played).attempts, 4)
    }))

  it.effect("each attempt says which it is", () =>
    Effect.gen(function*() {
      for (
        const call of [
          Effect.asVoid(text),
          Stream.runDrain(Claude.stream(request)),
          Effect.asVoid(Claude.countTokens(request))
        ]
      ) {
        const played = yield* play([Answer.error(529), Answer.error(500), Answer.hello], call)
        valueOf(played)
        assert.deepStrictEqual(played.sent.map(({ headers }) => headers["x-stainless-retry-count"]), ["0", "1", "2"])
      }
    }))
})

describe("what is not tried again", () => {
  const fatal: ReadonlyArray<readonly [what: string, answer: Answer.Answer]> = [
    ["a 400", Answer.error(400)],
    ["a 401", Answer.error(401)],
    ["a 403", Answer.error(403)],
    ["a 404", Answer.error(404)],
    [
      "a spend limit with a hint",
      Answer.error(429, { errorCode: "enforced_spend_limit_reached", retryAfter: "1 second" })
    ],
    [
      "a spend limit that says to retry",
      Answer.error(429, { errorCode: "contract_spend_limit_reached", shouldRetry: true })
    ],
    ["a 529 that says not to", Answer.error(529, { shouldRetry: false })],
    ["an invalid request in the stream", Answer.errorEvent("invalid_request_error", "no")]
  ]

  it.effect.each(fatal)(
    "%s fails at once",
    ([_, answer]) =>
      Effect.map(play([answer, Answer.hello], text), (played) => {
        assert.deepStrictEqual([played.at, played.end, errorOf(played).attempts], [[0], 0, 1])
      })
  )

  it.effect("a 400 that says to retry is", () =>
    Effect.map(play([Answer.error(400, { shouldRetry: true }), Answer.text("ok")], text), (played) => {
      assert.strictEqual(valueOf(played), "ok")
    }))
})

describe("the server's hint", () => {
  it.effect.each(["seconds", "ms", "date"] as const)(
    "in %s is a floor under the delay",
    (form) =>
      Effect.gen(function*() {
        const retryAfterForm = Array.isArray(form) ? form[0] : form
        const hint = Answer.error(429, { retryAfter: "7 seconds", retryAfterForm })
        const played = yield* play([hint, Answer.text("ok")], text)
        assert.strictEqual(valueOf(played), "ok")
        assert.deepStrictEqual(played.at, [0, 7_000])
      })
  )

  it.effect("below the delay changes nothing", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.make({ initial: "4 seconds" })
      const played = yield* play([Answer.error(529, { retryAfter: "1 second" }), Answer.hello], text, { retry })
      within(gaps(played.at), [4_000])
    }))

  it.effect("of a fraction is waited for in whole milliseconds", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.make({ initial: 0 })
      const played = yield* play(
        [Answer.error(429, { retryAfter: "1500 micros", retryAfterForm: "ms" }), Answer.hello],
        text,
        { retry }
      )
      assert.deepStrictEqual(played.at, [0, 2])
    }))

  it.effect("above a minute fails at once, and stands on the error", () =>
    Effect.gen(function*() {
      const long = yield* play([Answer.error(429, { retryAfter: "61 seconds" })], text)
      assert.deepStrictEqual([long.at, long.end], [[0], 0])
      assert.deepStrictEqual(errorOf(long).retryAfter, Duration.seconds(61))
      assert.strictEqual(errorOf(long).reason._tag, "RateLimited")
      const fits = yield* play([Answer.error(429, { retryAfter: "60 seconds" }), Answer.hello], text)
      assert.deepStrictEqual(fits.at, [0, 60_000])
    }))

  it.effect("above the policy's own bound fails at once", () =>
    Effect.gen(function*() {
      const retry = RetryPolicy.make({ maxRetryAfter: "2 seconds" })
      const played = yield* play([Answer.error(503, { retryAfter: "3 seconds" })], text, { retry })
      assert.deepStrictEqual([played.end, errorOf(played).reason._tag], [0, "ServerError"])
      const patient = RetryPolicy.make({ maxRetryAfter: "5 minutes" })
      const waited = yield* play([Answer.error(503, { retryAfter: "2 minutes" }), Answer.hello], text, {
        retry: patient
      })
      assert.deepStrictEqual(waited.at, [0, 120_000])
    }))

  it.effect("past the deadline keeps its own error", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.error(429, { retryAfter: "30 seconds" })], text, {
        timeouts: { total: "20 seconds" }
      })
      const error = errorOf(played)
      assert.deepStrictEqual([error.reason._tag, played.end, error.attempts], ["RateLimited", 0, 1])
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(30))
    }))
})

describe("the deadline", () => {
  it.effect("cuts a backoff that could not end in time before it begins", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.error(529)], text, {
        retry: RetryPolicy.make({ initial: "5 seconds" }),
        timeouts: { total: "10 seconds" }
      })
      const error = errorOf(played)
      assert.deepStrictEqual([error._tag, error.reason._tag, error.status], [
        "ClaudeFatalError",
        "DeadlineExceeded",
        529
      ])
      assert.strictEqual(played.at.length, 2)
      assert.strictEqual(played.end, played.at[1])
      assert.include(error.message, "529")
    }))
})

describe("the retry budget", () => {
  const calls = (count: number) =>
    Effect.forEach(Array.from({ length: count }), () => Effect.orDie(Effect.flip(Claude.text(request))))
  const single = RetryPolicy.make({ times: 1, initial: "1 millis" })

  it.effect("lets a burst of ten pass, then one retry in five calls", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.error(529)], calls(110), { retry: single, circuit: false })
      const retries = valueOf(played).map(({ attempts }) => attempts - 1)
      // The burst, and a fifth of those that come while it lasts.
      assert.deepStrictEqual(retries.slice(0, 12), Array(12).fill(1))
      const rest = retries.slice(20).reduce((sum, retry) => sum + retry, 0)
      assert.isAtLeast(rest, 17)
      assert.isAtMost(rest, 18)
    }))

  it.effect("is the client's to set", () =>
    Effect.gen(function*() {
      const options: Options = { retry: single, retryBudget: { burst: 2, ratio: 0 }, circuit: false }
      const errors = valueOf(yield* play([Answer.error(529)], calls(4), options))
      assert.deepStrictEqual(errors.map(({ attempts }) => attempts), [2, 2, 1, 1])
      // Without a budget the error stays what it was.
      assert.deepStrictEqual(errors.map(({ reason }) => reason._tag), Array(4).fill("Overloaded"))
    }))

  it.effect("is spent neither by calls that succeed nor by errors that are fatal", () =>
    Effect.gen(function*() {
      const answers = [
        ...Array<Answer.Answer>(20).fill(Answer.hello),
        ...Array<Answer.Answer>(20).fill(Answer.error(400)),
        Answer.error(529),
        Answer.hello
      ]
      const many = Effect.forEach(Array.from({ length: 41 }), () => Effect.result(Claude.text(request)))
      const played = yield* play(answers, many, { retry: single, retryBudget: { burst: 1, ratio: 0 } })
      assert.strictEqual(valueOf(played).at(-1)?._tag, "Success")
    }))

  it("holds no more than its burst", () => {
    const budget = new RetryBudget({ ratio: 0.5, burst: 2 })
    for (let i = 0; i < 100; i++) budget.deposit()
    assert.deepStrictEqual([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false])
    budget.deposit()
    assert.isFalse(budget.withdraw())
    budget.deposit()
    assert.isTrue(budget.withdraw())
  })
})

describe("options that are none", () => {
  it("throw a RangeError that names the value", () => {
    for (const times of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => RetryPolicy.make({ times }), RangeError, `times is ${times}`)
    }
    for (const initial of [-1, Number.NaN]) assert.throws(() => RetryPolicy.make({ initial }), RangeError, "initial is")
    assert.throws(() => RetryPolicy.make({ max: -5 }), RangeError, "max is")
    assert.throws(() => RetryPolicy.make({ maxRetryAfter: -5 }), RangeError, "maxRetryAfter is")
    assert.throws(
      () => RetryPolicy.fromSchedule(Schedule.recurs(1), { maxRetryAfter: -5 }),
      RangeError,
      "maxRetryAfter is"
    )
  })

  const budgets: ReadonlyArray<readonly [option: string, retryBudget: NonNullable<Options["retryBudget"]>]> = [
    ["retryBudget.ratio", { ratio: -1 }],
    ["retryBudget.ratio", { ratio: Number.NaN }],
    ["retryBudget.burst", { burst: -1 }],
    ["retryBudget.burst", { burst: Number.POSITIVE_INFINITY }]
  ]

  it.effect.each(budgets)(
    "%s is refused by the layer (%#)",
    ([option, retryBudget]) =>
      Effect.map(Effect.flip(play([Answer.hello], text, { retryBudget })), (error) => {
        assert.deepStrictEqual(error.reason, new ClaudeError.Misconfigured({ option }))
      })
  )
})
