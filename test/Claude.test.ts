import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, expect, expectTypeOf, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { Claude, ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import { errorOf, layer, type Options, play, valueOf } from "./attempt/scripted.ts"

const request = { prompt: "Hi" }
const usage = (input_tokens: number, output_tokens: number) => ({ usage: { input_tokens, output_tokens } })
const billed = (input_tokens: number, output_tokens: number) => ({
  input_tokens,
  output_tokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0
})
const Person = Schema.Struct({ name: Schema.String, age: Schema.Int })
const ada = { name: "Ada", age: 36 }

/** What a request's body says, as far as these tests ask. */
interface Body {
  readonly model?: string
  readonly max_tokens?: number
  readonly stream?: boolean
  readonly messages: ReadonlyArray<{ readonly role: string; readonly content: string }>
  readonly output_config?: {
    readonly effort?: string
    readonly format?: { readonly type: string; readonly schema: object }
  }
}
const bodyOf = (sent: ScriptedTransport.Sent | undefined): Body => {
  assert.isDefined(sent)
  return sent.body as unknown as Body
}

const cuts = ["max_tokens", "model_context_window_exceeded", "refusal", "pause_turn"] as const

// -----------------------------------------------------------------------------

describe("message", () => {
  it.effect.each([...cuts, "end_turn", "stop_sequence", "tool_use"] as const)(
    "stopped by %s is a success",
    (reason) =>
      Effect.gen(function*() {
        const stopReason = Array.isArray(reason) ? reason[0] : reason
        const played = yield* play([Answer.text("so far", { stopReason })], Claude.message(request))
        assert.strictEqual(valueOf(played).stop_reason, stopReason)
      })
  )

  it.effect("has the request's id and its cost beside the SDK's fields", () =>
    Effect.gen(function*() {
      const message = valueOf(yield* play([Answer.text("a", usage(1_000_000, 100_000))], Claude.message(request)))
      assert.isString(message.requestId)
      assert.closeTo(message.cost?.amount ?? 0, 2 + 1, 1e-9)
      const unknown = valueOf(yield* play([Answer.text("a")], Claude.message({ ...request, model: "my-own-model" })))
      assert.isUndefined(unknown.cost)
    }))

  it.effect("is the same over either wire", () =>
    Effect.gen(function*() {
      const answer = Answer.content([
        { type: "thinking", thinking: "Hm", signature: "c2ln" },
        { type: "text", text: "Hello there" },
        { type: "tool_use", name: "go", id: "toolu_1", input: { a: [1, null, "x"] } }
      ], { id: "msg_1", ...usage(3, 4) })
      const sse = yield* play([answer], Claude.message(request))
      const json = yield* play([answer], Claude.message(request), { wire: "json" })
      assert.deepStrictEqual(valueOf(json), valueOf(sse))
      assert.deepStrictEqual([bodyOf(sse.sent[0]).stream, bodyOf(json.sent[0]).stream], [true, undefined])
    }))

  it.effect("a mistake in the request is told before anything is sent", () =>
    Effect.gen(function*() {
      const temperature = { ...request, temperature: 1 }
      for (
        const call of [
          Claude.message(temperature),
          Stream.runDrain(Claude.stream(temperature)),
          Claude.countTokens({ messages: [] })
        ]
      ) {
        const played = yield* play<unknown>([Answer.hello], call)
        assert.deepStrictEqual([errorOf(played).reason._tag, errorOf(played).attempts, played.sent.length], [
          "InvalidRequest",
          0,
          0
        ])
      }
    }))
})

describe("text", () => {
  it.effect.each(cuts)("that was stopped by %s is Incomplete, with what came", (reason) =>
    Effect.gen(function*() {
      const stopReason = Array.isArray(reason) ? reason[0] : reason
      const played = yield* play([Answer.text("so far", { stopReason, ...usage(3, 4) })], Claude.text(request))
      const error = errorOf(played)
      assert.deepStrictEqual(error.reason, new ClaudeError.Incomplete({ stopReason }))
      assert.deepStrictEqual([error._tag, error.retryHere, error.mayFailOver], ["ClaudeFatalError", false, false])
      assert.deepStrictEqual(error.usage, billed(3, 4))
      assert.strictEqual(error.partial?.stop_reason, stopReason)
      assert.include(error.message, stopReason)
      assert.strictEqual(played.sent.length, 1)
    }))

  it.effect("is all text blocks, and only those", () =>
    Effect.gen(function*() {
      const answer = Answer.content([
        { type: "thinking", thinking: "Hm" },
        { type: "text", text: "one " },
        { type: "tool_use", name: "go", input: {} },
        { type: "text", text: "two" }
      ])
      assert.strictEqual(valueOf(yield* play([answer], Claude.text(request))), "one two")
    }))
})

describe("object", () => {
  it.effect("asks for the schema, beside what else the request configures", () =>
    Effect.gen(function*() {
      const played = yield* play(
        [Answer.json(ada)],
        Claude.object(Person, { ...request, output_config: { effort: "low" } })
      )
      assert.deepStrictEqual(valueOf(played), ada)
      const { output_config } = bodyOf(played.sent[0])
      assert.deepStrictEqual([output_config?.effort, output_config?.format?.type], ["low", "json_schema"])
      assert.containsAllKeys(output_config?.format?.schema, ["type", "properties"])
    }))

  it.effect("that does not fit is sent back once, with what is wrong with it", () =>
    Effect.gen(function*() {
      const wrong = { name: "Ada", age: "thirty-six" }
      const played = yield* play([Answer.json(wrong), Answer.json(ada)], Claude.object(Person, request))
      assert.deepStrictEqual(valueOf(played), ada)
      assert.strictEqual(played.sent.length, 2)
      const [first, second, third] = bodyOf(played.sent[1]).messages
      assert.deepStrictEqual(first, { role: "user", content: "Hi" })
      assert.deepStrictEqual(second, { role: "assistant", content: JSON.stringify(wrong) })
      assert.strictEqual(third?.role, "user")
      assert.match(third?.content ?? "", /age/)
      assert.deepStrictEqual(bodyOf(played.sent[1]).output_config, bodyOf(played.sent[0]).output_config)
    }))

  it.effect("that does not fit again is SchemaMismatch, with the usage of both", () =>
    Effect.gen(function*() {
      const played = yield* play(
        [Answer.json({ name: 1 }, usage(10, 5)), Answer.json({ name: 2 }, usage(20, 7)), Answer.json(ada)],
        Claude.object(Person, request)
      )
      const error = errorOf(played)
      assert.deepStrictEqual([error.reason._tag, error._tag, error.type], [
        "SchemaMismatch",
        "ClaudeFatalError",
        "schema_mismatch"
      ])
      assert.match((error.reason as ClaudeError.SchemaMismatch).issue, /name/)
      assert.deepStrictEqual(error.usage, billed(30, 12))
      assert.isDefined(error.partial)
      assert.isString(error.requestId)
      assert.strictEqual(played.sent.length, 2)
    }))

  it.effect.each(["max_tokens", "refusal"] as const)(
    "stopped by %s is not asked for again",
    (reason) =>
      Effect.gen(function*() {
        const stopReason = Array.isArray(reason) ? reason[0] : reason
        const played = yield* play(
          [Answer.text("{\"name\":\"A", { stopReason }), Answer.json(ada)],
          Claude.object(Person, request)
        )
        const error = errorOf(played)
        assert.strictEqual(error.reason._tag === "SchemaMismatch" && error.reason.stopReason, stopReason)
        assert.include(error.message, stopReason)
        assert.strictEqual(played.sent.length, 1)
      })
  )

  const misfits: ReadonlyArray<readonly [what: string, answer: Answer.Answer]> = [
    ["an excess property", Answer.json({ ...ada, email: "a@b.c" })],
    ["a missing property", Answer.json({ name: "Ada" })],
    ["a fraction", Answer.json({ name: "Ada", age: 36.5 })],
    ["prose", Answer.text("Ada is 36.")],
    ["JSON in prose", Answer.text(`Here: ${JSON.stringify(ada)}`)],
    ["no text at all", Answer.content([{ type: "thinking", thinking: "Hm." }])]
  ]

  it.effect.each(misfits)(
    "%s does not fit",
    ([_, answer]) =>
      Effect.map(play([answer, Answer.json(ada)], Claude.object(Person, request)), (played) => {
        assert.deepStrictEqual(valueOf(played), ada)
        assert.strictEqual(played.sent.length, 2)
      })
  )

  it.effect("is corrected as often as the nearest policy says, else the layer", () =>
    Effect.gen(function*() {
      const asked = (options: Options, policy?: Claude.Policy) =>
        Effect.map(
          play(
            [Answer.json(null)],
            policy === undefined
              ? Claude.object(Person, request)
              : Claude.object(Person, request).pipe(Claude.withPolicy(policy)),
            options
          ),
          ({ sent }) => sent.length
        )
      assert.strictEqual(yield* asked({}), 2)
      assert.strictEqual(yield* asked({ repair: 0 }), 1)
      assert.strictEqual(yield* asked({ repair: 3 }), 4)
      assert.strictEqual(yield* asked({ repair: 3 }, { repair: 0 }), 1)
      assert.strictEqual(yield* asked({ repair: 3 }, { tags: {} }), 4)
    }))

  it.effect("fails as its calls fail, with what was billed before", () =>
    Effect.gen(function*() {
      const refused = errorOf(
        yield* play([Answer.json({}, usage(10, 5)), Answer.error(401)], Claude.object(Person, request))
      )
      assert.deepStrictEqual([refused.reason._tag, refused.usage], ["Authentication", billed(10, 5)])
      const cut = Answer.errorEvent(
        "invalid_request_error",
        "no",
        { afterEvents: 4 },
        Answer.text("a b c", usage(20, 7))
      )
      const broken = errorOf(yield* play([Answer.json({}, usage(10, 5)), cut], Claude.object(Person, request)))
      assert.strictEqual(broken.usage?.input_tokens, 30)
      assert.strictEqual(errorOf(yield* play([Answer.error(401)], Claude.object(Person, request))).usage, undefined)
    }))

  it.effect("keeps a class, and decodes as its schema says", () =>
    Effect.gen(function*() {
      class Trip extends Schema.Class<Trip>("Trip")({ to: Schema.String, days: Schema.FiniteFromString }) {}
      const trip = valueOf(yield* play([Answer.json({ to: "Zürich", days: "3" })], Claude.object(Trip, request)))
      assert.isTrue(trip instanceof Trip)
      assert.strictEqual(trip.days, 3)
    }))
})

describe("countTokens", () => {
  it.effect("counts, and takes a message's request", () =>
    Effect.gen(function*() {
      const played = yield* play(
        [Answer.error(529), Answer.hello],
        Claude.countTokens({ ...request, stop_sequences: ["x"] } as Claude.CountTokensRequest)
      )
      assert.isAbove(valueOf(played), 0)
      assert.deepStrictEqual(played.sent.map(({ path }) => path), [
        "/v1/messages/count_tokens",
        "/v1/messages/count_tokens"
      ])
      assert.hasAllKeys(played.sent[1]?.body, ["model", "messages"])
    }))

  it.effect.each(
    [
      ["no JSON", Answer.raw(["nope"], { contentType: "application/json" })],
      ["no count", Answer.raw(["{\"tokens\":1}"], { contentType: "application/json" })],
      ["a page", Answer.garbage("html")]
    ] as const
  )(
    "%s is InvalidResponse",
    ([_, answer]) =>
      Effect.map(play([answer], Claude.countTokens(request), { retry: RetryPolicy.none }), (played) => {
        assert.strictEqual(errorOf(played).reason._tag, "InvalidResponse")
      })
  )
})

// -----------------------------------------------------------------------------

describe("stream", () => {
  const early: ReadonlyArray<readonly [what: string, answer: Answer.Answer]> = [
    ["a status", Answer.error(529)],
    ["a reset before the headers", Answer.reset("beforeHeaders")],
    ["a reset after the headers", Answer.reset("afterHeaders")],
    ["an end before content", Answer.truncate({ afterEvents: 2 })],
    ["an error event before content", Answer.errorEvent("overloaded_error", "Overloaded", { afterEvents: 2 })],
    ["silence before content", Answer.stall({ afterEvents: 2 })],
    ["pings before content", Answer.pings("1 second", { afterEvents: 2 })],
    ["a page of HTML", Answer.garbage("html")]
  ]

  it.effect.each(early)("hides from its consumer that %s was retried", ([_, answer]) =>
    Effect.gen(function*() {
      const played = yield* play([answer, Answer.text("a b", { chunk: 1 })], Stream.runCollect(Claude.stream(request)))
      assert.deepStrictEqual(valueOf(played).map(({ type }) => type), [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop"
      ])
      assert.strictEqual(played.sent.length, 2)
    }))

  const late: ReadonlyArray<readonly [what: string, answer: Answer.Answer, reason: string]> = [
    ["ends", Answer.truncate({ afterEvents: 4 }, Answer.text("one two three")), "StreamInterrupted"],
    ["is reset", Answer.reset({ afterEvents: 4 }, Answer.text("one two three")), "StreamInterrupted"],
    [
      "says that it is overloaded",
      Answer.errorEvent(
        "overloaded_error",
        "Overloaded",
        { afterEvents: 4 },
        Answer.text("one two three", { pace: 1 })
      ),
      "Overloaded"
    ],
    ["falls silent", Answer.stall({ afterEvents: 4 }, Answer.text("one two three")), "TimedOut"]
  ]

  it.effect.each(late)(
    "that %s after its content fails with what had arrived",
    ([_, answer, reason]) =>
      Effect.gen(function*() {
        const seen: Array<Claude.StreamEvent> = []
        const call = Stream.runForEach(Claude.stream(request), (event) => Effect.sync(() => void seen.push(event)))
        const played = yield* play([Answer.delay("1 second", answer), Answer.hello], call)
        const error = errorOf(played)
        assert.deepStrictEqual([error.reason._tag, error.attempts, played.sent.length], [
          reason as typeof error.reason._tag,
          1,
          1
        ])
        const block = error.partial?.content[0]
        assert.match(block?.type === "text" ? block.text : "", /^one/)
        assert.isAbove(error.usage?.input_tokens ?? 0, 0)
        assert.isAbove(seen.filter(({ type }) => type === "content_block_delta").length, 0)
      })
  )

  it.effect("is quiet about pings, and ends with its receipt", () =>
    Effect.gen(function*() {
      const events = valueOf(yield* play([Answer.text("a b c")], Stream.runCollect(Claude.stream(request))))
      assert.notInclude(events.map(({ type }) => type as string), "ping")
      const last = events.at(-1)
      assert.isTrue(last?.type === "message_stop" && typeof last.requestId === "string" && last.cost !== undefined)
    }))

  it.effect("collected is the message", () =>
    Effect.gen(function*() {
      const answer = Answer.tool("go", { to: "Zürich" }, {
        text: "Off we go",
        id: "msg_1",
        toolUseId: "toolu_1",
        ...usage(3, 4)
      })
      const collected = yield* play([answer], Claude.collect(Claude.stream(request)))
      assert.deepStrictEqual(valueOf(collected), valueOf(yield* play([answer], Claude.message(request))))
    }))

  it.effect("passes on what it does not know", () =>
    Effect.gen(function*() {
      const odd = { type: "content_block_sparkle", index: 0, sparkle: true }
      const start = {
        type: "message_start",
        message: {
          id: "m",
          type: "message",
          role: "assistant",
          model: "x",
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 1, output_tokens: 1 }
        }
      }
      const block = { type: "content_block_start", index: 0, content_block: { type: "hologram", data: [1] } }
      const delta = { type: "content_block_delta", index: 0, delta: { type: "hologram_delta", x: 1 } }
      const stop = { type: "message_stop" }
      const played = yield* play(
        [Answer.events([start, odd, block, delta, stop])],
        Stream.runCollect(Claude.stream(request))
      )
      assert.deepStrictEqual(valueOf(played).slice(0, 4) as ReadonlyArray<unknown>, [start, odd, block, delta])
    }))
})

