import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { AiError, McpClient, McpProtocol, McpSchema, McpServer, Tool, Toolkit } from "effect/ai"
import { ChildProcess } from "effect/process"
import * as Agent from "../../src/ai/agent/Agent.ts"
import * as AgentTool from "../../src/ai/agent/AgentTool.ts"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as McpTools from "../../src/ai/mcp/McpTools.ts"
import { observe } from "../flow/observe.ts"
import { asks, calls, done, ends, finished, play, says, type Turn } from "./agentModel.ts"
import { serve } from "./agentServer.ts"
import { layerOdd, layerUrl } from "./mcpServers.ts"

const Look = Toolkit.make(Tool.make("look", { success: Schema.String }))

/** An agent that has looked, as a tool; what it looks at, and what its model says. */
const clerk = (turns: readonly [Turn, ...Array<Turn>], options: object = {}) => {
  const { layer: model, prompts } = play(...turns)
  const { layer, ...tool } = AgentTool.make(
    // What a test gives in place of them is the test's to say.
    Agent.make({ name: "clerk", toolkit: Look, limits: { turns: 2 }, ...options as {} }),
    { name: "ask_clerk", description: "Knows the shelves." }
  )
  const looking = Look.toLayer({ look: () => Effect.succeed("the clerk's shelf") })
  return { ...tool, prompts, layer: layer.pipe(Layer.provide([model, looking])) }
}

const looked: readonly [Turn, Turn] = [asks(calls("l1", "look")), done("Three are left.")]

/** How a call of the tool ends. */
const called = ({ layer, toolkit }: ReturnType<typeof clerk>, params: object = { prompt: "How many?" }) =>
  Effect.gen(function*() {
    const { handle } = yield* toolkit
    const results = yield* Stream.runCollect(Stream.unwrap(handle("ask_clerk", params as { readonly prompt: string })))
    return results.filter(({ preliminary }) => !preliminary)[0]!
  }).pipe(Effect.provide(layer))

// -----------------------------------------------------------------------------

