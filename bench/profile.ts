/** Where the time goes: a CPU profile summed up by the package or module in which it was spent. */
import type { Profiler, Runtime } from "node:inspector"

/** The package that a module belongs to, and its path there; our own and Node's are packages too. */
const placeOf = (url: string): readonly [name: string, path: string] | undefined => {
  const own = /\/\.bench-[^/]+\/(dist|bench)\/(.*)\.js$/.exec(url)
  if (own !== null) return own[1] === "bench" ? ["the bench itself", ""] : ["effect-claude", own[2] ?? ""]
  const dependency = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(url)
  if (dependency !== null) return [dependency[1] ?? "", dependency[2] ?? ""]
  return url.startsWith("node:") ? ["node", url.slice(5)] : undefined
}

/** `effect-claude/decode/Sse`, `effect/Stream`, `undici`, `node:internal/timers`, `(garbage collector)`. */
const sourceOf = ({ functionName, url }: Runtime.CallFrame): string => {
  const [name, path = ""] = placeOf(url) ?? []
  if (name === undefined) return functionName.startsWith("(") ? functionName : "native code"
  if (name === "node") return url
  // Of these two the module says something; of the others the package does.
  return name === "effect" || name === "effect-claude" ? `${name}/${path.replace(/^dist\/|\.js$/g, "")}` : name
}

// Nobody's work: the wait for a socket, and the profiler itself.
const ignored = new Set(["(idle)", "node:inspector", "node:internal/inspector/network"])

/** Self time in microseconds by source. */
export const bySource = ({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): ReadonlyMap<string, number> => {
  const sources = new Map(nodes.map(({ callFrame, id }) => [id, sourceOf(callFrame)]))
  const times = new Map<string, number>()
  samples.forEach((id, index) => {
    const source = sources.get(id) ?? "(program)"
    if (!ignored.has(source)) times.set(source, (times.get(source) ?? 0) + (timeDeltas[index] ?? 0))
  })
  return times
}

/** How many modules of each package were loaded. */
export const byPackage = (modules: ReadonlyArray<string>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const url of modules) {
    const [name = url] = placeOf(url) ?? []
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}
