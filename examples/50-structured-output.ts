/**
 * A schema goes in, a typed object comes out; an answer that does not fit is sent back once with what is wrong with it.
 * Run it with `node examples/50-structured-output.ts`: without ANTHROPIC_API_KEY the first answer does not fit.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Schema } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region object
const Invoice = Schema.Struct({
  customer: Schema.NonEmptyString,
  dueAt: Schema.DateTimeUtcFromString,
  lines: Schema.Array(Schema.Struct({ item: Schema.String, quantity: Schema.Int, euros: Schema.Finite })),
  total: Schema.Finite
}).check(Schema.makeFilter(({ lines, total }) =>
  total === lines.reduce((sum, line) => sum + line.quantity * line.euros, 0) || "total must be the sum of the lines"
))

const readInvoice = (mail: string) =>
  Claude.object(Invoice, {
    model: "claude-sonnet-5-5",
    max_tokens: 500,
    prompt: `Extract the invoice from this mail:\n\n${mail}`
  })
// #endregion

const program = Effect.gen(function*() {
  const { customer, dueAt, lines, total } = yield* readInvoice(
    "Hi, please bill Acme for 3 desks at 250 euros each and 12 chairs at 40, due on the 31st of January 2027."
  )
  yield* Console.log(styleText("bold", "decoded"))
  yield* Console.table(lines)
  yield* Console.log(`${customer} owes ${total} euros by ${dueAt.toString()}`)
})

// Each request and its answer, as they pass by.
const layer = Layer.unwrap(Effect.map(Claude.config, (options) =>
  Claude.layer({
    ...options,
    telemetry: {
      content: {
        capture: ({ inputMessages, outputMessages }) => {
          for (const { parts, role } of [...inputMessages.slice(-1), ...outputMessages]) {
            console.log(styleText("bold", role))
            console.log(parts.map((part) => part["content"]).join("\n") + "\n")
          }
        }
      }
    }
  })))

const lines = [{ item: "desk", quantity: 3, euros: 250 }, { item: "chair", quantity: 12, euros: 40 }]
const scripted = [
  Answer.json({ customer: "Acme", dueAt: "2027-01-31T00:00:00Z", lines, total: 1320 }),
  Answer.json({ customer: "Acme", dueAt: "2027-01-31T00:00:00Z", lines, total: 1230 })
]

program.pipe(Effect.provide(layer), Effect.provide(Api.layer(scripted)), NodeRuntime.runMain)
