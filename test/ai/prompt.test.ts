import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, Tool } from "effect/ai"
import * as PromptBlocks from "../../src/ai/PromptBlocks.ts"
import { bodies, type Json, lastBody, layerOf, MODEL, sentHeaders } from "./support.ts"

const names = new Tool.NameMapper<ReadonlyArray<Tool.Any>>([])
/** As it is on the wire. */
interface Sent {
  readonly system: ReadonlyArray<unknown> | undefined
  readonly messages: ReadonlyArray<{ readonly role: string; readonly content: ReadonlyArray<Json> }>
}
const request = (messages: Iterable<Prompt.MessageEncoded>, model = MODEL) =>
  PromptBlocks.fromPrompt(Prompt.make(messages), names, model) as unknown as Sent
const content = (message: Prompt.MessageEncoded) => request([message]).messages[0]!.content

const cacheControl = { type: "ephemeral", ttl: "1h" } as const
const cached = { anthropic: { cacheControl } }
const png = "iVBORw0KGgo="

describe("system messages", () => {
  it("that come first are the system prompt, each a block of its own; later ones are where they were", () => {
    const { messages, system } = request([
      { role: "system", content: "One.", options: cached },
      { role: "system", content: "Two. " },
      { role: "user", content: "Hi" },
      { role: "system", content: "Three." },
      { role: "assistant", content: "Yes " },
      { role: "user", content: "Go" }
    ])
    assert.deepStrictEqual(system, [
      { type: "text", text: "One.", cache_control: cacheControl },
      { type: "text", text: "Two. " }
    ])
    assert.deepStrictEqual(messages, [
      { role: "user", content: [{ type: "text", text: "Hi" }] },
      { role: "system", content: [{ type: "text", text: "Three." }] },
      { role: "assistant", content: [{ type: "text", text: "Yes " }] },
      { role: "user", content: [{ type: "text", text: "Go" }] }
    ])
  })

  const system = { role: "system", content: "Sys." } as const
  const user = (text: string) => ({ role: "user", content: text }) as const
  const assistant = { role: "assistant", content: "A" } as const
  const call = { role: "assistant", content: [{ type: "tool-call", id: "t", name: "f", params: {} }] } as const
  const result = {
    role: "tool",
    content: [{ type: "tool-result", id: "t", name: "f", result: "r", isFailure: false }]
  } as const
  const calls = { ...call, content: [...call.content, { ...call.content[0], id: "u" }] } as const
  const asUser = "<system>\nSys.\n</system>"

  /** Each turn as its role and what is in it. */
  const shape = (messages: Iterable<Prompt.MessageEncoded>, model?: string) =>
    request(messages, model).messages.map((
      { content, role }
    ) => [role, ...content.map(({ text, type }) => text ?? type)])

  for (
    const [where, messages, taking, others] of [
      [
        "before a user's turn come behind it",
        [user("1"), assistant, system, user("2")],
        [["user", "1"], ["assistant", "A"], ["user", "2"], ["system", "Sys."]],
        [["user", "1"], ["assistant", "A"], ["user", "2", asUser]]
      ],
      [
        "within a user's turn come behind it, as one",
        [user("1"), system, user("2"), system, assistant, user("3")],
        [["user", "1", "2"], ["system", "Sys.", "Sys."], ["assistant", "A"], ["user", "3"]],
        [["user", "1", "2", asUser, asUser], ["assistant", "A"], ["user", "3"]]
      ],
      [
        "between a call and its result come behind the result",
        [user("1"), call, system, result],
        [["user", "1"], ["assistant", "tool_use"], ["user", "tool_result"], ["system", "Sys."]],
        [["user", "1"], ["assistant", "tool_use"], ["user", "tool_result", asUser]]
      ],
      [
        "between results come behind them all",
        [user("1"), calls, result, system, { ...result, content: [{ ...result.content[0], id: "u" }] }, user("2")],
        [["user", "1"], ["assistant", "tool_use", "tool_use"], ["user", "tool_result", "tool_result", "2"], [
          "system",
          "Sys."
        ]],
        [["user", "1"], ["assistant", "tool_use", "tool_use"], ["user", "tool_result", "tool_result", "2", asUser]]
      ],
      [
        "behind a call that nobody answered come behind its answer",
        [user("1"), call, system],
        [["user", "1"], ["assistant", "tool_use"], ["user", "tool_result"], ["system", "Sys."]],
        [["user", "1"], ["assistant", "tool_use"], ["user", "tool_result", asUser]]
      ],
      [
        "that no user's turn is beside are one",
        [user("1"), assistant, system, assistant, system],
        [["user", "1"], ["assistant", "A"], ["user", asUser], ["assistant", "A"], ["user", asUser]],
        [["user", "1"], ["assistant", "A"], ["user", asUser], ["assistant", "A"], ["user", asUser]]
      ]
    ] as const
  ) {
    it(`${where}, where alone the API takes them, and are in it for a model that takes none`, () => {
      assert.deepStrictEqual(shape(messages), taking as unknown as ReturnType<typeof shape>)
      assert.deepStrictEqual(shape(messages, "claude-sonnet-5"), others as unknown as ReturnType<typeof shape>)
    })
  }

  it("stay where they were sent as a conversation goes on", () => {
    const sent = [user("1"), assistant, system, user("2")]
    assert.deepStrictEqual(shape([...sent, assistant, user("3")]).slice(0, 4), shape(sent))
  })

  it("are taken by some models", () => {
    const taking = ["claude-opus-4-8", "claude-opus-5", MODEL, "claude-fable-5-1", "claude-mythos-5", "claude-opus-6"]
    const partner = "eu.anthropic.claude-opus-4-8-20260528-v1:0"
    const others = ["claude-opus-4-7", "claude-opus-4-1-20250805", "claude-sonnet-5-5", "claude-haiku-5-5", "mine"]
    const isTaken = (model: string) => shape([user("1"), system], model).length === 2
    assert.deepStrictEqual([...taking, partner, ...others].filter(isTaken), [...taking, partner])
  })

  it.effect("are told to a model that stands in for another in its own way", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: [user("1"), assistant, system, user("2")] }).pipe(
        Claude.withPolicy({ fallback: ["claude-sonnet-5"], retry: RetryPolicy.none })
      )
      const roles = (yield* bodies).map(({ messages }) => messages.map(({ role }: Json) => role))
      assert.deepStrictEqual(roles, [["user", "assistant", "user", "system"], ["user", "assistant", "user"]])
    }).pipe(Effect.provide(layerOf([Answer.error(529), Answer.hello]))))
})

