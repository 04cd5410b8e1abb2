/**
 * An agent uses the tools of an MCP server that runs as a process beside it (the protocol's reference server), and is then a tool itself, which an MCP client calls over HTTP.
 * Run it with `node examples/53-mcp.ts`; with ANTHROPIC_API_KEY in the environment its limits bound what it spends.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Logger, Stream } from "effect"
import { Claude } from "effect-claude"
import { Agent, AgentTool, ClaudeLanguageModel, McpTools } from "effect-claude/ai"
import { Answer } from "effect-claude/testing"
import { McpClient, McpProtocol, McpServer } from "effect/ai"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { ChildProcess } from "effect/process"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

const path = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-everything/dist/index.js"))

// #region mcp
const me = { name: "weather", version: "1.0.0" }
// The tools of a server, asked for at each run; names, schemas and results are made to fit what Claude takes.
const forecaster = Agent.make({
  name: "forecaster",
  toolkit: McpTools.toolkit(McpClient.McpClient, {
    filter: ({ name }) => name === "get-structured-content" || name === "get-sum"
  }),
  limits: { turns: 4, cost: 0.05 }
})
const server = McpClient.layerStdio({
  ...me,
  command: ChildProcess.make(process.execPath, [path]),
  protocol: McpProtocol.v2025_11_25
})

// And the other way round: the agent as a tool, of another agent or of an MCP server.
const tool = AgentTool.make(forecaster, { name: "ask_forecaster", description: "Knows the weather in three cities." })
const offered = McpServer.layerHttp({
  ...me,
  path: "/mcp",
  protocols: [McpProtocol.v2025_11_25],
  registrations: McpServer.toolkit(tool.toolkit).pipe(Layer.provide(tool.layer))
})
// #endregion

const dim = (text: string) => styleText("dim", text)

const show = (step: Agent.Step) => {
  switch (step._tag) {
    case "ToolStarted":
      return Console.log(`  ${styleText("bold", step.name)} ${JSON.stringify(step.params)}`)
    case "ToolFinished":
      return Console.log(`  ${styleText("bold", step.name)} ${step.outcome}: ${dim(String(step.result))}`)
    case "Finished":
      return Console.log(`${step.text}\n`)
    default:
      return Effect.void
  }
}

/** What somebody sees who has an MCP client, and knows nothing of agents. */
const client = Effect.gen(function*() {
  const client = yield* McpClient.McpClient
  const [tool] = yield* client.listTools()
  if (tool === undefined) return yield* Effect.die("There is no tool.")
  yield* Console.log(`${client.serverInfo?.name} offers ${styleText("bold", tool.name)}: ${tool.description}`)
  const { content } = yield* client.callTool({ tool, arguments: { prompt: "Do I need an umbrella in New York?" } })
  for (const block of content) if (block.type === "text") yield* Console.log(block.text)
})

const main = Effect.gen(function*() {
  const { serverInfo } = yield* McpClient.McpClient
  const { tools } = yield* McpTools.toolkit(McpClient.McpClient)
  const names = Object.keys(tools).join(", ").replaceAll(/(.{60}\S*) /g, "$1\n  ")
  yield* Console.log(`${serverInfo?.title} has ${Object.keys(tools).length} tools:\n  ${dim(names)}\n`)
  yield* Stream.runForEach(forecaster.stream("Is it warmer in Los Angeles than in Chicago, and by how much?"), show)

  yield* HttpServer.addressFormattedWith((url) =>
    Effect.provide(client, McpClient.layerHttp({ ...me, url: `${url}/mcp`, protocol: McpProtocol.v2025_11_25 }))
  ).pipe(Effect.provide(HttpRouter.serve(offered, { disableListenLog: true, disableLogger: true })))
})

const call = (id: string, name: string, input: object) => ({ type: "tool_use", id, name, input }) as const
const asks = { stopReason: "tool_use", delay: "150 millis" } as const
const scripted = [
  Answer.content([
    call("toolu_1", "get-structured-content", { location: "Los Angeles" }),
    call("toolu_2", "get-structured-content", { location: "Chicago" })
  ], asks),
  Answer.content([call("toolu_3", "get-sum", { a: 73, b: -36 })], asks),
  Answer.text("Yes: Los Angeles is 37 degrees warmer."),
  Answer.content([call("toolu_4", "get-structured-content", { location: "New York" })], asks),
  Answer.text("No. It is cloudy in New York, and dry.")
]

const model = ClaudeLanguageModel.layer({ model: "claude-sonnet-5-5", config: { max_tokens: 500 } })

main.pipe(
  Effect.provide(
    Layer.mergeAll(model, server, FetchHttpClient.layer).pipe(
      Layer.provide(Claude.layerConfig),
      Layer.provideMerge(
        NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: 0 })
      ),
      Layer.provideMerge(Layer.merge(Logger.layer([]), Api.layer(scripted)))
    )
  ),
  NodeRuntime.runMain
)