describe("streamText", () => {
  it.effect.each(cuts)("stopped by %s delivers what came, then is Incomplete", (reason) =>
    Effect.gen(function*() {
      const stopReason = Array.isArray(reason) ? reason[0] : reason
      const seen: Array<string> = []
      const call = Stream.runForEach(Claude.streamText(request), (text) => Effect.sync(() => void seen.push(text)))
      const played = yield* play([Answer.text("so far so good", { stopReason })], call)
      assert.deepStrictEqual(errorOf(played).reason, new ClaudeError.Incomplete({ stopReason }))
      assert.strictEqual(seen.join(""), "so far so good")
    }))

  it.effect("ends with what ends well, and leaves out thinking and tools", () =>
    Effect.gen(function*() {
      const answer = Answer.content([
        { type: "thinking", thinking: "Hm" },
        { type: "text", text: "one two" },
        { type: "tool_use", name: "go", input: { a: 1 } }
      ])
      assert.strictEqual(
        valueOf(yield* play([answer], Stream.runCollect(Claude.streamText(request)))).join(""),
        "one two"
      )
    }))

  it.effect("without any text is empty", () =>
    Effect.map(
      play(
        [Answer.content([{ type: "tool_use", name: "go", input: {} }])],
        Stream.runCollect(Claude.streamText(request))
      ),
      (played) => {
        assert.deepStrictEqual(valueOf(played), [])
      }
    ))
})

