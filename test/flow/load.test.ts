import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Redacted, Scope, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { observe, quiet, tell, unended } from "./observe.ts"

const defaults = { model: "claude-opus-5-5", max_tokens: 100 }

const layerOf = (url: string, options: Partial<Claude.Options> = {}) =>
  Claude.layer({ apiKey: Redacted.make("sk-test"), baseURL: url, defaults, ...options })

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

const numberOf = (body: unknown) =>
  Number((body as { messages: ReadonlyArray<{ content: string }> }).messages[0]!.content)

describe("turns", () => {
  it.effect("1 000 calls at once are sent in the order in which they came", () => {
    const layer = Claude.layerTransport({ defaults, concurrency: 64 }).pipe(
      Layer.provideMerge(
        ScriptedTransport.layer((_request, index) =>
          Answer.text("a b c", { delay: 100 + 37 * (index % 11), pace: 10 * (index % 3) })
        )
      )
    )
    return Effect.gen(function*() {
      const fibers = yield* Effect.forEach(numbers(1_000), (n) =>
        Effect.forkChild(
          n % 2 === 0
            ? Claude.text({ prompt: String(n) })
            : Stream.mkString(Claude.streamText({ prompt: String(n) }))
        ))
      yield* TestClock.adjust("1 minute")
      for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "a b c")
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      assert.deepStrictEqual((yield* sent).map(({ body }) => numberOf(body)), numbers(1_000))
    }).pipe(Effect.provide(layer))
  })

  it.effect("those who leave the queue, or whose deadline passes there, change nothing of the others' order", () => {
    const layer = Claude.layerTransport({ defaults, concurrency: 4 }).pipe(
      Layer.provideMerge(ScriptedTransport.layer([Answer.text("a", { delay: "1 second" })]))
    )
    return Effect.gen(function*() {
      const fibers = yield* Effect.forEach(numbers(200), (n) => {
        const call = Claude.text({ prompt: String(n) })
        return Effect.forkChild(n % 5 === 3 ? Claude.withPolicy({ timeouts: { total: "4 seconds" } })(call) : call)
      })
      yield* TestClock.adjust("2500 millis")
      yield* Fiber.interruptAll(fibers.filter((_, n) => n % 7 === 5))
      yield* TestClock.adjust("2 minutes")
      for (const fiber of fibers) yield* Fiber.await(fiber)
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      const order = (yield* sent).map(({ body }) => numberOf(body))
      assert.deepStrictEqual(order, order.toSorted((a, b) => a - b))
      const stayed = numbers(200).filter((n) => n % 5 !== 3 && n % 7 !== 5)
      assert.includeMembers(order, stayed)
    }).pipe(Effect.provide(layer))
  })
})

