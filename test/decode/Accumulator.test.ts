import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Claude, type ClaudeError } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { Accumulator } from "../../src/decode/Accumulator.ts"
import { type Decoder, decoderFor, fromMessage } from "../../src/decode/Event.ts"
import { bytesOf, cut, dresses, type RawEvent, sse, streams } from "./streams.ts"

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const accumulate = (contentType: string, chunks: Iterable<Uint8Array>) => {
  const decoder = decoderFor(contentType) as Decoder
  const accumulator = new Accumulator()
  for (const chunk of chunks) accumulator.add(decoder.push([chunk]))
  accumulator.add(decoder.end())
  return accumulator
}

const foldSse = (chunks: Iterable<Uint8Array>) => {
  const accumulator = accumulate("text/event-stream", chunks)
  assert.isUndefined(accumulator.failure)
  assert.isTrue(accumulator.isComplete)
  return plain(accumulator.message())
}

const fold = (events: ReadonlyArray<RawEvent>) => accumulate("text/event-stream", [bytesOf(sse(events))])

/** What the SDK's own accumulator makes of the bytes; what it adds of its own is left out. */
const reference = async (body: string, api: "stable" | "beta") => {
  const client = new Anthropic({
    apiKey: "none",
    maxRetries: 0,
    logLevel: "off",
    fetch: () => Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }))
  })
  const params = { model: "claude-sonnet-5-5", max_tokens: 10, messages: [{ role: "user" as const, content: "Hi" }] }
  const stream = api === "stable" ? client.messages.stream(params) : client.beta.messages.stream(params)
  const message = await stream.finalMessage()
  return JSON.parse(
    JSON.stringify(
      message,
      (key, value: unknown) => key === "parsed_output" || key === "_request_id" ? undefined : value
    )
  ) as unknown
}

const scripted = (answer: Answer.Answer) =>
  Claude.layerTransport({ defaults: { model: "claude-sonnet-5-5" } }).pipe(
    Layer.provide(ScriptedTransport.layer([answer]))
  )

describe.each(Object.entries(streams))("%s", (_, { beta = false, events }) => {
  it("folds to what the SDK makes of it, whole and cut at every byte", async () => {
    const body = sse(events)
    const expected = await reference(body, "beta")
    if (!beta) assert.deepStrictEqual(await reference(body, "stable"), expected)
    const bytes = bytesOf(body)
    assert.deepStrictEqual(foldSse([bytes]), expected)
    for (const size of [1, 2, 3, 7, 64, 500]) assert.deepStrictEqual(foldSse(cut(bytes, size)), expected)
    for (let at = 0; at <= bytes.length; at += 7) {
      assert.deepStrictEqual(foldSse([bytes.subarray(0, at), bytes.subarray(at)]), expected)
    }
  })

  it("folds to the same in any dress", () => {
    const expected = foldSse([bytesOf(sse(events))])
    for (const dress of Object.values(dresses)) {
      assert.deepStrictEqual(foldSse(cut(bytesOf(dress(events)), 11)), expected)
    }
  })

  it("as JSON is the same message", () => {
    const expected = foldSse([bytesOf(sse(events))])
    const accumulator = accumulate("application/json", cut(bytesOf(JSON.stringify(expected)), 13))
    assert.isTrue(accumulator.isComplete)
    assert.deepStrictEqual(plain(accumulator.message()), expected)
  })

  it.effect("collected from a stream is what message answers", () =>
    Effect.gen(function*() {
      const request = { prompt: "Hi" }
      const message = yield* Claude.message(request)
      const collected = yield* Claude.collect(Claude.stream(request))
      const one = plain(message) as Record<string, unknown>
      const two = plain(collected) as Record<string, unknown>
      assert.deepStrictEqual(two, one)
      const { attempts: _attempts, billed: _billed, cached: _cached, cost: _cost, requestId: _id, ...bare } = one
      assert.deepStrictEqual(bare, foldSse([bytesOf(sse(events))]))
      const whole = yield* Stream.runCollect(Claude.stream(request))
      assert.deepStrictEqual(
        whole.map(({ type }) => type as string),
        events.map(({ type }) => type).filter((type) => type !== "ping")
      )
    }).pipe(Effect.provide(scripted(Answer.raw([sse(events)])))))

  it("is the same in the end however often it was looked at on the way", () => {
    const decoder = decoderFor(null) as Decoder
    const accumulator = new Accumulator()
    for (const chunk of cut(bytesOf(sse(events)), 16)) {
      accumulator.add(decoder.push([chunk]))
      accumulator.partial()
    }
    assert.deepStrictEqual(plain(accumulator.message()), foldSse([bytesOf(sse(events))]))
  })
})

