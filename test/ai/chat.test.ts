import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Ref, Schema, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { Chat, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as ClaudeTool from "../../src/ai/ClaudeTool.ts"
import { blocks, bodies, lastBody, layerOf } from "./support.ts"

const thought = { type: "thinking", thinking: "Hm. ", signature: "c2ln+/=" }
const hidden = { type: "redacted_thinking", data: "b3BhcXVl" }
const search = { type: "server_tool_use", id: "s1", name: "web_search", input: { query: "weather" } }
const found = {
  type: "web_search_tool_result",
  tool_use_id: "s1",
  content: [{
    type: "web_search_result",
    title: "Weather",
    url: "https://weather.invalid/",
    encrypted_content: "eA==",
    page_age: null
  }]
}
const cited = {
  type: "text",
  text: "It is sunny. ",
  citations: [{
    type: "web_search_result_location",
    cited_text: "sunny",
    url: "https://weather.invalid/",
    title: "Weather",
    encrypted_index: "b3Bh"
  }]
}
const far = { type: "mcp_tool_use", id: "m1", name: "echo", input: { a: 1 }, server_name: "far" }
const farther = { type: "mcp_tool_result", tool_use_id: "m1", is_error: false, content: [{ type: "text", text: "1" }] }
const call = { type: "tool_use", id: "t1", name: "look", input: { at: "it" }, caller: { type: "direct" } }
const turn = [thought, hidden, search, found, cited, far, farther, call]

const Look = Toolkit.make(
  Tool.make("look", { parameters: Schema.Struct({ at: Schema.String }), success: Schema.String })
)
const looking = Look.toLayer({ look: ({ at }) => Effect.succeed(`seen ${at}`) })
const both = Toolkit.make(...Object.values(Look.tools), ClaudeTool.WebSearch_20260318({}))

describe("a conversation", () => {
  for (const way of ["whole", "streamed"] as const) {
    for (const [name, toolkit] of [["its own tools", Look], ["what the API runs, too", both]] as const) {
      it.effect(`goes back byte for byte, its toolkit having ${name} (${way})`, () =>
        Effect.gen(function*() {
          const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be brief." }])
          const ask = (prompt: Prompt.RawInput) =>
            way === "whole"
              ? Effect.asVoid(chat.generateText({ prompt, toolkit: toolkit as typeof Look }))
              : Stream.runDrain(chat.streamText({ prompt, toolkit: toolkit as typeof Look }))
          yield* ask("Weather?")
          yield* ask([])
          yield* ask("Thanks")
          const [, second, third] = yield* bodies
          const asked = { role: "user", content: [{ type: "text", text: "Weather?" }] }
          const result = { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "seen it" }] }
          assert.deepStrictEqual(second.system, [{ type: "text", text: "Be brief." }])
          assert.strictEqual(
            JSON.stringify(second.messages),
            JSON.stringify([asked, { role: "assistant", content: turn }, result])
          )
          assert.strictEqual(
            JSON.stringify(third.messages),
            JSON.stringify([
              asked,
              { role: "assistant", content: turn },
              result,
              { role: "assistant", content: [{ type: "text", text: "Sunny. " }] },
              { role: "user", content: [{ type: "text", text: "Thanks" }] }
            ])
          )
        }).pipe(Effect.provide([looking, layerOf([blocks(turn), Answer.text("Sunny. "), Answer.hello])])))
    }
  }

  it.effect("goes on from its export as if it had not stopped", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "Weather?", toolkit: Look })
      const again = yield* Chat.fromJson(yield* chat.exportJson)
      yield* chat.generateText({ prompt: "So?", toolkit: Look })
      yield* again.generateText({ prompt: "So?", toolkit: Look })
      const [, went, came] = yield* bodies
      assert.strictEqual(JSON.stringify(came), JSON.stringify(went))
    }).pipe(Effect.provide([looking, layerOf([blocks(turn), Answer.hello])])))
})

describe("an interrupted stream", () => {
  it.effect("leaves what came, and the chat goes on", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      const fiber = yield* chat.streamText({ prompt: "Count" }).pipe(Stream.runDrain, Effect.forkChild)
      yield* TestClock.adjust("3500 millis")
      yield* Fiber.interrupt(fiber)
      const history = (yield* Ref.get(chat.history)).content
      assert.deepStrictEqual(history.map(({ role }) => role), ["user", "assistant"])
      yield* chat.generateText({ prompt: "Go on" }).pipe(Effect.forkChild({ startImmediately: true }))
      yield* TestClock.adjust("1 minute")
      const { messages } = yield* lastBody
      assert.deepStrictEqual(messages[1], { role: "assistant", content: [{ type: "text", text: "one two three" }] })
      assert.deepStrictEqual(messages[2], { role: "user", content: [{ type: "text", text: "Go on" }] })
    }).pipe(
      Effect.provide(
        layerOf([Answer.text("one two three four five six", { pace: "1 second", firstContent: "1 second" })])
      )
    ))

  it.effect("in the middle of a tool leaves a chat that goes on", () => {
    const called = Deferred.makeUnsafe<void>()
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      const fiber = yield* chat.streamText({ prompt: "Look", toolkit: Look }).pipe(Stream.runDrain, Effect.forkChild)
      yield* Deferred.await(called)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* chat.generateText({ prompt: "Go on", toolkit: Look })
      const { messages } = yield* lastBody
      assert.deepStrictEqual(messages[1].content, [call])
      assert.deepInclude(messages[2].content[0], { type: "tool_result", tool_use_id: "t1", is_error: true })
      assert.deepStrictEqual(messages[2].content[1], { type: "text", text: "Go on" })
    }).pipe(Effect.provide([
      Look.toLayer({ look: () => Effect.andThen(Deferred.succeed(called, undefined), Effect.never) }),
      layerOf([blocks([call]), Answer.hello])
    ]))
  })
})

describe("a stored chat", () => {
  it.effect("is found again, with all that it was", () =>
    Effect.gen(function*() {
      const persistence = yield* Chat.Persistence
      const chat = yield* persistence.getOrCreate("c1")
      yield* chat.generateText({ prompt: "Weather?", toolkit: Look })
      const again = yield* persistence.get("c1")
      yield* Stream.runDrain(again.streamText({ prompt: "So?", toolkit: Look }))
      const { messages } = yield* lastBody
      assert.strictEqual(JSON.stringify(messages[1].content), JSON.stringify(turn))
      const third = yield* persistence.get("c1")
      assert.strictEqual((yield* Ref.get(third.history)).content.length, 5)
    }).pipe(
      Effect.provide([
        looking,
        layerOf([blocks(turn), Answer.hello]),
        Chat.layerPersisted({ storeId: "chats" }).pipe(Layer.provide(Persistence.layerBackingMemory))
      ])
    ))
})

describe("streams", () => {
  it.effect("hold the consumer's pace where there are no tools", () =>
    Effect.gen(function*() {
      const parts = yield* LanguageModel.streamText({ prompt: "Go" }).pipe(
        Stream.filter(({ type }) => type === "text-delta"),
        Stream.take(2),
        Stream.runCollect
      )
      assert.strictEqual(parts.length, 2)
    }).pipe(Effect.provide(layerOf([Answer.text("one two three four")]))))
})
