import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Option, Schedule, Schema, Stream, type Tracer } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
// What `object` loads when it is first called would come by the machine's clock.
import "effect/ai/AnthropicStructuredOutput"
import { observe, type Observed, secondsOf, unended } from "./observe.ts"

const hi = { prompt: "Hi" }
const defaults = { model: "claude-opus-5-5", max_tokens: 100 }

/** So many retries, a second apart. */
const retries = (times: number, every: Duration.Input = "1 second") =>
  RetryPolicy.fromSchedule(Schedule.spaced(every).pipe(Schedule.upTo({ times })))

const setUp = (answers: ScriptedTransport.Answers, options: Parameters<typeof Claude.layerTransport>[0] = {}) => {
  const observed = observe()
  const layer = Claude.layerTransport({ defaults, ...options }).pipe(
    Layer.provideMerge(ScriptedTransport.layer(answers)),
    Layer.provideMerge(observed.layer)
  )
  return { observed, layer }
}

/** What a call came to, and when, by the clock that the test moves. */
interface Done<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly at: number
}

const done = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Done<A, E>, never, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => Effect.map(Clock.currentTimeMillis, (at) => ({ exit, at })))

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(done(effect), { startImmediately: true })

/** The machine's own turn: what is loaded comes by its clock, not by the test's. */
const machine = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

const pass = (seconds: number) =>
  Effect.gen(function*() {
    for (let second = 0; second < seconds; second++) {
      yield* machine
      yield* TestClock.adjust("1 second")
    }
    yield* machine
  })

const run = <A, E, R>(effect: Effect.Effect<A, E, R>, seconds = 120) =>
  Effect.gen(function*() {
    const fiber = yield* start(effect)
    yield* pass(seconds)
    return yield* Fiber.join(fiber)
  })

const sentAt = Effect.gen(function*() {
  const { sent } = yield* ScriptedTransport.ScriptedTransport
  return (yield* sent).map(({ at }) => at)
})

const bodies = Effect.gen(function*() {
  const { sent } = yield* ScriptedTransport.ScriptedTransport
  return (yield* sent).map(({ body }) =>
    body as { readonly stream?: boolean; readonly messages: ReadonlyArray<unknown> }
  )
})

const errorOf = <A>(exit: Exit.Exit<A, ClaudeError.ClaudeError>): ClaudeError.ClaudeError =>
  Option.getOrThrowWith(Exit.findErrorOption(exit), () => new Error(`no error: ${JSON.stringify(exit)}`))

const reasonOf = <A>(exit: Exit.Exit<A, ClaudeError.ClaudeError>) => errorOf(exit).reason._tag

const named = (observed: Observed, name: string | RegExp): ReadonlyArray<Tracer.NativeSpan> =>
  observed.spans.filter((span) => typeof name === "string" ? span.name === name : name.test(span.name))

const callSpans = (observed: Observed) => named(observed, /^chat /)

const textOf = (message: Claude.Message) =>
  message.content.map((block) => block.type === "text" ? block.text : "").join("")

/** Nothing is left of any call, whatever it came to. */
const clean = (observed: Observed) => {
  assert.deepStrictEqual(unended(observed.spans), [])
  assert.deepStrictEqual(observed.gauges(), {})
}

const broken = Answer.truncate("midStream", Answer.text("one two three four"))
const whole = Answer.text("five six")
const Answered = Schema.Struct({ answer: Schema.Int })

// -----------------------------------------------------------------------------

