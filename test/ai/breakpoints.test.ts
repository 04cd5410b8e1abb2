/** Breakpoints of the prompt cache, on all that takes one: what that is, the SDK's types say. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { readFileSync } from "node:fs"
import * as PromptBlocks from "../../src/ai/PromptBlocks.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { type Json, lastBody, layerOf, MODEL } from "./support.ts"

const types = readFileSync(
  new URL("../../node_modules/@anthropic-ai/sdk/resources/beta/messages/messages.d.ts", import.meta.url),
  "utf8"
)

/** The members of a union: the type of each on the wire, and whether it takes a breakpoint. */
const membersOf = (union: string): ReadonlyArray<readonly [type: string, isMarked: boolean]> => {
  const [, members] = new RegExp(`export type ${union} = ([^;]*);`).exec(types)!
  return members!.split(" | ").map((name) => {
    const body = types.slice(types.indexOf(`export interface ${name} {`))
    const own = body.slice(0, body.indexOf("\n}"))
    return [/\n {4}type\??: '([^']*)'/.exec(own)![1]!, own.includes("\n    cache_control?:")] as const
  })
}

const blocks = membersOf("BetaContentBlockParam")
const tools = membersOf("BetaToolUnion")

const cacheControl = { type: "ephemeral", ttl: "1h" } as const
const names = new Tool.NameMapper<ReadonlyArray<Tool.Any>>([])
const sentOf = (messages: Iterable<Prompt.MessageEncoded>): ReadonlyArray<Json> =>
  PromptBlocks.fromPrompt(Prompt.make(messages), names, MODEL).messages

