import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, References, Schedule, Schema } from "effect"
import { KeyValueStore, Persistence, Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { randomUUID } from "node:crypto"
import { setTimeout } from "node:timers/promises"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as PersistedCacheStore from "../../src/cache/PersistedCacheStore.ts"
import * as RedisServer from "../support/redis.ts"
import { message } from "./messages.ts"
import * as Postgres from "./postgres.ts"

const hour = 3_600_000

/** What the suite does to a store from outside. */
class Backing extends Context.Service<Backing, {
  /** Puts a text where a key's value is kept. */
  readonly write: (key: string, text: string) => Effect.Effect<void>
  /** Lets time pass, as the store sees it. */
  readonly pass: (millis: number) => Effect.Effect<void>
}>()("test/Backing") {}

const storeOf = Effect.map(CacheStore.Store, (store) => store ?? assert.fail("no store is set"))

/** A key that no other test uses, nor another run on the same Redis. */
const freshKey = () => randomUUID()

const suite = (name: string, stores: Layer.Layer<Backing, never, never>) =>
  layer(stores, { timeout: 30_000 })(name, (it) => {
    it.effect("has nothing under a key that was never set", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        assert.isUndefined(yield* store.get(freshKey()))
      }))

    it.effect("gives back what was set, each key its own, and the latest", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const [a, b] = [freshKey(), freshKey()]
        yield* store.set(a, message("a"), hour)
        yield* store.set(b, message("b"), hour)
        assert.deepStrictEqual(yield* store.get(a), message("a"))
        assert.deepStrictEqual(yield* store.get(b), message("b"))
        yield* store.set(a, message("c"), hour)
        assert.deepStrictEqual(yield* store.get(a), message("c"))
      }))

    it.effect("keeps every character, and blocks of every kind", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const text = "é e\u0301 漢字 🙂 \u0000 \" \\ \n \u2028 ' $1 :x ?"
        const kept = message(text, {
          stop_reason: "tool_use",
          content: [
            { type: "text", text, citations: [] },
            {
              type: "tool_use",
              id: "t",
              name: "n",
              input: { [text]: [1, null, { deep: text }] },
              caller: { type: "direct" }
            },
            { type: "of_2031", what: [text] } as never
          ]
        })
        const key = freshKey()
        yield* store.set(key, kept, hour)
        assert.deepStrictEqual(yield* store.get(key), kept)
      }))

    it.effect("keeps a message of a megabyte", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const key = freshKey()
        yield* store.set(key, message("x".repeat(1_000_000)), hour)
        assert.deepStrictEqual(yield* store.get(key), message("x".repeat(1_000_000)))
      }))

    it.effect("forgets a message when its time is over, and no other", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const { pass } = yield* Backing
        const [short, long, endless] = [freshKey(), freshKey(), freshKey()]
        yield* store.set(short, message("a"), 50.5)
        yield* store.set(long, message("b"), hour)
        yield* store.set(endless, message("c"), Infinity)
        yield* pass(60)
        assert.isUndefined(yield* store.get(short))
        assert.isDefined(yield* store.get(long))
        assert.isDefined(yield* store.get(endless))
        yield* store.set(short, message("d"), hour)
        assert.deepStrictEqual(yield* store.get(short), message("d"))
      }))

    it.effect("gives each caller a message of its own", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const key = freshKey()
        const set = message("a")
        yield* store.set(key, set, hour)
        set.content.length = 0
        const first = yield* store.get(key)
        first!.content.length = 0
        Object.assign(first!, { requestId: "mine" })
        assert.deepStrictEqual(yield* store.get(key), message("a"))
      }))

    it.effect("takes what is no message for none, and writes over it", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const { write } = yield* Backing
        const whole = JSON.stringify(message("a"))
        const odd = [
          "",
          "{",
          whole.slice(0, -5),
          "null",
          "5",
          "\"a\"",
          "[]",
          "{}",
          "[[1],null]",
          "{\"type\":\"message\"}"
        ]
        for (const text of odd) {
          const key = freshKey()
          yield* store.set(key, message("b"), hour)
          yield* write(key, text)
          assert.isUndefined(yield* store.get(key), text)
          yield* store.set(key, message("c"), hour)
          assert.deepStrictEqual(yield* store.get(key), message("c"), text)
        }
      }))

    it.effect("serves many at once", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const kept = Array.from({ length: 50 }, (_, n) => [freshKey(), message(String(n))] as const)
        yield* Effect.forEach(kept, ([key, message]) => store.set(key, message, hour), { concurrency: 20 })
        const found = yield* Effect.forEach(kept, ([key]) => store.get(key), { concurrency: 20 })
        assert.deepStrictEqual(found, kept.map(([, message]) => message))
      }))
  })

// -----------------------------------------------------------------------------
// the backings
// -----------------------------------------------------------------------------

const byTestClock = (millis: number) => Effect.asVoid(TestClock.adjust(millis))

/** The name under which a store keeps a key. */
const named = (key: string) => `effect_claude_cache_v1:${key}`

