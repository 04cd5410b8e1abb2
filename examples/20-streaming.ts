/**
 * Text as it comes, then a stream's events with a live meter: seconds and tokens a second beside each line, then the bill.
 * Run it with `node examples/20-streaming.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Clock, Console, Effect, Stream } from "effect"
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

const explanation = Claude.stream({
  model: "claude-opus-5-5",
  max_tokens: 600,
  prompt: "How does a stream of server-sent events travel over TCP? One plain paragraph of about 120 words."
})

/** Prints words at a width of its own, and what the meter shows at the start of each line. */
const metered = Effect.fnUntraced(function*(events: typeof explanation) {
  const startedAt = yield* Clock.currentTimeMillis
  let firstAt: number | undefined
  let characters = 0
  let column = 80

  for (const line of [`  time    tokens/s`]) yield* Console.log(styleText("dim", line))
  return yield* events.pipe(
    Stream.tap(Effect.fnUntraced(function*(event) {
      if (event.type !== "content_block_delta" || event.delta.type !== "text_delta") return
      const now = yield* Clock.currentTimeMillis
      firstAt ??= now
      for (const word of event.delta.text.split(/(?<=\s)/)) {
        if (column + word.trimEnd().length > 76) {
          // About four characters a token: the API counts exactly, but only at the end.
          const rate = now === firstAt ? "" : `≈ ${(characters / 4 / ((now - firstAt) / 1000)).toFixed(0)}`
          const meter = `${((now - startedAt) / 1000).toFixed(1).padStart(5)} s ${rate.padStart(8)}  `
          process.stdout.write((column === 80 ? "" : "\n") + styleText("dim", meter))
          column = 0
        }
        process.stdout.write(word)
        characters += word.length
        column += word.length
      }
    })),
    Claude.collect
  )
})
