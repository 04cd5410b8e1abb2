import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import { RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as Requests from "../../src/ai/Requests.ts"
import * as PerModel from "../../src/request/PerModel.ts"
import { blocks, bodies, lastBody, layerOf } from "./support.ts"

class Person extends Schema.Class<Person>("acme/domain/Person")({
  name: Schema.NonEmptyString,
  age: Schema.optionalKey(Schema.Int),
  pet: Schema.Union([
    Schema.TaggedStruct("Cat", { lives: Schema.Int }),
    Schema.TaggedStruct("Dog", { tricks: Schema.Array(Schema.String) })
  ])
}) {}

const ada = { name: "Ada", age: null, pet: { _tag: "Cat", lives: 9 } }
const use = (name: string, input: unknown) => ({ type: "tool_use", id: "t1", name, input })

describe("objects", () => {
  it.effect("come in the format of their schema, where the model has structured output", () =>
    Effect.gen(function*() {
      const { finishReason, value } = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Person })
      assert.deepStrictEqual(value, new Person({ name: "Ada", pet: { _tag: "Cat", lives: 9 } }))
      assert.strictEqual(finishReason, "stop")
      const body = yield* lastBody
      assert.strictEqual(body.output_config.format.type, "json_schema")
      assert.strictEqual(body.output_config.effort, "low")
      assert.sameMembers(body.output_config.format.schema.required, ["name", "age", "pet"])
      assert.notProperty(body, "tools")
    }).pipe(Effect.provide(layerOf([Answer.json(ada)], { output_config: { effort: "low" } }))))

  it.effect("come as the call of a tool, where it has not; what is said beside it is no part of them", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Person })
      assert.strictEqual(response.value.name, "Ada")
      assert.strictEqual(response.finishReason, "stop")
      const body = yield* lastBody
      assert.notProperty(body, "output_config")
      assert.deepStrictEqual(body.tool_choice, {
        type: "tool",
        name: "acme_domain_Person",
        disable_parallel_tool_use: true
      })
      assert.deepStrictEqual(body.tools.map(({ name }: { name: string }) => name), ["acme_domain_Person"])
      // And the conversation goes on from it.
      yield* LanguageModel.generateText({
        prompt: Prompt.concat(Prompt.make("Who?"), Prompt.fromResponseParts(response.content))
      })
      assert.deepStrictEqual((yield* lastBody).messages[1].content, [
        { type: "text", text: "Here it is:", citations: null },
        { type: "text", text: JSON.stringify(ada) }
      ])
    }).pipe(
      Effect.provide(layerOf(
        [blocks([{ type: "text", text: "Here it is:" }, use("acme_domain_Person", ada)]), Answer.hello],
        {},
        {},
        "claude-sonnet-4-20250514"
      ))
    ))

  for (
    const [model, isNative] of [
      ["claude-3-7-sonnet-20250219", false],
      ["claude-3-5-haiku-latest", false],
      ["claude-opus-4-0", false],
      ["claude-sonnet-4-20250514", false],
      ["us.anthropic.claude-sonnet-4-20250514-v1:0", false],
      ["claude-sonnet-4@20250514", false],
      ["claude-opus-4-1-20250805", true],
      ["claude-sonnet-4-5-20250929", true],
      ["claude-haiku-4-5", true],
      ["claude-opus-5-5", true],
      ["claude-fable-5-2", true]
    ] as const
  ) {
    it.effect(`of ${model} come ${isNative ? "in their format" : "as a call"}`, () =>
      Effect.gen(function*() {
        yield* Effect.exit(LanguageModel.generateObject({ prompt: "Who?", schema: Person }))
        assert.strictEqual((yield* lastBody).output_config !== undefined, isNative)
      }).pipe(Effect.provide(layerOf([Answer.json(ada)], {}, {}, model))))
  }

  it.effect("may be asked for beside tools", () => {
    const toolkit = Toolkit.make(Tool.make("look", { success: Schema.String }))
    return Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Person, toolkit })
      assert.strictEqual(value.name, "Ada")
      const body = yield* lastBody
      assert.strictEqual(body.tools[0].name, "look")
      assert.deepStrictEqual(body.tools[0].input_schema, { type: "object", additionalProperties: false })
      assert.property(body.output_config, "format")
    }).pipe(Effect.provide([toolkit.toLayer({ look: () => Effect.succeed("x") }), layerOf([Answer.json(ada)])]))
  })

  it.effect("with more unions than the API enforces come as a call", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: 17 }, (_, n) => `p${n}`)
      const schema = Schema.Struct(Object.fromEntries(names.map((name) => [name, Schema.NullOr(Schema.Int)])))
      const filled = Object.fromEntries(names.map((name) => [name, null]))
      const ask = LanguageModel.generateObject({ prompt: "Who?", schema, objectName: "many" })
      assert.deepStrictEqual((yield* ask).value, filled)
      const body = yield* lastBody
      assert.notProperty(body, "output_config")
      assert.deepStrictEqual(body.tool_choice, { type: "auto", disable_parallel_tool_use: true })
      // Or as a text, where it says so instead of calling.
      assert.deepStrictEqual((yield* ask).value, filled)
    }).pipe(Effect.provide(layerOf([
      blocks([use("many", Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`p${n}`, null])))]),
      Answer.json(Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`p${n}`, null])))
    ]))))

  it("are asked of each model as it takes them", () => {
    const prepared = Requests.prepare(
      {
        prompt: Prompt.make("Who?"),
        tools: [Tool.make("look", { parameters: Schema.Struct({ at: Schema.String }), success: Schema.String })],
        toolChoice: "auto",
        responseFormat: { type: "json", objectName: "it", schema: Person },
        // Nothing is traced here.
        span: undefined as never,
        previousResponseId: undefined,
        incrementalPrompt: undefined
      },
      { model: "claude-opus-5-5" }
    )
    const { [PerModel.perModel]: fieldsFor } = prepared.request as unknown as {
      readonly [PerModel.perModel]: (model: string) => PerModel.Fields
    }
    const told = (model: string): ReadonlyArray<unknown> => {
      const { output_config, tool_choice, tools } = fieldsFor(model)
      return [
        tools!.map((tool) => ["name" in tool && tool.name, "strict" in tool]),
        tool_choice,
        output_config?.format?.type
      ]
    }
    const native = [[["look", true]], undefined, "json_schema"]
    assert.deepStrictEqual(told("claude-opus-5-5"), native)
    assert.deepStrictEqual(told("claude-haiku-5-5"), native)
    assert.deepStrictEqual(told("claude-sonnet-4-20250514"), [
      [["look", false], ["it", false]],
      { type: "tool", name: "it", disable_parallel_tool_use: true },
      undefined
    ])
    assert.strictEqual(prepared.read.answer, "it")
  })

  it.effect("that do not fit are StructuredOutputError with what came", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: "Who?", schema: Person }))
      assert(error.reason._tag === "StructuredOutputError")
      assert.strictEqual(error.reason.responseText, "{\"name\":\"\"}")
    }).pipe(Effect.provide(layerOf([Answer.json({ name: "" })]))))

  const Pet = Schema.Union([
    Schema.TaggedStruct("Cat", { lives: Schema.Int }),
    Schema.TaggedStruct("Dog", { name: Schema.optionalKey(Schema.String) })
  ])
  const rex = { answer: { _tag: "Dog", name: null } }

  it.effect("of a union are a property of one, which the API takes", () =>
    Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Pet })
      assert.deepStrictEqual(value, { _tag: "Dog" })
      const { schema } = (yield* lastBody).output_config.format
      assert.strictEqual(schema.type, "object")
      assert.deepStrictEqual(schema.required, ["answer"])
    }).pipe(Effect.provide(layerOf([Answer.json(rex)]))))

  it.effect("of a union come as a call all the same, by a name that no tool has", () => {
    const toolkit = Toolkit.make(Tool.make("pet", { success: Schema.String }))
    return Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Pet, objectName: "pet", toolkit })
      assert.deepStrictEqual(value, { _tag: "Dog" })
      const body = yield* lastBody
      assert.deepStrictEqual(body.tools.map(({ name }: { name: string }) => name), ["pet", "pet_"])
      assert.strictEqual(body.tools[1].input_schema.type, "object")
      // One that thinks cannot be made to call.
      assert.deepStrictEqual(body.tool_choice, { type: "auto", disable_parallel_tool_use: true })
    }).pipe(Effect.provide([
      toolkit.toLayer({ pet: () => Effect.succeed("x") }),
      layerOf(
        [blocks([use("pet_", rex)])],
        { max_tokens: 5000, thinking: { type: "enabled", budget_tokens: 1024 } },
        {},
        "claude-sonnet-4-20250514"
      )
    ]))
  })

  for (const stopReason of ["max_tokens", "refusal", "model_context_window_exceeded", "pause_turn"] as const) {
    it.effect(`that stopped early (${stopReason}) say so and what to do, and are not asked for again`, () =>
      Effect.gen(function*() {
        const error = yield* LanguageModel.generateObject({ prompt: "Who?", schema: Person }).pipe(
          Effect.retry({ times: 3, while: (error) => error.isRetryable }),
          Effect.flip
        )
        assert(error.reason._tag === "StructuredOutputError")
        assert.isFalse(error.isRetryable)
        assert.include(error.message, `stop_reason ${stopReason}`)
        assert.notInclude(error.message, "Ada")
        assert.strictEqual(error.reason.responseText, "{\"name\":\"Ad")
        const { partial, reason, requestId } = Option.getOrThrow(ClaudeLanguageModel.claudeError(error))
        assert.strictEqual(reason._tag, "SchemaMismatch")
        assert.strictEqual(requestId, "req_scripted")
        assert.isDefined(partial)
        assert.strictEqual((yield* bodies).length, 1)
      }).pipe(Effect.provide(layerOf([Answer.text("{\"name\":\"Ad", { stopReason })]))))
  }

  it.effect("may have records and tuples that may be absent", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({
        counts: Schema.optionalKey(Schema.Record(Schema.String, Schema.Int)),
        at: Schema.optional(Schema.Tuple([Schema.Int, Schema.Int]))
      })
      const ask = LanguageModel.generateObject({ prompt: "Where?", schema })
      assert.deepStrictEqual((yield* ask).value, { counts: { a: 1 }, at: [2, 3] })
      assert.deepStrictEqual((yield* ask).value, {})
    }).pipe(Effect.provide(layerOf([
      Answer.json({ counts: [{ 0: "a", 1: 1 }], at: { 0: 2, 1: 3 } }),
      Answer.json({ counts: null, at: null })
    ]))))

  it.effect("of a recursive schema are refused before anything is sent, with the path", () =>
    Effect.gen(function*() {
      interface Tree {
        readonly value: number
        readonly children: ReadonlyArray<Tree>
      }
      const Tree = Schema.Struct({
        value: Schema.Finite,
        children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
      })
      const error = yield* Effect.flip(
        LanguageModel.generateObject({ prompt: "Grow", schema: Schema.Struct({ tree: Tree }), objectName: "forest" })
      )
      assert(error.reason._tag === "UnsupportedSchemaError")
      assert.include(error.message, "\"forest\"")
      assert.include(error.message, "recursive at tree.children[]")
      assert.isFalse(error.isRetryable)
      assert.deepStrictEqual(yield* bodies, [])
    }).pipe(Effect.provide(layerOf([Answer.hello]))))

  it.effect("fail as any other call does", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: "Who?", schema: Person }))
      assert.strictEqual(error.method, "generateObject")
      assert.isTrue(Option.isSome(ClaudeLanguageModel.claudeError(error)))
    }).pipe(Effect.provide(layerOf([Answer.error(500)], {}, { retry: RetryPolicy.none }))))
})

