import { assert, it } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { Redis } from "effect/persistence"
import { inspect } from "node:util"
import type { StoreError } from "../../src/admission/Stores.ts"
import * as RedisBudgets from "../../src/redis/RedisBudgets.ts"
import * as RedisLimits from "../../src/redis/RedisLimits.ts"
import * as RedisUsage from "../../src/redis/RedisUsage.ts"
import { entry } from "./budgetStoreSuite.ts"
import { amounts } from "./limitStoreSuite.ts"

const secret = "hunter2-hunter2"

class ReplyError extends Error {}
class ConnectionTimeoutError extends Error {}

/** What clients have failed with, each with all that they know in it, and what is told of it. */
const causes: ReadonlyArray<readonly [unknown, string]> = [
  [
    Object.assign(new Error(`connect ECONNREFUSED redis://:${secret}@127.0.0.1:6379`), { code: "ECONNREFUSED" }),
    "ECONNREFUSED"
  ],
  [
    new ReplyError(`ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' '${secret}'`),
    "ERR unknown command"
  ],
  [new ReplyError(`ERR unknown command \`HELLO\`, with args beginning with: \`${secret}\``), "ERR unknown command"],
  [new ReplyError("READONLY You can't write against a read only replica."), "READONLY You can"],
  [new ReplyError(`NOAUTH Authentication required.\n${secret}`), "NOAUTH Authentication required."],
  [new ConnectionTimeoutError(`no connection to redis://:${secret}@example.com`), "ConnectionTimeoutError"],
  [Object.assign(new Error(secret), { code: secret }), "Error"],
  [`failed with ${secret}`, "unknown error"],
  [{ password: secret }, "unknown error"],
  [undefined, "unknown error"]
]

it.effect("a failure says what was asked and why it failed, and nothing that may be a secret", () =>
  Effect.gen(function*() {
    for (const [cause, told] of causes) {
      const fail = () => Effect.fail(new Redis.RedisError({ cause }))
      const redis = Redis.Redis.of({
        send: fail,
        eval: () => fail,
        subscribe: () => Effect.never,
        reserve: Effect.never
      })
      const make = <A>(store: Effect.Effect<A, never, Redis.Redis>) => Effect.provideService(store, Redis.Redis, redis)
      const [limits, budgets, usage] = [
        yield* make(RedisLimits.make("p:")),
        yield* make(RedisBudgets.make("p:")),
        yield* make(RedisUsage.make("p:"))
      ]
      const limit = [{ kind: "requests", limit: 1, windowMillis: 1 }] as const
      const questions: ReadonlyArray<readonly [Effect.Effect<unknown, StoreError>, string]> = [
        [limits.take("k", limit, [amounts()]), "take of the rate limits"],
        [limits.give("k", limit, amounts()), "give back to the rate limits"],
        [limits.pause("k", limit, [], 1), "pause the rate limits"],
        [budgets.reserve([entry("k", 1)]), "reserve of the budgets"],
        [budgets.settle([entry("k", 1)]), "settle the budgets"],
        [Stream.runDrain(usage.rows), "read the usage report"]
      ]
      for (const [question, what] of questions) {
        const exit = yield* Effect.exit(question)
        const error = yield* Effect.flip(question)
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual([error._tag, error.message], ["StoreError", `Redis did not ${what}: ${told}`])
        assert.notInclude(inspect(exit, { depth: 20, showHidden: true }) + inspect(error, { showHidden: true }), secret)
        assert.notInclude(JSON.stringify(error) + String(error) + String(exit), secret)
      }
    }
  }))
