/**
 * The options of a client, read once: what each default is, and what is refused before anything is sent.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as AdmissionOptions from "../admission/AdmissionOptions.ts"
import * as Budget from "../admission/Budget.ts"
import type { BudgetOptions } from "../admission/BudgetOptions.ts"
import * as CircuitOptions from "../admission/CircuitOptions.ts"
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
import * as Shape from "./Shape.ts"

/** Another model, or another client, that a call may fail over to. @category options @since 0.2.0 */
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
  /**
   * What a refusal does: it is the answer, or the next of `fallback` is asked; not of a stream, whose consumer has seen
   * it by then.
   *
   * @default "answer"
   */
  readonly onRefusal?: "answer" | "fallback" | undefined
  /** Answers a request that was answered before from the response cache, and keeps its answer. @default false */
  readonly cache?: boolean | undefined
  /** Facts of yours on the call's span, as `claude.tag.<name>`. */
  readonly tags?: Readonly<Record<string, string>> | undefined
  /** The prompt and the version of it that calls are of, on their spans. @default what their request was rendered from */
  readonly prompt?: Request.PromptIdentity | undefined
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
export interface ClientOptions
  extends Omit<Policy, "tenant" | "tags" | "prompt" | "priority">, AdmissionOptions.AdmissionOptions
{
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
  readonly circuit?: CircuitOptions.CircuitOptions | false | undefined
  /** What may be spent in a window, or several such. @default nothing is bounded */
  readonly budget?: BudgetOptions | ReadonlyArray<BudgetOptions> | undefined
  /** What the response cache keeps, for calls whose policy has `cache: true`. */
  readonly responseCache?: ResponseCache.CacheOptions | undefined
  /** How many retries all calls may make: a part of a retry for each call, up to a burst. @default one for five calls, burst 10 */
  readonly retryBudget?: { readonly ratio?: number | undefined; readonly burst?: number | undefined } | undefined
  readonly telemetry?: TelemetryOptions | undefined
  /** The prices that costs are made of. @default Pricing.standard */
  readonly pricing?: Pricing.Pricing | undefined
}

/** @internal */
export interface Settings {
  readonly policy: Policy
  readonly defaults: Request.Defaults
  readonly admission: AdmissionOptions.Admission
  readonly circuit: CircuitOptions.CircuitSettings | undefined
  readonly budgets: ReadonlyArray<Budget.ResolvedBudget>
  readonly responseCache: ResponseCache.Resolved
  readonly retryBudget: { readonly ratio: number; readonly burst: number }
  readonly telemetry: TelemetryOptions
  readonly pricing: Pricing.Pricing
}

const policyFields = {
  headers: Shape.texts,
  retry: [
    (value: RetryPolicy.RetryPolicy | null) =>
      Schedule.isSchedule(value?.schedule) && Duration.isDuration(value?.maxRetryAfter),
    "a RetryPolicy, such as RetryPolicy.make({ times: 2 }) or RetryPolicy.none"
  ],
  timeouts: { headers: "elsewhere", firstContent: "elsewhere", idle: "elsewhere", total: "elsewhere" },
  wire: Shape.oneOf("sse", "json"),
  onBreak: Shape.oneOf("fail", "restart"),
  repair: Shape.whole(0),
  fallback: "elsewhere",
  onRefusal: Shape.oneOf("answer", "fallback"),
  cache: [
    (value: unknown) => typeof value === "boolean",
    "true or false; how long and how much is kept is the layer's responseCache"
  ]
} satisfies Shape.Fields

const callFields: Shape.Fields = {
  ...policyFields,
  tenant: Shape.text,
  tags: Shape.texts,
  prompt: { name: Shape.text, version: Shape.text },
  priority: Shape.oneOf("interactive", "batch")
}

// What a client's policy may hold is what these name.
const policyKeys = Object.keys(policyFields) as ReadonlyArray<keyof typeof policyFields>

const transportKeys = ["apiKey", "client", "baseURL", "dispatcher"]

const clientFields: Shape.Fields = {
  ...Object.fromEntries(transportKeys.map((key) => [key, "elsewhere" as const])),
  ...policyFields,
  concurrency: "elsewhere",
  queue: "elsewhere",
  rateLimits: "elsewhere",
  tenants: "elsewhere",
  circuit: "elsewhere",
  budget: "elsewhere",
  responseCache: "elsewhere",
  defaults: { model: Shape.text, max_tokens: Shape.whole(1) },
  retryBudget: {
    ratio: [isAmount, "a number from 0, such as 0.2 for one retry in five calls"],
    burst: [isAmount, "a number from 0, such as 10"]
  },
  telemetry: {
    content: {
      capture: [
        (value: unknown) => typeof value === "function" || ["off", "span", "event"].some((known) => known === value),
        `"off", "span", "event" or a function`
      ],
      redact: [(value: unknown) => typeof value === "function", "a function from a text to a text"]
    },
    propagate: Shape.flag,
    tenants: Shape.flag
  },
  pricing: [
    (value: Pricing.Pricing | null) => typeof value?.version === "string" && value.models instanceof Map,
    "a Pricing, such as Pricing.standard or one that Pricing.make answers"
  ]
}

