/**
 * Asks a shared store without depending on it: what fails or takes too long is answered locally, and counted.
 *
 * After a failure the store is left alone for a while, so that one that is gone costs a call's patience once and not
 * with every call.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
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
  /** Whether it would be asked now. */
  readonly isResting: () => boolean
}

/** @internal */
export const make = (options: StoreGuardOptions): Effect.Effect<StoreGuard> =>
  Effect.map(Clock.Clock, (clock) => {
    let restsUntil = Number.NEGATIVE_INFINITY
    const isResting = () => clock.currentTimeMillisUnsafe() < restsUntil
    const failed = (error: StoreError | undefined) =>
      Effect.suspend(() => {
        restsUntil = clock.currentTimeMillisUnsafe() + options.rest
        return options.onUnavailable(error)
      })
    return {
      isResting,
      ask: (question, otherwise) =>
        Effect.suspend(() =>
          isResting()
            ? otherwise
            : question.pipe(
              Effect.timeoutOrElse({
                duration: options.patience,
                orElse: () => Effect.andThen(failed(undefined), otherwise)
              }),
              Effect.catch((error) => Effect.andThen(failed(error), otherwise))
            )
        )
    }
  })
