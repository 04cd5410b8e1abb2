import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, type ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import { asked, hi, reason, sent, settle, setUp, start } from "./setUp.ts"

const first = "claude-opus-5-5"
const second = "claude-haiku-4-5"

/** Two models, and what each answers. */
const two = (of: Record<"first" | "second", Answer.Answer>, options: Parameters<typeof setUp>[1] = {}) => {
  const answers: ScriptedTransport.Answers = ({ body }) =>
    "model" in body && body.model === first ? of.first : of.second
  return setUp(answers, { fallback: [second], circuit: false, ...options }).layer
}

const ok = Answer.text("ok")
const overloaded = Answer.error(529)

describe("the next target", () => {
  it.effect("is asked where a retry here could not end in time", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Claude.text(hi), "ok")
    }).pipe(Effect.provide(two({ first: overloaded, second: ok }, {
      timeouts: { total: "3 seconds" },
      retry: RetryPolicy.make({ times: 4, initial: "5 seconds" })
    }))))

  it.effect("is asked where the turn here could not come in time", () =>
    Effect.gen(function*() {
      yield* Effect.repeat(Claude.text(hi), { times: 1 })
      assert.deepStrictEqual(yield* asked, [first, second])
    }).pipe(Effect.provide(two({ first: ok, second: ok }, {
      timeouts: { total: "10 seconds" },
      rateLimits: { models: { [first]: { requests: 1 } } }
    }))))

  it.effect("is another than the one that was asked", () =>
    Effect.gen(function*() {
      yield* Effect.flip(Claude.text(hi))
      assert.deepStrictEqual(yield* asked, [first, second])
    }).pipe(Effect.provide(two({ first: overloaded, second: overloaded }, { fallback: [first, second, second] }))))

  it.effect("gets no more thinking than its shorter answer holds", () =>
    Effect.gen(function*() {
      yield* Claude.message({ ...hi, max_tokens: 128_000, thinking: { type: "enabled", budget_tokens: 100_000 } })
      const body: object = (yield* sent).at(-1)!.body
      assert.deepInclude(body, { max_tokens: 64_000, thinking: { type: "enabled", budget_tokens: 50_000 } })
    }).pipe(Effect.provide(two({ first: overloaded, second: ok }))))

  it.effect("serves a stream that may begin again and has no retries left", () =>
    Effect.gen(function*() {
      const events = yield* start(Stream.runCollect(Claude.stream(hi)))
      yield* settle
      yield* TestClock.adjust("20 seconds")
      const all = yield* Fiber.join(events)
      assert.strictEqual(all.filter(({ type }) => type === "restart").length, 1)
      assert.strictEqual(all.at(-1)?.type, "message_stop")
      assert.deepStrictEqual(yield* asked, [first, second])
    }).pipe(Effect.provide(two({
      first: Answer.reset("midStream", Answer.text("a b c d", { pace: "1 second" })),
      second: ok
    }, { onBreak: "restart" }))))
})

describe("where no target serves", () => {
  it.effect("a spend limit is not hidden by a target that is not there", () =>
    Effect.gen(function*() {
      assert.strictEqual(reason(yield* Effect.flip(Claude.message(hi))), "SpendLimit")
    }).pipe(Effect.provide(two({ first: Answer.error(402), second: Answer.error(404) }))))

  it.effect("a refusal is what the span tells, and who refused", () => {
    const { layer, observed } = setUp(
      ({ body }) =>
        "model" in body && body.model === first
          ? Answer.text("no", { stopReason: "refusal" })
          : Answer.error(500),
      { fallback: [second], onRefusal: "fallback", circuit: false }
    )
    return Effect.gen(function*() {
      yield* Claude.message(hi)
      const span = observed.spans.find(({ name }) => name.startsWith("chat"))!
      assert.strictEqual(span.attributes.get("gen_ai.response.model"), first)
      assert.deepStrictEqual(span.attributes.get("gen_ai.response.finish_reasons"), ["refusal"])
      assert.isUndefined(span.attributes.get("claude.fallback.served_by"))
    }).pipe(Effect.provide(layer))
  })

  it.effect("a refusal is still the answer", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Claude.message(hi)).stop_reason, "refusal")
    }).pipe(Effect.provide(
      two({ first: Answer.text("no", { stopReason: "refusal" }), second: Answer.error(500) }, { onRefusal: "fallback" })
    )))

  it.effect.each(
    [
      ["a model without a price, under a budget", {
        fallback: ["my-own-model"],
        budget: [{ usd: 10, window: "1 day" }]
      }],
      ["a model that is there no more", {}]
    ] as const
  )("%s hides no failure that may pass", ([, options]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Claude.message(hi))
      assert.strictEqual(reason(error), "Overloaded")
      assert.match(error.message, /Then (my-own-model|claude-haiku-4-5) was asked, too: /u)
    }).pipe(Effect.provide(two({ first: overloaded, second: Answer.error(404) }, options))))
})
