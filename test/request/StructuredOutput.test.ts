import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import { Claude, type ClaudeError } from "effect-claude"
import { Answer } from "effect-claude/testing"
import * as JsonSubset from "../../src/request/JsonSubset.ts"
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

  it.effect("that does not fit goes back as a text, with what is wrong with it", () =>
    Effect.gen(function*() {
      const played = yield* play([use({ name: 1 }), use(ada)], Claude.object(Person, old))
      assert.deepStrictEqual(valueOf(played), { name: "Ada" })
      const [, came, corrected] = bodies(played)[1].messages
      assert.deepStrictEqual(came, { role: "assistant", content: "{\"name\":1}" })
      assert.strictEqual(corrected.role, "user")
      assert.match(corrected.content, /^That does not fit the schema:\n.*string.*name/s)
    }))

  it.effect("may leave out what may be absent or null: the API does not hold a call to its schema", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({
        a: Schema.optionalKey(Schema.Int),
        b: Schema.NullOr(Schema.String),
        c: Schema.Array(Schema.Tuple([Schema.Int, Schema.optionalKey(Schema.Int)])),
        d: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(7)))
      })
      const played = yield* play([use({ c: [{ 0: 1 }] })], Claude.object(schema, old))
      assert.deepStrictEqual(valueOf(played), { b: null, c: [[1]], d: 7 })
      assert.sameMembers(bodies(played)[0].tools[0].input_schema.required, ["a", "b", "c", "d"])
    }))

  it.effect("is its text, where there is no call", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(valueOf(yield* play([Answer.json(ada)], Claude.object(Person, old))), { name: "Ada" })
    }))

  it.effect("is a mismatch where there is neither, or it was cut", () =>
    Effect.gen(function*() {
      const asked = Claude.object(Person, old).pipe(Claude.withPolicy({ repair: 0 }))
      const text = errorOf(yield* play([Answer.text("It is Ada.")], asked))
      assert.strictEqual(text.reason._tag, "SchemaMismatch")
      const cut = errorOf(yield* play([Answer.tool("answer", ada, { stopReason: "max_tokens" })], asked))
      assert.strictEqual((cut.reason as ClaudeError.SchemaMismatch).stopReason, "max_tokens")
    }))

  it.effect("is asked for, not forced, of one that thinks: the API takes no forced call beside thinking", () =>
    Effect.gen(function*() {
      for (const [thinking, type] of [["enabled", "auto"], ["disabled", "tool"]] as const) {
        const config = thinking === "enabled" ? { type: thinking, budget_tokens: 1024 } : { type: thinking }
        const asked = Claude.object(Person, { ...old, max_tokens: 4000, thinking: config })
        const played = yield* play([use(ada)], asked)
        assert.deepStrictEqual(valueOf(played), { name: "Ada" })
        assert.deepInclude(bodies(played)[0].tool_choice, { type, disable_parallel_tool_use: true })
        assert.match(bodies(played)[0].tools[0].description, /Call it to answer/)
      }
    }))

  it.effect("goes by the model that the layer names, where the request does not", () =>
    Effect.gen(function*() {
      const played = yield* play([use(ada)], Claude.object(Person, request), { defaults: { model: old.model } })
      assert.property(bodies(played)[0], "tool_choice")
    }))
})

describe("an object of more unions than the API's format takes", () => {
  const names = Array.from({ length: 17 }, (_, n) => `f${n}`)
  const wide = Schema.Struct(Object.fromEntries(names.map((name) => [name, Schema.optionalKey(Schema.Int)])))
  const narrow = Schema.Struct(Object.fromEntries(names.slice(1).map((name) => [name, Schema.optionalKey(Schema.Int)])))
  const wire = Object.fromEntries(names.map((name) => [name, null]))

  it.effect("is asked for as a call of any model, that may think", () =>
    Effect.gen(function*() {
      const played = yield* play(
        [use({ ...wire, f3: 3 })],
        Claude.object(wide, { ...request, output_config: { effort: "low" } })
      )
      assert.deepStrictEqual(valueOf(played), { f3: 3 })
      const [body] = bodies(played)
      assert.deepStrictEqual(body.output_config, { effort: "low" })
      assert.deepStrictEqual(body.tool_choice, { type: "auto", disable_parallel_tool_use: true })
      const native = yield* play([Answer.json({})], Claude.object(narrow, request))
      assert.property(bodies(native)[0].output_config, "format")
    }))

  it.effect("is a call that a model is made to make where it is told not to think", () =>
    Effect.gen(function*() {
      const asked = { ...request, thinking: { type: "disabled" as const } }
      const played = yield* play([use(wire)], Claude.object(wide, asked))
      assert.deepStrictEqual(valueOf(played), {})
      assert.deepStrictEqual(bodies(played)[0].tool_choice, {
        type: "tool",
        name: "answer",
        disable_parallel_tool_use: true
      })
    }))
})

