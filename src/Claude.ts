/**
 * Calls to Claude as Effects and Streams: the service, its layers, and the way of a call.
 *
 * Everything that a call passes through is composed here and nowhere else, so its order is read in one place. Each call
 * is retried, timed out, bounded, priced and traced by the client's policy; `Claude.withPolicy` changes that for a part
 * of a program. The surprise: a stop at `max_tokens` or a refusal is a success of `message`, and a failure of `text`.
 */
import type { Message as SdkMessage } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Stores from "./admission/Stores.ts"
import * as Attempt from "./attempt/Attempt.ts"
import * as Retrying from "./attempt/Retrying.ts"
import * as ClaudeError from "./ClaudeError.ts"
import { Accumulator } from "./decode/Accumulator.ts"
import * as Event from "./decode/Event.ts"
import type * as ObjectParts from "./decode/ObjectParts.ts"
import * as Text from "./decode/Text.ts"
import { TokenCount } from "./decode/TokenCount.ts"
import * as Caching from "./internal/Caching.ts"
import * as Call from "./internal/Call.ts"
import * as Endpoint from "./internal/Endpoint.ts"
import * as Fallback from "./internal/Fallback.ts"
import * as Money from "./internal/Money.ts"
import * as Objects from "./internal/Objects.ts"
import * as Settings from "./internal/Settings.ts"
import * as StreamCall from "./internal/StreamCall.ts"
import * as Estimate from "./request/Estimate.ts"
import * as Request from "./request/Request.ts"
import * as AdmissionTelemetry from "./telemetry/AdmissionTelemetry.ts"
import * as CallSpan from "./telemetry/CallSpan.ts"
import type * as CallTelemetry from "./telemetry/CallTelemetry.ts"
import * as AnthropicTransport from "./transport/AnthropicTransport.ts"
import * as Classify from "./transport/Classify.ts"
import { type Exchange, type ResponseHead, Transport } from "./transport/Transport.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * The SDK's message, with the request's id and what the call cost beside it; an unknown price is no cost.
 *
 * @category models
 * @since 0.1.0
 */
export type Message = Call.Message

/** What a call leaves behind beside its answer. @category models @since 0.1.0 */
export type Receipt = Call.Receipt

/** What calls of a tenant by a model came to on a day. @category models @since 0.2.0 */
export type UsageRow = Stores.UsageRow

/**
 * What a stream emits: the SDK's events, the last of them with the call's receipt. Treat the union as open.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamEvent = StreamCall.StreamEvent

export type { DeepPartial } from "./decode/ObjectParts.ts"

/**
 * What `streamObject` emits: the object as far as it has come, and last the whole of it with the call's receipt.
 *
 * @category models
 * @since 0.2.0
 */
export type ObjectPart<A> = ObjectParts.ObjectPart<A, Receipt>

/** @category models @since 0.1.0 */
export type MessageRequest = Request.MessageRequest

/** @category models @since 0.1.0 */
export type CountTokensRequest = Request.CountTokensRequest

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/** @category services @since 0.1.0 */
export class Claude extends Context.Service<Claude, {
  readonly message: (request: MessageRequest) => Effect.Effect<Message, ClaudeError.ClaudeError>
  readonly stream: (request: MessageRequest) => Stream.Stream<StreamEvent, ClaudeError.ClaudeError>
  readonly countTokens: (request: CountTokensRequest) => Effect.Effect<number, ClaudeError.ClaudeError>
  readonly object: <A, E, RD, RE>(
    schema: Schema.ConstraintCodec<A, E, RD, RE>,
    request: MessageRequest
  ) => Effect.Effect<A, ClaudeError.ClaudeError, RD>
  readonly streamObject: <A, E, RD, RE>(
    schema: Schema.ConstraintCodec<A, E, RD, RE>,
    request: MessageRequest
  ) => Stream.Stream<ObjectPart<A>, ClaudeError.ClaudeError, RD>
  /** What was spent, by day, tenant and model. */
  readonly usage: Stream.Stream<UsageRow, ClaudeError.ClaudeError>
}>()("effect-claude/Claude") {}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.1.0 */
export type Policy = Settings.Policy