describe("an agent in another", () => {
  it.effect("runs on its own model with its own tools, whatever its caller has", () => {
    const sub = clerk(looked)
    const owner = play(
      asks(calls("a1", "ask_clerk", { prompt: "How many umbrellas?" }), calls("a2", "look")),
      done("Order some.")
    )
    const boss = Agent.make({ name: "boss", toolkit: Toolkit.merge(sub.toolkit, Look) })
    const observed = observe()
    return Effect.gen(function*() {
      const steps = yield* Stream.runCollect(boss.stream("Go"))
      assert.deepStrictEqual(
        finished(steps).map(({ name, outcome, result }) => [name, outcome, result]).toSorted(),
        [["ask_clerk", "success", "Three are left."], ["look", "success", "the owner's shelf"]]
      )
      assert.deepStrictEqual(
        steps.flatMap((step) => step._tag === "ToolProgress" ? [[step.name, step.result]] : []),
        [["ask_clerk", "turn 1: look"]]
      )
      assert.strictEqual(owner.prompts.length, 2)
      assert.deepStrictEqual(sub.prompts[0]?.content.map(({ role }) => role), ["user"])
      assert.include(JSON.stringify(sub.prompts[0]), "How many umbrellas?")
      assert.include(JSON.stringify(sub.prompts[1]), "the clerk's shelf")
      const parentOf = (name: string) => observed.spans.find((span) => span.name === name)?.parent
      const parent = parentOf("invoke_agent clerk")
      assert.strictEqual(
        parent?._tag === "Some" && parent.value._tag === "Span" && parent.value.name,
        "execute_tool ask_clerk"
      )
    }).pipe(
      Effect.provide([owner.layer, sub.layer, Look.toLayer({ look: () => Effect.succeed("the owner's shelf") })]),
      Effect.provide(observed.layer)
    )
  })

  it.effect("is run under what its caller says, and not what held when it was made", () => {
    const Tenant = Context.Reference<string>("test/Tenant", { defaultValue: () => "nobody" })
    const { layer: model } = play(...looked)
    const seen: Array<string> = []
    const agent = Agent.make({ name: "clerk", toolkit: Look })
    const sub = AgentTool.make(agent, { name: "ask_clerk", description: "Knows the shelves." })
    const looking = Look.toLayer({
      look: () => Effect.map(Tenant, (tenant) => `${seen.push(tenant)}`)
    })
    return Effect.gen(function*() {
      const context = yield* Layer.build(sub.layer.pipe(Layer.provide([model, looking]))).pipe(
        Effect.provideService(Tenant, "who made it")
      )
      const { handle } = yield* Effect.provideContext(sub.toolkit, context)
      yield* Stream.runDrain(Stream.unwrap(handle("ask_clerk", { prompt: "Go" }))).pipe(
        Effect.provideService(Tenant, "who calls")
      )
      assert.deepStrictEqual(seen, ["who calls"])
    }).pipe(Effect.scoped)
  })

  it.effect("leaves its caller the services that are no tools', whatever they are made of", () => {
    interface Desk {
      readonly handler: string | (() => string)
    }
    const Desk = Context.Service<Desk>("test/Desk")
    const { layer: model } = play(...looked)
    const Looks = Toolkit.make(Tool.make("look", { success: Schema.String, dependencies: [Desk] }))
    const seen: Array<unknown> = []
    const looking = Looks.toLayer({ look: () => Effect.map(Desk, ({ handler }) => `${seen.push(handler)}`) })
    const sub = AgentTool.make(
      Agent.make({ name: "clerk", toolkit: Looks }),
      { name: "ask_clerk", description: "Knows the shelves." }
    )
    const own: Desk = { handler: () => "own" }
    const callers: Desk = { handler: "the caller's" }
    return Effect.gen(function*() {
      const context = yield* Layer.build(sub.layer.pipe(Layer.provide([model, looking]))).pipe(
        Effect.provideService(Desk, own)
      )
      const { handle } = yield* Effect.provideContext(sub.toolkit, context)
      yield* Stream.runDrain(Stream.unwrap(handle("ask_clerk", { prompt: "Go" }))).pipe(
        Effect.provideService(Desk, callers)
      )
      assert.deepStrictEqual(seen, ["the caller's"])
    }).pipe(Effect.scoped)
  })

  it.live("begins an answer again that breaks off", () =>
    serving(
      [Answer.truncate("midStream", Answer.text("It breaks off")), Answer.text("Three are left.")],
      (url) =>
        Effect.gen(function*() {
          const client = yield* McpClient.McpClient
          const [tool] = yield* client.listTools()
          const { content } = yield* client.callTool({ tool: tool!, arguments: { prompt: "How many?" } })
          assert.deepStrictEqual(content, [{ type: "text", text: "Three are left." }])
        }).pipe(Effect.provide(layerUrl(url))),
      RetryPolicy.make({ times: 1, initial: "1 millis" })
    ))

  it.live("asks its own MCP server, whatever its caller has", () => {
    const { layer: model, prompts } = play(asks(calls("w1", "where")), done("There."))
    const agent = Agent.make({ name: "clerk", toolkit: McpTools.toolkit(McpClient.McpClient) })
    const sub = AgentTool.make(agent, { name: "ask_clerk", description: "Knows where things are." })
    const at = (text: string) => layerOdd({ where: { result: { content: [{ type: "text", text }] } } })
    return Effect.gen(function*() {
      const { handle } = yield* sub.toolkit
      yield* Stream.runDrain(Stream.unwrap(handle("ask_clerk", { prompt: "Where?" })))
      assert.include(JSON.stringify(prompts[1]), "at the clerk's")
    }).pipe(Effect.provide([sub.layer.pipe(Layer.provide([model, at("at the clerk's")])), at("at the owner's")]))
  })

  it.effect("tells a client of MCP what both do, in one count", () => {
    const sub = clerk(looked)
    const { layer: model } = play(asks(calls("a1", "ask_clerk", { prompt: "How many?" })), done("Order some."))
    const boss = AgentTool.make(
      Agent.make({ name: "boss", toolkit: sub.toolkit }),
      { name: "ask_boss", description: "Decides." }
    )
    const notified: Array<unknown> = []
    const notifications = {
      // Of a client that has gone it makes nothing.
      "notifications/progress": (payload: unknown) => Effect.suspend(() => Effect.fail(notified.push(payload)))
    }
    return Effect.gen(function*() {
      const { handle } = yield* boss.toolkit
      yield* Stream.runDrain(Stream.unwrap(handle("ask_boss", { prompt: "Go" })))
      assert.deepStrictEqual(notified, [
        { progressToken: "p", progress: 1, message: "turn 1: ask_clerk" },
        { progressToken: "p", progress: 2, message: "turn 1: look" }
      ])
    }).pipe(
      Effect.provide(boss.layer.pipe(Layer.provide([model, sub.layer]))),
      // Of a request and a server, what is looked at.
      Effect.provideService(McpSchema.McpRequestContext, { requestMetadata: { progressToken: "p" } } as never),
      Effect.provideService(McpServer.McpServer, { notifications } as never)
    )
  })

  it.effect("takes parameters of its own", () => {
    const { layer: model, prompts } = play(done("Three."))
    const agent = Agent.make({ name: "clerk", toolkit: Toolkit.empty })
    const sub = AgentTool.make(agent, {
      name: "count",
      description: "Counts an article.",
      parameters: Schema.Struct({ article: Schema.String }),
      prompt: ({ article }) => `How many of ${article}?`
    })
    return Effect.gen(function*() {
      const { handle } = yield* sub.toolkit
      yield* Stream.runDrain(Stream.unwrap(handle("count", { article: "umbrella" })))
      assert.include(JSON.stringify(prompts[0]), "How many of umbrella?")
    }).pipe(Effect.provide(sub.layer.pipe(Layer.provide(model))))
  })

  it("with a name that no model takes is not made", () => {
    const agent = Agent.make({ name: "clerk", toolkit: Toolkit.empty })
    assert.throws(
      () => AgentTool.make(agent, { name: "ask.clerk", description: "" }),
      RangeError,
      /name is "ask\.clerk"/
    )
  })
})

