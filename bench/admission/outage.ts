/**
 * A server that is down for a minute under 500 calls a second: retries add little load, the circuit opens as its policy
 * says, one probe finds that the server is back, and no caller waits past its deadline.
 *
 * A simulated minute is 10 s. The defaults are scaled alike, but for the deadline, which is a minute.
 */
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../src/attempt/RetryPolicy.ts"
import type * as Claude from "../../src/Claude.ts"
import type * as ClaudeSimulator from "../../src/testing/ClaudeSimulator.ts"
import * as Figures from "./figures.ts"
import * as Load from "./load.ts"
import * as Simulator from "./simulator.ts"

const PER_SECOND = 500
const SCALE = 1 / 6
const BEFORE = 2000
const DOWN = 60_000 * SCALE
const AFTER = 6000
const DEADLINE = 60_000 * SCALE

const OPEN = 5000 * SCALE
/** Of the latest 20 calls half must have failed, and there must be 10. */
const SIZE = 20

const scaled: Pick<Claude.Options, "circuit" | "retry" | "timeouts"> = {
  circuit: { openDuration: OPEN, maxOpenDuration: 60_000 * SCALE },
  retry: RetryPolicy.make({ initial: 500 * SCALE, max: 20_000 * SCALE, maxRetryAfter: 60_000 * SCALE }),
  timeouts: { total: DEADLINE }
}

const drill = (name: string, outage: ClaudeSimulator.Outage) =>
  Effect.gen(function*() {
    const simulator = yield* Simulator.start({ firstContent: [20, 40], rest: [10, 30] })
    const claude = yield* Simulator.client(simulator, scaled)
    let down = 0
    let back = 0
    const outages = Effect.gen(function*() {
      yield* Effect.sleep(BEFORE)
      down = Load.now()
      yield* simulator.tell({ outage })
      yield* Effect.sleep(DOWN)
      yield* simulator.tell({ outage: false })
      back = Load.now()
    })
    const [calls] = yield* Effect.all([
      Load.steady(PER_SECOND, BEFORE + DOWN + AFTER, claude.message({ prompt: "Say hello." })),
      outages
    ], { concurrency: 2 })
    const requests = yield* simulator.requests

    const during = requests.filter(({ at }) => at >= down && at < back)
    const offered = calls.filter(({ from }) => from >= down && from < back)
    const retries = during.filter(({ attempt }) => attempt > 1).length

    // Bursts of requests: the first opens the circuit, each that follows it is a probe.
    const bursts: Array<Array<(typeof requests)[number]>> = []
    let last = Number.NEGATIVE_INFINITY
    for (const request of requests.filter(({ at }) => at >= down)) {
      if (request.at - last > OPEN / 2) bursts.push([])
      bursts.at(-1)!.push(request)
      last = request.at
    }
    const probes = bursts.slice(1).filter(([first]) => first!.at < back)
    const first = requests.find(({ at }) => at >= back)
    const recovered = first?.at ?? Number.NaN
    const failedAfter = requests.filter(({ at, status }) => at >= back && status !== 200).length
    const later = calls.filter(({ from }) => from > recovered + 1000 * SCALE)
    const served = later.filter(({ message }) => message !== undefined).length
    const longest = Math.max(...calls.map(({ from, until }) => until - from))
    const gone = calls.filter(({ from, until }) => until > down && from < recovered)
    return [
      Figures.share(
        `${name}: load that retries add`,
        "at most",
        0.2,
        retries / offered.length,
        `, ${during.length} requests of ${offered.length} calls`
      ),
      Figures.atMost(`${name}: requests until the circuit opens`, SIZE, bursts[0]?.length ?? 0, "", 0),
      Figures.atMost(
        `${name}: most requests in a probe`,
        1,
        Math.max(0, ...probes.map((burst) => burst.length)),
        "",
        0,
        ` (${probes.length} probes)`
      ),
      Figures.atMost(
        `${name}: requests that fail once it is back`,
        0,
        failedAfter,
        "",
        0,
        `, the first after ${((recovered - back) / 1000 / SCALE).toFixed(1)} simulated s`
      ),
      Figures.share(`${name}: calls served after that`, "at least", 1, served / later.length),
      Figures.atMost(
        `${name}: the longest that a caller waits, of its deadline`,
        1,
        longest / DEADLINE,
        "",
        2,
        `; of ${gone.length} while it is down: ${Load.reasons(gone)}`
      )
    ]
  })

await Figures.run(
  "outage",
  Effect.map(
    Effect.all([Effect.scoped(drill("connections are reset", true)), Effect.scoped(drill("529 to all", 529))]),
    (figures) => figures.flat()
  )
)
