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

/** Answers whose times are spread, and the same in each run; the two parts are mixed by 37, which has no factor of 64. */
const answersOf = ({ firstContent, rest }: Spec): ReadonlyArray<Answer.Answer> =>
  Array.from({ length: 64 }, (_, i) =>
    Answer.text("Hello there", {
      firstContent: between(firstContent, (i * 37 % 64) / 63),
      pace: between(rest, (i * 11 % 64) / 63)
    }))

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
    process.on("message", (message) => {
      // What simulator.ts sends.
      const { id, order } = message as { readonly id: number; readonly order: Order }
      Effect.runPromise(obey(order)).then((value) => process.send?.({ id, value }))
    })
    process.on("disconnect", () => process.exit(0))
    process.send?.(simulator.url)
    return yield* Effect.never
  })

const [, , spec] = process.argv
if (spec !== undefined && process.send !== undefined) Effect.runFork(Effect.scoped(serve(JSON.parse(spec))))