describe("turns", () => {
  it("are one where messages of a side follow each other, results first, and nothing is trimmed", () => {
    const { messages } = request([
      { role: "user", content: "  a\n" },
      { role: "user", content: " b " },
      { role: "assistant", content: [{ type: "text", text: "c  \n" }] },
      {
        role: "assistant",
        content: [{ type: "tool-call", id: "t1", name: "f", params: { x: 1 } }, {
          type: "tool-call",
          id: "t2",
          name: "f",
          params: {}
        }]
      },
      { role: "user", content: "and" },
      { role: "tool", content: [{ type: "tool-result", id: "t1", name: "f", isFailure: false, result: " r " }] },
      { role: "tool", content: [{ type: "tool-result", id: "t2", name: "f", isFailure: true, result: { no: 1 } }] },
      { role: "assistant", content: "last \n" }
    ])
    assert.deepStrictEqual(messages, [
      { role: "user", content: [{ type: "text", text: "  a\n" }, { type: "text", text: " b " }] },
      {
        role: "assistant",
        content: [
          { type: "text", text: "c  \n" },
          { type: "tool_use", id: "t1", name: "f", input: { x: 1 } },
          { type: "tool_use", id: "t2", name: "f", input: {} }
        ]
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t1", content: " r " },
          { type: "tool_result", tool_use_id: "t2", content: "{\"no\":1}", is_error: true },
          { type: "text", text: "and" }
        ]
      },
      { role: "assistant", content: [{ type: "text", text: "last \n" }] }
    ])
  })

  it("answer a call that an interruption left without one", () => {
    const call = { role: "assistant", content: [{ type: "tool-call", id: "t1", name: "f", params: {} }] } as const
    const answered = {
      type: "tool_result",
      tool_use_id: "t1",
      content: "The call was interrupted before the tool had answered.",
      is_error: true
    }
    const hi = { role: "user", content: "Hi" } as const
    assert.deepStrictEqual(request([hi, call, hi]).messages[2]!.content, [answered, { type: "text", text: "Hi" }])
    assert.deepStrictEqual(request([hi, call]).messages[2], { role: "user", content: [answered] })
  })

  const hi = { role: "user", content: "Hi" } as const
  const sent = (blocks: ReadonlyArray<object>) => ({
    role: "assistant" as const,
    // Any block is JSON.
    content: blocks.map((block) => ({
      type: "text" as const,
      text: "",
      options: { anthropic: { block: block as Json } }
    }))
  })
  const search = (id: string) => ({ type: "server_tool_use", id, name: "web_search", input: {} })
  const found = (id: string) => ({ type: "web_search_tool_result", tool_use_id: id, content: [] })
  const thought = { type: "thinking", thinking: "Hm.", signature: "s" }
  const words = { type: "text", text: "So" }

  for (
    const [what, blocks, left] of [
      ["a search that never came to its end", [words, search("1"), found("1"), search("2")], [
        words,
        search("1"),
        found("1")
      ]],
      ["a call of an MCP server that never did", [
        words,
        { type: "mcp_tool_use", id: "m", name: "f", input: {}, server_name: "far" }
      ], [words]],
      ["thoughts that nothing follows", [thought, words, thought, { type: "redacted_thinking", data: "d" }], [
        thought,
        words
      ]],
      ["a turn that has nothing else", [thought, search("1")], undefined]
    ] as const
  ) {
    it(`of an interruption leave out ${what}`, () => {
      const { messages } = request([hi, sent(blocks), hi])
      assert.deepStrictEqual(
        messages.slice(1, -1),
        left === undefined ? [] : [{ role: "assistant", content: left }] as typeof messages
      )
    })
  }

  it("keep what the API has yet to run: where it paused, or waits for the program's own tools", () => {
    const paused = request([hi, sent([words, search("1"), thought])]).messages
    assert.deepStrictEqual(paused[1]!.content, [words, search("1"), thought])
    const use = { type: "tool_use", id: "t1", name: "f", input: {} }
    const { messages } = request([
      hi,
      sent([use, search("1")]),
      { role: "tool", content: [{ type: "tool-result", id: "t1", name: "f", isFailure: false, result: "r" }] },
      sent([found("1"), words])
    ])
    assert.deepStrictEqual(messages[1]!.content, [use, search("1")])
    const { messages: later } = request([hi, sent([search("1")]), hi, sent([found("1"), words])])
    assert.deepStrictEqual(later[1]!.content, [search("1")])
  })

  it("leave out what the API refuses: empty texts, thoughts that nobody signed, approvals, what others ran", () => {
    const { messages } = request([
      { role: "user", content: [{ type: "text", text: "" }, { type: "text", text: "Hi" }] },
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "of another model" },
          { type: "text", text: "" },
          { type: "text", text: "", options: { anthropic: { block: { type: "text", text: "", shine: 1 } } } },
          { type: "text", text: "So" },
          { type: "tool-approval-request", approvalId: "a", toolCallId: "t" },
          { type: "tool-call", id: "ws_1", name: "OpenAiWebSearch", params: {}, providerExecuted: true },
          {
            type: "tool-result",
            id: "ws_1",
            name: "OpenAiWebSearch",
            isFailure: false,
            result: {},
            providerExecuted: true
          }
        ]
      }
    ])
    assert.deepStrictEqual(messages, [
      { role: "user", content: [{ type: "text", text: "Hi" }] },
      { role: "assistant", content: [{ type: "text", text: "So" }] }
    ])
  })

  it("keep blanks that the model wrote beside a text, between its thoughts too, and leave out what is blank alone", () => {
    const thought = {
      type: "reasoning",
      text: "Hm.",
      options: { anthropic: { info: { type: "thinking", signature: "s" } } }
    } as const
    const blank = { type: "text", text: "\n\n" } as const
    const text = { type: "text", text: "So" } as const
    const call = { type: "tool-call", id: "t", name: "f", params: {} } as const
    const typesOf = (...parts: Prompt.AssistantMessageEncoded["content"] & ReadonlyArray<unknown>) =>
      content({ role: "assistant", content: parts }).map(({ text, type }) => text ?? type)
    assert.deepStrictEqual(typesOf(blank, thought, text), ["\n\n", "thinking", "So"])
    assert.deepStrictEqual(typesOf(thought, blank, call), ["thinking", "tool_use"])
  })
})

