/**
 * Claude as the language model of effect/ai: a program written against `LanguageModel`, `Chat`, `Tool` and `Toolkit`
 * runs on it by one layer, with the retries, limits, budgets, cache, spans and costs of the `Claude` service below.
 *
 * `Claude.withPolicy` around a program changes them as for any other call. The surprise: `max_tokens` is the Claude
 * layer's (4096 unless it says otherwise), and a text that was cut there finishes with "length", no error; an object is
 * one that nobody tries again.
 */
import type { Message, Model as ModelId } from "@anthropic-ai/sdk/resources/messages/messages"
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as AiModel from "effect/ai/Model"
import type * as Response from "effect/ai/Response"
import * as Telemetry from "effect/ai/Telemetry"
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as Claude from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Model from "../request/Model.ts"
import * as AiErrors from "./AiErrors.ts"
import * as Demand from "./Demand.ts"
import * as Finish from "./Finish.ts"
import * as Opening from "./Opening.ts"
import * as Requests from "./Requests.ts"
import * as ResponseParts from "./ResponseParts.ts"
import { StreamParts } from "./StreamParts.ts"
import * as ToolDefinitions from "./tools/ToolDefinitions.ts"
import * as TracedModel from "./TracedModel.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** Of the API's parameters, those that effect/ai has no word for. @category options @since 0.2.0 */
export type ConfigOptions = Requests.ConfigOptions

/** Parameters of the calls within: see `withConfigOverride`. @category services @since 0.2.0 */
export class Config extends Context.Service<Config, ConfigOptions>()("effect-claude/ai/ClaudeLanguageModel/Config") {}

/** @category options @since 0.2.0 */
export interface Options {
  readonly model: ModelId
  readonly config?: Omit<ConfigOptions, "model"> | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @category constructors @since 0.2.0 */
export const make = Effect.fnUntraced(function*(
  { config: own, model }: Options
): Effect.fn.Return<LanguageModel.LanguageModel, never, Claude.Claude> {
  const claude = yield* Claude.Claude
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()

  const known = { ...own, model }
  const config: Effect.Effect<ConfigOptions & { readonly model: ModelId }> = Effect.contextWith((context) =>
    Effect.succeed(Requests.over(known, Context.getOrUndefined(context, Config) ?? {}))
  )

  const toAiError = (method: string) => (error: ClaudeError.ClaudeError) =>
    AiErrors.fromClaudeError(error, method, now())

  /** What the pure parts throw is a failure; anything else is a defect. */
  const attempt = <A>(method: string, compute: () => A): Effect.Effect<A, AiError.AiError> =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(compute())
      } catch (thrown) {
        if (AiError.isAiErrorReason(thrown)) return Effect.fail(AiErrors.fromReason(thrown, method))
        return ClaudeError.isClaudeError(thrown) ? Effect.fail(toAiError(method)(thrown)) : Effect.die(thrown)
      }
    })

  const prepareWith = (
    options: LanguageModel.ProviderOptions,
    method: string
  ): Effect.Effect<Requests.Prepared, AiError.AiError> =>
    Effect.flatMap(config, (config) => attempt(method, () => Requests.prepare(options, config)))

  const self = yield* LanguageModel.make({
    codecTransformer: ToolDefinitions.answerCodec,
    supportsSystemMessagesInHistory: Effect.map(config, ({ model }) => Model.takesSystem(model)),
    generateText: Effect.fnUntraced(function*(options) {
      const method = options.responseFormat.type === "json" ? "generateObject" : "generateText"
      const { read, request, withPolicy } = yield* prepareWith(options, method)
      atStart(options.span, request)
      const message = yield* claude.message(request).pipe(withPolicy, Effect.mapError(toAiError(method)))
      atEnd(options.span, message)
      const parts = yield* attempt(method, () => ResponseParts.ofMessage(message, read, now()))
      return options.responseFormat.type === "json" && Finish.isCut(message.stop_reason)
        ? yield* AiErrors.cutObject(message, ResponseParts.textOf(parts), method)
        : parts
    }),
    streamText: (options) =>
      Stream.unwrap(Effect.gen(function*() {
        const { read, request, withPolicy } = yield* prepareWith(options, "streamText")
        const demand = yield* Demand.Current
        atStart(options.span, request)
        const events = Opening.under(claude.stream(request), (opening) =>
          // effect/ai makes this span, and does not make it the parent of what runs in it.
          Effect.withParentSpan(withPolicy(opening), options.span, { captureStackTrace: false }))
        const stream = Stream.transformPull(Stream.mapError(events, toAiError("streamText")), (pull) =>
          Effect.sync(() => {
            const parts = new StreamParts(read, now)
            // Not every event is a part: what has none is read on.
            const next: Pull.Pull<Parts, AiError.AiError> = Effect.flatMap(pull, (events) =>
              Effect.flatMap(
                attempt("streamText", () =>
                  parts.read(events)),
                (read) => {
                  if (events.at(-1)!.type === "message_stop") atEnd(options.span, parts.message)
                  return isNonEmpty(read) ? Effect.succeed(read) : next
                }
              ))
            return next
          }))
        return demand?.paced(stream) ?? stream
      }))
  })
  return TracedModel.make(self)
})

