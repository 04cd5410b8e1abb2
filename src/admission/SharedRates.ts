/**
 * Rate limits that several processes share: what a call needs is leased from a store before its turn.
 *
 * The machine asks at once and the store answers later, so leased amounts lie here as credit until somebody takes them;
 * what nobody takes goes back. While the store cannot be asked, the local buckets hold this process alone to the limit.
 */
import { amountOf, kinds, type Mark, type Need, type Rates, type Told } from "./Rates.ts"
import type { Amounts, LimitKind } from "./Stores.ts"

/** @internal */
export class SharedRates {
  /** What was taken too much (or too little, below zero) and is to go back. */
  private owed = nothing()
  private credit = nothing()
  /** What the store was asked for last, and when it will have it. */
  private next: { readonly need: Need; readonly at: number } | undefined
  /** The marks of calls that took of a lease. */
  private readonly leased = new WeakSet<Mark>()
  private readonly local: Rates
  /** Whether the local buckets decide. */
  private readonly isLocal: () => boolean

  constructor(local: Rates, isLocal: () => boolean) {
    this.local = local
    this.isLocal = isLocal
  }

  waitFor(need: Need, now: number): number {
    const { local } = this
    if (this.isLocal() || local.limits.length === 0) return local.waitFor(need, now)
    const closed = local.closedUntil - now
    if (closed > 0) return closed
    if (kinds.every((kind) => this.credit[kind] >= amountOf(kind, need))) return 0
    return this.next?.need === need && this.next.at > now ? this.next.at - now : Infinity
  }

  lasts(before: Amounts, need: Need, now: number): number {
    return this.isLocal() ? this.local.lasts(before, need, now) : Math.max(0, this.local.closedUntil - now)
  }

  take(need: Need, now: number): Mark {
    // Of the local buckets, too: they go on from there when the store is gone.
    const mark = this.local.take(need, now)
    if (this.isLocal() || this.local.limits.length === 0) return mark
    this.add(this.credit, need, -1)
    this.leased.add(mark)
    return mark
  }

  settle(need: Need, mark: Mark, used: Need | undefined, now: number): void {
    this.local.settle(need, mark, used, now)
    if (!this.leased.has(mark)) return
    this.add(this.owed, need, 1)
    if (used !== undefined) this.add(this.owed, used, -1)
  }

  told(told: Told, need: Need, mark: Mark, now: number): void {
    // What remains is the store's to know.
    this.local.told(this.leased.has(mark) ? { ...told, remaining: undefined } : told, need, mark, now)
  }

  pause(named: ReadonlyArray<LimitKind>, until: number): void {
    this.local.pause(named, until)
  }

  /** The store has granted these. */
  supply(needs: ReadonlyArray<Need>): void {
    for (const need of needs) this.add(this.credit, need, 1)
  }

  /** The store has said when this can be granted, at the earliest. */
  waits(need: Need | undefined, at: number): void {
    this.next = need === undefined ? undefined : { need, at }
  }

  /** What is to go back now; with the credit, where nobody waits for it. */
  takeOwed(withCredit: boolean): Amounts | undefined {
    const { owed } = this
    if (withCredit) {
      for (const kind of kinds) owed[kind] += this.credit[kind]
      this.credit = nothing()
    }
    if (kinds.every((kind) => owed[kind] === 0)) return undefined
    this.owed = nothing()
    return owed
  }

  check(now: number): void {
    this.local.check(now)
  }

  get closedUntil(): number {
    return this.local.closedUntil
  }

  get limits(): Rates["limits"] {
    return this.local.limits
  }

  levels(now: number): ReturnType<Rates["levels"]> {
    return this.isLocal() ? this.local.levels(now) : []
  }

  private add(amounts: { -readonly [K in LimitKind]: number }, need: Need, sign: 1 | -1): void {
    for (const kind of kinds) amounts[kind] += sign * amountOf(kind, need)
  }
}

const nothing = (): { -readonly [K in LimitKind]: number } => ({
  requests: 0,
  inputTokens: 0,
  outputTokens: 0,
  tokens: 0
})

/** @internal */
export const amounts = (need: Need): Amounts => ({
  requests: 1,
  inputTokens: need.inputTokens,
  outputTokens: need.outputTokens,
  tokens: need.inputTokens + need.outputTokens
})
