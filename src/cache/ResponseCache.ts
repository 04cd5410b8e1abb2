/**
 * Answers that were given before: looked up by the whole request, kept for a while, and never a reason to fail.
 *
 * Only whole answers are kept: no error, no refusal, nothing that was cut or paused, nothing that is empty, and nothing
 * that depends on what the server holds. The surprise: a store that fails or hangs is a miss, and the guard that asks
 * it says so.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as CacheStore from "./CacheStore.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @internal */
export interface ResponseCache {
  /** The answer that is kept under a key. */
  readonly lookup: (key: string) => Effect.Effect<Message | undefined>
  /** Keeps an answer, where it is one to keep. */
  readonly store: (key: string, message: Message) => Effect.Effect<void>
}

/** Asks a store that may fail or hang; what it cannot answer, `otherwise` does. @internal */
export type Ask = <A, B>(
  question: Effect.Effect<A, CacheStore.StoreError>,
  otherwise: Effect.Effect<B>
) => Effect.Effect<A | B>

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface CacheOptions {
  /** How long an answer is kept. @default "1 hour" */
  readonly ttl?: Duration.Input | undefined
  /** How many answers the client's own memory holds. @default 1000 */
  readonly capacity?: number | undefined
  /** How long their JSON may be together. @default 64 MiB */
  readonly maxBytes?: number | undefined
  /** Whether one tenant is answered with what another one asked. @default false */
  readonly shared?: boolean | undefined
}

/** Resolved. @internal */
export interface Resolved {
  readonly ttlMillis: number
  readonly capacity: number
  readonly maxBytes: number
  readonly shared: boolean
}

const known = ["ttl", "capacity", "maxBytes", "shared"]

/** Reads the options, or says which one is wrong. @internal */
export const resolve = (options: CacheOptions = {}): Resolved | ClaudeError.ClaudeFatalError => {
  const isRecord: boolean = Predicate.isObject(options)
  if (!isRecord) return refuse(undefined, options, `an object of ${known.join(", ")}`)
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown !== undefined) return refuse(unknown, "no option", `one of ${known.join(", ")}`)
  const { capacity = 1000, maxBytes = 64 * 1024 * 1024, shared = false, ttl = "1 hour" } = options
  const duration = Duration.fromInput(ttl)
  const ttlMillis = duration._tag === "None" ? Number.NaN : Duration.toMillis(duration.value)
  if (!(ttlMillis > 0)) return refuse("ttl", ttl, `a time above zero, such as "1 hour"`)
  if (!isCount(capacity)) return refuse("capacity", capacity, "a whole number from 1: how many answers are kept")
  if (!isCount(maxBytes)) return refuse("maxBytes", maxBytes, "a whole number from 1, such as 64 * 1024 * 1024")
  if (typeof shared !== "boolean") return refuse("shared", shared, "true or false")
  return { ttlMillis, capacity, maxBytes, shared }
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 1

const refuse = (field: string | undefined, value: unknown, expected: string): ClaudeError.ClaudeFatalError => {
  const option = field === undefined ? "responseCache" : `responseCache.${field}`
  return Failure.misconfigured(option, `${option} is ${String(value)}; expected ${expected}.`)
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** A cache over a store, which is asked through `ask`. @internal */
export const make = (options: {
  readonly store: CacheStore.CacheStore
  readonly ttlMillis: number
  readonly ask: Ask
}): ResponseCache => {
  const { ask, store, ttlMillis } = options
  return {
    lookup: (key) =>
      Effect.map(
        ask(Effect.suspend(() => store.get(key)), Effect.undefined),
        (message) => message !== undefined && isCacheable(message) ? message : undefined
      ),
    store: (key, message) =>
      isCacheable(message) ? ask(Effect.suspend(() => store.set(key, message, ttlMillis)), Effect.void) : Effect.void
  }
}

// -----------------------------------------------------------------------------
// guards
// -----------------------------------------------------------------------------

const whole: ReadonlySet<unknown> = new Set(["end_turn", "stop_sequence", "tool_use"])

/** Whether an answer may be given again: whole, not empty, and of no container that is gone by then. @internal */
export const isCacheable = (message: Message): boolean =>
  CacheStore.isMessage(message)
  && whole.has(message.stop_reason)
  && message.container == null
  && message.content.length > 0

/** Whether its body alone decides what a request is answered: the server holds no thread or container for it. @internal */
export const isSelfContained = (body: object): boolean => !stateful.some((field) => Reflect.get(body, field) != null)

const stateful = ["container", "thread"]
