import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Redis } from "effect/persistence"
import type { Limit } from "../../src/admission/Stores.ts"
import * as Stores from "../../src/admission/Stores.ts"
import * as RedisLimits from "../../src/redis/RedisLimits.ts"
import { describeRedis, freshPrefix, layer as redis } from "../support/redis.ts"
import { amounts, limitStoreSuite } from "./limitStoreSuite.ts"
import * as memoryLimits from "./memoryLimits.ts"

const one = amounts({ requests: 1 })

limitStoreSuite("a store in memory", memoryLimits.layer)

describeRedis("RedisLimits", () => {
  limitStoreSuite(
    "a store in Redis",
    Layer.effect(Stores.Limits, RedisLimits.make(freshPrefix())).pipe(Layer.provide(redis))
  )

  layer(redis, { excludeTestServices: true })("in Redis", (it) => {
    const prefix = freshPrefix()

    it.effect("keeps a key until its buckets are full, its debts paid and its pauses over, and a minute more", () =>
      Effect.gen(function*() {
        const store = yield* RedisLimits.make(prefix)
        const { send } = yield* Redis.Redis
        const ttl = (key: string) =>
          Effect.map(send<number>("PTTL", `${prefix}limits:${key}`), (millis) => millis / 1000)
        const limits: ReadonlyArray<Limit> = [{ kind: "requests", limit: 10, windowMillis: 600_000 }]
        yield* store.take("kept", limits, [one])
        assert.approximately(yield* ttl("kept"), 60 + 60, 2)
        yield* store.give("kept", limits, amounts({ requests: -19 }))
        assert.approximately(yield* ttl("kept"), 20 * 60 + 60, 2)
        // What others wait for is not forgotten sooner.
        yield* store.give("kept", limits, amounts({ requests: 20 }))
        assert.approximately(yield* ttl("kept"), 20 * 60 + 60, 4)
        yield* store.pause("paused", limits, ["requests"], 300_000)
        assert.approximately(yield* ttl("paused"), 300 + 60, 2)
        // Nothing was taken: nothing is kept.
        yield* store.take("fresh", limits, [])
        yield* store.take("paused", limits, [one])
        assert.isBelow(yield* ttl("fresh"), 0)
      }))

    it.effect("refuses numbers that Redis could not count with, and says which", () =>
      Effect.gen(function*() {
        const store = yield* RedisLimits.make(prefix)
        const limit = (
          limit: number,
          windowMillis = 1000
        ): ReadonlyArray<Limit> => [{ kind: "tokens", limit, windowMillis }]
        const refused = [
          [store.take("bad", limit(0), [one]), /limit of tokens .* got 0/],
          [store.take("bad", limit(NaN), [one]), /limit of tokens .* got NaN/],
          [store.take("bad", limit(1e300), [one]), /limit of tokens .* got 1e\+300/],
          [store.take("bad", limit(1, 0), [one]), /windowMillis of tokens/],
          [store.take("bad", limit(1), [amounts({ tokens: -1 })]), /take: tokens .* got -1/],
          [store.take("bad", limit(1), [one, amounts({ tokens: Infinity })]), /take: tokens .* got Infinity/],
          [store.give("bad", limit(1), amounts({ tokens: NaN })), /give: tokens .* got NaN/],
          [store.pause("bad", limit(1), ["tokens"], -1), /pause: millis .* got -1/]
        ] as const
        for (const [effect, message] of refused) {
          const error = yield* Effect.flip<unknown, Stores.StoreError, never>(effect)
          assert.strictEqual(error._tag, "StoreError")
          assert.match(error.message, message)
        }
        // The largest that it takes come through whole.
        const largest = 2 ** 50
        const huge: ReadonlyArray<Limit> = [{ kind: "tokens", limit: largest, windowMillis: largest }]
        assert.deepStrictEqual(yield* store.take("huge", huge, [amounts({ tokens: largest })]), {
          granted: 1,
          waitMillis: 0
        })
        yield* store.give("huge", huge, amounts({ tokens: -largest }))
        yield* store.pause("huge", huge, ["tokens"], largest)
        assert.isAbove((yield* store.take("huge", huge, [one])).waitMillis, largest / 2)
      }))

    it.effect("tells what Redis refuses without what it was asked", () =>
      Effect.gen(function*() {
        const store = yield* RedisLimits.make(prefix)
        const { send } = yield* Redis.Redis
        yield* send("SET", `${prefix}limits:secret-tenant`, "not a hash")
        const exit = yield* Effect.exit(store.take("secret-tenant", [], [one]))
        assert.isTrue(Exit.isFailure(exit))
        assert.match(String(exit), /StoreError.*Redis did not take of the rate limits: .*WRONGTYPE/)
        assert.notInclude(JSON.stringify(exit) + String(exit), "secret-tenant")
      }))
  })
})
