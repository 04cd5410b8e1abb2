/**
 * What a budget is declared with, and what is refused of it, by name, before anything is sent.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * What may be spent in a window, in USD or in tokens, one of the two.
 *
 * @category options
 * @since 0.2.0
 */
export interface BudgetOptions {
  /** Names it in errors, events and metrics; each of a client's budgets has its own. @default "budget" */
  readonly name?: string | undefined
  readonly usd?: number | undefined
  /** Input, cached or not, and output. */
  readonly tokens?: number | undefined
  /** Windows follow each other from 1970 on, in UTC: "1 day" begins at midnight, "1 week" on a Thursday. */
  readonly window: Duration.Input
  /** Whether each tenant has so much, or all have it together. @default "all" */
  readonly per?: "tenant" | "all" | undefined
  /** Other limits of these tenants, with `per: "tenant"`. */
  readonly tenants?: Readonly<Record<string, number>> | undefined
  /** Parts of the limit at which an event tells that so much is spent. @default [0.8] */
  readonly warnAt?: ReadonlyArray<number> | undefined
  /** What becomes of calls under a USD budget that something without a known price is a part of. @default "refuse" */
  readonly unpriced?: "refuse" | "allow" | undefined
}

/** @category models @since 0.2.0 */
export type BudgetUnit = "USD" | "tokens"

/** A budget that was read. @internal */
export interface ResolvedBudget {
  readonly name: string
  readonly unit: BudgetUnit
  /** In whole units: nano-dollars, or tokens. */
  readonly limit: number
  readonly window: number
  readonly perTenant: boolean
  readonly tenants: ReadonlyMap<string, number>
  /** From the lowest to the highest. */
  readonly warnAt: ReadonlyArray<number>
  readonly unpriced: "refuse" | "allow"
}

/** Units of a store in one of the budget's. @internal */
export const scaleOf = (unit: BudgetUnit): number => unit === "USD" ? 1_000_000_000 : 1

// -----------------------------------------------------------------------------
// resolve
// -----------------------------------------------------------------------------

const keys = ["name", "usd", "tokens", "window", "per", "tenants", "warnAt", "unpriced"]

/** Reads a budget or several, naming what cannot be used. @internal */
export const resolve = (
  options: BudgetOptions | ReadonlyArray<BudgetOptions> | undefined
): ReadonlyArray<ResolvedBudget> | ClaudeError.ClaudeFatalError => {
  if (options === undefined) return []
  const isList = Array.isArray(options)
  const resolved: Array<ResolvedBudget> = []
  const names = new Set<string>()
  for (const [index, each] of (isList ? options : [options]).entries()) {
    const where = isList ? `budget[${index}]` : "budget"
    const budget = one(where, each)
    if ("reason" in budget) return budget
    if (names.has(budget.name)) {
      return Failure.misconfigured(
        `${where}.name`,
        `${where}.name is ${JSON.stringify(budget.name)}, and so is that of a budget before it. Give each its own.`
      )
    }
    names.add(budget.name)
    resolved.push(budget)
  }
  return resolved
}

const one = (where: string, options: BudgetOptions): ResolvedBudget | ClaudeError.ClaudeFatalError => {
  if (!Predicate.isObject(options)) return refuse(where, options, `a budget, such as { usd: 10, window: "1 day" }`)
  const unknown = Object.keys(options).find((key) => !keys.includes(key))
  if (unknown !== undefined) {
    return Failure.misconfigured(
      `${where}.${unknown}`,
      `${unknown} is no option of ${where}; there are ${keys.join(", ")}.`
    )
  }
  const { name = "budget", per = "all", tenants = {}, tokens, unpriced = "refuse", usd, warnAt = [0.8] } = options
  if (typeof name !== "string" || name === "") return refuse(`${where}.name`, name, "a text that is not empty")
  if ((usd === undefined) === (tokens === undefined)) {
    return Failure.misconfigured(
      `${where}.usd`,
      `${where} has ${usd === undefined ? "neither usd nor tokens" : "usd and tokens"}; expected one of the two.`
    )
  }
  const unit = usd === undefined ? "tokens" : "USD"
  const limit = units(unit, usd ?? tokens)
  if (limit === undefined) return refuse(`${where}.${field[unit]}`, usd ?? tokens, expected[unit])
  const window = options.window === undefined ? undefined : millisOf(options.window)
  if (window === undefined) {
    return refuse(
      `${where}.window`,
      options.window ?? "missing",
      `a time from a millisecond to 100 years, such as "1 day"`
    )
  }
  if (per !== "all" && per !== "tenant") return refuse(`${where}.per`, per, `"tenant" or "all"`)
  if (!Predicate.isObject(tenants)) return refuse(`${where}.tenants`, tenants, "an object of limits by tenant")
  const limits = new Map<string, number>()
  for (const [tenant, value] of Object.entries(tenants)) {
    if (per !== "tenant") {
      return Failure.misconfigured(
        `${where}.tenants`,
        `${where}.tenants is set, but all tenants share this budget. Set per: "tenant", or leave tenants out.`
      )
    }
    const own = units(unit, value)
    if (own === undefined) return refuse(`${where}.tenants[${JSON.stringify(tenant)}]`, value, expected[unit])
    limits.set(tenant, own)
  }
  if (!Array.isArray(warnAt)) return refuse(`${where}.warnAt`, warnAt, "a list of fractions, such as [0.5, 0.8]")
  for (const [index, fraction] of warnAt.entries()) {
    if (!(typeof fraction === "number" && fraction > 0 && fraction <= 1)) {
      return refuse(`${where}.warnAt[${index}]`, fraction, "a fraction above 0 and up to 1, such as 0.8")
    }
  }
  if (unpriced !== "refuse" && unpriced !== "allow") return refuse(`${where}.unpriced`, unpriced, `"refuse" or "allow"`)
  return {
    name,
    unit,
    limit,
    window,
    perTenant: per === "tenant",
    tenants: limits,
    warnAt: [...new Set(warnAt)].toSorted((a, b) => a - b),
    unpriced
  }
}

const field = { USD: "usd", tokens: "tokens" } as const

// What is counted in whole nano-dollars stays exact up to 2 to the power of 53.
const expected = {
  USD: "an amount above zero, of at most 9000000 USD",
  tokens: "a whole number from 1"
} as const

const units = (unit: BudgetUnit, value: unknown): number | undefined => {
  if (typeof value !== "number") return undefined
  if (unit === "tokens") return Number.isSafeInteger(value) && value > 0 ? value : undefined
  const nanos = Math.round(value * scaleOf(unit))
  return nanos > 0 && value <= 9_000_000 ? nanos : undefined
}

const millisOf = (input: Duration.Input): number | undefined => {
  const duration = Duration.fromInput(input)
  const millis = duration._tag === "None" ? Number.NaN : Math.round(Duration.toMillis(duration.value))
  return millis > 0 && millis <= CENTURY ? millis : undefined
}

const CENTURY = 36_525 * 24 * 60 * 60 * 1000

const refuse = (option: string, value: unknown, expected: string) =>
  Failure.misconfigured(option, `${option} is ${String(value)}; expected ${expected}.`)
