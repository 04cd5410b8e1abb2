/**
 * What a call cost, from its usage and the prices in force when it was made.
 *
 * The surprise: one token that nobody can price makes the whole cost undefined, since a sum that leaves something out
 * reads like a bill. That holds for the fee of a web search, the priority tier, inference bound to a region, cached
 * tokens in a batch or in fast mode, and what a server-side fallback, advisor or compaction billed beside the totals.
 */
import type { Usage } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Pricing from "./Pricing.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** USD by what it was spent on. @category models @since 0.1.0 */
export interface Components {
  readonly input: number
  readonly cacheRead: number
  readonly cacheWrite5m: number
  readonly cacheWrite1h: number
  readonly output: number
  /** Fees of server tools, where there were any. */
  readonly serverTool?: number
}

/** The names of all components. @internal */
export const componentNames = ["input", "cacheRead", "cacheWrite5m", "cacheWrite1h", "output", "serverTool"] as const

/** @category models @since 0.1.0 */
export interface Cost {
  /** The sum of the components, in `currency`. */
  readonly amount: number
  readonly currency: "USD"
  /** The least certain source among the prices used. */
  readonly source: Pricing.Source
  readonly pricingVersion: string
  readonly components: Components
}

type Loose<T> = T extends object ? { readonly [K in keyof T]?: Loose<T[K]> | null | undefined }
  : T extends string ? string
  : T

/** The SDK's usage, of which anything may be missing, null or new. @category models @since 0.1.0 */
export type BilledUsage = Loose<Usage>

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * The cost of a usage by a model at an instant, or undefined where a part of it has no known price.
 *
 * @category combinators
 * @since 0.1.0
 */
export const of = (pricing: Pricing.Pricing, model: string, usage: BilledUsage, at: number): Cost | undefined => {
  const price = Pricing.lookup(pricing, model, at)
  if (price === undefined || !isPriced(usage)) return undefined
  const input = usage.input_tokens ?? 0
  const cacheRead = usage.cache_read_input_tokens ?? 0
  const cacheWrite1h = usage.cache_creation?.ephemeral_1h_input_tokens ?? 0
  // A stream tells the split at its start and the total at its end: what the split leaves over has the default lifetime.
  const cacheWrite5m = Math.max(
    usage.cache_creation?.ephemeral_5m_input_tokens ?? 0,
    (usage.cache_creation_input_tokens ?? 0) - cacheWrite1h
  )
  const rates = ratesOf(price, usage, input + cacheRead + cacheWrite5m + cacheWrite1h)
  if (rates === undefined) return undefined
  const searches = usage.server_tool_use?.web_search_requests ?? 0
  const factor = usage.service_tier === "batch" ? price.batch ?? unknown : standard
  const tokens: Components = {
    input: spent(input, rates.input, factor.input),
    cacheRead: spent(cacheRead, rates.cacheRead, factor.cacheRead),
    cacheWrite5m: spent(cacheWrite5m, rates.cacheWrite5m, factor.cacheWrite5m),
    cacheWrite1h: spent(cacheWrite1h, rates.cacheWrite1h, factor.cacheWrite1h),
    output: spent(usage.output_tokens ?? 0, rates.output, factor.output)
  }
  const components = searches === 0 ? tokens : { ...tokens, serverTool: spent(searches, price.webSearch, MILLION) }
  const amount = total(components)
  if (!Number.isFinite(amount)) return undefined
  return {
    amount,
    currency: "USD",
    source: sourceOf(price, rates, components),
    pricingVersion: pricing.version,
    components
  }
}

/** What an answer costs that was given before. @internal */
export const nothing: Cost = {
  amount: 0,
  currency: "USD",
  source: "official",
  pricingVersion: "none",
  components: { input: 0, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 }
}

/** The cost of two calls; the source is the less certain one. @category combinators @since 0.1.0 */
export const add = (a: Cost, b: Cost): Cost => {
  const x = a.components
  const y = b.components
  const tokens: Components = {
    input: x.input + y.input,
    cacheRead: x.cacheRead + y.cacheRead,
    cacheWrite5m: x.cacheWrite5m + y.cacheWrite5m,
    cacheWrite1h: x.cacheWrite1h + y.cacheWrite1h,
    output: x.output + y.output
  }
  const components = x.serverTool === undefined && y.serverTool === undefined
    ? tokens
    : { ...tokens, serverTool: (x.serverTool ?? 0) + (y.serverTool ?? 0) }
  return {
    amount: total(components),
    currency: "USD",
    source: certainty[a.source] <= certainty[b.source] ? a.source : b.source,
    pricingVersion: a.pricingVersion.split(", ").includes(b.pricingVersion)
      ? a.pricingVersion
      : `${a.pricingVersion}, ${b.pricingVersion}`,
    components
  }
}

// -----------------------------------------------------------------------------
// helpers
// -----------------------------------------------------------------------------

const MILLION = 1_000_000

// NaN is what is not known: it survives every sum, and is looked for once, at the end.
const spent = (tokens: number, rate: number | undefined, factor: number | undefined): number => {
  if (tokens === 0) return 0
  return tokens > 0 ? (tokens * (rate ?? Number.NaN) * (factor ?? Number.NaN)) / MILLION : Number.NaN
}

const total = (components: Components): number =>
  components.input + components.cacheRead + components.cacheWrite5m + components.cacheWrite1h + components.output +
  (components.serverTool ?? 0)

const standard: Pricing.Rates = { input: 1, output: 1, cacheRead: 1, cacheWrite5m: 1, cacheWrite1h: 1 }
const unknown: Pricing.Rates = { input: Number.NaN, output: Number.NaN }

const certainty: Readonly<Record<Pricing.Source, number>> = { "third-party": 0, custom: 1, official: 2 }

/** Whether the usage is one that list prices are for. */
const isPriced = (usage: BilledUsage & { readonly iterations?: unknown }): boolean => {
  const { inference_geo, input_tokens, iterations, output_tokens, service_tier } = usage
  return !(input_tokens == null && output_tokens == null)
    && (service_tier == null || service_tier === "standard" || service_tier === "batch")
    // Inference bound to a region is billed with a multiplier that is not known.
    && (inference_geo == null || inference_geo === "global" || inference_geo === "not_available")
    && !(Array.isArray(iterations) && iterations.some((iteration) => iteration?.type !== "message"))
}

const ratesOf = (price: Pricing.Price, usage: BilledUsage, promptTokens: number): Pricing.Rates | undefined => {
  if (usage.speed === "fast") return usage.service_tier === "batch" ? undefined : price.fast
  if (usage.speed != null && usage.speed !== "standard") return undefined
  return price.above !== undefined && promptTokens > price.above.promptTokens ? price.above.rates : price
}

const sourceOf = (price: Pricing.Price, rates: Pricing.Rates, components: Components): Pricing.Source =>
  price.source === "official" && rates.thirdParty?.some((kind) => components[kind] > 0) === true
    ? "third-party"
    : price.source
