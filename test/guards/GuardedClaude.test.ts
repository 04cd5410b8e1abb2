import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { ClaudeLanguageModel } from "effect-claude/ai"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { inspect } from "node:util"
import { Guard, Pii } from "../../src/guards/index.ts"
import { sent, setUp } from "../flow/setUp.ts"

const guarded = (
  answers: Parameters<typeof setUp>[0],
  guards: Guard.LayerOptions,
  options: Parameters<typeof setUp>[1] = {}
) => {
  const { layer, observed } = setUp(answers, options)
  const claude = Guard.layer(guards).pipe(Layer.provideMerge(layer))
  const model = ClaudeLanguageModel.layer({ model: "claude-opus-5-5" }).pipe(Layer.provideMerge(claude))
  return { observed, layer: model }
}

const Send = Tool.make("Send", {
  parameters: Schema.Struct({ to: Schema.String, copies: Schema.Int }),
  success: Schema.String
})
const Tools = Toolkit.make(Send)

const secret = "Mail a@b.de, card 4111 1111 1111 1111."
const redacted = "Mail [EMAIL], card [CARD]."

describe("guards around all calls", () => {
  it.effect("refuse a request of whoever makes it, as a fatal error that nobody tries again", () => {
    const { layer, observed } = guarded([Answer.text("Never.")], { input: [Guard.noPii()] }, {
      retry: RetryPolicy.standard
    })
    return Effect.gen(function*() {
      const request = { prompt: secret }
      for (
        const call of [
          Claude.text(request),
          Claude.countTokens(request),
          Claude.object(Schema.String, request),
          Stream.runDrain(Claude.stream(request)),
          Stream.runDrain(Claude.streamObject(Schema.String, request))
        ]
      ) {
        const error = yield* Effect.flip(
          call as Effect.Effect<unknown, ClaudeError.ClaudeError, Claude.Claude>
        )
        assert.deepStrictEqual([error._tag, error.reason._tag, error.retryHere, error.attempts], [
          "ClaudeFatalError",
          "InvalidRequest",
          false,
          0
        ])
        assert.include(
          error.message,
          "The guard \"noPii\" refused the request. A text holds personal data or a key (email)"
        )
      }
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: secret }))
      assert.deepStrictEqual([error.reason._tag, error.isRetryable], ["InvalidRequestError", false])
      assert.lengthOf(yield* sent, 0)
      assert.notMatch(
        inspect(observed.spans, { depth: 9 }),
        /a@b|4111/
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuse an answer after one call, kept or not", () => {
    const { layer } = guarded(() => Answer.text(secret, { chunk: 3 }), { output: [Guard.noPii()] }, {
      retry: RetryPolicy.standard,
      cache: true
    })
    return Effect.gen(function*() {
      for (let i = 0; i < 2; i++) {
        const error = yield* Effect.flip(Claude.text({ prompt: "Hi" }))
        assert.deepStrictEqual([error._tag, error.reason._tag, error.retryHere], [
          "ClaudeFatalError",
          "Incomplete",
          false
        ])
      }
      assert.lengthOf(yield* sent, 1)
      let handed = ""
      const error = yield* Claude.streamText({ prompt: "Hello" }).pipe(
        Stream.runForEach((text) => Effect.sync(() => handed += text)),
        Effect.flip
      )
      assert.deepStrictEqual([error.reason._tag, handed], ["Incomplete", "Mail "])
    }).pipe(Effect.provide(layer))
  })

  it.effect("change texts, thoughts excepted, arguments and objects alike, whole or streamed", () => {
    const block = { type: "tool_use", id: "t", name: "Send", input: { to: "a@b.de", copies: 2 } } as const
    const Person = Schema.Struct({ name: Schema.String, mails: Schema.Array(Schema.String) })
    const { layer, observed } = guarded(
      ({ body }) => {
        const asked = JSON.stringify(body)
        return asked.includes("an object")
          ? Answer.json({ name: "Jo", mails: ["a@b.de", "x"] }, { chunk: 2 })
          : Answer.content([
            { type: "thinking", thinking: "about a@b.de" },
            { type: "text", text: secret },
            block,
            { type: "text", text: "5555-5555-5555-4444" }
          ], { chunk: 2 })
      },
      { output: [Guard.redactPii(), Guard.maxChars(200)] }
    )
    return Effect.gen(function*() {
      const contentOf = (message: Claude.Message) =>
        message.content.map((block) =>
          block.type === "text"
            ? block.text
            : block.type === "tool_use"
            ? block.input
            : block.type === "thinking"
            ? block.thinking
            : block
        )
      const expected = ["about a@b.de", redacted, { to: "[EMAIL]", copies: 2 }, "[CARD]"]
      assert.deepStrictEqual(contentOf(yield* Claude.message({ prompt: "Hi" })), expected)
      const streamed = yield* Claude.collect(Claude.stream({ prompt: "Hi" })).pipe(Effect.withSpan("caller"))
      assert.deepStrictEqual(contentOf(streamed), expected)
      assert.isDefined(streamed.cost)
      const verdicts = observed.spans.find(({ name }) => name === "caller")!.events.map(([, , attributes]) =>
        Object.values(attributes ?? {}).join(" ")
      )
      assert.include(verdicts, "redactPii output change")

      const parts = yield* LanguageModel.streamText({ prompt: "Hi", toolkit: Tools, disableToolCallResolution: true })
        .pipe(
          Stream.runCollect
        )
      assert.strictEqual(
        parts.flatMap((part) => part.type === "text-delta" ? [part.delta] : []).join(""),
        `${redacted}[CARD]`
      )
      assert.deepStrictEqual(
        parts.flatMap((part) => part.type === "tool-call" ? [part.params] : []) as unknown,
        [{ to: "[EMAIL]", copies: 2 }]
      )

      const person = { name: "Jo", mails: ["[EMAIL]", "x"] }
      assert.deepStrictEqual(yield* Claude.object(Person, { prompt: "an object" }), person)
      const objects = yield* Stream.runCollect(Claude.streamObject(Person, { prompt: "an object" }))
      assert.deepStrictEqual(objects.map(({ _tag, value }) => [_tag, value]), [["Complete", person]])
    }).pipe(Effect.provide(layer))
  })

  it.effect("count over all texts of a message, and put their verdicts on its span", () => {
    const { layer, observed } = guarded(
      () => Answer.content([{ type: "text", text: "12345" }, { type: "text", text: "67890" }]),
      { input: [Guard.maxTokens(100), Guard.redactPii()], output: [Guard.maxChars(9)] }
    )
    return Effect.gen(function*() {
      assert.include((yield* Effect.flip(Claude.text({ prompt: "a@b.de" }))).message, "There are 10 characters, and 9")
      assert.include((yield* Effect.flip(Stream.runDrain(Claude.stream({ prompt: "a@b.de" })))).message, "There are 10")
      const [{ attributes }] = observed.spans.filter(({ name }) => name.startsWith("chat")) as [
        typeof observed.spans[0]
      ]
      assert.deepStrictEqual(
        ["maxTokens", "redactPii"].map((name) => attributes.get(`claude.tag.guard.${name}`)),
        ["pass", "change"]
      )
      assert.include(JSON.stringify((yield* sent)[0]!.body), "[EMAIL]")
      // Who counts wants to know how large it is.
      assert.isAtLeast(yield* Claude.countTokens({ prompt: `a@b.de ${"long ".repeat(1000)}` }), 101)
      assert.notInclude(JSON.stringify((yield* sent).at(-1)!.body), "a@b.de")
    }).pipe(Effect.provide(layer))
  })
})

