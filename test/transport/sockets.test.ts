import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { inspect } from "node:util"
import { Agent } from "undici"
import * as tls from "../testing/tls.ts"

// -----------------------------------------------------------------------------
// two kinds of client: ours over undici's dispatch, and one that is handed in with the built-in fetch
// -----------------------------------------------------------------------------

const KEY = "sk-ant-over-the-wire"

type Options = Omit<Claude.Options, "apiKey" | "baseURL" | "client">

interface Kind {
  readonly name: "our client" | "a client handed in"
  readonly layer: (url: string, options?: Options) => Layer.Layer<Claude.Claude, ClaudeError.ClaudeFatalError>
}

const common: Options = { retry: RetryPolicy.none, defaults: { model: "claude-sonnet-5-5", max_tokens: 100 } }

const kinds: ReadonlyArray<Kind> = [
  {
    name: "our client",
    layer: (baseURL, options) => Claude.layer({ ...common, ...options, apiKey: Redacted.make(KEY), baseURL })
  },
  {
    name: "a client handed in",
    // Its own retries, timeout and logs would show: the library calls it with all of them off.
    layer: (baseURL, options) =>
      Claude.layer({
        ...common,
        ...options,
        client: new Anthropic({ apiKey: KEY, baseURL, maxRetries: 4, timeout: 20, logLevel: "warn" })
      })
  }
]

const request = { prompt: "Hi there" }

/** The error that a call ends with; whatever it is, it shows no key. */
const failureOf = (
  kind: Kind,
  url: string,
  options?: Options,
  call: Effect.Effect<unknown, ClaudeError.ClaudeError, Claude.Claude> = Claude.message(request)
) =>
  Effect.flip(call).pipe(
    Effect.provide(kind.layer(url, options)),
    Effect.tap((error) =>
      Effect.sync(() => {
        for (const shown of [String(error), inspect(error, { depth: 9 }), JSON.stringify(error), error.stack]) {
          assert.notInclude(shown, KEY)
        }
      })
    )
  )

const reasonOf = ({ reason }: ClaudeError.ClaudeError) => {
  const { _tag, ...rest } = reason
  return { reason: _tag, ...rest }
}

/** A server of a test's own, for what no simulator does. */
const serve = (handler: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly connections: () => number; readonly close: Effect.Effect<void> }>(
      (resume) => {
        let connections = 0
        const server = createServer(handler).on("connection", () => connections++)
        const close = Effect.callback<void>((done) => {
          server.close(() => done(Effect.void))
          server.closeAllConnections()
        })
        server.listen(0, "127.0.0.1", () =>
          resume(Effect.succeed({
            url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
            connections: () => connections,
            close
          })))
      }
    ),
    (server) => server.close
  )

/** Where nothing listens any more. */
const deadUrl = Effect.map(Effect.scoped(serve(() => {})), ({ url }) => url)

const simulate = (...answers: ReadonlyArray<Answer.Answer>) => ClaudeSimulator.make({ answers })

const events = {
  start: `event: message_start\ndata: ${
    JSON.stringify({
      type: "message_start",
      message: {
        id: "msg_1",
        type: "message",
        role: "assistant",
        model: "claude-sonnet-5-5",
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: 3, output_tokens: 1 }
      }
    })
  }\n\nevent: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n`,
  delta: (text: string) =>
    `event: content_block_delta\ndata: ${
      JSON.stringify({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })
    }\n\n`,
  end:
    `event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\nevent: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n`
}

