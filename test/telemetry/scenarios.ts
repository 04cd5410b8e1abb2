/** Calls of every kind, and what each should come to: what the contract is held against. */
import { Duration, Effect, Layer, Logger, Metric, Redacted, Schema, type Scope, Stream } from "effect"
import { CacheStore, Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { formatPrometheus, layerOtlp, type OtlpProtocol } from "effect-claude/telemetry"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
// Loaded with the first failure otherwise, which takes longer than a scenario waits.
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Stores from "../../src/admission/Stores.ts"
import * as AdmissionTelemetry from "../../src/telemetry/AdmissionTelemetry.ts"
import type { WaitKind } from "../../src/telemetry/Attributes.ts"
import { makeReceiver, type Received } from "./receiver.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

export interface ExpectedCall {
  readonly outcome: "success" | "error" | "cancelled" | "rejected"
  readonly error?: string
  readonly attempts: number
  readonly waits?: ReadonlyArray<WaitKind>
}

export interface Scenario {
  readonly name: string
  readonly answers?: ReadonlyArray<Answer.Answer>
  readonly counts?: ReadonlyArray<Answer.Answer>
  readonly options?: Partial<Claude.Options>
  /** What the simulator enforces and tells meanwhile. */
  readonly rateLimits?: ClaudeSimulator.RateLimits
  /** What the client shares with others. */
  readonly stores?: Layer.Layer<never>
  readonly run: Effect.Effect<unknown, unknown, Claude.Claude>
  readonly calls: ReadonlyArray<ExpectedCall>
}

/** What one suite of scenarios left behind. */
export interface Captured {
  readonly received: Received
  /** The same metrics as Prometheus would have read them. */
  readonly prometheus: string
  readonly url: string
  readonly simulator: ClaudeSimulator.Log
}

// -----------------------------------------------------------------------------
// what must never show
// -----------------------------------------------------------------------------

export const secrets = {
  prompt: "prompt-that-stays-here",
  system: "system-that-stays-here",
  stop: "stop-that-stays-here",
  thought: "thought-that-stays-here",
  reply: "reply-that-stays-here and its second word and its third",
  argument: "argument-that-stays-here",
  tool: "description-that-stays-here",
  key: "sk-ant-key-that-stays-here"
}

export const ask = { prompt: secrets.prompt, system: secrets.system, stop_sequences: [secrets.stop] }

const reply = (options?: Answer.ReplyOptions) => Answer.text(secrets.reply, options)

// -----------------------------------------------------------------------------
// scenarios
// -----------------------------------------------------------------------------

const success = { outcome: "success", attempts: 1 } as const
const cancelled = { outcome: "cancelled", attempts: 1 } as const
const failed = (error: string): ExpectedCall => ({ outcome: "error", error, attempts: 1 })
const rejected = (error: string, ...waits: ReadonlyArray<WaitKind>): ExpectedCall => ({
  outcome: "rejected",
  error,
  attempts: 0,
  waits
})
const replayed: ExpectedCall = { outcome: "success", attempts: 0 }
const once = { retry: RetryPolicy.none }
const oneAtATime = { concurrency: 1 }

/** Two calls, the second of which finds the only permit taken. */
const twoAtOnce = <E, R>(second: (call: typeof message) => Effect.Effect<unknown, E, R>) =>
  Effect.all([message, Effect.andThen(Effect.sleep("5 millis"), second(message))], { concurrency: 2 })

const message = Claude.message(ask)
const stream = Claude.stream(ask)
const twice = <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.andThen(Effect.exit(call), call)

/** What the next call is to find has been told by then. */
const soon = Effect.sleep("20 millis")

const unheardOf = { ...ask, model: "claude-unheard-of-9" }

const circuit = (openDuration: Duration.Input) => ({ size: 2, minimumCalls: 2, failureRate: 1, openDuration })

const gone = Effect.fail({ _tag: "Gone", message: "no connection" })

const marked = {
  ...ask,
  system: [{ type: "text" as const, text: secrets.system, cache_control: { type: "ephemeral" as const } }]
}

const writesCache = { input_tokens: 10, cache_creation_input_tokens: 300, output_tokens: 5 }

export const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "a stream",
    answers: [reply({ pace: "4 millis" })],
    run: Stream.runDrain(stream).pipe(Claude.withPolicy({ prompt: { name: "reply", version: "2" } })),
    calls: [success]
  },
  {
    name: "a message with a cache and thinking",
    answers: [Answer.thinking(secrets.thought, secrets.reply, {
      usage: {
        input_tokens: 10,
        cache_read_input_tokens: 2000,
        cache_creation_input_tokens: 300,
        cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
        output_tokens: 50,
        output_tokens_details: { thinking_tokens: 30 }
      }
    })],
    run: message,
    calls: [success]
  },
  {
    name: "a message as JSON",
    answers: [reply()],
    run: message.pipe(Claude.withPolicy({ wire: "json" })),
    calls: [success]
  },
  { name: "a token count", run: Claude.countTokens(ask), calls: [success] },
  {
    name: "a token count after a 529",
    counts: [Answer.error(529)],
    run: Claude.countTokens(ask),
    calls: [{ ...success, attempts: 2, waits: ["backoff"] }]
  },
  {
    name: "a token count that fails",
    counts: [Answer.error(404)],
    run: Claude.countTokens(ask).pipe(
      Claude.withPolicy({ tenant: "acme", tags: { feature: "search" }, prompt: { name: "reply", version: "1" } })
    ),
    calls: [failed("not_found_error")]
  },
  {
    name: "retries",
    answers: [Answer.error(429, { retryAfter: "60 millis" }), Answer.error(529), reply()],
    run: message,
    calls: [{ ...success, attempts: 3, waits: ["backoff", "backoff"] }]
  },
  {
    name: "too many failures",
    answers: [Answer.error(529), Answer.error(529)],
    options: { retry: RetryPolicy.make({ times: 1, initial: "10 millis" }) },
    run: message.pipe(Claude.withPolicy({ prompt: { name: "reply", version: "2" } })),
    calls: [{ ...failed("overloaded_error"), attempts: 2, waits: ["backoff"] }]
  },
  { name: "a bad request", answers: [Answer.error(400)], run: message, calls: [failed("invalid_request_error")] },
  { name: "a request that is not sent", run: Claude.message({ ...ask, max_tokens: 0.5 }), calls: [] },
  {
    name: "a status that has no type",
    answers: [Answer.error(418, { body: "short and stout" })],
    run: message,
    calls: [failed("418")]
  },
  {
    name: "no response",
    answers: [Answer.reset("beforeHeaders")],
    options: once,
    run: message,
    calls: [failed("connection_error")]
  },
  {
    name: "no headers in time",
    answers: [Answer.stall("beforeHeaders")],
    options: { ...once, timeouts: { headers: "30 millis" } },
    run: message,
    calls: [failed("client_timeout_error")]
  },
  {
    name: "a stream that stalls",
    answers: [Answer.stall("midStream", reply())],
    options: { ...once, timeouts: { idle: "200 millis" } },
    run: Stream.runDrain(stream),
    calls: [failed("stream_stalled")]
  },
  {
    name: "a message that is cut off",
    answers: [Answer.truncate("midStream", reply())],
    options: once,
    run: message,
    calls: [failed("stream_truncated")]
  },
  {
    name: "an error in a stream",
    answers: [Answer.errorEvent("overloaded_error", "Overloaded", "midStream", reply())],
    options: once,
    run: Stream.runDrain(stream),
    calls: [failed("overloaded_error")]
  },
  {
    name: "no message at all",
    answers: [Answer.garbage("html")],
    options: once,
    run: message,
    calls: [failed("_OTHER")]
  },
  {
    name: "a message that breaks and is told again",
    answers: [Answer.reset("midStream", reply({ pace: "2 millis" })), reply()],
    run: message,
    calls: [{ ...success, attempts: 2, waits: ["backoff"] }]
  },
  {
    name: "a stream that begins again",
    answers: [Answer.close("midStream", reply({ pace: "2 millis" })), reply()],
    run: Stream.runDrain(stream).pipe(Claude.withPolicy({ onBreak: "restart" })),
    calls: [{ ...success, attempts: 2, waits: ["backoff"] }]
  },
  {
    name: "a wait for a turn",
    answers: [Answer.delay("40 millis", reply()), reply()],
    options: oneAtATime,
    run: twoAtOnce((call) => call),
    calls: [success, { ...success, waits: ["concurrency"] }]
  },
  {
    name: "a turn that never comes",
    answers: [Answer.delay("100 millis", reply())],
    options: oneAtATime,
    run: twoAtOnce((call) => Effect.exit(call.pipe(Claude.withPolicy({ timeouts: { total: "30 millis" } })))),
    calls: [
      success,
      { outcome: "rejected", error: "client_timeout_error", attempts: 0, waits: ["concurrency"] }
    ]
  },
  {
    name: "a queue that is left",
    answers: [Answer.delay("80 millis", reply())],
    options: oneAtATime,
    run: twoAtOnce(Effect.timeoutOption("30 millis")),
    calls: [success, { ...cancelled, attempts: 0, waits: ["concurrency"] }]
  },
  {
    name: "a backoff that is left",
    answers: [Answer.error(429, { retryAfter: "5 seconds" })],
    run: Effect.timeoutOption(message, "80 millis"),
    calls: [{ ...cancelled, waits: ["backoff"] }]
  },
  {
    name: "a request that is given up",
    answers: [Answer.stall("beforeHeaders")],
    run: Effect.timeoutOption(message, "50 millis"),
    calls: [cancelled]
  },
  {
    name: "a stream that is left",
    answers: [reply({ pace: "30 millis" })],
    run: Stream.runDrain(Stream.take(stream, 1)),
    calls: [cancelled]
  },
  {
    name: "a stream whose reader fails",
    answers: [reply({ pace: "30 millis" })],
    run: Stream.runDrain(Stream.mapEffect(stream, () => Effect.fail("a failure of the reader"))),
    calls: [cancelled]
  },
  { name: "a refusal", answers: [reply({ stopReason: "refusal" })], run: message, calls: [success] },
  {
    name: "a model without a price",
    answers: [reply()],
    run: Claude.message(unheardOf),
    calls: [success]
  },
  {
    name: "a tool call",
    answers: [Answer.tool("lookup", { q: secrets.argument })],
    run: Claude.message({
      ...ask,
      tools: [{ name: "lookup", description: secrets.tool, input_schema: { type: "object" } }]
    }),
    calls: [success]
  },
  {
    name: "an object",
    answers: [Answer.json({ answer: secrets.reply })],
    run: Claude.object(Schema.Struct({ answer: Schema.String }), ask),
    calls: [success]
  },
  {
    name: "a tenant's call",
    answers: [reply()],
    run: Claude.message({ ...ask, service_tier: "auto", output_config: { effort: "high" } }).pipe(
      Claude.withPolicy({ tenant: "acme", tags: { feature: "search" } })
    ),
    calls: [success]
  },
  {
    name: "a tenant whose cost is told apart",
    answers: [reply()],
    options: { telemetry: { tenants: true } },
    run: message.pipe(Claude.withPolicy({ tenant: "umbrella" })),
    calls: [success]
  },
  {
    name: "a wait for rate",
    answers: [reply(), reply()],
    options: { concurrency: 4, rateLimits: { requests: 1, window: "200 millis" } },
    run: twoAtOnce((call) => call),
    calls: [success, { ...success, waits: ["rate_limit"] }]
  },
  {
    name: "a rate that comes too late",
    answers: [reply()],
    options: { concurrency: 4, rateLimits: { requests: 1, window: "1 hour" } },
    run: twoAtOnce((call) => Effect.exit(call.pipe(Claude.withPolicy({ timeouts: { total: "30 millis" } })))),
    // What cannot end in time is not waited for.
    calls: [success, { ...rejected("client_timeout_error"), waits: ["rate_limit"] }]
  },
  {
    name: "a rate that is not waited for",
    answers: [reply()],
    options: { concurrency: 4, rateLimits: { requests: 1, window: "1 minute" } },
    run: twoAtOnce(Effect.timeoutOption("30 millis")),
    calls: [success, { ...cancelled, attempts: 0, waits: ["rate_limit"] }]
  },
  {
    name: "a queue that is full",
    answers: [Answer.delay("60 millis", reply())],
    options: { ...oneAtATime, queue: 0 },
    run: twoAtOnce(Effect.exit),
    calls: [success, rejected("queue_rejected", "concurrency")]
  },
  {
    name: "another model while a circuit is open",
    answers: [Answer.error(500), Answer.error(500), reply()],
    options: { ...once, circuit: circuit("1 minute") },
    run: twice(Effect.andThen(Effect.exit(message), soon)).pipe(
      Effect.andThen(message.pipe(Claude.withPolicy({ fallback: ["claude-haiku-4-5"] })))
    ),
    calls: [failed("api_error"), failed("api_error"), { ...success, waits: ["circuit"] }]
  },
  {
    name: "a circuit that is not waited for to the end",
    answers: [Answer.error(500), Answer.error(500)],
    options: { circuit: circuit("1 minute") },
    run: Effect.timeoutOption(message, "300 millis"),
    calls: [{ ...cancelled, attempts: 2, waits: ["backoff", "backoff", "circuit"] }]
  },
  {
    name: "a circuit that opens and closes again",
    answers: [Answer.error(500), Answer.error(500), reply()],
    options: { ...once, circuit: circuit("300 millis") },
    run: Effect.all([Effect.exit(message), soon, Effect.exit(message), soon, Effect.exit(message)]).pipe(
      Effect.andThen(Effect.sleep("300 millis")),
      Effect.andThen(message)
    ),
    calls: [failed("api_error"), failed("api_error"), rejected("circuit_open", "circuit"), success]
  },
  {
    name: "a circuit that is waited for",
    answers: [Answer.error(500), Answer.error(500), reply()],
    options: { circuit: circuit("250 millis") },
    run: message,
    calls: [{ ...success, attempts: 3, waits: ["backoff", "backoff", "circuit"] }]
  },
  {
    name: "a circuit of a model that nobody knows",
    answers: [Answer.error(500), Answer.error(500)],
    options: { ...once, circuit: circuit("1 minute") },
    run: twice(Effect.andThen(Effect.exit(Claude.message(unheardOf)), soon)),
    calls: [failed("api_error"), failed("api_error")]
  },
  {
    name: "a budget that is spent",
    options: { budget: [{ name: "daily", usd: 0.000_001, window: "1 day" }] },
    run: twice(message),
    calls: [rejected("budget_exceeded", "budget"), rejected("budget_exceeded", "budget")]
  },
  {
    name: "a tenant's budget, in tokens",
    options: { budget: [{ name: "by tenant", tokens: 10, per: "tenant", window: "1 day" }] },
    run: message.pipe(Claude.withPolicy({ tenant: "acme" })),
    calls: [rejected("budget_exceeded", "budget")]
  },
  {
    name: "a budget that is nearly spent",
    answers: [reply()],
    options: { budget: [{ name: "monthly", usd: 5, window: "30 days", warnAt: [0.000_000_1] }] },
    run: message,
    calls: [success]
  },
  {
    name: "a budget that something without a price is a part of",
    answers: [reply()],
    options: { budget: [{ name: "unpriced", usd: 5, window: "1 day", unpriced: "allow" }] },
    run: Claude.message(unheardOf),
    calls: [success]
  },
  {
    name: "a retry that a budget turns away",
    answers: [Answer.truncate("midStream", reply({ usage: { input_tokens: 1, output_tokens: 1 } }))],
    options: { budget: [{ name: "weekly", usd: 0.01, window: "7 days" }] },
    run: message,
    calls: [{ ...failed("budget_exceeded"), waits: ["backoff", "budget"] }]
  },
  {
    name: "an answer that was kept",
    answers: [reply()],
    run: twice(message.pipe(Claude.withPolicy({ cache: true }))),
    calls: [success, replayed]
  },
  {
    name: "a stream that was kept",
    answers: [reply()],
    run: twice(Stream.runDrain(stream).pipe(Claude.withPolicy({ cache: true }))),
    calls: [success, replayed]
  },
  {
    name: "an answer that is shared",
    answers: [Answer.delay("60 millis", reply())],
    run: twoAtOnce((call) => call).pipe(Claude.withPolicy({ cache: true })),
    calls: [success, replayed]
  },
  {
    name: "a failure that is not shared",
    answers: [Answer.delay("60 millis", Answer.error(400)), reply()],
    run: Effect.exit(message).pipe(
      Effect.zip(Effect.andThen(Effect.sleep("5 millis"), Effect.exit(message)), { concurrent: true }),
      Claude.withPolicy({ cache: true })
    ),
    // Its twin asks for itself.
    calls: [failed("invalid_request_error"), success]
  },
  {
    name: "a marked prefix that does not hit",
    answers: [reply({ usage: writesCache }), reply({ usage: writesCache })],
    run: twice(Effect.andThen(Claude.message(marked), soon)),
    calls: [success, success]
  },
  {
    name: "another model that serves",
    answers: [Answer.error(529), reply()],
    options: once,
    run: message.pipe(Claude.withPolicy({ fallback: ["claude-haiku-4-5"] })),
    calls: [{ ...success, attempts: 2 }]
  },
  {
    name: "another model that fails too",
    answers: [Answer.error(529), Answer.error(529)],
    options: once,
    run: Stream.runDrain(stream).pipe(Claude.withPolicy({ fallback: ["claude-haiku-4-5"] })),
    calls: [{ ...failed("overloaded_error"), attempts: 2 }]
  },
  {
    name: "a refusal that another model answers",
    answers: [reply({ stopReason: "refusal" }), reply()],
    run: message.pipe(Claude.withPolicy({ fallback: ["claude-haiku-4-5"], onRefusal: "fallback" })),
    calls: [{ ...success, attempts: 2 }]
  },
  {
    name: "another model that counts",
    counts: [Answer.error(529)],
    options: once,
    run: Claude.countTokens(ask).pipe(Claude.withPolicy({ fallback: ["claude-haiku-4-5"] })),
    calls: [{ ...success, attempts: 2 }]
  },
  {
    name: "stores that are gone",
    answers: [reply()],
    options: { budget: [{ name: "daily", usd: 5, window: "1 day" }] },
    stores: Layer.mergeAll(
      Layer.succeed(Stores.Budgets, { reserve: () => gone, settle: () => gone }),
      Layer.succeed(Stores.Usage, { add: () => gone, rows: Stream.fromEffect(gone) }),
      Layer.succeed(CacheStore.Store, { get: () => gone, set: () => gone }),
      Layer.effect(
        Stores.Circuits,
        Effect.map(CircuitBreaker.CircuitBreakerStore, (store) => {
          const reason = new CircuitBreaker.CircuitBreakerStoreError({ message: "no connection" })
          return { ...store, admit: () => Effect.fail(new CircuitBreaker.CircuitBreakerError({ reason })) }
        })
      ).pipe(Layer.provide(CircuitBreaker.layerStoreMemory()))
    ),
    run: message.pipe(Claude.withPolicy({ cache: true })),
    calls: [success]
  },
  {
    name: "a store that does not answer",
    answers: [reply()],
    options: { rateLimits: { requests: 1000 } },
    stores: Layer.succeed(Stores.Limits, { take: () => Effect.never, give: () => Effect.never, pause: () => gone }),
    run: message,
    calls: [{ ...success, waits: ["rate_limit"] }]
  },
  // The last one: what is told of limits is told until their reset.
  {
    name: "limits that are told, and nearly used up",
    answers: [reply()],
    rateLimits: { requests: 1, tokens: 50_000, inputTokens: 40_000, outputTokens: 10_000, window: "1 hour" },
    run: message,
    calls: [success]
  }
]

