import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Scope, Stream } from "effect"
import { CacheStore, Claude, RetryPolicy } from "effect-claude"
import { Answer, type ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import type { Observed } from "./observe.ts"
import * as SetUp from "./setUp.ts"
import { asked, hi, reason, sent, settle } from "./setUp.ts"

const first = "claude-opus-5-5"
const second = "claude-haiku-4-5"
const fallback = [second]

const setUp = (answers: ScriptedTransport.Answers, options: Parameters<typeof Claude.layerTransport>[0] = {}) =>
  SetUp.setUp(answers, { circuit: false, cache: true, ...options })

const after = (time: Parameters<typeof TestClock.adjust>[0]) => Effect.andThen(TestClock.adjust(time), settle)

/** Starts an effect, and lets it come as far as it can. */
const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.tap(SetUp.start(Effect.exit(effect)), () => settle)

const isFirst = (request: { readonly body: object }) => Reflect.get(request.body, "model") === first

const spans = ({ spans }: Observed) => spans.filter(({ name }) => name.startsWith("chat"))

const outcomes = (observed: Observed) =>
  spans(observed).map(({ attributes }) => [attributes.get("claude.outcome"), attributes.get("claude.cache.outcome")])

describe("the store", () => {
  /** One that takes its time, and says what it holds. */
  const slow = (time: { readonly get: number; readonly set: number }) => {
    const memory = CacheStore.memory()
    const kept: Array<string> = []
    const wait = (millis: number) => millis === 0 ? Effect.void : Effect.sleep(millis)
    const store: CacheStore.CacheStore = {
      // What it looks up is as old as the question.
      get: (key) => Effect.tap(memory.get(key), () => wait(time.get)),
      set: (key, message, ttl) =>
        wait(time.set).pipe(
          Effect.andThen(Effect.suspend(() => memory.set(key, message, ttl))),
          Effect.andThen(Effect.sync(() => void kept.push(key)))
        )
    }
    return { kept, layer: CacheStore.layer(store) }
  }

  it.effect("who asks at once is answered with what is still being written", () => {
    const { layer } = setUp(() => Answer.text("Hello"))
    return Effect.gen(function*() {
      const ask = start(Claude.message(hi))
      yield* Fiber.join(yield* ask)
      const again = yield* Fiber.join(yield* ask)
      assert.isTrue(Exit.isSuccess(again) && again.value.cached)
      assert.strictEqual(yield* Stream.mkString(Claude.streamText(hi)), "Hello")
      assert.strictEqual((yield* sent).length, 1)
      yield* after(100)
    }).pipe(Effect.provide(layer.pipe(Layer.provide(slow({ get: 0, set: 100 }).layer))))
  })

  it.effect("who asks while an answer is on its way takes that, and does not look for it in the store", () => {
    const { layer } = setUp(() => Answer.text("Hello", { delay: "1 second" }))
    return Effect.gen(function*() {
      const first = yield* start(Claude.message(hi))
      yield* after(100)
      yield* after(950)
      const second = yield* start(Claude.message(hi))
      yield* after(50)
      yield* after(100)
      for (const exit of [yield* Fiber.join(first), yield* Fiber.join(second)]) assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer.pipe(Layer.provide(slow({ get: 100, set: 0 }).layer))))
  })

  it.effect("the client's end waits until an answer is written, for as long as a store is waited for", () =>
    Effect.gen(function*() {
      for (const [time, isKept] of [[100, true], [60_000, false]] as const) {
        const store = slow({ get: 0, set: time })
        const scope = yield* Scope.make()
        const layer = setUp(() => Answer.text("Hello")).layer.pipe(Layer.provide(store.layer))
        const client = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
        const call = yield* start(Effect.provide(Claude.message(hi), client))
        yield* after(0)
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(call)))
        const close = yield* start(Scope.close(scope, Exit.void))
        assert.isUndefined(close.pollUnsafe())
        yield* after(isKept ? 100 : 250)
        assert.isDefined(close.pollUnsafe())
        assert.strictEqual(store.kept.length, isKept ? 1 : 0)
      }
    }))

  it.effect("what a caller does to its answer reaches nobody, however late it is written", () => {
    const { layer } = setUp(() => Answer.text("Hello"))
    return Effect.gen(function*() {
      const spoil = Effect.tap(Claude.message(hi), ({ content }) =>
        Effect.sync(() => {
          content[0] = { type: "text", text: "changed", citations: null }
          content.length = 1
        }))
      for (let i = 0; i < 3; i++) {
        const exit = yield* Fiber.join(yield* start(spoil))
        assert.isTrue(Exit.isSuccess(exit))
      }
      yield* after(100)
      const late = yield* start(Claude.text(hi))
      yield* after(0)
      assert.deepStrictEqual(yield* Fiber.join(late), Exit.succeed("Hello"))
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer.pipe(Layer.provide(slow({ get: 0, set: 100 }).layer))))
  })

  const broken: Readonly<Record<string, CacheStore.CacheStore>> = {
    "that gives what is no message": {
      get: () => Effect.succeed({ type: "message" } as never),
      set: () => Effect.die("no")
    },
    "that hangs": { get: () => Effect.never, set: () => Effect.never },
    "that cannot be interrupted": {
      get: () => Effect.uninterruptible(Effect.never),
      set: () => Effect.uninterruptible(Effect.never)
    },
    "that interrupts itself": { get: () => Effect.interrupt, set: () => Effect.interrupt },
    "that throws": {
      get: () => {
        throw new Error("broken")
      },
      set: () => {
        throw new Error("broken")
      }
    }
  }
  for (const [name, store] of Object.entries(broken)) {
    it.effect(`one ${name} fails no call, holds none up for longer than its patience, and ends with its client`, () => {
      const { layer } = setUp(() => Answer.text("Hello"))
      return Effect.gen(function*() {
        const scope = yield* Scope.make()
        const client = yield* Layer.buildWithScope(layer.pipe(Layer.provide(CacheStore.layer(store))), scope)
        const call = yield* start(Effect.provide(Claude.text(hi), client))
        yield* after(250)
        assert.deepStrictEqual(call.pollUnsafe(), Exit.succeed(Exit.succeed("Hello")))
        const close = yield* start(Scope.close(scope, Exit.void))
        yield* after(250)
        assert.isDefined(close.pollUnsafe())
      })
    })
  }

  it.effect("a hit as a stream is the hit as a message, block for block", () => {
    const content = [
      { type: "thinking", thinking: "hm", signature: "s" },
      { type: "redacted_thinking", data: "x" },
      {
        type: "text",
        text: "a",
        citations: [{
          type: "char_location",
          cited_text: "x",
          document_index: 0,
          document_title: null,
          start_char_index: 0,
          end_char_index: 1,
          file_id: null
        }]
      },
      { type: "text", text: "", citations: null },
      { type: "server_tool_use", id: "s", name: "web_search", input: { query: "q" }, caller: { type: "direct" } },
      {
        type: "web_search_tool_result",
        tool_use_id: "s",
        content: [{ type: "web_search_result", url: "u", title: "t", encrypted_content: "e", page_age: null }],
        caller: { type: "direct" }
      },
      { type: "mcp_tool_use", id: "m", name: "n", server_name: "sv", input: { a: [1, { b: "\u00e9\ud800" }] } },
      {
        type: "tool_use",
        id: "t",
        name: "f",
        input: { a: 1.5, "1": [], "__proto__x": null },
        caller: { type: "direct" }
      }
    ]
    const message = {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "claude-opus-5-5",
      content,
      stop_reason: "tool_use",
      stop_sequence: null,
      stop_details: null,
      container: null,
      usage: { input_tokens: 5, output_tokens: 7, service_tier: "standard" },
      of_2031: { new: true }
    }
    const { layer } = setUp(() => Answer.message(message as never))
    return Effect.gen(function*() {
      const fresh = yield* Claude.message(hi)
      const hit = yield* Claude.message(hi)
      const streamed = yield* Claude.collect(Claude.stream(hi))
      assert.isTrue(hit.cached && streamed.cached)
      const plain = ({ attempts: _a, billed: _b, cached: _c, cost: _d, requestId: _e, ...message }: Claude.Message) =>
        message
      assert.deepStrictEqual(plain(hit), plain(fresh))
      assert.deepStrictEqual(plain(streamed), plain(hit))
    }).pipe(Effect.provide(layer))
  })
})

