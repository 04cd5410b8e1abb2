/**
 * A panel of metrics that is redrawn in place on a terminal: what each was lately, what it is now, and its name. Where
 * there is no terminal, or too small a one, it prints a line a second.
 */
import { Effect, Metric, type Scope } from "effect"
import { styleText } from "node:util"

/** A row: a gauge as it is, a counter by what it gains, a histogram by the mean of what is new. */
export interface Meter {
  readonly label: string
  /** The metric's name, and the label that tells the series which count. */
  readonly metric?: string
  readonly where?: readonly [name: string, value: string]
  /** In place of a metric: what only the program knows, and what it is. */
  readonly known?: readonly [value: () => number, what: string]
  /** What fills a column. @default the highest that is shown */
  readonly top?: number
  readonly unit?: "s"
  readonly hue?: Parameters<typeof styleText>[0]
  /** On a terminal only: a line has no room for it. */
  readonly drawn?: true
}

export interface Panel {
  /** Reads the metrics and shows them, until it is interrupted. */
  readonly run: (title: () => string) => Effect.Effect<never>
  readonly latest: (label: string) => number
}

/** A panel that gives the cursor back with its scope. */
export const make = Effect.fnUntraced(function*(
  groups: ReadonlyArray<ReadonlyArray<Meter>>
): Effect.fn.Return<Panel, never, Scope.Scope> {
  const { env, stdout } = process
  const rows = groups.map((meters) => meters.map((meter) => new Row(meter)))
  // The title, a line before each group and one after the last; and what the program prints around it.
  const height = rows.flat().length + rows.length + 2
  const redraws = stdout.isTTY && env["TERM"] !== "dumb" && stdout.rows > height + 3 && stdout.columns > 45
  const startedAt = performance.now()
  let isDrawn = false
  let printed = ""

  const redraw = (time: string, title: string) => {
    const lines = [
      `${styleText("dim", time)}  ${styleText("bold", title)}`,
      ...rows.flatMap((group) => ["", ...group.map((row) => row.line(stdout.columns))]),
      ""
    ]
    // Each over the one that was there, all at once: to clear the screen would flicker.
    stdout.write((isDrawn ? `\x1b[${height}A` : "") + lines.map((line) => `${line}\x1b[K\n`).join(""))
    isDrawn = true
  }
  const print = (time: string, title: string) => {
    const shown = rows.flat().filter(({ meter }) => meter.drawn !== true)
    if (printed === "") stdout.write(`      ${shown.map(({ heading }) => heading).join("")}\n`)
    if (printed !== title) stdout.write(`${title}\n`)
    stdout.write(`${time}${shown.map(({ cell }) => cell).join("")}\n`)
    printed = title
  }

  if (redraws) {
    yield* Effect.acquireRelease(
      Effect.sync(() => stdout.write("\x1b[?25l")),
      () => Effect.sync(() => stdout.write("\x1b[?25h"))
    )
  }
  return {
    run: (title) => {
      let reads = 0
      const step = Effect.map(Metric.snapshot, (metrics) => {
        const time = `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(4)} s`
        for (const row of rows.flat()) row.read(metrics, reads % 2 === 0)
        if (redraws) redraw(time, title())
        else if (reads % 4 === 2) print(time, title())
        reads++
      })
      return Effect.forever(Effect.andThen(step, Effect.sleep("250 millis")))
    },
    latest: (label) => rows.flat().find(({ meter }) => meter.label === label)?.latest ?? 0
  }
})

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

/** How many columns fit beside the names, in 80 of text: each is half a second, in which the panel is drawn twice. */
const COLUMNS = 25

class Row {
  readonly meter: Meter
  latest = 0
  private isKnown = false
  private readonly columns: Array<number> = []
  private before = nothing
  private last = nothing

  constructor(meter: Meter) {
    this.meter = meter
  }

  read(metrics: ReadonlyArray<Metric.Metric.Snapshot>, isNewColumn: boolean): void {
    const { known, metric, where } = this.meter
    if (isNewColumn) this.before = this.last
    else this.columns.pop()
    const series = metrics.filter(({ id }) => id === metric)
    const { count, level, sum } = this.last = series.filter(({ attributes }) =>
      where === undefined || attributes?.[where[0]] === where[1]
    ).reduce(add, nothing)
    const isTold = known !== undefined || series.length > 0
    // Of a counter no series is the same as none counted. A gauge that is not told any more stands as it was.
    this.isKnown ||= isTold || where !== undefined
    const gained = count - this.before.count
    const mean = gained === 0 ? 0 : (sum - this.before.sum) / gained
    if (isTold) this.latest = known === undefined ? sum > 0 ? mean : level + count : known[0]()
    this.columns.push(count > 0 && sum === 0 ? gained : this.latest)
  }

  private get now(): string {
    if (!this.isKnown) return "–"
    return this.meter.unit === "s" ? `${this.latest.toFixed(1)} s` : String(Math.round(this.latest))
  }

  get heading(): string {
    return this.meter.label.padStart(this.width)
  }

  get cell(): string {
    return this.now.padStart(this.width)
  }

  private get width(): number {
    return Math.max(this.meter.label.length, this.meter.unit === undefined ? 3 : 5) + 2
  }

  /** The row in so much width, of which the name takes what is left. */
  line(width: number): string {
    const { hue = "cyan", known, label, metric, where } = this.meter
    const top = this.meter.top ?? Math.max(...this.columns)
    const strip = this.columns.slice(-COLUMNS).map((value) => bars[Math.ceil(Math.min(1, value / (top || 1)) * 8)])
    const name = where === undefined || where[0] === "claude.outcome" ? metric ?? known?.[1] : `  ${where.join(": ")}`
    const room = width - 1 - 10 - COLUMNS - 7 - 2
    return label.padEnd(10) + styleText(hue, strip.join("").padEnd(COLUMNS)) + this.now.padStart(7) +
      styleText("dim", `  ${(name ?? "").slice(0, Math.max(0, room))}`)
  }
}

const bars = " ▁▂▃▄▅▆▇█"

const nothing = { level: 0, count: 0, sum: 0 }

const add = (total: typeof nothing, { state }: Metric.Metric.Snapshot): typeof nothing => ({
  level: total.level + ("value" in state ? Number(state.value) : 0),
  count: total.count + ("count" in state ? Number(state.count) : 0),
  sum: total.sum + ("sum" in state ? state.sum : 0)
})
