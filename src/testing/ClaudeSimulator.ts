/**
 * An HTTP server that behaves like the Messages API, for tests: it answers what is scripted, fails as the API and the
 * network fail, enforces rate limits and capacity, and remembers what it saw.
 *
 * It listens on 127.0.0.1 at a free port and speaks POST /v1/messages (streamed or JSON), POST
 * /v1/messages/count_tokens, GET /v1/models and /v1/models/{id}. Closing its scope destroys every connection.
 *
 * The surprise: it is a real server on the machine's timers, so under TestClock its pauses still take real time.
 * Requests that it refuses by itself (401, 400, 404, 429, 529) use up no scripted answer.
 */
import type { MessageCreateParamsBase } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import type { Socket } from "node:net"
import * as Answer from "./Answer.ts"
import * as Playback from "./Playback.ts"
import * as RateLimit from "./RateLimit.ts"
import * as ResponsePlan from "./ResponsePlan.ts"
import * as SimulatedModels from "./SimulatedModels.ts"
import * as SimulatedRequest from "./SimulatedRequest.ts"
import * as SimulatorLog from "./SimulatorLog.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What the simulator saw. @category models @since 0.1.0 */
export type Log = SimulatorLog.SimulatorLog

/** One request that it saw. @category models @since 0.1.0 */
export type Entry = SimulatorLog.Entry

/** What a script is asked with. @category models @since 0.1.0 */
export type Request = SimulatedRequest.SimulatedRequest

/** Whom a script speaks for. @category models @since 0.1.0 */
export type Endpoint = SimulatedRequest.Endpoint

/** What a window allows. @category models @since 0.1.0 */
export type RateLimits = RateLimit.RateLimits

/**
 * Answers in order, then the simulator's `otherwise`; or a function of the request and of how many came before it.
 *
 * An Effect holds its request until it is done, which is how a test keeps calls in flight without waiting for a clock.
 *
 * @category models
 * @since 0.1.0
 */
export type Answers =
  | ReadonlyArray<Answer.Answer>
  | ((request: Request, index: number) => Answer.Answer | Effect.Effect<Answer.Answer>)

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/** A running simulator. @category services @since 0.1.0 */
export class ClaudeSimulator extends Context.Service<ClaudeSimulator, {
  /** The base URL to hand to a client. */
  readonly url: string
  /** Replaces what is left of an endpoint's script ("messages", if not told). */
  readonly script: (answers: Answers, endpoint?: Endpoint) => Effect.Effect<void>
  readonly log: Effect.Effect<Log>
  /** Waits until the log is as the predicate wants it. */
  readonly logWhen: (predicate: (log: Log) => boolean) => Effect.Effect<Log>
  /** From now on, as many messages in flight are answered; more get a 529. */
  readonly setCapacity: (capacity: number) => Effect.Effect<void>
  /** Other limits, with full buckets; `undefined` lifts them. */
  readonly setRateLimits: (limits: RateLimits | undefined) => Effect.Effect<void>
  /** Destroys every open connection, as a restart would. The server goes on listening. */
  readonly dropConnections: Effect.Effect<void>
  /** Forgets scripts and log, and goes back to the options' limits and capacity. */
  readonly reset: Effect.Effect<void>
}>()("effect-claude/testing/ClaudeSimulator") {}

/** @category options @since 0.1.0 */
export interface Options {
  /** What is answered to messages. */
  readonly answers?: Answers | undefined
  /** What is answered where nothing is scripted. @default `Answer.hello` */
  readonly otherwise?: Answer.Answer | undefined
  /** Enforced on messages, and told in their headers. @default none */
  readonly rateLimits?: RateLimits | undefined
  /** How many messages are answered at once; more get a 529. @default Infinity */
  readonly capacity?: number | undefined
  /** Before the headers of every answer. @default 0 */
  readonly latency?: Duration.Input | undefined
  /** The models that there are: others are 404. @default a few, and any other is answered too */
  readonly models?: ReadonlyArray<SimulatedModels.SimulatedModel> | undefined
  /** Speaks https, with this key and certificate in PEM. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined
  /** How many requests the log remembers. @default 10 000 */
  readonly logLimit?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Starts a simulator, until the scope closes. @category constructors @since 0.1.0 */
export const make = (options: Options = {}): Effect.Effect<ClaudeSimulator["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const recorder = SimulatorLog.make(options.logLimit ?? 10_000)
    const state = makeState(options)
    const sockets = new Set<Socket>()
    const handler = makeHandler(options, state, recorder, Effect.runCallbackWith(context))

    const server = options.tls === undefined
      ? createHttpServer({ noDelay: true, keepAliveTimeout: 60_000 }, handler)
      : createHttpsServer({ noDelay: true, keepAliveTimeout: 60_000, ...options.tls }, handler)
    server.on("connection", (socket) => {
      sockets.add(socket)
      recorder.socketOpened()
      socket.once("close", () => {
        sockets.delete(socket)
        recorder.socketClosed()
      })
    })
    const dropConnections = Effect.sync(() => {
      state.cutting = true
      for (const socket of sockets) socket.destroy()
    })

    const port = yield* Effect.acquireRelease(
      Effect.callback<number>((resume) => {
        server.once("error", (error) => resume(Effect.die(error)))
        // The longest queue that the kernel gives: load tests connect by the thousand.
        server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
          const address = server.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )

    return ClaudeSimulator.of({
      url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
      script: (answers, endpoint = "messages") => Effect.sync(() => state.script(endpoint, answers)),
      log: Effect.sync(recorder.snapshot),
      logWhen: (predicate) => waitFor(recorder, predicate),
      setCapacity: (capacity) => Effect.sync(() => state.setCapacity(capacity)),
      setRateLimits: (limits) => Effect.sync(() => state.setRateLimits(limits)),
      dropConnections,
      reset: Effect.sync(() => {
        state.reset()
        recorder.clear()
      })
    })
  })

/** @category layers @since 0.1.0 */
export const layer = (options?: Options): Layer.Layer<ClaudeSimulator> => Layer.effect(ClaudeSimulator, make(options))
