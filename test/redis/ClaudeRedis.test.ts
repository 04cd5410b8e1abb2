import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, layer } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Layer, References, Schedule, Stream } from "effect"
import { CircuitBreaker, Redis } from "effect/persistence"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import * as Stores from "../../src/admission/Stores.ts"
import * as ClaudeRedis from "../../src/redis/ClaudeRedis.ts"
import { client, describeRedis, freshPrefix, layer as redis, startServer } from "../support/redis.ts"
import { entry } from "./budgetStoreSuite.ts"
import { amounts } from "./limitStoreSuite.ts"

const one = amounts({ requests: 1 })
const limits: ReadonlyArray<Stores.Limit> = [{ kind: "requests", limit: 3, windowMillis: 86_400_000 }]

const row: Stores.UsageRow = {
  day: "2026-11-21",
  tenant: "acme",
  model: "claude-opus-5-5",
  requests: 1,
  inputTokens: 1,
  cacheReadTokens: 1,
  cacheWriteTokens: 1,
  outputTokens: 1,
  cost: 1,
  unpriced: 1
}

/** What the layer sets. */
const stores = Effect.gen(function*() {
  const missing = (name: string) => assert.fail(`the layer sets no Stores.${name}`)
  return {
    limits: (yield* Stores.Limits) ?? missing("Limits"),
    budgets: (yield* Stores.Budgets) ?? missing("Budgets"),
    circuits: (yield* Stores.Circuits) ?? missing("Circuits"),
    usage: (yield* Stores.Usage) ?? missing("Usage")
  }
})

const storesOver = (prefix: string) =>
  Effect.map(Layer.build(Layer.fresh(ClaudeRedis.layer({ prefix }))), (context) => Effect.provide(stores, context))
    .pipe(
      Effect.flatten
    )

/** One call's way through a circuit that opens at its first failure. */
const through = (circuits: typeof CircuitBreaker.CircuitBreakerStore.Service, outcome: "Success" | "Failure") =>
  Effect.scoped(Effect.gen(function*() {
    const { generation } = yield* circuits.admit("messages/claude-opus-5-5")
    return yield* circuits.record({
      key: "messages/claude-opus-5-5",
      generation,
      outcome,
      tripPolicy: CircuitBreaker.consecutive(1),
      openFor: Duration.seconds(30)
    })
  }))

describeRedis("ClaudeRedis", () => {
  layer(redis, { excludeTestServices: true })("in Redis", (it) => {
    it.effect("shares limits, budgets, circuits and usage among those with its prefix, and with nobody else", () =>
      Effect.gen(function*() {
        const prefix = freshPrefix()
        const [mine, theirs, others] = [
          yield* storesOver(prefix),
          yield* storesOver(prefix),
          yield* storesOver(freshPrefix())
        ]
        assert.strictEqual((yield* mine.limits.take("k", limits, [one, one])).granted, 2)
        assert.strictEqual((yield* theirs.limits.take("k", limits, [one, one])).granted, 1)
        assert.strictEqual((yield* others.limits.take("k", limits, [one, one])).granted, 2)

        yield* mine.budgets.reserve([entry("k", 90)])
        assert.strictEqual((yield* theirs.budgets.reserve([entry("k", 20)]))._tag, "Exceeded")
        assert.strictEqual((yield* others.budgets.reserve([entry("k", 20)]))._tag, "Reserved")

        yield* mine.usage.add(row)
        assert.deepStrictEqual(yield* Stream.runCollect(theirs.usage.rows), [row])
        assert.deepStrictEqual(yield* Stream.runCollect(others.usage.rows), [])

        assert.isUndefined(yield* through(mine.circuits, "Success"))
        assert.strictEqual((yield* through(mine.circuits, "Failure"))?.to, "Open")
        const error = yield* Effect.flip(through(theirs.circuits, "Success"))
        assert.strictEqual(error.reason._tag, "CircuitOpen")
        assert.isUndefined(yield* through(others.circuits, "Success"))

        // All that it keeps begins with its prefix, and will be forgotten.
        const { send } = yield* Redis.Redis
        const keys = yield* send<ReadonlyArray<string>>("KEYS", `${prefix}*`)
        assert.deepStrictEqual(keys.map((key) => key.slice(prefix.length)).toSorted(), [
          "circuit:messages/claude-opus-5-5",
          "limits:k",
          "{budgets}:k",
          "{usage}:2026-11-21",
          "{usage}:days"
        ])
        for (const key of keys) assert.isAbove(yield* send<number>("PTTL", key), 0)
      }))

    it.effect("is without a prefix of one's own under claude:", () =>
      Effect.gen(function*() {
        const { limits: store } = yield* Effect.provide(stores, ClaudeRedis.layer())
        const key = freshPrefix()
        yield* store.take(key, limits, [one])
        const { send } = yield* Redis.Redis
        assert.strictEqual(yield* send("DEL", `claude:limits:${key}`), 1)
      }))

    it.effect("knows its scripts again after they were flushed", () =>
      Effect.gen(function*() {
        const { budgets, limits: store } = yield* storesOver(freshPrefix())
        const { send } = yield* Redis.Redis
        yield* store.take("k", limits, [one])
        yield* budgets.reserve([entry("k", 1)])
        yield* send("SCRIPT", "FLUSH")
        assert.strictEqual((yield* store.take("k", limits, [one])).granted, 1)
        assert.deepStrictEqual(yield* budgets.settle([entry("k", 1)]), [2])
      }))
  })
})

