/**
 * What is told of one call while it runs and when it ends: its span, the spans of its attempts and waits, its metrics.
 *
 * One `chat {model}` span covers all that a call does, to its last byte; each attempt and each wait is a child of it.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Metric from "effect/Metric"
import type * as Tracer from "effect/Tracer"
import type * as ClaudeError from "../ClaudeError.ts"
import type * as Cost from "../request/Cost.ts"
import * as Model from "../request/Model.ts"
import * as Attributes from "./Attributes.ts"
import {
  allInput,
  atAttempt,
  atEnd,
  atFallback,
  atRetry,
  atStart,
  type CallInfo,
  errorOf,
  targetOf,
  typeOf
} from "./CallAttributes.ts"
import { type Bill, CallBill } from "./CallBill.ts"
import type { CallTelemetry } from "./CallTelemetry.ts"
import { CallTimes } from "./CallTimes.ts"
import { CallWriter, makeSpan } from "./CallWriter.ts"
import { promptSeries, type RequestSeries, type ResponseSeries } from "./Metrics.ts"

/** @internal */
export type { Bill } from "./CallBill.ts"

/** Begins a call's span. @internal */
export const begin = (telemetry: CallTelemetry, info: CallInfo): Effect.Effect<CallSpan> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.map(
      makeSpan(`${Attributes.operation[info.operation]} ${info.model}`, {
        kind: "client",
        attributes: atStart(telemetry, info)
      }),
      (span) => new CallSpan(telemetry, info, span, context)
    )
  )

/** What an attempt has of a message. @internal */
export interface Progress {
  /** The message, without its content. */
  readonly envelope?: Message | undefined
}

/** How an attempt ended. @internal */
export interface Settled {
  readonly bill: Bill | undefined
  readonly error: ClaudeError.ClaudeError | undefined
}

/** One call. @internal */
export class CallSpan {
  readonly span: Tracer.Span
  readonly startedAt: number
  /** Requests sent so far. */
  attempts = 0
  requestId: string | undefined

  private readonly info: CallInfo
  /** Of the target that the call is for by now. */
  private telemetry: CallTelemetry
  private model: string
  private readonly writer: CallWriter
  private readonly bill: CallBill
  private readonly times: CallTimes
  private series: RequestSeries
  private readonly activeStreams: Metric.Gauge<number>
  private cacheOutcome: Attributes.CacheOutcome | undefined
  private servedBy: string | undefined
  private chunks: Metric.Metric<number, unknown> | undefined
  private message: Message | undefined
  private ended = false

  constructor(telemetry: CallTelemetry, info: CallInfo, span: Tracer.Span, context: Context.Context<never>) {
    this.telemetry = telemetry
    this.info = info
    this.span = span
    const clock = Context.get(context, Clock.Clock)
    this.startedAt = clock.currentTimeMillisUnsafe()
    this.model = info.model
    this.series = telemetry.series(info.model, info.operation)
    this.writer = new CallWriter(span, telemetry.metricContext(context), this.series.lost)
    this.bill = new CallBill(this.writer)
    this.times = new CallTimes(this.writer, clock)
    this.activeStreams = this.series.activeStreams
    if (info.stream) this.writer.add(this.activeStreams, 1)
  }

  /** What all attempts were billed together. */
  get usage(): ClaudeError.Usage | undefined {
    return this.bill.usage
  }

  /** What they cost; nothing where a part of it is unknown. */
  get cost(): Cost.Cost | undefined {
    return this.bill.cost
  }

  /** Trace context for one attempt's headers. */
  traceparent(span: Tracer.Span): string | undefined {
    return this.telemetry.options.propagate === false || span.traceId === "noop"
      ? undefined
      : `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`
  }

  /** A wait for its turn begins; answers since when. */
  queued(): Effect.Effect<bigint> {
    // A retry's backoff is over where its wait for a turn begins.
    return Effect.map(this.backedOff("granted"), () => this.times.queued(this.series))
  }