describe("what another target answered", () => {
  for (const way of ["message", "stream"] as const) {
    it.effect(`as a ${way} is not kept for those who ask the first`, () => {
      let isUp = false
      const { layer } = setUp((request) =>
        isFirst(request) ? isUp ? Answer.text("first") : Answer.error(529) : Answer.text("second")
      )
      return Effect.gen(function*() {
        const ask = way === "message" ? Claude.text(hi) : Stream.mkString(Claude.streamText(hi))
        assert.strictEqual(yield* ask.pipe(Claude.withPolicy({ fallback })), "second")
        isUp = true
        assert.strictEqual(yield* Claude.text(hi), "first")
        // And that one is kept for all.
        assert.strictEqual(yield* ask.pipe(Claude.withPolicy({ fallback })), "first")
        assert.strictEqual((yield* sent).length, 3)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("goes to twins who would have gone on to the same, and to no others", () => {
    const { layer } = setUp((request) =>
      isFirst(request) ? Answer.delay("1 second", Answer.error(529)) : Answer.text("second")
    )
    return Effect.gen(function*() {
      const leader = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ fallback })))
      const same = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ fallback: [...fallback] })))
      const other = yield* start(Claude.text(hi))
      yield* after("1 second")
      assert.deepStrictEqual(yield* Fiber.join(leader), Exit.succeed("second"))
      assert.deepStrictEqual(yield* Fiber.join(same), Exit.succeed("second"))
      yield* after("1 second")
      const exit = yield* Fiber.join(other)
      assert.strictEqual(Exit.isFailure(exit) && reason(yield* Effect.flip(exit)), "Overloaded")
      assert.deepStrictEqual(yield* asked, [first, second, first])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a refusal goes to no twin who would have asked another model then", () => {
    const { layer } = setUp((request) =>
      isFirst(request)
        ? Answer.delay("1 second", Answer.content([], { stopReason: "refusal" }))
        : Answer.text("second")
    )
    return Effect.gen(function*() {
      const leader = yield* start(Claude.message(hi))
      const twin = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ fallback, onRefusal: "fallback" })))
      yield* after("1 second")
      yield* after("1 second")
      const refused = yield* Fiber.join(leader)
      assert.strictEqual(Exit.isSuccess(refused) && refused.value.stop_reason, "refusal")
      assert.deepStrictEqual(yield* Fiber.join(twin), Exit.succeed("second"))
    }).pipe(Effect.provide(layer))
  })
})

