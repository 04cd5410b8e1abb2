/**
 * The span of a run, `invoke_agent {name}`, and its duration as a metric.
 *
 * It has the tokens of all turns, those of agents below it too, and how the run ended. What a turn cost is told by its call alone, or who adds up what
 * spans say would count it twice.
 */
import * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Attributes from "../../telemetry/Attributes.ts"
import * as Metrics from "../../telemetry/Metrics.ts"
import * as AiErrors from "../AiErrors.ts"
import type * as AgentLimits from "./AgentLimits.ts"
import type * as AgentStep from "./AgentStep.ts"

/** Runs an agent within its span. @internal */
export const within = <E, R>(
  name: string,
  bill: AgentLimits.Bill,
  run: Effect.Effect<AgentStep.Result, E, R>
): Effect.Effect<AgentStep.Result, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.acquireUseRelease(
    Effect.makeSpan(Attributes.invokeAgentSpan(name), {
      kind: "internal",
      attributes: {
        [Attributes.operationName]: Attributes.invokeAgent.operation,
        [Attributes.agentName]: name
      }
    }),
    (span) => Effect.withParentSpan(run, span, { captureStackTrace: false }),
    (span, exit) =>
      Clock.clockWith((clock) => {
        const end = clock.currentTimeNanosUnsafe()
        const isCancelled = Exit.hasInterrupts(exit)
        const hasFailed = Exit.isFailure(exit) && !isCancelled
        const error = hasFailed ? errorType(exit.cause) : ""
        span.attribute(Attributes.outcome, hasFailed ? "error" : isCancelled ? "cancelled" : "success")
        span.attribute(Attributes.usageInputTokens, bill.usage.inputTokens)
        span.attribute(Attributes.usageOutputTokens, bill.usage.outputTokens)
        if (Exit.isSuccess(exit)) span.attribute(Attributes.responseFinishReasons, [exit.value.reason])
        if (hasFailed) span.attribute(Attributes.errorType, error)
        // A failure may hold what was asked; the caller has it.
        span.end(end, hasFailed ? Exit.fail(new AgentFailed({ message: `The agent ${name} failed: ${error}.` })) : exit)
        return Metric.update(Metrics.agentDuration(name)(error), Number(end - span.status.startTime) / 1e9)
      })
  )

class AgentFailed extends Data.TaggedError("AgentFailed")<{ readonly message: string }> {}

/** That of the call that failed, where one did. */
const errorType = (cause: Cause.Cause<unknown>): string => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (!AiError.isAiError(error)) return Attributes.otherError
  return Option.match(AiErrors.claudeError(error), {
    onNone: () => Attributes.otherError,
    onSome: ({ type }) => type
  })
}
