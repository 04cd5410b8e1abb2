/**
 * What effect/ai's own model leaves open, for each call with tools: a span for each of them, spans that do not tell what
 * a tool has failed with, and streams that go no further than their reader.
 */
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Demand from "./Demand.ts"
import * as Opening from "./Opening.ts"
import * as TracedToolkit from "./TracedToolkit.ts"

/** A model that traces the tools of its callers. @internal */
export const make = (self: LanguageModel.LanguageModel): LanguageModel.LanguageModel =>
  LanguageModel.LanguageModel.of({
    ...self,
    generateText: folded(self.generateText),
    generateObject: folded(self.generateObject),
    streamText: streamed(self.streamText)
  })

interface Options {
  readonly toolkit?: TracedToolkit.AnyToolkit | Effect.Effect<TracedToolkit.AnyToolkit> | undefined
}

type Method = (options: never) => unknown

/** The same options, whose toolkit is traced. What a method takes was checked by its own type, which stays. */
const traced = ({ toolkit, ...options }: Options, parent: TracedToolkit.Parent): never =>
  ({
    ...options,
    toolkit: Effect.isEffect(toolkit)
      ? Effect.map(toolkit, (toolkit) => TracedToolkit.traced(toolkit, parent))
      : TracedToolkit.traced(toolkit!, parent)
  }) as never

const folded = <F extends Method>(method: F): F =>
  // What it answers depends on the types of its options alone, and these stay.
  ((options: Options) => {
    if (options.toolkit === undefined) return method(options as never)
    // Both methods answer with an Effect.
    const answer = method(traced(options, () => undefined)) as Effect.Effect<unknown>
    return Effect.catchCause(answer, (cause) => Effect.failCause(TracedToolkit.shown(cause)))
  }) as Method as F

const streamed = <F extends Method>(method: F): F =>
  // As above.
  ((options: Options) => {
    if (options.toolkit === undefined) {
      return Opening.under(streamOf(method, options as never), Effect.provideService(Demand.Current, undefined))
    }
    return Stream.unwrap(Effect.map(Effect.tracer, (tracer) => {
      // `streamText` makes its span, and does not make it the parent of what runs in it.
      const made: { span?: Tracer.Span } = {}
      const demand = new Demand.Demand()
      const context = Context.add(Context.make(Tracer.Tracer, watching(tracer, made)), Demand.Current, demand)
      return demand.taken(
        Opening.under(streamOf(method, traced(options, () => made.span)), Effect.provideContext(context))
      ).pipe(Stream.catchCause((cause) => Stream.failCause(TracedToolkit.shown(cause))))
    }))
  }) as Method as F

const streamOf = (method: Method, options: never): ReturnType<LanguageModel.LanguageModel["streamText"]> =>
  // That is what it answers.
  method(options) as ReturnType<LanguageModel.LanguageModel["streamText"]>

/** A tracer that knows the model's span as soon as it is made. */
const watching = (tracer: Tracer.Tracer, made: { span?: Tracer.Span }): Tracer.Tracer =>
  Tracer.make({
    ...(tracer.context === undefined ? undefined : { context: tracer.context }),
    span: (options) => {
      const span = tracer.span(options)
      if (made.span === undefined && options.name === "LanguageModel.streamText") made.span = span
      return span
    }
  })
