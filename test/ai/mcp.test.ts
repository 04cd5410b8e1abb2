import { afterAll, assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Predicate, Schema, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { LanguageModel, McpClient, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as Agent from "../../src/ai/agent/Agent.ts"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as McpTools from "../../src/ai/mcp/McpTools.ts"
import { observe } from "../flow/observe.ts"
import { begun, isRunning, layerHttp, layerOdd, layerStdio, type OddTool, oddTools } from "./mcpServers.ts"
import { bodies, type Json, lastBody, layerOf } from "./support.ts"

afterAll(() => assert.deepStrictEqual(begun.filter(isRunning), []))

const use = (name: string, input: object = {}, id = `toolu_${name}`) => ({ type: "tool_use", id, name, input }) as const

/** Asks for these tools at once, and is done with what they answered. */
const asking = (...calls: ReadonlyArray<Parameters<typeof Answer.content>[0][number]>) =>
  layerOf([Answer.content(calls, { stopReason: "tool_use" }), Answer.text("Done.")])

const server = McpTools.toolkit(McpClient.McpClient)

const agentOf = (options: McpTools.Options = {}) =>
  Agent.make({ name: "clerk", toolkit: McpTools.toolkit(McpClient.McpClient, options) })

/** The blocks of the results that the last request has, by call. */
const results = Effect.map(lastBody, ({ messages }) => {
  const blocks: ReadonlyArray<Json> = messages.at(-1).content.filter(({ type }: Json) => type === "tool_result")
  return Object.fromEntries(
    blocks.map(({ tool_use_id, type: _, ...rest }): [string, Json] => [tool_use_id.slice("toolu_".length), rest])
  )
})

const text = (text: string) => [{ type: "text", text }]
const answering = (...content: ReadonlyArray<object>): OddTool => ({ result: { content } })

/** What the model is shown of what a server answers. */
const shown = (tools: Readonly<Record<string, OddTool>>, options?: McpTools.Options) =>
  Effect.gen(function*() {
    yield* agentOf(options).run("Go")
    return yield* results
  }).pipe(Effect.provide([layerOdd(tools), asking(...Object.keys(tools).map((name) => use(name)))]))

const structured = (result: unknown) => Predicate.hasProperty(result, "structuredContent") && result.structuredContent

// -----------------------------------------------------------------------------

const transports = { stdio: layerStdio, "streamable HTTP": layerHttp }

for (const [transport, layer] of Object.entries(transports)) {
  describe(`the reference server over ${transport}`, () => {
    it.live("is told to Claude as tools, and its results come as blocks", () =>
      Effect.gen(function*() {
        const result = yield* agentOf().run("Go")
        assert.strictEqual(result.reason, "done")
        const [{ tools }] = yield* bodies
        assert.deepStrictEqual(tools.find(({ name }: Json) => name === "get-sum"), {
          name: "get-sum",
          description: "Returns the sum of two numbers",
          input_schema: {
            type: "object",
            properties: {
              a: { type: "number", description: "First number" },
              b: { type: "number", description: "Second number" }
            },
            required: ["a", "b"]
          }
        })
        assert.isAbove(tools.length, 10)
        const { echo, "get-structured-content": structured, "get-sum": sum, "get-tiny-image": image } = yield* results
        assert.deepStrictEqual(echo, { content: text("Echo: hi") })
        assert.deepStrictEqual(sum, { content: text("The sum of 2 and 3 is 5.") })
        assert.deepStrictEqual(structured, {
          content: text("{\"temperature\":36,\"conditions\":\"Light rain / drizzle\",\"humidity\":82}")
        })
        assert.deepStrictEqual(image.content.map(({ source, type }: Json) => [type, source?.media_type]), [
          ["text", undefined],
          ["image", "image/png"],
          ["text", undefined]
        ])
        assert.match(image.content[1].source.data, /^iVBORw0KGgo/)
      }).pipe(Effect.provide([
        layer,
        asking(
          use("echo", { message: "hi" }),
          use("get-sum", { a: 2, b: 3 }),
          use("get-tiny-image"),
          use("get-structured-content", { location: "Chicago" })
        )
      ])))

    it.live("is told of by generateText, with what it sent; what fails is told to the model, and fails nothing", () =>
      Effect.gen(function*() {
        const { content, toolResults } = yield* LanguageModel.generateText({ prompt: "Go", toolkit: yield* server })
        const weather = toolResults.find(({ name }) => name === "get-structured-content")
        const sum = toolResults.find(({ name }) => name === "get-sum")
        assert.isFalse(weather?.isFailure)
        assert.deepStrictEqual(structured(weather?.result), {
          temperature: 36,
          conditions: "Light rain / drizzle",
          humidity: 82
        })
        assert.isTrue(sum?.isFailure)
        assert.instanceOf(sum?.result, McpTools.McpToolError)
        assert.match(String(sum?.encodedResult), /^MCP error -32602: .*expected number, received undefined/)

        yield* LanguageModel.generateText({ prompt: Prompt.fromResponseParts(content) })
        assert.deepStrictEqual((yield* results)["get-sum"], { content: sum?.encodedResult, is_error: true })
      }).pipe(Effect.provide([
        layer,
        asking(use("get-structured-content", { location: "Chicago" }), use("get-sum", { a: 2 }))
      ])))
  })
}

describe("a call", () => {
  it.live("that takes too long is told to the model, and the server to stop", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      yield* agentOf({ timeout: "50 millis" }).run("Go")
      assert.deepStrictEqual(yield* results, {
        hang: { content: "MCP tools/call deadline exceeded", is_error: true }
      })
      assert.deepStrictEqual(yield* cancelled(client), [true])
    }).pipe(Effect.provide([layerOdd(oddTools), asking(use("hang"))])))

  it.live("that is interrupted is told to the server, and the connection serves the next", () =>
    Effect.gen(function*() {
      const client = yield* McpClient.McpClient
      const run = yield* Effect.forkChild(Stream.runForEach(agentOf().stream("Go"), () => Effect.void))
      yield* Effect.repeat(Effect.delay(seen(client), "5 millis"), { until: (all) => all.some(isHang) })
      yield* Fiber.interrupt(run)
      assert.deepStrictEqual(yield* cancelled(client), [true])
    }).pipe(Effect.provide([layerOdd(oddTools), asking(use("hang"))])))

  it.live("of a server that dies is told to the model, as is each after it; the run goes on", () =>
    Effect.gen(function*() {
      const result = yield* agentOf().run("Go")
      assert.deepStrictEqual([result.reason, result.turns], ["done", 3])
      const [, second, third] = yield* bodies
      for (const { messages } of [second, third]) {
        const [{ content, is_error }] = messages.at(-1).content
        assert.isTrue(is_error)
        assert.match(content, /^MCP (?:server closed stdout|process exited \(3\))$/)
      }
    }).pipe(Effect.provide([
      layerOdd(oddTools),
      layerOf([
        Answer.content([use("die")], { stopReason: "tool_use" }),
        Answer.content([use("seen")], { stopReason: "tool_use" }),
        Answer.text("Done.")
      ])
    ])))

  it.live("leaves no process behind where all is interrupted", () =>
    Effect.gen(function*() {
      const before = begun.length
      const asked = yield* Deferred.make<void>()
      const steps = Stream.runForEach(
        agentOf().stream("Go"),
        ({ _tag }) => _tag === "ToolStarted" ? Deferred.succeed(asked, undefined) : Effect.void
      )
      const fiber = yield* steps.pipe(Effect.provide([layerOdd(oddTools), asking(use("hang"))]), Effect.forkChild)
      yield* Deferred.await(asked)
      assert.deepStrictEqual(begun.slice(before).map(isRunning), [true])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(begun.slice(before).map(isRunning), [false])
    }))

  it.live("with parameters that are no object is not made", () =>
    Effect.gen(function*() {
      const toolkit = yield* McpTools.toolkit(yield* McpClient.McpClient)
      const made = yield* Stream.runCollect(Stream.unwrap(toolkit.handle("seen", [1])))
      assert.deepStrictEqual(made.map(({ encodedResult }) => encodedResult), ["Its parameters are to be an object."])
      assert.isEmpty((yield* seen(yield* McpClient.McpClient)).filter(({ params }) => Array.isArray(params?.arguments)))
    }).pipe(Effect.provide(layerOdd(oddTools))))

  it.live("is in no span with its parameters", () => {
    const observed = observe()
    return Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Go", toolkit: yield* server })
      yield* agentOf().run("Go")
      const spans = observed.spans.filter(({ name }) => name === "execute_tool echo")
      assert.isNotEmpty(spans)
      for (const span of observed.spans) {
        assert.notInclude(JSON.stringify([...span.attributes], (_, value) => String(value)), "hunter2")
      }
    }).pipe(
      Effect.provide([
        layerStdio,
        layerOf((_, index) =>
          index % 2 === 0
            ? Answer.content([use("echo", { message: "hunter2" })], { stopReason: "tool_use" })
            : Answer.text("Done.")
        )
      ]),
      Effect.provide(observed.layer)
    )
  })
})

