/**
 * Text as it comes; then a stream's events with a live meter of seconds and tokens a second, and the bill at the end.
 * Run it with `node examples/20-streaming.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Stream } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region streaming
const haiku = Claude.streamText({
  model: "claude-sonnet-5-5",
  max_tokens: 100,
  prompt: "Write a haiku about a river."
}).pipe(
  Stream.runForEach((text) => Effect.sync(() => process.stdout.write(text)))
)
// #endregion

const metered = Effect.gen(function*() {
  const meter = makeMeter()
  const { cost, usage } = yield* Claude.stream({
    model: "claude-opus-5-5",
    max_tokens: 600,
    prompt: "How do server-sent events travel over TCP? One plain paragraph of about 100 words."
  }).pipe(
    Stream.tap((event) => Effect.sync(() => meter.show(event))),
    Claude.collect
  )
  const { firstToken, total } = meter.seconds()
  const rate = usage.output_tokens / (total - firstToken)
  yield* Console.log("")
  yield* Console.log(`first token  ${firstToken.toFixed(2)} s`)
  yield* Console.log(`total        ${total.toFixed(2)} s, ${rate.toFixed(0)} tokens/s`)
  yield* Console.log(`usage        ${usage.input_tokens} tokens in, ${usage.output_tokens} out`)
  yield* Console.log(`cost         ${cost === undefined ? "unknown" : `$${cost.amount.toFixed(5)}`}`)
})

/** Prints lines, each with its time and rate beside it; on a terminal the last one is redrawn as it grows. */
const makeMeter = () => {
  const live = process.stdout.isTTY
  const startedAt = performance.now()
  const seconds = { firstToken: 0, total: 0 }
  let characters = 0
  let line = ""
  let word = ""

  const draw = (end: string) => {
    const flowing = seconds.total - seconds.firstToken
    // About four characters a token: the API tells the exact number, but only at the end.
    const rate = flowing < 0.2 ? "" : `≈ ${(characters / 4 / flowing).toFixed(0)} tokens/s`
    const gauge = `${seconds.total.toFixed(1).padStart(5)} s ${rate.padStart(13)}  `
    process.stdout.write(`${live ? "\r" : ""}${styleText("dim", gauge)}${line}${end}`)
  }
  const show = (event: Claude.StreamEvent) => {
    seconds.total = (performance.now() - startedAt) / 1000
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
      if (characters === 0) seconds.firstToken = seconds.total
      characters += event.delta.text.length
      const words = (word + event.delta.text).split(/\s+/)
      word = words.pop() ?? ""
      words.forEach(append)
    } else if (event.type === "message_stop") {
      append(word)
      draw("\n")
    }
  }
  const append = (word: string) => {
    if (line.length + word.length > 72) {
      draw("\n")
      line = ""
    }
    line += line === "" ? word : ` ${word}`
    if (live) draw("")
  }
  return { show, seconds: () => seconds }
}

const scripted = [
  Answer.text("Stone by patient stone,\nthe river learns every name\nthe mountain forgot.", {
    firstContent: "300 millis",
    pace: "60 millis"
  }),
  Answer.text(
    "The server keeps one response open and writes each event as a few lines of text that end with an empty one. " +
      "TCP knows nothing of events: it carries bytes, so one read may bring half an event, or ten of them, or stop in " +
      "the middle of a character. The client therefore keeps what is incomplete and waits for more. When nobody reads, " +
      "the receive window closes and the server has to wait, which is backpressure for free. When the connection breaks, " +
      "only the missing final event tells that something was lost.",
    { firstContent: "600 millis", pace: "25 millis" }
  )
]

const program = Effect.gen(function*() {
  yield* haiku
  yield* Console.log("\n")
  yield* metered
})

program.pipe(
  Effect.provide(Claude.layerConfig.pipe(Layer.provide(Api.layer(scripted)))),
  NodeRuntime.runMain
)
