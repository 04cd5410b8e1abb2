import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Redacted, Schema, Scope, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { Agent, fetch as undiciFetch, type RequestInit as UndiciInit } from "undici"
import { observe, seeded, settle, timers, unended, warnings } from "./observe.ts"

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31))
const concurrency = 16
const hi = { prompt: "Hi" }
const Answered = Schema.Struct({ answer: Schema.Int })

/** Every way of answering that a call can be interrupted in. */
const answers = (random: () => number): ReadonlyArray<() => Answer.Answer> => {
  const millis = (max: number) => 1 + Math.floor(random() * max)
  const words = (count: number) => Array.from({ length: count }, (_, n) => `w${n}`).join(" ")
  return [
    () => Answer.text(words(5)),
    () => Answer.text(words(300)),
    () => Answer.text(words(20), { pace: millis(4) }),
    () => Answer.text(words(20), { delay: millis(40), firstContent: millis(20), pace: millis(3) }),
    () => Answer.json({ answer: millis(100) }, { delay: millis(30) }),
    () => Answer.json({ answer: "not a number" }, { delay: millis(10) }),
    () => Answer.text("x".repeat(400_000), { chunk: 4_000 }),
    () => Answer.drip(Answer.text(words(10)), { bytes: 40, every: 1 }),
    () => Answer.error(429, { retryAfter: millis(30), retryAfterForm: "ms" }),
    () => Answer.delay(millis(20), Answer.error(529)),
    () => Answer.error(400),
    () => Answer.reset("beforeHeaders"),
    () => Answer.reset("afterHeaders"),
    () => Answer.reset("midStream", Answer.text(words(20))),
    () => Answer.truncate("midStream", Answer.text(words(20))),
    () => Answer.stall("beforeHeaders"),
    () => Answer.stall("midStream", Answer.text(words(20))),
    () => Answer.pings(millis(5), "afterHeaders"),
    () => Answer.errorEvent("overloaded_error", "later", "midStream", Answer.text(words(20))),
    () => Answer.garbage("html502"),
    () => Answer.garbage("badEvent"),
    drained
  ]
}

/** A whole message, after which the body stays open: the call is done, its connection drains. */
const drained = () =>
  Answer.raw([
    [
      {
        type: "message_start",
        message: {
          id: "msg_1",
          type: "message",
          role: "assistant",
          model: "claude-opus-5-5",
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 1, output_tokens: 1 }
        }
      },
      { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
      { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "done" } },
      { type: "content_block_stop", index: 0 },
      { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 2 } },
      { type: "message_stop" }
    ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""),
    { pause: "1 hour" }
  ])

/** Every way of calling, at random. */
const calls = (random: () => number): ReadonlyArray<Effect.Effect<unknown, unknown, Claude.Claude>> => {
  const stream = Claude.stream(hi)
  const millis = (max: number) => Math.floor(random() * max)
  return [
    Claude.message(hi),
    Claude.text(hi),
    Claude.withPolicy({ wire: "json" })(Claude.message(hi)),
    Claude.object(Answered, hi),
    Claude.countTokens(hi),
    Stream.runDrain(stream),
    Stream.runForEach(stream, () => Effect.sleep(millis(4))),
    Stream.runForEachArray(stream, () => Effect.yieldNow),
    Effect.suspend(() => Stream.runDrain(Stream.take(stream, 1 + millis(8)))),
    Stream.runDrain(Claude.withPolicy({ onBreak: "restart" })(stream)),
    Stream.runDrain(
      Stream.mapEffect(Claude.streamText(hi), () => random() < 0.05 ? Effect.fail("the consumer's") : Effect.void)
    ),
    Stream.runDrain(Stream.buffer(stream, { capacity: 4 })),
    Effect.timeoutOption(Claude.message(hi), 1 + millis(30)),
    Effect.raceFirst(Claude.text(hi), Claude.withPolicy({ wire: "json" })(Claude.text(hi))),
    Effect.scoped(
      Effect.flatMap(
        Stream.toPull(stream),
        (pull) => Effect.forever(Effect.andThen(Effect.timeoutOption(pull, 1 + millis(5)), Effect.sleep(millis(3))))
      )
    )
  ]
}

const options = {
  concurrency,
  defaults: { model: "claude-opus-5-5", max_tokens: 100 },
  retry: RetryPolicy.make({ times: 3, initial: "5 millis", max: "40 millis" }),
  retryBudget: { ratio: 1, burst: 1_000_000 },
  // Most of them fail by design: none is to be turned away unsent.
  circuit: false,
  timeouts: { headers: "150 millis", firstContent: "200 millis", idle: "100 millis" }
} satisfies Claude.Options

const suites = {
  "our own client": {
    count: 2_000,
    layer: (url: string): Effect.Effect<Layer.Layer<Claude.Claude, unknown>, never, Scope.Scope> =>
      Effect.succeed(Claude.layer({ ...options, apiKey: Redacted.make("sk-test"), baseURL: url }))
  },
  "a client that was handed in": {
    count: 500,
    layer: (url: string) =>
      Effect.map(
        Effect.acquireRelease(
          Effect.sync(() => new Agent({ allowH2: false })),
          (agent) => Effect.promise(() => agent.destroy())
        ),
        (agent) =>
          Claude.layer({
            ...options,
            client: new Anthropic({
              apiKey: "sk-test",
              baseURL: url,
              // undici's own fetch, so that its sockets are the test's to close; the types differ by their origin only.
              fetch: ((url: string, init: RequestInit) =>
                undiciFetch(url, { ...init, dispatcher: agent } as unknown as UndiciInit)) as unknown as typeof fetch
            })
          })
      )
  }
}

