import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Redacted, Schedule, Schema, SchemaTransformation, Stream } from "effect"
import { AiError, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as Agent from "../../src/ai/agent/Agent.ts"
import { seeded } from "../flow/observe.ts"
import { answers, asks, calls, done, ends as end, finished, gauge, ofJson, play, tags } from "./agentModel.ts"

const SECRET = "hunter2"

const one = <const Name extends string>(name: Name, options: object = {}) =>
  Tool.make(name, { success: Schema.String, ...options })

/** An agent whose only tool is `act`, and is called once. */
const acting = <E extends AiError.AiErrorReason | string>(
  handler: () => Effect.Effect<string, E>,
  options: { readonly tool?: object; readonly tools?: Agent.ToolsOptions } = {}
) => {
  const toolkit = Toolkit.make(one("act", options.tool))
  const agent = Agent.make({ name: "acting", toolkit, ...(options.tools && { tools: options.tools as never }) })
  const model = play(asks(calls("t1", "act")), done())
  const steps = Stream.runCollect(agent.stream("Go")).pipe(
    // What fails is the test's to say, whatever the tool declares.
    Effect.provide([model.layer, toolkit.toLayer({ act: handler as () => Effect.Effect<string> })])
  )
  return { model, steps }
}

const only = (steps: ReadonlyArray<Agent.Step>): Agent.ToolFinished => finished(steps)[0]!

describe("a tool that fails", () => {
  const kinds: Readonly<Record<string, [Effect.Effect<string, never>, object, unknown]>> = {
    "with a failure that it returns": [
      Effect.fail("no such file") as never,
      { failure: Schema.String, failureMode: "return" },
      "no such file"
    ],
    "with a failure that it declares, and would fail with": [
      Effect.fail("no such file") as never,
      { failure: Schema.String },
      "no such file"
    ],
    "with a defect": [
      Effect.die(new Error(SECRET)),
      {},
      { type: "execution-failed", reason: "It failed for a reason of its own." }
    ],
    "with a defect, where it returns its failures": [
      Effect.die(new Error(SECRET)),
      { failureMode: "return" },
      { type: "execution-failed", reason: "It failed for a reason of its own." }
    ],
    "with a failure that cannot be encoded": [
      Effect.fail(SECRET) as never,
      {
        failure: Schema.String.pipe(Schema.decodeTo(
          Schema.String,
          SchemaTransformation.transform({
            decode: (text: string) => text,
            encode: (text): string => {
              throw new Error(text)
            }
          })
        ))
      },
      { type: "execution-failed", reason: "It failed for a reason of its own." }
    ],
    "with what a schema has refused": [
      Schema.decodeUnknownEffect(Schema.Int)(SECRET) as never,
      {},
      { type: "execution-failed", reason: "Its result is not what it says that it answers." }
    ],
    "with the error of another service": [
      Effect.fail(new AiError.InternalProviderError({ description: SECRET })) as never,
      {},
      { type: "execution-failed", reason: "It failed: InternalProviderError." }
    ],
    "with the error of another service, where it returns its failures": [
      Effect.fail(new AiError.InternalProviderError({ description: SECRET })) as never,
      { failureMode: "return" },
      { type: "execution-failed", reason: "It failed: InternalProviderError." }
    ],
    "with what it does not declare": [
      Effect.fail({ password: SECRET }) as never,
      { failure: Schema.String },
      { type: "execution-failed", reason: "It failed for a reason of its own." }
    ],
    "with a result that is not what it says": [
      Effect.succeed({ password: SECRET }) as never,
      {},
      { type: "execution-failed", reason: "Its result is not what it says that it answers." }
    ],
    "by interrupting itself": [Effect.interrupt, {}, { type: "execution-failed", reason: "It was interrupted." }]
  }
  for (const [how, [effect, tool, result]] of Object.entries(kinds)) {
    it.effect(`${how} is shown to the model, which goes on`, () => {
      const { model, steps } = acting(() => effect, { tool })
      return Effect.gen(function*() {
        const all = yield* steps
        assert.deepInclude(only(all), { outcome: "failed", attempts: 1, result })
        assert.strictEqual((all.at(-1) as Agent.Finished).reason, "done")
        assert.deepStrictEqual(answers(model.prompts[1]!), { t1: result })
        assert.notInclude(JSON.stringify(all), SECRET)
      })
    })
  }

  it.effect("is told to this process with what it failed with", () => {
    const bug = new Error(SECRET)
    return Effect.gen(function*() {
      const defect = only(yield* acting(() => Effect.die(bug)).steps)
      assert.strictEqual(Redacted.value(defect.error!), bug)
      assert.notInclude(JSON.stringify(defect), SECRET)
      const failure = only(yield* acting(() => Effect.fail("busy"), { tool: { failure: Schema.String } }).steps)
      assert.strictEqual(Redacted.value(failure.error!), "busy")
      const success = only(yield* acting(() => Effect.succeed("fine")).steps)
      assert.isUndefined(success.error)
    })
  })

  it.effect("for its parameters is told what is wrong with them, and is not tried again", () => {
    const toolkit = Toolkit.make(
      Tool.make("act", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.String })
    )
    const agent = Agent.make({ name: "x", toolkit, tools: { retry: Schedule.recurs(3) } })
    const unknown = ["other", "constructor", "toString", "__proto__"]
    const model = play(asks(calls("t1", "act", { n: "one" }), ...unknown.map((name) => calls(name, name))), done())
    return Effect.gen(function*() {
      const steps = yield* Stream.runCollect(agent.stream("Go"))
      const [t1, ...others] = finished(steps)
      assert.deepInclude(t1, { outcome: "failed", attempts: 1 })
      assert.match(JSON.stringify(t1!.result), /n/)
      assert.deepStrictEqual(
        others.map(({ attempts, outcome, result }) => [attempts, outcome, result]),
        unknown.map((name) => [0, "failed", {
          type: "execution-failed",
          reason: `There is no tool ${name}; there are act.`
        }])
      )
    }).pipe(Effect.provide([model.layer, toolkit.toLayer({ act: () => Effect.succeed("") })]))
  })
})

