/**
 * One call of a tool: how long and how often it may be tried, its attempts, each in its own span, and how it ended.
 *
 * It never fails, whatever its tool does. The surprise: a tool that is out of time is interrupted and waited for, so one
 * that cannot be interrupted holds the run until it lets go.
 */
import * as Prompt from "effect/ai/Prompt"
import * as Toolkit from "effect/ai/Toolkit"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TracedToolkit from "../TracedToolkit.ts"
import * as AgentLimits from "./AgentLimits.ts"
import type * as AgentStep from "./AgentStep.ts"
import * as ToolFailure from "./AgentToolFailure.ts"
import type * as AgentTranscript from "./AgentTranscript.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** How a tool is run. @category options @since 0.2.0 */
export interface ToolOptions {
  /**
   * How long an attempt may take; `Infinity` for ever. Then it is interrupted, and waited for until it has let go.
   *
   * @default "1 minute"
   */
  readonly timeout?: Duration.Input | undefined
  /** When an attempt that failed or timed out is followed by another. @default never */
  readonly retry?: Schedule.Schedule<unknown, ToolFailure.ToolFailure> | undefined
  /**
   * How many characters a result may have as the model reads it, images aside. A longer one would stay in the transcript
   * for good, so the model is told that it is too long in its place.
   *
   * @default 400 000, about a hundred thousand tokens
   */
  readonly resultLimit?: number | undefined
}

/** How tools are run: all of them, and otherwise one of them in `each`. @category options @since 0.2.0 */
export interface ToolsOptions<Name extends string = string> extends ToolOptions {
  /** How many run at once. @default 8 */
  readonly concurrency?: number | undefined
  /** What is otherwise for one of them. */
  readonly each?: { readonly [K in Name]?: ToolOptions | undefined } | undefined
}

/** @internal */
export interface Settings {
  readonly concurrency: number
  readonly of: (name: string) => Checked
  readonly approve:
    | ((request: AgentStep.ApprovalRequest) => Effect.Effect<boolean | AgentTranscript.Approval>)
    | undefined
}

interface Checked {
  /** In milliseconds. */
  readonly timeout: number
  readonly retry: ToolOptions["retry"]
  readonly resultLimit: number
}

const defaults: Checked = { timeout: 60_000, retry: undefined, resultLimit: 400_000 }

/** @internal */
export const check = (options: ToolsOptions = {}, approve: Settings["approve"]): Settings => {
  const others = checked("tools", options, defaults)
  const each = new Map(
    Object.entries<ToolOptions | undefined>(options.each ?? {}).map(([name, own]) => [
      name,
      checked(`tools.each.${name}`, own ?? {}, others)
    ])
  )
  return {
    concurrency: AgentLimits.whole("tools.concurrency", options.concurrency ?? 8),
    of: (name) => each.get(name) ?? others,
    approve
  }
}

const checked = (field: string, { resultLimit, retry, timeout }: ToolOptions, others: Checked): Checked => ({
  timeout: timeout === undefined ? others.timeout : AgentLimits.millis(`${field}.timeout`, timeout),
  retry: retry ?? others.retry,
  resultLimit: resultLimit === undefined
    ? others.resultLimit
    : AgentLimits.positive(`${field}.resultLimit`, resultLimit)
})

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** How a call ended. @internal */
export interface Ended {
  readonly outcome: AgentStep.ToolOutcome
  readonly result: unknown
  readonly modelOutput?: Prompt.ToolResultPart["modelOutput"] | undefined
  readonly error?: Redacted.Redacted<unknown> | undefined
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

/** Takes what a tool has on the way. @internal */
export type Progress = (result: unknown) => void

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/** @internal */
export const run = (
  settings: Settings,
  toolkit: TracedToolkit.AnyToolkit,
  call: AgentStep.ToolCall,
  progress: Progress,
  clock: Clock.Clock
): Effect.Effect<Ended> =>
  Effect.suspend(() => {
    const tool = Object.hasOwn(toolkit.tools, call.name) ? toolkit.tools[call.name] : undefined
    if (tool === undefined) {
      return Effect.succeed(notRun("failed", ToolFailure.unknownTool(call.name, Object.keys(toolkit.tools))))
    }
    const { resultLimit, retry, timeout } = settings.of(call.name)
    const start = clock.currentTimeMillisUnsafe()
    let attempts = 0
    const attempt = Effect.suspend(() => {
      attempts++
      return TracedToolkit.execute(
        toolkit,
        { name: call.name, params: call.params, id: call.toolCallId },
        (results) => {
          const last = lastOf(results, call.name, progress)
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
    const over = (outcome: AgentStep.ToolOutcome, ended: Pick<Ended, "result" | "modelOutput" | "error">): Ended => ({
      outcome,
      ...ended,
      ...unreadable(ended, resultLimit),
      duration: clock.currentTimeMillisUnsafe() - start,
      attempts
    })
    return Effect.match(retried, {
      onFailure: ({ error, kind, result }) =>
        over(kind === "timed-out" ? "timed-out" : "failed", { result, error: Redacted.make(error) }),
      onSuccess: ({ encodedResult, modelOutput }) => over("success", { result: encodedResult, modelOutput })
    })
  })

/** What takes the place of an answer that cannot be sent. */
const unreadable = (
  { modelOutput, result }: Pick<Ended, "result" | "modelOutput">,
  limit: number
): Pick<Ended, "outcome" | "result" | "modelOutput"> | undefined => {
  const length = modelOutput === undefined ? lengthOf(result) : Prompt.toolModelOutputToText(modelOutput).length
  if (length <= limit) return undefined
  return {
    outcome: "failed",
    result: Number.isNaN(length) ? ToolFailure.notJson : ToolFailure.tooLong(length, limit),
    modelOutput: undefined
  }
}

/** As the model reads it, the bytes of blocks aside, which have limits of their own. `NaN` where it is no JSON. */
const lengthOf = (result: unknown): number => {
  if (typeof result === "string") return result.length
  const isContent = Array.isArray(result) && result.every((block) => Predicate.hasProperty(block, "type"))
  try {
    // Of a function, say, the model is told nothing.
    return JSON.stringify(isContent ? result.filter((block) => !hasBytes(block)) : result)?.length ?? 0
  } catch {
    return Number.NaN
  }
}

const hasBytes = (block: unknown): boolean =>
  Predicate.hasProperty(block, "source") && Predicate.hasProperty(block.source, "type") &&
  block.source.type === "base64"

/** How many results a tool may have on the way that nobody has looked at. */
const PROGRESS = 16

/** The last result of a tool; those on the way to it are told. */
const lastOf = (
  results: ReturnType<TracedToolkit.AnyToolkit["handle"]>,
  name: string,
  progress: Progress
) =>
  Effect.suspend(() => {
    let last: ToolFailure.HandlerResult | undefined
    const bounded = Effect.provideService(results, Toolkit.PreliminaryBuffer, PROGRESS)
    return Effect.andThen(
      Stream.runForEachArray(Stream.unwrap(bounded), (read) =>
        Effect.sync(() => {
          for (const result of read) {
            if (result.preliminary) progress(result.encodedResult)
            else last = result
          }
        })),
      Effect.suspend(() =>
        last === undefined ? Effect.die(new Error(`${name} ended without a result`)) : Effect.succeed(last)
      )
    )
  })
