/**
 * Money and tokens that calls may spend in a window of time, all together or each tenant.
 *
 * Before a call is sent, the most that it can cost is reserved; afterwards it is settled with what it did cost. A call
 * that might overspend is refused, so a budget is kept however many calls run at once. The surprise: what running calls
 * have reserved is not free to others, so a nearly spent budget refuses calls that would have fitted in the end.
 */
import * as Effect from "effect/Effect"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { Cost } from "../request/Cost.ts"
import * as Estimate from "../request/Estimate.ts"
import { type InputSize, isCount } from "../request/InputSize.ts"
import type { Pricing } from "../request/Pricing.ts"
import { Account, type BudgetEvent, exceeded, type Item, stateOf, told } from "./BudgetAccount.ts"
import * as BudgetBooks from "./BudgetBooks.ts"
import { type BudgetUnit, type ResolvedBudget, scaleOf } from "./BudgetOptions.ts"
import * as BudgetStore from "./BudgetStore.ts"

/** @internal */
export type { BudgetEvent } from "./BudgetAccount.ts"
/** @internal */
export { resolve, type ResolvedBudget } from "./BudgetOptions.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A call that is about to be sent. @internal */
export interface BudgetedCall {
  readonly tenant: string | undefined
  readonly model: string
  readonly size: InputSize
  readonly maxTokens: number
  readonly now: number
}

/** What a call came to. @internal */
export interface Spent {
  readonly cost: Cost | undefined
  /** All input, cached or not, and output; undefined where nobody knows. */
  readonly tokens: number | undefined
  /** Its cost is unknown, rather than nothing. */
  readonly unpriced: boolean
  /** Its answer did not come to an end, so nobody knows how much of it was produced: all of it counts. */
  readonly partial?: boolean | undefined
  /** Nobody will ever know: so much of what was reserved is taken for it. */
  readonly takenFor?: "all" | "input" | undefined
}

/** What a call that was never billed came to: all that was reserved is given back. @internal */
export const nothing: Spent = { cost: undefined, tokens: 0, unpriced: false }

/** What a call came to that was sent and whose answer nobody saw: all that was reserved counts as spent. @internal */
export const unknown: Spent = { cost: undefined, tokens: undefined, unpriced: true, takenFor: "all" }

/** The same of one that was ended before it produced anything: the most that its input may cost. @internal */
export const unknownInput: Spent = { ...unknown, takenFor: "input" }

/** @internal */
export interface Reservation {
  /** Once: what follows the first changes nothing. */
  readonly settle: (spent: Spent) => Effect.Effect<void>
}

