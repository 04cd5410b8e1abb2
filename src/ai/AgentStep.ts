/**
 * What an agent tells while it runs, and what it comes to.
 *
 * Every call of a tool ends in one `ToolFinished` or one `ApprovalNeeded`, whatever became of it. The surprise: a
 * `TurnFinished` comes after the tools of its turn, with a transcript that can be kept and gone on with.
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Duration from "effect/Duration"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** One thing that happened in a run. @category models @since 0.2.0 */
export type Step =
  | Resumed
  | TextDelta
  | ReasoningDelta
  | ToolStarted
  | ToolProgress
  | ToolFinished
  | ApprovalNeeded
  | TurnFinished
  | Finished

/**
 * What the transcript was left with is settled: calls that were cut off, and approvals.
 *
 * @category models
 * @since 0.2.0
 */
export interface Resumed {
  readonly _tag: "Resumed"
  /** In place of what the run was given: what was approved has run, and does not run again from here. */
  readonly transcript: Prompt.Prompt
}

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

/** A tool is about to run. @category models @since 0.2.0 */
export interface ToolStarted {
  readonly _tag: "ToolStarted"
  readonly turn: number
  readonly toolCallId: string
  readonly name: string
  /** As the model gave them, before they are decoded. */
  readonly params: unknown
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
  /** From its first attempt to its last; nothing where it did not run. */
  readonly duration: Duration.Duration
  readonly attempts: number
}

/** A call that waits for an approval. @category models @since 0.2.0 */
export interface ApprovalRequest {
  readonly toolCallId: string
  readonly name: string
  /** As the model gave them, before they are decoded. */
  readonly params: unknown
}

/**
 * The run will end, when its other calls are over, and wait for an approval: `Agent.answer` gives it.
 *
 * @category models
 * @since 0.2.0
 */
export interface ApprovalNeeded extends ApprovalRequest {
  readonly _tag: "ApprovalNeeded"
  readonly turn: number
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
  readonly usage: Usage
  /** In USD; undefined where nobody tells it. */
  readonly cost: number | undefined
  /** All up to here. */
  readonly transcript: Prompt.Prompt
}

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
  /** The text of the last turn. */
  readonly text: string
  readonly turns: number
  readonly usage: Usage
  /** In USD; undefined where the cost of a turn is not known. */
  readonly cost: number | undefined
  /** All that was said but the instructions; every call has a result, or waits for an approval. */
  readonly transcript: Prompt.Prompt
  /** What waits for an approval. */
  readonly pending: ReadonlyArray<ApprovalRequest>
}

/** The run is over. @category models @since 0.2.0 */
export interface Finished extends Result {
  readonly _tag: "Finished"
}
