/**
 * Two tenants, one with a hundred times the load of the other and five times what can be served: the small one's callers
 * wait at most twice as long for an answer as when it is alone.
 *
 * Alone it never queues, so what is compared is how long its callers wait for a whole answer. First come, first served,
 * they would wait for seconds: how long the large one's do stands beside.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Claude from "../../src/Claude.ts"
import * as Figures from "./figures.ts"
import * as Load from "./load.ts"
import type { Spec } from "./server.ts"
import * as Simulator from "./simulator.ts"

const SMALL = 10
const LARGE = 100 * SMALL
const MILLIS = 10_000
/** How long the large one fills its queue before; in all it stays below what may wait. */
const LEAD = 500

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
        const load = (tenant: string, perSecond: number, waits: Array<number>) => {
          const call = Claude.withPolicy({ tenant })(claude.message({ prompt: "Say hello." }))
          return Load.steady(perSecond, MILLIS, call, ({ from, until }) => waits.push(until - from))
        }
        const others: Array<number> = []
        const crowd = yield* Effect.forkChild(load("large", large, others))
        yield* Effect.sleep(LEAD)
        const all: Array<number> = []
        const calls = yield* load("small", SMALL, all)
        // Those who still wait have waited longer than all before them.
        yield* Fiber.interrupt(crowd)
        return {
          p50: Load.quantile(all, 0.5),
          p95: Load.quantile(all, 0.95),
          others: Load.quantile(others, 0.95),
          failed: Load.reasons(calls)
        }
      }))
    const alone = yield* run(0)
    const beside = yield* run(LARGE)
    return [
      Figures.atMost(
        `${name}: p95 wait of the small tenant's callers, of what it is alone`,
        2,
        beside.p95 / alone.p95,
        "times",
        2,
        `, ${beside.p95.toFixed(0)} of ${alone.p95.toFixed(0)} ms; median ${beside.p50.toFixed(0)} of ${
          alone.p50.toFixed(0)
        } ms${beside.failed === "" ? "" : `; failed: ${beside.failed}`}; the large one's p95 ${
          beside.others.toFixed(0)
        } ms`
      )
    ]
  })

await Figures.run("tenants", Effect.map(Effect.forEach(variants, drill), (figures) => figures.flat()))