describe("timeouts and retries", () => {
  it.effect("a tool that takes too long is interrupted, and the model is told", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const { steps } = acting(() => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined)), {
        tools: { timeout: "30 seconds" }
      })
      const fiber = yield* Effect.forkChild(steps, { startImmediately: true })
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const { duration, outcome, result } = only(yield* Fiber.join(fiber))
      assert.deepStrictEqual([outcome, Duration.toSeconds(duration)], ["timed-out", 30])
      assert.deepStrictEqual(result, { type: "execution-timed-out", reason: "It did not answer within 30s." })
      yield* Deferred.await(interrupted)
    }))

  it.effect("each attempt has its time, and the last of them counts", () =>
    Effect.gen(function*() {
      let attempts = 0
      const { steps } = acting(() => ++attempts < 3 ? Effect.never : Effect.succeed("at last"), {
        tools: { timeout: "10 seconds", retry: Schedule.recurs(2) }
      })
      const fiber = yield* Effect.forkChild(steps, { startImmediately: true })
      yield* TestClock.adjust("20 seconds")
      assert.deepInclude(only(yield* Fiber.join(fiber)), { outcome: "success", attempts: 3, result: "at last" })
    }))

  it.effect("a schedule is given the failure, waits as it says, and ends with the last failure", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { steps } = acting(() => Effect.fail("busy"), {
        tool: { failure: Schema.String, failureMode: "return" },
        tools: {
          retry: Schedule.spaced("1 minute").pipe(
            Schedule.upTo({ times: 2 }),
            Schedule.setInputType<Agent.ToolFailure>(),
            Schedule.tap(({ input }) =>
              Effect.sync(() => void seen.push(`${input.tool} ${input.kind} ${String(input.error)}`))
            )
          )
        }
      })
      const fiber = yield* Effect.forkChild(steps, { startImmediately: true })
      yield* TestClock.adjust("119 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepInclude(only(yield* Fiber.join(fiber)), { outcome: "failed", attempts: 3, result: "busy" })
      assert.deepStrictEqual(seen.slice(0, 2), ["act failed busy", "act failed busy"])
    }))

  it.effect("a defect is not tried again", () => {
    const { steps } = acting(() => Effect.die("bug"), { tools: { retry: Schedule.recurs(5) } })
    return Effect.map(steps, (all) => assert.strictEqual(only(all).attempts, 1))
  })

  it.effect("a tool of its own options keeps to those", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(one("fast"), one("slow"))
      const agent = Agent.make({
        name: "x",
        toolkit,
        tools: { timeout: "1 second", each: { slow: { timeout: Infinity } } }
      })
      const wait = () => Effect.as(Effect.sleep("1 hour"), "rested")
      const fiber = yield* Stream.runCollect(agent.stream("Go")).pipe(
        Effect.provide([
          play(asks(calls("t1", "fast"), calls("t2", "slow")), done()).layer,
          toolkit.toLayer({ fast: wait, slow: wait })
        ]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(finished(yield* Fiber.join(fiber)).map(({ name, outcome }) => [name, outcome]), [
        ["fast", "timed-out"],
        ["slow", "success"]
      ])
    }))
})

