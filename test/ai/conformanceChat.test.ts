/** What effect/ai promises of chats, where they are kept, and of plans over models, over the simulator. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer as shared } from "@effect/vitest"
import { Deferred, Effect, ExecutionPlan, Fiber, Layer, Ref, Schedule, Schema, Stream } from "effect"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { AiError, Chat, IdGenerator, LanguageModel, Model, Prompt, ResponseIdTracker, Tool, Toolkit } from "effect/ai"
import { KeyValueStore, Persistence } from "effect/persistence"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import { quiet } from "../flow/observe.ts"
import { bodies, client, lastBody, log, said, simulated, textOf, use } from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const turns = ["whole", "streamed"] as const

/** Asks a chat, and answers what it says. */
const say = (
  way: typeof turns[number],
  chat: Chat.Chat,
  options: Json
): Effect.Effect<string, Json, LanguageModel.LanguageModel> =>
  way === "whole"
    ? Effect.map(chat.generateText(options), ({ text }) => text) as Json
    : Effect.map(Stream.runCollect(chat.streamText(options)), textOf as Json) as Json

const user = (text: string) => ({ role: "user", content: [{ type: "text", text }] })
const assistant = (text: string) => ({ role: "assistant", content: [{ type: "text", text }] })

/** Says how many messages it was told, and the last of them. */
const echo = (request: ClaudeSimulator.Request): Answer.Answer => {
  const { messages } = request.body as Json
  return Answer.text(`${messages.length} ${messages.at(-1).content.at(-1).text}`)
}

const thought = { type: "thinking", thinking: "Hm. ", signature: "c2ln+/=" }
const turn = [thought, said("Looking. "), use("t1", "look", { at: "it" })]
const Look = Toolkit.make(
  Tool.make("look", { parameters: Schema.Struct({ at: Schema.String }), success: Schema.String })
)
const look = Effect.provide(Look, Look.toLayer({ look: ({ at }) => Effect.succeed(`seen ${at}`) }))