describe("onBreak: \"restart\"", () => {
  const broken = (text: string) => Answer.truncate({ afterEvents: 4 }, Answer.text(text))
  const restarting = Claude.stream(request).pipe(Claude.withPolicy({ onBreak: "restart" }))

  it.effect("emits a restart event and begins again", () =>
    Effect.gen(function*() {
      const played = yield* play(
        [broken("one two three"), Answer.text("done", { chunk: 10 })],
        Stream.runCollect(restarting)
      )
      const events = valueOf(played)
      const at = events.findIndex(({ type }) => type === "restart")
      const restart = events[at]
      assert.isTrue(
        restart?.type === "restart" && restart.attempt === 2 && restart.error.reason._tag === "StreamInterrupted"
      )
      assert.isAbove(at, 2)
      assert.deepStrictEqual(events.slice(at + 1).map(({ type }) => type), [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop"
      ])
    }))

  it.effect("collected is the last message", () =>
    Effect.gen(function*() {
      const played = yield* play(
        [broken("one two three"), broken("four five six"), Answer.text("done")],
        Claude.collect(restarting)
      )
      assert.deepStrictEqual(valueOf(played).content, [{ type: "text", text: "done", citations: null }])
    }))

  it.effect("is bounded by the retry policy", () =>
    Effect.gen(function*() {
      let restarts = 0
      const call = Stream.runForEach(restarting, (event) =>
        Effect.sync(() => {
          if (event.type === "restart") restarts++
        }))
      const played = yield* play([broken("one two three")], call, { retry: RetryPolicy.make({ times: 2 }) })
      assert.deepStrictEqual([restarts, errorOf(played).attempts, errorOf(played).reason._tag], [
        2,
        3,
        "StreamInterrupted"
      ])
      const none = yield* play([broken("one two three")], Stream.runDrain(restarting), { retry: RetryPolicy.none })
      assert.strictEqual(errorOf(none).attempts, 1)
    }))
})

