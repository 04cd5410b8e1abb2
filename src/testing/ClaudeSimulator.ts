/**
 * An HTTP server that behaves like the Messages API, for tests: it answers what is scripted, fails as the API and the
 * network fail, enforces rate limits and capacity, and remembers what it saw.
 *
 * It listens on 127.0.0.1 at a free port and speaks POST /v1/messages (streamed or JSON), POST
 * /v1/messages/count_tokens, GET /v1/models and /v1/models/{id}. Closing its scope destroys every connection.
 *
 * The surprise: it is a real server on the machine's timers, so under TestClock its pauses still take real time.
 * Requests that it refuses by itself (401, 400, 404, 429, 529, an outage) use up no scripted answer.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import type { Socket } from "node:net"
import * as Claude from "../Claude.ts"
import type { ClaudeFatalError } from "../ClaudeError.ts"
import * as Answer from "./Answer.ts"
import * as Exchange from "./Exchange.ts"
import * as RateLimit from "./RateLimit.ts"
import type * as SimulatedModels from "./SimulatedModels.ts"
import type * as SimulatedRequest from "./SimulatedRequest.ts"
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

/** How many messages are answered at once. @category models @since 0.2.0 */
export type Capacity = Exchange.Capacity

/** How a server is down. @category models @since 0.2.0 */
export type Outage = Exchange.Outage

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
  readonly setCapacity: (capacity: Capacity) => Effect.Effect<void>
  /** Other limits, with full buckets; `undefined` lifts them. */
  readonly setRateLimits: (limits: RateLimits | undefined) => Effect.Effect<void>
  /** Destroys every open connection as it begins, and refuses all that comes until it is over (`false`). */
  readonly setOutage: (outage: Outage) => Effect.Effect<void>
  /** Destroys every open connection, as a restart would. The server goes on listening. */
  readonly dropConnections: Effect.Effect<void>
  /** Forgets scripts and log, ends an outage, and goes back to the options' limits and capacity. */
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
  readonly capacity?: Capacity | undefined
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
    const run = Effect.runCallbackWith(yield* Effect.context<never>())
    const recorder = SimulatorLog.make(options.logLimit ?? 10_000)
    const otherwise = options.otherwise ?? Answer.hello
    const initial = (): Pick<Exchange.Shared, "capacity" | "outage" | "rateLimit" | "scripts"> => ({
      capacity: Exchange.capacity(options.capacity ?? Infinity),
      outage: false,
      rateLimit: rateLimit(options.rateLimits),
      scripts: { messages: script(options.answers ?? []), count_tokens: script([]), models: script([]) }
    })
    const shared: Exchange.Shared = {
      recorder,
      otherwise,
      latencyMillis: Duration.toMillis(options.latency ?? 0),
      models: options.models,
      ...initial(),
      open: new Set(),
      nextRequestId: makeRequestIds(),
      run: (effect, onExit) => run(effect, { onExit })
    }
    const { dropConnections, port } = yield* serve(options.tls, shared)

    return ClaudeSimulator.of({
      url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
      script: (answers, endpoint = "messages") =>
        Effect.sync(() => {
          shared.scripts[endpoint] = script(answers)
        }),
      log: Effect.sync(recorder.snapshot),
      logWhen: (predicate) => logWhen(recorder, predicate),
      setCapacity: (capacity) =>
        Effect.sync(() => {
          shared.capacity = Exchange.capacity(capacity)
        }),
      setRateLimits: (limits) =>
        Effect.sync(() => {
          shared.rateLimit = rateLimit(limits)
        }),
      setOutage: (outage) =>
        Effect.suspend(() => {
          const wasDown = shared.outage !== false
          shared.outage = Exchange.outage(outage)
          return wasDown || outage === false ? Effect.void : dropConnections
        }),
      dropConnections,
      reset: Effect.sync(() => {
        Object.assign(shared, initial())
        recorder.clear()
      })
    })
  })

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** A simulator for as long as the layer lives. @category layers @since 0.1.0 */
export const layer = (options?: Options): Layer.Layer<ClaudeSimulator> => Layer.effect(ClaudeSimulator, make(options))

/**
 * Claude that asks the simulator, with the options of `Claude.layer`: over it, with `Layer.provideMerge(ClaudeSimulator.layer(…))`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerClaude = (
  options: Omit<Claude.Options, "apiKey" | "baseURL" | "client"> = {}
): Layer.Layer<Claude.Claude, ClaudeFatalError, ClaudeSimulator> =>
  Layer.unwrap(
    Effect.map(
      ClaudeSimulator,
      ({ url }) => Claude.layer({ ...options, apiKey: Redacted.make("simulated"), baseURL: url })
    )
  )

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const serve = (tls: Options["tls"], shared: Exchange.Shared) =>
  Effect.gen(function*() {
    const sockets = new Set<Socket>()
    const drop = () => {
      for (const cut of shared.open) cut()
      for (const socket of sockets) socket.destroy()
    }
    // Connections of load tests must not be cut by the server's own idle timer in mid-test.
    const settings = { noDelay: true, keepAliveTimeout: 60_000, requestTimeout: 0 }
    const onRequest = (request: IncomingMessage, response: ServerResponse) => Exchange.handle(shared, request, response)
    const server = tls === undefined
      ? createHttpServer(settings, onRequest)
      : createHttpsServer({ ...settings, ...tls }, onRequest)
    server.on("connection", (socket: Socket) => {
      sockets.add(socket)
      shared.recorder.socketOpened()
      socket.once("close", () => {
        sockets.delete(socket)
        shared.recorder.socketClosed()
      })
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
          drop()
        })
    )
    return { dropConnections: Effect.sync(drop), port }
  })

const script = (answers: Answers): Exchange.Script => {
  let index = 0
  return typeof answers === "function" ? (request) => answers(request, index++) : () => answers[index++]
}

const rateLimit = (limits: RateLimits | undefined): RateLimit.RateLimit | undefined =>
  limits === undefined ? undefined : RateLimit.make(limits)

const logWhen = (recorder: SimulatorLog.Recorder, predicate: (log: Log) => boolean): Effect.Effect<Log> =>
  Effect.callback((resume) => {
    const stop = recorder.watch((log) => {
      try {
        if (!predicate(log)) return false
        resume(Effect.succeed(log))
      } catch (error) {
        resume(Effect.die(error))
      }
      return true
    })
    return Effect.sync(stop)
  })

/** Unique over simulators too, so that a mixed-up log shows. */
const makeRequestIds = (): () => string => {
  const prefix = Math.random().toString(36).slice(2, 10).padEnd(8, "0")
  let count = 0
  return () => `req_011C${prefix}${(count++).toString(36).padStart(8, "0")}`
}
