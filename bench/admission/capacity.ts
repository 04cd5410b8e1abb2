/**
 * A server that takes 8 messages at once, then 64, then 16, answers 529 to more, and takes twice as long to the first
 * content when it is full, before more callers than it can serve: the level that is found is nearly as good as the best
 * fixed one, soon, and provokes next to no 529s.
 *
 * A simulated second is 100 ms: an answer takes 1 s to its first content and 2 s more, backoffs are scaled alike. The
 * way through the three capacities is gone twice, with other answers, and the worse of both is what counts.
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
const SEEDS = [1, 2]

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

const load = (simulator: Simulator.Simulator, concurrency: Claude.Options["concurrency"], seconds: number) =>
  Effect.scoped(Effect.gen(function*() {
    const claude = yield* Simulator.client(simulator, { concurrency, ...scaled })
    const calls = yield* Load.looping(CALLERS, seconds * SECOND, claude.message({ prompt: "Say hello." }))
    return calls.filter(({ message }) => message !== undefined).map(({ until }) => until)
  }))

const start = (seed: number) =>
  Simulator.start({ firstContent: [0.8 * SECOND, 1.2 * SECOND], rest: [1.5 * SECOND, 2.5 * SECOND], seed })

interface Best {
  readonly level: number
  readonly rate: number
}

/** What the best of the fixed levels brings: what it completes after its first answers have come. */
const bestFixed = (limit: number) =>
  Effect.gen(function*() {
    const simulator = yield* start(0)
    yield* simulator.tell({ capacity: capacityOf(limit) })
    let best: Best = { level: 0, rate: 0 }
    for (const level of TRIED.map((part) => Math.round(part * limit))) {
      const from = Load.now() + 4 * SECOND
      const times = yield* load(simulator, level, TRIAL + 4)
      const rate = perSecond(times, from, from + TRIAL * SECOND)
      if (rate > best.rate) best = { level, rate }
    }
    return best
  })

interface Phase {
  /** Answers in a simulated second, once it was to be found. */
  readonly rate: number
  readonly found: number
  /** Of the requests since then. */
  readonly refused: number
  /** How many 529s it took until then. */
  readonly before: number
}

const way = (seed: number, best: ReadonlyArray<Best>) =>
  Effect.gen(function*() {
    const simulator = yield* start(seed)
    const from = Load.now()
    const changes = Effect.forEach(
      phases,
      (limit) => Effect.andThen(simulator.tell({ capacity: capacityOf(limit) }), Effect.sleep(PHASE * SECOND))
    )
    const [times] = yield* Effect.all([load(simulator, undefined, phases.length * PHASE), changes], { concurrency: 2 })
    const requests = yield* simulator.requests

    return phases.map((_, phase): Phase => {
      const began = from + phase * PHASE * SECOND
      const ended = began + PHASE * SECOND
      const refused = (from: number, until: number) => {
        const all = requests.filter(({ at }) => at >= from && at < until)
        const count = all.filter(({ status }) => status === 529).length
        return { count, share: count / all.length }
      }
      // From when on ten simulated seconds brought what is to be reached.
      const isGood = (from: number) =>
        perSecond(times, from, from + 10 * SECOND) >= 0.85 * best[phase]!.rate &&
        refused(from, from + 10 * SECOND).share <= 0.02
      let found = began
      while (found < ended && !isGood(found)) found += SECOND / 2
      return {
        rate: perSecond(times, began + FIND * SECOND, ended),
        found: (found - began) / SECOND,
        refused: refused(began + FIND * SECOND, ended).share,
        before: refused(began, began + FIND * SECOND).count
      }
    })
  })

const drill = Effect.gen(function*() {
  const best = yield* Effect.forEach(phases, (limit) => Effect.scoped(bestFixed(limit)))
  const ways = yield* Effect.forEach(SEEDS, (seed) => Effect.scoped(way(seed, best)))
  return phases.flatMap((limit, phase) => {
    const { level, rate } = best[phase]!
    const runs = ways.map((way) => way[phase]!)
    const each = (show: (run: Phase) => string) => runs.map(show).join(" and ")
    const name = `${limit} at once`
    return [
      Figures.share(
        `${name}: throughput after ${FIND} s, of the best fixed level's`,
        "at least",
        0.85,
        Math.min(...runs.map((run) => run.rate)) / rate,
        `, ${each((run) => run.rate.toFixed(1))} a second, ${rate.toFixed(1)} at ${level}`
      ),
      Figures.atMost(
        `${name}: found after`,
        FIND,
        Math.max(...runs.map(({ found }) => found)),
        "s",
        1,
        `, ${each(({ found }) => found.toFixed(1))}`
      ),
      Figures.share(
        `${name}: 529s after ${FIND} s`,
        "at most",
        0.02,
        Math.max(...runs.map(({ refused }) => refused)),
        `, ${each(({ before }) => String(before))} before`
      )
    ]
  })
})

await Figures.run("capacity", drill)