describe("overrides", () => {
  it.effect("that are undefined take nothing away", () =>
    Effect.gen(function*() {
      const ask = LanguageModel.generateText({ prompt: "Hi" })
      yield* ask.pipe(
        ClaudeLanguageModel.withConfigOverride({ max_tokens: undefined, model: undefined }),
        ClaudeLanguageModel.withConfigOverride({ max_tokens: 7 })
      )
      yield* ClaudeLanguageModel.withConfigOverride(ask, { max_tokens: undefined })
      assert.deepStrictEqual((yield* bodies).map(({ max_tokens, model }) => [model, max_tokens]), [
        ["claude-opus-5-5", 7],
        ["claude-opus-5-5", 1]
      ])
    }).pipe(Effect.provide(layerOf([Answer.hello], { max_tokens: 1 }))))

  it.effect("of fibers side by side are each their own, in streams as well", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, n) => n + 1),
        (max_tokens) =>
          (max_tokens % 2 === 0
            ? Effect.asVoid(LanguageModel.generateText({ prompt: String(max_tokens) }))
            : Stream.runDrain(
              LanguageModel.streamText({ prompt: String(max_tokens) }).pipe(
                ClaudeLanguageModel.withConfigOverride({ max_tokens })
              )
            )).pipe(
              Effect.tap(() => Effect.yieldNow),
              ClaudeLanguageModel.withConfigOverride({ max_tokens: max_tokens % 2 === 0 ? max_tokens : 99 })
            ),
        { concurrency: "unbounded", discard: true }
      )
      for (const { max_tokens, messages } of yield* bodies) {
        assert.strictEqual(messages[0].content[0].text, String(max_tokens))
      }
    }).pipe(Effect.provide(layerOf([Answer.hello]))))

  it.effect("hold for the calls within, and the nearest wins", () =>
    Effect.gen(function*() {
      const ask = LanguageModel.generateText({ prompt: "Hi" })
      yield* ask
      yield* ask.pipe(
        ClaudeLanguageModel.withConfigOverride({ max_tokens: 3 }),
        ClaudeLanguageModel.withConfigOverride({ max_tokens: 2, service_tier: "auto" })
      )
      yield* ClaudeLanguageModel.withConfigOverride(ask, { model: "claude-haiku-5-5" })
      assert.deepStrictEqual(
        (yield* bodies).map(({ max_tokens, model, service_tier }) => [model, max_tokens, service_tier]),
        [["claude-opus-5-5", 1, undefined], ["claude-opus-5-5", 3, "auto"], ["claude-haiku-5-5", 1, undefined]]
      )
    }).pipe(Effect.provide(layerOf([Answer.hello], { max_tokens: 1 }))))
})
