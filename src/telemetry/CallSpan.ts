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
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Cost from "../request/Cost.ts"
import * as Model from "../request/Model.ts"
import * as Attributes from "./Attributes.ts"
import { allInput, atEnd, atStart, type CallInfo } from "./CallAttributes.ts"
import type { CallTelemetry } from "./CallTelemetry.ts"
import * as Content from "./Content.ts"
import type { RequestSeries } from "./Metrics.ts"

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

/** What one attempt was billed. @internal */
export interface Bill {
  /** The model that answered. */
  readonly model: string
  readonly usage: Message["usage"]
  /** Nothing where the price is unknown. */
  readonly cost: Cost.Cost | undefined
  /** The answer did not end: of its output only what was told by then is known. */
  readonly partial: boolean
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
  /** Of all attempts together. */
  usage: ClaudeError.Usage | undefined
  cost: Cost.Cost | undefined
  requestId: string | undefined

  private readonly info: CallInfo
  /** Of the target that the call is for by now. */
  private telemetry: CallTelemetry
  private model: string
  private readonly context: Context.Context<never>
  private readonly clock: Clock.Clock
  private series: RequestSeries
  private readonly activeStreams: Metric.Gauge<number>
  private cacheOutcome: Attributes.CacheOutcome | undefined
  private servedBy: string | undefined
  private unpriced = false
  private reasoning = 0
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
    this.context = telemetry.metricContext(context)
    this.clock = Context.get(context, Clock.Clock)
    this.startedAt = this.clock.currentTimeMillisUnsafe()
    // A span that is not timed began at zero.
    this.begun = span.status.startTime || this.clock.currentTimeNanosUnsafe()
    this.model = info.model
    this.series = telemetry.series(info.model, info.operation)
    this.activeStreams = this.series.activeStreams
    if (info.stream) this.add(this.activeStreams, 1)
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
      this.add(this.series.queueDepth, 1)
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
      this.add(this.series.queueDepth, -1)
      this.telemetry.queue.depth--
      return this.waitSpan(kind, since, outcome)
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
      this.servedBy = target(telemetry, model)
      this.write(() => this.span.event(Attributes.fallbackEvent, this.clock.currentTimeNanosUnsafe(), facts))
    })
  }

  /** What the response cache said to it; a message that was kept is its answer. */
  cached(outcome: Attributes.CacheOutcome, message: Message | undefined): void {
    this.cacheOutcome = outcome
    this.message = message ?? this.message
  }

  /** A retry is about to be waited for. */
  retries(error: ClaudeError.ClaudeError, delay: Duration.Duration): Effect.Effect<void> {
    return Effect.suspend(() => {
      const now = this.clock.currentTimeNanosUnsafe()
      const seconds = Duration.toSeconds(delay)
      const hint = error.retryAfter === undefined ? undefined : Duration.toSeconds(error.retryAfter)
      this.backoffSince = now
      this.record(this.series.retryDelay(error.reason._tag), seconds)
      const facts = {
        [Attributes.retryAttempt]: this.attempts,
        [Attributes.retryReason]: error.reason._tag,
        [Attributes.retryDelay]: seconds,
        ...(hint === undefined ? undefined : { [Attributes.retryHint]: hint })
      }
      this.write(() => this.span.event(Attributes.retryEvent, now, facts))
      return this.log(Effect.logInfo(Attributes.retryEvent), facts)
    })
  }

  /** An attempt begins. */
  attempt(): Effect.Effect<Tracer.Span> {
    return Effect.suspend(() => {
      this.attempts++
      this.attemptContentAt = undefined
      this.add(this.series.activeRequests, 1)
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
    this.write(() => {
      span.attribute(Attributes.httpResponseStatusCode, status)
      if (requestId !== undefined) span.attribute(Attributes.requestId, requestId)
    })
  }

  /** A read brought content. */
  content(now: number, { envelope }: Progress): void {
    if (this.firstContent === undefined) {
      const at = this.clock.currentTimeNanosUnsafe()
      this.firstContent = this.secondsAt(at)
      this.write(() => this.span.event(Attributes.firstContentEvent, at))
    }
    if (this.attemptContentAt === undefined || this.chunks === undefined) {
      // What lies between two attempts is no gap of a stream.
      this.attemptContentAt = now
      this.message = envelope ?? this.message
      this.chunks = this.series.response(this.responseLabel()).timePerOutputChunk
    } else {
      const gap = now - this.lastContentAt
      if (gap > this.maxGap) this.maxGap = gap
      this.record(this.chunks, gap / 1000)
    }
    this.lastContentAt = now
  }

  /** An attempt has ended, and this is how far it came. */
  settled(span: Tracer.Span, { envelope }: Progress, exit: Exit.Exit<unknown, unknown>): Settled {
    this.add(this.series.activeRequests, -1)
    this.message = envelope ?? this.message
    const bill = envelope === undefined ? undefined : this.bill(envelope, Exit.isFailure(exit))
    const error = errorOf(exit)
    const outcome = Exit.isSuccess(exit) ? "success" : error !== undefined || Exit.hasDies(exit) ? "error" : "cancelled"
    const type = outcome === "error" ? error?.type ?? unknownError : ""
    this.record(this.series.response(this.responseLabel()).attempts(type === "" ? outcome : `${outcome} ${type}`), 1)
    this.write(() => {
      if (type !== "") span.attribute(Attributes.errorType, type)
      if (error?.status !== undefined) span.attribute(Attributes.httpResponseStatusCode, error.status)
      if (error?.requestId !== undefined) span.attribute(Attributes.requestId, error.requestId)
    })
    this.finish(span, outcome, exit, this.clock.currentTimeNanosUnsafe())
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
        return Effect.andThen(this.backedOff("cancelled"), this.end(outcome, exit, message))
      }
      this.ended = true
      const now = this.clock.currentTimeNanosUnsafe()
      // Who leaves a stream may do so with a failure of its own, which is none of the call's.
      const error = outcome === "error" ? errorOf(exit) : undefined
      const type = outcome === "error" ? error?.type ?? unknownError : ""
      if (this.info.stream) this.add(this.activeStreams, -1)
      this.write(() => {
        const { attempts, cost, message, reasoning, usage, waited } = this
        const requestId = error?.requestId ?? this.requestId
        const firstContent = this.info.streamed ? this.firstContent : undefined
        const facts = { outcome, type, attempts, waited, requestId, message, usage, reasoning, cost, firstContent }
        if (this.cacheOutcome !== undefined) this.span.attribute(Attributes.cacheOutcome, this.cacheOutcome)
        if (this.servedBy !== undefined && outcome === "success") {
          this.span.attribute(Attributes.servedBy, this.servedBy)
        }
        for (const [name, value] of Object.entries(atEnd(facts))) this.span.attribute(name, value)
      })
      if (this.info.operation === "chat") this.measure(this.secondsAt(now), type)
      return Effect.andThen(this.tell(error, message), Effect.sync(() => this.finish(this.span, outcome, exit, now)))
    })
  }

  /** The answer of a token count. */
  counted(tokens: number): void {
    this.write(() => this.span.attribute(Attributes.countedInputTokens, tokens))
  }

  // ---------------------------------------------------------------------------

  private bill(envelope: Message, partial: boolean): Bill {
    const { usage } = envelope
    this.usage = Failure.addUsage(this.usage, usage)
    this.reasoning += usage.output_tokens_details?.thinking_tokens ?? 0
    // Other platforms answer with Anthropic's ids at prices of their own: there the id that was asked for decides.
    const priced = this.telemetry.provider === "anthropic" ? envelope.model : this.model
    const cost = Cost.of(this.telemetry.pricing, priced, usage, this.startedAt)
    if (cost === undefined) this.unpriced = true
    // A sum with an unknown part is unknown.
    this.cost = this.unpriced || cost === undefined
      ? undefined
      : this.cost === undefined
      ? cost
      : Cost.add(this.cost, cost)
    return { model: envelope.model, usage, cost, partial }
  }

  private measure(lasted: number, type: string): void {
    const series = this.series.response(this.responseLabel())
    const { message, usage } = this
    this.record(series.duration(type), lasted)
    if (usage !== undefined) {
      this.record(series.inputTokens, allInput(usage))
      this.record(series.outputTokens, usage.output_tokens)
      this.record(series.operationInputTokens(type), allInput(usage))
      this.record(series.operationOutputTokens(type), usage.output_tokens)
      if (usage.cache_read_input_tokens > 0) this.record(series.cacheReadTokens, usage.cache_read_input_tokens)
      if (usage.cache_creation_input_tokens > 0) this.record(series.cacheWriteTokens, usage.cache_creation_input_tokens)
      if (this.reasoning > 0) this.record(series.reasoningTokens, this.reasoning)
    } else {
      for (const counter of series.unknownUsage) this.record(counter, 0)
    }
    if (this.firstContent !== undefined && this.info.streamed) {
      this.record(series.timeToFirstChunk, this.firstContent)
      this.record(series.maxGap, this.maxGap / 1000)
      const seconds = (this.lastContentAt - (this.attemptContentAt ?? this.lastContentAt)) / 1000
      if (seconds > 0 && message !== undefined) {
        this.record(series.outputTokenRate, message.usage.output_tokens / seconds)
      }
    }
    if (this.cost !== undefined) {
      const { components, source } = this.cost
      for (const component of Cost.componentNames) {
        const amount = components[component]
        if (amount !== undefined && amount > 0) {
          this.record(series.cost(component, source, this.telemetry.tenantLabel(this.info.tenant)), amount)
        }
      }
    } else if (this.unpriced) this.record(series.unpriced, 1)
  }

  /** What goes to the logs: a final failure, once, and content where it is asked for. */
  private tell(error: ClaudeError.ClaudeError | undefined, message: () => Message | undefined): Effect.Effect<void> {
    const failure = error === undefined ? Effect.void : this.log(Effect.logWarning(Attributes.exceptionLog), {
      [Attributes.exceptionType]: `${error._tag}/${error.reason._tag}`,
      [Attributes.exceptionMessage]: error.message,
      [Attributes.errorType]: error.type
    })
    const { content } = this.telemetry.options
    const capture = content?.capture ?? "off"
    if (capture === "off" || this.info.operation !== "chat") return failure
    const lost = () => this.lost("content")
    try {
      const captured = Content.make(this.info.params, message(), content?.redact, lost)
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
        return Effect.andThen(failure, this.log(details, facts))
      }
    } catch {
      lost()
    }
    return failure
  }

  /** Tells of a backoff that is over, where there was one. */
  private backedOff(outcome: "granted" | "cancelled"): Effect.Effect<void> {
    return Effect.suspend(() => {
      const since = this.backoffSince
      this.backoffSince = undefined
      return since === undefined ? Effect.void : this.waitSpan("backoff", since, outcome)
    })
  }

  private waitSpan(kind: Attributes.WaitKind, since: bigint, outcome: string): Effect.Effect<void> {
    const now = this.clock.currentTimeNanosUnsafe()
    const seconds = Number(now - since) / 1e9
    this.waited += seconds
    this.record(this.series.wait(`${kind} ${outcome}`), seconds)
    if (seconds <= 0.001 && outcome === "granted") return Effect.void
    // Made after the fact, so that a call which did not wait has no span for it.
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
        if (kind === "concurrency") span.attribute(Attributes.waitQueueDepth, this.queueDepth)
        span.end(now, Exit.void)
      }))
  }

  /** Writes to a span. Whatever a tracer throws stays here. */
  private write(write: () => void): void {
    try {
      write()
    } catch {
      this.lost("span")
    }
  }

  private finish(span: Tracer.Span, outcome: Attributes.Outcome, exit: Exit.Exit<unknown, unknown>, now: bigint): void {
    // Given up is no failure: its status stays unset.
    this.write(() => span.end(now, outcome === "cancelled" ? Exit.void : exit))
  }

  private log(log: Effect.Effect<void>, facts: Record<string, unknown>): Effect.Effect<void> {
    return Effect.annotateLogs(log, facts).pipe(
      this.within,
      Effect.catchDefect(() => Effect.sync(() => this.lost("log")))
    )
  }

  private secondsAt(now: bigint): number {
    return Number(now - this.begun) / 1e9
  }

  private lost(signal: "span" | "log" | "content"): void {
    this.record(this.series.lost(signal), 1)
  }

  private readonly within = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.withParentSpan(effect, this.span, { captureStackTrace: false })

  private responseLabel(): string {
    return this.message === undefined ? "" : Model.label(this.message.model)
  }

  private add(metric: Metric.Gauge<number>, value: number): void {
    metric.modifyUnsafe(value, this.context)
  }

  private record(metric: Metric.Metric<number, unknown>, value: number): void {
    metric.updateUnsafe(value, this.context)
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

/** A span, also where the tracer throws: then one that nobody sees. */
const makeSpan = (name: string, options: Tracer.SpanOptionsNoTrace): Effect.Effect<Tracer.Span> =>
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
