import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Logger, References, Schema, Stream, Tracer } from "effect"
import { Claude, ClaudeError, RetryPolicy, Transport } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
// What `object` loads when it is first called would come by the machine's clock.
import "effect/ai/AnthropicStructuredOutput"
import { observe, settle, tell, unended } from "./observe.ts"

const hi = { prompt: "Hi" }
const defaults = { model: "claude-opus-5-5", max_tokens: 100 }
const Answered = Schema.Struct({ answer: Schema.Int })
const answer = Answer.json({ answer: 42 }, { chunk: 3, pace: "1 second" })

const calls = {
  message: Claude.message(hi),
  text: Claude.text(hi),
  object: Claude.object(Answered, hi),
  stream: Stream.runDrain(Claude.stream(hi)),
  streamText: Stream.mkString(Claude.streamText(hi)),
  json: Claude.withPolicy({ wire: "json" })(Claude.message(hi)),
  countTokens: Claude.countTokens({ prompt: "Hi" })
} satisfies Record<string, Effect.Effect<unknown, ClaudeError.ClaudeError, Claude.Claude>>

type Name = keyof typeof calls
const names = Object.keys(calls) as ReadonlyArray<Name>

const overloaded = new ClaudeError.ClaudeRetryableError({
  reason: new ClaudeError.Overloaded({}),
  message: "injected",
  type: "overloaded_error",
  retryHere: true,
  mayFailOver: true,
  attempts: 0
})
const defect = new Error("injected")

const faults = {
  fails: Effect.fail(overloaded),
  dies: Effect.die(defect),
  hangs: Effect.never,
  "is interrupted": Effect.interrupt
}
type Fault = keyof typeof faults

/** What goes wrong in the first exchange; those that follow are good. */
type Wrong = (exchange: Transport.Exchange) => Transport.Exchange

const once = (
  wrong: Wrong,
  open: (open: Effect.Effect<Transport.Exchange, never, import("effect").Scope.Scope>) => typeof open = (open) => open
) =>
  Layer.effect(
    Transport.Transport,
    Effect.map(ScriptedTransport.ScriptedTransport, ({ transport }) => {
      let first = true
      return Transport.Transport.of({
        ...transport,
        open: (request) =>
          Effect.suspend(() => {
            if (!first) return transport.open(request)
            first = false
            return open(Effect.map(transport.open(request), wrong))
          })
      })
    })
  )

const nothing: Wrong = (exchange) => exchange

/** The nth pull goes wrong, and those before it are good. */
const atPull = (nth: number, fault: Transport.Exchange["pull"]): Wrong => (exchange) => {
  let count = 0
  return { ...over(exchange), pull: Effect.suspend(() => ++count === nth ? fault : exchange.pull) }
}

/** An exchange's members stand on its prototype. */
const over = (exchange: Transport.Exchange): Transport.Exchange => ({
  response: exchange.response,
  pull: exchange.pull,
  fail: (error) => exchange.fail(error),
  complete: () => exchange.complete()
})

const explode = () => {
  throw defect
}

