/** One of several processes that share a limit: a client over a real Redis whose callers never stop asking. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Claude from "../../src/Claude.ts"
import * as ClaudeRedis from "../../src/redis/ClaudeRedis.ts"
import * as Load from "./load.ts"
import * as Simulator from "./simulator.ts"

/** What it is told, in its first argument. */
export interface Orders {
  readonly url: string
  readonly redis: string
  readonly rateLimits: Claude.Options["rateLimits"]
  readonly callers: number
  readonly millis: number
}

/** What it answers. */
export interface Done {
  readonly served: number
  readonly failed: string
}

const [, , orders] = process.argv
if (orders !== undefined && process.send !== undefined) {
  process.on("disconnect", () => process.exit(0))
  const { callers, millis, rateLimits, redis, url }: Orders = JSON.parse(orders)
  const go = new Promise((resolve) => process.once("message", resolve))
  const stores = ClaudeRedis.layer().pipe(Layer.provide(NodeRedis.layer({ url: redis, disableOfflineQueue: true })))
  const member = Effect.gen(function*() {
    const claude = yield* Simulator.client({ url }, { rateLimits })
    process.send?.("ready")
    yield* Effect.promise(() => go)
    const calls = yield* Load.looping(callers, millis, claude.message({ prompt: "Say hello." }))
    return { served: calls.filter(({ message }) => message !== undefined).length, failed: Load.reasons(calls) }
  })
  const done: Done = await Effect.runPromise(
    Effect.scoped(member).pipe(Effect.provide(Layer.merge(stores, Logger.layer([]))))
  )
  process.send(done, () => process.exit(0))
}
