/**
 * Traces, metrics and logs over OTLP/HTTP, to a collector or to a vendor, without the OpenTelemetry SDK.
 *
 * `layerOtlp` takes options, `layerOtlpConfig` the `OTEL_*` environment. Both are Effect's exporter with its payloads mended
 * to what the telemetry contract says: status stays unset on success, the unit of a metric is no label, doubles stay
 * doubles, and the library's data has a scope and a schema of its own.
 *
 * The surprise: a receiver that fails is given up for a minute, and what would have gone there is dropped. Calls notice nothing;
 * a log at Debug tells of it.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import type { AggregationTemporality } from "effect/observability/OtlpMetrics"
import * as OtlpResource from "effect/observability/OtlpResource"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as Redacted from "effect/Redacted"
import { mend } from "./OtlpMend.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** How payloads are written. @category models @since 0.1.0 */
export type OtlpProtocol = "protobuf" | "json"

/** What produces the telemetry. @category models @since 0.1.0 */
export interface OtlpResourceOptions {
  /** @default OTEL_SERVICE_NAME, else "unknown_service:node" */
  readonly serviceName?: string | undefined
  /** @default OTEL_SERVICE_VERSION */
  readonly serviceVersion?: string | undefined
  /** Beside those of OTEL_RESOURCE_ATTRIBUTES, which they override. */
  readonly attributes?: Record<string, unknown> | undefined
}

