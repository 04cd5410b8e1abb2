/** What effect/ai promises of tools, over the simulator. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { AiError, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import {
  bodies,
  finishOf,
  inEachWay,
  lastBody,
  log,
  only,
  resultsOf,
  said,
  simulated,
  textOf,
  use,
  weather
} from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const Counts = Toolkit.make(Tool.make("count", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.Int }))

/** A toolkit whose only tool does this. */
const counting = (count: (n: number, id: string | undefined) => Effect.Effect<number>) =>
  Effect.provide(
    Counts,
    Counts.toLayer({ count: ({ n }, { toolCallId }) => count(n, toolCallId) })
  )

const counts = (many: number, options: Answer.ReplyOptions = {}) =>
  blocks(Array.from({ length: many }, (_, n) => use(`t${n}`, "count", { n })), options)

/** Past its first call, so that it runs while the answer is not over. */
const unended = Answer.stall({ afterEvents: 18 }, counts(5, { pace: "3 millis" }))

describe("a tool", () => {
  inEachWay("is told, called and answered, and the model goes on from its result", (ask) =>
    Effect.gen(function*() {
      const toolkit = yield* weather
      const parts = yield* ask({ prompt: "Weather?", toolkit })
      assert.deepStrictEqual(only(parts, "tool-call").map(({ id, name, params }) => [id, name, params]), [
        ["t1", "weather", { city: "Bern" }]
      ])
      assert.deepStrictEqual(resultsOf(parts), { t1: { degrees: 4 } })
      assert.strictEqual(finishOf(parts).reason, "tool-calls")
      const history = Prompt.concat(Prompt.make("Weather?"), Prompt.fromResponseParts(parts))
      assert.strictEqual(textOf(yield* ask({ prompt: history, toolkit })), "4 degrees")
      const [first, second] = yield* bodies
      assert.deepStrictEqual(first.tools.map((tool: Json) => [tool.name, tool.description]), [
        ["weather", "The weather of a city"]
      ])
      assert.deepStrictEqual(second.messages.slice(1), [
        { role: "assistant", content: [said("Looking."), use("t1", "weather", { city: "Bern" })] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "{\"degrees\":4}" }] }
      ])
    }).pipe(Effect.provide(simulated([
      blocks([said("Looking."), use("t1", "weather", { city: "Bern" })]),
      Answer.text("4 degrees")
    ]))))

  inEachWay("without parameters is called with none", (ask) => {
    const tools = Toolkit.make(Tool.make("now", { success: Schema.String }))
    const given: Array<unknown> = []
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        tools,
        tools.toLayer({ now: (params) => Effect.sync(() => (given.push(params), "noon")) })
      )
      const parts = yield* ask({ prompt: "Go", toolkit })
      assert.deepStrictEqual(given, [{}])
      assert.deepStrictEqual(resultsOf(parts), { t1: "noon" })
      assert.strictEqual((yield* lastBody).tools[0].input_schema.type, "object")
      yield* ask({ prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), toolkit })
      assert.deepStrictEqual((yield* lastBody).messages[1].content, [use("t1", "now", {})])
    }).pipe(Effect.provide(simulated([blocks([use("t1", "now", {})])])))
  })

  it.live("whose input never comes, since there is none, is called all the same", () => {
    const tools = Toolkit.make(Tool.make("now", { success: Schema.String }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(tools, tools.toLayer({ now: () => Effect.succeed("noon") }))
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Go", toolkit }))
      assert.deepStrictEqual(resultsOf(parts), { t1: "noon" })
    }).pipe(Effect.provide(simulated([Answer.events([
      { type: "message_start", message: emptyMessage },
      { type: "content_block_start", index: 0, content_block: use("t1", "now", {}) },
      { type: "content_block_stop", index: 0 },
      { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 1 } },
      { type: "message_stop" }
    ])])))
  })

  inEachWay("has the services that it needs, and may ask the model itself", (ask) => {
    class Units extends Context.Service<Units, string>()("test/Units") {}
    const tools = Toolkit.make(Tool.make("ask", {
      parameters: Schema.Struct({ what: Schema.String }),
      success: Schema.String,
      dependencies: [Units, LanguageModel.LanguageModel]
    }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        tools,
        tools.toLayer({
          ask: ({ what }) =>
            Effect.gen(function*() {
              const { text } = yield* Effect.orDie(
                LanguageModel.generateText({ prompt: `In ${yield* Units}: ${what}` })
              )
              return text
            })
        })
      )
      const parts = yield* ask({ prompt: "Go", toolkit }).pipe(Effect.provideService(Units, "kelvin"))
      assert.deepStrictEqual(resultsOf(parts), { t1: "277" })
      assert.strictEqual((yield* lastBody).messages[0].content[0].text, "In kelvin: Bern")
    }).pipe(Effect.provide(simulated([blocks([use("t1", "ask", { what: "Bern" })]), Answer.text("277")])))
  })

  inEachWay("may show the model something else than it answers", (ask) => {
    const image = { type: "file", mediaType: "image/png", data: new Uint8Array([137, 80]) } as const
    const tools = Toolkit.make(Tool.make("draw", {
      success: Schema.Struct({ path: Schema.String }),
      toModelOutput: ({ path }) => [Prompt.textPart({ text: `Drawn: ${path}` }), Prompt.filePart(image)]
    }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(tools, tools.toLayer({ draw: () => Effect.succeed({ path: "/a.png" }) }))
      const parts = yield* ask({ prompt: "Go", toolkit })
      assert.deepStrictEqual(resultsOf(parts), { t1: { path: "/a.png" } })
      yield* ask({ prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), toolkit })
      assert.deepStrictEqual((yield* lastBody).messages[2].content, [{
        type: "tool_result",
        tool_use_id: "t1",
        content: [
          { type: "text", text: "Drawn: /a.png" },
          { type: "image", source: { type: "base64", media_type: "image/png", data: "iVA=" } }
        ]
      }])
    }).pipe(Effect.provide(simulated([blocks([use("t1", "draw", {})])])))
  })
})

