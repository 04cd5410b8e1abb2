/**
 * The span of a run, `claude.document`, over the spans of its calls, and a metric of its parts while it goes on.
 *
 * What calls cost is told by them alone, and their tokens stand here under names of our own: who adds up the usage of
 * spans counts nothing twice.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { isClaudeError } from "../ClaudeError.ts"
import * as Attributes from "../telemetry/Attributes.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { LongDocumentError } from "./LongDocumentError.ts"
import type { Tally } from "./Progress.ts"

/** @internal */
export const counted = (outcome: "mapped" | "reduced" | "failed" | "resumed"): Effect.Effect<void> =>
  Metric.update(Metrics.documentPart(outcome), 1)

/** Runs within the span, which ends when all that was begun in it has. @internal */
export const within = <A, E, R>(
  tally: Tally,
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<Exclude<R, Scope.Scope>, Tracer.ParentSpan>> =>
  Effect.acquireUseRelease(
    Effect.makeSpan(Attributes.documentSpan, { kind: "internal" }),
    (span) => Effect.withParentSpan(Effect.scoped(run), span, { captureStackTrace: false }),
    (span, exit) =>
      Clock.clockWith((clock) =>
        Effect.sync(() => {
          const isCancelled = Exit.hasInterrupts(exit)
          const error = Exit.isFailure(exit) && !isCancelled ? errorOf(exit.cause) : undefined
          span.attribute(Attributes.outcome, error !== undefined ? "error" : isCancelled ? "cancelled" : "success")
          if (error !== undefined) span.attribute(Attributes.errorType, typeOf(error))
          const { bytes, failed, inputTokens, mapped, outputTokens, reduced, resumed } = tally.totals
          const all = { bytes, failed, mapped, reduced, resumed, levels: tally.levels }
          for (const [name, value] of Object.entries(all)) span.attribute(Attributes.document(name), value)
          span.attribute(Attributes.document("input_tokens"), inputTokens)
          span.attribute(Attributes.document("output_tokens"), outputTokens)
          span.end(clock.currentTimeNanosUnsafe(), error === undefined ? exit : Exit.fail(error))
        })
      )
  )

/** What a source or a prompt failed with may hold what was read; the caller has it. */
class DocumentFailed extends Data.TaggedError("DocumentFailed")<{ readonly type: string; readonly message: string }> {}

const errorOf = (cause: Cause.Cause<unknown>): LongDocumentError | DocumentFailed => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (error instanceof LongDocumentError) return error
  const type = isClaudeError(error) ? error.type : Attributes.otherError
  return new DocumentFailed({ type, message: `The document failed: ${type}.` })
}

/** That of the call that ended it, where one did. */
const typeOf = (error: LongDocumentError | DocumentFailed): string => {
  if (error._tag === "DocumentFailed") return error.type
  const { reason } = error
  return reason._tag === "PartsFailed" ? reason.failures.at(-1)!.error.type : Attributes.otherError
}
