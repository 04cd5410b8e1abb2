/**
 * A server that takes 8 messages at once, then 64, then 16, answers 529 to more, and takes twice as long to the first
 * content when it is full, before more callers than it can serve: the level that is found is nearly as good as the best
 * fixed one, soon, and provokes next to no 529s.
 *
 * A simulated second is 100 ms: an answer takes 1 s to its first content and 2 s more, backoffs are scaled alike.
 */
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../src/attempt/RetryPolicy.ts"
import type * as Claude from "../../src/Claude.ts"
import * as Figures from "./figures.ts"
import * as Load from "./load.ts"
import * as Simulator from "./simulator.ts"

/** Milliseconds that a simulated second takes. */
const SECOND = 100
const CALLERS = 200
/** How long each phase lasts, and how long it may take to find its level, in simulated seconds. */
const PHASE = 100
const FIND = 30
/** Levels that may be the best for a capacity, as parts of it; each is tried for so many simulated seconds. */
const TRIED = [0.75, 0.875, 1]
const TRIAL = 30

const phases = [8, 64, 16]

const capacityOf = (limit: number) => ({ limit, slowdown: 2 })

/** The defaults, in simulated time. */
const scaled: Pick<Claude.Options, "circuit" | "retry"> = {
  retry: RetryPolicy.make({ initial: SECOND / 2, max: 20 * SECOND }),
  circuit: { openDuration: 5 * SECOND, maxOpenDuration: 60 * SECOND }
}

/** How many there are in each simulated second from one time to another. */
const perSecond = (times: ReadonlyArray<number>, from: number, until: number): number =>
  times.filter((at) => at >= from && at < until).length / ((until - from) / SECOND)

const served = (calls: ReadonlyArray<Load.Made>): ReadonlyArray<number> =>
  calls.filter(({ message }) => message !== undefined).map(({ until }) => until)

const drill = Effect.gen(function*() {
  const simulator = yield* Simulator.start({
    firstContent: [0.8 * SECOND, 1.2 * SECOND],
    rest: [1.5 * SECOND, 2.5 * SECOND]
  })
  const load = (concurrency: Claude.Options["concurrency"], seconds: number) =>
    Effect.scoped(Effect.gen(function*() {
      const claude = yield* Simulator.client(simulator, { concurrency, ...scaled })
      return served(yield* Load.looping(CALLERS, seconds * SECOND, claude.message({ prompt: "Say hello." })))
    }))

  // What a fixed level brings: what it completes after its first answers have come.
  const best = new Map<number, { readonly level: number; readonly rate: number }>()
  for (const limit of phases) {
    yield* simulator.tell({ capacity: capacityOf(limit) })
    for (const level of TRIED.map((part) => Math.round(part * limit))) {
      const from = Load.now() + 4 * SECOND
      const times = yield* load(level, TRIAL + 4)
      const rate = perSecond(times, from, from + TRIAL * SECOND)
      if (rate > (best.get(limit)?.rate ?? 0)) best.set(limit, { level, rate })
    }
  }

  const from = Load.now()
  const changes = Effect.forEach(
    phases,
    (limit) => Effect.andThen(simulator.tell({ capacity: capacityOf(limit) }), Effect.sleep(PHASE * SECOND))
  )
  const [times] = yield* Effect.all([load(undefined, phases.length * PHASE), changes], { concurrency: 2 })
  const requests = yield* simulator.requests

  return phases.flatMap((limit, phase) => {
    const began = from + phase * PHASE * SECOND
    const ended = began + PHASE * SECOND
    const { level, rate } = best.get(limit)!
    const later = perSecond(times, began + FIND * SECOND, ended)
    const refused = (from: number, until: number) => {
      const all = requests.filter(({ at }) => at >= from && at < until)
      const count = all.filter(({ status }) => status === 529).length
      return { count, share: count / all.length }
    }
    // From when on ten simulated seconds brought what is to be reached.
    const isGood = (from: number) =>
      perSecond(times, from, from + 10 * SECOND) >= 0.85 * rate && refused(from, from + 10 * SECOND).share <= 0.02
    let found = began
    while (found < ended && !isGood(found)) found += SECOND / 2
    const name = `${limit} at once`
    return [
      Figures.share(
        `${name}: throughput after ${FIND} s, of the best fixed level's`,
        "at least",
        0.85,
        later / rate,
        `, ${later.toFixed(1)} of ${rate.toFixed(1)} a second at ${level}`
      ),
      Figures.atMost(`${name}: found after`, FIND, (found - began) / SECOND, "s"),
      Figures.share(
        `${name}: 529s after ${FIND} s`,
        "at most",
        0.02,
        refused(began + FIND * SECOND, ended).share,
        `, ${refused(began, began + FIND * SECOND).count} before`
      )
    ]
  })
})

await Figures.run("capacity", drill)
