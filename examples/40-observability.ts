/**
 * Traces, metrics and logs leave over OTLP, for a receiver that runs in this very process and prints what arrived.
 * Run it with `node examples/40-observability.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { Claude } from "effect-claude"
import { layerOtlp } from "effect-claude/telemetry"
import { Answer } from "effect-claude/testing"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

const model = "claude-sonnet-5-5"

// #region telemetry
const answerTicket = Effect.gen(function*() {
  const topic = yield* Claude.text({ model, max_tokens: 20, prompt: "One word for: 'I was billed twice'." })
  return yield* Claude.text({ model, max_tokens: 200, prompt: `Apologise in one sentence. The topic: ${topic}` })
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
  const receiver = yield* makeReceiver
  yield* Console.log(yield* observed(receiver.url))
  // What was still waiting to be sent was sent when the layer closed.
  yield* printSpans(receiver.spans)
  yield* printMetrics(receiver.metrics)
  yield* Console.log(`\n${styleText("bold", "logs")}\n${receiver.logs.map((log) => log.body.stringValue).join("\n")}`)
})

// The parts of OTLP's JSON that are printed.
interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}
interface Span {
  readonly name: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: ReadonlyArray<Attribute>
}
interface Metric {
  readonly name: string
  readonly unit: string
}
interface Log {
  readonly body: { readonly stringValue: string }
}
