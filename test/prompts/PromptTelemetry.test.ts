/** What a receiver gets of prompts: versions that can be compared, and what became of changes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric, Schedule, Schema } from "effect"
import { Claude } from "../../src/index.ts"
import { Prompts } from "../../src/prompts/index.ts"
import { Answer, ScriptedTransport } from "../../src/testing/index.ts"
import * as Contract from "../telemetry/contract.ts"
import { isChat, mismatches, numberOf, pointsOf, sum, total } from "../telemetry/reading.ts"
import { received } from "../telemetry/scenarios.ts"
import { denied, type Files, filesLayer } from "./support.ts"

const Reply = Prompts.define("reply", { variables: Schema.Struct({ question: Schema.String }) })

const file = (second: string) => `
reply:
  latest: 1
  weights: { 1: 50, 2: 50 }
  versions:
    1: { model: claude-haiku-5-5, max_tokens: 50, prompt: "{{question}}" }
    2: { model: claude-opus-5-5, max_tokens: 50, prompt: "${second}" }
`

/** How often changes came to this. */
const counted = (outcome: string) =>
  Effect.map(
    Metric.snapshot,
    (snapshots) =>
      snapshots.some(({ attributes, id }) =>
        id === "claude.prompts.reloads" && attributes?.["claude.prompts.outcome"] === outcome
      )
  )

const soon = (isSo: Effect.Effect<boolean>) =>
  isSo.pipe(
    Effect.filterOrFail((isSo) => isSo),
    Effect.retry({ schedule: Schedule.spaced(10), times: 1_000 })
  )

describe("a receiver", () => {
  it.live("can compare versions by their calls, and sees what became of each change", () =>
    Effect.gen(function*() {
      const files: Files = new Map([["reply.yaml", file("Kindly: {{question}}")]])
      const program = Effect.gen(function*() {
        yield* Effect.forEach(
          Array.from({ length: 40 }, (_, n) => `user-${n}`),
          (key) => Effect.flatMap(Reply.render({ question: "secret question" }, { key }), Claude.text),
          { concurrency: 8 }
        )
        files.set("reply.yaml", file("Warmly: {{question}}"))
        yield* soon(counted("changed"))
        files.set("reply.yaml", file("{{secret}}"))
        yield* soon(counted("refused"))
        files.set("reply.yaml", denied("reply.yaml"))
        yield* soon(counted("unavailable"))
      }).pipe(
        Effect.provide(
          Layer.mergeAll(
            Prompts.layerFiles({ path: "reply.yaml", prompts: [Reply], watch: 10 }).pipe(
              Layer.provide(filesLayer(files))
            ),
            Claude.layerTransport().pipe(
              Layer.provide(ScriptedTransport.layer(() => Answer.text("secret answer")))
            )
          )
        )
      )
      const all = yield* received("protobuf", program)

      const chats = all.spans.filter(isChat)
      assert.lengthOf(chats, 40)
      const costs = ["1", "2"].map((version) => {
        const own = chats.filter(({ attributes }) => attributes["gen_ai.prompt.version"] === version)
        assert.isAbove(own.length, 10)
        for (const span of own) {
          assert.strictEqual(span.attributes["gen_ai.prompt.name"], "reply")
          assert.strictEqual(span.types["gen_ai.prompt.version"], "string")
        }
        return sum(own.map((span) => numberOf(span, "claude.cost.amount"))) / own.length
      })
      assert.isAbove(costs[1]!, costs[0]! * 2)
      for (const [index, version] of ["1", "2"].entries()) {
        const labels = { "gen_ai.prompt.name": "reply", "gen_ai.prompt.version": version }
        const calls = total(all, "claude.prompts.duration", "count", labels)
        assert.strictEqual(calls, chats.filter((span) => span.attributes["gen_ai.prompt.version"] === version).length)
        assert.closeTo(total(all, "claude.prompts.cost", "value", labels) / calls, costs[index]!, 1e-9)
      }

      for (const [name, row] of Object.entries(Contract.promptMetrics)) {
        const points = pointsOf(all, name)
        assert.sameMembers(
          points.map(({ attributes }) => attributes["claude.prompts.outcome"]),
          ["changed", "refused", "unavailable"]
        )
        for (const point of points) {
          assert.deepStrictEqual(mismatches(name, row.labels, point), [])
          assert.strictEqual(point.valueType, row.value)
        }
        const metric = all.metrics.find((metric) => metric.name === name)
        assert.deepStrictEqual([metric?.unit, metric?.monotonic], [row.unit, true])
      }

      const logs = all.logs.filter(({ body }) => String(body).startsWith("claude.prompts."))
      for (const log of logs) {
        const row = Contract.promptLogs[String(log.body)]!
        assert.include([row.severity].flat(), log.severity)
        assert.deepStrictEqual(mismatches(String(log.body), row.attributes, log), [])
        assert.notInclude(JSON.stringify(log.attributes), "Warmly")
      }
      assert.deepStrictEqual(
        logs.map(({ attributes, body }) => [body, attributes["prompts"] ?? attributes["reason"]]),
        [
          ["claude.prompts.changed", "reply"],
          ["claude.prompts.refused", "UnknownVariable"],
          ["claude.prompts.refused", "Unavailable"]
        ]
      )
    }))

  it.effect("is told of a hundred versions apart, and of the rest together", () =>
    Effect.gen(function*() {
      for (let version = 0; version < 120; version++) {
        yield* Claude.text({ prompt: "Hi" }).pipe(Prompts.withPrompt({ name: "many", version: String(version) }))
      }
      const snapshots = (yield* Metric.snapshot).filter(({ id }) => id === "claude.prompts.duration")
      const versions = snapshots.map(({ attributes }) => attributes?.["gen_ai.prompt.version"])
      assert.isAtMost(versions.length, 101)
      assert.include(versions, "other")
    }).pipe(
      Effect.provide(
        Claude.layerTransport({ defaults: { model: "claude-haiku-5-5" } }).pipe(
          Layer.provide(ScriptedTransport.layer([Answer.text("hello")]))
        )
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))
})
