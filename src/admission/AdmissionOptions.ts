/**
 * What may be said of admission: how many calls at once, which rates, whose turns.
 *
 * Everything has a default that needs no thought: the level finds itself, rates are learned from the server, tenants
 * are served in turn. What cannot be meant is refused by name.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Model from "../request/Model.ts"
import { kinds, type RatesOptions } from "./Rates.ts"
import type { LimitKind } from "./Stores.ts"
import type { TenantOptions } from "./Turns.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** How many calls to a model may be in flight: found between these, as the server takes them. @category options @since 0.2.0 */
export interface ConcurrencyOptions {
  /** @default 1 */
  readonly min?: number | undefined
  /** @default 64 */
  readonly max?: number | undefined
}

/** What the API allows in a window. @category options @since 0.2.0 */
export interface RateLimits {
  readonly requests?: number | undefined
  /** Without those that are read from the prompt cache. */
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
  /** Input and output together. */
  readonly tokens?: number | undefined
}

/** @category options @since 0.2.0 */
export interface RateLimitOptions extends RateLimits {
  /** @default "1 minute" */
  readonly window?: Duration.Input | undefined
  /** Follows the limits that responses tell, where they are lower than these. @default true */
  readonly learn?: boolean | undefined
  /** Limits of a model of its own, in place of those above. */
  readonly models?: Readonly<Record<string, RateLimits>> | undefined
}

/** @category options @since 0.2.0 */
export interface TenantsOptions {
  readonly known?: Readonly<Record<string, TenantOptions>> | undefined
  /** What holds for those that are not listed; "refused" closes the list. @default one turn each */
  readonly others?: TenantOptions | "refused" | undefined
}

// -----------------------------------------------------------------------------
// settings
// -----------------------------------------------------------------------------

/** @internal */
export interface Admission {
  readonly concurrency: { readonly min: number; readonly max: number }
  readonly queue: number
  readonly ratesOf: (model: string) => RatesOptions
  /** What a tenant may have, or that it is none of this client's. */
  readonly tenant: (name: string) => TenantOptions | undefined
}

/** What of a client decides when its calls start. @category options @since 0.2.0 */
export interface AdmissionOptions {
  readonly concurrency?: number | ConcurrencyOptions | undefined
  readonly queue?: number | undefined
  readonly rateLimits?: RateLimitOptions | undefined
  readonly tenants?: TenantsOptions | undefined
}

type Refused = ClaudeError.ClaudeFatalError

/** Reads the options, naming the one that is wrong. @internal */
export const resolve = (options: AdmissionOptions): Admission | Refused => {
  const concurrency = resolveConcurrency(options.concurrency)
  if ("_tag" in concurrency) return concurrency
  const { queue = 10_000 } = options
  if (!isCount(queue, 0)) return refuse("queue", queue, "a whole number from 0: how many calls may wait")
  const ratesOf = resolveRates(options.rateLimits)
  if (typeof ratesOf !== "function") return ratesOf
  const tenant = resolveTenants(options.tenants)
  if (typeof tenant !== "function") return tenant
  return { concurrency, queue, ratesOf, tenant }
}

const resolveConcurrency = (option: number | ConcurrencyOptions | undefined): Admission["concurrency"] | Refused => {
  if (typeof option === "number") {
    return isCount(option, 1)
      ? { min: option, max: option }
      : refuse("concurrency", option, "a whole number from 1: how many calls may be in flight")
  }
  const unknown = checkKeys("concurrency", option, ["min", "max"])
  if (unknown !== undefined) return unknown
  const { max = 64, min = 1 } = option ?? {}
  if (!isCount(max, 1)) return refuse("concurrency.max", max, "a whole number from 1")
  if (!isCount(min, 1) || min > max) return refuse("concurrency.min", min, `a whole number from 1 to max (${max})`)
  return { min, max }
}

const resolveRates = (options: RateLimitOptions | undefined): Admission["ratesOf"] | Refused => {
  const wrong = checkKeys("rateLimits", options, [...kinds, "window", "learn", "models"]) ??
    checkKeys("rateLimits.models", options?.models, Object.keys(options?.models ?? {}))
  if (wrong !== undefined) return wrong
  const { learn = true, models = {}, window = "1 minute", ...all } = options ?? {}
  if (typeof learn !== "boolean") return refuse("rateLimits.learn", learn, "true or false")
  const duration = Duration.fromInput(window)
  const windowMillis = duration._tag === "None" ? Number.NaN : Duration.toMillis(duration.value)
  if (!(windowMillis > 0 && Number.isFinite(windowMillis))) {
    return refuse("rateLimits.window", window, `a time such as "1 minute"`)
  }
  const known = new Map<string, RateLimits>()
  for (const [model, limits] of Object.entries(models)) {
    const wrong = checkKeys(`rateLimits.models.${model}`, limits, kinds) ??
      checkLimits(`rateLimits.models.${model}`, limits)
    if (wrong !== undefined) return wrong
    known.set(Model.lookup(model)?.label ?? model, limits)
  }
  return checkLimits("rateLimits", all) ?? ((model) => ({ limits: known.get(model) ?? all, windowMillis, learn }))
}

const checkLimits = (where: string, limits: { readonly [K in LimitKind]?: number | undefined }) => {
  const kind = kinds.find((kind) => limits[kind] !== undefined && !(limits[kind] > 0 && Number.isFinite(limits[kind])))
  return kind === undefined
    ? undefined
    : refuse(`${where}.${kind}`, limits[kind], "a number above zero, or nothing where there is no limit")
}

const resolveTenants = (options: TenantsOptions | undefined): Admission["tenant"] | Refused => {
  const wrong = checkKeys("tenants", options, ["known", "others"])
  if (wrong !== undefined) return wrong
  const { known = {}, others = {} } = options ?? {}
  if (typeof others === "string" && others !== "refused") {
    return refuse("tenants.others", others, `"refused", or { weight, max }`)
  }
  if (!Predicate.isObject(known)) return refuse("tenants.known", known, "an object of { weight, max } by tenant")
  const all: ReadonlyArray<readonly [string, TenantOptions | "refused"]> = [
    ...Object.entries(known).map(([name, tenant]) => [`known.${name}`, tenant] as const),
    ["others", others]
  ]
  for (const [name, tenant] of all) {
    if (tenant === "refused") continue
    const wrong = checkKeys(`tenants.${name}`, tenant, ["weight", "max"])
    if (wrong !== undefined) return wrong
    const { max, weight } = tenant
    if (weight !== undefined && !isCount(weight, 1)) {
      return refuse(`tenants.${name}.weight`, weight, "a whole number of turns from 1")
    }
    if (max !== undefined && !isCount(max, 1)) {
      return refuse(`tenants.${name}.max`, max, "a whole number of calls from 1")
    }
  }
  const byName = new Map(Object.entries(known))
  return (name) => byName.get(name) ?? (others === "refused" ? undefined : others)
}

const isCount = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && Number(value) >= least

const refuse = (option: string, value: unknown, expected: string): Refused =>
  Failure.misconfigured(option, `${option} is ${String(value)}; expected ${expected}.`)

const checkKeys = (where: string, options: unknown, known: ReadonlyArray<string>): Refused | undefined => {
  if (options === undefined) return undefined
  if (!Predicate.isObject(options)) return refuse(where, options, `an object of ${known.join(", ")}`)
  const key = Object.keys(options).find((key) => !known.includes(key))
  return key === undefined
    ? undefined
    : Failure.misconfigured(`${where}.${key}`, `${key} is no option of ${where}; there are ${known.join(", ")}.`)
}
