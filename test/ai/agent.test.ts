import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as Agent from "../../src/ai/agent/Agent.ts"
import {
  answers,
  asks,
  calls,
  done,
  ends,
  finished,
  ofJson,
  play,
  respond,
  says,
  tags,
  type Turn
} from "./agentModel.ts"

const Add = Tool.make("add", {
  parameters: Schema.Struct({ a: Schema.Int, b: Schema.Int }),
  success: Schema.Int
})
const Wait = Tool.make("wait", { success: Schema.String })
const Tools = Toolkit.make(Add, Wait)
const handlers = Tools.toLayer({
  add: ({ a, b }) => Effect.succeed(a + b),
  wait: () => Effect.as(Effect.sleep("10 seconds"), "waited")
})

const agent = Agent.make({ name: "sums", toolkit: Tools, instructions: "Add." })

const collect = (self: typeof agent, input: Prompt.RawInput = "1+2", options?: Agent.RunOptions) =>
  Stream.runCollect(self.stream(input, options))

describe("an agent", () => {
  it.effect("asks the model again with what its tools answered, until it is done", () => {
    const model = play(asks(...says("Let me see. "), calls("t1", "add", { a: 1, b: 2 })), done("It is 3."))
    return Effect.gen(function*() {
      const result = yield* agent.run("1+2")
      assert.deepInclude(result, { reason: "done", text: "It is 3.", turns: 2, pending: [] })
      assert.deepStrictEqual(answers(result.transcript), { t1: 3 })
      assert.deepStrictEqual(result.transcript.content.map(({ role }) => role), [
        "user",
        "assistant",
        "tool",
        "assistant"
      ])
      assert.deepStrictEqual(model.prompts[1]!.content.map(({ role }) => role), ["system", "user", "assistant", "tool"])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("tells each step in order, and the transcript so far with each turn", () => {
    const model = play(asks(...says("Look: "), calls("t1", "add", { a: 1, b: 2 })), [
      { type: "reasoning-start", id: "r" },
      { type: "reasoning-delta", id: "r", delta: "Hm." },
      { type: "reasoning-end", id: "r" },
      ...done("It is 3.")
    ])
    return Effect.gen(function*() {
      const steps = yield* collect(agent)
      assert.deepStrictEqual(tags(steps), [
        "TextDelta",
        "ToolsCalled",
        "ToolStarted",
        "ToolFinished",
        "TurnFinished",
        "ReasoningDelta",
        "TextDelta",
        "TextDelta",
        "TextDelta",
        "TurnFinished",
        "Finished"
      ])
      assert.deepInclude(finished(steps)[0], { turn: 1, name: "add", outcome: "success", result: 3, attempts: 1 })
      const turns = steps.filter((step) => step._tag === "TurnFinished")
      assert.deepStrictEqual(turns.map(({ finishReason, turn }) => [turn, finishReason]), [[1, "tool-calls"], [
        2,
        "stop"
      ]])
      assert.deepStrictEqual(turns.map(({ transcript }) => transcript.content.length), [3, 4])
      assert.deepStrictEqual(turns[0]!.usage, {
        inputTokens: 10,
        outputTokens: 5,
        cacheReadTokens: 0,
        cacheWriteTokens: 0
      })
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("goes on after a pause without being asked anything, and its text is that of both", () => {
    const model = play([...says("Searching. "), ends("pause")], done())
    return Effect.gen(function*() {
      const { reason, text, turns } = yield* agent.run("Go")
      assert.deepStrictEqual([reason, turns, text], ["done", 2, "Searching. Done."])
      assert.deepStrictEqual(model.prompts[1]!.content.map(({ role }) => role), ["system", "user", "assistant"])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  for (const [finish, reason] of [["length", "cut"], ["content-filter", "refused"], ["unknown", "cut"]] as const) {
    it.effect(`is ${reason} where an answer ends with ${finish}, and runs none of its tools`, () => {
      const model = play([calls("t1", "add", { a: 1, b: 2 }), ends(finish)])
      return Effect.gen(function*() {
        const steps = yield* collect(agent)
        const result = steps.at(-1) as Agent.Finished
        assert.strictEqual(result.reason, reason)
        assert.deepStrictEqual(tags(steps), ["ToolFinished", "TurnFinished", "Finished"])
        assert.deepInclude(finished(steps)[0], { outcome: "interrupted", attempts: 0 })
        assert.nestedInclude(answers(result.transcript), { "t1.type": "execution-interrupted" })
      }).pipe(Effect.provide([model.layer, handlers]))
    })
  }

  it.effect("runs a call whose id came twice once", () => {
    const model = play(asks(calls("t1", "add", { a: 1, b: 2 }), calls("t1", "add", { a: 3, b: 4 })), done())
    return Effect.gen(function*() {
      const steps = yield* collect(agent)
      assert.deepStrictEqual(finished(steps).map(({ result }) => result), [3])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("gives each call its own result where ids come again in each turn", () => {
    const model = play(asks(calls("c", "add", { a: 1, b: 2 })), asks(calls("c", "add", { a: 3, b: 4 })), done())
    return Effect.gen(function*() {
      const { transcript } = yield* agent.run("Go")
      const results = transcript.content.flatMap((message) =>
        message.role === "tool" ? message.content.map((part) => part.type === "tool-result" && part.result) : []
      )
      assert.deepStrictEqual(results, [3, 7])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("is cut where an answer just ends", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* agent.run("Go")).reason, "cut")
    }).pipe(Effect.provide([play(says("Half")).layer, handlers])))

  it.effect("fails where its stream tells of an error", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(collect(agent))
      assert.strictEqual(error.reason._tag, "InternalProviderError")
      assert.notInclude(error.message, "secret")
    }).pipe(Effect.provide([play([...says("Half"), { type: "error", error: "secret" }]).layer, handlers])))

  it("refuses options that cannot be meant, by their names", () => {
    const refused = (options: Partial<Parameters<typeof Agent.make<{}>>[0]>) => () =>
      Agent.make({ name: "x", toolkit: Toolkit.empty, ...options })
    assert.throws(refused({ limits: { turns: 0 } }), RangeError, /limits\.turns is 0; expected a whole number/)
    assert.throws(refused({ limits: { tokens: -1 } }), RangeError, /limits\.tokens/)
    assert.throws(refused({ limits: { cost: Number.NaN } }), RangeError, /limits\.cost/)
    assert.throws(refused({ limits: { time: 0 } }), RangeError, /limits\.time/)
    assert.throws(refused({ tools: { concurrency: 1.5 } }), RangeError, /tools\.concurrency/)
    assert.throws(refused({ tools: { timeout: "soon" as never } }), RangeError, /tools\.timeout/)
    assert.throws(() => agent.run("x", { limits: { turns: 0 } }), RangeError, /limits\.turns/)
  })

  it("has types of what its tools need, and no more", () => {
    const empty = Agent.make({ name: "x", toolkit: Toolkit.empty })
    const one: Effect.Effect<Agent.Result, AiError.AiError, LanguageModel.LanguageModel> = empty.run("x")
    const two = agent.run("x")
    const services: ReadonlyArray<Effect.Services<typeof two>> = []
    const needed: ReadonlyArray<LanguageModel.LanguageModel | Tool.Handler<"add"> | Tool.Handler<"wait">> = services
    const as: ReadonlyArray<Effect.Services<typeof two>> = needed
    // @ts-expect-error the handlers are missing
    const missing: ReadonlyArray<LanguageModel.LanguageModel> = services
    // @ts-expect-error there is no such tool
    Agent.make({ name: "x", toolkit: Tools, tools: { each: { ad: {} } } })
    assert.isTrue([one, two].every(Effect.isEffect) && as === missing as never)
  })
})

describe("the toolkit of an agent", () => {
  const open: Array<string> = []
  const opened = Effect.acquireRelease(
    Effect.flatMap(Toolkit.empty, (toolkit) => Effect.as(Effect.sync(() => open.push("toolkit")), toolkit)),
    () => Effect.sync(() => open.pop())
  )
  const scoped = Agent.make({ name: "x", toolkit: opened, limits: { time: "1 minute" } })
  const run: Effect.Effect<Agent.Result, AiError.AiError, LanguageModel.LanguageModel> = scoped.run("Go")

  it.effect("is made for each run, and let go with it, however it ends", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const model = (last: Turn) => respond(() => (seen.push(open.length), last)).layer
      yield* run.pipe(Effect.provide(model(done())))
      yield* Effect.flip(run).pipe(Effect.provide(model([{ type: "error", error: "down" }])), Effect.ignore)
      const fiber = yield* Effect.forkChild(run.pipe(Effect.provide(model(Stream.never))), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      yield* Stream.runHead(scoped.stream("Go")).pipe(Effect.provide(model(done("So many words"))))
      assert.deepStrictEqual([seen, open], [[1, 1, 1, 1], []])
    }))

  it.effect("is made in the time of the run", () =>
    Effect.gen(function*() {
      const slow = Agent.make({
        name: "x",
        toolkit: Effect.delay(Toolkit.empty, "2 minutes"),
        limits: { time: "1 minute" }
      })
      const model = play(done())
      const fiber = yield* Effect.forkChild(slow.run("Go").pipe(Effect.provide(model.layer)), {
        startImmediately: true
      })
      yield* TestClock.adjust("2 minutes")
      const { reason, turns } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([reason, turns, model.prompts.length], ["time-limit", 0, 0])
    }))
})

describe("the choice of tools", () => {
  const turns = [asks(calls("t1", "add", { a: 1, b: 2 })), asks(calls("t2", "add", { a: 1, b: 2 })), done()] as const
  const chosen = (toolChoice: Agent.ToolChoice<"add" | "wait"> | undefined, input: Prompt.RawInput = "Go") => {
    const model = play(...turns)
    return Agent.make({ name: "x", toolkit: Tools, toolChoice }).run(input).pipe(
      Effect.provide([model.layer, handlers]),
      Effect.as(model.choices)
    )
  }

  it.effect("is the model's unless it is told", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* chosen(undefined), ["auto", "auto", "auto"])
    }))

  it.effect("that makes it call one holds until a tool has answered", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* chosen("required"), ["required", "auto", "auto"])
      assert.deepStrictEqual(yield* chosen({ tool: "add" }), [{ tool: "add" }, "auto", "auto"])
      assert.deepStrictEqual(yield* chosen({ oneOf: ["add"], mode: "required" }), [
        { oneOf: ["add"], mode: "required" },
        { oneOf: ["add"] },
        { oneOf: ["add"] }
      ])
    }))

  it.effect("that keeps it from some holds in every turn", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* chosen("none"), ["none", "none", "none"])
      assert.deepStrictEqual(yield* chosen({ oneOf: ["add"] }), [{ oneOf: ["add"] }, { oneOf: ["add"] }, {
        oneOf: ["add"]
      }])
    }))

  it.effect("is made for each turn by a function that sees the transcript", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const choices = yield* chosen(({ transcript, turn }) => {
        seen.push(transcript.content.length)
        return turn === 3 ? "none" : "auto"
      })
      assert.deepStrictEqual(choices, ["auto", "auto", "none"])
      assert.deepStrictEqual(seen, [1, 3, 5])
    }))

  it("is of tools that there are", () => {
    // @ts-expect-error there is no such tool
    Agent.make({ name: "x", toolkit: Tools, toolChoice: { tool: "ad" } })
  })
})

describe("agents below an agent", () => {
  const Ask = Tool.make("ask", { success: Schema.String, dependencies: [LanguageModel.LanguageModel] })
  const Asks = Toolkit.make(Ask)
  const below = Agent.make({ name: "below", toolkit: Tools, limits: { turns: 10 } })
  const above = Agent.make({ name: "above", toolkit: Asks })

  /** The model of the one above asks the one below, whose model goes on calling tools. */
  const model = () =>
    respond(({ content }) => {
      const isBelow = content.some((message) => message.role === "user" && JSON.stringify(message).includes("below"))
      if (isBelow) return [calls(`b${content.length}`, "add", { a: 1, b: 2 }), ends("tool-calls", [10, 5], 0.25)]
      return content.at(-1)?.role === "user"
        ? [calls("a1", "ask"), ends("tool-calls", [10, 5], 0.25)]
        : [...says("Done."), ends("stop", [10, 5], 0.25)]
    })
  const reasons: Array<string> = []
  const asking = Asks.toLayer(Effect.map(Effect.context<Tool.Handler<"add"> | Tool.Handler<"wait">>(), (context) => ({
    ask: () =>
      below.run("below").pipe(
        Effect.map(({ reason, turns }) => (reasons.push(reason), `${reason} after ${turns}`)),
        Effect.orDie,
        Effect.provideContext(context)
      )
  })))

  it.effect("are part of what it has used and spent", () =>
    Effect.gen(function*() {
      const steps = yield* Stream.runCollect(above.stream("Go")).pipe(
        Effect.provide([model().layer, asking.pipe(Layer.provide(handlers))])
      )
      const { cost, reason, turns, usage } = steps.at(-1) as Agent.Finished
      assert.deepStrictEqual([reason, turns, cost], ["done", 2, 3])
      assert.deepInclude(usage, { inputTokens: 120, outputTokens: 60 })
      // A turn's own are those of its answer.
      const own = steps.flatMap((step) => step._tag === "TurnFinished" ? [[step.cost, step.usage.inputTokens]] : [])
      assert.deepStrictEqual(own, [[0.25, 10], [0.25, 10]])
    }))

  it.effect("stop at its limits too", () =>
    Effect.gen(function*() {
      reasons.length = 0
      const run = (limits: Agent.Limits) =>
        above.run("Go", { limits }).pipe(Effect.provide([model().layer, asking.pipe(Layer.provide(handlers))]))
      const { cost, reason, turns } = yield* run({ cost: 1 })
      assert.deepStrictEqual([reason, turns, cost, reasons], ["cost-limit", 1, 1, ["cost-limit"]])
      const tokens = yield* run({ tokens: 45 })
      assert.deepStrictEqual([tokens.reason, tokens.usage.inputTokens], ["token-limit", 30])
    }))
})

describe("limits", () => {
  it.effect("of turns: what the last turn asks for is not run, and is answered so", () => {
    const model = play(asks(calls("t1", "add", { a: 1, b: 2 })), asks(calls("t2", "add", { a: 3, b: 4 })))
    return Effect.gen(function*() {
      const { reason, transcript, turns } = yield* agent.run("Go", { limits: { turns: 2 } })
      assert.deepStrictEqual([reason, turns], ["turn-limit", 2])
      const { t1, t2 } = answers(transcript)
      assert.strictEqual(t1, 3)
      assert.deepInclude(t2, { type: "execution-interrupted" })
      // It goes on from there, with turns of its own.
      assert.strictEqual((yield* agent.run(transcript, { limits: { turns: 1 } })).reason, "turn-limit")
      assert.strictEqual(model.prompts.length, 3)
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("of a run are in place of the agent's own, one by one", () =>
    Effect.gen(function*() {
      const limited = Agent.make({ name: "x", toolkit: Tools, limits: { turns: 3, tokens: 75 } })
      const reached = (limits?: Agent.Limits) =>
        Effect.map(limited.run("Go", { limits }), ({ reason, turns }) => [reason, turns])
      assert.deepStrictEqual(yield* reached(), ["turn-limit", 3])
      assert.deepStrictEqual(yield* reached({ turns: 8 }), ["token-limit", 5])
      assert.deepStrictEqual(yield* reached({ tokens: 30, turns: undefined }), ["token-limit", 2])
    }).pipe(
      Effect.provide([
        respond(({ content }) => asks(calls(`${content.length}`, "add", { a: 1, b: 2 }))).layer,
        handlers
      ])
    ))

  it.effect("of tokens are those of all turns, and do not keep it from being done", () => {
    const model = play(asks(calls("t1", "add", { a: 1, b: 2 })), asks(calls("t2", "add", { a: 1, b: 2 })), done())
    return Effect.gen(function*() {
      const some = yield* agent.run("Go", { limits: { tokens: 30 } })
      assert.deepStrictEqual([some.reason, some.turns], ["token-limit", 2])
      assert.deepInclude(some.usage, { inputTokens: 20, outputTokens: 10 })
      assert.strictEqual((yield* agent.run("Go", { limits: { tokens: 1 } })).reason, "done")
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("of cost: the sum of what turns cost", () => {
    const turn = (
      id: string,
      cost?: number | null
    ) => [calls(id, "add", { a: 1, b: 2 }), ends("tool-calls", [1, 1], cost)]
    const model = play(turn("t1", 0.25), turn("t2", 0.25))
    return Effect.gen(function*() {
      const { cost, reason, turns } = yield* agent.run("Go", { limits: { cost: 0.75 } })
      assert.deepStrictEqual([reason, turns, cost], ["cost-limit", 3, 0.75])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("of cost know none of what other models tell of themselves", () =>
    Effect.gen(function*() {
      const { metadata: _, ...end } = ends("stop") as Response.FinishPartEncoded
      const told = [null, { cost: 1 }, { cost: "a lot" }, { cost: { amount: "1" } }, { cost: [] }]
      for (const metadata of [{}, { other: { cost: 1 } }, ...told.map((anthropic) => ({ anthropic }))]) {
        const model = play([...says("Done."), { ...end, metadata: metadata as never }])
        const { cost, reason } = yield* agent.run("Go").pipe(Effect.provide([model.layer, handlers]))
        assert.deepStrictEqual([reason, cost], ["done", undefined], JSON.stringify(metadata))
      }
    }))

  it.effect("of cost are reached by a turn whose cost nobody tells; without one it is unknown and no more", () => {
    const model = play([calls("t1", "add", { a: 1, b: 2 }), ends("tool-calls", [1, 1], null)], done())
    return Effect.gen(function*() {
      const limited = yield* agent.run("Go", { limits: { cost: 100 } })
      assert.deepStrictEqual([limited.reason, limited.turns, limited.cost], ["cost-limit", 1, undefined])
    }).pipe(
      Effect.provide([model.layer, handlers]),
      Effect.andThen(
        Effect.gen(function*() {
          const free = yield* agent.run("Go")
          assert.deepStrictEqual([free.reason, free.cost], ["done", undefined])
        }).pipe(Effect.provide([play(asks(calls("t1", "add", { a: 1, b: 2 })), done()).layer, handlers]))
      )
    )
  })

  it.effect("of time: tools that run are interrupted and answered so, those that are done keep their results", () => {
    const model = play(asks(calls("t1", "add", { a: 1, b: 2 }), calls("t2", "wait"), calls("t3", "wait")), done())
    return Effect.gen(function*() {
      const limited = Agent.make({
        name: "x",
        toolkit: Tools,
        limits: { time: "5 seconds" },
        tools: { concurrency: 2 }
      })
      const fiber = yield* Effect.forkChild(Stream.runCollect(limited.stream("Go")), { startImmediately: true })
      yield* TestClock.adjust("6 seconds")
      const steps = yield* Fiber.join(fiber)
      const result = steps.at(-1) as Agent.Finished
      assert.deepStrictEqual([result.reason, result.turns], ["time-limit", 1])
      const { t1, t2, t3 } = answers(result.transcript)
      assert.strictEqual(t1, 3)
      assert.deepInclude(t2, { type: "execution-interrupted" })
      assert.deepInclude(t3, { type: "execution-interrupted" })
      // Each call is told to be over, once.
      assert.deepStrictEqual(finished(steps).map(({ outcome, toolCallId }) => [toolCallId, outcome]), [
        ["t1", "success"],
        ["t2", "interrupted"],
        ["t3", "interrupted"]
      ])
      assert.strictEqual(model.prompts.length, 1)
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("of time: an answer that is not whole is left out, and its cost is unknown", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const slow = Stream.fromIterable(says("Half an answer")).pipe(
        Stream.concat(Stream.never),
        Stream.ensuring(Deferred.succeed(closed, undefined))
      )
      const limited = Agent.make({ name: "x", toolkit: Toolkit.empty, limits: { time: "5 seconds" } })
      const fiber = yield* limited.run("Go").pipe(
        Effect.provide(play(slow).layer),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("5 seconds")
      const { cost, reason, transcript, turns } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([reason, turns, cost], ["time-limit", 1, undefined])
      assert.deepStrictEqual(transcript.content.map(({ role }) => role), ["user"])
      yield* Deferred.await(closed)
    }))
})

describe("a transcript", () => {
  it.effect("goes to JSON and back, and on", () => {
    const model = play(
      asks(...says("Hm. "), calls("t1", "add", { a: 1, b: 2 })),
      done("It is 3."),
      done("You are welcome.")
    )
    return Effect.gen(function*() {
      const { transcript } = yield* agent.run("1+2")
      const again = yield* agent.run(Prompt.concat(ofJson(transcript), "Thanks"))
      assert.strictEqual(again.text, "You are welcome.")
      assert.deepStrictEqual(answers(again.transcript), { t1: 3 })
      const encode = Schema.encodeEffect(Prompt.Prompt)
      assert.deepStrictEqual(
        yield* encode(Prompt.fromMessages(model.prompts[2]!.content.slice(1, -1))),
        yield* encode(transcript)
      )
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("with a call that was cut off has it answered, and it is never run again", () => {
    const model = play(done())
    return Effect.gen(function*() {
      const cut = Prompt.make([
        { role: "user", content: "Go" },
        {
          role: "assistant",
          content: [{ type: "tool-call", id: "t1", name: "wait", params: {}, providerExecuted: false }],
          options: { anthropic: { cacheControl: { type: "ephemeral" } } }
        },
        { role: "user", content: "And?" }
      ])
      const { transcript } = yield* agent.run(cut)
      assert.deepInclude(answers(transcript)["t1"], { type: "execution-interrupted" })
      assert.deepStrictEqual(transcript.content[1]!.options, { anthropic: { cacheControl: { type: "ephemeral" } } })
      assert.deepStrictEqual(
        model.prompts[0]!.content.map(({ role }) => role),
        ["system", "user", "assistant", "tool", "user"]
      )
    }).pipe(Effect.provide([model.layer, handlers]))
  })
})