  /** It is over. */
  dequeued(since: bigint, kind: Attributes.QueueKind, outcome: Attributes.WaitOutcome): Effect.Effect<void> {
    return Effect.suspend(() => this.times.dequeued(this.series, { kind, since, outcome }))
  }

  /** The call goes on to another model, or another endpoint. */
  failsOver(telemetry: CallTelemetry, model: string, error: ClaudeError.ClaudeError | undefined): Effect.Effect<void> {
    const turnedAway = Effect.suspend(() => this.times.turnedAway(this.series, error, this.times.now()))
    return Effect.map(Effect.andThen(this.backedOff("granted"), turnedAway), () => {
      const from = targetOf(this.telemetry, this.model)
      const to = targetOf(telemetry, model)
      this.telemetry = telemetry
      this.model = model
      this.series = telemetry.series(model, this.info.operation)
      this.chunks = undefined
      // What the one before had begun to answer is no answer of this one.
      this.message = undefined
      this.servedBy = to
      this.writer.event(Attributes.fallbackEvent, this.times.now(), atFallback(from, to, error))
    })
  }

  /** Remembers who answered; what it gives says that again. */
  remember(): () => void {
    const { chunks, message, model, requestId, series, servedBy, telemetry } = this
    return () => {
      Object.assign(this, { chunks, message, model, requestId, series, servedBy, telemetry })
    }
  }

  /** What the response cache said to it; a message that was kept is its answer. */
  cached(outcome: Attributes.CacheOutcome, message: Message | undefined): void {
    this.cacheOutcome = outcome
    this.message = message ?? this.message
  }

  /** A retry is about to be waited for. */
  retries(error: ClaudeError.ClaudeError, delay: Duration.Duration): Effect.Effect<void> {
    // Two backoffs follow each other where a circuit is found open after the first.
    return Effect.flatMap(this.backedOff("granted"), () => {
      const now = this.times.now()
      const seconds = Duration.toSeconds(delay)
      this.times.backsOff(error.reason._tag === "CircuitOpen" ? "circuit" : "backoff", now)
      this.writer.record(this.series.retryDelay(error.reason._tag), seconds)
      const facts = atRetry(this.attempts, seconds, error)
      this.writer.event(Attributes.retryEvent, now, facts)
      return this.writer.log(Effect.logInfo(Attributes.retryEvent), facts)
    })
  }

  /** An attempt begins. */
  attempt(): Effect.Effect<Tracer.Span> {
    return Effect.suspend(() => {
      this.attempts++
      this.times.attemptBegan()
      this.writer.add(this.series.activeRequests, 1)
      const attributes = atAttempt(this.telemetry, this.info.operation, this.attempts)
      const span = makeSpan(Attributes.attemptSpan, { kind: "client", parent: this.span, attributes })
      return this.times.isBackingOff ? Effect.andThen(this.backedOff("granted"), span) : span
    })
  }

  /** Its response's headers came. */
  responded(span: Tracer.Span, status: number, requestId: string | undefined): void {
    this.requestId = requestId
    this.writer.attributes(span, { [Attributes.httpResponseStatusCode]: status, [Attributes.requestId]: requestId })
  }

  /** A read brought content. */
  content(now: number, { envelope }: Progress): void {
    const gap = this.times.contentCame(now)
    if (gap === undefined || this.chunks === undefined) {
      this.message = envelope ?? this.message
      this.chunks = this.responseSeries().timePerOutputChunk
    } else this.writer.record(this.chunks, gap / 1000)
  }

  /** An attempt has ended, and this is how far it came. */
  settled(span: Tracer.Span, { envelope }: Progress, exit: Exit.Exit<unknown, unknown>): Settled {
    const { info, model, series, startedAt, telemetry, writer } = this
    writer.add(series.activeRequests, -1)
    this.message = envelope ?? this.message
    const bill = envelope === undefined ? undefined : this.bill.add(envelope, {
      telemetry,
      series,
      model,
      tenant: info.tenant,
      at: startedAt,
      partial: Exit.isFailure(exit)
    })
    const error = errorOf(exit)
    const outcome = Exit.isSuccess(exit) ? "success" : error !== undefined || Exit.hasDies(exit) ? "error" : "cancelled"
    const type = typeOf(outcome, error)
    writer.record(this.responseSeries().attempts(type === "" ? outcome : `${outcome} ${type}`), 1)
    writer.attributes(span, {
      [Attributes.errorType]: type === "" ? undefined : type,
      [Attributes.httpResponseStatusCode]: error?.status,
      [Attributes.requestId]: error?.requestId
    })
    writer.end(span, outcome, exit, this.times.now())
    return { bill, error }
  }

