import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Gate from "../../src/admission/Gate.ts"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import * as Stores from "../../src/admission/Stores.ts"
import * as ClaudeError from "../../src/ClaudeError.ts"
import * as Failure from "../../src/Failure.ts"
import { settle, start } from "../flow/setUp.ts"
import * as memoryLimits from "../redis/memoryLimits.ts"

const store = Effect.provide(Effect.map(Stores.Limits, (store) => store!), memoryLimits.layer)

/** A gate of 1 000 input tokens a minute of which 950 are spent, and how to enter it. */
const make = Effect.fnUntraced(function*(isShared: boolean) {
  const guard = yield* StoreGuard.make({ patience: 250, rest: 1000, onUnavailable: () => Effect.void })
  const gate = yield* Gate.make({
    concurrency: { min: 8, max: 8 },
    queue: 100,
    tenant: () => ({}),
    rates: { limits: { inputTokens: 1000 }, windowMillis: 60_000, learn: true },
    shared: isShared ? { key: "k", store: yield* store, guard } : undefined,
    onLevel: () => {},
    onRates: () => {}
  })
  const enter = (inputTokens: number, priority: "interactive" | "batch", patience = 1e9) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      gate.enter({
        tenant: "a",
        priority,
        need: { inputTokens, outputTokens: 0 },
        deadline: now + patience,
        onQueued: Effect.succeed(0n),
        onLeft: () => Effect.void
      }))
  yield* Effect.scoped(Effect.map(enter(950, "interactive"), (pass) => {
    pass.sent()
    pass.ended({ inputTokens: 950, outputTokens: 0 }, undefined)
  }))
  yield* settle
  return enter
})

describe.each([["local", false], ["shared", true]])("limits that are %s", (_, isShared) => {
  it.effect("let a small interactive call start before a large batch call that waits for them", () =>
    Effect.gen(function*() {
      const enter = yield* make(isShared)
      const large = yield* start(Effect.scoped(enter(1000, "batch")))
      yield* settle
      const small = yield* start(Effect.scoped(enter(10, "interactive")))
      yield* settle
      assert.isDefined(small.pollUnsafe())
      assert.isUndefined(large.pollUnsafe())
      yield* Fiber.interrupt(large)
    }).pipe(Effect.scoped))

  it.effect("turn one away at once whose turn cannot come in time, and let the next one start", () =>
    Effect.gen(function*() {
      const enter = yield* make(isShared)
      const large = yield* start(Effect.exit(Effect.scoped(enter(1000, "interactive", 10_000))))
      yield* settle
      const small = yield* start(Effect.scoped(enter(60, "interactive")))
      for (let second = 0; second < 3; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      assert.isDefined(small.pollUnsafe())
      assert.isDefined(large.pollUnsafe())
    }).pipe(Effect.scoped))
})

it.live("one that could be tried after a refusal, but for the rate, keeps nobody awake", () =>
  Effect.gen(function*() {
    const gate = yield* Gate.make({
      concurrency: { min: 1, max: 2 },
      queue: 10,
      tenant: () => ({}),
      rates: { limits: { requests: 2 }, windowMillis: 1e9, learn: false },
      shared: undefined,
      onLevel: () => {},
      onRates: () => {}
    })
    const enter = gate.enter({
      tenant: "a",
      priority: "interactive",
      need: { inputTokens: 1, outputTokens: 1 },
      deadline: Infinity,
      onQueued: Effect.succeed(0n),
      onLeft: () => Effect.void
    })
    const stream = yield* enter
    stream.sent()
    stream.content(1)
    yield* Effect.scoped(Effect.map(enter, (pass) => {
      pass.sent()
      pass.ended(undefined, Failure.retryable(new ClaudeError.Overloaded({}), "busy", { type: "overloaded_error" }))
    }))
    const waiting = yield* start(Effect.scoped(enter))
    let looks = 0
    const next = gate.turns.next.bind(gate.turns)
    gate.turns.next = (now) => {
      looks++
      return next(now)
    }
    yield* Effect.sleep(1_200)
    assert.isAbove(looks, 0)
    assert.isBelow(looks, 10)
    yield* Fiber.interrupt(waiting)
  }).pipe(Effect.scoped))
