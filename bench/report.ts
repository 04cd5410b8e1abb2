/** The table of results, and for each figure that missed its target a profile that says where the difference is spent. */
import { execFileSync } from "node:child_process"
import { cpus } from "node:os"
import type { Figure, Row } from "./rows.ts"
import { median, noise } from "./stats.ts"
import type { Job, Measured } from "./worker.ts"

export type Series = Job["contender"] | "floor again"

export interface Sample {
  readonly round: number
  readonly row: string
  readonly series: Series
  readonly measured: Measured
}

export interface Machine {
  readonly commit: string
  readonly description: string
}

const git = (...args: ReadonlyArray<string>): string => {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()
  } catch {
    return ""
  }
}

/** The commit under test and the machine, as they are before anything is built. */
export const machine = (): Machine => ({
  commit: `${git("rev-parse", "HEAD") || "unknown"}${
    git("status", "--porcelain", "--", ".", ":!bench/RESULTS.md") === "" ? "" : ", with uncommitted changes"
  }`,
  description: `Node ${process.version}, ${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores`
})

export interface Report {
  readonly machine: Machine
  readonly rounds: number
  readonly rows: ReadonlyArray<Row>
  readonly rivals: ReadonlyArray<Job["contender"]>
  readonly samples: ReadonlyArray<Sample>
  /** What a call consists of: amounts by source. */
  readonly profileOf: (contender: Job["contender"], row: Row) => Promise<ReadonlyMap<string, number>>
}

interface Line {
  readonly row: Row
  readonly figure: Figure
  readonly floor: ReadonlyArray<number>
  /** Ratios to the floor, one a round. */
  readonly ratios: (series: Series) => ReadonlyArray<number>
}

const lineOf = (row: Row, figure: Figure, samples: ReadonlyArray<Sample>): Line => {
  const of = (series: Series): ReadonlyArray<number> =>
    samples.filter((sample) => sample.row === row.name && sample.series === series).map(({ measured }) =>
      figure.value(measured)
    )
  const first = of("floor")
  const again = of("floor again")
  // The mean of the round's two floors: half the noise of one.
  const base = first.map((value, round) => (value + (again[round] ?? value)) / 2)
  return {
    row,
    figure,
    floor: base,
    ratios: (series) =>
      series === "floor again"
        ? again.map((value, round) => value / (first[round] ?? NaN))
        : of(series).map((value, round) => value / (base[round] ?? NaN))
  }
}

const show = (values: ReadonlyArray<number>, digits: number): string =>
  `${median(values).toFixed(digits)} ±${noise(values).toFixed(0)}%`

/** A Markdown table whose first `words` columns hold words, and the others numbers. */
const table = (words: number, head: ReadonlyArray<string>, lines: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map((_, column) => column < words ? "---" : "--:"), ...lines].map((cells) => `| ${cells.join(" | ")} |\n`)
    .join("")

const verdict = ({ figure: { target }, ratios }: Line): string => {
  const ratio = median(ratios("ours"))
  return ratio <= target ? "yes" : `no, by ${((ratio / target - 1) * 100).toFixed(0)}%`
}

const missed = (line: Line): boolean => verdict(line) !== "yes"

/** For each row that missed a target, the twelve sources that weigh most, in ours and in the floor. */
const explain = async (lines: ReadonlyArray<Line>, { profileOf, rows }: Report): Promise<string> => {
  const parts: Array<string> = []
  for (const row of rows) {
    if (!lines.some((line) => line.row === row && missed(line))) continue
    const floor = await profileOf("floor", row)
    const ours = await profileOf("ours", row)
    const weight = (source: string): number => Math.max(ours.get(source) ?? 0, floor.get(source) ?? 0)
    const all = [...new Set([...ours.keys(), ...floor.keys()])].toSorted((a, b) => weight(b) - weight(a))
    const cell = (value = 0): string => value.toFixed(0)
    const cells = all.slice(0, 12).map((source) => [source, cell(floor.get(source)), cell(ours.get(source))])
    const what = row.job.warm === undefined ? "modules loaded by package" : "self time by source, µs per call"
    parts.push(`\n### ${row.name}: ${what}, from one profiled run\n\n`, table(1, ["source", "floor", "ours"], cells))
  }
  return parts.length === 0 ? "" : `\n## Where what missed its target spends its time\n${parts.join("")}`
}

export const report = async (input: Report): Promise<string> => {
  const { machine, rivals, rounds, rows, samples } = input
  const lines = rows.flatMap((row) => row.figures.map((figure) => lineOf(row, figure, samples)))
  const ours = rivals.includes("ours")
  const head = ["row", "what", "floor", "floor again", ...rivals, ...(ours ? ["target", "met"] : [])]
  const body = lines.map((line) => [
    line.row.name,
    `${line.figure.title}: ${line.figure.unit}`,
    show(line.floor, line.figure.digits),
    show(line.ratios("floor again"), 2),
    ...rivals.map((rival) => show(line.ratios(rival), 2)),
    ...(ours ? [`${line.figure.target}`, verdict(line)] : [])
  ])
  return `# Results

Commit ${machine.commit}.
${machine.description}; ${rounds} round${rounds === 1 ? "" : "s"}.${
    rounds < 7 ? " Fewer than seven rounds judge nothing." : ""
  }

${table(2, head, body)}
- The floor is built-in fetch and the smallest reader of SSE by hand, in the unit named; all else are ratios to it, the median of those taken
  round by round. ± is half the interquartile range. \`floor again\` is the floor measured twice: what differs there is noise.
- sdk is the bare SDK; sdk-traced has its OpenTelemetry spans on; ours has retries, timeouts, the concurrency bound, cost, spans and metrics on.
- The client's CPU time, user and system, of a warmed-up process; telemetry is flushed inside it. Server and client are two processes of one
  machine: compare ratios, never microseconds.

\`npm run bench\` writes this file; \`npm run bench -- --quick\` tries everything once; \`npm run bench:soak\` and \`npm run bench:scaling\` look for growth.
${ours ? await explain(lines, input) : ""}`
}
