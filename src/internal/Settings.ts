/**
 * The options of a client, read once: what each default is, and what is refused before anything is sent.
 */
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as AdmissionOptions from "../admission/AdmissionOptions.ts"
import * as Budget from "../admission/Budget.ts"
import * as Circuit from "../admission/Circuit.ts"
import type { Priority } from "../admission/Turns.ts"
import type * as RetryPolicy from "../attempt/RetryPolicy.ts"
import * as Timeouts from "../attempt/Timeouts.ts"
import * as ResponseCache from "../cache/ResponseCache.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Pricing from "../request/Pricing.ts"
import type * as Request from "../request/Request.ts"
import type { TelemetryOptions } from "../telemetry/CallTelemetry.ts"
import type { AnthropicClient } from "../transport/AnthropicTransport.ts"

/** Another model, or another client, that a call may fail over to. */
export interface FallbackTarget {
  /** @default the call's own model */
  readonly model?: string | undefined
  /** Such as one of Bedrock, Vertex, Foundry, or one with another key. @default the layer's own */
  readonly client?: AnthropicClient | undefined
}

/** How a call behaves, by itself. */
export interface Policy {
  /** Whose call this is: for its turn, its budget, its share of the cache, and spans. */
  readonly tenant?: string | undefined
  /** A tenant's interactive calls go before its batch ones. @default "interactive" */
  readonly priority?: Priority | undefined
  /** Where to go, in this order, when a call fails that another may serve: models, or models of other clients. */
  readonly fallback?: ReadonlyArray<string | FallbackTarget> | undefined
  /** What a message that was refused does: it is the answer, or the next of `fallback` is asked. @default "answer" */
  readonly onRefusal?: "answer" | "fallback" | undefined
  /** Answers a request that was answered before from the response cache, and keeps its answer. @default false */
  readonly cache?: boolean | undefined
  /** Facts of yours on the call's span, as `claude.tag.<name>`. */
  readonly tags?: Readonly<Record<string, string>> | undefined
  /** Headers beside the client's own, such as `anthropic-beta`, whose values add up. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** When a failed attempt is made again. @default RetryPolicy.standard */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  readonly timeouts?: Timeouts.TimeoutOptions | undefined
  /** How an answer travels: as events, or as one JSON message, which is cheaper for short ones. @default "sse" */
  readonly wire?: "sse" | "json" | undefined
  /** What a stream does that breaks after its first content: fail, or emit a restart event and begin again. @default "fail" */
  readonly onBreak?: "fail" | "restart" | undefined
  /** How often `Claude.object` asks to correct an object that does not fit its schema. @default 1 */
  readonly repair?: number | undefined
}

/** What a client is made of, beside its transport. */
export interface ClientOptions extends Omit<Policy, "tenant" | "tags" | "priority">, AdmissionOptions.AdmissionOptions {
  /** What a request may leave out. */
  readonly defaults?: Request.Defaults | undefined
  /**
   * How many calls to a model may be in flight: found between `min` and `max` as the server takes them, or a fixed
   * number.
   *
   * @default { min: 1, max: 64 }
   */
  readonly concurrency?: number | AdmissionOptions.ConcurrencyOptions | undefined
  /** How many calls may wait, for each tenant and priority. @default 10 000 */
  readonly queue?: number | undefined
  /** What the API allows. @default what it tells */
  readonly rateLimits?: AdmissionOptions.RateLimitOptions | undefined
  /** How tenants share the turns. @default one turn each */
  readonly tenants?: AdmissionOptions.TenantsOptions | undefined
  /** When calls to what is down are turned away at once; `false` never. */
  readonly circuit?: Circuit.CircuitOptions | false | undefined
  /** What may be spent in a window. @default nothing is bounded */
  readonly budgets?: ReadonlyArray<Budget.BudgetOptions> | undefined
  /** What the response cache keeps, for calls whose policy has `cache: true`. */
  readonly responseCache?: ResponseCache.CacheOptions | undefined
  /** How many retries all calls may make: a part of a retry for each call, up to a burst. @default one for five calls, burst 10 */
  readonly retryBudget?: { readonly ratio?: number | undefined; readonly burst?: number | undefined } | undefined
  readonly telemetry?: TelemetryOptions | undefined
  /** The prices that costs are made of. @default Pricing.standard */
  readonly pricing?: Pricing.Pricing | undefined
}

export interface Settings {
  readonly policy: Policy
  readonly defaults: Request.Defaults
  readonly admission: AdmissionOptions.Admission
  readonly circuit: Circuit.CircuitSettings | undefined
  readonly budgets: ReadonlyArray<Budget.ResolvedBudget>
  readonly responseCache: ResponseCache.Resolved
  readonly retryBudget: { readonly ratio: number; readonly burst: number }
  readonly telemetry: TelemetryOptions
  readonly pricing: Pricing.Pricing
}

