/** How many series there are does not depend on who calls, what for, or for how long. */
import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Layer, Logger, Metric } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as AdmissionTelemetry from "../../src/telemetry/AdmissionTelemetry.ts"
import * as Contract from "./contract.ts"

const opus = "claude-opus-5-5"
const haiku = "claude-haiku-4-5"

/** Every kind of answer in its turn, each with something in it that nobody has seen before. */
const answers: ScriptedTransport.Answers = (_request, index) => {
  const usage = { input_tokens: 10, output_tokens: 4, cache_read_input_tokens: 3, cache_creation_input_tokens: 2 }
  const kinds = [
    Answer.text("Hi there", { id: `msg_${index}`, usage }),
    Answer.text("Hi there", { id: `msg_${index}`, usage, model: `claude-made-up-answer-${index}` }),
    Answer.error(400, { type: `made_up_error_${index}` }),
    Answer.error(500, { type: `made_up_error_${index}` }),
    Answer.errorEvent(`made_up_event_${index}`, "no"),
    Answer.truncate("midStream"),
    Answer.raw([], {
      headers: {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": new Date(index * 60_000).toISOString(),
        "anthropic-ratelimit-made-up-limit": "1"
      }
    })
  ]
  return kinds[index % kinds.length]!
}

const client = () =>
  Claude.layerTransport({
    retry: RetryPolicy.make({ times: 1, initial: "10 millis" }),
    // What turns calls away would keep their answers from being seen.
    circuit: { openDuration: "20 millis" },
    rateLimits: { requests: 100_000 },
    telemetry: { tenants: true },
    budget: [
      { name: "daily", usd: 0.001, window: "1 minute", unpriced: "allow" },
      { name: "by tenant", tokens: 300, window: "1 minute", per: "tenant" }
    ]
  }).pipe(Layer.provide(ScriptedTransport.layer(answers)))

/** A call of a tenant of its own, every third for a model of its own. */
const call = (n: number) =>
  Claude.message({ model: n % 3 === 0 ? `claude-made-up-${n}` : opus, max_tokens: 10, prompt: `Hello ${n}` }).pipe(
    Claude.withPolicy({
      tenant: `tenant-${n}`,
      tags: { number: String(n) },
      cache: n % 5 === 0,
      fallback: n % 2 === 0 ? [haiku, `claude-made-up-fallback-${n}`] : []
    }),
    Effect.exit
  )

const calls = (from: number, to: number) =>
  Effect.gen(function*() {
    for (let n = from; n < to; n++) {
      const fiber = yield* Effect.forkChild(call(n), { startImmediately: true })
      for (let i = 0; i < 4; i++) yield* TestClock.adjust("25 millis")
      // Each second call is in a window of its own.
      if (n % 2 === 0) yield* TestClock.adjust("1 minute")
      if (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 minute")
    }
  })

describe("series", () => {
  it.effect("have no label that tenants, models, answers or windows could make more of", () => {
    const registry: Context.Service.Shape<typeof Metric.MetricRegistry> = new Map()
    return Effect.gen(function*() {
      // Two clients, which are one to who reads.
      for (const from of [0, 10_000]) {
        yield* calls(from, from + 220).pipe(Effect.provide(client(), { local: true }))
      }
      assert.isAbove(registry.size, 50)
      const tenants = new Set<string>()
      const open = new Set<string>()
      for (const { attributes = {}, id } of registry.values()) {
        for (const [name, value] of Object.entries(attributes)) {
          if (name === "unit") continue
          const { oneOf } = Contract.metrics[id]!.labels[name]!
          if (name === "claude.tenant") tenants.add(value)
          else if (oneOf === undefined) open.add(`${name} ${value}`)
          else assert.isTrue(oneOf instanceof RegExp ? oneOf.test(value) : oneOf.includes(value), `${id}: ${value}`)
        }
      }
      assert.deepStrictEqual([...open], ["server.address scripted.invalid", "server.port 80"])
      assert.strictEqual(tenants.size, 101)
      assert.isTrue(tenants.has("other"))
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, registry),
      Effect.provideService(Logger.CurrentLoggers, new Set())
    )
  })

  it.effect("are no more after many than after some", () => {
    const registry: Context.Service.Shape<typeof Metric.MetricRegistry> = new Map()
    return Effect.gen(function*() {
      const telemetry = yield* AdmissionTelemetry.make
      const tell = (n: number) =>
        Effect.gen(function*() {
          telemetry.level(`claude-made-up-${n}`, n)
          for (const kind of ["requests", "tokens", "inputTokens", "outputTokens"] as const) {
            telemetry.rateReset(`claude-made-up-${n}`, kind, n)
            telemetry.rates(`claude-made-up-${n}`, [{ kind, limit: n, level: 0 }])
          }
          telemetry.budget("daily", 10, n % 10, "USD", n * 1000)
          const facts = { tenant: `tenant-${n}`, unit: "USD", spent: n, limit: n, windowEndsAt: n } as const
          yield* telemetry.budgetEvent("Exceeded", "daily", facts)
          telemetry.promptCacheMissed(`claude-made-up-${n}`)
          yield* TestClock.adjust("1 second")
        })
      yield* Effect.forEach(Array.from({ length: 10 }, (_, n) => n), tell)
      const before = [...registry.keys()]
      yield* Effect.forEach(Array.from({ length: 1000 }, (_, n) => n + 10), tell)
      assert.sameMembers([...registry.keys()], before)
    }).pipe(
      Effect.provideService(Metric.MetricRegistry, registry),
      Effect.provideService(Logger.CurrentLoggers, new Set())
    )
  })
})
