/**
 * The books that calls are entered in: memory, or a shared store with memory behind it.
 *
 * A shared store that cannot be asked is answered for by memory, which goes on from what it last heard of the store. The
 * store is told later what it has missed. What it did not answer is asked again under the same id, for it may have been
 * done: a store remembers ids, so that neither a charge nor a refund counts twice. The surprise: where that took longer
 * than a store remembers, only charges are repeated; a refund that came twice would spend more than was allowed.
 */
import * as Effect from "effect/Effect"
import type { MemoryBudgetStore } from "./BudgetStore.ts"
import { makeIds } from "./Ids.ts"
import type { StoreGuard } from "./StoreGuard.ts"
import { type BudgetEntry, type BudgetStore, REMEMBERED_MILLIS, type Reserved, type StoreError } from "./Stores.ts"
import * as Teller from "./Teller.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A reservation that is settled. @internal */
export interface Change {
  readonly entry: BudgetEntry
  /** What was spent of it, which may be more than was reserved. */
  readonly spent: number
}

/** @internal */
export interface BudgetBooks {
  readonly reserve: (entries: ReadonlyArray<BudgetEntry>, now: number) => Effect.Effect<Reserved>
  /** Answers what is spent of each now. */
  readonly settle: (changes: ReadonlyArray<Change>, now: number) => Effect.Effect<ReadonlyArray<number>>
  /** Whether this process is the first to say so of an entry's window. */
  readonly isFirst: (entry: BudgetEntry, what: string | number) => Effect.Effect<boolean>
}

