import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Redis } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as BudgetStore from "../../src/admission/BudgetStore.ts"
import * as Stores from "../../src/admission/Stores.ts"
import * as RedisBudgets from "../../src/redis/RedisBudgets.ts"
import { describeRedis, freshPrefix, layer as redis } from "../support/redis.ts"
import { budgetStoreSuite, entry } from "./budgetStoreSuite.ts"

budgetStoreSuite("budgets in memory", Layer.sync(Stores.Budgets, () => BudgetStore.makeMemory()))

describeRedis("RedisBudgets", () => {
  budgetStoreSuite(
    "budgets in Redis",
    Layer.effect(Stores.Budgets, RedisBudgets.make(freshPrefix())).pipe(Layer.provide(redis))
  )

  layer(redis)("in Redis", (it) => {
    const prefix = freshPrefix()
    const day = 86_400_000

    it.effect("keeps a window for a day after its end by the caller's clock, so that late calls are settled", () =>
      Effect.gen(function*() {
        // The clock is a test's, near 1970: what Redis's own clock says of the window's end does not matter.
        const store = yield* RedisBudgets.make(prefix)
        const { send } = yield* Redis.Redis
        const ttl = Effect.map(send<number>("PTTL", `${prefix}{budgets}:kept`), (millis) => Math.round(millis / 10_000))
        yield* store.reserve([entry("kept", 1, 10, day)])
        assert.strictEqual(yield* ttl, Math.round((2 * day) / 10_000))
        yield* TestClock.adjust(1.5 * day)
        yield* store.settle([entry("kept", 1, 10, day)])
        assert.strictEqual(yield* ttl, Math.round(day / 10_000))
        assert.deepStrictEqual(yield* store.settle([entry("kept", 0, 10, Infinity)]), [2])
        assert.isAbove(yield* ttl, (36_000 * day) / 10_000)
      }))

    it.effect("keeps the id of a question for two minutes, under a key that is no budget's", () =>
      Effect.gen(function*() {
        const store = yield* RedisBudgets.make(prefix)
        const { send } = yield* Redis.Redis
        yield* store.reserve([entry("with", 1)], "id")
        yield* store.reserve([entry("with", 1_000)], "refused")
        yield* store.settle([entry("with", 1)], "other")
        for (const id of ["id", "refused", "other"]) {
          assert.approximately(yield* send<number>("PTTL", `${prefix}{budgets}#${id}`), 120_000, 10_000)
        }
        // After that it is new.
        yield* send("DEL", `${prefix}{budgets}#other`)
        assert.deepStrictEqual(yield* store.settle([entry("with", 1)], "other"), [3])
      }))

    it.effect("refuses what cannot be counted, before anything is", () =>
      Effect.gen(function*() {
        const store = yield* RedisBudgets.make(prefix)
        for (const amount of [0.5, NaN, Infinity, 1e300]) {
          const wanted = [entry("good", 1), entry("bad", amount)]
          const error = yield* Effect.flip(store.reserve(wanted))
          assert.strictEqual(error._tag, "StoreError")
          assert.strictEqual(error.refused, true)
          assert.match(error.message, /reserve: amount of entry 1 must be a whole number/)
          yield* Effect.flip(store.settle(wanted))
        }
        yield* Effect.flip(store.reserve([entry("bad", 1, NaN)]))
        yield* Effect.flip(store.reserve([entry("bad", 1, 1, NaN)]))
        assert.deepStrictEqual(yield* store.reserve([entry("good", 1, Infinity)]), { _tag: "Reserved", spent: [1] })
      }))
  })
})
