/**
 * What was used, by tenant, model and day: rows that calls add to, kept in memory unless a store keeps them.
 *
 * The columns of tokens leave nothing out and count nothing twice: `inputTokens` are those that no cache had a part in,
 * as the API counts them.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BilledUsage, Cost } from "../request/Cost.ts"
import type { UsageRow, UsageStore } from "./Stores.ts"

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
  return {
    day: new Date(at).toISOString().slice(0, 10),
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
    cost: cost?.amount ?? 0,
    unpriced: cost === undefined ? 1 : 0
  }
}

/** What a server tells is counted where it is a number. */
const count = (tokens: unknown): number => Number.isFinite(tokens) ? Math.max(0, Number(tokens)) : 0

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
    const key = JSON.stringify([row.tenant, row.model])
    const known = rows.get(key)
    if (known === undefined && rows.size >= most && row.tenant !== OTHERS) return put({ ...row, tenant: OTHERS })
    rows.set(key, known === undefined ? row : add(known, row))
    if (known !== undefined) return
    kept++
    forget()
  }

  return {
    add: (row) => Effect.sync(() => put(row)),
    rows: Stream.suspend(() =>
      Stream.fromIterable([...days.values()].flatMap((rows) => [...rows.values()]).toSorted(order))
    )
  }
}

const order = (a: UsageRow, b: UsageRow): number =>
  compare(a.day, b.day) || compare(a.tenant, b.tenant) || compare(a.model, b.model)

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