/** @internal */
export interface Budget {
  /** Waits for a shared store at most as long as its guard does, and is not interrupted meanwhile. */
  readonly reserve: (call: BudgetedCall) => Effect.Effect<Reservation, ClaudeError.ClaudeFatalError>
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export interface BudgetSetup {
  readonly pricing: Pricing
  /** Where processes share their budgets. */
  readonly shared?: BudgetBooks.SharedBudgets | undefined
  readonly onEvent?: ((event: BudgetEvent) => Effect.Effect<void>) | undefined
  /** For gauges: what is neither spent nor reserved, in the budget's unit. */
  readonly onLevel?: ((level: BudgetLevel) => void) | undefined
}

/** A budget as it stands. @internal */
export interface BudgetLevel {
  readonly budget: string
  readonly tenant: string | undefined
  readonly unit: BudgetUnit
  readonly limit: number
  readonly remaining: number
  readonly windowEndsAt: number
}

/** @internal */
export const make = (budgets: ReadonlyArray<ResolvedBudget>, setup: BudgetSetup): Budget => {
  const { onEvent, onLevel, pricing, shared } = setup
  if (budgets.length === 0) return { reserve: () => Effect.succeed(unlimited) }
  const accounts = budgets.map((budget) => new Account(budget))
  const books = BudgetBooks.make(BudgetStore.makeMemory(), shared)
  const inUsd = budgets.some(({ unit }) => unit === "USD")
  const strict = budgets.find(({ unit, unpriced }) => unit === "USD" && unpriced === "refuse")

  const level = ({ account, entry, tenant }: Item, spent: number) => {
    const { budget: { name, unit }, scale } = account
    onLevel?.({
      budget: name,
      tenant,
      unit,
      limit: entry.limit / scale,
      remaining: Math.max(0, entry.limit - spent) / scale,
      windowEndsAt: entry.expiresAt
    })
  }

  /** A failing listener is none of the call's business. */
  const tell = (events: ReadonlyArray<BudgetEvent>): Effect.Effect<void> =>
    onEvent === undefined || events.length === 0
      ? Effect.void
      : Effect.forEach(events, (event) => Effect.ignoreCause(Effect.suspend(() => onEvent(event))), { discard: true })

  const reserve: Budget["reserve"] = (call) =>
    Effect.suspend(() => {
      const { maxTokens, model, now, size, tenant } = call
      const most = inUsd ? Estimate.mostCost(pricing, model, size, maxTokens, now) : undefined
      const missing = most?.missing
      if (missing !== undefined && strict !== undefined) return Effect.fail(unknownPrice(strict.name, missing))
      const items = accounts.map((account) => {
        const parts = account.budget.unit === "USD"
          ? { amount: nanos(most?.usd ?? 0), output: nanos(most?.outputUsd ?? 0), unpriced: missing !== undefined }
          : { amount: whole(Estimate.most(size) + maxTokens), output: maxTokens, unpriced: false }
        return account.item(tenant, parts, now)
      })
      // What is allowed without a price has nothing to reserve, and passes an exhausted budget too.
      const asked = items.filter(({ entry, unpriced }) => entry.amount > 0 || !unpriced)
      if (asked.length === 0) return Effect.succeed(reservation(items, model))
      for (const { entry, watch } of asked) watch.open += entry.amount
      return Effect.flatMap(books.reserve(asked.map(({ entry }) => entry), now), (reserved) => {
        if (reserved._tag === "Reserved") {
          for (const [index, item] of asked.entries()) level(item, reserved.spent[index] ?? 0)
          return Effect.succeed(reservation(items, model))
        }
        for (const { entry, watch } of asked) watch.open -= entry.amount
        const item = asked[reserved.index]!
        const isFirstHere = !item.watch.told.has("Exceeded")
        item.watch.told.add("Exceeded")
        for (const each of items) each.account.keep(each)
        const needed = item.entry.amount / item.account.scale
        const isFirst = isFirstHere ? books.isFirst(item.entry, "Exceeded") : Effect.succeed(false)
        const event = Effect.map(isFirst, (first): BudgetEvent => ({
          _tag: "Exceeded",
          ...stateOf(item, reserved.spent),
          needed,
          first
        }))
        return Effect.andThen(
          Effect.flatMap(event, (event) => tell([event])),
          Effect.fail(exceeded(item, reserved.spent, now))
        )
      })
    }).pipe(Effect.uninterruptible)

  const reservation = (items: ReadonlyArray<Item>, model: string): Reservation => {
    let settled = false
    return {
      settle: (spent) =>
        Effect.clockWith((clock) => {
          if (settled) return Effect.void
          settled = true
          const now = clock.currentTimeMillisUnsafe()
          const changes = items.map((item) => ({ entry: item.entry, spent: counted(item, spent) ?? item.entry.amount }))
          return Effect.flatMap(books.settle(changes, now), (after) => {
            const events: Array<readonly [Item, BudgetEvent]> = []
            for (const [index, item] of items.entries()) {
              item.watch.open -= item.entry.amount
              // What a window that is over came to is nobody's warning.
              if (item.entry.expiresAt <= now) continue
              const total = after[index] ?? 0
              level(item, total)
              const unpriced = counted(item, spent) === undefined ? model : undefined
              for (const event of told(item, Math.max(0, total - item.watch.open), unpriced)) events.push([item, event])
              item.account.keep(item)
            }
            // Of all processes that share the budget one tells of it.
            const first = Effect.filter(events, ([{ entry }, event]) => books.isFirst(entry, nameOf(event)))
            return events.length === 0
              ? Effect.void
              : Effect.flatMap(first, (first) => tell(first.map(([, event]) => event)))
          })
        }).pipe(Effect.uninterruptible)
    }
  }

  return { reserve }
}

const unlimited: Reservation = { settle: () => Effect.void }

/** In the units of a store; undefined where nobody knows, which is never taken for nothing. */
const spentOf = (unit: BudgetUnit, { cost, tokens, unpriced }: Spent): number | undefined => {
  if (unit === "tokens") return isCount(tokens) ? whole(tokens) : undefined
  if (isCount(cost?.amount)) return nanos(cost.amount)
  return unpriced || tokens !== 0 ? undefined : 0
}

const nameOf = (event: BudgetEvent): string | number => event._tag === "Threshold" ? event.fraction : event._tag

/** What counts of it; undefined where all that was reserved does, since it has no price. */
const counted = ({ account, entry, output }: Item, spent: Spent): number | undefined => {
  if (spent.takenFor !== undefined) return Math.max(0, entry.amount - (spent.takenFor === "input" ? output : 0))
  const known = spentOf(account.budget.unit, spent)
  return known === undefined || spent.partial !== true ? known : Math.max(known, Math.min(entry.amount, known + output))
}

/** Whole nano-dollars, rounded up; the thousandth of one is what adding up fractions may leave over. */
const nanos = (usd: number): number => whole(usd * scaleOf("USD") - 1e-3)

const whole = (units: number): number => Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.ceil(units)))

const unknownPrice = (budget: string, missing: string) =>
  Failure.misconfigured(
    "pricing",
    `Budget ${JSON.stringify(budget)} is in USD, and ${missing}, so nobody knows what this call can cost. ` +
      `Set the option pricing, as Pricing.make({ overrides }) or Pricing.fromFile(path) make it; ` +
      `or let such calls pass uncounted with unpriced: "allow".`
  )
