import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { LanguageModel, Model, Prompt, type Response } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as Finish from "../../src/ai/Finish.ts"
import { StreamParts } from "../../src/ai/StreamParts.ts"
import { quiet } from "../flow/observe.ts"
import { blocks, bodies, layerOf, MODEL, sentHeaders, stream } from "./support.ts"

const citations = [
  {
    type: "char_location",
    cited_text: "a",
    document_index: 0,
    document_title: "A",
    start_char_index: 1,
    end_char_index: 2,
    file_id: null
  },
  {
    type: "page_location",
    cited_text: "b",
    document_index: 1,
    document_title: null,
    start_page_number: 3,
    end_page_number: 4,
    file_id: null
  },
  {
    type: "content_block_location",
    cited_text: "c",
    document_index: 2,
    document_title: "C",
    start_block_index: 5,
    end_block_index: 6,
    file_id: null
  },
  {
    type: "search_result_location",
    cited_text: "d",
    search_result_index: 7,
    source: "https://d.invalid/",
    title: "D",
    start_block_index: 0,
    end_block_index: 1
  },
  {
    type: "web_search_result_location",
    cited_text: "e",
    url: "https://e.invalid/",
    title: null,
    encrypted_index: "e="
  },
  { type: "web_search_result_location", cited_text: "f", url: "not a URL", title: "F", encrypted_index: "f=" },
  { type: "brand_new_location", cited_text: "g" }
]

describe("citations", () => {
  for (const way of ["whole", "streamed"] as const) {
    it.effect(`are with their text, and sources with their ranges (${way})`, () =>
      Effect.gen(function*() {
        const parts: ReadonlyArray<Response.AnyPart> = way === "whole"
          ? (yield* LanguageModel.generateText({ prompt: "Go" })).content
          : yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Go" }))
        const sources = parts.flatMap((part) => part.type === "source" ? [part] : [])
        assert.deepStrictEqual(
          sources.map((part) => [
            part.sourceType === "url" ? part.url.href : part.mediaType,
            part.title,
            part.metadata.anthropic
          ]),
          [
            ["text/plain", "A", {
              source: "document",
              type: "char_location",
              citedText: "a",
              documentIndex: 0,
              startCharIndex: 1,
              endCharIndex: 2
            }],
            ["application/pdf", "", {
              source: "document",
              type: "page_location",
              citedText: "b",
              documentIndex: 1,
              startPageNumber: 3,
              endPageNumber: 4
            }],
            ["text/plain", "C", {
              source: "document",
              type: "content_block_location",
              citedText: "c",
              documentIndex: 2,
              startBlockIndex: 5,
              endBlockIndex: 6
            }],
            ["https://d.invalid/", "D", {
              source: "document",
              type: "search_result_location",
              citedText: "d",
              documentIndex: 7,
              startBlockIndex: 0,
              endBlockIndex: 1
            }],
            ["https://e.invalid/", "", { source: "url", citedText: "e", encryptedIndex: "e=" }]
          ]
        )
        assert.strictEqual(new Set(sources.map(({ id }) => id)).size, 5)
        const [message] = Prompt.fromResponseParts(parts).content
        const [text] = (message as Prompt.AssistantMessage).content as ReadonlyArray<Prompt.TextPart>
        assert.deepStrictEqual(text!.options.anthropic!.citations, citations)
      }).pipe(Effect.provide(layerOf([blocks([{ type: "text", text: "abc", citations }])]))))
  }
})

