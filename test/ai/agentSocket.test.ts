/** Agents over a simulated API on a real socket: what is sent, what is cut, what is closed, and what it comes to. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Schema, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { type LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import * as Agent from "../../src/ai/agent/Agent.ts"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { finished, gauge, ofJson, tags } from "./agentModel.ts"
import { bodies, log, said, simulated, use } from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const Stock = Tool.make("stock", { parameters: Schema.Struct({ of: Schema.String }), success: Schema.Int })
const Shop = Toolkit.make(Stock)
const clerk = Agent.make({ name: "clerk", toolkit: Shop, instructions: "Look." })
const shelves = Shop.toLayer({ stock: ({ of }) => Effect.succeed(of.length) })
const two = blocks([said("Let me see."), use("t1", "stock", { of: "tea" }), use("t2", "stock", { of: "milk" })])

const roles = (body: Json): ReadonlyArray<string> => body.messages.map(({ role }: Json) => role)
const last = (steps: ReadonlyArray<Agent.Step>): Agent.Finished => steps.at(-1) as Agent.Finished

describe("an agent over a socket", () => {
  it.live("runs the tools of a turn at once, and answers them in one message", () =>
    Effect.gen(function*() {
      const { get, within } = yield* gauge
      const both = yield* Deferred.make<void>()
      let come = 0
      const meeting = Shop.toLayer({
        stock: ({ of }) =>
          within(Effect.suspend(() =>
            ++come === 2 ? Effect.as(Deferred.succeed(both, undefined), 2) : Effect.as(Deferred.await(both), of.length)
          ))
      })
      const { cost, reason, text } = yield* clerk.run("How much?").pipe(Effect.provide(meeting))
      assert.deepStrictEqual([reason, text], ["done", "Enough."])
      assert.isAbove(cost!, 0)
      assert.deepStrictEqual(yield* get, { now: 0, most: 2 })
      const [, second] = yield* bodies
      assert.deepStrictEqual(roles(second), ["user", "assistant", "user"])
      assert.deepStrictEqual(second.messages[2].content, [
        { type: "tool_result", tool_use_id: "t1", content: "3" },
        { type: "tool_result", tool_use_id: "t2", content: "2" }
      ])
    }).pipe(Effect.provide(simulated([two, Answer.text("Enough.")]))))

  it.live("makes the model call a tool in its first turn alone", () =>
    Effect.gen(function*() {
      const forced = Agent.make({ name: "x", toolkit: Shop, toolChoice: { tool: "stock" } })
      assert.strictEqual((yield* forced.run("How much?").pipe(Effect.provide(shelves))).reason, "done")
      assert.deepStrictEqual((yield* bodies).map(({ tool_choice }) => tool_choice?.type), ["tool", undefined])
      assert.strictEqual((yield* bodies)[0].tool_choice.name, "stock")
    }).pipe(Effect.provide(simulated([two, Answer.text("Enough.")]))))

  it.live("goes on with a search that the API has paused, and runs none of it itself", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.merge(Shop, Toolkit.make(ClaudeTool.WebSearch_20260318({})))
      const seeker = Agent.make({ name: "seeker", toolkit })
      const steps = yield* Stream.runCollect(seeker.stream("Price of tea?")).pipe(Effect.provide(shelves))
      assert.deepInclude(last(steps), { reason: "done", text: "Searching. Tea is cheap.", turns: 2 })
      assert.deepStrictEqual(finished(steps), [])
      const served = steps.filter(({ _tag }) => _tag.startsWith("Server"))
      assert.deepStrictEqual(served, [
        { _tag: "ServerToolStarted", turn: 1, ...call, params: search.input },
        { _tag: "ServerToolFinished", turn: 2, ...call, isFailure: false, result: found.content }
      ])
      const [, second] = yield* bodies
      assert.deepStrictEqual(roles(second), ["user", "assistant"])
      assert.deepStrictEqual(second.messages[1].content, [said("Searching. "), search])
      // And what was found goes back as it came, also from another process.
      const kept = ofJson(last(steps).transcript)
      yield* seeker.run(Prompt.concat(kept, "Thanks")).pipe(Effect.provide(shelves))
      const third = (yield* bodies)[2]
      assert.deepStrictEqual(roles(third), ["user", "assistant", "user"])
      assert.deepStrictEqual(third.messages[1].content.slice(0, 3), [said("Searching. "), search, found])
    }).pipe(Effect.provide(simulated([
      blocks([said("Searching. "), search], { stopReason: "pause_turn" }),
      blocks([found, said("Tea is cheap.")]),
      Answer.text("Any time.")
    ]))))

  it.live("whose turns are over amid a search goes on with something else", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(ClaudeTool.WebSearch_20260318({}))
      const seeker = Agent.make({ name: "seeker", toolkit })
      const first = yield* seeker.run("Price of tea?", { limits: { turns: 1 } })
      assert.deepStrictEqual([first.reason, first.text], ["turn-limit", "Searching. "])
      const second = yield* seeker.run(Prompt.concat(ofJson(first.transcript), "Never mind"))
      assert.strictEqual(second.reason, "done")
    }).pipe(Effect.provide(simulated([
      blocks([said("Searching. "), search], { stopReason: "pause_turn" }),
      Answer.text("As you like.")
    ]))))

  it.live("that was cut amid a call does not run it, and goes on", () =>
    Effect.gen(function*() {
      let ran = 0
      const counting = Shop.toLayer({ stock: () => Effect.sync(() => ++ran) })
      const steps = yield* Stream.runCollect(clerk.stream("How much?")).pipe(Effect.provide(counting))
      assert.deepStrictEqual([last(steps).reason, ran], ["cut", 0])
      assert.deepStrictEqual(tags(steps), ["ToolFinished", "TurnFinished", "Finished"])
      const next = yield* clerk.run(Prompt.concat(ofJson(last(steps).transcript), "Go on")).pipe(
        Effect.provide(counting)
      )
      assert.strictEqual(next.reason, "done")
      const second = (yield* bodies)[1]
      assert.deepStrictEqual(roles(second), ["user", "assistant", "user"])
      assert.strictEqual(typeof second.messages[1].content[0].input, "object")
      assert.deepInclude(second.messages[2].content[0], { tool_use_id: "t1", is_error: true })
    }).pipe(Effect.provide(simulated([
      Answer.events([
        { type: "message_start", message: { ...empty, id: "msg_1" } },
        {
          type: "content_block_start",
          index: 0,
          content_block: { type: "tool_use", id: "t1", name: "stock", input: {} }
        },
        { type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json: "{\"of\": \"te" } },
        { type: "content_block_stop", index: 0 },
        {
          type: "message_delta",
          delta: { stop_reason: "max_tokens", stop_sequence: null },
          usage: { output_tokens: 9 }
        },
        { type: "message_stop" }
      ]),
      Answer.text("Enough.")
    ]))))

  it.live("that is refused without a word ends so, and goes on", () =>
    Effect.gen(function*() {
      const { reason, text, transcript } = yield* clerk.run("How much?").pipe(Effect.provide(shelves))
      assert.deepStrictEqual([reason, text], ["refused", ""])
      yield* clerk.run(Prompt.concat(transcript, "Please")).pipe(Effect.provide(shelves))
      assert.deepStrictEqual(roles((yield* bodies)[1]), ["user"])
    }).pipe(Effect.provide(simulated([blocks([], { stopReason: "refusal" }), Answer.text("Enough.")]))))

  it.live("goes on where the API stayed overloaded for longer than its retries, and no tool runs again", () =>
    Effect.gen(function*() {
      let ran = 0
      const counting = Shop.toLayer({ stock: () => Effect.sync(() => ++ran) })
      const error = yield* clerk.run("How much?").pipe(Effect.flip, Effect.provide(counting))
      assert.isTrue(error.isRetryable)
      const { attempts, reason } = Option.getOrThrow(ClaudeLanguageModel.claudeError(error))
      assert.deepStrictEqual([reason._tag, attempts, ran], ["Overloaded", 3, 2])
      const result = yield* clerk.run(ofJson(error.transcript)).pipe(Effect.provide(counting))
      assert.deepStrictEqual([result.reason, result.turns, ran], ["done", 1, 2])
      const all = yield* bodies
      // It asks what it had asked.
      assert.deepStrictEqual(all.at(-1), all[1])
    }).pipe(
      Effect.provide(simulated([two, Answer.error(529), Answer.error(529), Answer.error(529), Answer.text("Enough.")], {
        options: { retry: RetryPolicy.make({ times: 2, initial: "1 millis" }) }
      }))
    ))

  it.live("begins an answer again that breaks off, where it tells no deltas, and tells all else", () =>
    Effect.gen(function*() {
      const steps = yield* Stream.runCollect(clerk.stream("How much?", { deltas: false })).pipe(Effect.provide(shelves))
      assert.deepStrictEqual(tags(steps).toSorted(), [
        "Finished",
        "ToolFinished",
        "ToolFinished",
        "ToolStarted",
        "ToolStarted",
        "ToolsCalled",
        "TurnFinished",
        "TurnFinished"
      ])
      assert.deepInclude(last(steps), { reason: "done", text: "Enough.", turns: 2 })
      assert.strictEqual((yield* log).requests, 3)
    }).pipe(
      Effect.provide(simulated([
        two,
        Answer.truncate("midStream", Answer.text("It breaks off")),
        Answer.text("Enough.")
      ], { options: { retry: RetryPolicy.make({ times: 2, initial: "1 millis" }) } }))
    ))

  it.live("costs what all attempts of all its turns were billed, and agents below it", () =>
    Effect.gen(function*() {
      const Ask = Toolkit.make(Tool.make("ask", { success: Schema.String }))
      const above = Agent.make({ name: "above", toolkit: Ask })
      const asking = Ask.toLayer(Effect.map(Effect.context<LanguageModel.LanguageModel>(), (services) => ({
        ask: () =>
          clerk.run("How much?").pipe(
            Effect.map(({ text }) => text),
            Effect.provide(shelves),
            Effect.provideContext(services),
            Effect.orDie
          )
      })))
      const { cost, usage } = yield* above.run("Go").pipe(Effect.provide(asking))
      const rows = yield* Stream.runCollect(Claude.usage)
      assert.closeTo(cost!, rows.reduce((sum, { cost }) => sum + cost!, 0), 1e-12)
      assert.strictEqual((yield* log).requests, 5)
      // Of the four answers that it has.
      assert.strictEqual(usage.outputTokens, 40)
    }).pipe(
      Effect.provide(simulated([
        blocks([use("a1", "ask", {})], { usage: { input_tokens: 100, output_tokens: 10 } }),
        Answer.truncate("midStream", Answer.text("It breaks off", { usage: { input_tokens: 100, output_tokens: 10 } })),
        blocks([use("t1", "stock", { of: "tea" })], { usage: { input_tokens: 100, output_tokens: 10 } }),
        Answer.text("Enough.", { usage: { input_tokens: 100, output_tokens: 10 } }),
        Answer.text("Done.", { usage: { input_tokens: 100, output_tokens: 10 } })
      ], { options: { retry: RetryPolicy.make({ times: 2, initial: "1 millis" }) } }))
    ))
})

describe("an agent that breaks off below another", () => {
  const Ask = Toolkit.make(Tool.make("ask", { success: Schema.String, failure: Schema.String }))
  const above = Agent.make({ name: "above", toolkit: Ask, limits: { cost: 100 } })
  const asking = Ask.toLayer(Effect.map(Effect.context<LanguageModel.LanguageModel>(), (services) => ({
    ask: () =>
      clerk.run("How much?").pipe(
        Effect.map(({ text }) => text),
        Effect.mapError(() => "It broke off."),
        Effect.provide(shelves),
        Effect.provideContext(services)
      )
  })))
  const run = (failure: Answer.Answer) =>
    above.run("Go").pipe(
      Effect.provide(Layer.provideMerge(
        asking,
        simulated([blocks([use("a1", "ask", {})]), failure, Answer.text("Done.")])
      ))
    )

  it.live("after it was billed has a cost that nobody knows, and one that was never answered has none", () =>
    Effect.gen(function*() {
      const billed = yield* run(Answer.truncate("midStream", Answer.text("It breaks off")))
      assert.deepStrictEqual([billed.reason, billed.cost], ["cost-limit", undefined])
      const refused = yield* run(Answer.error(529))
      assert.strictEqual(refused.reason, "done")
      assert.isAbove(refused.cost!, 0)
    }))
})

describe("the socket of an agent", () => {
  const closed = (log: ClaudeSimulator.Log) => log.inFlight === 0 && log.requests > 0

  it.live("is closed when its stream is left after one step", () =>
    Effect.gen(function*() {
      const steps = yield* Stream.runCollect(Stream.take(clerk.stream("Talk"), 1)).pipe(Effect.provide(shelves))
      assert.deepStrictEqual(tags(steps), ["TextDelta"])
      const simulator = yield* ClaudeSimulator.ClaudeSimulator
      const { entries } = yield* simulator.logWhen(closed)
      assert.deepStrictEqual(entries.map(({ outcome }) => outcome), ["clientClosed"])
    }).pipe(Effect.provide(simulated(() => Answer.stall("midStream", Answer.text("So many words to say"))))))

  it.live("is closed when its run is interrupted", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.ClaudeSimulator
      const fiber = yield* Effect.forkChild(clerk.run("Talk").pipe(Effect.provide(shelves)))
      yield* simulator.logWhen(({ entries }) => entries.some(({ bytesSent }) => bytesSent > 0))
      yield* Fiber.interrupt(fiber)
      const { entries } = yield* simulator.logWhen(closed)
      assert.deepStrictEqual(entries.map(({ outcome }) => outcome), ["clientClosed"])
    }).pipe(Effect.provide(simulated(() => Answer.stall("midStream", Answer.text("So many words to say"))))))

  it.live("is closed when its time is up, and the run ends with what there is", () =>
    Effect.gen(function*() {
      const { reason, transcript, turns } = yield* clerk.run("Talk", { limits: { time: "200 millis" } }).pipe(
        Effect.provide(shelves)
      )
      assert.deepStrictEqual([reason, turns], ["time-limit", 1])
      assert.deepStrictEqual(transcript.content.map(({ role }) => role), ["user"])
      const simulator = yield* ClaudeSimulator.ClaudeSimulator
      const { entries } = yield* simulator.logWhen(closed)
      assert.deepStrictEqual(entries.map(({ outcome }) => outcome), ["clientClosed"])
    }).pipe(Effect.provide(simulated(() => Answer.stall("midStream", Answer.text("So many words to say"))))))

  it.live("is not read to its end for who has stopped taking steps", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.ClaudeSimulator
      const gate = yield* Deferred.make<void>()
      const taken = yield* Deferred.make<void>()
      let steps = 0
      yield* clerk.stream("Talk").pipe(
        Stream.runForEach(() =>
          ++steps === 3 ? Effect.andThen(Deferred.succeed(taken, undefined), Deferred.await(gate)) : Effect.void
        ),
        Effect.provide(shelves),
        Effect.forkScoped
      )
      yield* Deferred.await(taken)
      yield* Effect.sleep("100 millis")
      const [entry] = (yield* simulator.log).entries
      assert.strictEqual(entry!.outcome, "open")
      assert.strictEqual(steps, 3)
    }).pipe(
      Effect.scoped,
      Effect.provide(simulated([Answer.text("x".repeat(12_000_000), { chunk: 200_000 })]))
    ))
})

const search = {
  type: "server_tool_use",
  id: "srvtoolu_1",
  name: "web_search",
  input: { query: "tea" },
  caller: { type: "direct" }
}
const found = {
  type: "web_search_tool_result",
  tool_use_id: "srvtoolu_1",
  caller: { type: "direct" },
  content: [{
    type: "web_search_result",
    url: "https://tea.test",
    title: "Tea",
    encrypted_content: "e",
    page_age: null
  }]
}
const call = { toolCallId: "srvtoolu_1", name: "AnthropicWebSearch" }
const empty = {
  type: "message",
  role: "assistant",
  model: "claude-opus-5-5",
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: 1 }
}
