/**
 * Asks a shared store without depending on it: what fails or takes too long is answered locally, and counted.
 *
 * After a failure the store is left alone for a while, so that one that is gone costs a call's patience once and not
 * with every call.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { StoreError } from "./Stores.ts"

/** @internal */
export interface StoreGuardOptions {
  /** How long a store may take, in milliseconds. */
  readonly patience: number
  /** How long it is left alone after a failure, in milliseconds. */
  readonly rest: number
  /** It could not be asked, and a call went on without it. */
  readonly onUnavailable: (error: StoreError | undefined) => Effect.Effect<void>
}

/** @internal */
export interface StoreGuard {
  /** What the store answers, or `otherwise` where it cannot be asked. */
  readonly ask: <A, B, R>(question: Effect.Effect<A, StoreError, R>, otherwise: Effect.Effect<B>) => Effect.Effect<
    A | B,
    never,
    R
  >
  /** Whether it would be left alone now. */
  readonly isResting: () => boolean
  /** How long it is left alone yet, in milliseconds; at least a little, while somebody finds out. */
  readonly restLeft: () => number
}

/** @internal */
export const make = (options: StoreGuardOptions): Effect.Effect<StoreGuard> =>
  Effect.map(Clock.Clock, (clock) => {
    const { patience, rest } = options
    let restsUntil: number | undefined
    /** After a rest one call finds out whether it is over; nobody else waits for that. */
    let probes = false

    const isResting = () => {
      const left = (restsUntil ?? -Infinity) - clock.currentTimeMillisUnsafe()
      // Longer than a rest means that the clock was set back.
      return probes || left > 0 && left <= rest
    }

    const failed = (error: StoreError | undefined) =>
      Effect.suspend(() => {
        restsUntil = clock.currentTimeMillisUnsafe() + rest
        return options.onUnavailable(error)
      })

    return {
      isResting,
      restLeft: () => Math.max(PROBING, (restsUntil ?? 0) - clock.currentTimeMillisUnsafe()),
      ask: <A, B, R>(question: Effect.Effect<A, StoreError, R>, otherwise: Effect.Effect<B>) =>
        Effect.uninterruptibleMask((restore): Effect.Effect<A | B, never, R> => {
          if (isResting()) return restore(otherwise)
          const isProbe = probes = restsUntil !== undefined
          // In a fiber of its own, so that a store which cannot be interrupted keeps nobody longer than its patience.
          return Effect.flatMap(Effect.forkDetach(question, { startImmediately: true }), (fiber) => {
            const known = fiber.pollUnsafe()
            const exit = known === undefined
              ? Effect.timeoutOption(Fiber.await(fiber), patience)
              : Effect.succeedSome(known)
            return Effect.flatMap(restore(exit), (exit): Effect.Effect<A | B> => {
              if (Option.isSome(exit) && Exit.isSuccess(exit.value)) {
                restsUntil = undefined
                return Effect.succeed(exit.value.value)
              }
              if (Option.isNone(exit)) fiber.interruptUnsafe()
              return Effect.andThen(failed(Option.isNone(exit) ? undefined : errorOf(exit.value)), restore(otherwise))
            }).pipe(Effect.onExit((exit) =>
              Effect.sync(() => {
                if (isProbe) probes = false
                if (Exit.isFailure(exit)) fiber.interruptUnsafe()
              })
            ))
          })
        })
    }
  })

/** How long it takes, more or less, until a store has answered again. */
const PROBING = 20

/** What a store failed with: anybody may write one, and a bug of its must not stop those who wait for its answer. */
const errorOf = (exit: Exit.Exit<unknown, StoreError>): StoreError | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const known = Cause.findErrorOption(exit.cause)
  return Option.isSome(known) ? known.value : { _tag: "Defect", message: String(Cause.squash(exit.cause)) }
}