describe("a chat", () => {
  for (const way of turns) {
    it.live(`remembers what was said, by whom (${way})`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be brief." }, { role: "user", content: "a" }])
        assert.strictEqual(yield* say(way, chat, { prompt: "b" }), "1 b")
        assert.strictEqual(yield* say(way, chat, { prompt: [user("c"), user("d")] }), "3 d")
        const { messages, system } = yield* lastBody
        assert.deepStrictEqual(system, [{ type: "text", text: "Be brief." }])
        const content = (...texts: ReadonlyArray<string>) => texts.map((text) => ({ type: "text", text }))
        assert.deepStrictEqual(messages, [
          { role: "user", content: content("a", "b") },
          assistant("1 b"),
          { role: "user", content: content("c", "d") }
        ])
        const history = (yield* Ref.get(chat.history)).content
        assert.deepStrictEqual(
          history.map(({ role }) => role),
          ["system", "user", "user", "assistant", "user", "user", "assistant"]
        )
      }).pipe(Effect.provide(simulated(echo))))

    it.live(`goes on from what its caller makes of its history (${way})`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat.empty
        yield* say(way, chat, { prompt: "a" })
        yield* Ref.update(chat.history, (history) => Prompt.fromMessages(history.content.slice(0, 1)))
        yield* Ref.update(chat.history, Prompt.setSystem("Be kind."))
        assert.strictEqual(yield* say(way, chat, { prompt: "b" }), "1 b")
        assert.deepStrictEqual((yield* lastBody).system, [{ type: "text", text: "Be kind." }])
      }).pipe(Effect.provide(simulated(echo))))

    it.live(`is one conversation: who comes meanwhile waits, and sees what was said (${way})`, () => {
      const first = Deferred.makeUnsafe<void>()
      return Effect.gen(function*() {
        const chat = yield* Chat.empty
        const one = yield* Effect.forkChild(say(way, chat, { prompt: "a" }), { startImmediately: true })
        const two = yield* Effect.forkChild(say(way, chat, { prompt: "b" }), { startImmediately: true })
        const { logWhen } = yield* ClaudeSimulator.ClaudeSimulator
        yield* logWhen(({ inFlight }) => inFlight === 1)
        yield* Deferred.succeed(first, undefined)
        assert.deepStrictEqual([yield* Fiber.join(one), yield* Fiber.join(two)], ["1 a", "3 b"])
        assert.strictEqual((yield* log).maxInFlight, 1)
      }).pipe(Effect.provide(simulated((request) => Effect.as(Deferred.await(first), echo(request)))))
    })

    it.live(`is exported and goes on as if it had not stopped, also as another (${way})`, () =>
      Effect.gen(function*() {
        const toolkit = yield* look
        const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be brief." }])
        yield* say(way, chat, { prompt: "Weather?", toolkit })
        const forks = [
          yield* Chat.fromExport(JSON.parse(JSON.stringify(yield* chat.export))),
          yield* Chat.fromJson(yield* chat.exportJson),
          chat
        ]
        for (const fork of forks) yield* say(way, fork, { prompt: "So?", toolkit })
        const [, one, two, three] = yield* bodies
        assert.strictEqual(JSON.stringify(one), JSON.stringify(three))
        assert.strictEqual(JSON.stringify(two), JSON.stringify(three))
        assert.strictEqual(
          JSON.stringify(three.messages),
          JSON.stringify([
            user("Weather?"),
            { role: "assistant", content: turn },
            {
              role: "user",
              content: [{ type: "tool_result", tool_use_id: "t1", content: "seen it" }, { type: "text", text: "So?" }]
            }
          ])
        )
        // They know nothing of each other.
        yield* say(way, forks[0]!, { prompt: "One" })
        yield* say(way, forks[1]!, { prompt: "Two" })
        const [a, b] = (yield* bodies).slice(-2)
        assert.notInclude(JSON.stringify(b), "One")
        assert.strictEqual(b.messages.length, a.messages.length)
      }).pipe(Effect.provide(simulated([blocks(turn), Answer.hello, Answer.hello, Answer.hello]))))
  }

  it.live("whose call fails stays as it was, and goes on", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* say("whole", chat, { prompt: "a" })
      const before = yield* Ref.get(chat.history)
      const error = yield* Effect.flip(say("whole", chat, { prompt: "b" }))
      assert.strictEqual(error.reason._tag, "InternalProviderError")
      assert.strictEqual(yield* Ref.get(chat.history), before)
      yield* say("whole", chat, { prompt: "b" })
      assert.deepStrictEqual((yield* lastBody).messages, [user("a"), assistant("A"), user("b")])
    }).pipe(Effect.provide(simulated([Answer.text("A"), Answer.error(529)]))))

  it.live("whose stream breaks keeps what came of it, and goes on", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      const error = yield* Effect.flip(say("streamed", chat, { prompt: "Count" }))
      assert.strictEqual(error.reason._tag, "NetworkError")
      yield* say("streamed", chat, { prompt: "Go on" })
      assert.deepStrictEqual((yield* lastBody).messages, [user("Count"), assistant("one two"), user("Go on")])
    }).pipe(Effect.provide(simulated([Answer.truncate({ afterEvents: 4 }, Answer.text("one two three"))]))))

  it.live("whose consumer leaves keeps what came, drops half a thought, and goes on", () => {
    const answer = blocks([thought, said("one"), { ...thought, thinking: "a b c" }])
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.streamText({ prompt: "Count" }).pipe(
        // Within the second thought.
        Stream.takeUntil((part) => part.type === "reasoning-delta" && part.delta === "a"),
        Stream.runDrain
      )
      yield* say("streamed", chat, { prompt: "Go on" })
      assert.deepStrictEqual((yield* lastBody).messages, [
        user("Count"),
        { role: "assistant", content: [thought, said("one")] },
        user("Go on")
      ])
    }).pipe(Effect.provide(simulated([Answer.stall({ afterEvents: 12 }, answer)])))
  })

  it.live("whose tool was interrupted tells the model so, and goes on", () => {
    const begun = Deferred.makeUnsafe<void>()
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        Look,
        Look.toLayer({ look: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never) })
      )
      const chat = yield* Chat.empty
      const fiber = yield* Effect.forkChild(say("streamed", chat, { prompt: "Look", toolkit }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      yield* say("streamed", chat, { prompt: "Go on", toolkit })
      const { messages } = yield* lastBody
      assert.deepStrictEqual(messages[1].content, turn)
      assert.deepInclude(messages[2].content[0], { type: "tool_result", tool_use_id: "t1", is_error: true })
      assert.deepStrictEqual(messages[2].content[1], said("Go on"))
    }).pipe(Effect.provide(simulated([blocks(turn)])))
  })
})

// -----------------------------------------------------------------------------
// where chats are kept
// -----------------------------------------------------------------------------

