/**
 * What admission costs a call that nobody makes wait: its stages alone, and a whole call beside one of the release that
 * had a semaphore in their place.
 *
 * The answer is in memory and comes at once, with the headers of three rate limits. CPU time is the whole process's,
 * with the compiler and the collector. Each round measures one after the other what is compared; what counts is the
 * median of their differences.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as Claude from "../../src/Claude.ts"
import * as Endpoint from "../../src/internal/Endpoint.ts"
import * as Money from "../../src/internal/Money.ts"
import * as Settings from "../../src/internal/Settings.ts"
import * as Cost from "../../src/request/Cost.ts"
import * as Estimate from "../../src/request/Estimate.ts"
import * as AdmissionTelemetry from "../../src/telemetry/AdmissionTelemetry.ts"
import { type ResponseHead, Transport } from "../../src/transport/Transport.ts"
import { recording, shortMessage } from "../fixture.ts"
import { median, noise } from "../stats.ts"
import * as Figures from "./figures.ts"

const root = join(import.meta.dirname, "..", "..")
/** The last commit before admission. */
const BEFORE = "6f675a8"
const WARM = 30
const ROUNDS = 61
const CALLS = 1000

const kinds = ["requests", "input-tokens", "output-tokens"]
/** The headers of a response, which tell three limits that are whole again at another time each. */
const heads = Array.from({ length: 64 }, (_, i): ResponseHead => {
  const headers = new Map([
    ["content-type", "text/event-stream"],
    ["request-id", "req_bench"],
    ...kinds.flatMap((kind): Array<[string, string]> => [
      [`anthropic-ratelimit-${kind}-limit`, "1000000000"],
      [`anthropic-ratelimit-${kind}-remaining`, "999999999"],
      [`anthropic-ratelimit-${kind}-reset`, new Date(Date.now() + 600_000 + 1000 * i).toISOString()]
    ])
  ])
  return { status: 200, headers: { get: (name) => headers.get(name) ?? null } }
})
let answers = 0
const nextHead = (): ResponseHead => heads[answers++ % heads.length]!
const options = { defaults: { model: shortMessage.model, max_tokens: 1024 } }
const prompt = "Say hello."

/** Microseconds of CPU a call, of several things that take turns. */
const measure = (things: ReadonlyArray<Effect.Effect<unknown, unknown>>) =>
  Effect.gen(function*() {
    const times = things.map((): Array<number> => [])
    for (let round = -WARM; round < ROUNDS; round++) {
      for (const [i, thing] of things.entries()) {
        const before = process.cpuUsage()
        for (let call = 0; call < CALLS; call++) yield* thing
        const { system, user } = process.cpuUsage(before)
        // The first rounds are the compiler's.
        if (round >= 0) times[i]!.push((user + system) / CALLS)
      }
    }
    return times
  })

/** What the second costs beyond the first, round by round. */
const beyond = ([first = [], second = []]: ReadonlyArray<ReadonlyArray<number>>) => {
  const differences = second.map((time, round) => time - first[round]!)
  const of = `, of ${median(first).toFixed(1)} ±${noise(first).toFixed(0)}% and ${median(second).toFixed(1)} ±${
    noise(second).toFixed(0)
  }%`
  return { value: median(differences), of }
}

// -----------------------------------------------------------------------------
// the stages alone
// -----------------------------------------------------------------------------

const transport = (frames: ReadonlyArray<Uint8Array>): Transport["Service"] => ({
  server: { url: "http://memory.invalid", address: "memory.invalid", port: 80 },
  provider: "anthropic",
  open: () =>
    Effect.sync(() => {
      let rest = frames
      return {
        response: Effect.sync(nextHead),
        pull: Effect.sync(() => {
          const next = rest
          rest = []
          return next
        }),
        fail: () => {},
        complete: () => {}
      }
    })
})

