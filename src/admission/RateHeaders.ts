/**
 * What a response's headers tell of rate limits: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-*`.
 */
import type { Told } from "./Rates.ts"
import type { LimitKind } from "./Stores.ts"

interface Headers {
  readonly get: (name: string) => string | null
}

const namesOf = (kind: LimitKind, name: string) => ({
  kind,
  limit: `anthropic-ratelimit-${name}-limit`,
  remaining: `anthropic-ratelimit-${name}-remaining`,
  reset: `anthropic-ratelimit-${name}-reset`
})

// Whole names: what is put together for each answer is hashed for each answer.
const names = [
  namesOf("requests", "requests"),
  namesOf("inputTokens", "input-tokens"),
  namesOf("outputTokens", "output-tokens"),
  namesOf("tokens", "tokens")
]

/** What each limit is said to be; nothing of those that are not told. @internal */
export const read = (headers: Headers): Array<Told> => {
  const told: Array<Told> = []
  for (const name of names) {
    const limit = whole(headers.get(name.limit))
    const remaining = whole(headers.get(name.remaining))
    if (limit === undefined && remaining === undefined) continue
    told.push({ kind: name.kind, limit, remaining, resetAt: instant(headers.get(name.reset)) })
  }
  return told
}

const whole = (text: string | null): number | undefined => {
  if (text === null || text === "") return undefined
  const value = Number(text)
  return Number.isFinite(value) && value >= 0 ? value : undefined
}

const instant = (text: string | null): number | undefined => {
  const at = text === null ? Number.NaN : Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}