const suite = <E>(name: string, backing: Layer.Layer<Persistence.BackingPersistence, E>) =>
  describe(`chats that are kept in ${name}`, () => {
    const chats = Layer.orDie(Chat.layerPersisted({ storeId: "chats" }).pipe(Layer.provide(backing)))
    shared(chats, { excludeTestServices: true })((it) => {
      for (const way of turns) {
        it.effect(`are found again with all that they were, byte for byte (${way})`, () =>
          Effect.gen(function*() {
            const toolkit = yield* look
            const store = yield* Chat.Persistence
            yield* say(way, yield* store.getOrCreate(`${name} ${way}`), { prompt: "Weather?", toolkit })
            yield* say(way, yield* store.get(`${name} ${way}`), { prompt: "So?", toolkit })
            const { messages } = yield* lastBody
            assert.strictEqual(JSON.stringify(messages[1].content), JSON.stringify(turn))
            assert.strictEqual(messages.length, 3)
            const found = yield* store.getOrCreate(`${name} ${way}`)
            assert.strictEqual((yield* Ref.get(found.history)).content.length, 5)
          }).pipe(Effect.provide(simulated([blocks(turn), Answer.hello]))))
      }

      it.effect("are found again where a tool answered nothing", () => {
        const tools = Toolkit.make(Tool.make("note"))
        return Effect.gen(function*() {
          const toolkit = yield* Effect.provide(tools, tools.toLayer({ note: () => Effect.void }))
          const store = yield* Chat.Persistence
          yield* say("whole", yield* store.getOrCreate(`${name} noted`), { prompt: "Note it.", toolkit })
          yield* say("whole", yield* store.get(`${name} noted`), { prompt: "So?", toolkit })
          assert.deepStrictEqual((yield* lastBody).messages[2].content, [
            { type: "tool_result", tool_use_id: "t1" },
            said("So?")
          ])
        }).pipe(Effect.provide(simulated([blocks([use("t1", "note", {})])])))
      })

      it.effect("that nobody has kept are not found", () =>
        Effect.gen(function*() {
          const store = yield* Chat.Persistence
          const error = yield* Effect.flip(store.get("nobody"))
          assert.strictEqual(error._tag, "ChatNotFoundError")
          assert.deepStrictEqual((yield* Ref.get((yield* store.getOrCreate(`${name} new`)).history)).content, [])
          // And this one is kept from now on.
          yield* store.get(`${name} new`)
        }).pipe(Effect.provide(simulated([]))))

      it.effect("keep what came of a stream that broke, and what a failed call was asked with nothing", () =>
        Effect.gen(function*() {
          const store = yield* Chat.Persistence
          const chat = yield* store.getOrCreate(`${name} broken`)
          yield* Effect.flip(say("whole", chat, { prompt: "a" }))
          yield* Effect.flip(say("streamed", chat, { prompt: "Count" }))
          yield* say("whole", yield* store.get(`${name} broken`), { prompt: "Go on" })
          assert.deepStrictEqual((yield* lastBody).messages, [user("Count"), assistant("one two"), user("Go on")])
        }).pipe(
          Effect.provide(
            simulated([Answer.error(529), Answer.truncate({ afterEvents: 4 }, Answer.text("one two three"))])
          )
        ))

      it.effect("mark the messages of each exchange", () =>
        Effect.gen(function*() {
          const chat = yield* (yield* Chat.Persistence).getOrCreate(`${name} marked`)
          for (const prompt of ["a", "b"]) yield* say("whole", chat, { prompt })
          assert.deepStrictEqual(
            (yield* Ref.get(chat.history)).content.map(({ options }: Json) => options[Chat.Persistence.key]),
            Array.from({ length: 4 }, () => ({ messageId: "msg_1" }))
          )
          // What is theirs is not sent.
          assert.notInclude(JSON.stringify(yield* bodies), "msg_1")
        }).pipe(
          Effect.provide(simulated([])),
          Effect.provideService(IdGenerator.IdGenerator, { generateId: () => Effect.succeed("msg_1") })
        ))
    })
  })

suite("memory", Persistence.layerBackingMemory)
suite("a key-value store", Persistence.layerBackingKvs.pipe(Layer.provide(KeyValueStore.layerMemory)))
suite(
  "files",
  Persistence.layerBackingKvs.pipe(
    Layer.provide(Layer.unwrap(Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "chats-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      ),
      KeyValueStore.layerFileSystem
    ))),
    Layer.provide(NodeServices.layer)
  )
)

