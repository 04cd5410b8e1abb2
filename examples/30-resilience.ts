/**
 * Three calls and their traces: one streams, one survives a 429, a 529 and a cut connection, one is not worth a retry.
 * Run it with `npm start`; with ANTHROPIC_API_KEY in the environment the calls are real, and nobody injects the faults.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Layer, Logger, References, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { layerConsole } from "effect-claude/telemetry"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

const model = "claude-sonnet-5-5"

const streamed = Claude.streamText({
  model,
  max_tokens: 400,
  prompt: "Explain backpressure to a backend developer in three sentences. Break lines at 80 characters."
}).pipe(
  Stream.runForEach((text) => Effect.sync(() => process.stdout.write(text)))
)

// #region policy
const patiently = Claude.withPolicy({
  retry: RetryPolicy.make({ times: 5, initial: "300 millis", max: "10 seconds" }),
  timeouts: { headers: "20 seconds", idle: "20 seconds", total: "1 minute" },
  tags: { feature: "commit-message" }
})

const retried = Claude.text({ model, max_tokens: 100, prompt: "Turn 'fixed it' into a good commit message." }).pipe(
  patiently
)
// #endregion

// #region errors
const answerOrReason = (request: Claude.MessageRequest) =>
  Claude.text(request).pipe(
    Effect.catchReason("ClaudeRetryableError", "RateLimited", (_, { retryAfter }) =>
      Effect.succeed(`Busy; try again in ${Duration.format(retryAfter ?? Duration.minutes(1))}.`)),
    Effect.catchTags({
      ClaudeRetryableError: ({ attempts, reason }) =>
        Effect.succeed(`${reason._tag}, ${attempts} times; it may work later.`),
      ClaudeFatalError: ({ message, reason }) =>
        Effect.succeed(`${reason._tag}: ${message}`)
    })
  )
// #endregion

const faults = [
  Answer.error(429, { message: "This request would exceed your rate limit.", retryAfter: "1 second" }),
  Answer.error(529, { message: "Overloaded" }),
  Answer.reset("midStream", Answer.text("Fix race between reading", { firstContent: "200 millis", pace: "60 millis" }))
]

const program = Effect.gen(function*() {
  yield* section("1. An answer streams in", Effect.andThen(streamed, Console.log("")))
  yield* section(
    Api.isReal
      ? "2. A call with patience (real: no faults injected)"
      : "2. A call meets a 429, a 529 and a cut connection",
    Effect.flatMap(retried, Console.log)
  )
  yield* section(
    "3. A call that no retry can save fails at once",
    Effect.flatMap(answerOrReason({ model: "claude-opus-9", prompt: "Hello?" }), Console.log)
  )
})

const section = <E, R>(title: string, call: Effect.Effect<void, E, R>) =>
  Console.log(`${styleText("bold", title)}\n`).pipe(
    Effect.andThen(call),
    Effect.ensuring(Effect.suspend(() => Console.log(`\n${trace}`)))
  )

// A call ends when its last words are handed on, so its trace is kept until they are printed.
let trace = ""
const output = {
  write: (text: string) => trace = text,
  isTTY: process.stdout.isTTY,
  columns: process.stdout.columns
}

// The library logs each retry, with its facts as annotations.
const logger = Logger.make(({ fiber, message }) => {
  const { attempt, delay, reason } = fiber.getRef(References.CurrentLogAnnotations)
  if (String(message) !== "claude.retry") return
  console.log(styleText("yellow", `↻ attempt ${attempt}: ${reason}, again in ${Number(delay).toFixed(1)} s`))
})

const scripted = [
  Answer.text(
    "Backpressure is how a slow consumer tells a fast producer to wait.\n" +
      "Without it, what arrives faster than it can be handled piles up in memory until\n" +
      "the process falls over; with it, the producer pauses and every queue stays short.\n" +
      "TCP does it with its window, and a stream does it by reading only when asked.",
    { firstContent: "500 millis", pace: "35 millis" }
  ),
  ...faults,
  Answer.text("Fix race between reading and closing a session", { firstContent: "300 millis", pace: "60 millis" }),
  Answer.error(404, { message: "model: claude-opus-9" })
]

program.pipe(
  Effect.provide(Layer.mergeAll(
    Claude.layerConfig.pipe(Layer.provide(Api.layer(scripted))),
    layerConsole({ output }),
    Logger.layer([logger])
  )),
  NodeRuntime.runMain
)
