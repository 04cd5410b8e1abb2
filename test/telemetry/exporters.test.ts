import { assert, describe, it } from "@effect/vitest"
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import {
  Cause,
  ConfigProvider,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  Redacted,
  References
} from "effect"
import * as OpenTelemetry from "effect-claude/opentelemetry"
import {
  type ConsoleOptions,
  formatPrometheus,
  layerConsole,
  layerOtlp,
  layerOtlpConfig,
  layerPrometheus,
  type OtlpProtocol,
  PrometheusServer
} from "effect-claude/telemetry"
import { OtlpExporter } from "effect/observability"
import { TestClock } from "effect/testing"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { inspect, stripVTControlCharacters } from "node:util"
import { scope } from "../../src/telemetry/Instrumentation.ts"
import { readExposition } from "./exposition.ts"
import { type AttributeType, makeReceiver, type Received } from "./receiver.ts"

/** A program of an application, and in it a call as the library tells of it. */
const program = Effect.gen(function*() {
  const call = yield* Effect.makeSpan("chat claude-x", {
    kind: "client",
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "anthropic",
      "gen_ai.request.max_tokens": 1024,
      "gen_ai.response.finish_reasons": ["stop", "length"],
      "gen_ai.response.time_to_first_chunk": 2,
      "claude.cost.amount": 1,
      "claude.wait.total": 0.25,
      "claude.outcome": "success"
    }
  })
  call.event("claude.retry", 5n, { attempt: 1, reason: "RateLimited", delay: 3 })
  yield* Effect.logInfo("claude.retry").pipe(
    Effect.annotateLogs({ attempt: 1, delay: 3 }),
    Effect.withParentSpan(call, { captureStackTrace: false })
  )
  yield* Effect.fail("no").pipe(
    Effect.withSpan("POST", { kind: "client", parent: call, attributes: { "claude.attempt.number": 1 } }),
    Effect.ignore
  )
  yield* Effect.interrupt.pipe(
    Effect.withSpan("POST", { kind: "client", parent: call, attributes: { "claude.attempt.number": 2 } }),
    Effect.exit
  )
  call.end(10n ** 18n, Exit.void)
  yield* Effect.logWarning("of the application")
  yield* Effect.void.pipe(
    Effect.withSpan("chat gpt", { attributes: { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai" } })
  )

  yield* Metric.update(
    Metric.histogram("gen_ai.client.inference.duration", {
      description: "Duration of a call",
      boundaries: [1, 2],
      attributes: { unit: "s", "gen_ai.request.model": "claude-x" }
    }),
    2
  )
  const tokens = (kind: string) =>
    Metric.counter("claude.client.tokens", { incremental: true, attributes: { unit: "{token}", kind } })
  yield* Metric.update(tokens("a"), 12)
  yield* Metric.update(tokens("b"), 0.5)
  yield* Metric.update(Metric.gauge("jobs", { description: "Jobs", attributes: { unit: "{job}" } }), 3)
  yield* Metric.update(Metric.timer("took", { boundaries: [10, 20], attributes: { job: "a" } }), Duration.millis(15))
}).pipe(Effect.withSpan("application"))

const ownMetrics = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.provideService(self, Metric.MetricRegistry, new Map())

const quiet = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.provideService(self, Logger.CurrentLoggers, new Set([Logger.tracerLogger]))

const exported = (protocol: OtlpProtocol, compression?: "gzip") =>
  Effect.gen(function*() {
    const receiver = yield* makeReceiver
    yield* program.pipe(
      Effect.provide(layerOtlp({
        baseUrl: receiver.url,
        protocol,
        compression,
        resource: { serviceName: "shop", serviceVersion: "2.0.0", attributes: { "shop.rack": 7 } }
      })),
      ownMetrics,
      quiet
    )
    return receiver.received()
  })

const byName = <A extends { readonly name: string }>(items: ReadonlyArray<A>, name: string): A => {
  const found = items.filter((item) => item.name === name)
  assert.strictEqual(found.length, 1, `${name} among ${items.map((item) => item.name).join(", ")}`)
  return found[0]!
}

describe("layerOtlp", () => {
  for (const protocol of ["protobuf", "json"] as const) {
    it.live(`sends spans over ${protocol}: unset on success, doubles as doubles, arrays as arrays`, () =>
      Effect.gen(function*() {
        const { requests, spans } = yield* exported(protocol)
        const type = protocol === "json" ? "application/json" : "application/x-protobuf"
        assert.deepStrictEqual([...new Set(requests.map((request) => request.headers["content-type"]))], [type])

        const call = byName(spans, "chat claude-x")
        assert.strictEqual(call.kind, "client")
        assert.strictEqual(call.status, "unset")
        assert.strictEqual(call.parentSpanId, byName(spans, "application").spanId)
        assert.strictEqual(call.traceId, byName(spans, "application").traceId)
        assert.strictEqual(call.end, 10n ** 18n)
        assert.deepStrictEqual(call.attributes["gen_ai.response.finish_reasons"], ["stop", "length"])
        const types: Record<string, AttributeType> = {
          "gen_ai.request.max_tokens": "int",
          "gen_ai.response.time_to_first_chunk": "double",
          "claude.cost.amount": "double",
          "claude.wait.total": "double",
          "gen_ai.response.finish_reasons": "array",
          "claude.outcome": "string"
        }
        for (const [name, type] of Object.entries(types)) assert.strictEqual(call.types[name], type, name)

        // The log of the same name went to the span as well, and is left out there.
        const event = byName(call.events, "claude.retry")
        assert.strictEqual(event.time, 5n)
        assert.deepStrictEqual(event.types, { attempt: "int", reason: "string", delay: "double" })

        const [failed, cancelled] = spans.filter((span) => span.name === "POST")
        assert.strictEqual(failed?.status, "error")
        assert.strictEqual(failed?.events[0]?.name, "exception")
        assert.strictEqual(cancelled?.status, "unset")
        assert.strictEqual(byName(spans, "application").status, "unset")
        // What the application logs stays on its own spans.
        assert.deepStrictEqual(byName(spans, "application").events.map((event) => event.name), ["of the application"])
      }))

    it.live(`sends metrics over ${protocol}: the unit is the metric's and no label`, () =>
      Effect.gen(function*() {
        const { metrics } = yield* exported(protocol)
        const duration = byName(metrics, "gen_ai.client.inference.duration")
        assert.deepStrictEqual(
          [duration.type, duration.unit, duration.temporality, duration.description],
          ["histogram", "s", "cumulative", "Duration of a call"]
        )
        const [point] = duration.points
        assert.deepStrictEqual(point?.attributes, { "gen_ai.request.model": "claude-x" })
        assert.deepStrictEqual([point?.bounds, point?.buckets], [[1, 2], [0, 1, 0]])
        assert.deepStrictEqual([point?.count, point?.sum, point?.min, point?.max], [1, 2, 2, 2])

        const tokens = byName(metrics, "claude.client.tokens")
        assert.deepStrictEqual([tokens.unit, tokens.monotonic], ["{token}", true])
        assert.deepStrictEqual(
          tokens.points.map((point) => [point.attributes, point.value, point.valueType]),
          [[{ kind: "a" }, 12, "double"], [{ kind: "b" }, 0.5, "double"]]
        )
        assert.deepStrictEqual(byName(metrics, "jobs").points[0]?.attributes, {})
        assert.strictEqual(byName(metrics, "took").unit, "ms")
        assert.deepStrictEqual(byName(metrics, "took").points[0]?.attributes, { job: "a" })
      }))

    it.live(`puts the library's data under its own scope and schema over ${protocol}`, () =>
      Effect.gen(function*() {
        const { logs, metrics, resources, spans } = yield* exported(protocol)
        const own = {
          name: "effect-claude",
          version: scope.version,
          schemaUrl: "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
        }
        for (const item of [...spans, ...metrics, ...logs.map((log) => ({ ...log, name: String(log.body) }))]) {
          const isOwn = /^(chat claude|POST|claude\.|gen_ai\.)/.test(item.name)
          assert.deepStrictEqual(item.scope.schemaUrl, isOwn ? own.schemaUrl : undefined, item.name)
          if (isOwn) assert.deepStrictEqual(item.scope, own)
          else assert.notStrictEqual(item.scope.name, own.name)
        }
        assert.strictEqual(resources.length, 1)
        const { attributes } = resources[0]!
        assert.deepStrictEqual(
          [attributes["service.name"], attributes["service.version"], attributes["shop.rack"]],
          ["shop", "2.0.0", 7]
        )
      }))

    it.live(`sends logs over ${protocol}, with the ids of their span`, () =>
      Effect.gen(function*() {
        const { logs, spans } = yield* exported(protocol)
        const retry = logs.find((log) => log.body === "claude.retry")
        const other = logs.find((log) => log.body === "of the application")
        assert.deepStrictEqual([retry?.severity, retry?.severityNumber], ["Info", 9])
        assert.deepStrictEqual([retry?.types["attempt"], retry?.types["delay"]], ["int", "double"])
        assert.strictEqual(retry?.spanId, byName(spans, "chat claude-x").spanId)
        assert.strictEqual(retry?.traceId, byName(spans, "chat claude-x").traceId)
        assert.strictEqual(other?.spanId, byName(spans, "application").spanId)
      }))
  }

  it.live("says the same in both protocols, compressed or not", () =>
    Effect.gen(function*() {
      const outline = ({ logs, metrics, resources, scopes, spans }: Received) => ({
        spans: spans.map(({ attributes, events, kind, name, scope, status, types }) => ({
          name,
          kind,
          status,
          scope,
          attributes,
          types,
          events: events.map((event) => [event.name, event.types])
        })),
        metrics: metrics.map(({ points, ...metric }) => ({
          ...metric,
          points: points.map(({ start: _start, time: _time, ...point }) => point)
        })),
        logs: logs.map(({ body, scope, severity, types }) => ({ body, scope, severity, types })),
        resources,
        scopes
      })
      const protobuf = yield* exported("protobuf", "gzip")
      assert.isTrue(protobuf.requests.some((request) => request.headers["content-encoding"] === "gzip"))
      // Stack traces name the line that asked, and fibers are numbered.
      const stable = (received: Received) =>
        JSON.parse(JSON.stringify(outline(received), (key, value) => /fiberId|stacktrace/.test(key) ? "" : value))
      assert.deepStrictEqual(stable(yield* exported("json")), stable(protobuf))
    }))

  it.live("flushes on demand", () =>
    Effect.gen(function*() {
      const receiver = yield* makeReceiver
      yield* Effect.gen(function*() {
        yield* Effect.void.pipe(Effect.withSpan("early"))
        const flusher = yield* OtlpExporter.Flusher
        yield* flusher.flush
        assert.deepStrictEqual(receiver.received().spans.map((span) => span.name), ["early"])
      }).pipe(
        Effect.provide(
          layerOtlp({ baseUrl: receiver.url, intervals: { traces: "1 hour", metrics: "1 hour", logs: "1 hour" } })
        ),
        ownMetrics
      )
      assert.strictEqual(receiver.received().resources[0]?.attributes["service.name"], "unknown_service:node")
    }))

  it.live("keeps a secret header out of everything but the wire", () =>
    Effect.gen(function*() {
      const receiver = yield* makeReceiver
      const logged: Array<unknown> = []
      const layer = layerOtlp({ baseUrl: receiver.url, headers: { "x-team": Redacted.make("s3cret"), "x-plain": "p" } })
      yield* program.pipe(Effect.provide(layer), ownMetrics, quiet)
      assert.isTrue(
        receiver.received().requests.every(({ headers }) =>
          headers["x-team"] === "s3cret" && headers["x-plain"] === "p"
        )
      )

      receiver.answer(403)
      const everything = Logger.make((options) => {
        logged.push(Logger.formatStructured.log(options), options.cause)
      })
      yield* program.pipe(
        Effect.provide(Layer.fresh(layer)),
        ownMetrics,
        Effect.provideService(Logger.CurrentLoggers, new Set([everything])),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      const text = inspect(logged, { depth: 20 }) +
        JSON.stringify(logged, (_, value) => typeof value === "bigint" ? "" : value)
      assert.include(text, "Disabling exporter")
      assert.notInclude(text, "s3cret")
    }))

  for (const how of ["never", 503, 400] as const) {
    it.live(`neither fails a program nor keeps it when the receiver answers ${how}`, () =>
      Effect.gen(function*() {
        const receiver = yield* makeReceiver
        receiver.answer(how)
        const exit = yield* program.pipe(
          Effect.as("done"),
          Effect.provide(layerOtlp({ baseUrl: receiver.url, timeout: "1 hour", shutdownTimeout: "100 millis" })),
          ownMetrics,
          quiet,
          Effect.exit
        )
        assert.deepStrictEqual(exit, Exit.succeed("done"))
        assert.isAbove(receiver.seen(), 0)
      }))
  }

  it.live("does without a receiver", () =>
    Effect.gen(function*() {
      const layer = layerOtlp({ baseUrl: "http://127.0.0.1:1", shutdownTimeout: "50 millis" })
      assert.deepStrictEqual(yield* program.pipe(Effect.provide(layer), ownMetrics, quiet, Effect.exit), Exit.void)
    }))

  it("names a base URL that is none", () => {
    assert.throws(() => layerOtlp({ baseUrl: "localhost:4318" }), RangeError, /layerOtlp: baseUrl is "localhost:4318"/)
  })

  it("has the version of the package for its scope", () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
    assert.strictEqual(scope.version, version)
  })
})

describe("layerOtlpConfig", () => {
  const run = (env: Record<string, string>) =>
    program.pipe(
      Effect.provide(layerOtlpConfig()),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(env)),
      ownMetrics,
      quiet
    )

  it.live("needs the endpoint alone, and mends as layerOtlp does", () =>
    Effect.gen(function*() {
      const receiver = yield* makeReceiver
      yield* run({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })
      const { logs, metrics, requests, resources, spans } = receiver.received()
      assert.strictEqual(byName(spans, "chat claude-x").status, "unset")
      assert.strictEqual(byName(spans, "chat claude-x").scope.name, "effect-claude")
      assert.deepStrictEqual(byName(metrics, "jobs").points[0]?.attributes, {})
      assert.strictEqual(logs.length, 2)
      assert.strictEqual(resources[0]?.attributes["service.name"], "unknown_service:node")
      assert.isTrue(requests.every((request) => request.headers["content-type"] === "application/x-protobuf"))
    }))

  it.live("reads headers, names and protocols, also one for each signal", () =>
    Effect.gen(function*() {
      const receiver = yield* makeReceiver
      yield* run({
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS: "x-team=blue",
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
        OTEL_SERVICE_NAME: "shop",
        OTEL_LOGS_EXPORTER: "none"
      })
      const { logs, requests, resources } = receiver.received()
      assert.deepStrictEqual(logs, [])
      assert.strictEqual(resources[0]?.attributes["service.name"], "shop")
      const types = { traces: "application/x-protobuf", metrics: "application/json", logs: "" }
      for (const { headers, signal } of requests) {
        assert.deepStrictEqual([headers["x-team"], headers["content-type"]], ["blue", types[signal]])
      }
    }))

  it.live("exports nothing without an endpoint", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.exit(run({})), Exit.void)
    }))

  for (
    const [name, value] of [["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"], ["OTEL_EXPORTER_OTLP_ENDPOINT", "no url"]] as const
  ) {
    it.live(`fails with a ConfigError that names ${name}`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(run({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", [name]: value }))
        assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.every(Cause.isFailReason))
        assert.include(String(exit), name)
      }))
  }
})

