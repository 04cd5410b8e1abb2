import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Redacted, type Scope, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { createServer, type Socket } from "node:net"
import { Agent, fetch as undiciFetch, type RequestInit as UndiciInit } from "undici"
import * as tls from "../testing/tls.ts"
import { observe, quiet, settle, unended } from "./observe.ts"

const hi = { prompt: "Hi" }
const words = Array.from({ length: 2_000 }, (_, n) => `w${n}`).join(" ")
const now = () => performance.timeOrigin + performance.now()

const options = {
  concurrency: 2,
  defaults: { model: "claude-opus-5-5", max_tokens: 100 },
  retry: RetryPolicy.none
} satisfies Claude.Options

const agent = (connections?: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ allowH2: false, connect: { ca: tls.cert }, connections: connections ?? null })),
    (agent) => Effect.promise(() => agent.destroy())
  )

/** undici's own fetch, so that its sockets are the test's to close; the types differ by their origin only. */
const fetchOver = (agent: Agent) =>
  ((url: string, init: RequestInit) =>
    undiciFetch(url, { ...init, dispatcher: agent } as unknown as UndiciInit)) as unknown as typeof fetch

type MakeLayer = (
  url: string,
  connections?: number
) => Effect.Effect<Layer.Layer<Claude.Claude, ClaudeError.ClaudeFatalError>, never, Scope.Scope>

const clients: Record<string, { readonly secure: boolean; readonly layer: MakeLayer }> = {
  "our own client": {
    secure: false,
    layer: (baseURL) => Effect.succeed(Claude.layer({ ...options, apiKey: Redacted.make("sk-test"), baseURL }))
  },
  "our own client over TLS": {
    secure: true,
    layer: (baseURL, connections) =>
      Effect.map(
        agent(connections),
        (dispatcher) => Claude.layer({ ...options, apiKey: Redacted.make("sk-test"), baseURL, dispatcher })
      )
  },
  "a client that was handed in": {
    secure: false,
    layer: (baseURL, connections) =>
      Effect.map(
        agent(connections),
        (agent) =>
          Claude.layer({ ...options, client: new Anthropic({ apiKey: "sk-test", baseURL, fetch: fetchOver(agent) }) })
      )
  },
  "a client that was handed in, over TLS": {
    secure: true,
    layer: (baseURL, connections) =>
      Effect.map(
        agent(connections),
        (agent) =>
          Claude.layer({ ...options, client: new Anthropic({ apiKey: "sk-test", baseURL, fetch: fetchOver(agent) }) })
      )
  }
}

interface Moment {
  readonly answer: Answer.Answer
  /** Calls, and says when it is where the test wants it. */
  readonly call: (there: Effect.Effect<unknown>) => Effect.Effect<unknown, unknown, Claude.Claude>
  /** Where the server sees it sooner. */
  readonly seen?: (entry: ClaudeSimulator.Entry) => boolean
}

const stream = Claude.stream(hi)
const sent = (entry: ClaudeSimulator.Entry) => entry.bytesSent > 0

const moments: Record<string, Moment> = {
  "its headers are pending": {
    answer: Answer.stall("beforeHeaders"),
    call: () => Claude.message(hi),
    seen: (entry) => entry.body !== undefined
  },
  "its body is silent before its first content": {
    answer: Answer.stall({ afterEvents: 1 }),
    call: () => Claude.message(hi),
    seen: sent
  },
  "its body is silent in its middle": {
    answer: Answer.stall("midStream"),
    call: (there) => Stream.runForEach(stream, (event) => event.type === "content_block_delta" ? there : Effect.void)
  },
  "it is folded": { answer: Answer.text(words, { pace: "1 millis" }), call: () => Claude.message(hi), seen: sent },
  "it is read": {
    answer: Answer.text(words, { pace: "1 millis" }),
    call: (there) => Stream.runForEach(stream, (event) => event.type === "content_block_delta" ? there : Effect.void)
  },
  "its consumer is busy and its body waits": {
    answer: Answer.text("x".repeat(8_000_000), { chunk: 4_000 }),
    call: (there) => Stream.runForEach(stream, () => Effect.andThen(there, Effect.never))
  },
  "its JSON body is silent": {
    answer: Answer.stall("midStream", Answer.text(words)),
    call: () => Claude.withPolicy({ wire: "json" })(Claude.message(hi)),
    seen: sent
  },
  "an error's body is silent": {
    answer: Answer.raw(["{\"type\":", { pause: "1 hour" }], { status: 500, contentType: "application/json" }),
    call: () => Claude.message(hi),
    seen: sent
  },
  "its consumer takes no more": {
    answer: Answer.text(words, { pace: "1 millis" }),
    call: (there) => Effect.andThen(Stream.runDrain(Stream.take(stream, 9)), Effect.andThen(there, Effect.never))
  }
}

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1]!

