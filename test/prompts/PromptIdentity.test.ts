import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { Claude } from "../../src/index.ts"
import { Prompts } from "../../src/prompts/index.ts"
import { Answer, ScriptedTransport } from "../../src/testing/index.ts"
import { observe } from "../flow/observe.ts"

const Welcome = Prompts.define("welcome", { variables: Schema.Struct({ name: Schema.String }) })

const prompts = Prompts.layerMemory({
  welcome: { latest: 2, versions: { 1: { prompt: "Hello {{name}}" }, 2: { prompt: "Hi {{name}}" } } }
})

/** What the spans of calls say of prompts, in order. */
const told = (run: Effect.Effect<unknown, unknown, Claude.Claude | Prompts.Prompts>) =>
  Effect.gen(function*() {
    const { layer, spans } = observe()
    const claude = Claude.layerTransport({ defaults: { model: "claude-opus-5-5" }, fallback: ["claude-sonnet-5"] })
      .pipe(
        Layer.provideMerge(ScriptedTransport.layer([Answer.text("{\"a\":1}")]))
      )
    yield* Effect.provide(run, Layer.fresh(Layer.merge(claude, prompts)).pipe(Layer.provideMerge(layer)))
    return spans.filter(({ name }) => name.startsWith("chat ") || name.startsWith("count_tokens ")).map((span) => [
      span.attributes.get("gen_ai.prompt.name"),
      span.attributes.get("gen_ai.prompt.version")
    ])
  })

describe("the span of a call", () => {
  it.effect("says which prompt and which version its request was rendered from", () =>
    Effect.gen(function*() {
      const request = Welcome.render({ name: "Ann" })
      const first = Welcome.render({ name: "Ann" }, { version: "1" })
      assert.deepStrictEqual(yield* told(Effect.flatMap(request, Claude.message)), [["welcome", "2"]])
      assert.deepStrictEqual(yield* told(Effect.flatMap(first, Claude.text)), [["welcome", "1"]])
      assert.deepStrictEqual(
        yield* told(Effect.flatMap(request, (request) => Stream.runDrain(Claude.streamText(request)))),
        [["welcome", "2"]]
      )
      assert.deepStrictEqual(yield* told(Effect.flatMap(request, Claude.countTokens)), [["welcome", "2"]])
      const object = Effect.flatMap(request, (request) => Claude.object(Schema.Struct({ a: Schema.Int }), request))
      assert.deepStrictEqual(yield* told(object), [["welcome", "2"]])
      const longer = Effect.flatMap(request, (request) =>
        Claude.message({ ...request, messages: [{ role: "user", content: "Before" }, ...request.messages] }))
      assert.deepStrictEqual(yield* told(longer), [["welcome", "2"]])
    }))

  it.effect("says nothing of prompts where its request was written by hand", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(Claude.message({ prompt: "Hi" })), [[undefined, undefined]])
    }))

  it.effect("says what its policy says, where that names a prompt", () =>
    Effect.gen(function*() {
      const named = Prompts.withPrompt({ name: "other", version: "b" })
      assert.deepStrictEqual(yield* told(named(Claude.message({ prompt: "Hi" }))), [["other", "b"]])
      const rendered = Effect.flatMap(Welcome.render({ name: "Ann" }), Claude.message)
      assert.deepStrictEqual(yield* told(named(rendered)), [["other", "b"]])
    }))

  it.effect("does not change what is sent, nor what it is cached by", () =>
    Effect.gen(function*() {
      const request = yield* Welcome.render({ name: "Ann" })
      yield* Claude.message({ prompt: "Hi Ann" })
      const { cached } = yield* Claude.message(request)
      assert.isTrue(cached)
      yield* Claude.withPolicy({ cache: false })(Claude.message(request))
      const [plain, rendered] = yield* (yield* ScriptedTransport.ScriptedTransport).sent
      assert.strictEqual(JSON.stringify(rendered!.body), JSON.stringify(plain!.body))
    }).pipe(Effect.provide([
      prompts,
      Claude.layerTransport({ defaults: { model: "claude-opus-5-5" }, cache: true }).pipe(
        Layer.provideMerge(ScriptedTransport.layer([Answer.text("hello")]))
      )
    ])))
})