// -----------------------------------------------------------------------------
// running them
// -----------------------------------------------------------------------------

export const rootOf = (name: string) => `scenario ${name}`

/** Runs a program with a receiver of its own; metrics and logs of other tests do not meet it. */
export const received = <A, E>(
  protocol: OtlpProtocol,
  program: Effect.Effect<A, E>
): Effect.Effect<Received, E, Scope.Scope> =>
  Effect.gen(function*() {
    const receiver = yield* makeReceiver
    const hour = "1 hour"
    yield* program.pipe(
      Effect.provide(layerOtlp({
        baseUrl: receiver.url,
        protocol,
        resource: { serviceName: "contract" },
        intervals: { traces: hour, metrics: hour, logs: hour },
        // All that was told arrives, however busy the machine.
        shutdownTimeout: "1 minute"
      })),
      Effect.provideService(Metric.MetricRegistry, new Map()),
      Effect.provideService(Logger.CurrentLoggers, new Set([Logger.tracerLogger]))
    )
    return receiver.received()
  })

export const layerClaude = (url: string, options: Partial<Claude.Options> = {}) =>
  Claude.layer({
    apiKey: Redacted.make(secrets.key),
    baseURL: url,
    defaults: { model: "claude-opus-5-5", max_tokens: 256 },
    retry: RetryPolicy.make({ initial: "10 millis" }),
    ...options
  })

