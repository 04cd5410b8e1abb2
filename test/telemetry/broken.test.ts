import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Stream, Tracer } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { total } from "./reading.ts"
import { ask, layerClaude, play, received } from "./scenarios.ts"

describe("telemetry that fails", () => {
  const broken = (): never => {
    throw new Error("telemetry is broken")
  }

  /** A message, a stream and a count, each after a retry: what they come to, and what was lost on the way. */
  const outcomes = (
    options: Partial<Claude.Options>,
    around: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      const come: Array<unknown> = []
      const all = yield* received(
        "json",
        Effect.gen(function*() {
          const retried = [Answer.error(529), Answer.text("Hello")]
          yield* simulator.script([...retried, ...retried, Answer.error(400)])
          yield* simulator.script([Answer.error(529)], "count_tokens")
          come.push((yield* Claude.message(ask)).content[0])
          come.push((yield* Stream.runCollect(Claude.stream(ask))).at(-1)?.type)
          come.push((yield* Claude.countTokens(ask)) > 0)
          come.push((yield* Effect.flip(Claude.message(ask))).reason._tag)
        }).pipe(Effect.provide(layerClaude(simulator.url, options)), around)
      )
      const [first, ...rest] = come
      assert.deepInclude(first, { type: "text", text: "Hello" })
      assert.deepStrictEqual(rest, ["message_stop", true, "InvalidRequest"])
      for (const name of ["claude.client.active_requests", "claude.client.active_streams"]) {
        assert.strictEqual(total(all, name, "value"), 0)
      }
      assert.strictEqual(total(all, "claude.client.attempts", "value"), 7)
      const lost = (signal: string) =>
        total(all, "claude.telemetry.overflow", "value", {
          "claude.telemetry.signal": signal,
          "claude.telemetry.reason": "failed"
        })
      return { span: lost("span"), log: lost("log"), content: lost("content") }
    })

  const unchanged = <A>(self: A): A => self
  const retry = RetryPolicy.make({ initial: "5 millis" })

  it.live("loses what a hook throws on, and no call", () =>
    Effect.gen(function*() {
      const lost = yield* outcomes({ retry, telemetry: { content: { capture: broken } } }, unchanged)
      assert.deepStrictEqual(lost, { span: 0, log: 0, content: 3 })
    }))

  it.live("loses what a hook rejects, and no call", () =>
    Effect.gen(function*() {
      const rejecting = async () => broken()
      const lost = yield* outcomes({ retry, telemetry: { content: { capture: rejecting } } }, unchanged)
      assert.deepStrictEqual(lost, { span: 0, log: 0, content: 3 })
    }))

  for (const method of ["attribute", "event", "end", "span"] as const) {
    it.live(`loses what a tracer throws on, and no call (${method})`, () =>
      Effect.gen(function*() {
        const tracer = Tracer.make({
          span: (options) => {
            if (method === "span") broken()
            const span = new Tracer.NativeSpan(options)
            if (method === "attribute") span.attribute = broken
            if (method === "event") span.event = broken
            if (method === "end") span.end = broken
            return span
          }
        })
        const lost = yield* outcomes({ retry, telemetry: { content: { capture: "span" } } }, Effect.withTracer(tracer))
        assert.isAbove(lost.span, 0)
      }))
  }

  it.live("loses what a logger throws on, and no call", () =>
    Effect.gen(function*() {
      const loggers = new Set([Logger.make(broken)])
      const lost = yield* outcomes(
        { retry, telemetry: { content: { capture: "event" } } },
        Effect.provideService(Logger.CurrentLoggers, loggers)
      )
      assert.deepStrictEqual(lost, { span: 0, log: 7, content: 0 })
    }))

  it.live("tells the API of no span where that is switched off", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      yield* received(
        "json",
        play(simulator, { name: "off", options: { telemetry: { propagate: false } }, run: Claude.message(ask) })
      )
      const { entries } = yield* simulator.log
      assert.deepStrictEqual(entries.map(({ headers }) => headers["traceparent"]), [undefined])
    }))
})
