/**
 * What tokens cost: absolute rates in USD per million tokens, each from the day it came into force.
 *
 * Rates are Anthropic's own list prices; Bedrock and Vertex set theirs, so their ids are unpriced until overrides, in
 * code or in a file, name them. The surprise: a price that is not known is undefined, and so is then the cost of what it
 * would price. It is never zero, and never worked out from another rate: multipliers differ from model to model.
 */
import * as Effect from "effect/Effect"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Model from "./Model.ts"
import * as PriceCheck from "./PriceCheck.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Who says so: Anthropic's pages, others, or the program itself. @category models @since 0.1.0 */
export type Source = "official" | "third-party" | "custom"

/** What tokens are priced as. @category models @since 0.1.0 */
export type TokenKind = "input" | "output" | "cacheRead" | "cacheWrite5m" | "cacheWrite1h"

/** USD per million tokens. @category models @since 0.1.0 */
export interface Rates {
  readonly input: number
  readonly output: number
  readonly cacheRead?: number | undefined
  readonly cacheWrite5m?: number | undefined
  readonly cacheWrite1h?: number | undefined
  /** Those of an official price that only others tell. */
  readonly thirdParty?: ReadonlyArray<TokenKind> | undefined
}

/** What a model costs from a day on. @category models @since 0.1.0 */
export interface Price extends Rates {
  readonly source: Source
  /** The first day, as YYYY-MM-DD in UTC. @default any day */
  readonly from?: string | undefined
  /** Rates for the whole of a request whose prompt, cached parts included, is longer than `promptTokens`. */
  readonly above?: { readonly promptTokens: number; readonly rates: Rates } | undefined
  /** What each rate is multiplied by in a batch. */
  readonly batch?: Rates | undefined
  /** Rates at `speed: "fast"`. */
  readonly fast?: Rates | undefined
  /** USD for one web search. */
  readonly webSearch?: number | undefined
}

/** A price of your own; one model may have several, for different days. @category models @since 0.1.0 */
export interface PriceOverride extends Omit<Price, "source"> {
  /** @default "custom" */
  readonly source?: Source | undefined
}

/** Prices by model. @category models @since 0.1.0 */
export type Overrides = Readonly<Record<string, PriceOverride | ReadonlyArray<PriceOverride>>>

/** A table of prices. @category models @since 0.1.0 */
export interface Pricing {
  /** What a cost was computed with. */
  readonly version: string
  /** Each model's prices, the latest first. */
  readonly models: ReadonlyMap<string, ReadonlyArray<Dated>>
}

/** A price and the instant from which it holds. @category models @since 0.1.0 */
export interface Dated {
  readonly from: number
  readonly price: Price
}

// -----------------------------------------------------------------------------
// the table
// -----------------------------------------------------------------------------

/** The day on which the table was drawn up. @category table @since 0.1.0 */
export const version = "2026-11-21"

const rates = (
  input: number,
  output: number,
  cacheWrite5m: number,
  cacheWrite1h: number,
  cacheRead: number
): Rates => ({
  input,
  output,
  cacheWrite5m,
  cacheWrite1h,
  cacheRead
})

// Half of input and of output is what is known; of cached tokens in a batch nothing is.
const batch: Rates = { input: 0.5, output: 0.5 }

const fast = (input: number, output: number): Rates => ({ input, output, thirdParty: ["input", "output"] })

const fable5 = rates(10, 50, 12.5, 20, 1)
const fable51 = rates(10, 50, 12.5, 20, 0.25)
const opus = rates(5, 25, 6.25, 10, 0.5)
const sonnet4 = rates(3, 15, 3.75, 6, 0.3)
const sonnet5 = rates(2, 10, 2.5, 4, 0.2)

const official: Overrides = {
  "claude-fable-5-2": { ...rates(8, 40, 10, 16, 0.2), source: "third-party" },
  "claude-fable-5-1": fable51,
  "claude-mythos-5-1": fable51,
  "claude-fable-5": fable5,
  "claude-mythos-5": fable5,
  "claude-opus-5-5": { ...rates(4, 20, 5, 8, 0.2), fast: fast(8, 40) },
  "claude-opus-5": { ...opus, fast: fast(10, 50) },
  "claude-opus-4-8": opus,
  "claude-opus-4-7": opus,
  "claude-opus-4-6": opus,
  "claude-opus-4-5": opus,
  "claude-sonnet-5-5": [sonnet5, { ...sonnet5, cacheRead: 0.1, thirdParty: ["cacheRead"], from: "2026-10-07" }],
  "claude-sonnet-5": sonnet5,
  "claude-sonnet-4-6": sonnet4,
  "claude-sonnet-4-5": sonnet4,
  "claude-haiku-5-5": {
    ...rates(0.1, 0.5, 0.125, 0.2, 0.01),
    thirdParty: ["cacheRead"],
    above: {
      promptTokens: 100_000,
      rates: { ...rates(0.5, 2.5, 0.625, 1, 0.05), thirdParty: ["cacheRead", "cacheWrite5m", "cacheWrite1h"] }
    }
  },
  "claude-haiku-4-5": rates(1, 5, 1.25, 2, 0.1)
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * The built-in table, with the prices that you know better.
 *
 * @throws RangeError on a rate that is no finite number of zero or more, and on a day that is none
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: {
  readonly overrides?: Overrides | undefined
  /** Names the result in telemetry. @default the table's version, with "+custom" where there are overrides */
  readonly version?: string | undefined
}): Pricing =>
  options?.overrides === undefined && options?.version === undefined
    ? standard
    : build("Pricing.make", standard, options.overrides ?? {}, options.version)

