import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { streams } from "../decode/streams.ts"
import {
  expectedOf,
  type Json,
  lastBody,
  layerOf,
  raw,
  readMessage,
  readRecorded,
  recorded,
  recordedMessages,
  stream
} from "./support.ts"

type Block = Record<string, Json> & { readonly type: string }

const isCited = (block: Block): boolean => (block["citations"]?.length ?? 0) > 0

/** What goes back of a message: not what the API refuses, and not the word for no citations. */
const replayed = (content: ReadonlyArray<unknown>): ReadonlyArray<Block> => {
  const blocks: ReadonlyArray<Block> = JSON.parse(JSON.stringify(content))
  const hasText = blocks.some((block) => block.type === "text" && (block["text"].trim() !== "" || isCited(block)))
  return blocks
    .filter((block) => block.type !== "text" || isCited(block) || hasText && block["text"] !== "")
    .map((block) => {
      if (block.type !== "text" || isCited(block)) return block
      const { citations: _, ...rest } = block
      return rest as Block
    })
}

const namesIn = (content: ReadonlyArray<Json>) => [
  ...new Set(content.filter(({ type }) => type === "tool_use").map(({ name }) => String(name)))
]

/** A toolkit of the tools that a message calls. */
const toolkitOf = (message: Message, more: ReadonlyArray<Tool.Any> = []) =>
  Toolkit.make(
    ...namesIn(message.content).map((name) => Tool.dynamic(name, { parameters: { type: "object" } })),
    ...more
  )

const served = [
  ClaudeTool.WebSearch_20260318({}),
  ClaudeTool.WebFetch_20260318({}),
  ClaudeTool.CodeExecution_20260521({}),
  ClaudeTool.ToolSearchRegex_20251119({}),
  ClaudeTool.ToolSearchBM25_20251119({}),
  ClaudeTool.Advisor_20260301({ model: "claude-opus-5-5" })
]

const plain = (parts: ReadonlyArray<Response.AnyPart>) =>
  JSON.parse(JSON.stringify(Prompt.fromResponseParts(parts).content))

const textOf = (parts: ReadonlyArray<Response.AnyPart>) =>
  parts.map((part) => part.type === "text" ? part.text : part.type === "text-delta" ? part.delta : "").join("")

const of = <T extends Response.AnyPart["type"]>(parts: ReadonlyArray<Response.AnyPart>, type: T) =>
  JSON.parse(JSON.stringify(parts.filter((part) => part.type === type)))

/** Nobody runs them here. */
const handlersOf = (toolkit: Toolkit.Toolkit<Json>) =>
  toolkit as unknown as Effect.Effect<Toolkit.WithHandler<Record<string, Tool.Tool<string, Json>>>>

/** Asks both ways, and answers the parts of both. */
const both = Effect.fnUntraced(function*(toolkit: Toolkit.Toolkit<Json>) {
  const handlers = yield* handlersOf(toolkit)
  const options = { prompt: "Go", toolkit: handlers, disableToolCallResolution: true } as const
  const whole = yield* LanguageModel.generateText(options)
  const streamed = yield* Stream.runCollect(LanguageModel.streamText(options))
  return {
    whole: whole.content as ReadonlyArray<Response.AnyPart>,
    streamed: streamed as ReadonlyArray<Response.AnyPart>
  }
})

