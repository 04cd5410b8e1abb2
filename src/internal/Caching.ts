/**
 * Where the response cache stands on the way of a call: an answer that is kept, or that is on its way already, or a
 * fresh one.
 *
 * What one call was answered is given to others only where it would have been their own answer: the whole answer of the
 * target that all of them ask for, or any answer to those who would go on to the same targets.
 */
import type { Message as SdkMessage } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CacheStore from "../cache/CacheStore.ts"
import * as ResponseCache from "../cache/ResponseCache.ts"
import * as Twins from "../cache/Twins.ts"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as CanonicalKey from "../request/CanonicalKey.ts"
import type { AdmissionTelemetry } from "../telemetry/AdmissionTelemetry.ts"
import * as Call from "./Call.ts"
import * as Endpoint from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

type Answer = Effect.Effect<Call.Message, ClaudeError.ClaudeError>

/** @internal */
export interface Caching {
  /** What a request is kept under; nothing, where its body alone does not decide its answer. */
  readonly keyOf: (body: object, endpoint: string, policy: Settings.Policy) => string | undefined
  /** Answers a call from what is kept (unless it asks `anew`), or on its way, or as it is `made`. */
  readonly answered: (
    key: string,
    call: { readonly begin: Effect.Effect<Call.Call>; readonly made: (call: Call.Call) => Answer },
    anew: boolean
  ) => Answer
  readonly lookup: (key: string) => Effect.Effect<SdkMessage | undefined>
  /** Keeps an answer, where it is one to keep; who waits for the answer does not wait for the store. */
  readonly store: (key: string, message: SdkMessage) => Effect.Effect<void>
}

/** What a call came to. */
interface Made {
  readonly message: Call.Message
  /** Whether it may be given to anybody who asks the same; else to those who would ask the same targets. */
  readonly isForAll: boolean
  readonly policy: Settings.Policy
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const make = Effect.fnUntraced(function*(
  settings: Settings.Settings,
  telemetry: AdmissionTelemetry
): Effect.fn.Return<Caching, never, Scope.Scope> {
  const options = settings.responseCache
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const guard = yield* Endpoint.guard("cache", telemetry)
  const cache = ResponseCache.make({
    store: (yield* CacheStore.Store) ?? CacheStore.memory(options),
    ttlMillis: options.ttlMillis,
    ask: guard.ask
  })
  const twins = Twins.make<Made, ClaudeError.ClaudeError>({
    scope,
    copy: (made) => ({ ...made, message: structuredClone(made.message) }),
    closed: Failure.closed
  })

  /** Answers on their way to the store, which cannot be read from there yet. */
  const leaving = new Map<string, SdkMessage>()

  const kept = (key: string): Effect.Effect<SdkMessage | undefined> =>
    Effect.suspend(() => {
      const message = leaving.get(key)
      return message === undefined ? cache.lookup(key) : Effect.succeed(structuredClone(message))
    })

  const store = (key: string, message: SdkMessage): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!ResponseCache.isCacheable(message)) return Effect.void
      // As it is now: whoever is given the message may write upon it.
      const copy = structuredClone(message)
      const write = Effect.suspend(() => {
        leaving.set(key, copy)
        return cache.store(key, copy)
      })
      const arrived = Effect.sync(() => {
        if (leaving.get(key) === copy) leaving.delete(key)
      })
      // The client's end waits for it, for as long as a store is waited for.
      return Effect.ensuring(write, arrived).pipe(
        Effect.forkIn(scope, { startImmediately: true, uninterruptible: true }),
        Effect.asVoid
      )
    })

  const paid = (key: string, call: Call.Call, made: (call: Call.Call) => Answer) => {
    const first = call.target
    return Effect.flatMap(Effect.suspend(() => made(call)), (message) => {
      const plain = Call.withoutReceipt(message)
      const isForAll = call.target === first && ResponseCache.isCacheable(plain)
      return Effect.as(isForAll ? store(key, plain) : Effect.void, { message, isForAll, policy: call.prepared.policy })
    })
  }

  /** The answer of another's call, while there is time to wait for it; nothing, where the call is to be made. */
  const shared = (call: Call.Call, answer: Effect.Effect<Made | undefined, ClaudeError.ClaudeError>) => {
    const late = () => Effect.fail(Failure.deadlineExceeded())
    const left = () => call.deadline - clock.currentTimeMillisUnsafe()
    return answer.pipe(
      Effect.timeoutOrElse({ duration: Math.max(0, left()), orElse: late }),
      Effect.flatMap((made) => {
        if (made !== undefined && (made.isForAll || asksTheSame(made.policy, call.prepared.policy))) {
          return Effect.succeed({ ...made, message: replay(call, "shared", Call.withoutReceipt(made.message)) })
        }
        return left() > 0 ? Effect.undefined : late()
      })
    )
  }

  const answered: Caching["answered"] = (key, { begin, made }, anew) =>
    Effect.suspend(() => {
      // What is on its way is not in the store, and may be by the time the store has answered that it is not.
      const known = anew || twins.has(key) ? Effect.undefined : kept(key)
      /** Who has begun a call ends it; a call that is made for others too is ended where it is made. */
      let isMade = false
      const joined = (call: Call.Call) =>
        twins.run(
          key,
          Effect.acquireUseRelease(
            Effect.sync(() => isMade = true),
            () => paid(key, call, made),
            (_, exit) => Call.end(call, Call.outcomeOf(exit), exit)
          ),
          (answer) => shared(call, answer)
        )
      return Effect.flatMap(known, (message) =>
        Effect.acquireUseRelease(
          begin,
          (call) =>
            message === undefined
              ? Effect.map(joined(call), ({ message }) => message)
              : Effect.sync(() => replay(call, "hit", message)),
          (call, exit) => {
            telemetry.cache(message !== undefined ? "hit" : isMade ? "miss" : "shared")
            return isMade ? Effect.void : Call.end(call, Call.outcomeOf(exit), exit)
          }
        ))
    })

  return {
    keyOf: (body, endpoint, { headers, tenant }) =>
      ResponseCache.isSelfContained(body)
        ? CanonicalKey.of(body, [
          endpoint,
          options.shared ? "shared" : `tenant ${tenant ?? ""}`,
          // Headers choose betas, which change what is answered.
          JSON.stringify(Object.entries(headers ?? {}).toSorted(([a], [b]) => a < b ? -1 : 1))
        ])
        : undefined,
    answered,
    lookup: (key) =>
      Effect.tap(
        kept(key),
        (message) => Effect.sync(() => telemetry.cache(message === undefined ? "miss" : "hit"))
      ),
    store
  }
})

/** Answers a call with a message of its own that cost it nothing. */
const replay = (call: Call.Call, outcome: "hit" | "shared", message: SdkMessage): Call.Message => {
  call.span.cached(outcome, message)
  return Object.assign(message, Call.free)
}

/** Whether calls go on to the same targets, and for the same reasons. */
const asksTheSame = (one: Settings.Policy, other: Settings.Policy): boolean => {
  const { fallback: targets = [], onRefusal } = one
  const { fallback: others = [] } = other
  return onRefusal === other.onRefusal && targets.length === others.length &&
    targets.every((target, i) => target === others[i])
}
