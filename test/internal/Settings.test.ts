import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"

const apiKey = Redacted.make("k")

// What a program without types, or with a typing error, hands in.
const refusals: ReadonlyArray<readonly [name: string, option: string, options: object]> = [
  ["an unknown option", "modle", { apiKey, modle: "claude-opus-5-5" }],
  ["an unknown default", "defaults.maxTokens", { apiKey, defaults: { maxTokens: 1 } }],
  ["an unknown part of the retry budget", "retryBudget.rat", { apiKey, retryBudget: { rat: 1 } }],
  ["an unknown part of telemetry", "telemetry.contents", { apiKey, telemetry: { contents: {} } }],
  ["a redactor by another name", "telemetry.content.redactor", {
    apiKey,
    telemetry: { content: { capture: "span", redactor: () => "" } }
  }],
  ["a capture that is none", "telemetry.content.capture", { apiKey, telemetry: { content: { capture: "spam" } } }],
  ["a capture that is true", "telemetry.content.capture", { apiKey, telemetry: { content: { capture: true } } }],
  ["an unknown timeout", "timeouts.connect", { apiKey, timeouts: { connect: "1 second" } }],
  ["timeouts that are none", "timeouts", { apiKey, timeouts: null }],
  ["a retry that is no policy", "retry", { apiKey, retry: { times: 3 } }],
  ["a key beside a client", "apiKey", { apiKey, client: new Anthropic({ apiKey: "k" }) }],
  ["a key that is a bare text", "apiKey", { apiKey: "sk-bare" }],
  ["a key that was never set", "apiKey", { apiKey: Redacted.make(undefined) }],
  ["a key that is empty", "apiKey", { apiKey: Redacted.make("") }],
  ["no key and no client", "apiKey", {}],
  ["a concurrency of nothing", "concurrency", { apiKey, concurrency: 0 }],
  ["a concurrency that is no number", "concurrency", { apiKey, concurrency: Number.NaN }],
  ["a part of a call at once", "concurrency", { apiKey, concurrency: 1.5 }],
  ["no concurrency at all", "concurrency", { apiKey, concurrency: null }],
  ["a most of nothing", "concurrency.max", { apiKey, concurrency: { max: 0 } }],
  ["an unknown part of concurrency", "concurrency.maximum", { apiKey, concurrency: { maximum: 5 } }],
  ["no queue at all", "queue", { apiKey, queue: null }],
  ["a queue below zero", "queue", { apiKey, queue: -1 }],
  ["a queue without end", "queue", { apiKey, queue: Infinity }],
  ["a limit below zero", "rateLimits.requests", { apiKey, rateLimits: { requests: -1 } }],
  ["a limit of zero", "rateLimits.inputTokens", { apiKey, rateLimits: { inputTokens: 0 } }],
  ["a limit that is no number", "rateLimits.requests", { apiKey, rateLimits: { requests: Number.NaN } }],
  ["a window of nothing", "rateLimits.window", { apiKey, rateLimits: { requests: 1, window: 0 } }],
  ["a window that is no time", "rateLimits.window", { apiKey, rateLimits: { window: "abc" } }],
  ["a model's limit below zero", "rateLimits.models.claude-opus-5-5.requests", {
    apiKey,
    rateLimits: { models: { "claude-opus-5-5": { requests: -2 } } }
  }],
  ["a model without limits", "rateLimits.models.claude-opus-5-5", {
    apiKey,
    rateLimits: { models: { "claude-opus-5-5": null } }
  }],
  ["tenants that are no record", "tenants.known", { apiKey, tenants: { known: null } }],
  ["tenants that are a number", "tenants.known", { apiKey, tenants: { known: 5, others: "refused" } }],
  ["a weight that is no number", "tenants.known.a.weight", {
    apiKey,
    tenants: { known: { a: { weight: Number.NaN } } }
  }],
  ["a circuit that is none", "circuit", { apiKey, circuit: null }],
  ["a circuit that is true", "circuit", { apiKey, circuit: true }],
  ["a rate of failures as text", "circuit.failureRate", { apiKey, circuit: { failureRate: "0.5" } }],
  ["a retry budget that is no number", "retryBudget.ratio", { apiKey, retryBudget: { ratio: Number.NaN } }],
  ["a fallback to a number", "fallback[0].model", { apiKey, fallback: [{ model: 42 }] }],
  ["a fallback to a model without a name", "fallback[0].model", { apiKey, fallback: [{ model: "" }] }],
  ["a fallback to what is no client", "fallback[0].client", { apiKey, fallback: [{ client: {} }] }],
  ["a fallback to no client", "fallback[0].client", { apiKey, fallback: [{ client: null }] }],
  ["a refusal's unknown end", "onRefusal", { apiKey, onRefusal: "go" }],
  ["a cache with options", "cache", { apiKey, cache: { ttl: "1 hour" } }],
  ["prices that are none", "pricing", { apiKey, pricing: {} }],
  ["no prices", "pricing", { apiKey, pricing: null }],
  ["headers that are a text", "headers", { apiKey, headers: "x" }],
  ["a header that is a number", "headers", { apiKey, headers: { "anthropic-beta": 5 } }],
  ["a model that is a number", "defaults.model", { apiKey, defaults: { model: 5 } }],
  ["a retry without its bound", "retry", { apiKey, retry: { schedule: RetryPolicy.standard.schedule } }],
  ["a propagation by another word", "telemetry.propagate", { apiKey, telemetry: { propagate: "no" } }],
  ["a redactor that is a text", "telemetry.content.redact", {
    apiKey,
    telemetry: { content: { capture: "span", redact: "x" } }
  }],
  ["tenants told by number", "telemetry.tenants", { apiKey, telemetry: { tenants: 5 } }],
  ["a timeout without end", "timeouts.total", { apiKey, timeouts: { total: Infinity } }]
]

