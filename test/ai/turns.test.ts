/** Conversations of any order, as interruptions, approvals and edits leave them: each is one that the API takes. */
import { assert, describe, it } from "@effect/vitest"
import { Prompt, Tool } from "effect/ai"
import * as Breakpoints from "../../src/ai/Breakpoints.ts"
import * as PromptBlocks from "../../src/ai/PromptBlocks.ts"
import { seeded } from "../flow/observe.ts"
import { type Json, MODEL } from "./support.ts"

/** What a message has in it; calls and results have a number for an id. */
type Piece = "text" | "blank" | "thought" | "call" | "served" | "result"

const inMessages: Readonly<Record<Prompt.Message["role"], ReadonlyArray<Piece>>> = {
  system: ["text"],
  user: ["text", "blank"],
  assistant: ["text", "blank", "thought", "call", "served"],
  tool: ["result"]
}

const roles = Object.keys(inMessages) as ReadonlyArray<Prompt.Message["role"]>

/** Up to twelve messages of up to four pieces. */
const messagesOf = (random: () => number) => {
  const below = (n: number) => Math.floor(random() * n)
  const one = <A>(all: ReadonlyArray<A>) => all[below(all.length)]!
  return Array.from({ length: below(13) }, () => {
    const role = one(roles)
    return { role, has: Array.from({ length: below(5) }, () => one(inMessages[role])) }
  })
}

const options = { anthropic: { cacheControl: { type: "ephemeral" } } } as const

/** Results are of calls that are open, the first of them first. */
const promptOf = (messages: ReadonlyArray<{ readonly role: string; readonly has: ReadonlyArray<Piece> }>) => {
  const open: Array<string> = []
  let ids = 0
  const part = (piece: Piece): Json => {
    const id = `c${ids++}`
    switch (piece) {
      case "text":
      case "blank":
        return { type: "text", text: piece === "text" ? `${id}.` : " ", options }
      case "thought":
        return { type: "reasoning", text: id, options: { anthropic: { info: { type: "thinking", signature: "s" } } } }
      case "call":
        open.push(id)
        return { type: "tool-call", id, name: "f", params: {} }
      case "served":
        return { type: "tool-call", id, name: "AnthropicWebSearch", params: { query: id }, providerExecuted: true }
      case "result":
        return { type: "tool-result", id: open.shift(), name: "f", result: "r", isFailure: false }
    }
  }
  return Prompt.make(messages.flatMap(({ has, role }): Json =>
    role === "system"
      ? has.map(() => ({ role, content: `s${ids++}.` }))
      : [{ role, content: has.slice(0, role === "tool" ? open.length : undefined).map(part), options }]
  ))
}

const names = new Tool.NameMapper<ReadonlyArray<Tool.Any>>([])

const markedIn = (value: Json): number =>
  value === null || typeof value !== "object"
    ? 0
    : Number("cache_control" in value) + Object.values(value).reduce((sum: number, part) => sum + markedIn(part), 0)

const idsOf = (blocks: ReadonlyArray<Json>, type: string, field: string): ReadonlyArray<string> =>
  blocks.filter((block) => block.type === type).map((block) => block[field]).toSorted()

describe("a conversation of any order", () => {
  for (const model of [MODEL, "claude-sonnet-5"]) {
    it(`is one that the API takes, and nothing that was said is lost (${model})`, () => {
      const random = seeded(1)
      for (let run = 0; run < 500; run++) {
        const prompt = promptOf(messagesOf(random))
        const sent: Json = PromptBlocks.fromPrompt(prompt, names, model)
        Breakpoints.limit(sent, [])
        assert.isAtMost(markedIn(sent), 4)
        const turns: ReadonlyArray<Json> = sent.messages
        turns.forEach(({ content, role }, index) => {
          const [before, after] = [turns[index - 1], turns[index + 1]]
          assert.isNotEmpty(content)
          assert.notStrictEqual(before?.role, role)
          if (role === "system") {
            assert.strictEqual(model, MODEL)
            assert.strictEqual(before?.role, "user")
            assert.notStrictEqual(after?.role, "user")
          }
          const answers: ReadonlyArray<Json> = role === "assistant" && after?.role === "user" ? after.content : []
          const results = answers.slice(0, answers.findLastIndex(({ type }) => type === "tool_result") + 1)
          if (role === "assistant") {
            assert.deepStrictEqual(idsOf(content, "tool_use", "id"), idsOf(results, "tool_result", "tool_use_id"))
            if (after !== undefined) assert.notStrictEqual(content.at(-1).type, "thinking")
          }
          // Nothing stands before a result or among them.
          assert.isTrue(results.every(({ type }) => type === "tool_result"))
        })
        const said = JSON.stringify(sent)
        for (const { content } of prompt.content) {
          for (const part of typeof content === "string" ? [{ type: "text", text: content }] : content as Json) {
            if (part.type === "text" && part.text !== " ") assert.include(said, part.text)
          }
        }
      }
    })
  }
})
