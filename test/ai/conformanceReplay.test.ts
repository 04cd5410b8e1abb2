/** What the API gave goes back as it was, and what was sent comes back as it was, over the simulator. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Answer } from "effect-claude/testing"
import { Chat, Prompt, Tool, Toolkit } from "effect/ai"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { seeded } from "../flow/observe.ts"
import { type Ask, bodies, inEachWay, lastBody, type Parts, said, simulated, use } from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const encode = (prompt: Prompt.Prompt): Json => Schema.encodeSync(Prompt.Prompt)(prompt)

/** As another process would find it. */
const stored = (prompt: Prompt.Prompt): Prompt.Prompt =>
  Schema.decodeUnknownSync(Prompt.Prompt)(JSON.parse(JSON.stringify(encode(prompt))))

const Look = Toolkit.make(
  Tool.make("look", { parameters: Schema.Struct({ at: Schema.String }), success: Schema.String })
)
const look = Effect.provide(Look, Look.toLayer({ look: ({ at }) => Effect.succeed(`seen ${at}`) }))

/** With a tool that the API runs itself. */
const Looking = Toolkit.merge(Look, Toolkit.make(ClaudeTool.WebSearch_20260318({})))
const looking = Effect.provide(Looking, Looking.toLayer({ look: ({ at }) => Effect.succeed(`seen ${at}`) }))

const document = {
  type: "char_location",
  cited_text: "the sky is\\nblue 🎉",
  document_index: 0,
  document_title: null,
  start_char_index: 3,
  end_char_index: 14,
  file_id: null
}
const page = {
  type: "web_search_result_location",
  cited_text: "sunny",
  url: "https://weather.invalid/?a=1&b=%20",
  title: "Weather",
  encrypted_index: "b3Bh+/=="
}
const search = { type: "server_tool_use", id: "s1", name: "web_search", input: { query: "weather" } }
const found = {
  type: "web_search_tool_result",
  tool_use_id: "s1",
  content: [{
    type: "web_search_result",
    title: "Weather",
    url: page.url,
    encrypted_content: "eA==",
    page_age: null
  }]
}

const turns: Readonly<Record<string, ReadonlyArray<object>>> = {
  "a thought, a text and a call": [
    { type: "thinking", thinking: "Hm.\n  ", signature: "c2ln+/=" },
    said("  Looking. \n"),
    use("t1", "look", { at: "it" })
  ],
  "a thought that is not shown": [{ type: "thinking", thinking: "", signature: "c2ln" }, said("So.")],
  "thoughts that nobody may read": [
    { type: "redacted_thinking", data: "b3BhcXVl+/==" },
    { type: "redacted_thinking", data: "bW9yZQ==" },
    said("So.")
  ],
  "thoughts between calls": [
    { type: "thinking", thinking: "First. ", signature: "MQ==" },
    use("t1", "look", { at: "one" }),
    { type: "thinking", thinking: "Then. ", signature: "Mg==" },
    use("t2", "look", { at: "two" })
  ],
  "thoughts in any script": [
    { type: "thinking", thinking: "naïve e\u0301 日本 🎉\u2028\u0000\\ \"", signature: "\u0007 no base64 \u{1F389}" },
    said("🎉".repeat(20))
  ],
  "citations of documents and pages": [
    { ...said("The sky is blue"), citations: [document] },
    said(", and it is "),
    { ...said("sunny"), citations: [page, document] },
    said(".")
  ],
  "all of it": [
    { type: "thinking", thinking: "Hm. ", signature: "c2ln+/=" },
    { type: "redacted_thinking", data: "b3BhcXVl" },
    search,
    found,
    { ...said("It is sunny. "), citations: [page] },
    { type: "mcp_tool_use", id: "m1", name: "echo", input: { a: 1 }, server_name: "far" },
    { type: "mcp_tool_result", tool_use_id: "m1", is_error: false, content: [{ type: "text", text: "1" }] },
    use("t1", "look", { at: "it" })
  ],
  "what the API ran": [search, found, { ...said("Sunny."), citations: [page] }]
}

