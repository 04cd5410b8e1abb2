/**
 * A real Redis for tests: a `redis-server` of their own on loopback, or the one that REDIS_URL names.
 *
 * Where there is neither, `describeRedis` says so loudly and skips; where CI is set, it fails.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { describe } from "@effect/vitest"
import { Context, Effect, Layer, Scope } from "effect"
import { Redis } from "effect/persistence"
import { type ChildProcess, fork, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Word } from "./keeper.ts"

const external = process.env.REDIS_URL === "" ? undefined : process.env.REDIS_URL

/** Whether a server can be started here, and killed. */
export const startable: boolean = spawnSync("redis-server", ["--version"]).status === 0

/** Whether there is a Redis to test with. */
export const available: boolean = external !== undefined || startable

const runId = `claude-test-${randomUUID()}`
let prefixes = 0

/** Keys of one test, so that tests and runs that share a server do not meet. */
export const freshPrefix = (): string => `${runId}-${prefixes++}:`

// -----------------------------------------------------------------------------
// servers
// -----------------------------------------------------------------------------

/** A server that a test may stop. */
export interface Server {
  readonly url: string
  /** Ends it at once, as a crash would, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
  /** It keeps its connections and answers nothing (SIGSTOP), until `resume`. */
  readonly pause: Effect.Effect<unknown>
  readonly resume: Effect.Effect<unknown>
  /** Starts it again on its port, with nothing in it. */
  readonly restart: Effect.Effect<void>
}

/** Starts a `redis-server` of its own, until the scope closes; its files are forgotten with it. */
export const startServer = Effect.fnUntraced(function*(
  options: ReadonlyArray<string> = []
): Effect.fn.Return<Server, never, Scope.Scope> {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "redis-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  )
  const run = (port: number) => start(port, ["--dir", directory, ...options])
  let port = 0
  let running: Running | undefined
  const kill = Effect.promise(async () => {
    const ending = running
    running = undefined
    if (ending === undefined) return
    ending.keeper.disconnect()
    await ending.gone
  })
  yield* Effect.acquireRelease(
    Effect.promise(async () => {
      for (let attempt = 1;; attempt++) {
        port = await freePort()
        try {
          running = await run(port)
          return
        } catch (error) {
          // Another took the port in between.
          if (attempt === 5) throw error
        }
      }
    }),
    () => kill
  )
  const signal = (name: NodeJS.Signals) => Effect.sync(() => running !== undefined && process.kill(running.pid, name))
  return {
    url: `redis://127.0.0.1:${port}`,
    kill,
    pause: signal("SIGSTOP"),
    resume: signal("SIGCONT"),
    restart: Effect.andThen(
      kill,
      Effect.promise(async () => {
        running = await run(port)
      })
    )
  }
})

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

interface Running {
  readonly keeper: ChildProcess
  readonly pid: number
  readonly gone: Promise<unknown>
}

const start = (port: number, options: ReadonlyArray<string>) =>
  new Promise<Running>((resolve, reject) => {
    const listening = ["--port", String(port), "--bind", "127.0.0.1"]
    const forgetful = ["--save", "", "--appendonly", "no", "--daemonize", "no"]
    const keeper = fork(
      fileURLToPath(new URL("./keeper.ts", import.meta.url)),
      ["Ready to accept connections", "redis-server", ...listening, ...forgetful, ...options],
      { execArgv: ["--no-warnings"], stdio: ["ignore", "ignore", "ignore", "ipc"] }
    )
    const gone = new Promise((resolve) => keeper.once("exit", resolve))
    let pid = 0
    keeper.once("error", reject)
    keeper.on("message", (word: Word) => {
      if ("pid" in word) pid = word.pid
      else if (word.isReady) resolve({ keeper, pid, gone })
      else reject(new Error(`redis-server ended at its start:\n${word.output}`))
    })
  })

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Where the Redis of a layer listens. */
export class RedisUrl extends Context.Service<RedisUrl, string>()("test/RedisUrl") {}

/** A client of a server, as the documentation recommends it. */
export const client = (url: string): Layer.Layer<Redis.Redis | NodeRedis.NodeRedis> =>
  Layer.orDie(NodeRedis.layer({ url, disableOfflineQueue: true }))

/** A client of REDIS_URL, which is left as it was, or of a server that lives as long as the layer. */
export const layer: Layer.Layer<Redis.Redis | NodeRedis.NodeRedis | RedisUrl> = Layer.unwrap(
  Effect.gen(function*() {
    const url = external ?? (yield* startServer()).url
    const connected = Layer.fresh(client(url))
    return Layer.mergeAll(
      external === undefined ? connected : Layer.provideMerge(Layer.effectDiscard(cleanUp), connected),
      Layer.succeed(RedisUrl, url)
    )
  })
)

const cleanUp = Effect.gen(function*() {
  const { send } = yield* Redis.Redis
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      let cursor = "0"
      do {
        const [next, keys] = yield* send<[string, Array<string>]>(
          "SCAN",
          cursor,
          "MATCH",
          // What a store puts before its keys is its own.
          `*${runId}-*`,
          "COUNT",
          "1000"
        )
        if (keys.length > 0) yield* Effect.forEach(keys, (key) => send("DEL", key))
        cursor = next
      } while (cursor !== "0")
    }).pipe(Effect.ignore)
  )
})

// -----------------------------------------------------------------------------
// suites
// -----------------------------------------------------------------------------

/** A suite that needs a Redis; with "own", one that it may stop. */
export const describeRedis = (name: string, suite: () => void, needs: "any" | "own" = "any"): void => {
  const isThere = needs === "any" ? available : startable
  const missing = `no redis-server on this machine${needs === "any" ? " and no REDIS_URL" : ""}`
  if (!isThere && process.env.CI) throw new Error(`In CI the tests of ${name} must run: ${missing}`)
  if (!isThere) console.warn(`SKIPPED: ${missing}: ${name}`)
  const register = isThere ? describe : describe.skip
  register(isThere ? name : `SKIPPED: ${missing}: ${name}`, suite)
}
