import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Option, Schema, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
// What is loaded when it is first needed would come by the machine's clock.
import "effect/ai/AnthropicStructuredOutput"
import "effect/persistence/CircuitBreaker"
import { observe } from "./observe.ts"

const hi = { prompt: "Hi" }
const defaults = { model: "claude-opus-5-5", max_tokens: 100 }

const setUp = (answers: ScriptedTransport.Answers, options: Parameters<typeof Claude.layerTransport>[0] = {}) => {
  const observed = observe()
  const layer = Claude.layerTransport({ defaults, retry: RetryPolicy.none, ...options }).pipe(
    Layer.provideMerge(ScriptedTransport.layer(answers)),
    Layer.provideMerge(observed.layer)
  )
  return { observed, layer }
}

const machine = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** The circuit is loaded by the machine's clock. */
const loaded = Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 50)))

const sent = Effect.flatMap(ScriptedTransport.ScriptedTransport, ({ sent }) => sent)

const reason = (error: ClaudeError.ClaudeError) => error.reason._tag

const attributesOf = (observed: ReturnType<typeof observe>, n = -1) =>
  observed.spans.filter(({ name }) => name.startsWith("chat")).at(n)!.attributes

describe("the circuit", () => {
  const failing = { circuit: { minimumCalls: 3, size: 4, openDuration: "5 seconds" } } as const

  const trip = Effect.gen(function*() {
    for (let i = 0; i < 3; i++) yield* Effect.flip(Claude.text(hi))
    yield* loaded
  })

  it.effect("opens after too many failures, and turns calls away unsent with the time to come back", () => {
    const { layer, observed } = setUp(() => Answer.error(500), failing)
    return Effect.gen(function*() {
      yield* trip
      const error = yield* Effect.flip(Claude.text(hi))
      assert.strictEqual(reason(error), "CircuitOpen")
      assert.strictEqual(error.type, "circuit_open")
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(5))
      assert.strictEqual(error.attempts, 0)
      assert.strictEqual((yield* sent).length, 3)
      assert.strictEqual(attributesOf(observed).get("claude.outcome"), "rejected")
    }).pipe(Effect.provide(layer))
  })

  it.effect("lets one call probe, and closes when it is answered", () => {
    let isUp = false
    const { layer } = setUp(() => isUp ? Answer.text("up", { delay: "1 second" }) : Answer.error(503), failing)
    return Effect.gen(function*() {
      yield* trip
      isUp = true
      yield* TestClock.adjust("5 seconds")
      const probe = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
      yield* machine
      const other = yield* Effect.flip(Claude.text(hi))
      assert.strictEqual(reason(other), "CircuitOpen")
      assert.isTrue(Option.isSome(Option.fromUndefinedOr(other.retryAfter)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(probe), "up")
      const next = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), "up")
      assert.strictEqual((yield* sent).length, 5)
    }).pipe(Effect.provide(layer))
  })

  it.effect("stays open twice as long after a probe that failed", () => {
    const { layer } = setUp(() => Answer.error(503), failing)
    return Effect.gen(function*() {
      yield* trip
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(reason(yield* Effect.flip(Claude.text(hi))), "ServerError")
      const { retryAfter } = yield* Effect.flip(Claude.text(hi))
      assert.deepStrictEqual(retryAfter, Duration.seconds(10))
    }).pipe(Effect.provide(layer))
  })

  it.effect.each([400, 401, 404, 429] as const)("is not opened by a %i", (status) => {
    const { layer } = setUp(() => Answer.error(status), failing)
    return Effect.gen(function*() {
      for (let i = 0; i < 10; i++) yield* Effect.flip(Claude.text(hi))
      yield* loaded
      for (let i = 0; i < 10; i++) {
        yield* TestClock.adjust("10 minutes")
        assert.notStrictEqual(reason(yield* Effect.flip(Claude.text(hi))), "CircuitOpen")
      }
      assert.strictEqual((yield* sent).length, 20)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is opened by streams that break after their first content", () => {
    const { layer } = setUp(() => Answer.truncate("midStream", Answer.text("one two three")), failing)
    return Effect.gen(function*() {
      for (let i = 0; i < 3; i++) yield* Effect.flip(Stream.runDrain(Claude.stream(hi)))
      yield* loaded
      assert.strictEqual(reason(yield* Effect.flip(Stream.runDrain(Claude.stream(hi)))), "CircuitOpen")
    }).pipe(Effect.provide(layer))
  })

  it.effect("of one model leaves the others alone", () => {
    const { layer } = setUp(
      ({ body }) => JSON.stringify(body).includes("haiku") ? Answer.text("small") : Answer.error(500),
      failing
    )
    return Effect.gen(function*() {
      yield* trip
      assert.strictEqual(reason(yield* Effect.flip(Claude.text(hi))), "CircuitOpen")
      assert.strictEqual(yield* Claude.text({ ...hi, model: "claude-haiku-5-5" }), "small")
    }).pipe(Effect.provide(layer))
  })
})