describe("cache breakpoints", () => {
  const text = { type: "text", text: "t", options: cached } as const
  it("are on every block that takes one", () => {
    assert.deepStrictEqual(content({ role: "user", content: [text] }), [
      { type: "text", text: "t", cache_control: cacheControl }
    ])
    assert.deepStrictEqual(
      content({
        role: "user",
        content: [
          { type: "file", mediaType: "image/png", data: png, options: cached },
          { type: "file", mediaType: "application/pdf", data: "JVBERg==", options: cached },
          { type: "file", mediaType: "text/plain", data: "x", options: cached },
          {
            type: "file",
            mediaType: "application/zip",
            data: "",
            options: { anthropic: { fileId: "file_1", cacheControl } }
          }
        ]
      }).map(({ cache_control, type }) => [type, cache_control]),
      [["image", cacheControl], ["document", cacheControl], ["document", cacheControl], [
        "container_upload",
        cacheControl
      ]]
    )
    const block = { type: "server_tool_use", id: "s", name: "web_search", input: {} }
    const assistant = request([
      { role: "user", content: "Hi" },
      {
        role: "assistant",
        content: [
          {
            type: "reasoning",
            text: "r",
            options: { anthropic: { info: { type: "thinking", signature: "s" }, cacheControl } }
          },
          text,
          { type: "tool-call", id: "t", name: "f", params: {}, options: cached },
          {
            type: "tool-call",
            id: "s",
            name: "w",
            params: {},
            providerExecuted: true,
            options: { anthropic: { block, cacheControl } }
          }
        ]
      },
      {
        role: "tool",
        content: [{ type: "tool-result", id: "t", name: "f", isFailure: false, result: 1, options: cached }]
      }
    ])
    assert.deepStrictEqual(assistant.messages[1]!.content, [
      { type: "thinking", thinking: "r", signature: "s" },
      { type: "text", text: "t", cache_control: cacheControl },
      { type: "tool_use", id: "t", name: "f", input: {}, cache_control: cacheControl },
      { ...block, cache_control: cacheControl }
    ])
    assert.deepStrictEqual(assistant.messages[2]!.content, [
      { type: "tool_result", tool_use_id: "t", content: "1", cache_control: cacheControl }
    ])
  })

  it("of a message are on the last of its blocks that takes one, where that has none of its own", () => {
    const other = { type: "ephemeral" } as const
    assert.deepStrictEqual(
      content({
        role: "assistant",
        options: cached,
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
          { type: "reasoning", text: "r", options: { anthropic: { info: { type: "thinking", signature: "s" } } } }
        ]
      }),
      [
        { type: "text", text: "a" },
        { type: "text", text: "b", cache_control: cacheControl },
        { type: "thinking", thinking: "r", signature: "s" }
      ]
    )
    assert.deepStrictEqual(
      content({
        role: "user",
        options: cached,
        content: [{ type: "text", text: "a", options: { anthropic: { cacheControl: other } } }]
      }),
      [{ type: "text", text: "a", cache_control: other }]
    )
    const { messages } = request([
      { role: "assistant", content: [{ type: "tool-call", id: "t", name: "f", params: {} }] },
      {
        role: "tool",
        options: cached,
        content: [{ type: "tool-result", id: "t", name: "f", isFailure: false, result: "r" }]
      }
    ])
    assert.deepStrictEqual(messages[1]!.content, [
      { type: "tool_result", tool_use_id: "t", content: "r", cache_control: cacheControl }
    ])
  })
})