describe("results", () => {
  const long = "x".repeat(10_000_000)
  const result = { type: "execution-failed" }

  it.effect("of ten million characters are not taken, since the transcript would never go on again", () => {
    const { model, steps } = acting(() => Effect.succeed(long))
    return Effect.gen(function*() {
      const all = yield* steps
      assert.deepInclude(only(all), { outcome: "failed", attempts: 1 })
      assert.deepInclude(only(all).result, result)
      assert.match(JSON.stringify(only(all).result), /10000000 characters where 400000/)
      assert.isBelow(JSON.stringify(model.prompts[1]).length, 1_000)
    })
  })

  it.effect("may be as long as one says, for all tools or one of them, and failures are no longer", () =>
    Effect.gen(function*() {
      const outcome = (handler: () => Effect.Effect<string, string>, tools: Agent.ToolsOptions) =>
        Effect.map(acting(handler, { tool: { failure: Schema.String }, tools }).steps, (all) => only(all))
      const ten = () => Effect.succeed("0123456789")
      assert.strictEqual((yield* outcome(ten, { resultLimit: 10 })).outcome, "success")
      assert.strictEqual((yield* outcome(ten, { resultLimit: 9 })).outcome, "failed")
      assert.strictEqual(
        (yield* outcome(ten, { resultLimit: 9, each: { act: { resultLimit: 99 } } })).outcome,
        "success"
      )
      const failed = yield* outcome(() => Effect.fail("0123456789"), { resultLimit: 9 })
      assert.deepInclude(failed.result, result)
      assert.throws(() => acting(ten, { tools: { resultLimit: 0 } }), RangeError, /tools\.resultLimit is 0/)
    }))

  it.effect("that are images or documents are not measured by their bytes", () => {
    const image = [{ type: "image", source: { type: "base64", media_type: "image/png", data: long } }]
    const { steps } = acting(() => Effect.succeed(image) as never, { tool: { success: Schema.Json } })
    return Effect.map(steps, (all) => assert.strictEqual(only(all).outcome, "success"))
  })

  it.effect("that look like one, and go to the model as text, are", () =>
    Effect.gen(function*() {
      const source = { type: "base64", media_type: "image/png", data: long }
      for (
        const value of [{ type: "file", content: long }, { source }, [{ source }], [{ type: "file", content: long }]]
      ) {
        const { steps } = acting(() => Effect.succeed(value) as never, { tool: { success: Schema.Json } })
        assert.strictEqual(only(yield* steps).outcome, "failed", JSON.stringify(value).slice(0, 40))
      }
    }))

  it.effect("that are no JSON are told to be none, and fail no run", () =>
    Effect.gen(function*() {
      const circular: Record<string, unknown> = {}
      circular["self"] = circular
      for (const value of [{ n: 1n }, circular]) {
        const { steps } = acting(() => Effect.succeed(value) as never, { tool: { success: Schema.Unknown } })
        const all = yield* steps
        assert.deepInclude(only(all).result, result)
        assert.strictEqual((all.at(-1) as Agent.Finished).reason, "done")
      }
    }))

  it.effect("for the model alone are what is measured", () =>
    Effect.gen(function*() {
      const told = (text: string) => ({
        success: Schema.String,
        toModelOutput: () => [Prompt.makePart("text", { text })]
      })
      const short = acting(() => Effect.succeed(long), { tool: told("short") })
      const all = yield* short.steps
      assert.strictEqual(only(all).outcome, "success")
      const { steps } = acting(() => Effect.succeed("short"), { tool: told(long) })
      const tooLong = yield* steps
      assert.strictEqual(only(tooLong).outcome, "failed")
      assert.isBelow(JSON.stringify(tooLong.at(-1)).length, 2_000)
    }))
})

