/**
 * What a request will come to, before it is sent: its input in tokens, likely and at most, and the most it can cost.
 *
 * Only the API can count tokens. `likely` is for rate limits, where a guess is corrected afterwards. `most` is for
 * money: its tokenizers fall back to bytes, so a text never has more tokens than it has bytes in UTF-8, and numbers,
 * rare scripts and random text do come near one for each. Prose has a quarter of that, and gets the rest back when the
 * call is settled. The surprise: what a server's tools bring in is not in the request and has no bound, so calls with
 * them are the only ones that may cost more than their most.
 */
import * as InputSize from "./InputSize.ts"
import * as Pricing from "./Pricing.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** The most that a call can cost, of what has a price. @internal */
export interface MostCost {
  readonly usd: number
  /** The part of it that is for the answer. */
  readonly outputUsd: number
  /** What has none, where something is. */
  readonly missing: string | undefined
}

// -----------------------------------------------------------------------------
// what things come to
// -----------------------------------------------------------------------------

// As the API's pages and published counts tell: 3.5 characters of English a token; scripts that take more bytes for a
// character also take more tokens for it (CJK comes to 1.2 a character by these two).
const CHARS_PER_TOKEN = 3.5
const EXTRA_BYTES_PER_TOKEN = 2.2

/** What the results of a server's tools likely are, of what they are taken for at most. */
const SERVER_SHARE = 0.2

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** How large a request's input is: measured once, and then estimated from. @internal */
export const inputSize: (body: object) => InputSize.InputSize = InputSize.make

/** For rate limits: the tokens that the input most likely has. @internal */
export const likely = (size: InputSize.InputSize): number => {
  const text = size.chars / CHARS_PER_TOKEN + (size.bytes - size.chars) / EXTRA_BYTES_PER_TOKEN
  return Math.ceil(text + size.tokens + size.serverTokens * SERVER_SHARE)
}

/** For money: the most tokens that the input can be billed as. @internal */
export const most = (size: InputSize.InputSize): number =>
  Math.ceil(Math.min(InputSize.WINDOW, size.bytes + size.mostTokens) + size.serverTokens)

/**
 * The most that a call can cost at an instant: every token of its input at the dearest rate that may apply, and an
 * answer of `max_tokens`.
 *
 * @internal
 */
export const mostCost = (
  pricing: Pricing.Pricing,
  model: string,
  size: InputSize.InputSize,
  maxTokens: number,
  at: number
): MostCost => {
  const price = Pricing.lookup(pricing, model, at)
  if (price === undefined) return { usd: 0, outputUsd: 0, missing: `${model} has no known price` }
  const input = most(size)
  const tables: Array<readonly [string, Pricing.Rates | undefined]> = [["", price]]
  if (price.above !== undefined && input > price.above.promptTokens) tables.push(["above.rates.", price.above.rates])
  // A request for fast mode may still be served at the standard speed.
  if (size.speed !== undefined) tables.push([`${size.speed}.`, size.speed === "fast" ? price.fast : undefined])
  const kinds: Array<Pricing.TokenKind> = size.cache === "none"
    ? ["input"]
    // A request with breakpoints of an hour may have others of five minutes.
    : ["input", "cacheRead", "cacheWrite5m", ...(size.cache === "1h" ? ["cacheWrite1h"] as const : [])]
  let missing = size.region === undefined ? undefined : `inference_geo ${size.region} has no known price`
  let inputRate = 0
  let outputRate = 0
  for (const [name, rates] of tables) {
    outputRate = Math.max(outputRate, rates?.output ?? 0)
    for (const kind of kinds) {
      const rate = rates?.[kind]
      if (rate === undefined) missing ??= `the price of ${model} has no ${name}${kind}`
      else inputRate = Math.max(inputRate, rate)
    }
  }
  let fees = 0
  if (size.searches > 0) {
    if (price.webSearch === undefined) {
      missing ??= `the price of ${model} has no webSearch, and the request has that tool`
    } else if (!Number.isFinite(size.searches)) missing ??= "the web search tool of the request has no max_uses"
    else fees = size.searches * price.webSearch
  }
  const outputUsd = (maxTokens * outputRate) / 1_000_000
  return { usd: (input * inputRate) / 1_000_000 + outputUsd + fees, outputUsd, missing }
}

/**
 * What the calls of one model taught: how many tokens count for one that was likely, and how long answers are.
 *
 * @internal
 */
export class Learned {
  // Two averages, and not one of ratios: a large call says more than a small one.
  private expected: number | undefined
  private counted: number | undefined
  private output: number | undefined

  /** A call is over: its input as the limits count it, and its output. */
  learn(size: InputSize.InputSize, input: number, output: number): void {
    if (InputSize.isCount(input)) {
      this.expected = average(this.expected, likely(size))
      this.counted = average(this.counted, input)
    }
    if (InputSize.isCount(output)) this.output = average(this.output, output)
  }

  likelyInput(size: InputSize.InputSize): number {
    const { counted = 1, expected = 1 } = this
    const ratio = Math.min(MOST_RATIO, Math.max(LEAST_RATIO, counted / Math.max(1, expected)))
    return Math.ceil(likely(size) * ratio)
  }

  likelyOutput(maxTokens: number): number {
    return Math.min(maxTokens, Math.ceil(this.output ?? FIRST_OUTPUT))
  }
}

const FIRST_OUTPUT = 512
const LEAST_RATIO = 0.05
const MOST_RATIO = 20

const average = (before: number | undefined, value: number): number =>
  before === undefined ? value : before + (value - before) / 8
