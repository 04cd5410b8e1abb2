import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Schema } from "effect"
import { KeyValueStore, Persistence, Redis } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
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
  /** How many values are kept. */
  readonly count: Effect.Effect<number>
}>()("test/Backing") {}

const storeOf = Effect.map(CacheStore.Store, (store) => store ?? assert.fail("no store is set"))

/** Keys that no other test uses: a store lives as long as its suite. */
let keys = 0
const freshKey = () => `${(++keys).toString(16).padStart(64, "0")}`

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
            { type: "tool_use", id: "t", name: "n", input: { [text]: [1, null, { deep: text }] }, caller: { type: "direct" } },
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
        const odd = ["", "{", whole.slice(0, -5), "null", "5", "\"a\"", "[]", "{}", "[[1],null]", "{\"type\":\"message\"}"]
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

/** The memory cannot be written past its store: what is odd there is set as if it were none. */
suite(
  "memory",
  Layer.unwrap(Effect.sync(() => {
    const store = CacheStore.memory()
    const write = (key: string, _text: string) => Effect.orDie(store.set(key, message("gone"), 0))
    return Layer.merge(CacheStore.layer(store), Layer.succeed(Backing, { write, pass: byTestClock, count: Effect.succeed(0) }))
  }))
)