/**
 * A table with the prices of a file over those of another table, the built-in one unless you say: JSON as a text, or as
 * what it parses to.
 *
 * ```json
 * {
 *   "version": "contract 7",
 *   "models": {
 *     "claude-opus-5-5": [
 *       { "input": 4, "output": 20 },
 *       { "from": "2026-01-01", "input": 3.6, "output": 18, "cacheRead": 0.18, "cacheWrite5m": 4.5, "cacheWrite1h": 7.2 }
 *     ]
 *   }
 * }
 * ```
 *
 * Each price is a `PriceOverride`. A model of the file has the prices that the file gives it and no others.
 *
 * @throws RangeError on what is no such table, naming the model and the field
 * @category constructors
 * @since 0.2.0
 */
export const fromJson = (json: unknown, self: Pricing = standard): Pricing => {
  const fn = "Pricing.fromJson"
  const table = typeof json === "string" ? parse(fn, json) : json
  if (!PriceCheck.isRecord(table)) {
    throw new RangeError(`${fn}: the table is ${PriceCheck.show(table)}; expected an object.`)
  }
  PriceCheck.known(fn, "", table, new Set(["version", "models"]))
  const { models, version } = table
  if (typeof version !== "string" || version === "") {
    throw new RangeError(
      `${fn}: version is ${PriceCheck.show(version)}; expected a text that names these prices in telemetry.`
    )
  }
  if (!PriceCheck.isRecord(models)) {
    throw new RangeError(`${fn}: models is ${PriceCheck.show(models)}; expected an object of prices by model.`)
  }
  // What is no price is refused by `build`, which names it.
  return build(fn, self, models as Overrides, version)
}

/**
 * The table of a JSON file, as `fromJson` reads it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const fromFile = (
  path: string,
  self: Pricing = standard
): Effect.Effect<Pricing, ClaudeError.ClaudeFatalError> =>
  Effect.tryPromise({
    try: async (signal) => {
      const { readFile } = await import("node:fs/promises")
      return fromJson(await readFile(path, { encoding: "utf8", signal }), self)
    },
    catch: (error) =>
      Failure.misconfigured(
        "pricing",
        `The prices of ${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`
      )
  })

/**
 * A table with some models' prices replaced, each model's all at once.
 *
 * @throws RangeError on a rate that is no finite number of zero or more, and on a day that is none
 * @category combinators
 * @since 0.1.0
 */
export const merge = (self: Pricing, overrides: Overrides, version?: string): Pricing =>
  build("Pricing.merge", self, overrides, version)

/**
 * A model's price at an instant, or undefined where it is not known.
 *
 * @category combinators
 * @since 0.1.0
 */
export const lookup = (self: Pricing, model: string, at: number): Price | undefined => {
  const prices = self.models.get(model) ?? self.models.get(Model.firstParty(model)?.label ?? model)
  if (prices === undefined) return undefined
  for (const { from, price } of prices) if (at >= from) return price
  return undefined
}

const parse = (fn: string, text: string): unknown => {
  try {
    // Editors on Windows begin a file with a mark that JSON does not know.
    return JSON.parse(text.replace(/^\uFEFF/, ""))
  } catch (error) {
    throw new RangeError(`${fn}: the text is no JSON: ${error instanceof Error ? error.message : String(error)}.`)
  }
}

const build = (fn: string, self: Pricing, overrides: Overrides, version: string | undefined): Pricing => {
  const models = new Map(self.models)
  const named = new Map<string, string>()
  for (const [model, prices] of Object.entries(overrides)) {
    // An override for a dated id is for the model: an alias answers with its dated id.
    const label = Model.firstParty(model)?.label ?? model
    const before = named.get(label)
    if (before !== undefined) throw new RangeError(`${fn}: ${model} is the same model as ${before}; name it once.`)
    named.set(label, model)
    models.set(label, history(fn, model, [prices].flat()))
  }
  const changed = named.size > 0 && !self.version.endsWith("+custom")
  return { version: version ?? (changed ? `${self.version}+custom` : self.version), models }
}

const history = (fn: string, model: string, prices: ReadonlyArray<PriceOverride>): ReadonlyArray<Dated> => {
  const dated = prices
    .map((price): Dated => ({
      from: PriceCheck.check(fn, model, price),
      price: { ...price, source: price.source ?? "custom" }
    }))
    .toSorted((a, b) => b.from - a.from)
  if (dated.length === 0) throw new RangeError(`${fn}: ${model} has no price; expected at least one.`)
  const twice = dated.find(({ from }, n) => dated[n - 1]?.from === from)
  if (twice !== undefined) {
    throw new RangeError(
      `${fn}: ${model}: from is ${twice.price.from ?? "missing"} twice; expected a day for each price.`
    )
  }
  return dated
}

/** The built-in prices. @category table @since 0.1.0 */
export const standard: Pricing = {
  version,
  models: new Map(
    Object.entries(official).map(([model, prices]) => [
      model,
      history("Pricing.standard", model, [prices].flat().map((price) => ({ source: "official", batch, ...price })))
    ])
  )
}