describe("fallback", () => {
  it.effect("goes to the next model when one is overloaded, and the span says which served", () => {
    const { layer, observed } = setUp(({ body }) =>
      JSON.stringify(body).includes("claude-opus-5-5") ? Answer.error(529) : Answer.text("served")
    )
    return Effect.gen(function*() {
      const message = yield* Claude.message(hi).pipe(Claude.withPolicy({ fallback: ["claude-sonnet-5-5"] }))
      assert.strictEqual(message.model, "claude-sonnet-5-5")
      assert.strictEqual(message.attempts, 2)
      const attributes = attributesOf(observed)
      assert.strictEqual(attributes.get("claude.fallback.served_by"), "claude-sonnet-5-5 at scripted.invalid")
      assert.strictEqual(attributes.get("gen_ai.response.model"), "claude-sonnet-5-5")
      assert.isFalse(attributes.has("error.type"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("never takes a caller's mistake to the second target", () => {
    const { layer } = setUp(() => Answer.error(400))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Claude.text(hi).pipe(Claude.withPolicy({ fallback: ["claude-sonnet-5-5"] })))
      assert.strictEqual(reason(error), "InvalidRequest")
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("has each target's retries, and ends with the last one's error", () => {
    const { layer } = setUp(() => Answer.error(529), {
      retry: RetryPolicy.make({ times: 1, initial: 0 }),
      fallback: ["claude-sonnet-5-5", { model: "claude-haiku-5-5" }]
    })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Claude.text(hi))
      assert.strictEqual(reason(error), "Overloaded")
      assert.strictEqual(error.attempts, 6)
      const models = (yield* sent).map(({ body }) => (body as { readonly model: string }).model)
      assert.deepStrictEqual([...new Set(models)], ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("takes a refusal to the next target only where it is asked to", () => {
    const { layer } = setUp(({ body }) =>
      JSON.stringify(body).includes("claude-opus-5-5")
        ? Answer.text("no", { stopReason: "refusal" })
        : Answer.text("yes")
    )
    const fallback = ["claude-sonnet-5-5"]
    return Effect.gen(function*() {
      const kept = yield* Claude.message(hi).pipe(Claude.withPolicy({ fallback }))
      assert.strictEqual(kept.stop_reason, "refusal")
      const next = yield* Claude.message(hi).pipe(Claude.withPolicy({ fallback, onRefusal: "fallback" }))
      assert.strictEqual(next.model, "claude-sonnet-5-5")
      assert.strictEqual(next.attempts, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not wait for an open circuit where there is another target", () => {
    const { layer } = setUp(
      ({ body }) => JSON.stringify(body).includes("claude-opus-5-5") ? Answer.error(500) : Answer.text("other"),
      { circuit: { minimumCalls: 3, size: 4 } }
    )
    return Effect.gen(function*() {
      for (let i = 0; i < 3; i++) yield* Effect.flip(Claude.text(hi))
      yield* loaded
      const text = yield* Claude.text(hi).pipe(
        Claude.withPolicy({ fallback: ["claude-sonnet-5-5"], retry: RetryPolicy.standard })
      )
      assert.strictEqual(text, "other")
      assert.strictEqual((yield* sent).length, 4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("serves a stream whose first target fails before its content", () => {
    const { layer } = setUp(({ body }) =>
      JSON.stringify(body).includes("claude-opus-5-5")
        ? Answer.truncate("afterHeaders", Answer.text("no"))
        : Answer.text("from the other")
    )
    return Effect.gen(function*() {
      const text = yield* Claude.streamText(hi).pipe(
        Claude.withPolicy({ fallback: ["claude-sonnet-5-5"] }),
        Stream.mkString
      )
      assert.strictEqual(text, "from the other")
    }).pipe(Effect.provide(layer))
  })

  it.live("goes to a client of another endpoint, and shortens what the other model cannot give", () =>
    Effect.gen(function*() {
      const down = yield* ClaudeSimulator.make({ answers: () => Answer.error(503) })
      const up = yield* ClaudeSimulator.make({ otherwise: Answer.text("elsewhere") })
      const client = new Anthropic({ apiKey: "sk-ant-of-the-second", baseURL: up.url, maxRetries: 2 })
      const text = yield* Claude.text({ ...hi, max_tokens: 128_000 }).pipe(
        Claude.withPolicy({ fallback: [{ client, model: "claude-haiku-4-5" }] }),
        Effect.provide(Claude.layer({
          client: new Anthropic({ apiKey: "sk-ant-of-the-first", baseURL: down.url }),
          defaults,
          retry: RetryPolicy.none
        }))
      )
      assert.strictEqual(text, "elsewhere")
      assert.strictEqual((yield* down.log).requests, 1)
      const [entry] = (yield* up.log).entries
      assert.include(entry?.body as object, { model: "claude-haiku-4-5", max_tokens: 64_000 })
    }).pipe(Effect.scoped))
})

describe("budgets", () => {
  it.effect("turn a call away before a byte is sent, with the time when there is money again", () => {
    const { layer, observed } = setUp(() => Answer.text("Hello", { delay: "1 minute" }), {
      budget: [{ usd: 0.003, window: "1 day" }]
    })
    return Effect.gen(function*() {
      // 100 tokens of output at 20 USD a million are two thirds of it.
      yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
      yield* machine
      const error = yield* Effect.flip(Claude.text(hi))
      assert.strictEqual(reason(error), "BudgetExceeded")
      assert.deepStrictEqual(error.retryAfter, Duration.days(1))
      assert.deepStrictEqual([error.retryHere, error.mayFailOver], [false, false])
      assert.strictEqual((yield* sent).length, 1)
      assert.strictEqual(attributesOf(observed).get("claude.outcome"), "rejected")
      assert.strictEqual(attributesOf(observed).get("error.type"), "budget_exceeded")
    }).pipe(Effect.provide(layer))
  })

  it.effect("say nothing of later where a call is larger than the whole budget", () => {
    const { layer } = setUp(() => Answer.text("Hello"), { budget: [{ usd: 0.003, window: "1 day" }] })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Claude.text({ ...hi, max_tokens: 300 }))
      assert.deepStrictEqual([reason(error), error.retryAfter], ["BudgetExceeded", undefined])
    }).pipe(Effect.provide(layer))
  })

  it.effect("are settled with what a call cost, so many small calls fit", () => {
    const { layer } = setUp(() => Answer.text("Hello"), { budget: [{ tokens: 1000, window: "1 hour" }] })
    return Effect.gen(function*() {
      for (let i = 0; i < 20; i++) yield* Claude.text(hi)
      assert.strictEqual((yield* sent).length, 20)
    }).pipe(Effect.provide(layer))
  })

  it.effect("give back what an interrupted call had reserved", () => {
    const { layer } = setUp((_, index) => index < 5 ? Answer.stall("beforeHeaders") : Answer.text("Hello"), {
      budget: [{ usd: 0.003, window: "1 day" }]
    })
    return Effect.gen(function*() {
      for (let i = 0; i < 5; i++) {
        const fiber = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
        yield* machine
        yield* Fiber.interrupt(fiber)
      }
      assert.strictEqual(yield* Claude.text(hi), "Hello")
    }).pipe(Effect.provide(layer))
  })

  it.effect("are each tenant's own", () => {
    const { layer } = setUp(() => Answer.text("Hello"), {
      budget: [{ tokens: 150, window: "1 day", per: "tenant", tenants: { large: 10_000 } }]
    })
    return Effect.gen(function*() {
      const ask = (tenant: string) => Claude.text({ ...hi, max_tokens: 120 }).pipe(Claude.withPolicy({ tenant }))
      yield* ask("small")
      yield* ask("large")
      const results = [yield* Effect.exit(Effect.repeat(ask("small"), { times: 20 })), yield* Effect.exit(ask("large"))]
      assert.deepStrictEqual(results.map(Exit.isSuccess), [false, true])
    }).pipe(Effect.provide(layer))
  })

  it.effect("and what was spent are reported by day, tenant and model", () => {
    const { layer } = setUp(() => Answer.text("Hello"))
    return Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-11-21T23:59:59Z"))
      const acme = Claude.withPolicy({ tenant: "acme" })
      const messages = [
        yield* acme(Claude.message(hi)),
        yield* acme(Claude.message(hi)),
        yield* Claude.message({ ...hi, model: "claude-haiku-5-5" })
      ]
      yield* TestClock.adjust("2 seconds")
      yield* acme(Claude.message(hi))
      const rows = yield* Stream.runCollect(Claude.usage)
      assert.deepStrictEqual(
        rows.map(({ day, model, requests, tenant }) => [day, tenant, model, requests]),
        [
          ["2026-11-21", "", "claude-haiku-5-5", 1],
          ["2026-11-21", "acme", "claude-opus-5-5", 2],
          ["2026-11-22", "acme", "claude-opus-5-5", 1]
        ]
      )
      assert.closeTo(rows[1]!.cost, messages[0]!.cost!.amount + messages[1]!.cost!.amount, 1e-12)
      assert.strictEqual(rows[1]!.outputTokens, messages[0]!.usage.output_tokens * 2)
    }).pipe(Effect.provide(layer))
  })
})

describe("the response cache", () => {
  it.effect("answers a message and a stream with what was answered before, at no cost", () => {
    const { layer, observed } = setUp(() => Answer.text("Hello there"), { cache: true })
    return Effect.gen(function*() {
      const first = yield* Claude.message(hi)
      const second = yield* Claude.message(hi)
      assert.deepStrictEqual(second.content, first.content)
      assert.deepStrictEqual([first.cached, second.cached], [false, true])
      assert.deepStrictEqual([second.attempts, second.cost?.amount, second.billed], [0, 0, undefined])
      assert.strictEqual(yield* Stream.mkString(Claude.streamText(hi)), "Hello there")
      const collected = yield* Claude.collect(Claude.stream(hi))
      assert.deepStrictEqual([collected.content, collected.cached], [first.content, true])
      assert.strictEqual((yield* sent).length, 1)
      assert.strictEqual(attributesOf(observed).get("claude.cache.outcome"), "hit")
      assert.strictEqual(attributesOf(observed).get("claude.outcome"), "success")
    }).pipe(Effect.provide(layer))
  })

  it.effect("keeps what a stream answered", () => {
    const { layer } = setUp(() => Answer.text("Hello there"), { cache: true })
    return Effect.gen(function*() {
      const events = yield* Stream.runCollect(Claude.stream(hi))
      const last = events.at(-1)
      assert.isFalse(last?.type === "message_stop" && last.cached)
      assert.strictEqual(yield* Claude.text(hi), "Hello there")
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("shares one request among callers who ask the same at the same time, and it ends with the last of them", () => {
    const { layer, observed } = setUp(() => Answer.text("Hello", { delay: "1 second" }), { cache: true })
    return Effect.gen(function*() {
      const ask = Effect.forkChild(Claude.message(hi), { startImmediately: true })
      const first = yield* ask
      yield* machine
      const second = yield* ask
      const third = yield* ask
      yield* machine
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("1 second")
      const messages = [yield* Fiber.join(second), yield* Fiber.join(third)]
      assert.deepStrictEqual(messages.map(({ cached }) => cached), [true, true])
      assert.strictEqual((yield* sent).length, 1)
      const all = [yield* ask, yield* ask]
      yield* Effect.forEach(all, Fiber.join)
      assert.strictEqual((yield* sent).length, 1)
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.provide(layer))
  })

  it.effect("gives up the shared request when its last caller leaves", () => {
    const { layer, observed } = setUp(() => Answer.text("Hello", { delay: "1 minute" }), { cache: true })
    return Effect.gen(function*() {
      const fibers = []
      for (let i = 0; i < 3; i++) {
        fibers.push(yield* Effect.forkChild(Claude.message(hi), { startImmediately: true }))
        yield* machine
      }
      yield* Effect.forEach(fibers, Fiber.interrupt)
      assert.deepStrictEqual((yield* sent).map(({ closedAt }) => closedAt === undefined), [false])
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.provide(layer))
  })

  it.effect("keeps no error and no message that was cut", () => {
    const { layer } = setUp(
      (_, index) =>
        index === 0
          ? Answer.error(529)
          : index === 1
          ? Answer.text("cut", { stopReason: "max_tokens" })
          : Answer.text("whole"),
      { cache: true }
    )
    return Effect.gen(function*() {
      yield* Effect.flip(Claude.message(hi))
      assert.strictEqual((yield* Claude.message(hi)).stop_reason, "max_tokens")
      assert.strictEqual(yield* Claude.text(hi), "whole")
      assert.strictEqual(yield* Claude.text(hi), "whole")
      assert.strictEqual((yield* sent).length, 3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is each tenant's own, unless they share it, and may be left out by a call", () => {
    const { layer } = setUp(() => Answer.text("Hello"), { cache: true })
    return Effect.gen(function*() {
      const as = (tenant: string) => Claude.text(hi).pipe(Claude.withPolicy({ tenant }))
      yield* as("a")
      yield* as("a")
      yield* as("b")
      assert.strictEqual((yield* sent).length, 2)
      yield* as("a").pipe(Claude.withPolicy({ cache: false }))
      assert.strictEqual((yield* sent).length, 3)
    }).pipe(Effect.provide(layer))
  })

  it.effect("serves objects, too", () => {
    const { layer } = setUp(() => Answer.json({ n: 1 }), { cache: true })
    return Effect.gen(function*() {
      const ask = Claude.object(Schema.Struct({ n: Schema.Int }), hi)
      assert.deepStrictEqual([yield* ask, yield* ask], [{ n: 1 }, { n: 1 }])
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer))
  })
})

describe("tenants and limits", () => {
  it.effect("a closed list refuses whom it does not know, and who names none", () => {
    const { layer } = setUp(() => Answer.hello, { tenants: { known: { acme: { weight: 2 } }, others: "refused" } })
    return Effect.gen(function*() {
      yield* Claude.text(hi).pipe(Claude.withPolicy({ tenant: "acme" }))
      const stranger = yield* Effect.flip(Claude.text(hi).pipe(Claude.withPolicy({ tenant: "else" })))
      const nobody = yield* Effect.flip(Claude.text(hi))
      for (const error of [stranger, nobody]) assert.strictEqual(reason(error), "Misconfigured")
      assert.include(stranger.message, "else")
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a full queue turns a call away, which is not tried again here", () => {
    const { layer } = setUp(() => Answer.stall("beforeHeaders"), {
      concurrency: 1,
      queue: 1,
      retry: RetryPolicy.standard
    })
    return Effect.gen(function*() {
      for (let i = 0; i < 2; i++) {
        yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
        yield* machine
      }
      const error = yield* Effect.flip(Claude.text(hi))
      assert.deepStrictEqual([reason(error), error.retryHere, error.mayFailOver], ["QueueFull", false, true])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a limit that was configured is waited for, and the wait has a span", () => {
    const { layer, observed } = setUp(() => Answer.hello, { rateLimits: { requests: 2, window: "10 seconds" } })
    return Effect.gen(function*() {
      yield* Claude.text(hi)
      yield* Claude.text(hi)
      const third = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* sent).length, 2)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(third)
      assert.isTrue(observed.spans.some(({ name }) => name === "claude.wait rate_limit"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a wait that cannot end in time fails at once", () => {
    const { layer } = setUp(() => Answer.hello, {
      rateLimits: { requests: 1, window: "1 minute" },
      timeouts: { total: "10 seconds" }
    })
    return Effect.gen(function*() {
      yield* Claude.text(hi)
      assert.strictEqual(reason(yield* Effect.flip(Claude.text(hi))), "DeadlineExceeded")
      assert.strictEqual((yield* sent).length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a 429 pauses the calls that come after it until its reset", () => {
    const { layer } = setUp((_, index) =>
      index === 0
        ? Answer.error(429, {
          headers: {
            "retry-after": "20",
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "1970-01-01T00:01:00Z"
          }
        })
        : Answer.hello
    )
    return Effect.gen(function*() {
      assert.strictEqual(reason(yield* Effect.flip(Claude.text(hi))), "RateLimited")
      const next = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual((yield* sent).length, 1)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(next)
    }).pipe(Effect.provide(layer))
  })

  it.effect("a caller that waits is served in its turn: a tenant with one call is not behind another's hundred", () => {
    const order: Array<string> = []
    const { layer } = setUp(({ body }) => {
      order.push(JSON.stringify(body).includes("small") ? "small" : "large")
      return Answer.text("Hello", { delay: "1 second" })
    }, { concurrency: 1 })
    return Effect.gen(function*() {
      const ask = (tenant: string) =>
        Effect.forkChild(Claude.text({ prompt: tenant }).pipe(Claude.withPolicy({ tenant })), {
          startImmediately: true
        })
      const fibers = []
      for (let i = 0; i < 100; i++) fibers.push(yield* ask("large"))
      const small = yield* ask("small")
      yield* Effect.repeat(Effect.andThen(machine, TestClock.adjust("1 second")), { times: 4 })
      yield* Fiber.join(small)
      assert.isAtMost(order.indexOf("small"), 2)
      yield* Effect.forEach(fibers, Fiber.interrupt)
    }).pipe(Effect.provide(layer))
  })
})
