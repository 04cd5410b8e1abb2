/** Calls as a load makes them, and what became of each. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Claude from "../../src/Claude.ts"
import type * as ClaudeError from "../../src/ClaudeError.ts"

/** Milliseconds since the epoch, with their fraction; all processes of a machine agree on them. */
export const now = (): number => performance.timeOrigin + performance.now()

/** One call. */
export interface Made {
  readonly from: number
  readonly until: number
  readonly attempts: number
  /** What it was answered. */
  readonly message: Claude.Message | undefined
  /** Why it failed. */
  readonly reason: string | undefined
}

type Call = Effect.Effect<Claude.Message, ClaudeError.ClaudeError>

/** Makes a call, and tells of it whatever becomes of it. */
export const made = (call: Call): Effect.Effect<Made> =>
  Effect.suspend(() => {
    const from = now()
    return Effect.match(call, {
      onFailure: (error): Made => ({
        from,
        until: now(),
        attempts: error.attempts,
        message: undefined,
        reason: error.reason._tag
      }),
      onSuccess: (message): Made => ({ from, until: now(), attempts: message.attempts, message, reason: undefined })
    })
  })

/** So many callers that call again and again for as long; who is not served in that time is interrupted. */
export const looping = (callers: number, millis: number, call: Call): Effect.Effect<ReadonlyArray<Made>> =>
  Effect.suspend(() => {
    const all: Array<Made> = []
    const loop = Effect.forever(Effect.map(made(call), (one) => all.push(one)))
    const loops = Effect.forEach(Array.from({ length: callers }), () => loop, {
      concurrency: "unbounded",
      discard: true
    })
    return Effect.as(Effect.timeoutOption(loops, millis), all)
  })

/** So many calls a second for as long, whatever becomes of them; answers when all have ended, and tells each that has. */
export const steady = (
  perSecond: number,
  millis: number,
  call: Call,
  onEnd: (one: Made) => void = () => {}
): Effect.Effect<ReadonlyArray<Made>> =>
  Effect.gen(function*() {
    const one = Effect.tap(made(call), (one) => Effect.sync(() => onEnd(one)))
    const fibers: Array<Fiber.Fiber<Made>> = []
    const from = now()
    const total = Math.round(perSecond * millis / 1000)
    while (fibers.length < total) {
      // As many as are due by now: a machine that was busy makes up for it.
      const due = Math.min(total, Math.ceil((now() - from) / 1000 * perSecond))
      while (fibers.length < due) fibers.push(yield* Effect.forkChild(one))
      yield* Effect.sleep(2)
    }
    return yield* Effect.forEach(fibers, Fiber.join)
  })

/** The value below which the share `part` of them lies. */
export const quantile = (values: ReadonlyArray<number>, part: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

/** How many reasons of each kind. */
export const reasons = (calls: ReadonlyArray<Made>): string => {
  const counts = new Map<string, number>()
  for (const { reason } of calls) if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  return Array.from(counts, ([reason, count]) => `${count} ${reason}`).join(", ")
}