const seen = (client: McpClient.McpClient): Effect.Effect<ReadonlyArray<Json>> =>
  Effect.map(
    Effect.orDie(client.callTool({ tool: { name: "seen", inputSchema: { type: "object" } } })),
    ({ content: [block] }) => block?.type === "text" ? JSON.parse(block.text) : []
  )

const isHang = ({ method, params }: Json) => method === "tools/call" && params.name === "hang"

/** For each call of `hang`, whether it was cancelled. */
const cancelled = (client: McpClient.McpClient) =>
  Effect.map(seen(client), (all) => {
    const ids = all.filter(({ method }) => method === "notifications/cancelled").map(({ params }) => params.requestId)
    return all.filter(isHang).map(({ id }) => ids.includes(id))
  })

// -----------------------------------------------------------------------------

describe("what the API would refuse", () => {
  it.live("in names is changed, never to a name that is taken, and the server is called by its own", () =>
    Effect.gen(function*() {
      const long = "x".repeat(200)
      const tools = { "files.read": {}, files_read: {}, "files/read": {}, [long]: {}, [`${long}y`]: {}, "☂": {} }
      const names = ["files_read_2", "files_read", "files_read_3", long.slice(0, 128), `${long.slice(0, 126)}_2`, "_"]
      yield* Effect.gen(function*() {
        yield* agentOf().run("Go")
        const [{ tools }] = yield* bodies
        assert.deepStrictEqual(tools.map(({ name }: Json) => name), [...names, "seen"])
        const called = (yield* seen(yield* McpClient.McpClient)).filter(({ method }) => method === "tools/call")
        assert.deepStrictEqual(called.map(({ params }) => params.name).slice(0, 2), ["files/read", `${long}y`])
      }).pipe(
        Effect.provide([layerOdd({ ...tools, seen: {} }), asking(use(names[2]!), use(names[4]!))])
      )
    }))

  it.live("in keys of parameters is changed, and the server gets them as it has them", () =>
    Effect.gen(function*() {
      yield* agentOf().run("Go")
      const [{ tools: [{ input_schema }] }] = yield* bodies
      assert.deepStrictEqual(input_schema, {
        type: "object",
        properties: {
          "_.xgafv": { type: "string" },
          "ids__": { type: "array", items: { type: "string" } },
          ids_: { type: "string" },
          constructor: { type: "string" }
        },
        required: ["_.xgafv", "ids__"]
      })
      const [called] = (yield* seen(yield* McpClient.McpClient)).filter(({ method }) => method === "tools/call")
      assert.deepStrictEqual(called.params.arguments, { "$.xgafv": "1", "ids[]": ["a"], constructor: "me", other: 2 })
    }).pipe(Effect.provide([
      layerOdd({
        find: {
          inputSchema: {
            type: "object",
            properties: {
              "$.xgafv": { type: "string" },
              "ids[]": { type: "array", items: { type: "string" } },
              ids_: { type: "string" },
              constructor: { type: "string" }
            },
            required: ["$.xgafv", "ids[]"]
          }
        },
        seen: {}
      }),
      asking(use("find", { "_.xgafv": "1", "ids__": ["a"], constructor: "me", other: 2 }))
    ])))

  it.live("in alternatives at the root of a schema becomes one object", () =>
    Effect.gen(function*() {
      yield* agentOf().run("Go")
      const [{ tools: [either, both, plain] }] = yield* bodies
      assert.deepStrictEqual(either.input_schema, {
        type: "object",
        properties: {
          kind: { anyOf: [{ const: "text" }, { const: "url" }] },
          text: { type: "string" },
          url: { type: "string" }
        },
        required: ["kind"]
      })
      assert.deepStrictEqual(both.input_schema, {
        type: "object",
        $defs: { Page: { properties: { page: { type: "integer" } }, required: ["page"] } },
        properties: { query: { type: "string" }, page: { type: "integer" } },
        required: ["query", "page"]
      })
      assert.deepStrictEqual(plain.input_schema, { type: "object", properties: { a: { anyOf: [{ type: "string" }] } } })
    }).pipe(Effect.provide([
      layerOdd({
        either: {
          inputSchema: {
            type: "object",
            required: ["kind"],
            oneOf: [
              { properties: { kind: { const: "text" }, text: { type: "string" } }, required: ["text"] },
              { properties: { kind: { const: "url" }, url: { type: "string" } }, required: ["url"] }
            ]
          }
        },
        both: {
          inputSchema: {
            type: "object",
            $defs: { Page: { properties: { page: { type: "integer" } }, required: ["page"] } },
            allOf: [
              { properties: { query: { type: "string" } }, required: ["query"] },
              { $ref: "#/$defs/Page" },
              { $ref: "#/$defs/Nothing" },
              { $ref: "https://example.com/schema.json" }
            ]
          }
        },
        plain: { inputSchema: { type: "object", properties: { a: { anyOf: [{ type: "string" }] } } } }
      }),
      layerOf([Answer.text("Done.")])
    ])))

  it.live("in schemas of older drafts is said anew, and what is of none is left out", () =>
    Effect.gen(function*() {
      yield* agentOf().run("Go")
      const [{ tools: [{ input_schema }] }] = yield* bodies
      assert.deepStrictEqual(input_schema, {
        type: "object",
        $defs: { Any: {}, Pair: { prefixItems: [{ type: "number" }, { type: "number" }], items: false } },
        properties: {
          pair: { $ref: "#/$defs/Pair" },
          share: { type: "number", exclusiveMinimum: 0, maximum: 1 },
          more: { type: "number", minimum: 0, exclusiveMaximum: 9 },
          any: { description: "whatever", nullable: true, default: null },
          some: { type: ["string", "null"], enum: ["a", null] },
          list: { type: "array", items: { type: "integer", minimum: 1 }, minItems: 1 },
          code: { type: "string", pattern: "^a$", patternProperties: { "^b$": true } },
          either: { oneOf: [{ const: 1 }] },
          of: { properties: { type: {}, items: { type: "string" } }, required: ["type"], dependencies: { a: ["b"] } },
          other: {}
        },
        required: ["pair"]
      })
    }).pipe(Effect.provide([
      layerOdd({
        odd: {
          inputSchema: {
            $schema: "http://json-schema.org/draft-04/schema#",
            type: "object",
            $defs: {
              Any: { type: "any", $vocabulary: null },
              Pair: { items: [{ type: "number" }, { type: "number" }], additionalItems: false }
            },
            properties: {
              pair: { $ref: "#/$defs/Pair" },
              share: { type: "number", minimum: 0, exclusiveMinimum: true, maximum: 1, exclusiveMaximum: false },
              more: { type: "number", minimum: 0, maximum: 9, exclusiveMaximum: true, multipleOf: 0 },
              any: { type: "any", description: "whatever", required: true, nullable: true, default: null },
              some: { type: ["string", "null", "string", "text"], enum: ["a", null], title: null },
              list: {
                type: ["array"],
                items: { type: "integer", minimum: 1, maximum: "9" },
                minItems: 1,
                maxItems: -1
              },
              code: { type: "string", pattern: "^a$", patternProperties: { "^b$": true, "[": true } },
              either: { oneOf: [{ const: 1 }, 2], anyOf: [], allOf: {} },
              of: {
                properties: { type: null, items: { type: "string", pattern: "(" } },
                required: ["type", 1, "type"],
                dependencies: { a: ["b"], c: 1 },
                $anchor: "1"
              },
              other: { additionalProperties: "no", not: null, enum: "a", uniqueItems: "yes", $id: "a#b" }
            },
            required: ["pair"]
          }
        }
      }),
      layerOf([Answer.text("Done.")])
    ])))

  it.live("in a schema that is nested without end is taken for one of anything", () =>
    Effect.gen(function*() {
      yield* agentOf().run("Go")
      const [{ tools: [{ input_schema }] }] = yield* bodies
      let depth = 0
      for (let schema = input_schema.properties.a; schema !== undefined; schema = schema.not) depth++
      assert.strictEqual(depth, 65)
    }).pipe(Effect.provide([
      layerOdd({
        deep: {
          inputSchema: {
            type: "object",
            properties: { a: Array.from({ length: 500 }).reduce<object>((not) => ({ not }), {}) }
          }
        }
      }),
      layerOf([Answer.text("Done.")])
    ])))

  it.live("in results is told in words", () =>
    Effect.gen(function*() {
      const png = (width: number, bytes: number) => {
        const data = Buffer.alloc(bytes)
        data.write("89504e470d0a1a0a0000000d49484452", "hex")
        data.writeUInt32BE(width, 16)
        data.writeUInt32BE(1, 20)
        return data.toString("base64")
      }
      const image = (data: string, mimeType = "image/png") => ({ type: "image", data, mimeType })
      const found = yield* shown({
        heavy: answering(image(png(1, 8_000_000))),
        wide: answering(image(png(8_001, 100))),
        fitting: answering(image(png(8_000, 100), "image/jpeg")),
        none: answering(image("bm9uZQ==")),
        sound: answering({ type: "audio", data: "UklGRg==", mimeType: "audio/wav" }),
        zip: answering({ type: "resource", resource: { uri: "demo://a.zip", blob: "UEsDBA==" } })
      })
      assert.deepStrictEqual(found.heavy, { content: text("[image/png, 8000000 bytes: too large to be shown]") })
      assert.deepStrictEqual(found.wide, {
        content: text("[image/png, 100 bytes: too large to be shown, 8001 x 1 pixels]")
      })
      // By its bytes, whatever the server calls it.
      assert.strictEqual(found.fitting.content[0].source.media_type, "image/png")
      assert.deepStrictEqual(found.none, { content: text("[image/png, 4 bytes: cannot be shown]") })
      assert.deepStrictEqual(found.sound, { content: text("[audio/wav, 4 bytes: cannot be shown]") })
      assert.deepStrictEqual(found.zip, {
        content: text("[application/octet-stream demo://a.zip, 4 bytes: cannot be shown]")
      })
    }))

  it.live("in texts is left out, or made whole", () =>
    Effect.gen(function*() {
      const found = yield* shown({
        long: answering({ type: "text", text: "a".repeat(70) }, { type: "text", text: "☂".repeat(70) }),
        half: answering({ type: "text", text: "\ud83d" }),
        blank: answering({ type: "text", text: " \n" }),
        nothing: answering(),
        structured: { result: { content: [], structuredContent: { a: 1 } } },
        failing: { result: { content: [], isError: true } }
      }, { maxCharacters: 100 })
      assert.deepStrictEqual(found.long, {
        content: [...text("a".repeat(70)), ...text("☂".repeat(30)), ...text("[40 more characters are left out]")]
      })
      assert.deepStrictEqual(found.half, { content: text("\ufffd") })
      assert.deepStrictEqual(found.blank, { content: text("[no output]") })
      assert.deepStrictEqual(found.nothing, { content: text("[no output]") })
      assert.deepStrictEqual(found.structured, { content: text("{\"a\":1}") })
      assert.deepStrictEqual(found.failing, { content: "[no output]", is_error: true })
    }))
})

