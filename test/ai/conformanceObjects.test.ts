/** What effect/ai promises of objects, over the simulator, on models that have structured output and that have not. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schedule, Schema } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { Chat, LanguageModel, Tool, Toolkit } from "effect/ai"
import { bodies, lastBody, log, said, simulated, use } from "./simulated.ts"
import { blocks, type Json, MODEL } from "./support.ts"

class Person extends Schema.Class<Person>("Person")({ name: Schema.NonEmptyString, age: Schema.Int }) {}

const Email = Schema.String.check(Schema.isPattern(/@/)).pipe(Schema.brand("Email"))

const Shape = Schema.Union([
  Schema.TaggedStruct("Circle", { radius: Schema.Finite }),
  Schema.TaggedStruct("Square", { side: Schema.Finite })
])

/** A schema, what the API answers, and what its caller gets. */
const kinds: ReadonlyArray<readonly [string, Schema.Codec<Json, Json>, Json, Json]> = [
  ["a struct", Schema.Struct({ a: Schema.String, b: Schema.Finite, c: Schema.Boolean }), { a: "x", b: 1.5, c: true }, {
    a: "x",
    b: 1.5,
    c: true
  }],
  ["a class", Person, { name: "Ada", age: 36 }, new Person({ name: "Ada", age: 36 })],
  [
    "arrays of structs",
    Schema.Struct({ all: Schema.Array(Schema.Struct({ n: Schema.Int })) }),
    { all: [{ n: 1 }, { n: 2 }] },
    { all: [{ n: 1 }, { n: 2 }] }
  ],
  ["an empty array", Schema.Struct({ all: Schema.Array(Schema.String) }), { all: [] }, { all: [] }],
  ["tagged unions", Schema.Struct({ shape: Shape }), { shape: { _tag: "Square", side: 2 } }, {
    shape: { _tag: "Square", side: 2 }
  }],
  [
    "literals",
    Schema.Struct({ size: Schema.Literals(["S", "L"]), one: Schema.Literal(1) }),
    { size: "L", one: 1 },
    { size: "L", one: 1 }
  ],
  ["null", Schema.Struct({ a: Schema.NullOr(Schema.String) }), { a: null }, { a: null }],
  ["what is absent", Schema.Struct({ a: Schema.optionalKey(Schema.String) }), { a: null }, {}],
  ["what is optional and there", Schema.Struct({ a: Schema.optionalKey(Schema.String) }), { a: "x" }, { a: "x" }],
  ["records", Schema.Struct({ tags: Schema.Record(Schema.String, Schema.Int) }), { tags: [{ 0: "a", 1: 1 }] }, {
    tags: { a: 1 }
  }],
  ["tuples", Schema.Struct({ at: Schema.Tuple([Schema.Finite, Schema.String]) }), { at: { 0: 3, 1: "x" } }, {
    at: [3, "x"]
  }],
  ["branded values", Schema.Struct({ email: Email }), { email: "a@b.invalid" }, { email: "a@b.invalid" }],
  [
    "transformed values",
    Schema.Struct({ at: Schema.DateTimeUtcFromString, n: Schema.FiniteFromString }),
    { at: "2026-01-02T00:00:00.000Z", n: "41" },
    { at: DateTime.makeUnsafe("2026-01-02T00:00:00.000Z"), n: 41 }
  ],
  [
    "keys that objects have",
    Schema.Struct({ constructor: Schema.String, toString: Schema.Int }),
    { constructor: "a\u2028", toString: 1 },
    { constructor: "a\u2028", toString: 1 }
  ]
]

const OLD = "claude-sonnet-4-20250514"

/** The answer as each kind of model gives it. */
const models = {
  "in its format": { model: MODEL, answer: (value: Json) => Answer.json(value) },
  "as a call": { model: OLD, answer: (value: Json) => blocks([use("t1", "it", value)]) }
}