const policyKeys = [
  "headers",
  "retry",
  "timeouts",
  "wire",
  "onBreak",
  "repair",
  "fallback",
  "onRefusal",
  "cache"
] as const
const admissionKeys = ["concurrency", "queue", "rateLimits", "tenants", "circuit", "budgets", "responseCache"]
const transportKeys = ["apiKey", "client", "baseURL", "dispatcher"]
const clientKeys = [
  ...transportKeys,
  ...policyKeys,
  ...admissionKeys,
  "defaults",
  "retryBudget",
  "telemetry",
  "pricing"
]
const callKeys = [...policyKeys, "tenant", "tags", "priority"]

/** Reads a client's options, or says which one is wrong. */
export const resolve = (options: ClientOptions): Settings | ClaudeError.ClaudeFatalError => {
  const wrong = checkKeys("options", options, clientKeys) ?? checkPolicy(options) ?? checkClient(options) ??
    checkKeys("defaults", options.defaults, ["model", "max_tokens"]) ??
    checkKeys("retryBudget", options.retryBudget, ["ratio", "burst"]) ??
    checkKeys("telemetry", options.telemetry, ["content", "propagate", "tenants"]) ??
    checkKeys("telemetry.content", options.telemetry?.content, ["capture", "redact"])
  if (wrong !== undefined) return wrong
  const admission = AdmissionOptions.resolve(options)
  if ("_tag" in admission) return admission
  const circuit = options.circuit === false ? undefined : Circuit.resolve(options.circuit)
  if (circuit !== undefined && "reason" in circuit) return circuit
  const budgets = Budget.resolve(options.budgets)
  if ("_tag" in budgets) return budgets
  const responseCache = ResponseCache.resolve(options.responseCache)
  if ("_tag" in responseCache) return responseCache
  const { burst = 10, ratio = 0.2 } = options.retryBudget ?? {}
  if (!(ratio >= 0 && Number.isFinite(ratio))) {
    return refuse("retryBudget.ratio", ratio, "a number from 0, such as 0.2 for one retry in five calls")
  }
  if (!(burst >= 0 && Number.isFinite(burst))) return refuse("retryBudget.burst", burst, "a number from 0, such as 10")
  const maxTokens = options.defaults?.max_tokens
  if (maxTokens !== undefined && (!Number.isInteger(maxTokens) || maxTokens < 1)) {
    return refuse("defaults.max_tokens", maxTokens, "a whole number from 1")
  }
  const capture = options.telemetry?.content?.capture
  if (capture !== undefined && typeof capture !== "function" && !captures.includes(capture)) {
    return refuse("telemetry.content.capture", capture, `"off", "span", "event" or a function`)
  }
  return {
    policy: Object.fromEntries(policyKeys.map((key) => [key, options[key]])),
    defaults: options.defaults ?? {},
    admission,
    circuit,
    budgets,
    responseCache,
    retryBudget: { ratio, burst },
    telemetry: options.telemetry ?? {},
    pricing: options.pricing ?? Pricing.standard
  }
}

const captures: ReadonlyArray<unknown> = ["off", "span", "event"]

/** A client that is handed in brings its own credential, URL and connections. */
const checkClient = (options: object): ClaudeError.ClaudeFatalError | undefined => {
  if (Reflect.get(options, "client") === undefined) return undefined
  const beside = transportKeys.find((key) => key !== "client" && Reflect.get(options, key) !== undefined)
  return beside === undefined
    ? undefined
    : Failure.misconfigured(beside, `${beside} is set beside client, which has its own. Leave one of the two out.`)
}

/** The first thing that is wrong with a policy. */
const checkPolicy = (policy: Policy): ClaudeError.ClaudeFatalError | undefined => {
  if (policy.wire !== undefined && policy.wire !== "sse" && policy.wire !== "json") {
    return refuse("wire", policy.wire, `"sse" or "json"`)
  }
  if (policy.onBreak !== undefined && policy.onBreak !== "fail" && policy.onBreak !== "restart") {
    return refuse("onBreak", policy.onBreak, `"fail" or "restart"`)
  }
  if (policy.onRefusal !== undefined && policy.onRefusal !== "answer" && policy.onRefusal !== "fallback") {
    return refuse("onRefusal", policy.onRefusal, `"answer" or "fallback"`)
  }
  if (policy.priority !== undefined && policy.priority !== "interactive" && policy.priority !== "batch") {
    return refuse("priority", policy.priority, `"interactive" or "batch"`)
  }
  if (policy.cache !== undefined && typeof policy.cache !== "boolean") {
    return refuse("cache", policy.cache, "true or false; how long and how much is kept is the layer's responseCache")
  }
  const fallback = checkFallback(policy.fallback)
  if (fallback !== undefined) return fallback
  if (policy.repair !== undefined && (!Number.isInteger(policy.repair) || policy.repair < 0)) {
    return refuse("repair", policy.repair, "a whole number from 0")
  }
  if (policy.retry !== undefined && !Schedule.isSchedule(policy.retry?.schedule)) {
    return refuse("retry", policy.retry, "a RetryPolicy, such as RetryPolicy.make({ times: 2 }) or RetryPolicy.none")
  }
  const wrong = checkKeys("timeouts", policy.timeouts, ["headers", "firstContent", "idle", "total"])
  if (wrong !== undefined) return wrong
  const timeouts = Timeouts.resolve(policy.timeouts)
  return "_tag" in timeouts ? timeouts : undefined
}