describe("tools that are only known when the program runs", () => {
  inEachWay("take what JSON Schema says, as it comes", (ask) => {
    const schema = { type: "object", properties: { q: { type: "string" } }, required: ["q"] } as const
    const tools = Toolkit.make(Tool.dynamic("search", { description: "Searches", parameters: schema }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        tools,
        tools.toLayer({ search: (params) => Effect.succeed({ found: params }) })
      )
      const parts = yield* ask({ prompt: "Go", toolkit })
      assert.deepStrictEqual(resultsOf(parts), { t1: { found: { q: "x", more: [null] } } })
      assert.deepStrictEqual((yield* lastBody).tools[0].input_schema, schema)
    }).pipe(Effect.provide(simulated([blocks([use("t1", "search", { q: "x", more: [null] })])])))
  })

  inEachWay("or what a Schema says, decoded", (ask) => {
    const tools = Toolkit.make(
      Tool.dynamic("add", { parameters: Schema.Struct({ n: Schema.FiniteFromString }), success: Schema.Finite })
    )
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(tools, tools.toLayer({ add: ({ n }) => Effect.succeed(n + 1) }))
      assert.deepStrictEqual(resultsOf(yield* ask({ prompt: "Go", toolkit })), { t1: 42 })
    }).pipe(Effect.provide(simulated([blocks([use("t1", "add", { n: "41" })])])))
  })
})

describe("many tools", () => {
  inEachWay("run side by side, each knowing its call, and are answered each by its id", (ask) => {
    const all = Deferred.makeUnsafe<void>()
    const ids: Array<string | undefined> = []
    return Effect.gen(function*() {
      const toolkit = yield* counting((n, id) =>
        Effect.gen(function*() {
          if (ids.push(id) === 8) yield* Deferred.succeed(all, undefined)
          // Nobody answers before all have begun.
          yield* Deferred.await(all)
          return n * 2
        })
      )
      const parts = yield* ask({ prompt: "Go", toolkit })
      assert.sameMembers(ids, ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"])
      assert.deepStrictEqual(resultsOf(parts), { t0: 0, t1: 2, t2: 4, t3: 6, t4: 8, t5: 10, t6: 12, t7: 14 })
      assert.isAbove(
        parts.findIndex(({ type }) => type === "finish"),
        parts.findIndex(({ type }) => type === "tool-call")
      )
      yield* ask({ prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), toolkit })
      const { messages } = yield* lastBody
      assert.deepStrictEqual(messages.map(({ role }: Json) => role), ["user", "assistant", "user"])
      assert.deepStrictEqual(messages[1].content.map(({ id }: Json) => id), [
        "t0",
        "t1",
        "t2",
        "t3",
        "t4",
        "t5",
        "t6",
        "t7"
      ])
      assert.sameMembers(messages[2].content.map(({ tool_use_id }: Json) => tool_use_id), ids)
    }).pipe(Effect.provide(simulated([counts(8)])))
  })

  for (const bound of [1, 3] as const) {
    inEachWay(`run no more than ${bound} at once where that is the bound`, (ask) => {
      let running = 0
      let most = 0
      const begun = Deferred.makeUnsafe<void>()
      return Effect.gen(function*() {
        const toolkit = yield* counting((n) =>
          Effect.gen(function*() {
            most = Math.max(most, ++running)
            if (running === bound) yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(begun)
            yield* Effect.sleep("1 millis")
            running--
            return n
          })
        )
        const parts = yield* ask({ prompt: "Go", toolkit, concurrency: bound })
        assert.strictEqual(Object.keys(resultsOf(parts)).length, 7)
        assert.strictEqual(most, bound)
      }).pipe(Effect.provide(simulated([counts(7)])))
    })
  }

  it.live("of which one is done answer before the answer is over", () => {
    return Effect.gen(function*() {
      const toolkit = yield* counting(Effect.succeed)
      const [result] = yield* LanguageModel.streamText({ prompt: "Go", toolkit }).pipe(
        Stream.filter((part) => part.type === "tool-result"),
        Stream.take(1),
        Stream.runCollect
      )
      assert.strictEqual(result!.result, 0)
    }).pipe(Effect.provide(simulated([unended])))
  })
})

