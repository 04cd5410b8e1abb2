/**
 * A token bucket: it holds at most `limit`, fills evenly over a window, and knows how long until an amount can be taken.
 *
 * Pure: the time is handed in. A level may be below zero, which is a debt: what was used beyond the estimate.
 */

/** The longest that one answer may hold up all calls, in milliseconds: then somebody asks again. @internal */
export const LONGEST_PAUSE = 600_000

/** @internal */
export class Bucket {
  limit: number
  /** What was taken for calls that have not been settled. */
  reserved = 0
  /** What was ever taken, so that one can tell what was taken since. */
  taken = 0
  pausedUntil = Number.NEGATIVE_INFINITY
  private window: number
  private level: number
  private at: number

  constructor(limit: number, windowMillis: number, now: number) {
    this.limit = limit
    this.window = windowMillis
    this.level = limit
    this.at = now
  }

  /** How long until so much may be taken. More than the bucket holds waits until it is full. */
  waitFor(amount: number, now: number): number {
    const missing = Math.min(amount, this.limit) - this.levelAt(now)
    // Refills are sums of fractions: a hair's breadth is none.
    const wait = missing > 1e-9 * this.limit ? (missing * this.window) / this.limit : 0
    return Math.max(wait, this.pausedUntil - now)
  }

  /** How long, at the least, until so much may be taken by who stands behind others that take so much before. */
  lasts(before: number, amount: number, now: number): number {
    const missing = before + Math.min(amount, this.limit) - this.levelAt(now)
    return Math.max(0, (missing * this.window) / this.limit, this.pausedUntil - now)
  }

  /** Takes it, whether it is there or not. */
  take(amount: number, now: number): void {
    this.level = this.levelAt(now) - amount
    this.reserved += amount
    this.taken += amount
  }

  /** A call that took `reserved` has used `used`. */
  settle(reserved: number, used: number, now: number): void {
    this.reserved -= reserved
    this.level = Math.min(this.limit, this.levelAt(now) + reserved - used)
  }

  /** Holds no more than this; answers whether it held more. */
  lower(level: number, now: number): boolean {
    if (level >= this.levelAt(now)) return false
    this.level = level
    return true
  }

  resize(limit: number, windowMillis: number, now: number): void {
    this.level = Math.min(limit, this.levelAt(now))
    this.limit = limit
    this.window = windowMillis
  }

  pause(until: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, until)
  }

  /** Forgets a pause that lasts longer than any may: the clock was set back. */
  check(now: number): void {
    if (this.pausedUntil - now > LONGEST_PAUSE) this.pausedUntil = Number.NEGATIVE_INFINITY
  }

  levelAt(now: number): number {
    if (now > this.at) {
      this.level = Math.min(this.limit, this.level + ((now - this.at) * this.limit) / this.window)
    }
    // Also where the clock was set back: it fills from there on.
    this.at = now
    return this.level
  }
}