const agree = Effect.fnUntraced(function*(message: Message, toolkit: Toolkit.Toolkit<Json>) {
  const { streamed, whole } = yield* both(toolkit)
  assert.strictEqual(textOf(streamed), textOf(whole))
  assert.strictEqual(
    textOf(whole),
    message.content.map((block) => block.type === "text" ? block.text : "").join("")
  )
  for (const type of ["tool-call", "tool-result", "source", "finish"] as const) {
    assert.deepStrictEqual(of(streamed, type), of(whole, type))
  }
  assert.deepStrictEqual(plain(streamed), plain(whole))
  assert.strictEqual(of(streamed, "error").length, 0)

  const finish = whole.find((part) => part.type === "finish")!
  assert.deepStrictEqual(JSON.parse(JSON.stringify(finish.metadata.anthropic!.usage)), message.usage)
  assert.strictEqual(finish.metadata.anthropic!.stopReason, message.stop_reason)
  const { cache_creation_input_tokens, cache_read_input_tokens, input_tokens } = message.usage
  assert.strictEqual(
    finish.usage.inputTokens.total,
    input_tokens + (cache_creation_input_tokens ?? 0) + (cache_read_input_tokens ?? 0)
  )

  // And back: what is sent is what was given.
  for (const parts of [streamed, whole]) {
    const history = Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts))
    yield* Effect.exit(LanguageModel.generateText({
      prompt: Prompt.concat(history, "On"),
      toolkit: yield* handlersOf(toolkit),
      disableToolCallResolution: true
    }))
    const { messages } = yield* lastBody
    const expected = replayed(message.content)
    if (expected.length === 0) continue
    assert.strictEqual(messages[1].role, "assistant")
    assert.deepStrictEqual(messages[1].content, expected)
    const thoughts = (blocks: ReadonlyArray<Block>) => blocks.filter(({ type }) => type.includes("thinking"))
    assert.strictEqual(JSON.stringify(thoughts(messages[1].content)), JSON.stringify(thoughts(expected)))
  }
})

describe.skipIf(recorded.length === 0)("recorded streams", () => {
  for (const name of recorded) {
    const expected = expectedOf(name)
    if (expected === undefined) {
      it.effect(`${name} is no message, and fails both ways`, () =>
        Effect.gen(function*() {
          const whole = yield* Effect.exit(LanguageModel.generateText({ prompt: "Go" }))
          const streamed = yield* Effect.exit(Stream.runDrain(LanguageModel.streamText({ prompt: "Go" })))
          assert.isTrue(Exit.isFailure(whole))
          assert.isTrue(Exit.isFailure(streamed))
        }).pipe(Effect.provide(layerOf([raw(readRecorded(name))]))))
      continue
    }
    it.effect(`${name} is the same both ways, and goes back as it came`, () =>
      agree(expected, toolkitOf(expected)).pipe(Effect.provide(layerOf([raw(readRecorded(name))]))))
    it.effect(`${name} is so too where the toolkit has what the API runs`, () =>
      agree(expected, toolkitOf(expected, served)).pipe(Effect.provide(layerOf([raw(readRecorded(name))]))))
  }
})

describe.skipIf(recorded.length === 0)("recorded messages", () => {
  for (const name of recordedMessages) {
    const message = readMessage(name)
    const answer = Answer.raw([JSON.stringify(message)], { contentType: "application/json" })
    it.effect(`${name} is the same both ways, and goes back as it came`, () =>
      agree(message, toolkitOf(message)).pipe(Effect.provide(layerOf([answer]))))
    it.effect(`${name} is so too where the toolkit has what the API runs`, () =>
      agree(message, toolkitOf(message, served)).pipe(Effect.provide(layerOf([answer]))))
  }
})

describe("streams of every kind", () => {
  for (const [name, { events }] of Object.entries(streams)) {
    it.effect(`${name}: both ways agree`, () =>
      Effect.gen(function*() {
        const named = namesIn(events.flatMap((event) => "content_block" in event ? [event["content_block"]] : []))
        const toolkit = Toolkit.make(...named.map((name) => Tool.dynamic(name, { parameters: { type: "object" } })))
        const { streamed, whole } = yield* both(toolkit)
        assert.strictEqual(textOf(streamed), textOf(whole))
        assert.deepStrictEqual(plain(streamed), plain(whole))
        assert.deepStrictEqual(of(streamed, "finish"), of(whole, "finish"))
      }).pipe(Effect.provide(layerOf([stream(events)]))))
  }
})
