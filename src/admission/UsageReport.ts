/**
 * What was used, by tenant, model and day: rows that calls add to, kept in memory unless a store keeps them.
 *
 * The columns of tokens leave nothing out and count nothing twice: `inputTokens` are those that no cache had a part in,
 * as the API counts them. What a store has missed while it was away it is told when it is back.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BilledUsage, Cost } from "../request/Cost.ts"
import { makeIds, SeenIds } from "./Ids.ts"
import type { StoreGuard } from "./StoreGuard.ts"
import type { StoreError, UsageRow, UsageStore } from "./Stores.ts"
import * as Teller from "./Teller.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A request that was billed. @category models @since 0.2.0 */
export interface Billed {
  /** When, by the clock. */
  readonly at: number
  readonly tenant: string | undefined
  /** The model that answered. */
  readonly model: string
  readonly usage: BilledUsage
  /** Undefined where it has no known price. */
  readonly cost: Cost | undefined
}

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

/** The row that one request makes. @category constructors @since 0.2.0 */
export const rowOf = ({ at, cost, model, tenant, usage }: Billed): UsageRow => {
  const split = usage.cache_creation
  const isPriced = Number.isFinite(cost?.amount)
  return {
    day: dayOf(at),
    tenant: tenant ?? "",
    model,
    requests: 1,
    inputTokens: count(usage.input_tokens),
    cacheReadTokens: count(usage.cache_read_input_tokens),
    // A stream tells the split at its start and the total at its end.
    cacheWriteTokens: Math.max(
      count(usage.cache_creation_input_tokens),
      count(split?.ephemeral_5m_input_tokens) + count(split?.ephemeral_1h_input_tokens)
    ),
    outputTokens: count(usage.output_tokens),
    cost: isPriced ? cost!.amount : 0,
    unpriced: isPriced ? 0 : 1
  }
}

/** What a server tells is counted where it is a number, and as stores count: in whole ones. */
const count = (tokens: unknown): number =>
  Number.isFinite(tokens) ? Math.min(MOST_TOKENS, Math.max(0, Math.floor(Number(tokens)))) : 0

/** No request has as many, and their sums stay exact. */
const MOST_TOKENS = 1e12

/** The sum of two rows of one day, tenant and model. @category combinators @since 0.2.0 */
export const add = (a: UsageRow, b: UsageRow): UsageRow => ({
  day: a.day,
  tenant: a.tenant,
  model: a.model,
  requests: a.requests + b.requests,
  inputTokens: a.inputTokens + b.inputTokens,
  cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
  cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
  outputTokens: a.outputTokens + b.outputTokens,
  cost: a.cost + b.cost,
  unpriced: a.unpriced + b.unpriced
})

// -----------------------------------------------------------------------------
// memory
// -----------------------------------------------------------------------------

/** Whose row takes up those of a day that has too many of them: nothing is lost of its sums. @category memory @since 0.2.0 */
export const OTHERS = "(others)"

/**
 * A report in memory. Beyond its bound the oldest days are forgotten; further tenants of a day that fills it alone come
 * under `OTHERS`.
 *
 * @category memory
 * @since 0.2.0
 */
export const makeMemory = (options?: {
  /** How many rows are kept. @default 100 000 */
  readonly rows?: number | undefined
}): UsageStore => {
  const most = options?.rows ?? 100_000
  const days = new Map<string, Map<string, UsageRow>>()
  const seen = new SeenIds<true>()
  let kept = 0

  const forget = () => {
    while (kept > most && days.size > 1) {
      let oldest: string | undefined
      for (const day of days.keys()) if (oldest === undefined || day < oldest) oldest = day
      kept -= days.get(oldest!)!.size
      days.delete(oldest!)
    }
  }

  const put = (row: UsageRow): void => {
    let rows = days.get(row.day)
    if (rows === undefined) days.set(row.day, rows = new Map())
    const key = keyOf(row)
    const known = rows.get(key)
    if (known === undefined && rows.size >= most && row.tenant !== OTHERS) return put({ ...row, tenant: OTHERS })
    rows.set(key, known === undefined ? row : add(known, row))
    if (known !== undefined) return
    kept++
    forget()
  }

  return {
    add: (row, id) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (seen.get(id, now) === true) return
        seen.set(id, true, now)
        put(row)
      }),
    rows: Stream.suspend(() =>
      Stream.fromIterable([...days.values()].flatMap((rows) => [...rows.values()]).toSorted(order))
    )
  }
}

