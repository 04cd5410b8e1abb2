/**
 * Writes what is told of one call: to its spans, its metrics and the logs.
 *
 * Whatever a tracer, a logger, a redactor or a hook throws stays here and is counted: no call fails because its
 * telemetry does.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Attributes from "./Attributes.ts"
import type { CallTelemetry } from "./CallTelemetry.ts"
import * as Content from "./Content.ts"
import type { RequestSeries } from "./Metrics.ts"

/** A wait that is over. @internal */
export interface Wait {
  readonly kind: Attributes.WaitKind
  readonly since: bigint
  readonly until: bigint
  readonly outcome: Attributes.WaitOutcome
  /** How many waited with it, where it stood in a queue. */
  readonly depth: number | undefined
}

/** @internal */
export class CallWriter {
  readonly span: Tracer.Span
  /** Where its metrics go. */
  readonly context: Context.Context<never>
  private readonly counter: RequestSeries["lost"]

  constructor(span: Tracer.Span, context: Context.Context<never>, counter: RequestSeries["lost"]) {
    this.span = span
    this.context = context
    this.counter = counter
  }

  // metrics

  readonly record = (metric: Metric.Metric<number, unknown>, value: number): void => {
    metric.updateUnsafe(value, this.context)
  }

  add(gauge: Metric.Gauge<number>, value: number): void {
    gauge.modifyUnsafe(value, this.context)
  }

  // spans

  /** Writes to a span. */
  write(write: () => void): void {
    try {
      write()
    } catch {
      this.lost("span")
    }
  }

  attributes(span: Tracer.Span, attributes: Readonly<Record<string, unknown>>): void {
    this.write(() => {
      for (const [name, value] of Object.entries(attributes)) {
        if (value !== undefined) span.attribute(name, value)
      }
    })
  }

  event(name: string, at: bigint, attributes?: Record<string, unknown>): void {
    this.write(() => this.span.event(name, at, attributes))
  }

  end(span: Tracer.Span, outcome: Attributes.Outcome, exit: Exit.Exit<unknown, unknown>, now: bigint): void {
    // Given up is no failure: its status stays unset.
    this.write(() => span.end(now, outcome === "cancelled" ? Exit.void : exit))
  }

  /** Made after the fact, so that a call which did not wait has no span for it. */
  wait({ depth, kind, outcome, since, until }: Wait): Effect.Effect<void> {
    return Effect.map(Effect.tracer, (tracer) =>
      this.write(() => {
        const span = tracer.span({
          name: Attributes.waitSpan(kind),
          parent: Option.some(this.span),
          annotations: Context.empty(),
          links: [],
          startTime: since,
          kind: "internal",
          root: false,
          sampled: this.span.sampled
        })
        span.attribute(Attributes.waitKind, kind)
        span.attribute(Attributes.waitOutcome, outcome)
        if (depth !== undefined) span.attribute(Attributes.waitQueueDepth, depth)
        span.end(until, Exit.void)
      }))
  }

  // logs

  log(log: Effect.Effect<void>, facts: Readonly<Record<string, unknown>>): Effect.Effect<void> {
    return Effect.annotateLogs(log, facts).pipe(
      (log) => Effect.withParentSpan(log, this.span, { captureStackTrace: false }),
      Effect.catchDefect(() => Effect.sync(() => this.lost("log")))
    )
  }

  /** A call's final failure. */
  failed(error: ClaudeError.ClaudeError): Effect.Effect<void> {
    return this.log(Effect.logWarning(Attributes.exceptionLog), {
      [Attributes.exceptionType]: `${error._tag}/${error.reason._tag}`,
      [Attributes.exceptionMessage]: error.message,
      [Attributes.errorType]: error.type
    })
  }

  /** What was asked and answered, where it is asked for. */
  content(
    options: CallTelemetry["options"]["content"],
    params: object,
    message: () => Message | undefined
  ): Effect.Effect<void> {
    const capture = options?.capture ?? "off"
    if (capture === "off") return Effect.void
    const lost = () => this.lost("content")
    try {
      const captured = Content.make(params, message(), options?.redact, lost)
      if (typeof capture === "function") {
        // A hook that fails, at once or later, loses its own record and nothing else.
        Promise.resolve(capture(captured)).catch(lost)
      } else if (capture === "span") {
        for (const [name, value] of Object.entries(Content.attributes(captured))) this.span.attribute(name, value)
      } else if (capture === "event") {
        const facts = { ...Object.fromEntries(this.span.attributes), ...Content.attributes(captured) }
        // It was asked for, so it is written whatever the level of other logs.
        const details = Effect.provideService(
          Effect.logDebug(Attributes.inferenceDetails),
          References.MinimumLogLevel,
          "Debug"
        )
        return this.log(details, facts)
      }
    } catch {
      lost()
    }
    return Effect.void
  }

  private lost(signal: "span" | "log" | "content"): void {
    this.record(this.counter(signal), 1)
  }
}

/** A span, also where the tracer throws: then one that nobody sees. @internal */
export const makeSpan = (name: string, options: Tracer.SpanOptionsNoTrace): Effect.Effect<Tracer.Span> =>
  Effect.catchDefect(Effect.makeSpan(name, options), () =>
    Effect.sync(() =>
      new Tracer.NativeSpan({
        name,
        parent: Option.none(),
        annotations: Context.empty(),
        links: [],
        startTime: 0n,
        kind: "client",
        sampled: false
      })
    ))