/** @category options @since 0.1.0 */
export interface Options extends Settings.ClientOptions, AnthropicTransport.AnthropicTransportOptions {}

export type { ConcurrencyOptions, RateLimitOptions, RateLimits, TenantsOptions } from "./admission/AdmissionOptions.ts"
export type { BudgetOptions } from "./admission/BudgetOptions.ts"
export type { CircuitOptions } from "./admission/CircuitOptions.ts"
export type { Priority, TenantOptions } from "./admission/Turns.ts"
export type { CacheOptions } from "./cache/ResponseCache.ts"
export type { FallbackTarget } from "./internal/Settings.ts"

const CurrentPolicy = Context.Reference<Policy>("effect-claude/Claude/CurrentPolicy", { defaultValue: () => nothing })
const nothing: Policy = {}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** A request that is being answered. */
interface Sent {
  readonly exchange: Exchange
  readonly onHead: (head: ResponseHead) => void
  readonly onContent: (now: number) => void
  /** It has begun to answer. */
  readonly begun: Effect.Effect<void>
}

const makeWith = Effect.fnUntraced(function*(
  settings: Settings.Settings
): Effect.fn.Return<Claude["Service"], never, Transport | Scope.Scope> {
  const clock = yield* Clock.Clock
  const admission = yield* AdmissionTelemetry.make
  const endpointOf = yield* Endpoint.makeAll(settings, admission)
  const home = endpointOf(yield* Transport)
  const money = yield* Money.make(settings, admission)
  const cache = yield* Caching.make(settings, admission)
  const retryBudget = new Retrying.RetryBudget(settings.retryBudget)
  const fallback = Fallback.make(home, endpointOf, retryBudget, yield* Effect.scope)
  const policyOf = Settings.makePolicyOf(settings.policy, settings.admission)

  // The way of a call, from the caller to the wire. Each stage is a function around the next:
  //
  //   prepare   the request and its policy are checked           (a mistake is told before anything waits)
  //   cache     an answer that was given before                  (outside all that costs: a hit takes no turn)
  //   begin     the call's span, to the last byte
  //   fallback  the next target, when one fails                  (outside retrying: each has all its retries)
  //   retrying  a failed attempt is made again                   (outside the gate: a backoff holds no permit)
  //   money     the most that it can cost is reserved            (outside the gate: who may not spend does not queue)
  //   gate      its turn: a permit and the rates                 (inside retrying: each retry takes its turn again)
  //   circuit   is the server up?                                (inside the gate: a queue cannot march through one that opened)
  //   attempt   span, request, response up to the first content  (inside: what is timed is the API, not the queue)
  //   fold      events -> message                                (inside retrying: nobody has seen them, so start over)
  //
  // A stream has its retries before its first content and hands on the rest as it comes.

  const prepare = (
    resolved: Request.Resolved | ClaudeError.ClaudeFatalError,
    operation: CallTelemetry.Operation,
    stream: boolean
  ): Effect.Effect<Call.Prepared, ClaudeError.ClaudeFatalError> =>
    Effect.flatMap(CurrentPolicy, (current) => {
      const known = policyOf(current)
      if ("_tag" in known) return Effect.fail(known)
      if ("_tag" in resolved) return Effect.fail(resolved)
      const { policy, timeouts } = known
      const streamed = operation === "chat" && policy.wire !== "json"
      return Effect.succeed<Call.Prepared>({
        operation,
        resolved,
        policy,
        // Headers of a JSON answer come when all of it is done: only the deadline applies.
        timeouts: streamed ? timeouts : { ...timeouts, headers: Infinity, firstContent: Infinity, idle: Infinity },
        total: timeouts.total ?? Request.totalTimeout(resolved.max_tokens),
        streamed,
        stream
      })
    })

  const begin = (prepared: Call.Prepared): Effect.Effect<Call.Call> => {
    const { operation, policy, resolved, stream, streamed } = prepared
    const target = fallback.home(prepared)
    const { tags, tenant, prompt = Request.promptOf(resolved) } = policy
    const info = { operation, model: resolved.model, params: target.body, streamed, stream, tenant, tags, prompt }
    return Effect.map(CallSpan.begin(home.telemetry, info), (span) => {
      const call: Call.Call = {
        span,
        prepared,
        target,
        fallback: [...policy.fallback ?? []],
        again: Effect.fail,
        deadline: span.startedAt + prepared.total,
        accumulator: new Accumulator()
      }
      call.again = fallback.again(call)
      return call
    })
  }

  /** Sends a request; its span ends, and its permit, its reservation and its socket are free, with the scope. */
  const exchange = Effect.fnUntraced(function*(
    call: Call.Call,
    progress: CallSpan.Progress
  ): Effect.fn.Return<Sent, ClaudeError.ClaudeError, Scope.Scope> {
    const { deadline, prepared: { operation, policy, streamed }, span: told } = call
    const { body, endpoint, lane, model } = call.target
    const { redact, transport } = endpoint
    const size = Estimate.inputSize(body)
    const maxTokens = body.max_tokens ?? 0

    const ended = operation === "chat"
      ? yield* money.reserve({ tenant: policy.tenant, model, size, maxTokens, body, streamed })
      : undefined
    if (lane.circuit !== undefined) yield* lane.circuit.peek
    const pass = yield* lane.gate.enter({
      tenant: policy.tenant ?? "",
      priority: policy.priority ?? "interactive",
      need: { inputTokens: lane.learned.likelyInput(size), outputTokens: lane.learned.likelyOutput(maxTokens) },
      deadline,
      onQueued: told.queued(),
      onLeft: (since, kind, outcome) => told.dequeued(since, kind, outcome)
    })
    const admitted = lane.circuit === undefined ? undefined : yield* lane.circuit.admit

    // A call brings its part when it is sent: one that the cache answers, or that is turned away, brings none.
    if (told.attempts === 0) retryBudget.deposit()
    let exchange: Exchange | undefined
    let sentAt = 0
    const span = yield* Effect.acquireRelease(
      told.attempt(),
      (span, exit) =>
        Effect.suspend(() => {
          const { bill, error } = told.settled(span, progress, exit)
          if (exchange?.refusal !== undefined) pass.responded(exchange.refusal)
          const used = bill === undefined ? undefined : Request.countedTokens(bill.usage)
          if (used !== undefined) lane.learned.learn(size, used.inputTokens, used.outputTokens)
          const isDown = pass.ended(used, error)
          ended?.({ bill, error, exchange, sentAt })
          // Who gives up says nothing about the server, and neither does one that was too many.
          const isKnown = Exit.isSuccess(exit) || error !== undefined
          return admitted?.ended(isKnown ? error : "given up", isDown) ?? Effect.void
        })
    )
    const traceparent = told.traceparent(span)
    pass.sent()
    sentAt = clock.currentTimeMillisUnsafe()
    let hasContent = false
    exchange = yield* transport.open({
      path: operation === "chat" ? "/v1/messages" : "/v1/messages/count_tokens",
      body,
      headers: {
        ...policy.headers,
        "x-stainless-retry-count": String(told.attempts - 1),
        ...(traceparent === undefined ? undefined : { traceparent })
      }
    })
    return {
      exchange,
      onHead: (head) => {
        const requestId = head.headers.get("request-id")
        told.responded(span, head.status, requestId === null ? undefined : redact(requestId))
        pass.responded(head)
      },
      onContent: (now) => {
        if (!hasContent && streamed) pass.content(now - sentAt)
        hasContent = true
        told.content(now, progress)
      },
      begun: admitted?.isProbe === true ? admitted.ended(undefined) : Effect.void
    }
  })

  /** How an attempt of this call is read. */
  const reading = (call: Call.Call, sent: Sent) => ({
    source: sent.exchange,
    failure: ({ failure, ...event }: Event.ErrorEvent) =>
      failure ?? Classify.fromEvent(event, call.span.requestId, call.target.endpoint.redact),
    timeouts: call.prepared.timeouts,
    deadline: call.deadline,
    untilContent: call.prepared.stream,
    onHead: sent.onHead,
    onContent: sent.onContent
  })

  const attempt = (
    call: Call.Call,
    onComplete: (events: Array<Event.WireEvent>) => Effect.Effect<Array<Event.WireEvent>, ClaudeError.ClaudeError>
  ) =>
    Effect.suspend(() => {
      const progress = call.accumulator = new Accumulator()
      const { redact } = call.target.endpoint
      const decoder = (head: ResponseHead) =>
        Event.decoderFor(redact(head.headers.get("content-type") ?? "text/event-stream"))
      return Effect.flatMap(exchange(call, progress), (sent) =>
        Effect.tap(Attempt.open({ ...reading(call, sent), decoder, progress, onComplete }), () => sent.begun))
    })

  const fold = (
    call: Call.Call,
    { pull }: Attempt.Attempt<Event.WireEvent>
  ): Effect.Effect<SdkMessage, ClaudeError.ClaudeError> => {
    const drain: Pull.Pull<never, ClaudeError.ClaudeError> = Effect.flatMap(pull, () => drain)
    return Pull.catchDone(drain, () => call.accumulator.folded)
  }

  /** Attempts of a call, until one serves. */
  const made = (call: Call.Call): Effect.Effect<Message, ClaudeError.ClaudeError> =>
    fallback.served(
      call,
      Effect.scoped(Effect.flatMap(attempt(call, Effect.succeed), (attempt) => fold(call, attempt))),
      isRefusal
    ).pipe(
      Effect.map((message): Message => Object.assign(message, Call.receipt(call))),
      Effect.mapError((error) => Call.final(call, error))
    )

  /** Whole messages; `anew`, whatever the cache has. */
  const folded = (request: MessageRequest, anew: boolean): Effect.Effect<Message, ClaudeError.ClaudeError> =>
    Effect.flatMap(
      prepare(Request.resolve(request, settings.defaults, clock.currentTimeMillisUnsafe()), "chat", false),
      (prepared) => {
        const key = keyOf(prepared)
        return key === undefined
          ? Effect.acquireUseRelease(
            begin(prepared),
            made,
            (call, exit) => Call.end(call, Call.outcomeOf(exit), exit)
          )
          : cache.answered(key, { begin: begin(prepared), made }, anew)
      }
    )

  const message: Claude["Service"]["message"] = (request) => folded(request, false)

  const keyOf = ({ policy, resolved }: Call.Prepared): string | undefined =>
    policy.cache === true ? cache.keyOf(resolved, home.transport.server.url, policy) : undefined

  const open = Effect.fnUntraced(function*(
    request: MessageRequest,
    scope: Scope.Scope
  ): Effect.fn.Return<StreamCall.EventPull, ClaudeError.ClaudeError> {
    const now = () => clock.currentTimeMillisUnsafe()
    const prepared = yield* prepare(Request.resolve(request, settings.defaults, now()), "chat", true)
    const key = keyOf(prepared)
    const kept = key === undefined ? undefined : yield* cache.lookup(key)
    const call = yield* Effect.acquireRelease(
      begin(prepared),
      // What has not ended by now was left by its consumer, whose own failure is none of the call's.
      (call) => Call.end(call, "cancelled", Exit.void)
    ).pipe(Scope.provide(scope))
    if (kept !== undefined) return yield* StreamCall.replay(call, kept)
    const { target } = call
    return yield* StreamCall.open({
      call,
      scope,
      now,
      attempt: (onComplete) => attempt(call, onComplete),
      served: (attempt, broken) => fallback.served(call, attempt, () => false, broken),
      // What another target answered is no answer to those who ask this one.
      onWhole: Effect.suspend(() =>
        key === undefined || call.target !== target
          ? Effect.void
          : Effect.ignore(Effect.flatMap(call.accumulator.folded, (message) => cache.store(key, message)))
      )
    })
  })

  const stream: Claude["Service"]["stream"] = (request) =>
    Stream.fromChannel(Channel.fromTransform((_upstream, scope) => open(request, scope)))

  const countTokens: Claude["Service"]["countTokens"] = (request) =>
    Effect.acquireUseRelease(
      Effect.flatMap(
        prepare(
          Request.resolveCount(request, settings.defaults, clock.currentTimeMillisUnsafe()),
          "countTokens",
          false
        ),
        begin
      ),
      (call) => {
        const attempt = Effect.suspend(() => {
          const count = new TokenCount()
          return Effect.flatMap(exchange(call, count), (sent) =>
            Effect.map(
              Attempt.open({
                ...reading(call, sent),
                decoder: () => count,
                progress: count,
                onComplete: Effect.succeed
              }),
              () => count.tokens
            ))
        })
        return fallback.served(call, Effect.scoped(attempt), () => false).pipe(
          Effect.tap((tokens) => Effect.sync(() => call.span.counted(tokens))),
          Effect.mapError((error) => Call.final(call, error))
        )
      },
      (call, exit) => Call.end(call, Call.outcomeOf(exit), exit)
    )

  const { object, streamObject } = Objects.make({
    message: folded,
    stream: (request, anew) =>
      withPolicy(anew ? { onBreak: "fail", cache: false } : { onBreak: "fail" })(stream(request)),
    repair: Effect.map(CurrentPolicy, ({ repair = settings.policy.repair ?? 1 }) => repair),
    model: settings.defaults.model
  })

  return Claude.of({ message, object, stream, streamObject, countTokens, usage: money.usage })
})

