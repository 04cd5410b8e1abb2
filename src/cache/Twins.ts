/**
 * Calls of one key that are on their way at the same time share one: the first leads, the others wait for its answer.
 *
 * The call runs in a fiber of its own, in the scope that was handed in, so it goes on when its leader leaves and ends
 * with the last who waits; that one waits until it has. Only an answer is shared: what a call fails with may be its
 * leader's alone (its deadline, its retries, its tenant's budget), so each other makes its own then, and the first of
 * them leads the rest. The surprise: it runs with its leader's context (its spans, its references), whoever waits.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @internal */
export interface Twins<A, E> {
  /**
   * Makes the call, or waits for the one of this key that is on its way, as `asTwin` has it: its answer is undefined
   * where that one has failed, and `asTwin` answers undefined where it does not want what came.
   */
  readonly run: (
    key: string,
    call: Effect.Effect<A, E>,
    asTwin: (answer: Effect.Effect<A | undefined, E>) => Effect.Effect<A | undefined, E>
  ) => Effect.Effect<A, E>
  /** Whether a call of this key is on its way. */
  readonly has: (key: string) => boolean
  /** How many calls are on their way. */
  readonly size: () => number
}

/** A call on its way. */
interface Flight<A, E> {
  readonly result: Deferred.Deferred<A, E>
  fiber: Fiber.Fiber<A, E> | undefined
  /** How many wait for it. */
  waiting: number
  /** More than one has waited for it. */
  isShared: boolean
}

/**
 * How many calls of others one waits for. Where only the leader's own limits were to blame, the second answers all;
 * where that fails too, each makes its own, for a failure of its own is nothing to queue for.
 */
const MAX_WAITS = 2

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * The calls of one client, which end with the scope: then with `closed`.
 *
 * `copy` is what each of several callers gets: the value itself is handed out only where one caller has it alone.
 *
 * @internal
 */
export const make = <A, E>(options: {
  readonly scope: Scope.Scope
  readonly copy: (value: A) => A
  readonly closed: () => E
}): Twins<A, E> => {
  const { closed, copy, scope } = options
  // Not Effect's RcMap: a failure would be kept until all who waited had left, so one who tried again at once met it again.
  const flights = new Map<string, Flight<A, E>>()
  const isClosed = () => scope.state._tag === "Closed"

  /** Takes it out before its callers go on, so nobody joins what has ended, or is about to. */
  const remove = (key: string, flight: Flight<A, E>) => {
    if (flights.get(key) === flight) flights.delete(key)
  }

  const start = (key: string, call: Effect.Effect<A, E>, { context }: Fiber.Fiber<unknown, unknown>) => {
    const flight: Flight<A, E> = { result: Deferred.makeUnsafe(), fiber: undefined, waiting: 1, isShared: false }
    // Before its first step: it finds itself there, and so does whoever is woken by it.
    flights.set(key, flight)
    const within: Within = { flights, key, outer: Context.get(context, CurrentWithin) }
    flight.fiber = Effect.runForkWith(context)(Effect.provideService(call, CurrentWithin, within))
    Fiber.runIn(flight.fiber, scope)
    flight.fiber.addObserver((exit) => {
      remove(key, flight)
      const isEnd = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) && isClosed()
      Deferred.doneUnsafe(flight.result, isEnd ? Exit.fail(closed()) : exit)
    })
    return flight
  }

  const valueOf = (flight: Flight<A, E>) =>
    Effect.map(Deferred.await(flight.result), (value) => flight.isShared ? copy(value) : value)

  /** What a twin is told: no failure of another's, but that the client is closed. */
  const answerOf = (flight: Flight<A, E>): Effect.Effect<A | undefined, E> =>
    Effect.flatMap(
      Effect.exit(Deferred.await(flight.result)),
      (exit) =>
        Exit.isSuccess(exit)
          ? Effect.sync(() => copy(exit.value))
          : isClosed()
          ? Effect.fail(closed())
          : Effect.undefined
    )

  const leave = (key: string, flight: Flight<A, E>) =>
    Effect.suspend(() => {
      flight.waiting--
      if (flight.waiting > 0 || flight.fiber === undefined || flight.fiber.pollUnsafe() !== undefined) {
        return Effect.void
      }
      remove(key, flight)
      return Fiber.interrupt(flight.fiber)
    })

  const run: Twins<A, E>["run"] = (key, call, asTwin) => {
    // From the look at the flights to the place among those who wait it is one step: a fiber may yield between any two.
    const enter = (waited: number): Effect.Effect<A, E> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.withFiber((caller) => {
          const known = flights.get(key)
          if (known === undefined) {
            if (isClosed()) return Effect.fail(closed())
            const flight = start(key, call, caller)
            return Effect.ensuring(restore(valueOf(flight)), leave(key, flight))
          }
          // A call that makes itself would wait for itself.
          if (waited === MAX_WAITS || isWithin(caller.getRef(CurrentWithin), flights, key)) return restore(call)
          known.waiting++
          known.isShared = true
          return restore(asTwin(answerOf(known))).pipe(
            Effect.ensuring(leave(key, known)),
            Effect.filterOrElse(Predicate.isNotUndefined, () => restore(enter(waited + 1)))
          )
        })
      )
    return enter(0)
  }

  return { run, has: (key) => flights.has(key), size: () => flights.size }
}

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
