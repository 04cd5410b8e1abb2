import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { AiError, LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { blocks, bodies, type Json, lastBody, layerOf, sentHeaders } from "./support.ts"

const use = (id: string, name: string, input: unknown) => ({
  type: "tool_use",
  id,
  name,
  input,
  caller: { type: "direct" }
})

const Weather = Tool.make("weather", {
  description: "The weather of a city",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ degrees: Schema.Int })
})

const collected = <E, R>(
  stream: Stream.Stream<Response.AnyPart, E, R>
): Effect.Effect<ReadonlyArray<Response.AnyPart>, E, R> => Stream.runCollect(stream)

describe("a tool", () => {
  const Weathers = Toolkit.make(Weather)
  const handlers = Weathers.toLayer({ weather: ({ city }) => Effect.succeed({ degrees: city.length }) })

  it.effect("is told to the model, called, and its result goes back", () =>
    Effect.gen(function*() {
      const first = yield* LanguageModel.generateText({ prompt: "Weather?", toolkit: Weathers })
      assert.strictEqual(first.finishReason, "tool-calls")
      assert.deepStrictEqual(first.toolResults.map(({ result }) => result), [{ degrees: 4 }])
      const history = Prompt.concat(Prompt.make("Weather?"), Prompt.fromResponseParts(first.content))
      const second = yield* LanguageModel.generateText({ prompt: history, toolkit: Weathers })
      assert.strictEqual(second.text, "4 degrees")
      const [asked, again] = yield* bodies
      assert.deepStrictEqual(asked.tools, [{
        name: "weather",
        description: "The weather of a city",
        input_schema: {
          type: "object",
          properties: { city: { type: "string" } },
          required: ["city"],
          additionalProperties: false
        },
        strict: true
      }])
      assert.notProperty(asked, "tool_choice")
      assert.deepStrictEqual(again.messages.slice(1), [
        { role: "assistant", content: [use("t1", "weather", { city: "Bern" })] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "{\"degrees\":4}" }] }
      ])
    }).pipe(
      Effect.provide([
        handlers,
        layerOf([blocks([use("t1", "weather", { city: "Bern" })]), Answer.text("4 degrees")])
      ])
    ))

  it.effect("is streamed: its parameters as they come, the call, its result, the end", () =>
    Effect.gen(function*() {
      const parts = yield* collected(LanguageModel.streamText({ prompt: "Weather?", toolkit: Weathers }))
      assert.deepStrictEqual(
        [...new Set(parts.map(({ type }) => type))],
        [
          "response-metadata",
          "tool-params-start",
          "tool-params-delta",
          "tool-params-end",
          "tool-call",
          "tool-result",
          "finish"
        ]
      )
      const params = parts.flatMap((part) => part.type === "tool-params-delta" ? [part.delta] : []).join("")
      assert.deepStrictEqual(JSON.parse(params), { city: "Bern" })
    }).pipe(Effect.provide([handlers, layerOf([blocks([use("t1", "weather", { city: "Bern" })])])])))

  it.effect("does not run where the answer was cut, and is answered all the same", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateText({ prompt: "Weather?", toolkit: Weathers })
      assert.strictEqual(response.finishReason, "length")
      assert.deepStrictEqual(response.toolResults.map(({ isFailure }) => isFailure), [true])
    }).pipe(
      Effect.provide([
        handlers,
        layerOf([blocks([use("t1", "weather", { city: "Bern" })], { stopReason: "max_tokens" })])
      ])
    ))

  for (
    const [choice, wire] of [
      ["required", { type: "any" }],
      ["none", { type: "none" }],
      [{ tool: "weather" }, { type: "tool", name: "weather" }],
      [{ oneOf: ["weather"], mode: "required" }, { type: "any" }],
      [{ oneOf: ["weather"] }, undefined],
      ["auto", undefined]
    ] as const
  ) {
    it.effect(`may be asked for: ${JSON.stringify(choice)}`, () =>
      Effect.gen(function*() {
        yield* LanguageModel.generateText({ prompt: "Weather?", toolkit: Weathers, toolChoice: choice as "auto" })
        const body = yield* lastBody
        assert.deepStrictEqual(body.tool_choice, wire)
        assert.strictEqual(body.tools.length, 1)
      }).pipe(Effect.provide([handlers, layerOf([Answer.hello])])))
  }

  it.effect("is called one at a time where that is asked for", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Weather?", toolkit: Weathers })
      assert.deepStrictEqual((yield* lastBody).tool_choice, { type: "auto", disable_parallel_tool_use: true })
    }).pipe(Effect.provide([handlers, layerOf([Answer.hello], { disableParallelToolCalls: true })])))
})

