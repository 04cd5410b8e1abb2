/** What the console shows of calls as the library makes them; how it draws is tested with the other exporters. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { type ConsoleOptions, layerConsole } from "effect-claude/telemetry"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import { stripVTControlCharacters } from "node:util"

const opus = "claude-opus-5-5"
const haiku = "claude-haiku-4-5"
const ask = Claude.message({ model: opus, max_tokens: 10, prompt: "Hello" })
const reply = Answer.delay("100 millis", Answer.text("Hi", { usage: { input_tokens: 10, output_tokens: 4 } }))

const shape = (line: string) => line.replace(/[─━]+/g, "=").replace(/╌+/g, "~").replace(/ +/g, " ").trim()

/** Runs calls for a while, and answers what was printed of them. */
const drawn = <A, E>(
  answers: ScriptedTransport.Answers,
  options: Claude.Options,
  calls: Effect.Effect<A, E, Claude.Claude>,
  console: Pick<ConsoleOptions, "width" | "colors">
) =>
  Effect.gen(function*() {
    const writes: Array<string> = []
    const layer = Layer.mergeAll(
      Claude.layerTransport(options).pipe(Layer.provide(ScriptedTransport.layer(answers))),
      layerConsole({ ...console, output: { write: (text) => writes.push(text) } }),
      Logger.layer([])
    )
    const fiber = yield* Effect.exit(calls).pipe(Effect.provide(layer), Effect.forkChild({ startImmediately: true }))
    for (let i = 0; i < 300; i++) yield* TestClock.adjust("100 millis")
    yield* Fiber.join(fiber)
    return writes.join("").split("\n").slice(0, -1)
  })

const printed = <A, E>(
  answers: ScriptedTransport.Answers,
  options: Claude.Options,
  calls: Effect.Effect<A, E, Claude.Claude>
) => Effect.map(drawn(answers, options, calls, { width: 120 }), (lines) => lines.map(shape))

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
        `◆ first token 300 ms · 10 tokens in, 4 out · $0.000030 · 2 attempts · served by ${haiku} · req_scripted`
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

  it.effect("no wait of up to a millisecond", () =>
    Effect.gen(function*() {
      for (const [millis, shown] of [[1, 0], [2, 1]] as const) {
        const lines = yield* printed(
          [Answer.delay(`${millis} millis`, Answer.text("Hi")), reply],
          { concurrency: 1 },
          Effect.all([ask, ask], { concurrency: 2 })
        )
        assert.lengthOf(lines.filter((line) => line.includes("claude.wait concurrency")), shown, `${millis} ms`)
      }
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
      const said = lines.map((line) => line.replace(/ [~=◆].*(?<=\d) (ms|s)/, ""))
      assert.deepStrictEqual(said.slice(1, -1), [
        "├ POST #1 500 api_error",
        "├ claude.wait backoff",
        "├ POST #2 500 api_error",
        "├ claude.wait backoff",
        "├ claude.wait circuit",
        "└ POST #3 200"
      ])
    }))

  it.effect("that what was turned away was not sent", () =>
    Effect.gen(function*() {
      const lines = yield* printed([reply], { budget: [{ name: "day", usd: 0.000_001, window: "1 day" }] }, ask)
      assert.deepStrictEqual(lines, [
        `chat ${opus} = +0 ms 0 ms rejected budget_exceeded`,
        "└ claude.wait budget ~ +0 ms 0 ms rejected",
        "not sent"
      ])
    }))

  it.effect("in its order what happened at once: a circuit that turned a call away, who was asked then, its attempt", () =>
    Effect.gen(function*() {
      const circuit = { size: 2, minimumCalls: 2, failureRate: 1, openDuration: "1 minute" } as const
      const lines = yield* printed(
        [Answer.error(500), Answer.error(500), reply],
        { circuit, retry: RetryPolicy.none },
        Effect.exit(ask).pipe(
          Effect.andThen(Effect.sleep("1 second")),
          Effect.andThen(Effect.exit(ask)),
          Effect.andThen(Effect.sleep("1 second")),
          Effect.andThen(ask.pipe(Claude.withPolicy({ fallback: [haiku] })))
        )
      )
      const said = lines.slice(lines.findLastIndex((line) => line.startsWith("chat "))).map((line) =>
        line.replace(/ [~=▸◆].*(?<=\d) (ms|s)/, "")
      )
      assert.deepStrictEqual(said.slice(0, -1), [
        `chat ${opus} success`,
        "├ claude.wait circuit rejected",
        `├ → ${haiku} CircuitOpen`,
        "└ POST #1 200"
      ])
    }))

  it.effect("what a call waited for at any width, and all of it without colours", () =>
    Effect.gen(function*() {
      const options = {
        concurrency: 4,
        rateLimits: { requests: 1, window: "2 seconds" },
        retry: RetryPolicy.none
      } as const
      for (const width of [60, 80, 120]) {
        const inWidth = (colors: boolean) =>
          drawn(
            [reply, Answer.delay("200 millis", Answer.error(529)), reply],
            options,
            Effect.andThen(ask, ask.pipe(Claude.withPolicy({ fallback: [haiku] }))),
            { width, colors }
          )
        const plain = yield* inWidth(false)
        const lines = plain.slice(plain.findLastIndex((line) => line.startsWith("chat ")))
        for (const line of plain) assert.isAtMost(line.length, width, line)
        assert.match(lines[1]!, /^├ (claude\.)?wait rate_limit {2,}╌+ /)
        assert.match(lines[3]!, new RegExp(`^├ → ${haiku} +▸ .* Overloaded$`))
        assert.match(lines.slice(5).join(" "), new RegExp(`served by ${haiku}`))
        assert.deepStrictEqual((yield* inWidth(true)).map(stripVTControlCharacters), plain)
      }
    }))
})
