/** Real MCP servers, each a process that ends with its scope. */
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Layer, Stream } from "effect"
import { McpClient, McpProtocol } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"

const everything = fileURLToPath(
  new URL("../../node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url)
)

const me = { name: "effect-claude-test", version: "1.0.0", protocol: McpProtocol.v2025_11_25 } as const

// -----------------------------------------------------------------------------
// stdio
// -----------------------------------------------------------------------------

/** Processes that were begun; each is over when its scope is. */
export const begun: Array<number> = []

export const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const Watched = Layer.effect(
  ChildProcessSpawner.ChildProcessSpawner,
  Effect.map(ChildProcessSpawner.ChildProcessSpawner, (spawner) => ({
    ...spawner,
    spawn: (command: ChildProcess.Command) =>
      Effect.tap(spawner.spawn(command), ({ pid }) => Effect.sync(() => begun.push(pid)))
  }))
).pipe(Layer.provide(NodeServices.layer))

/** The client of a program that speaks over its stdin and stdout. */
const over = (...args: ReadonlyArray<string>) =>
  Layer.fresh(
    McpClient.layerStdio({ ...me, command: ChildProcess.make(process.execPath, args) }).pipe(Layer.provide(Watched))
  )

/** The reference server, from the registry. */
export const layerStdio = over(everything, "stdio")

/** A server as a test wants it: with these tools, each with its result. Four have one of their own. */
export const layerOdd = (tools: Readonly<Record<string, OddTool>>) =>
  Layer.unwrap(Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    // They may be too large for an argument.
    const path = yield* files.makeTempFileScoped()
    yield* files.writeFileString(path, JSON.stringify(tools))
    return over("--input-type=module", "-e", odd, path)
  })).pipe(Layer.provide(NodeServices.layer), Layer.orDie, Layer.fresh)

export interface OddTool {
  readonly inputSchema?: object
  readonly description?: string
  readonly title?: string
  readonly annotations?: object
  readonly result?: object
}

/** Never answers; dies; tells what it was sent; has one more tool from now on. */
export const oddTools = { hang: {}, die: {}, seen: {}, grow: {} } as const

const odd = `
import { readFileSync } from "node:fs"
const tools = JSON.parse(readFileSync(process.argv[1], "utf8")), seen = []
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\\n")
const on = ({ id, method, params }) => {
  seen.push({ id, method, params })
  if (method === "initialize") {
    const serverInfo = { name: "odd", version: "1" }
    send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo } })
  } else if (method === "tools/list") {
    const listed = Object.entries(tools).map(([name, { result, ...tool }]) => ({ name, inputSchema: { type: "object" }, ...tool }))
    send({ id, result: { tools: listed } })
  } else if (method === "tools/call") {
    if (params.name === "hang") return
    if (params.name === "die") process.exit(3)
    if (params.name === "grow") tools.grown = {}
    const text = params.name === "seen" ? JSON.stringify(seen) : "fine"
    send({ id, result: tools[params.name].result ?? { content: [{ type: "text", text }] } })
  }
}
let buffer = ""
process.stdin.setEncoding("utf8").on("end", () => process.exit()).on("data", (text) => {
  const lines = (buffer + text).split("\\n")
  buffer = lines.pop()
  for (const line of lines) on(JSON.parse(line))
})
`

// -----------------------------------------------------------------------------
// http
// -----------------------------------------------------------------------------

/** It would listen on all interfaces, and says no other port than the one that it was told. */
const loopback = `data:text/javascript,${
  encodeURIComponent(`
import { Server } from "node:net"
const { listen } = Server.prototype
Server.prototype.listen = function(port, then) {
  this.once("listening", () => console.log("listening on " + this.address().port))
  return listen.call(this, { port: Number(port), host: "127.0.0.1" }, then)
}`)
}`

/** The reference server, over HTTP. */
export const layerHttp = Layer.fresh(
  Layer.unwrap(Effect.gen(function*() {
    const server = yield* ChildProcess.make(process.execPath, ["--import", loopback, everything, "streamableHttp"], {
      env: { PORT: "0" },
      extendEnv: true,
      killSignal: "SIGKILL"
    })
    const port = yield* server.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.filter((line) => line.startsWith("listening on ")),
      Stream.map((line) => line.slice("listening on ".length)),
      Stream.runHead,
      Effect.flatMap(Effect.fromOption)
    )
    return layerUrl(`http://127.0.0.1:${port}/mcp`)
  })).pipe(Layer.provide(Watched))
)

export const layerUrl = (url: string, protocol: McpProtocol.ProtocolAdapter<McpClient.ProtocolVersion> = me.protocol) =>
  McpClient.layerHttp({ ...me, protocol, url }).pipe(Layer.provide(FetchHttpClient.layer))
