/** A program over effect/ai, and what `Claude.withPolicy`, an `ExecutionPlan` and the layers below it make of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, ExecutionPlan, Fiber, Layer, Option, Ref, Schema, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { type AiError, Chat, LanguageModel, Model, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import { blocks, bodies, layerOf, MODEL, sentHeaders } from "./support.ts"

const once = { retry: RetryPolicy.none }

const Note = Toolkit.make(Tool.make("note", { parameters: Schema.Struct({ what: Schema.String }) }))
const noting = Note.toLayer({ note: () => Effect.void })

const call = { type: "tool_use", id: "t1", name: "note", input: { what: "it" }, caller: { type: "direct" } }
const thought = { type: "thinking", thinking: "Hm.", signature: "c2ln" }

/** Both ways to ask, and their parts. */
const ways = {
  generateText: (prompt: Prompt.RawInput) =>
    Effect.map(
      LanguageModel.generateText({ prompt, toolkit: Note }),
      ({ content }): ReadonlyArray<Response.AnyPart> => content
    ),
  streamText: (prompt: Prompt.RawInput): Effect.Effect<
    ReadonlyArray<Response.AnyPart>,
    AiError.AiError,
    LanguageModel.LanguageModel | Tool.HandlersFor<Toolkit.Tools<typeof Note>>
  > => Stream.runCollect(LanguageModel.streamText({ prompt, toolkit: Note }))
}

const modelOf = (parts: ReadonlyArray<Response.AnyPart>) =>
  parts.find((part) => part.type === "response-metadata")?.modelId
const finishOf = (parts: ReadonlyArray<Response.AnyPart>) =>
  parts.find((part) => part.type === "finish")!.metadata.anthropic!

/** Whether it asks the model that the layer names. */
const isFirst = (body: object): boolean => "model" in body && body.model === MODEL

const reasonOf = (error: AiError.AiError): ClaudeError.ClaudeError["reason"]["_tag"] =>
  Option.getOrThrow(ClaudeLanguageModel.claudeError(error)).reason._tag

