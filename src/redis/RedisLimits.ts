/**
 * Rate limits that several processes share: token buckets in Redis, one hash for each key.
 *
 * A batch of needs costs one round trip: a script refills the buckets by Redis's own clock, so those of the machines do
 * not matter, and takes the needs in their order. A bucket that is unknown is full; a limit that changes fills at its old
 * rate until then and is clamped; a need that is larger than a limit passes when that bucket is full, and leaves a debt.
 *
 * The surprise: while one bucket is paused or in debt nothing passes, not even a need for none of it: what a call needs
 * of it may only be known when it is over.
 */
import * as Effect from "effect/Effect"
import * as Redis from "effect/persistence/Redis"
import type { Amounts, Limit, LimitKind, LimitStore, StoreError, Taken } from "../admission/Stores.ts"
import * as StoreFailure from "./StoreFailure.ts"

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Limits in hashes whose keys begin with the prefix. @category constructors @since 0.2.0 */
export const make = (prefix: string): Effect.Effect<LimitStore, never, Redis.Redis> =>
  Effect.map(Redis.Redis, (redis) => {
    const take = redis.eval(takeScript)
    const give = redis.eval(giveScript)
    const pause = redis.eval(pauseScript)
    const keyOf = (key: string) => `${prefix}limits:${key}`
    return {
      take: (key, limits, needs) =>
        needs.length === 0
          ? Effect.succeed(nothing)
          : check("LimitStore.take", limits, needs, 0, () =>
            take(keyOf(key), limits, needs).pipe(
              StoreFailure.asking("take of the rate limits"),
              Effect.map(([granted, waitMillis]): Taken => ({ granted, waitMillis }))
            )),
      give: (key, limits, amounts) =>
        limits.length === 0
          ? Effect.void
          : check("LimitStore.give", limits, [amounts], -StoreFailure.largest, () =>
            give(keyOf(key), limits, amounts).pipe(StoreFailure.asking("give back to the rate limits"))),
      pause: (key, limits, kinds, millis) =>
        check("LimitStore.pause", limits, [], 0, () =>
          StoreFailure.checked("LimitStore.pause: millis", millis, 0).pipe(
            Effect.andThen(
              pause(keyOf(key), paused(limits, kinds), millis).pipe(StoreFailure.asking("pause the rate limits"))
            )
          ))
    }
  })

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const nothing: Taken = { granted: 0, waitMillis: 0 }

/** A pause of what has no bucket would hold nobody, so it is one of all. */
const paused = (limits: ReadonlyArray<Limit>, kinds: ReadonlyArray<LimitKind>): ReadonlyArray<LimitKind | "*"> => {
  const known = limits.filter(({ kind }) => kinds.includes(kind)).map(({ kind }) => kind)
  return known.length === 0 ? ["*"] : known
}

const check = <A>(
  what: string,
  limits: ReadonlyArray<Limit>,
  amounts: ReadonlyArray<Amounts>,
  lowest: number,
  then: () => Effect.Effect<A, StoreError>
): Effect.Effect<A, StoreError> => {
  const { largest } = StoreFailure
  for (const { kind, limit, windowMillis } of limits) {
    if (!(limit >= 1e-6 && limit <= largest)) {
      return Effect.fail(StoreFailure.outOfBounds(`${what}: limit of ${kind}`, limit, 1e-6))
    }
    if (!(windowMillis >= 1 && windowMillis <= largest)) {
      return Effect.fail(StoreFailure.outOfBounds(`${what}: windowMillis of ${kind}`, windowMillis, 1))
    }
    for (const { [kind]: amount } of amounts) {
      if (!(amount >= lowest && amount <= largest)) {
        return Effect.fail(StoreFailure.outOfBounds(`${what}: ${kind}`, amount, lowest))
      }
    }
  }
  return then()
}

const limitArguments = (limits: ReadonlyArray<Limit>): ReadonlyArray<string | number> => [
  limits.length,
  ...limits.flatMap(({ kind, limit, windowMillis }) => [kind, limit, windowMillis * 1000])
]

// -----------------------------------------------------------------------------
// scripts
// -----------------------------------------------------------------------------