describe("the end of an answer", () => {
  for (
    const [stop, reason] of [
      ["end_turn", "stop"],
      ["stop_sequence", "stop"],
      ["max_tokens", "length"],
      ["model_context_window_exceeded", "length"],
      ["tool_use", "tool-calls"],
      ["pause_turn", "pause"],
      ["compaction", "pause"],
      ["refusal", "content-filter"],
      ["brand_new", "unknown"],
      ["constructor", "unknown"]
    ] as const
  ) {
    it(`${stop} is ${reason}`, () => assert.strictEqual(Finish.reasonOf(stop, false), reason))
  }

  for (const way of ["whole", "streamed"] as const) {
    it.effect(`tells what the call knows: cost, request, attempts (${way})`, () =>
      Effect.gen(function*() {
        const parts: ReadonlyArray<Response.AnyPart> = way === "whole"
          ? (yield* LanguageModel.generateText({ prompt: "Go" })).content
          : yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Go" }))
        const { metadata } = parts.find((part) => part.type === "finish")!
        const { cost, usage, ...rest } = metadata.anthropic!
        assert.deepStrictEqual(rest, {
          model: MODEL,
          stopReason: "stop_sequence",
          stopSequence: "END",
          stopDetails: null,
          container: null,
          contextManagement: null,
          diagnostics: null,
          inputTransformations: null,
          requestId: "req_scripted",
          attempts: 1,
          cached: false
        })
        assert.deepInclude(cost, { currency: "USD", amount: 1_000_000 * 4e-6 + 1000 * 20e-6 })
        assert.deepInclude(usage, { input_tokens: 1_000_000 })
      }).pipe(Effect.provide(layerOf([Answer.text("x", {
        stopReason: "stop_sequence",
        stopSequence: "END",
        usage: { input_tokens: 1_000_000, output_tokens: 1000 }
      })]))))
  }

  for (const way of ["whole", "streamed"] as const) {
    it.effect(`names the model that stood in for another in the middle, and where goes back (${way})`, () => {
      const hop = { type: "fallback", from: { model: MODEL }, to: { model: "claude-haiku-5-5" } }
      const said = (index: number, text: string) => [
        { type: "content_block_start", index, content_block: { type: "text", text: "" } },
        { type: "content_block_delta", index, delta: { type: "text_delta", text } },
        { type: "content_block_stop", index }
      ]
      return Effect.gen(function*() {
        const parts: ReadonlyArray<Response.AnyPart> = way === "whole"
          ? (yield* LanguageModel.generateText({ prompt: "Go" })).content
          : yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Go" }))
        assert.strictEqual(parts.find((part) => part.type === "finish")!.metadata.anthropic!.model, "claude-haiku-5-5")
        const history = Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts))
        yield* LanguageModel.generateText({ prompt: Prompt.concat(history, "On") })
        assert.deepStrictEqual((yield* bodies).at(-1)!.messages[1].content, [
          { type: "text", text: "One" },
          hop,
          { type: "text", text: "two" }
        ])
        assert.include((yield* sentHeaders).at(-1)!["anthropic-beta"], "server-side-fallback")
      }).pipe(Effect.provide(layerOf([stream([
        {
          type: "message_start",
          message: { id: "m", model: MODEL, content: [], usage: { input_tokens: 1, output_tokens: 1 } }
        },
        ...said(0, "One"),
        { type: "content_block_start", index: 1, content_block: hop },
        { type: "content_block_stop", index: 1 },
        ...said(2, "two"),
        { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 2 } },
        { type: "message_stop" }
      ])])))
    })
  }

  for (const way of ["whole", "streamed"] as const) {
    it.effect(`has what the API says of it beside its content (${way})`, () =>
      Effect.gen(function*() {
        const parts: ReadonlyArray<Response.AnyPart> = way === "whole"
          ? (yield* LanguageModel.generateText({ prompt: "Go" })).content
          : yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Go" }))
        const { metadata } = parts.find((part) => part.type === "finish")!
        assert.deepInclude(metadata.anthropic, {
          stopDetails: { type: "refusal", category: "cyber" },
          container: { id: "c", expires_at: "2026-11-21T00:00:00Z" },
          contextManagement: { applied_edits: [] },
          diagnostics: { cache_miss_reason: "tools_changed" },
          inputTransformations: [{ type: "thinking_dropped" }]
        })
      }).pipe(Effect.provide(layerOf([stream([
        {
          type: "message_start",
          message: {
            id: "m",
            model: MODEL,
            content: [],
            usage: { input_tokens: 1, output_tokens: 1 },
            diagnostics: { cache_miss_reason: "tools_changed" },
            input_transformations: [{ type: "thinking_dropped" }]
          }
        },
        {
          type: "message_delta",
          delta: {
            stop_reason: "refusal",
            stop_details: { type: "refusal", category: "cyber" },
            container: { id: "c", expires_at: "2026-11-21T00:00:00Z" }
          },
          context_management: { applied_edits: [] },
          usage: { output_tokens: 1 }
        },
        { type: "message_stop" }
      ])]))))
  }

  it.effect("is marked where the cache answered, which is asked for by policy", () =>
    Effect.gen(function*() {
      const ask = LanguageModel.generateText({ prompt: "Go" }).pipe(Claude.withPolicy({ cache: true }))
      yield* ask
      const { content } = yield* ask
      assert.isTrue(content.find((part) => part.type === "finish")!.metadata.anthropic!.cached)
      assert.strictEqual((yield* bodies).length, 1)
    }).pipe(Effect.provide(layerOf([Answer.hello]))))
})

