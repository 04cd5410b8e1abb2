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
    // Each target has had its retries. What is left is an answer of one's own.
    Effect.catchTag("ClaudeRetryableError", () => Effect.succeed("Stay dry! (Yesterday's slogan; Claude is busy.)"))
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
    yield* Console.log(styleText("bold", `${section.title}\n`))
    yield* Effect.flatMap(slogan(elsewhere), Console.log)
    yield* Console.log(`\n${trace}${servedBy()}`)
  }
})

// A call's trace is kept until its answer is printed.
let trace = ""
const output = { write: (text: string) => trace = text, isTTY: process.stdout.isTTY, columns: process.stdout.columns }

// The call's span, as an exporter would get it, says who served after a fallback.
let span: Tracer.NativeSpan | undefined
const tracer = Tracer.make({
  span: (options) => {
    const made = new Tracer.NativeSpan(options)
    if (options.kind === "client" && options.name.startsWith("chat ")) span = made
    return made
  }
})
const servedBy = () => {
  const name = "claude.fallback.served_by"
  const target = span?.attributes.get(name)
  return target === undefined ? "" : `  ${styleText("green", `${name}: ${String(target)}`)}\n`
}

let down: ReadonlyArray<string> = []
const answers: ClaudeSimulator.Answers = ({ body }) =>
  down.some((name) => body.model?.includes(name))
    ? Answer.delay("60 millis", Answer.error(529, { message: "Overloaded" }))
    : Answer.text("Rain is only weather.", { firstContent: "200 millis", pace: "60 millis" })

const layer = Layer.mergeAll(
  Claude.layerConfig,
  layerConsole({ output }).pipe(Layer.provide(Layer.succeed(Tracer.Tracer, tracer))),
  Logger.layer([])
)

program.pipe(Effect.provide(layer.pipe(Layer.provideMerge(Api.layer(answers)))), NodeRuntime.runMain)
