/**
 * The turns of a conversation, as the API takes them: it refuses a history that an interruption has left half done, and
 * would do so for ever.
 *
 * So a call that nobody answered is answered here as interrupted. Where a user's turn follows, what the API began to run
 * and never came to the end of is left out, and so are thoughts that nothing follows. A turn without one after it goes
 * on as it is.
 */
import type {
  BetaContentBlockParam,
  BetaToolResultBlockParam
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import type { Block } from "./Options.ts"

/** A block that is about to be sent. @internal */
export type Param = BetaContentBlockParam | Block

/** @internal */
export interface Turn {
  readonly role: "user" | "assistant" | "system"
  readonly content: Array<Param>
}

/** The same turns, so that the API takes them. @internal */
export const complete = (turns: ReadonlyArray<Turn>): Array<Turn> => {
  const results = new Set<unknown>()
  for (const { content } of turns) for (const block of content) results.add(resultOf(block))

  const all: Array<Turn> = []
  turns.forEach((turn, index) => {
    if (turn.role !== "assistant") return void all.push(turn)
    let after = index + 1
    while (turns[after]?.role === "system") after++
    const answer = turns[after]?.role === "user" ? turns[after] : undefined
    const calls = turn.content.filter(({ type }) => type === "tool_use") as Array<{ readonly id: string }>
    const known = new Set(answer?.content.map(resultOf))
    const missing = calls.filter(({ id }) => !known.has(id)).map(({ id }) => interrupted(id))
    const isLast = answer === undefined && missing.length === 0
    const content = isLast ? turn.content : withoutLastThoughts(
      // Beside calls of the program's own, those of the API go on when these are answered.
      calls.length > 0 ? turn.content : turn.content.filter((block) => !isServedCall(block) || results.has(block.id))
    )
    if (content.length > 0) all.push({ role: "assistant", content })
    if (missing.length === 0) return
    if (answer === undefined) all.push({ role: "user", content: missing })
    else answer.content.unshift(...missing)
  })
  return all
}

/** The call that it is the result of. */
const resultOf = (block: Param): unknown => "tool_use_id" in block ? block.tool_use_id : undefined

const isServedCall = (block: Param): block is Param & { readonly id: string } =>
  block.type === "server_tool_use" || block.type === "mcp_tool_use"

const withoutLastThoughts = (content: Array<Param>): Array<Param> =>
  content.slice(0, content.findLastIndex(({ type }) => type !== "thinking" && type !== "redacted_thinking") + 1)

const interrupted = (id: string): BetaToolResultBlockParam => ({
  type: "tool_result",
  tool_use_id: id,
  content: "The call was interrupted before the tool had answered.",
  is_error: true
})