describe("a tool that fails", () => {
  inEachWay("shows the model its failure where it returns it", (ask) =>
    Effect.gen(function*() {
      const toolkit = yield* weather
      const parts = yield* ask({ prompt: "Go", toolkit })
      assert.deepStrictEqual(only(parts, "tool-result").map(({ isFailure, result }) => [isFailure, result]), [
        [true, { why: "It sank." }]
      ])
      yield* ask({ prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), toolkit })
      assert.deepStrictEqual((yield* lastBody).messages[2].content, [
        { type: "tool_result", tool_use_id: "t1", content: "{\"why\":\"It sank.\"}", is_error: true }
      ])
    }).pipe(Effect.provide(simulated([blocks([use("t1", "weather", { city: "Atlantis" })])]))))

  inEachWay(
    "shows the model what is wrong with the parameters, too, and does not run",
    (ask) =>
      Effect.gen(function*() {
        const toolkit = yield* weather
        const parts = yield* ask({ prompt: "Go", toolkit })
        const [result] = only(parts, "tool-result") as Json
        assert.isTrue(result.isFailure)
        assert.strictEqual(result.result.reason._tag, "ToolParameterValidationError")
        yield* ask({ prompt: Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), toolkit })
        const [shown] = (yield* lastBody).messages[2].content
        assert.isTrue(shown.is_error)
        assert.include(shown.content, "city")
      }).pipe(Effect.provide(simulated([blocks([use("t1", "weather", { city: 3 })])])))
  )

  const failing = (failureMode: "error" | "return", fail: Effect.Effect<never, string | AiError.AiErrorReason>) => {
    const tools = Toolkit.make(Tool.make("f", {
      parameters: Schema.Struct({ n: Schema.Int }),
      success: Schema.String,
      failure: Schema.String,
      failureMode
    }))
    return Effect.provide(tools, tools.toLayer({ f: () => fail } as Json)) as Effect.Effect<Toolkit.WithHandler<Json>>
  }
  const f = (input: unknown) => simulated(() => blocks([use("t1", "f", input)]))

  inEachWay("fails the call where it does not return its failure", (ask) =>
    Effect.gen(function*() {
      const toolkit = yield* failing("error", Effect.fail("broken"))
      assert.strictEqual(yield* Effect.flip(ask({ prompt: "Go", toolkit })), "broken")
    }).pipe(Effect.provide(f({ n: 1 }))))

  inEachWay("fails the call with what is wrong with the parameters", (ask) =>
    Effect.gen(function*() {
      const toolkit = yield* failing("error", Effect.die("does not run"))
      const error = yield* Effect.flip(ask({ prompt: "Go", toolkit }))
      assert.strictEqual(error.reason._tag, "ToolParameterValidationError")
      assert.strictEqual(error.reason.toolName, "f")
    }).pipe(Effect.provide(f({ n: "one" }))))

  inEachWay("may fail with a reason of effect/ai's", (ask) =>
    Effect.gen(function*() {
      const reason = new AiError.RateLimitError({})
      const error = yield* Effect.flip(ask({ prompt: "Go", toolkit: yield* failing("error", Effect.fail(reason)) }))
      assert.strictEqual(error.reason._tag, "RateLimitError")
      const parts = yield* ask({ prompt: "Go", toolkit: yield* failing("return", Effect.fail(reason)) })
      const [result] = only(parts, "tool-result") as Json
      assert.isTrue(result.isFailure)
      assert.strictEqual(result.result.reason._tag, "RateLimitError")
    }).pipe(Effect.provide(f({ n: 1 }))))

  inEachWay("by an answer that is none fails the call, too", (ask) =>
    Effect.gen(function*() {
      const wrong = Effect.succeed(3) as unknown as Effect.Effect<never>
      for (const failureMode of ["error", "return"] as const) {
        const error = yield* Effect.flip(ask({ prompt: "Go", toolkit: yield* failing(failureMode, wrong) }))
        assert.strictEqual(error.reason._tag, "ToolResultEncodingError")
      }
    }).pipe(Effect.provide(f({ n: 1 }))))

  for (const failureMode of ["error", "return"] as const) {
    inEachWay(`by a defect ends the call, whatever it would return (${failureMode})`, (ask) =>
      Effect.gen(function*() {
        const toolkit = yield* failing(failureMode, Effect.die("bug"))
        const exit = yield* Effect.exit(ask({ prompt: "Go", toolkit }))
        assert(Exit.isFailure(exit))
        assert.isTrue(exit.cause.reasons.some((reason) => Cause.isDieReason(reason) && reason.defect === "bug"))
      }).pipe(Effect.provide(f({ n: 1 }))))
  }

  inEachWay("stops those that run beside it", (ask) => {
    let stopped = 0
    const begun = Deferred.makeUnsafe<void>()
    const tools = Toolkit.make(
      Tool.make("wait", { success: Schema.String }),
      Tool.make("fail", { success: Schema.String, failure: Schema.String })
    )
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        tools,
        tools.toLayer({
          wait: () =>
            Deferred.succeed(begun, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Effect.sync(() => void stopped++))
            ),
          fail: () => Effect.andThen(Deferred.await(begun), Effect.fail("broken"))
        })
      )
      assert.strictEqual(yield* Effect.flip(ask({ prompt: "Go", toolkit })), "broken")
      assert.strictEqual(stopped, 1)
    }).pipe(Effect.provide(simulated([blocks([use("t1", "wait", {}), use("t2", "fail", {})])])))
  })
})

