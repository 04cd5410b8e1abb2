/**
 * A call goes on from a model that is overloaded or refuses, then to another client; at last its caller answers itself.
 * Run it with `node examples/62-fallback.ts`; with ANTHROPIC_API_KEY in the environment there is one real call.
 */
import Anthropic from "@anthropic-ai/sdk"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Layer, Logger } from "effect"
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
      // A refusal is an answer, unless you say that another model may see what it makes of the request.
      onRefusal: "fallback",
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

const busy = Answer.error(529, { message: "Overloaded" })
const refusal = Answer.text("I would rather not.", { stopReason: "refusal", firstContent: "100 millis" })
const served = Answer.text("Rain is only weather.", { firstContent: "200 millis", pace: "60 millis" })

const sections = [
  { title: "1. The first model is overloaded", opus: busy, sonnet: served, haiku: served },
  { title: "2. The first model refuses", opus: refusal, sonnet: served, haiku: served },
  { title: "3. Only another client is left", opus: busy, sonnet: busy, haiku: served },
  { title: "4. Nobody is left", opus: busy, sonnet: busy, haiku: busy }
]
const real = { title: "Nothing is down: the first model answers", opus: served, sonnet: served, haiku: served }

let now = real
const answers: ClaudeSimulator.Answers = ({ body: { model = "" } }) =>
  Answer.delay("60 millis", model.includes("opus") ? now.opus : model.includes("sonnet") ? now.sonnet : now.haiku)

const program = Effect.gen(function*() {
  const elsewhere = yield* makeElsewhere
  for (now of Api.isReal ? [real] : sections) {
    yield* Console.log(styleText("bold", `${now.title}\n`))
    yield* Effect.flatMap(slogan(elsewhere), Console.log)
    yield* Console.log(`\n${trace}`)
  }
})

// A call's trace is kept until its answer is printed.
let trace = ""
const output = { write: (text: string) => trace = text, isTTY: process.stdout.isTTY, columns: process.stdout.columns }

const layer = Layer.mergeAll(Claude.layerConfig, layerConsole({ output }), Logger.layer([]))

program.pipe(Effect.provide(layer.pipe(Layer.provideMerge(Api.layer(answers)))), NodeRuntime.runMain)
