/**
 * Two tenants, one with a hundred times the load of the other and five times what can be served: the small one's callers
 * wait at most twice as long for an answer as when it is alone.
 *
 * Alone it never queues, so what is compared is how long a call takes; how long it queues is told beside.
 */
import * as Effect from "effect/Effect"
import * as Claude from "../../src/Claude.ts"
import * as Figures from "./figures.ts"
import * as Load from "./load.ts"
import type { Spec } from "./server.ts"
import * as Simulator from "./simulator.ts"

const SMALL = 10
const LARGE = 100 * SMALL
const MILLIS = 5000

interface Variant {
  readonly name: string
  readonly spec: Spec
  /** Either serves 200 calls a second. */
  readonly options: Pick<Claude.Options, "concurrency" | "rateLimits">
}

const times: Pick<Spec, "firstContent" | "rest"> = { firstContent: [20, 40], rest: [20, 80] }
const variants: ReadonlyArray<Variant> = [
  { name: "concurrency 16", spec: times, options: { concurrency: 16 } },
  {
    name: "100 calls in 500 ms",
    spec: { ...times, rateLimits: { requests: 100, window: 500 } },
    options: { rateLimits: { requests: 100, window: 500 } }
  }
]

const drill = ({ name, options, spec }: Variant) =>
  Effect.gen(function*() {
    const run = (large: number) =>
      Effect.scoped(Effect.gen(function*() {
        const claude = yield* Simulator.client(yield* Simulator.start(spec), options)
        const load = (tenant: string, perSecond: number) =>
          Load.steady(perSecond, MILLIS, Claude.withPolicy({ tenant })(claude.message({ prompt: "Say hello." })))
        // What the large one has to wait for after that is of no interest.
        const others = yield* Effect.forkChild(load("large", large))
        // Let it fill the queue first.
        yield* Effect.sleep(1000)
        const calls = yield* load("small", SMALL)
        yield* Effect.sync(() => others.interruptUnsafe())
        const all = calls.map(({ from, until }) => until - from)
        return { p50: Load.quantile(all, 0.5), p95: Load.quantile(all, 0.95), failed: Load.reasons(calls) }
      }))
    const alone = yield* run(0)
    const beside = yield* run(LARGE)
    return [
      Figures.atMost(
        `${name}: p95 of the small tenant's calls, of what it is alone`,
        2,
        beside.p95 / alone.p95,
        "times",
        2,
        `, ${beside.p95.toFixed(0)} of ${alone.p95.toFixed(0)} ms; median ${beside.p50.toFixed(0)} of ${
          alone.p50.toFixed(0)
        } ms${beside.failed === "" ? "" : `; ${beside.failed}`}`
      )
    ]
  })

await Figures.run("tenants", Effect.map(Effect.forEach(variants, drill), (figures) => figures.flat()))
