import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Effect, Exit, Layer, Scope } from "effect"
import * as RedisLimits from "../../src/redis/RedisLimits.ts"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import { startServer } from "../support/redis.ts"
import { amounts } from "./limitStoreSuite.ts"
process.on("unhandledRejection", (e) => console.log("UNHANDLED", e))
const limits = [{ kind: "requests", limit: 1e6, windowMillis: 1000 }] as const
const one = amounts({ requests: 1 })
const t = () => performance.now()
const timed = (name: string, e: Effect.Effect<unknown, unknown>) => Effect.gen(function*() {
  const s = t(); const x = yield* Effect.exit(Effect.timeout(e, "3 seconds")); console.log(name, Math.round(t() - s), "ms", String(x).slice(0, 160))
})
const go = (queue: boolean, how: "kill" | "pause") => Effect.gen(function*() {
  console.log("== offline queue", queue, how)
  const server = yield* startServer()
  const scope = yield* Scope.make()
  const ctx = yield* Layer.buildWithScope(NodeRedis.layer({ url: server.url, ...(queue ? {} : { disableOfflineQueue: true }) }), scope)
  const store = yield* RedisLimits.make("x:").pipe(Effect.provide(ctx))
  const take = store.take("k", limits, [one])
  yield* timed("up", take)
  const guard = yield* StoreGuard.make({ patience: 250, rest: 0, onUnavailable: (e) => Effect.sync(() => console.log("  unavailable:", e?.message)) })
  if (how === "kill") {
    const pending = yield* Effect.forkChild(Effect.exit(Effect.all(Array.from({ length: 200 }, () => take), { concurrency: 200 })))
    yield* Effect.sleep(0)
    yield* server.kill
    yield* timed("pending", Effect.flatMap(Effect.sync(() => pending), (f) => import("effect").then ? Effect.promise(() => Effect.runPromise(Effect.void)).pipe(Effect.andThen(Effect.suspend(() => FiberAwait(f)))) : Effect.void))
  } else yield* server.pause
  yield* timed("raw after", take)
  yield* timed("guarded", guard.ask(take, Effect.succeed("local")))
  yield* timed("guarded, uninterruptible", Effect.uninterruptible(guard.ask(take, Effect.succeed("local"))).pipe(Effect.forkChild, Effect.flatMap(FiberAwait)))
  if (how === "kill") yield* server.restart
  else yield* server.resume
  yield* Effect.sleep("2500 millis")
  yield* timed("restored", take)
  yield* (how === "kill" ? server.kill : server.pause)
  yield* Effect.sleep("50 millis")
  yield* timed("close while down", Scope.close(scope, Exit.void).pipe(Effect.forkChild, Effect.flatMap(FiberAwait)))
  yield* server.kill
})
import { Fiber } from "effect"
const FiberAwait = (f: Fiber.Fiber<any, any>) => Fiber.await(f)
for (const q of [true, false]) for (const h of ["kill", "pause"] as const) await Effect.runPromise(Effect.scoped(go(q, h)))
process.exit(0)
