/**
 * Tells a store what it has missed, once it has rested: that takes no further call, and a client that closes tries once
 * more.
 *
 * It is one fiber at most, and only while something is owed.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { StoreGuard } from "./StoreGuard.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Who owes a store something. @internal */
export interface Debtor {
  readonly owes: () => boolean
  /** Tells a piece of it; whether the store answered. */
  readonly tell: (guard: StoreGuard) => Effect.Effect<boolean>
}

/** @internal */
export interface Teller {
  /** There may be something to be told. */
  readonly wake: (debtor: Debtor) => Effect.Effect<void>
}

/** Leaves it to those who ask. @internal */
export const none: Teller = { wake: () => Effect.void }

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** How often it looks whether the store has rested, in milliseconds. */
const REST = 1000

/**
 * A teller for one debtor; a client that closes waits for it no longer than `patience`, in milliseconds.
 *
 * @internal
 */
export const make = (guard: StoreGuard, patience: number): Effect.Effect<Teller, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const context = yield* Effect.context<never>()
    let known: Debtor | undefined
    let isAwake = false

    const watch = (debtor: Debtor): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (!debtor.owes()) {
          isAwake = false
          return Effect.void
        }
        const told = guard.isResting() ? Effect.succeed(false) : debtor.tell(guard)
        return Effect.andThen(
          Effect.flatMap(told, (told) => told ? Effect.void : Effect.sleep(REST)),
          watch(debtor)
        )
      })

    yield* Effect.addFinalizer(() => known?.owes() === true ? tellLast(known, patience) : Effect.void)
    return {
      wake: (debtor) =>
        Effect.suspend(() => {
          known = debtor
          if (isAwake || !debtor.owes()) return Effect.void
          isAwake = true
          // Not in the name of the call that happened to be there.
          const own = watch(debtor).pipe(
            Effect.onError(() =>
              Effect.sync(() => {
                isAwake = false
              })
            ),
            Effect.updateContext((_: Context.Context<never>) => context)
          )
          return Effect.asVoid(Effect.forkIn(own, scope))
        })
    }
  })

const tellLast = (debtor: Debtor, patience: number): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.forkDetach(tellAll(debtor, anyway)),
    (fiber) =>
      Effect.timeoutOption(Fiber.await(fiber), patience).pipe(
        // By the machine's clock: that of a test stands still when the test is over.
        Effect.provideService(Clock.Clock, Clock.Clock.defaultValue()),
        Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()))
      )
  )

/** Asks also a store that rests: there is no later. */
const anyway: StoreGuard = {
  isResting: () => false,
  restLeft: () => 0,
  ask: (question, otherwise) => Effect.catchCause(question, () => otherwise)
}

/** Tells all that is owed, or as much as the store takes. @internal */
export const tellAll = (debtor: Debtor, guard: StoreGuard): Effect.Effect<void> =>
  Effect.suspend(() =>
    debtor.owes()
      ? Effect.flatMap(debtor.tell(guard), (told) => told ? tellAll(debtor, guard) : Effect.void)
      : Effect.void
  )

/**
 * Asks each, and says whether all were answered. One goes alone, so that a store that is still away costs one question.
 *
 * @internal
 */
export const askAll = <A>(
  all: ReadonlySet<A>,
  most: number,
  ask: (one: A) => Effect.Effect<boolean>
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const [first, ...rest] = Array.from(all).slice(0, most)
    if (first === undefined) return Effect.succeed(true)
    return Effect.flatMap(ask(first), (answered) =>
      answered
        ? Effect.map(Effect.forEach(rest, ask, { concurrency: "unbounded" }), (answers) => answers.every(Boolean))
        : Effect.succeed(false))
  })