describe("an object", () => {
  for (const [how, { answer, model }] of Object.entries(models)) {
    for (const [kind, schema, wire, value] of kinds) {
      it.live(`may have ${kind} (${how})`, () =>
        Effect.gen(function*() {
          const ask = LanguageModel.generateObject({ prompt: "Go", schema, objectName: "it" })
          for (const asked of [ask, Claude.withPolicy({ wire: "json" })(ask)]) {
            const response = yield* asked
            assert.deepStrictEqual(response.value, value)
            assert.strictEqual(response.finishReason, "stop")
            assert.deepStrictEqual(response.toolCalls, [])
          }
          const body = yield* lastBody
          const schemaSent = model === MODEL ? body.output_config.format.schema : body.tools[0].input_schema
          assert.strictEqual(schemaSent.type, "object")
          assert.sameMembers(Object.keys(schemaSent.properties ?? {}), Object.keys(wire))
        }).pipe(Effect.provide(simulated(() => answer(wire), { model }))))
    }

    it.live(`that does not fit is StructuredOutputError with what came, and may be asked for again (${how})`, () =>
      Effect.gen(function*() {
        const ask = LanguageModel.generateObject({ prompt: "Who?", schema: Person, objectName: "it" })
        const error = yield* Effect.flip(ask)
        assert(error.reason._tag === "StructuredOutputError")
        assert.deepStrictEqual(JSON.parse(error.reason.responseText), { name: "", age: 1 })
        assert.isTrue(error.isRetryable)
        const { value } = yield* Effect.retry(ask, {
          schedule: Schedule.recurs(3),
          while: ({ isRetryable }) => isRetryable
        })
        assert.deepStrictEqual(value, new Person({ name: "Ada", age: 36 }))
        assert.strictEqual((yield* log).requests, 3)
      }).pipe(Effect.provide(simulated(
        [{ name: "", age: 1 }, { name: "Ada" }, { name: "Ada", age: 36 }].map(answer),
        { model }
      ))))

    it.live(`is a turn of the conversation (${how})`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be exact." }])
        const { value } = yield* chat.generateObject({ prompt: "Who?", schema: Person, objectName: "it" })
        yield* chat.generateText({ prompt: "Why?" })
        const { messages, output_config, system, tools } = yield* lastBody
        assert.deepStrictEqual(system, [{ type: "text", text: "Be exact." }])
        assert.deepStrictEqual(messages, [
          { role: "user", content: [{ type: "text", text: "Who?" }] },
          { role: "assistant", content: [{ type: "text", text: JSON.stringify(value) }] },
          { role: "user", content: [{ type: "text", text: "Why?" }] }
        ])
        assert.deepStrictEqual([output_config, tools], [undefined, undefined])
      }).pipe(Effect.provide(simulated([answer({ name: "Ada", age: 36 }), Answer.text("So.")], { model }))))
  }

  it.live("that was cut is StructuredOutputError with what came", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: "Who?", schema: Person }))
      assert(error.reason._tag === "StructuredOutputError")
      assert.strictEqual(error.reason.responseText, "{\"name\":\"Ad")
    }).pipe(Effect.provide(simulated([Answer.text("{\"name\":\"Ad", { stopReason: "max_tokens" })]))))

  it.live("that is no object at all is StructuredOutputError", () =>
    Effect.gen(function*() {
      for (const text of ["", "Sorry.", "null", "[]", "{", "{\"name\":\"Ada\",\"age\":36} and more"]) {
        const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: text || "none", schema: Person }))
        assert(error.reason._tag === "StructuredOutputError")
        assert.strictEqual(error.reason.responseText, text)
      }
    }).pipe(Effect.provide(simulated((request) => {
      const [{ text }] = (request.body as Json).messages[0].content
      return Answer.text(text === "none" ? "" : text)
    }))))

  it.live("comes with what the model thought, and beside what it says", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Person, objectName: "it" })
      assert.strictEqual(response.value.name, "Ada")
      assert.strictEqual(response.reasoningText, "Hm.")
    }).pipe(Effect.provide(simulated([
      blocks([{ type: "thinking", thinking: "Hm.", signature: "c2ln" }, said("{\"name\":\"Ada\",\"age\":36}")])
    ]))))

  it.live("may be asked for beside tools, whose calls are answered", () => {
    const tools = Toolkit.make(Tool.make("look", { success: Schema.String }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(tools, tools.toLayer({ look: () => Effect.succeed("seen") }))
      const response = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Person, toolkit })
      assert.deepStrictEqual(response.toolResults.map(({ result }) => result), ["seen"])
      const body = yield* lastBody
      assert.strictEqual(body.output_config.format.type, "json_schema")
      assert.deepStrictEqual(body.tools.map(({ name }: Json) => name), ["look"])
    }).pipe(Effect.provide(simulated([
      blocks([said("{\"name\":\"Ada\",\"age\":36}"), use("t1", "look", {})])
    ])))
  })

  it.live("is called by its name, its class or its identifier, as the API spells names", () =>
    Effect.gen(function*() {
      const named = Schema.Struct({ name: Schema.String, age: Schema.Int }).annotate({ identifier: "acme/Some.Person" })
      const ask = (options: { readonly schema: Schema.Codec<Json, Json>; readonly objectName?: string }) =>
        Effect.exit(LanguageModel.generateObject({ prompt: "Who?", ...options }))
      yield* ask({ schema: Person, objectName: "somebody" })
      yield* ask({ schema: Person })
      yield* ask({ schema: named })
      assert.deepStrictEqual(
        (yield* bodies).map(({ tool_choice, tools }) => [tool_choice.name, tools.length]),
        [["somebody", 1], ["Person", 1], ["acme_Some_Person", 1]]
      )
    }).pipe(Effect.provide(simulated([], { model: OLD }))))

  it.live("of a schema that the API cannot enforce is refused before anything is sent", () => {
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: "Go", schema: Tree }))
      assert.strictEqual(error.reason._tag, "UnsupportedSchemaError")
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "children[]")
      assert.strictEqual((yield* log).requests, 0)
    }).pipe(Effect.provide(simulated([])))
  })

  it.live("goes back through an export as it came", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateObject({ prompt: "Who?", schema: Person })
      const again = yield* Chat.fromJson(yield* chat.exportJson)
      yield* chat.generateText({ prompt: "Why?" })
      yield* again.generateText({ prompt: "Why?" })
      const [, one, two] = yield* bodies
      assert.strictEqual(JSON.stringify(two), JSON.stringify(one))
    }).pipe(Effect.provide(simulated([Answer.json({ name: "Ada", age: 36 })]))))
})