describe("many tools", () => {
  const Slow = Tool.make("slow", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.Int })
  const Slows = Toolkit.make(Slow)
  const answer = blocks(Array.from({ length: 6 }, (_, n) => use(`t${n}`, "slow", { n })))

  for (const way of ["whole", "streamed"] as const) {
    it.effect(`run side by side, no more than the bound (${way})`, () => {
      let running = 0
      let most = 0
      const gate = Deferred.makeUnsafe<void>()
      const handlers = Slows.toLayer({
        slow: ({ n }) =>
          Effect.gen(function*() {
            most = Math.max(most, ++running)
            yield* Deferred.await(gate)
            running--
            return n
          })
      })
      return Effect.gen(function*() {
        const options = { prompt: "Go", toolkit: Slows, concurrency: 3 } as const
        const fiber = yield* Effect.forkChild(
          way === "whole"
            ? Effect.map(
              LanguageModel.generateText(options),
              ({ toolResults }) => toolResults.map(({ result }) => result)
            )
            : Effect.map(
              collected(LanguageModel.streamText(options)),
              (parts) => parts.flatMap((part) => part.type === "tool-result" ? [part.result] : [])
            )
        )
        while (running < 3) yield* Effect.yieldNow
        for (let n = 0; n < 50; n++) yield* Effect.yieldNow
        assert.strictEqual(most, 3)
        yield* Deferred.succeed(gate, undefined)
        assert.sameMembers([...yield* Fiber.join(fiber)], [0, 1, 2, 3, 4, 5])
        assert.isAtMost(most, 3)
      }).pipe(Effect.provide([handlers, layerOf([answer])]))
    })
  }
})