type Resource = {
  readonly serviceName?: string
  readonly serviceVersion?: string
  readonly attributes?: Record<string, unknown>
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.1.0 */
export interface OtlpOptions {
  /** `/v1/traces`, `/v1/metrics` and `/v1/logs` are appended. @default "http://localhost:4318" */
  readonly baseUrl?: string | undefined
  /** @default "protobuf" */
  readonly protocol?: OtlpProtocol | undefined
  /** Sent with every export; a Redacted value is unwrapped on the wire only. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
  readonly resource?: OtlpResourceOptions | undefined
  /** @default "none" */
  readonly compression?: "gzip" | "none" | undefined
  /** How long data is collected before it is sent. @default traces 5 seconds, metrics 10 seconds, logs 1 second */
  readonly intervals?: {
    readonly traces?: Duration.Input | undefined
    readonly metrics?: Duration.Input | undefined
    readonly logs?: Duration.Input | undefined
  } | undefined
  /** Spans or logs that are sent at once when so many are waiting. @default 1000 */
  readonly maxBatchSize?: number | undefined
  /** @default "cumulative" */
  readonly temporality?: AggregationTemporality | undefined
  /** How long one request to the receiver may take. @default "10 seconds" */
  readonly timeout?: Duration.Input | undefined
  /** How long the last export may hold up the end of the program. @default "3 seconds" */
  readonly shutdownTimeout?: Duration.Input | undefined
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Exports traces, metrics and logs to one OTLP/HTTP receiver. The `Flusher` that it provides sends what is waiting at once,
 * say before a serverless instance is suspended.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerOtlp = (options: OtlpOptions = {}): Layer.Layer<OtlpExporter.Flusher> => {
  const baseUrl = options.baseUrl ?? "http://localhost:4318"
  if (!/^https?:$/.test(URL.parse(baseUrl)?.protocol ?? "")) {
    throw new RangeError(
      `layerOtlp: baseUrl is ${JSON.stringify(baseUrl)}; give an http or https URL, such as "http://localhost:4318"`
    )
  }
  return withResource(options.resource, (resource) =>
    Otlp.layer({
      baseUrl,
      resource,
      compression: options.compression,
      maxBatchSize: options.maxBatchSize,
      tracerExportInterval: options.intervals?.traces,
      metricsExportInterval: options.intervals?.metrics,
      loggerExportInterval: options.intervals?.logs,
      metricsTemporality: options.temporality,
      shutdownTimeout: options.shutdownTimeout
    })).pipe(
      Layer.provide([
        layerSerialization(options.protocol),
        layerClient(Duration.fromInputUnsafe(options.timeout ?? "10 seconds"), options.headers)
      ])
    )
}

/**
 * The same from the environment: `OTEL_EXPORTER_OTLP_ENDPOINT`, `_HEADERS`, `_PROTOCOL` (http/protobuf, http/json), `_COMPRESSION`,
 * `_TIMEOUT`, each also per signal, and `OTEL_SERVICE_NAME`. Without an endpoint nothing is exported, and
 * `OTEL_{TRACES,METRICS,LOGS}_EXPORTER=none` or `OTEL_SDK_DISABLED=true` switch off.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerOtlpConfig = (options?: {
  readonly resource?: OtlpResourceOptions | undefined
}): Layer.Layer<OtlpExporter.Flusher, Config.ConfigError> =>
  withResource(options?.resource, (resource) => Otlp.layerFromConfig({ resource })).pipe(
    Layer.provide([layerSerializationConfig, layerClientConfig]),
    // Effect exports a signal only where its exporter is named; OpenTelemetry's default is otlp.
    Layer.provide(ConfigProvider.layerAdd(ConfigProvider.fromUnknown({
      OTEL_TRACES_EXPORTER: "otlp",
      OTEL_METRICS_EXPORTER: "otlp",
      OTEL_LOGS_EXPORTER: "otlp"
    }))),
    // Effect's layers die of a malformed variable: here it is a ConfigError, as everywhere else in this library.
    Layer.catchCause((cause) => Layer.effect(OtlpExporter.Flusher, Effect.failCause(revive(cause))))
  )

/**
 * The mended payloads alone, for a program that composes Effect's own `OtlpTracer.layer` and the like.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSerialization = (
  protocol: OtlpProtocol = "protobuf"
): Layer.Layer<OtlpSerialization.OtlpSerialization> =>
  Layer.effect(OtlpSerialization.OtlpSerialization, Effect.map(OtlpSerialization.OtlpSerialization, mend)).pipe(
    Layer.provide(protocol === "json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf)
  )

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const withResource = <E, R>(
  options: OtlpResourceOptions | undefined,
  make: (resource: Resource) => Layer.Layer<OtlpExporter.Flusher, E, R>
): Layer.Layer<OtlpExporter.Flusher, E, R> => {
  const resource: Resource = {
    ...(options?.serviceName !== undefined && { serviceName: options.serviceName }),
    ...(options?.serviceVersion !== undefined && { serviceVersion: options.serviceVersion }),
    ...(options?.attributes !== undefined && { attributes: options.attributes })
  }
  return OtlpResource.fromConfig(resource).pipe(
    // It dies for want of a name; OpenTelemetry has a default, and what is malformed dies again in the exporters.
    Effect.matchCause({
      onSuccess: () => resource,
      onFailure: (): Resource => ({ ...resource, serviceName: "unknown_service:node" })
    }),
    Effect.map(make),
    Layer.unwrap
  )
}

/** The headers join on the wire only, so that no request which ends in an error or a log shows them. */
const layerClient = (
  timeout: Duration.Duration,
  headers: OtlpOptions["headers"]
): Layer.Layer<HttpClient.HttpClient> =>
  FetchHttpClient.layer.pipe(
    Layer.provide(Layer.succeed(FetchHttpClient.Fetch, (input, init) => {
      const all = new Headers(init?.headers)
      for (const [name, value] of Object.entries(headers ?? {})) {
        all.set(name, Redacted.isRedacted(value) ? Redacted.value(value) : value)
      }
      const signals = [AbortSignal.timeout(Duration.toMillis(timeout)), ...(init?.signal ? [init.signal] : [])]
      return globalThis.fetch(input, { ...init, headers: all, signal: AbortSignal.any(signals) })
    }))
  )

const layerClientConfig = Config.Int("OTEL_EXPORTER_OTLP_TIMEOUT").pipe(
  Config.withDefault(10_000),
  Effect.map((millis) => layerClient(Duration.millis(millis), undefined)),
  Layer.unwrap
)

const layerSerializationConfig = Effect.gen(function*() {
  const protocols = Config.Literals(["http/protobuf", "http/json"], "OTEL_EXPORTER_OTLP_PROTOCOL").pipe(
    Config.withDefault("http/protobuf")
  )
  const serializationOf = Effect.fnUntraced(function*(signal: "TRACES" | "METRICS" | "LOGS") {
    const protocol = yield* Config.option(
      Config.Literals(["http/protobuf", "http/json"], `OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`)
    )
    const chosen = protocol._tag === "Some" ? protocol.value : yield* protocols
    return yield* OtlpSerialization.OtlpSerialization.pipe(
      Effect.provide(layerSerialization(chosen === "http/json" ? "json" : "protobuf"))
    )
  })
  const [traces, metrics, logs] = yield* Effect.all([
    serializationOf("TRACES"),
    serializationOf("METRICS"),
    serializationOf("LOGS")
  ])
  return { traces: traces.traces, metrics: metrics.metrics, logs: logs.logs }
}).pipe(Layer.effect(OtlpSerialization.OtlpSerialization))

const revive = <E>(cause: Cause.Cause<E>): Cause.Cause<E | Config.ConfigError> => {
  for (const reason of cause.reasons) {
    if (Cause.isDieReason(reason) && reason.defect instanceof Config.ConfigError) return Cause.fail(reason.defect)
  }
  return cause
}