describe.each(kinds)("$name", (kind) => {
  // ---------------------------------------------------------------------------
  // no connection
  // ---------------------------------------------------------------------------

  it.live("a refused connection is ConnectionFailed", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(kind, yield* deadUrl)
      assert.deepStrictEqual(reasonOf(error), { reason: "ConnectionFailed", code: "ECONNREFUSED" })
      assert.deepStrictEqual([error.retryHere, error.attempts, error.status], [true, 1, undefined])
    }))

  it.live("a host that does not exist is ConnectionFailed", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(kind, "http://nohost.invalid")
      assert.strictEqual(error.reason._tag, "ConnectionFailed")
      assert.match(error.message, /ENOTFOUND|EAI_AGAIN/)
    }))

  it.live("a certificate that nobody vouches for is Misconfigured", () =>
    Effect.gen(function*() {
      const { url } = yield* ClaudeSimulator.make({ tls })
      const error = yield* failureOf(kind, url)
      assert.deepStrictEqual([error.reason._tag, error.retryHere], ["Misconfigured", false])
      assert.include(error.message, "certificate")
    }))

  it.live("a server without TLS addressed as https is Misconfigured", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate()
      const error = yield* failureOf(kind, url.replace("http:", "https:"))
      assert.strictEqual(error.reason._tag, "Misconfigured")
      assert.include(error.message, "baseURL")
    }))

  it.live("a connection that is closed before the headers is ConnectionFailed", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(Answer.reset("beforeHeaders"))
      const error = yield* failureOf(kind, url)
      assert.strictEqual(error.reason._tag, "ConnectionFailed")
      assert.isTrue(error.retryHere)
    }))

  it.live("an answer that is no HTTP is ConnectionFailed", () =>
    Effect.gen(function*() {
      const { url } = yield* serve((request) => request.socket.end("this is no HTTP\r\n\r\n"))
      assert.strictEqual((yield* failureOf(kind, url)).reason._tag, "ConnectionFailed")
    }))

  // ---------------------------------------------------------------------------
  // statuses
  // ---------------------------------------------------------------------------

  const statuses: ReadonlyArray<readonly [number, ClaudeError.ClaudeError["reason"]["_tag"]]> = [
    [400, "InvalidRequest"],
    [401, "Authentication"],
    [402, "SpendLimit"],
    [403, "PermissionDenied"],
    [404, "NotFound"],
    [408, "ServerError"],
    [409, "ServerError"],
    [412, "InvalidRequest"],
    [413, "RequestTooLarge"],
    [422, "InvalidRequest"],
    [429, "RateLimited"],
    [431, "InvalidRequest"],
    [500, "ServerError"],
    [502, "ServerError"],
    [503, "ServerError"],
    [504, "ServerError"],
    [529, "Overloaded"]
  ]

  it.live("each status has its reason, and is asked for once", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate()
      for (const [status, reason] of statuses) {
        for (const wire of ["sse", "json"] as const) {
          yield* simulator.reset
          yield* simulator.script([Answer.error(status, { message: "told by the server", retryAfter: "7 seconds" })])
          const error = yield* failureOf(kind, simulator.url, { wire })
          assert.deepStrictEqual([error.reason._tag, error.status], [reason, status])
          assert.include(error.message, "told by the server")
          assert.strictEqual(error.attempts, 1)
          const { entries, requests } = yield* simulator.log
          assert.strictEqual(requests, 1, `requests for ${status}`)
          assert.strictEqual(error.requestId, entries[0]?.requestId)
          assert.deepStrictEqual(error.retryAfter, Duration.seconds(7))
        }
      }
    }))

  it.live("the headers of a 429 tell when there is room again", () =>
    Effect.gen(function*() {
      const reset = Date.now() + 400
      const headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": new Date(reset).toISOString()
      }
      const { url } = yield* simulate(Answer.error(429, { headers }), Answer.hello)
      yield* Effect.gen(function*() {
        yield* Effect.flip(Claude.message(request))
        yield* Claude.message(request)
      }).pipe(Effect.provide(kind.layer(url)))
      assert.isAtLeast(Date.now(), reset)
    }))

  it.live("a code in the error's details decides", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(
        Answer.error(429, { errorCode: "enforced_spend_limit_reached", shouldRetry: true })
      )
      const error = yield* failureOf(kind, url, { retry: RetryPolicy.standard })
      assert.deepStrictEqual([error.reason._tag, error.attempts, error.mayFailOver], ["SpendLimit", 1, true])
    }))

  it.live("an error page of a proxy is its status, without its markup", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(Answer.garbage("html502"))
      const error = yield* failureOf(kind, url)
      assert.deepStrictEqual([error.reason._tag, error.status, error.type], ["ServerError", 502, "502"])
      assert.notInclude(error.message, "<")
    }))

  it.live("an error's body without bounds is cut", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(
        Answer.raw([new Uint8Array(3 << 20).fill(120)], { status: 400, contentType: "text/plain" })
      )
      const error = yield* failureOf(kind, url)
      assert.deepStrictEqual([error.reason._tag, error.status], ["InvalidRequest", 400])
      assert.isBelow(error.message.length, 1_500)
    }))

  it.live("an error's body that never ends is given up with the headers' timeout", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.stall("midStream", Answer.error(500)))
      const error = yield* failureOf(kind, simulator.url, { timeouts: { headers: "200 millis" } })
      assert.deepStrictEqual(reasonOf(error), { reason: "TimedOut", phase: "headers" })
      const { entries } = yield* simulator.logWhen(({ entries }) => entries[0]?.closedAt !== undefined)
      assert.strictEqual(entries[0]?.outcome, "clientClosed")
    }))

  it.live("a 204 is no message", () =>
    Effect.gen(function*() {
      const { url } = yield* serve((_, response) => void response.writeHead(204).end())
      assert.strictEqual((yield* failureOf(kind, url))._tag, "ClaudeRetryableError")
    }))

  // ---------------------------------------------------------------------------
  // broken bodies
  // ---------------------------------------------------------------------------

  const good = Answer.text("one two three four five six", { chunk: "word" })
  const broken: ReadonlyArray<
    readonly [what: string, answer: Answer.Answer, sse: string, json: string]
  > = [
    ["a reset after the headers", Answer.reset("afterHeaders", good), "StreamInterrupted", "StreamInterrupted"],
    ["a reset in mid-stream", Answer.reset("midStream", good), "StreamInterrupted", "StreamInterrupted"],
    ["a reset within an event", Answer.reset({ afterBytes: 333 }, good), "StreamInterrupted", "StreamInterrupted"],
    ["an end after the headers", Answer.truncate("afterHeaders", good), "StreamInterrupted", "InvalidResponse"],
    ["an end in mid-stream", Answer.truncate("midStream", good), "StreamInterrupted", "InvalidResponse"],
    ["an end within an event", Answer.truncate({ afterBytes: 333 }, good), "StreamInterrupted", "InvalidResponse"],
    ["an event that is no JSON", Answer.garbage("badEvent"), "InvalidResponse", "InvalidResponse"],
    ["a message that is no JSON", Answer.garbage("badJson"), "InvalidResponse", "InvalidResponse"],
    ["a page of HTML", Answer.garbage("html"), "InvalidResponse", "InvalidResponse"],
    ["nothing", Answer.garbage("empty"), "StreamInterrupted", "InvalidResponse"],
    [
      "JSON that is no message",
      Answer.raw(["{\"ok\":true}"], { contentType: "application/json" }),
      "InvalidResponse",
      "InvalidResponse"
    ],
    [
      "events that begin in the middle",
      Answer.raw([events.delta("x"), events.end]),
      "InvalidResponse",
      "InvalidResponse"
    ],
    [
      "an overload in the stream",
      Answer.errorEvent("overloaded_error", "Overloaded", "midStream", good),
      "Overloaded",
      "Overloaded"
    ],
    [
      "a server's error in the stream",
      Answer.errorEvent("api_error", "Internal", "midStream", good),
      "ServerError",
      "ServerError"
    ],
    [
      "a timeout in the stream",
      Answer.errorEvent("timeout_error", "Too slow", "midStream", good),
      "ServerError",
      "ServerError"
    ],
    [
      "an error in place of a message",
      Answer.raw([JSON.stringify({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } })], {
        contentType: "application/json"
      }),
      "Overloaded",
      "Overloaded"
    ]
  ]

  it.live.each(broken)("%s has its reason, over either wire", ([_, answer, sse, json]) =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({ answers: () => answer })
      for (const [wire, expected] of [["sse", sse], ["json", json]] as const) {
        const error = yield* failureOf(kind, simulator.url, { wire })
        assert.strictEqual(error.reason._tag, expected, wire)
        assert.deepStrictEqual([error._tag, error.retryHere, error.attempts], ["ClaudeRetryableError", true, 1])
      }
      assert.strictEqual((yield* simulator.log).requests, 2)
    }))

  it.live("a stream that breaks after its first content fails with what had arrived", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.reset("midStream", good))
      const seen: Array<string> = []
      const error = yield* failureOf(
        kind,
        simulator.url,
        { retry: RetryPolicy.standard },
        Stream.runForEach(Claude.streamText(request), (text) => Effect.sync(() => void seen.push(text)))
      )
      assert.strictEqual(error.reason._tag, "StreamInterrupted")
      const block = error.partial?.content[0]
      assert.strictEqual(block?.type === "text" && block.text, seen.join(""))
      assert.isAbove(seen.length, 0)
      assert.isAbove(error.usage?.input_tokens ?? 0, 0)
      assert.strictEqual((yield* simulator.log).requests, 1)
    }))

  it.live("a malformed event tells its place and not its content", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(Answer.raw([events.start, "data: {\"type\":\"a private thing\n\n"]))
      const error = yield* failureOf(kind, url)
      assert.strictEqual(error.reason._tag, "InvalidResponse")
      const { event, offset } = error.reason as ClaudeError.InvalidResponse
      assert.strictEqual(event, 3)
      assert.isAbove(offset ?? 0, events.start.length)
      assert.notInclude(inspect(error, { depth: 9 }), "private")
    }))

  // ---------------------------------------------------------------------------
  // silence
  // ---------------------------------------------------------------------------

  const silent: ReadonlyArray<readonly [what: string, Answer.Answer, Claude.Policy["timeouts"], string]> = [
    ["before the headers", Answer.stall("beforeHeaders"), { headers: "150 millis" }, "headers"],
    ["after the headers", Answer.stall("afterHeaders"), { idle: "150 millis" }, "idle"],
    ["in mid-stream", Answer.stall("midStream"), { idle: "150 millis" }, "idle"],
    ["but for pings", Answer.pings("20 millis"), { idle: "10 seconds", firstContent: "200 millis" }, "firstContent"]
  ]

  it.live.each(silent)(
    "silence %s is TimedOut, and closes the connection",
    ([_, answer, timeouts, phase]) =>
      Effect.gen(function*() {
        const simulator = yield* simulate(answer)
        const error = yield* failureOf(kind, simulator.url, { timeouts })
        assert.deepStrictEqual<object>(reasonOf(error), { reason: "TimedOut", phase })
        const { earlyCloses } = yield* simulator.logWhen(({ earlyCloses }) => earlyCloses === 1)
        assert.strictEqual(earlyCloses, 1)
      })
  )

  it.live("a slow drip outlives the idle timeout, since every byte counts", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(Answer.drip(Answer.text("slow but sure"), { bytes: 48, every: "30 millis" }))
      const text = yield* Effect.provide(Claude.text(request), kind.layer(url, { timeouts: { idle: "450 millis" } }))
      assert.strictEqual(text, "slow but sure")
    }))

  it.live("a JSON answer that never comes ends with the call's deadline", () =>
    Effect.gen(function*() {
      const { url } = yield* ClaudeSimulator.make({ answers: () => Answer.stall("beforeHeaders") })
      const error = yield* failureOf(kind, url, {
        wire: "json",
        timeouts: { headers: "20 millis", idle: "20 millis", total: "200 millis" }
      })
      assert.strictEqual(error.reason._tag, "DeadlineExceeded")
    }))

  // ---------------------------------------------------------------------------
  // answers
  // ---------------------------------------------------------------------------

  it.live("a message, a stream and a count come over connections that are kept between them", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.text("a b"), Answer.text("c d", { chunk: 1 }), Answer.text("e f"))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Claude.text(request), "a b")
        const texts = yield* Stream.runCollect(Claude.streamText(request))
        assert.deepStrictEqual([...texts], ["c", " ", "d"])
        assert.strictEqual(yield* Claude.text(request).pipe(Claude.withPolicy({ wire: "json" })), "e f")
        assert.isAbove(yield* Claude.countTokens(request), 0)
      }).pipe(Effect.provide(kind.layer(simulator.url)))
      const { entries, sockets } = yield* simulator.log
      // The last bytes of one body may still be on their way when the next call begins.
      assert.isAtMost(sockets.opened, 2)
      assert.deepStrictEqual(entries.map(({ outcome }) => outcome), ["complete", "complete", "complete", "complete"])
    }))

  it.live("a message cut at every byte is the same message", () =>
    Effect.gen(function*() {
      const answer = Answer.content([
        { type: "thinking", thinking: "Hmm, naïve 🎉", signature: "c2ln" },
        { type: "text", text: "日本語 🎉 done" },
        { type: "tool_use", name: "go", id: "toolu_1", input: { to: "Zürich", n: [1, { x: null }] } }
      ], { id: "msg_same", chunk: 3, usage: { input_tokens: 5, output_tokens: 7 } })
      const { url } = yield* simulate(answer, Answer.drip(answer), answer)
      const [whole, dripped, json] = yield* Effect.all([
        Claude.message(request),
        Claude.message(request),
        Claude.message(request).pipe(Claude.withPolicy({ wire: "json" }))
      ]).pipe(Effect.provide(kind.layer(url)))
      const { requestId: _a, ...one } = whole
      const { requestId: _b, ...two } = dripped
      const { requestId: _c, ...three } = json
      assert.deepStrictEqual(two, one)
      assert.deepStrictEqual(three, one)
    }))

  it.live("message_stop ends a message whose body stays open; the connection is given up soon", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.stall({ afterEvents: 1_000 }, Answer.text("done")), Answer.text("next"))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* Claude.text(request), "done")
        const { entries } = yield* simulator.logWhen(({ entries }) => entries[0]?.closedAt !== undefined)
        assert.strictEqual(entries[0]?.outcome, "clientClosed")
        assert.strictEqual(yield* Claude.text(request), "next")
      }).pipe(Effect.provide(kind.layer(simulator.url, { concurrency: 1 })))
      assert.isAtLeast((yield* simulator.log).sockets.opened, 2)
    }))

  it.live("message_stop ends a stream whose body stays open, before its scope closes", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.stall({ afterEvents: 1_000 }, Answer.text("done")))
      yield* Claude.stream(request).pipe(
        Stream.filter((event) => event.type === "message_stop"),
        Stream.runForEach(() => simulator.logWhen(({ sockets }) => sockets.open === 0)),
        Effect.provide(kind.layer(simulator.url))
      )
    }))

  it.live("each retry says which attempt it is, and comes over whatever connection there is", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(
        Answer.error(529),
        Answer.reset("beforeHeaders"),
        Answer.reset("midStream"),
        Answer.text("at last")
      )
      const retry = RetryPolicy.make({ initial: "1 millis" })
      assert.strictEqual(yield* Effect.provide(Claude.text(request), kind.layer(simulator.url, { retry })), "at last")
      assert.deepStrictEqual((yield* simulator.log).entries.map(({ attempt }) => attempt), [1, 2, 3, 4])
    }))

  // ---------------------------------------------------------------------------
  // giving up
  // ---------------------------------------------------------------------------

  it.live.each(
    [["before the headers", Answer.stall("beforeHeaders")], ["in mid-stream", Answer.stall("midStream")]] as const
  )("an interruption %s closes the connection at once", ([_, answer]) =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({ answers: () => answer })
      yield* Effect.gen(function*() {
        const calls = [Claude.message(request), Stream.runDrain(Claude.stream(request))]
        for (const [index, call] of calls.entries()) {
          const fiber = yield* Effect.forkChild(Effect.asVoid(call), { startImmediately: true })
          yield* simulator.logWhen(({ entries, inFlight }) => inFlight === 1 && entries.length === index + 1)
          yield* Effect.sleep("30 millis")
          assert.isTrue(Exit.hasInterrupts(yield* Fiber.interrupt(fiber).pipe(Effect.andThen(Fiber.await(fiber)))))
          yield* simulator.logWhen(({ earlyCloses }) => earlyCloses === index + 1)
        }
      }).pipe(Effect.provide(kind.layer(simulator.url)))
    }))

  it.live("a consumer that took enough closes the connection", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.stall("midStream", good))
      yield* Claude.streamText(request).pipe(Stream.take(1), Stream.runDrain, Effect.provide(kind.layer(simulator.url)))
      yield* simulator.logWhen(({ earlyCloses }) => earlyCloses === 1)
    }))

  it.live("a consumer that stops reading holds the server back", () =>
    Effect.gen(function*() {
      const TOTAL = 64 << 20
      let sent = 0
      const delta = events.delta("x".repeat(60_000))
      const { url } = yield* serve((request, response) => {
        request.resume()
        response.writeHead(200, { "content-type": "text/event-stream" }).write(events.start)
        const fill = () => {
          while (sent < TOTAL) {
            sent += delta.length
            if (!response.write(delta)) return void response.once("drain", fill)
          }
          response.end(events.end)
        }
        fill()
      })
      const fiber = yield* Effect.forkChild(
        Claude.stream(request).pipe(
          Stream.mapArrayEffect(() => Effect.never),
          Stream.runDrain,
          Effect.provide(kind.layer(url, { timeouts: { idle: "300 millis" } }))
        )
      )
      let before = -1
      while (sent === 0 || sent !== before) {
        before = sent
        yield* Effect.sleep("250 millis")
      }
      // What sockets buffer on the way; the rest waits.
      assert.isBelow(sent, TOTAL / 2)
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
    }))
})

