/**
 * A span for each tool call: `execute_tool {name}`, a child of the model's span, in which the handler runs.
 *
 * effect/ai writes the parameters of a call, as they are, on the span that is current when a tool is called. Here that
 * is the call's own span, where they are overwritten before anything else happens: what a tool is given or answers is
 * never in a span, nor what it failed with, since that may say it, too.
 */
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Arr from "effect/Array"
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

/** A toolkit whose tools nobody knows. @internal */
export type AnyToolkit = Toolkit.WithHandler<Record<string, Tool.Any>>

/** The span that a call belongs to, where it is not the current one. @internal */
export type Parent = () => Tracer.Span | undefined

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** The same toolkit with a span for each call; what fails is a `ToolFailed` until it is `shown`. @internal */
export const traced = (self: AnyToolkit, parent: Parent): AnyToolkit => {
  const handle = (name: string, params: never, id?: string, options?: never) =>
    Effect.succeed(
      Stream.unwrap(Effect.gen(function*() {
        const span = yield* begin(name, id, toolOf(self, name), parent())
        return yield* open(self.handle(name, params, id, options), span)
      })).pipe(Stream.catchCause((cause) => Stream.failCause(hidden(name, cause))))
    )
  // The results are those of the toolkit; the span's scope is the stream's own, so nothing more is needed.
  return { tools: self.tools, handle: handle as unknown as AnyToolkit["handle"] }
}

/**
 * What the tools of a traced toolkit failed with, in place of what stood for it.
 *
 * @internal
 */
export const shown = <E>(cause: Cause.Cause<E>): Cause.Cause<E> =>
  cause.reasons.some(isHidden)
    ? Cause.fromReasons(
      // What a toolkit fails with is of its caller's errors.
      cause.reasons.flatMap((reason) => isHidden(reason) ? hiddenReasons.get(reason.error)! : [reason]) as Array<
        Cause.Reason<E>
      >
    )
    : cause

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
    begin(call.name, call.id, toolOf(self, call.name), undefined),
    // The toolkit decodes them.
    (span) => use(open(self.handle(call.name, call.params as never, call.id), span))
  ))

/** What answers nothing answers an empty text, or a chat that was stored could not be read again: JSON has no nothing. */
const stored = <A extends { readonly encodedResult: unknown }>(result: A): A =>
  result.encodedResult === undefined ? { ...result, encodedResult: "" } : result

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
          return Arr.map(results, stored)
        }),
        Stream.provideService(Tracer.ParentSpan, span)
      )
    )
  )

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** It did not answer in time. @internal */
export class ToolTimedOut extends Data.TaggedError("ToolTimedOut")<{ readonly message: string }> {}

/** What a span says of a tool that failed: the failure itself may say what the tool was given. */
class ToolFailed extends Data.TaggedError("ToolFailed")<{ readonly message: string }> {}

const failed = (name: string) => new ToolFailed({ message: `The tool ${name} failed.` })

const hiddenReasons = new WeakMap<ToolFailed, ReadonlyArray<Cause.Reason<unknown>>>()

/** Only that a call was interrupted is told as it is. */
const hidden = (name: string, cause: Cause.Cause<unknown>): Cause.Cause<unknown> => {
  if (Cause.hasInterruptsOnly(cause)) return cause
  const error = failed(name)
  hiddenReasons.set(error, cause.reasons.filter((reason) => !Cause.isInterruptReason(reason)))
  return Cause.fromReasons([...cause.reasons.filter(Cause.isInterruptReason), Cause.makeFailReason(error)])
}

const isHidden = (reason: Cause.Reason<unknown>): reason is Cause.Fail<ToolFailed> =>
  Cause.isFailReason(reason) && reason.error instanceof ToolFailed && hiddenReasons.has(reason.error)

// -----------------------------------------------------------------------------
// spans
// -----------------------------------------------------------------------------

/** A name that the model has made up may be that of anything. */
const toolOf = ({ tools }: AnyToolkit, name: string): Tool.Any | undefined =>
  Object.hasOwn(tools, name) ? tools[name] : undefined

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
        const hasFailed = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
        if (hasFailed) span.attribute(Attributes.errorType, errorType(exit.cause))
        span.end(end, hasFailed ? Exit.fail(failed(name)) : exit)
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
