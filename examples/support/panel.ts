/**
 * A panel of metrics that is redrawn in place on a terminal: what each was lately, what it is now, and its name. Where
 * there is no terminal it prints a line a second.
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
  /** What fills a column. @default the highest so far */
  readonly top?: number
  readonly unit?: "s"
  readonly hue?: Parameters<typeof styleText>[0]
}

export interface Panel {
  /** Reads the metrics and shows them, until it is interrupted. */
  readonly run: (title: () => string) => Effect.Effect<never>
  readonly latest: (label: string) => number
  readonly highest: (label: string) => number
}

/** A panel that gives the cursor back with its scope. */
export const make = Effect.fnUntraced(function*(
  groups: ReadonlyArray<ReadonlyArray<Meter>>
): Effect.fn.Return<Panel, never, Scope.Scope> {
  const { stdout } = process
  const rows = groups.map((meters) => meters.map((meter) => new Row(meter)))
  const row = (label: string) => rows.flat().find(({ meter }) => meter.label === label)
  const startedAt = performance.now()
  let height = 0

  const redraw = (title: string) => {
    const lines = [styleText("bold", title), ...rows.flatMap((group) => ["", ...group.map((row) => row.drawn)]), ""]
    // Each over the one that was there: to clear the screen would flicker.
    stdout.write((height === 0 ? "" : `\x1b[${height}A`) + lines.map((line) => `${line}\x1b[K\n`).join(""))
    height = lines.length
  }
  const print = (time: string) => {
    const counts = rows.flat().filter(({ meter }) => meter.metric !== undefined && meter.unit === undefined)
    stdout.write(`${time}  ${counts.map(({ meter, now }) => `${meter.label} ${now.padEnd(4)}`).join(" ").trimEnd()}\n`)
  }

  if (stdout.isTTY) {
    yield* Effect.acquireRelease(
      Effect.sync(() => stdout.write("\x1b[?25l")),
      () => Effect.sync(() => stdout.write("\x1b[?25h"))
    )
  }
  return {
    run: (title) => {
      let draws = 0
      const step = Effect.map(Metric.snapshot, (metrics) => {
        const time = `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(4)} s`
        for (const row of rows.flat()) row.read(metrics, draws % 2 === 0)
        if (stdout.isTTY) redraw(`${time}  ${title()}`)
        else if (draws % 4 === 0) print(time)
        draws++
      })
      return Effect.forever(Effect.andThen(step, Effect.sleep("250 millis")))
    },
    latest: (label) => row(label)?.latest ?? 0,
    highest: (label) => row(label)?.highest ?? 0
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
  highest = 0
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
    const { count, level, sum } = this.last = metrics.filter(({ attributes, id }) =>
      id === metric && (where === undefined || attributes?.[where[0]] === where[1])
    ).reduce(add, nothing)
    const gained = count - this.before.count
    const mean = gained === 0 ? 0 : (sum - this.before.sum) / gained
    this.latest = known === undefined ? sum > 0 ? mean : level + count : known[0]()
    this.highest = Math.max(this.highest, this.latest)
    this.columns.push(count > 0 && sum === 0 ? gained : this.latest)
  }

  get now(): string {
    return this.meter.unit === "s" ? `${this.latest.toFixed(2)} s` : String(Math.round(this.latest))
  }

  get drawn(): string {
    const { hue = "cyan", known, label, metric, where } = this.meter
    const top = this.meter.top ?? Math.max(...this.columns)
    const strip = this.columns.slice(-COLUMNS).map((value) => bars[Math.ceil(Math.min(1, value / (top || 1)) * 8)])
    const name = where === undefined || where[0] === "claude.outcome" ? metric ?? known?.[1] : `  ${where.join(": ")}`
    return label.padEnd(10) + styleText(hue, strip.join("").padEnd(COLUMNS)) + this.now.padStart(7) +
      styleText("dim", `  ${name ?? ""}`)
  }
}

const bars = " ▁▂▃▄▅▆▇█"

const nothing = { level: 0, count: 0, sum: 0 }

const add = (total: typeof nothing, { state }: Metric.Metric.Snapshot): typeof nothing => ({
  level: total.level + ("value" in state ? Number(state.value) : 0),
  count: total.count + ("count" in state ? Number(state.count) : 0),
  sum: total.sum + ("sum" in state ? state.sum : 0)
})