describe("chats that are kept for a time", () => {
  it.effect("are forgotten then", () =>
    Effect.gen(function*() {
      const store = yield* Chat.Persistence
      yield* say("whole", yield* store.getOrCreate("c1", { timeToLive: "30 days" }), { prompt: "a" })
      yield* TestClock.adjust("29 days")
      assert.strictEqual((yield* Ref.get((yield* store.get("c1")).history)).content.length, 2)
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* Effect.flip(store.get("c1")))._tag, "ChatNotFoundError")
    }).pipe(Effect.provide([
      simulated([]),
      Chat.layerPersisted({ storeId: "chats" }).pipe(Layer.provide(Persistence.layerBackingMemory))
    ])))
})

// -----------------------------------------------------------------------------
// plans
// -----------------------------------------------------------------------------

describe("a plan over models", () => {
  const isRetryable = (error: AiError.AiError) => error.isRetryable
  const plan = ExecutionPlan.make(
    {
      provide: ClaudeLanguageModel.model("claude-opus-5-5", { max_tokens: 100 }),
      attempts: 2,
      schedule: Schedule.spaced("1 millis"),
      while: isRetryable
    },
    { provide: ClaudeLanguageModel.model("claude-haiku-5-5"), while: isRetryable }
  )
  const api = (answer: (model: string, index: number) => Answer.Answer) =>
    client({ circuit: false }).pipe(
      Layer.provideMerge(ClaudeSimulator.layer({ answers: ({ body }, index) => answer(String(body.model), index) })),
      Layer.provideMerge(quiet)
    )
  const asked = Effect.map(bodies, (all) => all.map(({ model }) => model))

  it.live("goes to the next when one is down, and says which it was", () =>
    Effect.gen(function*() {
      const [text, provider, name] = yield* Effect.all([
        Effect.map(LanguageModel.generateText({ prompt: "Hi" }), ({ text }) => text),
        Model.ProviderName,
        Model.ModelName
      ]).pipe(Effect.withExecutionPlan(plan))
      assert.deepStrictEqual([text, provider, name], ["claude-haiku-5-5", "anthropic", "claude-haiku-5-5"])
      assert.deepStrictEqual(yield* asked, ["claude-opus-5-5", "claude-opus-5-5", "claude-haiku-5-5"])
    }).pipe(Effect.provide(api((model) => model.includes("opus") ? Answer.error(529) : Answer.text(model)))))

  it.live("does so for streams, as long as nothing was streamed", () =>
    Effect.gen(function*() {
      const text = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Stream.withExecutionPlan(plan, { preventFallbackOnPartialStream: true }),
        Stream.runCollect
      )
      assert.strictEqual(textOf(text), "claude-haiku-5-5")
    }).pipe(Effect.provide(api((model) => model.includes("opus") ? Answer.error(529) : Answer.text(model)))))

  it.live("goes nowhere with a mistake of the caller's", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        LanguageModel.generateText({ prompt: "Hi" }).pipe(Effect.withExecutionPlan(plan))
      )
      assert.strictEqual(error.reason._tag, "InvalidRequestError")
      assert.deepStrictEqual(yield* asked, ["claude-opus-5-5"])
    }).pipe(Effect.provide(api(() => Answer.error(400)))))

  it.live("holds for a chat, which is the same on whichever model it goes on", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      for (const prompt of ["a", "b"]) yield* chat.generateText({ prompt }).pipe(Effect.withExecutionPlan(plan))
      const { max_tokens, messages, model } = yield* lastBody
      assert.deepStrictEqual(messages, [user("a"), assistant("1"), user("b")])
      assert.deepStrictEqual([model, max_tokens], ["claude-haiku-5-5", 4096])
    }).pipe(
      Effect.provide(api((model, index) => index > 0 && model.includes("opus") ? Answer.error(529) : Answer.text("1")))
    ))
})

describe("a model that is tracked", () => {
  for (const way of turns) {
    it.live(`is told the whole conversation all the same, as the API knows no other way (${way})`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat.empty
        for (const prompt of ["a", "b", "c"]) yield* say(way, chat, { prompt })
        assert.deepStrictEqual((yield* bodies).map(({ messages }) => messages.length), [1, 3, 5])
      }).pipe(
        Effect.provide(simulated(echo)),
        Effect.provideServiceEffect(ResponseIdTracker.ResponseIdTracker, ResponseIdTracker.make)
      ))
  }
})