describe("a tool that is stopped", () => {
  inEachWay("by its caller is interrupted, and the call with it", (ask) => {
    const begun = Deferred.makeUnsafe<void>()
    let stopped = 0
    return Effect.gen(function*() {
      const toolkit = yield* counting(() =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Effect.sync(() => void stopped++))
        )
      )
      const fiber = yield* Effect.forkChild(ask({ prompt: "Go", toolkit }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(stopped, 1)
      assert.strictEqual((yield* log).inFlight, 0)
    }).pipe(Effect.provide(simulated([counts(1)])))
  })

  it.live("by a stream that breaks is interrupted, and the stream fails", () => {
    const begun = Deferred.makeUnsafe<void>()
    const stopped = Deferred.makeUnsafe<void>()
    return Effect.gen(function*() {
      const toolkit = yield* counting(() =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Deferred.succeed(stopped, undefined))
        )
      )
      const fiber = yield* Effect.forkChild(
        Effect.flip(Stream.runDrain(LanguageModel.streamText({ prompt: "Go", toolkit })))
      )
      yield* Deferred.await(begun)
      yield* (yield* ClaudeSimulator.ClaudeSimulator).dropConnections
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "NetworkError")
      yield* Deferred.await(stopped)
    }).pipe(Effect.provide(simulated([unended])))
  })

  it.live("by an answer that is cut is interrupted, and answered so; one that was done keeps its result", () => {
    const begun = Deferred.makeUnsafe<void>()
    return Effect.gen(function*() {
      const toolkit = yield* counting((n) =>
        n === 0 ? Effect.succeed(0) : Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      )
      const fiber = yield* Effect.forkChild(Stream.runCollect(LanguageModel.streamText({ prompt: "Go", toolkit })))
      yield* Deferred.await(begun)
      const parts = yield* Fiber.join(fiber)
      assert.strictEqual(finishOf(parts).reason, "length")
      assert.deepStrictEqual(only(parts, "tool-result").map(({ id, isFailure }) => [id, isFailure]), [
        ["t0", false],
        ["t1", true]
      ])
      assert.strictEqual((resultsOf(parts)["t1"] as Json).type, "execution-interrupted")
    }).pipe(Effect.provide(simulated([
      blocks([use("t0", "count", { n: 0 }), use("t1", "count", { n: 1 }), said("a b c d e f g h")], {
        stopReason: "max_tokens",
        pace: "10 millis"
      })
    ])))
  })
})

