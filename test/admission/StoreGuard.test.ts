import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import type { StoreError } from "../../src/admission/Stores.ts"

const PATIENCE = 250
const REST = 1_000

const down: StoreError = { _tag: "Down", message: "it is down" }

const make = Effect.gen(function*() {
  const unavailable: Array<StoreError | undefined> = []
  const guard = yield* StoreGuard.make({
    patience: PATIENCE,
    rest: REST,
    onUnavailable: (error) => Effect.sync(() => void unavailable.push(error))
  })
  return { guard, unavailable }
})

describe("a store", () => {
  it.effect("answers for itself where it can", () =>
    Effect.gen(function*() {
      const { guard, unavailable } = yield* make
      assert.strictEqual(yield* guard.ask(Effect.succeed("store"), Effect.succeed("local")), "store")
      assert.isFalse(guard.isResting())
      assert.lengthOf(unavailable, 0)
    }))

  it.effect("that fails is answered for, told of, and left alone for a while", () =>
    Effect.gen(function*() {
      const { guard, unavailable } = yield* make
      assert.strictEqual(yield* guard.ask(Effect.fail(down), Effect.succeed("local")), "local")
      assert.deepStrictEqual(unavailable, [down])
      assert.isTrue(guard.isResting())
      yield* TestClock.adjust(REST - 1)
      assert.strictEqual(yield* guard.ask(Effect.die("asked all the same"), Effect.succeed("local")), "local")
      yield* TestClock.adjust(1)
      assert.isFalse(guard.isResting())
      assert.strictEqual(yield* guard.ask(Effect.succeed("store"), Effect.succeed("local")), "store")
      assert.lengthOf(unavailable, 1)
    }))

  it.effect("that hangs costs no more than its patience, and is asked no longer", () =>
    Effect.gen(function*() {
      const { guard, unavailable } = yield* make
      const interrupted = yield* Deferred.make<void>()
      const question = Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      const asked = yield* Effect.forkChild(guard.ask(question, Effect.succeed("local")), { startImmediately: true })
      yield* TestClock.adjust(PATIENCE - 1)
      assert.isUndefined(asked.pollUnsafe())
      assert.isFalse(guard.isResting())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(asked), "local")
      yield* Deferred.await(interrupted)
      assert.deepStrictEqual(unavailable, [undefined])
      assert.isTrue(guard.isResting())
    }))

  it.effect("that breaks is answered for like one that fails", () =>
    Effect.gen(function*() {
      const { guard, unavailable } = yield* make
      assert.strictEqual(yield* guard.ask(Effect.die(new Error("a bug")), Effect.succeed("local")), "local")
      assert.deepStrictEqual(unavailable, [{ _tag: "Defect", message: "Error: a bug" }])
      assert.isTrue(guard.isResting())
    }))

  it.effect("is not blamed for who gives up asking", () =>
    Effect.gen(function*() {
      const { guard, unavailable } = yield* make
      const asked = yield* Effect.forkChild(guard.ask(Effect.never, Effect.void), { startImmediately: true })
      yield* Fiber.interrupt(asked)
      assert.isFalse(guard.isResting())
      assert.lengthOf(unavailable, 0)
    }))

  const Step = Schema.Struct({
    outcome: Schema.Literals(["answers", "fails", "hangs"]),
    pause: Schema.Literals([0, 1, 300, 750, 999, 1_000, 5_000])
  })

  it.effect.prop(
    "is asked exactly when it does not rest, and every question is answered within its patience",
    { steps: Schema.Array(Step).check(Schema.isMaxLength(25)) },
    ({ steps }) =>
      Effect.gen(function*() {
        const { guard, unavailable } = yield* make
        let [now, restsUntil, failures, asked, expected] = [0, 0, 0, 0, 0]
        for (const { outcome, pause } of steps) {
          const rests = now < restsUntil
          assert.strictEqual(guard.isResting(), rests)
          const question = Effect.suspend((): Effect.Effect<string, StoreError> => {
            asked++
            return outcome === "answers"
              ? Effect.succeed("store")
              : outcome === "fails"
              ? Effect.fail(down)
              : Effect.never
          })
          const fiber = yield* Effect.forkChild(guard.ask(question, Effect.succeed("local")), {
            startImmediately: true
          })
          if (!rests) {
            expected++
            if (outcome === "hangs") {
              yield* TestClock.adjust(PATIENCE)
              now += PATIENCE
            }
            if (outcome !== "answers") {
              failures++
              restsUntil = now + REST
            }
          }
          assert.strictEqual(yield* Fiber.join(fiber), rests || outcome !== "answers" ? "local" : "store")
          yield* TestClock.adjust(pause)
          now += pause
        }
        assert.strictEqual(asked, expected)
        assert.lengthOf(unavailable, failures)
      }).pipe(Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 60, size: 60, seed: "guard" } }
  )
})