describe("a tool that fails", () => {
  const fields = { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.String, failure: Schema.String }
  const returning = Toolkit.make(Tool.make("f", { ...fields, failureMode: "return" }))
  const failing = Toolkit.make(Tool.make("f", { ...fields, failureMode: "error" }))
  const handler = { f: () => Effect.fail("broken") }

  it.effect("is shown to the model where it returns its failure", () => {
    const [toolkit, handlers] = [returning, returning.toLayer(handler)]
    return Effect.gen(function*() {
      const { content } = yield* LanguageModel.generateText({ prompt: "Go", toolkit })
      yield* LanguageModel.generateText({
        prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(content)),
        toolkit
      })
      assert.deepStrictEqual((yield* lastBody).messages[2].content, [
        { type: "tool_result", tool_use_id: "t1", content: "broken", is_error: true }
      ])
    }).pipe(Effect.provide([handlers, layerOf([blocks([use("t1", "f", { n: 1 })]), Answer.hello])]))
  })

  it.effect("and parameters that do not fit, too", () => {
    const [toolkit, handlers] = [returning, returning.toLayer(handler)]
    return Effect.gen(function*() {
      const { toolResults } = yield* LanguageModel.generateText({ prompt: "Go", toolkit })
      assert.isTrue(toolResults[0]!.isFailure)
    }).pipe(Effect.provide([handlers, layerOf([blocks([use("t1", "f", { n: "one" })])])]))
  })

  it.effect("fails the call where it does not", () => {
    const [toolkit, handlers] = [failing, failing.toLayer(handler)]
    return Effect.gen(function*() {
      assert.strictEqual(yield* Effect.flip(LanguageModel.generateText({ prompt: "Go", toolkit })), "broken")
      const streamed = Stream.runDrain(LanguageModel.streamText({ prompt: "Go", toolkit }))
      assert.strictEqual(yield* Effect.flip(streamed), "broken")
    }).pipe(Effect.provide([handlers, layerOf([blocks([use("t1", "f", { n: 1 })])])]))
  })

  it.effect("fails the call with its own cause, with a defect as with parameters that do not fit", () => {
    const bug = new Error("a bug")
    const handlers = failing.toLayer({ f: () => Effect.die(bug) })
    return Effect.gen(function*() {
      const whole = LanguageModel.generateText({ prompt: "Go", toolkit: failing })
      const streamed = Stream.runDrain(LanguageModel.streamText({ prompt: "Go", toolkit: failing }))
      for (const ask of [whole, streamed]) {
        const exit = yield* Effect.exit(ask)
        assert(Exit.isFailure(exit))
        assert.deepStrictEqual(
          exit.cause.reasons.map((reason) => reason._tag === "Die" ? reason.defect : reason._tag),
          [bug]
        )
      }
      for (const ask of [whole, streamed]) {
        const error = yield* Effect.flip(ask as Effect.Effect<unknown, unknown>)
        assert.isTrue(AiError.isAiError(error) && error.reason._tag === "ToolParameterValidationError")
      }
    }).pipe(Effect.provide([
      handlers,
      layerOf([
        blocks([use("t1", "f", { n: 1 })]),
        blocks([use("t1", "f", { n: 1 })]),
        blocks([use("t1", "f", { n: "one" })])
      ])
    ]))
  })

  it.effect("fails the call with all that failed beside it", () => {
    const both = Deferred.makeUnsafe<void>()
    let begun = 0
    const handlers = failing.toLayer({
      f: ({ n }) =>
        Effect.suspend(() => ++begun === 2 ? Deferred.succeed(both, undefined) : Effect.void).pipe(
          Effect.andThen(Deferred.await(both)),
          Effect.andThen(Effect.fail(`broken ${n}`))
        )
    })
    return Effect.gen(function*() {
      const exit = yield* Effect.exit(LanguageModel.generateText({ prompt: "Go", toolkit: failing }))
      assert.isTrue(Exit.isFailure(exit))
      assert.match(String(exit), /broken [12]/)
      assert.notInclude(String(exit), "The tool f failed")
    }).pipe(
      Effect.provide([handlers, layerOf([blocks([use("t1", "f", { n: 1 }), use("t2", "f", { n: 2 })])])])
    )
  })
})

describe("approvals", () => {
  const Pay = Tool.make("pay", {
    parameters: Schema.Struct({ usd: Schema.Int }),
    success: Schema.String,
    needsApproval: ({ usd }) => usd > 10
  })
  const Pays = Toolkit.make(Pay)
  const paid: Array<number> = []
  const handlers = Pays.toLayer({ pay: ({ usd }) => Effect.sync(() => (paid.push(usd), "paid")) })
  const answers = [blocks([use("t1", "pay", { usd: 50 }), use("t2", "pay", { usd: 5 })]), Answer.text("done")] as const

  for (const approved of [true, false]) {
    for (const way of ["whole", "streamed"] as const) {
      it.effect(`are asked for, and then ${approved ? "given" : "denied"} (${way})`, () =>
        Effect.gen(function*() {
          paid.length = 0
          const ask = (prompt: Prompt.Prompt): Effect.Effect<ReadonlyArray<Response.AnyPart>, unknown, Json> =>
            way === "whole"
              ? Effect.map(LanguageModel.generateText({ prompt, toolkit: Pays }), ({ content }) => content)
              : collected(LanguageModel.streamText({ prompt, toolkit: Pays }))
          const start = Prompt.make("Pay")
          const first = yield* ask(start)
          const request = first.find((part) => part.type === "tool-approval-request")!
          assert.strictEqual(request.toolCallId, "t1")
          assert.deepStrictEqual(paid, [5])
          const history = Prompt.concat(Prompt.concat(start, Prompt.fromResponseParts(first)), [{
            role: "tool",
            content: [{ type: "tool-approval-response", approvalId: request.approvalId, approved, reason: "because" }]
          }])
          const second = yield* ask(history)
          assert.deepStrictEqual(paid, approved ? [5, 50] : [5])
          assert.include(JSON.stringify(second), "done")
          const results = (yield* lastBody).messages[2].content as ReadonlyArray<Json>
          assert.deepStrictEqual(
            Object.fromEntries(results.map(({ content, is_error, tool_use_id }) => [tool_use_id, [content, is_error]])),
            {
              t1: approved ? ["paid", undefined] : ["{\"type\":\"execution-denied\",\"reason\":\"because\"}", true],
              t2: ["paid", undefined]
            }
          )
        }).pipe(Effect.provide([handlers, layerOf(answers)])) as Effect.Effect<void>)
    }
  }
})