describe("a tool does not run", () => {
  const runs = () => {
    let ran = 0
    return { toolkit: counting((n) => Effect.sync(() => (ran++, n))), ran: () => ran }
  }

  for (
    const [stopReason, reason] of [
      ["max_tokens", "length"],
      ["model_context_window_exceeded", "length"],
      ["refusal", "content-filter"],
      ["brand_new", "unknown"]
    ] as const
  ) {
    inEachWay(`where the answer was cut by ${stopReason}, and the chat goes on`, (ask) => {
      const { ran, toolkit } = runs()
      return Effect.gen(function*() {
        const tools = yield* toolkit
        const parts = yield* ask({ prompt: "Go", toolkit: tools })
        assert.strictEqual(finishOf(parts).reason, reason)
        assert.deepStrictEqual(only(parts, "tool-result").map(({ isFailure }) => isFailure), [true, true])
        assert.strictEqual(ran(), 0)
        yield* ask({
          prompt: Prompt.concat(Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(parts)), "Again"),
          toolkit: tools
        })
        const { messages } = yield* lastBody
        assert.deepStrictEqual(messages[2].content.map((block: Json) => [block.tool_use_id, block.is_error]), [
          ["t0", true],
          ["t1", true],
          [undefined, undefined]
        ])
      }).pipe(Effect.provide(simulated([
        blocks([use("t0", "count", { n: 0 }), use("t1", "count", { n: 1 })], { stopReason: stopReason as Json })
      ])))
    })
  }

  // message_start, the text's start, delta and stop, the tool's start, three deltas and its stop, message_delta.
  const answer = blocks([said("Now"), use("t1", "count", { n: 1_234_567 })])
  for (let events = 0; events <= 10; events++) {
    for (
      const [how, broken] of [
        ["ends", Answer.truncate({ afterEvents: events }, answer)],
        ["closes", Answer.close({ afterEvents: events }, answer)],
        [
          "says that it is overloaded",
          Answer.errorEvent("overloaded_error", "Overloaded", { afterEvents: events }, answer)
        ]
      ] as const
    ) {
      inEachWay(`where the stream ${how} after ${events} events: that is a failure`, (ask) => {
        const { ran, toolkit } = runs()
        return Effect.gen(function*() {
          const exit = yield* Effect.exit(ask({ prompt: "Go", toolkit: yield* toolkit }))
          assert.isTrue(Exit.isFailure(exit))
          assert.strictEqual(ran(), 0)
        }).pipe(Effect.provide(simulated([broken])))
      })
    }
  }

  inEachWay("where its input is no JSON", (ask) => {
    const { ran, toolkit } = runs()
    return Effect.gen(function*() {
      const exit = yield* Effect.exit(ask({ prompt: "Go", toolkit: yield* toolkit }))
      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual(ran(), 0)
    }).pipe(Effect.provide(simulated([Answer.garbage("badEvent")])))
  })

  inEachWay("where nobody declared it, and neither do those beside it", (ask) => {
    const { ran, toolkit } = runs()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(ask({ prompt: "Go", toolkit: yield* toolkit }))
      assert.strictEqual(error.reason._tag, "ToolNotFoundError")
      assert.strictEqual(error.reason.toolName, "nobody")
      assert.deepStrictEqual(error.reason.availableTools, ["count"])
      assert.strictEqual(ran(), 0)
    }).pipe(Effect.provide(simulated([blocks([use("t1", "nobody", {}), use("t2", "count", { n: 1 })])])))
  })

  inEachWay("where its caller asks to see the calls only", (ask) => {
    const { ran, toolkit } = runs()
    return Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Go", toolkit: yield* toolkit, disableToolCallResolution: true })
      assert.deepStrictEqual(only(parts, "tool-call").map(({ params }) => params), [{ n: 0 }])
      assert.deepStrictEqual(only(parts, "tool-result"), [])
      assert.strictEqual(ran(), 0)
    }).pipe(Effect.provide(simulated([counts(1)])))
  })
})

const emptyMessage = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-opus-5-5",
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 }
}