// -----------------------------------------------------------------------------

describe("withPolicy", () => {
  it("keeps the types of what it is put around", () => {
    const effect = Effect.andThen(Claude.message(request), Effect.fail("mine" as const))
    expectTypeOf(effect.pipe(Claude.withPolicy({ wire: "json" }))).toEqualTypeOf(effect)
    const stream = Stream.map(Claude.streamText(request), (text) => text.length)
    expectTypeOf(stream.pipe(Claude.withPolicy({ wire: "json" }))).toEqualTypeOf(stream)
    expectTypeOf(Claude.message(request)).toEqualTypeOf<
      Effect.Effect<Claude.Message, ClaudeError.ClaudeError, Claude.Claude>
    >()
    expectTypeOf(Claude.stream(request)).toEqualTypeOf<
      Stream.Stream<Claude.StreamEvent, ClaudeError.ClaudeError, Claude.Claude>
    >()
    expectTypeOf(Claude.object(Person, request)).toEqualTypeOf<
      Effect.Effect<{ readonly name: string; readonly age: number }, ClaudeError.ClaudeError, Claude.Claude>
    >()
  })

  it.effect("of the nearest wins, field by field, over an Effect and over a Stream", () =>
    Effect.gen(function*() {
      const nested = <A extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(
        call: A
      ) =>
        call.pipe(
          Claude.withPolicy({ timeouts: { headers: "2 seconds" }, retry: undefined }),
          Claude.withPolicy({ retry: RetryPolicy.none, timeouts: { headers: "9 seconds", idle: "3 seconds" } })
        ) as A
      for (
        const call of [Effect.asVoid(nested(Claude.message(request))), Stream.runDrain(nested(Claude.stream(request)))]
      ) {
        const options: Options = { timeouts: { idle: "20 seconds", firstContent: "4 seconds" } }
        const headers = yield* play([Answer.stall("beforeHeaders")], call, options)
        assert.deepStrictEqual([headers.end, headers.sent.length], [2_000, 1])
        const idle = yield* play([Answer.stall("midStream")], call, options)
        assert.deepStrictEqual([idle.end, idle.sent.length], [3_000, 1])
        const content = yield* play([Answer.pings("1 second")], call, options)
        assert.deepStrictEqual([content.end, content.sent.length], [4_000, 1])
      }
    }))

  it.effect("reaches all calls inside and none outside", () =>
    Effect.gen(function*() {
      const call = Effect.andThen(
        Effect.all([Claude.text(request), Claude.text(request)]).pipe(Claude.withPolicy({ wire: "json" })),
        Claude.text(request)
      )
      const played = yield* play([Answer.hello], call)
      assert.deepStrictEqual(played.sent.map((sent) => bodyOf(sent).stream), [undefined, undefined, true])
    }))

  it.effect("refuses what it does not know, by its name", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [option: string, policy: object]> = [
        ["retries", { retries: 3 }],
        ["concurrency", { concurrency: 3 }],
        ["wire", { wire: "xml" }],
        ["onBreak", { onBreak: "ignore" }],
        ["repair", { repair: -1 }],
        ["retry", { retry: 3 }]
      ]
      for (const [option, policy] of wrong) {
        for (
          const call of [Claude.text(request), Stream.runDrain(Claude.stream(request)), Claude.countTokens(request)]
        ) {
          const played = yield* play<unknown>([Answer.hello], call.pipe(Claude.withPolicy(policy)))
          assert.deepStrictEqual(errorOf(played).reason, new ClaudeError.Misconfigured({ option }))
          assert.deepStrictEqual(played.sent, [])
        }
      }
    }))
})

