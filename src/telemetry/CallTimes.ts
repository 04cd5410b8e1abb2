/**
 * Where the time of a call went: what it waited for, and when its content came.
 *
 * Times are those of its span's own clock, so that metrics and spans tell the same.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Attributes from "./Attributes.ts"
import type { CallWriter, Wait } from "./CallWriter.ts"
import type { RequestSeries } from "./Metrics.ts"

/** A wait as short as this has no span, unless it ended without what it was for; in seconds. */
const SHORT = 0.001

/** What was not waited for, by the error that says so. */
const rejections: Readonly<Partial<Record<ClaudeError.ClaudeError["reason"]["_tag"], Attributes.WaitKind>>> = {
  QueueFull: "concurrency",
  CircuitOpen: "circuit",
  BudgetExceeded: "budget"
}

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
  /** The wait before a retry, while it lasts. */
  private backoff: Pick<Wait, "kind" | "since"> | undefined
  /** How many stood in the queue with it, and what for as far as was known. */
  private depth = 0
  private waitsFor: Attributes.QueueKind = "concurrency"
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
  queued(series: RequestSeries): bigint {
    this.depth = ++series.queue.depth
    // Nobody overtakes: all wait for what the next in turn waits for, which shows as it leaves.
    this.waitsFor = series.queue.waitsFor
    this.writer.add(series.queueDepth(this.waitsFor), 1)
    return this.now()
  }

  /** It is over. */
  dequeued(
    series: RequestSeries,
    { kind, outcome, since }: Pick<Wait, "since" | "outcome"> & { readonly kind: Attributes.QueueKind }
  ): Effect.Effect<void> {
    this.writer.add(series.queueDepth(this.waitsFor), -1)
    series.queue.depth--
    series.queue.waitsFor = kind
    return this.hasWaited(series, { kind, since, until: this.now(), outcome, depth: this.depth })
  }

  get isBackingOff(): boolean {
    return this.backoff !== undefined
  }

  /** A wait before a retry begins: for a circuit to close, or to spare the server. */
  backsOff(kind: "backoff" | "circuit", since: bigint): void {
    this.backoff = { kind, since }
  }

  /** It is over, where there was one. */
  backedOff(series: RequestSeries, outcome: Attributes.WaitOutcome): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { backoff } = this
      this.backoff = undefined
      return backoff === undefined
        ? Effect.void
        : this.hasWaited(series, { ...backoff, until: this.now(), outcome, depth: undefined })
    })
  }

  /** A call that was turned away before it was sent did not wait, and has a wait that says what for. */
  turnedAway(series: RequestSeries, error: ClaudeError.ClaudeError | undefined, now: bigint): Effect.Effect<void> {
    const kind = error === undefined ? undefined : rejections[error.reason._tag]
    if (kind === undefined) return Effect.void
    const depth = kind === "concurrency" ? series.queue.depth : undefined
    return this.hasWaited(series, { kind, since: now, until: now, outcome: "rejected", depth })
  }

  /** Counts a wait, and makes a span of one that took any time. */
  private hasWaited(series: RequestSeries, wait: Wait): Effect.Effect<void> {
    const { kind, outcome, since, until } = wait
    const seconds = Number(until - since) / 1e9
    this.waited += seconds
    this.writer.record(series.wait(`${kind} ${outcome}`), seconds)
    return seconds <= SHORT && outcome === "granted" ? Effect.void : this.writer.wait(wait)
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
