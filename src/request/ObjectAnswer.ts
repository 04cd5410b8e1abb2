/**
 * The answer to a request for an object: what it is, or what is wrong with it and what would help.
 */
import type { Message, ToolUseBlock } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as StopReason from "./StopReason.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** How an answer is read. @internal */
export interface Asked<A, RD> {
  /** The name of the tool whose call is the answer; where it is not called, the text is. */
  readonly tool: string
  readonly decode: (message: Message) => Effect.Effect<A, Schema.SchemaError, RD>
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** The call that is the answer. @internal */
export const callOf = (message: Message, tool: string): ToolUseBlock | undefined =>
  message.content.find((block): block is ToolUseBlock => block.type === "tool_use" && block.name === tool)

/** The first call of another tool, which is one of the request's own. */
const otherCallOf = (message: Message, tool: string): ToolUseBlock | undefined =>
  message.content.find((block): block is ToolUseBlock => block.type === "tool_use" && block.name !== tool)

/** Whether what is said before it is a word about a tool, and no part of the answer. @internal */
export const isOfTool = ({ type }: { readonly type: string }): boolean => /tool_(?:use|result)$/.test(type)

/** The text that is the answer: all of it after the last tool that something was said after. @internal */
export const textOf = ({ content }: Message): string => {
  const last = content.findLastIndex(({ type }) => type === "text")
  const tool = content.findLastIndex((block, n) => n < last && isOfTool(block))
  return content.slice(tool + 1).map((block) => block.type === "text" ? block.text : "").join("")
}

/** An answer as a text: what was called, or what was said. @internal */
export const cameAs = ({ tool }: Pick<Asked<unknown, unknown>, "tool">, message: Message): string => {
  const call = callOf(message, tool)
  return call === undefined ? textOf(message) : JSON.stringify(call.input)
}

/** The object that a message is, or what is wrong with it. @internal */
export const read = <A, RD>(
  { decode }: Asked<A, RD>,
  message: Message
): Effect.Effect<A, string, RD> =>
  // What was cut or refused may happen to parse, and is not what was asked for all the same.
  Effect.matchEffect(decode(message), {
    onFailure: (error) => Effect.fail(bounded(error.message)),
    onSuccess: (object) =>
      StopReason.isIncomplete(message.stop_reason)
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
export const isFinal = ({ tool }: Pick<Asked<unknown, unknown>, "tool">, answer: Message): boolean =>
  StopReason.isIncomplete(answer.stop_reason) || otherCallOf(answer, tool) !== undefined

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** The error of an answer that is not what was asked for. @internal */
export const mismatch = (
  { tool }: Pick<Asked<unknown, unknown>, "tool">,
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
    }). ${remedyOf(answer, tool)}`,
    { type: "schema_mismatch", ...details, partial: answer }
  )

const remedyOf = (answer: Message, tool: string): string => {
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
      const other = otherCallOf(answer, tool)
      return other === undefined
        ? "The reason's issue says where; make the schema or the prompt plainer."
        : `It called the tool ${JSON.stringify(other.name)}, and Claude.object runs no tools: take it out of the ` +
          "request, or ask through an Agent or LanguageModel.generateObject."
    }
  }
}
