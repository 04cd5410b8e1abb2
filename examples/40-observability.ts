/**
 * Traces, metrics and logs leave over OTLP, for a receiver that runs in this very process and prints what arrived.
 * Run it with `node examples/40-observability.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Logger } from "effect"
import { Claude } from "effect-claude"
import { layerOtlp } from "effect-claude/telemetry"
import { Answer } from "effect-claude/testing"
import * as Api from "./support/api.ts"
import * as Receiver from "./support/receiver.ts"

const model = "claude-sonnet-5-5"

// #region telemetry
const answerTicket = Effect.gen(function*() {
  const topic = yield* Claude.text({ model, max_tokens: 20, prompt: "One word for: 'I was billed twice.'" })
  return yield* Claude.text({ model, max_tokens: 200, prompt: `Apologise in one sentence. Topic: ${topic}` })
}).pipe(
  Effect.withSpan("answerTicket"),
  Claude.withPolicy({ tenant: "acme", tags: { feature: "support" } })
)

const observed = (collector: string) =>
  answerTicket.pipe(
    Effect.provide(layerOtlp({ baseUrl: collector, protocol: "json", resource: { serviceName: "help-desk" } }))
  )
// #endregion

const program = Effect.gen(function*() {
  const receiver = yield* Receiver.make
  yield* Console.log(yield* observed(receiver.url))
  // The layer has sent what was left when it closed.
  yield* receiver.print
})

const scripted = [
  Answer.text("Billing", { firstContent: "100 millis" }),
  Answer.error(529, { message: "Overloaded" }),
  Answer.text("We are sorry that we charged you twice; the second payment is on its way back.", {
    firstContent: "200 millis",
    pace: "10 millis"
  })
]

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(
    Claude.layerConfig.pipe(Layer.provide(Api.layer(scripted))),
    // Logs go to the receiver, so the console need not show them as well.
    Logger.layer([])
  )),
  NodeRuntime.runMain
)
