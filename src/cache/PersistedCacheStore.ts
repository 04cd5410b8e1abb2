/**
 * A cache store over `effect/persistence`: files, Redis, SQL, or any backing of yours.
 *
 * It is an entry point of its own, `effect-claude/cache-store`, since persistence takes longer to load than all else.
 * What is found under a key but is no message (cut off, of another version) is a miss, and is overwritten by the next
 * answer. The surprise: files that nobody asks for again stay on the disk; Redis and SQL forget them in time.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Persistence from "effect/persistence/Persistence"
import type * as Redis from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import * as CacheStore from "./CacheStore.ts"

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** With the version of what is stored: another one never reads it. It may be the name of a table. */
const STORE_ID = "effect_claude_cache_v1"

/** A store over the backing in the context, open for as long as the scope. @category constructors @since 0.2.0 */
export const make: Effect.Effect<
  CacheStore.CacheStore,
  never,
  Persistence.BackingPersistence | Scope.Scope
> = Effect.gen(function*() {
  const { make } = yield* Persistence.BackingPersistence
  const backing = yield* make(STORE_ID)
  return {
    get: (key) =>
      backing.get(key).pipe(
        Effect.map((value) => CacheStore.isMessage(value) ? value : undefined),
        // The backings parse for themselves: what they cannot parse is as good as absent.
        Effect.catchIf((error) => error.cause instanceof SyntaxError, () => Effect.undefined)
      ),
    set: (key, message, ttlMillis) =>
      Effect.suspend(() =>
        backing.set(key, message, Number.isFinite(ttlMillis) ? Duration.millis(ttlMillis) : undefined)
      )
  }
})

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Gives all clients below a store over the backing in the context. @category layers @since 0.2.0 */
export const layer: Layer.Layer<never, never, Persistence.BackingPersistence> = Layer.effect(CacheStore.Store, make)

/** Over a key-value store, such as files: `KeyValueStore.layerFileSystem("…")`. @category layers @since 0.2.0 */
export const layerKeyValueStore: Layer.Layer<never, never, KeyValueStore.KeyValueStore> = layer.pipe(
  Layer.provide(Persistence.layerBackingKvs)
)

/** Over Redis, such as `NodeRedis.layer({ url })`. @category layers @since 0.2.0 */
export const layerRedis: Layer.Layer<never, never, Redis.Redis> = layer.pipe(
  Layer.provide(Persistence.layerBackingRedis)
)

/** Over SQL, such as `PgClient.layer({ url })`: one table, `effect_persistence`. @category layers @since 0.2.0 */
export const layerSql: Layer.Layer<never, never, SqlClient.SqlClient> = layer.pipe(
  Layer.provide(Persistence.layerBackingSql)
)