const checkFallback = (targets: Policy["fallback"]): ClaudeError.ClaudeFatalError | undefined => {
  if (targets === undefined) return undefined
  if (!Array.isArray(targets)) return refuse("fallback", targets, "a list of models, or of { model, client }")
  for (const [i, target] of targets.entries()) {
    if (typeof target === "string" && target !== "") continue
    const where = `fallback[${i}]`
    if (!Predicate.isObject(target)) return refuse(where, target, "the id of a model, or { model, client }")
    const wrong = checkKeys(where, target, ["model", "client"])
    if (wrong !== undefined) return wrong
    if (target.model === undefined && target.client === undefined) {
      return refuse(where, "empty", "a model, a client, or both")
    }
  }
  return undefined
}

/** Refuses what `Claude.withPolicy` does not know. */
const checkCallPolicy = (policy: Policy): ClaudeError.ClaudeFatalError | undefined =>
  checkKeys("policy", policy, callKeys) ?? checkPolicy(policy)

/** Merges field by field; `nearer` wins. */
export const mergePolicy = (farther: Policy, nearer: Policy): Policy => ({
  ...farther,
  ...defined(nearer),
  timeouts: over(farther.timeouts, nearer.timeouts),
  headers: mergeHeaders(farther.headers, nearer.headers),
  tags: over(farther.tags, nearer.tags)
})

/** Without what was left undefined, which is no value to win with. */
export const defined = <A extends object>(options: A): Partial<A> =>
  // What is left of A is a part of it.
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<A>

const betaHeader = "anthropic-beta"

/** Betas are a list, and those of both hold; of other headers the nearer one does. */
const mergeHeaders = (farther: Policy["headers"], nearer: Policy["headers"]): Policy["headers"] => {
  if (farther === undefined || nearer === undefined) return nearer ?? farther
  const merged: Record<string, string> = {}
  for (const [name, value] of [...Object.entries(farther), ...Object.entries(nearer)]) {
    if (value === undefined) continue
    const key = name.toLowerCase()
    const known = key === betaHeader ? merged[key] : undefined
    merged[key] = known === undefined ? value : [...new Set(`${known},${value}`.split(/\s*,\s*/u))].join(",")
  }
  return merged
}

const over = <A extends object>(farther: A | undefined, nearer: A | undefined): A | undefined =>
  farther === undefined || nearer === undefined ? nearer ?? farther : { ...farther, ...defined(nearer) }

const refuse = (option: string, value: unknown, expected: string) =>
  Failure.misconfigured(option, `${option} is ${String(value)}; expected ${expected}.`)

/** Refuses what is no record of options, or has one that is not known. */
const checkKeys = (where: string, options: unknown, known: ReadonlyArray<string>) => {
  if (options === undefined) return undefined
  if (!Predicate.isObject(options)) return refuse(where, options, `an object of ${known.join(", ")}`)
  const key = Object.keys(options).find((key) => !known.includes(key))
  return key === undefined
    ? undefined
    : Failure.misconfigured(
      where === "options" || where === "policy" ? key : `${where}.${key}`,
      `${key} is no option of ${where}; there are ${known.join(", ")}.`
    )
}

const checkTenant = (tenant: string | undefined, admission: AdmissionOptions.Admission) =>
  admission.tenant(tenant ?? "") !== undefined
    ? undefined
    : tenant === undefined
    ? Failure.misconfigured(
      "tenant",
      "tenant is missing, and this client serves only those it knows (tenants.others). Name one: Claude.withPolicy({ tenant })."
    )
    : Failure.misconfigured(
      "tenant",
      `tenant is ${JSON.stringify(tenant.slice(0, 64))}, which this client does not know. Add it to tenants.known.`
    )

/** A policy over the client's own, and its timeouts in milliseconds. */
export interface KnownPolicy {
  readonly policy: Policy
  readonly timeouts: Timeouts.Timeouts
}

/** Merges a policy over the client's own: read once for each policy that calls come with, not with each call. */
export const makePolicyOf = (
  own: Policy,
  admission: AdmissionOptions.Admission
): (nearer: Policy) => KnownPolicy | ClaudeError.ClaudeFatalError => {
  const kept = new WeakMap<Policy, KnownPolicy | ClaudeError.ClaudeFatalError>()
  return (nearer) => {
    let known = kept.get(nearer)
    if (known === undefined) {
      const policy = mergePolicy(own, nearer)
      const timeouts = Timeouts.resolve(policy.timeouts)
      const wrong = checkCallPolicy(nearer) ?? checkTenant(policy.tenant, admission)
      kept.set(nearer, known = wrong ?? ("_tag" in timeouts ? timeouts : { policy, timeouts }))
    }
    return known
  }
}
