import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Stream } from "effect"
import { Claude, ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import { errorOf, layer, type Options, play, valueOf } from "./scripted.ts"

const request = { prompt: "Hi" }
const once: Options = { retry: RetryPolicy.none }
const text = Claude.text(request)
const stream = Stream.runCollect(Claude.streamText(request))

const words = (count: number) => Array(count).fill("w").join(" ")

/** Twenty words, one each second. */
const paced = Answer.text(words(20), { pace: "1 second" })

const calls = [["message", text], ["stream", stream]] as const

describe.each(calls)("of a %s", (_, call: Effect.Effect<unknown, ClaudeError.ClaudeError, Claude.Claude>) => {
  const phases: ReadonlyArray<
    readonly [phase: ClaudeError.TimedOut["phase"], answer: Answer.Answer, timeouts: Options["timeouts"], at: number]
  > = [
    ["headers", Answer.stall("beforeHeaders"), { headers: "5 seconds" }, 5_000],
    ["headers", Answer.stall("beforeHeaders"), {}, 30_000],
    ["firstContent", Answer.pings("1 second"), { firstContent: "5 seconds" }, 5_000],
    ["firstContent", Answer.pings("1 second"), {}, 120_000],
    ["firstContent", Answer.delay("4 seconds", Answer.pings("1 second")), { firstContent: "5 seconds" }, 5_000],
    ["firstContent", Answer.stall("beforeHeaders"), { headers: "1 minute", firstContent: "5 seconds" }, 5_000],
    ["idle", Answer.stall("afterHeaders"), { idle: "5 seconds" }, 5_000],
    ["idle", Answer.stall("midStream"), {}, 30_000],
    ["idle", Answer.delay("3 seconds", Answer.stall("midStream")), { idle: "5 seconds" }, 8_000],
    ["idle", Answer.stall({ afterEvents: 4 }, paced), { idle: "5 seconds" }, 6_000],
    ["idle", paced, { idle: "999 millis" }, 999]
  ]

  it.effect.each(phases)("%s fires when it is due (%#)", ([phase, answer, timeouts, at]) =>
    Effect.gen(function*() {
      const played = yield* play([answer], call, { ...once, timeouts })
      const error = errorOf(played)
      assert.deepStrictEqual(error.reason, new ClaudeError.TimedOut({ phase }))
      assert.deepStrictEqual([error.retryHere, error.mayFailOver, error.attempts], [true, true, 1])
      assert.strictEqual(played.end, at)
      // The connection goes with it.
      assert.deepStrictEqual(played.closedAt, [at])
      assert.include(error.message, `timeouts.${phase}`)
    }))

  const inTime: ReadonlyArray<readonly [what: string, answer: Answer.Answer, timeouts: Options["timeouts"]]> = [
    ["headers", Answer.delay("4999 millis", Answer.hello), { headers: "5 seconds" }],
    ["first content", Answer.text("a b", { firstContent: "4999 millis" }), {
      firstContent: "5 seconds",
      idle: "5 seconds"
    }],
    ["each byte", paced, { idle: "1001 millis" }],
    ["all of it, past the times of its beginning", paced, { headers: "1 second", firstContent: "1 second" }]
  ]

  it.effect.each(inTime)(
    "%s just in time passes",
    ([_, answer, timeouts]) =>
      Effect.map(play([answer], call, { ...once, timeouts }), (played) => {
        assert.isDefined(valueOf(played))
        assert.deepStrictEqual(played.closedAt, [undefined])
      })
  )

  it.effect("a timed-out attempt is made again, with times of its own", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.stall("beforeHeaders"), Answer.delay("4 seconds", Answer.hello)], call, {
        timeouts: { headers: "5 seconds" },
        retry: RetryPolicy.make({ initial: "1 second" })
      })
      assert.isDefined(valueOf(played))
      assert.isAtLeast(played.at[1] ?? 0, 5_800)
    }))
})

