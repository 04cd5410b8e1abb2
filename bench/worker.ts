/**
 * Measures one contender once, in this process, and writes the result to file descriptor 3. A job without a warm-up measures the
 * import as well.
 */
import { writeFileSync, writeSync } from "node:fs"
// A service has this loaded before it makes its first call, so the cold start does not count what it shares with fetch.
import "node:http"
import type { Profiler } from "node:inspector"
import { Session } from "node:inspector/promises"
import { registerHooks } from "node:module"
import type { Contender, Open, Options } from "./contender.ts"
import { recording } from "./fixture.ts"

export interface Load {
  readonly method: "message" | "stream"
  /** The server's path: it decides what is answered, and so what has to arrive. */
  readonly path: string
  readonly calls: number
  readonly concurrency: number
  /** No call starts later than this, so that a slow contender is cut short and not failed. */
  readonly boxMs: number
}

export interface Job {
  readonly contender: keyof typeof contenders
  readonly port: number
  readonly wire: Options["wire"]
  readonly warm?: Load
  readonly load: Load
  /** Where to write what the load spent its time in. */
  readonly profile?: string
}

export interface Measured {
  readonly calls: number
  readonly cpuUs: number
  readonly wallMs: number
  readonly peakRssMb: number
}

/** What a profiled job leaves behind. */
export interface Recorded {
  readonly profile: Profiler.Profile
  /** The modules that were loaded meanwhile. */
  readonly modules: ReadonlyArray<string>
}

export const contenders = {
  floor: (): Promise<{ open: Open }> => import("./contenders/floor.ts"),
  sdk: (): Promise<{ open: Open }> => import("./contenders/sdk.ts"),
  "sdk-traced": (): Promise<{ open: Open }> => import("./contenders/sdk-traced.ts"),
  ours: (): Promise<{ open: Open }> => import("./contenders/ours.ts")
}

/** Makes the calls of a load and checks that each brought all that the server sent. */
const run = async (client: Contender, { boxMs, calls, concurrency, method, path }: Load): Promise<number> => {
  const { text } = recording(path)
  const began = performance.now()
  let started = 0
  const lane = async (): Promise<void> => {
    while (started < calls && performance.now() - began < boxMs) {
      started++
      if (method === "message") {
        if (await client.message() !== text) throw new Error(`${path}: another text arrived than was sent`)
      } else if (await client.stream() !== text.length) throw new Error(`${path}: not all characters arrived`)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, lane))
  if (started === 0) throw new Error(`${path}: no call was made`)
  return started
}

const measure = async (job: Job): Promise<Measured> => {
  const options = ({ concurrency, path }: Load): Options => ({
    baseURL: `http://127.0.0.1:${job.port}/${path}`,
    concurrency,
    wire: job.wire
  })
  recording(job.load.path)
  const session = new Session()
  if (job.profile !== undefined) {
    session.connect()
    await session.post("Profiler.enable")
  }

  let client: Contender | undefined
  if (job.warm !== undefined) {
    const { open } = await contenders[job.contender]()
    client = open(options(job.warm))
    await run(client, job.warm)
    if (job.warm.path !== job.load.path) {
      await client.close?.()
      client = open(options(job.load))
    }
  }
  const modules: Array<string> = []
  if (job.profile !== undefined) {
    registerHooks({
      load(url, context, next) {
        modules.push(url)
        return next(url, context)
      }
    })
    await session.post("Profiler.start")
  }
  const spansBefore = client?.spans?.() ?? 0
  const cpu = process.cpuUsage()
  const began = performance.now()
  client ??= (await contenders[job.contender]()).open(options(job.load))
  const calls = await run(client, job.load)
  // A cold start is over with the first answer.
  if (job.warm !== undefined) await client.flush?.()
  const wallMs = performance.now() - began
  const { system, user } = process.cpuUsage(cpu)
  const peakRssMb = process.resourceUsage().maxRSS / 1024

  if (job.profile !== undefined) {
    const { profile } = await session.post("Profiler.stop")
    const recorded: Recorded = { profile, modules }
    writeFileSync(job.profile, JSON.stringify(recorded))
  }
  await client.flush?.()
  if (client.spans !== undefined && client.spans() - spansBefore < calls) throw new Error("not every call left a span")
  await client.close?.()
  return { calls, cpuUs: user + system, wallMs, peakRssMb }
}

const job = process.argv[2]
if (job === undefined) throw new Error("worker.ts measures the job that run.ts hands it; run `npm run bench`")
writeSync(3, JSON.stringify(await measure(JSON.parse(job))))
process.exit(0)