// -----------------------------------------------------------------------------
// where the two differ
// -----------------------------------------------------------------------------

const [ours, handedIn] = kinds as readonly [Kind, Kind]

describe("our client", () => {
  it.live("trusts the certificate authority of a dispatcher that it is given, and leaves that open", () =>
    Effect.gen(function*() {
      const { url } = yield* ClaudeSimulator.make({ tls })
      const dispatcher = new Agent({ allowH2: false, connect: { ca: tls.cert } })
      for (let round = 0; round < 2; round++) {
        const text = yield* Effect.provide(Claude.text(request), ours.layer(url, { dispatcher }))
        assert.include(text, "Hello")
      }
      yield* Effect.promise(() => dispatcher.close())
    }))

  it.live("no half of a character is sent, wherever a text was cut", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(Answer.text("Yes."))
      const prompt = "\ud83d\ude02 cut: \ud83d, \ude02\ude02, and \\ud83d as it is written, \\\ud83d"
      yield* Effect.provide(Claude.text({ ...request, prompt }), ours.layer(simulator.url))
      const { entries } = yield* simulator.log
      assert.deepInclude(entries[0]?.body, { messages: [{ role: "user", content: prompt.toWellFormed() }] })
    }))

  it.live("a low port is like any other", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* failureOf(ours, "http://127.0.0.1:1")).reason._tag, "ConnectionFailed")
    }))

  it.live("a redirect is not followed: the base URL is wrong", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate(
        Answer.raw([], { status: 301, headers: { location: "https://elsewhere.invalid/" } })
      )
      const error = yield* failureOf(ours, simulator.url)
      assert.deepStrictEqual([error.reason._tag, error.status], ["Misconfigured", 301])
      assert.include(error.message, "base URL")
    }))

  it.live("a 401 with a static key is not tried again", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({ answers: () => Answer.error(401) })
      for (const kind of kinds) {
        yield* simulator.reset
        yield* simulator.script(() => Answer.error(401))
        assert.strictEqual((yield* failureOf(kind, simulator.url)).reason._tag, "Authentication")
        assert.strictEqual((yield* simulator.log).requests, 1)
      }
    }))

  it.live("no more calls are in flight than may be, over few connections", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({ latency: "5 millis" })
      yield* Effect.all(Array.from({ length: 20 }, () => Claude.text(request)), { concurrency: "unbounded" }).pipe(
        Effect.provide(ours.layer(simulator.url, { concurrency: 3 }))
      )
      const { maxInFlight, sockets } = yield* simulator.log
      assert.isAtMost(sockets.opened, 2 * 3)
      assert.strictEqual(maxInFlight, 3)
    }))

  it.live("its connections close with its layer", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate()
      yield* Effect.provide(Claude.text(request), ours.layer(simulator.url))
      yield* simulator.logWhen(({ sockets }) => sockets.opened === 1 && sockets.open === 0)
    }))
})

