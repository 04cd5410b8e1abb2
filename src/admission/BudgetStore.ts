/**
 * Who keeps account of budgets: memory, or a shared store with memory behind it.
 *
 * A shared store that cannot be asked is answered for by memory, which goes on from what it last heard of the store. What
 * the store has missed meanwhile it is told later. The surprise: a refund that may have arrived is not repeated, since
 * to give back twice would be to spend more than was allowed; a charge is repeated until it arrives.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { StoreGuard } from "./StoreGuard.ts"
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

/** A reservation that is settled. @internal */
export interface Change {
  readonly entry: BudgetEntry
  /** What was spent of it, which may be more than was reserved. */
  readonly spent: number
}

/** The account that calls are booked in. @internal */
export interface BudgetBooks {
  readonly reserve: (entries: ReadonlyArray<BudgetEntry>, now: number) => Effect.Effect<Reserved>
  /** Answers what is spent of each now. */
  readonly settle: (changes: ReadonlyArray<Change>, now: number) => Effect.Effect<ReadonlyArray<number>>
}

// -----------------------------------------------------------------------------
// memory
// -----------------------------------------------------------------------------

/** What is spent in the windows that end at one instant. */
interface Window {
  readonly spent: Map<string, number>
  /** By limit: what those share who came when there was no room for a key of their own. */
  readonly crowd: Map<number, number>
}

/**
 * Windows that ended are forgotten. There is a bound on keys: beyond it new ones of the same limit share one account,
 * so that a flood of tenants may be refused too early, and never too late.
 *
 * @internal
 */
export const makeMemory = (options?: { readonly capacity?: number | undefined }): MemoryBudgetStore => {
  const capacity = options?.capacity ?? 250_000
  const windows = new Map<number, Window>()
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

  return {
    reserveUnsafe,
    settleUnsafe,
    learnUnsafe: (entry, spent, now) => {
      const window = windowOf(entry.expiresAt, now)
      // What is known of one of a crowd says nothing of their sum.
      if (window !== undefined && !isCrowded(window, entry)) set(window, entry, spent)
    },
    size: () => kept,
    reserve: (entries) => Effect.map(Clock.currentTimeMillis, (now) => reserveUnsafe(entries, now)),
    settle: (entries) => Effect.map(Clock.currentTimeMillis, (now) => settleUnsafe(entries, now))
  }
}

// -----------------------------------------------------------------------------
// books
// -----------------------------------------------------------------------------

/** @internal */
export const makeBooks = (
  local: MemoryBudgetStore,
  shared: { readonly store: BudgetStore; readonly guard: StoreGuard } | undefined
): BudgetBooks => shared === undefined ? localBooks(local) : sharedBooks(local, shared.store, shared.guard)

const difference = ({ entry, spent }: Change): BudgetEntry => ({ ...entry, amount: spent - entry.amount })

const localBooks = (local: MemoryBudgetStore): BudgetBooks => ({
  reserve: (entries, now) => Effect.sync(() => local.reserveUnsafe(entries, now)),
  settle: (changes, now) => Effect.sync(() => local.settleUnsafe(changes.map(difference), now))
})

const sharedBooks = (local: MemoryBudgetStore, store: BudgetStore, guard: StoreGuard): BudgetBooks => {
  /** What the store has not been told, by key. */
  const owed = new Map<string, BudgetEntry>()

  const owe = (entry: BudgetEntry, now: number) => {
    const amount = entry.amount + (owed.get(entry.key)?.amount ?? 0)
    if (amount === 0) owed.delete(entry.key)
    else if (entry.expiresAt > now && (owed.has(entry.key) || owed.size < MOST_OWED)) {
      owed.set(entry.key, { ...entry, amount })
    }
  }

  const learn = (entries: ReadonlyArray<BudgetEntry>, spent: ReadonlyArray<number>, now: number) => {
    for (const [index, entry] of entries.entries()) local.learnUnsafe(entry, spent[index] ?? 0, now)
  }

  /** Tells the store what it has missed; answers what is spent of what was told. */
  const tell = (now: number): Effect.Effect<ReadonlyMap<string, number>> =>
    Effect.suspend(() => {
      if (owed.size === 0 || guard.isResting()) return Effect.succeed(none)
      const entries: Array<BudgetEntry> = []
      for (const [key, entry] of owed) {
        owed.delete(key)
        if (entry.expiresAt > now && entries.push(entry) === PIECE) break
      }
      if (entries.length === 0) return Effect.succeed(none)
      return guard.ask(
        Effect.map(store.settle(entries), (spent) => {
          learn(entries, spent, now)
          return new Map(entries.map(({ key }, index) => [key, spent[index] ?? 0]))
        }),
        Effect.sync(() => {
          for (const entry of entries) if (entry.amount > 0) owe(entry, now)
          return none
        })
      )
    })

  return {
    reserve: (entries, now) =>
      Effect.andThen(
        tell(now),
        guard.ask(
          Effect.map(store.reserve(entries), (reserved) => {
            if (reserved._tag === "Reserved") learn(entries, reserved.spent, now)
            else learn([entries[reserved.index]!], [reserved.spent], now)
            return reserved
          }),
          Effect.sync(() => {
            const reserved = local.reserveUnsafe(entries, now)
            if (reserved._tag === "Reserved") { for (const entry of entries) owe(entry, now) }
            return reserved
          })
        )
      ),
    settle: (changes, now) =>
      Effect.suspend(() => {
        const here = local.settleUnsafe(changes.map(difference), now)
        for (const change of changes) owe(difference(change), now)
        return Effect.map(
          tell(now),
          (told) => changes.map(({ entry }, index) => told.get(entry.key) ?? here[index] ?? 0)
        )
      })
  }
}

const none: ReadonlyMap<string, number> = new Map()

const MOST_OWED = 100_000
/** What is told at once, so that no call is kept long by what others owe. */
const PIECE = 500
