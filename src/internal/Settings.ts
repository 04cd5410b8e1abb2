/**
 * The options of a client, read once: what each default is, and what is refused before anything is sent.
 */
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import type * as RetryPolicy from "../attempt/RetryPolicy.ts"
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
  /** Headers beside the client's own, such as `anthropic-beta`. */
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

const policyKeys = ["headers", "retry", "timeouts", "wire", "onBreak", "repair"] as const
const transportKeys = ["apiKey", "client", "baseURL", "dispatcher"]
const clientKeys = [...transportKeys, ...policyKeys, "defaults", "concurrency", "retryBudget", "telemetry", "pricing"]
const callKeys = [...policyKeys, "tenant", "tags"]

/** Reads a client's options, or says which one is wrong. */
export const resolve = (options: ClientOptions): Settings | ClaudeError.ClaudeFatalError => {
  const wrong = checkKeys("options", options, clientKeys) ?? checkPolicy(options) ?? checkClient(options) ??
    checkKeys("defaults", options.defaults, ["model", "max_tokens"]) ??
    checkKeys("retryBudget", options.retryBudget, ["ratio", "burst"]) ??
    checkKeys("telemetry", options.telemetry, ["content", "propagate"]) ??
    checkKeys("telemetry.content", options.telemetry?.content, ["capture", "redact"])
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
  const capture = options.telemetry?.content?.capture
  if (capture !== undefined && typeof capture !== "function" && !captures.includes(capture)) {
    return refuse("telemetry.content.capture", capture, `"off", "span", "event" or a function`)
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

/** Refuses what `Claude.withPolicy` does not know. */
const checkCallPolicy = (policy: Policy): ClaudeError.ClaudeFatalError | undefined =>
  checkKeys("policy", policy, callKeys) ?? checkPolicy(policy)

/** Merges field by field; `nearer` wins. */
export const mergePolicy = (farther: Policy, nearer: Policy): Policy => ({
  ...farther,
  ...defined(nearer),
  timeouts: over(farther.timeouts, nearer.timeouts),
  headers: over(farther.headers, nearer.headers),
  tags: over(farther.tags, nearer.tags)
})

/** Without what was left undefined, which is no value to win with. */
export const defined = <A extends object>(options: A): Partial<A> =>
  // What is left of A is a part of it.
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<A>

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
