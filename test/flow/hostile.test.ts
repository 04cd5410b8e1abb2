import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import { Readable } from "node:stream"
import { Body, MAX_BYTES } from "../../src/decode/Body.ts"
import * as PartialJson from "../../src/decode/PartialJson.ts"
import { SseDecoder } from "../../src/decode/Sse.ts"
// What is loaded when it is first needed would come by the machine's clock.
import "effect/ai/AnthropicStructuredOutput"
import "effect/persistence/CircuitBreaker"

const model = "claude-opus-5-5"
const request = { prompt: "Hi" }

const scripted = (answer: Answer.Answer, ...more: ReadonlyArray<Answer.Answer>) =>
  Claude.layerTransport({ defaults: { model }, retry: RetryPolicy.make({ times: 1 }) }).pipe(
    Layer.provideMerge(ScriptedTransport.layer([answer, ...more]))
  )

/** Runs under a clock that goes on by itself, and answers how it ended. */
const ended = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.exit(effect))
    // A module is loaded on the way of an object, which no clock hurries.
    for (let turn = 0; turn < 500 && fiber.pollUnsafe() === undefined; turn++) {
      yield* Effect.promise(() => new Promise(setImmediate))
      yield* TestClock.adjust("1 minute")
    }
    return yield* Fiber.join(fiber)
  })

const failureOf = (exit: Exit.Exit<unknown, ClaudeError.ClaudeError>) => {
  assert.isTrue(Exit.isFailure(exit), String(exit))
  const reason = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
  assert.isDefined(reason, String(exit))
  return reason!.error
}

const message = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model,
  content: [],
  usage: { input_tokens: 1, output_tokens: 1 }
}
const start = { type: "message_start", message }
const block = { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }
const delta = { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "a" } }
const stop = { type: "message_stop" }

describe("an event of another shape", () => {
  const shapes: ReadonlyArray<readonly [string, ReadonlyArray<Answer.RawEvent>]> = [
    ["a delta without a delta", [start, block, { type: "content_block_delta", index: 0 }, stop]],
    ["a start without a message", [{ type: "message_start" }, stop]],
    ["a start without content", [{ type: "message_start", message: { id: "msg_1" } }, stop]],
    ["an end without usage", [start, block, delta, { type: "message_delta" }, stop]],
    ["a block without a block", [start, { type: "content_block_start", index: 0 }, delta, stop]],
    ["an end alone", [stop]],
    ["content before the start", [delta, start, stop]],
    ["a second start after content", [start, block, delta, start, stop]]
  ]

  it.effect.each(shapes)("%s is InvalidResponse, for message and for stream", ([, events]) =>
    Effect.gen(function*() {
      const layer = scripted(Answer.events(events))
      const folded = failureOf(yield* ended(Effect.provide(Claude.message(request), layer)))
      const streamed = failureOf(yield* ended(Effect.provide(Stream.runDrain(Claude.stream(request)), layer)))
      assert.deepStrictEqual([folded.reason._tag, streamed.reason._tag], ["InvalidResponse", "InvalidResponse"])
      assert.strictEqual(folded.attempts, 2)
    }))

  it.effect("an index below zero, or past all blocks, is passed over", () =>
    Effect.gen(function*() {
      const odd = [-1, 7, 1e9].map((index) => ({ ...delta, index }))
      const exit = yield* ended(
        Effect.provide(Claude.text(request), scripted(Answer.events([start, block, delta, ...odd, stop])))
      )
      assert.deepStrictEqual(exit, Exit.succeed("a"))
    }))

  it.effect("an error of a type that is no text, or that every object has, is a server's error", () =>
    Effect.gen(function*() {
      for (const type of ["constructor", 5, null]) {
        const events = [start, { type: "error", error: { type, message: 7 } }]
        const error = failureOf(yield* ended(Effect.provide(Claude.text(request), scripted(Answer.events(events)))))
        assert.strictEqual(error.reason._tag, "ServerError")
      }
    }))

  it.effect("a failure or a restart on the wire is not taken for ours", () =>
    Effect.gen(function*() {
      const events = [start, block, { type: "restart" }, delta, stop]
      const layer = scripted(Answer.events(events))
      const seen = yield* Effect.provide(Stream.runCollect(Claude.stream(request)), layer)
      assert.notInclude(seen.map(({ type }) => type), "restart")
      const failure = scripted(Answer.events([start, { type: "error", failure: { _tag: "ClaudeFatalError" } }]))
      assert.strictEqual(
        failureOf(yield* ended(Effect.provide(Claude.text(request), failure))).reason._tag,
        "ServerError"
      )
    }))

  it.effect("an error's message is cut, however long it came", () =>
    Effect.gen(function*() {
      const error = { type: "x".repeat(100_000), message: "y".repeat(100_000) }
      const failed = failureOf(
        yield* ended(Effect.provide(Claude.text(request), scripted(Answer.events([start, { type: "error", error }]))))
      )
      assert.isBelow(failed.message.length, 2_000)
    }))
})

