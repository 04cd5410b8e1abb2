/** Rate limits in memory that do what `LimitStore` says, as plainly as can be: what the shared suite was written against. */
import { Clock, Effect, Layer } from "effect"
import * as Stores from "../../src/admission/Stores.ts"

interface Bucket {
  level: number
  at: number
  limit: Stores.Limit
}

export const layer: Layer.Layer<never> = Layer.effect(
  Stores.Limits,
  Effect.map(Clock.Clock, (clock): Stores.LimitStore => {
    const buckets = new Map<string, Bucket>()
    const pauses = new Map<string, number>()
    const now = () => Number(clock.currentTimeNanosUnsafe()) / 1e6
    const bucketsOf = (key: string, limits: ReadonlyArray<Stores.Limit>) =>
      limits.map((limit) => {
        const id = JSON.stringify([key, limit.kind])
        const bucket = buckets.get(id) ?? { level: limit.limit, at: now(), limit }
        const filled = bucket.level + ((now() - bucket.at) * bucket.limit.limit) / bucket.limit.windowMillis
        bucket.level = Math.min(filled, bucket.limit.limit, limit.limit)
        bucket.at = now()
        bucket.limit = limit
        buckets.set(id, bucket)
        return bucket
      })
    const pauseOf = (key: string, kind: string) => pauses.get(JSON.stringify([key, kind])) ?? 0
    return {
      take: (key, limits, needs) =>
        Effect.sync(() => {
          const all = bucketsOf(key, limits)
          const until = Math.max(pauseOf(key, "*"), ...limits.map(({ kind }) => pauseOf(key, kind)))
          for (const [granted, need] of needs.entries()) {
            let wait = Math.max(0, until - now())
            for (const { level, limit: { kind, limit, windowMillis } } of all) {
              const missing = Math.min(need[kind], limit) - level
              if (missing > 1e-9 * limit) wait = Math.max(wait, (missing * windowMillis) / limit)
            }
            if (wait > 0) return { granted, waitMillis: Math.ceil(wait) }
            for (const bucket of all) bucket.level -= need[bucket.limit.kind]
          }
          return { granted: needs.length, waitMillis: 0 }
        }),
      give: (key, limits, amounts) =>
        Effect.sync(() => {
          for (const bucket of bucketsOf(key, limits)) {
            bucket.level = Math.min(bucket.limit.limit, bucket.level + amounts[bucket.limit.kind])
          }
        }),
      pause: (key, limits, kinds, millis) =>
        Effect.sync(() => {
          const known = kinds.filter((kind) => limits.some((limit) => limit.kind === kind))
          for (const kind of known.length === 0 ? ["*"] : known) {
            pauses.set(JSON.stringify([key, kind]), Math.max(pauseOf(key, kind), now() + millis))
          }
        })
    }
  })
)