describe("concurrency", () => {
  it.effect("a call that is interrupted frees its permit, its stream's consumer too", () =>
    Effect.gen(function*() {
      const scripted = yield* ScriptedTransport.ScriptedTransport
      for (const call of [Effect.asVoid(Claude.text(request)), Stream.runDrain(Claude.stream(request))]) {
        const before = (yield* scripted.sent).length
        const holder = yield* Effect.forkChild(call)
        yield* TestClock.adjust("1 second")
        const waiter = yield* Effect.forkChild(call)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* scripted.sent).length, before + 1)
        yield* Fiber.interrupt(holder)
        yield* TestClock.adjust("1 second")
        const sent = yield* scripted.sent
        assert.strictEqual(sent.length, before + 2)
        assert.isDefined(sent[before]?.closedAt)
        yield* Fiber.interrupt(waiter)
      }
      const waiting = yield* Effect.forkChild(Claude.text(request))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* scripted.sent).length, 5)
      yield* Fiber.interrupt(waiting)
    }).pipe(Effect.provide(layer([Answer.stall("midStream")], { concurrency: 1 }))))

  it.effect("a stream that ended frees its permit before its consumer has seen its end", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<string>()
      yield* Claude.stream(request).pipe(
        Stream.filter((event) => event.type === "message_stop"),
        Stream.runForEach(() => Effect.flatMap(Claude.text(request), (text) => Deferred.succeed(done, text)))
      )
      assert.strictEqual(yield* Deferred.await(done), "a")
    }).pipe(Effect.provide(layer([Answer.text("a")], { concurrency: 1 }))))
})