/** Runs a call over a transport that goes wrong once, for as long as a minute; then all must be as before. */
const check = (
  transport: ReturnType<typeof once>,
  name: Name,
  verdict: (exit: Exit.Exit<unknown, ClaudeError.ClaudeError>) => void,
  options: Parameters<typeof Claude.layerTransport>[0] = {}
) => {
  const observed = observe()
  const layer = Claude.layerTransport({ defaults, concurrency: 1, retry: RetryPolicy.none, ...options }).pipe(
    Layer.provide(transport),
    Layer.provideMerge(ScriptedTransport.layer([answer])),
    Layer.provideMerge(observed.layer)
  )
  return Effect.gen(function*() {
    const fibers = observed.fibers()
    const run = Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(calls[name], { startImmediately: true })
      for (let i = 0; i < 60 && fiber.pollUnsafe() === undefined; i++) {
        yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
        yield* TestClock.adjust("1 second")
      }
      yield* Fiber.interrupt(fiber)
      return yield* Fiber.await(fiber)
    })
    const exit: Exit.Exit<unknown, ClaudeError.ClaudeError> = yield* run
    verdict(exit)
    assert.deepStrictEqual(unended(observed.spans), [], tell(exit))
    assert.deepStrictEqual(observed.gauges(), {}, tell(exit))
    // What a failure leaves for later, such as loading the circuit, is over soon.
    assert.strictEqual(yield* settle(() => observed.fibers(), (now) => now === fibers), fibers, tell(exit))
    const outcome = observed.spans.find(({ name }) => name.startsWith("c"))?.attributes.get("claude.outcome")
    assert.strictEqual(outcome, Exit.isSuccess(exit) ? "success" : Exit.hasInterrupts(exit) ? "cancelled" : "error")
    // Its permit is back: there is only one.
    const next = yield* run
    assert.isTrue(Exit.isSuccess(next), tell(next))
  }).pipe(Effect.provide(layer))
}

const verdicts: Record<Fault, (exit: Exit.Exit<unknown, ClaudeError.ClaudeError>) => void> = {
  fails: (exit) => assert.strictEqual(tell(exit), "fail Overloaded"),
  dies: (exit) =>
    assert.isTrue(
      Exit.isFailure(exit) &&
        exit.cause.reasons.some((reason) => Cause.isDieReason(reason) && reason.defect === defect),
      tell(exit)
    ),
  hangs: (exit) => assert.strictEqual(tell(exit), "interrupt"),
  "is interrupted": (exit) => assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), tell(exit))
}

describe.each(names)("whatever a transport does, %s ends and leaves nothing behind:", (name) => {
  for (const fault of ["dies", "hangs", "is interrupted"] as const) {
    it.effect(`opening ${fault}`, () => check(once(nothing, () => faults[fault]), name, verdicts[fault]))
  }

  for (const fault of ["dies", "hangs", "is interrupted"] as const) {
    it.effect(`opening ${fault} after it has opened`, () =>
      check(once(nothing, (open) => Effect.andThen(open, faults[fault])), name, verdicts[fault]))
  }

  for (const fault of Object.keys(faults) as ReadonlyArray<Fault>) {
    it.effect(`the response ${fault}`, () =>
      check(once((exchange) => ({ ...over(exchange), response: faults[fault] })), name, verdicts[fault]))
    it.effect(`the response ${fault} after it has come`, () =>
      check(
        once((exchange) => ({ ...over(exchange), response: Effect.andThen(exchange.response, faults[fault]) })),
        name,
        verdicts[fault]
      ))
    for (const nth of name === "json" || name === "countTokens" ? [1, 2] : [1, 2, 3, 5, 9]) {
      it.effect(`pull ${nth} ${fault}`, () => check(once(atPull(nth, faults[fault])), name, verdicts[fault]))
    }
  }

  it.effect("a pull ends too early", () =>
    check(
      once(atPull(1, Effect.succeed([]))),
      name,
      (exit) => assert.match(tell(exit), /^fail (StreamInterrupted|InvalidResponse)$/)
    ))

  it.effect("completing dies", () =>
    check(once((exchange) => ({ ...over(exchange), complete: explode })), name, verdicts.dies))

  it.effect("a read hangs, and failing it dies", () =>
    check(once((exchange) => ({ ...over(exchange), pull: Effect.never, fail: explode })), name, verdicts.hangs))

  it.effect("a read hangs until it is failed", () =>
    check(
      once((exchange) => exchange, (open) =>
        Effect.map(open, (exchange) => {
          let failed: ((effect: Effect.Effect<never, ClaudeError.ClaudeError>) => void) | undefined
          return {
            ...over(exchange),
            pull: Effect.callback<never, ClaudeError.ClaudeError>((resume) => {
              failed = resume
            }),
            fail: (error) => failed?.(Effect.fail(error))
          }
        })),
      name,
      (exit) => assert.match(tell(exit), /^fail (TimedOut|DeadlineExceeded)$/),
      { timeouts: { idle: "5 seconds", total: "20 seconds" } }
    ))

  it.effect("closing dies", () =>
    check(
      once(nothing, (open) =>
        Effect.andThen(
          Effect.addFinalizer(() => Effect.die(defect)),
          Effect.tap(open, () => Effect.addFinalizer(() => Effect.die(defect)))
        )),
      name,
      verdicts.dies
    ))
})

