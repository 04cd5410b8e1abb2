/** Calls of every kind, and what each should come to: what the contract is held against. */
import { Effect, Logger, Metric, Redacted, Schema, type Scope, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { layerOtlp, type OtlpProtocol } from "effect-claude/telemetry"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { makeReceiver, type Received } from "./receiver.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

export interface ExpectedCall {
  readonly outcome: "success" | "error" | "cancelled" | "rejected"
  readonly error?: string
  readonly attempts: number
  readonly waits?: ReadonlyArray<"backoff" | "concurrency">
}

export interface Scenario {
  readonly name: string
  readonly answers?: ReadonlyArray<Answer.Answer>
  readonly counts?: ReadonlyArray<Answer.Answer>
  readonly options?: Partial<Claude.Options>
  readonly run: Effect.Effect<unknown, unknown, Claude.Claude>
  readonly calls: ReadonlyArray<ExpectedCall>
}

/** What one suite of scenarios left behind. */
export interface Captured {
  readonly received: Received
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
const once = { retry: RetryPolicy.none }
const oneAtATime = { concurrency: 1 }

/** Two calls, the second of which finds the only permit taken. */
const twoAtOnce = <E, R>(second: (call: typeof message) => Effect.Effect<unknown, E, R>) =>
  Effect.all([message, Effect.andThen(Effect.sleep("5 millis"), second(message))], { concurrency: 2 })

const message = Claude.message(ask)
const stream = Claude.stream(ask)

export const scenarios: ReadonlyArray<Scenario> = [
  { name: "a stream", answers: [reply({ pace: "4 millis" })], run: Stream.runDrain(stream), calls: [success] },
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
    run: Claude.countTokens(ask).pipe(Claude.withPolicy({ tenant: "acme", tags: { feature: "search" } })),
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
    run: message,
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
    options: { ...once, timeouts: { idle: "30 millis" } },
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
    run: Claude.message({ ...ask, model: "claude-unheard-of-9" }),
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
  scenario: Pick<Scenario, "name" | "answers" | "counts" | "options" | "run">
): Effect.Effect<void, ClaudeError.ClaudeFatalError> =>
  Effect.gen(function*() {
    yield* simulator.script(scenario.answers ?? [])
    yield* simulator.script(scenario.counts ?? [], "count_tokens")
    yield* Effect.exit(scenario.run).pipe(
      Effect.withSpan(rootOf(scenario.name)),
      Effect.provide(layerClaude(simulator.url, scenario.options), { local: true })
    )
  })

export const capture = (protocol: OtlpProtocol): Effect.Effect<Captured, ClaudeError.ClaudeFatalError, Scope.Scope> =>
  Effect.gen(function*() {
    const simulator = yield* ClaudeSimulator.make()
    const all = yield* received(protocol, Effect.forEach(scenarios, (scenario) => play(simulator, scenario)))
    return { received: all, simulator: yield* simulator.log }
  })
