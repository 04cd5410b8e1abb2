/**
 * Whose turn it is: how many calls are in flight at once, first come, first served.
 *
 * A turn holds a permit until its scope closes. Who waits leaves at its deadline, or when it is interrupted, and leaves
 * nothing behind.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

/** A call before the gate. @internal */
export interface Waiter {
  /** When it must be over, by the clock. */
  readonly deadline: number
  /** It has to wait, since the answer. */
  readonly onQueued: Effect.Effect<bigint>
  /** It waits no longer. */
  readonly onLeft: (since: bigint, outcome: "granted" | "cancelled" | "deadline") => Effect.Effect<void>
}

/** Takes a turn. @internal */
export type Gate = (waiter: Waiter) => Effect.Effect<void, ClaudeError.ClaudeFatalError, Scope.Scope>

/** @internal */
export const make = (permits: number): Effect.Effect<Gate> =>
  Effect.map(Semaphore.make(permits), (semaphore) => {
    let waiting = 0

    const wait = (waiter: Waiter) =>
      Effect.clockWith((clock) =>
        Effect.timeoutOrElse(semaphore.takeScoped(1), {
          duration: waiter.deadline - clock.currentTimeMillisUnsafe(),
          orElse: () => Effect.fail(Failure.deadlineExceeded())
        })
      )

    return (waiter) =>
      Effect.uninterruptibleMask((restore) =>
        // A permit that is free while others wait is theirs: they have been woken, and have not run yet.
        Effect.flatMap(waiting === 0 ? semaphore.takeIfAvailable(1) : Effect.succeed(false), (free) =>
          free
            ? Effect.addFinalizer(() => semaphore.release(1))
            : Effect.acquireUseRelease(
              Effect.tap(waiter.onQueued, () => Effect.sync(() => waiting++)),
              () => restore(wait(waiter)),
              (since, exit) => {
                waiting--
                return waiter.onLeft(
                  since,
                  Exit.isSuccess(exit) ? "granted" : Exit.hasInterrupts(exit) ? "cancelled" : "deadline"
                )
              }
            ))
      )
  })
