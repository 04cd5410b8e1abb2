/** Runs that failed, were given up or wait, and what goes on from them: no tool runs twice. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Schema, Stream } from "effect"
import { AiError, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import * as Agent from "../../src/ai/agent/Agent.ts"
import { seeded } from "../flow/observe.ts"
import {
  answers,
  asks,
  calls,
  done,
  finished,
  lastOf,
  ofJson,
  play,
  respond,
  says,
  tags,
  type Turn
} from "./agentModel.ts"

const Pay = Toolkit.make(
  Tool.make("pay", { parameters: Schema.Struct({ to: Schema.String }), success: Schema.String })
)
const agent = Agent.make({ name: "payer", toolkit: Pay })

/** Counts who was paid. */
const paying = () => {
  const paid: Array<string> = []
  return { paid, layer: Pay.toLayer({ pay: ({ to }) => Effect.sync(() => `${paid.push(to)}`) }) }
}

const overloaded = AiError.make({
  module: "Model",
  method: "streamText",
  reason: new AiError.InternalProviderError({ description: "overloaded" })
})
const down: Turn = Stream.fail(overloaded)

describe("a model that fails", () => {
  it.effect("fails the run with all that was said, and the run goes on from there", () =>
    Effect.gen(function*() {
      const { layer, paid } = paying()
      const error = yield* agent.run("Pay Ada").pipe(
        Effect.flip,
        Effect.provide([play(asks(...says("Well. "), calls("t1", "pay", { to: "Ada" })), down).layer, layer])
      )
      assert.isTrue(AiError.isAiError(error))
      assert.deepStrictEqual([error.reason, error.message], [overloaded.reason, overloaded.message])
      assert.deepStrictEqual(answers(error.transcript), { t1: "1" })
      const model = play(done("Paid."))
      const result = yield* agent.run(ofJson(error.transcript)).pipe(Effect.provide([model.layer, layer]))
      assert.deepInclude(result, { reason: "done", text: "Paid.", turns: 1 })
      assert.deepStrictEqual(model.prompts[0]!.content.map(({ role }) => role), ["user", "assistant", "tool"])
      assert.deepStrictEqual(paid, ["Ada"])
    }))

  it.effect("amid its answer leaves that out", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(agent.run("Pay Ada"))
      assert.deepStrictEqual(error.transcript.content.map(({ role }) => role), ["user"])
    }).pipe(
      Effect.provide([
        play(Stream.concat(Stream.fromIterable(says("Half an answer")), Stream.fail(overloaded))).layer,
        paying().layer
      ])
    ))

  it.effect("is caught by its reason, and what was said is in no log of it", () =>
    Effect.gen(function*() {
      const transcript = yield* agent.run("My secret").pipe(
        Effect.catchTag("AiError", (error) => {
          assert.notInclude(inspect(error, { depth: 9 }) + JSON.stringify(error) + String(error), "secret")
          return Effect.succeed(error.transcript)
        }),
        Effect.map((result) => "reason" in result ? undefined : result)
      )
      assert.include(JSON.stringify(transcript), "secret")
      const reason = yield* agent.run("Go").pipe(
        Effect.catchReason("AiError", "InternalProviderError", () => Effect.succeed("caught"))
      )
      assert.strictEqual(reason, "caught")
    }).pipe(Effect.provide([play(down).layer, paying().layer])))

  it.effect("after an approval has the approved call's result with the error", () =>
    Effect.gen(function*() {
      const careful = Toolkit.make(Tool.make("pay", { success: Schema.String, needsApproval: true }))
      const asking = Agent.make({ name: "x", toolkit: careful })
      let paid = 0
      const layer = careful.toLayer({ pay: () => Effect.sync(() => `${++paid}`) })
      const { transcript } = yield* asking.run("Go").pipe(Effect.provide([play(asks(calls("t1", "pay"))).layer, layer]))
      const error = yield* asking.run(Agent.answer(transcript, { t1: true })).pipe(
        Effect.flip,
        Effect.provide([play(down).layer, layer])
      )
      assert.deepStrictEqual(answers(error.transcript), { t1: "1" })
      yield* asking.run(error.transcript).pipe(Effect.provide([play(done()).layer, layer]))
      assert.strictEqual(paid, 1)
    }))
})

