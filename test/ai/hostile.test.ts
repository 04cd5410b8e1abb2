/** Answers that are no message, or not what the types say: none of them is a defect, and the conversation goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { layerOf, stream } from "./support.ts"

const message = {
  id: "m",
  type: "message",
  role: "assistant",
  model: "claude-opus-5-5",
  stop_reason: "end_turn",
  usage: { input_tokens: 1, output_tokens: 1 }
}
const begin = { type: "message_start", message: { ...message, content: [] } }
const text = { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }
const stop = { type: "message_stop" }

const contents: ReadonlyArray<unknown> = [
  null,
  "x",
  [null],
  [1],
  [{}],
  [{ type: null }],
  [{ type: "text" }],
  [{ type: "text", text: null }],
  [{ type: "text", text: { a: 1 } }],
  [{ type: "text", text: "a", citations: [null, 1, {}] }],
  [{ type: "text", text: "a", citations: { a: 1 } }],
  [{ type: "text", text: "a", citations: [{ type: "page_location", start_page_number: "x", cited_text: 1 }] }],
  [{ type: "thinking" }],
  [{ type: "thinking", thinking: 1, signature: null }],
  [{ type: "redacted_thinking" }],
  [{ type: "tool_use" }],
  [{ type: "tool_use", id: 1, name: "f", input: "no object" }],
  [{ type: "tool_use", id: "t", name: "__proto__", input: {} }],
  [{ type: "tool_use", id: "t", name: "left_click", toolset_name: "computer", input: null }],
  [{ type: "server_tool_use" }],
  [{ type: "server_tool_use", id: "s", name: "constructor", input: null }],
  [{ type: "mcp_tool_use", id: "m", name: "toString" }],
  [{ type: "web_search_tool_result", tool_use_id: "s", content: [null, 1, {}, { url: 1 }] }],
  [{ type: "web_search_tool_result", tool_use_id: "s", content: null }],
  [{ type: "_tool_result", tool_use_id: "s" }],
  [{ type: "__proto__" }],
  [{ type: "fallback" }],
  [{ type: "compaction", content: { a: 1 } }]
]

const streams: ReadonlyArray<ReadonlyArray<object>> = [
  [{ type: "message_start", message: null }],
  [{ type: "message_start", message: { ...message, content: [], usage: null } }, stop],
  [begin, { type: "content_block_start", index: 0, content_block: null }, stop],
  [begin, text, { type: "content_block_delta", index: 0, delta: null }, stop],
  [begin, text, { type: "content_block_delta", index: 0, delta: { type: "text_delta" } }, stop],
  [begin, text, { type: "content_block_delta", index: "x", delta: { type: "text_delta", text: "a" } }, stop],
  [begin, { type: "content_block_delta", index: 7, delta: { type: "text_delta", text: "a" } }, stop],
  [begin, { type: "content_block_stop", index: 7 }, stop],
  [begin, { type: "message_delta", delta: null, usage: null }, stop],
  [begin, text, text, text, stop],
  [begin, begin, stop],
  [stop]
]

const toolkit = Toolkit.make(
  Tool.dynamic("f", { parameters: { type: "object" } }),
  ClaudeTool.WebSearch_20260318({}),
  ClaudeTool.ComputerToolset_20260801({})
)

const noDefect = (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isFailure(exit)) assert.deepStrictEqual(exit.cause.reasons.map((reason) => reason._tag), ["Fail"])
}

/** Asks both ways, and goes on from what came. */
const ask = Effect.gen(function*() {
  const handlers = yield* toolkit
  const options = { prompt: "Go", toolkit: handlers, disableToolCallResolution: true } as const
  const whole = yield* Effect.exit(
    Effect.map(
      LanguageModel.generateText(options),
      ({ content }): ReadonlyArray<Response.AnyPart> => content
    )
  )
  const streamed = yield* Effect.exit(Stream.runCollect(LanguageModel.streamText(options)))
  for (const exit of [whole, streamed]) {
    noDefect(exit)
    if (Exit.isFailure(exit)) continue
    const parts: ReadonlyArray<Response.AnyPart> = exit.value
    const prompt = Prompt.concat(Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), "On")
    noDefect(yield* Effect.exit(LanguageModel.generateText({ ...options, prompt })))
  }
})

const handlers = toolkit.toLayer({
  f: () => Effect.succeed("x"),
  AnthropicComputer: () => Effect.succeed("x")
})

describe("an answer", () => {
  for (const content of contents) {
    it.effect(`of ${JSON.stringify(content)} is no defect`, () =>
      ask.pipe(
        Claude.withPolicy({ wire: "json" }),
        Effect.provide([
          handlers,
          layerOf(
            [Answer.raw([JSON.stringify({ ...message, content })], { contentType: "application/json" })],
            {},
            { retry: RetryPolicy.none }
          )
        ])
      ))
  }

  for (const events of streams) {
    it.effect(`that streams ${JSON.stringify(events).slice(0, 200)} is no defect`, () =>
      ask.pipe(Effect.provide([handlers, layerOf([stream(events as never)], {}, { retry: RetryPolicy.none })])))
  }
})