/** As `Claude` composes them, between the call's span and the attempt's. */
const stages = Effect.gen(function*() {
  const settings = Settings.resolve(options)
  if ("_tag" in settings) return yield* settings
  const telemetry = yield* AdmissionTelemetry.make
  const endpoint = (yield* Endpoint.makeAll(settings, telemetry))(transport([]))
  const money = yield* Money.make(settings, telemetry)
  const body = { messages: [{ role: "user", content: prompt }], ...options.defaults }
  const bill = {
    usage: shortMessage.usage,
    model: body.model,
    cost: Cost.nothing,
    partial: false
  }
  const used = { inputTokens: 25, outputTokens: 128 }
  const call = Effect.scoped(Effect.gen(function*() {
    const lane = endpoint.lane("chat", body.model)
    const size = Estimate.inputSize(body)
    const told = { tenant: undefined, model: body.model, size, maxTokens: 1024, body, streamed: true }
    const ended = yield* money.reserve(told)
    if (lane.circuit !== undefined) yield* lane.circuit.peek
    const pass = yield* lane.gate.enter({
      tenant: "",
      priority: "interactive",
      need: { inputTokens: lane.learned.likelyInput(size), outputTokens: lane.learned.likelyOutput(1024) },
      deadline: Number.MAX_SAFE_INTEGER,
      onQueued: Effect.succeed(0n),
      onLeft: () => Effect.void
    })
    const admitted = lane.circuit === undefined ? undefined : yield* lane.circuit.admit
    yield* Effect.acquireRelease(Effect.void, () =>
      Effect.suspend(() => {
        lane.learned.learn(size, used.inputTokens, used.outputTokens)
        pass.ended(used, undefined)
        ended({ bill, error: undefined, exchange: {}, sentAt: 0 })
        return admitted?.ended(undefined) ?? Effect.void
      }))
    pass.sent()
    pass.responded(nextHead())
    pass.content(1)
  }))
  return { call }
})

const without = Effect.scoped(Effect.gen(function*() {
  yield* Effect.void
  yield* Effect.acquireRelease(Effect.void, () => Effect.void)
}))

// -----------------------------------------------------------------------------
// a whole call
// -----------------------------------------------------------------------------

/** The sources of another commit, in a folder that goes with the scope; nothing where this is no clone that has it. */
const sourcesOf = (commit: string) => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-claude-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )
  return Effect.map(folder, (folder) => {
    try {
      const archive = execFileSync("git", ["-C", root, "archive", commit, "src", "package.json"], {
        stdio: ["ignore", "pipe", "ignore"]
      })
      execFileSync("tar", ["-x", "-C", folder], { input: archive })
    } catch {
      return undefined
    }
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
    return folder
  })
}

/** One call of a client over the memory; both releases have these names. */
const callOf = (modules: { readonly Claude: typeof Claude; readonly Transport: typeof Transport }) =>
  Effect.gen(function*() {
    const layer = Layer.effect(modules.Claude.Claude, modules.Claude.make(options)).pipe(
      Layer.provide(Layer.succeed(modules.Transport, transport(recording("short").frames)))
    )
    const claude = Context.get(yield* Layer.build(layer), modules.Claude.Claude)
    return { call: claude.message({ prompt }) }
  })

const wholeCalls = Effect.gen(function*() {
  const folder = yield* sourcesOf(BEFORE)
  if (folder === undefined) {
    return [Figures.note("a whole call, beside one before admission", `no commit ${BEFORE} here`)]
  }
  const load = (path: string) => Effect.promise(() => import(pathToFileURL(join(folder, "src", path)).href))
  const before = yield* callOf({ Claude: yield* load("Claude.ts"), ...yield* load("transport/Transport.ts") })
  const now = yield* callOf({ Claude, Transport })
  const { of, value } = beyond(yield* measure([before.call, now.call]))
  return [Figures.note(`a whole call, beyond one of ${BEFORE}`, `${value.toFixed(1)} µs CPU${of}`)]
})

await Figures.run(
  "cost",
  Effect.gen(function*() {
    const { of, value } = beyond(yield* measure([without, (yield* stages).call]))
    return [
      Figures.atMost("its stages, beyond a scope without them", 15, value, "µs CPU", 1, of),
      ...yield* wholeCalls
    ]
  })
)