describe("tool results", () => {
  const result = (fields: object) => {
    const { messages } = request([
      { role: "assistant", content: [{ type: "tool-call", id: "t", name: "f", params: {} }] },
      {
        role: "tool",
        content: [{ type: "tool-result", id: "t", name: "f", isFailure: false, result: null, ...fields }]
      }
    ])
    const [block] = messages[1]!.content
    return block.is_error === undefined ? block.content : [block.content, block.is_error]
  }
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: png } }

  it("are texts as they are, blocks as they are, and all else as JSON", () => {
    assert.strictEqual(result({ result: " as is " }), " as is ")
    assert.strictEqual(result({ result: { a: [1, null] } }), "{\"a\":[1,null]}")
    assert.strictEqual(result({ result: [] }), "[]")
    assert.strictEqual(result({ result: null }), "null")
    assert.isUndefined(result({ result: undefined }))
    assert.deepStrictEqual(result({ result: [{ type: "text", text: "see" }, image] }), [
      { type: "text", text: "see" },
      image
    ])
    assert.strictEqual(result({ result: [{ type: "text" }] }), "[{\"type\":\"text\"}]")
    for (
      const block of [
        { type: "tool_reference", tool_name: "x" },
        { type: "document", source: { type: "text", media_type: "text/plain", data: "x" } },
        { type: "search_result", source: "s", title: "t", content: [{ type: "text", text: "x" }] },
        { type: "browser_state", tabs: [{ id: "1", title: "T", url: "https://a.invalid", active: true }] }
      ]
    ) {
      assert.deepStrictEqual(result({ result: [block] }), [block])
    }
  })

  it("show the model what the tool made for it", () => {
    assert.deepStrictEqual(
      result({
        result: { id: 1 },
        modelOutput: [
          { type: "text", text: "the screen" },
          { type: "file", mediaType: "image/png", data: png },
          { type: "file", mediaType: "application/pdf", data: "JVBERg==", fileName: "a.pdf" }
        ]
      }),
      [
        { type: "text", text: "the screen" },
        image,
        {
          type: "document",
          source: { type: "base64", media_type: "application/pdf", data: "JVBERg==" },
          title: "a.pdf"
        }
      ]
    )
  })

  it("that are failures say so, and say something", () => {
    assert.deepStrictEqual(result({ isFailure: true, result: "no" }), ["no", true])
    assert.deepStrictEqual(result({ isFailure: true, result: "" }), ["The tool failed, and did not say why.", true])
  })
})

