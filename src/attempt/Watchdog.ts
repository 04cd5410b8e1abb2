/**
 * The fiber that ends an attempt which takes too long.
 *
 * One for each attempt, asleep until the nearest of its times could be due. It fails the source, so whoever waits for
 * bytes gets the error and the socket is closed.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { Timeouts } from "./Timeouts.ts"

/** How far an attempt has come. */
type Phase = "request" | "response" | "content" | "done"

interface Watched {
  readonly source: { readonly fail: (error: ClaudeError.ClaudeError) => void }
  readonly timeouts: Timeouts
  readonly deadline: number
  readonly untilContent: boolean
}

/** @internal */
export class Watchdog {
  private readonly clock: Clock.Clock
  private readonly watched: Watched
  private readonly startedAt: number
  private phase: Phase = "request"
  /** Since when a read has been pending. */
  private waitingSince: number | undefined

  constructor(clock: Clock.Clock, watched: Watched) {
    this.clock = clock
    this.watched = watched
    this.startedAt = clock.currentTimeMillisUnsafe()
  }

  enter(phase: Phase): void {
    this.phase = phase
  }

  waits(): void {
    this.waitingSince = this.clock.currentTimeMillisUnsafe()
  }

  rests(): void {
    this.waitingSince = undefined
  }

  get run(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.phase === "done") return Effect.void
      const now = this.clock.currentTimeMillisUnsafe()
      const { error, in: left } = this.nearest(now)
      if (left <= 0) return Effect.sync(() => this.watched.source.fail(error()))
      // Whole milliseconds: the rest of a fraction would keep it awake.
      return left === Infinity ? Effect.void : Effect.andThen(Effect.sleep(Math.ceil(left)), this.run)
    })
  }

  /** What is due next, and in how long. */
  private nearest(now: number): { readonly in: number; readonly error: () => ClaudeError.ClaudeError } {
    const { deadline, timeouts, untilContent } = this.watched
    let nearest = { in: Infinity, error: () => Failure.deadlineExceeded() as ClaudeError.ClaudeError }
    const consider = (left: number, error: () => ClaudeError.ClaudeError) => {
      if (left < nearest.in) nearest = { in: left, error }
    }
    // First, so that of two that are due at once the call's own end is told.
    if (!(untilContent && this.phase === "content")) consider(deadline - now, Failure.deadlineExceeded)
    const elapsed = now - this.startedAt
    if (this.phase === "request") consider(timeouts.headers - elapsed, () => timedOut("headers", timeouts.headers))
    if (this.phase !== "content") {
      consider(timeouts.firstContent - elapsed, () => timedOut("firstContent", timeouts.firstContent))
    }
    if (this.phase !== "request" && this.waitingSince !== undefined) {
      consider(this.waitingSince + timeouts.idle - now, () => timedOut("idle", timeouts.idle))
    }
    // A phase or a read may begin while the watchdog sleeps: it wakes in time for the shortest that could follow.
    if (nearest.in > timeouts.idle) return { in: timeouts.idle, error: nearest.error }
    return nearest
  }
}

const timedOut = (phase: ClaudeError.TimedOut["phase"], millis: number) =>
  Failure.retryable(
    new ClaudeError.TimedOut({ phase }),
    `${phases[phase]} within ${millis / 1000} s (timeouts.${phase}). The call may be tried again.`,
    { type: phase === "idle" ? "stream_stalled" : "client_timeout_error" }
  )

const phases = {
  headers: "No response began",
  firstContent: "No content came",
  idle: "The response fell silent: no byte came"
}
