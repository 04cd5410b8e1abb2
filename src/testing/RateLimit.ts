/**
 * Rate limits that are really enforced: a token bucket for each, refilled continuously over a window.
 *
 * Input counts when a request is admitted, output as it was produced, when the answer is over; a shorter window scales
 * time, so that "a minute" passes in a test's second.
 */
import * as Duration from "effect/Duration"

/** What a window allows; what is left out is not limited. @category options @since 0.1.0 */
export interface RateLimits {
  readonly requests?: number | undefined
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
  /** Input and output together. */
  readonly tokens?: number | undefined
  /** @default "1 minute" */
  readonly window?: Duration.Input | undefined
  /** Counts a request's `max_tokens` as output until its answer is over, as some providers do. @default false */
  readonly reserveMaxTokens?: boolean | undefined
}

/** May this request pass? @category models @since 0.1.0 */
export type Admission =
  | {
    readonly _tag: "Admitted"
    readonly headers: Readonly<Record<string, string>>
    /** The answer is over, and this much was produced. */
    readonly settle: (outputTokens: number) => void
  }
  | { readonly _tag: "Exceeded"; readonly headers: Readonly<Record<string, string>>; readonly message: string }

/** @category models @since 0.1.0 */
export interface RateLimit {
  readonly admit: (inputTokens: number, maxTokens: number) => Admission
}

/** Full buckets. @category constructors @since 0.1.0 */
export const make = (limits: RateLimits): RateLimit => {
  const window = Duration.toMillis(limits.window ?? "1 minute")
  const buckets: Array<Bucket> = []
  const add = (name: string, what: string, limit: number | undefined) => {
    if (limit === undefined) return undefined
    const bucket = makeBucket(name, what, limit, window)
    buckets.push(bucket)
    return bucket
  }
  const requests = add("requests", "requests", limits.requests)
  const input = add("input-tokens", "input tokens", limits.inputTokens)
  const output = add("output-tokens", "output tokens", limits.outputTokens)
  const tokens = add("tokens", "tokens", limits.tokens)

  const headers = () => Object.assign({}, ...buckets.map((bucket) => bucket.headers())) as Record<string, string>

  return {
    admit: (inputTokens, maxTokens) => {
      const reserved = limits.reserveMaxTokens === true ? Math.min(maxTokens, limits.outputTokens ?? maxTokens) : 0
      const needs: ReadonlyArray<readonly [Bucket | undefined, number]> = [
        [requests, 1],
        [input, inputTokens],
        // What is produced is known later: until then, one token must be left.
        [output, Math.max(1, reserved)],
        [tokens, inputTokens + Math.max(1, reserved)]
      ]
      let wait = 0
      let exceeded: Bucket | undefined
      for (const [bucket, amount] of needs) {
        const millis = bucket?.waitFor(amount) ?? 0
        if (millis > wait) {
          wait = millis
          exceeded = bucket
        }
      }
      if (exceeded !== undefined) {
        return {
          _tag: "Exceeded",
          headers: { ...headers(), ...retryAfter(wait, window) },
          message: `This request would exceed the rate limit of ${exceeded.limit} ${exceeded.what} per ${
            Duration.format(Duration.millis(window))
          }.`
        }
      }
      requests?.take(1)
      input?.take(inputTokens)
      output?.take(reserved)
      tokens?.take(inputTokens + reserved)
      return {
        _tag: "Admitted",
        headers: headers(),
        settle: (outputTokens) => {
          output?.take(outputTokens - reserved)
          tokens?.take(outputTokens - reserved)
        }
      }
    }
  }
}

/** Whole seconds, as the API sends them; a window shorter than a minute needs the milliseconds too. */
const retryAfter = (millis: number, window: number): Record<string, string> => ({
  "retry-after": String(Math.ceil(millis / 1000)),
  ...(window < 60_000 ? { "retry-after-ms": String(Math.ceil(millis)) } : undefined)
})

interface Bucket {
  readonly limit: number
  readonly what: string
  readonly waitFor: (amount: number) => number
  readonly take: (amount: number) => void
  readonly headers: () => Record<string, string>
}

const makeBucket = (name: string, what: string, limit: number, window: number): Bucket => {
  if (!(limit > 0) || !(window > 0)) {
    throw new RangeError(`RateLimit.make: ${what} and window must be positive, got ${limit} per ${window} ms`)
  }
  const perMilli = limit / window
  let level = limit
  let at = performance.now()
  const refill = () => {
    const now = performance.now()
    level = Math.min(limit, level + (now - at) * perMilli)
    at = now
  }
  return {
    limit,
    what,
    // A request larger than the limit never fits, however long it waits.
    waitFor: (amount) => {
      refill()
      // Refills are sums of fractions: a hair's breadth is none.
      return level >= amount - 1e-6 ? 0 : (amount - level) / perMilli
    },
    take: (amount) => {
      refill()
      level = Math.min(limit, level - amount)
    },
    headers: () => {
      refill()
      const full = Date.now() + (limit - level) / perMilli
      // RFC 3339, to the second like the API, unless the window is scaled.
      const reset = window < 60_000
        ? new Date(Math.ceil(full)).toISOString()
        : new Date(Math.ceil(full / 1000) * 1000).toISOString().replace(".000", "")
      return {
        [`anthropic-ratelimit-${name}-limit`]: String(limit),
        [`anthropic-ratelimit-${name}-remaining`]: String(Math.max(0, Math.floor(level))),
        [`anthropic-ratelimit-${name}-reset`]: reset
      }
    }
  }
}