describe("an object of a request that has", () => {
  it.effect("a format of its own is refused, of any model", () =>
    Effect.gen(function*() {
      const format = { type: "json_schema" as const, schema: { type: "object" } }
      for (const asked of [request, old]) {
        const output_config = { effort: "low" as const, format }
        const played = yield* play([Answer.json(ada)], Claude.object(Person, { ...asked, output_config }))
        const error = errorOf(played)
        assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "output_config.format" })
        assert.match(error.message, /output_config\.format is set beside a schema.*Remove it/)
        assert.strictEqual(played.sent.length, 0)
      }
      const none = { ...request, output_config: { format: null } }
      assert.deepStrictEqual(valueOf(yield* play([Answer.json(ada)], Claude.object(Person, none))), { name: "Ada" })
    }))

  const search = { type: "server_tool_use", id: "s1", name: "web_search", input: {} }
  const found = { type: "web_search_tool_result", tool_use_id: "s1", content: [] }
  // Such as may come.
  const blocks = (...content: ReadonlyArray<object>) => Answer.content(content as ReadonlyArray<Answer.Block>)
  const text = (text: string) => ({ type: "text", text })

  it.effect("a tool of the server is what is said after that", () =>
    Effect.gen(function*() {
      const whole = JSON.stringify(ada)
      const parts = [text(whole.slice(0, 9)), { type: "hologram" }, text(whole.slice(9))]
      for (
        const answer of [
          blocks(text("I will look for her."), search, found, text(whole)),
          blocks(text("I will look."), search, found, text("\n\n"), { type: "thinking", thinking: "Hm" }, ...parts),
          blocks(...parts)
        ]
      ) {
        const played = yield* play([answer], Claude.object(Person, request))
        assert.deepStrictEqual(valueOf(played), { name: "Ada" })
        assert.strictEqual(played.sent.length, 1)
      }
    }))

  it.effect("a tool is what was said before its call, where that is whole", () =>
    Effect.gen(function*() {
      const asked = { ...request, tools: [{ name: "look", input_schema: { type: "object" as const } }] }
      const answer = Answer.tool("look", {}, { text: JSON.stringify(ada) })
      assert.deepStrictEqual(valueOf(yield* play([answer], Claude.object(Person, asked))), { name: "Ada" })
    }))

  it.effect("tools without a name of their own is not asked for again either, where one of them was called", () =>
    Effect.gen(function*() {
      const asked = { ...request, tools: [{ type: "computer_toolset_20260801" as const }] }
      const played = yield* play([Answer.tool("left_click", {})], Claude.object(Person, asked))
      assert.match(errorOf(played).message, /called the tool "left_click"/)
      assert.strictEqual(played.sent.length, 1)
    }))
})

