/**
 * The text of an answer, and whether it is all of it: a cut or a refusal leaves a text that must not pass for whole.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as StopReason from "../request/StopReason.ts"
import type { StreamEvent } from "./Event.ts"

/** All of a message's text. */
const textOf = (message: Message): string => {
  let text = ""
  for (const block of message.content) {
    if (block.type === "text") text += block.text
  }
  return text
}

/** What is known of the call that answered. */
interface Answered {
  readonly requestId?: string | undefined
  readonly attempts?: number | undefined
  readonly billed?: ClaudeError.Usage | undefined
}

/** All of a message's text, or an error when that is not all that was to be said. @internal */
export const whole = (message: Message & Answered): Effect.Effect<string, ClaudeError.ClaudeFatalError> =>
  StopReason.isIncomplete(message.stop_reason)
    ? Effect.fail(incomplete(message.stop_reason, message, {
      partial: message
    }))
    : Effect.succeed(textOf(message))

/** The texts of a pull of events; it ends with an error when they were not all that was to be said. @internal */
export const texts = (
  pull: Pull.Pull<ReadonlyArray<StreamEvent<Answered>>, ClaudeError.ClaudeError>
): Pull.Pull<Arr.NonEmptyReadonlyArray<string>, ClaudeError.ClaudeError> => {
  let stopped: string | null = null
  let answered: Answered = {}
  const next: ReturnType<typeof texts> = Effect.flatMap(pull, (events) => {
    const texts: Array<string> = []
    for (const event of events) {
      if (event.type === "content_block_delta") {
        if (event.delta.type === "text_delta") texts.push(event.delta.text)
      } else if (event.type === "message_delta") stopped = event.delta.stop_reason
      else if (event.type === "message_stop") answered = event
    }
    return Arr.isArrayNonEmpty(texts) ? Effect.succeed(texts) : next
  })
  const end = (): Pull.Pull<never, ClaudeError.ClaudeError> =>
    StopReason.isIncomplete(stopped) ? Effect.fail(incomplete(stopped, answered)) : Cause.done()
  return Pull.catchDone(next, end)
}

const incomplete = (
  stopReason: string,
  { attempts = 1, billed, requestId }: Answered,
  details?: Pick<Failure.Details, "partial">
) =>
  Failure.fatal(
    new ClaudeError.Incomplete({ stopReason }),
    `The text stopped early (stop_reason ${stopReason}). ` +
      (stopReason === "max_tokens" ? "Raise max_tokens, or use" : "Use") +
      " Claude.message or Claude.stream to have what came, whatever its stop_reason.",
    { type: "_OTHER", attempts, requestId, usage: billed, ...details }
  )
