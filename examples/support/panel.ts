/**
 * A small live panel for a terminal: strips of history, redrawn in place. Without a terminal it says a line now and then.
 */
import { Effect, type Scope } from "effect"
import { styleText } from "node:util"

/** The latest of a figure as a strip of small bars, one for each sample. */
export const strip = (samples: ReadonlyArray<number>, top: number, width: number): string =>
  samples.slice(-width).map((value) => bars[value <= 0 ? 0 : Math.min(8, Math.ceil(value / top * 8))]).join("")
    .padEnd(width)

const bars = " ▁▂▃▄▅▆▇█"

export interface Panel {
  readonly isLive: boolean
  /** Replaces what was drawn before. */
  readonly draw: (lines: ReadonlyArray<string>) => void
}

/** A place to draw, which gives the cursor back with the scope. */
export const make: Effect.Effect<Panel, never, Scope.Scope> = Effect.gen(function*() {
  const { stdout } = process
  let drawn = 0
  if (stdout.isTTY) {
    yield* Effect.acquireRelease(
      Effect.sync(() => stdout.write("\x1b[?25l")),
      () => Effect.sync(() => stdout.write("\x1b[?25h"))
    )
  }
  return {
    isLive: stdout.isTTY,
    draw: (lines) => {
      // Up to the first line, then each over the one that was there.
      stdout.write((drawn === 0 ? "" : `\x1b[${drawn}A`) + lines.map((line) => `\r${line}\x1b[K\n`).join(""))
      drawn = lines.length
    }
  }
})

export const dim = (text: string) => styleText("dim", text)