/** @category constructors @since 0.1.0 */
export const make = (
  options: Settings.ClientOptions = {}
): Effect.Effect<Claude["Service"], ClaudeError.ClaudeFatalError, Transport | Scope.Scope> =>
  Effect.suspend(() => {
    const settings = Settings.resolve(options)
    return "_tag" in settings ? Effect.fail(settings) : makeWith(settings)
  })

const isRefusal = (message: SdkMessage): boolean => message.stop_reason === "refusal"

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Claude with a credential or a client of your own; every other option has a default.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Claude, ClaudeError.ClaudeFatalError> =>
  Layer.unwrap(Effect.suspend(() => {
    const settings = Settings.resolve(options)
    if ("_tag" in settings) return Effect.fail(settings)
    return Effect.succeed(
      Layer.effect(Claude, makeWith(settings)).pipe(
        Layer.provide(Layer.effect(Transport, AnthropicTransport.make(options)))
      )
    )
  }))

/**
 * Claude over any transport, such as `ScriptedTransport` in tests.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTransport = (
  options?: Settings.ClientOptions
): Layer.Layer<Claude, ClaudeError.ClaudeFatalError, Transport> => Layer.effect(Claude, make(options))

/**
 * Claude as the environment says: ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, CLAUDE_MODEL, CLAUDE_MAX_TOKENS,
 * CLAUDE_MAX_CONCURRENCY, CLAUDE_MAX_RETRIES, CLAUDE_TOTAL_TIMEOUT, CLAUDE_IDLE_TIMEOUT; `options` are the rest.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfigWith = (
  options: Options
): Layer.Layer<Claude, ClaudeError.ClaudeFatalError | Config.ConfigError> =>
  Layer.unwrap(Effect.gen(function*() {
    // Loaded by those who use it.
    const Environment = yield* Effect.promise(() => import("./internal/Environment.ts"))
    return layer(Environment.merge(yield* Environment.options, options))
  }))

/**
 * Claude as the environment says: see `layerConfigWith`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<Claude, ClaudeError.ClaudeFatalError | Config.ConfigError> = layerConfigWith({})

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

/**
 * Asks, and answers the whole message, whatever its `stop_reason`.
 *
 * @category calls
 * @since 0.1.0
 */
