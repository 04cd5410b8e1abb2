/**
 * For an application that has an OpenTelemetry SDK set up already: Effect's spans, metrics and logs join it.
 *
 * Composed of `@effect/opentelemetry` (an optional peer), with its payloads mended as the telemetry contract says. Spans go to
 * the global tracer provider and need `@opentelemetry/api` alone; metrics and logs load their SDK packages when asked for.
 *
 * The surprise: the SDK must be set up before this layer is built, and other instrumentations see Effect's spans only where a
 * context manager is registered, as `NodeSDK.start()` and `NodeTracerProvider.register()` do. Head samplers do not see
 * attributes, which come after a span was made: sample by parent, or in the collector's tail.
 */
import type { OtelLoggerProvider } from "@effect/opentelemetry/OtelLogger"
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import { type Attributes as OtelAttributes, SpanStatusCode, type Tracer as OtelApiTracer } from "@opentelemetry/api"
import type { MetricData, MetricProducer, MetricReader } from "@opentelemetry/sdk-metrics"
import type * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { schemaUrl, serverPort } from "./Attributes.ts"
import { isOwnName, isUnit, scope } from "./Instrumentation.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.1.0 */
export interface OpenTelemetryOptions {
  /** Readers that are bound to nothing yet: Effect's metrics are all that they read. @default no metrics */
  readonly metricReader?: (() => MetricReader | Arr.NonEmptyReadonlyArray<MetricReader>) | undefined
  /** @default "cumulative" */
  readonly temporality?: "cumulative" | "delta" | undefined
  /** What produces those metrics, beside OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES; spans and logs have their provider's. */
  readonly resource?: OtelAttributes | undefined
  /** Where Effect's logs go, beside the loggers that there are. @default no logs */
  readonly loggerProvider?: OtelLoggerProvider["Service"] | undefined
  /** How long a reader's last export may hold up the end of the program. @default "3 seconds" */
  readonly shutdownTimeout?: Duration.Input | undefined
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Effect's spans through the global tracer provider, metrics and logs through what is given. @category layers @since 0.1.0 */
export const layer = (options: OpenTelemetryOptions = {}): Layer.Layer<never> =>
  Layer.mergeAll(layerTracer, layerMetrics(options), layerLogs(options))

/** Effect's spans through the global tracer provider. @category layers @since 0.1.0 */
export const layerTracer: Layer.Layer<never> = OtelTracer.layerWithoutOtelTracer.pipe(
  Layer.provide(Layer.effect(OtelTracer.OtelTracer, Effect.map(OtelTracer.OtelTracer, withStatusUnset))),
  Layer.provide(OtelTracer.layerGlobalTracer)
)

/**
 * Effect's metrics for a meter provider that has its reader: `new PeriodicExportingMetricReader({ exporter, metricProducers: [producer] })`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMetricProducer: (
  options?: Pick<OpenTelemetryOptions, "temporality" | "resource">
) => Effect.Effect<MetricProducer> = Effect.fnUntraced(function*(options) {
  const [metrics, resource] = yield* Effect.promise(() =>
    Promise.all([import("@effect/opentelemetry/OtelMetrics"), import("@effect/opentelemetry/Resource")])
  )
  const producer = yield* metrics.makeProducer(options?.temporality).pipe(
    Effect.provide(resource.layerFromEnv(options?.resource))
  )
  return {
    collect: async (options) => {
      const { errors, resourceMetrics } = await producer.collect(options)
      return {
        errors,
        resourceMetrics: { ...resourceMetrics, scopeMetrics: resourceMetrics.scopeMetrics.flatMap(mend) }
      }
    }
  }
})

// -----------------------------------------------------------------------------
// internal
// -----------------------------------------------------------------------------

const layerMetrics = (options: OpenTelemetryOptions): Layer.Layer<never> => {
  const { metricReader, shutdownTimeout } = options
  return metricReader === undefined ? Layer.empty : Layer.effectDiscard(Effect.gen(function*() {
    const metrics = yield* Effect.promise(() => import("@effect/opentelemetry/OtelMetrics"))
    const readers = [metricReader()].flat()
    // A producer keeps what was last exported: each reader has its own.
    for (const reader of readers) {
      yield* metrics.registerProducer(yield* makeMetricProducer(options), () => reader, { shutdownTimeout })
    }
  }))
}

const layerLogs = ({ loggerProvider }: OpenTelemetryOptions): Layer.Layer<never> =>
  loggerProvider === undefined ? Layer.empty : Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("@effect/opentelemetry/OtelLogger")),
      (logger) =>
        logger.layer({ mergeWithExisting: true }).pipe(
          Layer.provide(Layer.succeed(logger.OtelLoggerProvider, loggerProvider))
        )
    )
  )

/** A success leaves the status unset, which backends read as ok; `OK` is for an application's own verdict. */
function withStatusUnset(tracer: OtelApiTracer): OtelApiTracer {
  return {
    startSpan: (name, options, context) => {
      const span = tracer.startSpan(name, options, context)
      const setStatus = span.setStatus
      span.setStatus = (status) => status.code === SpanStatusCode.OK ? span : setStatus.call(span, status)
      return span
    },
    startActiveSpan: tracer.startActiveSpan.bind(tracer)
  }
}

type ScopeMetrics = Awaited<ReturnType<MetricProducer["collect"]>>["resourceMetrics"]["scopeMetrics"][number]

const mend = (group: ScopeMetrics): Array<ScopeMetrics> =>
  [false, true].flatMap((own) => {
    const metrics = group.metrics.filter((metric) => isOwnName(metric.descriptor.name) === own).map(withoutUnit)
    if (metrics.length === 0) return []
    return [{ scope: own ? { ...scope, schemaUrl } : group.scope, metrics }]
  })

const withoutUnit = (metric: MetricData): MetricData => {
  // The producer makes its points anew for each collection, so they are safe to change.
  for (const { attributes } of metric.dataPoints) {
    for (const name of Object.keys(attributes)) if (isUnit(name)) delete attributes[name]
    // Labels are strings with Effect; by the conventions a port is none.
    if (serverPort in attributes) attributes[serverPort] = Number(attributes[serverPort])
  }
  return metric
}