/** Runs a scenario under a span of its own. */
export const play = (
  simulator: ClaudeSimulator.ClaudeSimulator["Service"],
  scenario: Omit<Scenario, "calls">
): Effect.Effect<void, ClaudeError.ClaudeFatalError> =>
  Effect.gen(function*() {
    yield* simulator.script(scenario.answers ?? [])
    yield* simulator.script(scenario.counts ?? [], "count_tokens")
    yield* simulator.setRateLimits(scenario.rateLimits)
    yield* Effect.exit(scenario.run).pipe(
      Effect.withSpan(rootOf(scenario.name)),
      Effect.provide(
        layerClaude(simulator.url, scenario.options).pipe(Layer.provide(scenario.stores ?? Layer.empty)),
        { local: true }
      )
    )
  })

/** What no call brings about yet: nobody tells the unit of a budget's level. */
const untold = Effect.scoped(
  Effect.map(AdmissionTelemetry.make, (telemetry) => telemetry.budget("in tokens", 1000, 400, "tokens"))
)

export const capture = (protocol: OtlpProtocol): Effect.Effect<Captured, ClaudeError.ClaudeFatalError, Scope.Scope> =>
  Effect.gen(function*() {
    const simulator = yield* ClaudeSimulator.make()
    let prometheus = ""
    const all = yield* received(
      protocol,
      Effect.forEach(scenarios, (scenario) => play(simulator, scenario)).pipe(
        Effect.andThen(untold),
        Effect.andThen(formatPrometheus),
        Effect.tap((text) => Effect.sync(() => prometheus = text))
      )
    )
    return { received: all, prometheus, url: simulator.url, simulator: yield* simulator.log }
  })