export const message = (request: MessageRequest): Effect.Effect<Message, ClaudeError.ClaudeError, Claude> =>
  Claude.use((claude) => claude.message(request))

/**
 * Asks, and answers the text; one that was cut or refused is an `Incomplete` error with what came.
 *
 * @category calls
 * @since 0.1.0
 */
export const text = (request: MessageRequest): Effect.Effect<string, ClaudeError.ClaudeError, Claude> =>
  Effect.flatMap(message(request), Text.whole)

/**
 * Asks for an object of a schema, sent as structured output (a model that has none calls a tool) and decoded strictly.
 * One that does not fit is sent back once with the decode error (`repair`), as a call of its own; then, or when it was
 * cut or refused, it is a `SchemaMismatch`. A schema that cannot be sent is an `InvalidRequest` that says where, and so
 * is a format of the request's own beside it: nothing is sent.
 *
 * @category calls
 * @since 0.1.0
 */
export const object = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest
): Effect.Effect<A, ClaudeError.ClaudeError, Claude | RD> => Claude.use((claude) => claude.object(schema, request))

/**
 * Asks for an object of a schema, and answers what of it has come, decoded, at most once for each read, and last the
 * whole. One that does not fit, was cut or refused ends it with `SchemaMismatch`. What was seen is never taken back, so
 * it neither asks again nor begins again after a break, whatever `repair` and `onBreak` say.
 *
 * @category calls
 * @since 0.2.0
 */
