/** What effect/ai promises of calls: how they are seen, chosen, answered on the way, and gone on from, over the simulator. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { Chat, Prompt, Tool, Toolkit } from "effect/ai"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import {
  bodies,
  finishOf,
  inEachWay,
  lastBody,
  only,
  resultsOf,
  said,
  simulated,
  textOf,
  use,
  weather
} from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

describe("calls that are only seen", () => {
  const Dates = Toolkit.make(Tool.make("date", {
    parameters: Schema.Struct({ at: Schema.DateTimeUtcFromString, n: Schema.FiniteFromString }),
    success: Schema.String
  }))
  const input = { at: "2026-01-02T00:00:00.000Z", n: "41" }
  const dates = Effect.provide(
    Dates,
    Dates.toLayer({ date: ({ at, n }) => Effect.succeed(`${at.epochMilliseconds} ${n + 1}`) })
  )

  inEachWay("hold their parameters as they were given, and may be handled then", (ask) =>
    Effect.gen(function*() {
      const toolkit = yield* dates
      const [call] = only(yield* ask({ prompt: "Go", toolkit, disableToolCallResolution: true }), "tool-call")
      assert.deepStrictEqual(call!.params, input)
      const results = yield* Effect.flatMap(toolkit.handle("date", call!.params as Json, call!.id), Stream.runCollect)
      assert.strictEqual(results[0]!.result, `${Date.UTC(2026, 0, 2)} 42`)
    }).pipe(Effect.provide(simulated([blocks([use("t1", "date", input)])]))))

  inEachWay("are given, too, where they run", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Go", toolkit: yield* dates })
      assert.deepStrictEqual(only(parts, "tool-call")[0]!.params, input)
      assert.deepStrictEqual(resultsOf(parts), { t1: `${Date.UTC(2026, 0, 2)} 42` })
    }).pipe(Effect.provide(simulated([blocks([use("t1", "date", input)])]))))

  inEachWay("fail where their parameters do not fit", (ask) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ask({ prompt: "Go", toolkit: yield* dates, disableToolCallResolution: true }))
      assert.strictEqual(error.reason._tag, "InvalidOutputError")
    }).pipe(Effect.provide(simulated([blocks([use("t1", "date", { at: 1 })])]))))

  inEachWay("are handed on as they are where their validation is deferred", (ask) =>
    Effect.gen(function*() {
      const options = { prompt: "Go", disableToolCallResolution: true, toolCallValidation: "deferred" } as const
      const seen = (parts: Parameters<typeof textOf>[0]) =>
        only(parts, "tool-call").map(({ name, params }) => [name, params])
      const expected = [["nobody", { any: ["thing"] }], ["date", { at: 1 }], ["toString", "no object"]]
      assert.deepStrictEqual(seen(yield* ask({ ...options, toolkit: yield* dates })), expected)
      assert.deepStrictEqual(seen(yield* ask(options)), expected)
    }).pipe(Effect.provide(simulated(() =>
      blocks([
        use("t1", "nobody", { any: ["thing"] }),
        use("t2", "date", { at: 1 }),
        use("t3", "toString", "no object")
      ])
    ))))

  inEachWay("of nobody go back as they came, with the answer that their caller gives", (ask) =>
    Effect.gen(function*() {
      const options = { disableToolCallResolution: true, toolCallValidation: "deferred" } as const
      const parts = yield* ask({ ...options, prompt: "Go" })
      const answered = Prompt.concat(Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), [
        {
          role: "tool",
          content: [
            { type: "tool-result", id: "t1", name: "nobody", isFailure: true, result: "There is no such tool." }
          ]
        }
      ])
      yield* ask({ ...options, prompt: answered })
      assert.deepStrictEqual((yield* lastBody).messages.slice(1), [
        { role: "assistant", content: [use("t1", "nobody", { a: 1 })] },
        {
          role: "user",
          content: [{ type: "tool_result", tool_use_id: "t1", content: "There is no such tool.", is_error: true }]
        }
      ])
    }).pipe(Effect.provide(simulated([blocks([use("t1", "nobody", { a: 1 })])]))))
})

describe("what a tool says on its way", () => {
  const Loads = Toolkit.make(Tool.make("load", {
    parameters: Schema.Struct({ n: Schema.Int }),
    success: Schema.Struct({ percent: Schema.Int }),
    failure: Schema.String,
    failureMode: "return"
  }))
  const loads = Effect.provide(
    Loads,
    Loads.toLayer({
      load: Effect.fnUntraced(function*({ n }, { preliminary }) {
        yield* preliminary({ percent: 10 })
        yield* preliminary({ percent: 60 })
        return n === 0 ? yield* Effect.fail("broken") : { percent: 100 }
      })
    })
  )

  for (const [n, last] of [[1, { percent: 100 }], [0, "broken"]] as const) {
    inEachWay(
      `is streamed, and the last of it is ${n === 0 ? "its failure" : "its result"}`,
      (ask, way) =>
        Effect.gen(function*() {
          const toolkit = yield* loads
          const parts = yield* ask({ prompt: "Go", toolkit })
          assert.deepStrictEqual(
            only(parts, "tool-result").map(({ isFailure, preliminary, result }) => [preliminary, isFailure, result]),
            [
              ...(way === "streamed" ? [[true, false, { percent: 10 }], [true, false, { percent: 60 }]] : []),
              [false, n === 0, last]
            ]
          )
          // Only that is told to the model.
          yield* ask({ prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), toolkit })
          assert.strictEqual((yield* lastBody).messages[2].content.length, 1)
        }).pipe(Effect.provide(simulated([blocks([use("t1", "load", { n })])])))
    )
  }
})

describe("which tools may be called", () => {
  const Three = Toolkit.make(
    Tool.make("a", { success: Schema.String }),
    Tool.make("b", { success: Schema.String }),
    Tool.make("c", { success: Schema.String })
  )
  const three = Effect.provide(
    Three,
    Three.toLayer({ a: () => Effect.succeed("A"), b: () => Effect.succeed("B"), c: () => Effect.succeed("C") })
  )

  for (
    const [choice, wire, names] of [
      ["auto", undefined, ["a", "b", "c"]],
      ["required", { type: "any" }, ["a", "b", "c"]],
      ["none", { type: "none" }, ["a", "b", "c"]],
      [{ tool: "b" }, { type: "tool", name: "b" }, ["a", "b", "c"]],
      [{ oneOf: ["a", "c"] }, undefined, ["a", "c"]],
      [{ oneOf: ["a", "c"], mode: "auto" }, undefined, ["a", "c"]],
      [{ oneOf: ["a", "c"], mode: "required" }, { type: "any" }, ["a", "c"]]
    ] as const
  ) {
    inEachWay(`is asked for as ${JSON.stringify(choice)}`, (ask) =>
      Effect.gen(function*() {
        const parts = yield* ask({ prompt: "Go", toolkit: yield* three, toolChoice: choice })
        const body = yield* lastBody
        assert.deepStrictEqual(body.tool_choice, wire)
        assert.deepStrictEqual(body.tools.map(({ name }: Json) => name), names)
        assert.deepStrictEqual(resultsOf(parts), { t1: "A" })
      }).pipe(Effect.provide(simulated([blocks([use("t1", "a", {})])]))))
  }

  inEachWay("is told with no toolkit, or an empty one, by no word of tools", (ask) =>
    Effect.gen(function*() {
      yield* ask({ prompt: "Go" })
      yield* ask({ prompt: "Go", toolkit: yield* Toolkit.empty })
      for (const body of yield* bodies) {
        assert.notProperty(body, "tools")
        assert.notProperty(body, "tool_choice")
      }
    }).pipe(Effect.provide(simulated([]))))
})

describe("Claude's own tools", () => {
  const search = ClaudeTool.WebSearch_20260318({})
  const found = (content: unknown) =>
    simulated([blocks([
      { type: "server_tool_use", id: "s1", name: "web_search", input: { query: "weather" } },
      { type: "web_search_tool_result", tool_use_id: "s1", content },
      said("Sunny.")
    ])])

  inEachWay("that the API runs are calls and results, and no handler is asked", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Weather?", toolkit: yield* Toolkit.make(search) })
      assert.deepStrictEqual(
        only(parts, "tool-call").map(({ name, params, providerExecuted }) => [name, params, providerExecuted]),
        [["AnthropicWebSearch", { query: "weather" }, true]]
      )
      assert.deepStrictEqual(only(parts, "tool-result").map(({ isFailure, name }) => [name, isFailure]), [
        ["AnthropicWebSearch", false]
      ])
      assert.strictEqual(textOf(parts), "Sunny.")
    }).pipe(
      Effect.provide(found([{
        type: "web_search_result",
        title: "Weather",
        url: "https://weather.invalid/",
        encrypted_content: "eA==",
        page_age: null
      }]))
    ))

  inEachWay("that failed there are results that say so", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Weather?", toolkit: yield* Toolkit.make(search) })
      assert.deepStrictEqual(only(parts, "tool-result").map(({ isFailure }) => isFailure), [true])
    }).pipe(Effect.provide(found({ type: "web_search_tool_result_error", error_code: "max_uses_exceeded" }))))

  inEachWay("that the program runs have handlers as its own have", (ask) => {
    const tools = Toolkit.make(ClaudeTool.Bash_20250124({}))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        tools,
        tools.toLayer({ AnthropicBash: ({ command }) => Effect.succeed(`ran ${command}`) })
      )
      const parts = yield* ask({ prompt: "Go", toolkit })
      assert.deepStrictEqual(resultsOf(parts), { t1: "ran ls" })
      assert.deepStrictEqual((yield* lastBody).tools, [{ type: "bash_20250124", name: "bash" }])
    }).pipe(Effect.provide(simulated([blocks([use("t1", "bash", { command: "ls" })])])))
  })
})

describe("a loop of turns", () => {
  for (const way of ["whole", "streamed"] as const) {
    it.live(`calls tools until the model has its answer (${way})`, () =>
      Effect.gen(function*() {
        const toolkit = yield* weather
        const chat = yield* Chat.fromPrompt([{ role: "system", content: "You know the weather." }])
        let prompt: Prompt.RawInput = "Where is it warmest?"
        let parts: ReadonlyArray<Json> = []
        do {
          parts = way === "whole"
            ? (yield* chat.generateText({ prompt, toolkit })).content
            : yield* Stream.runCollect(chat.streamText({ prompt, toolkit }))
          prompt = []
        } while (finishOf(parts).reason === "tool-calls")
        assert.strictEqual(textOf(parts), "In Winterthur.")
        const all = yield* bodies
        assert.strictEqual(all.length, 3)
        // Each request begins as the one before it: that is what the prompt cache lives of.
        all.slice(1).forEach((body, index) => {
          const before = all[index].messages
          assert.strictEqual(JSON.stringify(body.messages.slice(0, before.length)), JSON.stringify(before))
          assert.deepStrictEqual(body.system, all[index].system)
          assert.deepStrictEqual(body.tools, all[index].tools)
        })
        assert.sameMembers(
          all[2].messages.flatMap(({ content }: Json) => content).flatMap((block: Json) => block.content ?? []),
          ["{\"degrees\":4}", "{\"why\":\"It sank.\"}", "{\"degrees\":10}"]
        )
      }).pipe(Effect.provide(simulated([
        blocks([use("t1", "weather", { city: "Bern" }), use("t2", "weather", { city: "Atlantis" })]),
        blocks([said("One more."), use("t3", "weather", { city: "Winterthur" })]),
        Answer.text("In Winterthur.")
      ]))))
  }
})
