/**
 * Rate limits, budgets, circuits and the usage report in Redis, so that all processes of a service share them.
 *
 * ```ts
 * Claude.layer(options).pipe(
 *   Layer.provide(ClaudeRedis.layer()),
 *   Layer.provide(NodeRedis.layer({ url, disableOfflineQueue: true }))
 * )
 * ```
 *
 * Any client of `effect/persistence/Redis` will do, with Redis 5 or later. The surprise: a client that queues commands
 * while it has no connection sends them when it has one again, long after their callers have gone on without them; that
 * is what `disableOfflineQueue` is for.
 */
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import type * as Redis from "effect/persistence/Redis"
import * as Stores from "../admission/Stores.ts"
import * as RedisBudgets from "./RedisBudgets.ts"
import * as RedisLimits from "./RedisLimits.ts"
import * as RedisUsage from "./RedisUsage.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface Options {
  /** What all keys begin with: processes with the same prefix share. @default "claude:" */
  readonly prefix?: string | undefined
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Sets what `Stores` refers to; clients that are built over this layer share it. @category layers @since 0.2.0 */
export const layer = (options: Options = {}): Layer.Layer<never, never, Redis.Redis> => {
  const prefix = options.prefix ?? "claude:"
  return Layer.mergeAll(
    Layer.effect(Stores.Limits, RedisLimits.make(prefix)),
    Layer.effect(Stores.Budgets, RedisBudgets.make(prefix)),
    Layer.effect(Stores.Usage, RedisUsage.make(prefix)),
    Layer.effect(Stores.Circuits, CircuitBreaker.CircuitBreakerStore).pipe(
      Layer.provide(CircuitBreaker.layerStoreRedis({ prefix: `${prefix}circuit:` }))
    )
  )
}
