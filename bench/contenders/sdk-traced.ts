/** The SDK with its own OpenTelemetry spans, batched, into an exporter that counts and drops them. */
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace-base"
import type { Open } from "../contender.ts"
import { openWith } from "./sdk.ts"

export const open: Open = (options) => {
  let spans = 0
  const exporter: SpanExporter = {
    export(batch, done) {
      spans += batch.length
      done({ code: 0 })
    },
    shutdown: () => Promise.resolve()
  }
  // A queue so long that no span is dropped for being late.
  const processor = new BatchSpanProcessor(exporter, {
    maxQueueSize: 100_000,
    maxExportBatchSize: 512,
    scheduledDelayMillis: 200
  })
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [processor] })
  return {
    ...openWith(options, { tracerProvider }),
    flush: () => tracerProvider.forceFlush(),
    spans: () => spans,
    close: () => tracerProvider.shutdown()
  }
}