describe("layerPrometheus", () => {
  const get = (url: string, init?: RequestInit) =>
    Effect.promise(async () => {
      const response = await fetch(url, init)
      return { status: response.status, type: response.headers.get("content-type"), text: await response.text() }
    })

  it.live("serves the metrics under names with units, counters as totals", () =>
    Effect.gen(function*() {
      yield* program
      const { url } = yield* PrometheusServer
      const { status, text, type } = yield* get(url)
      assert.deepStrictEqual([status, type], [200, "text/plain; version=0.0.4; charset=utf-8"])
      readExposition(text)
      for (
        const line of [
          "# HELP gen_ai_client_inference_duration_seconds Duration of a call",
          "# TYPE gen_ai_client_inference_duration_seconds histogram",
          "gen_ai_client_inference_duration_seconds_bucket{gen_ai_request_model=\"claude-x\",le=\"2\"} 1",
          "gen_ai_client_inference_duration_seconds_sum{gen_ai_request_model=\"claude-x\"} 2",
          "# TYPE claude_client_tokens_total counter",
          "claude_client_tokens_total{kind=\"a\"} 12",
          "jobs 3",
          "took_milliseconds_count{job=\"a\"} 1"
        ]
      ) assert.include(text.split("\n"), line)
      assert.notInclude(text, "unit=")
      assert.strictEqual(yield* formatPrometheus, text)
    }).pipe(Effect.provide(layerPrometheus({ port: 0 })), ownMetrics, quiet))

  it.live("makes names of rates and keeps what a name has already", () =>
    Effect.gen(function*() {
      const attributes = (unit: string) => ({ attributes: { unit }, description: "Described" })
      yield* Metric.update(Metric.histogram("claude.rate", { ...attributes("{token}/s"), boundaries: [1] }), 1)
      yield* Metric.update(Metric.counter("requests_total", { ...attributes("{request}"), incremental: true }), 1)
      yield* Metric.update(Metric.counter("busy.seconds_total", { ...attributes("s"), incremental: true }), 1)
      yield* Metric.update(Metric.gauge("heap", attributes("By")), 1)
      yield* Metric.update(Metric.gauge("odd.\"label", { description: "a\nb", attributes: { "x.y": "a\"\\\nb" } }), 1)
      const text = yield* formatPrometheus
      const { families } = readExposition(text)
      assert.deepStrictEqual([...families.keys()], [
        "claude_rate_per_second",
        "requests_total",
        "busy_seconds_total",
        "heap_bytes",
        "odd_label"
      ])
      const promtool = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" })
      if (promtool.error === undefined) assert.strictEqual(promtool.status, 0, promtool.stderr + promtool.stdout)
    }).pipe(ownMetrics))

  it.live("answers HEAD, and nothing but its path", () =>
    Effect.gen(function*() {
      const { url } = yield* PrometheusServer
      assert.isTrue(url.startsWith("http://127.0.0.1:") && url.endsWith("/m"))
      assert.strictEqual((yield* get(`${url}?x=1`)).status, 200)
      assert.deepStrictEqual(yield* get(url, { method: "HEAD" }), {
        status: 200,
        type: "text/plain; version=0.0.4; charset=utf-8",
        text: ""
      })
      assert.strictEqual((yield* get(url, { method: "POST" })).status, 405)
      assert.strictEqual((yield* get(`${url}x`)).status, 404)
    }).pipe(Effect.provide(layerPrometheus({ port: 0, path: "/m" }))))

  it.live("says which port is taken and what to do, and frees its own when it ends", () =>
    Effect.gen(function*() {
      const port = yield* Effect.gen(function*() {
        const port = Number(new URL((yield* PrometheusServer).url).port)
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layerPrometheus({ port }))))
        assert.strictEqual(error._tag, "PrometheusServerError")
        assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port} \\(EADDRINUSE\\).*port`))
        return port
      }).pipe(Effect.provide(layerPrometheus({ port: 0 })))
      yield* Effect.scoped(Layer.build(layerPrometheus({ port })))
    }))
})

describe("layerConsole", () => {
  const capture = (
    options: Omit<ConsoleOptions, "output"> & { readonly isTTY?: boolean; readonly columns?: number } = {}
  ) => {
    const writes: Array<string> = []
    const { columns, isTTY, ...rest } = options
    const layer = layerConsole({ ...rest, output: { write: (text) => writes.push(text), isTTY, columns } })
    return { layer, writes, lines: () => writes.join("").split("\n").slice(0, -1) }
  }

  /** A call as the library makes one: 300 ms refused, a second of backoff, then an answer whose first token comes after 500 ms. */
  const call = (model: string, id = "req_1") =>
    Effect.gen(function*() {
      const now = Effect.clockWith((clock) => clock.currentTimeNanos)
      const span = yield* Effect.makeSpan(`chat ${model}`, {
        kind: "client",
        attributes: { "gen_ai.operation.name": "chat" }
      })
      const attempt = (number: number) =>
        Effect.makeSpan("POST", { kind: "client", parent: span, attributes: { "claude.attempt.number": number } })
      const first = yield* attempt(1)
      yield* Effect.sleep("300 millis")
      first.attribute("http.response.status_code", 429)
      first.attribute("error.type", "rate_limit_error")
      first.end(yield* now, Exit.fail("no"))
      const wait = yield* Effect.makeSpan("claude.wait backoff", {
        parent: span,
        attributes: { "claude.wait.kind": "backoff" }
      })
      yield* Effect.sleep("1 second")
      wait.end(yield* now, Exit.void)
      const second = yield* attempt(2)
      yield* Effect.sleep("500 millis")
      span.event("claude.first_content", yield* now)
      yield* Effect.sleep("1 second")
      second.attribute("http.response.status_code", 200)
      second.end(yield* now, Exit.void)
      const attributes = {
        "claude.outcome": "success",
        "claude.attempt.count": 2,
        "gen_ai.response.time_to_first_chunk": 1.8,
        "gen_ai.usage.input_tokens": 1204,
        "gen_ai.usage.cache_read.input_tokens": 1024,
        "gen_ai.usage.output_tokens": 356,
        "claude.cost.amount": 0.00921,
        "claude.cost.currency": "USD",
        "anthropic.message.stop_reason": "end_turn",
        "anthropic.request.id": id
      }
      for (const [name, value] of Object.entries(attributes)) span.attribute(name, value)
      span.end(yield* now, Exit.void)
    })
  const run = <A, E>(effect: Effect.Effect<A, E>, layer: Layer.Layer<never>) =>
    Effect.gen(function*() {
      const fiber = yield* effect.pipe(Effect.provide(layer), Effect.forkChild({ startImmediately: true }))
      yield* TestClock.adjust("1 minute")
      return yield* Fiber.join(fiber)
    })

  const shape = (line: string) => line.replace(/[─━]+/g, "=").replace(/╌+/g, "~").replace(/ +/g, " ").trim()

  it.effect("prints a call as a waterfall: a line each for call, waits and attempts, then tokens and cost", () =>
    Effect.gen(function*() {
      const { layer, lines, writes } = capture()
      yield* run(call("claude-opus-4-6"), layer)
      assert.strictEqual(writes.length, 1)
      assert.deepStrictEqual(lines().map(shape), [
        "chat claude-opus-4-6 =◆= +0 ms 2.80 s success",
        "├ POST #1 = +0 ms 300 ms 429 rate_limit_error",
        "├ claude.wait backoff ~ +300 ms 1.00 s",
        "└ POST #2 =◆= +1.30 s 1.50 s 200",
        "◆ first token 1.80 s · 1,204 tokens in (1,024 cached), 356 out · $0.0092 · 2 attempts · req_1"
      ])
      // One scale for all: each bar begins where the one before ends, and the marks stand above each other.
      const [whole, first, wait, second] = lines().map((line) => ({
        from: line.search(/[─━╌◆]/),
        mark: line.indexOf("◆"),
        to: line.search(/[─━╌◆](?!.*[─━╌◆])/)
      }))
      assert.deepStrictEqual([first?.from, second?.to], [whole?.from, whole?.to])
      assert.strictEqual(second?.mark, whole?.mark)
      assert.isAtMost(Math.abs(wait!.from - first!.to), 1)
      assert.isAtMost(Math.abs(second!.from - wait!.to), 1)
    }))

  it.effect("fits the width it is given", () =>
    Effect.gen(function*() {
      for (const width of [40, 60, 80, 120]) {
        const { layer, lines } = capture({ width })
        yield* run(call("claude-opus-4-6-with-a-name-that-is-longer-than-any-column", "req_".padEnd(200, "x")), layer)
        assert.strictEqual(lines().filter((line) => /[━╌]/.test(line)).length, 4)
        for (const line of lines()) assert.isAtMost(line.length, width, line)
      }
      const terminal = capture({ isTTY: true, columns: 70, colors: false })
      yield* run(call("claude-x"), terminal.layer)
      assert.strictEqual(Math.max(...terminal.lines().map((line) => line.length)), 70)
    }))

  it.effect("colours on a terminal alone, and not where NO_COLOR is set", () =>
    Effect.gen(function*() {
      const printed = Effect.fnUntraced(
        function*(options: Parameters<typeof capture>[0], env: Record<string, string> = {}) {
          const { layer, writes } = capture(options)
          const provider = ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))
          yield* run(call("claude-x"), layer.pipe(Layer.provide(provider)))
          return writes.join("")
        }
      )
      const pipe = yield* printed({})
      const terminal = yield* printed({ isTTY: true, columns: 96 })
      assert.notInclude(pipe, "\u001b")
      assert.include(terminal, "\u001b[32m")
      assert.strictEqual(stripVTControlCharacters(terminal), pipe)
      assert.strictEqual(yield* printed({ isTTY: true, columns: 96 }, { NO_COLOR: "1" }), pipe)
      assert.notInclude(yield* printed({ isTTY: true, colors: false }), "\u001b")
    }))

  it.effect("writes each call at once, so that concurrent calls keep their lines together", () =>
    Effect.gen(function*() {
      const { layer, writes } = capture()
      const calls = Effect.forEach(["a", "b", "c"], (model) => call(model, `req_${model}`), {
        concurrency: "unbounded"
      })
      yield* run(calls.pipe(Effect.withSpan("application")), layer)
      assert.deepStrictEqual(
        writes.map((text) =>
          text.split("\n").map((line) => /^chat \w|req_\w/.exec(line)?.[0]).filter((found) => found)
        ),
        [["chat a", "req_a"], ["chat b", "req_b"], ["chat c", "req_c"]]
      )
      assert.isTrue(writes.every((text) => text.endsWith("\n")))
    }))

  it.effect("tells failures and cancellations apart, and what was not finished", () =>
    Effect.gen(function*() {
      const { layer, lines } = capture()
      const ends = (exit: Exit.Exit<unknown, unknown>, attributes: Record<string, unknown>) =>
        Effect.gen(function*() {
          const span = yield* Effect.makeSpan("count_tokens m\u001b[2J", {
            kind: "client",
            attributes: { "gen_ai.operation.name": "count_tokens", ...attributes }
          })
          yield* Effect.makeSpan("POST", { kind: "client", parent: span, attributes: { "claude.attempt.number": 1 } })
          span.end(yield* Effect.clockWith((clock) => clock.currentTimeNanos), exit)
        })
      yield* run(ends(Exit.fail("no"), { "claude.outcome": "error", "error.type": "overloaded_error" }), layer)
      yield* run(ends(Exit.interrupt(), {}), layer)
      yield* run(
        ends(Exit.void, { "claude.outcome": "cancelled", "anthropic.message.count_tokens.input_tokens": 7 }),
        layer
      )
      assert.deepStrictEqual(lines().map(shape), [
        "count_tokens m�[2J = +0 ms 0 ms overloaded_error",
        "└ POST #1 = +0 ms 0 ms unfinished",
        "count_tokens m�[2J = +0 ms 0 ms cancelled",
        "└ POST #1 = +0 ms 0 ms unfinished",
        "count_tokens m�[2J = +0 ms 0 ms cancelled",
        "└ POST #1 = +0 ms 0 ms unfinished",
        "7 tokens in"
      ])
    }))

  it.effect("prints calls only, and survives an output that throws", () =>
    Effect.gen(function*() {
      const { layer, writes } = capture()
      yield* run(
        Effect.void.pipe(Effect.withSpan("chat room", { kind: "client" }), Effect.withSpan("application")),
        layer
      )
      assert.deepStrictEqual(writes, [])
      const broken = layerConsole({
        output: {
          write: () => {
            throw new Error("EPIPE")
          }
        }
      })
      yield* run(call("a"), broken)
    }))

  it.live("leaves the spans to the exporter that it is given", () =>
    Effect.gen(function*() {
      const receiver = yield* makeReceiver
      const { layer, lines } = capture()
      yield* program.pipe(
        Effect.provide(Layer.provideMerge(layer, layerOtlp({ baseUrl: receiver.url }))),
        ownMetrics,
        quiet
      )
      const { spans } = receiver.received()
      assert.deepStrictEqual(spans.map((span) => span.name).toSorted(), [
        "POST",
        "POST",
        "application",
        "chat claude-x",
        "chat gpt"
      ])
      assert.include(lines()[0], "chat claude-x")
      assert.deepStrictEqual(byName(byName(spans, "chat claude-x").events, "claude.retry").attributes["delay"], 3)
    }))
})

describe("OpenTelemetry", () => {
  const resource = { "service.name": "shop" }

  it.live("sends spans through the global tracer provider, unset on success", () =>
    Effect.gen(function*() {
      const exporter = new InMemorySpanExporter()
      const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
      yield* Effect.acquireRelease(
        Effect.sync(() => trace.setGlobalTracerProvider(provider)),
        () => Effect.sync(() => trace.disable())
      )
      const printed: Array<string> = []
      const console = layerConsole({ output: { write: (text) => printed.push(text) } })
      yield* program.pipe(Effect.provide(Layer.provideMerge(console, OpenTelemetry.layer())), ownMetrics, quiet)
      const spans = exporter.getFinishedSpans()
      const named = (name: string) => byName(spans, name)
      const call = named("chat claude-x")
      assert.strictEqual(call.kind, SpanKind.CLIENT)
      assert.strictEqual(call.status.code, SpanStatusCode.UNSET)
      assert.strictEqual(call.parentSpanContext?.spanId, named("application").spanContext().spanId)
      assert.deepStrictEqual(call.attributes["gen_ai.response.finish_reasons"], ["stop", "length"])
      assert.deepStrictEqual(
        spans.filter((span) => span.name === "POST").map((span) => [span.status.code, span.parentSpanContext?.spanId]),
        [
          [SpanStatusCode.ERROR, call.spanContext().spanId],
          [SpanStatusCode.UNSET, call.spanContext().spanId]
        ]
      )
      assert.match(printed.join(""), /^chat claude-x.*\n├ POST #1.*\n└ POST #2/)
    }))

  it.live("sends metrics to a reader of their own, without the unit as a label", () =>
    Effect.gen(function*() {
      const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
      const metricReader = () => new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
      yield* program.pipe(Effect.provide(OpenTelemetry.layer({ metricReader, resource })), ownMetrics, quiet)
      const [exported] = exporter.getMetrics()
      assert.strictEqual(exported?.resource.attributes["service.name"], "shop")
      const found = exported?.scopeMetrics.flatMap(({ metrics, scope }) =>
        metrics.map(({ dataPoints, descriptor }) => [
          scope.name === "effect-claude",
          descriptor.name,
          descriptor.unit,
          dataPoints.map((point) => point.attributes)
        ])
      )
      assert.deepStrictEqual(found, [
        [false, "jobs", "{job}", [{}]],
        [false, "took", "milliseconds", [{ job: "a" }]],
        [true, "gen_ai.client.inference.duration", "s", [{ "gen_ai.request.model": "claude-x" }]],
        [true, "claude.client.tokens", "{token}", [{ kind: "a" }, { kind: "b" }]]
      ])
    }))

  it.live("makes a producer for the reader of a meter provider that there is", () =>
    Effect.gen(function*() {
      yield* program
      const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
      const producer = yield* OpenTelemetry.makeMetricProducer()
      const reader = new PeriodicExportingMetricReader({
        exporter,
        exportIntervalMillis: 3_600_000,
        metricProducers: [producer]
      })
      const provider = new MeterProvider({ readers: [reader] })
      provider.getMeter("application").createCounter("own").add(1)
      yield* Effect.promise(() => provider.shutdown())
      const names = exporter.getMetrics()[0]?.scopeMetrics.flatMap(({ metrics }) =>
        metrics.map((metric) => metric.descriptor.name)
      )
      assert.includeMembers(names ?? [], ["own", "claude.client.tokens"])
    }).pipe(ownMetrics, quiet))

  it.live("sends logs to a logger provider", () =>
    Effect.gen(function*() {
      const exporter = new InMemoryLogRecordExporter()
      const loggerProvider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] })
      yield* program.pipe(Effect.provide(OpenTelemetry.layer({ loggerProvider })), ownMetrics, quiet)
      assert.deepStrictEqual(exporter.getFinishedLogRecords().map((record) => [record.body, record.severityText]), [
        ["claude.retry", "Info"],
        ["of the application", "Warn"]
      ])
    }))
})