describe("files", () => {
  const file = (part: Omit<Prompt.FilePartEncoded, "type">) =>
    content({ role: "user", content: [{ type: "file", ...part }] })[0]
  const bytes = Buffer.from(png, "base64")

  it("are images by bytes, base64, data URL, address and id", () => {
    const image = (source: object) => ({ type: "image", source })
    const base64 = (media_type: string, data: string) => image({ type: "base64", media_type, data })
    assert.deepStrictEqual(file({ mediaType: "image/png", data: bytes }), base64("image/png", png))
    assert.deepStrictEqual(file({ mediaType: "image/*", data: bytes }), base64("image/png", png))
    assert.deepStrictEqual(file({ mediaType: "image/jpg", data: "/9j/4A==" }), base64("image/jpeg", "/9j/4A=="))
    assert.deepStrictEqual(
      file({ mediaType: "image/webp", data: "data:image/webp;base64,UklGRg==" }),
      base64("image/webp", "UklGRg==")
    )
    const url = image({ type: "url", url: "https://a.invalid/i.gif" })
    assert.deepStrictEqual(file({ mediaType: "image/gif", data: "https://a.invalid/i.gif" }), url)
    assert.deepStrictEqual(file({ mediaType: "image/gif", data: new URL("https://a.invalid/i.gif") }), url)
    assert.deepStrictEqual(
      file({ mediaType: "image/png", data: "", options: { anthropic: { fileId: "file_1" } } }),
      image({ type: "file", file_id: "file_1" })
    )
  })

  it("are PDFs and texts, with a title, context and citations", () => {
    assert.deepStrictEqual(
      file({
        mediaType: "application/pdf",
        data: new URL("https://a.invalid/a.pdf"),
        fileName: "a.pdf",
        options: { anthropic: { documentTitle: "A", documentContext: "C", citations: { enabled: true } } }
      }),
      {
        type: "document",
        source: { type: "url", url: "https://a.invalid/a.pdf" },
        title: "A",
        context: "C",
        citations: { enabled: true }
      }
    )
    const text = (data: string) => ({ type: "document", source: { type: "text", media_type: "text/plain", data } })
    assert.deepStrictEqual(file({ mediaType: "text/markdown; charset=utf-8", data: "# naïve" }), text("# naïve"))
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: new TextEncoder().encode("ü") }), text("ü"))
    assert.deepStrictEqual(file({ mediaType: "application/json", data: "data:application/json,%7B%7D" }), text("{}"))
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: "data:text/plain;base64,w7w=" }), text("ü"))
    assert.deepStrictEqual(
      file({ mediaType: "application/pdf", data: "", fileName: "b", options: { anthropic: { fileId: "file_2" } } }),
      { type: "document", source: { type: "file", file_id: "file_2" }, title: "b" }
    )
  })

  it("that are texts are themselves, whatever they begin with", () => {
    const text = (data: string) => ({ type: "document", source: { type: "text", media_type: "text/plain", data } })
    const page = "https://a.invalid is where I live\nand more"
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: page }), text(page))
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: "https://a.invalid" }), text("https://a.invalid"))
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: new URL("https://a.invalid/a.txt") }), {
      type: "document",
      source: { type: "url", url: "https://a.invalid/a.txt" }
    })
  })

  it("by data URL are read as bytes, also where these are no text", () => {
    const text = (data: string) => ({ type: "document", source: { type: "text", media_type: "text/plain", data } })
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: "data:,a%20%zz%E0%A4%A" }), text("a %zz\ufffd%A"))
    assert.deepStrictEqual(file({ mediaType: "text/plain", data: "data:text/plain;charset=utf-8,ü%C3%BC" }), text("üü"))
    assert.deepStrictEqual(
      file({ mediaType: "application/pdf", data: "data:application/pdf,%25PDF%FF" }),
      { type: "document", source: { type: "base64", media_type: "application/pdf", data: "JVBERv8=" } }
    )
  })

  it.effect("that lie where the API reads nothing are refused, and what they are is said", () =>
    Effect.gen(function*() {
      for (const data of [new URL("file:///etc/a.pdf"), "s3://bucket/a.pdf"]) {
        const error = yield* Effect.flip(LanguageModel.generateText({
          prompt: [{ role: "user", content: [{ type: "file", mediaType: "application/pdf", data }] }]
        }))
        assert.strictEqual(error.reason._tag, "InvalidUserInputError")
        assert.include(error.message, String(data))
      }
      assert.deepStrictEqual(yield* bodies, [])
    }).pipe(Effect.provide(layerOf([Answer.hello]))))

  it.effect("of a kind that no message takes are refused before anything is sent", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({
        prompt: [{ role: "user", content: [{ type: "file", mediaType: "audio/mpeg", data: "", fileName: "a.mp3" }] }]
      }))
      assert.strictEqual(error.reason._tag, "InvalidUserInputError")
      assert.include(error.message, "\"a.mp3\" is audio/mpeg")
    }).pipe(Effect.provide(layerOf([Answer.hello]))))
})

