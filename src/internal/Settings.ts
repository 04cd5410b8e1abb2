/**
 * The options of a client, read once: what each default is, and what is refused before anything is sent.
 */
import * as RetryPolicy from "../attempt/RetryPolicy.ts"
import * as Timeouts from "../attempt/Timeouts.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Pricing from "../request/Pricing.ts"
import type * as Request from "../request/Request.ts"
import type { TelemetryOptions } from "../telemetry/CallTelemetry.ts"

/** How a call behaves, by itself. */
export interface Policy {
  /** Whose call this is, for spans. */
  readonly tenant?: string | undefined
  /** Facts of yours on the call's span, as `claude.tag.<name>`. */
  readonly tags?: Readonly<Record<string, string>> | undefined
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
export interface ClientOptions extends Omit<Policy, "tenant" | "tags"> {
  /** What a request may leave out. */
  readonly defaults?: Request.Defaults | undefined
  /** How many calls may be in flight. @default 64 */
  readonly concurrency?: number | undefined
  /** How many retries all calls may make: a part of a retry for each call, up to a burst. @default one for five calls, burst 10 */
  readonly retryBudget?: { readonly ratio?: number | undefined; readonly burst?: number | undefined } | undefined
  readonly telemetry?: TelemetryOptions | undefined
  /** The prices that costs are made of. @default Pricing.standard */
  readonly pricing?: Pricing.Pricing | undefined
}

export interface Settings {
  readonly policy: Policy
  readonly defaults: Request.Defaults
  readonly concurrency: number
  readonly retryBudget: { readonly ratio: number; readonly burst: number }
  readonly telemetry: TelemetryOptions
  readonly pricing: Pricing.Pricing
}

const policyKeys = ["retry", "timeouts", "wire", "onBreak", "repair"] as const
const clientKeys = [...policyKeys, "defaults", "concurrency", "retryBudget", "telemetry", "pricing"]
const transportKeys = ["apiKey", "client", "baseURL", "dispatcher"]
const callKeys = [...policyKeys, "tenant", "tags"]

/** Reads a client's options, or says which one is wrong. */
export const resolve = (options: ClientOptions): Settings | ClaudeError.ClaudeFatalError => {
  const known = [...clientKeys, ...transportKeys]
  const wrong = unknownKey("Claude.layer", options, known) ?? checkPolicy(options)
  if (wrong !== undefined) return wrong
  const concurrency = options.concurrency ?? 64
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    return refuse("concurrency", concurrency, "a whole number from 1: how many calls may be in flight")
  }
  const { burst = 10, ratio = 0.2 } = options.retryBudget ?? {}
  if (!(ratio >= 0 && Number.isFinite(ratio))) {
    return refuse("retryBudget.ratio", ratio, "a number from 0, such as 0.2 for one retry in five calls")
  }
  if (!(burst >= 0 && Number.isFinite(burst))) return refuse("retryBudget.burst", burst, "a number from 0, such as 10")
  const maxTokens = options.defaults?.max_tokens
  if (maxTokens !== undefined && (!Number.isInteger(maxTokens) || maxTokens < 1)) {
    return refuse("defaults.max_tokens", maxTokens, "a whole number from 1")
  }
  return {
    policy: Object.fromEntries(policyKeys.map((key) => [key, options[key]])),
    defaults: options.defaults ?? {},
    concurrency,
    retryBudget: { ratio, burst },
    telemetry: options.telemetry ?? {},
    pricing: options.pricing ?? Pricing.standard
  }
}

/** The first thing that is wrong with a policy. */
const checkPolicy = (policy: Policy): ClaudeError.ClaudeFatalError | undefined => {
  if (policy.wire !== undefined && policy.wire !== "sse" && policy.wire !== "json") {
    return refuse("wire", policy.wire, `"sse" or "json"`)
  }
  if (policy.onBreak !== undefined && policy.onBreak !== "fail" && policy.onBreak !== "restart") {
    return refuse("onBreak", policy.onBreak, `"fail" or "restart"`)
  }
  if (policy.repair !== undefined && (!Number.isInteger(policy.repair) || policy.repair < 0)) {
    return refuse("repair", policy.repair, "a whole number from 0")
  }
  if (policy.retry !== undefined && typeof policy.retry !== "object") {
    return refuse("retry", policy.retry, "a RetryPolicy, such as RetryPolicy.make({ times: 2 }) or RetryPolicy.none")
  }
  const timeouts = Timeouts.resolve(policy.timeouts)
  return "_tag" in timeouts ? timeouts : undefined
}

/** Refuses what `Claude.withPolicy` does not know. */
const checkCallPolicy = (policy: Policy): ClaudeError.ClaudeFatalError | undefined =>
  unknownKey("Claude.withPolicy", policy, callKeys) ?? checkPolicy(policy)

/** Merges field by field; `nearer` wins. */
export const mergePolicy = (farther: Policy, nearer: Policy): Policy => ({
  ...farther,
  ...Object.fromEntries(Object.entries(nearer).filter(([, value]) => value !== undefined)),
  ...(farther.timeouts === undefined || nearer.timeouts === undefined
    ? undefined
    : { timeouts: { ...farther.timeouts, ...nearer.timeouts } }),
  ...(farther.tags === undefined || nearer.tags === undefined
    ? undefined
    : { tags: { ...farther.tags, ...nearer.tags } })
})

const refuse = (option: string, value: unknown, expected: string) =>
  Failure.misconfigured(option, `${option} is ${String(value)}; expected ${expected}.`)

const unknownKey = (where: string, options: object, known: ReadonlyArray<string>) => {
  const key = Object.keys(options).find((key) => !known.includes(key))
  return key === undefined
    ? undefined
    : Failure.misconfigured(key, `${where} has no option ${key}; there are ${known.join(", ")}.`)
}

/** A policy over the client's own, and its timeouts in milliseconds. */
export interface KnownPolicy {
  readonly policy: Policy
  readonly timeouts: Timeouts.Timeouts
}

/** Merges a policy over the client's own: read once for each policy that calls come with, not with each call. */
export const makePolicyOf = (own: Policy): (nearer: Policy) => KnownPolicy | ClaudeError.ClaudeFatalError => {
  const kept = new WeakMap<Policy, KnownPolicy | ClaudeError.ClaudeFatalError>()
  return (nearer) => {
    let known = kept.get(nearer)
    if (known === undefined) {
      const policy = mergePolicy(own, nearer)
      const timeouts = Timeouts.resolve(policy.timeouts)
      kept.set(nearer, known = checkCallPolicy(nearer) ?? ("_tag" in timeouts ? timeouts : { policy, timeouts }))
    }
    return known
  }
}
