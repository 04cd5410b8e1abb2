import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Claude } from "effect-claude"
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
  ["a concurrency of nothing", "concurrency", { apiKey, concurrency: 0 }]
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
