import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { describeRedis, freshPrefix, layer as redis, RedisUrl } from "../support/redis.ts"
import type { Drawn, Orders } from "./drawer.ts"

const script = fileURLToPath(new URL("./drawer.ts", import.meta.url))

/** A process that is ready to draw, and ends with the scope. */
const drawer = (orders: Orders) =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<{ readonly go: () => Promise<Drawn>; readonly end: () => void }>((resolve, reject) => {
        const child = fork(script, [JSON.stringify(orders)], { execArgv: ["--no-warnings"] })
        child.once("error", reject)
        child.once("exit", (code) => reject(new Error(`The drawer ended with ${code} before it was ready`)))
        child.once("message", () =>
          resolve({
            end: () => child.kill(),
            go: () =>
              new Promise((resolve, reject) => {
                child.once("exit", (code) => reject(new Error(`The drawer ended with ${code} before it answered`)))
                // It sends one thing after it was told to go.
                child.once("message", (drawn) => resolve(drawn as unknown as Drawn))
                child.send("go")
              })
          }))
      })
    ),
    ({ end }) => Effect.sync(end)
  )

describeRedis("four processes", () => {
  layer(redis, { excludeTestServices: true })((it) => {
    it.effect(
      "share one limit: together they get all of it, and no more",
      () =>
        Effect.gen(function*() {
          const orders: Orders = {
            url: yield* RedisUrl,
            prefix: freshPrefix(),
            limit: 1_000,
            windowMillis: 1_000,
            forMillis: 3_000
          }
          const drawers = yield* Effect.forEach([1, 2, 3, 4], () => drawer(orders), { concurrency: 4 })
          const drawn = yield* Effect.promise(() => Promise.all(drawers.map(({ go }) => go())))
          const sum = drawn.reduce((total, { granted }) => total + granted, 0)
          const took = Math.max(...drawn.map(({ until }) => until)) - Math.min(...drawn.map(({ from }) => from))
          const allowed = orders.limit + (took * orders.limit) / orders.windowMillis
          assert.isAtMost(sum, allowed)
          // How close they come is the bench's to measure: here others run at the same time.
          assert.isAtLeast(sum, 0.75 * allowed)
        }),
      20_000
    )
  })
})
