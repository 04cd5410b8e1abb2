/**
 * A budget's windows: the key that each is kept under, what is known here of it, and what is to be told of it.
 */
import * as Duration from "effect/Duration"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import { type BudgetUnit, type ResolvedBudget, scaleOf } from "./BudgetOptions.ts"
import type { BudgetEntry } from "./Stores.ts"

// -----------------------------------------------------------------------------
// events
// -----------------------------------------------------------------------------

/** What every event of a budget tells; amounts are in `unit`. @category models @since 0.2.0 */
export interface BudgetState {
  readonly budget: string
  /** Whose it is, where each tenant has its own. */
  readonly tenant: string | undefined
  readonly unit: BudgetUnit
  readonly spent: number
  readonly limit: number
  /** By the clock, in milliseconds. */
  readonly windowEndsAt: number
}

/**
 * What happens to a budget: a part of it is spent, without what is only reserved; a call was refused; a call's cost is
 * unknown, and what it had reserved counts as spent. All but refusals are told once in a window, by one of the processes
 * that share the budget.
 *
 * @category models
 * @since 0.2.0
 */
export type BudgetEvent =
  | BudgetState & { readonly _tag: "Threshold"; readonly fraction: number }
  /** Of each call that was refused; the first in its window, of all processes, says so. */
  | BudgetState & { readonly _tag: "Exceeded"; readonly needed: number; readonly first: boolean }
  | BudgetState & { readonly _tag: "Unpriced"; readonly model: string; readonly kept: number }

// -----------------------------------------------------------------------------
// accounts
// -----------------------------------------------------------------------------

/** What is known here of a key in its window. @internal */
export interface Watch {
  /** Reserved by calls of this process that run. */
  open: number
  /** What was told of it. */
  readonly told: Set<number | "Exceeded" | "Unpriced">
}

/** A budget's part in a call. @internal */
export interface Item {
  readonly account: Account
  readonly tenant: string | undefined
  readonly entry: BudgetEntry
  /** What of the entry is for the answer. */
  readonly output: number
  readonly watch: Watch
  readonly watches: Map<string, Watch>
  /** Something of the call has no price. */
  readonly unpriced: boolean
}

/** A budget and its window. @internal */
export class Account {
  readonly budget: ResolvedBudget
  readonly scale: number
  private readonly prefix: string
  private start = Number.NaN
  private watches = new Map<string, Watch>()

  constructor(budget: ResolvedBudget) {
    this.budget = budget
    this.scale = scaleOf(budget.unit)
    // Encoded, so that no name can look like another's with its window.
    this.prefix = `${encodeURIComponent(budget.name.toWellFormed())}:${budget.unit}:${budget.window}:`
  }

  item(
    tenant: string | undefined,
    most: { readonly amount: number; readonly output: number; readonly unpriced: boolean },
    now: number
  ): Item {
    const { limit, perTenant, tenants, window } = this.budget
    const start = now - (((now % window) + window) % window)
    if (start !== this.start) {
      this.start = start
      // Calls of the window before hold on to its own.
      this.watches = new Map()
    }
    const whose = perTenant ? tenant ?? "" : undefined
    const id = whose ?? ""
    let watch = this.watches.get(id)
    if (watch === undefined) {
      if (this.watches.size >= MOST_WATCHES) this.watches.clear()
      this.watches.set(id, watch = { open: 0, told: new Set() })
    }
    const entry: BudgetEntry = {
      key: `${this.prefix}${start}:${id}`,
      amount: most.amount,
      limit: whose === undefined ? limit : tenants.get(whose) ?? limit,
      expiresAt: start + window
    }
    return {
      account: this,
      tenant: whose,
      entry,
      output: most.output,
      watch,
      watches: this.watches,
      unpriced: most.unpriced
    }
  }

  /** Forgets a watch that has nothing to remember. */
  keep({ tenant, watch, watches }: Item): void {
    const id = tenant ?? ""
    if (watch.open === 0 && watch.told.size === 0 && watches.get(id) === watch) watches.delete(id)
  }
}

/** Beyond it events may be told again. */
const MOST_WATCHES = 100_000

/** @internal */
export const stateOf = ({ account: { budget, scale }, entry, tenant }: Item, spent: number): BudgetState => ({
  budget: budget.name,
  tenant,
  unit: budget.unit,
  spent: spent / scale,
  limit: entry.limit / scale,
  windowEndsAt: entry.expiresAt
})

/** What is to be told, for the first time in the window, of what is spent now. @internal */
export const told = (item: Item, spent: number, unknown: string | undefined): ReadonlyArray<BudgetEvent> => {
  const { account: { budget, scale }, entry, watch } = item
  const events: Array<BudgetEvent> = []
  for (const fraction of budget.warnAt) {
    if (spent < fraction * entry.limit || watch.told.has(fraction)) continue
    watch.told.add(fraction)
    events.push({ _tag: "Threshold", ...stateOf(item, spent), fraction })
  }
  if (unknown !== undefined && !watch.told.has("Unpriced")) {
    watch.told.add("Unpriced")
    events.push({ _tag: "Unpriced", ...stateOf(item, spent), model: unknown, kept: entry.amount / scale })
  }
  return events
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** @internal */
export const exceeded = (item: Item, spent: number, now: number): ClaudeError.ClaudeFatalError => {
  const { account: { budget, scale }, entry, tenant, watch } = item
  const { amount, expiresAt, limit } = entry
  const show = (units: number) => amountOf(budget.unit, units / scale)
  const whose = tenant === undefined ? "" : ` of tenant ${JSON.stringify(tenant.slice(0, 64))}`
  const never = amount > limit
  const running = Math.min(spent, watch.open)
  const left = `${show(Math.max(0, limit - spent))} of ${show(limit)} left until ${new Date(expiresAt).toISOString()}`
  return Failure.fatal(
    new ClaudeError.BudgetExceeded({
      budget: budget.name,
      unit: budget.unit,
      limit: limit / scale,
      spent: spent / scale,
      needed: amount / scale
    }),
    `Budget ${JSON.stringify(budget.name)}${whose} has ${left}, and this call may come to ${show(amount)}. ` +
      (running > 0 ? `Calls that run have reserved ${show(running)}, and give back what they do not use. ` : "") +
      (never
        ? "It would not fit into a whole window: lower max_tokens, shorten the prompt, or raise the budget."
        : "Wait until then, lower max_tokens, shorten the prompt, or raise the budget."),
    { type: "budget_exceeded", retryAfter: never ? undefined : Duration.millis(Math.max(0, expiresAt - now)) }
  )
}

const amountOf = (unit: BudgetUnit, amount: number): string => {
  if (unit === "tokens") return `${amount} tokens`
  // Two digits that say something, down to a nano-dollar.
  const digits = amount > 0 && amount < 1 ? Math.min(9, 1 - Math.floor(Math.log10(amount))) : 2
  return `$${amount.toFixed(digits)}`
}
