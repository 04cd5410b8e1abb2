/** Agents over Claude's call path: spans, metrics, costs, back-pressure, and what is left when one is given up. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Schema, Stream, type Tracer } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as Agent from "../../src/ai/agent/Agent.ts"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import { observe, unended } from "../flow/observe.ts"
import * as Contract from "../telemetry/contract.ts"
import { answers, asks, calls, done, finished, play } from "./agentModel.ts"
import { blocks, bodies, layerOf, sentHeaders } from "./support.ts"

const SECRET = "078-05-1120"

const Find = Tool.make("find", { parameters: Schema.Struct({ ssn: Schema.String }), success: Schema.String })
const Finds = Toolkit.make(Find)
const finding = Finds.toLayer({ find: () => Effect.succeed("found").pipe(Effect.withSpan("inner")) })
const agent = Agent.make({ name: "finder", toolkit: Finds, instructions: "Find." })

const use = (id: string, name = "find") => ({ type: "tool_use", id, name, input: { ssn: SECRET } })
const words = (count: number): string => Array.from({ length: count }, (_, n) => `word${n} `).join("")

const usage = { input_tokens: 3, cache_read_input_tokens: 10, cache_creation_input_tokens: 7, output_tokens: 5 }

const parentOf = (span: Tracer.NativeSpan): string | undefined =>
  Option.match(span.parent, {
    onNone: () => undefined,
    onSome: (parent) => parent._tag === "Span" ? parent.name : undefined
  })

/** All that a span says of itself when it is exported. */
const told = (span: Tracer.NativeSpan): string =>
  JSON.stringify([
    [...span.attributes],
    span.events,
    span.status._tag === "Ended" && Exit.isFailure(span.status.exit) ? String(span.status.exit.cause) : ""
  ], (_key, value) => typeof value === "bigint" ? String(value) : value)

/** What of a span is not as its row of the contract says. */
const foreign = (span: Tracer.NativeSpan): ReadonlyArray<string> => {
  const row = Contract.agentSpans.find(({ name }) => name.test(span.name))
  if (row === undefined) return []
  // These two are effect/ai's own, the second of them written over.
  const names = [...span.attributes.keys()].filter((name) => name !== "tool" && name !== "parameters")
  return [
    ...names.filter((name) => {
      const attribute = row.attributes[name]
      const { oneOf = [] } = attribute ?? {}
      const value = String(span.attributes.get(name))
      const admits = oneOf instanceof RegExp ? oneOf.test(value) : oneOf.length === 0 || oneOf.includes(value)
      return attribute === undefined || !admits
    }),
    ...Object.keys(row.attributes).filter((name) => row.attributes[name]!.always && !names.includes(name))
  ]
}