describe("tools that do not let go", () => {
  it.effect("when their time is up are waited for: what they hold is free before the model is told", () =>
    Effect.gen(function*() {
      let isFree = false
      const { steps } = acting(
        () =>
          Effect.ensuring(Effect.never, Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(() => isFree = true))),
        { tools: { timeout: "10 seconds" } }
      )
      const fiber = yield* Effect.forkChild(steps, { startImmediately: true })
      yield* TestClock.adjust("14 seconds")
      assert.deepStrictEqual([fiber.pollUnsafe(), isFree], [undefined, false])
      yield* TestClock.adjust("1 second")
      const { duration, outcome } = only(yield* Fiber.join(fiber))
      assert.deepStrictEqual([outcome, Duration.toSeconds(duration), isFree], ["timed-out", 15, true])
    }))

  it.effect("hold neither the others nor those that wait for their turn longer than that", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(one("act"))
      const agent = Agent.make({ name: "x", toolkit, tools: { concurrency: 2, timeout: "10 seconds" } })
      const fiber = yield* Stream.runCollect(agent.stream("Go")).pipe(
        Effect.provide([
          play(asks(...["never", "a", "b", "c"].map((id) => calls(id, "act"))), done()).layer,
          toolkit.toLayer({
            act: (_, { toolCallId }) =>
              toolCallId === "never" ? Effect.never : Effect.as(Effect.sleep("1 second"), "done")
          })
        ]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("10 seconds")
      const steps = yield* Fiber.join(fiber)
      assert.deepStrictEqual(finished(steps).map(({ outcome, toolCallId }) => [toolCallId, outcome]), [
        ["a", "success"],
        ["b", "success"],
        ["c", "success"],
        ["never", "timed-out"]
      ])
    }))
})

describe("tools in parallel", () => {
  it.effect("are a thousand in a turn, eight at once", () =>
    Effect.gen(function*() {
      const { get, within } = yield* gauge
      const ids = Array.from({ length: 1_000 }, (_, n) => `t${n}`)
      const toolkit = Toolkit.make(one("act"))
      const model = play(asks(...ids.map((id) => calls(id, "act"))), done())
      const fiber = yield* Stream.runForEach(Agent.make({ name: "x", toolkit }).stream("Go"), () => Effect.void).pipe(
        Effect.provide([
          model.layer,
          toolkit.toLayer({ act: (_, { toolCallId }) => within(Effect.as(Effect.sleep("1 second"), toolCallId!)) })
        ]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("125 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* get, { now: 0, most: 8 })
      assert.deepStrictEqual(answers(model.prompts[1]!), Object.fromEntries(ids.map((id) => [id, id])))
    }))

  it.effect("that have much to tell on the way wait until it is looked at", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(one("act"))
      let told = 0
      let ahead: number | undefined
      yield* Stream.runForEach(
        Agent.make({ name: "x", toolkit }).stream("Go"),
        ({ _tag }) => _tag === "ToolProgress" ? Effect.sync(() => void (ahead ??= told)) : Effect.void
      ).pipe(
        Effect.provide([
          play(asks(calls("t1", "act")), done()).layer,
          toolkit.toLayer({
            act: (_, { preliminary }) =>
              Effect.as(
                Effect.forEach(
                  Array.from({ length: 1_000 }),
                  () => Effect.andThen(preliminary("more"), Effect.sync(() => told++)),
                  { discard: true }
                ),
                "all"
              )
          })
        ])
      )
      assert.strictEqual(told, 1_000)
      assert.isBelow(ahead!, 200)
    }))

  it.effect("are as many as they may be, and all fifty are answered in order", () =>
    Effect.gen(function*() {
      const { get, within } = yield* gauge
      const ids = Array.from({ length: 50 }, (_, n) => `t${n}`)
      const toolkit = Toolkit.make(one("act"))
      const agent = Agent.make({ name: "x", toolkit, tools: { concurrency: 7 } })
      const model = play(asks(...ids.map((id) => calls(id, "act"))), done())
      const fiber = yield* Stream.runCollect(agent.stream("Go")).pipe(
        Effect.provide([
          model.layer,
          toolkit.toLayer({
            act: (_, { toolCallId }) => within(Effect.as(Effect.sleep("1 second"), `by ${toolCallId}`))
          })
        ]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("8 seconds")
      const steps = yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* get, { now: 0, most: 7 })
      assert.strictEqual(finished(steps).length, 50)
      const results = model.prompts[1]!.content.findLast(({ role }) => role === "tool")!
      assert.deepStrictEqual(
        (results as Prompt.ToolMessage).content.map((part) => part.type === "tool-result" && part.id),
        ids
      )
      assert.deepStrictEqual(answers(model.prompts[1]!), Object.fromEntries(ids.map((id) => [id, `by ${id}`])))
    }))

  it.effect("tell what they have on the way, and no more than there is room for", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(one("act"))
      const agent = Agent.make({ name: "x", toolkit })
      const steps = yield* Stream.runCollect(agent.stream("Go")).pipe(
        Effect.provide([
          play(asks(calls("t1", "act")), done()).layer,
          toolkit.toLayer({
            act: (_, { preliminary }) =>
              Effect.as(Effect.forEach(["a", "b"], (part) => Effect.andThen(preliminary(part), Effect.yieldNow)), "c")
          })
        ])
      )
      const told = steps.flatMap((step) =>
        step._tag === "ToolProgress" || step._tag === "ToolFinished" ? [step.result] : []
      )
      assert.deepStrictEqual(told, ["a", "b", "c"])
    }))
})

