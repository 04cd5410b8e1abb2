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
  readonly answered: (key: string | undefined, ways: Ways<A, E>) => Effect.Effect<A, E>
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
  const twins = Twins.make<A, E>(yield* Effect.scope, (answer) => structuredClone(answer))

  const lookup = (key: string) =>
    Effect.tap(cache.lookup(key), (message) =>
      Effect.sync(() => {
        if (message !== undefined) telemetry.cache("hit")
        else if (!twins.has(key)) telemetry.cache("miss")
      }))

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
    store: cache.store,
    answered: (key, { fresh, replayed }) =>
      key === undefined ? fresh : Effect.flatMap(lookup(key), (kept) => {
        if (kept !== undefined) return replayed("hit", Effect.succeed(kept))
        const made = Effect.tap(fresh, (answer) => cache.store(key, plain(answer)))
        const shared = Effect.map(twins.run(key, made), ({ value }) => value)
        if (!twins.has(key)) return shared
        telemetry.cache("shared")
        return replayed("shared", Effect.map(shared, plain))
      })
  }
})
