/**
 * Four processes that share one limit through a real Redis: together they get all of it, and no more. A minute takes a
 * second here. It needs a `redis-server`, or REDIS_URL.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Figures from "./figures.ts"
import type { Done, Orders } from "./member.ts"
import * as Simulator from "./simulator.ts"

const LIMIT = 200
const WINDOW = 1000
const MEMBERS = 4
const MILLIS = 8000

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** The one that REDIS_URL names, or one of its own. */
const external = process.env.REDIS_URL === "" ? undefined : process.env.REDIS_URL
const isThere = external !== undefined || spawnSync("redis-server", ["--version"]).status === 0

/** A Redis of its own, until the scope closes. */
const startRedis = Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "redis-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  )
  const port = yield* Effect.promise(freePort)
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("redis-server", [...options, "--dir", directory], { stdio: ["ignore", "pipe", "inherit"] })
    ),
    (server) => Effect.sync(() => server.kill())
  )
  yield* Effect.promise(() =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.once("exit", (code) => reject(new Error(`redis-server ended with ${code} at its start`)))
      server.stdout.on("data", (text) => String(text).includes("Ready to accept connections") && resolve())
    })
  )
  return `redis://127.0.0.1:${port}`
})

const answered = <A>(child: ChildProcess) =>
  Effect.promise(() =>
    new Promise<A>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`member.ts ended with ${code}`)))
      // What member.ts sends: that it is ready, then what it did.
      child.once("message", (message) => resolve(message as A))
    })
  )

const drill = (name: string, enforced: boolean, configured: boolean) =>
  Effect.gen(function*() {
    const limits = { requests: LIMIT, window: WINDOW }
    const simulator = yield* Simulator.start({
      firstContent: [10, 20],
      rest: [10, 40],
      ...(enforced ? { rateLimits: limits } : undefined)
    })
    const orders: Orders = {
      url: simulator.url,
      redis: external ?? (yield* startRedis),
      rateLimits: configured ? limits : { window: WINDOW },
      callers: 50,
      millis: MILLIS
    }
    const members = yield* Effect.forEach(Array.from({ length: MEMBERS }), () =>
      Effect.acquireRelease(
        Effect.sync(() => fork(join(import.meta.dirname, "member.ts"), [JSON.stringify(orders)])),
        (member) => Effect.sync(() => member.kill())
      ))
    yield* Effect.forEach(members, answered<"ready">, { concurrency: "unbounded" })
    const done = yield* Effect.forEach(
      members,
      (member) => Effect.andThen(Effect.sync(() => member.send("go")), answered<Done>(member)),
      { concurrency: "unbounded" }
    )
    const requests = yield* simulator.requests
    const refused = requests.filter(({ status }) => status === 429)
    const taken = requests.filter(({ status }) => status !== 429)
    const seconds = (taken.at(-1)!.at - taken[0]!.at) / 1000
    const allowed = LIMIT + LIMIT * 1000 / WINDOW * seconds
    const ratio = taken.length / allowed
    const shares = done.map(({ served }) => served).join(" + ")
    const failed = done.map(({ failed }) => failed).filter((text) => text !== "").join(", ")
    return [
      {
        what: `${name}: the sum of ${MEMBERS} processes, of the limit`,
        target: "97 % to 103 %",
        figure: `${Figures.percent(ratio)}, ${taken.length} of ${allowed.toFixed(0)} (${shares})${
          failed === "" ? "" : `; ${failed}`
        }`,
        met: ratio >= 0.97 && ratio <= 1.03
      },
      ...enforced
        ? [Figures.share(`${name}: requests that were refused`, "at most", 0.02, refused.length / requests.length)]
        : []
    ]
  })

const drills = Effect.all([
  Effect.scoped(drill("a server without limits", false, true)),
  Effect.scoped(drill("one that enforces them", true, true))
])

const nowhere = "there is no redis-server on this machine, and no REDIS_URL"

if (!isThere) process.stderr.write(`\n*** THE DRILL OF 4 PROCESSES DID NOT RUN: ${nowhere} ***\n\n`)
await Figures.run(
  "processes",
  isThere
    ? Effect.map(drills, (figures) => figures.flat())
    : Effect.succeed([Figures.missing("the sum, of the limit", "97 % to 103 %", nowhere)])
)
