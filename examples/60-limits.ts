/**
 * Two tenants, one with eighty times the load of the other, before a server whose limits move: twelve seconds of it, live.
 * Run it with `node examples/60-limits.ts`; it never spends anything, since a simulator answers even where there is a key.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, FiberSet, Layer, Logger, Metric, Redacted, Schedule } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Panel from "./support/panel.ts"

// #region limits
const ask = (tenant: string) =>
  Claude.text({ model: "claude-sonnet-5-5", max_tokens: 100, prompt: "A fact about rivers, please." }).pipe(
    Claude.withPolicy({ tenant })
  )

// Nothing is tuned: rates are learned from the API's headers, the level is found, tenants take turns.
const layer = (baseURL: string) =>
  Claude.layer({ apiKey: Redacted.make("simulated"), baseURL, rateLimits: { window: "1 second" } })
// #endregion

/** What the server allows, and how many calls a second the large tenant makes. */
const phases = [
  { title: "A calm start", load: 50, capacity: 24, requests: 80 },
  { title: "More load than the rate limit allows", load: 160, capacity: 24, requests: 80 },
  { title: "The limit is raised: now capacity is what bounds", load: 160, capacity: 24, requests: 400 },
  { title: "The server shrinks to a third", load: 60, capacity: 8, requests: 400 },
  { title: "It is back, and the queue drains", load: 20, capacity: 24, requests: 400 }
] as const

const program = Effect.gen(function*() {
  const simulator = yield* ClaudeSimulator.ClaudeSimulator
  const panel = yield* Panel.make
  const calls = yield* FiberSet.make()
  const state = { phase: phases[0] as typeof phases[number], served: 0, failed: 0, wait: { large: 0, small: 0 }, level: 0 }

  const call = (tenant: "large" | "small") =>
    Effect.timed(ask(tenant)).pipe(
      Effect.match({
        onSuccess: ([took]) => {
          state.served++
          state.wait[tenant] = Duration.toSeconds(took)
        },
        onFailure: (error) => {
          state.failed++
        }
      })
    )
  const load = (tenant: "large" | "small", perSecond: () => number) =>
    Effect.forever(Effect.suspend(() =>
      Effect.andThen(FiberSet.run(calls, call(tenant)), Effect.sleep(1000 / perSecond()))
    ))
  const show = Effect.map(read, (figures) => {
    if (figures.served === undefined) console.log(JSON.stringify(figures))
    console.log(state.phase.title, JSON.stringify({ ...figures, cap: state.phase.capacity, w: state.wait }))
  })

  yield* Effect.forkScoped(load("large", () => state.phase.load))
  yield* Effect.forkScoped(load("small", () => 2))
  yield* Effect.forkScoped(Effect.repeat(show, Schedule.spaced("500 millis")))
  for (const phase of phases) {
    state.phase = phase
    yield* simulator.setCapacity({ limit: phase.capacity, slowdown: 2 })
    yield* simulator.setRateLimits({ requests: phase.requests, window: "1 second" })
    yield* Effect.sleep("2400 millis")
  }
  console.log(state, (yield* simulator.log).requests)
})

/** The figures as the library tells them: the same names reach any backend. */
const read = Effect.map(Metric.snapshot, (metrics) => {
  const sum = (id: string, labels: Record<string, string> = {}) =>
    metrics.filter((metric) =>
      metric.id === id && Object.entries(labels).every(([name, value]) => metric.attributes?.[name] === value)
    ).reduce((sum, { state }) => sum + Number("value" in state ? state.value : "count" in state ? state.count : 0), 0)
  return {
    queue: sum("claude.client.queue.depth"),
    inFlight: sum("claude.client.active_requests"),
    level: sum("claude.client.concurrency.level"),
    left: sum("claude.ratelimit.remaining"),
    served: sum("claude.client.attempts", { "claude.outcome": "success" }),
    limited: sum("claude.client.attempts", { "error.type": "rate_limit_error" }),
    overloaded: sum("claude.client.attempts", { "error.type": "overloaded_error" })
  }
})

const answer = Answer.text("The Danube passes through ten countries.", { firstContent: "180 millis", pace: "4 millis" })

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
