/**
 * A hundred thousand calls of every kind, and nothing may grow: no heap, no handle, no timer, no listener, no open span.
 *
 *   npm run bench:soak
 *   npm run bench:soak -- --calls 20000
 */
import { Claude } from "effect-claude"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { subscribe } from "node:diagnostics_channel"
import type { EventEmitter } from "node:events"
import type { Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { apiKey } from "./contender.ts"
import { model, prompt } from "./fixture.ts"
import { serve } from "./processes.ts"

const { values: args } = parseArgs({ options: { calls: { type: "string", default: "100000" } } })
const total = Number(args.calls)
if (!Number.isInteger(total) || total < 5000) {
  throw new RangeError(`--calls is ${args.calls}; expected a whole number from 5000`)
}
const collect = globalThis.gc
if (collect === undefined) {
  throw new Error("soak.ts measures the heap after collections; run `npm run bench:soak`, or add --expose-gc")
}

const concurrency = 64
const port = await serve()

let openSpans = 0
let madeSpans = 0
const tracer = Tracer.make({
  span: (options) => {
    openSpans++
    madeSpans++
    return new class extends Tracer.NativeSpan {
      override end(...args: Parameters<Tracer.NativeSpan["end"]>): void {
        openSpans--
        super.end(...args)
      }
    }(options)
  }
})

const client = (path: string): Layer.Layer<Claude.Claude, unknown> =>
  Claude.layer({
    apiKey: Redacted.make(apiKey),
    baseURL: `http://127.0.0.1:${port}/${path}`,
    concurrency,
    defaults: { model, max_tokens: 8192 },
    // Room for every call that meets `busy`.
    retryBudget: { ratio: 1, burst: 1000 }
  })
const runtimeOf = (path: string): ManagedRuntime.ManagedRuntime<Claude.Claude, unknown> =>
  ManagedRuntime.make(
    Layer.provideMerge(client(path), Layer.mergeAll(Layer.succeed(Tracer.Tracer, tracer), Logger.layer([])))
  )
const runtimes = {
  short: runtimeOf("short"),
  busy: runtimeOf("busy"),
  refused: runtimeOf("refused"),
  paced: runtimeOf("paced-1000000-50")
}

// Each kind of call, and how many of a thousand it is. Those that close their socket are few, for the sake of the machine's ports.
const kinds: ReadonlyArray<readonly [name: string, share: number, call: () => Promise<unknown>]> = [
  ["folded", 400, () => runtimes.short.runPromise(Claude.message({ prompt }))],
  ["json", 300, () => runtimes.short.runPromise(Claude.message({ prompt }).pipe(Claude.withPolicy({ wire: "json" })))],
  ["streamed", 240, () => runtimes.short.runPromise(Stream.runDrain(Claude.stream({ prompt })))],
  ["refused", 30, () => runtimes.refused.runPromise(Effect.flip(Claude.message({ prompt })))],
  ["retried", 10, () => runtimes.busy.runPromise(Claude.message({ prompt }))],
  ["left early", 10, () => runtimes.short.runPromise(Stream.runDrain(Stream.take(Claude.stream({ prompt }), 1)))],
  // The server never goes on with this one: the interruption meets a pending read.
  [
    "interrupted",
    10,
    () => runtimes.paced.runPromise(Claude.message({ prompt }).pipe(Effect.timeoutOption("20 millis")))
  ]
]
const plan = kinds.flatMap(([, share, call]) => Array.from({ length: share }, () => call))
// 617 and 1000 have no common factor: a thousand calls in a row make each planned one once, well mixed.
const leaked: Array<unknown> = []
const callAt = (index: number): Promise<unknown> => { leaked.push(new Array(60).fill(index)); process.on("warning", () => {});  return

/** Connections that are open. An idle one does not keep the process alive, so Node's own list of handles leaves it out. */
const sockets = new Set<Socket>()
subscribe("undici:client:connected", (message) => {
  const { socket } = message as { readonly socket: Socket } // as undici documents this channel
  sockets.add(socket)
  socket.once("close", () => sockets.delete(socket))
})

/** What keeps the process alive; Node's types leave this one out. */
const handles = (): ReadonlyArray<unknown> =>
  (process as typeof process & { _getActiveHandles: () => ReadonlyArray<unknown> })._getActiveHandles()
const listenersOf = (emitter: EventEmitter): number =>
  emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)

const probe = async (): Promise<Record<string, number>> => {
  for (let i = 0; i < 4; i++) {
    await sleep(100)
    collect()
  }
  return {
    "heap, MB": process.memoryUsage().heapUsed / 2 ** 20,
    "active handles": handles().length,
    "timers": process.getActiveResourcesInfo().filter((kind) => kind === "Timeout" || kind === "Immediate").length,
    "open sockets": sockets.size,
    "listeners, most on a socket": Math.max(0, ...Array.from(sockets, listenersOf)),
    "listeners of the process": listenersOf(process),
    "open spans": openSpans
  }
}

/** How much each may be above the least that it was before: room for pools that fill, none for a leak a call. */
const bounds: Record<string, number> = {
  "heap, MB": 3,
  "active handles": 0,
  "timers": 0,
  // Each client's pool may hold a connection for each call in flight.
  "open sockets": concurrency * Object.keys(runtimes).length,
  "listeners, most on a socket": 0,
  "listeners of the process": 0,
  "open spans": 0
}

const samples: Array<Record<string, number>> = []
let next = 0
const began = performance.now()
for (let part = 1; part <= 5; part++) {
  const end = total * part / 5
  const lane = async (): Promise<void> => {
    while (next < end) await callAt(next++)
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  samples.push(await probe())
  process.stderr.write(`${next} calls, ${((performance.now() - began) / 1000).toFixed(0)} s\n`)
}

const last = samples.at(-1) ?? {}
let grown = 0
const lines = Object.entries(bounds).map(([name, bound]) => {
  const growth = (last[name] ?? NaN) - Math.min(...samples.slice(0, -1).map((sample) => sample[name] ?? NaN))
  const held = growth <= bound
  if (!held) grown++
  const cells = samples.map((sample) => (sample[name] ?? NaN).toFixed(name === "heap, MB" ? 1 : 0))
  return `| ${name} | ${cells.join(" | ")} | ${bound} | ${held ? "yes" : "NO"} |`
})
const shares = kinds.map(([name, share]) => `${name} ${share / 10}%`).join(", ")
console.log(`
| after calls | ${samples.map((_, part) => total * (part + 1) / 5).join(" | ")} | may grow by | held |
|---|${"--:|".repeat(samples.length + 2)}
${lines.join("\n")}

${total} calls (${shares}), ${madeSpans} spans, ${concurrency} at once, Node ${process.version}.`)
if (madeSpans < total) throw new Error("fewer spans than calls: tracing was off")
await Promise.all(Object.values(runtimes).map((runtime) => runtime.dispose()))
process.exit(grown === 0 ? 0 : 1)
