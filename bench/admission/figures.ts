/** What a drill found, beside what was to be reached; printed as a table, or handed to the runner that forked it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"

export interface Figure {
  readonly what: string
  /** Nothing, where the figure only explains another. */
  readonly target: string
  readonly figure: string
  readonly met: boolean | undefined
}

/** A share that must be at least, or at most, so large. */
export const share = (
  what: string,
  bound: "at least" | "at most",
  target: number,
  value: number,
  note = ""
): Figure => ({
  what,
  target: `${bound} ${percent(target)}`,
  figure: `${percent(value)}${note}`,
  met: bound === "at least" ? value >= target : value <= target
})

/** A number that must be at most so large. */
export const atMost = (what: string, target: number, value: number, unit: string, digits = 1, note = ""): Figure => ({
  what,
  target: `at most ${target} ${unit}`.trimEnd(),
  figure: `${value.toFixed(digits)} ${unit}`.trimEnd() + note,
  met: value <= target
})

/** What explains the others. */
export const note = (what: string, figure: string): Figure => ({ what, target: "", figure, met: undefined })

/** What could not be found out, and why: never met. */
export const missing = (what: string, target: string, why: string): Figure => ({
  what,
  target,
  figure: `NOT MEASURED: ${why}`,
  met: false
})

export const percent = (value: number): string => `${(value * 100).toFixed(1)} %`

const columns = ["drill", "what", "target", "figure", "met"]

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |\n`

/** The head of a table, and the rows of a drill, in Markdown. */
export const head: string = line(columns) + line(columns.map(() => "---"))

export const rows = (drill: string, figures: ReadonlyArray<Figure>): string =>
  figures.map(({ figure, met, target, what }) =>
    line([drill, what, target, figure, met === undefined ? "" : met ? "yes" : "**NO**"])
  ).join("")

/** Runs a drill, and reports what it found. */
export const run = async (
  drill: string,
  effect: Effect.Effect<ReadonlyArray<Figure>, unknown, Scope.Scope>
): Promise<never> => {
  const exit = await Effect.runPromiseExit(
    Effect.scoped(effect).pipe(
      Effect.provide(process.env.TRACE === undefined ? Logger.layer([]) : Logger.layer([Logger.consolePretty()]))
    )
  )
  if (exit._tag === "Failure") {
    process.stderr.write(`${drill}: ${Cause.pretty(exit.cause)}\n`)
    process.exit(1)
  }
  if (process.send === undefined) process.stdout.write(head + rows(drill, exit.value))
  else await new Promise((resolve) => process.send?.(exit.value, resolve))
  process.exit(0)
}