describe("blocks", () => {
  it("that no part has words for are sent as they are, by either side", () => {
    const block = { type: "search_result", source: "s", title: "t", content: [{ type: "text", text: "x" }] }
    assert.deepStrictEqual(
      content({ role: "user", content: [{ type: "text", text: "", options: { anthropic: { block } } }] }),
      [block]
    )
    const compaction = { type: "compaction", content: "So far.", encrypted_content: null }
    assert.deepStrictEqual(
      content({
        role: "assistant",
        content: [{ type: "text", text: "", options: { anthropic: { block: compaction } } }]
      }),
      [compaction]
    )
  })

  it("are left where their text was changed since", () => {
    const block = { type: "text", text: "before", shine: 1 }
    assert.deepStrictEqual(
      content({ role: "assistant", content: [{ type: "text", text: "after", options: { anthropic: { block } } }] }),
      [{ type: "text", text: "after" }]
    )
  })

  it("are made again for what another provider has stored without them", () => {
    const { messages } = request([
      { role: "user", content: "Hi" },
      {
        role: "assistant",
        content: [
          { type: "tool-call", id: "1", name: "web_search", params: { query: "q" }, providerExecuted: true },
          { type: "tool-result", id: "1", name: "web_search", isFailure: false, result: [], providerExecuted: true },
          {
            type: "tool-call",
            id: "2",
            name: "code_execution",
            params: { type: "bash_code_execution", command: "ls" },
            providerExecuted: true
          },
          {
            type: "tool-result",
            id: "2",
            name: "code_execution",
            isFailure: false,
            result: { type: "bash_code_execution_result", stdout: "" },
            providerExecuted: true
          },
          {
            type: "tool-call",
            id: "3",
            name: "echo",
            params: {},
            providerExecuted: true,
            options: { anthropic: { mcp_tool: { server: "far" } } }
          },
          {
            type: "tool-call",
            id: "4",
            name: "f",
            params: {},
            options: { anthropic: { caller: { type: "code_execution_20250825", toolId: "2" } } }
          }
        ]
      },
      {
        role: "tool",
        content: [
          {
            type: "tool-result",
            id: "3",
            name: "echo",
            isFailure: false,
            result: "e",
            options: { anthropic: { mcp_tool: { server: "far" } } }
          },
          { type: "tool-result", id: "4", name: "f", isFailure: false, result: "r" }
        ]
      }
    ])
    assert.deepStrictEqual(messages.slice(1), [
      {
        role: "assistant",
        content: [
          { type: "server_tool_use", id: "1", name: "web_search", input: { query: "q" } },
          { type: "web_search_tool_result", tool_use_id: "1", content: [] },
          { type: "server_tool_use", id: "2", name: "bash_code_execution", input: { command: "ls" } },
          {
            type: "bash_code_execution_tool_result",
            tool_use_id: "2",
            content: { type: "bash_code_execution_result", stdout: "" }
          },
          { type: "mcp_tool_use", id: "3", name: "echo", input: {}, server_name: "far" },
          {
            type: "tool_use",
            id: "4",
            name: "f",
            input: {},
            caller: { type: "code_execution_20250825", tool_id: "2" }
          },
          { type: "mcp_tool_result", tool_use_id: "3", is_error: false, content: "e" }
        ]
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "4", content: "r" }] }
    ])
  })
})