describe("deferred validation", () => {
  for (const way of ["whole", "streamed"] as const) {
    it.effect(`hands on calls of tools that nobody declared, as they are (${way})`, () =>
      Effect.gen(function*() {
        const options = { prompt: "Go", disableToolCallResolution: true, toolCallValidation: "deferred" } as const
        const parts: ReadonlyArray<Response.AnyPart> = way === "whole"
          ? (yield* LanguageModel.generateText(options)).content
          : yield* collected(LanguageModel.streamText(options))
        const call = parts.find((part) => part.type === "tool-call")!
        assert.deepInclude(call, { id: "t1", name: "nobody", params: { any: ["thing"] } })
      }).pipe(Effect.provide(layerOf([blocks([use("t1", "nobody", { any: ["thing"] })])]))))
  }
})

describe("schemas of tools", () => {
  const Parameters = Schema.Struct({
    when: Schema.optionalKey(Schema.String),
    tags: Schema.Record(Schema.String, Schema.Finite),
    place: Schema.Tuple([Schema.Finite, Schema.Finite]),
    date: Schema.DateTimeUtcFromString
  })
  const Plan = Tool.make("plan", { parameters: Parameters, success: Schema.String })
  const Plans = Toolkit.make(Plan)
  const seen: Array<unknown> = []
  const handlers = Plans.toLayer({ plan: (params) => Effect.sync(() => (seen.push(params), "planned")) })
  /** As the API enforces it: what is optional is null, a record is a list, a tuple an object. */
  const input = { when: null, tags: [{ 0: "a", 1: 1 }], place: { 0: 3, 1: 4 }, date: "2026-01-02T00:00:00.000Z" }

  it.effect("are told in what the API enforces, and read back from it; the call goes back as it came", () =>
    Effect.gen(function*() {
      const first = yield* LanguageModel.generateText({ prompt: "Go", toolkit: Plans })
      const [params] = seen.splice(0) as ReadonlyArray<typeof Parameters.Type>
      assert.deepStrictEqual(params!.tags, { a: 1 })
      assert.deepStrictEqual(params!.place, [3, 4])
      assert.notProperty(params, "when")
      assert.strictEqual(params!.date.epochMilliseconds, Date.UTC(2026, 0, 2))
      yield* LanguageModel.generateText({
        prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(first.content)),
        toolkit: Plans
      })
      const [{ tools }, { messages }] = yield* bodies
      assert.isTrue(tools[0].strict)
      assert.strictEqual(tools[0].input_schema.properties.tags.type, "array")
      assert.deepStrictEqual(messages[1].content, [use("t1", "plan", input)])
    }).pipe(Effect.provide([handlers, layerOf([blocks([use("t1", "plan", input)]), Answer.hello])])))

  it.effect("are told as they are where nobody is to enforce them", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Go", toolkit: Plans })
      assert.deepInclude(seen.splice(0)[0] as object, { tags: { a: 1 }, place: [3, 4] })
      const [{ tools }] = yield* bodies
      assert.notProperty(tools[0], "strict")
      assert.strictEqual(tools[0].input_schema.properties.tags.type, "object")
    }).pipe(
      Effect.provide([
        handlers,
        layerOf([blocks([use("t1", "plan", { tags: { a: 1 }, place: [3, 4], date: input.date })])], {
          strictJsonSchema: false
        })
      ])
    ))

  interface Tree {
    readonly name: string
    readonly children: ReadonlyArray<Tree>
  }
  const Tree = Schema.Struct({
    name: Schema.String,
    children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
  })
  const Trees = Toolkit.make(Tool.make("grow", { parameters: Schema.Struct({ tree: Tree }), success: Schema.String }))
  const growing = Trees.toLayer({ grow: ({ tree }) => Effect.succeed(tree.children[0]?.name ?? "none") })

  it.effect("with recursion are not enforced", () =>
    Effect.gen(function*() {
      const { toolResults } = yield* LanguageModel.generateText({ prompt: "Go", toolkit: Trees })
      assert.strictEqual(toolResults[0]!.result, "leaf")
      assert.notProperty((yield* lastBody).tools[0], "strict")
    }).pipe(
      Effect.provide([
        growing,
        layerOf([blocks([use("t1", "grow", { tree: { name: "root", children: [{ name: "leaf", children: [] }] } })])])
      ])
    ))

  it.effect("and are refused where they must be, naming the tool", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "Go", toolkit: Trees }))
      assert(typeof error === "object" && error.reason._tag === "UnsupportedSchemaError")
      assert.include(error.message, "the tool grow")
      assert.include(error.message, "recursive at tree.children[]")
      assert.deepStrictEqual(yield* bodies, [])
    }).pipe(Effect.provide([growing, layerOf([Answer.hello], { strictJsonSchema: true })])))

  it.effect("may be JSON, and a tool of one's own may have the API's options", () =>
    Effect.gen(function*() {
      const schema = { type: "object", properties: { q: { type: "string" } } } as const
      const toolkit = Toolkit.make(
        Tool.dynamic("ask", { description: "Asks", parameters: schema }).annotate(ClaudeTool.Definition, {
          cache_control: { type: "ephemeral" },
          defer_loading: true
        })
      )
      yield* LanguageModel.generateText({ prompt: "Go", toolkit, disableToolCallResolution: true })
      assert.deepStrictEqual((yield* lastBody).tools, [{
        name: "ask",
        description: "Asks",
        input_schema: schema,
        cache_control: { type: "ephemeral" },
        defer_loading: true
      }])
    }).pipe(Effect.provide(layerOf([Answer.hello]))))
})

