import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema, Stream } from "effect"
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
      // What it cost is known where the answer is.
      const whole = yield* Effect.flip(Claude.text({ prompt: "What did it cost?" }))
      assert.deepStrictEqual(
        [whole.requestId !== undefined, whole.usage?.output_tokens !== undefined, whole.attempts],
        [
          true,
          true,
          1
        ]
      )
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
      // Each says once what it says of all blocks.
      assert.deepStrictEqual(verdicts, ["redactPii output change", "maxChars output pass"])

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
      ({ body }) =>
        JSON.stringify(body).includes("Call")
          ? Answer.content([
            { type: "text", text: "123" },
            ...["a", "b", "c"].map((id) => ({
              type: "tool_use" as const,
              id,
              name: "Send",
              input: { to: "123", copies: 1 }
            }))
          ])
          : Answer.content([{ type: "text", text: "12345" }, { type: "text", text: "67890" }]),
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
      const called = Claude.stream({ prompt: "Call" }).pipe(Stream.runDrain, Effect.flip)
      assert.include((yield* called).message, "There are 12 characters, and 9")
      // Who counts wants to know how large it is.
      assert.isAtLeast(yield* Claude.countTokens({ prompt: `a@b.de ${"long ".repeat(1000)}` }), 101)
      assert.notInclude(JSON.stringify((yield* sent).at(-1)!.body), "a@b.de")
    }).pipe(Effect.provide(layer))
  })
})

describe("what a vault holds", () => {
  it.effect("comes back in texts, arguments and objects, whole or streamed, for two calls at once", () => {
    const vault = Pii.vault()
    const { layer } = guarded(
      ({ body }) =>
        JSON.stringify(body).includes("an object")
          ? Answer.json({ to: "[EMAIL_1]", other: "[EMAIL_9]" }, { chunk: 2 })
          : Answer.content([
            { type: "text", text: "To [EMAIL_1] and [EMAIL_2]" },
            { type: "tool_use", id: "t", name: "Send", input: { to: "[email_1]", copies: 1 } }
          ], { chunk: 2 }),
      { input: [Guard.hidePii(vault)], output: [Guard.restorePii(vault)] }
    )
    return Effect.gen(function*() {
      const ask = (mail: string) => ({ prompt: `Write to ${mail}` })
      const expected = ["To a@b.de and c@d.de", { to: "a@b.de", copies: 1 }]
      const said = ({ content }: Claude.Message) =>
        content.map((block) => block.type === "text" ? block.text : block.type === "tool_use" ? block.input : block)
      yield* Claude.message(ask("a@b.de"))
      const [whole, streamed] = yield* Effect.all([
        Claude.message(ask("c@d.de")),
        Claude.collect(Claude.stream(ask("a@b.de and c@d.de")))
      ], { concurrency: 2 })
      assert.deepStrictEqual([said(whole), said(streamed)], [expected, expected])
      const Mail = Schema.Struct({ to: Schema.String, other: Schema.String })
      const mail = { to: "a@b.de", other: "[EMAIL_9]" }
      assert.deepStrictEqual(yield* Claude.object(Mail, { prompt: "an object" }), mail)
      const [part] = yield* Stream.runCollect(Claude.streamObject(Mail, { prompt: "an object" }))
      assert.deepStrictEqual(part?.value, mail)
      assert.notMatch(JSON.stringify(yield* sent), /[ac]@/)
    }).pipe(Effect.provide(layer))
  })
})

describe("an answer that begins again", () => {
  it.live("tells what had come as the guards leave it", () => {
    let calls = 0
    const { layer } = guarded(
      () =>
        calls++ === 0
          ? Answer.reset({ afterEvents: 14 }, Answer.text(secret, { chunk: 3 }))
          : Answer.text("Again."),
      { output: [Guard.redactPii()] },
      { retry: RetryPolicy.make({ times: 1, initial: "1 millis", max: "1 millis" }) }
    )
    return Effect.gen(function*() {
      const events = yield* Stream.runCollect(Claude.stream({ prompt: "Hi" }))
      const restart = events.find((event) => event.type === "restart")
      const all = JSON.stringify(restart?.error.partial?.content)
      assert.include(all, "[EMAIL]")
      assert.notInclude(JSON.stringify(events), "a@b.de")
    }).pipe(Claude.withPolicy({ onBreak: "restart" }), Effect.provide(layer))
  })
})

describe("many guarded streams", () => {
  const claudeOf = (events: Stream.Stream<unknown>) =>
    Guard.layer({ output: [Guard.redactPii(), Guard.noPattern(/never/, "never")] }).pipe(
      Layer.provide(Layer.succeed(
        Claude.Claude,
        { stream: () => events } as unknown as Claude.Claude["Service"]
      ))
    )
  const text = (text: string) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })

  it.effect("are read as their readers read, and let go of with them, also in the middle of a read", () => {
    let read = 0
    let open = 0
    const endless = Stream.fromEffectRepeat(Effect.sync(() => text(`word ${read++} `))).pipe(
      Stream.rechunk(1),
      Stream.onStart(Effect.sync(() => open++)),
      Stream.ensuring(Effect.sync(() => open--))
    )
    return Effect.gen(function*() {
      const texts = yield* Effect.forEach(
        Array.from({ length: 1_000 }),
        () => Claude.stream({ prompt: "Hi" }).pipe(Stream.take(5), Stream.runCollect),
        { concurrency: "unbounded" }
      )
      assert.isTrue(texts.every(({ length }) => length === 5))
      // A pattern holds back 256 characters.
      assert.isBelow(read, 1_000 * 60)
      assert.strictEqual(open, 0)
      const silent = Stream.concat(Stream.take(endless, 1), Stream.ensuring(Stream.never, Effect.sync(() => open--)))
      open++
      const fiber = yield* Effect.forkChild(
        Effect.provide(Stream.runDrain(Claude.stream({ prompt: "Hi" })), claudeOf(silent)),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(open, 0)
    }).pipe(Effect.provide(claudeOf(endless)))
  })
})

