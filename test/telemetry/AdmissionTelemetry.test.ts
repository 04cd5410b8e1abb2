import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Metric, References } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { formatPrometheus } from "effect-claude/telemetry"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as AdmissionTelemetry from "../../src/telemetry/AdmissionTelemetry.ts"

/** A registry of its own, and what its gauges and counters are when they are read. */
const registered = () => {
  const registry: Context.Service.Shape<typeof Metric.MetricRegistry> = new Map()
  const read = (name: string) =>
    Object.fromEntries(
      Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, registry)).flatMap((metric) => {
        if (metric.id !== name || (metric.type !== "Gauge" && metric.type !== "Counter")) return []
        const { unit: _unit, ...labels } = metric.attributes ?? {}
        const value = metric.type === "Gauge" ? metric.state.value : metric.state.count
        return [[Object.values(labels).join(" "), Number(value)]]
      })
    )
  return { read, provide: Effect.provideService(Metric.MetricRegistry, registry) }
}

const opus = "claude-opus-5-5"

/** A client that is told these headers, and nothing after them. */
const layer = (headers: Record<string, string>) =>
  Claude.layerTransport({ retry: RetryPolicy.none }).pipe(
    Layer.provide(ScriptedTransport.layer([Answer.raw([], { headers })]))
  )
const call = Effect.flip(Claude.message({ model: opus, max_tokens: 10, prompt: "Hello" }))

describe("rate limits", () => {
  it.effect("count down to their reset, and are not shown from there on", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      telemetry.rateReset(opus, "inputTokens", 30)
      telemetry.rates(opus, [{ kind: "inputTokens", limit: 1000, level: 200.7 }])
      const now = () => [read("claude.ratelimit.remaining"), read("claude.ratelimit.reset")]
      const key = `input_tokens ${opus}`
      assert.deepStrictEqual(now(), [{ [key]: 200 }, { [key]: 30 }])
      yield* TestClock.adjust("29 seconds")
      assert.deepStrictEqual(now(), [{ [key]: 200 }, { [key]: 1 }])
      assert.deepStrictEqual(read("claude.ratelimit.limit"), { [key]: 1000 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([...now(), read("claude.ratelimit.limit")], [{}, {}, {}])
      yield* TestClock.adjust("1 hour")
      telemetry.rateReset(opus, "inputTokens", 60)
      telemetry.rates(opus, [{ kind: "inputTokens", limit: 500, level: -3 }])
      assert.deepStrictEqual(now(), [{ [key]: 0 }, { [key]: 60 }])
      assert.deepStrictEqual(read("claude.ratelimit.limit"), { [key]: 500 })
    }).pipe(provide)
  })

  it.effect("say nothing of what is left where nobody tells when it is whole again", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      telemetry.rates(opus, [{ kind: "outputTokens", limit: 8000, level: 10 }])
      assert.deepStrictEqual(read("claude.ratelimit.limit"), { [`output_tokens ${opus}`]: 8000 })
      assert.deepStrictEqual(read("claude.ratelimit.remaining"), {})
      assert.deepStrictEqual(read("claude.ratelimit.reset"), {})
    }).pipe(provide)
  })

  it.effect("are those of the client that was told last", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      const [one, other] = [yield* AdmissionTelemetry.make, yield* AdmissionTelemetry.make]
      const tell = (telemetry: AdmissionTelemetry.AdmissionTelemetry, level: number, reset = 60) => {
        telemetry.rateReset(opus, "requests", reset)
        telemetry.rates(opus, [{ kind: "requests", limit: 50, level }])
        return read("claude.ratelimit.requests.remaining")
      }
      assert.deepStrictEqual(tell(one, 40), { [`requests ${opus}`]: 40 })
      assert.deepStrictEqual(tell(other, 30), { [`requests ${opus}`]: 30 })
      assert.deepStrictEqual(tell(one, 20), { [`requests ${opus}`]: 20 })
      // What one was told ends with its own reset, and hides nothing of the other.
      assert.deepStrictEqual(tell(other, 10, 90), { [`requests ${opus}`]: 10 })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(read("claude.ratelimit.reset"), { [`requests ${opus}`]: 30 })
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(read("claude.ratelimit.reset"), {})
    }).pipe(provide)
  })

  it.effect("that are told again before their reset are shown until the new one", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      const tell = (reset: number) => {
        telemetry.rateReset(opus, "tokens", reset)
        telemetry.rates(opus, [{ kind: "tokens", limit: 100, level: 60 }])
      }
      const remaining = () => Object.values(read("claude.ratelimit.remaining"))
      tell(10)
      yield* TestClock.adjust("9 seconds")
      tell(10)
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(remaining(), [60])
      tell(3)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(remaining(), [60])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(remaining(), [])
    }).pipe(provide)
  })

  it.effect("of a client that has ended are exported once more, and no longer than until their reset", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      yield* Effect.scoped(Effect.map(AdmissionTelemetry.make, (telemetry) => {
        telemetry.rateReset(opus, "tokens", 10)
        telemetry.rates(opus, [{ kind: "tokens", limit: 100, level: 60 }])
      }))
      const remaining = () => Object.values(read("claude.ratelimit.remaining"))
      assert.deepStrictEqual(remaining(), [60])
      yield* TestClock.adjust("10 seconds")
      // Nobody is left to hide it but who reads it: once, as what it is by then.
      assert.deepStrictEqual([remaining(), remaining()], [[100], []])
    }).pipe(provide)
  })

  it.effect("are read as they are when Prometheus comes by, of a client's calls", () => {
    const { provide } = registered()
    const told = {
      "anthropic-ratelimit-requests-limit": "50",
      "anthropic-ratelimit-requests-remaining": "10",
      "anthropic-ratelimit-requests-reset": new Date(60_000).toISOString()
    }
    return Effect.gen(function*() {
      yield* call
      const line = (text: string) => text.split("\n").find((line) => line.startsWith("claude_ratelimit_requests_rem"))
      assert.match(line(yield* formatPrometheus) ?? "", / 10$/)
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(line(yield* formatPrometheus))
    }).pipe(Effect.provide(layer(told)), provide)
  })

  it.effect("warn once when little is left, and again after they have recovered", () => {
    const { provide } = registered()
    const logs: Array<unknown> = []
    const logger = Logger.make(({ fiber, message }) => {
      logs.push([message, fiber.getRef(References.CurrentLogAnnotations)])
    })
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      for (const level of [1000, 49, 30, 0, 90, 20, 101, 12.5]) {
        telemetry.rates(opus, [{ kind: "tokens", limit: 1000, level }])
      }
      const low = (remaining: number) => [
        ["claude.ratelimit.low"],
        { "claude.ratelimit.kind": "tokens", "gen_ai.request.model": opus, limit: 1000, remaining }
      ]
      assert.deepStrictEqual(logs, [low(49), low(12)])
    }).pipe(Effect.provideService(Logger.CurrentLoggers, new Set([logger])), provide)
  })

  it.effect("warn where the call logs that met them, wherever the client was built", () => {
    const { provide } = registered()
    const logs: Array<string> = []
    const logger = Logger.make(({ message }) => void logs.push(String(message)))
    const headers = { "anthropic-ratelimit-tokens-limit": "1000", "anthropic-ratelimit-tokens-remaining": "1" }
    return Effect.gen(function*() {
      yield* Effect.provideService(call, Logger.CurrentLoggers, new Set([logger]))
      assert.include(logs, "claude.ratelimit.low")
    }).pipe(Effect.provide(layer(headers)), provide)
  })
})

