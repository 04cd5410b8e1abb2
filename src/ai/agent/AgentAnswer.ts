/**
 * One answer of the model, told as it comes.
 *
 * Where nobody reads it as it comes it is asked for whole, so that what breaks off begins again. The toolkit's handlers
 * are never called by the model, whose queue for that has no bound.
 */
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AnyToolkit } from "../TracedToolkit.ts"
import type * as AgentStep from "./AgentStep.ts"
import type { Told } from "./AgentTools.ts"
import * as AgentTranscript from "./AgentTranscript.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Who is asked, and with what. @internal */
export interface Asking {
  readonly model: LanguageModel.LanguageModel
  readonly toolkit: AnyToolkit
  readonly instructions: ReadonlyArray<Prompt.Message>
  readonly toolChoice: ToolChoice | undefined
  readonly told: Told
}

/** Which tools may be called in a turn; the transcript is what the model is asked with. @category options @since 0.2.0 */
export type ToolChoice<Name extends string = string> =
  | LanguageModel.ToolChoice<Name>
  | ((turn: { readonly turn: number; readonly transcript: Prompt.Prompt }) => LanguageModel.ToolChoice<Name>)

/** What the model said. @internal */
export interface Said {
  readonly content: ReadonlyArray<Prompt.Message>
  readonly text: string
  /** The calls that are the agent's to run, each id once. */
  readonly calls: ReadonlyArray<AgentStep.ToolCall>
  readonly finish: Response.FinishPart | undefined
}

// -----------------------------------------------------------------------------
// asking
// -----------------------------------------------------------------------------

/** @internal */
export const ask = (
  { instructions, model, told, toolChoice, toolkit }: Asking,
  turn: number,
  transcript: Prompt.Prompt
): Effect.Effect<Said, AiError.AiError> =>
  Effect.suspend(() => {
    const choice = choiceOf(toolChoice, turn, transcript)
    const options = {
      prompt: Prompt.fromMessages([...instructions, ...transcript.content]),
      toolkit,
      ...(choice === undefined ? undefined : { toolChoice: choice }),
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    } as const
    const answer = (told.isLive
      ? model.streamText(options)
      : Stream.fromArrayEffect(Effect.map(model.generateText(options), ({ content }) => content))) as Stream.Stream<
        Response.AnyPart,
        AiError.AiError
      > // What the tools' schemas need is in what the agent needs.
    const reader = new Reader(turn)
    return answer.pipe(
      Stream.runForEachArray((parts) => {
        if (parts.some(({ type }) => type === "error")) return Effect.fail(streamError)
        const steps = parts.flatMap((part) => reader.read(part) ?? [])
        return steps.length > 0 ? told.emit(() => steps) : Effect.void
      }),
      Effect.map(() => reader.said)
    )
  })

/** A choice that makes the model call a tool holds until one has answered, or it would never end. */
const choiceOf = (
  choice: ToolChoice | undefined,
  turn: number,
  transcript: Prompt.Prompt
): LanguageModel.ToolChoice<string> | undefined => {
  if (typeof choice === "function") return choice({ turn, transcript })
  if (choice === undefined || transcript.content.at(-1)?.role !== "tool") return choice
  if (typeof choice === "string") return choice === "required" ? "auto" : choice
  return "oneOf" in choice ? { oneOf: choice.oneOf } : "auto"
}

/** Some models tell of a failure amid their answer. */
const streamError = AiError.make({
  module: "Agent",
  method: "stream",
  reason: new AiError.InternalProviderError({ description: "The model's answer broke off with an error." })
})

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** Keeps what was said, and makes steps of it. */
class Reader {
  private readonly turn: number
  private readonly parts: Array<Response.AnyPart> = []
  private readonly calls = new Map<string, AgentStep.ToolCall>()
  private finish: Response.FinishPart | undefined
  private text = ""

  constructor(turn: number) {
    this.turn = turn
  }

  get said(): Said {
    const { calls, finish, parts, text } = this
    return { content: Prompt.fromResponseParts(parts).content, text, calls: [...calls.values()], finish }
  }

  read(part: Response.AnyPart): AgentStep.Step | undefined {
    const { turn } = this
    this.parts.push(part)
    switch (part.type) {
      case "text":
        this.text += part.text
        break
      case "text-delta":
        this.text += part.delta
        return { _tag: "TextDelta", turn, text: part.delta }
      case "reasoning-delta":
        return { _tag: "ReasoningDelta", turn, text: part.delta }
      case "tool-call": {
        const call = AgentTranscript.callOf(part)
        if (part.providerExecuted) return { _tag: "ServerToolStarted", turn, ...call }
        if (!this.calls.has(part.id)) this.calls.set(part.id, call)
        break
      }
      case "tool-result": {
        const { encodedResult: result, id: toolCallId, isFailure, name } = part
        return { _tag: "ServerToolFinished", turn, toolCallId, name, isFailure, result }
      }
      case "finish":
        this.finish = part
    }
    return undefined
  }
}
