/**
 * Stops hammering what is down: after too many failures the circuit of an endpoint and model opens, calls are turned
 * away at once, and after a while one of them probes.
 *
 * What decides is effect's CircuitBreakerStore, in memory or shared; this says what counts as a failure, and sees to it
 * that every admission is recorded. The surprise: without a shared store nothing is loaded until something has failed.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Admission, CircuitBreakerError, CircuitBreakerStore, Transition } from "effect/persistence/CircuitBreaker"
import * as Scope from "effect/Scope"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { CircuitSettings } from "./CircuitOptions.ts"
import type { StoreGuard } from "./StoreGuard.ts"
import type { StoreError } from "./Stores.ts"

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** How a call went; without an error, it went well. */
interface Ended {
  readonly error: ClaudeError.ClaudeError | undefined | "given up"
  /** Whether a refusal says more than that it was too much at once. */
  readonly isDown: boolean
}

/** A call that was let through. @internal */
export interface Admitted {
  /** How it went. Told once: a scope that closes before says that it was given up. */
  readonly ended: (error: Ended["error"], isDown?: boolean) => Effect.Effect<void>
  /** Whether a good beginning is enough: everybody else waits for a probe, and a stream may be long. */
  readonly isProbe: boolean
}

/** @internal */
export interface Circuit {
  /** Fails where the circuit is known to be open, without asking the store. */
  readonly peek: Effect.Effect<void, ClaudeError.ClaudeRetryableError>
  /** Lets a call through, until its scope closes. */
  readonly admit: Effect.Effect<Admitted, ClaudeError.ClaudeRetryableError, Scope.Scope>
}

type Store = CircuitBreakerStore["Service"]

/** @internal */
export interface CircuitMakeOptions {
  readonly settings: CircuitSettings
  readonly shared: { readonly store: Store; readonly guard: StoreGuard } | undefined
  readonly onTransition: (transition: Transition) => Effect.Effect<void>
}

/** How long a caller waits for somebody else's probe, in milliseconds. */
const PROBE = 1000