describe("parameters", () => {
  it.effect("are the API's own; betas go with what needs them, and the nearest wins", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Hi" })
      const body = yield* lastBody
      assert.deepInclude(body, {
        max_tokens: 99,
        thinking: { type: "adaptive" },
        output_config: { effort: "high" },
        service_tier: "auto",
        speed: "fast",
        container: "cont_1",
        metadata: { user_id: "u" },
        mcp_servers: [{ type: "url", name: "far", url: "https://far.invalid" }],
        tools: [{ type: "mcp_toolset", mcp_server_name: "far" }]
      })
      assert.notProperty(body, "tool_choice")
      assert.notProperty(body, "betas")
      const [headers] = yield* sentHeaders
      assert.strictEqual(
        headers!["anthropic-beta"],
        "context-management-2025-06-27,fast-mode-2026-02-01,mcp-client-2025-11-20,mine-2026"
      )
    }).pipe(Effect.provide(layerOf([Answer.hello], {
      max_tokens: 99,
      thinking: { type: "adaptive" },
      output_config: { effort: "high" },
      service_tier: "auto",
      speed: "fast",
      container: "cont_1",
      metadata: { user_id: "u" },
      context_management: { edits: [] },
      mcp_servers: [{ type: "url", name: "far", url: "https://far.invalid" }],
      betas: ["mine-2026"]
    }))))
})
