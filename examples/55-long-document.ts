/**
 * A document that no request could hold: each chunk is summarised, and the summaries are, in a tree, under a progress bar.
 * Run it with `node examples/55-long-document.ts`, with or without ANTHROPIC_API_KEY; the path of a text file may follow.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ByteSize, Console, Effect, FileSystem, Layer, Logger, Stream } from "effect"
import { Claude } from "effect-claude"
import { LongDocument } from "effect-claude/documents"
import { Answer } from "effect-claude/testing"
import { styleText } from "node:util"
import * as Api from "./support/api.ts"

// #region long-document
const ask = { model: "claude-haiku-5-5", max_tokens: 200 }

const summary = LongDocument.make({
  // No request has more input tokens, as the API counts them; a chunk begins with what the one before it ends with.
  chunk: { tokens: 2000, overlap: 100 },
  map: ({ text }) => ({
    ...ask,
    system: "Summarise this part of a logbook in two sentences.",
    prompt: LongDocument.enclose(text)
  }),
  reduce: (parts) => ({
    ...ask,
    system: "Make one summary of two sentences of these, which follow one another.",
    prompt: parts.map(({ text }) => LongDocument.enclose(text, "part")).join("\n")
  }),
  concurrency: 4,
  onFailure: { collect: 3 }
})

// Claude.layerConfig with a bound on what a large file may cost.
const layer = Claude.layerConfigWith({ budget: { usd: 0.5, window: "1 day" } })
// #endregion

/** A lighthouse's log, as it might come from anywhere: in pieces, as it is read. */
const logbook = (days: number) =>
  Array.from({ length: days }, (_, day) => {
    const wind = ["north", "east", "south", "west"][day * 7 % 4]!
    const month = day % 30 === 0 ? `# Month ${day / 30 + 1}\n\n` : ""
    return `${month}Day ${day + 1}. The wind is from the ${wind}, and ${day * 13 % 9} ships passed. ` +
      `The lamp burned from dusk, and took ${3 + day * 11 % 5} litres of oil.\n\n`
  })

const program = Effect.gen(function*() {
  const [, , path] = process.argv
  const files = yield* FileSystem.FileSystem
  const pieces = logbook(Api.isReal ? 60 : 1500)
  const source = path === undefined ? Stream.fromIterable(pieces) : LongDocument.file(path)
  const size = path === undefined
    ? Buffer.byteLength(pieces.join(""))
    : ByteSize.toNumberUnsafe((yield* files.stat(path)).size)

  const done: Array<LongDocument.Part> = []
  /** Runs under a bar, and keeps what is done. */
  const run = Effect.suspend(() => {
    const bar = makeBar(size)
    return summary.run(source, { done: [...done] }).pipe(
      Stream.tap((event) => {
        if ("part" in event) done.push(event.part)
        return bar.show(event)
      }),
      Stream.ensuring(bar.close),
      Stream.filter((event) => event._tag === "Finished"),
      Stream.runHead,
      Effect.flatMap(Effect.fromOption)
    )
  })

  let { answer } = yield* run
  for (const failed of answer.failed) {
    const { error, index, range } = failed
    const where = `chunk ${index} (bytes ${range.startByte} to ${range.endByte})`
    yield* Console.log(styleText("yellow", `! ${where} failed: ${error.reason._tag}. It is asked about again, alone.`))
    done.push(yield* summary.retry(failed))
  }
  if (answer.failed.length > 0) {
    yield* Console.log("With all that is done given back, only what is missing is asked:")
    answer = (yield* run).answer
  }
  yield* Console.log(`\n${answer.text}`)
})

// -----------------------------------------------------------------------------
// the bar
// -----------------------------------------------------------------------------

const WIDTH = 24

/** A bar that is redrawn in place on a terminal, and elsewhere a line for each fourth. */
const makeBar = (size: number) => {
  const { env, stdout } = process
  const redraws = stdout.isTTY && env["TERM"] !== "dumb"
  let printed = -1
  let isOpen = false
  const show = ({ _tag, totals }: LongDocument.Progress): Effect.Effect<void> =>
    Effect.sync(() => {
      const part = Math.min(1, totals.bytes / size)
      const isEnd = _tag === "Finished"
      const fourth = isEnd ? 5 : Math.floor(part * 4)
      if (!redraws && fourth <= printed) return
      printed = fourth
      const full = Math.round(part * WIDTH)
      let figures = percent(part)
      for (
        const figure of [
          `chunks ${totals.mapped}`,
          `reductions ${totals.reduced}`,
          `tokens ${Math.round((totals.inputTokens + totals.outputTokens) / 1000)}k`,
          totals.cost === undefined ? "cost unknown" : `$${totals.cost.toFixed(3)}`
        ]
      ) {
        // A line that wraps could not be drawn over.
        if (!redraws || WIDTH + figures.length + figure.length + 3 < stdout.columns) figures += `  ${figure}`
      }
      const line = `${styleText("cyan", "█".repeat(full))}${styleText("dim", "░".repeat(WIDTH - full))} ${figures}`
      stdout.write(redraws ? `\r${line}\x1b[K${isEnd ? "\n" : ""}` : `${line}\n`)
      isOpen = redraws && !isEnd
    })
  /** What comes after a bar that did not come to its end begins on a line of its own. */
  const close = Effect.sync(() => {
    if (isOpen) process.stdout.write("\n")
  })
  return { show, close }
}

const percent = (part: number) => `${Math.floor(part * 100)}%`.padStart(4)

// -----------------------------------------------------------------------------
// the simulator's part
// -----------------------------------------------------------------------------

let isWell = false
const answers = ({ body }: { readonly body: object }) => {
  const { messages, system } = body as {
    readonly messages: ReadonlyArray<{ content: string }>
    readonly system: string
  }
  const days: ReadonlyArray<string> = messages[0]!.content.match(/(?<=Days? |to )\d+/g) ?? []
  const [first] = days
  if (first === undefined) return Answer.text("A simulator has nothing to say of this.")
  // One chunk fails, once.
  if (!isWell && days.includes("700")) {
    isWell = true
    return Answer.error(400, { message: "This is a fault of the simulator." })
  }
  return Answer.text(
    `Days ${first} to ${days.at(-1)}: the wind turned, and the lamp burned every night. ` +
      (system.startsWith("Make") ? "The keeper kept count." : "Oil was used with care."),
    { firstContent: 200 + 200 * Math.random() }
  )
}

program.pipe(
  Effect.provide(Layer.mergeAll(layer.pipe(Layer.provide(Api.layer(answers))), NodeServices.layer, Logger.layer([]))),
  NodeRuntime.runMain
)
