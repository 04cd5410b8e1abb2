/**
 * An agent: a model of effect/ai that is asked again with what its tools answered, within limits.
 *
 * It runs on any `LanguageModel`. `run` answers what it came to, `stream` tells each step as it happens; both go on from
 * a transcript as from a prompt. A failing tool is told to the model and fails no run; a call of the model that fails
 * does, with the transcript up to there. The surprise: a tool with `needsApproval` ends the run unless `approve` answers
 * for it; see `answer`.
 */
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AnyToolkit } from "../TracedToolkit.ts"
import type * as AgentAnswer from "./AgentAnswer.ts"
import * as AgentLimits from "./AgentLimits.ts"
import * as AgentRun from "./AgentRun.ts"
import * as AgentSpan from "./AgentSpan.ts"
import type * as AgentStep from "./AgentStep.ts"
import * as AgentToolCall from "./AgentToolCall.ts"
import type { Told } from "./AgentTools.ts"
import type { Approval } from "./AgentTranscript.ts"

export type { ToolChoice } from "./AgentAnswer.ts"
export type { Limits } from "./AgentLimits.ts"
export type * from "./AgentStep.ts"
export type { ToolOptions, ToolsOptions } from "./AgentToolCall.ts"
export { ToolFailure } from "./AgentToolFailure.ts"
export { answer, type Approval, pending } from "./AgentTranscript.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @category models @since 0.2.0 */
export interface Agent<out E = never, out R = never> {
  readonly name: string
  /**
   * Runs it to its end. A transcript whose approvals were answered goes on from there; where the model fails, so does
   * that of the error. Who wants to go on after a crash keeps the transcripts of `stream`.
   */
  readonly run: (
    input: Prompt.RawInput,
    options?: RunOptions
  ) => Effect.Effect<AgentStep.Result, AgentStep.AgentError | E, LanguageModel.LanguageModel | R>
  /**
   * Runs it and tells each step, the last of which is `Finished`. Who reads slowly slows it down: it is at most 16 steps
   * ahead, and starts no tool before the step after `ToolsCalled` is asked for. To stop reading interrupts the model's
   * call and the tools; the last transcript that was told can be run again.
   */
  readonly stream: (
    input: Prompt.RawInput,
    options?: StreamOptions
  ) => Stream.Stream<AgentStep.Step, AgentStep.AgentError | E, LanguageModel.LanguageModel | R>
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface Options<in out Tools extends Record<string, Tool.Any>, out E = never, out R = never, out RA = never> {
  /** On the span, and a label of its duration: the first hundred of a program, then `other`. */
  readonly name: string
  /** One that is an effect is made for each run, in a scope that ends with the run. */
  readonly toolkit: Toolkit.WithHandler<Tools> | Effect.Effect<Toolkit.WithHandler<Tools>, E, R>
  /** The system message of each call. It is not in the transcript, so a transcript may go on with other instructions. */
  readonly instructions?: string | Prompt.SystemMessage | undefined
  readonly limits?: AgentLimits.Limits | undefined
  readonly tools?: AgentToolCall.ToolsOptions<ToolName<NoInfer<Tools>>> | undefined
  /**
   * Which tools the model may call or has to. One that it has to holds until a tool has answered, or the run would never
   * end; a function says it for each turn, as `({ turn }) => turn === 8 ? "none" : "auto"` has the eighth end in words.
   *
   * @default "auto"
   */
  readonly toolChoice?: AgentAnswer.ToolChoice<ToolName<NoInfer<Tools>>> | undefined
  /**
   * Answers for tools that need an approval, all of a turn at once; where it dies, they wait.
   *
   * @default the run ends with reason "approval"
   */
  readonly approve?: ((request: AgentStep.ApprovalRequest) => Effect.Effect<boolean | Approval, never, RA>) | undefined
}

type ToolName<Tools> = Extract<keyof Tools, string>

/** @category options @since 0.2.0 */
export interface RunOptions {
  /** In place of the agent's own, one by one. */
  readonly limits?: AgentLimits.Limits | undefined
}

/** @category options @since 0.2.0 */
export interface StreamOptions extends RunOptions {
  /**
   * Whether text and thinking are told as they come. Without, each answer of the model is asked for whole, and one that
   * breaks off begins again, as in `run`.
   *
   * @default true
   */
  readonly deltas?: boolean | undefined
}

/** What the tools of a toolkit need where they run. @category models @since 0.2.0 */
export type ToolServices<Tools extends Record<string, Tool.Any>> =
  | Tool.HandlerServices<Tools[keyof Tools]>
  | Tool.ParametersEncodingServices<Tools[keyof Tools]>

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * An agent over the tools of a toolkit. Options that cannot be meant throw a `RangeError`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <Tools extends Record<string, Tool.Any>, E = never, R = never, RA = never>(
  options: Options<Tools, E, R, RA>
): Agent<E, Exclude<R, Scope.Scope> | RA | ToolServices<Tools>> => {
  // The agent needs what answering for an approval needs.
  const tools = AgentToolCall.check(options.tools, options.approve as AgentToolCall.Settings["approve"])
  AgentLimits.check(options.limits)
  const { instructions, name, toolkit } = options
  const system = instructions === undefined
    ? []
    : [typeof instructions === "string" ? Prompt.makeMessage("system", { content: instructions }) : instructions]

  const start = (input: Prompt.RawInput, run: RunOptions | undefined) => {
    const limits = AgentLimits.check(options.limits, run?.limits)
    return (told: Told) =>
      Effect.gen(function*() {
        const bill = new AgentLimits.Bill(limits, yield* AgentLimits.Current)
        const clock = yield* Clock.Clock
        const deadline = clock.currentTimeMillisUnsafe() + limits.time
        const whole = Effect.scopedWith(Effect.fnUntraced(function*(scope) {
          const model = yield* LanguageModel.LanguageModel
          const handled = Effect.isEffect(toolkit)
            ? yield* Effect.provideService(toolkit, Scope.Scope, scope)
            : toolkit
          return yield* AgentRun.run({
            model,
            // Of its tools it knows names and schemas; their services are in what the agent needs.
            toolkit: handled as unknown as AnyToolkit,
            instructions: system,
            toolChoice: options.toolChoice as AgentAnswer.ToolChoice | undefined,
            tools,
            deadline,
            bill,
            told
          }, input)
        }))
        return yield* AgentSpan.within(name, bill, Effect.provideService(whole, AgentLimits.Current, bill))
      }) as Effect.Effect<
        AgentStep.Result,
        AgentStep.AgentError | E,
        LanguageModel.LanguageModel | Exclude<R, Scope.Scope> | RA | ToolServices<Tools>
      >
  }

  return {
    name,
    run: (input, run) => start(input, run)(nobody),
    stream: (input, run) => streamed(start(input, run), run?.deltas ?? true)
  }
}

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

/** How many steps are told ahead of who reads them. */
const AHEAD = 16

const nobody: Told = { isLive: false, emit: () => Effect.void, handOver: () => Effect.void, offer: () => {} }

interface Delivery {
  readonly step: AgentStep.Step
  /** Opened when the step after it is asked for. */
  readonly isRead?: Latch.Latch
}

/** What is told, as it is taken. */
const streamed = <E, R>(
  run: (told: Told) => Effect.Effect<unknown, E, R>,
  isLive: boolean
): Stream.Stream<AgentStep.Step, E, R> => {
  const deliveries = Stream.callback<Delivery, E, R>((queue) =>
    Effect.andThen(
      run({
        isLive,
        emit: (steps) => Effect.suspend(() => Queue.offerAll(queue, steps().map((step) => ({ step })))),
        handOver: (step) =>
          Effect.suspend(() => {
            const isRead = Latch.makeUnsafe()
            return Effect.andThen(Queue.offer(queue, { step: step(), isRead }), isRead.await)
          }),
        offer: (step) => void Queue.offerUnsafe(queue, { step })
      }),
      Queue.end(queue)
    ), { bufferSize: AHEAD })
  return Stream.transformPull(deliveries, (pull) =>
    Effect.sync(() => {
      let read: ReadonlyArray<Delivery> = []
      return Effect.suspend(() => {
        for (const { isRead } of read) isRead?.openUnsafe()
        return Effect.map(pull, (all) => {
          read = all
          return Arr.map(all, ({ step }) => step)
        })
      })
    }))
}
