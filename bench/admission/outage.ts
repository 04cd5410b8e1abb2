/**
 * A server that is down for a minute under 500 calls a second: retries add little load, the circuit opens as its policy
 * says, one probe finds that the server is back, and no caller waits past its deadline.
 *
 * A simulated second is 150 ms; the defaults are scaled alike. Callers give it 15 simulated seconds, which end while
 * the circuit is open, so that waiting for it too long would show.
 */
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../src/attempt/RetryPolicy.ts"
import type * as Claude from "../../src/Claude.ts"
import * as Figures from "./figures.ts"
import * as Load from "./load.ts"
import type { Order } from "./server.ts"
import * as Simulator from "./simulator.ts"

const PER_SECOND = 500
/** Milliseconds that a simulated second takes. */
const SECOND = 150
const BEFORE = 2000
const DOWN = 60 * SECOND
const AFTER = 35 * SECOND
const DEADLINE = 15 * SECOND
/** What a timer of a busy machine may be late. */
const LATE = 50

const OPEN = 5 * SECOND
const LONGEST = 60 * SECOND
/** It opens where half of the latest 20 have failed; as many may be in flight by then. */
const SIZE = 20
const IN_FLIGHT = 64
/** Whether a 529 says that the server is down, or only that it is full, is told by the latest 20 attempts. */
const LATEST = 20

const scaled: Pick<Claude.Options, "circuit" | "retry" | "timeouts"> = {
  circuit: { openDuration: OPEN, maxOpenDuration: LONGEST },
  retry: RetryPolicy.make({ initial: SECOND / 2, max: 20 * SECOND, maxRetryAfter: 60 * SECOND }),
  timeouts: { total: DEADLINE }
}

interface Variant {
  readonly name: string
  readonly begins: Exclude<Order, "requests">
  readonly ends: Exclude<Order, "requests">
  /** How many requests it may take until the circuit is open. */
  readonly most: number
}

const variants: ReadonlyArray<Variant> = [
  { name: "connections are reset", begins: { outage: true }, ends: { outage: false }, most: SIZE + IN_FLIGHT },
  { name: "all are cut, then 529", begins: { outage: 529 }, ends: { outage: false }, most: SIZE + IN_FLIGHT },
  {
    name: "529 to all that come",
    begins: { capacity: 0 },
    ends: { capacity: Number.MAX_SAFE_INTEGER },
    most: LATEST + SIZE + IN_FLIGHT
  }
]

const drill = ({ begins, ends, most, name }: Variant) =>
  Effect.gen(function*() {
    const simulator = yield* Simulator.start({ firstContent: [20, 40], rest: [10, 30] })
    const claude = yield* Simulator.client(simulator, scaled)
    let down = 0
    let back = 0
    const outages = Effect.gen(function*() {
      yield* Effect.sleep(BEFORE)
      down = Load.now()
      yield* simulator.tell(begins)
      yield* Effect.sleep(DOWN)
      yield* simulator.tell(ends)
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

    // Requests with a pause before them: the first ones open the circuit, each burst that follows is a probe.
    const bursts: Array<number> = []
    let last = Number.NEGATIVE_INFINITY
    for (const { at } of during) {
      if (at - last > OPEN / 2) bursts.push(0)
      bursts.push(bursts.pop()! + 1)
      last = at
    }
    const [opening = 0, ...probes] = bursts
    const after = requests.filter(({ at }) => at >= back)
    const recovered = after[0]?.at ?? Number.NaN
    const failedAfter = after.filter(({ status }) => status !== 200).length
    const later = calls.filter(({ from }) => from > recovered + 3 * SECOND)
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
      Figures.atMost(`${name}: requests until the circuit is open`, most, opening, "", 0),
      Figures.atMost(
        `${name}: most requests in a probe`,
        1,
        Math.max(0, ...probes),
        "",
        0,
        ` (${probes.length} probes: ${probes.join(", ")})`
      ),
      Figures.atMost(
        `${name}: requests that fail once it is back`,
        0,
        failedAfter,
        "",
        0,
        `, the first after ${((recovered - back) / SECOND).toFixed(1)} simulated s`
      ),
      Figures.share(`${name}: calls served after that`, "at least", 1, served / later.length, `, ${later.length}`),
      Figures.atMost(
        `${name}: the longest that a caller waits past its deadline`,
        LATE,
        Math.max(0, longest - DEADLINE),
        "ms",
        0,
        `; ${longest.toFixed(0)} of ${DEADLINE} ms; of ${gone.length} while it is down: ${Load.reasons(gone)}`
      )
    ]
  })

await Figures.run(
  "outage",
  Effect.map(Effect.forEach(variants, (variant) => Effect.scoped(drill(variant))), (figures) => figures.flat())
)