describe("what a call was billed", () => {
  const usage = { input_tokens: 1000, output_tokens: 10 }
  const broken = Answer.truncate("midStream", Answer.text("one two three", { usage }))

  it.effect("is that of all attempts, on an incomplete text and on a mismatch", () =>
    Effect.gen(function*() {
      const cut = scripted(broken, Answer.text("one", { usage, stopReason: "max_tokens" }))
      const incomplete = failureOf(yield* ended(Effect.provide(Claude.text(request), cut)))
      assert.deepStrictEqual([incomplete.attempts, incomplete.usage?.input_tokens], [2, 2000])
      const unfit = scripted(broken, Answer.text("no object", { usage }))
      const object = Claude.object(Schema.Struct({ n: Schema.Int }), request).pipe(Claude.withPolicy({ repair: 0 }))
      const mismatch = failureOf(yield* ended(Effect.provide(object, unfit)))
      assert.deepStrictEqual([mismatch.attempts, mismatch.usage?.input_tokens], [2, 2000])
    }))

  it.effect("an object that parses but was cut or refused is a mismatch that names it", () =>
    Effect.gen(function*() {
      for (const stopReason of ["refusal", "max_tokens"] as const) {
        const layer = scripted(Answer.json({ n: 1 }, { stopReason }))
        const error = failureOf(
          yield* ended(Effect.provide(Claude.object(Schema.Struct({ n: Schema.Int }), request), layer))
        )
        assert.isTrue(error.reason._tag === "SchemaMismatch" && error.reason.stopReason === stopReason)
      }
    }))
})

it.effect("a hint that is too long is told, with what the policy allows", () =>
  Effect.gen(function*() {
    const layer = scripted(Answer.error(429, { retryAfter: "90 seconds" }))
    const error = failureOf(yield* ended(Effect.provide(Claude.text(request), layer)))
    assert.strictEqual(error.attempts, 1)
    assert.match(error.message, /1m 30s.*maxRetryAfter \(1m\)/)
  }))

it("a tool input of brackets alone is completed in a time that grows with its length", () => {
  // Of this thread alone: machines are busy.
  const time = (length: number) => {
    const started = process.threadCpuUsage()
    PartialJson.parse("[".repeat(length))
    const { system, user } = process.threadCpuUsage(started)
    return system + user
  }
  const best = (length: number) => Math.min(time(length), time(length), time(length))
  time(1_000)
  // Eight times as long: 64 times the time would be the square.
  assert.isBelow(best(400_000) / Math.max(4000, best(50_000)), 40)
})

describe("over a socket", () => {
  it.live("an error status whose body never ends keeps its status", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({
        answers: () => Answer.stall({ afterBytes: 10 }, Answer.error(401))
      })
      const layer = Claude.layer({ apiKey: Redacted.make("k"), baseURL: simulator.url, defaults: { model } })
      const error = failureOf(yield* Effect.exit(Effect.provide(Claude.text(request), layer)))
      assert.deepStrictEqual([error.reason._tag, error.attempts], ["Authentication", 1])
    }))
})

describe("a body without end", () => {
  const megabytes = new Uint8Array(8 * 1024 * 1024).fill(32)
  const reads = MAX_BYTES / megabytes.length

  it("is given up as JSON, past a bound", () => {
    const body = new Body()
    for (let i = 0; i < reads; i++) assert.isTrue(body.push([megabytes]))
    assert.isFalse(body.push([megabytes]))
  })

  it("is given up as an event of ever more lines of data", () => {
    const decoder = new SseDecoder(() => {})
    const line = Buffer.from(`data: ${" ".repeat(megabytes.length)}\n`)
    let taken = 0
    while (taken <= reads && decoder.push(line)) taken++
    assert.isAtMost(taken, reads)
  })
})

describe("a client that is handed in", () => {
  const frames = [start, block, delta, { type: "content_block_stop", index: 0 }, stop].map((event) =>
    `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
  )
  const headers = { "content-type": "text/event-stream", "request-id": "req_of_sk-told-to-all" }
  const over = (response: () => object) =>
    Claude.layer({
      defaults: { model },
      retry: RetryPolicy.none,
      // What such a fetch answers is the point: it need not be a Response.
      client: new Anthropic({ apiKey: "sk-told-to-all", fetch: () => Promise.resolve(response() as Response) })
    })
  const answer = (body: unknown) => ({ ok: true, status: 200, url: "", headers: new Headers(headers), body })

  it.live("may answer a Node stream", () =>
    Effect.gen(function*() {
      const layer = over(() => answer(Readable.from(frames.map((frame) => Buffer.from(frame)))))
      assert.strictEqual(yield* Effect.provide(Claude.text(request), layer), "a")
    }))

  it.live("that answers a body which somebody reads already is Misconfigured", () =>
    Effect.gen(function*() {
      const layer = over(() => {
        const response = new Response(frames.join(""), { headers })
        response.body?.getReader()
        return response
      })
      const error = failureOf(yield* Effect.exit(Effect.provide(Claude.text(request), layer)))
      assert.strictEqual(error.reason._tag, "Misconfigured")
    }))

  it.live("shows its key in no request id that echoes it", () =>
    Effect.gen(function*() {
      const message = yield* Effect.provide(
        Claude.message(request),
        over(() => new Response(frames.join(""), { headers }))
      )
      assert.strictEqual(message.requestId, "req_of_<redacted>")
    }))
})