// -----------------------------------------------------------------------------

describe("layer", () => {
  const refused: ReadonlyArray<readonly [option: string, options: object]> = [
    ["apiKey", {}],
    ["apiKey", { apiKey: Redacted.make("") }],
    ["apiKey", { apiKey: Redacted.make("  ") }],
    ["apiKey", { apiKey: Redacted.make("sk-a\nb") }],
    ["apiKey", { apiKey: Redacted.make("sk-ключ") }],
    ["baseURL", { baseURL: "nonsense" }],
    ["baseURL", { baseURL: "ftp://files.invalid" }],
    ["baseURL", { baseURL: "" }],
    ["concurrency", { concurrency: 0 }],
    ["concurrency", { concurrency: 1.5 }],
    ["concurrency", { concurrency: Number.NaN }],
    ["wire", { wire: "xml" }],
    ["onBreak", { onBreak: "retry" }],
    ["repair", { repair: -1 }],
    ["retry", { retry: "twice" }],
    ["timeouts.total", { timeouts: { total: 0 } }],
    ["defaults.max_tokens", { defaults: { max_tokens: 0 } }],
    ["maxRetries", { maxRetries: 3 }],
    ["tenant", { tenant: "acme" }]
  ]

  it.effect.each(refused)("refuses %s, by its name (%#)", ([option, options]) =>
    Effect.gen(function*() {
      const apiKey = option === "apiKey" ? undefined : Redacted.make("sk-secret")
      const error = yield* Effect.flip(
        Effect.provide(Effect.void, Claude.layer({ ...(apiKey && { apiKey }), ...options }))
      )
      assert.deepStrictEqual(error.reason, new ClaudeError.Misconfigured({ option: option as string }))
      assert.include(error.message, (option as string).split(".")[0] as string)
      assert.notInclude(error.message, "sk-")
    }))
})

