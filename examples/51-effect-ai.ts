/**
 * A program of effect/ai (text, a tool, an object, a stream) runs on Claude by one layer, with all that a call has here.
 * Run it with `node examples/51-effect-ai.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Logger, Schema, Stream } from "effect"
import { Claude } from "effect-claude"
import { ClaudeLanguageModel } from "effect-claude/ai"
import { layerConsole } from "effect-claude/telemetry"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region effect-ai
const Stock = Tool.make("Stock", {
  description: "How many of an article are on the shelf.",
  parameters: Schema.Struct({ article: Schema.String }),
  success: Schema.Int
})
const Tools = Toolkit.make(Stock)

// Effect's own words, and nothing of Claude's.
const program = Effect.gen(function*() {
  const asked = "How many umbrellas are left?"
  const { toolResults } = yield* LanguageModel.generateText({ prompt: asked, toolkit: Tools })
  const left = toolResults.map(({ result }) => result).join()
  const { value } = yield* LanguageModel.generateObject({
    prompt: `${left} umbrellas are left, and rain is coming. What do we order?`,
    schema: Schema.Struct({ article: Schema.String, count: Schema.Int })
  })
  return { left, order: value, label: LanguageModel.streamText({ prompt: `A label for ${value.article}.` }) }
})

const layer = ClaudeLanguageModel.layer({ model: "claude-sonnet-5-5", config: { max_tokens: 200 } }).pipe(
  Layer.provide(Claude.layerConfig)
)
// #endregion

const handlers = Tools.toLayer({ Stock: ({ article }) => Effect.succeed(article.includes("umbrella") ? 3 : 0) })

// The traces of the calls are kept until the end.
let traces = ""
const output = { write: (text: string) => traces += text, isTTY: process.stdout.isTTY, columns: process.stdout.columns }

Effect.gen(function*() {
  const { label, left, order } = yield* program
  yield* Console.log(`${styleText("bold", "tool")}    ${left} are left`)
  yield* Console.log(`${styleText("bold", "object")}  order ${order.count} × ${order.article}`)
  yield* Effect.sync(() => process.stdout.write(`${styleText("bold", "stream")}  `))
  yield* label.pipe(
    Stream.runForEach((part) => Effect.sync(() => part.type === "text-delta" && process.stdout.write(part.delta)))
  )
  yield* Console.log(`\n\n${traces}`)
}).pipe(
  Effect.provide(
    Layer.merge(layer, handlers).pipe(
      Layer.provideMerge(Layer.mergeAll(layerConsole({ output }), Logger.layer([]))),
      Layer.provideMerge(Api.layer([
        Answer.tool("Stock", { article: "umbrella" }, { delay: "150 millis" }),
        Answer.json({ article: "umbrella", count: 40 }, { delay: "150 millis" }),
        Answer.text("Rain is only weather.", { firstContent: "150 millis", pace: "60 millis" })
      ]))
    )
  ),
  NodeRuntime.runMain
)
