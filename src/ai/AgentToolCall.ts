/**
 * One call of a tool: its attempts, each in its own span and its own time, and how it ended.
 *
 * It never fails, whatever its tool does.
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as AgentStep from "./AgentStep.ts"
import * as ToolFailure from "./AgentToolFailure.ts"
import type { Settings } from "./AgentToolOptions.ts"
import type * as AgentTranscript from "./AgentTranscript.ts"
import * as TracedToolkit from "./TracedToolkit.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Where a turn stands, and where what happens is told. @internal */
export interface Turn {
  readonly number: number
  /** What was said, for who decides whether a call needs an approval. */
  readonly messages: ReadonlyArray<Prompt.Message>
  /** When the run has to be over, by the clock. */
  readonly deadline: number
  /** Tells a step, and waits until there is room for it. */
  readonly emit: (step: AgentStep.Step) => Effect.Effect<void>
  /** Tells a step if there is room for it. */
  readonly offer: (step: AgentStep.Step) => void
}

/** How a call ended. @internal */
export interface Ended {
  readonly outcome: AgentStep.ToolOutcome
  readonly result: unknown
  readonly modelOutput?: Prompt.ToolResultPart["modelOutput"]
  readonly duration: number
  readonly attempts: number
}

/** How a call ended that was not run. @internal */
export const notRun = (outcome: AgentStep.ToolOutcome, result: unknown): Ended => ({
  outcome,
  result,
  duration: 0,
  attempts: 0
})

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/** @internal */
export const run = (
  settings: Settings,
  toolkit: TracedToolkit.AnyToolkit,
  call: AgentTranscript.Call,
  turn: Turn,
  clock: Clock.Clock
): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    const tool = Object.hasOwn(toolkit.tools, call.name) ? toolkit.tools[call.name] : undefined
    if (tool === undefined) {
      return Effect.succeed(notRun("failed", ToolFailure.unknownTool(call.name, Object.keys(toolkit.tools))))
    }
    const { retry, timeout } = settings.of(call.name)
    const start = clock.currentTimeMillisUnsafe()
    let attempts = 0
    const attempt = Effect.suspend(() => {
      attempts++
      return TracedToolkit.execute(
        toolkit,
        { name: call.name, params: call.params, id: call.toolCallId },
        (results) => {
          const last = lastOf(results, call, turn)
          return timeout === Infinity ? last : Effect.timeoutOrElse(last, {
            duration: timeout,
            orElse: () =>
              Effect.fail(
                new TracedToolkit.ToolTimedOut({
                  message: `It did not answer within ${Duration.format(Duration.millis(timeout))}.`
                })
              )
          })
        }
        // What the tools need is in what the agent needs.
      ) as Effect.Effect<ToolFailure.HandlerResult, unknown>
    }).pipe(
      Effect.catchCause((cause) => Effect.flatMap(ToolFailure.ofCause(tool, cause), Effect.fail)),
      Effect.filterOrFail((result) => !result.isFailure, (result) => ToolFailure.ofResult(tool, result))
    )
    const retried = retry === undefined
      ? attempt
      : Effect.retry(attempt, { schedule: retry, while: (failure: ToolFailure.ToolFailure) => failure.isRetryable })
    return Effect.match(retried, {
      onFailure: (failure): Ended => ({
        outcome: failure.kind === "timed-out" ? "timed-out" : "failed",
        result: failure.result,
        duration: clock.currentTimeMillisUnsafe() - start,
        attempts
      }),
      onSuccess: (result): Ended => ({
        outcome: "success",
        result: result.encodedResult,
        ...(result.modelOutput === undefined ? undefined : { modelOutput: result.modelOutput }),
        duration: clock.currentTimeMillisUnsafe() - start,
        attempts
      })
    })
  })

/** The last result of a tool; those on the way to it are told. */
const lastOf = (
  results: ReturnType<TracedToolkit.AnyToolkit["handle"]>,
  { name, toolCallId }: AgentTranscript.Call,
  turn: Turn
) =>
  Effect.suspend(() => {
    let last: ToolFailure.HandlerResult | undefined
    return Effect.andThen(
      Stream.runForEachArray(Stream.unwrap(results), (read) =>
        Effect.sync(() => {
          for (const result of read) {
            if (!result.preliminary) last = result
            else turn.offer({ _tag: "ToolProgress", turn: turn.number, toolCallId, name, result: result.encodedResult })
          }
        })),
      Effect.suspend(() =>
        last === undefined ? Effect.die(new Error(`${name} ended without a result`)) : Effect.succeed(last)
      )
    )
  })