// A hash has a field for each bucket, "level at limit window", and "pause:{kind}" with the time until when, "pause:*" for
// all kinds. Times are microseconds. Levels are written with all their digits, so that what was taken can be given back
// exactly; what a command of Redis reads as a number is written without an exponent.
const luaRead = `
local key = KEYS[1]
local largest = 1125899906842624
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local count = tonumber(ARGV[1])
local fields = { "pause:*" }
for i = 1, count do
  fields[2 * i] = ARGV[3 * i - 1]
  fields[2 * i + 1] = "pause:" .. ARGV[3 * i - 1]
end
local stored = redis.call("HMGET", key, unpack(fields))
local pausedUntil = tonumber(stored[1]) or 0
local buckets = {}
for i = 1, count do
  local limit, window = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local level, at = limit, now
  if stored[2 * i] then
    local was, since, oldLimit, oldWindow = string.match(stored[2 * i], "^(%S+) (%S+) (%S+) (%S+)$")
    level, at, oldLimit = tonumber(was), tonumber(since), tonumber(oldLimit)
    -- The clock of another Redis, after a failover, may be behind.
    if now > at then
      level = math.min(oldLimit, level + (now - at) * oldLimit / tonumber(oldWindow))
      at = now
    end
    level = math.min(limit, level)
  end
  buckets[i] = { kind = ARGV[3 * i - 1], limit = limit, window = window, level = level, at = at }
  pausedUntil = math.max(pausedUntil, tonumber(stored[2 * i + 1]) or 0)
end
-- Kept while it says more than that all is full, and a minute more. Never for less long than before: there may be
-- buckets that this caller does not know.
local function keep(micros)
  local millis = math.min(largest, math.ceil(micros / 1000) + 60000)
  if millis > redis.call("PTTL", key) then redis.call("PEXPIRE", key, string.format("%.0f", millis)) end
end
local function write()
  local values = {}
  local longest = pausedUntil - now
  for i, bucket in ipairs(buckets) do
    values[2 * i - 1] = bucket.kind
    values[2 * i] = string.format("%.17g %.0f %.17g %.17g", bucket.level, bucket.at, bucket.limit, bucket.window)
    longest = math.max(longest, (bucket.limit - bucket.level) * bucket.window / bucket.limit)
  end
  if count > 0 then
    redis.call("HSET", key, unpack(values))
    keep(longest)
  end
end
`

const takeScript = Redis.script(
  (key: string, limits: ReadonlyArray<Limit>, needs: ReadonlyArray<Amounts>) => [
    key,
    ...limitArguments(limits),
    needs.length,
    ...needs.flatMap((need) => limits.map(({ kind }) => need[kind]))
  ],
  {
    numberOfKeys: 1,
    lua: `${luaRead}
local first = 3 * count + 3
local needs = tonumber(ARGV[first - 1])
local granted, wait = 0, 0
while granted < needs do
  wait = math.max(0, pausedUntil - now)
  for i, bucket in ipairs(buckets) do
    local missing = math.min(tonumber(ARGV[first + i - 1]), bucket.limit) - bucket.level
    -- Refills are sums of fractions: a hair's breadth is none.
    if missing > 1e-9 * bucket.limit then wait = math.max(wait, missing * bucket.window / bucket.limit) end
  end
  if wait > 0 then break end
  for i, bucket in ipairs(buckets) do
    bucket.level = bucket.level - tonumber(ARGV[first + i - 1])
  end
  granted = granted + 1
  first = first + count
end
if granted > 0 then write() end
return { granted, math.min(largest, math.ceil(wait / 1000)) }
`
  }
).withReturnType<readonly [granted: number, waitMillis: number]>()

const giveScript = Redis.script(
  (key: string, limits: ReadonlyArray<Limit>, amounts: Amounts) => [
    key,
    ...limitArguments(limits),
    ...limits.map(({ kind }) => amounts[kind])
  ],
  {
    numberOfKeys: 1,
    lua: `${luaRead}
for i, bucket in ipairs(buckets) do
  bucket.level = math.min(bucket.limit, bucket.level + tonumber(ARGV[3 * count + 1 + i]))
end
write()
`
  }
)

const pauseScript = Redis.script(
  (key: string, kinds: ReadonlyArray<LimitKind | "*">, millis: number) => [key, 0, Math.ceil(millis * 1000), ...kinds],
  {
    numberOfKeys: 1,
    lua: `${luaRead}
local micros = tonumber(ARGV[2])
for i = 3, #ARGV do
  local field = "pause:" .. ARGV[i]
  local current = tonumber(redis.call("HGET", key, field)) or 0
  redis.call("HSET", key, field, string.format("%.0f", math.max(current, now + micros)))
end
keep(micros)
`
  }
)
