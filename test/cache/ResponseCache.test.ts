import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as ResponseCache from "../../src/cache/ResponseCache.ts"
import { message } from "./messages.ts"

const hour = 3_600_000

/** A cache over a store, asked as a client asks it; what the guard tells of the store is kept. */
const guarded = Effect.fnUntraced(function*(store: CacheStore.CacheStore) {
  const told: Array<string | undefined> = []
  const { ask } = yield* StoreGuard.make({
    patience: 250,
    rest: 1_000,
    onUnavailable: (error) => Effect.sync(() => void told.push(error?._tag))
  })
  return { told, ...ResponseCache.make({ store, ttlMillis: hour, ask }) }
})

/** A memory that counts what it is asked, and answers as it is told. */
const scripted = () => {
  const memory = CacheStore.memory()
  const seen = { gets: 0, sets: 0, answer: undefined as Effect.Effect<never, CacheStore.StoreError> | undefined }
  const store: CacheStore.CacheStore = {
    get: (key) => {
      seen.gets++
      return seen.answer ?? memory.get(key)
    },
    set: (key, message, ttl) => {
      seen.sets++
      return seen.answer ?? memory.set(key, message, ttl)
    }
  }
  return { seen, store }
}

const unavailable: CacheStore.StoreError = { _tag: "Gone", message: "no server" }