describe("pings", () => {
  it.effect("keep idle from firing, before and after content", () =>
    Effect.gen(function*() {
      const timeouts = { idle: "2 seconds", firstContent: "10 seconds", total: "1 minute" } as const
      const before = yield* play([Answer.pings("1 second", "afterHeaders")], text, { ...once, timeouts })
      assert.deepStrictEqual(errorOf(before).reason, new ClaudeError.TimedOut({ phase: "firstContent" }))
      const after = yield* play([Answer.pings("1 second", "midStream")], text, { ...once, timeouts })
      assert.strictEqual(errorOf(after).reason._tag, "DeadlineExceeded")
      assert.strictEqual(after.end, 60_000)
    }))

  it.effect("that come too seldom do not", () =>
    Effect.map(play([Answer.pings("3 seconds")], text, { ...once, timeouts: { idle: "2 seconds" } }), (played) => {
      assert.deepStrictEqual(errorOf(played).reason, new ClaudeError.TimedOut({ phase: "idle" }))
    }))
})

describe("a consumer that takes its time", () => {
  it.effect("trips no timeout", () =>
    Effect.gen(function*() {
      const slow = Claude.streamText(request).pipe(
        Stream.tap(() => Effect.sleep("5 minutes")),
        Stream.runCollect
      )
      const played = yield* play([paced], slow, {
        ...once,
        timeouts: { headers: "2 seconds", firstContent: "2 seconds", idle: "2 seconds", total: "3 seconds" }
      })
      assert.strictEqual(valueOf(played).length, 20)
      assert.isAtLeast(played.end, 20 * 5 * 60_000)
    }))

  it.effect("finds a silence that began while it was away", () =>
    Effect.gen(function*() {
      let seen = 0
      const slow = Stream.runForEach(Claude.streamText(request), () => {
        seen++
        return Effect.sleep("1 minute")
      })
      const played = yield* play([Answer.stall({ afterEvents: 3 }, paced)], slow, {
        ...once,
        timeouts: { idle: "2 seconds" }
      })
      assert.deepStrictEqual(errorOf(played).reason, new ClaudeError.TimedOut({ phase: "idle" }))
      assert.deepStrictEqual([seen, played.end], [1, 62_000])
    }))
})

