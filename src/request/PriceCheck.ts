/**
 * What is wrong with a price that a program or a file gives: which function was given it, the model, the field, its
 * value and what was expected, as a RangeError.
 */
import type { Source, TokenKind } from "./Pricing.ts"

const kinds: ReadonlyArray<TokenKind> = ["input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h"]
const sources: ReadonlyArray<unknown> = ["official", "third-party", "custom"] satisfies ReadonlyArray<Source>
const rateFields: ReadonlySet<string> = new Set([...kinds, "thirdParty"])
const priceFields: ReadonlySet<string> = new Set([
  ...rateFields,
  "source",
  "from",
  "above",
  "batch",
  "fast",
  "webSearch"
])

/** Throws on what is no price; answers the instant from which it holds. @internal */
export const check = (fn: string, model: string, price: unknown): number => {
  const fail = (field: string, value: unknown, expected: string): never => {
    throw new RangeError(`${fn}: ${model}: ${field} is ${show(value)}; expected ${expected}.`)
  }
  const amount = (field: string, value: unknown) => {
    if (!(Number.isFinite(value) && Number(value) >= 0)) fail(field, value, "a finite number of zero or more")
  }
  const record = (field: string, value: unknown): Readonly<Record<string, unknown>> =>
    isRecord(value) ? value : fail(field, value, "an object")
  const each = (prefix: string, rates: Readonly<Record<string, unknown>>) => {
    for (const kind of kinds) {
      // Without these two no request could be priced; the others may stay unknown.
      const required = kind === "input" || kind === "output"
      if (required || rates[kind] !== undefined) amount(`${prefix}${kind}`, rates[kind])
    }
    const { thirdParty } = rates
    // A wrong kind here would be overlooked by every cost.
    if (thirdParty !== undefined && !(Array.isArray(thirdParty) && thirdParty.every((kind) => kinds.includes(kind)))) {
      fail(`${prefix}thirdParty`, thirdParty, `a list of ${kinds.join(", ")}`)
    }
  }
  const rates = (name: string, value: unknown) => {
    const given = record(name, value)
    known(`${fn}: ${model}`, `${name}.`, given, rateFields)
    each(`${name}.`, given)
  }
  const given = record("a price", price)
  known(`${fn}: ${model}`, "", given, priceFields)
  each("", given)
  const { above, from, source, webSearch } = given
  for (const name of ["batch", "fast"]) if (given[name] !== undefined) rates(name, given[name])
  if (above !== undefined) {
    const { promptTokens, rates: over, ...rest } = record("above", above)
    amount("above.promptTokens", promptTokens)
    rates("above.rates", over)
    known(`${fn}: ${model}`, "above.", rest, new Set(["promptTokens", "rates"]))
  }
  if (webSearch !== undefined) amount("webSearch", webSearch)
  if (source !== undefined && !sources.includes(source)) fail("source", source, `one of ${sources.join(", ")}`)
  if (from === undefined) return Number.NEGATIVE_INFINITY
  const day = typeof from === "string" ? Date.parse(from) : Number.NaN
  // Only a day that exists is written the same way again.
  const isDay = Number.isFinite(day) && new Date(day).toISOString().slice(0, 10) === from
  return isDay ? day : fail("from", from, "a day such as 2026-10-07")
}

/** @internal */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Throws on a field that nobody reads. @internal */
export const known = (where: string, prefix: string, value: object, fields: ReadonlySet<string>): void => {
  for (const field of Object.keys(value)) {
    if (!fields.has(field)) {
      throw new RangeError(`${where}: ${prefix}${field} is unknown; expected one of ${[...fields].join(", ")}.`)
    }
  }
}

/** @internal */
export const show = (value: unknown): string =>
  Array.isArray(value) ? `[${value.join(", ")}]` : isRecord(value) ? "an object" : String(value)
