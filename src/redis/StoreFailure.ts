/**
 * A failed question to Redis as a `StoreError`, which tells what failed and why, and nothing that may be a secret.
 *
 * Clients put URLs, and old servers put whole commands, into what they say, the password among them. So of an error only
 * its code is told, or the beginning of a reply up to its first quotation.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Redis from "effect/persistence/Redis"
import type * as Stores from "../admission/Stores.ts"

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** @internal */
export class StoreFailure extends Data.TaggedError("StoreError")<{
  readonly message: string
  readonly refused?: boolean
}> implements Stores.StoreError {}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** Says which question it was. @internal */
export const asking = (what: string) => <A, R>(self: Effect.Effect<A, Redis.RedisError, R>) =>
  Effect.mapError(self, (error) => new StoreFailure({ message: `Redis did not ${what}: ${reason(error.cause)}` }))

/** A number that Redis can count with exactly, or a failure before it is asked. @internal */
export const checked = (what: string, value: number, lowest: number): Effect.Effect<void, StoreFailure> =>
  value >= lowest && value <= largest ? Effect.void : Effect.fail(outOfBounds(what, value, lowest))

/** Times and amounts up to here, and the sums of a good many of them, are exact in Lua's doubles. @internal */
export const largest = 2 ** 50

/** @internal */
export const outOfBounds = (what: string, value: number, lowest: number): StoreFailure =>
  new StoreFailure({ message: `${what} must be a number from ${lowest} to ${largest}, got ${value}` })

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const reason = (cause: unknown): string => {
  if (!(cause instanceof Error)) return "unknown error"
  // As of a system call: ECONNREFUSED.
  if ("code" in cause && typeof cause.code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(cause.code)) return cause.code
  // As Redis answers: READONLY You can't write against a read only replica.
  const reply = /^[A-Z]{3,}\b[^'"`\n]*/.exec(cause.message)
  return reply === null ? cause.constructor.name : reply[0].trim().slice(0, 100)
}
