import { assert, describe, it } from "@effect/vitest"
import { Effect, pipe, Schema, Stream } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { Guard, Pii } from "../../src/guards/index.ts"
import { sent, setUp } from "../flow/setUp.ts"

const bodies = Effect.map(
  sent,
  (all) => all.map(({ body }) => body as { messages: Array<{ content: unknown }>; system?: unknown })
)

/** The events of guards on a span, as words. */
const told = (span: { readonly events: ReadonlyArray<readonly [string, bigint, unknown?]> }) =>
  span.events.filter(([name]) => name === "claude.guard").map(([, , attributes]) =>
    Object.values(attributes as Record<string, string>).join(" ")
  )

const Person = Schema.Struct({ name: Schema.String, age: Schema.Int })

describe("guards", () => {
  it.effect("let a request and its answer pass as they are, and tell the caller's span", () => {
    const { layer, observed } = setUp([Answer.text("Fine.")])
    return Effect.gen(function*() {
      const answer = yield* pipe(
        { prompt: "How are you?" },
        Guard.input(Guard.maxChars(20), Guard.noPii()),
        Effect.flatMap(Claude.text),
        Guard.output(Guard.maxChars(5), Guard.noPattern(/password/i, "no passwords")),
        Effect.withSpan("caller")
      )
      assert.strictEqual(answer, "Fine.")
      assert.deepStrictEqual(told(observed.spans.find(({ name }) => name === "caller")!), [
        "maxChars input pass",
        "noPii input pass",
        "maxChars output pass",
        "no passwords output pass"
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuse a request before it is sent, without its text in the error", () => {
    const { layer, observed } = setUp([Answer.text("Never.")])
    return Effect.gen(function*() {
      const refused = (guard: Guard.Guard<unknown, unknown>) =>
        pipe(
          { prompt: "My secret is 4111 1111 1111 1111" },
          Guard.input(guard as Guard.Guard),
          Effect.flatMap(Claude.text),
          Effect.withSpan("caller"),
          Effect.flip
        )
      for (
        const [guard, name, message] of [
          [Guard.maxChars(31), "maxChars", "There are 32 characters, and 31 are allowed"],
          [Guard.noPattern(/secret/y, "no secrets"), "no secrets", "the guard \"no secrets\" does not allow"],
          [Guard.noPii(), "noPii", "(card)"],
          [Guard.schema(Person), "schema", "not JSON that fits"],
          [Guard.make("mine", () => Effect.succeed(Guard.reject("No."))), "mine", "No."]
        ] as const
      ) {
        const error = yield* refused(guard)
        if (error._tag !== "GuardRejected") return assert.fail(error._tag)
        assert.deepStrictEqual([error.guard, error.where], [name, "input"])
        assert.include(error.message, message)
        assert.notMatch(JSON.stringify(error) + error.stack, /4111|My/)
      }
      assert.deepStrictEqual(yield* sent, [])
      assert.deepStrictEqual(told(observed.spans[0]!), ["maxChars input reject"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("look at every text of a request, and change no other part of it", () => {
    const { layer } = setUp([Answer.text("Ok")])
    const email = "a@b.de"
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "YUBiLmRl" } } as const
    const thinking = { type: "thinking", thinking: `about ${email}`, signature: "s" } as const
    const request = (email: string, shown: string): Claude.MessageRequest => ({
      system: [{ type: "text", text: email, cache_control: { type: "ephemeral" } }],
      messages: [
        { role: "user", content: `I am ${email}` },
        {
          role: "assistant",
          content: [{ ...thinking, thinking: shown }, {
            type: "tool_use",
            id: "t",
            name: "find",
            input: { deep: [{ email }], n: 1 }
          }]
        },
        {
          role: "user",
          content: [
            { type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: email }, image] },
            {
              type: "document",
              title: email,
              context: email,
              source: { type: "text", media_type: "text/plain", data: email }
            },
            { type: "document", source: { type: "content", content: [{ type: "text", text: email }] } },
            { type: "search_result", source: "s", title: email, content: [{ type: "text", text: email }] },
            { type: "text", text: email }
          ]
        }
      ]
    })
    return Effect.gen(function*() {
      const given = request(email, thinking.thinking)
      const before = JSON.stringify(given)
      const redacted = yield* Guard.input(Guard.redactPii())(given)
      assert.deepStrictEqual(redacted, request("[EMAIL]", thinking.thinking))
      assert.strictEqual(JSON.stringify(given), before)
      const chars = yield* Effect.flip(Guard.input(Guard.maxChars(0))({ ...given, system: undefined }))
      assert.include(chars.message, `There are ${email.length * 10 + 5} characters`)
    }).pipe(Effect.provide(layer))
  })

  it.effect("see what the one before them left", () =>
    Effect.gen(function*() {
      const request = { prompt: "Mail x@example.com" }
      const redacted = yield* Guard.input(Guard.redactPii(), Guard.noPii(), Guard.maxChars(12))(request)
      assert.strictEqual(redacted.prompt, "Mail [EMAIL]")
      const error = yield* Effect.flip(Guard.input(Guard.maxChars(12), Guard.redactPii())(request))
      assert.strictEqual(error.guard, "maxChars")
    }))

  it.effect("count tokens only where the size does not tell", () => {
    const { layer } = setUp([Answer.text("A long answer of more tokens")])
    return Effect.gen(function*() {
      yield* Guard.input(Guard.maxTokens(100))({ prompt: "short" })
      assert.lengthOf(yield* sent, 0)
      yield* Guard.input(Guard.maxTokens(100))({ prompt: "long ".repeat(30) })
      assert.deepStrictEqual((yield* sent).map(({ path }) => path), ["/v1/messages/count_tokens"])
      const error = yield* Effect.flip(Guard.input(Guard.maxTokens(100))({ prompt: "long ".repeat(3000) }))
      assert.strictEqual(error._tag, "GuardRejected")
      const tooLong = yield* Effect.flip(Claude.message({ prompt: "Hi" }).pipe(Guard.output(Guard.maxTokens(0))))
      assert.match(tooLong.message, /There are \d+ tokens, and 0 are allowed/)
    }).pipe(Effect.provide(layer))
  })

  it.effect("hold an answer to a schema", () => {
    const { layer } = setUp([Answer.text("{\"name\":\"A\",\"age\":1}"), Answer.text("{\"name\":\"A\"}")])
    return Effect.gen(function*() {
      const ask = Claude.text({ prompt: "Who?" }).pipe(Guard.output(Guard.schema(Person)))
      assert.strictEqual(yield* ask, "{\"name\":\"A\",\"age\":1}")
      assert.deepStrictEqual([(yield* Effect.flip(ask))._tag], ["GuardRejected"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("stand around a call, with their verdicts on its span, and put back what they hid", () => {
    const { layer, observed } = setUp([Answer.text("I wrote to [EMAIL_1].")])
    return Effect.gen(function*() {
      const vault = Pii.vault()
      const ask = pipe(
        Claude.message,
        Guard.around({
          input: [Guard.maxTokens(1000), Guard.hidePii(vault)],
          output: [
            Guard.restorePii(vault),
            Guard.make("kept", ({ message }) => Effect.succeed(message === undefined ? Guard.reject("?") : Guard.pass))
          ]
        })
      )
      const answer = yield* ask({ prompt: "Write to a@b.de" })
      assert.deepStrictEqual(answer.content.map((block) => block.type === "text" ? block.text : ""), [
        "I wrote to a@b.de."
      ])
      assert.isDefined(answer.cost)
      assert.deepStrictEqual((yield* bodies)[0]!.messages, [{ role: "user", content: "Write to [EMAIL_1]" }] as never)
      const chat = observed.spans.find(({ name }) => name.startsWith("chat"))!
      assert.strictEqual(chat.attributes.get("claude.tag.guard.hidePii"), "change")
      assert.strictEqual(chat.attributes.get("claude.tag.guard.maxTokens"), "pass")
    }).pipe(Effect.provide(layer))
  })

  it.effect("look at a stream while it comes, and end it where they refuse", () => {
    const { layer, observed } = setUp([
      Answer.text("The mail is a@b.de, and the PASSWORD is hunter2.", { chunk: 4 })
    ])
    return Effect.gen(function*() {
      const texts = (...guards: ReadonlyArray<Guard.StreamGuard>) => {
        const handed: Array<string> = []
        return Claude.streamText({ prompt: "Tell" }).pipe(
          Guard.outputStream(...guards),
          Stream.runForEach((text) => Effect.sync(() => handed.push(text))),
          Effect.result,
          Effect.map((result) => [handed.join(""), result._tag === "Failure" ? result.failure._tag : "Success"]),
          Effect.withSpan("caller")
        )
      }
      const redacted = "The mail is [EMAIL], and the PASSWORD is hunter2."
      assert.deepStrictEqual(yield* texts(Guard.redactPii(), Guard.maxChars(redacted.length)), [redacted, "Success"])
      const [before, ending] = yield* texts(Guard.noPattern(/password/i, "p", { window: 8 }))
      assert.strictEqual(ending, "GuardRejected")
      assert.match(before!, /^The mail is a@b\.de,( and the )?$/)
      const [cut] = yield* texts(Guard.maxChars(10))
      assert.isAtMost(cut!.length, 10)
      const callers = observed.spans.filter(({ name }) => name === "caller")
      assert.deepStrictEqual(callers.map(told), [
        ["redactPii output change", "maxChars output pass"],
        ["p output reject"],
        ["maxChars output reject"]
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("hand on all of a stream that was cut, and then say so", () => {
    const { layer } = setUp(() => Answer.text("one two three 4111", { chunk: 3, stopReason: "max_tokens" }))
    return Effect.gen(function*() {
      const ask = (...guards: ReadonlyArray<Guard.StreamGuard>) => {
        let handed = ""
        return Claude.streamText({ prompt: "Count" }).pipe(
          Guard.outputStream(...guards),
          Stream.runForEach((text) => Effect.sync(() => handed += text)),
          Effect.flip,
          Effect.map((error) => [error._tag, handed])
        )
      }
      assert.deepStrictEqual(yield* ask(Guard.redactPii()), ["ClaudeFatalError", "one two three 4111"])
      assert.deepStrictEqual(yield* ask(Guard.noPattern(/4111$/, "p")), ["GuardRejected", ""])
    }).pipe(Effect.provide(layer))
  })

  it.effect("refuse arguments that lie too deep, and name a limit that is none", () =>
    Effect.gen(function*() {
      let input: unknown = "x"
      for (let i = 0; i < 100_000; i++) input = [input]
      const error = yield* Effect.flip(
        Guard.input(Guard.maxChars(10))({
          messages: [{ role: "assistant", content: [{ type: "tool_use", id: "t", name: "n", input }] }]
        })
      )
      assert.include(error.message, "too deep")
      assert.throws(() => Guard.maxChars(-1), "Guard.maxChars: limit is -1; expected a whole number from 0")
      assert.throws(() => Guard.maxTokens(NaN), "Guard.maxTokens: limit is NaN")
      assert.throws(
        () => Guard.noPattern(/a/, "a", { window: 0 }),
        "Guard.noPattern: window is 0; expected a whole number from 1"
      )
    }))
})
