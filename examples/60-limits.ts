/**
 * Two tenants, one with fifty times the load of the other, before a server whose limits move: twelve seconds of it, live.
 * Run it with `node examples/60-limits.ts`; it spends nothing, since a simulator answers even where there is a key.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Fiber, FiberSet, Layer, Logger, Redacted } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Panel from "./support/panel.ts"

// #region limits
const ask = (tenant: string) =>
  Claude.text({ model: "claude-sonnet-5-5", max_tokens: 100, prompt: "A fact about rivers, please." }).pipe(
    Claude.withPolicy({ tenant })
  )

// The rest finds itself: limits are what the API tells, the level is what it takes, and tenants go by turns.
const layer = (baseURL: string) =>
  Claude.layer({ apiKey: Redacted.make("simulated"), baseURL, rateLimits: { window: "1 second" } })
// #endregion

/** The large tenant's calls a second, the server's capacity, and its rate limit: a minute of it is a second here. */
const phases = [
  { title: "A calm start", load: 40, capacity: 24, requests: 60 },
  { title: "More load than the rate limit allows", load: 150, capacity: 24, requests: 60 },
  { title: "The limit is raised: now capacity is what bounds", load: 150, capacity: 24, requests: 150 },
  { title: "The server shrinks to a third", load: 30, capacity: 8, requests: 150 },
  { title: "It is back, and the queue drains", load: 10, capacity: 24, requests: 150 }
] as const

let phase: typeof phases[number] = phases[0]
/** How long the latest call of each took, in seconds. */
const took = { large: 0, small: 0 }
const slowest = { large: 0, small: 0 }

const attempts = "claude.client.attempts"
const meters: ReadonlyArray<ReadonlyArray<Panel.Meter>> = [
  [
    { label: "load", known: [() => phase.load, "(calls a second, about)"], hue: "dim" },
    { label: "queue", metric: "claude.client.queue.depth" },
    { label: "in flight", metric: "claude.client.active_requests", top: 32 },
    { label: "level", metric: "claude.client.concurrency.level", top: 32, hue: "green" },
    { label: "capacity", known: [() => phase.capacity, "(the server's, told to nobody)"], top: 32, hue: "dim" },
    { label: "rate left", metric: "claude.ratelimit.requests.remaining" }
  ],
  [
    { label: "served", metric: attempts, where: ["claude.outcome", "success"] },
    { label: "429", metric: attempts, where: ["error.type", "rate_limit_error"], hue: "yellow" },
    { label: "529", metric: attempts, where: ["error.type", "overloaded_error"], hue: "yellow" }
  ],
  [
    { label: "wait", metric: "claude.client.wait.duration", unit: "s", hue: "magenta" },
    { label: "large", known: [() => took.large, "(its latest call)"], top: 6, unit: "s", hue: "magenta" },
    { label: "small", known: [() => took.small, "(its latest call)"], top: 6, unit: "s", hue: "magenta" }
  ]
]

const program = Effect.gen(function*() {
  yield* Console.log(styleText("dim", "A simulator on this machine answers, with a key too: nothing is spent.\n"))
  const { setCapacity, setRateLimits } = yield* ClaudeSimulator.ClaudeSimulator
  const panel = yield* Panel.make(meters)
  const calls = yield* FiberSet.make()
  let failed = 0

  const load = (tenant: "large" | "small", perSecond: () => number) => {
    const call = Effect.timed(ask(tenant)).pipe(Effect.match({
      onSuccess: ([time]) => {
        took[tenant] = Duration.toSeconds(time)
        slowest[tenant] = Math.max(slowest[tenant], took[tenant])
      },
      onFailure: () => failed++
    }))
    const next = Effect.suspend(() => Effect.sleep(1000 / perSecond()))
    return Effect.forkScoped(Effect.forever(Effect.andThen(FiberSet.run(calls, call), next)))
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
  yield* Console.log(
    `${served} calls served, ${failed} failed; ${share("429")} saw a 429, ${share("529")} a 529.\n` +
      `The highest level was ${panel.highest("level")}. ` +
      `The slowest call took ${slowest.small.toFixed(1)} s (small) and ${slowest.large.toFixed(1)} s (large).`
  )
})

const answer = Answer.text("The Danube passes through ten countries.", { firstContent: "120 millis", pace: "8 millis" })

program.pipe(
  Effect.scoped,
  Effect.provide(
    Layer.unwrap(Effect.map(ClaudeSimulator.ClaudeSimulator, ({ url }) => layer(url))).pipe(
      Layer.provideMerge(ClaudeSimulator.layer({ otherwise: answer })),
      Layer.merge(Logger.layer([]))
    )
  ),
  NodeRuntime.runMain
)
