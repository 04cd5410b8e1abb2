import type { ContentBlockParam, MessageParam, Tool } from "@anthropic-ai/sdk/resources/messages/messages"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as PromptCache from "../../src/request/PromptCache.ts"
import type { MessageRequest } from "../../src/request/Request.ts"

const short = { type: "ephemeral" } as const
const long = { type: "ephemeral", ttl: "1h" } as const

const tool = (name: string, more: object = {}): Tool => ({ name, input_schema: { type: "object" }, ...more })
const text = (text: string, more: object = {}) => ({ type: "text" as const, text, ...more })
const user = (...content: ReadonlyArray<ContentBlockParam>): MessageParam => ({ role: "user", content: [...content] })

/** All that is frozen, so that a test fails where something is changed in place. */
const frozen = <A>(value: A): A => {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(frozen)
    Object.freeze(value)
  }
  return value
}

const mark = (request: MessageRequest, options?: PromptCache.MarkOptions) => PromptCache.mark(frozen(request), options)

/** The lifetimes of all breakpoints in the order in which the API reads them, whatever holds them. */
const lifetimes = (value: unknown): ReadonlyArray<string> => {
  if (typeof value !== "object" || value === null) return []
  if (Array.isArray(value)) return value.flatMap(lifetimes)
  const { cache_control, input: _, ...rest } = value as Record<string, { ttl?: string } | undefined>
  const { messages, system, tools, ...other } = rest
  const within = [tools, system, messages, ...Object.values(other)].flatMap(lifetimes)
  return cache_control == null ? within : [...within, cache_control.ttl ?? "5m"]
}