function isAmount(value: number): boolean {
  return Number.isFinite(value) && value >= 0
}

/** Reads a client's options, or says which one is wrong. @internal */
export const resolve = (options: ClientOptions): Settings | ClaudeError.ClaudeFatalError => {
  const wrong = Shape.check("options", "", options, clientFields) ?? checkPolicy(options) ?? checkClient(options)
  if (wrong !== undefined) return wrong
  const admission = AdmissionOptions.resolve(options)
  if ("_tag" in admission) return admission
  const circuit = options.circuit === false ? undefined : CircuitOptions.resolve(options.circuit)
  if (circuit !== undefined && "reason" in circuit) return circuit
  const budgets = Budget.resolve(options.budget)
  if ("_tag" in budgets) return budgets
  const responseCache = ResponseCache.resolve(options.responseCache)
  if ("_tag" in responseCache) return responseCache
  const { burst = 10, ratio = 0.2 } = options.retryBudget ?? {}
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

/** A client that is handed in brings its own credential, URL and connections. */
const checkClient = (options: object): ClaudeError.ClaudeFatalError | undefined => {
  const client: unknown = Reflect.get(options, "client")
  if (client === undefined) return undefined
  const wrong = Shape.check("options", "", { client }, { client: targetFields["client"]! })
  if (wrong !== undefined) return wrong
  const beside = transportKeys.find((key) => key !== "client" && Reflect.get(options, key) !== undefined)
  return beside === undefined
    ? undefined
    : Failure.misconfigured(beside, `${beside} is set beside client, which has its own. Leave one of the two out.`)
}

/** What of a policy is no matter of its shape. */
const checkPolicy = ({ fallback, timeouts }: Policy): ClaudeError.ClaudeFatalError | undefined => {
  const resolved = Timeouts.resolve(timeouts)
  return "_tag" in resolved ? resolved : checkFallback(fallback)
}

const checkFallback = (targets: Policy["fallback"]): ClaudeError.ClaudeFatalError | undefined => {
  if (targets === undefined) return undefined
  if (!Array.isArray(targets)) return Shape.refuse("fallback", targets, "a list of models, or of { model, client }")
  for (const [i, target] of targets.entries()) {
    if (typeof target === "string" && target !== "") continue
    const where = `fallback[${i}]`
    if (!Predicate.isObject(target)) return Shape.refuse(where, target, "the id of a model, or { model, client }")
    const wrong = Shape.check(where, `${where}.`, target, targetFields)
    if (wrong !== undefined) return wrong
    if (target.model === undefined && target.client === undefined) {
      return Shape.refuse(where, "empty", "a model, a client, or both")
    }
  }
  return undefined
}

const targetFields: Shape.Fields = {
  model: Shape.text,
  client: [
    (client: AnthropicClient | null) => typeof client?.withOptions === "function",
    "a client of the SDK's, such as new Anthropic(…) or new AnthropicBedrock(…)"
  ]
}

/** Merges field by field; `nearer` wins. @internal */
export const mergePolicy = (farther: Policy, nearer: Policy): Policy => ({
  ...farther,
  ...defined(nearer),
  timeouts: over(farther.timeouts, nearer.timeouts),
  headers: mergeHeaders(farther.headers, nearer.headers),
  tags: over(farther.tags, nearer.tags)
})

/** Without what was left undefined, which is no value to win with. @internal */
export const defined = <A extends object>(options: A): Partial<A> =>
  // What is left of A is a part of it.
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<A>

const betaHeader = "anthropic-beta"

/** Betas are a list, and those of both hold; of other headers the nearer one does. */
const mergeHeaders = (farther: Policy["headers"], nearer: Policy["headers"]): Policy["headers"] => {
  if (farther === undefined || !Predicate.isObject(nearer)) return nearer === undefined ? farther : nearer
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
  farther === undefined || !Predicate.isObject(nearer)
    ? nearer === undefined ? farther : nearer
    : { ...farther, ...defined(nearer) }

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

/** A policy over the client's own, and its timeouts in milliseconds. @internal */
export interface KnownPolicy {
  readonly policy: Policy
  readonly timeouts: Timeouts.Timeouts
}

/** Merges a policy over the client's own: read once for each policy that calls come with, not with each call. @internal */
export const makePolicyOf = (
  own: Policy,
  admission: AdmissionOptions.Admission
): (nearer: Policy) => KnownPolicy | ClaudeError.ClaudeFatalError => {
  const kept = new WeakMap<Policy, KnownPolicy | ClaudeError.ClaudeFatalError>()
  return (nearer) => {
    let known = kept.get(nearer)
    if (known === undefined) {
      const policy = mergePolicy(own, nearer)
      const wrong = Shape.check("policy", "", nearer, callFields) ?? checkPolicy(nearer) ??
        checkTenant(policy.tenant, admission)
      const timeouts = wrong ?? Timeouts.resolve(policy.timeouts)
      kept.set(nearer, known = "_tag" in timeouts ? timeouts : { policy, timeouts })
    }
    return known
  }
}
