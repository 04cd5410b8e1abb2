/**
 * An agent looks at the shelf with three tools at once, one of which fails at first, and asks before it orders anything.
 * Run it with `node examples/52-agent-with-tools.ts`; with ANTHROPIC_API_KEY in the environment its limits bound what it spends.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Layer, Logger, Schedule, Schema, Stream } from "effect"
import { Claude } from "effect-claude"
import { Agent, ClaudeLanguageModel } from "effect-claude/ai"
import { Answer } from "effect-claude/testing"
import { Tool, Toolkit } from "effect/ai"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region agent
const Article = Schema.Struct({ article: Schema.String })
const Shop = Toolkit.make(
  Tool.make("Stock", { description: "How many are on the shelf.", parameters: Article, success: Schema.Int }),
  Tool.make("Forecast", { description: "Tomorrow's weather.", success: Schema.String, failure: Schema.String }),
  Tool.make("Order", { description: "Orders 40 of an article.", parameters: Article, needsApproval: true })
)

const clerk = Agent.make({
  name: "clerk",
  toolkit: Shop,
  instructions: "You keep the shelves of an umbrella shop filled. Look before you order.",
  limits: { turns: 6, cost: 0.05, time: "1 minute" },
  tools: { concurrency: 4, timeout: "5 seconds", retry: Schedule.recurs(1) }
})

// A Stream of steps, as they happen; what waits for an approval is in the last one.
const steps = clerk.stream("Rain may come. Is there enough of everything?")
// #endregion

let asked = 0
const handlers = Shop.toLayer({
  Stock: ({ article }) => Effect.delay(Effect.succeed(article === "umbrella" ? 3 : 120), "120 millis"),
  Forecast: () =>
    Effect.suspend(() => asked++ === 0 ? Effect.fail("the forecast is not there") : Effect.succeed("heavy rain")).pipe(
      Effect.delay("150 millis")
    ),
  Order: ({ article }) => Console.log(styleText("green", `  the shop has ordered 40 × ${article}`))
})

const name = (text: string) => styleText("bold", text.padEnd(10))

/** One line a step, and words as they come. */
let isText = false
const show = (step: Agent.Step) =>
  Effect.sync(() => {
    if (isText && step._tag !== "TextDelta") console.log()
    isText = step._tag === "TextDelta"
    switch (step._tag) {
      case "TextDelta":
        process.stdout.write(step.text)
        break
      case "ToolStarted":
        console.log(`  ${name(step.name)} … ${JSON.stringify(step.params)}`)
        break
      case "ToolFinished": {
        const tries = step.attempts > 1 ? `, ${step.attempts} attempts` : ""
        const took = `${Math.round(Duration.toMillis(step.duration) / 10) * 10} ms${tries}`
        console.log(
          `  ${name(step.name)} ${step.outcome}: ${JSON.stringify(step.result ?? null)} ${styleText("dim", took)}`
        )
        break
      }
      case "ApprovalNeeded":
        console.log(
          `  ${name(step.name)} ${styleText("yellow", "waits for an approval")} ${JSON.stringify(step.params)}`
        )
        break
      case "TurnFinished":
        console.log(
          styleText("dim", `turn ${step.turn}: ${step.usage.inputTokens} tokens in, ${step.usage.outputTokens} out\n`)
        )
    }
  })

/** Shows a run, and answers what it came to. */
const watch = <E, R>(run: Stream.Stream<Agent.Step, E, R>) =>
  Stream.runFoldEffect(
    run,
    (): Agent.Finished | undefined => undefined,
    (finished, step) => Effect.as(show(step), step._tag === "Finished" ? step : finished)
  )

const program = Effect.gen(function*() {
  let result = yield* watch(steps)
  while (result?.reason === "approval") {
    yield* Console.log(styleText("yellow", "The owner says yes to all of it.\n"))
    const yes = Object.fromEntries(result.pending.map(({ toolCallId }) => [toolCallId, true]))
    result = yield* watch(clerk.stream(Agent.answer(result.transcript, yes)))
  }
  const cost = result?.cost === undefined ? "" : `, $${result.cost.toFixed(5)}`
  yield* Console.log(`${result?.reason}: ${result?.turns} turns in the last run${cost}`)
})

const delay = { delay: "150 millis" } as const
const scripted = [
  Answer.content([
    { type: "tool_use", id: "toolu_1", name: "Stock", input: { article: "umbrella" } },
    { type: "tool_use", id: "toolu_2", name: "Stock", input: { article: "raincoat" } },
    { type: "tool_use", id: "toolu_3", name: "Forecast", input: {} }
  ], { stopReason: "tool_use", ...delay }),
  Answer.content([
    { type: "text", text: "Three umbrellas are few for heavy rain; I would order more." },
    { type: "tool_use", id: "toolu_4", name: "Order", input: { article: "umbrella" } }
  ], { stopReason: "tool_use", ...delay }),
  Answer.text("Forty umbrellas are on their way. Of raincoats there are enough.", {
    firstContent: "150 millis",
    pace: "40 millis"
  })
]

const model = ClaudeLanguageModel.layer({ model: "claude-sonnet-5-5", config: { max_tokens: 500 } })

program.pipe(
  Effect.provide(
    Layer.merge(model, handlers).pipe(
      Layer.provide(Claude.layerConfig),
      Layer.provideMerge(Layer.merge(Logger.layer([]), Api.layer(scripted)))
    )
  ),
  NodeRuntime.runMain
)
