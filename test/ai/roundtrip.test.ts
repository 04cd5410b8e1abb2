/** Conversations of any blocks, by chance: what the API gave goes back as it was, whichever way it came. */
import type * as Beta from "@anthropic-ai/sdk/resources/beta/messages/messages"
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Prompt, Response, Tool, Toolkit } from "effect/ai"
import * as PromptBlocks from "../../src/ai/PromptBlocks.ts"
import * as ResponseParts from "../../src/ai/ResponseParts.ts"
import { StreamParts } from "../../src/ai/StreamParts.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { fromMessage } from "../../src/decode/Event.ts"
import { seeded } from "../flow/observe.ts"
import { type Json, MODEL } from "./support.ts"

const toolkit = Toolkit.make(
  Tool.dynamic("f", { parameters: { type: "object" } }),
  ClaudeTool.WebSearch_20260318({}),
  ClaudeTool.ComputerToolset_20260801({})
)
const tools: ReadonlyArray<Tool.Any> = Object.values(toolkit.tools)
const options: ResponseParts.ReadOptions = { tools, answer: undefined, deferred: false, read: (_tool, input) => input }

const decodeParts = Schema.decodeUnknownSync(Schema.Array(Response.Part(toolkit)) as Schema.Codec<Json, Json>)
const decodeStream = Schema.decodeUnknownSync(Schema.Array(Response.StreamPart(toolkit)) as Schema.Codec<Json, Json>)

const words = ["", " ", "a", "\n", "naïve 🎉", "x  ", "\"}{", "end\n"]

const blockOf = (next: () => number, id: number): Json => {
  const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(next() * all.length)]!
  const word = () => pick(words)
  const text = () => `w${word()}${word()}`
  return pick<() => Json>([
    () => ({ type: "text", text: text() }),
    () => ({
      type: "text",
      text: text(),
      citations: [{ type: "char_location", cited_text: word(), document_index: 0 }]
    }),
    () => ({ type: "text", text: text(), shine: { deep: [1, null] } }),
    () => ({ type: "thinking", thinking: word(), signature: `s${id}` }),
    () => ({ type: "redacted_thinking", data: `d${id}` }),
    () => ({ type: "tool_use", id: `t${id}`, name: "f", input: { a: word(), b: [id, null, {}] } }),
    () => ({ type: "tool_use", id: `t${id}`, name: "f", input: {}, caller: { type: "direct" } }),
    () => ({ type: "tool_use", id: `t${id}`, name: "left_click", input: { at: [1] }, toolset_name: "computer" }),
    () => ({ type: "server_tool_use", id: `s${id}`, name: "web_search", input: { query: word() } }),
    () => ({ type: "server_tool_use", id: `s${id}`, name: "brand_new", input: { query: word() } }),
    () => ({ type: "web_search_tool_result", tool_use_id: `s${id}`, content: [{ url: word(), title: null }] }),
    () => ({ type: "brand_new_tool_result", tool_use_id: `s${id}`, content: { more: word() } }),
    () => ({ type: "mcp_tool_use", id: `m${id}`, name: "f", input: {}, server_name: "far" }),
    () => ({ type: "compaction", content: word(), encrypted_content: null }),
    () => ({ type: "hologram", data: { x: id, deep: [word()] } })
  ])()
}

const sentOf = (parts: ReadonlyArray<Json>) => {
  const exported = JSON.parse(JSON.stringify(Schema.encodeSync(Prompt.Prompt)(Prompt.fromResponseParts(parts))))
  const prompt = Prompt.concat(Prompt.make("Hi"), Schema.decodeSync(Prompt.Prompt)(exported))
  const { messages } = PromptBlocks.fromPrompt(prompt, new Tool.NameMapper(tools), MODEL)
  return messages.find(({ role }) => role === "assistant")?.content ?? []
}

describe("a turn of any blocks", () => {
  it("goes back as it was, whole and streamed, through an export", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const next = seeded(seed)
      // No turn ends with a thought: the API would not take it back.
      const content = [
        ...Array.from({ length: Math.floor(next() * 8) }, (_, id) => blockOf(next, id)),
        { type: "text", text: "So." }
      ]
      const message: Json = {
        id: "msg",
        type: "message",
        role: "assistant",
        model: "m",
        content,
        stop_reason: "end_turn",
        stop_sequence: null,
        usage: { input_tokens: 1, output_tokens: 1 }
      }
      const whole = decodeParts(ResponseParts.ofMessage(message, options, 0))
      const events = fromMessage(JSON.parse(JSON.stringify(message)) as Message) as Json
      const size = 1 + Math.floor(next() * 4)
      const reader = new StreamParts(options, () => 0)
      const streamed: Array<Json> = []
      for (let at = 0; at < events.length; at += size) streamed.push(...reader.read(events.slice(at, at + size)))
      assert.deepStrictEqual(sentOf(whole), content, `whole, seed ${seed}`)
      assert.deepStrictEqual(sentOf(decodeStream(streamed)), content, `streamed, seed ${seed}`)
    }
  })
})