describe("what the API enforces in one request", () => {
  const none = Schema.Struct({ a: Schema.String })
  const many = (count: number, parameters: Schema.Struct<Schema.Struct.Fields>, from = 0) =>
    Array.from({ length: count }, (_, n) => Tool.make(`f${from + n}`, { parameters, success: Schema.String }))
  const strictOf = (tools: ReadonlyArray<Tool.Any>, more: object = {}) =>
    Effect.gen(function*() {
      const toolkit = {
        tools: Object.fromEntries(tools.map((tool) => [tool.name, tool])),
        handle: () => Effect.die("")
      }
      yield* LanguageModel.generateText({ prompt: "Go", toolkit: toolkit as never, ...more })
      const { tools: sent } = yield* lastBody
      assert.strictEqual(sent.length, tools.length)
      return (sent as ReadonlyArray<Json>).flatMap(({ name, strict }) => strict === true ? [name] : [])
    }).pipe(Effect.provide(layerOf([Answer.hello])))

  it.effect("is twenty tools, the first", () =>
    Effect.gen(function*() {
      const strict = yield* strictOf(many(25, none))
      assert.deepStrictEqual(strict, Array.from({ length: 20 }, (_, n) => `f${n}`))
    }))

  it.effect("is sixteen unions, and what may be absent is one; a tool without any still has room", () =>
    Effect.gen(function*() {
      const optional = Schema.Struct({
        a: Schema.optionalKey(Schema.String),
        deep: Schema.Struct({ b: Schema.NullOr(Schema.Int) })
      })
      const strict = yield* strictOf([...many(10, optional), ...many(1, none, 10)])
      assert.deepStrictEqual(strict, ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f10"])
    }))

  it.effect("has room first for the tools that must be strict", () =>
    Effect.gen(function*() {
      const must = Tool.make("must", { parameters: none, success: Schema.String }).annotate(Tool.Strict, true)
      const strict = yield* strictOf([...many(25, none), must])
      assert.deepStrictEqual(strict, [...Array.from({ length: 19 }, (_, n) => `f${n}`), "must"])
    }))

  it.effect("is read from those that it enforces, and the others are left as they are", () => {
    const Optional = Schema.Struct({ a: Schema.optionalKey(Schema.String), b: Schema.NullOr(Schema.String) })
    const toolkit = Toolkit.make(
      ...Array.from({ length: 10 }, (_, n) => Tool.make(`f${n}`, { parameters: Optional, success: Schema.String }))
    )
    const seen: Array<unknown> = []
    const handler = (params: unknown) => Effect.sync(() => (seen.push(params), "x"))
    return Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Go", toolkit, concurrency: 1 })
      assert.deepStrictEqual(seen, [{ b: null }, { b: null }])
    }).pipe(Effect.provide([
      toolkit.toLayer(Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`f${n}`, handler])) as never),
      layerOf([blocks([use("t1", "f0", { a: null, b: null }), use("t2", "f9", { b: null })])])
    ])) as Effect.Effect<void>
  })
})