  /** The call has ended. `message` is the whole answer, for those who capture content. */
  end(
    outcome: Attributes.Outcome,
    exit: Exit.Exit<unknown, unknown>,
    message: () => Message | undefined
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.ended) return Effect.void
      if (this.times.isBackingOff) {
        // Whom nobody gave up had waited to its end, and was turned away before it was sent.
        const backedOff = this.backedOff(outcome === "cancelled" ? "cancelled" : "granted")
        return Effect.andThen(backedOff, this.end(outcome, exit, message))
      }
      this.ended = true
      const { bill, info, span, times, writer } = this
      const now = times.now()
      // Who leaves a stream may do so with a failure of its own, which is none of the call's.
      const error = outcome === "error" ? errorOf(exit) : undefined
      const type = typeOf(outcome, error)
      if (info.stream) writer.add(this.activeStreams, -1)
      const facts = {
        // A twin of a call that was sent was not turned away either.
        outcome: this.attempts === 0 && error?.attempts === 0 ? "rejected" : outcome,
        type,
        attempts: this.attempts,
        waited: times.waited,
        requestId: error?.requestId ?? this.requestId,
        message: this.message,
        bill,
        firstContent: info.streamed ? times.firstContent : undefined,
        cacheOutcome: this.cacheOutcome,
        servedBy: outcome === "success" ? this.servedBy : undefined
      } as const
      writer.attributes(span, atEnd(facts))
      // What was answered before is no inference, and would make the API look faster than it is.
      const isInference = this.cacheOutcome === undefined || this.cacheOutcome === "miss"
      if (info.operation === "chat" && isInference) this.measure(times.at(now), type)
      const failed = error === undefined
        ? Effect.void
        : Effect.andThen(times.turnedAway(this.series, error, now), writer.failed(error))
      const content = info.operation === "chat"
        ? writer.content(this.telemetry.options.content, info.params, message)
        : Effect.void
      return Effect.andThen(failed, content).pipe(
        Effect.andThen(Effect.sync(() => writer.end(span, outcome, exit, now)))
      )
    }).pipe(Effect.uninterruptible)
  }

  /** The answer of a token count. */
  counted(tokens: number): void {
    this.writer.attributes(this.span, { [Attributes.countedInputTokens]: tokens })
  }

  private measure(lasted: number, type: string): void {
    const series = this.responseSeries()
    const { bill: { cost, usage }, info, message, times, writer } = this
    writer.record(series.duration(type), lasted)
    if (info.prompt !== undefined) {
      const prompt = promptSeries(info.prompt)
      writer.record(prompt.duration(type), lasted)
      if (cost !== undefined) writer.record(prompt.cost, cost.amount)
    }
    if (usage !== undefined) {
      writer.record(series.operationInputTokens(type), allInput(usage))
      writer.record(series.operationOutputTokens(type), usage.output_tokens)
    } else {
      for (const counter of series.unknownUsage) writer.record(counter, 0)
    }
    if (times.firstContent === undefined || !info.streamed) return
    writer.record(series.timeToFirstChunk, times.firstContent)
    writer.record(series.maxGap, times.maxGap / 1000)
    if (times.flowed > 0 && message !== undefined) {
      writer.record(series.outputTokenRate, message.usage.output_tokens / times.flowed)
    }
  }

  private backedOff(outcome: Attributes.WaitOutcome): Effect.Effect<void> {
    return this.times.backedOff(this.series, outcome)
  }

  private responseSeries(): ResponseSeries {
    return this.series.response(this.message === undefined ? "" : Model.label(this.message.model))
  }
}
