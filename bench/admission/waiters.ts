/**
 * 100 000 calls come to a gate that is taken, each in a fiber of its own, wait, and leave it: in a process of its own,
 * which tells what it took.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Gate from "../../src/admission/Gate.ts"

export interface Waited {
  /** They are served one after the other, or interrupted all at once. */
  readonly leave: "served" | "interrupted"
  readonly queueMillis: number
  readonly leaveMillis: number
  /** What the main thread was busy in that time. */
  readonly cpuMillis: number
  /** Above the start: resident while all wait, after a collection; of it in use; and resident at its peak. */
  readonly megabytes: number
  readonly heapMegabytes: number
  readonly peakMegabytes: number
}

const COUNT = 100_000
const TENANTS = 100

const crowd = (leave: Waited["leave"]) =>
  Effect.gen(function*() {
    const gate = yield* Gate.make({
      concurrency: { min: 16, max: 16 },
      queue: COUNT,
      tenant: () => ({}),
      rates: { limits: {}, windowMillis: 60_000, learn: true },
      shared: undefined,
      onLevel: () => {},
      onRates: () => {}
    })
    const onQueued = Effect.succeed(0n)
    const onLeft = () => Effect.void
    const waiter = (tenant: string, deadline: number): Gate.Waiter => ({
      tenant,
      priority: "interactive",
      need: { inputTokens: 10, outputTokens: 10 },
      deadline,
      onQueued,
      onLeft
    })
    const now = Date.now()
    const enter = (i: number) =>
      Effect.scoped(gate.enter(waiter(`tenant-${i % TENANTS}`, now + 600_000 + (i * 7919) % COUNT)))
    const held = yield* Effect.forkChild(
      Effect.scoped(Effect.andThen(
        Effect.forEach(Array.from({ length: 16 }), () => gate.enter(waiter("first", now + 600_000))),
        Effect.never
      )),
      { startImmediately: true }
    )

    globalThis.gc?.()
    const before = process.memoryUsage()
    const busy = process.threadCpuUsage()
    const began = performance.now()
    const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
    for (let i = 0; i < COUNT; i++) fibers.push(yield* Effect.forkChild(enter(i), { startImmediately: true }))
    while (gate.turns.waiting < COUNT) yield* Effect.yieldNow
    const queueMillis = performance.now() - began
    globalThis.gc?.()
    const { heapUsed, rss } = process.memoryUsage()
    const leaving = performance.now()
    if (leave === "interrupted") yield* Fiber.interruptAll(fibers)
    else {
      yield* Fiber.interrupt(held)
      yield* Effect.forEach(fibers, Fiber.await, { discard: true })
    }
    const leaveMillis = performance.now() - leaving
    const { system, user } = process.threadCpuUsage(busy)
    if (gate.turns.waiting > 0) return yield* Effect.die(`${gate.turns.waiting} still wait`)
    return {
      leave,
      queueMillis,
      leaveMillis,
      cpuMillis: (system + user) / 1000,
      megabytes: (rss - before.rss) / 2 ** 20,
      heapMegabytes: (heapUsed - before.heapUsed) / 2 ** 20,
      peakMegabytes: process.resourceUsage().maxRSS / 1024 - before.rss / 2 ** 20
    } satisfies Waited
  })

const [, , leave] = process.argv
if ((leave === "served" || leave === "interrupted") && process.send !== undefined) {
  process.send(await Effect.runPromise(Effect.scoped(crowd(leave))), () => process.exit(0))
}