describe("a run without an answer", () => {
  const SECRET = "hunter2"
  const failing = (reason: AiError.AiErrorReason) =>
    Stream.fail(AiError.make({ module: "test", method: "streamText", reason })) as unknown as Stream.Stream<never>
  const ways: Readonly<Record<string, [ReturnType<typeof clerk>, AgentTool.AgentToolError["reason"], string]>> = {
    "for its limits": [
      clerk([asks(calls("l1", "look"))]),
      "turn-limit",
      "The agent clerk came to no answer: it has reached its turn limit."
    ],
    "for an approval that it needs": [
      clerk([asks(calls("d1", "drop"))], {
        toolkit: Toolkit.make(Tool.make("drop", { needsApproval: true })) as never
      }),
      "approval",
      "The agent clerk came to no answer: it waits for an approval of drop, which nobody can give here."
    ],
    "where its model refuses": [
      clerk([[...says("No."), ends("content-filter")]]),
      "refused",
      "The agent clerk came to no answer: its model refused."
    ],
    "where its answer is cut": [
      clerk([[...says("Thr"), ends("length")]]),
      "cut",
      "The agent clerk came to no answer: its model's answer was cut off."
    ],
    "where its model fails": [
      clerk([failing(new AiError.InternalProviderError({ description: SECRET }))]),
      "failed",
      "The agent clerk came to no answer: its model or its tools: InternalProviderError."
    ],
    "where its tools cannot be had": [
      clerk(looked, { toolkit: Effect.fail({ _tag: "NoTools", message: SECRET }) as never }),
      "failed",
      "The agent clerk came to no answer: its model or its tools: NoTools."
    ]
  }
  for (const [way, [tool, reason, message]] of Object.entries(ways)) {
    it.effect(`${way} is a failure that says so, and nothing else`, () =>
      Effect.gen(function*() {
        const drop = { "effect/ai/Tool/drop": { name: "drop", handler: () => Effect.void, context: Context.empty() } }
        const { encodedResult, isFailure, result } = yield* called(tool).pipe(
          Effect.provideContext(Context.makeUnsafe(new Map(Object.entries(drop))))
        )
        assert.isTrue(isFailure)
        assert.instanceOf(result, AgentTool.AgentToolError)
        assert.strictEqual((result as AgentTool.AgentToolError).reason, reason)
        assert.strictEqual(encodedResult, message)
      }))
  }
})

// -----------------------------------------------------------------------------

const shelf = AgentTool.make(
  Agent.make({ name: "clerk", toolkit: Look }),
  { name: "ask_clerk", description: "Knows the shelves." }
)

/** It is served as an application would, over a simulator of Claude. */
const serving = <A, E, R>(
  answers: ClaudeSimulator.Answers,
  use: (url: string, simulator: ClaudeSimulator.ClaudeSimulator["Service"]) => Effect.Effect<A, E, R>,
  retry = RetryPolicy.none
) =>
  Effect.gen(function*() {
    const simulator = yield* ClaudeSimulator.make({ answers })
    const model = ClaudeLanguageModel.layer({ model: "claude-opus-5-5" }).pipe(
      Layer.provide(
        Claude.layer({ apiKey: Redacted.make(KEY), baseURL: simulator.url, retry })
      ),
      Layer.orDie
    )
    const looking = Look.toLayer({ look: () => Effect.succeed("three umbrellas") })
    const url = yield* serve({ ...shelf, layer: shelf.layer.pipe(Layer.provide([model, looking])) })
    return yield* use(url, simulator)
  }).pipe(Effect.scoped)

const KEY = "sk-ant-of-the-shop"

const looks = [
  Answer.content([{ type: "tool_use", id: "toolu_1", name: "look", input: {} }], { stopReason: "tool_use" }),
  Answer.text("Three are left.")
]

