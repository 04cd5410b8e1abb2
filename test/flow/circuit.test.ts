import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { CircuitBreaker } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as Stores from "../../src/admission/Stores.ts"
import { hi, loaded, reason, sent, settle, setUp, start } from "./setUp.ts"

const small = { circuit: { minimumCalls: 3, size: 4, openDuration: "5 seconds" } } as const

const fail = (times: number) =>
  Effect.repeat(Effect.andThen(Effect.flip(Claude.message(hi)), loaded), { times: times - 1 })

describe("a server that answers 529 to everybody", () => {
  it.effect.each([[8], [{ min: 8, max: 64 }], [undefined]] as const)(
    "opens the circuit, however many others are on their way (concurrency %o)",
    ([concurrency]) => {
      const { layer } = setUp(() => Answer.delay("100 millis", Answer.error(529)), { concurrency })
      return Effect.gen(function*() {
        let turnedAway = 0
        const caller = Effect.flip(Claude.message(hi)).pipe(
          Effect.andThen((error) => {
            if (reason(error) === "CircuitOpen") turnedAway++
            return Effect.sleep(error.retryAfter ?? 1)
          }),
          Effect.forever
        )
        const callers = yield* Effect.all(Array.from({ length: 32 }, () => start(caller)))
        for (let i = 0; i < 10; i++) {
          yield* TestClock.adjust("100 millis")
          yield* loaded
        }
        yield* TestClock.adjust("1 minute")
        yield* Fiber.interruptAll(callers)
        assert.isAbove(turnedAway, 0)
        assert.isBelow((yield* sent).length, 200)
      }).pipe(Effect.provide(layer))
    }
  )
})

describe("a probe", () => {
  it.effect("that is answered 529 opens the circuit again, whatever was served before", () => {
    let answer = Answer.text("up")
    const { layer } = setUp(() => answer, small)
    return Effect.gen(function*() {
      yield* Effect.repeat(Claude.message(hi), { times: 19 })
      answer = Answer.error(500)
      yield* fail(4)
      yield* TestClock.adjust("5 seconds")
      answer = Answer.error(529)
      const before = (yield* sent).length
      yield* Effect.repeat(Effect.flip(Claude.message(hi)), { times: 9 })
      assert.strictEqual((yield* sent).length - before, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect.each([400, 429] as const)("that is answered %i shows that the server is up", (status) => {
    let answer = Answer.error(503)
    const { layer } = setUp(() => answer, small)
    return Effect.gen(function*() {
      yield* fail(3)
      yield* TestClock.adjust("5 seconds")
      answer = Answer.error(status)
      yield* Effect.flip(Claude.message(hi))
      answer = Answer.text("up", { delay: "1 second" })
      const calls = yield* Effect.forEach([1, 2, 3], () => start(Effect.exit(Claude.message(hi))))
      yield* TestClock.adjust("2 seconds")
      const exits = yield* Effect.forEach(calls, Fiber.join)
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, true])
    }).pipe(Effect.provide(layer))
  })

  it.effect("that is interrupted leaves its place to the next, and a stream's good beginning is enough", () => {
    let answer = Answer.error(500)
    const { layer } = setUp(() => answer, small)
    return Effect.gen(function*() {
      yield* fail(3)
      answer = Answer.text("a b c d e f", { delay: "1 second", pace: "10 seconds" })
      yield* TestClock.adjust("5 seconds")
      const probe = yield* start(Stream.runDrain(Claude.stream(hi)))
      yield* settle
      assert.strictEqual(reason(yield* Effect.flip(Claude.message(hi))), "CircuitOpen")
      yield* Fiber.interrupt(probe)
      const next = yield* start(Stream.runDrain(Claude.stream(hi)))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      const other = yield* start(Effect.exit(Claude.message(hi)))
      yield* settle
      // It is on its way, and not turned away.
      assert.isUndefined(other.pollUnsafe())
      assert.strictEqual((yield* sent).length, 6)
      yield* Fiber.interruptAll([next, other])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is made by one of the clients that share a circuit, and all go on when it was answered", () => {
    let answer = Answer.error(503)
    return Effect.gen(function*() {
      const store = yield* CircuitBreaker.CircuitBreakerStore
      const client = Effect.suspend(() =>
        Layer.build(
          Layer.fresh(setUp(() => answer, small).layer.pipe(Layer.provide(Layer.succeed(Stores.Circuits, store))))
        )
      )
      const [one, other] = [yield* client, yield* client]
      yield* Effect.repeat(Effect.flip(Effect.provide(Claude.text(hi), one)), { times: 2 })
      assert.strictEqual(reason(yield* Effect.flip(Effect.provide(Claude.text(hi), other))), "CircuitOpen")
      answer = Answer.text("up", { delay: "1 second" })
      yield* TestClock.adjust("5 seconds")
      const probe = yield* start(Effect.provide(Claude.text(hi), one))
      yield* settle
      assert.strictEqual(reason(yield* Effect.flip(Effect.provide(Claude.text(hi), other))), "CircuitOpen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(probe), "up")
      const next = yield* start(Effect.provide(Claude.text(hi), other))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), "up")
    }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()), Effect.scoped)
  })
})

it.effect("a circuit turns nobody away for longer than it may when the clock is set back", () => {
  let answer = Answer.error(500)
  const { layer } = setUp(() => answer, small)
  return Effect.gen(function*() {
    yield* TestClock.adjust("2 hours")
    yield* fail(3)
    answer = Answer.text("up")
    yield* TestClock.setTime(3_600_000)
    assert.strictEqual(yield* Claude.text(hi), "up")
  }).pipe(Effect.provide(layer))
})

describe("beside long streams", () => {
  const long = Answer.text(Array.from({ length: 30 }, (_, n) => `word${n}`).join(" "), { pace: "10 seconds" })

  it.effect("the retry of a 529 does not wait until they end", () => {
    const { layer } = setUp((_, n) => n === 0 ? long : n === 1 ? Answer.error(529) : Answer.text("ok"), {
      retry: RetryPolicy.standard
    })
    return Effect.gen(function*() {
      const stream = yield* start(Stream.runDrain(Claude.stream(hi)))
      yield* TestClock.adjust("20 seconds")
      const other = yield* start(Claude.text(hi))
      for (let second = 0; second < 10; second++) {
        yield* settle
        yield* TestClock.adjust("1 second")
      }
      assert.isUndefined(stream.pollUnsafe())
      assert.isDefined(other.pollUnsafe())
      yield* Fiber.interruptAll([stream, other])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a circuit opens all the same where all that comes is refused", () => {
    const { layer } = setUp((_, n) => n < 5 ? long : Answer.error(529), { concurrency: 64 })
    return Effect.gen(function*() {
      const streams = yield* Effect.forEach([1, 2, 3, 4, 5], () => start(Stream.runDrain(Claude.stream(hi))))
      yield* TestClock.adjust("20 seconds")
      const reasons: Array<string> = []
      for (let n = 0; n < 60; n++) {
        reasons.push(reason(yield* Effect.flip(Claude.text(hi))))
        if (n === 0) yield* loaded
      }
      assert.strictEqual(reasons.at(-1), "CircuitOpen")
      yield* Fiber.interruptAll(streams)
    }).pipe(Effect.provide(layer))
  })
})