describe("whatever a stream's consumer does", () => {
  const consumers: Record<string, Effect.Effect<never, unknown>> = {
    "fails with a text": Effect.fail("the consumer's"),
    "fails with nothing": Effect.fail(undefined),
    "fails with null": Effect.fail(null),
    "fails with another call's error": Effect.fail(overloaded),
    dies: Effect.die(defect),
    "is interrupted": Effect.interrupt
  }
  const leave = (
    left: <A, E>(stream: Stream.Stream<A, E, Claude.Claude>) => Effect.Effect<unknown, unknown, Claude.Claude>
  ) => {
    const observed = observe()
    const layer = Claude.layerTransport({ defaults, concurrency: 1 }).pipe(
      Layer.provide(ScriptedTransport.layer([Answer.text("a b c d e f g")])),
      Layer.provideMerge(observed.layer)
    )
    return Effect.gen(function*() {
      const exit = yield* Effect.exit(left(Claude.stream(hi)))
      assert.deepStrictEqual(unended(observed.spans), [], tell(exit))
      assert.deepStrictEqual(observed.gauges(), {})
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Claude.text(hi))))
      // Its errors are no errors of the call.
      const told = observed.spans.slice(0, 2).map((
        { attributes }
      ) => [attributes.get("claude.outcome"), attributes.get("error.type")])
      assert.deepStrictEqual(told, [["cancelled", undefined], [undefined, undefined]])
      const attempts = observed.metrics().filter(({ id }) => id === "claude.client.attempts").map(({ attributes }) =>
        attributes?.["claude.outcome"]
      )
      assert.sameMembers(attempts, ["cancelled", "success"])
      assert.deepStrictEqual(observed.logs.filter((line) => line.includes("exception")), [])
      return exit
    }).pipe(Effect.provide(layer))
  }

  for (const [name, effect] of Object.entries(consumers)) {
    it.effect(`its call is cancelled when it ${name}`, () =>
      Effect.gen(function*() {
        const exit = yield* leave(Stream.runForEach(() => effect))
        const expected = yield* Effect.exit(effect)
        assert.strictEqual(tell(exit), tell(expected))
      }))
  }

  for (const count of [0, 1, 2, 3, 5]) {
    it.effect(`its call is cancelled when it takes ${count} events`, () =>
      count === 0
        // Nothing was asked for, so nothing is sent.
        ? Effect.gen(function*() {
          const observed = observe()
          yield* Stream.runDrain(Stream.take(Claude.stream(hi), 0)).pipe(
            Effect.provide(
              Claude.layerTransport({ defaults }).pipe(
                Layer.provide(ScriptedTransport.layer([answer])),
                Layer.provideMerge(observed.layer)
              )
            )
          )
          assert.deepStrictEqual(observed.gauges(), {})
          assert.deepStrictEqual(unended(observed.spans), [])
        })
        : leave((stream) => Stream.runDrain(Stream.take(stream, count))))
  }

  it.effect("a read that is given up loses nothing", () => {
    const observed = observe()
    const layer = Claude.layerTransport({ defaults, concurrency: 1 }).pipe(
      Layer.provide(ScriptedTransport.layer([Answer.text("a b c d e f g", { pace: "1 second" })])),
      Layer.provideMerge(observed.layer)
    )
    return Effect.gen(function*() {
      const pull = yield* Stream.toPull(Claude.streamText(hi))
      const words: Array<string> = []
      const reader = Effect.gen(function*() {
        for (;;) {
          // A read is given up after 300 ms, and the next one begins when more has come.
          const read = yield* Effect.option(
            Effect.timeout(pull, "300 millis").pipe(Effect.map((texts) => words.push(...texts)))
          )
          if (read._tag === "None" && words.join("") === "a b c d e f g") return
          yield* Effect.sleep("400 millis")
        }
      })
      const fiber = yield* Effect.forkChild(reader)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(words.join(""), "a b c d e f g")
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })
})

