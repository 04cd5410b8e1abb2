/**
 * Where the response cache stands on the way of a call: an answer that is kept, or that is on its way already, or a
 * fresh one.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CacheStore from "../cache/CacheStore.ts"
import * as ResponseCache from "../cache/ResponseCache.ts"
import * as Twins from "../cache/Twins.ts"
import * as CanonicalKey from "../request/CanonicalKey.ts"
import type { AdmissionTelemetry } from "../telemetry/AdmissionTelemetry.ts"
import * as Endpoint from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

/** The ways to an answer. */
export interface Ways<A, E> {
  readonly fresh: Effect.Effect<A, E>
  /** By an answer that cost nothing: kept, or that of a call that asks the same at the same time. */
  readonly replayed: (outcome: "hit" | "shared", answer: Effect.Effect<Message, E>) => Effect.Effect<A, E>
}

export interface Caching<A, E> {
  /** What a request is kept under; nothing, where its body alone does not decide its answer. */
  readonly keyOf: (body: object, endpoint: string, policy: Settings.Policy) => string | undefined
  /** Calls share one on its way where `flight` is the same too: what else it depends on, such as how long it may take. */
  readonly answered: (key: string | undefined, flight: string, ways: Ways<A, E>) => Effect.Effect<A, E>
  readonly lookup: (key: string) => Effect.Effect<Message | undefined>
  readonly store: (key: string, message: Message) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function*<A extends Message, E>(
  settings: Settings.Settings,
  telemetry: AdmissionTelemetry,
  /** The answer as the API gave it. */
  plain: (answer: A) => Message
): Effect.fn.Return<Caching<A, E>, never, Scope.Scope> {
  const options = settings.responseCache
  const guard = yield* Endpoint.guard("cache", telemetry)
  const cache = ResponseCache.make({
    store: (yield* CacheStore.Store) ?? CacheStore.memory(options),
    ttlMillis: options.ttlMillis,
    ask: guard.ask
  })
  const scope = yield* Effect.scope
  const twins = Twins.make<A, E>(scope, (answer) => structuredClone(answer))

  const lookup = (key: string) =>
    Effect.tap(
      cache.lookup(key),
      (message) => Effect.sync(() => telemetry.cache(message === undefined ? "miss" : "hit"))
    )

  // Who waits for the answer does not wait for the store.
  const store = (key: string, message: Message) =>
    Effect.asVoid(Effect.forkIn(cache.store(key, message), scope, { startImmediately: true }))

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
    lookup,
    store,
    answered: (key, flight, { fresh, replayed }) => {
      if (key === undefined) return fresh
      const made = Effect.tap(fresh, (answer) => store(key, plain(answer)))
      return Effect.flatMap(cache.lookup(key), (kept) => {
        if (kept !== undefined) {
          telemetry.cache("hit")
          return replayed("hit", Effect.succeed(kept))
        }
        let outcome: "miss" | "shared" = "miss"
        const asTwin = (answer: Effect.Effect<A, E>) => {
          outcome = "shared"
          return replayed("shared", Effect.map(answer, plain))
        }
        return Effect.suspend(() => twins.run(`${key} ${flight}`, made, asTwin)).pipe(
          Effect.onExit(() => Effect.sync(() => telemetry.cache(outcome))),
          Effect.map(({ value }) => value)
        )
      })
    }
  }
})
