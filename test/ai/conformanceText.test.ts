/** What effect/ai promises of texts, over the simulator. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Stream } from "effect"
import { RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { Chat, LanguageModel, Prompt } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import {
  bodies,
  finishOf,
  inEachWay,
  lastBody,
  log,
  only,
  plain,
  said,
  simulated,
  textOf,
  thoughtOf,
  ways
} from "./simulated.ts"
import { blocks, type Json, MODEL } from "./support.ts"

describe("a text", () => {
  inEachWay("comes with whose it is, what it came to, and how it ended", (ask, way) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Hi" })
      assert.strictEqual(textOf(parts), "Hello there")
      const [metadata] = only(parts, "response-metadata")
      assert.strictEqual(parts[0], metadata)
      assert.deepInclude(metadata, { id: "msg_1", modelId: "claude-opus-5-5-20260101" })
      const finish = finishOf(parts)
      assert.strictEqual(finish.reason, "stop")
      assert.deepStrictEqual(plain(finish.usage), {
        inputTokens: { uncached: 3, cacheRead: 10, cacheWrite: 7, total: 20 },
        outputTokens: { total: 5, reasoning: 2, text: 3 }
      })
      const [entry] = (yield* log).entries
      assert.strictEqual(finish.metadata.anthropic.requestId, entry!.requestId)
      assert.deepStrictEqual(entry!.body, {
        model: MODEL,
        max_tokens: 4096,
        messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }],
        ...(way === "whole over JSON" ? undefined : { stream: true })
      })
    }).pipe(Effect.provide(simulated([
      Answer.text("Hello there", {
        id: "msg_1",
        model: "claude-opus-5-5-20260101",
        usage: {
          input_tokens: 3,
          cache_read_input_tokens: 10,
          cache_creation_input_tokens: 7,
          output_tokens: 5,
          output_tokens_details: { thinking_tokens: 2 }
        }
      })
    ]))))

  inEachWay("keeps every character, wherever the network cuts it", (ask) => {
    const text = "  naïve 🎉 e\u0301 日本\n\t\u0000 \"quoted\" \\u0041 \u2028end  "
    return Effect.gen(function*() {
      assert.strictEqual(textOf(yield* ask({ prompt: text })), text)
      assert.strictEqual((yield* lastBody).messages[0].content[0].text, text)
    }).pipe(Effect.provide(simulated([Answer.drip(Answer.text(text, { chunk: 1 }), { bytes: 7 })])))
  })

  inEachWay("may be empty", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Hi" })
      assert.strictEqual(textOf(parts), "")
      assert.strictEqual(finishOf(parts).reason, "stop")
    }).pipe(Effect.provide(simulated([Answer.text("")]))))

  inEachWay("comes after the thoughts that led to it", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Hi" })
      assert.strictEqual(thoughtOf(parts), "Let me think. ")
      assert.strictEqual(textOf(parts), "Done.")
      assert.isBelow(
        parts.findIndex(({ type }) => type.startsWith("reasoning")),
        parts.findIndex(({ type }) => type.startsWith("text"))
      )
    }).pipe(Effect.provide(simulated([Answer.thinking("Let me think. ", "Done.")]))))

  it.live("is streamed as starts, deltas and ends, each block by its own id", () =>
    Effect.gen(function*() {
      const parts = yield* ways.streamed({ prompt: "Hi" })
      assert.deepStrictEqual(
        parts.map((part) => "id" in part && part.type !== "response-metadata" ? `${part.type} ${part.id}` : part.type),
        [
          "response-metadata",
          "reasoning-start msg_1-0",
          "reasoning-delta msg_1-0",
          "reasoning-end msg_1-0",
          "text-start msg_1-1",
          "text-delta msg_1-1",
          "text-delta msg_1-1",
          "text-end msg_1-1",
          "finish"
        ]
      )
    }).pipe(Effect.provide(simulated([Answer.thinking("Hm.", "One two", { id: "msg_1" })]))))

  it.live("reaches a streaming consumer before the answer is over", () =>
    Effect.gen(function*() {
      const text = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Stream.filter((part) => part.type === "text-delta"),
        Stream.map(({ delta }) => delta),
        Stream.take(2),
        Stream.mkString
      )
      assert.strictEqual(text, "one two")
      // Who has enough closes the connection.
      const { logWhen } = yield* ClaudeSimulator.ClaudeSimulator
      yield* logWhen(({ entries }) => entries[0]?.outcome === "clientClosed")
    }).pipe(
      Effect.provide(simulated([Answer.stall({ afterEvents: 4 }, Answer.text("one two three"))]))
    ))
})

describe("a consumer who takes its time", () => {
  it.live("is waited for: what nobody takes is not read", () => {
    const text = "0123456789".repeat(2_000_000)
    return Effect.gen(function*() {
      const took = yield* LanguageModel.streamText({ prompt: "Hi" }).pipe(
        Stream.filter((part) => part.type === "text-delta"),
        Stream.take(1),
        Stream.mapEffect(() => Effect.andThen(Effect.sleep("200 millis"), log)),
        Stream.runCollect
      )
      assert.isBelow(took[0]!.entries[0]!.bytesSent, text.length / 2)
    }).pipe(Effect.provide(simulated([Answer.text(text, { chunk: 10_000 })])))
  })
})

describe("a prompt", () => {
  inEachWay("may be a text, messages as they are written, or a Prompt", (ask) =>
    Effect.gen(function*() {
      const messages = [
        { role: "system", content: "Be brief." },
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hi" },
        { role: "assistant", content: [{ type: "text", text: "Hello " }] },
        { role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] }
      ] as const
      yield* ask({ prompt: messages })
      yield* ask({ prompt: Prompt.make(messages) })
      yield* ask({ prompt: "Hi" })
      const [written, made, text] = yield* bodies
      assert.deepStrictEqual(made, written)
      assert.deepStrictEqual(written.system, [{ type: "text", text: "Be brief." }, { type: "text", text: "Be kind." }])
      assert.deepStrictEqual(written.messages, [
        { role: "user", content: [{ type: "text", text: "Hi" }] },
        { role: "assistant", content: [{ type: "text", text: "Hello " }] },
        { role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] }
      ])
      assert.deepStrictEqual(text.messages, [{ role: "user", content: [{ type: "text", text: "Hi" }] }])
    }).pipe(Effect.provide(simulated([]))))
})

describe("what has nothing to read in it", () => {
  inEachWay("is not sent, since the API refuses it, and would for ever", (ask) =>
    Effect.gen(function*() {
      yield* ask({
        prompt: [
          { role: "system", content: " " },
          { role: "user", content: "Hi" },
          { role: "user", content: [{ type: "text", text: "" }, { type: "text", text: " \n\u00a0" }] },
          { role: "assistant", content: "\n" },
          { role: "user", content: "So?" }
        ]
      })
      const { messages, system } = yield* lastBody
      assert.isUndefined(system)
      assert.deepStrictEqual(messages, [
        { role: "user", content: [{ type: "text", text: "Hi" }, { type: "text", text: "So?" }] }
      ])
    }).pipe(Effect.provide(simulated([]))))
})

describe("an end", () => {
  for (
    const [stopReason, reason] of [
      ["end_turn", "stop"],
      ["stop_sequence", "stop"],
      ["max_tokens", "length"],
      ["model_context_window_exceeded", "length"],
      ["refusal", "content-filter"],
      ["pause_turn", "pause"],
      ["tool_use", "tool-calls"],
      ["brand_new", "unknown"]
    ] as const
  ) {
    inEachWay(`by ${stopReason} is "${reason}", and no failure`, (ask) =>
      Effect.gen(function*() {
        const parts = yield* ask({ prompt: "Hi" })
        assert.strictEqual(textOf(parts), "So far")
        assert.strictEqual(finishOf(parts).reason, reason)
        assert.strictEqual(finishOf(parts).metadata.anthropic.stopReason, stopReason)
      }).pipe(Effect.provide(simulated([blocks([said("So far")], { stopReason: stopReason as Json })]))))
  }

  inEachWay("by a refusal says why, also where nothing was said", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Hi" })
      assert.strictEqual(textOf(parts), "")
      assert.strictEqual(finishOf(parts).reason, "content-filter")
      assert.deepInclude(finishOf(parts).metadata.anthropic.stopDetails, { category: "cyber" })
    }).pipe(Effect.provide(simulated([
      blocks([], {
        stopReason: "refusal",
        stopDetails: { type: "refusal", category: "cyber", explanation: "No." }
      })
    ]))))

  it.live("by a pause goes on where it stopped: the same blocks go back, and nothing is said in between", () => {
    const paused = [
      said("Searching."),
      { type: "server_tool_use", id: "s1", name: "web_search", input: { query: "weather" } }
    ]
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      const first = yield* chat.generateText({ prompt: "Weather?" })
      assert.strictEqual(first.finishReason, "pause")
      const second = yield* chat.generateText({ prompt: [] })
      assert.strictEqual(second.text, "Sunny.")
      assert.deepStrictEqual((yield* lastBody).messages.slice(1), [{ role: "assistant", content: paused }])
    }).pipe(Effect.provide(simulated([blocks(paused, { stopReason: "pause_turn" }), Answer.text("Sunny.")])))
  })

  it.live("in the middle of a sentence leaves a chat that goes on", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* Stream.runDrain(chat.streamText({ prompt: "Count" }))
      yield* chat.generateText({ prompt: "Go on" })
      assert.deepStrictEqual((yield* lastBody).messages, [
        { role: "user", content: [{ type: "text", text: "Count" }] },
        { role: "assistant", content: [{ type: "text", text: "one two " }] },
        { role: "user", content: [{ type: "text", text: "Go on" }] }
      ])
    }).pipe(Effect.provide(simulated([Answer.text("one two ", { stopReason: "max_tokens" })]))))
})

describe("a failure", () => {
  for (
    const [status, reason, isRetryable] of [
      [400, "InvalidRequestError", false],
      [401, "AuthenticationError", false],
      [403, "AuthenticationError", false],
      [404, "InvalidRequestError", false],
      [413, "InvalidRequestError", false],
      [429, "RateLimitError", true],
      [500, "InternalProviderError", true],
      [529, "InternalProviderError", true]
    ] as const
  ) {
    inEachWay(
      `of status ${status} is ${reason}, ${isRetryable ? "" : "not "}to be tried again`,
      (ask) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(ask({ prompt: "Hi" }))
          assert.strictEqual(error._tag, "AiError")
          assert.strictEqual(error.reason._tag, reason)
          assert.strictEqual(error.isRetryable, isRetryable)
          const claude = Option.getOrThrow(ClaudeLanguageModel.claudeError(error))
          assert.strictEqual(claude.requestId, (yield* log).entries[0]!.requestId)
        }).pipe(Effect.provide(simulated([Answer.error(status)])))
    )
  }

  inEachWay("that passes is not seen, and neither is what it had said", (ask) =>
    Effect.gen(function*() {
      const parts = yield* ask({ prompt: "Hi" })
      assert.strictEqual(textOf(parts), "Hello")
      assert.strictEqual(finishOf(parts).metadata.anthropic.attempts, 3)
      assert.strictEqual((yield* log).requests, 3)
    }).pipe(Effect.provide(simulated(
      [Answer.error(529), Answer.truncate("afterHeaders", Answer.text("Nobody")), Answer.text("Hello")],
      { options: { retry: RetryPolicy.make({ initial: "1 millis", times: 5 }) } }
    ))))

  // message_start, the block's start, three deltas and its stop, message_delta: all but message_stop.
  for (let events = 0; events <= 7; events++) {
    for (
      const [how, broken] of [
        ["ends", Answer.truncate({ afterEvents: events }, Answer.text("one two three"))],
        ["is reset", Answer.reset({ afterEvents: events }, Answer.text("one two three"))],
        ["says so", Answer.errorEvent("overloaded_error", "Overloaded", { afterEvents: events })]
      ] as const
    ) {
      inEachWay(`is one where the stream ${how} after ${events} events, and may pass`, (ask) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(ask({ prompt: "Hi" }))
          assert.strictEqual(error._tag, "AiError")
          assert.isTrue(error.isRetryable)
        }).pipe(Effect.provide(simulated(() => broken))))

      it.live(`tells no part of itself where the stream ${how} after ${events} events`, () =>
        Effect.gen(function*() {
          const seen = new Set<string>()
          const look = (part: { readonly type: string }) => Effect.sync(() => seen.add(part.type))
          yield* Effect.flip(Stream.runForEach(LanguageModel.streamText({ prompt: "Hi" }), look))
          assert.isFalse(seen.has("finish"))
          assert.isFalse(seen.has("error"))
          if (how === "ends") assert.strictEqual(seen.has("text-delta"), events >= 3)
        }).pipe(Effect.provide(simulated(() => broken))))
    }
  }
})

describe("a caller who leaves", () => {
  inEachWay("closes the connection", (ask) =>
    Effect.gen(function*() {
      const { logWhen } = yield* ClaudeSimulator.ClaudeSimulator
      const fiber = yield* Effect.forkChild(ask({ prompt: "Hi" }))
      yield* logWhen(({ inFlight }) => inFlight === 1)
      yield* Fiber.interrupt(fiber)
      const { inFlight } = yield* logWhen(({ earlyCloses }) => earlyCloses === 1)
      assert.strictEqual(inFlight, 0)
    }).pipe(Effect.provide(simulated([Answer.stall("midStream")]))))
})

describe("many at once", () => {
  it.live("a hundred chats of three turns each keep to themselves", () => {
    const all = Deferred.makeUnsafe<void>()
    let waiting = 0
    const echo = (request: ClaudeSimulator.Request) => {
      const { messages } = request.body as Json
      const answer = Answer.text(`${messages.length}: ${messages.at(-1).content[0].text}`)
      // All of them are under way before the first is answered.
      if (messages.length === 1 && ++waiting === 100) Deferred.doneUnsafe(all, Effect.void)
      return Effect.as(Deferred.await(all), answer)
    }
    return Effect.gen(function*() {
      const talks = yield* Effect.forEach(Array.from({ length: 100 }, (_, n) => n), (n) =>
        Effect.gen(function*() {
          const chat = yield* Chat.empty
          const said: Array<string> = []
          for (const turn of ["a", "b", "c"]) {
            said.push(
              n % 2 === 0
                ? (yield* chat.generateText({ prompt: `${turn}${n}` })).text
                : textOf(yield* Stream.runCollect(chat.streamText({ prompt: `${turn}${n}` })))
            )
          }
          return said
        }), { concurrency: "unbounded" })
      talks.forEach((said, n) => assert.deepStrictEqual(said, [`1: a${n}`, `3: b${n}`, `5: c${n}`]))
      const { maxInFlight, requests } = yield* log
      assert.strictEqual(requests, 300)
      assert.strictEqual(maxInFlight, 100)
    }).pipe(Effect.provide(simulated(echo, { options: { concurrency: 100 } })))
  })
})
