/**
 * What was answered before is answered again at once and for nothing; a long prompt that was sent before costs a part.
 * Run it with `node examples/63-cache.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Duration, Effect, FileSystem, Layer, Metric } from "effect"
import { Claude, type ClaudeError, PromptCache } from "effect-claude"
import { layerKeyValueStore } from "effect-claude/cache-store"
import { Answer } from "effect-claude/testing"
import { KeyValueStore } from "effect/persistence"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

const model = "claude-sonnet-5-5"

// #region response-cache
const inMemory = Claude.layerConfigWith({ cache: true, responseCache: { ttl: "1 hour", capacity: 500 } })

// Or in files (Redis, SQL), where another process finds them, and this one after a restart.
const inFiles = (folder: string) =>
  Claude.layerConfigWith({ cache: true, responseCache: { ttl: "1 day" } }).pipe(
    Layer.provide(layerKeyValueStore),
    Layer.provide(KeyValueStore.layerFileSystem(folder))
  )
// #endregion

// #region prompt-cache
const askHandbook = (prompt: string) =>
  Claude.message(
    // Marks the end of the system prompt, and of the tools where there are any: what each of these calls begins with.
    // Should it not hit within its time, the metric `claude.prompt_cache.misses` says so.
    PromptCache.mark({ model, max_tokens: 100, system: handbook, prompt }, { lastTurn: false })
  )
// #endregion

const handbook = "A visitor signs in at the desk, wears a badge, and is met by a host. ".repeat(200)
const river = { model, max_tokens: 100, prompt: "Which river is the longest? One sentence." }
const peak = { model, max_tokens: 100, prompt: "Which mountain is the highest? One sentence." }

const program = Effect.gen(function*() {
  yield* head("Answers in memory", "took", "requests", "cached", "cost")
  yield* Effect.gen(function*() {
    yield* row("asked", Claude.message(river))
    yield* row("asked again", Claude.message(river))
    yield* row("asked as a stream", Claude.collect(Claude.stream(river)))
    yield* row("asked by five at once", Claude.message(peak), 5)
  }).pipe(Effect.provide(inMemory))

  const { makeTempDirectoryScoped } = yield* FileSystem.FileSystem
  const folder = yield* makeTempDirectoryScoped()
  yield* Console.log("")
  yield* head("Answers in files", "took", "requests", "cached", "cost")
  yield* row("asked", Claude.message(river)).pipe(Effect.provide(inFiles(folder)))
  // Another client over the same files.
  yield* row("asked after a restart", Claude.message(river)).pipe(Effect.provide(inFiles(folder)))

  yield* Console.log("")
  yield* head("The API's prompt cache", "took", "requests", "cached", "cost", "written", "read")
  yield* Effect.gen(function*() {
    yield* row("asked", askHandbook("Who meets a visitor?"))
    yield* row("asked something else", askHandbook("Where does a visitor sign in?"))
    // Why it was gone, an API does not tell; nobody can make it go, so this is simulated only.
    if (!Api.isReal) yield* row("asked when it was gone", askHandbook("What does a visitor wear?"))
  }).pipe(Effect.provide(Claude.layerConfig))
  const missed = yield* counted("claude.prompt_cache.misses")
  if (missed > 0) yield* Console.log(styleText("yellow", `! claude.prompt_cache.misses is ${missed}`))
})

/** What it took to ask, by so many callers at once. */
const row = (what: string, ask: Effect.Effect<Claude.Message, ClaudeError.ClaudeError, Claude.Claude>, callers = 1) =>
  Effect.gen(function*() {
    const asks = Array.from({ length: callers }, () => ask)
    const [took, messages] = yield* Effect.timed(Effect.all(asks, { concurrency: "unbounded" }))
    const sum = (count: (message: Claude.Message) => number | undefined) =>
      messages.reduce((sum, message) => sum + (count(message) ?? 0), 0)
    yield* Console.log(columns(
      what,
      `${Math.round(Duration.toMillis(took))} ms`,
      sum(({ attempts }) => attempts),
      `${sum(({ cached }) => Number(cached))} of ${callers}`,
      `$${sum(({ cost }) => cost?.amount ?? Number.NaN).toFixed(5)}`,
      sum(({ billed }) => billed?.cache_creation_input_tokens) || "",
      sum(({ billed }) => billed?.cache_read_input_tokens) || ""
    ))
  })

const head = (what: string, ...rest: ReadonlyArray<string>) => Console.log(styleText("bold", columns(what, ...rest)))

const columns = (what: string, ...rest: ReadonlyArray<string | number>) =>
  what.padEnd(23) + rest.map((value, at) => String(value).padStart(widths[at] ?? 0)).join("").trimEnd()

const widths = [9, 10, 9, 10, 9, 8]

const counted = (metric: string) =>
  Effect.map(Metric.snapshot, (metrics) =>
    metrics.filter(({ id }) => id === metric)
      .reduce((sum, { state }) => sum + ("count" in state ? Number(state.count) : 0), 0))

const slowly = { firstContent: "400 millis", pace: "30 millis" } as const
const scripted = [
  Answer.text("The Nile, by a little, if the Amazon is not.", slowly),
  Answer.text("Mount Everest, at 8,849 metres above the sea.", slowly),
  Answer.text("The Nile, by a little, if the Amazon is not.", slowly),
  Answer.text("A host does.", { ...slowly, usage: { input_tokens: 9, cache_creation_input_tokens: 3_620 } }),
  Answer.text("At the desk.", { ...slowly, usage: { input_tokens: 11, cache_read_input_tokens: 3_620 } }),
  Answer.text("A badge.", { ...slowly, usage: { input_tokens: 10, cache_creation_input_tokens: 3_620 } })
]

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(Api.layer(scripted), NodeServices.layer)),
  NodeRuntime.runMain
)
