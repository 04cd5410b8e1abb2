import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Exit, Layer } from "effect"
import { CircuitBreaker } from "effect/persistence"
import * as Circuit from "../../src/admission/Circuit.ts"
import * as CircuitOptions from "../../src/admission/CircuitOptions.ts"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import * as Stores from "../../src/admission/Stores.ts"
import * as ClaudeError from "../../src/ClaudeError.ts"
import * as Failure from "../../src/Failure.ts"
import * as ClaudeRedis from "../../src/redis/ClaudeRedis.ts"
import { describeRedis, freshPrefix, layer as redis } from "../support/redis.ts"
import { circuitStoreSuite } from "./circuitStoreSuite.ts"

circuitStoreSuite(
  "circuits in memory",
  Layer.effect(Stores.Circuits, CircuitBreaker.CircuitBreakerStore).pipe(
    Layer.provide(CircuitBreaker.layerStoreMemory())
  )
)

const down = Failure.retryable(new ClaudeError.ServerError({}), "down", { type: "api_error", status: 500 })

describeRedis("circuits", () => {
  circuitStoreSuite("circuits in Redis", ClaudeRedis.layer({ prefix: freshPrefix() }).pipe(Layer.provide(redis)))

  layer(redis, { excludeTestServices: true })("in Redis", (it) => {
    it.effect("what one process has seen fail is turned away by the other, and what it has mended is not", () =>
      Effect.gen(function*() {
        const settings = CircuitOptions.resolve({ minimumCalls: 3, size: 3, openDuration: "300 millis" })
        if ("reason" in settings) return assert.fail(settings.message)
        const store = (yield* Stores.Circuits) ?? assert.fail("the layer sets no Stores.Circuits")
        const process = Effect.gen(function*() {
          const guard = yield* StoreGuard.make({
            patience: 10_000,
            rest: 0,
            onUnavailable: () => Effect.die("Redis did not answer")
          })
          const moves: Array<string> = []
          const circuits = yield* Circuit.make({
            settings,
            shared: { store, guard },
            onTransition: ({ from, to }) => Effect.sync(() => void moves.push(`${from} ${to}`))
          })
          return { circuit: circuits("api/model"), moves }
        })
        const [one, other] = [yield* process, yield* process]
        const call = ({ circuit }: typeof one, error?: ClaudeError.ClaudeError) =>
          Effect.exit(
            Effect.scoped(
              Effect.andThen(circuit.peek, Effect.flatMap(circuit.admit, (admitted) => admitted.ended(error)))
            )
          )
        for (let i = 0; i < 3; i++) assert.isTrue(Exit.isSuccess(yield* call(one, down)))
        const turnedAway = yield* Effect.flip(Effect.flatten(call(other)))
        assert.strictEqual(turnedAway.reason._tag, "CircuitOpen")
        assert.isAtMost(Duration.toMillis(turnedAway.retryAfter!), 300)
        yield* Effect.sleep("320 millis")
        assert.isTrue(Exit.isSuccess(yield* call(other)))
        assert.isTrue(Exit.isSuccess(yield* call(one)))
        assert.deepStrictEqual([one.moves, other.moves], [["Closed Open"], ["Open HalfOpen", "HalfOpen Closed"]])
      }).pipe(Effect.scoped, Effect.provide(ClaudeRedis.layer({ prefix: freshPrefix() }))))
  })
})