describeRedis("a Redis of one's own", () => {
  layer(Layer.empty, { excludeTestServices: true })((it) => {
    it.effect("may be a cluster: no script reaches over hash slots", () =>
      Effect.gen(function*() {
        const { url } = yield* startServer(["--cluster-enabled", "yes"])
        yield* Effect.gen(function*() {
          const { send } = yield* Redis.Redis
          yield* send("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
          while (!(yield* send<string>("CLUSTER", "INFO")).includes("cluster_state:ok")) {
            yield* Effect.sleep("20 millis")
          }
          // Such a server refuses what reaches over slots.
          const apart = yield* Effect.flip(send("MSET", "a", "1", "b", "1"))
          assert.include(String(apart.cause), "CROSSSLOT")

          const { budgets, circuits, limits: store, usage } = yield* storesOver(freshPrefix())
          const many = ["all", "tenant {1}", "}2{", "b"].map((name) => entry(name, 1))
          assert.strictEqual((yield* budgets.reserve(many))._tag, "Reserved")
          assert.deepStrictEqual(yield* budgets.settle(many), [2, 2, 2, 2])
          assert.strictEqual((yield* store.take("k", limits, [one])).granted, 1)
          yield* store.pause("k", limits, ["requests"], 10)
          yield* store.give("k", limits, one)
          yield* usage.add(row)
          assert.deepStrictEqual(yield* Stream.runCollect(usage.rows), [row])
          assert.isUndefined(yield* through(circuits, "Success"))
        }).pipe(Effect.provide(client(url)))
      }))

    // The client logs each connection that it loses.
    const quiet = Effect.provideService(References.MinimumLogLevel, "Error")
    const patience = 250
    const guarded = StoreGuard.make({ patience, rest: 0, onUnavailable: () => Effect.void })

    for (const queues of [false, true]) {
      const name = queues ? "that queues what it cannot send" : "that queues nothing"
      it.effect(
        `may be killed: every question to a client ${name} has an answer in time, and it serves again when it is back`,
        () =>
          Effect.gen(function*() {
            const server = yield* startServer()
            yield* Effect.gen(function*() {
              const { budgets, circuits, limits: store, usage } = yield* storesOver(freshPrefix())
              const guard = yield* guarded
              const questions: ReadonlyArray<Effect.Effect<unknown, Stores.StoreError>> = [
                store.take("k", limits, [one]),
                store.give("k", limits, one),
                store.pause("k", limits, ["requests"], 1),
                budgets.reserve([entry("k", 1)]),
                budgets.settle([entry("k", -1)]),
                usage.add(row),
                Stream.runDrain(usage.rows),
                through(circuits, "Success")
              ]
              for (const question of questions) yield* question

              // Killed with questions under way: each ends, and none with a defect.
              const underWay = yield* Effect.forEach(
                Array.from({ length: 25 }, () => questions).flat(),
                (question) => Effect.forkChild(Effect.exit(question))
              )
              yield* Effect.yieldNow
              yield* server.kill
              const ends = yield* Effect.forEach(
                underWay,
                (fiber) => Effect.exit(Effect.timeout(Fiber.join(fiber), patience)),
                { concurrency: "unbounded" }
              )
              for (const end of ends) {
                if (Exit.isFailure(end)) assert.isFalse(Cause.hasDies(end.cause))
                else if (Exit.isFailure(end.value)) assert.isFalse(Cause.hasDies(end.value.cause))
              }
              yield* Fiber.interruptAll(underWay)

              // Down: an answer of one's own, at the latest when patience is at its end.
              const from = performance.now()
              const answers = yield* Effect.forEach(
                questions,
                (question) => guard.ask(question, Effect.succeed("local")),
                { concurrency: "unbounded" }
              )
              assert.deepStrictEqual(new Set(answers), new Set(["local"]))
              assert.isBelow(performance.now() - from, 10 * patience)
              if (!queues) {
                const error = yield* Effect.flip(store.take("k", limits, [one]))
                assert.strictEqual(error._tag, "StoreError")
                assert.strictEqual(error.message, "Redis did not take of the rate limits: ClientOfflineError")
              }

              // Back, and empty.
              yield* server.restart
              const again = Effect.retry(store.take("new", limits, [one, one]), Schedule.spaced("10 millis"))
              assert.strictEqual((yield* again).granted, 2)
              for (const question of questions) yield* question
            }).pipe(Effect.provide(queues ? NodeRedis.layer({ url: server.url }) : client(server.url)), quiet)
          }),
        20_000
      )
    }

    it.effect("may stop answering: who asks goes on without it, and with it when it answers again", () =>
      Effect.gen(function*() {
        const server = yield* startServer()
        yield* Effect.gen(function*() {
          const { limits: store } = yield* storesOver(freshPrefix())
          const guard = yield* guarded
          const take = guard.ask(store.take("k", limits, [one]), Effect.succeed("local"))
          yield* take
          yield* server.pause
          assert.deepStrictEqual(yield* Effect.all([take, take, take], { concurrency: 3 }), ["local", "local", "local"])
          // In a region that cannot be interrupted, too.
          assert.strictEqual(yield* Effect.uninterruptible(take), "local")
          yield* server.resume
          assert.property(yield* take, "granted")
        }).pipe(Effect.provide(client(server.url)))
      }))
  })
}, "own")
