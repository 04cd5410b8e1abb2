/**
 * The usage report that several processes write: in Redis, a hash for each day, and a sorted set of the days there are.
 *
 * A field of a day's hash is one figure of a tenant and a model, costs in nano-dollars, so that every addition is an exact
 * increment. A day is kept for 400 days after it was last added to: a year and the month in which it is looked at. The
 * id of an addition is kept for two minutes, so that it adds nothing when it comes again.
 */
import * as Effect from "effect/Effect"
import * as Redis from "effect/persistence/Redis"
import * as Stream from "effect/Stream"
import { REMEMBERED_MILLIS, type StoreError, type UsageRow, type UsageStore } from "../admission/Stores.ts"
import * as StoreFailure from "./StoreFailure.ts"

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Usage in hashes whose keys begin with the prefix. @category constructors @since 0.2.0 */
export const make = (prefix: string): Effect.Effect<UsageStore, never, Redis.Redis> =>
  Effect.map(Redis.Redis, (redis) => {
    const add = redis.eval(addScript)
    const read = redis.eval(readScript)
    const days = `${prefix}{usage}:days`
    const dayKey = (day: string) => `${prefix}{usage}:${day}`
    return {
      add: (row, id) => {
        const seen = id === undefined ? undefined : `${prefix}{usage}#${id}`
        const increments = incrementsOf(row)
        return increments instanceof StoreFailure.StoreFailure
          ? Effect.fail(increments)
          : add(days, dayKey(row.day), seen, row.day, increments).pipe(StoreFailure.asking("add to the usage report"))
      },
      rows: Stream.fromIterableEffect(
        redis.send<ReadonlyArray<string>>("ZRANGE", days, "0", "-1").pipe(asking)
      ).pipe(
        // A day at a time: what a report holds is one day, however long it is.
        Stream.mapEffect((day) => Effect.map(asking(read(days, dayKey(day), day)), (fields) => rowsOf(day, fields))),
        Stream.flattenIterable
      )
    }
  })

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const asking: <A>(self: Effect.Effect<A, Redis.RedisError>) => Effect.Effect<A, StoreError> = StoreFailure.asking(
  "read the usage report"
)

const figures = [
  "requests",
  "inputTokens",
  "cacheReadTokens",
  "cacheWriteTokens",
  "outputTokens",
  "cost",
  "unpriced"
] as const

const NANO = 1e9

const keepMillis = 400 * 86_400_000

/** Fields and what to add to them. What is nothing is left out, but for the requests, so that the row is there. */
const incrementsOf = (row: UsageRow): ReadonlyArray<string | number> | StoreFailure.StoreFailure => {
  if (!/^\d{4}-\d\d-\d\d$/.test(row.day)) {
    return new StoreFailure.StoreFailure({
      message: `UsageStore.add: day must be as 2026-01-31, got ${row.day}`,
      refused: true
    })
  }
  const increments: Array<string | number> = []
  const whose = JSON.stringify([row.tenant, row.model])
  for (const figure of figures) {
    const amount = figure === "cost" ? Math.round(row.cost * NANO) : row[figure]
    // Checked here: a fraction would fail half-way through the script.
    if (!Number.isSafeInteger(amount)) {
      return new StoreFailure.StoreFailure({
        message: `UsageStore.add: ${figure} must be a ${figure === "cost" ? "number" : "whole number"}, got ${
          row[figure]
        }`,
        refused: true
      })
    }
    if (amount !== 0 || figure === "requests") increments.push(`${figure} ${whose}`, amount)
  }
  return increments
}

const rowsOf = (day: string, fields: ReadonlyArray<string>): ReadonlyArray<UsageRow> => {
  const rows = new Map<string, { -readonly [K in keyof UsageRow]: UsageRow[K] }>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [, name, whose] = /^(\w+) (.*)$/s.exec(fields[i]!) ?? []
    const figure = figures.find((figure) => figure === name)
    // A newer version may count more.
    if (figure === undefined || whose === undefined) continue
    let row = rows.get(whose)
    if (row === undefined) {
      // Written above, by `incrementsOf`.
      const [tenant, model] = JSON.parse(whose) as [string, string]
      row = { day, tenant, model, ...empty }
      rows.set(whose, row)
    }
    row[figure] = Number(fields[i + 1]) / (figure === "cost" ? NANO : 1)
  }
  return Array.from(rows.values()).toSorted((a, b) => compare(a.tenant, b.tenant) || compare(a.model, b.model))
}

const empty = {
  requests: 0,
  inputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 0,
  cost: 0,
  unpriced: 0
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

// -----------------------------------------------------------------------------
// scripts
// -----------------------------------------------------------------------------

// All days have one score, so the set is in the order of their names, which is that of time.
const addScript = Redis.script(
  (
    days: string,
    dayKey: string,
    seen: string | undefined,
    day: string,
    increments: ReadonlyArray<string | number>
  ) => [
    days,
    dayKey,
    ...(seen === undefined ? [] : [seen]),
    day,
    keepMillis,
    ...increments
  ],
  {
    numberOfKeys: (_days, _dayKey, seen) => seen === undefined ? 2 : 3,
    lua: `
if KEYS[3] and not redis.call("SET", KEYS[3], "", "PX", "${REMEMBERED_MILLIS}", "NX") then return end
redis.call("ZADD", KEYS[1], 0, ARGV[1])
redis.call("PEXPIRE", KEYS[1], ARGV[2])
for i = 3, #ARGV, 2 do redis.call("HINCRBY", KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call("PEXPIRE", KEYS[2], ARGV[2])
`
  }
)

// The fields of a day and their values, by turns. A day that has expired is forgotten.
const readScript = Redis.script((days: string, dayKey: string, day: string) => [days, dayKey, day], {
  numberOfKeys: 2,
  lua: `
local fields = redis.call("HGETALL", KEYS[2])
if #fields == 0 then redis.call("ZREM", KEYS[1], ARGV[1]) end
return fields
`
}).withReturnType<ReadonlyArray<string>>()