describe("an answer that does not fit", () => {
  const issueOf = (error: ClaudeError.ClaudeError) => {
    assert(error.reason._tag === "SchemaMismatch")
    return error.reason.issue
  }

  const stops: ReadonlyArray<readonly [Parameters<typeof Answer.text>[1], RegExp]> = [
    [{ stopReason: "max_tokens" }, /stop_reason max_tokens, asked once\)\. .*raise it/],
    [{ stopReason: "model_context_window_exceeded" }, /shorten the prompt/],
    [{ stopReason: "refusal" }, /refused.*onRefusal/],
    [{ stopReason: "pause_turn" }, /gather first/]
  ]
  for (const [options, message] of stops) {
    it.effect(`is not asked for again where that would not help: ${options?.stopReason}`, () =>
      Effect.gen(function*() {
        for (const text of ["{\"name\":\"A", JSON.stringify(ada)]) {
          const played = yield* play([Answer.text(text, options)], Claude.object(Person, request))
          assert.match(errorOf(played).message, message)
          assert.strictEqual(played.sent.length, 1)
          assert.strictEqual(errorOf(played).partial?.stop_reason, options?.stopReason)
        }
      }))
  }

  it.effect("is not asked for again where the model called another tool, which the error names", () =>
    Effect.gen(function*() {
      for (
        const asked of [request, {
          ...old,
          thinking: { type: "enabled" as const, budget_tokens: 1024 },
          max_tokens: 4000
        }]
      ) {
        const tools = [{ name: "look", input_schema: { type: "object" as const } }]
        const played = yield* play([Answer.tool("look", {})], Claude.object(Person, { ...asked, tools }))
        assert.match(errorOf(played).message, /called the tool "look", and Claude\.object runs no tools/)
        assert.strictEqual(played.sent.length, 1)
      }
    }))

  it.effect("is asked for again as often as the policy says, and billed in full", () =>
    Effect.gen(function*() {
      const usage = { input_tokens: 10, output_tokens: 5 }
      const asked = Claude.object(Person, request).pipe(Claude.withPolicy({ repair: 2 }))
      const played = yield* play([Answer.text("{}", { usage })], asked)
      const error = errorOf(played)
      assert.strictEqual(played.sent.length, 3)
      assert.strictEqual(error.attempts, 3)
      assert.match(error.message, /asked 3 times/)
      assert.deepInclude(error.usage, { input_tokens: 30, output_tokens: 15 })
    }))

  it.effect("is told in a few lines, to the caller and to the model, however much is wrong", () =>
    Effect.gen(function*() {
      const numbers = Schema.Struct({ numbers: Schema.Array(Schema.Int) })
      const played = yield* play(
        [Answer.json({ numbers: Array.from({ length: 10_000 }, () => "x") })],
        Claude.object(numbers, request)
      )
      const issue = issueOf(errorOf(played))
      assert.isBelow(issue.length, 2100)
      assert.match(issue, /\["numbers"\]\[0\]\n[^]*\n… and more of it\.$/)
      assert.include(bodies(played)[1].messages[2].content, issue)
    }))

  it.effect("has nothing of its values in the error, but in what came", () =>
    Effect.gen(function*() {
      const secret = "4111 1111 1111 1111"
      const schema = Schema.Struct({ n: Schema.Int, on: Schema.Date, tag: Schema.Literals(["a", "b"]) })
      const asked = Claude.object(schema, request).pipe(Claude.withPolicy({ repair: 0 }))
      for (const answer of [Answer.json({ n: secret, on: secret, tag: secret }), Answer.text(`Here: ${secret}`)]) {
        const error = errorOf(yield* play([answer], asked))
        assert.notInclude(`${error.message} ${issueOf(error)}`, "4111")
        assert.include(JSON.stringify(error.partial), "4111")
      }
    }))

  it.effect("goes back only if there is something of it: the API takes no blank text", () =>
    Effect.gen(function*() {
      for (const blank of ["", " \n"]) {
        const played = yield* play([Answer.text(blank), Answer.json(ada)], Claude.object(Person, request))
        assert.deepStrictEqual(valueOf(played), { name: "Ada" })
        assert.deepStrictEqual(bodies(played)[1].messages.map(({ role }: { role: string }) => role), ["user", "user"])
      }
    }))
})

describe("what is no object on the wire", () => {
  const values: ReadonlyArray<readonly [string, Schema.Codec<unknown, unknown>, unknown, unknown]> = [
    ["a list", Schema.Array(Schema.Int), [1, 2], [1, 2]],
    ["a record", Schema.Record(Schema.String, Schema.Int), { a: 1 }, [{ 0: "a", 1: 1 }]],
    ["a union", Schema.Union([Schema.Struct({ a: Schema.Int }), Schema.Null]), null, null],
    ["an object with keys that no tool may have", Schema.Struct({ "filter[id]": Schema.Int }), { "filter[id]": 1 }, {
      "filter[id]": 1
    }],
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
    ["any value", Schema.Struct({ a: Schema.Array(Schema.Unknown) }), /JSON Schema cannot say what it is at a\[\]\./],
    [
      "any value of a record",
      Schema.Record(Schema.String, Schema.Any),
      /JSON Schema cannot say what it is at \[key\]\./
    ],
    [
      "any value of a union",
      Schema.Struct({ a: Schema.NullOr(Schema.Json) }),
      /JSON Schema cannot say what it is at a\./
    ],
    ["a type without a codec", Schema.Struct({ a: Schema.Tuple([Schema.instanceOf(Opaque)]) }), /at a\[0\]\./],
    ["a key that is a symbol", Schema.Struct({ a: Schema.Struct({ [Symbol.for("b")]: Schema.Int }) }), /at a\./],
    ["what is in another type", Schema.Option(Schema.Struct({ a: Schema.Never })), /at a\./],
    ["nothing at all", Schema.Struct({}), /JSON Schema cannot say what it is at its root\./]
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
        const answer = JsonSubset.isInput(jsonSchema) ? wire : { answer: wire }
        for (const [asked, came] of [[request, Answer.json(answer)], [old, use(answer)]] as const) {
          const object = valueOf(yield* play([came], Claude.object(schema, asked)))
          assert.strictEqual(JSON.stringify(yield* encode(object)), JSON.stringify(wire))
        }
      }))
  }
})
