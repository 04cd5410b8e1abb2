/**
 * Guards stand around calls as functions in the pipe: one hides personal data and puts it back, one redacts a stream, one refuses.
 * Run it with `node examples/57-guards.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, pipe, Stream } from "effect"
import { Claude } from "effect-claude"
import { Guard, Pii } from "effect-claude/guards"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region guards
// What the model is sent has [EMAIL_1] in it, and what comes back the address again.
const reply = (mail: string) => {
  const vault = Pii.vault()
  return pipe(
    { prompt: `Answer this mail in two sentences, to the address in it:\n\n${mail}` },
    Guard.input(Guard.hidePii(vault), Guard.maxTokens(2_000)),
    Effect.flatMap(Claude.text),
    Guard.output(Guard.restorePii(vault), Guard.maxChars(1_000))
  )
}

// A card number is gone before its first digit is handed on, however the stream is cut.
const draft = (prompt: string) => Claude.streamText({ prompt }).pipe(Guard.outputStream(Guard.redactPii()))
// #endregion

// #region guards-layer
// Around all calls of a program, also those of effect/ai and of an Agent.
const guarded = Guard.layer({ input: [Guard.noPattern(/confidential/i, "no confidential mail")] })
// #endregion

// The last line of each request, as it is sent.
const sent: Array<string> = []
const layer = Claude.layerConfigWith({
  defaults: { model: "claude-haiku-5-5", max_tokens: 300 },
  telemetry: {
    content: {
      capture: ({ inputMessages }) =>
        sent.push(String(inputMessages.at(-1)?.parts.at(-1)?.["content"]).split("\n").at(-1)!)
    }
  }
})

const program = Effect.gen(function*() {
  const mail = "I am Jo (jo@example.com, +49 151 23456789): where is my umbrella?"
  const answer = yield* reply(mail)
  yield* Console.log(`${styleText("dim", "given")}     ${mail}`)
  yield* Console.log(`${styleText("dim", "sent")}      ${sent.at(-1)}`)
  yield* Console.log(`${styleText("dim", "answered")}  ${answer}`)

  const refused = yield* Effect.flip(reply("CONFIDENTIAL: what does the board think?"))
  yield* Console.log(`${styleText("yellow", "refused")}   ${refused.message}`)

  yield* Effect.sync(() => process.stdout.write(`${styleText("dim", "streamed")}  `))
  yield* draft("Invent a receipt of one line, with the card number 4111 1111 1111 1111.").pipe(
    Stream.runForEach((text) => Effect.sync(() => process.stdout.write(text)))
  )
  yield* Console.log("")
})

const scripted = [
  Answer.text("Dear Jo, it is on its way. We write to [EMAIL_1] as soon as it is here."),
  Answer.text("Paid by card 4111 1111 1111 1111, thank you!", { chunk: 3, pace: "30 millis" })
]

program.pipe(
  Effect.provide(guarded.pipe(Layer.provide(layer), Layer.provide(Api.layer(scripted)))),
  NodeRuntime.runMain
)
