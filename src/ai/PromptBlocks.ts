/**
 * A prompt as what the API takes: system blocks, and turns that alternate.
 *
 * Nothing is trimmed and the order stays. System messages that come first are the system prompt, each a block of its
 * own; later ones stay where they are. What the API would refuse is left out: texts without a character, reasoning
 * that nobody signed, and what another provider's server has run. The surprise: a tool call that nobody answered, as an interruption leaves it, is answered here
 * as interrupted, or the conversation could never go on.
 */
import type {
  BetaCacheControlEphemeral,
  BetaContentBlockParam,
  BetaMessageParam,
  BetaTextBlockParam,
  BetaToolResultBlockParam
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as FileBlocks from "./FileBlocks.ts"
import type { Block, CacheControl, Caller } from "./Options.ts"
import * as ServerTools from "./ServerTools.ts"
import * as ToolResultBlocks from "./ToolResultBlocks.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @internal */
export interface Conversation {
  readonly system: Array<BetaTextBlockParam> | undefined
  readonly messages: Array<BetaMessageParam>
}

/** What the API calls each tool. @internal */
export type Names = Pick<Tool.NameMapper<ReadonlyArray<Tool.Any>>, "getProviderName">

/** A block that is about to be sent. */
type Param = BetaContentBlockParam | Block

interface Turn {
  readonly role: "user" | "assistant" | "system"
  readonly content: Array<Param>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** The request of a prompt; throws `InvalidUserInputError` where a file cannot be sent. @internal */
export const fromPrompt = (prompt: Prompt.Prompt, names: Names): Conversation => {
  const turns = new Turns()
  for (const message of prompt.content) {
    switch (message.role) {
      case "system":
        turns.add("system", message, message.content === "" ? [] : [{ type: "text", text: message.content }])
        break
      case "user":
        turns.add("user", message, message.content.flatMap(userBlocks))
        break
      case "assistant":
        turns.add("assistant", message, message.content.flatMap((part) => assistantBlocks(part, names)))
        break
      case "tool":
        turns.answer(message, names)
    }
  }
  return turns.conversation
}

class Turns {
  private readonly turns: Array<Turn> = []
  /** The toolset of each call that is of one: its result must name it. */
  private readonly toolsets = new Map<string, string>()

  add(role: Turn["role"], message: Prompt.Message, blocks: Array<Param>): void {
    mark(blocks, message.options.anthropic?.cacheControl)
    if (blocks.length === 0) return
    for (const block of blocks) {
      const toolset = "toolset_name" in block ? block.toolset_name : undefined
      if (block.type === "tool_use" && typeof toolset === "string") this.toolsets.set(String(block.id), toolset)
    }
    this.turn(role).content.push(...blocks)
  }

  /** Results come first in their turn: the API wants them right after the calls. */
  answer(message: Prompt.ToolMessage, names: Names): void {
    const results: Array<Param> = []
    for (const part of message.content) {
      if (part.type !== "tool-result") continue
      const own = part.options.anthropic?.block
      if (own == null && part.options.anthropic?.mcp_tool != null) {
        // Other providers keep the results of MCP tools beside those of the program's own.
        this.turns.findLast(({ role }) => role === "assistant")?.content.push(
          ServerTools.resultBlock(part, nameOf(part, names))
        )
      } else {results.push(
          withCache(own ?? ToolResultBlocks.fromPart(part, userBlocks, this.toolsets.get(part.id)), part)
        )}
    }
    mark(results, message.options.anthropic?.cacheControl)
    if (results.length > 0) this.first(this.turn("user").content, results)
  }

  private first(content: Array<Param>, results: ReadonlyArray<Param>): void {
    const at = content.findIndex(({ type }) => type !== "tool_result")
    content.splice(at === -1 ? content.length : at, 0, ...results)
  }

  private turn(role: Turn["role"]): Turn {
    const last = this.turns.at(-1)
    if (last?.role === role) return last
    const turn: Turn = { role, content: [] }
    this.turns.push(turn)
    return turn
  }

  get conversation(): Conversation {
    const [first, ...rest] = this.turns
    const leading = first?.role === "system" ? first : undefined
    const turns = answered(leading === undefined ? this.turns : rest)
    return {
      // Only texts are made of a system message.
      system: leading?.content as Array<BetaTextBlockParam> | undefined,
      // What the SDK's types do not know came from the API, or from a caller who knows more of it.
      messages: turns as Array<BetaMessageParam>
    }
  }
}

/** With an answer to each call that has none. */
const answered = (turns: ReadonlyArray<Turn>): Array<Turn> => {
  const all: Array<Turn> = []
  turns.forEach((turn, index) => {
    all.push(turn)
    if (turn.role !== "assistant") return
    const calls = turn.content.filter(({ type }) => type === "tool_use") as Array<{ readonly id: string }>
    if (calls.length === 0) return
    const next = turns.slice(index + 1).find(({ role }) => role !== "system")
    const answer = next?.role === "user" ? next : undefined
    const known = new Set(answer?.content.map((block) => "tool_use_id" in block ? block.tool_use_id : undefined))
    const missing = calls.filter(({ id }) => !known.has(id)).map(({ id }) => interrupted(id))
    if (missing.length === 0) return
    if (answer === undefined) all.push({ role: "user", content: missing })
    else answer.content.unshift(...missing)
  })
  return all
}

const interrupted = (id: string): BetaToolResultBlockParam => ({
  type: "tool_result",
  tool_use_id: id,
  content: "The call was interrupted before the tool had answered.",
  is_error: true
})

// -----------------------------------------------------------------------------
// parts
// -----------------------------------------------------------------------------

const userBlocks = (part: Prompt.UserMessagePart): Array<Param> => {
  const block = part.options.anthropic?.block
  if (block != null) return [withCache(block, part)]
  if (part.type === "file") return [withCache(FileBlocks.fromPart(part), part)]
  return part.text === "" ? [] : [withCache({ type: "text", text: part.text }, part)]
}

const assistantBlocks = (part: Prompt.AssistantMessagePart, names: Names): Array<Param> => {
  if (part.type === "tool-approval-request") return []
  const own = part.options.anthropic?.block
  // A text that was changed since is no longer the block's.
  const isOwn = own != null && (part.type !== "text" || part.text === "" || part.text === own["text"])
  const block = isOwn ? own : assistantBlock(part, names)
  return block === undefined ? [] : [withCache(block, part)]
}

const assistantBlock = (
  part: Exclude<Prompt.AssistantMessagePart, Prompt.ToolApprovalRequestPart>,
  names: Names
): Param | undefined => {
  switch (part.type) {
    case "text": {
      const citations = part.options.anthropic?.citations
      if (citations != null) return { type: "text", text: part.text, citations }
      // The API refuses what has nothing to read in it, also where the model wrote it.
      return part.text.trim() === "" ? undefined : { type: "text", text: part.text }
    }
    case "reasoning": {
      const info = part.options.anthropic?.info
      if (info == null) return undefined
      return info.type === "thinking"
        ? { type: "thinking", thinking: part.text, signature: info.signature }
        : { type: "redacted_thinking", data: info.redactedData }
    }
    case "tool-call": {
      const name = nameOf(part, names)
      if (part.providerExecuted) return ServerTools.isServed(part, name) ? ServerTools.callBlock(part, name) : undefined
      const caller = part.options.anthropic?.caller
      return {
        type: "tool_use",
        id: part.id,
        name,
        input: part.params,
        // Of an open set of callers.
        ...(caller == null ? undefined : { caller: callerParam(caller) as { type: "direct" } })
      }
    }
    case "tool-result": {
      const name = nameOf(part, names)
      return ServerTools.isServed(part, name) ? ServerTools.resultBlock(part, name) : undefined
    }
    // The model makes no files that it takes back.
    case "file":
      return undefined
  }
}

const nameOf = ({ name }: { readonly name: string }, names: Names): string =>
  ServerTools.providerName(name, names.getProviderName(name))

const callerParam = ({ toolId, type }: Caller) => toolId == null ? { type } : { type, tool_id: toolId }

// -----------------------------------------------------------------------------
// cache breakpoints
// -----------------------------------------------------------------------------

/** Blocks that may carry no breakpoint. */
const unmarked = new Set(["thinking", "redacted_thinking", "fallback", "mcp_tool_listing"])

const withCache = (
  block: Param,
  part: { readonly options: { readonly anthropic?: { readonly cacheControl?: CacheControl | null } | null } }
): Param => {
  const cacheControl = part.options.anthropic?.cacheControl
  return cacheControl == null || unmarked.has(block.type) ? block : marked(block, cacheControl)
}

const marked = (block: Param, cacheControl: BetaCacheControlEphemeral): Param =>
  // All blocks that may carry one have it in this field.
  ({ ...block, cache_control: cacheControl }) as Param

/** A message's own breakpoint goes on the last of its blocks that takes one, unless that has its own. */
const mark = (blocks: Array<Param>, cacheControl: CacheControl | null | undefined): void => {
  if (cacheControl == null) return
  const at = blocks.findLastIndex(({ type }) => !unmarked.has(type))
  const block = blocks[at]
  if (block !== undefined && (!("cache_control" in block) || block.cache_control == null)) {
    blocks[at] = marked(block, cacheControl)
  }
}