suite(
  "memory",
  Layer.unwrap(Effect.sync(() => {
    const store = CacheStore.memory()
    // Nobody writes past it: what would be odd is gone.
    const write = (key: string) => Effect.orDie(store.set(key, message("gone"), 0))
    return Layer.merge(CacheStore.layer(store), Layer.succeed(Backing, { write, pass: byTestClock }))
  }))
)

const backingKeyValueStore = Layer.effect(
  Backing,
  Effect.map(KeyValueStore.KeyValueStore, (store) => ({
    write: (key, text) => Effect.orDie(store.set(named(key), text)),
    pass: byTestClock
  }))
)

const files = Layer.unwrap(
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return KeyValueStore.layerFileSystem(yield* fs.makeTempDirectoryScoped())
  })
).pipe(Layer.provide(NodeServices.layer), Layer.orDie)

suite(
  "files",
  Layer.merge(PersistedCacheStore.layerKeyValueStore, backingKeyValueStore).pipe(Layer.provide(Layer.fresh(files)))
)

const backingSql = Layer.effect(
  Backing,
  Effect.map(SqlClient.SqlClient, (sql) => ({
    write: (key, text) =>
      Effect.asVoid(Effect.orDie(sql`UPDATE effect_persistence SET value = ${text} WHERE id = ${key}`)),
    pass: byTestClock
  }))
)

suite("SQL", Layer.merge(PersistedCacheStore.layerSql, backingSql).pipe(Layer.provide(Postgres.layer)))

const backingRedis = Layer.effect(
  Backing,
  Effect.map(Redis.Redis, ({ send }) => ({
    write: (key, text) => Effect.asVoid(Effect.orDie(send("SET", named(key), text))),
    // Redis has a clock of its own.
    pass: (millis) => Effect.promise(() => setTimeout(millis))
  }))
)

RedisServer.describeRedis("CacheStore", () => {
  const ofRedis = Layer.merge(PersistedCacheStore.layerRedis, backingRedis)
  suite("Redis", ofRedis.pipe(Layer.provide(RedisServer.layer)))

  layer(RedisServer.layer)("in Redis", (it) => {
    it.effect("leaves nothing there for longer than it is kept", () =>
      Effect.gen(function*() {
        const store = yield* storeOf
        const { send } = yield* Redis.Redis
        const [hours, ever] = [freshKey(), freshKey()]
        yield* store.set(hours, message("a"), hour)
        yield* store.set(ever, message("a"), Infinity)
        const left = yield* send<number>("PTTL", named(hours))
        assert.isTrue(left > 0 && left <= hour)
        assert.strictEqual(yield* send<number>("PTTL", named(ever)), -1)
      }).pipe(Effect.provide(PersistedCacheStore.layerRedis)))
  })
})