// -----------------------------------------------------------------------------

describe("a toolkit", () => {
  it.live("of resources has texts and PDFs, and where others lie", () =>
    Effect.gen(function*() {
      const resource = (resource: object) => ({ type: "resource", resource: { uri: "demo://a", ...resource } })
      const found = yield* shown({
        all: answering(
          resource({ text: "as it is" }),
          resource({ blob: "YSxi", mimeType: "text/csv" }),
          resource({ blob: "JVBERi0xLjc=", mimeType: "application/octet-stream" }),
          { type: "resource_link", uri: "demo://b", name: "b", description: "the other" },
          { type: "resource_link", uri: "demo://c", name: "c", title: "The third" }
        )
      })
      assert.deepStrictEqual(found.all.content, [
        ...text("as it is"),
        ...text("a,b"),
        { type: "document", source: { type: "base64", media_type: "application/pdf", data: "JVBERi0xLjc=" } },
        ...text("b: demo://b\nthe other"),
        ...text("The third: demo://c")
      ])
    }))

  it.live("is told of by its titles where there is no more, and enforces no schema, whatever others do", () =>
    Effect.gen(function*() {
      yield* agentOf().run("Go").pipe(ClaudeLanguageModel.withConfigOverride({ strictJsonSchema: true }))
      const [{ tools }] = yield* bodies
      assert.deepStrictEqual(tools, [
        { name: "any", description: "Any of them", input_schema: { type: "object", patternProperties: { "^a": {} } } }
      ])
    }).pipe(Effect.provide([
      layerOdd({ any: { title: "Any of them", inputSchema: { type: "object", patternProperties: { "^a": {} } } } }),
      layerOf([Answer.text("Done.")])
    ])))

  it.live("has the tools that the server has when it is made", () =>
    Effect.gen(function*() {
      const agent = agentOf()
      yield* agent.run("Go")
      yield* agent.run("Again")
      const names = (yield* bodies).map(({ tools }) => tools.map(({ name }: Json) => name))
      assert.deepStrictEqual(names, [["grow"], ["grow"], ["grow", "grown"]])
    }).pipe(Effect.provide([layerOdd({ grow: {} }), asking(use("grow"))])))

  it.live("of a layer is of a connection of each run, so what was lost in one is there in the next", () =>
    Effect.gen(function*() {
      const before = begun.length
      const mine = () => begun.slice(before)
      const agent = Agent.make({ name: "clerk", toolkit: McpTools.toolkit(layerOdd(oddTools)) })
      const run: Effect.Effect<Agent.Result, unknown, LanguageModel.LanguageModel> = agent.run("Go")
      yield* run
      const [, second, third] = yield* bodies
      const failures = [second, third].map(({ messages }) => messages.at(-1).content[0].is_error)
      assert.deepStrictEqual([failures, mine().map(isRunning)], [[true, true], [false]])
      yield* run
      assert.deepStrictEqual((yield* lastBody).messages.at(-1).content[0].is_error, undefined)
      yield* Effect.all([run, run], { concurrency: 2 })
      assert.deepStrictEqual(mine().map(isRunning), [false, false, false, false])
    }).pipe(Effect.provide(layerOf([
      Answer.content([use("die")], { stopReason: "tool_use" }),
      Answer.content([use("grow")], { stopReason: "tool_use" }),
      Answer.text("Done."),
      Answer.content([use("grow")], { stopReason: "tool_use" }),
      Answer.text("Done.")
    ]))))

  it.effect("of a layer connects anew, whatever else is connected by it", () => {
    let connections = 0
    const layer = Layer.effect(
      McpClient.McpClient,
      // Of a client, what is looked at.
      Effect.sync(() => (connections++, { callTool: () => Effect.never, listTools: () => Effect.succeed([]) } as never))
    )
    return Effect.gen(function*() {
      const agent = Agent.make({ name: "clerk", toolkit: McpTools.toolkit(layer) })
      yield* Effect.all([agent.run("Go"), agent.run("Go")], { concurrency: 2 })
      assert.strictEqual(connections, 3)
    }).pipe(Effect.provide([layer, layerOf([Answer.text("Done.")])]))
  })

  it.live("of a client that is shared is over where its connection is", () =>
    Effect.gen(function*() {
      yield* agentOf().run("Go")
      assert.match((yield* Effect.flip(agentOf().run("Go"))).message, /^MCP (?:server closed stdout|process exited)/)
    }).pipe(Effect.provide([
      layerOdd(oddTools),
      asking(use("die"))
    ])))

  it.live("has the tools that are asked for, and asks before those that it is to ask for", () =>
    Effect.gen(function*() {
      const agent = agentOf({
        filter: ({ name }) => name !== "get-env",
        needsApproval: ({ annotations }) => annotations?.readOnlyHint !== true
      })
      const { pending, reason } = yield* agent.run("Go")
      assert.strictEqual(reason, "approval")
      assert.deepStrictEqual(pending.map(({ name }) => name), ["toggle-simulated-logging"])
      const [{ tools }] = yield* bodies
      assert.isFalse(tools.some(({ name }: Json) => name === "get-env"))
    }).pipe(Effect.provide([layerStdio, asking(use("echo", { message: "hi" }), use("toggle-simulated-logging"))])))

  const Stock = Toolkit.make(Tool.make("stock", { success: Schema.Int }))
  const stocked = Stock.toLayer({ stock: () => Effect.succeed(3) })

  it.live("is one with others, and with the program's own", () =>
    Effect.gen(function*() {
      const one = layerOdd({ find: answering({ type: "text", text: "one" }) })
      const other = layerOdd({ find: answering({ type: "text", text: "other" }) })
      const agent = Agent.make({
        name: "clerk",
        toolkit: McpTools.merge(
          Stock,
          McpTools.toolkit(one, { prefix: "one_" }),
          McpTools.toolkit(other, { prefix: "other_" })
        )
      })
      yield* agent.run("Go")
      assert.deepStrictEqual(yield* results, {
        stock: { content: "3" },
        one_find: { content: text("one") },
        other_find: { content: text("other") }
      })
      const toolkit = yield* McpTools.merge(Stock, McpTools.toolkit(one))
      const { text: answer } = yield* LanguageModel.generateText({ prompt: "Go", toolkit })
      assert.strictEqual(answer, "Done.")
      const unknown = yield* Effect.flip(toolkit.handle("nothing", {}))
      assert.match(unknown.message, /'nothing' not found\. Available tools: stock, find/)
    }).pipe(
      Effect.scoped,
      Effect.provide([stocked, asking(use("stock"), use("one_find"), use("other_find"))])
    ))

  it.effect("of several servers is made of all of them at once", () =>
    Effect.gen(function*() {
      const slow = Effect.delay(Toolkit.empty, "1 second")
      const fiber = yield* Effect.forkChild(McpTools.merge(slow, slow), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(fiber)).tools, {})
    }))

  it.live("is not one with another that has a tool of the same name", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(McpTools.merge(Stock, McpTools.toolkit(layerOdd({ stock: {} }))))
      assert.instanceOf(error, McpTools.ToolNameClash)
      assert.match(error.message, /^Two toolkits have a tool stock\. .*prefix/)
    }).pipe(Effect.scoped, Effect.provide(stocked)))

  it.live("has tools that are called as objects have fields", () =>
    Effect.gen(function*() {
      const names = ["__proto__", "constructor", "toString"]
      const found = yield* shown(
        Object.fromEntries(names.map((name) => [name, answering({ type: "text", text: `from ${name}` })]))
      )
      assert.deepStrictEqual(
        Object.entries(found).map(([name, { content }]) => [name, content]),
        names.map((name) => [name, text(`from ${name}`)])
      )
    }))

  it.live("has results that a transcript keeps, as JSON as well", () =>
    Effect.gen(function*() {
      const { transcript } = yield* agentOf().run("Go")
      const sent = yield* results
      const json = JSON.stringify(yield* Schema.encodeEffect(Schema.toCodecJson(Prompt.Prompt))(transcript))
      const kept = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(Prompt.Prompt))(JSON.parse(json))
      yield* agentOf().run(Prompt.concat(kept, "And now?"))
      const { messages } = yield* lastBody
      const { type: _, tool_use_id: __, ...result } = messages[2].content[0]
      assert.deepStrictEqual(result, sent["get-tiny-image"])
    }).pipe(Effect.provide([layerStdio, asking(use("get-tiny-image"))])))

  it("with options that cannot be meant is not made", () => {
    assert.throws(() => McpTools.toolkit(McpClient.McpClient, { timeout: 0 }), RangeError, /toolkit: timeout is 0/)
    assert.throws(
      () => McpTools.toolkit(McpClient.McpClient, { maxCharacters: NaN }),
      RangeError,
      /maxCharacters is NaN/
    )
  })
})