describe("mark", () => {
  it("marks the end of the system prompt, of the tools and of the last turn", () => {
    const request = {
      model: "m",
      tools: [tool("a"), tool("b")],
      system: [text("one"), text("two")],
      messages: [user(text("q")), { role: "assistant" as const, content: "a" }, user(text("r"), text("s"))]
    }
    assert.deepStrictEqual(mark(request), {
      ...request,
      tools: [tool("a"), tool("b", { cache_control: short })],
      system: [text("one"), text("two", { cache_control: short })],
      messages: [...request.messages.slice(0, 2), user(text("r"), text("s", { cache_control: short }))]
    })
  })

  it("makes blocks of texts, and a message of a prompt", () => {
    assert.deepStrictEqual(mark({ system: "be brief", prompt: "hi" }, { ttl: "1h" }), {
      system: [text("be brief", { cache_control: long })],
      messages: [user(text("hi", { cache_control: long }))]
    })
    assert.deepStrictEqual(mark({ messages: [{ role: "user", content: "hi" }] }, { ttl: "5m" }), {
      messages: [user(text("hi", { cache_control: { type: "ephemeral", ttl: "5m" } }))]
    })
  })

  it("marks only what it is asked to", () => {
    const request = { tools: [tool("a")], system: "s", prompt: "p" }
    assert.deepStrictEqual(mark(request, { tools: false, lastTurn: false }), {
      ...request,
      system: [text("s", { cache_control: short })]
    })
    assert.deepStrictEqual(mark(request, { system: false, lastTurn: false }), {
      ...request,
      tools: [tool("a", { cache_control: short })]
    })
    assert.deepStrictEqual(mark(request, { tools: false, system: false, lastTurn: false }), request)
  })

  it("adds nothing to a request that has nothing to mark", () => {
    assert.deepStrictEqual(mark({ prompt: "" }), { prompt: "" })
    assert.deepStrictEqual(mark({ system: " \n", tools: [], messages: [] }), { system: " \n", tools: [], messages: [] })
  })

  it("passes over what takes no mark: thinking, empty texts, what it does not know", () => {
    const thinking = { type: "thinking" as const, thinking: "…", signature: "s" }
    const redacted = { type: "redacted_thinking" as const, data: "d" }
    const unknown = { type: "of_2031" } as never
    const marked = mark({
      system: [text("rules"), text("")],
      messages: [
        { role: "user", content: "q" },
        { role: "assistant", content: [text("a"), thinking, redacted, text("  "), unknown] }
      ]
    })
    assert.deepStrictEqual(marked, {
      system: [text("rules", { cache_control: short }), text("")],
      messages: [
        { role: "user", content: "q" },
        { role: "assistant", content: [text("a", { cache_control: short }), thinking, redacted, text("  "), unknown] }
      ]
    })
    assert.deepStrictEqual(
      mark({ messages: [{ role: "user", content: "q" }, { role: "assistant", content: [thinking] }] }).messages?.[0],
      user(text("q", { cache_control: short }))
    )
  })

  it("marks tool results, images, documents and a system message as a last turn", () => {
    const result = { type: "tool_result" as const, tool_use_id: "t", content: [text("42")] }
    const image = { type: "image" as const, source: { type: "url" as const, url: "https://example.com/a.png" } }
    for (const block of [result, image]) {
      assert.deepStrictEqual(mark({ messages: [user(block)] }), {
        messages: [user({ ...block, cache_control: short })]
      })
    }
    const messages: Array<MessageParam> = [user(text("q")), { role: "system", content: "be brief" }]
    assert.deepStrictEqual(mark({ messages }).messages?.[1], {
      role: "system",
      content: [text("be brief", { cache_control: short })]
    })
  })

  it("passes over tools that are loaded late, which the API refuses to have marked", () => {
    const later = tool("c", { defer_loading: true })
    const toolset = { type: "mcp_toolset", mcp_server_name: "m", default_config: { defer_loading: true } } as never
    const browser = { type: "browser_toolset_20260801", configs: { find: { defer_loading: true } } } as never
    const tools = [tool("a"), tool("b", { defer_loading: false }), later, toolset, browser]
    assert.deepStrictEqual(
      mark({ tools, messages: [] }).tools,
      tools.with(1, tool("b", { defer_loading: false, cache_control: short }))
    )
    assert.deepStrictEqual(mark({ tools: [later], messages: [] }).tools, [later])
  })

  it("keeps the marks that are there, and marks nothing twice", () => {
    const once = mark({ tools: [tool("a")], system: "s", prompt: "p" }, { ttl: "1h" })
    assert.deepStrictEqual(mark(once), once)
    assert.deepStrictEqual(mark(once, { ttl: "5m" }), once)
  })

  it("takes a mark of null for none", () => {
    assert.deepStrictEqual(mark({ system: [text("s", { cache_control: null })], cache_control: null, prompt: "p" }), {
      system: [text("s", { cache_control: short })],
      cache_control: null,
      messages: [user(text("p", { cache_control: short }))]
    })
  })

  it("leaves the last turn to the mark of the request as a whole, which counts", () => {
    const request = { cache_control: short, system: "s", tools: [tool("a")], prompt: "p" }
    const marked = mark(request)
    assert.strictEqual(marked.prompt, "p")
    assert.deepStrictEqual(lifetimes(marked), ["5m", "5m", "5m"])
  })

  it("adds no more than four in all, the system prompt's first and the last turn's next", () => {
    const marked = (count: number) => user(...Array.from({ length: count }, () => text("d", { cache_control: short })))
    const request = (count: number) => ({
      tools: [tool("a")],
      system: "s",
      messages: [marked(count), user(text("q"))]
    })
    const where = ({ messages = [], system, tools }: MessageRequest) =>
      [system, messages.at(-1), tools].map((part) => lifetimes(part).length)
    assert.deepStrictEqual(where(mark(request(1))), [1, 1, 1])
    assert.deepStrictEqual(where(mark(request(2))), [1, 1, 0])
    assert.deepStrictEqual(where(mark(request(3))), [1, 0, 0])
    assert.deepStrictEqual(where(mark(request(4))), [0, 0, 0])
    assert.deepStrictEqual(mark(request(4)), request(4))
  })

  it("counts the marks within tool results and documents, and not what a tool's input calls so", () => {
    const inner = [1, 2, 3].map((n) => text(String(n), { cache_control: short }))
    const results = [
      { type: "tool_result" as const, tool_use_id: "t", content: inner },
      { type: "document" as const, source: { type: "content" as const, content: inner } },
      { type: "search_result" as const, source: "s", title: "t", content: inner },
      {
        type: "tool_search_tool_result" as const,
        tool_use_id: "t",
        content: {
          type: "tool_search_tool_search_result" as const,
          tool_references: inner.map((block) => ({
            type: "tool_reference" as const,
            tool_name: block.text,
            cache_control: short
          }))
        }
      }
    ]
    for (const block of results) {
      const marked = mark({ system: "s", messages: [user(block), user(text("q"))] })
      assert.strictEqual(lifetimes(marked).length, 4)
      assert.deepStrictEqual(marked.messages?.[1], user(text("q")))
    }
    const use = { type: "tool_use" as const, id: "t", name: "n", input: { content: inner } }
    const calls = [{ role: "assistant" as const, content: [use] }, user(text("q"))]
    assert.strictEqual(lifetimes(mark({ system: "s", messages: calls })).length, 2)
  })

  it("puts no hour after five minutes", () => {
    const tools = [tool("a", { cache_control: short })]
    assert.deepStrictEqual(lifetimes(mark({ tools, system: "s", prompt: "p" }, { ttl: "1h" })), ["5m", "5m", "5m"])
    const turns = [user(text("d", { cache_control: short })), user(text("q"))]
    const between = mark({ system: "s", messages: turns }, { ttl: "1h" })
    assert.deepStrictEqual(lifetimes(between), ["1h", "5m", "5m"])
    const result = { type: "tool_result" as const, tool_use_id: "t", content: [text("d", { cache_control: short })] }
    assert.deepStrictEqual(lifetimes(mark({ messages: [user(result)] }, { ttl: "1h" })), ["5m", "5m"])
  })

  it("puts no five minutes before an hour", () => {
    const document = user(text("d", { cache_control: long }))
    const marked = mark({ tools: [tool("a")], system: "s", messages: [document, user(text("q"))] })
    assert.deepStrictEqual(lifetimes(marked), ["1h", "1h", "1h", "5m"])
    assert.deepStrictEqual(lifetimes(mark({ system: "s", cache_control: long, prompt: "p" })), ["1h", "1h"])
  })

  it("has two lifetimes where it is asked twice", () => {
    const request = { tools: [tool("a")], system: "s", prompt: "p" }
    const marked = mark(mark(request, { ttl: "1h", lastTurn: false }))
    assert.deepStrictEqual(lifetimes(marked), ["1h", "1h", "5m"])
  })

  it("leaves alone what is malformed, for the request's own check to tell", () => {
    for (const odd of [null, 5, "x", {}, [null], [5], [{}], [{ role: "user", content: [null, 3] }]]) {
      const request = { messages: odd, system: odd, tools: odd } as never
      assert.doesNotThrow(() => mark(request))
    }
  })

  it("refuses a lifetime that the API does not have", () => {
    assert.throws(() => mark({ prompt: "p" }, { ttl: "2h" as never }), RangeError, "PromptCache.mark: ttl is 2h")
  })

  const Mark = Schema.Literals(["none", "5m", "1h"])
  const apply = (choice: typeof Mark.Type) =>
    choice === "none" ? {} : { cache_control: { type: "ephemeral" as const, ttl: choice } }
  it.prop(
    "makes no request that the API refuses of one that it takes",
    [Schema.Array(Mark).check(Schema.isMaxLength(8)), Schema.Literals(["5m", "1h"]), Schema.Natural, Schema.Natural],
    ([choices, ttl, first, second]) => {
      const legal: Array<typeof Mark.Type> = []
      for (const choice of choices) {
        const isFull = legal.filter((choice) => choice !== "none").length === 4
        if (choice === "none" || isFull) legal.push("none")
        else legal.push(legal.includes("5m") ? "5m" : choice)
      }
      const cut = first % (legal.length + 1)
      const cut2 = cut + (second % (legal.length - cut + 1))
      const request: MessageRequest = {
        tools: legal.slice(0, cut).map((choice, n) => tool(String(n), apply(choice))),
        system: legal.slice(cut, cut2).map((choice) => text("s", apply(choice))),
        messages: legal.slice(cut2).map((choice) => user(text("u", apply(choice))))
      }
      const marked = lifetimes(mark(request, { ttl }))
      assert.isAtMost(marked.length, 4)
      assert.isFalse(marked.join(" ").includes("5m 1h"))
      assert.isAtLeast(marked.length, lifetimes(request).length)
    }
  )
})
