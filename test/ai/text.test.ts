import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { LanguageModel } from "effect/ai"
import { lastBody, layerOf, MODEL } from "./support.ts"

const texts = <E, R>(stream: Stream.Stream<{ readonly type: string; readonly delta?: unknown }, E, R>) =>
  stream.pipe(
    Stream.filter((part) => part.type === "text-delta"),
    Stream.map(({ delta }) => String(delta)),
    Stream.mkString
  )

describe("text", () => {
  it.effect("answers the text, with usage and how it ended", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateText({ prompt: "Hi" })
      assert.strictEqual(response.text, "Hello there")
      assert.strictEqual(response.finishReason, "stop")
      assert.deepStrictEqual({ ...response.usage }, {
        inputTokens: { uncached: 3, cacheRead: 10, cacheWrite: 7, total: 20 },
        outputTokens: { total: 5, reasoning: 2, text: 3 }
      })
      assert.deepStrictEqual(yield* lastBody, {
        model: MODEL,
        max_tokens: 4096,
        messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }],
        stream: true
      })
    }).pipe(Effect.provide(layerOf([Answer.text("Hello there", {
      usage: {
        input_tokens: 3,
        cache_read_input_tokens: 10,
        cache_creation_input_tokens: 7,
        output_tokens: 5,
        output_tokens_details: { thinking_tokens: 2 }
      }
    })]))))

  it.effect("streams the text as it comes", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* texts(LanguageModel.streamText({ prompt: "Hi" })), "one two three")
    }).pipe(Effect.provide(layerOf([Answer.text("one two three")]))))
})
