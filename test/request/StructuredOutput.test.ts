import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import { Claude, type ClaudeError } from "effect-claude"
import { Answer } from "effect-claude/testing"
import * as ObjectSchema from "../../src/request/ObjectSchema.ts"
import { errorOf, play, valueOf } from "../attempt/scripted.ts"
import { generator } from "../decode/schemas.ts"
import "effect/ai/AnthropicStructuredOutput"

const request = { prompt: "Hi" }
const old = { ...request, model: "claude-sonnet-4-20250514" }
const Person = Schema.Struct({ name: Schema.String, age: Schema.optionalKey(Schema.Int) })
const ada = { name: "Ada", age: null }
const use = (input: unknown, name = "answer") => Answer.tool(name, input, { toolUseId: "t1", text: "Here it is:" })

/** What was sent, as far as these tests ask. */
const bodies = ({ sent }: { readonly sent: ReadonlyArray<{ readonly body: object }> }) =>
  sent.map(({ body }): ReturnType<typeof JSON.parse> => body)

interface Tree {
  readonly value: number
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({
  value: Schema.Finite,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

describe("an object of a model without structured output", () => {
  it.effect("is the input of a tool that it is made to call, beside those of the request", () =>
    Effect.gen(function*() {
      const tools = [{ name: "answer", input_schema: { type: "object" as const } }]
      const played = yield* play([use(ada, "answer_")], Claude.object(Person, { ...old, tools }))
      assert.deepStrictEqual(valueOf(played), { name: "Ada" })
      const [body] = bodies(played)
      assert.notProperty(body, "output_config")
      assert.deepStrictEqual(body.tool_choice, { type: "tool", name: "answer_", disable_parallel_tool_use: true })
      assert.deepStrictEqual(body.tools.map(({ name }: { name: string }) => name), ["answer", "answer_"])
      assert.sameMembers(body.tools[1].input_schema.required, ["name", "age"])
    }))

  it.effect("that does not fit is answered with what is wrong with it", () =>
    Effect.gen(function*() {
      const played = yield* play([use({ name: 1 }), use(ada)], Claude.object(Person, old))
      assert.deepStrictEqual(valueOf(played), { name: "Ada" })
      const [, call, result] = bodies(played)[1].messages
      assert.deepStrictEqual(call.content, [{ type: "tool_use", id: "t1", name: "answer", input: { name: 1 } }])
      const [{ content, ...answered }] = result.content
      assert.deepStrictEqual(answered, { type: "tool_result", tool_use_id: "t1", is_error: true })
      assert.match(content, /^That does not fit the schema:\n.*string.*name/s)
    }))

  it.effect("is a mismatch where there is no call, or it was cut", () =>
    Effect.gen(function*() {
      const asked = Claude.object(Person, old).pipe(Claude.withPolicy({ repair: 0 }))
      const text = errorOf(yield* play([Answer.json(ada)], asked))
      assert.strictEqual(text.reason._tag, "SchemaMismatch")
      const cut = errorOf(yield* play([Answer.tool("answer", ada, { stopReason: "max_tokens" })], asked))
      assert.strictEqual((cut.reason as ClaudeError.SchemaMismatch).stopReason, "max_tokens")
    }))

  it.effect("goes by the model that the layer names, where the request does not", () =>
    Effect.gen(function*() {
      const played = yield* play([use(ada)], Claude.object(Person, request), { defaults: { model: old.model } })
      assert.property(bodies(played)[0], "tool_choice")
    }))
})

describe("what is no object on the wire", () => {
  const values: ReadonlyArray<readonly [string, Schema.Codec<unknown, unknown>, unknown, unknown]> = [
    ["a list", Schema.Array(Schema.Int), [1, 2], [1, 2]],
    ["a record", Schema.Record(Schema.String, Schema.Int), { a: 1 }, [{ 0: "a", 1: 1 }]],
    ["a union", Schema.Union([Schema.Struct({ a: Schema.Int }), Schema.Null]), null, null],
    ["a date", Schema.Date, new Date(0), "1970-01-01T00:00:00.000Z"]
  ]
  for (const [what, schema, value, answer] of values) {
    it.effect(`is asked for as a property of one: ${what}`, () =>
      Effect.gen(function*() {
        const native = yield* play([Answer.json({ answer })], Claude.object(schema, request))
        assert.deepStrictEqual(valueOf(native), value)
        const { format } = bodies(native)[0].output_config
        assert.strictEqual(format.schema.type, "object")
        assert.deepStrictEqual(format.schema.required, ["answer"])
        assert.deepStrictEqual(valueOf(yield* play([use({ answer })], Claude.object(schema, old))), value)
      }))
  }
})

describe("a schema that cannot be told", () => {
  class Opaque {
    readonly isOpaque = true
  }
  const refused: ReadonlyArray<readonly [string, Schema.Codec<unknown, unknown>, RegExp]> = [
    ["recursion", Schema.Struct({ tree: Tree }), /recursive at tree\.children\[\]\./],
    ["recursion at the root", Tree, /recursive at children\[\]\./],
    ["any value", Schema.Struct({ a: Schema.Array(Schema.Unknown) }), /any value would fit it at a\[\]\./],
    ["any value of a record", Schema.Record(Schema.String, Schema.Any), /any value would fit it at \[key\]\./],
    ["any value of a union", Schema.Struct({ a: Schema.NullOr(Schema.Json) }), /any value would fit it at a\./],
    ["a type without a codec", Schema.Struct({ a: Schema.Tuple([Schema.instanceOf(Opaque)]) }), /at a\[0\]\./],
    ["a key that is a symbol", Schema.Struct({ a: Schema.Struct({ [Symbol.for("b")]: Schema.Int }) }), /at a\./],
    ["what is in another type", Schema.Option(Schema.Struct({ a: Schema.Never })), /at a\./],
    ["nothing at all", Schema.Struct({}), /any value would fit it at its root\./]
  ]
  for (const [what, schema, path] of refused) {
    it.effect(`is refused before anything is sent, with the path: ${what}`, () =>
      Effect.gen(function*() {
        for (const asked of [request, old]) {
          const played = yield* play([Answer.json({})], Claude.object(schema, asked))
          const error = errorOf(played)
          assert.strictEqual(error.reason._tag, "InvalidRequest")
          assert.match(error.message, path)
          assert.strictEqual(played.sent.length, 0)
        }
      }))
  }
})

describe("an object of any schema that is supported", () => {
  for (let seed = 1; seed <= 30; seed++) {
    it.effect(`comes as it was meant, in either way (${seed})`, () =>
      Effect.gen(function*() {
        const schema = generator(seed * 31337)(3)
        const { codec, jsonSchema } = Result.getOrThrow(ObjectSchema.make(schema))
        const encode = Schema.encodeUnknownEffect(codec)
        const [value] = yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 1, size: 5, seed })
        const wire = yield* encode(value)
        const answer = jsonSchema.type === "object" ? wire : { answer: wire }
        for (const [asked, came] of [[request, Answer.json(answer)], [old, use(answer)]] as const) {
          const object = valueOf(yield* play([came], Claude.object(schema, asked)))
          assert.strictEqual(JSON.stringify(yield* encode(object)), JSON.stringify(wire))
        }
      }))
  }
})
