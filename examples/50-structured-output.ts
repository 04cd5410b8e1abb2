/**
 * A schema goes in, a typed object comes out; an answer that does not fit is sent back once with what is wrong with it.
 * And an object as it arrives: what of it has come is decoded already.
 * Run it with `node examples/50-structured-output.ts`: without ANTHROPIC_API_KEY the first answer does not fit.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, DateTime, Effect, Layer, Schema, Stream } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region object
const Invoice = Schema.Struct({
  customer: Schema.NonEmptyString,
  dueOn: Schema.DateTimeUtcFromString,
  lines: Schema.Array(Schema.Struct({ item: Schema.String, count: Schema.Int, euros: Schema.Int })),
  total: Schema.Int
}).check(
  Schema.makeFilter(({ lines, total }) =>
    total === lines.reduce((sum, line) => sum + line.count * line.euros, 0) || "total must be the sum of the lines"
  )
)

const readInvoice = (mail: string) =>
  Claude.object(Invoice, {
    model: "claude-sonnet-5-5",
    max_tokens: 500,
    prompt: `Extract the invoice from this mail:\n\n${mail}`
  })
// #endregion

// #region object-stream
const watchInvoice = (mail: string) =>
  Claude.streamObject(Invoice, {
    model: "claude-sonnet-5-5",
    max_tokens: 500,
    prompt: `Extract the invoice from this mail:\n\n${mail}`
  }).pipe(
    Stream.map((part) =>
      part._tag === "Partial"
        ? `${part.value.customer ?? "?"}: ${part.value.lines?.map(({ item = "?" }) => item).join(", ") ?? ""}`
        : `${part.value.customer} owes ${part.value.total} euros`
    ),
    Stream.changes
  )
// #endregion

const mail = "Please bill Acme for 3 desks at 250 euros each and 12 chairs at 40, due on the 31st of January 2027."

const program = Effect.gen(function*() {
  const { customer, dueOn, lines, total } = yield* readInvoice(mail)
  yield* Console.log(styleText("bold", "decoded"))
  for (const { count, euros, item } of lines) yield* Console.log(`${count} × ${item} at ${euros} euros`)
  yield* Console.log(`${customer} owes ${total} euros, due on ${DateTime.formatIsoDateUtc(dueOn)}`)
  yield* Console.log(styleText("bold", "\nas it arrives"))
  yield* Stream.runForEach(watchInvoice(mail), Console.log)
})

// Each request and its answer, as they pass by.
const layer = Claude.layerConfigWith({
  telemetry: {
    content: {
      capture: ({ inputMessages, outputMessages }) => {
        for (const { parts, role } of [...inputMessages.slice(-1), ...outputMessages]) {
          console.log(`${styleText("bold", role)}\n${parts.map(({ content }) => content).join("\n")}\n`)
        }
      }
    }
  }
})

const lines = [{ item: "desk", count: 3, euros: 250 }, { item: "chair", count: 12, euros: 40 }]
const scripted = [
  Answer.json({ customer: "Acme", dueOn: "2027-01-31", lines, total: 1320 }),
  Answer.json({ customer: "Acme", dueOn: "2027-01-31", lines, total: 1230 }),
  Answer.json({ customer: "Acme", dueOn: "2027-01-31", lines, total: 1230 }, { chunk: 4, pace: "20 millis" })
]

program.pipe(Effect.provide(layer.pipe(Layer.provide(Api.layer(scripted)))), NodeRuntime.runMain)
