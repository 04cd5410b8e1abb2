/** A process that draws from a shared limit for as long as it is told, and says what it got; forked by a test. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Effect } from "effect"
import * as RedisLimits from "../../src/redis/RedisLimits.ts"

/** What a drawer is told, in its first argument. */
export interface Orders {
  readonly url: string
  readonly prefix: string
  readonly limit: number
  readonly windowMillis: number
  readonly forMillis: number
}

/** What it answers. Times are milliseconds since the epoch. */
export interface Drawn {
  readonly granted: number
  readonly asked: number
  readonly from: number
  readonly until: number
}

const now = () => performance.timeOrigin + performance.now()

const draw = (orders: Orders, go: Promise<unknown>) =>
  Effect.gen(function*() {
    const store = yield* RedisLimits.make(orders.prefix)
    const limits = [{ kind: "requests", limit: orders.limit, windowMillis: orders.windowMillis }] as const
    const needs = Array.from({ length: 8 }, () => ({ requests: 1, inputTokens: 0, outputTokens: 0, tokens: 0 }))
    process.send?.("ready")
    yield* Effect.promise(() => go)
    const from = now()
    let granted = 0
    let asked = 0
    while (now() < from + orders.forMillis) {
      const taken = yield* store.take("shared", limits, needs)
      granted += taken.granted
      asked++
      yield* Effect.sleep(taken.waitMillis)
    }
    return { granted, asked, from, until: now() } satisfies Drawn
  }).pipe(Effect.provide(NodeRedis.layer({ url: orders.url })))

const [, , orders] = process.argv
if (orders !== undefined && process.send !== undefined) {
  const go = new Promise((resolve) => process.once("message", resolve))
  process.send(await Effect.runPromise(draw(JSON.parse(orders), go)))
  process.disconnect()
}