describe("budgets", () => {
  it.effect("are told in their unit, each under a name of its own", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      telemetry.budget("money", 10, 2.5, "USD")
      telemetry.budget("tokens", 1000, -7, "tokens")
      assert.deepStrictEqual(read("claude.budget.limit"), { money: 10 })
      assert.deepStrictEqual(read("claude.budget.remaining"), { money: 2.5 })
      assert.deepStrictEqual(read("claude.budget.tokens.limit"), { tokens: 1000 })
      assert.deepStrictEqual(read("claude.budget.tokens.remaining"), { tokens: 0 })
    }).pipe(provide)
  })

  it.effect("are whole again when their window ends, whoever comes by", () => {
    const { provide, read } = registered()
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      telemetry.budget("hourly", 10, 0, "USD", 3_600_000)
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(read("claude.budget.remaining"), { hourly: 0 })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(read("claude.budget.remaining"), { hourly: 10 })
    }).pipe(provide)
  })

  it.effect("count every refusal, and warn of the first", () => {
    const { provide, read } = registered()
    const logs: Array<string> = []
    const logger = Logger.make(({ message }) => void logs.push(String(message)))
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      const facts = { tenant: undefined, unit: "USD", spent: 1, limit: 1, windowEndsAt: 0, needed: 1 } as const
      yield* telemetry.budgetEvent("Exceeded", "money", { ...facts, first: true })
      yield* telemetry.budgetEvent("Exceeded", "money", { ...facts, first: false })
      assert.deepStrictEqual(read("claude.budget.rejections"), { money: 2 })
      assert.deepStrictEqual(logs, ["claude.budget.exceeded"])
    }).pipe(Effect.provideService(Logger.CurrentLoggers, new Set([logger])), provide)
  })
})

describe("a logger that throws", () => {
  it.effect("fails nobody", () => {
    const { provide, read } = registered()
    const logger = Logger.make(() => {
      throw new Error("no")
    })
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      telemetry.rates(opus, [{ kind: "tokens", limit: 1000, level: 0 }])
      yield* telemetry.storeUnavailable("cache", "no connection")
      yield* telemetry.circuit("api:443/m", "api:443/other", { from: "Closed", to: "Open" })
      assert.deepStrictEqual(read("claude.store.unavailable"), { cache: 1 })
      assert.deepStrictEqual(read("claude.circuit.state"), { "api:443/other": 2 })
    }).pipe(Effect.provideService(Logger.CurrentLoggers, new Set([logger])), provide)
  })
})