type Parts = Arr.NonEmptyArray<Response.StreamPartEncoded>

const isNonEmpty = (parts: Array<Response.StreamPartEncoded>): parts is Parts => parts.length > 0

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Claude as `LanguageModel`. @category layers @since 0.2.0 */
export const layer = (options: Options): Layer.Layer<LanguageModel.LanguageModel, never, Claude.Claude> =>
  Layer.effect(LanguageModel.LanguageModel, make(options))

/**
 * A model by name, to be provided to a program or a step of an `ExecutionPlan`.
 *
 * @category layers
 * @since 0.2.0
 */
export const model = (
  model: ModelId,
  config?: Omit<ConfigOptions, "model">
): AiModel.Model<"anthropic", LanguageModel.LanguageModel, Claude.Claude> =>
  AiModel.make("anthropic", model, layer({ model, config }))

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

type Configurable = Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>

/**
 * Changes parameters of the calls of an Effect or a Stream, field by field; the nearest wins.
 *
 * @category combinators
 * @since 0.2.0
 */
export const withConfigOverride: {
  (overrides: ConfigOptions): <T extends Configurable>(self: T) => T
  <T extends Configurable>(self: T, overrides: ConfigOptions): T
} =
  // Its overloads say what each of its two forms takes; what is configured keeps its type.
  ((...args: readonly [ConfigOptions] | readonly [Configurable, ConfigOptions]) =>
    args.length === 1 ? (self: Configurable) => overridden(self, args[0]) : overridden(args[0], args[1])) as never

const overridden = (self: Configurable, overrides: ConfigOptions): Configurable => {
  const merge = (context: Context.Context<never>) =>
    Context.add(context, Config, Requests.over(Context.getOrUndefined(context, Config) ?? {}, overrides))
  // What it needs is in the context that is handed on.
  return Stream.isStream(self)
    ? Stream.updateContext(self as Stream.Stream<unknown, unknown>, merge)
    : Effect.updateContext(self as Effect.Effect<unknown, unknown>, merge)
}

/**
 * The `ClaudeError` behind an `AiError`: its typed reason, status, request id, attempts, and what was billed.
 *
 * @category errors
 * @since 0.2.0
 */
export const claudeError: (error: unknown) => Option.Option<ClaudeError.ClaudeError> = AiErrors.claudeError

// -----------------------------------------------------------------------------
// the model's span
// -----------------------------------------------------------------------------

// The call has a span of its own below, which says all of it. Operation, tokens and cost are told there alone: who adds
// up what spans say counts each call once.

const atStart = (span: Tracer.Span, { max_tokens, model }: Claude.MessageRequest): void =>
  Telemetry.addGenAIAnnotations(span, {
    provider: { name: "anthropic" },
    request: { model, ...(max_tokens === undefined ? undefined : { maxTokens: max_tokens }) }
  })

const atEnd = (span: Tracer.Span, { id, model, stop_reason }: Message): void =>
  Telemetry.addGenAIAnnotations(span, {
    response: {
      id,
      model,
      ...(stop_reason === null ? undefined : { finishReasons: [Finish.reasonOf(stop_reason, false)] })
    }
  })
