/**
 * `effect-claude/telemetry`: ready layers that send telemetry somewhere, to OTLP receivers, Prometheus or the console.
 *
 * The library itself writes to Effect's Tracer, Metric and Logger and knows none of these; any other exporter of Effect's serves too.
 */
export { type ConsoleOptions, type ConsoleOutput, layerConsole } from "./Console.ts"
export {
  layerOtlp,
  layerOtlpConfig,
  layerSerialization as layerOtlpSerialization,
  type OtlpOptions,
  type OtlpProtocol,
  type OtlpResourceOptions
} from "./OtlpExport.ts"
export {
  contentType as prometheusContentType,
  format as formatPrometheus,
  layerPrometheus,
  type PrometheusOptions,
  PrometheusServer,
  PrometheusServerError
} from "./Prometheus.ts"
