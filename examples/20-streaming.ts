/**
 * Text as it comes; then a stream's events with a live meter of seconds and tokens a second, and the bill at the end.
 * Run it with `node examples/20-streaming.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Stream } from "effect"
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
  const message = yield* Claude.stream({
    model: "claude-opus-5-5",
    max_tokens: 600,
    prompt: "How do server-sent events travel over TCP? One plain paragraph of about 100 words."
  }).pipe(
    Stream.tap((event) => Effect.sync(() => meter.show(event))),
    Claude.collect
  )
  const { cost, usage } = message
  const seconds = meter.seconds()
  yield* Console.log([
    "",
    `first token  ${seconds.toFirstToken.toFixed(2)} s`,
    `total        ${seconds.total.toFixed(2)} s, ${(usage.output_tokens / seconds.flowing).toFixed(0)} tokens/s`,
    `usage        ${usage.input_tokens} tokens in, ${usage.output_tokens} out`,
    `cost         ${cost === undefined ? "unknown" : `$${cost.amount.toFixed(6)} (${cost.source} price)`}`
  ].join("\n"))
})

/** Prints lines of 80 columns, each with its time and rate beside it; on a terminal the last one is redrawn as it grows. */
const makeMeter = () => {
  const live = process.stdout.isTTY
  const startedAt = performance.now()
  let firstAt = startedAt
  let characters = 0
  let line = ""
  let rest = ""

  const draw = (end: string) => {
    const now = performance.now()
    // About four characters a token: the API tells the exact number, but only at the end.
    const rate = now - firstAt < 200 ? "" : `≈ ${(characters * 250 / (now - firstAt)).toFixed(0)} tokens/s`
    const gauge = `${((now - startedAt) / 1000).toFixed(1).padStart(5)} s ${rate.padStart(13)}  `
    process.stdout.write(`${live ? "\r" : ""}${styleText("dim", gauge)}${line}${end}`)
  }
  const print = (word: string) => {
    if (line.length + word.length >= 72) {
      draw("\n")
      line = ""
    }
    line += `${word} `
    if (live) draw("")
  }
  return {
    show: (event: Claude.StreamEvent) => {
      if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
        if (characters === 0) firstAt = performance.now()
        characters += event.delta.text.length
        const words = (rest + event.delta.text).split(/\s+/)
        rest = words.pop() ?? ""
        words.forEach(print)
      } else if (event.type === "message_stop") {
        print(rest)
        draw("\n")
      }
    },
    seconds: () => {
      const now = performance.now()
      return {
        toFirstToken: (firstAt - startedAt) / 1000,
        flowing: (now - firstAt) / 1000,
        total: (now - startedAt) / 1000
      }
    }
  }
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

Effect.andThen(haiku, Effect.andThen(Console.log("\n"), metered)).pipe(
  Effect.provide(Claude.layerConfig),
  Effect.provide(Api.layer(scripted)),
  NodeRuntime.runMain
)