describe("a guard that dies or hangs", () => {
  it.effect("ends its call as a defect, or with its caller, and nothing stays open", () =>
    Effect.gen(function*() {
      const dying = Guard.make("dying", () => Effect.die("broken"))
      const hanging: Guard.Guard = Guard.make("hanging", () => Effect.never)
      const { layer } = setUp(() => Answer.text("Hi."), {})
      const with_ = (guard: Guard.Guard) =>
        Effect.provide(
          Stream.runDrain(Claude.stream({ prompt: "Hi" })),
          Guard.layer({ input: [guard] }).pipe(Layer.provide(layer))
        )
      assert.include(String(yield* Effect.exit(with_(dying))), "broken")
      const fiber = yield* Effect.forkChild(with_(hanging), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      const thrown = {
        ...Guard.redactPii(),
        step: () => ({ ...Guard.redactPii().step(), next: () => assert.fail("x") })
      }
      const exit = yield* Claude.streamText({ prompt: "Hi" }).pipe(
        Stream.runDrain,
        Effect.exit,
        Effect.provide(Guard.layer({ output: [thrown] }).pipe(Layer.provide(layer)))
      )
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons.some(({ _tag }) => _tag === "Die"))
    }))
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
        start(4, { type: "mcp_tool_result", content: [{ type: "text", text: "of i@j.de" }] }),
        stop(0),
        text(9, "k@l.de is"),
        text(9, " never said to end"),
        { type: "message_stop" }
      ])
      const all = JSON.stringify(handed)
      assert.notMatch(all, /[a-h]@|\.de/)
      assert.strictEqual(all.match(/\[EMAIL\]/g)?.length, 7)
      assert.include(all, "kept")
      assert.include(all, "\"end\"")
    }))

  it.effect("lose no block that was cut before it ended, and no text that came with the beginning", () =>
    Effect.gen(function*() {
      const block = { type: "tool_use", id: "t", name: "n", input: { to: "a@b.de" } }
      const cut = { type: "tool_use", id: "u", name: "n", input: {} }
      const handed = yield* guardedEvents([
        { type: "message_start", message: { content: [block] } },
        { type: "content_block_start", index: 1, content_block: cut },
        delta(1, { type: "input_json_delta", partial_json: "{\"to\":\"c@d.de\",\"te" }),
        { type: "message_delta", delta: { stop_reason: "max_tokens" } },
        { type: "message_stop" }
      ])
      assert.deepStrictEqual(handed as unknown, [
        { type: "message_start", message: { content: [{ ...block, input: { to: "[EMAIL]" } }] } },
        { type: "content_block_start", index: 1, content_block: cut },
        delta(1, { type: "input_json_delta", partial_json: "{\"to\":\"[EMAIL]\",\"te" }),
        { type: "message_delta", delta: { stop_reason: "max_tokens" } },
        { type: "message_stop" }
      ])
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
  it.effect("is not taken in by one that looks like a message", () => {
    const Letter = Schema.Struct({ type: Schema.Literal("message"), content: Schema.Array(Schema.String) })
    const { layer } = guarded(() => Answer.json({ type: "message", content: ["a@b.de"] }), {
      output: [Guard.redactPii()]
    })
    return Effect.gen(function*() {
      const expected = { type: "message", content: ["[EMAIL]"] } as const
      assert.deepStrictEqual(yield* Claude.object(Letter, { prompt: "Hi" }), expected)
      const [part] = yield* Stream.runCollect(Claude.streamObject(Letter, { prompt: "Hi" }))
      assert.deepStrictEqual(part?.value, expected)
      const given: object = { type: "message", content: ["a@b.de"] }
      assert.deepStrictEqual(yield* Effect.succeed(given).pipe(Guard.output(Guard.redactPii())), expected)
    }).pipe(Effect.provide(layer))
  })

  it.effect("looks at its texts, and leaves what is none as it is", () =>
    Effect.gen(function*() {
      class Person extends Schema.Class<Person>("Person")({ mail: Schema.String, at: Schema.Date }) {}
      const person = new Person({ mail: "a@b.de", at: new Date(0) })
      const changed = yield* Effect.succeed({ person, n: 1 }).pipe(Guard.output(Guard.redactPii()))
      assert.instanceOf(changed.person, Person)
      assert.deepStrictEqual([changed.person.mail, changed.person.at, person.mail], ["[EMAIL]", new Date(0), "a@b.de"])
      const collections = {
        byName: new Map([["jo", { mail: "a@b.de" }]]),
        all: new Set(["a@b.de", "x"]),
        none: new Set([1])
      }
      const others = yield* Effect.succeed(collections).pipe(Guard.output(Guard.redactPii()))
      assert.deepStrictEqual(others, {
        byName: new Map([["jo", { mail: "[EMAIL]" }]]),
        all: new Set(["[EMAIL]", "x"]),
        none: new Set([1])
      })
      assert.strictEqual(others.none, collections.none)
      const same = { person: { at: person.at } }
      assert.strictEqual(yield* Effect.succeed(same).pipe(Guard.output(Guard.redactPii())), same)
      const error = yield* Effect.flip(Effect.succeed([person]).pipe(Guard.output(Guard.noPii())))
      assert.strictEqual(error.guard, "noPii")
    }))
})