describe("sockets", () => {
  it.live("1 000 streams through 64 places all complete, in turn", () =>
    Effect.gen(function*() {
      const observed = observe()
      const simulator = yield* ClaudeSimulator.make({
        answers: (_request, index) => Answer.text("one two three four five", { delay: 3 + index % 5, pace: index % 3 })
      })
      const texts = yield* Effect.forEach(numbers(1_000), (n) =>
        Stream.mkString(Claude.streamText({ prompt: "Hi" })).pipe(Claude.withPolicy({ tags: { n: String(n) } })), {
        concurrency: "unbounded"
      }).pipe(
        Effect.provide(Layer.provideMerge(layerOf(simulator.url, { concurrency: 64 }), observed.layer))
      )
      assert.deepStrictEqual(new Set(texts), new Set(["one two three four five"]))
      const { maxInFlight, requests } = yield* simulator.log
      assert.strictEqual(requests, 1_000)
      assert.isAtMost(maxInFlight, 64)
      // In the order of their attempts: on the wire, a new connection is later than a kept one.
      const numberOf = new Map(
        observed.spans.map(({ attributes, spanId }) => [spanId, Number(attributes.get("claude.tag.n"))])
      )
      const order = observed.spans.filter(({ name }) =>
        name === "POST"
      ).map(({ parent }) =>
        numberOf.get(Option.getOrThrow(parent).spanId)
      )
      assert.deepStrictEqual(order, numbers(1_000))
      assert.deepStrictEqual(unended(observed.spans), [])
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.scoped))

  it.live("where the server answers 529 past its capacity, all calls complete all the same", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({ capacity: 12, otherwise: Answer.text("a b", { delay: 5 }) })
      const texts = yield* Effect.forEach(
        numbers(400),
        (n) => n % 2 === 0 ? Claude.text({ prompt: "Hi" }) : Stream.mkString(Claude.streamText({ prompt: "Hi" })),
        {
          concurrency: "unbounded"
        }
      ).pipe(
        Effect.provide(Layer.provideMerge(
          layerOf(simulator.url, {
            concurrency: 24,
            retry: RetryPolicy.make({ times: 200, initial: "2 millis", max: "20 millis" }),
            retryBudget: { ratio: 1, burst: 100_000 }
          }),
          quiet
        ))
      )
      assert.strictEqual(texts.filter((text) => text === "a b").length, 400)
      const log = yield* simulator.log
      assert.isAtMost(log.maxInFlight, 12)
      assert.isAbove(log.requests, 400)
    }).pipe(Effect.scoped))

  it.live("when the layer closes over 2 000 calls, in flight and in the queue, all of them end", () =>
    Effect.gen(function*() {
      const observed = observe()
      const simulator = yield* ClaudeSimulator.make({ answers: () => Answer.text("a b c", { delay: 2, pace: 1 }) })
      const scope = yield* Scope.make()
      const claude = layerOf(simulator.url, {
        concurrency: 32,
        retry: RetryPolicy.make({ times: 2, initial: "5 millis" })
      })
      const context = yield* Layer.buildWithScope(Layer.provideMerge(claude, observed.layer), scope)
      const fibers = yield* Effect.forEach(
        numbers(2_000),
        (n): Effect.Effect<Fiber.Fiber<unknown, ClaudeError.ClaudeError>> =>
          Effect.forkChild(
            n % 2 === 0 ? Claude.text({ prompt: "Hi" }) : Stream.runDrain(Claude.stream({ prompt: "Hi" }))
          ).pipe(Effect.provide(context))
      )
      yield* simulator.logWhen((log) => log.requests >= 200)
      yield* Scope.close(scope, Exit.void)
      const exits = yield* Effect.forEach(fibers, Fiber.await).pipe(
        Effect.timeoutOrElse({ duration: "15 seconds", orElse: () => Effect.die(new Error("some call never ends")) })
      )
      const counts = new Map<string, number>()
      for (const exit of exits) counts.set(tell(exit), 1 + (counts.get(tell(exit)) ?? 0))
      assert.isAbove(counts.get("success") ?? 0, 100)
      assert.isAbove(counts.get("fail Misconfigured") ?? 0, 1_000)
      for (const kind of counts.keys()) {
        assert.match(kind, /^(success|fail Misconfigured|fail ConnectionFailed|fail StreamInterrupted)$/)
      }
      assert.deepStrictEqual(unended(observed.spans), [])
      assert.deepStrictEqual(observed.gauges(), {})
      yield* simulator.logWhen((log) => log.sockets.open === 0)
    }).pipe(Effect.scoped))

  it.live("a consumer that stalls holds its own place and its own bytes, and stops no other", () =>
    Effect.gen(function*() {
      const size = 16_000_000
      const simulator = yield* ClaudeSimulator.make({
        answers: ({ body }) =>
          JSON.stringify(body).includes("much") ? Answer.text("x".repeat(size), { chunk: 16_000 }) : Answer.text("a b")
      })
      yield* Effect.gen(function*() {
        const stalled = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        let first = true
        const slow = yield* Effect.forkChild(Stream.runFold(
          Stream.mapEffect(Claude.streamText({ prompt: "much" }), (text) => {
            if (!first) return Effect.succeed(text)
            first = false
            return Effect.as(Effect.andThen(Deferred.succeed(stalled, undefined), Deferred.await(go)), text)
          }),
          () => 0,
          (length, text) => length + text.length
        ))
        yield* Deferred.await(stalled)
        const texts = yield* Effect.forEach(numbers(100), () => Claude.text({ prompt: "Hi" }), {
          concurrency: "unbounded"
        })
        assert.strictEqual(texts.filter((text) => text === "a b").length, 100)
        const [entry] = (yield* simulator.log).entries
        assert.strictEqual(entry?.outcome, "open")
        assert.isBelow(entry!.bytesSent, size / 2)
        yield* Deferred.succeed(go, undefined)
        assert.strictEqual(yield* Fiber.join(slow), size)
      }).pipe(Effect.provide(layerOf(simulator.url, { concurrency: 2 })))
    }).pipe(Effect.scoped))

  it.live("memory does not grow over 5 000 short calls", () =>
    Effect.gen(function*() {
      setFlagsFromString("--expose-gc")
      const gc: () => void = runInNewContext("gc")
      const heap = Effect.promise(async () => {
        for (let i = 0; i < 3; i++) {
          gc()
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
        return process.memoryUsage().heapUsed
      })
      const simulator = yield* ClaudeSimulator.make({ otherwise: Answer.text("a b"), logLimit: 10 })
      const some = (count: number) =>
        Effect.forEach(numbers(count), (n): Effect.Effect<unknown, ClaudeError.ClaudeError, Claude.Claude> => {
          switch (n % 5) {
            case 0:
              return Claude.text({ prompt: "Hi" })
            case 1:
              return Stream.runDrain(Claude.stream({ prompt: "Hi" }))
            case 2:
              return Claude.withPolicy({ tags: { n: String(n) } })(Claude.text({ prompt: "Hi" }))
            case 3:
              return Stream.runDrain(Stream.take(Claude.stream({ prompt: "Hi" }), 2))
            default:
              return Claude.withPolicy({ wire: "json" })(Claude.text({ prompt: "Hi" }))
          }
        }, { concurrency: 32, discard: true })
      yield* Effect.gen(function*() {
        yield* some(1_000)
        const before = yield* heap
        yield* some(5_000)
        const grown = (yield* heap) - before
        // A kept span, listener or timer for each call would be several times this.
        assert.isBelow(grown / 5_000, 200)
      }).pipe(Effect.provide(layerOf(simulator.url, { concurrency: 16 })))
    }).pipe(Effect.scoped), 120_000)
})
