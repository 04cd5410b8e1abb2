/** Where the time goes: a CPU profile summed up by the package or module in which it was spent. */
import type { Profiler, Runtime } from "node:inspector"

/** `effect/Stream`, `undici`, `effect-claude/decode/Sse`, `node:internal/deps/undici`, `(garbage collector)`. */
const sourceOf = ({ functionName, url }: Runtime.CallFrame): string => {
  const own = /\/\.bench-[^/]+\/(dist|bench)\/(.*)\.js$/.exec(url)
  if (own !== null) return own[1] === "bench" ? "the bench itself" : `effect-claude/${own[2]}`
  const dependency = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(url)
  if (dependency !== null) {
    const [, name, path = ""] = dependency
    return name === "effect" ? `effect/${path.replace(/^dist\//, "").replace(/\.js$/, "")}` : `${name}`
  }
  if (url.startsWith("node:")) return url
  return functionName.startsWith("(") ? functionName : "native code"
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