describe("twins", () => {
  it.effect("one with retries does not fail with a leader that has none, and answers the others", () => {
    const { layer, observed } = setUp((_, i) =>
      i === 0 ? Answer.delay("1 second", Answer.error(500)) : Answer.text("Hello", { delay: "1 second" })
    )
    return Effect.gen(function*() {
      const leader = yield* start(Claude.text(hi))
      const retry = RetryPolicy.make({ times: 3 })
      const twin = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ retry })))
      const third = yield* start(Claude.text(hi))
      yield* after("1 second")
      yield* after("1 second")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(leader)))
      assert.deepStrictEqual(yield* Fiber.join(twin), Exit.succeed("Hello"))
      assert.deepStrictEqual(yield* Fiber.join(third), Exit.succeed("Hello"))
      assert.strictEqual((yield* sent).length, 2)
      // One span for each call, also where it had waited for another's first.
      assert.deepStrictEqual(outcomes(observed), [
        ["error", undefined],
        ["success", undefined],
        ["success", "shared"]
      ])
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.provide(layer))
  })

  it.effect("one with a fallback does not fail with a leader that has none", () => {
    const { layer } = setUp((request) =>
      isFirst(request) ? Answer.delay("1 second", Answer.error(529)) : Answer.text("second")
    )
    return Effect.gen(function*() {
      const leader = yield* start(Claude.text(hi))
      const twin = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ fallback })))
      yield* after("1 second")
      yield* after("1 second")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(leader)))
      assert.deepStrictEqual(yield* Fiber.join(twin), Exit.succeed("second"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("one that came late has a total of its own, which its wait is a part of", () => {
    const { layer } = setUp(() => Answer.text("Hello", { delay: "15 seconds" }), { timeouts: { total: "10 seconds" } })
    return Effect.gen(function*() {
      const leader = yield* start(Claude.text(hi))
      yield* after("9 seconds")
      const twin = yield* start(Claude.text(hi))
      yield* after("1 second")
      assert.isDefined(leader.pollUnsafe())
      yield* after(8_999)
      assert.isUndefined(twin.pollUnsafe())
      yield* after(1)
      for (const exit of [yield* Fiber.join(leader), yield* Fiber.join(twin)]) {
        assert.strictEqual(Exit.isFailure(exit) && reason(yield* Effect.flip(exit)), "DeadlineExceeded")
      }
      assert.strictEqual((yield* sent).length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("one waits no longer than its own total for a leader that has more", () => {
    const { layer, observed } = setUp(() => Answer.text("Hello", { delay: "15 seconds" }))
    return Effect.gen(function*() {
      const leader = yield* start(Claude.text(hi))
      const twin = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ timeouts: { total: "10 seconds" } })))
      yield* after("10 seconds")
      const exit = yield* Fiber.join(twin)
      assert.strictEqual(Exit.isFailure(exit) && reason(yield* Effect.flip(exit)), "DeadlineExceeded")
      yield* after("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(leader), Exit.succeed("Hello"))
      assert.strictEqual((yield* sent).length, 1)
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.provide(layer))
  })

  it.effect("a tenant is not told of another's budget", () => {
    const { layer } = setUp(
      (_, i) =>
        i === 0
          ? Answer.delay("1 second", Answer.error(529))
          : Answer.text("ok", { usage: { input_tokens: 500, output_tokens: 90 } }),
      {
        responseCache: { shared: true },
        retry: RetryPolicy.make({ times: 2, initial: "10 seconds", max: "10 seconds" }),
        budget: [{ tokens: 650, window: "1 day", per: "tenant" }]
      }
    )
    return Effect.gen(function*() {
      const one = Claude.withPolicy({ tenant: "one" })
      const leader = yield* start(Claude.text(hi).pipe(one))
      yield* after("1 second")
      yield* Claude.text({ prompt: "other" }).pipe(one)
      const twin = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ tenant: "two" })))
      for (let i = 0; i < 15; i++) yield* after("1 second")
      const exit = yield* Fiber.join(leader)
      assert.strictEqual(Exit.isFailure(exit) && reason(yield* Effect.flip(exit)), "BudgetExceeded")
      assert.deepStrictEqual(yield* Fiber.join(twin), Exit.succeed("ok"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a call goes on when its leader leaves, also one that had waited first; then the report alone has its cost", () => {
    const { layer, observed } = setUp((_, i) =>
      i === 0
        ? Answer.delay("1 second", Answer.error(500))
        : Answer.text("Hello", { delay: "1 second", usage: { input_tokens: 1000, output_tokens: 100 } })
    )
    return Effect.gen(function*() {
      yield* start(Claude.message(hi))
      const second = yield* start(Claude.message(hi))
      const third = yield* start(Claude.message(hi))
      yield* after("1 second")
      yield* Fiber.interrupt(second)
      yield* after("1 second")
      const exit = yield* Fiber.join(third)
      if (Exit.isFailure(exit)) return assert.fail("the third failed")
      assert.deepStrictEqual([exit.value.cached, exit.value.cost?.amount], [true, 0])
      const rows = yield* Stream.runCollect(Claude.usage)
      assert.isAbove(rows[0]!.cost, 0)
      assert.deepStrictEqual(outcomes(observed), [
        ["error", undefined],
        ["success", undefined],
        ["success", "shared"]
      ])
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.provide(layer))
  })

  it.effect("the end of the client fails all of them, and says why", () =>
    Effect.gen(function*() {
      const { layer, observed } = setUp(() => Answer.text("Hello", { delay: "1 minute" }))
      const scope = yield* Scope.make()
      const client = yield* Layer.buildWithScope(layer, scope)
      const ask = start(Effect.provide(Claude.message(hi), client))
      const calls = [yield* ask, yield* ask, yield* ask]
      yield* Scope.close(scope, Exit.void)
      yield* settle
      for (const call of [...calls, yield* ask]) {
        const error = yield* Effect.flip(yield* Fiber.join(call))
        assert.include(error.message, "This client is closed")
      }
      assert.deepStrictEqual(observed.gauges(), {})
      assert.isTrue(spans(observed).every(({ status }) => status._tag === "Ended"))
    }))
})

describe("around it", () => {
  it.effect("answers of the cache bring no retries", () => {
    let isUp = true
    const { layer } = setUp(() => isUp ? Answer.text("Hello") : Answer.error(500), {
      retry: RetryPolicy.make({ times: 4, initial: "1 millis", max: "1 millis" }),
      retryBudget: { ratio: 0.2, burst: 10 }
    })
    return Effect.gen(function*() {
      yield* Claude.text(hi)
      isUp = false
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 20; i++) yield* Claude.text(hi)
        const failing = yield* start(Claude.text({ prompt: `p${round}` }))
        for (let i = 0; i < 6; i++) yield* after("5 millis")
        yield* Fiber.join(failing)
      }
      // The burst, and a fifth of a retry for each that was sent.
      assert.isAtMost((yield* sent).length, 1 + 20 + 10 + 20 * 0.2 + 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an object that does not fit is asked for anew, and what fits then is kept", () => {
    const { layer } = setUp((_, i) => Answer.json({ n: i === 0 ? "x" : 1 }), { repair: 0 })
    return Effect.gen(function*() {
      const ask = Claude.object(Schema.Struct({ n: Schema.Int }), hi)
      assert.strictEqual(reason(yield* Effect.flip(ask)), "SchemaMismatch")
      assert.deepStrictEqual(yield* ask, { n: 1 })
      assert.deepStrictEqual(yield* ask, { n: 1 })
      assert.strictEqual((yield* sent).length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an object that never fits is asked for once more each time, and not for ever", () => {
    const { layer } = setUp(() => Answer.json({ n: "x" }), { repair: 1 })
    return Effect.gen(function*() {
      const ask = Effect.flip(Claude.object(Schema.Struct({ n: Schema.Int }), hi))
      for (const requests of [2, 4, 6]) {
        assert.strictEqual(reason(yield* ask), "SchemaMismatch")
        assert.strictEqual((yield* sent).length, requests)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("an object that was repaired is repaired again at no cost", () => {
    const { layer } = setUp((_, i) => Answer.json({ n: i === 0 ? "x" : 1 }), { repair: 1 })
    return Effect.gen(function*() {
      const ask = Claude.object(Schema.Struct({ n: Schema.Int }), hi)
      assert.deepStrictEqual([yield* ask, yield* ask], [{ n: 1 }, { n: 1 }])
      assert.strictEqual((yield* sent).length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("options that it does not know are refused when the client is made", () =>
    Effect.gen(function*() {
      for (const responseCache of [null, 5, { maxbytes: 5 }]) {
        // What JavaScript may hand over.
        const { layer } = setUp(() => Answer.hello, { responseCache: responseCache as never })
        const error = yield* Effect.flip(Effect.provide(Claude.text(hi), layer))
        assert.strictEqual(reason(error), "Misconfigured")
        assert.include(error.message, "responseCache")
      }
    }))
})
