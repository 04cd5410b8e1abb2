import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Redis } from "effect/persistence"
import type { UsageRow } from "../../src/admission/Stores.ts"
import * as UsageReport from "../../src/admission/UsageReport.ts"
import * as RedisUsage from "../../src/redis/RedisUsage.ts"
import { describeRedis, freshPrefix, layer as redis } from "../support/redis.ts"
import { row, usageStoreSuite } from "./usageStoreSuite.ts"

usageStoreSuite("usage in memory", () => Effect.sync(() => UsageReport.makeMemory()), Layer.empty)

describeRedis("RedisUsage", () => {
  usageStoreSuite("usage in Redis", () => RedisUsage.make(freshPrefix()), redis)

  layer(redis, { excludeTestServices: true })("in Redis", (it) => {
    it.effect("adds up what several processes report, by day, tenant and model", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const [one, other] = [yield* RedisUsage.make(prefix), yield* RedisUsage.make(prefix)]
        assert.deepStrictEqual(yield* Stream.runCollect(one.rows), [])
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, n) => n),
          (n) => (n % 2 === 0 ? one : other).add(row({ cacheReadTokens: n, cacheWriteTokens: 1 })),
          { concurrency: "unbounded", discard: true }
        )
        yield* one.add(row({ tenant: "", requests: 0, inputTokens: 0, outputTokens: 0, cost: 0, unpriced: 1 }))
        yield* other.add(row({ tenant: "", model: "claude-haiku-5" }))
        yield* other.add(row({ day: "2025-12-31", cost: 0.1 + 0.2 }))
        yield* other.add(row({ day: "2026-11-03", tenant: `odd "name",\n{x} é`, model: "a b" }))
        assert.deepStrictEqual(yield* Stream.runCollect(one.rows), [
          row({ day: "2025-12-31", cost: 0.3 }),
          row({ day: "2026-11-03", tenant: `odd "name",\n{x} é`, model: "a b" }),
          row({ tenant: "", model: "claude-haiku-5" }),
          row({ tenant: "", requests: 0, inputTokens: 0, outputTokens: 0, cost: 0, unpriced: 1 }),
          row({
            requests: 100,
            inputTokens: 1000,
            cacheReadTokens: 4950,
            cacheWriteTokens: 100,
            outputTokens: 500,
            // Exact: a sum of a hundred fractions would not be.
            cost: 0.0175
          })
        ])
      }))

    it.effect("keeps a day for 400 days, and forgets the days that are gone", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const store = yield* RedisUsage.make(prefix)
        const { send } = yield* Redis.Redis
        yield* store.add(row())
        yield* store.add(row({ day: "2026-11-22" }))
        for (const key of ["2026-11-21", "days"]) {
          const days = (yield* send<number>("PTTL", `${prefix}{usage}:${key}`)) / 86_400_000
          assert.approximately(days, 400, 0.01)
        }
        yield* send("DEL", `${prefix}{usage}:2026-11-21`)
        assert.deepStrictEqual(yield* Stream.runCollect(store.rows), [row({ day: "2026-11-22" })])
        assert.deepStrictEqual(yield* send("ZRANGE", `${prefix}{usage}:days`, "0", "-1"), ["2026-11-22"])
      }))

    it.effect("passes over what a newer version counts", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const store = yield* RedisUsage.make(prefix)
        const { send } = yield* Redis.Redis
        yield* store.add(row())
        yield* send("HINCRBY", `${prefix}{usage}:2026-11-21`, `seconds ["acme","claude-opus-5-5"]`, "7")
        yield* send("HINCRBY", `${prefix}{usage}:2026-11-21`, "version", "2")
        assert.deepStrictEqual(yield* Stream.runCollect(store.rows), [row()])
      }))

    it.effect("refuses what cannot be counted, before anything is", () =>
      Effect.gen(function*() {
        const store = yield* RedisUsage.make(freshPrefix())
        const bad: ReadonlyArray<Partial<UsageRow>> = [
          { day: "yesterday" },
          { inputTokens: 0.5 },
          { outputTokens: NaN },
          { cost: NaN },
          { cost: 1e300 }
        ]
        for (const some of bad) {
          const error = yield* Effect.flip(store.add(row(some)))
          assert.strictEqual(error._tag, "StoreError")
          assert.strictEqual(error.refused, true)
          assert.include(error.message, Object.keys(some)[0]!)
        }
        assert.deepStrictEqual(yield* Stream.runCollect(store.rows), [])
      }))
  })
})
