/** An agent, offered as an MCP tool over HTTP on this machine. */
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { McpProtocol, McpServer, type Tool } from "effect/ai"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import type * as AgentTool from "../../src/ai/agent/AgentTool.ts"

/** The URL at which it is. */
export const serve = <Name extends string, R>(
  { layer, toolkit }: AgentTool.AgentTool<Name, typeof AgentTool.PromptParameters, R>
) =>
  Effect.gen(function*() {
    const registrations = McpServer.toolkit(toolkit).pipe(
      Layer.provide(layer as Layer.Layer<Tool.Handler<Name>, never, R>)
    )
    const context = yield* Layer.build(
      HttpRouter.serve(
        McpServer.layerHttp({
          name: "shop",
          version: "1.0.0",
          path: "/mcp",
          protocols: [McpProtocol.v2025_11_25, McpProtocol.v2026_07_28],
          allowSessionTermination: true,
          registrations
        }),
        { disableListenLog: true, disableLogger: true }
      ).pipe(
        Layer.provideMerge(
          NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: 0 })
        )
      )
    )
    const { address } = yield* Effect.provideContext(Effect.service(HttpServer.HttpServer), context)
    return `${HttpServer.formatAddress(address)}/mcp`
  })
