/**
 * 100 000 calls of 100 tenants wait at one gate and leave it, served or interrupted: how long all of that takes, and
 * how much memory they hold while they wait. Five times each, in a fresh process; the median is what counts.
 */
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import { join } from "node:path"
import { median } from "../stats.ts"
import * as Figures from "./figures.ts"
import type { Waited } from "./waiters.ts"

const RUNS = 5

const waiters = (leave: Waited["leave"]) =>
  Effect.promise(() =>
    new Promise<Waited>((resolve, reject) => {
      const child = fork(join(import.meta.dirname, "waiters.ts"), [leave], { execArgv: ["--expose-gc"] })
      // What waiters.ts sends.
      child.once("message", (message) => resolve(message as unknown as Waited))
      child.once("exit", (code) => reject(new Error(`waiters.ts ended with ${code}`)))
    })
  )

const crowd = (leave: Waited["leave"]) =>
  Effect.map(
    Effect.forEach(Array.from({ length: RUNS }), () => waiters(leave)),
    (runs) => {
      const middle = (of: (run: Waited) => number) => median(runs.map(of))
      const seconds = runs.map(({ leaveMillis, queueMillis }) => (queueMillis + leaveMillis) / 1000)
      const parts = `${middle(({ queueMillis }) => queueMillis).toFixed(0)} ms to queue and ${
        middle(({ leaveMillis }) => leaveMillis).toFixed(0)
      } ms to leave`
      const busy = `${(middle(({ cpuMillis }) => cpuMillis) / 1000).toFixed(2)} s of the main thread's CPU`
      const range = `${Math.min(...seconds).toFixed(2)} to ${Math.max(...seconds).toFixed(2)}`
      const peak = middle(({ peakMegabytes }) => peakMegabytes).toFixed(0)
      const heap = middle(({ heapMegabytes }) => heapMegabytes).toFixed(0)
      return [
        Figures.atMost(`100 000 wait, and are ${leave}`, 2, median(seconds), "s", 2, `, ${parts}; ${range} s; ${busy}`),
        Figures.atMost(
          `100 000 wait, and are ${leave}: resident memory while they wait`,
          300,
          middle(({ megabytes }) => megabytes),
          "MB",
          0,
          `, ${heap} MB of it in use; ${peak} MB at its peak, before it is collected`
        )
      ]
    }
  )

await Figures.run(
  "crowds",
  Effect.map(Effect.forEach(["served", "interrupted"] as const, crowd), (figures) => figures.flat())
)