describe("a client handed in", () => {
  const make = (options: ConstructorParameters<typeof Anthropic>[0]) =>
    Claude.layer({ ...common, client: new Anthropic({ logLevel: "off", ...options }) })

  it.live("a port that fetch forbids is Misconfigured", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(handedIn, "http://127.0.0.1:1")
      assert.strictEqual(error.reason._tag, "Misconfigured")
      assert.include(error.message, "port")
    }))

  it.live("a 401 with a token provider is refreshed and tried once", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make()
      const providers = [
        (fresh: () => string) => ({ apiKey: () => Promise.resolve(fresh()) }),
        (fresh: () => string) => ({ credentials: () => Promise.resolve({ token: fresh(), expiresAt: null }) })
      ]
      for (const provider of providers) {
        let asked = 0
        const layer = make({ ...provider(() => `token-${++asked}`), baseURL: simulator.url })

        yield* simulator.reset
        yield* simulator.script([Answer.error(401), Answer.text("welcome")])
        assert.strictEqual(yield* Effect.provide(Claude.text(request), Layer.fresh(layer)), "welcome")
        assert.deepStrictEqual([(yield* simulator.log).requests, asked], [2, 2])

        yield* simulator.reset
        yield* simulator.script(() => Answer.error(401))
        const error = yield* Effect.flip(Effect.provide(Claude.text(request), Layer.fresh(layer)))
        assert.strictEqual(error.reason._tag, "Authentication")
        assert.strictEqual((yield* simulator.log).requests, 2)
      }
    }))

  it.live("a token provider that fails is told without a request", () =>
    Effect.gen(function*() {
      const simulator = yield* simulate()
      const error = yield* Effect.flip(Effect.provide(
        Claude.text(request),
        make({ apiKey: () => Promise.reject(new Error("the vault is sealed")), baseURL: simulator.url })
      ))
      assert.strictEqual(error._tag, "ClaudeFatalError")
      assert.include(error.message, "the vault is sealed")
      assert.strictEqual((yield* simulator.log).requests, 0)
    }))

  it.live("what its fetch throws is told as what it is", () =>
    Effect.gen(function*() {
      const thrown: ReadonlyArray<readonly [unknown, string]> = [
        [
          new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "ECONNRESET" }) }),
          "ConnectionFailed"
        ],
        [new DOMException("The operation was aborted due to timeout", "TimeoutError"), "ConnectionFailed"],
        [new DOMException("This operation was aborted", "AbortError"), "ConnectionFailed"],
        [Object.assign(new Error("bad agent"), { code: "UND_ERR_INVALID_ARG" }), "Misconfigured"]
      ]
      for (const [error, reason] of thrown) {
        const layer = make({ apiKey: KEY, baseURL: "http://unused.invalid", fetch: () => Promise.reject(error) })
        assert.strictEqual((yield* Effect.flip(Effect.provide(Claude.text(request), layer))).reason._tag, reason)
      }
    }))

  it.live("what its body throws interrupts the stream", () =>
    Effect.gen(function*() {
      const thrown = [
        new TypeError("terminated", { cause: Object.assign(new Error("x"), { code: "UND_ERR_BODY_TIMEOUT" }) }),
        new DOMException("This operation was aborted", "AbortError"),
        "not even an error"
      ]
      for (const error of thrown) {
        const layer = make({
          apiKey: KEY,
          baseURL: "http://unused.invalid",
          fetch: () =>
            Promise.resolve(
              new Response(
                new ReadableStream({
                  start: (controller) => controller.enqueue(new TextEncoder().encode(events.start + events.delta("a"))),
                  pull: (controller) => controller.error(error)
                }),
                { headers: { "content-type": "text/event-stream" } }
              )
            )
        })
        const failure = yield* Effect.flip(Effect.provide(Claude.text(request), layer))
        assert.strictEqual(failure.reason._tag, "StreamInterrupted")
      }
    }))

  it.live("a response without a body is no message", () =>
    Effect.gen(function*() {
      const layer = make({
        apiKey: KEY,
        baseURL: "http://unused.invalid",
        fetch: () => Promise.resolve(new Response(null, { headers: { "content-type": "text/event-stream" } }))
      })
      assert.strictEqual(
        (yield* Effect.flip(Effect.provide(Claude.text(request), layer))).reason._tag,
        "StreamInterrupted"
      )
    }))

  it.live("a response that comes after the call was given up is not read", () =>
    Effect.gen(function*() {
      let cancelled = false
      let pulled = 0
      let answer: (() => void) | undefined
      const layer = make({
        apiKey: KEY,
        baseURL: "http://unused.invalid",
        // It does not mind its signal.
        fetch: () =>
          new Promise((resolve) => {
            answer = () =>
              resolve(
                new Response(
                  new ReadableStream({
                    pull: (controller) => {
                      pulled++
                      controller.enqueue(new TextEncoder().encode(events.delta("more")))
                    },
                    cancel: () => {
                      cancelled = true
                    }
                  }),
                  { headers: { "content-type": "text/event-stream" } }
                )
              )
          })
      })
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Claude.text(request))
        while (answer === undefined) yield* Effect.sleep("5 millis")
        yield* Fiber.interrupt(fiber)
        answer()
        yield* Effect.sleep("50 millis")
        assert.isTrue(cancelled)
        assert.isBelow(pulled, 5)
      }).pipe(Effect.provide(layer))
    }))

  it.live("structured output passes through it", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(Answer.json({ city: "Zürich" }))
      const object = Claude.object(Schema.Struct({ city: Schema.String }), request)
      assert.deepStrictEqual(yield* Effect.provide(object, handedIn.layer(url)), { city: "Zürich" })
    }))
})
