/**
 * The whole pipeline: retries, timeouts, concurrency, cost, metrics, and spans that a batching tracer exports by counting them.
 * `effect` is imported by subpath, so that the cold start measures what the library loads and not a barrel.
 */
import { Claude } from "effect-claude"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { apiKey, type Open } from "../contender.ts"
import { model, prompt } from "../fixture.ts"

/** Collects ended spans and hands them on 512 at a time, as a batch processor does. */
const makeTracer = (
  onBatch: (spans: ReadonlyArray<Tracer.Span>) => void
): { tracer: Tracer.Tracer; flush: () => void } => {
  let ended: Array<Tracer.Span> = []
  const flush = (): void => {
    const batch = ended
    ended = []
    if (batch.length > 0) onBatch(batch)
  }
  class BatchedSpan extends Tracer.NativeSpan {
    override end(...args: Parameters<Tracer.NativeSpan["end"]>): void {
      super.end(...args)
      if (ended.push(this) === 512) flush()
    }
  }
  return { tracer: Tracer.make({ span: (options) => new BatchedSpan(options) }), flush }
}

export const open: Open = ({ baseURL, concurrency, wire }) => {
  let spans = 0
  const { flush, tracer } = makeTracer((batch) => spans += batch.length)
  const runtime = ManagedRuntime.make(
    Claude.layer({ apiKey: Redacted.make(apiKey), baseURL, concurrency, wire, defaults: { model, max_tokens: 8192 } })
      .pipe(
        Layer.provideMerge(Layer.succeed(Tracer.Tracer, tracer))
      )
  )
  const message = Claude.message({ prompt }).pipe(
    Effect.map(({ content }) =>
      content.map((block) =>
        block.type === "text" ? block.text : block.type === "tool_use" ? JSON.stringify(block.input) : ""
      ).join("")
    )
  )
  const stream = Effect.suspend(() => {
    let chars = 0
    return Claude.stream({ prompt }).pipe(
      Stream.runForEachArray((events) =>
        Effect.sync(() => {
          for (const event of events) {
            if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
              chars += event.delta.text.length
            }
          }
        })
      ),
      Effect.map(() => chars)
    )
  })
  return {
    message: () => runtime.runPromise(message),
    stream: () => runtime.runPromise(stream),
    flush: async () => {
      flush()
      // What an exporter reads; a registry without metrics means that they were off.
      const metrics = await runtime.runPromise(Metric.snapshot)
      if (metrics.length === 0) throw new Error("no metric was recorded")
    },
    spans: () => spans,
    close: () => runtime.dispose()
  }
}