describe("total", () => {
  it.effect("ends a message wherever it is, with what had arrived", () =>
    Effect.gen(function*() {
      const played = yield* play([paced], text, { timeouts: { total: "9500 millis" } })
      const error = errorOf(played)
      assert.deepStrictEqual([error._tag, error.reason._tag, error.retryHere], [
        "ClaudeFatalError",
        "DeadlineExceeded",
        false
      ])
      assert.deepStrictEqual([played.end, played.closedAt], [9_500, [9_500]])
      const block = error.partial?.content[0]
      assert.strictEqual(block?.type === "text" && block.text.trim(), words(10))
      assert.isAbove(error.usage?.input_tokens ?? 0, 0)
    }))

  it.effect("bounds a stream only until its first content", () =>
    Effect.gen(function*() {
      const late = yield* play([Answer.pings("1 second")], stream, { ...once, timeouts: { total: "5 seconds" } })
      assert.strictEqual(errorOf(late).reason._tag, "DeadlineExceeded")
      assert.strictEqual(late.end, 5_000)
      const begun = yield* play([paced], stream, { ...once, timeouts: { total: "5 seconds" } })
      assert.strictEqual(valueOf(begun).length, 20)
      assert.strictEqual(begun.end, 19_000)
    }))

  it.effect("includes the waits between attempts", () =>
    Effect.gen(function*() {
      const played = yield* play([Answer.error(529), Answer.stall("beforeHeaders")], text, {
        timeouts: { total: "10 seconds" },
        retry: RetryPolicy.make({ initial: "4 seconds" })
      })
      assert.strictEqual(errorOf(played).reason._tag, "DeadlineExceeded")
      assert.deepStrictEqual([played.end, errorOf(played).attempts], [10_000, 2])
    }))

  it.effect("is told before any other that is due at the same time", () =>
    Effect.gen(function*() {
      const timeouts = { headers: "5 seconds", firstContent: "5 seconds", total: "5 seconds" } as const
      for (const call of [Effect.asVoid(text), Effect.asVoid(stream)]) {
        const played = yield* play([Answer.stall("beforeHeaders")], call, { ...once, timeouts })
        assert.strictEqual(errorOf(played).reason._tag, "DeadlineExceeded")
      }
    }))

  it.effect.each([[4_096, 10], [21_333, 10], [64_000, 30], [128_000, 60]])(
    "is by default right for %d tokens",
    ([max_tokens, minutes]) =>
      Effect.map(
        play([Answer.pings("10 seconds")], Claude.text({ ...request, max_tokens: max_tokens as number }), {
          ...once,
          timeouts: { firstContent: "3 hours" }
        }),
        (played) => {
          assert.strictEqual(errorOf(played).reason._tag, "DeadlineExceeded")
          assert.strictEqual(played.end, (minutes as number) * 60_000)
        }
      )
  )

  it.effect("ends the wait for a permit, and sends nothing", () =>
    Effect.gen(function*() {
      const holder = yield* Effect.forkChild(Claude.text(request))
      yield* TestClock.adjust("1 second")
      const start = yield* Clock.currentTimeMillis
      const waiter = yield* Effect.forkChild(
        Effect.flip(Claude.text(request).pipe(Claude.withPolicy({ timeouts: { total: "5 seconds" } })))
      )
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(waiter.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(waiter)
      assert.deepStrictEqual([error.reason._tag, error.attempts], ["DeadlineExceeded", 0])
      assert.strictEqual(yield* Clock.currentTimeMillis, start + 5_000)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(holder)
      assert.strictEqual((yield* (yield* ScriptedTransport.ScriptedTransport).sent).length, 1)
    }).pipe(Effect.provide(layer([paced], { concurrency: 1 }))))
})

describe("wire json", () => {
  const short = { headers: "1 second", firstContent: "1 second", idle: "1 second" } as const

  it.effect("knows only the total", () =>
    Effect.gen(function*() {
      const options: Options = { ...once, wire: "json", timeouts: { ...short, total: "20 seconds" } }
      const slow = yield* play([Answer.delay("19 seconds", Answer.text("ok"))], text, options)
      assert.strictEqual(valueOf(slow), "ok")
      const halting = yield* play([Answer.drip(Answer.text("ok"), { bytes: 100, every: "3 seconds" })], text, options)
      assert.strictEqual(valueOf(halting), "ok")
      for (const answer of [Answer.stall("beforeHeaders"), Answer.stall("afterHeaders"), Answer.stall("midStream")]) {
        const never = yield* play([answer], text, options)
        assert.strictEqual(errorOf(never).reason._tag, "DeadlineExceeded")
        assert.deepStrictEqual([never.end, never.closedAt], [20_000, [20_000]])
      }
    }))
})

describe("a timeout that is none", () => {
  const values: ReadonlyArray<readonly [what: string, value: unknown]> = [
    ["NaN", Number.NaN],
    ["zero", 0],
    ["zero seconds", "0 seconds"],
    ["a negative number", -1],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["words", "a while"]
  ]

  it.effect.each(values)(
    "%s is refused by the layer and by withPolicy, by its name",
    ([_, value]) =>
      Effect.gen(function*() {
        for (const key of ["headers", "firstContent", "idle", "total"]) {
          // What a program without types may hand in.
          const timeouts = { [key]: value } as NonNullable<Options["timeouts"]>
          const policy = yield* play([Answer.hello], text.pipe(Claude.withPolicy({ timeouts })))
          assert.deepStrictEqual(policy.at, [])
          const made = yield* Effect.flip(play([Answer.hello], text, { timeouts }))
          for (const error of [errorOf(policy), made]) {
            assert.deepStrictEqual(error.reason, new ClaudeError.Misconfigured({ option: `timeouts.${key}` }))
            assert.include(error.message, String(value))
          }
        }
      })
  )

  it.effect("a name that is no timeout is refused, and says which there are", () =>
    Effect.gen(function*() {
      const timeouts = { connect: "1 second", idle: "1 second" } as const
      const error = yield* Effect.flip(play([Answer.hello], text, { timeouts }))
      assert.deepStrictEqual(error.reason, new ClaudeError.Misconfigured({ option: "timeouts.connect" }))
      for (const name of ["headers", "firstContent", "idle", "total"]) assert.include(error.message, name)
    }))
})