describe("a policy around", () => {
  it.effect("generateObject: a model without structured output is asked by a tool, and one with it by its format", () =>
    Effect.gen(function*() {
      const older = "claude-sonnet-4-20250514"
      const ask = LanguageModel.generateObject({
        prompt: "Who?",
        schema: Schema.Struct({ name: Schema.String }),
        objectName: "person"
      })
      const away = yield* ask.pipe(Claude.withPolicy({ fallback: [older] }))
      const home = yield* ask.pipe(
        Claude.withPolicy({ fallback: [MODEL] }),
        ClaudeLanguageModel.withConfigOverride({ model: older })
      )
      assert.deepStrictEqual([away.value, home.value], [{ name: "Ada" }, { name: "Ada" }])
      for (const { model, output_config, tool_choice, tools } of yield* bodies) {
        assert.strictEqual(output_config?.format?.type, model === MODEL ? "json_schema" : undefined)
        assert.strictEqual(tool_choice?.type, model === MODEL ? undefined : "tool")
        assert.strictEqual(tools?.length, model === MODEL ? undefined : 1)
      }
    }).pipe(Effect.provide(layerOf(
      [
        Answer.error(529),
        Answer.tool("person", { name: "Ada" }),
        Answer.error(529),
        Answer.json({ name: "Ada" })
      ],
      {},
      once
    ))))

  for (const [name, ask] of Object.entries(ways)) {
    it.effect(`${name}: another model answers, its name is with the answer, and the conversation goes on`, () =>
      Effect.gen(function*() {
        const parts = yield* ask("Hi").pipe(Claude.withPolicy({ fallback: ["claude-haiku-5-5"] }))
        assert.strictEqual(modelOf(parts), "claude-haiku-5-5")
        assert.strictEqual(finishOf(parts).attempts, 2)
        yield* ask(Prompt.concat(Prompt.concat(Prompt.make("Hi"), Prompt.fromResponseParts(parts)), "And?"))
        const [, , last] = yield* bodies
        assert.strictEqual(last.model, MODEL)
        assert.deepStrictEqual(last.messages[1].content, [thought, call])
        assert.strictEqual(last.messages[2].content[0].tool_use_id, "t1")
      }).pipe(Effect.provide([noting, layerOf([Answer.error(529), blocks([thought, call]), Answer.hello], {}, once)])))

    it.effect(`${name}: a refusal is the answer, or asks another, as it says`, () =>
      Effect.gen(function*() {
        const answer = yield* ask("Hi")
        assert.strictEqual(answer.find((part) => part.type === "finish")!.reason, "content-filter")
        const parts = yield* ask("Hi").pipe(
          Claude.withPolicy({ fallback: ["claude-haiku-5-5"], onRefusal: "fallback" })
        )
        // What a stream has told cannot be taken back.
        const isTold = name === "streamText"
        assert.strictEqual(modelOf(parts), isTold ? MODEL : "claude-haiku-5-5")
      }).pipe(Effect.provide([
        noting,
        layerOf(({ body }) => isFirst(body) ? Answer.text("No.", { stopReason: "refusal" }) : Answer.hello)
      ])))

    it.effect(`${name}: the cache answers what was asked before, and its tools run again`, () =>
      Effect.gen(function*() {
        const ask2 = ask("Hi").pipe(Claude.withPolicy({ cache: true }))
        const first = yield* ask2
        const second = yield* ask2
        assert.strictEqual((yield* bodies).length, 1)
        assert.deepStrictEqual([finishOf(first).cached, finishOf(second).cached], [false, true])
        assert.strictEqual(second.filter((part) => part.type === "tool-result").length, 1)
      }).pipe(Effect.provide([noting, layerOf([blocks([call])])])))

    it.effect(`${name}: a tenant that nobody knows is refused before anything is sent`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ask("Hi").pipe(Claude.withPolicy({ tenant: "nobody" })))
        assert.strictEqual(error.reason._tag, "InvalidRequestError")
        assert.strictEqual(reasonOf(error), "Misconfigured")
        yield* ask("Hi").pipe(Claude.withPolicy({ tenant: "acme" }))
        assert.strictEqual((yield* bodies).length, 1)
      }).pipe(
        Effect.provide([noting, layerOf([Answer.hello], {}, { tenants: { known: { acme: {} }, others: "refused" } })])
      ))

    it.effect(`${name}: a budget that is spent is QuotaExhaustedError, which nobody tries again`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ask("Hi"))
        assert.strictEqual(error.reason._tag, "QuotaExhaustedError")
        assert.isFalse(error.isRetryable)
        assert.strictEqual(reasonOf(error), "BudgetExceeded")
        assert.deepStrictEqual(yield* bodies, [])
      }).pipe(
        Effect.provide([noting, layerOf([Answer.hello], {}, { budget: [{ usd: 0.000_001, window: "1 day" }] })])
      ))

    it.effect(`${name}: betas of the policy, the layer, the model and its tools all hold`, () =>
      Effect.gen(function*() {
        yield* ask("Hi").pipe(Claude.withPolicy({ headers: { "Anthropic-Beta": "of-policy" } }))
        const [headers] = yield* sentHeaders
        assert.sameMembers(headers!["anthropic-beta"]!.split(","), ["of-layer", "of-policy", "of-model"])
      }).pipe(
        Effect.provide([
          noting,
          layerOf([Answer.hello], { betas: ["of-model"] }, { headers: { "anthropic-beta": "of-layer" } })
        ])
      ))
  }

  it.effect("a chat holds for each of its calls", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "Hi" }).pipe(
        Effect.andThen(Stream.runDrain(chat.streamText({ prompt: "And?" }))),
        Claude.withPolicy({ fallback: ["claude-haiku-5-5"] })
      )
      assert.deepStrictEqual((yield* bodies).map(({ model }) => model), [
        MODEL,
        "claude-haiku-5-5",
        MODEL,
        "claude-haiku-5-5"
      ])
      assert.strictEqual((yield* Ref.get(chat.history)).content.length, 4)
    }).pipe(
      Effect.provide(layerOf(({ body }) => isFirst(body) ? Answer.error(529) : Answer.hello, {}, once))
    ))
})