const keyOf = ({ model, tenant }: UsageRow): string => `${model.length} ${model}${tenant}`

const DAY = 86_400_000
const named = { number: Number.NaN, day: "" }

/** Put into words once a day, and not for each request. */
const dayOf = (at: number): string => {
  const number = Math.floor(at / DAY)
  if (number !== named.number) Object.assign(named, { number, day: new Date(at).toISOString().slice(0, 10) })
  return named.day
}

const order = (a: UsageRow, b: UsageRow): number =>
  compare(a.day, b.day) || compare(a.tenant, b.tenant) || compare(a.model, b.model)

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

// -----------------------------------------------------------------------------
// shared
// -----------------------------------------------------------------------------

/** A store that processes share. @internal */
export interface SharedUsage {
  readonly store: UsageStore
  readonly guard: StoreGuard
  readonly teller: Teller.Teller
  /** It did not take a row, and never will. */
  readonly onRefused: (error: StoreError) => Effect.Effect<void>
}

/** A row that the store is to add. */
interface Asked {
  readonly id: string
  readonly row: UsageRow
}

/**
 * The report of a store. Rows that it could not be told are added up meanwhile, and told when it is back; what it did
 * not answer is told again under the same id.
 *
 * @internal
 */
export const makeShared = ({ guard, onRefused, store, teller }: SharedUsage): UsageStore => {
  const newId = makeIds()
  /** What the store has not been told, by day, tenant and model. */
  const owed = new Map<string, UsageRow>()
  /** What it may have been told. */
  const unanswered = new Set<Asked>()

  const owe = (row: UsageRow): void => {
    const key = row.day + keyOf(row)
    const known = owed.get(key)
    if (known === undefined && owed.size >= MOST_OWED && row.tenant !== OTHERS) owe({ ...row, tenant: OTHERS })
    else owed.set(key, known === undefined ? row : add(known, row))
  }

  /** Whether the store answered. */
  const ask = (through: StoreGuard, asked: Asked): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      let isAsked = false
      const question = Effect.suspend(() => {
        isAsked = true
        return Effect.as(store.add(asked.row, asked.id), true)
      }).pipe(
        Effect.catchIf(({ refused }) => refused === true, (error) => Effect.as(onRefused(error), true))
      )
      const keep = () => {
        // To the end of those that wait: one that the store never answers keeps no other from it.
        if (unanswered.delete(asked) || isAsked) unanswered.add(asked)
        else owe(asked.row)
        return false
      }
      return Effect.map(through.ask(question, Effect.succeed(false)), (told) => {
        if (!told) return keep()
        unanswered.delete(asked)
        return true
      }).pipe(Effect.onInterrupt(() => Effect.sync(keep)))
    })

  const debtor: Teller.Debtor = {
    owes: () => owed.size + unanswered.size > 0,
    tell: (through) =>
      Effect.suspend(() => {
        if (through.isResting()) return Effect.succeed(false)
        for (const [key, row] of owed) {
          if (unanswered.size >= PIECE) break
          owed.delete(key)
          unanswered.add({ id: newId(), row })
        }
        return Teller.askAll(unanswered, PIECE, (asked) => ask(through, asked))
      })
  }
  const wake = teller.wake(debtor)

  return {
    add: (row) =>
      Effect.suspend(() => {
        // What is owed comes first: so a store that is away is asked by one, and not by all calls.
        if (!debtor.owes() && !guard.isResting()) return ask(guard, { id: newId(), row })
        owe(row)
        return Effect.void
      }).pipe(Effect.andThen(wake)),
    rows: Stream.unwrap(Effect.as(Teller.tellAll(debtor, guard), store.rows))
  }
}

const MOST_OWED = 100_000
const PIECE = 100
