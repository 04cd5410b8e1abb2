/**
 * What is told of one call while it runs and when it ends: its span, the spans of its attempts and waits, its metrics.
 *
 * One `chat {model}` span covers all that a call does, to its last byte; each attempt and each wait is a child of it.
 * Nothing here fails a call: telemetry that cannot be written is counted instead.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Metric from "effect/Metric"
import type * as Tracer from "effect/Tracer"
import * as ClaudeError from "../ClaudeError.ts"
import type * as Cost from "../request/Cost.ts"
import * as Model from "../request/Model.ts"
import * as Attributes from "./Attributes.ts"
import { allInput, atEnd, atStart, type CallInfo } from "./CallAttributes.ts"
import { type Bill, CallBill } from "./CallBill.ts"
import type { CallTelemetry } from "./CallTelemetry.ts"
import { CallWriter, makeSpan } from "./CallWriter.ts"
import type { RequestSeries, ResponseSeries } from "./Metrics.ts"

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
  private readonly clock: Clock.Clock
  private series: RequestSeries
  private readonly activeStreams: Metric.Gauge<number>
  private cacheOutcome: Attributes.CacheOutcome | undefined
  private servedBy: string | undefined
  private waited = 0
  /** By the span's own clock, so that metrics and spans tell the same times. */
  private readonly begun: bigint
  /** How many seconds after that the first content came. */
  private firstContent: number | undefined
  /** Of the latest attempt, as far as it had any. */
  private attemptContentAt: number | undefined
  private chunks: Metric.Metric<number, unknown> | undefined
  private lastContentAt = 0
  private maxGap = 0
  private backoffSince: bigint | undefined
  private queueDepth = 0
  private message: Message | undefined
  private ended = false

  constructor(telemetry: CallTelemetry, info: CallInfo, span: Tracer.Span, context: Context.Context<never>) {
    this.telemetry = telemetry
    this.info = info
    this.span = span
    this.clock = Context.get(context, Clock.Clock)
    this.startedAt = this.clock.currentTimeMillisUnsafe()
    // A span that is not timed began at zero.
    this.begun = span.status.startTime || this.clock.currentTimeNanosUnsafe()
    this.model = info.model
    this.series = telemetry.series(info.model, info.operation)
    this.writer = new CallWriter(span, telemetry.metricContext(context), this.series.lost)
    this.bill = new CallBill(this.writer.record)
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

  /** A wait for the turn of a call begins; answers since when. */
  queued(): Effect.Effect<bigint> {
    // A retry's backoff is over where its wait for a turn begins.
    return Effect.map(this.backedOff("granted"), () => {
      this.writer.add(this.series.queueDepth, 1)
      this.queueDepth = ++this.telemetry.queue.depth
      return this.clock.currentTimeNanosUnsafe()
    })
  }

  /** It is over: a span is made of it when it took any time. */
  dequeued(
    since: bigint,
    kind: Attributes.WaitKind,
    outcome: "granted" | "cancelled" | "deadline"
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.writer.add(this.series.queueDepth, -1)
      this.telemetry.queue.depth--
      return this.hasWaited(kind, since, outcome, this.queueDepth)
    })
  }

  /** The call goes on to another model, or another endpoint. */
  failsOver(telemetry: CallTelemetry, model: string, error: ClaudeError.ClaudeError | undefined): Effect.Effect<void> {
    return Effect.map(this.backedOff("granted"), () => {
      const facts = {
        [Attributes.fallbackFrom]: target(this.telemetry, this.model),
        [Attributes.fallbackTo]: target(telemetry, model),
        [Attributes.fallbackReason]: error?.reason._tag ?? "refusal"
      }
      this.telemetry = telemetry
      this.model = model
      this.series = telemetry.series(model, this.info.operation)
      this.chunks = undefined
      // What the one before had begun to answer is no answer of this one.
      this.message = undefined
      this.servedBy = target(telemetry, model)
      this.writer.event(Attributes.fallbackEvent, this.clock.currentTimeNanosUnsafe(), facts)
    })
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
      const now = this.clock.currentTimeNanosUnsafe()
      const seconds = Duration.toSeconds(delay)
      const hint = error.retryAfter === undefined ? undefined : Duration.toSeconds(error.retryAfter)
      this.backoffSince = now
      this.writer.record(this.series.retryDelay(error.reason._tag), seconds)
      const facts = {
        [Attributes.retryAttempt]: this.attempts,
        [Attributes.retryReason]: error.reason._tag,
        [Attributes.retryDelay]: seconds,
        ...(hint === undefined ? undefined : { [Attributes.retryHint]: hint })
      }
      this.writer.event(Attributes.retryEvent, now, facts)
      return this.writer.log(Effect.logInfo(Attributes.retryEvent), facts)
    })
  }

  /** An attempt begins. */
  attempt(): Effect.Effect<Tracer.Span> {
    return Effect.suspend(() => {
      this.attempts++
      this.attemptContentAt = undefined
      this.writer.add(this.series.activeRequests, 1)
      const { server } = this.telemetry
      const span = makeSpan(Attributes.attemptSpan, {
        kind: "client",
        parent: this.span,
        attributes: {
          [Attributes.httpRequestMethod]: "POST",
          [Attributes.urlFull]: `${server.url}${
            this.info.operation === "chat" ? "/v1/messages" : "/v1/messages/count_tokens"
          }`,
          [Attributes.serverAddress]: server.address,
          [Attributes.serverPort]: server.port,
          [Attributes.attemptNumber]: this.attempts,
          ...(this.attempts > 1 ? { [Attributes.httpRequestResendCount]: this.attempts - 1 } : undefined)
        }
      })
      return this.backoffSince === undefined ? span : Effect.andThen(this.backedOff("granted"), span)
    })
  }

  /** Its response's headers came. */
  responded(span: Tracer.Span, status: number, requestId: string | undefined): void {
    this.requestId = requestId
    this.writer.attributes(span, { [Attributes.httpResponseStatusCode]: status, [Attributes.requestId]: requestId })
  }

  /** A read brought content. */
  content(now: number, { envelope }: Progress): void {
    if (this.firstContent === undefined) {
      const at = this.clock.currentTimeNanosUnsafe()
      this.firstContent = this.secondsAt(at)
      this.writer.event(Attributes.firstContentEvent, at)
    }
    if (this.attemptContentAt === undefined || this.chunks === undefined) {
      // What lies between two attempts is no gap of a stream.
      this.attemptContentAt = now
      this.message = envelope ?? this.message
      this.chunks = this.responseSeries().timePerOutputChunk
    } else {
      const gap = now - this.lastContentAt
      if (gap > this.maxGap) this.maxGap = gap
      this.writer.record(this.chunks, gap / 1000)
    }
    this.lastContentAt = now
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
    const type = outcome === "error" ? error?.type ?? unknownError : ""
    writer.record(this.responseSeries().attempts(type === "" ? outcome : `${outcome} ${type}`), 1)
    writer.attributes(span, {
      [Attributes.errorType]: type === "" ? undefined : type,
      [Attributes.httpResponseStatusCode]: error?.status,
      [Attributes.requestId]: error?.requestId
    })
    writer.end(span, outcome, exit, this.clock.currentTimeNanosUnsafe())
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
      if (this.backoffSince !== undefined) {
        // Whom nobody gave up had waited to its end, and was turned away before it was sent.
        const backedOff = this.backedOff(outcome === "cancelled" ? "cancelled" : "granted")
        return Effect.andThen(backedOff, this.end(outcome, exit, message))
      }
      this.ended = true
      const { info, span, writer } = this
      const now = this.clock.currentTimeNanosUnsafe()
      // Who leaves a stream may do so with a failure of its own, which is none of the call's.
      const error = outcome === "error" ? errorOf(exit) : undefined
      const type = outcome === "error" ? error?.type ?? unknownError : ""
      if (info.stream) writer.add(this.activeStreams, -1)
      writer.attributes(span, {
        ...atEnd({
          // A twin of a call that was sent was not turned away either.
          outcome: this.attempts === 0 && error?.attempts === 0 ? "rejected" : outcome,
          type,
          attempts: this.attempts,
          waited: this.waited,
          requestId: error?.requestId ?? this.requestId,
          message: this.message,
          usage: this.bill.usage,
          reasoning: this.bill.reasoning,
          cost: this.bill.cost,
          firstContent: info.streamed ? this.firstContent : undefined
        }),
        [Attributes.cacheOutcome]: this.cacheOutcome,
        [Attributes.servedBy]: outcome === "success" ? this.servedBy : undefined
      })
      // What was answered before is no inference, and would make the API look faster than it is.
      if (info.operation === "chat" && this.cacheOutcome === undefined) this.measure(this.secondsAt(now), type)
      const failed = error === undefined ? Effect.void : writer.failed(error)
      const content = info.operation === "chat"
        ? writer.content(this.telemetry.options.content, info.params, message)
        : Effect.void
      return Effect.andThen(failed, content).pipe(
        Effect.andThen(Effect.sync(() => writer.end(span, outcome, exit, now)))
      )
    })
  }

  /** The answer of a token count. */
  counted(tokens: number): void {
    this.writer.attributes(this.span, { [Attributes.countedInputTokens]: tokens })
  }

  // ---------------------------------------------------------------------------

  private measure(lasted: number, type: string): void {
    const series = this.responseSeries()
    const { bill: { usage }, message, writer } = this
    writer.record(series.duration(type), lasted)
    if (usage !== undefined) {
      writer.record(series.operationInputTokens(type), allInput(usage))
      writer.record(series.operationOutputTokens(type), usage.output_tokens)
    } else {
      for (const counter of series.unknownUsage) writer.record(counter, 0)
    }
    if (this.firstContent === undefined || !this.info.streamed) return
    writer.record(series.timeToFirstChunk, this.firstContent)
    writer.record(series.maxGap, this.maxGap / 1000)
    const seconds = (this.lastContentAt - (this.attemptContentAt ?? this.lastContentAt)) / 1000
    if (seconds > 0 && message !== undefined) {
      writer.record(series.outputTokenRate, message.usage.output_tokens / seconds)
    }
  }

  /** Tells of a backoff that is over, where there was one. */
  private backedOff(outcome: "granted" | "cancelled"): Effect.Effect<void> {
    return Effect.suspend(() => {
      const since = this.backoffSince
      this.backoffSince = undefined
      return since === undefined ? Effect.void : this.hasWaited("backoff", since, outcome)
    })
  }

  private hasWaited(kind: Attributes.WaitKind, since: bigint, outcome: string, depth?: number): Effect.Effect<void> {
    const until = this.clock.currentTimeNanosUnsafe()
    const seconds = Number(until - since) / 1e9
    this.waited += seconds
    this.writer.record(this.series.wait(`${kind} ${outcome}`), seconds)
    return seconds <= 0.001 && outcome === "granted"
      ? Effect.void
      : this.writer.wait({ kind, since, until, outcome, depth })
  }

  private secondsAt(now: bigint): number {
    return Number(now - this.begun) / 1e9
  }

  private responseSeries(): ResponseSeries {
    return this.series.response(this.message === undefined ? "" : Model.label(this.message.model))
  }
}

/** A model at an endpoint, as spans name it. */
const target = ({ server }: CallTelemetry, model: string): string => `${model} at ${server.address}`

/** A defect's `error.type`. */
const unknownError = "_OTHER"

const errorOf = (exit: Exit.Exit<unknown, unknown>): ClaudeError.ClaudeError | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  for (const reason of exit.cause.reasons) {
    // Not by schema, which would read all that a partial message holds.
    if (Cause.isFailReason(reason) && isClaudeError(reason.error)) return reason.error
  }
  return undefined
}

const isClaudeError = (u: unknown): u is ClaudeError.ClaudeError =>
  u instanceof ClaudeError.ClaudeRetryableError || u instanceof ClaudeError.ClaudeFatalError