/** With a clock that goes on. */
function inTime<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
  return Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(self)
    for (let n = 0; n < 20; n++) yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })
}

describe("a plan of models", () => {
  const planOf = (answers: ScriptedTransport.Answers) => {
    const claude = Claude.layerTransport({ ...once, retryBudget: { ratio: 1, burst: 0 } }).pipe(
      Layer.provideMerge(ScriptedTransport.layer(answers)),
      Layer.orDie
    )
    const while_ = (error: AiError.AiError) => error.isRetryable
    const plan = ExecutionPlan.make(
      { provide: ClaudeLanguageModel.model(MODEL, { max_tokens: 11 }), while: while_ },
      { provide: ClaudeLanguageModel.model("claude-haiku-5-5"), while: while_ }
    )
    return { claude, plan }
  }

  it.effect("goes on to the next where the first may be tried again, and knows which answered", () => {
    const { claude, plan } = planOf(({ body }) => isFirst(body) ? Answer.error(529) : Answer.hello)
    return Effect.gen(function*() {
      const ask = Effect.gen(function*() {
        yield* LanguageModel.generateText({ prompt: "Hi" })
        return yield* Model.ModelName
      })
      assert.strictEqual(yield* Effect.withExecutionPlan(ask, plan), "claude-haiku-5-5")
      const text = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Stream.withExecutionPlan(plan, { preventFallbackOnPartialStream: true }),
        Stream.filter((part) => part.type === "text-delta"),
        Stream.map(({ delta }) => delta),
        Stream.mkString
      )
      assert.include(text, "Hello")
      assert.deepStrictEqual((yield* bodies).map(({ max_tokens, model }) => [model, max_tokens]), [
        [MODEL, 11],
        ["claude-haiku-5-5", 4096],
        [MODEL, 11],
        ["claude-haiku-5-5", 4096]
      ])
    }).pipe(Effect.provide(claude))
  })

  it.effect("asks nobody else what the first has refused, or has begun to answer", () => {
    const { claude, plan } = planOf([Answer.error(400), Answer.close("midStream")])
    return Effect.gen(function*() {
      const refused = yield* LanguageModel.generateText({ prompt: "Hi" }).pipe(
        Effect.withExecutionPlan(plan),
        Effect.flip
      )
      assert.strictEqual(refused.reason._tag, "InvalidRequestError")
      const broken = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Stream.withExecutionPlan(plan, { preventFallbackOnPartialStream: true }),
        Stream.runDrain,
        Effect.flip,
        inTime
      )
      assert.strictEqual(broken.reason._tag, "NetworkError")
      assert.deepStrictEqual((yield* bodies).map(({ model }) => model), [MODEL, MODEL])
    }).pipe(Effect.provide(claude))
  })
})

describe("two clients in one program", () => {
  it.effect("each have their models, and what was said to one may be said to the other", () => {
    const clientOf = (text: string) =>
      Layer.mergeAll(
        ClaudeLanguageModel.model(MODEL).pipe(
          Layer.provide(Claude.layerTransport({})),
          Layer.provide(ScriptedTransport.layer([Answer.text(text)])),
          Layer.orDie
        )
      )
    const ask = (prompt: Prompt.RawInput) => LanguageModel.generateText({ prompt })
    return Effect.gen(function*() {
      const one = yield* Layer.build(clientOf("one"))
      const two = yield* Layer.build(clientOf("two"))
      const [first, second] = yield* Effect.all([
        Effect.provide(ask("Hi"), one),
        Effect.provide(ask("Hi"), two)
      ], { concurrency: 2 })
      assert.deepStrictEqual([first.text, second.text], ["one", "two"])
      const history = Prompt.concat(Prompt.make("Hi"), Prompt.fromResponseParts(first.content))
      assert.strictEqual((yield* Effect.provide(ask(Prompt.concat(history, "So?")), two)).text, "two")
    }).pipe(Effect.scoped)
  })
})
