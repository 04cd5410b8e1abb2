import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Load from "./load.ts"
import * as Simulator from "./simulator.ts"
const WINDOW = 500
const stall = Number(process.argv[2] ?? 0)
const learn = process.argv[3] !== "nolearn"
const drill = Effect.gen(function*() {
  const simulator = yield* Simulator.start({
    rateLimits: { requests: 50, window: WINDOW },
    firstContent: [10, 20],
    rest: [20, 30]
  })
  const claude = yield* Simulator.client(simulator, { rateLimits: { requests: 50, window: WINDOW, learn } })
  const from = Load.now()
  let done = 0
  const at: Array<number> = []
  yield* Effect.forkChild(Effect.gen(function*() {
    let last = 0
    while (true) {
      yield* Effect.sleep(1000)
      console.log(((Load.now() - from) / 1000).toFixed(1), done - last)
      last = done
    }
  }))
  setTimeout(() => {
    const t = Date.now()
    while (Date.now() - t < stall);
  }, 3000)
  yield* Effect.forEach(
    Array.from({ length: 1000 }, (_, i) => i),
    () =>
      Effect.tap(Load.made(claude.message({ prompt: "hi" })), () =>
        Effect.sync(() => {
          done++
          at.push(Load.now())
        })),
    { concurrency: "unbounded" }
  )
  const seconds = (Load.now() - from) / 1000
  console.log(
    "share",
    1000 / (50 + 100 * seconds),
    "429",
    (yield* simulator.requests).filter((r) => r.status === 429).length
  )
})
await Effect.runPromise(Effect.scoped(drill).pipe(Effect.provide(Logger.layer([]))))
process.exit(0)
