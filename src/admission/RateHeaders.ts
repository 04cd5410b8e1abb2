/**
 * What a response's headers tell of rate limits: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-*`.
 */
import type { Told } from "./Rates.ts"
import type { LimitKind } from "./Stores.ts"

interface Headers {
  readonly get: (name: string) => string | null
}

const names: ReadonlyArray<readonly [LimitKind, string]> = [
  ["requests", "anthropic-ratelimit-requests-"],
  ["inputTokens", "anthropic-ratelimit-input-tokens-"],
  ["outputTokens", "anthropic-ratelimit-output-tokens-"],
  ["tokens", "anthropic-ratelimit-tokens-"]
]

/** What each limit is said to be; nothing of those that are not told. @internal */
export const read = (headers: Headers): Array<Told> => {
  const told: Array<Told> = []
  for (const [kind, name] of names) {
    const limit = whole(headers.get(`${name}limit`))
    const remaining = whole(headers.get(`${name}remaining`))
    if (limit === undefined && remaining === undefined) continue
    told.push({ kind, limit, remaining, resetAt: instant(headers.get(`${name}reset`)) })
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
