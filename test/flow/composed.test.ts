/** All parts at once: whatever happens, each program ends once, and leaves nothing behind but its bill. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { layerOtlp } from "effect-claude/telemetry"
import { composed } from "../support/composed.ts"
import { assertAll, assertEnded, assertSilent, assertTrees, toldOf, toldOfReceived } from "../support/composedChecks.ts"
import { makeReceiver } from "../telemetry/receiver.ts"
import { tell } from "./observe.ts"

/** On a machine that has other things to do. */
const timeout = 120_000

const seeds = process.env["COMPOSED_SEEDS"]?.split(",").map(Number) ?? [7, 42, 2026]
const programs = 140

describe("a composed program", () => {
  for (const seed of seeds) {
    it.live(
      `leaves nothing behind, tells nothing, and is billed for what it did (seed ${seed})`,
      () =>
        Effect.map(composed({ seed, programs }), (left) => {
          assertAll(left)
          // Something has happened of each kind.
          const { costs, kept, paid, shipped } = left.memory
          for (const all of [costs, [...kept], [...paid], [...shipped]]) assert.isNotEmpty(all)
          const told = new Set(left.ends.map(({ exit }) => tell(exit)))
          assert.includeMembers([...told], ["success", "interrupt"])
          assert.isAbove(told.size, 5)
        }),
      timeout
    )
  }

  it.live(
    "of which nothing fails or is given up counts against budgets what it was billed, to the cent",
    () =>
      Effect.map(composed({ seed: 5, programs: 60, faults: 0, givenUp: 0, isPatient: true }), (left) => {
        assertAll(left, { exact: true })
        assert.isAbove(left.ends.filter(({ exit }) => Exit.isSuccess(exit)).length, 30)
      }),
    timeout
  )

  it.live(
    "whose layer is closed in its middle ends at once, typed or interrupted",
    () =>
      Effect.map(composed({ seed: 3, programs, closedAfter: 40 }), (left) => {
        for (const end of left.ends) assertEnded(end, true)
        assertTrees(left.observed.spans.map(toldOf))
      }),
    timeout
  )

  it.live("says over OTLP what it says here", () =>
    Effect.gen(function*() {
      const receiver = yield* makeReceiver
      const telemetry = layerOtlp({ baseUrl: receiver.url, resource: { serviceName: "composed" } })
      const left = yield* composed({ seed: 11, programs: 40, telemetry })
      const { requests, spans } = receiver.received()
      assertAll(left, { spans: spans.map(toldOfReceived) })
      for (const { body, signal } of requests) {
        // Spans of the program itself tell what its tools have failed with.
        if (signal !== "traces") assertSilent(`what is exported of ${signal}`, body.toString("latin1"))
      }
    }).pipe(Effect.scoped), timeout)
})