describe("layerConfig", () => {
  const env = (variables: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromUnknown(variables))
  const from = (variables: Record<string, string>) =>
    Layer.fresh(Claude.layerConfig).pipe(Layer.provide(env(variables)))

  it.live("reads the environment", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      const configured = from({
        ANTHROPIC_API_KEY: "sk-from-env",
        ANTHROPIC_BASE_URL: simulator.url,
        CLAUDE_MODEL: "claude-haiku-5-5",
        CLAUDE_MAX_TOKENS: "77",
        CLAUDE_MAX_CONCURRENCY: "1",
        CLAUDE_MAX_RETRIES: "1",
        CLAUDE_TOTAL_TIMEOUT: "20 seconds",
        CLAUDE_IDLE_TIMEOUT: "100 millis"
      })
      yield* Effect.gen(function*() {
        yield* Effect.all([Claude.text(request), Claude.text(request)], { concurrency: 2 })
        const { entries, maxInFlight } = yield* simulator.log
        const body = entries[0]?.body as Body
        assert.deepStrictEqual([body.model, body.max_tokens, maxInFlight], ["claude-haiku-5-5", 77, 1])
        yield* simulator.reset
        yield* simulator.script(() => Answer.stall("afterHeaders"))
        const error = yield* Effect.flip(Claude.text(request))
        assert.deepStrictEqual(error.reason, new ClaudeError.TimedOut({ phase: "idle" }))
        assert.strictEqual(error.attempts, 2)
      }).pipe(Effect.provide(configured))
    }))

  it.live("needs nothing but the key", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      const configured = from({ ANTHROPIC_API_KEY: "sk-from-env", ANTHROPIC_BASE_URL: simulator.url })
      assert.isString(yield* Effect.provide(Claude.text({ ...request, model: "claude-sonnet-5-5" }), configured))
      const error = yield* Effect.flip(Effect.provide(Claude.text(request), configured))
      assert.deepStrictEqual("reason" in error && error.reason, new ClaudeError.InvalidRequest({ field: "model" }))
    }))

  const malformed: ReadonlyArray<readonly [name: string, value: string]> = [
    ["CLAUDE_MAX_TOKENS", "many"],
    ["CLAUDE_MAX_TOKENS", "1.5"],
    ["CLAUDE_MAX_CONCURRENCY", "all"],
    ["CLAUDE_MAX_RETRIES", "-1"],
    ["CLAUDE_MAX_RETRIES", "often"],
    ["CLAUDE_TOTAL_TIMEOUT", "soon"],
    ["CLAUDE_IDLE_TIMEOUT", "5 parsecs"]
  ]

  it.effect.each(malformed)("%s=%s is a ConfigError that names it", ([name, value]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.provide(Effect.void, from({ ANTHROPIC_API_KEY: "sk-secret", [name as string]: value as string }))
      )
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(String(error.message), name)
      assert.notInclude(String(error.message), "sk-secret")
    }))

  it.effect("a key that is missing is Misconfigured, and says where to set it", () =>
    Effect.gen(function*() {
      for (const environment of [{}, { ANTHROPIC_API_KEY: "" }]) {
        const error = yield* Effect.flip(Effect.provide(Effect.void, from(environment)))
        assert.strictEqual(error._tag, "ClaudeFatalError")
        assert.include(error.message, "ANTHROPIC_API_KEY")
        assert.include(error.message, "apiKey")
      }
    }))

  it.effect("a client or a key of the program's own needs none in the environment", () =>
    Effect.gen(function*() {
      const client = new Anthropic({ apiKey: "own", maxRetries: 0 })
      const empty = ConfigProvider.layer(ConfigProvider.fromUnknown({ CLAUDE_MODEL: "claude-opus-5-5" }))
      for (const options of [{ client }, { apiKey: Redacted.make("own") }]) {
        yield* Effect.provide(Effect.void, Claude.layerConfigWith(options).pipe(Layer.provide(empty)))
      }
    }))

  it.effect("an option that is left undefined takes nothing from the environment", () =>
    Effect.gen(function*() {
      const environment = ConfigProvider.layer(ConfigProvider.fromUnknown({ ANTHROPIC_API_KEY: "own" }))
      yield* Effect.provide(
        Effect.void,
        Claude.layerConfigWith({ apiKey: undefined, defaults: { model: undefined } }).pipe(Layer.provide(environment))
      )
    }))

  it.effect("a value that no client takes is Misconfigured", () =>
    Effect.gen(function*() {
      const values: ReadonlyArray<readonly [string, Record<string, string>]> = [
        ["apiKey", { ANTHROPIC_API_KEY: "  " }],
        ["baseURL", { ANTHROPIC_BASE_URL: "localhost" }],
        ["concurrency.max", { CLAUDE_MAX_CONCURRENCY: "0" }],
        ["defaults.max_tokens", { CLAUDE_MAX_TOKENS: "0" }],
        ["timeouts.total", { CLAUDE_TOTAL_TIMEOUT: "0 seconds" }]
      ]
      for (const [option, variables] of values) {
        const error = yield* Effect.flip(
          Effect.provide(Effect.void, from({ ANTHROPIC_API_KEY: "sk-secret", ...variables }))
        )
        assert.strictEqual(
          error._tag === "ClaudeFatalError" && error.reason._tag === "Misconfigured" && error.reason.option,
          option
        )
      }
    }))
})