describe("events in an order of their own", () => {
  const guardedEvents = (events: ReadonlyArray<unknown>) =>
    Claude.stream({ prompt: "Hi" }).pipe(
      Stream.runCollect,
      Effect.provide(
        Guard.layer({ output: [Guard.redactPii()] }).pipe(
          Layer.provide(Layer.succeed(
            Claude.Claude,
            {
              stream: () => Stream.fromIterable(events).pipe(Stream.rechunk(2))
            } as unknown as Claude.Claude["Service"]
          ))
        )
      )
    )
  const delta = (index: number, delta: object) => ({ type: "content_block_delta", index, delta })
  const text = (index: number, text: string) => delta(index, { type: "text_delta", text })

  it.effect("bring no text past a guard: one that nobody announced, or blocks that come among each other", () =>
    Effect.gen(function*() {
      const start = (index: number, content_block: object) => ({ type: "content_block_start", index, content_block })
      const stop = (index: number) => ({ type: "content_block_stop", index })
      const handed = yield* guardedEvents([
        text(7, "a@b.de "),
        start(0, { type: "text", text: "c@d.de " }),
        start(1, { type: "tool_use", id: "t", name: "n", input: {} }),
        delta(1, { type: "input_json_delta", partial_json: "{\"to\":\"a@" }),
        text(0, "e@f"),
        delta(1, { type: "input_json_delta", partial_json: "b.de" }),
        text(0, ".de"),
        stop(1),
        start(2, { type: "tool_use", id: "u", name: "n", input: { to: "g@h.de" } }),
        stop(2),
        start(3, { type: "later", to: "kept" }),
        stop(0),
        { type: "message_stop" }
      ])
      const all = JSON.stringify(handed)
      assert.notMatch(all, /[a-h]@|\.de/)
      assert.strictEqual(all.match(/\[EMAIL\]/g)?.length, 5)
      assert.include(all, "kept")
    }))
})

