/**
 * Two caches: ours answers again what was answered before, at no cost, and the API's own makes a long prompt cheap to send again.
 * Run it with `node examples/63-cache.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Duration, Effect, FileSystem, Layer, Stream } from "effect"
import { Claude, PromptCache } from "effect-claude"
import { layerKeyValueStore } from "effect-claude/cache-store"
import { Answer } from "effect-claude/testing"
import { KeyValueStore } from "effect/persistence"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region response-cache
const cachedInFiles = (folder: string) =>
  Claude.layerConfigWith({ cache: true, responseCache: { ttl: "1 day" } }).pipe(
    Layer.provide(layerKeyValueStore),
    Layer.provide(KeyValueStore.layerFileSystem(folder)),
    Layer.provide(NodeServices.layer)
  )
// #endregion

// #region prompt-cache
const askHandbook = (question: string) =>
  Claude.message(
    PromptCache.mark({ model, max_tokens: 100, system: handbook, prompt: question }, { lastTurn: false })
  )
// #endregion

const model = "claude-sonnet-5-5"
const river = { model, max_tokens: 100, prompt: "Which river is the longest? One sentence." }
const peak = { ...river, prompt: "Which mountain is the highest? One sentence." }
const handbook = "A visitor signs in at the desk, wears a badge, and is met by a host. ".repeat(200)

const remembered = Effect.gen(function*() {
  yield* show("asked for the first time", Claude.message(river))
  yield* show("asked again", Claude.message(river))
  yield* show("asked again, as a stream", Claude.collect(Claude.stream(river)))
  const twins = Array.from({ length: 5 }, () => Claude.message(peak))
  const [took, messages] = yield* Effect.timed(Effect.all(twins, { concurrency: "unbounded" }))
  ...
})
