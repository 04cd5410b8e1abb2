/**
 * What several processes may share: rate limits, budgets, circuits and the usage report.
 *
 * Each is a reference without a value by default: then a client keeps its own, in memory. `effect-claude/redis` has
 * a layer that sets all of them. A store may fail or hang at any time: whoever asks one goes through a `StoreGuard`.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { CircuitBreakerStore } from "effect/persistence/CircuitBreaker"
import type * as Stream from "effect/Stream"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A store could not be asked. @category models @since 0.2.0 */
export interface StoreError {
  readonly _tag: string
  readonly message: string
  /** The store is there, and takes such a thing neither now nor later: nobody need ask again, or leave it alone. */
  readonly refused?: boolean | undefined
}

/** What the API limits. @category models @since 0.2.0 */
export type LimitKind = "requests" | "inputTokens" | "outputTokens" | "tokens"

/** One bucket: it holds `limit`, and fills at a rate of `limit` per `windowMillis`. @category models @since 0.2.0 */
export interface Limit {
  readonly kind: LimitKind
  readonly limit: number
  readonly windowMillis: number
}

/** What a call needs of the buckets, or what goes back to them; below zero it is taken as well. @category models @since 0.2.0 */
export type Amounts = { readonly [K in LimitKind]: number }

/** How many of the needs asked for were taken, in their order, and how long until the next of them can be. */
export interface Taken {
  readonly granted: number
  /** 0 where all were granted. */
  readonly waitMillis: number
}

/** A part of a budget's window. @category models @since 0.2.0 */
export interface BudgetEntry {
  /** Of the budget, its tenant and its window. */
  readonly key: string
  /** In whole units: nano-dollars, or tokens. */
  readonly amount: number
  readonly limit: number
  /** When the window ends, by the clock. */
  readonly expiresAt: number
}

/** @category models @since 0.2.0 */
export type Reserved =
  /** `spent` of each entry, with this reservation. */
  | { readonly _tag: "Reserved"; readonly spent: ReadonlyArray<number> }
  /** Nothing was reserved: `index` is the entry that had no room, `spent` what was spent of it. */
  | { readonly _tag: "Exceeded"; readonly index: number; readonly spent: number }

/** What calls of a tenant by a model came to on a day. @category models @since 0.2.0 */
export interface UsageRow {
  /** In UTC, as YYYY-MM-DD. */
  readonly day: string
  /** Empty where the calls named none. */
  readonly tenant: string
  /** The model that answered. */
  readonly model: string
  /** Requests that were billed. */
  readonly requests: number
  /** Without those that were read from the prompt cache, or written to it. */
  readonly inputTokens: number
  readonly cacheReadTokens: number
  readonly cacheWriteTokens: number
  readonly outputTokens: number
  /** In USD, of the requests that could be priced. */
  readonly cost: number
  /** Requests whose price is unknown, and which `cost` leaves out. */
  readonly unpriced: number
}

// -----------------------------------------------------------------------------
// stores
// -----------------------------------------------------------------------------

/** Token buckets. @category services @since 0.2.0 */
export interface LimitStore {
  /** Takes the needs in their order, each whole or not at all, until one does not fit. */
  readonly take: (
    key: string,
    limits: ReadonlyArray<Limit>,
    needs: ReadonlyArray<Amounts>
  ) => Effect.Effect<Taken, StoreError>
  /** Gives back what was taken too much, or takes what was taken too little: never waits, may leave a debt. */
  readonly give: (key: string, limits: ReadonlyArray<Limit>, amounts: Amounts) => Effect.Effect<void, StoreError>
  /** Nothing more of these kinds for so long, for all. */
  readonly pause: (
    key: string,
    limits: ReadonlyArray<Limit>,
    kinds: ReadonlyArray<LimitKind>,
    millis: number
  ) => Effect.Effect<void, StoreError>
}

/**
 * How long a store of budgets or of the usage report knows an id again, in milliseconds.
 *
 * @category services
 * @since 0.2.0
 */
export const REMEMBERED_MILLIS = 120_000

/**
 * Budgets. Whoever got no answer asks again under the same id: what was done under it for the first time is not done
 * again, in whatever order the questions arrive, and the answer is how it stands now.
 *
 * @category services
 * @since 0.2.0
 */
export interface BudgetStore {
  /** Reserves all entries or none. */
  readonly reserve: (entries: ReadonlyArray<BudgetEntry>, id?: string) => Effect.Effect<Reserved, StoreError>
  /** Adds to what was spent (or takes off, where an amount is negative), limit or not; answers what is spent now. */
  readonly settle: (
    entries: ReadonlyArray<BudgetEntry>,
    id?: string
  ) => Effect.Effect<ReadonlyArray<number>, StoreError>
}

/** The usage report; ids are as those of budgets. @category services @since 0.2.0 */
export interface UsageStore {
  readonly add: (row: UsageRow, id?: string) => Effect.Effect<void, StoreError>
  readonly rows: Stream.Stream<UsageRow, StoreError>
}

/** @category references @since 0.2.0 */
export const Limits: Context.Reference<LimitStore | undefined> = Context.Reference<LimitStore | undefined>(
  "effect-claude/admission/Stores/Limits",
  { defaultValue: () => undefined }
)

/** @category references @since 0.2.0 */
export const Budgets: Context.Reference<BudgetStore | undefined> = Context.Reference<BudgetStore | undefined>(
  "effect-claude/admission/Stores/Budgets",
  { defaultValue: () => undefined }
)

/** @category references @since 0.2.0 */
export const Circuits: Context.Reference<CircuitBreakerStore["Service"] | undefined> = Context.Reference<
  CircuitBreakerStore["Service"] | undefined
>(
  "effect-claude/admission/Stores/Circuits",
  { defaultValue: () => undefined }
)

/** @category references @since 0.2.0 */
export const Usage: Context.Reference<UsageStore | undefined> = Context.Reference<UsageStore | undefined>(
  "effect-claude/admission/Stores/Usage",
  { defaultValue: () => undefined }
)