/** A store that processes share. @internal */
export interface SharedBudgets {
  readonly store: BudgetStore
  readonly guard: StoreGuard
  /** Who tells it what it has missed; without one, the calls that come do. */
  readonly teller?: Teller.Teller | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const make = (local: MemoryBudgetStore, shared: SharedBudgets | undefined): BudgetBooks =>
  shared === undefined ? localBooks(local) : sharedBooks(local, shared)

const difference = ({ entry, spent }: Change): BudgetEntry => ({ ...entry, amount: spent - entry.amount })

const localBooks = (local: MemoryBudgetStore): BudgetBooks => ({
  reserve: (entries, now) => Effect.sync(() => local.reserveUnsafe(entries, now)),
  settle: (changes, now) => Effect.sync(() => local.settleUnsafe(changes.map(difference), now)),
  isFirst: () => Effect.succeed(true)
})

/** What the store was asked and did not answer. */
interface Unanswered {
  readonly id: string
  readonly entries: ReadonlyArray<BudgetEntry>
  readonly since: number
}

/** A reservation of which nobody knows whether it was made. */
interface Doubt extends Unanswered {
  /** Its call was let through, by memory. */
  readonly isOurs: boolean
}

/** What is spent of the keys that were told. */
type Told = ReadonlyMap<string, number>

const sharedBooks = (local: MemoryBudgetStore, { guard, store, teller = Teller.none }: SharedBudgets): BudgetBooks => {
  const newId = makeIds()
  /** What the store has not been told, by key. */
  const owed = new Map<string, BudgetEntry>()
  const settlements = new Set<Unanswered>()
  const doubts = new Set<Doubt>()

  const owe = (entry: BudgetEntry, now: number) => {
    const amount = entry.amount + (owed.get(entry.key)?.amount ?? 0)
    if (amount === 0) owed.delete(entry.key)
    else if (entry.expiresAt > now && (owed.has(entry.key) || owed.size < MOST_OWED)) {
      owed.set(entry.key, { ...entry, amount })
    }
  }

  /** What the store says, and what it has not heard. */
  const learn = (entries: ReadonlyArray<BudgetEntry>, spent: ReadonlyArray<number>, now: number) => {
    const unheard = new Map<string, number>()
    for (const { entries } of settlements) {
      for (const { amount, key } of entries) unheard.set(key, (unheard.get(key) ?? 0) + Math.max(0, amount))
    }
    for (const [index, entry] of entries.entries()) {
      const more = (unheard.get(entry.key) ?? 0) + (owed.get(entry.key)?.amount ?? 0)
      local.learnUnsafe(entry, (spent[index] ?? 0) + more, now)
    }
  }

  /** Whether there was a reservation is known now. */
  const clear = (doubt: Doubt, isThere: boolean, now: number) => {
    if (!doubts.delete(doubt) || doubt.isOurs === isThere) return
    for (const entry of doubt.entries) owe(isThere ? { ...entry, amount: -entry.amount } : entry, now)
  }

  /** What a store may know no more is not asked again as it was. */
  const giveUpOld = (now: number) => {
    for (const doubt of doubts) if (now - doubt.since >= REPEATED_MILLIS) clear(doubt, false, now)
    for (const told of settlements) {
      if (now - told.since < REPEATED_MILLIS) continue
      settlements.delete(told)
      for (const entry of told.entries) if (entry.amount > 0) owe(entry, now)
    }
  }

  /** Makes the reservation now, or learns that it was made or had no room. Whether the store answered. */
  const askAgain = (through: StoreGuard, doubt: Doubt, now: number): Effect.Effect<boolean> =>
    Effect.map(through.ask(store.reserve(doubt.entries, doubt.id), noAnswer), (reserved) => {
      if (reserved !== undefined) clear(doubt, reserved._tag === "Reserved", now)
      return reserved !== undefined
    })

  const settle = (through: StoreGuard, told: Unanswered, now: number): Effect.Effect<Told | undefined> =>
    Effect.map(through.ask(unlessRefused(store.settle(told.entries, told.id)), noAnswer), (spent) => {
      // Behind the others: one that the store cannot take keeps nobody.
      settlements.delete(told)
      if (spent === undefined) {
        settlements.add(told)
        return undefined
      }
      if (spent === "refused") return none
      learn(told.entries, spent, now)
      return new Map(told.entries.map(({ key }, index) => [key, spent[index] ?? 0]))
    })

  const takeOwed = (first: ReadonlyArray<BudgetEntry>, now: number): ReadonlyArray<BudgetEntry> => {
    const entries: Array<BudgetEntry> = []
    const take = (entry: BudgetEntry | undefined) => {
      if (entry !== undefined && owed.delete(entry.key) && entry.expiresAt > now) entries.push(entry)
    }
    for (const { key } of first) take(owed.get(key))
    for (const entry of owed.values()) {
      if (entries.length >= PIECE) break
      take(entry)
    }
    return entries
  }

  /** Tells a piece of what the store has missed, `first` before all else; nothing where it did not answer. */
  const tell = (
    through: StoreGuard,
    first: ReadonlyArray<BudgetEntry>,
    now: number
  ): Effect.Effect<Told | undefined> =>
    Effect.suspend(() => {
      if (!debtor.owes()) return Effect.succeed(none)
      if (through.isResting()) return noAnswer
      giveUpOld(now)
      const settleOwed = Effect.suspend(() => {
        const entries = takeOwed(first, now)
        if (entries.length === 0) return Effect.succeed(none)
        const told = { id: newId(), entries, since: now }
        return Effect.onInterrupt(settle(through, told, now), () => Effect.sync(() => settlements.add(told)))
      })
      if (doubts.size + settlements.size === 0) return settleOwed
      // Reservations before what is given back of them: a counter never falls below nothing.
      const again = Effect.flatMap(
        Teller.askAll(doubts, PIECE, (doubt) => askAgain(through, doubt, now)),
        (answered) =>
          answered
            ? Teller.askAll(
              settlements,
              PIECE,
              (told) => Effect.map(settle(through, told, now), (spent) => spent !== undefined)
            )
            : Effect.succeed(false)
      )
      return Effect.flatMap(again, (answered): Effect.Effect<Told | undefined> => {
        if (!answered) return noAnswer
        return doubts.size + settlements.size === 0 ? settleOwed : Effect.succeed(none)
      })
    })

  const debtor: Teller.Debtor = {
    owes: () => owed.size + settlements.size + doubts.size > 0,
    tell: (through) =>
      Effect.clockWith((clock) =>
        Effect.map(tell(through, [], clock.currentTimeMillisUnsafe()), (told) => told !== undefined)
      )
  }
  const wake = teller.wake(debtor)

  return {
    reserve: (entries, now) =>
      Effect.suspend(() => {
        const id = newId()
        let isAsked = false
        const question = Effect.suspend(() => {
          isAsked = true
          return store.reserve(entries, id)
        })
        const reserve = Effect.map(guard.ask(question, noAnswer), (there) => {
          if (there?._tag === "Reserved") learn(entries, there.spent, now)
          else if (there !== undefined) learn([entries[there.index]!], [there.spent], now)
          if (there !== undefined) return there
          const here = local.reserveUnsafe(entries, now)
          const isOurs = here._tag === "Reserved"
          if (isAsked && doubts.size < MOST_DOUBTS) doubts.add({ id, entries, since: now, isOurs })
          else if (isOurs) { for (const entry of entries) owe(entry, now) }
          return here
        })
        return Effect.tap(Effect.andThen(tell(guard, entries, now), reserve), () => wake)
      }),
    settle: (changes, now) =>
      Effect.suspend(() => {
        const differences = changes.map(difference)
        const here = local.settleUnsafe(differences, now)
        for (const entry of differences) owe(entry, now)
        return tell(guard, differences, now).pipe(
          Effect.map((told) => changes.map(({ entry }, index) => told?.get(entry.key) ?? here[index] ?? 0)),
          Effect.tap(() => wake)
        )
      }),
    isFirst: ({ expiresAt, key }, what) => {
      // Another reservation, of which there is one. No budget's key has a space before its first colon.
      const mark = { key: `told ${key} ${what}`, amount: 1, limit: 1, expiresAt }
      return Effect.map(guard.ask(store.reserve([mark], newId()), noAnswer), (mark) => mark?._tag !== "Exceeded")
    }
  }
}

const none: Told = new Map()
const noAnswer = Effect.undefined

/** A question may be under way for as long again before a store forgets it. */
const REPEATED_MILLIS = REMEMBERED_MILLIS / 2
const MOST_OWED = 100_000
const MOST_DOUBTS = 10_000
/** What is told at once, so that no call is kept long by what others owe. */
const PIECE = 500

/** A store that refuses something for good is asked for it no more, and is none the worse for it. */
const unlessRefused = <A>(question: Effect.Effect<A, StoreError>): Effect.Effect<A | "refused", StoreError> =>
  Effect.catchIf(question, ({ refused }) => refused === true, () => Effect.succeed("refused" as const))