// -----------------------------------------------------------------------------

describe("the public surface", () => {
  const names = async (entry: Promise<object>) => {
    const surface: Record<string, ReadonlyArray<string>> = {}
    for (const [name, value] of Object.entries(await entry)) {
      const isNamespace = typeof value === "object" && value !== null && value[Symbol.toStringTag] === "Module"
      surface[name] = isNamespace ? Object.keys(value).toSorted() : []
    }
    return Object.entries(surface).map(([name, members]) => [name, ...members].join(" ")).toSorted()
  }

  it("of effect-claude is what is listed here", async () => {
    expect(await names(import("effect-claude"))).toMatchInlineSnapshot(`
      [
        "CacheStore Store isMessage layer layerMemory memory",
        "Claude Claude collect countTokens layer layerConfig layerConfigWith layerTransport make message object stream streamObject streamText text usage withPolicy",
        "ClaudeError Authentication BudgetExceeded CircuitOpen ClaudeError ClaudeFatalError ClaudeRetryableError ConnectionFailed DeadlineExceeded Incomplete InvalidRequest InvalidResponse Misconfigured NotFound Overloaded PermissionDenied QueueFull RateLimited RequestTooLarge SchemaMismatch ServerError SpendLimit StreamInterrupted TimedOut Usage isClaudeError",
        "Cost add componentNames nothing of",
        "Pricing fromFile fromJson lookup make merge standard version",
        "PromptCache mark",
        "RetryPolicy fromSchedule make none standard",
        "Stores Budgets Circuits Limits REMEMBERED_MILLIS Usage",
        "Transport Transport",
      ]
    `)
  })

  it("of effect-claude/testing is what is listed here", async () => {
    expect(await names(import("effect-claude/testing"))).toMatchInlineSnapshot(`
      [
        "Answer close content delay drip error errorEvent events garbage hello json message object pings raw reset stall text thinking tool truncate",
        "ClaudeSimulator ClaudeSimulator layer layerClaude make",
        "ScriptedTransport ScriptedTransport layer make",
      ]
    `)
  })

  it("of effect-claude/telemetry is what is listed here", async () => {
    expect(await names(import("effect-claude/telemetry"))).toMatchInlineSnapshot(`
      [
        "PrometheusServer",
        "PrometheusServerError",
        "formatPrometheus",
        "layerConsole",
        "layerOtlp",
        "layerOtlpConfig",
        "layerOtlpSerialization",
        "layerPrometheus",
        "prometheusContentType",
      ]
    `)
  })

  it("of effect-claude/opentelemetry is what is listed here", async () => {
    expect(await names(import("effect-claude/opentelemetry"))).toMatchInlineSnapshot(`
      [
        "layer",
        "layerTracer",
        "makeMetricProducer",
      ]
    `)
  })
})
