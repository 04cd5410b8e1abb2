/**
 * The rate limits of one model at one endpoint: a bucket for each kind that is configured, or that the server tells of.
 *
 * Limits that the server tells are followed, also downward; a configured one is never exceeded. What it says remains is
 * held against what was taken since, and only ever lowers a level: an answer is old by the time it is read.
 */
import { Bucket, LONGEST_PAUSE } from "./Bucket.ts"
import type { Amounts, Limit, LimitKind } from "./Stores.ts"

/** What a call takes. @internal */
export interface Need {
  readonly inputTokens: number
  readonly outputTokens: number
}

/** What the server told of one limit. @internal */
export interface Told {
  readonly kind: LimitKind
  readonly limit: number | undefined
  readonly remaining: number | undefined
  /** When it is full again, by the clock. */
  readonly resetAt: number | undefined
}

/** Where in their history the buckets were that a call took of. @internal */
export type Mark = { [K in LimitKind]?: number }

/** @internal */
export const kinds: ReadonlyArray<LimitKind> = ["requests", "inputTokens", "outputTokens", "tokens"]

/** @internal */
export const amountOf = (kind: LimitKind, need: Need): number =>
  kind === "requests"
    ? 1
    : kind === "inputTokens"
    ? need.inputTokens
    : kind === "outputTokens"
    ? need.outputTokens
    : need.inputTokens + need.outputTokens

/** @internal */
export interface RatesOptions {
  /** The configured limits, by kind. */
  readonly limits: { readonly [K in LimitKind]?: number | undefined }
  readonly windowMillis: number
  /** Whether the server's limits are followed. */
  readonly learn: boolean
}

/** @internal */
export class Rates {
  /** Until when nothing may start, whatever it needs. */
  pausedUntil = Number.NEGATIVE_INFINITY
  private readonly options: RatesOptions
  private readonly buckets: Array<readonly [LimitKind, Bucket]> = []

  constructor(options: RatesOptions, now: number) {
    this.options = options
    for (const kind of kinds) {
      const limit = options.limits[kind]
      if (limit !== undefined) this.buckets.push([kind, new Bucket(limit, options.windowMillis, now)])
    }
  }

  /** How long until a call may take what it needs. */
  waitFor(need: Need, now: number): number {
    let wait = Math.max(0, this.pausedUntil - now)
    for (const [kind, bucket] of this.buckets) wait = Math.max(wait, bucket.waitFor(amountOf(kind, need), now))
    return wait
  }

  /** How long, at the least, until a call may take what it needs that stands behind others. */
  lasts(before: Amounts, need: Need, now: number): number {
    let wait = Math.max(0, this.pausedUntil - now)
    for (const [kind, bucket] of this.buckets) {
      wait = Math.max(wait, bucket.lasts(before[kind], amountOf(kind, need), now))
    }
    return wait
  }

  /** Takes it, and answers where in their history the buckets are. */
  take(need: Need, now: number): Mark {
    const mark: Mark = {}
    for (const [kind, bucket] of this.buckets) {
      bucket.take(amountOf(kind, need), now)
      mark[kind] = bucket.taken
    }
    return mark
  }

  /** A call that took `need` has used `used`; nothing of it where it was never sent. */
  settle(need: Need, mark: Mark, used: Need | undefined, now: number): void {
    for (const [kind, bucket] of this.buckets) {
      // One that was learned of since has nothing of it.
      if (mark[kind] === undefined) continue
      bucket.settle(amountOf(kind, need), used === undefined ? 0 : amountOf(kind, used), now)
    }
  }

  /** What an answer to a call that left its mark told of a limit. */
  told({ kind, limit, remaining }: Told, need: Need, mark: Mark, now: number): void {
    if (!this.options.learn) return
    const configured = this.options.limits[kind]
    let bucket = this.buckets.find(([name]) => name === kind)?.[1]
    if (limit !== undefined && limit > 0) {
      const effective = Math.min(limit, configured ?? limit)
      if (bucket === undefined) {
        bucket = new Bucket(effective, this.options.windowMillis, now)
        this.buckets.push([kind, bucket])
      } else if (bucket.limit !== effective) bucket.resize(effective, this.options.windowMillis, now)
    }
    if (bucket === undefined || remaining === undefined) return
    // Output counts when it was produced, so all that is still reserved is to come; the rest counts when it arrives.
    // A call that left no mark was there before the bucket, and all that was ever taken of it came later.
    const isToCome = kind === "outputTokens" || kind === "tokens"
    const since = isToCome ? bucket.reserved : bucket.taken - (mark[kind] ?? 0)
    if (!bucket.lower(remaining - since, now) || isToCome || mark[kind] === undefined) return
    // The server has counted what this call used, so nothing of it is given back.
    bucket.settle(amountOf(kind, need), amountOf(kind, need), now)
    delete mark[kind]
  }

  /** Nothing of these kinds starts until then; nothing at all, where none is named. */
  pause(named: ReadonlyArray<LimitKind>, until: number): void {
    let known = false
    for (const [kind, bucket] of this.buckets) {
      if (!named.includes(kind)) continue
      known = true
      bucket.pause(until)
    }
    if (!known) this.pausedUntil = Math.max(this.pausedUntil, until)
  }

  /** Sees to it that no pause outlasts a clock that was set back. */
  check(now: number): void {
    if (this.pausedUntil - now > LONGEST_PAUSE) this.pausedUntil = Number.NEGATIVE_INFINITY
    for (const [, bucket] of this.buckets) bucket.check(now)
  }

  /** Until when no call at all can start. */
  get closedUntil(): number {
    // Every call takes of every bucket.
    return this.buckets.reduce((until, [, bucket]) => Math.max(until, bucket.pausedUntil), this.pausedUntil)
  }

  /** The limits in force. */
  get limits(): ReadonlyArray<Limit> {
    return this.buckets.map(([kind, { limit }]) => ({ kind, limit, windowMillis: this.options.windowMillis }))
  }

  /** What is left of each. */
  levels(now: number): ReadonlyArray<{ readonly kind: LimitKind; readonly limit: number; readonly level: number }> {
    return this.buckets.map(([kind, bucket]) => ({ kind, limit: bucket.limit, level: bucket.levelAt(now) }))
  }
}
