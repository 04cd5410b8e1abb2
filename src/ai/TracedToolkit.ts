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
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Attributes from "../telemetry/Attributes.ts"

// -----------------------------------------------------------------------------
// names
// -----------------------------------------------------------------------------

const EXECUTE_TOOL = "execute_tool"
const toolName = "gen_ai.tool.name"
const toolCallId = "gen_ai.tool.call.id"
const toolType = "gen_ai.tool.type"
const toolDescription = "gen_ai.tool.description"
const TOOL_ERROR = "tool_error"
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

type AnyToolkit = Toolkit.WithHandler<Record<string, Tool.Any>>

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
      const results = yield* self.handle(name, params, id, options).pipe(
        Effect.withParentSpan(span, { captureStackTrace: false }),
        Effect.onExit(() => Effect.sync(() => span.attribute(PARAMETERS, "[redacted]")))
      )
      return results.pipe(
        Stream.mapArray((results) => {
          if (results.some(({ isFailure }) => isFailure)) span.attribute(Attributes.errorType, TOOL_ERROR)
          return results
        }),
        Stream.provideService(Tracer.ParentSpan, span)
      )
    })))
  // It calls the tools as it did, within a stream that begins with the span.
  return { tools: self.tools, handle: handle as unknown as AnyToolkit["handle"] }
}

class ToolFailed extends Data.TaggedError("ToolFailed")<{ readonly message: string }> {}

const begin = (name: string, id: string | undefined, tool: Tool.Any | undefined, parent: Tracer.Span | undefined) => {
  const description = tool === undefined ? undefined : Tool.getDescription(tool)
  return Effect.acquireRelease(
    Effect.makeSpan(`${EXECUTE_TOOL} ${name}`, {
      kind: "internal",
      ...(parent === undefined ? undefined : { parent }),
      attributes: {
        [Attributes.operationName]: EXECUTE_TOOL,
        [toolName]: name,
        // What runs here runs in this process, whoever has defined it.
        [toolType]: "function",
        ...(id === undefined ? undefined : { [toolCallId]: id }),
        ...(description === undefined ? undefined : { [toolDescription]: description })
      }
    }),
    (span, exit) =>
      Clock.clockWith((clock) =>
        Effect.sync(() => {
          const hasFailed = Exit.isFailure(exit) && !Exit.hasInterrupts(exit)
          if (hasFailed) span.attribute(Attributes.errorType, TOOL_ERROR)
          // The failure itself may say what the tool was given; the caller has it.
          span.end(
            clock.currentTimeNanosUnsafe(),
            hasFailed ? Exit.fail(new ToolFailed({ message: `The tool ${name} failed.` })) : exit
          )
        })
      )
  )
}