describe("Claude's own tools", () => {
  it.effect("are told by type, with their options and betas", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(
        ClaudeTool.WebSearch_20260318({ max_uses: 3, user_location: { type: "approximate", city: "Bern" } }),
        ClaudeTool.WebFetch_20250910({ citations: { enabled: true } }),
        ClaudeTool.CodeExecution_20260521({}),
        ClaudeTool.ToolSearchBM25_20251119({}),
        ClaudeTool.Memory_20250818({ failureMode: "return" }),
        ClaudeTool.ComputerUse_20251124({ display_height_px: 10, display_width_px: 20 }),
        ClaudeTool.BrowserToolset_20260801({}),
        ClaudeTool.customServed({ type: "dream_20270101", name: "dream", customName: "Dream" })({ depth: 3 }),
        ClaudeTool.customLocal({
          type: "lamp_20270101",
          name: "lamp",
          customName: "Lamp",
          parameters: Schema.Struct({ on: Schema.Boolean })
        })({})
      )
      yield* LanguageModel.generateText({ prompt: "Go", toolkit, disableToolCallResolution: true })
      assert.deepStrictEqual((yield* lastBody).tools, [
        {
          type: "web_search_20260318",
          name: "web_search",
          max_uses: 3,
          user_location: { type: "approximate", city: "Bern" }
        },
        { type: "web_fetch_20250910", name: "web_fetch", citations: { enabled: true } },
        { type: "code_execution_20260521", name: "code_execution" },
        { type: "tool_search_tool_bm25_20251119", name: "tool_search_tool_bm25" },
        { type: "memory_20250818", name: "memory" },
        { type: "computer_20251124", name: "computer", display_height_px: 10, display_width_px: 20 },
        { type: "browser_toolset_20260801" },
        { type: "dream_20270101", name: "dream", depth: 3 },
        { type: "lamp_20270101", name: "lamp" }
      ])
      const [headers] = yield* sentHeaders
      assert.strictEqual(headers!["anthropic-beta"], "computer-use-2025-11-24")
    }).pipe(Effect.provide(layerOf([Answer.hello]))))

  it.effect("are refused where their options are none, or where they are another provider's", () =>
    Effect.gen(function*() {
      const wrong = Toolkit.make(ClaudeTool.WebSearch_20260318({ max_uses: 1.5 }))
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "Go", toolkit: wrong }))
      assert.strictEqual(error.reason._tag, "ToolConfigurationError")
      assert.include(error.message, "max_uses")
      const foreign = Toolkit.make(
        Tool.providerDefined({ id: "openai.web_search", customName: "OpenAiWebSearch", providerName: "web_search" })()
      )
      const other = yield* Effect.flip(LanguageModel.generateText({ prompt: "Go", toolkit: foreign }))
      assert.include(other.message, "openai.web_search, a tool of another provider")
      assert.deepStrictEqual(yield* bodies, [])
    }).pipe(Effect.provide(layerOf([Answer.hello]))))

  it.effect("that the program runs have handlers, under the names of the toolkit", () => {
    const toolkit = Toolkit.make(
      ClaudeTool.Bash_20250124({}),
      ClaudeTool.TextEditor_20250728({}),
      ClaudeTool.ComputerToolset_20260801({})
    )
    const handlers = toolkit.toLayer({
      AnthropicBash: ({ command }) => Effect.succeed(`ran ${command}`),
      AnthropicTextEditor: (params) => Effect.succeed(params.command === "view" ? `saw ${params.path}` : "no"),
      AnthropicComputer: ({ action }) =>
        Effect.succeed([
          { type: "text" as const, text: action },
          {
            type: "image" as const,
            source: { type: "base64" as const, media_type: "image/png" as const, data: "iVBORw==" }
          }
        ])
    })
    const content = [
      use("t1", "bash", { command: "ls" }),
      use("t2", "str_replace_based_edit_tool", { command: "view", path: "/a" }),
      { ...use("t3", "left_click", { coordinate: [1, 2] }), toolset_name: "computer" }
    ]
    return Effect.gen(function*() {
      const { content: parts } = yield* LanguageModel.generateText({ prompt: "Go", toolkit })
      yield* LanguageModel.generateText({
        prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)),
        toolkit
      })
      const { messages } = yield* lastBody
      assert.deepStrictEqual(messages[1].content, content)
      assert.deepStrictEqual(messages[2].content, [
        { type: "tool_result", tool_use_id: "t1", content: "ran ls" },
        { type: "tool_result", tool_use_id: "t2", content: "saw /a" },
        {
          type: "tool_result",
          tool_use_id: "t3",
          content: [
            { type: "text", text: "left_click" },
            { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw==" } }
          ],
          toolset_name: "computer"
        }
      ])
    }).pipe(Effect.provide([handlers, layerOf([blocks(content), Answer.hello])]))
  })

  it.effect("that the API runs are calls and results, also of kinds that nobody knows yet", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(ClaudeTool.WebSearch_20260318({}), ClaudeTool.CodeExecution_20260521({}))
      const response = yield* LanguageModel.generateText({ prompt: "Go", toolkit })
      assert.deepStrictEqual(
        response.toolCalls.map(({ name, params, providerExecuted }) => [name, params, providerExecuted]),
        [
          ["AnthropicWebSearch", { query: "q" }, true],
          ["AnthropicCodeExecution", { type: "bash_code_execution", command: "ls" }, true]
        ]
      )
      assert.deepStrictEqual(
        response.toolResults.map(({ isFailure, name }) => [name, isFailure]),
        [["AnthropicWebSearch", true], ["AnthropicCodeExecution", false]]
      )
    }).pipe(Effect.provide(layerOf([blocks([
      { type: "server_tool_use", id: "s1", name: "web_search", input: { query: "q" } },
      {
        type: "web_search_tool_result",
        tool_use_id: "s1",
        content: { type: "web_search_tool_result_error", error_code: "brand_new" }
      },
      { type: "server_tool_use", id: "s2", name: "bash_code_execution", input: { command: "ls" } },
      {
        type: "bash_code_execution_tool_result",
        tool_use_id: "s2",
        content: { type: "brand_new_result", sparkles: 3 }
      }
    ])]))))
})