describe("over a server", () => {
  const ask = LanguageModel.streamText({ prompt: "Hi" }).pipe(
    Stream.filter((part) => part.type === "text-delta"),
    Stream.map(({ delta }) => delta),
    Stream.mkString
  )

  for (const wire of ["sse", "json"] as const) {
    it.live(`answers come as ${wire}, and a model is known by its name`, () =>
      Effect.gen(function*() {
        const simulator = yield* ClaudeSimulator.make({ otherwise: Answer.thinking("Hm.", "one two three") })
        const claude = Claude.layer({ apiKey: Redacted.make("sk-test"), baseURL: simulator.url, wire })
        const program = Effect.gen(function*() {
          assert.strictEqual(yield* Model.ProviderName, "anthropic")
          assert.strictEqual(yield* Model.ModelName, MODEL)
          assert.strictEqual(yield* ask, "one two three")
          const { reasoningText, text } = yield* LanguageModel.generateText({ prompt: "Hi" })
          assert.strictEqual(text, "one two three")
          assert.strictEqual(reasoningText, "Hm.")
        })
        yield* program.pipe(Effect.provide(ClaudeLanguageModel.model(MODEL).pipe(Layer.provide(claude))))
      }).pipe(Effect.provide(quiet), Effect.scoped))
  }

  it.live("a consumer that leaves closes the socket", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({
        answers: [Answer.text("one two three four five", { pace: "200 millis" })]
      })
      const claude = Claude.layer({ apiKey: Redacted.make("sk-test"), baseURL: simulator.url })
      yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Stream.filter((part) => part.type === "text-delta"),
        Stream.take(1),
        Stream.runDrain,
        Effect.provide(ClaudeLanguageModel.layer({ model: MODEL }).pipe(Layer.provide(claude)))
      )
      const log = yield* simulator.logWhen((log) => log.inFlight === 0)
      assert.strictEqual(log.earlyCloses, 1)
    }).pipe(Effect.provide(quiet), Effect.scoped))
})

describe("a stream", () => {
  it("takes any index for a block, as the wire has it", () => {
    const options = { tools: [], answer: undefined, deferred: false, read: (_tool: unknown, input: unknown) => input }
    const index = 2 ** 31
    const parts = new StreamParts(options, () => 0).read([
      { type: "message_start", message: { id: "m", model: MODEL, content: [], usage: {} } },
      { type: "content_block_start", index, content_block: { type: "text", text: "" } },
      { type: "content_block_delta", index, delta: { type: "text_delta", text: "x" } },
      { type: "content_block_delta", index, delta: { type: "citations_delta", citation: { type: "new" } } },
      { type: "content_block_stop", index }
    ] as unknown as ReadonlyArray<Claude.StreamEvent>)
    assert.deepStrictEqual(parts.slice(1).map(({ type }) => type), ["text-start", "text-delta", "text-end"])
    assert.deepStrictEqual(parts.at(-1)!.metadata, { anthropic: { citations: [{ type: "new" }] } })
  })

  it.effect("reads no further than its consumer, and hands on arrays as they came", () => {
    let pulled = 0
    const start = { type: "message_start", message: { id: "m", model: MODEL, content: [], usage: {} } }
    const block = { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }
    const delta = { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "x" } }
    // As far as a stream goes, that is all of the service.
    const claude = {
      stream: () =>
        Stream.concat(
          Stream.fromArray([start, block]),
          Stream.fromArray([delta, delta, delta]).pipe(
            Stream.tap(() => Effect.sync(() => void pulled++), { concurrency: 1 }),
            Stream.rechunk(3),
            Stream.forever
          )
        )
    } as unknown as Claude.Claude["Service"]
    return Effect.gen(function*() {
      const arrays: Array<number> = []
      yield* LanguageModel.streamText({ prompt: "Go" }).pipe(
        Stream.mapArray((parts) => {
          arrays.push(parts.length)
          return parts
        }),
        Stream.take(5),
        Stream.runDrain
      )
      assert.deepStrictEqual(arrays, [2, 3])
      assert.isAtMost(pulled, 6)
    }).pipe(
      Effect.provide(
        ClaudeLanguageModel.layer({ model: MODEL }).pipe(Layer.provide(Layer.succeed(Claude.Claude, claude)))
      )
    )
  })
})
