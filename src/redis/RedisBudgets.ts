/**
 * Budgets that several processes share: in Redis, a counter for each window of each budget.
 *
 * All entries of a reservation are checked and counted in one script, so that two processes never both spend what is left
 * once. A counter lives a day longer than its window, for those who look at it.
 *
 * A counter is never below zero, so that what a lost counter's calls give back makes a budget no larger. The id of each
 * question is kept for two minutes, so that it changes nothing when it comes again.
 *
 * The surprise: all counters are in one hash slot of a cluster, for only there one script may see them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redis from "effect/persistence/Redis"
import {
  type BudgetEntry,
  type BudgetStore,
  REMEMBERED_MILLIS,
  type Reserved,
  type StoreError
} from "../admission/Stores.ts"
import * as StoreFailure from "./StoreFailure.ts"

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Budgets in counters whose keys begin with the prefix. @category constructors @since 0.2.0 */
export const make = (prefix: string): Effect.Effect<BudgetStore, never, Redis.Redis> =>
  Effect.gen(function*() {
    const redis = yield* Redis.Redis
    const clock = yield* Clock.Clock
    const reserve = redis.eval(reserveScript)
    const settle = redis.eval(settleScript)
    const counters = (entries: ReadonlyArray<BudgetEntry>): ReadonlyArray<Counter> => {
      const now = clock.currentTimeMillisUnsafe()
      return entries.map(({ amount, expiresAt, key, limit }) => ({
        key: `${prefix}{budgets}:${key}`,
        amount,
        limit,
        // By the caller's clock, which is the one that drew the window; Redis only counts down.
        keepMillis: Math.ceil(Math.min(Math.max(0, expiresAt - now), longest)) + day
      }))
    }
    const seen = (id: string | undefined) => id === undefined ? undefined : `${prefix}{budgets}#${id}`
    return {
      reserve: (entries, id) =>
        entries.length === 0
          ? Effect.succeed<Reserved>({ _tag: "Reserved", spent: [] })
          : check("BudgetStore.reserve", entries, () =>
            reserve(counters(entries), seen(id)).pipe(
              StoreFailure.asking("reserve of the budgets"),
              Effect.map(([exceeded, spent]): Reserved =>
                exceeded === 0
                  ? { _tag: "Reserved", spent: spent.map(Number) }
                  : { _tag: "Exceeded", index: exceeded - 1, spent: Number(spent[0]) }
              )
            )),
      settle: (entries, id) =>
        entries.length === 0
          ? Effect.succeed([])
          : check("BudgetStore.settle", entries, () =>
            settle(counters(entries), seen(id)).pipe(
              StoreFailure.asking("settle the budgets"),
              Effect.map((spent) => spent.map(Number))
            ))
    }
  })

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

interface Counter {
  readonly key: string
  readonly amount: number
  readonly limit: number
  readonly keepMillis: number
}

const day = 86_400_000

/** A window that never ends is kept for a hundred years after its last use. */
const longest = 36_500 * day

const check = <A>(
  what: string,
  entries: ReadonlyArray<BudgetEntry>,
  then: () => Effect.Effect<A, StoreError>
): Effect.Effect<A, StoreError> => {
  for (const [index, { amount, expiresAt, limit }] of entries.entries()) {
    // Counters are integers: a fraction would fail half-way through a script.
    if (!Number.isSafeInteger(amount)) {
      return Effect.fail(
        new StoreFailure.StoreFailure({
          message: `${what}: amount of entry ${index} must be a whole number, got ${amount}`,
          refused: true
        })
      )
    }
    if (Number.isNaN(limit) || Number.isNaN(expiresAt)) {
      return Effect.fail(
        new StoreFailure.StoreFailure({
          message: `${what}: limit and expiresAt of entry ${index} must be numbers, got ${limit} and ${expiresAt}`,
          refused: true
        })
      )
    }
  }
  return then()
}

// -----------------------------------------------------------------------------
// scripts
// -----------------------------------------------------------------------------

// Counters are 64-bit integers of Redis; they leave as text, since a number that leaves Lua is cut to what a double holds.
const luaCounters = `
local count = math.floor(#ARGV / 3)
local seen = KEYS[count + 1]
local function add(i, amount)
  local spent = redis.call("INCRBY", KEYS[i], amount)
  -- Given back was what a Redis that started anew has never seen.
  if spent < 0 then
    spent = 0
    redis.call("SET", KEYS[i], "0")
  end
  redis.call("PEXPIRE", KEYS[i], ARGV[3 * i])
  return string.format("%.0f", spent)
end
-- The entry that had no room, or 0.
local function remember(entry)
  if seen then redis.call("SET", seen, entry, "PX", "${REMEMBERED_MILLIS}") end
end
local function addAll()
  remember("0")
  local out = {}
  for i = 1, count do out[i] = add(i, ARGV[3 * i - 2]) end
  return out
end
local function standing(from, to)
  local out = {}
  for i = from, to do out[#out + 1] = redis.call("GET", KEYS[i]) or "0" end
  return out
end
local before = seen and redis.call("GET", seen)
if before then before = tonumber(before) end
`

const keysOf = (counters: ReadonlyArray<Counter>, seen: string | undefined): ReadonlyArray<string> => [
  ...counters.map(({ key }) => key),
  ...(seen === undefined ? [] : [seen])
]

const counterArguments = (
  counters: ReadonlyArray<Counter>,
  seen: string | undefined
): ReadonlyArray<string | number> => [
  ...keysOf(counters, seen),
  ...counters.flatMap(({ amount, keepMillis, limit }) => [amount, Math.max(-1e18, Math.min(1e18, limit)), keepMillis])
]

// Returns 0 and what is spent of each, or the number of the entry that has no room, and what is spent of that.
const reserveScript = Redis.script(counterArguments, {
  numberOfKeys: (counters, seen) => keysOf(counters, seen).length,
  lua: `${luaCounters}
if before == 0 then return { 0, standing(1, count) } end
if before then return { before, standing(before, before) } end
local after = {}
for i = 1, count do
  local key = KEYS[i]
  local spent = after[key] or tonumber(redis.call("GET", key)) or 0
  after[key] = spent + tonumber(ARGV[3 * i - 2])
  if after[key] > tonumber(ARGV[3 * i - 1]) then
    remember(i)
    return { i, { string.format("%.0f", spent) } }
  end
end
return { 0, addAll() }
`
}).withReturnType<readonly [exceeded: number, spent: ReadonlyArray<string>]>()

const settleScript = Redis.script(counterArguments, {
  numberOfKeys: (counters, seen) => keysOf(counters, seen).length,
  lua: `${luaCounters}
if before then return standing(1, count) end
return addAll()
`
}).withReturnType<ReadonlyArray<string>>()