describe("on the way", () => {
  const { events } = streams["a tool call"] ?? { events: [] }

  it("partial is what has arrived, also within a tool's input", () => {
    const partials = events.map((_, count) => fold(events.slice(0, count + 1)).partial())
    assert.isUndefined(fold([]).partial())
    assert.deepStrictEqual(partials[0]?.content, [])
    const texts = partials.map((partial) => partial?.content[0]?.type === "text" ? partial.content[0].text : "")
    for (const [index, text] of texts.entries()) assert.isTrue(text.startsWith(texts[index - 1] ?? ""))
    const inputs = partials.flatMap((partial) =>
      partial?.content[1]?.type === "tool_use" ? [partial.content[1].input] : []
    )
    assert.deepStrictEqual(inputs[0], {})
    assert.isAbove(new Set(inputs.map((input) => JSON.stringify(input))).size, 4)
  })

  it("content has come with a delta of any kind, or with the end", () => {
    assert.isFalse(fold(events.slice(0, 2)).hasContent)
    assert.isTrue(fold(events.slice(0, 3)).hasContent)
    assert.isTrue(fold(streams["nothing at all"]?.events ?? []).hasContent)
  })

  it("usage is overwritten by what is later, and never added", () => {
    const { events } = streams["usage that grows"] ?? { events: [] }
    const { usage } = fold(events)
    assert.deepStrictEqual(
      [usage?.input_tokens, usage?.output_tokens, usage?.cache_creation_input_tokens, usage?.cache_read_input_tokens],
      [21, 6, 3, 2]
    )
  })

  it("the message's own events are not changed by folding them", () => {
    const copy = structuredClone(events) as Array<RawEvent>
    new Accumulator().add(copy as never)
    const text = copy.find(({ type }) => type === "message_start")
    assert.deepStrictEqual(copy, events as Array<RawEvent>)
    assert.isDefined(text)
  })
})

describe("the end", () => {
  it("is message_stop: what follows is not read", () => {
    const { events } = streams["text"] ?? { events: [] }
    const accumulator = fold([...events, { type: "message_start", message: {} }, { type: "error", error: {} }])
    assert.isTrue(accumulator.isComplete)
    assert.isUndefined(accumulator.failure)
  })

  it("does not come by itself", () => {
    const { events } = streams["text"] ?? { events: [] }
    assert.isFalse(fold(events.slice(0, -1)).isComplete)
  })

  const wrong: ReadonlyArray<readonly [what: string, events: ReadonlyArray<RawEvent>]> = [
    ["no beginning", [{ type: "message_stop" }]],
    ["only content", (streams["text"]?.events ?? []).slice(1)]
  ]

  it.each(wrong)("of %s is InvalidResponse", (_, events) => {
    const accumulator = fold(events)
    assert.isUndefined(accumulator.partial())
    try {
      accumulator.message()
      assert.fail("it should have thrown")
    } catch (error) {
      assert.strictEqual((error as ClaudeError.ClaudeError).reason._tag, "InvalidResponse")
    }
  })

  it("a second beginning is InvalidResponse", () => {
    const { events } = streams["text"] ?? { events: [] }
    assert.strictEqual(fold([...events.slice(0, 4), ...events]).failure?.failure?.reason._tag, "InvalidResponse")
  })

  it("tool input that is wrong rather than cut is InvalidResponse, and no content is told", () => {
    const events = [
      ...(streams["text"]?.events ?? []).slice(0, 1),
      { type: "content_block_start", index: 0, content_block: { type: "tool_use", id: "t", name: "n", input: {} } },
      {
        type: "content_block_delta",
        index: 0,
        delta: { type: "input_json_delta", partial_json: "{\"a\": nonsense private}" }
      },
      { type: "message_stop" }
    ]
    assert.throws(() => fold(events).message(), /tool input/)
    assert.throws(() => fold(events).message(), /^(?!.*private)/)
    assert.deepStrictEqual(fold(events).partial()?.content.map((block) => block.type === "tool_use" && block.input), [
      {}
    ])
  })
})

describe("a JSON message", () => {
  const bad: ReadonlyArray<readonly [what: string, body: string]> = [
    ["nothing", ""],
    ["half of one", "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"private"],
    ["null", "null"],
    ["a text", "\"private\""],
    ["no content", "{\"type\":\"message\",\"id\":\"private\"}"],
    ["content that is no list", "{\"content\":\"private\"}"]
  ]

  it.each(bad)("%s is InvalidResponse, with its size and not its content", (_, body) => {
    const error = accumulate("application/json", [bytesOf(body)]).failure?.failure
    assert.isTrue(error?.reason._tag === "InvalidResponse" && error.reason.offset === body.length)
    assert.notInclude(error?.message, "private")
  })

  it("with an error in it is that error", () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }
    assert.deepStrictEqual(accumulate("application/json", [bytesOf(JSON.stringify(error))]).failure as unknown, error)
  })
})

const recorded = new URL("../../../shared/fixtures/http/", import.meta.url)
const bodies = existsSync(recorded)
  ? readdirSync(recorded).flatMap((name) => {
    const { body } = JSON.parse(readFileSync(new URL(name, recorded), "utf8")) as {
      readonly body?: { readonly content?: unknown }
    }
    return body !== null && Array.isArray(body?.content) ? [[name, body] as const] : []
  })
  : []

describe.skipIf(bodies.length === 0)("recorded JSON messages", () => {
  it.each(bodies)("%s is answered as it came, as JSON and as events", (_, body) => {
    assert.deepStrictEqual(
      plain(accumulate("application/json", [bytesOf(JSON.stringify(body))]).message()),
      body as unknown
    )
    const accumulator = new Accumulator()
    // A recorded message is the API's own.
    accumulator.add(fromMessage(structuredClone(body) as never))
    assert.deepStrictEqual(plain(accumulator.message()), body as unknown)
  })
})
