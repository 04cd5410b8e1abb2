/** What the console shows of calls as the library makes them; how it draws is tested with the other exporters. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { layerConsole } from "effect-claude/telemetry"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"

const opus = "claude-opus-5-5"
const haiku = "claude-haiku-4-5"
const ask = Claude.message({ model: opus, max_tokens: 10, prompt: "Hello" })
const reply = Answer.delay("100 millis", Answer.text("Hi", { usage: { input_tokens: 10, output_tokens: 4 } }))

const shape = (line: string) => line.replace(/[─━]+/g, "=").replace(/╌+/g, "~").replace(/ +/g, " ").trim()

/** Runs calls for a while, and answers what was printed of them. */
const printed = <A, E>(
  answers: ScriptedTransport.Answers,
  options: Omit<Parameters<typeof Claude.layerTransport>[0] & {}, never>,
  calls: Effect.Effect<A, E, Claude.Claude>
) =>
  Effect.gen(function*() {
    const writes: Array<string> = []
    const layer = Layer.mergeAll(
      Claude.layerTransport(options).pipe(Layer.provide(ScriptedTransport.layer(answers))),
      layerConsole({ output: { write: (text) => writes.push(text) }, width: 120 }),
      Logger.layer([])
    )
    const fiber = yield* Effect.exit(calls).pipe(Effect.provide(layer), Effect.forkChild({ startImmediately: true }))
    for (let i = 0; i < 300; i++) yield* TestClock.adjust("100 millis")
    yield* Fiber.join(fiber)
    return writes.join("").split("\n").slice(0, -1).map(shape)
  })

describe("the console shows", () => {
  it.effect("where a call went on to another model, why, and who served", () =>
    Effect.gen(function*() {
      const lines = yield* printed(
        [Answer.delay("200 millis", Answer.error(529)), reply],
        { retry: RetryPolicy.none },
        ask.pipe(Claude.withPolicy({ fallback: [haiku] }))
      )
      assert.deepStrictEqual(lines, [
        `chat ${opus} =◆ +0 ms 300 ms success`,
        "├ POST #1 = +0 ms 200 ms 529 overloaded_error",
        `├ → ${haiku} ▸ +200 ms Overloaded`,
        "└ POST #2 =◆ +200 ms 100 ms 200",
        `◆ first token 300 ms · 10 tokens in, 4 out · $0.000030 · 2 attempts · served by ${haiku} · req_1`
      ])
    }))

  it.effect("that an answer was kept, or was the answer to another call", () =>
    Effect.gen(function*() {
      const lines = yield* printed(
        [reply],
        { cache: true },
        Effect.andThen(Effect.all([ask, ask], { concurrency: 2 }), ask)
      )
      const said = lines.filter((line) => !line.startsWith("└"))
      assert.lengthOf(lines.filter((line) => line.startsWith("└ POST")), 1)
      assert.sameMembers(said.map((line) => line.replace(/.* · 1 attempt · .*/, "1 attempt")), [
        `chat ${opus} =◆ +0 ms 100 ms success`,
        "1 attempt",
        `chat ${opus} = +0 ms 100 ms success`,
        "with the answer to another call",
        `chat ${opus} = +0 ms 0 ms success`,
        "from the cache"
      ])
    }))

  it.effect("a wait for rate", () =>
    Effect.gen(function*() {
      const lines = yield* printed(
        [reply],
        { concurrency: 4, rateLimits: { requests: 1, window: "2 seconds" } },
        Effect.andThen(ask, ask)
      )
      assert.deepStrictEqual(lines.slice(3, -1), [
        `chat ${opus} =◆ +0 ms 2.00 s success`,
        "├ claude.wait rate_limit ~ +0 ms 1.90 s",
        "└ POST #1 =◆ +1.90 s 100 ms 200"
      ])
    }))

  it.effect("that it was a circuit that a retry waited for", () =>
    Effect.gen(function*() {
      const lines = yield* printed(
        [Answer.error(500), Answer.error(500), reply],
        {
          circuit: { size: 2, minimumCalls: 2, failureRate: 1, openDuration: "10 seconds" },
          retry: RetryPolicy.make({ initial: "1 second" })
        },
        ask
      )
      const said = lines.map((line) => line.replace(/ [~=].*(?<=\d) (ms|s)/, ""))
      assert.deepStrictEqual(said.slice(1, -1), [
        "├ POST #1 500 api_error",
        "├ claude.wait backoff",
        "├ POST #2 500 api_error",
        "├ claude.wait backoff",
        "├ claude.wait backoff circuit open",
        "└ POST #3 200"
      ])
    }))

  it.effect("that what was turned away was not sent", () =>
    Effect.gen(function*() {
      const lines = yield* printed([reply], { budgets: [{ name: "day", usd: 0.000_001, window: "1 day" }] }, ask)
      assert.deepStrictEqual(lines, [`chat ${opus} = +0 ms 0 ms rejected budget_exceeded`, "not sent"])
    }))
})
