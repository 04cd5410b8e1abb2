/**
 * What an agent tells while it runs, and what it comes to.
 *
 * Each step that changes the transcript carries it: whatever happens next, a run of it goes on from there, and no tool
 * runs twice. Every call of a tool of the toolkit ends in one `ToolFinished` or one `ApprovalNeeded`, whatever became
 * of it.
 */
import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

/** One thing that happened in a run. @category models @since 0.2.0 */
export type Step =
  | TextDelta
  | ReasoningDelta
  | ServerToolStarted
  | ServerToolFinished
  | ToolsCalled
  | ToolStarted
  | ToolProgress
  | ToolFinished
  | ApprovalNeeded
  | TurnFinished
  | Finished

/** Text that has come. @category models @since 0.2.0 */
export interface TextDelta {
  readonly _tag: "TextDelta"
  readonly turn: number
  readonly text: string
}

/** Thinking that has come. @category models @since 0.2.0 */
export interface ReasoningDelta {
  readonly _tag: "ReasoningDelta"
  readonly turn: number
  readonly text: string
}

/** A call of a tool, as the model made it. @category models @since 0.2.0 */
export interface ToolCall {
  readonly toolCallId: string
  readonly name: string
  /** As the model gave them, before they are decoded. */
  readonly params: unknown
}

/** The API runs a tool of its own, as a search of the web. @category models @since 0.2.0 */
export interface ServerToolStarted extends ToolCall {
  readonly _tag: "ServerToolStarted"
  readonly turn: number
}

/** A tool of the API's own has answered, maybe in a later turn than it was called. @category models @since 0.2.0 */
export interface ServerToolFinished {
  readonly _tag: "ServerToolFinished"
  readonly turn: number
  readonly toolCallId: string
  readonly name: string
  readonly isFailure: boolean
  readonly result: unknown
}

/**
 * The model has called tools, or calls of an earlier run were approved (in turn 0). None of them runs before the step
 * after this one is asked for: who has kept the transcript by then never runs a tool twice. What reads ahead of them, as
 * `Stream.buffer`, asks for it as well: keep it before that.
 *
 * @category models
 * @since 0.2.0
 */
export interface ToolsCalled {
  readonly _tag: "ToolsCalled"
  readonly turn: number
  readonly calls: ReadonlyArray<ToolCall>
  readonly transcript: Prompt.Prompt
}

/** A tool is about to run. @category models @since 0.2.0 */
export interface ToolStarted extends ToolCall {
  readonly _tag: "ToolStarted"
  readonly turn: number
}

/** What a tool tells on the way; what nobody has room for is left out. @category models @since 0.2.0 */
export interface ToolProgress {
  readonly _tag: "ToolProgress"
  readonly turn: number
  readonly toolCallId: string
  readonly name: string
  /** Encoded, as it would go to the model. */
  readonly result: unknown
}

/**
 * How a call of a tool ended; what is denied was not run, and what is interrupted may have been.
 *
 * @category models
 * @since 0.2.0
 */
export type ToolOutcome = "success" | "failed" | "timed-out" | "denied" | "interrupted"

/** A call of a tool is over, and answered. @category models @since 0.2.0 */
export interface ToolFinished {
  readonly _tag: "ToolFinished"
  readonly turn: number
  readonly toolCallId: string
  readonly name: string
  readonly outcome: ToolOutcome
  /** What the model is told. */
  readonly result: unknown
  /** What it failed with, a defect too, for this process: it may hold anything. */
  readonly error?: Redacted.Redacted<unknown> | undefined
  /** From its first attempt to its last; nothing where it did not run. */
  readonly duration: Duration.Duration
  readonly attempts: number
  readonly transcript: Prompt.Prompt
}

/** A call that waits for an approval. @category models @since 0.2.0 */
export type ApprovalRequest = ToolCall

/**
 * The run will end, when its other calls are over, and wait for an approval: `Agent.answer` gives it.
 *
 * @category models
 * @since 0.2.0
 */
export interface ApprovalNeeded extends ApprovalRequest {
  readonly _tag: "ApprovalNeeded"
  readonly turn: number
  readonly transcript: Prompt.Prompt
}

/** Tokens of a turn or a run; input counts cached ones in. @category models @since 0.2.0 */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadTokens: number
  readonly cacheWriteTokens: number
}

/** The model has answered, and the tools that it asked for have. @category models @since 0.2.0 */
export interface TurnFinished {
  readonly _tag: "TurnFinished"
  readonly turn: number
  readonly finishReason: Response.FinishReason
  /** Of the model's answer. */
  readonly usage: Usage
  /** In USD, all attempts at the answer included; undefined where nobody tells it. */
  readonly cost: number | undefined
  readonly transcript: Prompt.Prompt
}

/** The run is over. @category models @since 0.2.0 */
export interface Finished extends Result {
  readonly _tag: "Finished"
}

// -----------------------------------------------------------------------------
// results
// -----------------------------------------------------------------------------

/**
 * Why a run is over: the model is done; a call waits for an approval; a limit is reached; the model refused; or its
 * answer was cut or ended in a way that nobody knows.
 *
 * @category models
 * @since 0.2.0
 */
export type Reason =
  | "done"
  | "approval"
  | "turn-limit"
  | "token-limit"
  | "cost-limit"
  | "time-limit"
  | "refused"
  | "cut"

/** What a run has come to. @category models @since 0.2.0 */
export interface Result {
  readonly reason: Reason
  /** The text of the last turn, with that of the turns that were paused before it. */
  readonly text: string
  readonly turns: number
  /** Of all turns, and of the agents that its tools have run. */
  readonly usage: Usage
  /** In USD, of the same; undefined where a part of it is not known. */
  readonly cost: number | undefined
  /** All that was said but the instructions; every call has a result, or waits for an approval. */
  readonly transcript: Prompt.Prompt
  /** What waits for an approval. */
  readonly pending: ReadonlyArray<ApprovalRequest>
}

/**
 * The model's failure, with all that was said before it: run the transcript to try again from there. It is in no log and
 * no JSON of the error, and does not go with it to another process: who wants it there stores or sends it by itself.
 *
 * @category errors
 * @since 0.2.0
 */
export interface AgentError extends AiError.AiError {
  readonly transcript: Prompt.Prompt
}