describe.each(Object.entries(suites))("with %s", (_, { count, layer }) => {
  it.live(`nothing is left of ${count.toLocaleString("en")} calls that are interrupted at random moments`, () => {
    let stage = "calls"
    return Effect.gen(function*() {
      const warned = yield* warnings
      const random = seeded(seed)
      const observed = observe()
      const simulator = yield* ClaudeSimulator.make()
      const responses = answers(random)
      yield* simulator.script(() => responses[Math.floor(random() * responses.length)]!())
      const before = { timers: timers(), signals: process.listenerCount("SIGTERM"), fibers: observed.fibers() }

      const whole = yield* Scope.make()
      const claude = yield* layer(simulator.url).pipe(Scope.provide(whole))
      const context = yield* Layer.buildWithScope(Layer.provideMerge(claude, observed.layer), whole)
      const kinds = calls(random)
      // On a busy machine a call takes longer to get on its way, and so does the moment come later that ends it.
      const [took] = yield* Effect.timed(
        Effect.repeat(Effect.ignore(Claude.countTokens(hi)), { times: 19 }).pipe(Effect.provide(context))
      )
      const pace = Math.min(3, Math.max(1, Duration.toMillis(took) / 20 / 30))
      const exits = { success: 0, failure: 0, interrupted: 0, died: 0 }
      const defects: Array<string> = []

      const one = Effect.gen(function*() {
        const call = kinds[Math.floor(random() * kinds.length)]!
        const fiber = yield* Effect.forkChild(call)
        // A fifth of them within their first steps, the others whenever.
        if (random() < 0.2) {
          const steps = Math.floor(random() * 12)
          for (let step = 0; step < steps; step++) yield* Effect.yieldNow
        } else yield* Effect.sleep(random() ** 2 * 300 * pace)
        const since = performance.now()
        yield* Fiber.interrupt(fiber)
        assert.isBelow(performance.now() - since, 5_000, "an interruption hangs")
        const exit = yield* Fiber.await(fiber)
        if (Exit.isSuccess(exit)) exits.success++
        else if (Exit.hasDies(exit)) {
          exits.died++
          defects.push(String(exit.cause))
        } else if (Exit.hasInterrupts(exit)) exits.interrupted++
        else exits.failure++
      })
      yield* Effect.forEach(Array.from({ length: count }), () => one, { concurrency: 40, discard: true }).pipe(
        Effect.provide(context)
      )
      assert.deepStrictEqual(defects, [])
      assert.strictEqual(exits.success + exits.failure + exits.interrupted, count)
      assert.isAbove(exits.interrupted, count / 4)

      stage = "fibers and spans"
      // Nothing runs, waits or is open any more, on this side and on the other.
      assert.strictEqual(yield* settle(() => observed.fibers(), (fibers) => fibers === before.fibers), before.fibers)
      assert.deepStrictEqual(unended(observed.spans), [])
      assert.isAbove(observed.spans.length, count)
      assert.deepStrictEqual(observed.gauges(), {})
      stage = "requests in flight"
      const quiet = yield* simulator.logWhen((log) => log.inFlight === 0 && log.sockets.open <= 2 * concurrency)
      assert.isBelow(quiet.maxInFlight, 2 * concurrency)
      // They were interrupted on their way, and not only before it.
      assert.isAbove(quiet.requests, count / 20)
      assert.isAbove(quiet.earlyCloses, count / 100)

      stage = "permits"
      // Every permit is back, and not one more.
      const release = yield* Deferred.make<void>()
      yield* simulator.script(() => Effect.as(Deferred.await(release), Answer.text("back")))
      yield* simulator.dropConnections
      const burst = yield* Effect.forEach(
        Array.from({ length: 2 * concurrency }),
        () =>
          Effect.forkChild(
            Claude.withPolicy({ timeouts: { headers: "30 seconds", firstContent: "30 seconds" } })(Claude.text(hi))
          )
      ).pipe(Effect.provide(context))
      yield* simulator.logWhen((log) => log.inFlight === concurrency)
      yield* Effect.sleep("20 millis")
      assert.strictEqual((yield* simulator.log).inFlight, concurrency)
      yield* Deferred.succeed(release, undefined)
      for (const fiber of burst) assert.strictEqual(yield* Fiber.join(fiber), "back")

      stage = "kept connections"
      yield* simulator.logWhen((log) => log.inFlight === 0 && log.sockets.open <= 2 * concurrency)
      stage = "closing"
      yield* Scope.close(whole, Exit.void)
      yield* simulator.logWhen((log) => log.sockets.open === 0)
      assert.isAtMost(yield* settle(timers, (now) => now <= before.timers), before.timers)
      assert.strictEqual(process.listenerCount("SIGTERM"), before.signals)
      assert.deepStrictEqual(warned.map(String), [])
    }).pipe(
      Effect.timeoutOrElse({ duration: "25 seconds", orElse: () => Effect.die(new Error(`it hangs: ${stage}`)) }),
      Effect.tapCause(() => Effect.sync(() => console.error(`To repeat it: SEED=${seed}`))),
      Effect.scoped
    )
  })
})