describe("where nothing may be interrupted", () => {
  for (const name of names) {
    it.effect(`${name} ends as soon as anywhere else, and heeds its timeouts`, () => {
      const observed = observe()
      const quick = name === "object" ? Answer.json({ answer: 42 }) : Answer.text("a b")
      const layer = Claude.layerTransport({
        defaults,
        concurrency: 1,
        retry: RetryPolicy.none,
        timeouts: { total: "5 seconds", headers: "5 seconds" }
      }).pipe(
        Layer.provide(
          ScriptedTransport.layer((_request, index) => index === 0 ? quick : Answer.stall("beforeHeaders"))
        ),
        Layer.provideMerge(observed.layer)
      )
      return Effect.gen(function*() {
        const run = (count: number, seconds: number) =>
          Effect.gen(function*() {
            const fibers = yield* Effect.forEach(Array.from({ length: count }), () =>
              Effect.forkChild(Effect.uninterruptible(calls[name]), { startImmediately: true }))
            for (let i = 0; i < seconds; i++) {
              yield* Effect.promise(() =>
                new Promise<void>((resolve) => setImmediate(resolve))
              )
              yield* TestClock.adjust("1 second")
            }
            return fibers.map((fiber) => fiber.pollUnsafe())
          })
        const [first] = yield* run(1, 3)
        assert.strictEqual(first && tell(first), "success")
        // One holds the permit, the other waits for it.
        for (const exit of yield* run(2, 8)) {
          assert.match(String(exit && tell(exit)), /^fail (TimedOut|DeadlineExceeded)$/)
        }
        assert.deepStrictEqual(unended(observed.spans), [])
        assert.deepStrictEqual(observed.gauges(), {})
      }).pipe(Effect.provide(layer))
    })
  }
})

describe("telemetry that fails", () => {
  const failing = {
    "a logger": Logger.layer([Logger.make(explode)]),
    "a tracer whose spans take nothing": Layer.succeed(
      Tracer.Tracer,
      Tracer.make({
        span: (options) =>
          Object.assign(new Tracer.NativeSpan(options), { attribute: explode, event: explode, end: explode })
      })
    )
  }
  for (const [what, telemetry] of Object.entries(failing)) {
    for (const name of names) {
      it.effect(`${what} fails no ${name}`, () => {
        const layer = Claude.layerTransport({
          defaults,
          concurrency: 1,
          retry: RetryPolicy.make({ times: 1, initial: 0 })
        }).pipe(
          Layer.provide(
            ScriptedTransport.layer((_request, index) =>
              index % 2 === 0 ? Answer.error(529) : Answer.json({ answer: 42 })
            )
          ),
          Layer.provideMerge(telemetry),
          Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "All"))
        )
        return Effect.gen(function*() {
          for (let i = 0; i < 2; i++) {
            const fiber = yield* Effect.forkChild(calls[name], { startImmediately: true })
            for (let i = 0; i < 10 && fiber.pollUnsafe() === undefined; i++) {
              yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
              yield* TestClock.adjust("1 second")
            }
            assert.strictEqual(tell(yield* Fiber.await(fiber)), "success")
          }
        }).pipe(Effect.provide(layer))
      })
    }
  }
})