describe("make", () => {
  it.effect("gives an answer again for as long as it is kept", () =>
    Effect.gen(function*() {
      const cache = yield* guarded(CacheStore.memory())
      assert.isUndefined(yield* cache.lookup("k"))
      yield* cache.store("k", message("a"))
      yield* TestClock.adjust(hour - 1)
      assert.deepStrictEqual(yield* cache.lookup("k"), message("a"))
      yield* TestClock.adjust(1)
      assert.isUndefined(yield* cache.lookup("k"))
      assert.deepStrictEqual(cache.told, [])
    }))

  it.effect("keeps no answer that is not whole, and asks no store to", () =>
    Effect.gen(function*() {
      const { seen, store } = scripted()
      const cache = yield* guarded(store)
      yield* cache.store("k", message("a", { stop_reason: "max_tokens" }))
      assert.strictEqual(seen.sets, 0)
    }))

  it.effect("gives no answer that is not whole, whoever has kept it", () =>
    Effect.gen(function*() {
      const store = CacheStore.memory()
      const cache = yield* guarded(store)
      yield* store.set("k", message("a", { stop_reason: "refusal" }), hour)
      assert.isUndefined(yield* cache.lookup("k"))
      yield* store.set("k", { hello: "world" } as never, hour)
      assert.isUndefined(yield* cache.lookup("k"))
    }))

  it.effect("goes on without a store that fails, and leaves it alone for a while", () =>
    Effect.gen(function*() {
      const { seen, store } = scripted()
      const cache = yield* guarded(store)
      yield* cache.store("k", message("a"))
      seen.answer = Effect.fail(unavailable)
      assert.isUndefined(yield* cache.lookup("k"))
      assert.isUndefined(yield* cache.lookup("k"))
      yield* cache.store("k", message("b"))
      assert.deepStrictEqual([seen.gets, seen.sets, cache.told], [1, 1, ["Gone"]])
      yield* TestClock.adjust("1 second")
      yield* cache.store("k", message("b"))
      assert.deepStrictEqual([seen.gets, seen.sets, cache.told], [1, 2, ["Gone", "Gone"]])
      yield* TestClock.adjust("1 second")
      seen.answer = undefined
      assert.deepStrictEqual(yield* cache.lookup("k"), message("a"))
    }))

  it.effect("waits for a store that hangs no longer than its patience", () =>
    Effect.gen(function*() {
      const { seen, store } = scripted()
      const cache = yield* guarded(store)
      seen.answer = Effect.never
      const lookup = yield* Effect.forkChild(cache.lookup("k"))
      yield* TestClock.adjust(249)
      assert.isUndefined(lookup.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.isUndefined(yield* Fiber.join(lookup))
      assert.deepStrictEqual(cache.told, [undefined])
    }))

  it.effect("takes what breaks in a store for its failure", () =>
    Effect.gen(function*() {
      const throws = (): never => {
        throw new Error("broken")
      }
      for (const answer of [Effect.die(new Error("broken")), Effect.suspend((): Effect.Effect<never> => throws())]) {
        const { seen, store } = scripted()
        seen.answer = answer
        const cache = yield* guarded(store)
        assert.isUndefined(yield* cache.lookup("k"))
        assert.deepStrictEqual(cache.told, ["Defect"])
        yield* TestClock.adjust("1 second")
        yield* cache.store("k", message("a"))
        assert.strictEqual(cache.told.length, 2)
      }
      const cache = yield* guarded({ get: throws, set: throws })
      assert.isUndefined(yield* cache.lookup("k"))
      assert.deepStrictEqual(cache.told, ["Defect"])
    }))

  it.effect("waits no longer for a store that cannot be interrupted", () =>
    Effect.gen(function*() {
      const { seen, store } = scripted()
      const cache = yield* guarded(store)
      seen.answer = Effect.uninterruptible(Effect.never)
      const lookup = yield* Effect.forkChild(cache.lookup("k"))
      const given = yield* Effect.forkChild(cache.lookup("k"))
      yield* TestClock.adjust(100)
      yield* Fiber.interrupt(given)
      yield* TestClock.adjust(150)
      assert.isUndefined(yield* Fiber.join(lookup))
      assert.deepStrictEqual(cache.told, [undefined])
    }))

  it.effect("takes a store that interrupts itself for one that fails", () =>
    Effect.gen(function*() {
      const { seen, store } = scripted()
      const cache = yield* guarded(store)
      seen.answer = Effect.interrupt
      assert.isUndefined(yield* cache.lookup("k"))
      yield* TestClock.adjust("1 second")
      yield* cache.store("k", message("a"))
      assert.deepStrictEqual(cache.told, ["Defect", "Defect"])
    }))

  it.effect("is left by a caller who is interrupted", () =>
    Effect.gen(function*() {
      const { seen, store } = scripted()
      const cache = yield* guarded(store)
      seen.answer = Effect.never
      const lookup = yield* Effect.forkChild(cache.lookup("k"))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(lookup)
      assert.deepStrictEqual(cache.told, [])
    }))
})

describe("isCacheable", () => {
  const use = { type: "tool_use" as const, id: "t", name: "n", input: {}, caller: { type: "direct" as const } }

  it("takes what ended by itself, at a stop sequence, or with a tool call", () => {
    assert.isTrue(ResponseCache.isCacheable(message("a")))
    assert.isTrue(ResponseCache.isCacheable(message("a", { stop_reason: "stop_sequence", stop_sequence: "x" })))
    assert.isTrue(ResponseCache.isCacheable(message("a", { stop_reason: "tool_use", content: [use] })))
  })

  it("takes nothing that was cut, refused, paused, or ended in a way that it does not know", () => {
    const others = [
      "max_tokens",
      "model_context_window_exceeded",
      "refusal",
      "pause_turn",
      "compaction",
      "of_2031",
      "",
      null
    ]
    for (const reason of others) {
      assert.isFalse(ResponseCache.isCacheable(message("a", { stop_reason: reason as never })), String(reason))
    }
  })

  it("takes nothing that is empty, or that points at a container", () => {
    assert.isFalse(ResponseCache.isCacheable(message("a", { content: [] })))
    const container = { id: "c", expires_at: "2026-01-01T00:00:00Z", skills: null }
    assert.isFalse(ResponseCache.isCacheable(message("a", { container })))
  })
})

describe("isSelfContained", () => {
  it("is so where the server holds nothing that the answer depends on", () => {
    assert.isTrue(ResponseCache.isSelfContained({ model: "m", messages: [], container: null, thread: undefined }))
    assert.isFalse(ResponseCache.isSelfContained({ model: "m", container: "container_1" }))
    assert.isFalse(ResponseCache.isSelfContained({ model: "m", thread: { type: "create" } }))
  })
})

describe("resolve", () => {
  it("has a default for each option", () => {
    const defaults = { ttlMillis: hour, capacity: 1_000, maxBytes: 67_108_864, shared: false }
    assert.deepStrictEqual(ResponseCache.resolve(), defaults)
    assert.deepStrictEqual(ResponseCache.resolve({ ttl: undefined, shared: undefined }), defaults)
    assert.deepStrictEqual(ResponseCache.resolve({ ttl: "2 minutes", capacity: 5, maxBytes: 10, shared: true }), {
      ttlMillis: 120_000,
      capacity: 5,
      maxBytes: 10,
      shared: true
    })
    assert.deepInclude(ResponseCache.resolve({ ttl: Infinity }), { ttlMillis: Infinity })
  })

  it("refuses what it does not know, and what is no record of options, by name", () => {
    const refused: ReadonlyArray<readonly [unknown, string, string]> = [
      [{ ttl: "1 hour", maxbytes: 5 }, "responseCache.maxbytes", "is no option; expected one of ttl, capacity"],
      [null, "responseCache", "responseCache is null; expected an object of ttl, capacity, maxBytes, shared."],
      [5, "responseCache", "responseCache is 5; expected"],
      ["1 hour", "responseCache", "responseCache is 1 hour; expected"],
      [true, "responseCache", "responseCache is true; expected"]
    ]
    for (const [options, option, expected] of refused) {
      // What JavaScript may hand over.
      const error = ResponseCache.resolve(options as ResponseCache.CacheOptions)
      if (!("_tag" in error)) assert.fail(`${String(options)} was taken`)
      assert.deepInclude(error.reason, { _tag: "Misconfigured", option })
      assert.include(error.message, expected)
    }
  })

  const wrong: ReadonlyArray<readonly [keyof ResponseCache.CacheOptions, ReadonlyArray<unknown>]> = [
    ["ttl", [0, -1, Number.NaN, "0 seconds", "soon", "", {}, true, null, []]],
    ["capacity", [0, -1, 1.5, Number.NaN, Infinity, "5", null]],
    ["maxBytes", [0, -1, 1.5, Number.NaN, Infinity, "5"]],
    ["shared", ["yes", 1, null, "tenants"]]
  ]
  for (const [field, values] of wrong) {
    it(`refuses what ${field} cannot be, by name and value`, () => {
      for (const value of values) {
        const refused = ResponseCache.resolve({ [field]: value })
        if (!("_tag" in refused)) assert.fail(`${field}: ${String(value)} was taken`)
        assert.deepInclude(refused.reason, { _tag: "Misconfigured", option: `responseCache.${field}` })
        assert.include(refused.message, `responseCache.${field} is ${String(value)}; expected `)
      }
    })
  }
})
