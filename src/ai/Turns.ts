/**
 * The turns of a conversation, as the API takes them: it refuses a history that an interruption has left half done, or
 * a system message where it takes none, and would do so for ever.
 *
 * So a call that nobody answered is answered here as interrupted. Where a user's turn follows, what the API began to run
 * and never came to the end of is left out, and so are thoughts that nothing follows. A turn without one after it goes
 * on as it is. A system message comes right behind a user's turn, the one before it or else the next, and in it where a
 * model takes none.
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

/** Adds to a turn; results come first in it: the API wants them right after the calls. @internal */
export const join = ({ content }: Turn, blocks: ReadonlyArray<Param>): void => {
  const results = blocks.filter(isResult)
  if (results.length > 0) content.splice(content.findLastIndex(isResult) + 1, 0, ...results)
  for (const block of blocks) if (!isResult(block)) content.push(block)
}

const isResult = ({ type }: Param): boolean => type === "tool_result"

/** The same turns, so that a model takes them. @internal */
export const mended = (turns: ReadonlyArray<Turn>, takesSystem: boolean): Array<Turn> => {
  const all: Array<Turn> = []
  // Where a turn was left out, those around it are one.
  for (const turn of placed(complete(placed(turns)))) {
    const mayBe = turn.role !== "system" || takesSystem && all.at(-1)?.role === "user"
    if (mayBe) all.push(turn)
    else add(all, "user", turn.content.map(asUser))
  }
  return all
}

/** Adds to the last turn, where it is of the same role. */
const add = (turns: Array<Turn>, role: Turn["role"], content: ReadonlyArray<Param>): void => {
  const last = turns.at(-1)
  if (last?.role === role) join(last, content)
  else turns.push({ role, content: [...content] })
}

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

/** With an answer to each call. */
const complete = (turns: ReadonlyArray<Turn>): Array<Turn> => {
  const results = new Set<unknown>()
  for (const { content } of turns) for (const block of content) results.add(resultOf(block))

  const all: Array<Turn> = []
  turns.forEach((turn, index) => {
    if (turn.role !== "assistant") return void all.push(turn)
    const next = turns[index + 1]
    const answer = next?.role === "user" ? next : undefined
    const calls = turn.content.filter(({ type }) => type === "tool_use") as Array<{ readonly id: string }>
    const known = new Set(answer?.content.map(resultOf))
    const missing = calls.filter(({ id }) => !known.has(id)).map(({ id }) => interrupted(id))
    const isLast = next === undefined && missing.length === 0
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

// -----------------------------------------------------------------------------
// system messages
// -----------------------------------------------------------------------------

/** With system messages behind the user's turn that they are in or before. */
const placed = (turns: ReadonlyArray<Turn>): Array<Turn> => {
  const all: Array<Turn> = []
  const waiting: Array<Param> = []
  const place = () => {
    if (waiting.length > 0) add(all, "system", waiting.splice(0))
  }
  for (const { content, role } of turns) {
    if (role === "assistant") place()
    if (role !== "system") add(all, role, content)
    else for (const block of content) waiting.push(block)
  }
  place()
  return all
}

/** What the system says, where only a user may. */
const asUser = (block: Param): Param =>
  block.type === "text" ? { ...block, text: `<system>\n${String(block.text)}\n</system>` } as Param : block
