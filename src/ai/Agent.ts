/**
 * An agent: a model of effect/ai that is asked again with what its tools answered, within limits.
 *
 * It runs on any `LanguageModel`. `run` answers what it came to, `stream` tells each step as it happens; both go on from
 * a transcript as from a prompt. A failing tool is told to the model and fails no run; a call of the model that fails
 * does. The surprise: a tool with `needsApproval` ends the run unless `approve` answers for it; see `answer`.
 */
import type * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as AgentLimits from "./AgentLimits.ts"
import * as AgentRun from "./AgentRun.ts"
import * as AgentSpan from "./AgentSpan.ts"
import type * as AgentStep from "./AgentStep.ts"
import * as AgentToolOptions from "./AgentToolOptions.ts"
import * as AgentTranscript from "./AgentTranscript.ts"
import type { AnyToolkit } from "./TracedToolkit.ts"

export type * from "./AgentStep.ts"
export { ToolFailure } from "./AgentToolFailure.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @category models @since 0.2.0 */
export interface Agent<out E = never, out R = never> {
  readonly name: string
  /** Runs it to its end. A transcript whose approvals were answered goes on from there. */
  readonly run: (
    input: Prompt.RawInput,
    options?: RunOptions
  ) => Effect.Effect<AgentStep.Result, AiError.AiError | E, LanguageModel.LanguageModel | R>
  /**
   * Runs it and tells each step, the last of which is `Finished`. Who reads slowly slows it down: it is at most 16 steps
   * ahead. Interrupting the stream interrupts the model's call and the tools.
   */
  readonly stream: (
    input: Prompt.RawInput,
    options?: RunOptions
  ) => Stream.Stream<AgentStep.Step, AiError.AiError | E, LanguageModel.LanguageModel | R>
}

/** The answer to a request for approval. @category models @since 0.2.0 */
export type Approval = AgentTranscript.Approval

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export type Limits = AgentLimits.Limits

/** @category options @since 0.2.0 */
export type ToolOptions = AgentToolOptions.ToolOptions

/** @category options @since 0.2.0 */
export type ToolsOptions<Name extends string = string> = AgentToolOptions.ToolsOptions<Name>

/** @category options @since 0.2.0 */
export interface Options<in out Tools extends Record<string, Tool.Any>, out E = never, out R = never, out RA = never> {
  /** On the span, and a label of its duration: the first hundred of a program, then `other`. */
  readonly name: string
  readonly toolkit: Toolkit.WithHandler<Tools> | Effect.Effect<Toolkit.WithHandler<Tools>, E, R>
  /** The system message of each call. It is not in the transcript, so a transcript may go on with other instructions. */
  readonly instructions?: string | Prompt.SystemMessage | undefined
  readonly limits?: Limits | undefined
  readonly tools?: ToolsOptions<Extract<keyof NoInfer<Tools>, string>> | undefined
  /** Answers for tools that need an approval. @default the run ends with reason "approval" */
  readonly approve?: ((request: AgentStep.ApprovalRequest) => Effect.Effect<boolean | Approval, never, RA>) | undefined
}

/** @category options @since 0.2.0 */
export interface RunOptions {
  /** In place of the agent's own, one by one. */
  readonly limits?: Limits | undefined
}

/** What the tools of a toolkit need where they run. @category models @since 0.2.0 */
export type ToolServices<Tools extends Record<string, Tool.Any>> =
  | Tool.HandlerServices<Tools[keyof Tools]>
  | Tool.ParametersEncodingServices<Tools[keyof Tools]>

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** How many steps are told ahead of who reads them. */
const AHEAD = 16

/**
 * An agent over the tools of a toolkit. Options that cannot be meant throw a `RangeError`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make = <Tools extends Record<string, Tool.Any>, E = never, R = never, RA = never>(
  options: Options<Tools, E, R, RA>
): Agent<E, R | RA | ToolServices<Tools>> => {
  // The agent needs what answering for an approval needs.
  const tools = AgentToolOptions.check(options.tools, options.approve as AgentToolOptions.Settings["approve"])
  AgentLimits.check(options.limits)
  const { instructions, name, toolkit } = options
  const system = instructions === undefined
    ? []
    : [typeof instructions === "string" ? Prompt.makeMessage("system", { content: instructions }) : instructions]

  const start = (input: Prompt.RawInput, run: RunOptions | undefined) => {
    const limits = AgentLimits.check(options.limits, run?.limits)
    return (told: AgentRun.Told) =>
      Effect.suspend(() => {
        const bill = new AgentLimits.Bill()
        const whole = Effect.gen(function*() {
          const model = yield* LanguageModel.LanguageModel
          const handled = Effect.isEffect(toolkit) ? yield* toolkit : toolkit
          return yield* AgentRun.run({
            model,
            // Of its tools it knows names and schemas; their services are in what the agent needs.
            toolkit: handled as unknown as AnyToolkit,
            instructions: system,
            tools,
            limits,
            bill,
            told
          }, input)
        })
        return AgentSpan.within(name, bill, whole)
      }) as Effect.Effect<
        AgentStep.Result,
        AiError.AiError | E,
        LanguageModel.LanguageModel | R | RA | ToolServices<Tools>
      >
  }

  return {
    name,
    run: (input, run) => start(input, run)({ emit: () => Effect.void, offer: () => {} }),
    stream: (input, run) => {
      const started = start(input, run)
      return Stream.callback<AgentStep.Step, AiError.AiError | E, Effect.Services<ReturnType<typeof started>>>(
        (queue) =>
          Effect.andThen(
            started({
              emit: (steps) => Queue.offerAll(queue, steps),
              offer: (step) => void Queue.offerUnsafe(queue, step)
            }),
            Queue.end(queue)
          ),
        { bufferSize: AHEAD }
      )
    }
  }
}

// -----------------------------------------------------------------------------
// transcripts
// -----------------------------------------------------------------------------

/**
 * A transcript with answers to what waits for an approval, by the ids of the calls; run it to go on. Whatever is said
 * next instead denies what was not answered.
 *
 * @category combinators
 * @since 0.2.0
 */
export const answer: (
  transcript: Prompt.Prompt,
  approvals: Readonly<Record<string, boolean | Approval>>
) => Prompt.Prompt = AgentTranscript.answer

/** The calls of a transcript that wait for an approval. @category combinators @since 0.2.0 */
export const pending: (transcript: Prompt.Prompt) => ReadonlyArray<AgentStep.ApprovalRequest> = AgentTranscript.pending
