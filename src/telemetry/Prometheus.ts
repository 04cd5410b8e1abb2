/**
 * Metrics for Prometheus: a scrape endpoint of its own, or the text alone for a program that has a router.
 *
 * Names are made as OpenTelemetry and Prometheus agreed: the unit joins the name, counters end in `_total`, so that
 * `gen_ai.client.inference.duration` in `s` is `gen_ai_client_inference_duration_seconds`.
 *
 * The endpoint listens on loopback unless told otherwise: metrics name models, tenants and what was spent.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/** Where the metrics are served. @category services @since 0.1.0 */
export class PrometheusServer extends Context.Service<PrometheusServer, {
  readonly url: string
}>()("effect-claude/telemetry/PrometheusServer") {}

/** The endpoint could not listen. @category errors @since 0.1.0 */
export class PrometheusServerError extends Data.TaggedError("PrometheusServerError")<{
  readonly message: string
  readonly cause: unknown
}> {}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.1.0 */
export interface PrometheusOptions {
  /** 0 takes a free one, which `PrometheusServer` tells. @default 9464 */
  readonly port?: number | undefined
  /** @default "127.0.0.1" */
  readonly host?: string | undefined
  /** @default "/metrics" */
  readonly path?: `/${string}` | undefined
}

// -----------------------------------------------------------------------------
// format
// -----------------------------------------------------------------------------

/** All metrics of the program in Prometheus's text format. @category formatting @since 0.1.0 */
export const format: Effect.Effect<string> = Effect.map(Effect.context<never>(), (context) => formatUnsafe(context))

/** The content type of `format`. @category formatting @since 0.1.0 */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

const formatUnsafe = (context: Context.Context<never>): string => {
  const names = new Map(Metric.snapshotUnsafe(context).map((metric) => [metric.id, nameOf(metric)]))
  return PrometheusMetrics.formatUnsafe(context, { metricNameMapper: (id) => names.get(id) ?? id })
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Serves `GET /metrics` for as long as the layer lives. @category layers @since 0.1.0 */
export const layerPrometheus = (
  options: PrometheusOptions = {}
): Layer.Layer<PrometheusServer, PrometheusServerError> => Layer.effect(PrometheusServer, make(options))

const make = Effect.fnUntraced(function*(
  options: PrometheusOptions
): Effect.fn.Return<PrometheusServer["Service"], PrometheusServerError, Scope.Scope> {
  const { host = "127.0.0.1", path = "/metrics", port = 9464 } = options
  const context = yield* Effect.context<never>()
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => Http.createServer(answer(context, path))),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  yield* Effect.callback<void, PrometheusServerError>((resume) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      resume(Effect.fail(
        new PrometheusServerError({
          message: `The metrics endpoint cannot listen on ${host}:${port} (${cause.code ?? cause.message}); ` +
            "choose another `port`, or 0 for any that is free",
          cause
        })
      )))
    server.listen(port, host, () => resume(Effect.void))
  })
  const address = server.address()
  const bound = typeof address === "object" && address !== null ? address.port : port
  return PrometheusServer.of({ url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}${path}` })
})

const answer = (context: Context.Context<never>, path: string): Http.RequestListener => (request, response) => {
  const end = (status: number, body: string): void => {
    response.writeHead(status, {
      "content-type": status === 200 ? contentType : "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body)
    }).end(request.method === "HEAD" ? undefined : body)
  }
  if (request.url?.split("?")[0] !== path) return end(404, `Metrics are at ${path}\n`)
  if (request.method !== "GET" && request.method !== "HEAD") return end(405, "Metrics are read with GET\n")
  let body: string
  try {
    body = formatUnsafe(context)
  } catch (cause) {
    // A metric of the application's that cannot be read must not end the process.
    return end(500, `The metrics could not be read: ${String(cause)}\n`)
  }
  end(200, body)
}

// -----------------------------------------------------------------------------
// names
// -----------------------------------------------------------------------------

const units: Readonly<Record<string, string>> = {
  s: "seconds",
  ms: "milliseconds",
  us: "microseconds",
  ns: "nanoseconds",
  By: "bytes",
  "1": ""
}

/** `{token}/s` is `per_second`: what stands in braces annotates and is no unit. */
const unitOf = (unit: string): string => {
  const [of = "", per] = unit.replace(/\{[^}]*\}/g, "").split("/")
  const name = units[of] ?? of
  return per === undefined ? name : `${name}_per_${(units[per] ?? per).replace(/s$/, "")}`
}

const nameOf = (metric: Metric.Metric.Snapshot): string => {
  const sanitized = metric.id.replace(/[^a-zA-Z0-9_:]+/g, "_")
  const base = sanitized.replace(/_total$/, "")
  const unit = unitOf(metric.attributes?.["unit"] ?? metric.attributes?.["time_unit"] ?? "").replace(/^_+/, "")
  const isCounter = metric.type === "Counter" || metric.type === "Frequency"
  const name = isCounter ? base : sanitized
  return (unit === "" || name.endsWith(`_${unit}`) ? name : `${name}_${unit}`) + (isCounter ? "_total" : "")
}
