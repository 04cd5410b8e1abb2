/**
 * The answer to a request for an object: what it is, or what is wrong with it and what would help.
 */
import type { Message, ToolUseBlock } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** How an answer is read. @internal */
export interface Asked<A, RD> {
  /** The name of the tool whose call is the answer; where it is not called, the text is. */
  readonly tool: string
  /** The names of the request's own tools. */
  readonly others: ReadonlySet<string>
  readonly decode: (message: Message) => Effect.Effect<A, Schema.SchemaError, RD>
}

/** How an answer is told from one that was cut. @internal */
export interface Reading {
  readonly textOf: (message: Message) => string
  /** Whether an answer was cut or refused: it would be again. */
  readonly isIncomplete: (stopReason: string | null) => boolean
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** The call that is the answer. @internal */
export const callOf = (message: Message, tool: string): ToolUseBlock | undefined =>
  message.content.find((block): block is ToolUseBlock => block.type === "tool_use" && block.name === tool)

/** The first call of a tool of the request's own. */
const otherCallOf = (message: Message, others: ReadonlySet<string>): ToolUseBlock | undefined =>
  message.content.find((block): block is ToolUseBlock => block.type === "tool_use" && others.has(block.name))

/** The object that a message is, or what is wrong with it. @internal */
export const read = <A, RD>(
  { decode }: Asked<A, RD>,
  message: Message,
  { isIncomplete }: Reading
): Effect.Effect<A, string, RD> =>
  // What was cut or refused may happen to parse, and is not what was asked for all the same.
  Effect.matchEffect(decode(message), {
    onFailure: (error) => Effect.fail(bounded(error.message)),
    onSuccess: (object) =>
      isIncomplete(message.stop_reason)
        ? Effect.fail(`It stopped early: ${message.stop_reason}.`)
        : Effect.succeed(object)
  })

/** An answer may be wrong in each of its elements, and what is wrong goes to the model and into errors. */
const LONGEST_ISSUE = 2000

const bounded = (issue: string): string => {
  if (issue.length <= LONGEST_ISSUE) return issue
  const end = issue.lastIndexOf("\n", LONGEST_ISSUE)
  return `${issue.slice(0, end > 0 ? end : LONGEST_ISSUE)}\n… and more of it.`
}

/** Whether asking once more would not help: it was cut or refused, or waits for what a tool says. @internal */
export const isFinal = (
  { others }: Pick<Asked<unknown, unknown>, "others">,
  answer: Message,
  { isIncomplete }: Reading
): boolean => isIncomplete(answer.stop_reason) || otherCallOf(answer, others) !== undefined

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** The error of an answer that is not what was asked for. @internal */
export const mismatch = (
  { others }: Pick<Asked<unknown, unknown>, "others">,
  answer: Message,
  issue: string,
  times: number,
  details: {
    readonly attempts: number
    readonly usage: ClaudeError.Usage | undefined
    readonly requestId: string | undefined
  }
): ClaudeError.ClaudeFatalError =>
  Failure.fatal(
    new ClaudeError.SchemaMismatch({ stopReason: answer.stop_reason, issue }),
    `The answer does not fit the schema (stop_reason ${answer.stop_reason}, asked ${
      times === 1 ? "once" : `${times} times`
    }). ${remedyOf(answer, others)}`,
    { type: "schema_mismatch", ...details, partial: answer }
  )

const remedyOf = (answer: Message, others: ReadonlySet<string>): string => {
  switch (answer.stop_reason) {
    case "max_tokens":
      return "It was cut at max_tokens: raise it."
    case "model_context_window_exceeded":
      return "It was cut where the model's context window was full: shorten the prompt."
    case "refusal":
      return "The model refused: change the prompt, or name another model in fallback, with onRefusal \"fallback\"."
    case "pause_turn":
      return "A tool of the server takes longer than a turn, and an object is asked for in one: gather first, with an " +
        "Agent or Claude.message, and ask for the object of what was found."
    default: {
      const other = otherCallOf(answer, others)
      return other === undefined
        ? "The reason's issue says where; make the schema or the prompt plainer."
        : `It called the tool ${JSON.stringify(other.name)}, and Claude.object runs no tools: take it out of the ` +
          "request, or ask through an Agent or LanguageModel.generateObject."
    }
  }
}
