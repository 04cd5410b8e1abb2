/**
 * 2 000 calls at once before a rate limit that the server enforces: all that it allows is used, and next to nothing is
 * refused. A minute takes a second here, and an answer that takes 3 s takes 50 ms.
 *
 * What is allowed is what the server's bucket had from the first request to the last: a full one, and what it was
 * refilled with. Another client has made a call before, so that all is loaded that a service has loaded by then.
 */
import * as Effect from "effect/Effect"
import type * as Claude from "../../src/Claude.ts"
import * as Figures from "./figures.ts"
import * as Load from "./load.ts"
import * as Simulator from "./simulator.ts"

const CALLS = 2000
const WINDOW = 1000

interface Variant {
  readonly name: string
  /** What the server enforces in a window, and what counts of a call. */
  readonly kind: "requests" | "inputTokens"
  readonly limit: number
  /** Whether the client is told, or learns it. */
  readonly configured: boolean
}

const variants: ReadonlyArray<Variant> = [
  { name: "requests, configured", kind: "requests", limit: 50, configured: true },
  { name: "requests, learned", kind: "requests", limit: 50, configured: false },
  { name: "input tokens, configured", kind: "inputTokens", limit: 40_000, configured: true },
  { name: "input tokens, learned", kind: "inputTokens", limit: 40_000, configured: false }
]

/** From 20 to 4 000 tokens, most of them short; some 50 of them fill a window of 40 000. */
const prompts = Array.from({ length: 97 }, (_, i) => "word ".repeat(Math.round(16 * 200 ** (i * 31 % 97 / 96))))

const drill = ({ configured, kind, limit, name }: Variant) =>
  Effect.gen(function*() {
    const simulator = yield* Simulator.start({
      rateLimits: { [kind]: limit, window: WINDOW },
      firstContent: [10, 20],
      rest: [30, 40]
    })
    const claude = yield* Simulator.client(simulator, {
      rateLimits: { ...(configured ? { [kind]: limit } : undefined), window: WINDOW }
    })
    const prompt = (i: number): Claude.MessageRequest =>
      kind === "requests" ? { prompt: "Say hello." } : { prompt: prompts[i % prompts.length]! }
    const calls = yield* Effect.forEach(
      Array.from({ length: CALLS }, (_, i) => i),
      (i) => Load.made(claude.message(prompt(i))),
      { concurrency: "unbounded" }
    )
    const requests = yield* simulator.requests
    const seconds = (requests.at(-1)!.at - requests[0]!.at) / 1000
    const served = calls.reduce(
      (sum, { message }) => message === undefined ? sum : sum + (kind === "requests" ? 1 : message.usage.input_tokens),
      0
    )
    const allowed = limit + limit * 1000 / WINDOW * seconds
    const refused = requests.filter(({ status }) => status === 429).length
    const met429 = calls.filter(({ attempts, reason }) => attempts > 1 || reason === "RateLimited").length
    const failed = Load.reasons(calls)
    return [
      Figures.share(
        `${name}: throughput, of what is allowed`,
        "at least",
        0.97,
        served / allowed,
        `, ${seconds.toFixed(1)} s${failed === "" ? "" : `; failed: ${failed}`}`
      ),
      Figures.share(`${name}: calls that saw a 429`, "at most", 0.01, met429 / CALLS, ` (${refused} 429s)`)
    ]
  })

const warm = Effect.gen(function*() {
  const claude = yield* Simulator.client(yield* Simulator.start({ firstContent: [0, 0], rest: [0, 0] }))
  yield* claude.message({ prompt: "Say hello." })
})

// All in one process, as each is idle most of the time; they start apart, since that is where each is busy.
const drills = Effect.forEach(variants, (variant, i) => Effect.delay(drill(variant), 2 * WINDOW * i), {
  concurrency: "unbounded"
})

await Figures.run(
  "rate",
  Effect.andThen(Effect.scoped(warm), Effect.map(drills, (figures) => figures.flat()))
)
