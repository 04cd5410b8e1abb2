/**
 * Calls of one key that are on their way at the same time share one: the first makes it, the others wait for it.
 *
 * The call runs in a fiber of its own, in the scope that was handed in, so it goes on when its first caller leaves and
 * ends when its last one does; a caller that leaves last waits until it has. A failure goes to those who waited for it
 * and is not kept. The surprise: it runs with the first caller's context (its spans, its references), whoever waits.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What a call came to, and whether another caller had made it. @internal */
export interface Result<A> {
  readonly value: A
  readonly shared: boolean
}

/** @internal */
export interface Twins<A, E> {
  /** Makes the call, or waits for the one of this key that is on its way: then as `asTwin` has it. */
  readonly run: (
    key: string,
    call: Effect.Effect<A, E>,
    asTwin?: (answer: Effect.Effect<A, E>) => Effect.Effect<A, E>
  ) => Effect.Effect<Result<A>, E>
  /** How many calls are on their way. */
  readonly size: () => number
}

/** A call on its way. */
interface Flight<A, E> {
  readonly fiber: Fiber.Fiber<A, E>
  /** How many wait for it. */
  waiting: number
  /** More than one has waited for it. */
  shared: boolean
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * The calls of one client, which end with the scope.
 *
 * `copy` is what each of several callers gets: the value itself is handed out only where one caller has it alone.
 *
 * @internal
 */
export const make = <A, E>(scope: Scope.Scope, copy: (value: A) => A): Twins<A, E> => {
  // Not Effect's RcMap: a failure would be kept until all who waited had left, so one who tried again at once met it again.
  const flights = new Map<string, Flight<A, E>>()

  /** Takes it out before its callers go on, so nobody joins what has ended, or is about to. */
  const remove = (key: string, flight: Flight<A, E>) => {
    if (flights.get(key) === flight) flights.delete(key)
  }

  const start = (key: string, call: Effect.Effect<A, E>, { context }: Fiber.Fiber<unknown, unknown>) => {
    const within: Within = { flights, key, outer: Context.get(context, CurrentWithin) }
    // It yields first: the call finds itself among the flights from its first step on.
    const fiber = Effect.andThen(Effect.yieldNow, Effect.provideService(call, CurrentWithin, within)).pipe(
      Effect.runForkWith(context),
      Fiber.runIn(scope)
    )
    const flight: Flight<A, E> = { fiber, waiting: 0, shared: false }
    flights.set(key, flight)
    fiber.addObserver(() => remove(key, flight))
    return flight
  }

  const leave = (key: string, flight: Flight<A, E>) =>
    Effect.suspend(() => {
      flight.waiting--
      if (flight.waiting > 0 || flight.fiber.pollUnsafe() !== undefined) return Effect.void
      remove(key, flight)
      return Fiber.interrupt(flight.fiber)
    })

  return {
    size: () => flights.size,
    // From the look at the flights to the place among those who wait it is one step: a fiber may yield between any two.
    run: (key, call, asTwin) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.withFiber((caller) => {
          const known = flights.get(key)
          // A call that makes itself would wait for itself.
          if (known !== undefined && isWithin(caller.getRef(CurrentWithin), flights, key)) {
            return Effect.map(restore(call), alone)
          }
          const flight = known ?? start(key, call, caller)
          flight.waiting++
          if (known !== undefined) flight.shared = true
          const answer = Effect.map(Fiber.join(flight.fiber), (value) => flight.shared ? copy(value) : value)
          return restore(known === undefined || asTwin === undefined ? answer : asTwin(answer)).pipe(
            Effect.map((value): Result<A> => ({ value, shared: known !== undefined })),
            Effect.ensuring(leave(key, flight))
          )
        })
      )
  }
}

const alone = <A>(value: A): Result<A> => ({ value, shared: false })

// -----------------------------------------------------------------------------
// calls within calls
// -----------------------------------------------------------------------------

/** The flights that an effect is a part of, the innermost first. */
interface Within {
  readonly flights: unknown
  readonly key: string
  readonly outer: Within | undefined
}

const CurrentWithin = Context.Reference<Within | undefined>("effect-claude/cache/Twins/CurrentWithin", {
  defaultValue: () => undefined
})

const isWithin = (within: Within | undefined, flights: unknown, key: string): boolean =>
  within !== undefined && ((within.flights === flights && within.key === key) || isWithin(within.outer, flights, key))
