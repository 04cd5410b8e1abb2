/** What an agent says that it cost, where one below it was broken off. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Agent, AgentTool, ClaudeLanguageModel } from "effect-claude/ai"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { Toolkit } from "effect/ai"

const simulated = (answers: ClaudeSimulator.Answers) =>
  ClaudeLanguageModel.layer({ model: "claude-opus-5-5" }).pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(
      ClaudeSimulator.ClaudeSimulator,
      ({ url }) =>
        Claude.layer({
          apiKey: Redacted.make("sk-test"),
          baseURL: url,
          defaults: { model: "claude-opus-5-5", max_tokens: 100 },
          retry: RetryPolicy.none
        })
    ))),
    Layer.provideMerge(ClaudeSimulator.layer({ answers }))
  )

describe("an agent below another", () => {
  const below = AgentTool.make(Agent.make({ name: "below", toolkit: Toolkit.empty }), {
    name: "below",
    description: "Takes long."
  })
  const above = Agent.make({
    name: "above",
    toolkit: below.toolkit,
    limits: { cost: 100 },
    tools: { timeout: "150 millis" }
  })

  it.live("that is out of time amid an answer has a cost that nobody knows", () =>
    Effect.gen(function*() {
      const { cost, reason } = yield* above.run("Go")
      const rows = yield* Stream.runCollect(Claude.usage)
      assert.strictEqual(rows.length, 1)
      assert.deepStrictEqual([reason, cost], ["cost-limit", undefined])
    }).pipe(
      Effect.provide(below.layer.pipe(Layer.provideMerge(simulated([
        Answer.tool("below", { prompt: "Go" }),
        Answer.stall("midStream", Answer.text("So many words to say")),
        Answer.text("Done.")
      ]))))
    ))
})
