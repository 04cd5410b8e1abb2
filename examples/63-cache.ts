/**
 * What was answered before is answered again at once and for nothing; what was read before, the API reads for a tenth of its price.
 * Run it with `node examples/63-cache.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Duration, Effect, FileSystem, Layer } from "effect"
import { Claude, type ClaudeError, PromptCache } from "effect-claude"
import { layerKeyValueStore } from "effect-claude/cache-store"
import { Answer } from "effect-claude/testing"
import { KeyValueStore } from "effect/persistence"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region response-cache
const layerCached = (folder: string) =>
  Claude.layerConfigWith({ cache: true, responseCache: { ttl: "1 day" } }).pipe(
    Layer.provide(layerKeyValueStore),
    Layer.provide(KeyValueStore.layerFileSystem(folder))
  )
// #endregion

// #region prompt-cache
const askHandbook = (question: string) =>
  Claude.message(PromptCache.mark({
    model: "claude-sonnet-5-5",
    max_tokens: 100,
    system: handbook,
    prompt: question
  }, { lastTurn: false }))
// #endregion

const handbook = "A visitor signs in at the desk, wears a badge, and is met by a host. ".repeat(200)
const river = { model: "claude-sonnet-5-5", max_tokens: 100, prompt: "Which river is the longest? One sentence." }
const peak = { ...river, prompt: "Which mountain is the highest? One sentence." }

const program = Effect.gen(function*() {
  const { makeTempDirectoryScoped } = yield* FileSystem.FileSystem
  const folder = yield* makeTempDirectoryScoped()

  yield* header("The response cache", "requests")
  yield* Effect.provide(
    Effect.gen(function*() {
      yield* asked("asked", Claude.message(river))
      yield* asked("asked again", Claude.message(river))
      yield* asked("as a stream", Claude.collect(Claude.stream(river)))
      yield* asked("five at once", Claude.message(peak), 5)
    }),
    layerCached(folder)
  )
  // Another client over the same files, as after a restart.
  yield* asked("by a new client", Claude.message(peak)).pipe(Effect.provide(layerCached(folder)))

  yield* header("The API's prompt cache", "written      read")
  yield* Effect.provide(
    Effect.gen(function*() {
      yield* read("asked", askHandbook("Who meets a visitor?"))
      yield* read("asked something else", askHandbook("Where does a visitor sign in?"))
    }),
    Claude.layerConfig
  )
})

type Ask = Effect.Effect<Claude.Message, ClaudeError.ClaudeError, Claude.Claude>

const asked = (what: string, ask: Ask, callers = 1) =>
  row(what, ask, callers, (messages) => [messages.reduce((sum, { attempts }) => sum + attempts, 0)])

const read = (what: string, ask: Ask) =>
  row(what, ask, 1, ([message]) => [
    message?.usage.cache_creation_input_tokens ?? 0,
    message?.usage.cache_read_input_tokens ?? 0
  ])

const row = (
  what: string,
  ask: Ask,
  callers: number,
  figures: (messages: ReadonlyArray<Claude.Message>) => ReadonlyArray<number>
) =>
  Effect.gen(function*() {
    const asks = Array.from({ length: callers }, () => ask)
    const [took, messages] = yield* Effect.timed(Effect.all(asks, { concurrency: "unbounded" }))
    const cost = messages.reduce((sum, { cost }) => sum + (cost?.amount ?? Number.NaN), 0)
    ...
  })
