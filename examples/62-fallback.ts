/**
 * A call goes from a model that is overloaded to the next, then to another client; where none is left, the caller answers itself.
 * Run it with `node examples/62-fallback.ts`; with ANTHROPIC_API_KEY in the environment the calls are real, and nothing is down.
 */
import Anthropic from "@anthropic-ai/sdk"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Layer, Logger, Tracer } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { layerConsole } from "effect-claude/telemetry"
import { Answer, type ClaudeSimulator } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region fallback
const slogan = (elsewhere: Anthropic) =>
  Claude.text({ model: "claude-opus-5-5", max_tokens: 60, prompt: "A slogan for an umbrella shop, please." }).pipe(
    Claude.withPolicy({
      fallback: ["claude-sonnet-5-5", { client: elsewhere, model: "claude-haiku-5-5" }],
      retry: RetryPolicy.make({ times: 1, initial: "100 millis" })
    }),
    // Each target was asked, and asked again: what is left is an answer of one's own.
    Effect.catchTag("ClaudeRetryableError", () => Effect.succeed("Stay dry. (Yesterday's slogan: Claude is busy.)"))
  )
// #endregion

// In production a client of another platform, region or account: AnthropicBedrock, AnthropicVertex, …
const makeElsewhere = Effect.gen(function*() {
  const apiKey = yield* Config.String("ANTHROPIC_API_KEY")
  const baseURL = yield* Config.String("ANTHROPIC_BASE_URL").pipe(Config.withDefault("https://api.anthropic.com"))
  return new Anthropic({ apiKey, baseURL })
})

const sections = [
  { title: "1. The first model is overloaded", down: ["opus"] },
  { title: "2. Only another client is left", down: ["opus", "sonnet"] },
  { title: "3. Nobody is left", down: ["opus", "sonnet", "haiku"] }
]

const program = Effect.gen(function*() {
  const elsewhere = yield* makeElsewhere
  for (const section of Api.isReal ? [{ title: "Nothing is down: the first model answers", down: [] }] : sections) {
    down = section.down
    yield* Console.log(styleText("bold", section.title))
    yield* Effect.flatMap(slogan(elsewhere), Console.log)
    yield* Console.log(`\n${trace}  served by  ${servedBy() ?? "the first model"}\n`)
  }
})

// A call's trace is kept until its answer is printed.
let trace = ""
const output = { write: (text: string) => trace = text, isTTY: process.stdout.isTTY, columns: process.stdout.columns }

let call: Tracer.NativeSpan | undefined
const servedBy = () => call?.attributes.get("claude.fallback.served_by")
const tracer = Tracer.make({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    if (options.name.startsWith("chat ")) call = span
    return span
  }
})

let down: ReadonlyArray<string> = []
const answers: ClaudeSimulator.Answers = ({ body }) =>
  down.some((name) => body.model?.includes(name))
    ? Answer.error(529, { message: "Overloaded" })
    : Answer.text("Rain is only weather.", { firstContent: "200 millis", pace: "60 millis" })

program.pipe(
  Effect.provide(Layer.mergeAll(
    Claude.layerConfig,
    layerConsole({ output }).pipe(Layer.provide(Layer.succeed(Tracer.Tracer, tracer))),
    Logger.layer([])
  )),
  Effect.provide(Api.layer(answers)),
  NodeRuntime.runMain
)