export const streamObject = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest
): Stream.Stream<ObjectPart<A>, ClaudeError.ClaudeError, Claude | RD> =>
  Stream.unwrap(Claude.useSync((claude) => claude.streamObject(schema, request)))

/**
 * Asks, and answers the events as they come, in arrays as the network brought them.
 *
 * @category calls
 * @since 0.1.0
 */
export const stream = (request: MessageRequest): Stream.Stream<StreamEvent, ClaudeError.ClaudeError, Claude> =>
  Stream.unwrap(Claude.useSync((claude) => claude.stream(request)))

/**
 * Asks, and answers the text as it comes; after a cut or a refusal it ends with an `Incomplete` error. It cannot tell
 * of a restart, so it does not begin again after a break.
 *
 * @category calls
 * @since 0.1.0
 */
export const streamText = (request: MessageRequest): Stream.Stream<string, ClaudeError.ClaudeError, Claude> =>
  Stream.transformPull(
    withPolicy({ onBreak: "fail" })(stream(request)),
    (pull) => Effect.sync(() => Text.texts(pull))
  )

/**
 * Folds a stream of events into the message that they make, as `message` would have answered it.
 *
 * @category calls
 * @since 0.1.0
 */
export const collect = <E, R>(
  events: Stream.Stream<StreamEvent, E, R>
): Effect.Effect<Message, E | ClaudeError.ClaudeError, R> =>
  Effect.suspend(() => {
    let accumulator = new Accumulator()
    let receipt = Call.receiptOf({})
    const add = (event: StreamEvent) => {
      if (event.type === "restart") accumulator = new Accumulator()
      else accumulator.add([event])
      if (event.type === "message_stop") receipt = Call.receiptOf(event)
    }
    return Stream.runForEachArray(events, (events) => Effect.sync(() => events.forEach(add))).pipe(
      Effect.andThen(Effect.suspend(() => accumulator.folded)),
      Effect.map((message): Message => Object.assign(message, receipt))
    )
  })