describe("the options of Claude's tools", () => {
  it("are those of the SDK's types", () => {
    // What is checked is checked by the compiler.
    assert.isAbove(checked.length, 0)
  })
})

type Args<F> = F extends (args: infer A) => unknown ? Omit<Exclude<A, undefined>, "failureMode"> : never
type Own<T> = Omit<T, "type" | "name">
type Mutable<T> = T extends (...args: ReadonlyArray<never>) => unknown ? T
  : T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> }
  : T
/** What the schema takes, the API takes, and it takes all the options there are. */
type Fits<F, T> = [Mutable<Args<F>>] extends [Own<T>] ? keyof Own<T> extends keyof Args<F> ? true : "missing" : "wrong"

const checked: ReadonlyArray<true> = [
  true satisfies Fits<typeof ClaudeTool.WebSearch_20250305, Beta.BetaWebSearchTool20250305>,
  true satisfies Fits<typeof ClaudeTool.WebSearch_20260209, Beta.BetaWebSearchTool20260209>,
  true satisfies Fits<typeof ClaudeTool.WebSearch_20260318, Beta.BetaWebSearchTool20260318>,
  true satisfies Fits<typeof ClaudeTool.WebFetch_20250910, Beta.BetaWebFetchTool20250910>,
  true satisfies Fits<typeof ClaudeTool.WebFetch_20260209, Beta.BetaWebFetchTool20260209>,
  true satisfies Fits<typeof ClaudeTool.WebFetch_20260309, Beta.BetaWebFetchTool20260309>,
  true satisfies Fits<typeof ClaudeTool.WebFetch_20260318, Beta.BetaWebFetchTool20260318>,
  true satisfies Fits<typeof ClaudeTool.CodeExecution_20250522, Beta.BetaCodeExecutionTool20250522>,
  true satisfies Fits<typeof ClaudeTool.CodeExecution_20250825, Beta.BetaCodeExecutionTool20250825>,
  true satisfies Fits<typeof ClaudeTool.CodeExecution_20260120, Beta.BetaCodeExecutionTool20260120>,
  true satisfies Fits<typeof ClaudeTool.CodeExecution_20260521, Beta.BetaCodeExecutionTool20260521>,
  true satisfies Fits<typeof ClaudeTool.ToolSearchRegex_20251119, Beta.BetaToolSearchToolRegex20251119>,
  true satisfies Fits<typeof ClaudeTool.ToolSearchBM25_20251119, Beta.BetaToolSearchToolBm25_20251119>,
  true satisfies Fits<typeof ClaudeTool.Advisor_20260301, Beta.BetaAdvisorTool20260301>,
  true satisfies Fits<typeof ClaudeTool.Bash_20241022, Beta.BetaToolBash20241022>,
  true satisfies Fits<typeof ClaudeTool.Bash_20250124, Beta.BetaToolBash20250124>,
  true satisfies Fits<typeof ClaudeTool.TextEditor_20241022, Beta.BetaToolTextEditor20241022>,
  true satisfies Fits<typeof ClaudeTool.TextEditor_20250124, Beta.BetaToolTextEditor20250124>,
  true satisfies Fits<typeof ClaudeTool.TextEditor_20250429, Beta.BetaToolTextEditor20250429>,
  true satisfies Fits<typeof ClaudeTool.TextEditor_20250728, Beta.BetaToolTextEditor20250728>,
  true satisfies Fits<typeof ClaudeTool.Memory_20250818, Beta.BetaMemoryTool20250818>,
  true satisfies Fits<typeof ClaudeTool.ComputerUse_20241022, Beta.BetaToolComputerUse20241022>,
  true satisfies Fits<typeof ClaudeTool.ComputerUse_20250124, Beta.BetaToolComputerUse20250124>,
  true satisfies Fits<typeof ClaudeTool.ComputerUse_20251124, Beta.BetaToolComputerUse20251124>
]