describe("a breakpoint", () => {
  it("is known to be taken by some blocks, and not by others", () => {
    assert.isAtLeast(blocks.length, 24)
    assert.includeMembers(blocks.filter(([, isMarked]) => !isMarked).map(([type]) => type), [
      "thinking",
      "redacted_thinking",
      "fallback"
    ])
  })

  for (const [type, isMarked] of blocks) {
    it(`of a part ${isMarked ? "is on" : "is kept off"} ${type}, on either side`, () => {
      const block = { type, text: "t", id: "i", tool_use_id: "i" }
      const part = { type: "text", text: "", options: { anthropic: { block, cacheControl } } } as const
      const expected = isMarked ? { ...block, cache_control: cacheControl } : block
      for (const role of ["user", "assistant"] as const) {
        assert.deepStrictEqual(sentOf([{ role, content: [part] }])[0].content[0], expected)
      }
    })

    it(`of a message ${isMarked ? "is on" : "goes around"} ${type}`, () => {
      const block = { type, text: "t", id: "i", tool_use_id: "i" }
      const sent = sentOf([{
        role: "assistant",
        options: { anthropic: { cacheControl } },
        content: [{ type: "text", text: "before" }, { type: "text", text: "", options: { anthropic: { block } } }]
      }])[0].content
      const [first, second] = sent
      assert.deepStrictEqual([first.cache_control, second.cache_control], [
        isMarked ? undefined : cacheControl,
        isMarked ? cacheControl : undefined
      ])
    })
  }

  it("of a system message is on its text, before the conversation and in it", () => {
    const system = { role: "system", content: "Be brief.", options: { anthropic: { cacheControl } } } as const
    const marked = { type: "text" as const, text: "Be brief.", cache_control: cacheControl }
    const { messages, system: first } = PromptBlocks.fromPrompt(
      Prompt.make([system, { role: "user", content: "Hi" }, system]),
      names,
      MODEL
    )
    assert.deepStrictEqual(first, [marked])
    assert.deepStrictEqual(messages.at(-1), { role: "system", content: [marked] })
  })

  it("may be within a tool's result", () => {
    const content = [
      { type: "text", text: "t", cache_control: cacheControl },
      { type: "tool_reference", tool_name: "f", cache_control: cacheControl },
      { type: "browser_state", tabs: [], cache_control: cacheControl }
    ]
    const sent = sentOf([
      { role: "assistant", content: [{ type: "tool-call", id: "t", name: "f", params: {} }] },
      { role: "tool", content: [{ type: "tool-result", id: "t", name: "f", isFailure: false, result: content }] }
    ])
    assert.deepStrictEqual(sent[1].content[0].content, content)
    const mapped = sentOf([
      { role: "assistant", content: [{ type: "tool-call", id: "t", name: "f", params: {} }] },
      {
        role: "tool",
        content: [{
          type: "tool-result",
          id: "t",
          name: "f",
          isFailure: false,
          result: 1,
          modelOutput: [{ type: "text", text: "one", options: { anthropic: { cacheControl } } }]
        }]
      }
    ])
    assert.deepStrictEqual(mapped[1].content[0].content, [{ type: "text", text: "one", cache_control: cacheControl }])
  })

  const known = Object.entries(ClaudeTool).filter(([name]) => /_\d{8}$/.test(name)).map(([, make]) =>
    (make as (args: object) => Tool.AnyProviderDefined)({
      cache_control: cacheControl,
      display_height_px: 1,
      display_width_px: 1,
      model: "claude-opus-5-5"
    })
  )

  it("is taken by each tool that the SDK knows, and all of them are here", () => {
    assert.deepStrictEqual(tools.filter(([, isMarked]) => !isMarked), [])
    assert.sameMembers(
      [...known.map(({ id }) => id.replace("anthropic.", "")), "custom", "mcp_toolset"],
      tools.map(([type]) => type)
    )
  })

  for (const tool of known) {
    it.effect(`may be on ${tool.id}`, () =>
      Effect.gen(function*() {
        // Nobody runs it here.
        const toolkit = {
          tools: { [tool.name]: tool },
          handle: () => Effect.die("no")
        } as unknown as Toolkit.WithHandler<Record<string, Tool.Any>>
        yield* LanguageModel.generateText({ prompt: "Hi", toolkit })
        const { tools: [sent] } = yield* lastBody
        assert.deepStrictEqual(sent.cache_control, cacheControl)
        assert.strictEqual(`anthropic.${sent.type}`, tool.id)
      }).pipe(Effect.provide(layerOf([Answer.hello]))))
  }

  it.effect("may be on a tool of one's own, on the tools of an MCP server, and on the request", () => {
    const toolkit = Toolkit.make(
      Tool.make("f", { parameters: Schema.Struct({ a: Schema.String }) }).annotate(ClaudeTool.Definition, {
        cache_control: cacheControl
      })
    )
    return Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Hi", toolkit })
      const { cache_control, tools: [own, ...servers] } = yield* lastBody
      assert.deepStrictEqual([own.name, own.cache_control], ["f", cacheControl])
      assert.deepStrictEqual(servers, [
        {
          type: "mcp_toolset",
          mcp_server_name: "near",
          default_config: { enabled: false },
          configs: { echo: { enabled: true } },
          cache_control: cacheControl
        },
        { type: "mcp_toolset", mcp_server_name: "far" }
      ])
      assert.deepStrictEqual(cache_control, { type: "ephemeral" })
    }).pipe(Effect.provide([
      toolkit.toLayer({ f: () => Effect.void }),
      layerOf([Answer.hello], {
        cache_control: { type: "ephemeral" },
        mcp_servers: [
          { type: "url", name: "far", url: "https://far.invalid" },
          { type: "url", name: "near", url: "https://near.invalid" }
        ],
        mcpToolsets: [{
          mcp_server_name: "near",
          default_config: { enabled: false },
          configs: { echo: { enabled: true } },
          cache_control: cacheControl
        }]
      })
    ]))
  })

  describe("of more than the API takes", () => {
    const options = { anthropic: { cacheControl } }
    const turns = (count: number): Array<Prompt.MessageEncoded> =>
      Array.from({ length: count }, (_, n) => ({ role: n % 2 === 0 ? "user" : "assistant", content: `${n}`, options }))
    const markedOf = (blocks: ReadonlyArray<Json>) =>
      blocks.flatMap(({ cache_control, text }) => cache_control === undefined ? [] : [text])
    const sentTexts = (prompt: Prompt.RawInput, config = {}) =>
      Effect.gen(function*() {
        yield* LanguageModel.generateText({ prompt })
        const { messages, system = [] } = yield* lastBody
        return [...markedOf(system), ...markedOf(messages.flatMap(({ content }: Json) => content))]
      }).pipe(Effect.provide(layerOf([Answer.hello], config)))

    it.effect("the last of the conversation stay, and what is left of it is as it was", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* sentTexts(turns(4)), ["0", "1", "2", "3"])
        assert.deepStrictEqual(yield* sentTexts(turns(9)), ["5", "6", "7", "8"])
      }))

    it.effect("those of the system prompt and of the request go before the conversation's", () =>
      Effect.gen(function*() {
        const system = { role: "system", content: "S", options } as const
        assert.deepStrictEqual(yield* sentTexts([system, ...turns(9)]), ["S", "6", "7", "8"])
        assert.deepStrictEqual(yield* sentTexts([system, ...turns(9)], { cache_control: { type: "ephemeral" } }), [
          "S",
          "7",
          "8"
        ])
        const five = Array.from({ length: 5 }, (_, n) => ({ ...system, content: `S${n}` }))
        assert.deepStrictEqual(yield* sentTexts([...five, ...turns(1)]), ["S1", "S2", "S3", "S4"])
      }))

    it.effect("those within a result count, and what a caller holds is not changed", () => {
      const result = [1, 2, 3].map((n) => ({ type: "text", text: `r${n}`, cache_control: cacheControl }))
      const before = JSON.stringify(result)
      return Effect.gen(function*() {
        yield* LanguageModel.generateText({
          prompt: [
            { role: "assistant", content: [{ type: "tool-call", id: "t", name: "f", params: {} }] },
            { role: "tool", content: [{ type: "tool-result", id: "t", name: "f", isFailure: false, result }] },
            ...turns(3)
          ]
        })
        const { messages } = yield* lastBody
        const [, answer] = messages
        assert.deepStrictEqual(markedOf(answer.content[0].content), ["r3"])
        assert.strictEqual(JSON.stringify(result), before)
      }).pipe(Effect.provide(layerOf([Answer.hello])))
    })
  })
})