describe("retry and timeouts", () => {
  it.effect("a response without headers ends its attempt, not its call", () => {
    const { layer, observed } = setUp([Answer.stall("beforeHeaders"), whole], { retry: retries(1) })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([exit, at, yield* sentAt], [Exit.succeed("five six"), 31_000, [0, 31_000]])
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a response that only pings is retried when no content came in time", () => {
    const { layer } = setUp([Answer.pings("1 second"), whole], {
      retry: retries(1),
      timeouts: { firstContent: "7 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([exit, at], [Exit.succeed("five six"), 8_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a folded call that falls silent after content starts over", () => {
    const { layer } = setUp([Answer.stall("midStream"), whole], { retry: retries(1) })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([exit, at], [Exit.succeed("five six"), 31_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("total runs across the attempts and their backoffs", () => {
    const { layer } = setUp([Answer.stall("beforeHeaders")], {
      retry: retries(10),
      timeouts: { headers: "10 seconds", total: "25 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.message(hi))
      assert.deepStrictEqual([reasonOf(exit), at, yield* sentAt], ["DeadlineExceeded", 25_000, [0, 11_000, 22_000]])
      assert.strictEqual(errorOf(exit).attempts, 3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a backoff that would end past total is not begun", () => {
    const { layer } = setUp([Answer.error(529)], { retry: retries(5, "20 seconds"), timeouts: { total: "30 seconds" } })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.message(hi))
      assert.deepStrictEqual([reasonOf(exit), at, yield* sentAt], ["DeadlineExceeded", 20_000, [0, 20_000]])
      assert.strictEqual(errorOf(exit).status, 529)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a Retry-After past total fails at once and tells it", () => {
    const { layer } = setUp([Answer.error(429, { retryAfter: "40 seconds" })], { timeouts: { total: "30 seconds" } })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.message(hi))
      assert.deepStrictEqual([reasonOf(exit), at], ["RateLimited", 0])
      assert.deepStrictEqual(errorOf(exit).retryAfter, Duration.seconds(40))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a Retry-After is waited for, also where a timeout of the next attempt is shorter", () => {
    const { layer } = setUp([Answer.error(429, { retryAfter: "40 seconds" }), Answer.delay("5 seconds", whole)], {
      timeouts: { headers: "6 seconds", total: "50 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([exit, at, yield* sentAt], [Exit.succeed("five six"), 45_000, [0, 40_000]])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a stream's total ends with its first content; idle governs from there", () => {
    const { layer } = setUp([Answer.text("a b c d", { pace: "20 seconds" })], { timeouts: { total: "10 seconds" } })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Stream.mkString(Claude.streamText(hi)))
      assert.deepStrictEqual([exit, at], [Exit.succeed("a b c d"), 60_000])
    }).pipe(Effect.provide(layer))
  })
})

describe("retry and concurrency", () => {
  it.effect("a backoff holds no permit", () => {
    const { layer, observed } = setUp(
      (_request, index) => index === 0 ? Answer.error(529) : whole,
      { concurrency: 1, retry: retries(1, "10 seconds") }
    )
    return Effect.gen(function*() {
      const first = yield* start(Claude.text(hi))
      const second = yield* start(Claude.text(hi))
      yield* pass(20)
      assert.strictEqual((yield* Fiber.join(second)).at, 0)
      assert.strictEqual((yield* Fiber.join(first)).at, 10_000)
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("each retry takes its turn again, behind those who wait", () => {
    const order: Array<string> = []
    const { layer } = setUp(({ body }, index) => {
      order.push(JSON.stringify(body).includes("first") ? "first" : "other")
      return index === 0 ? Answer.error(529) : Answer.delay("4 seconds", whole)
    }, { concurrency: 1, retry: retries(1) })
    return Effect.gen(function*() {
      const first = yield* start(Claude.text({ prompt: "first" }))
      const others = yield* Effect.forEach([1, 2, 3], () => start(Claude.text(hi)))
      yield* pass(30)
      assert.deepStrictEqual(order, ["first", "other", "other", "other", "first"])
      assert.strictEqual((yield* Fiber.join(first)).at, 16_000)
      for (const other of others) assert.isTrue(Exit.isSuccess((yield* Fiber.join(other)).exit))
    }).pipe(Effect.provide(layer))
  })

  it.effect("one who calls again and again does not pass those who wait", () => {
    const order: Array<string> = []
    const { layer } = setUp(({ body }) => {
      order.push(JSON.stringify(body).includes("waits") ? "waits" : "busy")
      return Answer.delay("1 second", whole)
    }, { concurrency: 1 })
    return Effect.gen(function*() {
      const busy = yield* start(Effect.repeat(Claude.text({ prompt: "busy" }), { times: 4 }))
      const waits = yield* start(Claude.text({ prompt: "waits" }))
      yield* pass(10)
      assert.deepStrictEqual(order, ["busy", "waits", "busy", "busy", "busy", "busy"])
      assert.strictEqual((yield* Fiber.join(waits)).at, 2_000)
      assert.strictEqual((yield* Fiber.join(busy)).at, 6_000)
    }).pipe(Effect.provide(layer))
  })

  it.effect("what a call waited for is told once: its backoff, then its turn", () => {
    const { layer, observed } = setUp(
      (_request, index) => index === 0 ? Answer.error(529) : Answer.delay("6 seconds", whole),
      { concurrency: 1, retry: retries(1) }
    )
    return Effect.gen(function*() {
      const first = yield* start(Claude.withPolicy({ tags: { who: "first" } })(Claude.text(hi)))
      const second = yield* start(Claude.text(hi))
      yield* pass(30)
      assert.strictEqual((yield* Fiber.join(second)).at, 6_000)
      assert.strictEqual((yield* Fiber.join(first)).at, 12_000)
      const span = callSpans(observed).find((span) => span.attributes.get("claude.tag.who") === "first")!
      const waits = named(observed, /^claude.wait/).filter((wait) =>
        Option.getOrThrow(wait.parent).spanId === span.spanId
      )
      assert.deepStrictEqual(waits.map((wait) => [wait.name, secondsOf(wait)]), [
        ["claude.wait backoff", 1],
        ["claude.wait concurrency", 5]
      ])
      assert.strictEqual(span.attributes.get("claude.wait.total"), 6)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a call that is left in its backoff leaves no permit and no span", () => {
    const { layer, observed } = setUp([Answer.error(529), whole], { concurrency: 1, retry: retries(1, "10 seconds") })
    return Effect.gen(function*() {
      const fiber = yield* start(Claude.text(hi))
      yield* pass(5)
      yield* Fiber.interrupt(fiber)
      clean(observed)
      assert.strictEqual((yield* run(Claude.text(hi), 1)).at, 5_000)
    }).pipe(Effect.provide(layer))
  })
})

describe("retry and onBreak", () => {
  it.effect("a stream is retried unseen until its first content, and never after it", () => {
    const { layer } = setUp([Answer.truncate({ afterEvents: 2 }), broken, whole], { retry: retries(5) })
    return Effect.gen(function*() {
      const seen: Array<string> = []
      const { exit } = yield* run(
        Stream.runForEach(Claude.stream(hi), (event) => Effect.sync(() => seen.push(event.type)))
      )
      assert.strictEqual(reasonOf(exit), "StreamInterrupted")
      assert.strictEqual(seen.filter((type) => type === "message_start").length, 1)
      assert.strictEqual((yield* sentAt).length, 2)
      const { partial } = errorOf(exit)
      assert.deepStrictEqual(partial?.content.map((block) => block.type === "text" && block.text), ["one two"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("restarts and retries are counted together", () => {
    const { layer, observed } = setUp([broken], { retry: retries(2), onBreak: "restart" })
    return Effect.gen(function*() {
      const seen: Array<Claude.StreamEvent> = []
      const { at, exit } = yield* run(
        Stream.runForEach(Claude.stream(hi), (event) => Effect.sync(() => seen.push(event)))
      )
      assert.deepStrictEqual([reasonOf(exit), errorOf(exit).attempts, yield* sentAt], ["StreamInterrupted", 3, [
        0,
        1_000,
        2_000
      ]])
      assert.deepStrictEqual(seen.flatMap((event) => event.type === "restart" ? [event.attempt] : []), [2, 3])
      assert.strictEqual(at, 2_000)
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("without retries nothing restarts", () => {
    const { layer } = setUp([broken, whole], { retry: RetryPolicy.none, onBreak: "restart" })
    return Effect.gen(function*() {
      const { exit } = yield* run(Stream.runDrain(Claude.stream(hi)))
      assert.deepStrictEqual([reasonOf(exit), (yield* sentAt).length], ["StreamInterrupted", 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a restart that fails before its content is retried, and its consumer sees one restart", () => {
    const { layer } = setUp([broken, Answer.error(529), whole], { retry: retries(3), onBreak: "restart" })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(
        Effect.flatMap(
          Stream.runCollect(Claude.stream(hi)),
          (events) => Effect.map(Claude.collect(Stream.fromIterable(events)), (message) => ({ events, message }))
        )
      )
      if (Exit.isFailure(exit)) return assert.fail(String(exit))
      const { events, message } = exit.value
      assert.deepStrictEqual(events.flatMap((event) => event.type === "restart" ? [event.attempt] : []), [3])
      assert.strictEqual(textOf(message), "five six")
      assert.strictEqual(at, 2_000)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a fatal error in a stream restarts nothing", () => {
    const { layer } = setUp([Answer.errorEvent("invalid_request_error", "no"), whole], {
      retry: retries(3),
      onBreak: "restart"
    })
    return Effect.gen(function*() {
      const { exit } = yield* run(Stream.runDrain(Claude.stream(hi)))
      assert.deepStrictEqual([reasonOf(exit), (yield* sentAt).length], ["InvalidRequest", 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("streamText fails where stream would restart", () => {
    const { layer } = setUp([broken, whole], { retry: retries(3), onBreak: "restart" })
    return Effect.gen(function*() {
      const { exit } = yield* run(Stream.runDrain(Claude.streamText(hi)))
      assert.deepStrictEqual([reasonOf(exit), (yield* sentAt).length], ["StreamInterrupted", 1])
    }).pipe(Effect.provide(layer))
  })
})

describe("retry and the rest", () => {
  it.effect("a JSON answer is retried as JSON, also when it broke in its middle", () => {
    const { layer } = setUp([Answer.error(529), Answer.truncate("midStream"), Answer.truncate("midStream"), whole], {
      retry: retries(3),
      wire: "json"
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([exit, at], [Exit.succeed("five six"), 3_000])
      assert.deepStrictEqual((yield* bodies).map(({ stream }) => stream ?? false), [false, false, false, false])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a repair has retries of its own", () => {
    const overloaded = Answer.error(529)
    const { layer } = setUp([overloaded, Answer.json({ answer: "?" }), overloaded, Answer.json({ answer: 42 })], {
      retry: retries(1)
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.object(Answered, hi))
      assert.deepStrictEqual([exit, at], [Exit.succeed({ answer: 42 }), 2_000])
      assert.deepStrictEqual((yield* bodies).map(({ messages }) => messages.length), [1, 1, 3, 3])
    }).pipe(Effect.provide(layer))
  })

  it.effect("no retry is made that the budget has no token for", () => {
    const { layer } = setUp([Answer.error(529)], { retry: retries(5), retryBudget: { burst: 2, ratio: 0 } })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([reasonOf(exit), errorOf(exit).attempts, at], ["Overloaded", 3, 2_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a nearer retry wins over a farther one, and leaves its tags", () => {
    const { layer, observed } = setUp([Answer.error(529)], { retry: retries(5) })
    return Effect.gen(function*() {
      const call = Claude.text(hi).pipe(
        Claude.withPolicy({ retry: retries(1), tags: { near: "1" } }),
        Claude.withPolicy({ retry: retries(3), tenant: "acme", tags: { far: "2", near: "3" } })
      )
      const { exit } = yield* run(call)
      assert.strictEqual(errorOf(exit).attempts, 2)
      const [span] = callSpans(observed)
      assert.strictEqual(span?.attributes.get("claude.tag.near"), "1")
      assert.strictEqual(span?.attributes.get("claude.tag.far"), "2")
      assert.strictEqual(span?.attributes.get("claude.tenant"), "acme")
      assert.strictEqual(span?.attributes.get("claude.attempt.count"), 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a program's own retry around a call makes a new call each time", () => {
    const { layer, observed } = setUp([Answer.error(529)], { retry: retries(1) })
    return Effect.gen(function*() {
      const { exit } = yield* run(Effect.retry(Claude.text(hi), { times: 1 }))
      assert.strictEqual(errorOf(exit).attempts, 2)
      assert.strictEqual((yield* sentAt).length, 4)
      assert.strictEqual(callSpans(observed).length, 2)
    }).pipe(Effect.provide(layer))
  })
})

describe("timeouts and concurrency", () => {
  it.effect("time in the queue counts against total, and not against headers or the first content", () => {
    const { layer } = setUp([Answer.delay("8 seconds", whole)], {
      concurrency: 1,
      retry: RetryPolicy.none,
      timeouts: { headers: "10 seconds", firstContent: "10 seconds", total: "20 seconds" }
    })
    return Effect.gen(function*() {
      const fibers = yield* Effect.forEach([1, 2, 3], () => start(Claude.text(hi)))
      yield* pass(40)
      const all = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(all.map(({ at, exit }) => [at, Exit.isSuccess(exit) ? "text" : reasonOf(exit)]), [
        [8_000, "text"],
        [16_000, "text"],
        [20_000, "DeadlineExceeded"]
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a call whose deadline passes in the queue leaves it, and is never sent", () => {
    const { layer, observed } = setUp(
      (_request, index) => Answer.delay(index === 0 ? "20 seconds" : "1 second", whole),
      { concurrency: 1 }
    )
    return Effect.gen(function*() {
      const holder = yield* start(Claude.text(hi))
      const hasty = yield* start(Claude.withPolicy({ timeouts: { total: "5 seconds" } })(Claude.text(hi)))
      const patient = yield* start(Claude.text(hi))
      yield* pass(10)
      const { at, exit } = yield* Fiber.join(hasty)
      assert.deepStrictEqual([at, reasonOf(exit), errorOf(exit).attempts], [5_000, "DeadlineExceeded", 0])
      assert.deepStrictEqual(observed.gauges(), { "claude.client.queue.depth": 1, "claude.client.active_requests": 1 })
      yield* pass(20)
      assert.deepStrictEqual([(yield* Fiber.join(holder)).at, (yield* Fiber.join(patient)).at], [20_000, 21_000])
      assert.strictEqual((yield* sentAt).length, 2)
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("who finds a place free has not waited, also after others have left the queue", () => {
    const { layer, observed } = setUp([Answer.delay("3 seconds", whole)], { concurrency: 1 })
    return Effect.gen(function*() {
      const waits = () =>
        observed.metrics().flatMap((metric) =>
          metric.id === "claude.client.wait.duration" && metric.type === "Histogram" ? [metric.state.count] : []
        ).reduce((sum, count) => sum + count, 0)
      const holder = yield* start(Claude.text(hi))
      const hasty = yield* start(Claude.withPolicy({ timeouts: { total: "1 second" } })(Claude.text(hi)))
      const left = yield* start(Claude.text(hi))
      yield* pass(2)
      yield* Fiber.interrupt(left)
      yield* pass(2)
      yield* Fiber.join(holder)
      assert.strictEqual(reasonOf((yield* Fiber.join(hasty)).exit), "DeadlineExceeded")
      assert.strictEqual(waits(), 2)
      yield* run(Claude.text(hi), 4)
      assert.strictEqual(waits(), 2)
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an attempt that timed out frees its permit at once", () => {
    const { layer } = setUp((_request, index) => index === 0 ? Answer.stall("midStream") : whole, {
      concurrency: 1,
      retry: RetryPolicy.none,
      timeouts: { idle: "3 seconds" }
    })
    return Effect.gen(function*() {
      const first = yield* start(Claude.text(hi))
      const second = yield* start(Claude.text(hi))
      yield* pass(10)
      assert.deepStrictEqual([(yield* Fiber.join(first)).at, (yield* Fiber.join(second)).at], [3_000, 3_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a consumer that takes its time keeps its permit and trips no timeout", () => {
    const { layer } = setUp([Answer.text("a b c")], {
      concurrency: 1,
      timeouts: { idle: "3 seconds", firstContent: "3 seconds" }
    })
    return Effect.gen(function*() {
      const slow = yield* start(Stream.runForEach(Claude.streamText(hi), () => Effect.sleep("10 seconds")))
      yield* pass(60)
      assert.isTrue(Exit.isSuccess((yield* Fiber.join(slow)).exit))
    }).pipe(Effect.provide(layer))
  })
})

describe("timeouts and onBreak", () => {
  it.effect("a stream that falls silent after content restarts, and its total begins anew", () => {
    const { layer, observed } = setUp([Answer.stall("midStream"), Answer.delay("7 seconds", whole)], {
      retry: retries(1),
      onBreak: "restart",
      timeouts: { idle: "5 seconds", total: "10 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.collect(Claude.stream(hi)))
      if (Exit.isFailure(exit)) return assert.fail(String(exit))
      assert.deepStrictEqual([textOf(exit.value), at], ["five six", 13_000])
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a restart whose content does not come within total fails the stream", () => {
    const { layer, observed } = setUp([Answer.stall("midStream"), Answer.stall("afterHeaders")], {
      retry: retries(5),
      onBreak: "restart",
      timeouts: { idle: "5 seconds", total: "4 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Stream.runDrain(Claude.stream(hi)))
      assert.deepStrictEqual([reasonOf(exit), at], ["DeadlineExceeded", 9_000])
      clean(observed)
    }).pipe(Effect.provide(layer))
  })
})

describe("timeouts and the rest", () => {
  it.effect("a JSON answer may take as long as total allows", () => {
    const { layer } = setUp([Answer.delay("50 seconds", whole)], {
      wire: "json",
      timeouts: { headers: "1 second", firstContent: "1 second", idle: "1 second" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([exit, at], [Exit.succeed("five six"), 50_000])
    }).pipe(Effect.provide(layer))
  })

  for (const retry of [RetryPolicy.none, retries(3)]) {
    it.effect(`a JSON answer that takes longer than total is a deadline, ${retry === RetryPolicy.none ? "without" : "with"} retries`, () => {
      const { layer } = setUp([Answer.stall("beforeHeaders")], {
        wire: "json",
        retry,
        timeouts: { total: "5 seconds" }
      })
      return Effect.gen(function*() {
        const { at, exit } = yield* run(Claude.text(hi))
        assert.deepStrictEqual([reasonOf(exit), at, errorOf(exit).attempts], ["DeadlineExceeded", 5_000, 1])
        const counted = yield* run(Claude.countTokens({ prompt: "Hi", model: defaults.model }))
        assert.isTrue(Exit.isFailure(counted.exit))
        if (Exit.isFailure(counted.exit)) assert.strictEqual(reasonOf(counted.exit), "DeadlineExceeded")
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("a JSON body that falls silent is no break before total", () => {
    const { layer } = setUp([Answer.stall("midStream")], {
      wire: "json",
      retry: RetryPolicy.none,
      timeouts: { total: "50 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([reasonOf(exit), at], ["DeadlineExceeded", 50_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a repair has a total of its own", () => {
    const { layer } = setUp([
      Answer.json({ answer: "?" }, { delay: "7 seconds" }),
      Answer.json({ answer: 1 }, { delay: "7 seconds" })
    ], {
      timeouts: { total: "10 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.object(Answered, hi))
      assert.deepStrictEqual([exit, at], [Exit.succeed({ answer: 1 }), 14_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a timeout takes its retry from the budget, and is the error where there is none", () => {
    const { layer } = setUp([Answer.stall("beforeHeaders")], {
      retry: retries(5),
      retryBudget: { burst: 1, ratio: 0 },
      timeouts: { headers: "2 seconds" }
    })
    return Effect.gen(function*() {
      const { at, exit } = yield* run(Claude.text(hi))
      assert.deepStrictEqual([reasonOf(exit), errorOf(exit).attempts, at], ["TimedOut", 2, 5_000])
    }).pipe(Effect.provide(layer))
  })

  it.effect("timeouts merge field by field over the client's", () => {
    const { layer } = setUp([Answer.stall("beforeHeaders")], {
      retry: RetryPolicy.none,
      timeouts: { headers: "9 seconds", total: "20 seconds" }
    })
    return Effect.gen(function*() {
      const near = yield* run(Claude.withPolicy({ tenant: "t", timeouts: { total: "5 seconds" } })(Claude.text(hi)))
      assert.deepStrictEqual([reasonOf(near.exit), near.at], ["DeadlineExceeded", 5_000])
      const other = yield* run(Claude.withPolicy({ tenant: "t", timeouts: { idle: "5 seconds" } })(Claude.text(hi)))
      assert.deepStrictEqual([reasonOf(other.exit), other.at - 120_000], ["TimedOut", 9_000])
    }).pipe(Effect.provide(layer))
  })
})

describe("concurrency and the rest", () => {
  it.effect("a restart takes its turn again: others pass while it backs off", () => {
    const { layer, observed } = setUp(
      (_request, index) => index === 0 ? broken : Answer.delay("4 seconds", whole),
      { concurrency: 1, retry: retries(1), onBreak: "restart" }
    )
    return Effect.gen(function*() {
      const first = yield* start(Claude.collect(Claude.stream(hi)))
      const second = yield* start(Claude.text(hi))
      yield* pass(20)
      assert.strictEqual((yield* Fiber.join(second)).at, 4_000)
      assert.strictEqual((yield* Fiber.join(first)).at, 8_000)
      clean(observed)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a JSON call holds its permit until its body is whole, and no longer", () => {
    const { layer } = setUp([Answer.drip(whole, { bytes: 100, every: "1 second" })], { concurrency: 1, wire: "json" })
    return Effect.gen(function*() {
      const first = yield* start(Claude.text(hi))
      const second = yield* start(Claude.text(hi))
      yield* pass(60)
      const { at } = yield* Fiber.join(first)
      assert.isAbove(at, 1_000)
      assert.deepStrictEqual(yield* sentAt, [0, at])
      assert.strictEqual((yield* Fiber.join(second)).at, 2 * at)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a stream frees its permit with its last event, before its consumer is done with it", () => {
    const { layer } = setUp([whole], { concurrency: 1 })
    return Effect.gen(function*() {
      const first = yield* start(
        Stream.runForEach(
          Claude.stream(hi),
          (event) => event.type === "message_stop" ? Effect.sleep("30 seconds") : Effect.void
        )
      )
      const second = yield* start(Claude.text(hi))
      yield* pass(60)
      assert.strictEqual((yield* Fiber.join(second)).at, 0)
      assert.isTrue(Exit.isSuccess((yield* Fiber.join(first)).exit))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a repair queues as any call does", () => {
    const order: Array<number> = []
    const { layer } = setUp(({ body }, index) => {
      order.push((body as { messages: ReadonlyArray<unknown> }).messages.length)
      return index === 0
        ? Answer.json({ answer: "?" }, { delay: "1 second" })
        : Answer.json({ answer: index }, { delay: "1 second" })
    }, { concurrency: 1 })
    return Effect.gen(function*() {
      const first = yield* start(Claude.object(Answered, hi))
      yield* Effect.repeat(machine, { times: 10 })
      const second = yield* start(Claude.text(hi))
      yield* pass(10)
      assert.isTrue(Exit.isSuccess((yield* Fiber.join(second)).exit))
      assert.deepStrictEqual((yield* Fiber.join(first)).exit, Exit.succeed({ answer: 2 }))
      assert.deepStrictEqual(order, [1, 1, 3])
    }).pipe(Effect.provide(layer))
  })

  it.effect("calls at once share one retry budget", () => {
    const { layer } = setUp([Answer.error(529)], {
      concurrency: 2,
      retry: retries(10),
      retryBudget: { burst: 3, ratio: 0 },
      circuit: false
    })
    return Effect.gen(function*() {
      const { exit } = yield* run(
        Effect.all(Array.from({ length: 8 }, () => Effect.flip(Claude.text(hi))), { concurrency: "unbounded" })
      )
      if (Exit.isFailure(exit)) return assert.fail(String(exit))
      assert.strictEqual(exit.value.reduce((sum, error) => sum + error.attempts, 0), 8 + 3)
      assert.strictEqual((yield* sentAt).length, 8 + 3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a wait for a turn is told on the span of the call that waited, with its tags", () => {
    const { layer, observed } = setUp([Answer.delay("3 seconds", whole)], { concurrency: 1 })
    return Effect.gen(function*() {
      const first = yield* start(Claude.withPolicy({ tenant: "a" })(Claude.text(hi)))
      const second = yield* start(Claude.withPolicy({ tenant: "b", tags: { job: "night" } })(Claude.text(hi)))
      yield* pass(10)
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      const waits = named(observed, "claude.wait concurrency")
      assert.deepStrictEqual(waits.map(secondsOf), [3])
      const parent = callSpans(observed).find((span) => span.spanId === Option.getOrThrow(waits[0]!.parent).spanId)
      assert.strictEqual(parent?.attributes.get("claude.tenant"), "b")
      assert.strictEqual(parent?.attributes.get("claude.tag.job"), "night")
      clean(observed)
    }).pipe(Effect.provide(layer))
  })
})

describe("onBreak and the rest", () => {
  it.effect("a JSON answer that breaks is retried unseen: no restart is told", () => {
    const { layer } = setUp([Answer.truncate("midStream"), whole], {
      wire: "json",
      onBreak: "restart",
      retry: retries(1)
    })
    return Effect.gen(function*() {
      const { exit } = yield* run(Stream.runCollect(Claude.stream(hi)))
      if (Exit.isFailure(exit)) return assert.fail(String(exit))
      assert.isFalse(exit.value.some((event) => event.type === "restart"))
      assert.strictEqual((yield* sentAt).length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("an object starts over whatever onBreak says, and that is no repair", () => {
    const { layer } = setUp([
      Answer.reset("midStream", Answer.json({ answer: 1 }, { chunk: 2 })),
      Answer.json({ answer: 2 })
    ], {
      onBreak: "fail",
      repair: 0,
      retry: retries(1)
    })
    return Effect.gen(function*() {
      const { exit } = yield* run(Claude.object(Answered, hi))
      assert.deepStrictEqual(exit, Exit.succeed({ answer: 2 }))
      assert.deepStrictEqual((yield* bodies).map(({ messages }) => messages.length), [1, 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a restart takes from the retry budget", () => {
    const { layer } = setUp([broken], { onBreak: "restart", retry: retries(9), retryBudget: { burst: 2, ratio: 0 } })
    return Effect.gen(function*() {
      const { exit } = yield* run(Stream.runDrain(Claude.stream(hi)))
      assert.deepStrictEqual([reasonOf(exit), errorOf(exit).attempts], ["StreamInterrupted", 3])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a stream and its restarts are one call with one set of tags", () => {
    const { layer, observed } = setUp([broken, broken, whole], { onBreak: "restart", retry: retries(5) })
    return Effect.gen(function*() {
      yield* run(Claude.withPolicy({ tags: { job: "night" } })(Stream.runDrain(Claude.stream(hi))))
      const spans = callSpans(observed)
      assert.strictEqual(spans.length, 1)
      assert.strictEqual(spans[0]!.attributes.get("claude.tag.job"), "night")
      assert.strictEqual(spans[0]!.attributes.get("claude.attempt.count"), 3)
      assert.strictEqual(spans[0]!.attributes.get("claude.outcome"), "success")
      assert.strictEqual(named(observed, "POST").length, 3)
      clean(observed)
    }).pipe(Effect.provide(layer))
  })
})

describe("wire, repair, the retry budget and tags", () => {
  it.effect("a repair travels as its object did", () => {
    const { layer } = setUp([Answer.json({ answer: "?" }), Answer.json({ answer: 1 })], { wire: "json" })
    return Effect.gen(function*() {
      const { exit } = yield* run(Claude.object(Answered, hi))
      assert.deepStrictEqual(exit, Exit.succeed({ answer: 1 }))
      assert.deepStrictEqual((yield* bodies).map(({ stream }) => stream ?? false), [false, false])
    }).pipe(Effect.provide(layer))
  })

  it.effect("both wires take from one retry budget", () => {
    const { layer } = setUp([Answer.error(529)], { retry: retries(1), retryBudget: { burst: 1, ratio: 0 } })
    return Effect.gen(function*() {
      const json = yield* run(Claude.withPolicy({ wire: "json" })(Claude.text(hi)), 5)
      const sse = yield* run(Claude.text(hi), 5)
      assert.deepStrictEqual([errorOf(json.exit).attempts, errorOf(sse.exit).attempts], [2, 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a nearer wire wins, and the tags of both apply", () => {
    const { layer, observed } = setUp([whole], { wire: "json" })
    return Effect.gen(function*() {
      yield* run(
        Claude.text(hi).pipe(
          Claude.withPolicy({ wire: "sse", tags: { a: "1" } }),
          Claude.withPolicy({ wire: "json", tags: { b: "2" } })
        ),
        1
      )
      assert.deepStrictEqual((yield* bodies).map(({ stream }) => stream), [true])
      const [span] = callSpans(observed)
      assert.deepStrictEqual([span?.attributes.get("claude.tag.a"), span?.attributes.get("claude.tag.b")], ["1", "2"])
      assert.strictEqual(span?.attributes.get("gen_ai.request.stream"), true)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a repair is no retry: it takes nothing from the budget", () => {
    const { layer } = setUp([Answer.json({ answer: "?" }), Answer.json({ answer: 1 })], {
      retryBudget: { burst: 0, ratio: 0 }
    })
    return Effect.gen(function*() {
      const { exit } = yield* run(Claude.object(Answered, hi), 5)
      assert.deepStrictEqual(exit, Exit.succeed({ answer: 1 }))
    }).pipe(Effect.provide(layer))
  })

  for (const repair of [0, 1, 2]) {
    it.effect(`the client asks for ${repair} repairs where no nearer policy says otherwise`, () => {
      const { layer } = setUp([Answer.json({ answer: "?" })], { repair })
      return Effect.gen(function*() {
        const { exit } = yield* run(Claude.object(Answered, hi), 5)
        assert.strictEqual(reasonOf(exit), "SchemaMismatch")
        assert.strictEqual((yield* sentAt).length, 1 + repair)
        yield* run(Claude.withPolicy({ repair: 3 })(Claude.object(Answered, hi)), 5)
        assert.strictEqual((yield* sentAt).length, 1 + repair + 4)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("an object and its repair carry the same tags", () => {
    const { layer, observed } = setUp([Answer.json({ answer: "?" }), Answer.json({ answer: 1 })])
    return Effect.gen(function*() {
      yield* run(Claude.withPolicy({ tenant: "acme", tags: { job: "night" } })(Claude.object(Answered, hi)), 5)
      assert.deepStrictEqual(
        callSpans(observed).map((
          { attributes }
        ) => [attributes.get("claude.tenant"), attributes.get("claude.tag.job")]),
        [["acme", "night"], ["acme", "night"]]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("tenants share the client's retry budget", () => {
    const { layer } = setUp([Answer.error(529)], { retry: retries(9), retryBudget: { burst: 3, ratio: 0 } })
    return Effect.gen(function*() {
      const a = yield* run(Claude.withPolicy({ tenant: "a" })(Claude.text(hi)), 9)
      const b = yield* run(Claude.withPolicy({ tenant: "b" })(Claude.text(hi)), 9)
      assert.deepStrictEqual([errorOf(a.exit).attempts, errorOf(b.exit).attempts], [4, 1])
    }).pipe(Effect.provide(layer))
  })
})
