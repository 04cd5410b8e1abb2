/**
 * Runs the drills of admission one after the other, each in a process of its own; prints what was to be reached beside
 * what was, and writes it into bench/ADMISSION.md. Ends with 1 where something was missed.
 *
 *   npm run bench:admission                            all of them, in seven minutes; writes bench/ADMISSION.md
 *   npm run bench:admission -- --only capacity,cost    some of them; prints
 *   node bench/admission/outage.ts                     one, in this process; TRACE=1 shows its logs
 */
import { fork } from "node:child_process"
import { writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as Figures from "./figures.ts"

interface Drill {
  readonly name: string
  /** What it does, in a sentence. */
  readonly about: string
}

const drills: ReadonlyArray<Drill> = [
  {
    name: "cost",
    about: "61 rounds of 1 000 calls in a warm process: admission's stages alone (money, gate, circuit, what the " +
      "headers of three limits tell, the usage report), beside a scope without them in the same round; and a whole " +
      "call beside one of the last commit without admission. CPU time is the process's, with compiler and collector."
  },
  {
    name: "crowds",
    about: "100 000 fibers of 100 tenants wait at one gate and leave it, served by it or interrupted; the median of " +
      "five fresh processes. Memory is what the process grew by, fibers and all."
  },
  {
    name: "rate",
    about: "2 000 calls at once against 50 requests (or 40 000 input tokens) a window that the simulator enforces, " +
      "with a window of a second for the minute; told to the client, or learned by it. What is allowed is what the " +
      "server's bucket had from the first request to the last."
  },
  {
    name: "tenants",
    about: "One tenant makes 10 calls a second and another 1 000, where 200 are served: how long the small one's " +
      "callers wait for a whole answer, alone and beside the large one, of 100 calls each."
  },
  {
    name: "processes",
    about: "Four processes of 50 callers each share 200 requests a second through a real Redis, before a server that " +
      "has no limit of its own and counts them, and before one that enforces the same limit."
  },
  {
    name: "capacity",
    about: "200 callers before a server that takes 8, then 64, then 16 at once, answers 529 to more and doubles its " +
      "latency as it fills, with 100 ms for a second; the default level beside the best fixed one. Two ways through " +
      "it with other answers: the worse one counts."
  },
  {
    name: "outage",
    about:
      "500 calls a second while the server is down for a minute, with 150 ms for a second: connections are reset; " +
      "all are cut and a proxy answers 529; or what is under way ends and all that comes gets a 529."
  }
]

const { values: args } = parseArgs({ options: { only: { type: "string" } } })
const only = args.only?.split(",")
const unknown = only?.find((name) => !drills.some((drill) => drill.name === name))
if (unknown !== undefined) {
  throw new RangeError(`--only names ${unknown}; expected some of ${drills.map(({ name }) => name).join(", ")}`)
}

/** No drill takes a third of it. */
const PATIENCE = 300_000

const run = ({ name }: Drill): Promise<ReadonlyArray<Figures.Figure>> =>
  new Promise((resolve) => {
    const drill = fork(join(import.meta.dirname, `${name}.ts`))
    const late = setTimeout(() => drill.kill("SIGKILL"), PATIENCE)
    let figures: ReadonlyArray<Figures.Figure> | undefined
    // What figures.ts sends.
    drill.once("message", (message) => figures = message as unknown as ReadonlyArray<Figures.Figure>)
    drill.once("exit", (code, signal) => {
      clearTimeout(late)
      const why = signal === null ? `its process ended with ${code}` : `its process was ended by ${signal}`
      resolve(figures ?? [Figures.missing("all of it", "to run", why)])
    })
  })

const began = Date.now()
const load = loadavg()[0] ?? 0
const busy = load > 0.5
  ? `The machine was busy when this began (load ${load.toFixed(1)}): repeat it before any of this is believed.`
  : ""
if (busy !== "") process.stderr.write(`\n*** ${busy} ***\n\n`)
let table = Figures.head
let missed = 0
process.stdout.write(table)
for (const drill of drills) {
  if (only?.includes(drill.name) === false) continue
  const figures = await run(drill)
  const rows = Figures.rows(drill.name, figures)
  process.stdout.write(rows)
  table += rows
  missed += figures.filter(({ met }) => met === false).length
}
const minutes = (Date.now() - began) / 60_000
const verdict = missed === 0 ? "All targets are met." : `Missed: ${missed} of the targets.`
process.stdout.write(`\n${verdict} It took ${minutes.toFixed(1)} minutes.\n`)

if (only === undefined) {
  writeFileSync(
    join(import.meta.dirname, "..", "ADMISSION.md"),
    `# Admission: limits to reach

One run of \`npm run bench:admission\`, which writes this file: ${minutes.toFixed(1)} minutes. ${verdict}
Node ${process.version}, ${cpus().length} cores; client, simulator and Redis are processes of this one machine.
${busy === "" ? "" : `\n**${busy}**\n`}
${table}
## What each drill does

${drills.map(({ about, name }) => `- **${name}** (\`bench/admission/${name}.ts\`): ${about}`).join("\n")}

A row without a target explains the others. The simulator (\`effect-claude/testing\`) is a server in another process, and
so is every drill; they run one after the other. Nothing else should: a machine that is busy shows in all that is timed.

How much to believe: cost is the median of 61 differences, and \`±\` half the interquartile range of each side, in percent
of its median; crowds are medians of five, with the range; of two ways through capacity the worse one is judged and both
are shown; \`tenants\` judges 100 calls, so one of them moves its 95th percentile by a percent of them. The other drills
count thousands of calls and repeat to within a percent. \`npm run bench:admission -- --only cost,capacity\` repeats some.
It needs a \`redis-server\`, or REDIS_URL: without either the drill of processes says so and counts as missed.
`
  )
}
process.exit(missed === 0 ? 0 : 1)
