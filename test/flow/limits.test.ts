import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as Stores from "../../src/admission/Stores.ts"
import * as memoryLimits from "../redis/memoryLimits.ts"
import { hi, reason, sent, settle, setUp, start } from "./setUp.ts"

const told = (reset: string) => ({
  "anthropic-ratelimit-requests-limit": "50",
  "anthropic-ratelimit-requests-remaining": "0",
  "anthropic-ratelimit-requests-reset": reset
})

describe("a 429", () => {
  it.effect("is waited for until the reset that its headers tell", () => {
    const { layer } = setUp(
      (_, n) => n === 0 ? Answer.error(429, { headers: told("1970-01-01T00:00:30Z") }) : Answer.text("ok"),
      { circuit: false }
    )
    return Effect.gen(function*() {
      yield* Effect.flip(Claude.text(hi))
      const next = yield* start(Claude.text(hi))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* sent).length, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), "ok")
    }).pipe(Effect.provide(layer))
  })

  it.effect.each(
    [
      ["a reset in another century", { headers: told("2099-01-01T00:00:00Z") }],
      ["a retry-after of ten days", { retryAfter: "10 days" }]
    ] as const
  )("with %s does not end the client", ([, options]) => {
    const { layer } = setUp((_, n) => n === 0 ? Answer.error(429, options) : Answer.text("ok"), { circuit: false })
    return Effect.gen(function*() {
      yield* Effect.flip(Claude.text(hi))
      const next = yield* start(Claude.text(hi).pipe(Claude.withPolicy({ timeouts: { total: "1 hour" } })))
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* Fiber.join(next), "ok")
    }).pipe(Effect.provide(layer))
  })
})

it.effect("a call whose turn would come too late says so, and when to come again", () => {
  const { layer } = setUp(() => Answer.text("ok"), { rateLimits: { requests: 1 }, timeouts: { total: "10 seconds" } })
  return Effect.gen(function*() {
    yield* Claude.text(hi)
    const error = yield* Effect.flip(Claude.text(hi))
    assert.strictEqual(reason(error), "DeadlineExceeded")
    assert.strictEqual(
      error.message,
      "Its turn would come, as the rate limits allow, in 1m at the earliest, which is past the call's total timeout. " +
        "Try again then, raise timeouts.total, or name another target in fallback."
    )
    assert.isDefined(error.retryAfter)
  }).pipe(Effect.provide(layer))
})

it.effect("who waits when the client closes is told so", () =>
  Effect.gen(function*() {
    const { layer } = setUp(() => Answer.text("ok"), { rateLimits: { requests: 1 }, timeouts: { total: "5 minutes" } })
    const scope = yield* Scope.make()
    const client = yield* Layer.buildWithScope(layer, scope)
    yield* Effect.provide(Claude.text(hi), client)
    const waiting = yield* start(Effect.flip(Effect.provide(Claude.text(hi), client)))
    yield* settle
    yield* Scope.close(scope, Exit.void)
    assert.match((yield* Fiber.join(waiting)).message, /^This client is closed/u)
    const late = yield* Effect.flip(Effect.provide(Claude.text(hi), client))
    assert.match(late.message, /^This client is closed/u)
  }))

describe("limits that are shared", () => {
  const store = Effect.provide(Effect.map(Stores.Limits, (store) => store!), memoryLimits.layer)
  const over = (store: Stores.LimitStore) => Layer.provide(Layer.succeed(Stores.Limits, store))

  it.effect("make nobody ask in a loop while a pause lasts that the store has forgotten", () =>
    Effect.gen(function*() {
      let takes = 0
      const own = yield* store
      const forgetful: Stores.LimitStore = {
        ...own,
        pause: () => Effect.void,
        take: (...question) => Effect.andThen(settle, Effect.suspend(() => (takes++, own.take(...question))))
      }
      const { layer } = setUp(
        (_, n) => n === 0 ? Answer.error(429, { retryAfter: "30 seconds" }) : Answer.text("ok"),
        { circuit: false, rateLimits: { requests: 1_000 } }
      )
      yield* Effect.gen(function*() {
        yield* Effect.flip(Claude.text(hi))
        const before = takes
        const next = yield* start(Claude.text(hi))
        yield* Effect.repeat(settle, { times: 5 })
        assert.strictEqual(takes, before)
        yield* TestClock.adjust("30 seconds")
        yield* settle
        assert.strictEqual(yield* Fiber.join(next), "ok")
      }).pipe(Effect.provide(over(forgetful)(layer)))
    }))

  it.effect("are paused for all by a 429 that one of them gets", () =>
    Effect.gen(function*() {
      const shared = yield* store
      let refuses = true
      const client = Effect.suspend(() =>
        Layer.build(Layer.fresh(
          over(shared)(
            setUp(() => refuses ? Answer.error(429, { retryAfter: "30 seconds" }) : Answer.text("ok"), {
              circuit: false,
              rateLimits: { requests: 1_000 }
            }).layer
          )
        ))
      )
      const [one, other] = [yield* client, yield* client]
      yield* Effect.flip(Effect.provide(Claude.text(hi), one))
      refuses = false
      yield* settle
      const waits = yield* start(Effect.provide(Claude.text(hi), other))
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(waits.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(yield* Fiber.join(waits), "ok")
    }).pipe(Effect.scoped))

  it.effect("serve who need not wait, also where nobody may", () =>
    Effect.gen(function*() {
      const { layer } = setUp(() => Answer.text("ok"), { queue: 0, rateLimits: { requests: 100 } })
      assert.strictEqual(yield* Effect.provide(Claude.text(hi), over(yield* store)(layer)), "ok")
    }))

  it.live("are each account's own at one server", () =>
    Effect.gen(function*() {
      const own = yield* store
      const keys = new Set<string>()
      const counted: Stores.LimitStore = {
        ...own,
        take: (key, ...rest) => {
          keys.add(key)
          return own.take(key, ...rest)
        }
      }
      const client = (apiKey: string, status: number) =>
        new Anthropic({
          apiKey,
          baseURL: "https://api.example.invalid",
          fetch: async () =>
            Response.json(
              status === 529 ? { type: "error", error: { type: "overloaded_error", message: "busy" } } : message,
              { status }
            )
        })
      const layer = Claude.layer({
        client: client("one", 529),
        defaults: { model: "claude-opus-5-5" },
        wire: "json",
        retry: RetryPolicy.none,
        rateLimits: { requests: 100 },
        fallback: [{ client: client("other", 200) }]
      })
      assert.strictEqual(yield* Effect.provide(Claude.text(hi), over(counted)(layer)), "ok")
      assert.strictEqual(keys.size, 2)
      assert.isFalse([...keys].some((key) => /one|other/u.test(key)))
    }))
})

const message = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-opus-5-5",
  content: [{ type: "text", text: "ok" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 }
}
