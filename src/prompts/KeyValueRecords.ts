/**
 * Records of prompts in a key-value store, under keys such as `prompts/welcome/3` and `prompts/welcome/latest`.
 */
import * as Effect from "effect/Effect"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as PromptFailure from "./PromptFailure.ts"
import * as Records from "./Records.ts"

/** @internal */
export const make = (store: KeyValueStore.KeyValueStore, prefix: string): Records.Records => {
  const name = "KeyValueStore"
  const pathOf = (key: Records.Key) => prefix + Records.pathOf(key)
  const asking = <A>(what: string, self: Effect.Effect<A, KeyValueStore.KeyValueStoreError>) =>
    PromptFailure.inTime(
      name,
      Effect.mapError(self, (error) => PromptFailure.unavailable(name, `It did not ${what}: ${error.message}.`))
    )
  const get = (key: Records.Key) => asking("read a prompt", store.get(pathOf(key)))
  const set = (key: Records.Key, text: string) => asking("keep a prompt", store.set(pathOf(key), text))
  return {
    name,
    keys: Effect.map(asking("list its keys", store.keys), (paths) =>
      paths.flatMap((path) => {
        const key = path.startsWith(prefix) ? Records.keyOf(path.slice(prefix.length)) : undefined
        return key === undefined ? [] : [key]
      })),
    get,
    add: (key, text) => Effect.flatMap(get(key), (known) => known === undefined ? set(key, text) : Effect.void),
    set
  }
}