describe("what had come of an answer that failed", () => {
  it.live("is on the error as the guards leave it, or not at all", () => {
    const { layer } = setUp(({ body }) => {
      const answer = Answer.text(`${secret} And`, { chunk: 3, stopReason: "max_tokens" })
      return JSON.stringify(body).includes("break") ? Answer.reset({ afterEvents: 14 }, answer) : answer
    })
    const claude = Guard.layer({ output: [Guard.redactPii()] }).pipe(Layer.provide(layer))
    return Effect.gen(function*() {
      const texts = <A, R>(call: Effect.Effect<A, ClaudeError.ClaudeError | Guard.GuardRejected, R>) =>
        Effect.map(Effect.flip(call), (error) => {
          if (error._tag === "GuardRejected") return assert.fail(error.message)
          assert.include(["Incomplete", "StreamInterrupted"], error.reason._tag)
          assert.instanceOf(error, Error)
          return error.partial?.content.map((block) => block.type === "text" ? block.text : "").join("")
        })
      const call = Claude.text({ prompt: "Hi" })
      const redactPii = Guard.redactPii()
      assert.strictEqual(yield* texts(call), `${secret} And`)
      assert.strictEqual(yield* texts(call.pipe(Guard.output(redactPii))), `${redacted} And`)
      assert.strictEqual(yield* texts(call.pipe(Guard.output(Guard.noPii()))), undefined)
      const around = Guard.around({ output: [redactPii] })(Claude.text)
      assert.strictEqual(yield* texts(around({ prompt: "Hi" })), `${redacted} And`)
      // A stream that breaks.
      const stream = Claude.streamText({ prompt: "break" })
      const broken = yield* texts(Stream.runDrain(stream))
      assert.include(broken, "a@b.de")
      for (
        const guarded of [
          stream.pipe(Guard.outputStream(redactPii)),
          stream.pipe(Stream.provide(claude)),
          Claude.stream({ prompt: "break" }).pipe(Stream.provide(claude))
        ]
      ) {
        assert.strictEqual(yield* texts(Stream.runDrain(guarded as typeof stream)), Pii.redact(broken!))
      }
    }).pipe(Effect.provide(layer))
  })
})

describe("a guard behind an object", () => {
  it.effect("looks at its texts, and leaves what is none as it is", () =>
    Effect.gen(function*() {
      class Person extends Schema.Class<Person>("Person")({ mail: Schema.String, at: Schema.Date }) {}
      const person = new Person({ mail: "a@b.de", at: new Date(0) })
      const changed = yield* Effect.succeed({ person, n: 1 }).pipe(Guard.output(Guard.redactPii()))
      assert.instanceOf(changed.person, Person)
      assert.deepStrictEqual([changed.person.mail, changed.person.at, person.mail], ["[EMAIL]", new Date(0), "a@b.de"])
      const same = { person: { at: person.at } }
      assert.strictEqual(yield* Effect.succeed(same).pipe(Guard.output(Guard.redactPii())), same)
      const error = yield* Effect.flip(Effect.succeed([person]).pipe(Guard.output(Guard.noPii())))
      assert.strictEqual(error.guard, "noPii")
    }))
})