describe.each(Object.entries(clients))("with %s", (_, { layer, secure }) => {
  const server = (answer: Answer.Answer | ClaudeSimulator.Answers) =>
    ClaudeSimulator.make({
      answers: typeof answer === "function" || Array.isArray(answer) ? answer : () => answer as Answer.Answer,
      ...(secure ? { tls } : undefined)
    })

  for (const [moment, { answer, call, seen }] of Object.entries(moments)) {
    it.live(`the server sees the socket close within 50 ms of a call being left while ${moment}`, () =>
      Effect.gen(function*() {
        const observed = observe()
        const simulator = yield* server(answer)
        const claude = yield* layer(simulator.url)
        const once = Effect.gen(function*() {
          const { requests } = yield* simulator.log
          const there = yield* Deferred.make<number>()
          const fiber = yield* Effect.forkChild(
            call(Effect.sync(() => Deferred.doneUnsafe(there, Exit.succeed(now()))))
          )
          const at = (log: ClaudeSimulator.Log) => log.entries.find((entry) => entry.index === requests)
          const left = yield* (seen === undefined
            ? Deferred.await(there)
            : Effect.as(simulator.logWhen((log) => at(log) !== undefined && seen(at(log)!)), 0))
          // A turn of the event loop, so that what the server has sent is there.
          yield* Effect.sleep("5 millis")
          const since = moment === "its consumer takes no more" ? left : now()
          yield* Fiber.interrupt(fiber)
          const log = yield* simulator.logWhen((log) => at(log)?.closedAt !== undefined)
          assert.strictEqual(at(log)?.outcome, "clientClosed")
          return at(log)!.closedAt! - since
        })
        const measured: Array<number> = []
        yield* Effect.gen(function*() {
          yield* once
          // On a busy machine one turn may be late: the median of five, and a second and a third look at it.
          for (let round = 0; round < 3; round++) {
            const times: Array<number> = []
            for (let i = 0; i < 5; i++) times.push(yield* once)
            measured.push(median(times))
            if (median(times) < 50) break
          }
        }).pipe(Effect.provide(Layer.provideMerge(claude, observed.layer)))
        assert.isBelow(measured.at(-1)!, 50, measured.join(", "))
        const log = yield* simulator.logWhen((log) => log.sockets.open === 0)
        assert.strictEqual(log.inFlight, 0)
        assert.deepStrictEqual(unended(observed.spans), [])
        assert.deepStrictEqual(observed.gauges(), {})
      }).pipe(Effect.scoped))
  }

  it.live("a completed call keeps its connection for the next one", () =>
    Effect.gen(function*() {
      const simulator = yield* server(() => Answer.text("a b c"))
      const claude = yield* layer(simulator.url)
      yield* Effect.gen(function*() {
        // The last read of a body comes after its last event: the next call waits for it as users do, by doing something else.
        const rest = Effect.sleep("15 millis")
        yield* Effect.andThen(Claude.message(hi), rest)
        yield* Effect.andThen(Claude.text(hi), rest)
        yield* Effect.andThen(Stream.runDrain(stream), rest)
        yield* Effect.andThen(Claude.countTokens(hi), rest)
        yield* Effect.andThen(Claude.withPolicy({ wire: "json" })(Claude.text(hi)), rest)
        yield* simulator.script(() => Answer.error(400))
        yield* Effect.andThen(Effect.flip(Claude.text(hi)), rest)
        yield* simulator.script(() => Answer.text("a"))
        yield* Effect.andThen(Claude.text(hi), rest)
      }).pipe(Effect.provide(Layer.provideMerge(claude, quiet)))
      const log = yield* simulator.log
      assert.deepStrictEqual([log.requests, log.sockets.opened, log.earlyCloses], [7, 1, 0])
      assert.isTrue(log.entries.every(({ outcome }) => outcome === "complete"))
    }).pipe(Effect.scoped))

  it.live("a call that is left in the queue is never sent", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const simulator = yield* server(() => Effect.as(Deferred.await(release), Answer.text("a")))
      const claude = yield* layer(simulator.url)
      yield* Effect.gen(function*() {
        const served = yield* Effect.forEach([1, 2], () => Effect.forkChild(Claude.text(hi)))
        yield* simulator.logWhen((log) => log.inFlight === 2)
        const queued = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(Claude.text(hi)))
        yield* Effect.sleep("5 millis")
        yield* Fiber.interruptAll(queued)
        yield* Deferred.succeed(release, undefined)
        for (const fiber of served) assert.strictEqual(yield* Fiber.join(fiber), "a")
        assert.strictEqual(yield* Claude.text(hi), "a")
      }).pipe(Effect.provide(claude))
      assert.strictEqual((yield* simulator.log).requests, 3)
    }).pipe(Effect.scoped))

  it.live("a call that is left at once is never sent, and costs no connection", () =>
    Effect.gen(function*() {
      const simulator = yield* server(() => Answer.text("a"))
      const claude = yield* layer(simulator.url)
      yield* Effect.gen(function*() {
        yield* Claude.text(hi)
        yield* Effect.sleep("15 millis")
        const fiber = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        yield* Effect.sleep("15 millis")
        yield* Claude.text(hi)
      }).pipe(Effect.provide(claude))
      const log = yield* simulator.log
      assert.deepStrictEqual([log.requests, log.sockets.opened], [2, 1])
    }).pipe(Effect.scoped))

  it.live("a call that is left before it is on its way is never sent", () =>
    Effect.gen(function*() {
      const simulator = yield* server(() => Answer.text("a"))
      const claude = yield* layer(simulator.url)
      yield* Effect.gen(function*() {
        for (let steps = 0; steps < 4; steps++) {
          const fiber = yield* Effect.forkChild(Claude.text(hi), { startImmediately: true })
          for (let step = 0; step < steps; step++) yield* Effect.promise(() => Promise.resolve())
          yield* Fiber.interrupt(fiber)
        }
        assert.strictEqual(yield* Claude.text(hi), "a")
      }).pipe(Effect.provide(claude))
      const log = yield* simulator.logWhen((log) => log.inFlight === 0)
      assert.strictEqual(log.entries.filter(({ outcome }) => outcome === "complete").length, 1)
    }).pipe(Effect.scoped))
})