describe("a stream that is left", () => {
  it.effect("runs no tool before the step after its calls is asked for", () =>
    Effect.gen(function*() {
      const { layer, paid } = paying()
      const model = play(asks(calls("t1", "pay", { to: "Ada" }), calls("t2", "pay", { to: "Eve" })), done())
      const stored = yield* Deferred.make<Prompt.Prompt>()
      const goOn = yield* Deferred.make<void>()
      const fiber = yield* agent.stream("Go").pipe(
        Stream.tap((step) =>
          step._tag === "ToolsCalled"
            ? Effect.andThen(Deferred.succeed(stored, step.transcript), Deferred.await(goOn))
            : Effect.void
        ),
        Stream.runCollect,
        Effect.provide([model.layer, layer]),
        Effect.forkChild({ startImmediately: true })
      )
      const transcript = yield* Deferred.await(stored)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(paid, [])
      assert.deepStrictEqual(answers(transcript), { t1: undefined, t2: undefined })
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(paid, ["Ada", "Eve"])
    }))

  it.effect("runs them where what is between it and its reader reads ahead", () =>
    Effect.gen(function*() {
      const { layer, paid } = paying()
      const fiber = yield* agent.stream("Go").pipe(
        Stream.buffer({ capacity: 4 }),
        Stream.runForEach(({ _tag }) => _tag === "ToolsCalled" ? Effect.never : Effect.void),
        Effect.provide([play(asks(calls("t1", "pay", { to: "Ada" })), done()).layer, layer]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(paid, ["Ada"])
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("runs none where its time is up while nobody asks for that step", () =>
    Effect.gen(function*() {
      const { layer, paid } = paying()
      const goOn = yield* Deferred.make<void>()
      const fiber = yield* agent.stream("Go", { limits: { time: "1 minute" } }).pipe(
        Stream.tap((step) => step._tag === "ToolsCalled" ? Deferred.await(goOn) : Effect.void),
        Stream.runCollect,
        Effect.provide([play(asks(calls("t1", "pay", { to: "Ada" })), done()).layer, layer]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("2 minutes")
      yield* Deferred.succeed(goOn, undefined)
      const steps = yield* Fiber.join(fiber)
      assert.deepStrictEqual(tags(steps), ["ToolsCalled", "ToolFinished", "TurnFinished", "Finished"])
      assert.deepStrictEqual([(steps.at(-1) as Agent.Finished).reason, paid], ["time-limit", []])
      assert.deepStrictEqual(answers(lastOf(steps)!), {
        t1: { type: "execution-interrupted", reason: "There was no time left for it." }
      })
    }))

  it.effect("tells of each tool once, also where time is up while nobody asks what became of them", () =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 40 }, (_, n) => `t${n}`)
      const { layer, paid } = paying()
      const goOn = yield* Deferred.make<void>()
      const many = Agent.make({ name: "x", toolkit: Pay, limits: { time: "1 minute" }, tools: { concurrency: 40 } })
      const fiber = yield* many.stream("Go").pipe(
        Stream.tap((step) => step._tag === "ToolFinished" ? Deferred.await(goOn) : Effect.void),
        Stream.runCollect,
        Effect.provide([play(asks(...ids.map((id) => calls(id, "pay", { to: id }))), done()).layer, layer]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("2 minutes")
      yield* Deferred.succeed(goOn, undefined)
      const steps = yield* Fiber.join(fiber)
      assert.sameMembers(finished(steps).map(({ toolCallId }) => toolCallId), ids)
      // What has run is told to have.
      const succeeded = finished(steps).filter(({ outcome }) => outcome === "success")
      assert.sameMembers(succeeded.map(({ toolCallId }) => toolCallId), paid)
      assert.isAbove(paid.length, 16)
    }))

  it.effect("at its calls runs none of them", () =>
    Effect.gen(function*() {
      const { layer, paid } = paying()
      const called = yield* agent.stream("Go").pipe(
        Stream.filter((step) => step._tag === "ToolsCalled"),
        Stream.runHead,
        Effect.provide([play(asks(calls("t1", "pay", { to: "Ada" }))).layer, layer])
      )
      assert.deepStrictEqual(Option.getOrThrow(called).calls, [
        { toolCallId: "t1", name: "pay", params: { to: "Ada" } }
      ])
      assert.deepStrictEqual(paid, [])
    }))

  it.effect("between two tools has what the first answered, and the second is answered as cut off", () =>
    Effect.gen(function*() {
      const ran: Array<string> = []
      const slow = Pay.toLayer({
        pay: ({ to }) => Effect.suspend(() => (ran.push(to), to === "Ada" ? Effect.succeed("paid") : Effect.never))
      })
      const first = yield* agent.stream("Go").pipe(
        Stream.filter((step) => step._tag === "ToolFinished"),
        Stream.runHead,
        Effect.provide([
          play(asks(calls("t1", "pay", { to: "Ada" }), calls("t2", "pay", { to: "Eve" }))).layer,
          slow
        ])
      )
      const kept = ofJson(Option.getOrThrow(first).transcript)
      assert.deepStrictEqual(answers(kept), { t1: "paid", t2: undefined })
      const steps = yield* Stream.runCollect(agent.stream(kept)).pipe(Effect.provide([play(done()).layer, slow]))
      assert.deepStrictEqual(ran, ["Ada", "Eve"])
      assert.deepStrictEqual(finished(steps).map(({ outcome, toolCallId }) => [toolCallId, outcome]), [[
        "t2",
        "interrupted"
      ]])
      assert.deepInclude(answers(lastOf(steps)!), { t1: "paid" })
    }))

  it.effect("while approved calls run has used up their approvals", () =>
    Effect.gen(function*() {
      const careful = Toolkit.make(Tool.make("pay", { success: Schema.String, needsApproval: true }))
      const asking = Agent.make({ name: "x", toolkit: careful })
      let paid = 0
      const layer = careful.toLayer({ pay: () => Effect.andThen(Effect.sync(() => void paid++), Effect.never) })
      const { transcript } = yield* asking.run("Go").pipe(
        Effect.provide([play(asks(calls("t1", "pay"), calls("t2", "pay"))).layer, layer])
      )
      const steps: Array<Agent.Step> = []
      const fiber = yield* asking.stream(Agent.answer(transcript, { t1: true })).pipe(
        Stream.runForEach((step) => Effect.sync(() => void steps.push(step))),
        Effect.provide([play(done()).layer, layer]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(tags(steps), ["ToolsCalled", "ToolStarted"])
      // The other still waits.
      const kept = ofJson(lastOf(steps)!)
      assert.deepStrictEqual(Agent.pending(kept).map(({ toolCallId }) => toolCallId), ["t2"])
      const next = yield* asking.run(kept).pipe(Effect.provide([play(done()).layer, layer]))
      assert.deepStrictEqual([next.reason, paid], ["approval", 1])
      assert.deepInclude(answers(next.transcript)["t1"], { type: "execution-interrupted" })
      assert.throws(() => Agent.answer(next.transcript, { t1: true }), RangeError, /t1/)
    }))

  it.effect("anywhere goes on from the last transcript that it told, and no tool runs twice", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 80; seed++) {
        const random = seeded(seed)
        const upTo = (most: number) => Math.floor(random() * (most + 1))
        const runs = new Map<string, number>()
        const toolkit = Toolkit.make(
          Tool.make("act", { success: Schema.String, needsApproval: (_, { toolCallId }) => toolCallId.endsWith("3") })
        )
        const layer = toolkit.toLayer({
          act: (_, { toolCallId }) =>
            Effect.suspend(() => {
              runs.set(toolCallId!, (runs.get(toolCallId!) ?? 0) + 1)
              return random() < 0.5 ? Effect.succeed("at once") : Effect.as(Effect.sleep(upTo(500)), "later")
            })
        })
        const turns = 1 + upTo(3)
        const many = upTo(5)
        // What it says depends on where the conversation is, in whichever process.
        const model = respond(({ content }) => {
          const turn = content.filter(({ role }) => role === "assistant").length
          if (random() < 0.1) return down
          return turn < turns && many > 0
            ? asks(...Array.from({ length: many }, (_, n) => calls(`${turn} ${n}`, "act")))
            : done()
        })
        const acting = Agent.make({ name: "x", toolkit, tools: { concurrency: 1 + upTo(3) } })
        let kept = Prompt.make("Go")
        let reason: Agent.Reason | undefined
        for (let process = 0; reason !== "done" && process < 200; process++) {
          const crash = upTo(20)
          let steps = 0
          const fiber = yield* acting.stream(kept).pipe(
            Stream.takeUntil(() => ++steps > crash),
            Stream.runForEach((step) =>
              Effect.sync(() => {
                if ("transcript" in step) kept = ofJson(step.transcript)
                if (step._tag === "Finished") reason = step.reason
              })
            ),
            Effect.ignore,
            Effect.provide([model.layer, layer]),
            Effect.forkChild({ startImmediately: true })
          )
          while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("100 millis")
          const waits = Agent.pending(kept).map(({ toolCallId }) => [toolCallId, random() < 0.7] as const)
          kept = Agent.answer(kept, Object.fromEntries(waits))
        }
        assert.strictEqual(reason, "done", `seed ${seed}`)
        for (const [id, times] of runs) assert.strictEqual(times, 1, `seed ${seed}: ${id}`)
        const all = answers(kept)
        assert.strictEqual(Object.keys(all).length, many * turns, `seed ${seed}`)
        assert.notInclude(Object.values(all), undefined, `seed ${seed}`)
        for (const id of runs.keys()) assert.property(all, id)
      }
    }))
})

describe("approvals of a transcript", () => {
  const careful = Toolkit.make(
    Tool.make("pay", { parameters: Schema.Struct({}), success: Schema.String, needsApproval: true })
  )
  const asking = Agent.make({ name: "x", toolkit: careful })
  const payer = () => {
    const paid: Array<string> = []
    const layer = careful.toLayer({ pay: (_, { toolCallId }) => Effect.sync(() => `${paid.push(toolCallId!)}`) })
    return { paid, layer }
  }

  it.effect("are given to some of many, and the others wait on", () =>
    Effect.gen(function*() {
      const { layer, paid } = payer()
      const ids = Array.from({ length: 20 }, (_, n) => `t${n}`)
      const model = play(asks(...ids.map((id) => calls(id, "pay"))), done())
      const first = yield* asking.run("Go").pipe(Effect.provide([model.layer, layer]))
      assert.deepStrictEqual(first.pending.map(({ toolCallId }) => toolCallId), ids)
      const some = Object.fromEntries(ids.slice(0, 10).map((id, n) => [id, n % 2 === 0]))
      const second = yield* asking.run(Agent.answer(ofJson(first.transcript), some)).pipe(
        Effect.provide([model.layer, layer])
      )
      assert.deepStrictEqual(second.pending.map(({ toolCallId }) => toolCallId), ids.slice(10))
      assert.deepStrictEqual(paid, ["t0", "t2", "t4", "t6", "t8"])
      const rest = Object.fromEntries(ids.slice(10).map((id) => [id, false]))
      const third = yield* asking.run(Agent.answer(ofJson(second.transcript), rest)).pipe(
        Effect.provide([model.layer, layer])
      )
      assert.strictEqual(third.reason, "done")
      assert.strictEqual(paid.length, 5)
      assert.deepStrictEqual(Object.keys(answers(third.transcript)), ids)
      assert.notInclude(Object.values(answers(third.transcript)), undefined)
    }))

  it.effect("of ids as an attacker names them are those of the calls alone", () =>
    Effect.gen(function*() {
      const { layer, paid } = payer()
      const ids = ["__proto__", "constructor", "toString", ""]
      const model = play(asks(...ids.map((id) => calls(id, "pay"))), done())
      const { transcript } = yield* asking.run("Go").pipe(Effect.provide([model.layer, layer]))
      const kept = ofJson(transcript)
      assert.throws(() => Agent.answer(kept, { valueOf: true } as never), RangeError, /no call valueOf/)
      const all = JSON.parse("{ \"__proto__\": true, \"constructor\": true, \"toString\": false, \"\": true }")
      const { reason } = yield* asking.run(Agent.answer(kept, all)).pipe(Effect.provide([model.layer, layer]))
      assert.strictEqual(reason, "done")
      assert.deepStrictEqual(paid, ["__proto__", "constructor", ""])
    }))

  it.effect("do not count for a later call of the same id", () =>
    Effect.gen(function*() {
      const { layer, paid } = payer()
      const first = yield* asking.run("Go").pipe(
        Effect.provide([play(asks(calls("call_0", "pay"))).layer, layer])
      )
      const approved = Agent.answer(first.transcript, { call_0: true })
      // As a chat of effect/ai keeps it: the approval stays where it was.
      const kept = Prompt.concat(approved, [
        { role: "tool", content: [{ type: "tool-result", id: "call_0", name: "pay", isFailure: false, result: "1" }] },
        {
          role: "assistant",
          content: [
            { type: "tool-call", id: "call_0", name: "pay", params: {}, providerExecuted: false },
            { type: "tool-approval-request", approvalId: "other", toolCallId: "call_0" }
          ]
        }
      ])
      const next = yield* asking.run(kept).pipe(Effect.provide([play(done()).layer, layer]))
      assert.deepStrictEqual([next.reason, paid], ["approval", []])
      const last = yield* asking.run(Agent.answer(kept, { call_0: { approved: false } })).pipe(
        Effect.provide([play(done()).layer, layer])
      )
      assert.deepStrictEqual([last.reason, paid], ["done", []])
      // The first has kept its result, and the second has its own.
      const results = last.transcript.content.flatMap((message) =>
        message.role === "tool"
          ? message.content.flatMap((part) => part.type === "tool-result" ? [part.result] : [])
          : []
      )
      assert.strictEqual(results[0], "1")
      assert.deepInclude(results[1], { type: "execution-denied" })
    }))

  it.effect("that are played again approve no later call of the same id", () =>
    Effect.gen(function*() {
      const { layer, paid } = payer()
      const first = yield* asking.run("Go").pipe(Effect.provide([play(asks(calls("call_0", "pay"))).layer, layer]))
      const approved = Agent.answer(first.transcript, { call_0: true })
      const again = approved.content.at(-1)!
      const kept = Prompt.fromMessages([
        ...approved.content,
        ...Prompt.make([
          {
            role: "tool",
            content: [{ type: "tool-result", id: "call_0", name: "pay", isFailure: false, result: "1" }]
          },
          {
            role: "assistant",
            content: [
              { type: "tool-call", id: "call_0", name: "pay", params: {}, providerExecuted: false },
              { type: "tool-approval-request", approvalId: "other", toolCallId: "call_0" }
            ]
          }
        ]).content,
        again
      ])
      const { reason } = yield* asking.run(kept).pipe(Effect.provide([play(done()).layer, layer]))
      assert.deepStrictEqual([reason, paid], ["approval", []])
    }))

  it.effect("that were given hold where something else is said after them", () =>
    Effect.gen(function*() {
      const { layer, paid } = payer()
      const model = play(asks(calls("t1", "pay"), calls("t2", "pay")), done())
      const first = yield* asking.run("Go").pipe(Effect.provide([model.layer, layer]))
      const { reason, transcript } = yield* asking.run(
        Prompt.concat(Agent.answer(first.transcript, { t1: true }), "And be quick")
      ).pipe(Effect.provide([model.layer, layer]))
      assert.deepStrictEqual([reason, paid], ["done", ["t1"]])
      assert.deepInclude(answers(transcript)["t2"], { type: "execution-denied" })
    }))

  it.effect("wait where who answers for them breaks", () =>
    Effect.gen(function*() {
      const { layer, paid } = payer()
      const model = play(asks(calls("t1", "pay"), calls("t2", "pay")), done())
      const broken = Agent.make({
        name: "x",
        toolkit: careful,
        approve: ({ toolCallId }) => {
          if (toolCallId === "t1") throw new Error("bug")
          return Effect.succeed({ approved: false, reason: "No." })
        }
      })
      const { pending, reason, transcript } = yield* broken.run("Go").pipe(Effect.provide([model.layer, layer]))
      assert.deepStrictEqual([reason, pending.map(({ toolCallId }) => toolCallId), paid], ["approval", ["t1"], []])
      assert.deepInclude(answers(transcript)["t2"], { type: "execution-denied", reason: "No." })
    }))
})
