/**
 * Compares a call of ours, with everything on, with the bare SDK and with the floor: every measurement in a fresh process against
 * a server in another one, contenders interleaved, medians over rounds, as ratios to the floor of the same round.
 *
 *   npm run bench                            seven rounds; writes bench/RESULTS.md
 *   npm run bench -- --quick                 one small round; prints
 *   npm run bench -- --rows burst,json --only ours --rounds 9
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { build, measure, serve } from "./processes.ts"
import { byPackage, bySource } from "./profile.ts"
import { machine, report, type Sample, type Series } from "./report.ts"
import { type Row, rows } from "./rows.ts"
import type { Job, Recorded } from "./worker.ts"

const { values: args } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    rows: { type: "string" },
    only: { type: "string" }
  }
})
const rounds = Number(args.rounds ?? (args.quick ? 1 : 7))
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new RangeError(`--rounds is ${args.rounds}; expected a whole number of at least 1`)
}
const choose = <A extends string>(
  option: string,
  all: ReadonlyArray<A>,
  chosen: string | undefined
): ReadonlyArray<A> => {
  const names = chosen?.split(",")
  const unknown = names?.find((name) => !all.some((one) => one === name))
  if (unknown !== undefined) throw new RangeError(`${option} names ${unknown}; expected some of ${all.join(", ")}`)
  return all.filter((one) => names?.includes(one) ?? true)
}
const all = ["floor", "sdk", "sdk-traced", "ours"] as const satisfies ReadonlyArray<Job["contender"]>
const rivals = choose("--only", all, args.only).filter((name) => name !== "floor")
const every = rows(args.quick)
const names = choose("--rows", every.map(({ name }) => name), args.rows)
const chosen = every.filter(({ name }) => names.includes(name))

const began = machine()
const built = build()
const port = await serve()

const samples: Array<Sample> = []
for (let round = 0; round < rounds; round++) {
  for (const row of chosen) {
    // Another order every round, between the floor and the floor again, which shows what the noise is worth.
    const turn = rivals.length === 0 ? 0 : round % rivals.length
    const order: ReadonlyArray<Series> = ["floor", ...rivals.slice(turn), ...rivals.slice(0, turn), "floor again"]
    // Not recorded: the server settles into the row.
    await measure(built, { ...row.job, contender: "floor", port })
    for (const series of order) {
      const measured = await measure(built, {
        ...row.job,
        contender: series === "floor again" ? "floor" : series,
        port
      })
      samples.push({ round, row: row.name, series, measured })
    }
    process.stderr.write(`round ${round + 1} of ${rounds}: ${row.name}\n`)
  }
}

/** Self time per call by source; of a cold start, which spends it in the loader, what is loaded. */
const profileOf = async (contender: Job["contender"], { job }: Row): Promise<ReadonlyMap<string, number>> => {
  const file = join(tmpdir(), `bench-${process.pid}.json`)
  const { calls } = await measure(built, { ...job, contender, port, profile: file })
  const { modules, profile }: Recorded = JSON.parse(readFileSync(file, "utf8"))
  rmSync(file)
  if (job.warm === undefined) return byPackage(modules)
  return new Map(Array.from(bySource(profile), ([source, us]) => [source, us / calls]))
}

const complete = args.rows === undefined && args.only === undefined && !args.quick && rounds >= 7
const text = await report({ machine: began, rounds, rows: chosen, rivals, samples, profileOf })
if (complete) writeFileSync(join(import.meta.dirname, "RESULTS.md"), text)
process.stdout.write(text)
process.exit(0)