const isClosed = ({ entries: [entry] }: ClaudeSimulator.Log) => entry?.outcome === "clientClosed"

describe("an agent offered over MCP", () => {
  const asked = (client: McpClient.McpClient) =>
    Effect.flatMap(client.listTools(), ([tool]) => client.callTool({ tool: tool!, arguments: { prompt: "How many?" } }))

  it.live("is a tool with its parameters, and answers with its text", () =>
    serving(looks, (url, { log }) =>
      Effect.gen(function*() {
        const client = yield* McpClient.McpClient
        const [{ description, inputSchema, name } = assert.fail("no tool")] = yield* client.listTools()
        assert.deepStrictEqual({ name, description }, { name: "ask_clerk", description: "Knows the shelves." })
        assert.deepStrictEqual([inputSchema.required, Object.keys(inputSchema.properties ?? {})], [["prompt"], [
          "prompt"
        ]])
        const { content, isError } = yield* asked(client)
        assert.deepStrictEqual([content, isError ?? false], [[{ type: "text", text: "Three are left." }], false])
        const { entries } = yield* log
        assert.include(JSON.stringify(entries[0]?.body), "How many?")
        assert.include(JSON.stringify(entries[1]?.body), "three umbrellas")
      }).pipe(Effect.provide(layerUrl(url)))))

  it.live("says what kind of failure there was, and no more", () =>
    serving([Answer.error(529, { message: `overloaded for ${KEY}` })], (url) =>
      Effect.gen(function*() {
        const { content, isError } = yield* asked(yield* McpClient.McpClient)
        const text = "The agent clerk came to no answer: its model or its tools: overloaded_error."
        assert.deepStrictEqual([content, isError], [[{ type: "text", text: JSON.stringify(text) }], true])
      }).pipe(Effect.provide(layerUrl(url)))))

  for (const protocol of [McpProtocol.v2025_11_25, McpProtocol.v2026_07_28]) {
    it.live(`stops when its client cancels, in ${protocol.protocolVersion}: the call to Claude is closed`, () =>
      serving(
        [Answer.stall("midStream", Answer.text("Three are left."))],
        (url, { logWhen }) =>
          Effect.gen(function*() {
            const call = yield* Effect.forkChild(asked(yield* McpClient.McpClient))
            yield* logWhen(({ inFlight }) => inFlight === 1)
            yield* Fiber.interrupt(call)
            yield* logWhen(isClosed)
          }).pipe(Effect.provide(layerUrl(url, protocol)))
      ))
  }

  /** What the official client makes of it; it cancels its call when it is told to. */
  const official = (url: string, cancel: Effect.Effect<unknown>) =>
    Effect.gen(function*() {
      const script = `
        import { Client } from "@modelcontextprotocol/sdk/client/index.js"
        import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
        const client = new Client({ name: "official", version: "1.0.0" })
        await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[1])))
        const { tools } = await client.listTools()
        const abort = new AbortController()
        process.stdin.once("data", () => abort.abort("not needed any more"))
        const progress = []
        const call = { name: tools[0].name, arguments: { prompt: "How many?" } }
        const options = { signal: abort.signal, onprogress: (step) => progress.push(step) }
        const result = await client.callTool(call, undefined, options).catch((error) => String(error))
        console.log(JSON.stringify({ names: tools.map(({ name }) => name), result, progress }))
        process.stdin.destroy()
        await client.close()`
      const { exitCode, stdout } = yield* ChildProcess.make(
        process.execPath,
        ["--input-type=module", "-e", script, url],
        { stdin: Stream.encodeText(Stream.fromEffect(Effect.as(cancel, "cancel"))), killSignal: "SIGKILL" }
      )
      const printed = yield* Stream.mkString(Stream.decodeText(stdout))
      assert.strictEqual(yield* exitCode, 0)
      return JSON.parse(printed)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

  it.live("serves the official client, and tells it what it is doing", () =>
    serving(looks, (url) =>
      Effect.gen(function*() {
        const { names, progress, result } = yield* official(url, Effect.never)
        assert.deepStrictEqual(names, ["ask_clerk"])
        assert.deepStrictEqual(result.content, [{ type: "text", text: "Three are left." }])
        assert.deepStrictEqual(progress, [{ progress: 1, message: "turn 1: look" }])
      })))

  it.live("stops when the official client cancels", () =>
    serving([Answer.stall("midStream", Answer.text("Three are left."))], (url, { logWhen }) =>
      Effect.gen(function*() {
        const { result } = yield* official(url, logWhen(({ inFlight }) => inFlight === 1))
        assert.match(result, /not needed any more/)
        yield* logWhen(isClosed)
      })))
})