const policies: ReadonlyArray<readonly [option: string, policy: object, options?: object]> = [
  ["tenant", { tenant: 5 }],
  ["tenant", { tenant: null }],
  ["tenant", { tenant: "" }],
  ["tenant", { tenant: 5 }, { tenants: { known: { a: {} }, others: "refused" } }],
  ["tags", { tags: "x" }],
  ["tags", { tags: { a: 5 } }],
  ["headers", { headers: null }],
  ["headers", { headers: { a: 5 } }],
  ["priority", { priority: "high" }],
  ["fallback[0].client", { fallback: [{ client: {} }] }],
  ["concurrency", { concurrency: 1 }],
  ["retry", { retry: 3 }],
  ["timeouts.total", { timeouts: { total: -1 } }]
]

describe("a client's options", () => {
  it.effect.each(refusals)(
    "%s is refused by name, before anything is sent",
    ([, option, options]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.provide(Effect.void, Claude.layer(options as Claude.Options)))
        assert.strictEqual(error.reason._tag, "Misconfigured")
        assert.isTrue(error.reason._tag === "Misconfigured" && error.reason.option === option, error.message)
        assert.include(error.message, option.split(".").at(-1)!)
        assert.notInclude(error.message, "sk-bare")
      })
  )
})

describe("a policy", () => {
  it.effect.each(policies)(
    "that cannot be meant is refused by name: %s, %o",
    ([option, policy, options]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Claude.text({ prompt: "Hello" }).pipe(Claude.withPolicy(policy)))
        assert.deepInclude(error.reason, { _tag: "Misconfigured", option })
      }).pipe(Effect.provide(
        Claude.layerTransport({ defaults: { model: "claude-haiku-5-5" }, ...options }).pipe(
          Layer.provideMerge(ScriptedTransport.layer([Answer.text("Hi")]))
        )
      ))
  )
})

describe("headers", () => {
  it.effect("of betas add up, and of others the nearest wins, however they are spelt", () =>
    Effect.gen(function*() {
      yield* Claude.text({ model: "claude-haiku-5-5", prompt: "Hello" }).pipe(
        Claude.withPolicy({ headers: { "Anthropic-Beta": "b, c", "x-team": "near" } })
      )
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      const headers = (yield* sent)[0]?.headers
      assert.strictEqual(headers?.["anthropic-beta"], "a,b,c")
      assert.strictEqual(headers?.["x-team"], "near")
    }).pipe(Effect.provide(
      Claude.layerTransport({ headers: { "anthropic-beta": "a,b", "X-Team": "far" } }).pipe(
        Layer.provideMerge(ScriptedTransport.layer([Answer.text("Hi")]))
      )
    )))
})