/** Makes the circuits of a client, each by its key. @internal */
export const make = (options: CircuitMakeOptions): Effect.Effect<(key: string) => Circuit, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { settings, shared } = options
    const clock = yield* Clock.Clock
    const scope = yield* Effect.scope
    // Loaded by those whose calls fail.
    let memory: Store | undefined
    let isLoading = false
    const loaded = yield* Effect.cached(
      Effect.promise(() => import("effect/persistence/CircuitBreaker")).pipe(
        Effect.flatMap((module) => Effect.provide(module.CircuitBreakerStore, module.layerStoreMemory())),
        Effect.tap((store) => Effect.sync(() => memory = store))
      )
    )

    /** What the store answers, or nothing where it cannot be asked. */
    const ask = <A, R>(question: Effect.Effect<A, CircuitBreakerError, R>) => {
      const asked = Effect.catch(
        question,
        (error): Effect.Effect<CircuitBreakerError, StoreError> =>
          error.reason._tag === "CircuitBreakerStoreError"
            ? Effect.fail({ _tag: "StoreError", message: error.message })
            : Effect.succeed(error)
      )
      return shared === undefined ? Effect.orDie(asked) : shared.guard.ask(asked, Effect.undefined)
    }

    const openFor = (openings: number, error: ClaudeError.ClaudeError): Duration.Duration => {
      const hint = error.retryAfter === undefined ? 0 : Duration.toMillis(error.retryAfter)
      const backoff = settings.openDuration * 2 ** Math.min(openings, 32)
      return Duration.millis(Math.min(settings.maxOpenDuration, Math.max(backoff, hint)))
    }

    /** Longer than it may be open means that the clock was set back. */
    const isPossible = (left: number) => left <= settings.maxOpenDuration

    return (key) => {
      /** As far as this process knows. */
      let openUntil = Number.NEGATIVE_INFINITY
      /** How many calls succeeded before the store was there. */
      let early = 0
      const rejected = (until: number) => {
        openUntil = until
        return Effect.fail(circuitOpen(key, until - clock.currentTimeMillisUnsafe()))
      }
      const moved = (transition: Transition | undefined) => {
        if (transition === undefined) return Effect.void
        openUntil = transition.to === "Open"
          ? clock.currentTimeMillisUnsafe() + Duration.toMillis(transition.retryAfter)
          : Number.NEGATIVE_INFINITY
        return options.onTransition(transition)
      }

      const record = (
        store: Store,
        { consecutiveOpenings, generation, probe }: Admission,
        { error, isDown }: Ended
      ): Effect.Effect<void> => {
        const fails = error !== undefined && error !== "given up" && isFailure(error)
        // A probe is judged whatever others got, and any answer but a failure shows that the server is up.
        const outcome = error === undefined || probe && !fails && error !== "given up" && error.status !== undefined
          ? "Success"
          : fails && (isDown || probe)
          ? "Failure"
          : "Ignored"
        return ask(store.record({
          key,
          generation,
          outcome,
          tripPolicy: settings.tripPolicy,
          openFor: fails ? openFor(consecutiveOpenings, error) : Duration.zero
        })).pipe(
          Effect.flatMap((transition) =>
            transition === undefined || "reason" in transition ? Effect.void : moved(transition)
          )
        )
      }

      const recordUnasked = (store: Store, error: ClaudeError.ClaudeError | undefined) =>
        Effect.scoped(
          Effect.flatMap(ask(store.admit(key)), (admission) =>
            admission === undefined || "reason" in admission
              ? Effect.void
              : record(store, admission, { error, isDown: true }))
        )

      /** For those who were let through before the store was there: the first failure loads it, and tells it what was. */
      const endedEarly: Admitted["ended"] = (error, isDown = true) =>
        Effect.suspend(() => {
          if (error === undefined && memory === undefined) early = Math.min(early + 1, settings.tripPolicy.size)
          if (error === "given up" || error === undefined && memory === undefined) return Effect.void
          if (error !== undefined && !(isDown && isFailure(error))) return Effect.void
          isLoading = true
          return Effect.flatMap(loaded, (store) => {
            const successes = Effect.repeat(recordUnasked(store, undefined), { times: early - 1 })
            const before = early === 0 ? Effect.void : successes
            early = 0
            return Effect.andThen(before, recordUnasked(store, error))
          }).pipe(Effect.forkIn(scope), Effect.asVoid)
        })

      const through = (store: Store, admission: Admission) => {
        let told = false
        const tell: Admitted["ended"] = (error, isDown = true) =>
          Effect.suspend(() => {
            if (told) return Effect.void
            told = true
            return record(store, admission, { error, isDown })
          })
        return Effect.as(
          Effect.addFinalizer(() => tell("given up")),
          { ended: tell, isProbe: admission.probe }
        )
      }

      const askedOf = (store: Store): Effect.Effect<Admitted, ClaudeError.ClaudeRetryableError, Scope.Scope> =>
        Effect.flatMap(ask(store.admit(key)), (admission) => {
          if (admission === undefined) return Effect.succeed(unguarded)
          if (!("reason" in admission)) return Effect.andThen(moved(admission.transition), through(store, admission))
          const { reason } = admission
          if (reason._tag !== "CircuitOpen") return Effect.fail(circuitOpen(key, PROBE))
          const left = Duration.toMillis(reason.retryAfter)
          return isPossible(left) ? rejected(clock.currentTimeMillisUnsafe() + left) : Effect.succeed(unguarded)
        })

      return {
        peek: Effect.suspend(() => {
          const left = openUntil - clock.currentTimeMillisUnsafe()
          return left > 0 && isPossible(left) ? rejected(openUntil) : Effect.void
        }),
        admit: Effect.uninterruptibleMask((restore) => {
          const store = shared?.store ?? memory
          if (store !== undefined) return askedOf(store)
          // Once something has failed, nobody goes unasked.
          return isLoading
            ? Effect.flatMap(restore(loaded), askedOf)
            : Effect.succeed<Admitted>({ ended: endedEarly, isProbe: false })
        })
      }
    }
  })

/** Let through without having been asked for. */
const unguarded: Admitted = { ended: () => Effect.void, isProbe: false }

const failures: ReadonlySet<string> = new Set(
  [
    "Overloaded",
    "ServerError",
    "ConnectionFailed",
    "TimedOut",
    "StreamInterrupted",
    "InvalidResponse"
  ] satisfies ReadonlyArray<ClaudeError.ClaudeRetryableError["reason"]["_tag"]>
)

/** Whether it says that the server is down: not a caller's mistake, and not a rate limit. */
const isFailure = ({ reason }: ClaudeError.ClaudeError): boolean => failures.has(reason._tag)

const circuitOpen = (key: string, millis: number) =>
  Failure.retryable(
    new ClaudeError.CircuitOpen({ key }),
    `The circuit of ${key} is open, since too many of its latest calls failed. ` +
      `It is tried again in ${Duration.format(Duration.millis(Math.ceil(Math.max(0, millis))))}.`,
    { type: "circuit_open", retryAfter: Duration.millis(Math.ceil(Math.max(0, millis))) }
  )