describe("spans of an agent", () => {
  for (const way of ["run", "stream"] as const) {
    it.effect(`lie below it, by ${way}, and hold nothing of what tools are given`, () => {
      const observed = observe()
      const model = way === "run" ? "LanguageModel.generateText" : "LanguageModel.streamText"
      return Effect.gen(function*() {
        yield* Effect.withSpan(way === "run" ? agent.run("Go") : Stream.runDrain(agent.stream("Go")), "program")
        assert.sameDeepMembers(observed.spans.map((span) => [span.name, parentOf(span)]), [
          ["program", undefined],
          ["invoke_agent finder", "program"],
          [model, "invoke_agent finder"],
          ["chat claude-opus-5-5", model],
          ["POST", "chat claude-opus-5-5"],
          ["execute_tool find", "invoke_agent finder"],
          ["inner", "execute_tool find"],
          ["execute_tool find", "invoke_agent finder"],
          ["inner", "execute_tool find"],
          [model, "invoke_agent finder"],
          ["chat claude-opus-5-5", model],
          ["POST", "chat claude-opus-5-5"]
        ])
        const span = observed.spans.find(({ name }) => name === "invoke_agent finder")!
        assert.deepStrictEqual(Object.fromEntries(span.attributes), {
          "gen_ai.operation.name": "invoke_agent",
          "gen_ai.agent.name": "finder",
          "claude.outcome": "success",
          "gen_ai.usage.input_tokens": 40,
          "gen_ai.usage.output_tokens": 10,
          "gen_ai.response.finish_reasons": ["done"]
        })
        for (const span of observed.spans) assert.notInclude(told(span), SECRET)
        assert.deepStrictEqual(unended(observed.spans), [])
        for (const span of observed.spans) assert.deepStrictEqual(foreign(span), [])
        const counted = observed.metrics().flatMap((metric) =>
          metric.type === "Histogram" && /^gen_ai\.(execute|invoke)/.test(metric.id)
            ? [[metric.id, metric.attributes, metric.state.count]]
            : []
        )
        assert.sameDeepMembers(counted, [
          ["gen_ai.execute_tool.duration", { unit: "s", "gen_ai.tool.name": "find" }, 2],
          ["gen_ai.invoke_agent.duration", { unit: "s", "gen_ai.agent.name": "finder" }, 1]
        ])
      }).pipe(Effect.provide(Layer.provideMerge(
        Layer.mergeAll(finding, layerOf([blocks([use("t1"), use("t2")], { usage }), Answer.text("Found.", { usage })])),
        observed.layer
      )))
    })
  }

  it.effect("have the error of the call that failed it", () => {
    const observed = observe()
    return Effect.gen(function*() {
      yield* Effect.flip(agent.run("Go"))
      const span = observed.spans.find(({ name }) => name === "invoke_agent finder")!
      assert.deepInclude(Object.fromEntries(span.attributes), {
        "claude.outcome": "error",
        "error.type": "authentication_error"
      })
      assert.strictEqual(parentOf(span), undefined)
    }).pipe(Effect.provide(Layer.provideMerge(Layer.mergeAll(finding, layerOf([Answer.error(401)])), observed.layer)))
  })

  it.effect("of tools have how they failed", () => {
    const observed = observe()
    return Effect.gen(function*() {
      const timed = Agent.make({ name: "x", toolkit: Finds, tools: { timeout: "1 second" } })
      const fiber = yield* Effect.forkChild(timed.run("Go"), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      const tools = observed.spans.filter(({ name }) => name === "execute_tool find")
      assert.sameMembers(tools.map(({ attributes }) => attributes.get("error.type")), [
        "tool_error",
        "client_timeout_error"
      ])
      for (const span of observed.spans) assert.notInclude(told(span), SECRET)
    }).pipe(Effect.provide(Layer.provideMerge(
      Layer.mergeAll(
        play(asks(calls("t1", "find", { ssn: SECRET }), calls("t2", "find", { ssn: SECRET })), done()).layer,
        Finds.toLayer({
          find: (_, { toolCallId }) => toolCallId === "t1" ? Effect.die(new Error(SECRET)) : Effect.never
        })
      ),
      observed.layer
    )))
  })

  it.effect("and series are bounded, however many names there are", () => {
    const observed = observe()
    return Effect.gen(function*() {
      for (let n = 0; n < 120; n++) yield* Agent.make({ name: `agent ${n}`, toolkit: Toolkit.empty }).run("Go")
      const series = observed.metrics().filter(({ id }) => id === "gen_ai.invoke_agent.duration")
      assert.isAtMost(series.length, 101)
      assert.isTrue(series.some(({ attributes }) => attributes!["gen_ai.agent.name"] === "other"))
    }).pipe(Effect.provide(Layer.provideMerge(play(done()).layer, observed.layer)))
  })
})

describe("an agent on Claude", () => {
  it.effect("knows what it cost, and sends its transcript back as it came", () =>
    Effect.gen(function*() {
      const thinking = { type: "thinking", thinking: "Hm.", signature: "sig" }
      const { cost, transcript, usage: { inputTokens } } = yield* agent.run("Go")
      assert.isAbove(cost!, 0)
      assert.strictEqual(inputTokens, 40)
      const [first, second] = yield* bodies
      assert.deepStrictEqual(first.system, [{ type: "text", text: "Find." }])
      assert.deepStrictEqual(second.messages[1].content, [thinking, { ...use("t1"), caller: { type: "direct" } }])
      assert.deepInclude(second.messages[2].content[0], { type: "tool_result", tool_use_id: "t1" })
      assert.deepStrictEqual(answers(transcript), { t1: "found" })

      const json = JSON.stringify(yield* Schema.encodeEffect(Prompt.Prompt)(transcript))
      const kept = yield* Schema.decodeUnknownEffect(Prompt.Prompt)(JSON.parse(json))
      yield* agent.run(Prompt.concat(kept, "Thanks"))
      const third = (yield* bodies)[2]
      assert.strictEqual(
        JSON.stringify(third.messages.slice(0, second.messages.length)),
        JSON.stringify(second.messages)
      )
    }).pipe(Effect.provide(Layer.mergeAll(
      finding,
      layerOf([
        blocks([{ type: "thinking", thinking: "Hm.", signature: "sig" }, use("t1")], { usage }),
        Answer.text("Found.", { usage })
      ])
    ))))

  it.effect("is a tool of another, below whose span of it its own lies", () => {
    const observed = observe()
    const Ask = Tool.make("ask_finder", {
      parameters: Schema.Struct({ question: Schema.String }),
      success: Schema.String,
      dependencies: [LanguageModel.LanguageModel]
    })
    const toolkit = Toolkit.make(Ask)
    const lead = Agent.make({ name: "lead", toolkit })
    const asking = toolkit.toLayer(Effect.map(Effect.context<Tool.Handler<"find">>(), (context) => ({
      ask_finder: ({ question }) =>
        agent.run(question).pipe(Effect.map(({ text }) => text), Effect.provideContext(context))
    })))
    return Effect.gen(function*() {
      assert.strictEqual((yield* lead.run("Who?")).text, "It is Ada.")
      const parents = new Map(observed.spans.map((span) => [span.name, parentOf(span)]))
      assert.strictEqual(parents.get("invoke_agent finder"), "execute_tool ask_finder")
      assert.strictEqual(parents.get("execute_tool ask_finder"), "invoke_agent lead")
      assert.strictEqual(parents.get("execute_tool find"), "invoke_agent finder")
    }).pipe(Effect.provide(Layer.provideMerge(
      Layer.mergeAll(
        asking.pipe(Layer.provide(finding)),
        layerOf([
          blocks([{ type: "tool_use", id: "q1", name: "ask_finder", input: { question: "Who?" } }]),
          blocks([use("t1")]),
          Answer.text("Ada."),
          Answer.text("It is Ada.")
        ])
      ),
      observed.layer
    )))
  })

  it.effect("is called by the policy and the parameters of who runs it", () =>
    Effect.gen(function*() {
      yield* agent.run("Go").pipe(
        ClaudeLanguageModel.withConfigOverride({ max_tokens: 77 }),
        Claude.withPolicy({ headers: { "x-from": "an agent" } })
      )
      const [first] = yield* bodies
      assert.strictEqual(first.max_tokens, 77)
      assert.strictEqual((yield* sentHeaders)[0]!["x-from"], "an agent")
    }).pipe(Effect.provide(Layer.mergeAll(finding, layerOf([Answer.text("Found.")])))))

  it.effect("stops at a cost before it runs what the turn asked for", () =>
    Effect.gen(function*() {
      const { reason, transcript, turns } = yield* agent.run("Go", { limits: { cost: 1e-9 } })
      assert.deepStrictEqual([reason, turns], ["cost-limit", 1])
      assert.deepInclude(answers(transcript)["t1"], { type: "execution-interrupted" })
    }).pipe(Effect.provide(Layer.mergeAll(finding, layerOf([blocks([use("t1")], { usage })])))))

  it.effect("reads no further ahead than sixteen steps of who takes them", () =>
    Effect.gen(function*() {
      let read = 0
      const model = play(Stream.map(Stream.fromIterable(done(words(400)), { chunkSize: 1 }), (part) => (read++, part)))
      const fiber = yield* agent.stream("Go").pipe(
        Stream.take(5),
        Stream.concat(Stream.never),
        Stream.runDrain,
        Effect.provide([model.layer, finding]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 minute")
      assert.isBelow(read, 40)
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("does not read Claude's answer to its end for who has stopped taking it", () => {
    const observed = observe()
    return Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      let steps = 0
      const reading = agent.stream("Go").pipe(
        Stream.runForEach(() => ++steps === 5 ? Deferred.await(gate) : Effect.void)
      )
      const fiber = yield* Effect.forkChild(reading, { startImmediately: true })
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(steps, 5)
      // What was sent has long been there; the call is open, and no timeout has ended it.
      assert.sameMembers([...unended(observed.spans)], [
        "invoke_agent finder",
        "LanguageModel.streamText",
        "chat claude-opus-5-5",
        "POST"
      ])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.isAbove(steps, 400)
      assert.deepStrictEqual(unended(observed.spans), [])
    }).pipe(Effect.provide(Layer.provideMerge(
      Layer.mergeAll(finding, layerOf([Answer.text(words(400), { pace: "10 millis" })])),
      observed.layer
    )))
  })
})

describe("an agent that is given up", () => {
  // What it told last before it was.
  const moments: ReadonlyArray<Agent.Step["_tag"]> = [
    "TextDelta",
    "ToolsCalled",
    "ToolStarted",
    "ToolFinished",
    "TurnFinished",
    "Finished"
  ]
  for (const moment of moments) {
    it.effect(`at its first ${moment} leaves no fiber, no span and no tool behind`, () => {
      const observed = observe()
      return Effect.gen(function*() {
        let running = 0
        const before = observed.fibers()
        const tool = Effect.acquireUseRelease(
          Effect.sync(() => void running++),
          () => Effect.as(Effect.sleep("1 second"), "found"),
          () => Effect.sync(() => void running--)
        )
        const reached = yield* Deferred.make<void>()
        const fiber = yield* agent.stream("Go").pipe(
          Stream.runForEach(({ _tag }) =>
            _tag === moment ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
          ),
          Effect.provide([
            layerOf([blocks([{ type: "text", text: "Let me see." }, use("t1"), use("t2")]), Answer.text(words(100))]),
            Finds.toLayer({ find: () => tool })
          ]),
          Effect.forkChild({ startImmediately: true })
        )
        while (!(yield* Deferred.isDone(reached))) yield* TestClock.adjust("500 millis")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(running, 0)
        assert.deepStrictEqual(unended(observed.spans), [])
        assert.deepStrictEqual(observed.gauges(), {})
        const span = observed.spans.find(({ name }) => name === "invoke_agent finder")!
        assert.strictEqual(span.attributes.get("claude.outcome"), moment === "Finished" ? "success" : "cancelled")
        assert.isFalse(span.attributes.has("error.type"))
        assert.strictEqual(observed.fibers() - before, 0)
      }).pipe(Effect.provide(observed.layer))
    })
  }

  it.effect("goes on from the last turn that it told", () =>
    Effect.gen(function*() {
      const model = play(asks(calls("t1", "find", { ssn: "1" })), asks(calls("t2", "find", { ssn: "2" })), done())
      const turn = yield* agent.stream("Go").pipe(
        Stream.filter((step) => step._tag === "TurnFinished"),
        Stream.runHead,
        Effect.provide([model.layer, finding])
      )
      const { transcript } = Option.getOrThrow(turn)
      const steps = yield* Stream.runCollect(agent.stream(transcript)).pipe(
        Effect.provide([play(done()).layer, finding])
      )
      assert.deepStrictEqual(finished(steps), [])
      assert.deepStrictEqual(answers((steps.at(-1) as Agent.Finished).transcript), { t1: "found" })
    }))
})
