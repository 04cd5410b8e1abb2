/**
 * Where answers are kept: in memory, or wherever a store of yours keeps them.
 *
 * `Store` has no value by default: then each client keeps its own, in memory. `effect-claude/cache-store` has stores
 * over files, Redis and SQL. The memory keeps the JSON of a message and not the message, so whoever changes what it
 * got changes nothing for the next, and its size is known.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A store could not be asked. Whoever writes a cache store needs nothing else of the library, so it is said here, though
 * the stores of admission say the same: an error of the one is an error of the other.
 *
 * @category models
 * @since 0.2.0
 */
export interface StoreError {
  readonly _tag: string
  readonly message: string
}

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/** Messages by key, each for a while. @category services @since 0.2.0 */
export interface CacheStore {
  /** The message, which is the caller's own; undefined where there is none, or none any more. */
  readonly get: (key: string) => Effect.Effect<Message | undefined, StoreError>
  /** Keeps a message for so long; `Infinity` is for ever. */
  readonly set: (key: string, message: Message, ttlMillis: number) => Effect.Effect<void, StoreError>
}

/** The store of all clients below; without one, each client has its own memory. @category references @since 0.2.0 */
export const Store: Context.Reference<CacheStore | undefined> = Context.Reference<CacheStore | undefined>(
  "effect-claude/cache/CacheStore/Store",
  { defaultValue: () => undefined }
)

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** How much a memory holds; what was used least recently leaves first. @category options @since 0.2.0 */
export interface MemoryOptions {
  /** In messages. @default 1000 */
  readonly capacity?: number | undefined
  /** In the length of their JSON. @default 64 MiB */
  readonly maxBytes?: number | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

interface Entry {
  readonly json: string
  readonly expiresAt: number
}

/** A store in the process's memory. @category constructors @since 0.2.0 */
export const memory = (options: MemoryOptions = {}): CacheStore => {
  const capacity = atLeastOne("capacity", options.capacity ?? 1000)
  const maxBytes = atLeastOne("maxBytes", options.maxBytes ?? 64 * 1024 * 1024)
  // In the order of use: a Map keeps the order in which its keys were set.
  const entries = new Map<string, Entry>()
  let bytes = 0
  const remove = (key: string, entry: Entry) => {
    entries.delete(key)
    bytes -= key.length + entry.json.length
  }
  const set = (key: string, json: string, expiresAt: number) => {
    const known = entries.get(key)
    if (known !== undefined) remove(key, known)
    // What does not fit empties no memory for itself.
    if (key.length + json.length > maxBytes) return
    entries.set(key, { json, expiresAt })
    bytes += key.length + json.length
    for (const [oldest, entry] of entries) {
      if (entries.size <= capacity && bytes <= maxBytes) break
      remove(oldest, entry)
    }
  }
  return {
    get: (key) =>
      Effect.clockWith((clock) => {
        const entry = entries.get(key)
        if (entry === undefined) return Effect.undefined
        if (entry.expiresAt <= clock.currentTimeMillisUnsafe()) {
          remove(key, entry)
          return Effect.undefined
        }
        entries.delete(key)
        entries.set(key, entry)
        // It was made of a message, in `set`.
        return Effect.succeed(JSON.parse(entry.json) as Message)
      }),
    set: (key, message, ttlMillis) =>
      Effect.flatMap(Clock.Clock, (clock) =>
        Effect.try({
          try: () => set(key, JSON.stringify(message), clock.currentTimeMillisUnsafe() + ttlMillis),
          catch: (cause): StoreError => ({
            _tag: "CacheStoreError",
            message: `The message is no JSON: ${String(cause)}`
          })
        }))
  }
}

const atLeastOne = (field: string, value: number): number => {
  if (!(Number.isSafeInteger(value) && value >= 1)) {
    throw new RangeError(`CacheStore.memory: ${field} is ${String(value)}; expected a whole number from 1.`)
  }
  return value
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Gives all clients below one store. @category layers @since 0.2.0 */
export const layer = (store: CacheStore): Layer.Layer<never> => Layer.succeed(Store, store)

/** Gives all clients below one memory. @category layers @since 0.2.0 */
export const layerMemory = (options?: MemoryOptions): Layer.Layer<never> => Layer.sync(Store, () => memory(options))

// -----------------------------------------------------------------------------
// guards
// -----------------------------------------------------------------------------

/** Whether what a store held looks like a message, however old or broken the store is. @internal */
export const isMessage = (value: unknown): value is Message => {
  if (!Predicate.isObject(value)) return false
  // Its members are not known yet.
  const message: { readonly [K in keyof Message]?: unknown } = value
  return message.type === "message"
    && message.role === "assistant"
    && typeof message.id === "string"
    && typeof message.model === "string"
    && typeof message.stop_reason === "string"
    && Predicate.isObject(message.usage)
    && Array.isArray(message.content)
    && message.content.every((block) => Predicate.isObject(block) && typeof Reflect.get(block, "type") === "string")
}
