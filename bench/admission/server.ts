/** A simulator in a process of its own: it says where it listens, does what it is told, and ends with who forked it. */
import * as Effect from "effect/Effect"
import * as Answer from "../../src/testing/Answer.ts"
import * as ClaudeSimulator from "../../src/testing/ClaudeSimulator.ts"

/** What it is, in its first argument. */
export interface Spec {
  readonly rateLimits?: ClaudeSimulator.RateLimits
  readonly capacity?: ClaudeSimulator.Capacity
  /** Milliseconds to the first content, and from there to the end: evenly distributed from one to the other. */
  readonly firstContent: Range
  readonly rest: Range
  /** Which times follow each other. @default 1 */
  readonly seed?: number
}

export type Range = readonly [least: number, most: number]

/** One request that it saw. Times are milliseconds since the epoch. */
export interface Request {
  readonly at: number
  readonly closedAt: number | undefined
  readonly status: number | undefined
  readonly attempt: number
}

export type Order =
  | { readonly capacity: ClaudeSimulator.Capacity }
  | { readonly outage: ClaudeSimulator.Outage }
  | "requests"

const between = ([least, most]: Range, part: number): number => least + (most - least) * part

/** Numbers from 0 to 1 that look like chance, and are the same for a seed (mulberry32). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

/** Answers whose times are spread. */
const answersOf = ({ firstContent, rest, seed = 1 }: Spec): ReadonlyArray<Answer.Answer> => {
  const next = random(seed)
  return Array.from(
    { length: 1024 },
    () => Answer.text("Hello there", { firstContent: between(firstContent, next()), pace: between(rest, next()) })
  )
}

const serve = (spec: Spec) =>
  Effect.gen(function*() {
    const answers = answersOf(spec)
    const simulator = yield* ClaudeSimulator.make({
      answers: (_request, index) => answers[index % answers.length]!,
      rateLimits: spec.rateLimits,
      capacity: spec.capacity,
      logLimit: 200_000
    })
    const obey = (order: Order): Effect.Effect<unknown> =>
      order === "requests"
        ? Effect.map(simulator.log, ({ entries }) =>
          entries.map(({ arrivedAt, attempt, closedAt, status }): Request => ({
            at: arrivedAt,
            closedAt,
            status,
            attempt
          })))
        : "capacity" in order
        ? simulator.setCapacity(order.capacity)
        : simulator.setOutage(order.outage)
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    process.on("message", (message) => {
      // What simulator.ts sends.
      const { id, order } = message as { readonly id: number; readonly order: Order }
      run(obey(order)).then((value) => process.send?.({ id, value }))
    })
    process.on("disconnect", () => process.exit(0))
    process.send?.(simulator.url)
    return yield* Effect.never
  })

const [, , spec] = process.argv
if (spec !== undefined && process.send !== undefined) Effect.runFork(Effect.scoped(serve(JSON.parse(spec))))
