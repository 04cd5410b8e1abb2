/**
 * A span for each tool call: `execute_tool {name}`, a child of the model's span, in which the handler runs.
 *
 * effect/ai writes the parameters of a call, as they are, on the span that is current when a tool is called. Here that
 * is the call's own span, where they are overwritten before anything else happens: what a tool is given or answers is
 * never in a span.
 */
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Attributes from "../telemetry/Attributes.ts"
import * as Metrics from "../telemetry/Metrics.ts"

/** Where effect/ai writes what a tool is called with. */
const PARAMETERS = "parameters"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** A model that traces the tools of its callers. @internal */
export const model = (self: LanguageModel.LanguageModel): LanguageModel.LanguageModel =>
  LanguageModel.LanguageModel.of({
    ...self,
    generateText: withTraced(self.generateText, () => undefined),
    generateObject: withTraced(self.generateObject, () => undefined),
    streamText: ((options: Options) =>
      Stream.unwrap(Effect.map(Effect.tracer, (tracer) => {
        // `streamText` makes its span, and does not make it the parent of what runs in it.
        const made: { span?: Tracer.Span } = {}
        // As they came: the method's own type has checked them.
        const stream = withTraced(self.streamText, () => made.span)(options as never)
        return Stream.provideService(stream, Tracer.Tracer, watching(tracer, made))
      }))) as unknown as LanguageModel.LanguageModel["streamText"]
  })

interface Options {
  readonly toolkit?: AnyToolkit | Effect.Effect<AnyToolkit> | undefined
}

/** A toolkit whose tools nobody knows. @internal */
export type AnyToolkit = Toolkit.WithHandler<Record<string, Tool.Any>>

type Parent = () => Tracer.Span | undefined

/** The same method, whose toolkit is traced. */
const withTraced = <F extends (options: never) => unknown>(method: F, parent: Parent): F =>
  // What a method answers depends on its toolkit's type alone, which tracing does not change.
  ((options: Options) =>
    method(
      (options.toolkit === undefined
        ? options
        : {
          ...options,
          toolkit: Effect.isEffect(options.toolkit)
            ? Effect.map(options.toolkit, (toolkit) => traced(toolkit, parent))
            : traced(options.toolkit, parent)
        }) as never
    )) as unknown as F

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

// -----------------------------------------------------------------------------
// toolkits
// -----------------------------------------------------------------------------

const traced = (self: AnyToolkit, parent: Parent): AnyToolkit => {
  const handle = (name: string, params: never, id?: string, options?: never) =>
    Effect.succeed(Stream.unwrap(Effect.gen(function*() {
      const span = yield* begin(name, id, self.tools[name], parent())
      return yield* open(self.handle(name, params, id, options), span)
    })))
  // It calls the tools as it did, within a stream that begins with the span.
  return { tools: self.tools, handle: handle as unknown as AnyToolkit["handle"] }
}

/**
 * Runs a tool in a span of its own; `use` reads what it answers, and says how long that may take.
 *
 * @internal
 */
export const execute = <A, E, R>(
  self: AnyToolkit,
  call: { readonly name: string; readonly params: unknown; readonly id: string },
  use: (results: ReturnType<AnyToolkit["handle"]>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.flatMap(
    begin(call.name, call.id, self.tools[call.name], undefined),
    // The toolkit decodes them.
    (span) => use(open(self.handle(call.name, call.params as never, call.id), span))
  ))

/** A call within its span, which never tells what the tool was given. */
const open = (called: ReturnType<AnyToolkit["handle"]>, span: Tracer.Span): ReturnType<AnyToolkit["handle"]> =>
  called.pipe(
    Effect.withParentSpan(span, { captureStackTrace: false }),
    Effect.onExit(() => Effect.sync(() => span.attribute(PARAMETERS, "[redacted]"))),
    Effect.map((results) =>
      results.pipe(
        Stream.mapArray((results) => {
          if (results.some(({ isFailure }) => isFailure)) {
            span.attribute(Attributes.errorType, Attributes.toolError.failed)
          }
          return results
        }),
        Stream.provideService(Tracer.ParentSpan, span)
      )
    )
  )

/** It did not answer in time. @internal */
export class ToolTimedOut extends Data.TaggedError("ToolTimedOut")<{ readonly message: string }> {}

class ToolFailed extends Data.TaggedError("ToolFailed")<{ readonly message: string }> {}

const begin = (name: string, id: string | undefined, tool: Tool.Any | undefined, parent: Tracer.Span | undefined) => {
  const description = tool === undefined ? undefined : Tool.getDescription(tool)
  return Effect.acquireRelease(
    Effect.makeSpan(Attributes.executeToolSpan(name), {
      kind: "internal",
      ...(parent === undefined ? undefined : { parent }),
      attributes: {
        [Attributes.operationName]: Attributes.executeTool.operation,
        [Attributes.toolName]: name,
        [Attributes.toolType]: Attributes.executeTool.toolType,
        ...(id === undefined ? undefined : { [Attributes.toolCallId]: id }),
        ...(description === undefined ? undefined : { [Attributes.toolDescription]: description })
      }
    }),
    (span, exit) =>
      Clock.clockWith((clock) => {
        const end = clock.currentTimeNanosUnsafe()
        const hasFailed = Exit.isFailure(exit) && !Exit.hasInterrupts(exit)
        if (hasFailed) span.attribute(Attributes.errorType, errorType(exit.cause))
        // The failure itself may say what the tool was given; the caller has it.
        span.end(end, hasFailed ? Exit.fail(new ToolFailed({ message: `The tool ${name} failed.` })) : exit)
        const error = span.attributes.get(Attributes.errorType)
        return Metric.update(
          Metrics.toolDuration(name)(typeof error === "string" ? error : ""),
          Number(end - span.status.startTime) / 1e9
        )
      })
  )
}

const errorType = (cause: Cause.Cause<unknown>): string =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error instanceof ToolTimedOut)
    ? Attributes.toolError.timedOut
    : Attributes.toolError.failed
