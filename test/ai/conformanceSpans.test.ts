/** What effect/ai's spans tell, over the simulator. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema, Stream, type Tracer } from "effect"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { Chat, LanguageModel, Telemetry, Tool, Toolkit } from "effect/ai"
import { observe, type Observed, unended } from "../flow/observe.ts"
import { finishOf, inEachWay, log, only, type Parts, said, simulated, textOf, use } from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const SECRET = "078-05-1120"

const Find = Toolkit.make(
  Tool.make("find", { parameters: Schema.Struct({ ssn: Schema.String }), success: Schema.String })
)
const find = Effect.provide(Find, Find.toLayer({ find: ({ ssn }) => Effect.succeed(`found ${ssn}`) }))

const parentOf = (span: Tracer.NativeSpan): string =>
  Option.match(span.parent, { onNone: () => "", onSome: (parent) => parent._tag === "Span" ? parent.name : "" })

const tree = ({ spans }: Observed) => spans.map((span) => `${parentOf(span)} > ${span.name}`).toSorted()

/** With spans that are looked at; they are made where the layer is built. */
const observing = <A, E>(
  observed: Observed,
  answers: ClaudeSimulator.Answers,
  program: Effect.Effect<A, E, Layer.Success<ReturnType<typeof simulated>>>
) => Effect.provide(program, Layer.provideMerge(simulated(answers), observed.layer))

describe("spans", () => {
  inEachWay("of the model are over those of the call, and those of its tools", (ask, way) => {
    const observed = observe()
    const model = way === "streamed" ? "LanguageModel.streamText" : "LanguageModel.generateText"
    return observing(
      observed,
      [blocks([use("t1", "find", { ssn: SECRET }), use("t2", "find", { ssn: SECRET })])],
      Effect.gen(function*() {
        yield* Effect.withSpan(ask({ prompt: SECRET, toolkit: yield* find }), "program")
        assert.deepStrictEqual(
          tree(observed),
          [
            " > program",
            `${model} > chat claude-opus-5-5`,
            `${model} > execute_tool find`,
            `${model} > execute_tool find`,
            "chat claude-opus-5-5 > POST",
            `program > ${model}`
          ].toSorted()
        )
        assert.deepStrictEqual(unended(observed.spans), [])
        // What was said and what tools were given are nobody's business.
        for (const { attributes, events } of observed.spans) {
          assert.notInclude(JSON.stringify([[...attributes], events], (_, value) => String(value)), SECRET)
        }
        const { attributes } = observed.spans.find(({ name }) => name === "chat claude-opus-5-5")!
        assert.strictEqual(attributes.get("gen_ai.response.id"), finishId(yield* log))
      })
    )
  })

  it.live("of an object and of a chat are the same, each below its own", () => {
    const observed = observe()
    return observing(
      observed,
      [Answer.json({ a: 1 }), Answer.json({ a: 1 }), Answer.hello],
      Effect.gen(function*() {
        const schema = Schema.Struct({ a: Schema.Int })
        const chat = yield* Chat.empty
        yield* LanguageModel.generateObject({ prompt: "Go", schema, objectName: "it" })
        yield* chat.generateObject({ prompt: "Go", schema, objectName: "it" })
        yield* Stream.runDrain(chat.streamText({ prompt: "Go" }))
        assert.deepStrictEqual(
          tree(observed),
          [
            " > LanguageModel.generateObject",
            " > Chat.generateObject",
            " > Chat.streamText",
            "Chat.generateObject > LanguageModel.generateObject",
            "Chat.streamText > LanguageModel.streamText",
            "LanguageModel.generateObject > chat claude-opus-5-5",
            "LanguageModel.generateObject > chat claude-opus-5-5",
            "LanguageModel.streamText > chat claude-opus-5-5",
            "chat claude-opus-5-5 > POST",
            "chat claude-opus-5-5 > POST",
            "chat claude-opus-5-5 > POST"
          ].toSorted()
        )
        assert.deepStrictEqual(unended(observed.spans), [])
      })
    )
  })

  inEachWay("end, and say so, where the call fails", (ask) => {
    const observed = observe()
    return observing(
      observed,
      [Answer.truncate("midStream", Answer.text("one two three"))],
      Effect.gen(function*() {
        yield* Effect.flip(ask({ prompt: "Hi" }))
        assert.deepStrictEqual(unended(observed.spans), [])
        const failed = observed.spans.filter(({ status }) => status._tag === "Ended" && status.exit._tag === "Failure")
        assert.sameMembers(failed.map(({ name }) => name), observed.spans.map(({ name }) => name))
      })
    )
  })

  inEachWay("are told to who transforms them, with the request and the whole answer", (ask) => {
    const told: Array<Parameters<Telemetry.SpanTransformer>[0]> = []
    return Effect.gen(function*() {
      const toolkit = yield* find
      const parts = yield* ask({ prompt: "Hi", toolkit })
      assert.strictEqual(told.length, 1)
      const [{ prompt, response, tools }] = told as Json
      assert.strictEqual(prompt.content[0].content[0].text, "Hi")
      assert.deepStrictEqual(tools.map(({ name }: Json) => name), ["find"])
      assert.strictEqual(textOf(response as Parts), "Looking.")
      assert.strictEqual(finishOf(response as Parts).reason, finishOf(parts).reason)
      assert.strictEqual(only(response as Parts, "tool-result").length, 1)
    }).pipe(
      Effect.provide(simulated([blocks([said("Looking."), use("t1", "find", { ssn: "1" })])])),
      Effect.provideService(Telemetry.CurrentSpanTransformer, (options) => void told.push(options))
    )
  })
})

const finishId = ({ entries }: ClaudeSimulator.Log): string => entries[0]!.requestId.replace("req_", "msg_")