describe("approvals", () => {
  const dangerous = Toolkit.make(
    one("look"),
    Tool.make("delete", {
      parameters: Schema.Struct({ path: Schema.String }),
      success: Schema.String,
      needsApproval: ({ path }) => path !== "/tmp"
    })
  )
  const agent = Agent.make({ name: "x", toolkit: dangerous })
  const ran: Array<string> = []
  const handlers = dangerous.toLayer({
    look: () => Effect.succeed("a file"),
    delete: ({ path }) => Effect.sync(() => (ran.push(path), `deleted ${path}`))
  })
  const turn = asks(
    calls("t1", "look"),
    calls("t2", "delete", { path: "/home" }),
    calls("t3", "delete", { path: "/tmp" })
  )

  it.effect("end the run until they are given; what needs none has run, and what was approved runs once", () => {
    ran.length = 0
    const model = play(turn, done())
    return Effect.gen(function*() {
      const steps = yield* Stream.runCollect(agent.stream("Go"))
      assert.deepStrictEqual(tags(steps).slice(-2), ["TurnFinished", "Finished"])
      assert.strictEqual(tags(steps).filter((tag) => tag === "ApprovalNeeded").length, 1)
      const waiting = steps.at(-1) as Agent.Finished
      assert.strictEqual(waiting.reason, "approval")
      assert.deepStrictEqual(waiting.pending, [{ toolCallId: "t2", name: "delete", params: { path: "/home" } }])
      assert.deepStrictEqual(ran, ["/tmp"])

      const kept = ofJson(waiting.transcript)
      assert.deepStrictEqual(Agent.pending(kept), waiting.pending)
      // Run without an answer it still waits, and asks nobody.
      const still = yield* agent.run(kept)
      assert.deepStrictEqual([still.reason, still.pending], ["approval", waiting.pending])
      assert.strictEqual(model.prompts.length, 1)

      const { reason, transcript } = yield* agent.run(ofJson(Agent.answer(kept, { t2: true })))
      assert.strictEqual(reason, "done")
      assert.deepStrictEqual(ran, ["/tmp", "/home"])
      assert.deepStrictEqual(answers(transcript), { t1: "a file", t2: "deleted /home", t3: "deleted /tmp" })
      assert.notInclude(JSON.stringify(transcript.content), "tool-approval")
      assert.notInclude(JSON.stringify(model.prompts[1]), "approval")
      assert.strictEqual(model.prompts.length, 2)
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("are used up when the run tells that it is resumed, whatever the model does then", () => {
    ran.length = 0
    return Effect.gen(function*() {
      const { transcript } = yield* agent.run("Go").pipe(Effect.provide(play(turn).layer))
      const resumed: Array<Prompt.Prompt> = []
      yield* agent.stream(Agent.answer(transcript, { t2: true })).pipe(
        Stream.runForEach((step) => Effect.sync(() => step._tag === "ToolsCalled" && resumed.push(step.transcript))),
        Effect.flip,
        Effect.provide(play([{ type: "error", error: "down" }]).layer)
      )
      assert.deepStrictEqual(ran, ["/tmp", "/home"])
      assert.strictEqual((yield* agent.run(resumed[0]!).pipe(Effect.provide(play(done()).layer))).reason, "done")
      assert.deepStrictEqual(ran, ["/tmp", "/home"])
    }).pipe(Effect.provide(handlers))
  })

  it.effect("that are denied are shown with the reason", () => {
    ran.length = 0
    const model = play(turn, done())
    return Effect.gen(function*() {
      const { transcript } = yield* agent.run("Go")
      const denied = Agent.answer(transcript, { t2: { approved: false, reason: "Not that one." } })
      const steps = yield* Stream.runCollect(agent.stream(denied))
      assert.deepInclude(only(steps), { outcome: "denied", attempts: 0 })
      assert.deepStrictEqual(answers(model.prompts[1]!)["t2"], { type: "execution-denied", reason: "Not that one." })
      assert.deepStrictEqual(ran, ["/tmp"])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("are denied by whatever is said next instead", () => {
    ran.length = 0
    const model = play(turn, done())
    return Effect.gen(function*() {
      const { transcript } = yield* agent.run("Go")
      yield* agent.run(Prompt.concat(transcript, "Never mind."))
      assert.deepInclude(answers(model.prompts[1]!)["t2"], { type: "execution-denied" })
      assert.strictEqual(model.prompts[1]!.content.at(-1)!.role, "user")
      assert.deepStrictEqual(ran, ["/tmp"])
    }).pipe(Effect.provide([model.layer, handlers]))
  })

  it.effect("are asked of who answers for them, and do not hold up the others", () =>
    Effect.gen(function*() {
      ran.length = 0
      const model = play(turn, done())
      const verdict = yield* Deferred.make<boolean>()
      const meanwhile = yield* Deferred.make<void>()
      const asked: Array<Agent.ApprovalRequest> = []
      const attended = Agent.make({
        name: "x",
        toolkit: dangerous,
        tools: { concurrency: 1 },
        approve: (request) => Effect.andThen(Effect.sync(() => void asked.push(request)), Deferred.await(verdict))
      })
      const fiber = yield* attended.run("Go").pipe(
        Effect.provide([
          model.layer,
          dangerous.toLayer({
            look: () => Effect.succeed("a file"),
            delete: ({ path }) =>
              Effect.andThen(
                Effect.sync(() => void ran.push(path)),
                Effect.as(Deferred.succeed(meanwhile, undefined), "")
              )
          })
        ]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Deferred.await(meanwhile)
      assert.deepStrictEqual(ran, ["/tmp"])
      yield* Deferred.succeed(verdict, true)
      assert.strictEqual((yield* Fiber.join(fiber)).reason, "done")
      assert.deepStrictEqual(asked.map(({ toolCallId }) => toolCallId), ["t2"])
      assert.deepStrictEqual(ran, ["/tmp", "/home"])
    }))

  it.effect("are decided by the parameters, and what was said before the call", () => {
    const seen: Array<unknown> = []
    const toolkit = Toolkit.make(one("act", {
      parameters: Schema.Struct({ n: Schema.FiniteFromString }),
      needsApproval: ({ n }: { n: number }, { messages, toolCallId }: Tool.NeedsApprovalContext) => {
        seen.push([n, toolCallId, messages.map(({ role }) => role)])
        return false
      }
    }))
    return Effect.gen(function*() {
      yield* Agent.make({ name: "x", toolkit }).run("Go")
      // What does not fit is not run, so nobody is asked for it.
      assert.deepStrictEqual(seen, [[1, "t1", ["user"]], [3, "t3", ["user", "assistant", "tool"]]])
    }).pipe(
      Effect.provide([
        play(
          asks(calls("t1", "act", { n: "1" }), calls("t2", "act", { n: {} })),
          asks(calls("t3", "act", { n: "3" })),
          done()
        ).layer,
        toolkit.toLayer({ act: () => Effect.succeed("") })
      ])
    )
  })

  it.effect("wait on where the time is up for the others", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(one("slow"), one("drop", { needsApproval: true }))
      const agent = Agent.make({ name: "x", toolkit, limits: { time: "1 second" } })
      const fiber = yield* agent.run("Go").pipe(
        Effect.provide([
          play(asks(calls("t1", "slow"), calls("t2", "drop"))).layer,
          toolkit.toLayer({ slow: () => Effect.never, drop: () => Effect.succeed("dropped") })
        ]),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      const { pending, reason } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([reason, pending.map(({ name }) => name)], ["time-limit", ["drop"]])
    }))

  it.effect("are needed where who decides that breaks", () => {
    const broken = Toolkit.make(one("act", {
      needsApproval: () => {
        throw new Error("bug")
      }
    }))
    return Effect.gen(function*() {
      const { reason } = yield* Agent.make({ name: "x", toolkit: broken }).run("Go")
      assert.strictEqual(reason, "approval")
    }).pipe(
      Effect.provide([play(asks(calls("t1", "act"))).layer, broken.toLayer({ act: () => Effect.succeed("") })])
    )
  })

  it.effect("that nobody waits for are refused by name, and so are those that were given", () =>
    Effect.gen(function*() {
      assert.throws(() => Agent.answer(Prompt.make("Go"), { t9: true }), RangeError, /no call t9 waits/)
      const { transcript } = yield* agent.run("Go")
      const denied = Agent.answer(transcript, { t2: false })
      assert.throws(() => Agent.answer(denied, { t2: true }), RangeError, /no call t2 waits.*those that do: none/)
    }).pipe(Effect.provide([play(turn, done()).layer, handlers])))
})

describe("whatever happens", () => {
  it.effect("each call is over once, and has a result or waits, in a transcript that goes on", () =>
    Effect.gen(function*() {
      const reasons = new Set<string>()
      for (let seed = 0; seed < 150; seed++) {
        const random = seeded(seed)
        const upTo = (most: number) => Math.floor(random() * (most + 1))
        const toolkit = Toolkit.make(Tool.make("act", { success: Schema.String, needsApproval: () => random() < 0.05 }))
        const ends: ReadonlyArray<() => Effect.Effect<string>> = [
          () => Effect.succeed("at once"),
          () => Effect.as(Effect.sleep(upTo(3_000)), "later"),
          () => Effect.never,
          () => Effect.die("bug")
        ]
        const turns = Array.from({ length: 1 + upTo(4) }, (_, turn) => {
          const all = Array.from({ length: upTo(5) }, (_, n) => calls(`${turn} ${n}`, random() < 0.9 ? "act" : "none"))
          return all.length === 0 ? done() : random() < 0.1 ? [...all, end("length")] : asks(...all)
        })
        const model = play(turns[0]!, ...turns.slice(1), done())
        const agent = Agent.make({
          name: "x",
          toolkit,
          limits: { turns: 1 + upTo(5), tokens: 15 * (1 + upTo(5)), time: 1 + upTo(8_000) },
          tools: { concurrency: 1 + upTo(3), timeout: 1 + upTo(2_000) }
        })
        const handlers = toolkit.toLayer({ act: () => ends[upTo(ends.length - 1)]!() })
        const fiber = yield* Stream.runCollect(agent.stream("Go")).pipe(
          Effect.provide([model.layer, handlers]),
          Effect.forkChild({ startImmediately: true })
        )
        while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("250 millis")
        const steps = yield* Fiber.join(fiber)
        const { pending, reason, transcript } = steps.at(-1) as Agent.Finished
        reasons.add(reason)
        assert.strictEqual(steps.filter(({ _tag }) => _tag === "Finished").length, 1)
        const waiting = pending.map(({ toolCallId }) => toolCallId)
        const over = finished(steps).map(({ toolCallId }) => toolCallId)
        const all = answers(transcript)
        const asked = steps.flatMap((step) => step._tag === "ApprovalNeeded" ? [step.toolCallId] : [])
        assert.sameMembers(asked, waiting, `seed ${seed}`)
        assert.sameMembers([...over, ...waiting], Object.keys(all), `seed ${seed}`)
        for (const [id, result] of Object.entries(all)) {
          assert.strictEqual(result === undefined, waiting.includes(id), `seed ${seed}: ${id}`)
        }
        // Results follow the turn that asked for them.
        transcript.content.forEach(({ role }, index) => {
          if (role === "tool") assert.strictEqual(transcript.content[index - 1]!.role, "assistant")
        })
        const next = play(done())
        const went = yield* agent.run(Prompt.concat(transcript, "Go on")).pipe(Effect.provide([next.layer, handlers]))
        assert.notInclude(Object.values(answers(went.transcript)), undefined)
      }
      assert.sameMembers([...reasons], ["done", "approval", "turn-limit", "token-limit", "time-limit", "cut"])
    }))
})