describe("a turn goes back byte for byte, also from where it was kept", () => {
  for (const [name, content] of Object.entries(turns)) {
    for (const served of [false, true]) {
      inEachWay(`${name}${served ? ", its toolkit having what the API runs" : ""}`, (ask) =>
        Effect.gen(function*() {
          const toolkit = yield* served ? looking : look
          const parts = yield* ask({ prompt: "Go", toolkit })
          const history = Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts))
          yield* ask({ prompt: Prompt.concat(history, "On"), toolkit })
          yield* ask({ prompt: Prompt.concat(stored(history), "On"), toolkit })
          const [, went, came] = yield* bodies
          assert.strictEqual(JSON.stringify(went.messages[1]), JSON.stringify({ role: "assistant", content }))
          assert.strictEqual(JSON.stringify(came), JSON.stringify(went))
        }).pipe(Effect.provide(simulated([blocks(content)]))))
    }
  }

  inEachWay("blocks and fields that nobody knows go back, too", (ask) => {
    const content = [
      { type: "hologram", data: { x: 1.5e-7, deep: [null, {}] } },
      { ...said("So."), citations: null, shine: [true] },
      { ...use("t1", "look", { at: "it" }), glow: 1 }
    ]
    return Effect.gen(function*() {
      const toolkit = yield* look
      const history = Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(yield* ask({ prompt: "Go", toolkit })))
      yield* ask({ prompt: Prompt.concat(stored(history), "On"), toolkit })
      assert.deepStrictEqual((yield* lastBody).messages[1].content, content)
    }).pipe(Effect.provide(simulated([blocks(content)])))
  })

  it.live("halves of a character that come by themselves are one again", () => {
    const event = (type: string, more: object) => ({ type, ...more })
    const delta = (index: number, delta: object) => event("content_block_delta", { index, delta })
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      const { reasoningText, text } = yield* chat.generateText({ prompt: "Go" })
      assert.deepStrictEqual([reasoningText, text], ["a🎉", "🎉b"])
      yield* chat.generateText({ prompt: "On" })
      assert.deepStrictEqual((yield* lastBody).messages[1].content, [
        { type: "thinking", thinking: "a🎉", signature: "c2ln" },
        said("🎉b")
      ])
    }).pipe(Effect.provide(simulated([Answer.events([
      event("message_start", {
        message: {
          id: "msg_1",
          type: "message",
          role: "assistant",
          model: "claude-opus-5-5",
          content: [],
          stop_reason: null,
          usage: { input_tokens: 1, output_tokens: 1 }
        }
      }),
      event("content_block_start", { index: 0, content_block: { type: "thinking", thinking: "", signature: "" } }),
      delta(0, { type: "thinking_delta", thinking: "a\uD83C" }),
      delta(0, { type: "thinking_delta", thinking: "\uDF89" }),
      delta(0, { type: "signature_delta", signature: "c2ln" }),
      event("content_block_stop", { index: 0 }),
      event("content_block_start", { index: 1, content_block: { type: "text", text: "" } }),
      delta(1, { type: "text_delta", text: "\uD83C" }),
      delta(1, { type: "text_delta", text: "\uDF89b" }),
      event("content_block_stop", { index: 1 }),
      event("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 1 } }),
      event("message_stop", {})
    ])])))
  })
})

// -----------------------------------------------------------------------------
// prompt -> request -> prompt
// -----------------------------------------------------------------------------

const words = ["a", " b", "naïve 🎉", "x  \n", "\"}{", "\\u0041", "\u0000", "\u2028"]

const jsons: ReadonlyArray<Json> = [
  {},
  { a: "" },
  { a: [1, -0.5, 1e21, null, true], "": { "ключ": "🎉" } },
  JSON.parse("{\"__proto__\":{\"a\":1},\"constructor\":\"b\",\"toString\":null}")
]

const Any = Toolkit.make(Tool.dynamic("f", { parameters: { type: "object" } }))

/** The parts of an assistant's message, as another turn has left them. */
const partOf = (next: () => number, id: number): Json => {
  const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(next() * all.length)]!
  const text = `w${pick(words)}${pick(words)}`
  return pick<() => Json>([
    () => ({ type: "text", text }),
    () => ({ type: "text", text, options: { anthropic: { citations: [document] } } }),
    () => ({ type: "text", text: "", options: { anthropic: { block: { type: "hologram", data: pick(jsons) } } } }),
    () => ({
      type: "reasoning",
      text,
      options: { anthropic: { info: { type: "thinking", signature: `s${pick(words)}` } } }
    }),
    () => ({
      type: "reasoning",
      text: "",
      options: { anthropic: { info: { type: "redacted_thinking", redactedData: `d${pick(words)}` } } }
    }),
    () => ({
      type: "tool-call",
      id: `t${id}`,
      name: "f",
      params: pick(jsons),
      options: { anthropic: { caller: { type: "direct" } } }
    })
  ])()
}

const last = (next: () => number): Json => ({ type: "text", text: `So ${Math.floor(next() * 9)}` })

/** Answers with the blocks of the last turn that it was told it had said. */
const mirror = (body: Json) => {
  const { content } = body.messages.findLast(({ role }: Json) => role === "assistant")
  return blocks(content, { stopReason: "end_turn" })
}

const mirrored = (ask: Ask, message: Json): Effect.Effect<Parts, Json, Json> =>
  Effect.flatMap(
    Any.pipe((tools) => Effect.provide(tools, tools.toLayer({ f: () => Effect.succeed("") }))),
    (toolkit) =>
      ask({
        prompt: [{ role: "user", content: "Hi" }, message, { role: "user", content: "Again" }],
        toolkit,
        disableToolCallResolution: true
      })
  )

describe("a prompt", () => {
  inEachWay("comes back from its request as it was", (ask) =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= 30; seed++) {
        const next = seeded(seed)
        // The API takes no turn that ends with a thought.
        const content = [...Array.from({ length: Math.floor(next() * 6) }, (_, id) => partOf(next, id)), last(next)]
        const message = { role: "assistant", content }
        const parts = yield* mirrored(ask, message)
        assert.strictEqual(
          JSON.stringify(encode(Prompt.fromResponseParts(parts)).content),
          JSON.stringify(encode(Prompt.make([message as Json])).content),
          `seed ${seed}`
        )
      }
    }).pipe(Effect.provide(simulated(({ body }) => mirror(body)))) as Effect.Effect<void>)
})
