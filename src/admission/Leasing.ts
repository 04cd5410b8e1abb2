/**
 * Leases what the next in turn need of limits that are shared, and gives back what calls did not use.
 *
 * One fiber at most asks the store, so a busy process asks once for many; it lives while somebody waits for rate or
 * something is owed.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Need } from "./Rates.ts"
import { amounts, type SharedRates } from "./SharedRates.ts"
import type { StoreGuard } from "./StoreGuard.ts"
import type { LimitStore } from "./Stores.ts"
import type { Turns } from "./Turns.ts"

/** Where limits are shared. @internal */
export interface Shared {
  readonly key: string
  readonly store: LimitStore
  readonly guard: StoreGuard
}

/** @internal */
export interface LeasingOptions extends Shared {
  readonly rates: SharedRates
  readonly turns: Turns
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>
  /** Something was leased. */
  readonly onLeased: () => void
}

/** How many turns are leased at once. @internal */
export const LEASE = 16

/** @internal */
export class Leasing {
  private state: "idle" | "asks" | "waits" = "idle"
  /** What the next in turn needs, where that is waited for. */
  private waitsFor: Need | undefined
  private fiber: Fiber.Fiber<unknown> | undefined
  private readonly options: LeasingOptions
  private readonly round: Effect.Effect<unknown>
  private readonly local: Effect.Effect<unknown>

  constructor(options: LeasingOptions) {
    this.options = options
    const { guard, key, rates, store } = options
    this.round = Effect.suspend(() => {
      this.state = "asks"
      this.waitsFor = undefined
      if (guard.isResting()) return this.local
      const owed = rates.takeOwed(options.turns.waiting === 0)
      if (owed !== undefined) {
        const given = Effect.suspend(() => store.give(key, rates.limits, owed))
        return Effect.andThen(guard.ask(given, Effect.void), this.round)
      }
      const needs = this.needs
      if (needs.length === 0) return this.idle
      const taken = Effect.suspend(() => store.take(key, rates.limits, needs.map(amounts)))
      return Effect.flatMap(guard.ask(taken, Effect.succeed(nothing)), ({ granted, waitMillis }) => {
        const next = waitMillis > 0 ? needs[granted] : undefined
        rates.supply(needs.slice(0, granted))
        rates.waits(next, options.now() + waitMillis)
        options.onLeased()
        // Whom it woke may have changed who is next.
        return next !== undefined && options.turns.wanted(1)[0] === next ? this.after(waitMillis, next) : this.round
      })
    })
    // What is owed is kept, and those who wait go on by local limits until the store may be asked again.
    this.local = Effect.suspend(() => {
      if (options.turns.waiting === 0) return this.idle
      const wait = this.after(guard.restLeft())
      options.onLeased()
      return wait
    })
  }

  /** Sees to it that somebody asks, where there is something to ask for. */
  lease(): void {
    const { fork, guard, turns } = this.options
    // Another is next by now.
    if (this.waitsFor !== undefined && turns.wanted(1)[0] !== this.waitsFor) this.again()
    if (this.state !== "idle" || guard.isResting() && turns.waiting === 0) return
    this.state = "asks"
    this.fiber = fork(this.round)
  }

  /** What is waited for is not what it was: asks again at once. */
  again(): void {
    if (this.state !== "waits") return
    this.stop()
    this.state = "idle"
  }

  stop(): void {
    this.fiber?.interruptUnsafe()
  }

  private after(millis: number, need?: Need): Effect.Effect<unknown> {
    this.state = "waits"
    this.waitsFor = need
    return Effect.andThen(Effect.sleep(millis), this.round)
  }

  /** At once: what comes between would not be seen. */
  private get idle(): Effect.Effect<void> {
    this.state = "idle"
    return Effect.void
  }

  private get needs() {
    const { now, rates, turns } = this.options
    // While all is paused here, what the store has is for others.
    return turns.waitsForRate && rates.closedUntil <= now() ? turns.wanted(LEASE) : []
  }
}

const nothing = { granted: 0, waitMillis: 0 }