describe("connections", () => {
  it.live("a call that is left while it waits for a connection is never sent", () =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const simulator = yield* ClaudeSimulator.make({
        answers: () => Effect.as(Deferred.await(release), Answer.text("a"))
      })
      const dispatcher = yield* agent(1)
      yield* Effect.gen(function*() {
        const served = yield* Effect.forkChild(Claude.text(hi))
        yield* simulator.logWhen((log) => log.inFlight === 1)
        const waiting = yield* Effect.forkChild(Claude.text(hi))
        yield* Effect.sleep("10 millis")
        yield* Fiber.interrupt(waiting)
        yield* Deferred.succeed(release, undefined)
        assert.strictEqual(yield* Fiber.join(served), "a")
        assert.strictEqual(yield* Claude.text(hi), "a")
      }).pipe(Effect.provide(
        Claude.layer({ ...options, apiKey: Redacted.make("sk-test"), baseURL: simulator.url, dispatcher })
      ))
      assert.strictEqual((yield* simulator.log).requests, 2)
    }).pipe(Effect.scoped))

  it.live("a call that is left while it connects frees its permit at once", () =>
    Effect.gen(function*() {
      const observed = observe()
      const sockets = new Set<Socket>()
      // It takes connections and never answers the handshake.
      const port = yield* Effect.acquireRelease(
        Effect.callback<{ port: number; close: Effect.Effect<void> }>((resume) => {
          const silent = createServer((socket) => {
            sockets.add(socket)
            socket.resume()
            socket.on("error", () => {})
            socket.on("close", () => sockets.delete(socket))
          }).listen(0, "127.0.0.1", () => {
            const address = silent.address()
            resume(Effect.succeed({
              port: typeof address === "object" && address !== null ? address.port : 0,
              close: Effect.callback<void>((resume) => {
                silent.close(() => resume(Effect.void))
                for (const socket of sockets) socket.destroy()
              })
            }))
          })
        }),
        ({ close }) => close
      ).pipe(Effect.map(({ port }) => port))

      const claude = Claude.layer({
        ...options,
        concurrency: 1,
        apiKey: Redacted.make("sk-test"),
        baseURL: `https://127.0.0.1:${port}`
      })
      const context = yield* Layer.build(Layer.provideMerge(claude, observed.layer))
      for (let i = 0; i < 3; i++) {
        const fiber = yield* Effect.forkChild(Effect.provide(Claude.text(hi), context))
        yield* settle(() => sockets.size, (size) => size > i)
        yield* Effect.sleep("5 millis")
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual(unended(observed.spans), [])
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.scoped))
})
