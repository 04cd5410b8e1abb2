/**
 * Budgets in memory: what is spent of each key, by the window that it ends with.
 *
 * Windows that ended are forgotten. The surprise: there is a bound on keys, and beyond it new ones of the same limit
 * share one account, so that a flood of tenants may be refused too early, and never too late.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { SeenIds } from "./Ids.ts"
import type { BudgetEntry, BudgetStore, Reserved } from "./Stores.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Budgets in memory, which answers at once. @internal */
export interface MemoryBudgetStore extends BudgetStore {
  readonly reserveUnsafe: (entries: ReadonlyArray<BudgetEntry>, now: number) => Reserved
  readonly settleUnsafe: (entries: ReadonlyArray<BudgetEntry>, now: number) => ReadonlyArray<number>
  /** So much is spent of it, as another store says. */
  readonly learnUnsafe: (entry: BudgetEntry, spent: number, now: number) => void
  /** How many keys are kept. */
  readonly size: () => number
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** What is spent in the windows that end at one instant. */
interface Window {
  readonly spent: Map<string, number>
  /** By limit: what those share who came when there was no room for a key of their own. */
  readonly crowd: Map<number, number>
}

/** @internal */
export const makeMemory = (options?: { readonly capacity?: number | undefined }): MemoryBudgetStore => {
  const capacity = options?.capacity ?? 250_000
  const windows = new Map<number, Window>()
  /** The entry that had no room, or -1. */
  const seen = new SeenIds<number>()
  let kept = 0

  const windowOf = (end: number, now: number): Window | undefined => {
    const known = windows.get(end)
    if (known !== undefined || end <= now) return known
    for (const [past, { spent }] of windows) {
      if (past > now) continue
      kept -= spent.size
      windows.delete(past)
    }
    const window: Window = { spent: new Map(), crowd: new Map() }
    windows.set(end, window)
    return window
  }

  /** Who once shares an account does so until the window ends, and so is settled where it was reserved. */
  const isCrowded = (window: Window, { key, limit }: BudgetEntry) =>
    !window.spent.has(key) && (window.crowd.has(limit) || kept >= capacity)

  const spentOf = (window: Window | undefined, entry: BudgetEntry): number =>
    window === undefined
      ? 0
      : (isCrowded(window, entry) ? window.crowd.get(entry.limit) : window.spent.get(entry.key)) ?? 0

  const set = (window: Window | undefined, entry: BudgetEntry, spent: number): number => {
    const value = Math.max(0, spent)
    if (window === undefined) return value
    if (isCrowded(window, entry)) window.crowd.set(entry.limit, value)
    else {
      const before = window.spent.size
      if (value === 0) window.spent.delete(entry.key)
      else window.spent.set(entry.key, value)
      kept += window.spent.size - before
    }
    return value
  }

  const add = (entry: BudgetEntry, amount: number, now: number): number => {
    const window = windowOf(entry.expiresAt, now)
    return set(window, entry, spentOf(window, entry) + amount)
  }

  const reserveUnsafe: MemoryBudgetStore["reserveUnsafe"] = (entries, now) => {
    const spent: Array<number> = []
    for (const [index, entry] of entries.entries()) {
      const before = spentOf(windowOf(entry.expiresAt, now), entry)
      if (!(entry.amount <= entry.limit - before)) {
        for (const taken of entries.slice(0, index)) add(taken, -taken.amount, now)
        return { _tag: "Exceeded", index, spent: before }
      }
      spent.push(add(entry, entry.amount, now))
    }
    return { _tag: "Reserved", spent }
  }

  const settleUnsafe: MemoryBudgetStore["settleUnsafe"] = (entries, now) =>
    entries.map((entry) => add(entry, entry.amount, now))

  const standing = (entries: ReadonlyArray<BudgetEntry>, now: number): ReadonlyArray<number> =>
    entries.map((entry) => spentOf(windowOf(entry.expiresAt, now), entry))

  return {
    reserveUnsafe,
    settleUnsafe,
    learnUnsafe: (entry, spent, now) => {
      const window = windowOf(entry.expiresAt, now)
      // What is known of one of a crowd says nothing of their sum.
      if (window !== undefined && !isCrowded(window, entry)) set(window, entry, spent)
    },
    size: () => kept,
    reserve: (entries, id) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const index = seen.get(id, now)
        if (index !== undefined) {
          return index === -1
            ? { _tag: "Reserved", spent: standing(entries, now) }
            : { _tag: "Exceeded", index, spent: standing(entries, now)[index] ?? 0 }
        }
        const reserved = reserveUnsafe(entries, now)
        seen.set(id, reserved._tag === "Reserved" ? -1 : reserved.index, now)
        return reserved
      }),
    settle: (entries, id) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (seen.get(id, now) !== undefined) return standing(entries, now)
        seen.set(id, -1, now)
        return settleUnsafe(entries, now)
      })
  }
}
