/**
 * A stream ten times as long costs the same per event: text and tool input, read as a stream and folded to a message.
 *
 *   npm run bench:scaling
 */
import { build, measure, serve } from "./processes.ts"
import { median, noise } from "./stats.ts"
import type { Load } from "./worker.ts"

const rounds = 5
/** What the long one may cost per event, as a ratio to the short one; quadratic would be 10. */
const bound = 1.5

const cases: ReadonlyArray<
  readonly [title: string, method: Load["method"], kind: string, short: number, long: number]
> = [
  ["text, streamed", "stream", "burst", 10_000, 100_000],
  ["text, folded", "message", "burst", 10_000, 100_000],
  ["tool input, folded", "message", "tool", 2_000, 20_000]
]

const built = build()
const port = await serve()

/** Microseconds of CPU per event, over as many calls as make up the same number of events. */
const cost = async (method: Load["method"], path: string, events: number, most: number): Promise<number> => {
  const load = (calls: number): Load => ({ method, path, calls, concurrency: 1, boxMs: 60_000 })
  const { calls, cpuUs } = await measure(built, {
    contender: "ours",
    port,
    wire: "sse",
    // As many events of warm-up for both, or the shorter one would run cold code.
    warm: load(Math.max(1, most / events)),
    load: load(3 * most / events)
  })
  return cpuUs / (calls * events)
}

let failed = 0
console.log("| what | events | µs CPU per event | events | µs CPU per event | ratio | bound | held |")
console.log("|---|--:|--:|--:|--:|--:|--:|---|")
for (const [title, method, kind, short, long] of cases) {
  const pairs: Array<readonly [number, number]> = []
  for (let round = 0; round < rounds; round++) {
    pairs.push([await cost(method, `${kind}-${short}`, short, long), await cost(method, `${kind}-${long}`, long, long)])
  }
  const ratios = pairs.map(([one, ten]) => ten / one)
  const held = median(ratios) <= bound
  if (!held) failed++
  const cells = [
    title,
    short,
    median(pairs.map(([one]) => one)).toFixed(2),
    long,
    median(pairs.map(([, ten]) => ten)).toFixed(2),
    `${median(ratios).toFixed(2)} ±${noise(ratios).toFixed(0)}%`,
    bound,
    held ? "yes" : "NO"
  ]
  console.log(`| ${cells.join(" | ")} |`)
}
process.exit(failed === 0 ? 0 : 1)
