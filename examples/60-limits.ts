/**
 * Two tenants, one with sixty times the load of the other, and a server whose limits move: twelve seconds of it, live.
 * Run it with `node examples/60-limits.ts`; it spends nothing, since a simulator answers even where there is a key.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Fiber, FiberSet, Layer, Logger } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import * as Api from "./support/api.ts"
import * as Panel from "./support/panel.ts"

// #region limits
const layer = Claude.layerConfigWith({
  // Found by trial between these, as the server takes them. This and all that follows may be left out.
  concurrency: { min: 1, max: 64 },
  // Learned from the API's headers, and followed. Its windows are minutes; those of this simulator are seconds.
  rateLimits: { window: "1 second" },
  // Tenants take turns: this one has two to each of another's.
  tenants: { known: { small: { weight: 2 } } },
  // How many calls of a tenant may wait for theirs.
  queue: 1000
})

const ask = (tenant: string) =>
  Claude.text({ model: "claude-sonnet-5-5", max_tokens: 100, prompt: "A fact about rivers, please." }).pipe(
    Claude.withPolicy({ tenant, timeouts: { total: "30 seconds" } })
  )
// #endregion

/** The large tenant's calls a second, the server's capacity, and its rate limit: a minute of it is a second here. */
const phases = [
  { title: "A calm start", load: 40, capacity: 24, requests: 60 },
  { title: "More load than the rate limit allows", load: 120, capacity: 24, requests: 60 },
  { title: "The limit is raised: now capacity is what bounds", load: 120, capacity: 24, requests: 150 },
  { title: "The server shrinks to a half", load: 30, capacity: 12, requests: 150 },
  { title: "It is back, and the queue drains", load: 10, capacity: 24, requests: 150 }
] as const

let phase: typeof phases[number] = phases[0]
/** How long the latest call of each took, in seconds. */
const took = { large: 0, small: 0 }
const slowest = { large: 0, small: 0 }

const attempts = "claude.client.attempts"
const meters: ReadonlyArray<ReadonlyArray<Panel.Meter>> = [
  [
    { label: "load", known: [() => phase.load, "(calls a second)"], hue: "dim", drawn: true },
    { label: "queue", metric: "claude.client.queue.depth" },
    { label: "in flight", metric: "claude.client.active_requests", top: 32 },
    { label: "level", metric: "claude.client.concurrency.level", top: 32, hue: "green" },
    { label: "capacity", known: [() => phase.capacity, "(the server's, told to nobody)"], top: 32, hue: "dim" },
    { label: "rate", metric: "claude.ratelimit.requests.limit", top: 150, hue: "green" },
    { label: "rate left", metric: "claude.ratelimit.requests.remaining", top: 150, drawn: true }
  ],
  [
    { label: "served", metric: attempts, where: ["claude.outcome", "success"] },
    { label: "429", metric: attempts, where: ["error.type", "rate_limit_error"], hue: "yellow" },
    { label: "529", metric: attempts, where: ["error.type", "overloaded_error"], hue: "yellow" }
  ],
  [
    { label: "wait", metric: "claude.client.wait.duration", unit: "s", hue: "magenta", drawn: true },
    { label: "large", known: [() => took.large, "(its latest call)"], top: 6, unit: "s", hue: "magenta" },
    { label: "small", known: [() => took.small, "(its latest call)"], top: 6, unit: "s", hue: "magenta" }
  ]
]

const program = Effect.gen(function*() {
  yield* Api.say("A simulator on this machine answers, with a key too: nothing is spent.")
  const { setCapacity, setRateLimits } = yield* ClaudeSimulator.ClaudeSimulator
  const panel = yield* Panel.make(meters)
  const calls = yield* FiberSet.make()
  const failures = new Map<string, number>()

  const load = (tenant: "large" | "small", perSecond: () => number) => {
    const call = Effect.timed(ask(tenant)).pipe(Effect.match({
      onSuccess: ([time]) => {
        took[tenant] = Duration.toSeconds(time)
        slowest[tenant] = Math.max(slowest[tenant], took[tenant])
      },
      onFailure: ({ reason }) => failures.set(reason._tag, (failures.get(reason._tag) ?? 0) + 1)
    }))
    let due = 0
    let since = performance.now()
    const start = Effect.suspend(() => {
      const now = performance.now()
      due += perSecond() * (now - since) / 1000
      since = now
      const count = Math.floor(due)
      due -= count
      return Effect.forEach(Array.from({ length: count }), () => FiberSet.run(calls, call), { discard: true })
    })
    return Effect.forkScoped(Effect.forever(Effect.andThen(start, Effect.sleep("20 millis"))))
  }

  const shown = yield* Effect.forkScoped(panel.run(() => phase.title))
  const loads = [yield* load("large", () => phase.load), yield* load("small", () => 2)]
  for (phase of phases) {
    yield* setCapacity({ limit: phase.capacity, slowdown: 2 })
    yield* setRateLimits({ requests: phase.requests, window: "1 second" })
    yield* Effect.sleep("2400 millis")
  }
  yield* Effect.andThen(Fiber.interruptAll(loads), FiberSet.awaitEmpty(calls))
  yield* Effect.delay(Fiber.interrupt(shown), "300 millis")

  const served = panel.latest("served")
  const share = (label: string) => `${(panel.latest(label) / served * 100).toFixed(1)}%`
  const failed = [...failures].map(([reason, count]) => `${count} ${reason}`).join(", ")
  yield* Console.log(
    `${served} calls served, ${failed || "none"} failed; ${share("429")} saw a 429, ${share("529")} a 529.\n` +
      `The slowest call of the large tenant took ${slowest.large.toFixed(1)} s, of the small ${
        slowest.small.toFixed(1)
      } s.`
  )
})

/** No two answers take as long. */
const answers = () =>
  Answer.text("The Danube passes through ten countries.", { firstContent: 80 + 80 * Math.random(), pace: "8 millis" })

program.pipe(
  Effect.scoped,
  Effect.provide(
    layer.pipe(
      Layer.provide(Api.simulated),
      Layer.provideMerge(ClaudeSimulator.layer({ answers })),
      Layer.merge(Logger.layer([]))
    )
  ),
  NodeRuntime.runMain
)
