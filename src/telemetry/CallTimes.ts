/**
 * Where the time of a call went: what it waited for, and when its content came.
 *
 * Times are those of its span's own clock, so that metrics and spans tell the same.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Attributes from "./Attributes.ts"
import type { CallTelemetry } from "./CallTelemetry.ts"
import type { CallWriter, Wait, WaitOutcome } from "./CallWriter.ts"
import type { RequestSeries } from "./Metrics.ts"

/** A wait as short as this has no span, unless it ended without what it was for; in seconds. */
const SHORT = 0.001

/** @internal */
export class CallTimes {
  /** All waits, in seconds. */
  waited = 0
  /** How many seconds after the call began its first content came. */
  firstContent: number | undefined
  /** The longest time between two reads that brought content, in milliseconds. */
  maxGap = 0
  private readonly begun: bigint
  private readonly clock: Clock.Clock
  private readonly writer: CallWriter
  private backoffSince: bigint | undefined
  /** How many stood in the queue with it. */
  private depth = 0
  /** Of the latest attempt, as far as it had any content. */
  private attemptContentAt: number | undefined
  private lastContentAt = 0

  constructor(writer: CallWriter, clock: Clock.Clock) {
    this.writer = writer
    this.clock = clock
    // A span that is not timed began at zero.
    this.begun = writer.span.status.startTime || this.now()
  }

  now(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }

  /** In seconds since the call began. */
  at(now: bigint): number {
    return Number(now - this.begun) / 1e9
  }

  // waits

  /** A wait for its turn begins; answers since when. */
  queued(series: RequestSeries, queue: CallTelemetry["queue"]): bigint {
    this.writer.add(series.queueDepth, 1)
    this.depth = ++queue.depth
    return this.now()
  }

  /** It is over. */
  dequeued(
    series: RequestSeries,
    queue: CallTelemetry["queue"],
    wait: Pick<Wait, "kind" | "since" | "outcome">
  ): Effect.Effect<void> {
    this.writer.add(series.queueDepth, -1)
    queue.depth--
    return this.hasWaited(series, { ...wait, depth: this.depth })
  }

  get isBackingOff(): boolean {
    return this.backoffSince !== undefined
  }

  backsOff(now: bigint): void {
    this.backoffSince = now
  }

  /** A backoff is over, where there was one. */
  backedOff(series: RequestSeries, outcome: WaitOutcome): Effect.Effect<void> {
    return Effect.suspend(() => {
      const since = this.backoffSince
      this.backoffSince = undefined
      return since === undefined
        ? Effect.void
        : this.hasWaited(series, { kind: "backoff", since, outcome, depth: undefined })
    })
  }

  /** Counts a wait, and makes a span of one that took any time. */
  private hasWaited(series: RequestSeries, wait: Omit<Wait, "until">): Effect.Effect<void> {
    const { kind, outcome, since } = wait
    const until = this.now()
    const seconds = Number(until - since) / 1e9
    this.waited += seconds
    this.writer.record(series.wait(`${kind} ${outcome}`), seconds)
    return seconds <= SHORT && outcome === "granted" ? Effect.void : this.writer.wait({ ...wait, until })
  }

  // content

  /** What lies between two attempts is no gap of a stream. */
  attemptBegan(): void {
    this.attemptContentAt = undefined
  }

  /** A read brought content; answers how long after the one before it in its attempt, in milliseconds. */
  contentCame(now: number): number | undefined {
    if (this.firstContent === undefined) {
      const at = this.now()
      this.firstContent = this.at(at)
      this.writer.event(Attributes.firstContentEvent, at)
    }
    const isFirst = this.attemptContentAt === undefined
    const gap = now - this.lastContentAt
    this.attemptContentAt ??= now
    this.lastContentAt = now
    if (isFirst) return undefined
    if (gap > this.maxGap) this.maxGap = gap
    return gap
  }

  /** How long the content of the latest attempt flowed, in seconds. */
  get flowed(): number {
    return this.attemptContentAt === undefined ? 0 : (this.lastContentAt - this.attemptContentAt) / 1000
  }
}