RedisServer.describeRedis("a Redis that goes away", () => {
  it.live("fails what is asked of it, and serves again when it is back", () =>
    Effect.gen(function*() {
      const server = yield* RedisServer.startServer()
      yield* Effect.gen(function*() {
        const store = yield* storeOf
        yield* store.set("k", message("a"), hour)
        yield* server.kill
        assert.strictEqual((yield* Effect.flip(store.get("k")))._tag, "PersistenceError")
        assert.strictEqual((yield* Effect.flip(store.set("k", message("b"), hour)))._tag, "PersistenceError")
        yield* server.restart
        const again = Effect.retry(store.get("k"), { schedule: Schedule.spaced(20) })
        assert.isUndefined(yield* again)
        yield* store.set("k", message("c"), hour)
        assert.deepStrictEqual(yield* store.get("k"), message("c"))
      }).pipe(Effect.provide(PersistedCacheStore.layerRedis.pipe(Layer.provide(RedisServer.client(server.url)))))
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
}, "own")

// -----------------------------------------------------------------------------
// what one of them has of its own
// -----------------------------------------------------------------------------

describe("memory", () => {
  const sizeOf = (key: string, text: string) => key.length + JSON.stringify(message(text)).length
  const held = (store: CacheStore.CacheStore, keys: ReadonlyArray<string>) =>
    Effect.filter(keys, (key) => Effect.map(store.get(key), (message) => message !== undefined))

  it.effect("holds so many messages, and lets go of what was used least recently", () =>
    Effect.gen(function*() {
      const store = CacheStore.memory({ capacity: 3 })
      for (const key of ["a", "b", "c"]) yield* store.set(key, message(key), hour)
      yield* store.get("a")
      yield* store.set("b", message("again"), hour)
      yield* store.set("d", message("d"), hour)
      assert.deepStrictEqual(yield* held(store, ["a", "b", "c", "d"]), ["a", "b", "d"])
    }))

  it.effect("holds so many bytes, counts what is replaced once, and what has expired no more", () =>
    Effect.gen(function*() {
      const size = sizeOf("a", "x".repeat(100))
      const store = CacheStore.memory({ maxBytes: 3 * size })
      const set = (key: string, length = 100, ttl = hour) => store.set(key, message("x".repeat(length)), ttl)
      for (const key of ["a", "b", "c", "c", "c"]) yield* set(key)
      assert.deepStrictEqual(yield* held(store, ["a", "b", "c"]), ["a", "b", "c"])
      yield* set("d", 101)
      assert.deepStrictEqual(yield* held(store, ["a", "b", "c", "d"]), ["c", "d"])
      yield* set("d", 100, 10)
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* held(store, ["d"]), [])
      for (const key of ["e", "f"]) yield* set(key)
      assert.deepStrictEqual(yield* held(store, ["c", "e", "f"]), ["c", "e", "f"])
    }))

  it.effect("does not keep what alone is too large, nor what it replaces, and lets go of nothing for it", () =>
    Effect.gen(function*() {
      const store = CacheStore.memory({ maxBytes: 3 * sizeOf("a", "") })
      yield* store.set("a", message(""), hour)
      yield* store.set("b", message(""), hour)
      yield* store.set("b", message("x".repeat(10_000)), hour)
      assert.deepStrictEqual(yield* held(store, ["a", "b"]), ["a"])
    }))

  const Step = Schema.Struct({
    key: Schema.Literals(["a", "b", "c", "d", "e"]),
    length: Schema.Literals([0, 1, 10, 300, 900]),
    ttl: Schema.Literals([0, 1, 5, hour]),
    pass: Schema.Literals([0, 0, 1, 3]),
    reads: Schema.Boolean
  })
  it.effect.prop(
    "does what the plainest model of it does",
    [
      Schema.Array(Step).check(Schema.isMaxLength(40)),
      Schema.Literals([1, 2, 3, 10]),
      Schema.Literals([500, 1_500, 1e9])
    ],
    ([steps, capacity, maxBytes]) =>
      Effect.gen(function*() {
        const store = CacheStore.memory({ capacity, maxBytes })
        let now = 0
        // Least recently used first.
        let model: Array<{ key: string; text: string; until: number }> = []
        for (const { key, length, pass, reads, ttl } of steps) {
          yield* TestClock.adjust(pass)
          now += pass
          const known = model.find((entry) => entry.key === key)
          if (reads) {
            const found = yield* store.get(key)
            const expected = known !== undefined && known.until > now ? known : undefined
            assert.deepStrictEqual(found, expected === undefined ? undefined : message(expected.text))
            model = model.filter((entry) => entry !== known)
            if (expected !== undefined) model.push(expected)
            continue
          }
          const text = "x".repeat(length)
          yield* store.set(key, message(text), ttl)
          model = model.filter((entry) => entry !== known)
          if (sizeOf(key, text) > maxBytes) continue
          model.push({ key, text, until: now + ttl })
          const bytes = () => model.reduce((sum, { key, text }) => sum + sizeOf(key, text), 0)
          while (model.length > capacity || bytes() > maxBytes) model.shift()
        }
      })
  )

  it.effect("fails for what is no JSON", () =>
    Effect.gen(function*() {
      const store = CacheStore.memory()
      const error = yield* Effect.flip(store.set("a", message("a", { id: 1n as never }), hour))
      assert.strictEqual(error._tag, "CacheStoreError")
      assert.isUndefined(yield* store.get("a"))
    }))

  it("refuses what is no size, by name", () => {
    for (const value of [0, -1, 1.5, Number.NaN, Infinity, "5" as never]) {
      assert.throws(() => CacheStore.memory({ capacity: value }), RangeError, `CacheStore.memory: capacity is ${value}`)
      assert.throws(() => CacheStore.memory({ maxBytes: value }), RangeError, `CacheStore.memory: maxBytes is ${value}`)
    }
  })
})

describe("isMessage", () => {
  it("takes what has the parts of a message, and nothing that lacks one", () => {
    assert.isTrue(CacheStore.isMessage(message("a")))
    assert.isTrue(CacheStore.isMessage({ ...message("a"), of_2031: true, stop_reason: "of_2031" }))
    const odd = [
      ...[null, undefined, 5, "a", [], {}, [message("a")]],
      { ...message("a"), type: "error" },
      { ...message("a"), role: "user" },
      { ...message("a"), id: 5 },
      { ...message("a"), model: null },
      { ...message("a"), stop_reason: null },
      { ...message("a"), usage: null },
      { ...message("a"), content: "a" },
      { ...message("a"), content: { length: 1 } },
      { ...message("a"), content: [null] },
      { ...message("a"), content: [{ text: "a" }] }
    ]
    for (const value of odd) assert.isFalse(CacheStore.isMessage(value), JSON.stringify(value))
  })
})

describe("Store", () => {
  it.effect("is nothing by default, and what a layer sets", () =>
    Effect.gen(function*() {
      assert.isUndefined(yield* CacheStore.Store)
      const store = CacheStore.memory()
      assert.strictEqual(yield* Effect.provide(storeOf, CacheStore.layer(store)), store)
      assert.isDefined(yield* Effect.provide(storeOf, CacheStore.layerMemory({ capacity: 5 })))
    }))

  it.effect("takes any backing of persistence", () =>
    Effect.gen(function*() {
      const store = yield* storeOf
      yield* store.set("k", message("a"), hour)
      assert.deepStrictEqual(yield* store.get("k"), message("a"))
    }).pipe(Effect.provide(PersistedCacheStore.layer.pipe(Layer.provide(Persistence.layerBackingMemory)))))
})