/**
 * Counts the input tokens of a request, without sending it to a model.
 *
 * @category calls
 * @since 0.1.0
 */
export const countTokens = (request: CountTokensRequest): Effect.Effect<number, ClaudeError.ClaudeError, Claude> =>
  Claude.use((claude) => claude.countTokens(request))

/**
 * What was spent, by day, tenant and model: what this process knows, or all that share its store.
 *
 * @category calls
 * @since 0.2.0
 */
export const usage: Stream.Stream<UsageRow, ClaudeError.ClaudeError, Claude> = Stream.unwrap(
  Claude.useSync((claude) => claude.usage)
)

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Changes how the calls of an Effect or a Stream behave, field by field; the nearest policy wins.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPolicy = (
  policy: Policy
): <T extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(self: T) => T => {
  const kept = new WeakMap<Policy, Policy>()
  // One object for each that lies outside, so that it is checked once and not with each call.
  const merge = (outer: Policy): Policy => {
    let merged = kept.get(outer)
    if (merged === undefined) kept.set(outer, merged = Settings.mergePolicy(outer, policy))
    return merged
  }
  return <T extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(self: T): T =>
    // Neither changes what T succeeds with, fails with or needs: a reference is always there.
    (Stream.isStream(self)
      ? Stream.updateService(self, CurrentPolicy, merge)
      : Effect.updateService(self, CurrentPolicy, merge)) as T
}
