/**
 * A prompt as what the API takes: system blocks, and turns that alternate.
 *
 * Nothing is trimmed and the order stays. System messages that come first are the system prompt, each a block of its
 * own; later ones come behind the user's turn, and in it where a model takes no other. What the API would refuse is
 * left out: blanks alone, reasoning that nobody signed, and what another provider's server has run. The surprise: a
 * tool call that nobody answered, as an interruption leaves it, is answered as interrupted (`Turns`), or the
 * conversation could never go on.
 */
import type { BetaMessageParam, BetaTextBlockParam } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Model from "../request/Model.ts"
import * as Breakpoints from "./Breakpoints.ts"
import * as FileBlocks from "./FileBlocks.ts"
import type { Caller } from "./Options.ts"
import * as ServerTools from "./ServerTools.ts"
import * as ToolResultBlocks from "./ToolResultBlocks.ts"
import * as Turns from "./Turns.ts"

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

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** The request of a prompt to a model; throws `InvalidUserInputError` where a file cannot be sent. @internal */
export const fromPrompt = (prompt: Prompt.Prompt, names: Names, model: string): Conversation => {
  const turns = new Conversing()
  for (const message of inOrder(prompt.content)) {
    switch (message.role) {
      case "system":
        turns.add("system", message, message.content.trim() === "" ? [] : [{ type: "text", text: message.content }])
        break
      case "user":
        turns.add("user", message, message.content.flatMap(userBlocks))
        break
      case "assistant":
        turns.add("assistant", message, readable(message.content.flatMap((part) => assistantBlocks(part, names))))
        break
      case "tool":
        turns.answer(message, names)
    }
  }
  return turns.conversation(Model.takesSystem(model))
}

/**
 * With each result in the turn after its call, where alone the API takes it: what was approved is kept by a chat behind
 * the answer to it.
 */
const inOrder = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
  const callers = new Map<string, number>()
  const late = new Map<number, Array<Prompt.ToolMessagePart>>()
  let last = -1
  const kept = messages.map((message, index) => {
    if (message.role === "assistant") {
      last = index
      for (const part of message.content) if (part.type === "tool-call") callers.set(part.id, index)
    }
    if (message.role !== "tool") return message
    const content = message.content.filter((part) => {
      const caller = part.type === "tool-result" ? callers.get(part.id) : undefined
      if (caller === undefined || caller === last) return true
      // Behind what is there, as when it was new: what was sent before stays the same, for the prompt cache too.
      let at = caller
      while (messages[at + 1]?.role === "tool") at++
      const parts = late.get(at)
      if (parts === undefined) late.set(at, [part])
      else parts.push(part)
      return false
    })
    return content.length === message.content.length ? message : Prompt.makeMessage("tool", { ...message, content })
  })
  return late.size === 0 ? messages : kept.flatMap((message, index) => {
    const content = late.get(index)
    return content === undefined ? [message] : [message, Prompt.makeMessage("tool", { content })]
  })
}

/** Puts messages into turns. */
class Conversing {
  private readonly turns: Array<Turns.Turn> = []
  /** The toolset of each call that is of one: its result must name it. */
  private readonly toolsets = new Map<string, string>()

  add(role: Turns.Turn["role"], message: Prompt.Message, blocks: Array<Turns.Param>): void {
    Breakpoints.onLast(blocks, message.options.anthropic?.cacheControl)
    if (blocks.length === 0) return
    const { content } = this.turn(role)
    for (const block of blocks) {
      const toolset = "toolset_name" in block ? block.toolset_name : undefined
      if (block.type === "tool_use" && typeof toolset === "string") this.toolsets.set(String(block.id), toolset)
      content.push(block)
    }
  }

  answer(message: Prompt.ToolMessage, names: Names): void {
    const results: Array<Turns.Param> = []
    for (const part of message.content) {
      if (part.type !== "tool-result") continue
      const own = part.options.anthropic?.block
      if (own == null && part.options.anthropic?.mcp_tool != null) {
        // Other providers keep the results of MCP tools beside those of the program's own.
        const calls = this.turns.findLast(({ role }) => role === "assistant")
        calls?.content.push(ServerTools.resultBlock(part, nameOf(part, names)))
        continue
      }
      const block = own ?? ToolResultBlocks.fromPart(part, userBlocks, this.toolsets.get(part.id))
      results.push(Breakpoints.on(block, part))
    }
    Breakpoints.onLast(results, message.options.anthropic?.cacheControl)
    if (results.length > 0) Turns.join(this.turn("user"), results)
  }

  private turn(role: Turns.Turn["role"]): Turns.Turn {
    const last = this.turns.at(-1)
    if (last?.role === role) return last
    const turn: Turns.Turn = { role, content: [] }
    this.turns.push(turn)
    return turn
  }

  conversation(takesSystem: boolean): Conversation {
    const [first, ...rest] = this.turns
    const leading = first?.role === "system" ? first : undefined
    const turns = Turns.mended(leading === undefined ? this.turns : rest, takesSystem)
    return {
      // Only texts are made of a system message.
      system: leading?.content as Array<BetaTextBlockParam> | undefined,
      // What the SDK's types do not know came from the API, or from a caller who knows more of it.
      messages: turns as Array<BetaMessageParam>
    }
  }
}

// -----------------------------------------------------------------------------
// parts
// -----------------------------------------------------------------------------

const userBlocks = (part: Prompt.UserMessagePart): Array<Turns.Param> => {
  const block = part.options.anthropic?.block
  if (block != null) return [Breakpoints.on(block, part)]
  if (part.type === "file") return [Breakpoints.on(FileBlocks.fromPart(part), part)]
  // The API refuses what has nothing to read in it.
  return part.text.trim() === "" ? [] : [Breakpoints.on({ type: "text", text: part.text }, part)]
}

const assistantBlocks = (part: Prompt.AssistantMessagePart, names: Names): Array<Turns.Param> => {
  if (part.type === "tool-approval-request") return []
  const own = part.options.anthropic?.block
  // A text that was changed since is no longer the block's.
  const isOwn = own != null && (part.type !== "text" || part.text === "" || part.text === own["text"])
  const block = isOwn ? own : assistantBlock(part, names)
  return block === undefined ? [] : [Breakpoints.on(block, part)]
}

/** The API refuses what has nothing to read in it, also where the model wrote it, but for blanks beside a text. */
const readable = (blocks: Array<Turns.Param>): Array<Turns.Param> => {
  const hasText = blocks.some((block) => block.type === "text" && !isBlank(block))
  return blocks.filter((block) => !isBlank(block) || hasText && block.text !== "")
}

const isBlank = (block: Turns.Param): block is Turns.Param & { readonly type: "text"; readonly text: string } =>
  block.type === "text" && String(block.text).trim() === "" &&
  !("citations" in block && Array.isArray(block.citations) && block.citations.length > 0)

const assistantBlock = (
  part: Exclude<Prompt.AssistantMessagePart, Prompt.ToolApprovalRequestPart>,
  names: Names
): Turns.Param | undefined => {
  switch (part.type) {
    case "text": {
      const citations = part.options.anthropic?.citations
      return { type: "text", text: part.text, ...(citations == null ? undefined : { citations }) }
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
