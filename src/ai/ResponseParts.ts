/**
 * The blocks of an answer as parts, the same whether it came whole or as a stream.
 *
 * What no part can carry back exactly rides in `metadata.anthropic.block`. The surprise: a call that the API ran itself
 * is a tool call only if the toolkit has that tool, since effect/ai fails on calls that it cannot place. Else it is an
 * empty text with its block, and so is every block of a kind that this version does not know: read and sent back, never
 * failed on.
 */
import * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import type * as Schema from "effect/Schema"
import type * as Claude from "../Claude.ts"
import * as Finish from "./Finish.ts"
import type { Block, Caller, TextOptions } from "./Options.ts"
import * as ServerTools from "./ServerTools.ts"
import * as Sources from "./Sources.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What an answer is read with. @internal */
export interface ReadOptions {
  readonly tools: ReadonlyArray<Tool.Any>
  /** The name of the tool whose call is the answer, where it is called; where not, the text is. */
  readonly answer: string | undefined
  /** Whether a call of a tool that nobody declared is handed on. */
  readonly deferred: boolean
  readonly read: (tool: Tool.Any, input: unknown) => unknown
}

/** A part that a block may be. @internal */
export type BlockPart =
  | Response.TextPartEncoded
  | Response.ReasoningPartEncoded
  | Response.ToolCallPartEncoded
  | Response.ToolResultPartEncoded
  | Response.UrlSourcePartEncoded
  | Response.DocumentSourcePartEncoded

// -----------------------------------------------------------------------------
// reader
// -----------------------------------------------------------------------------

/** Reads the blocks of one message; throws `ToolNotFoundError` where a call has no tool. @internal */
export class Reader {
  private readonly options: ReadOptions
  private readonly byName: ReadonlyMap<string, Tool.Any>
  /** The tools that calls of this message belong to. */
  private readonly callers = new Map<string, string>()

  constructor(options: ReadOptions) {
    this.options = options
    // As the API calls them.
    this.byName = new Map(
      options.tools.map((tool) => [Tool.isProviderDefined(tool) ? tool.providerName : tool.name, tool])
    )
  }

  /** The tool that a block calls, and whether the API runs it. */
  toolOf(block: Block): { readonly tool: Tool.Any; readonly isServed: boolean } | undefined {
    if (block.type === "tool_use") {
      const tool = this.byName.get(String(block["toolset_name"] ?? block["name"]))
      return tool && { tool, isServed: false }
    }
    const isCall = block.type === "server_tool_use" || block.type === "mcp_tool_use"
    const tool = isCall ? this.served(ServerTools.ownerOfCall(String(block["name"]))) : undefined
    return tool && { tool, isServed: true }
  }

  /** What the API runs is never one of the program's own tools, though they may share a name. */
  private served(name: string): Tool.Any | undefined {
    const tool = this.byName.get(name)
    return tool !== undefined && (Tool.isProviderDefined(tool) || Tool.isDynamic(tool)) ? tool : undefined
  }

  /** `id` names the block for its sources. */
  parts(block: Block, id: string): Array<BlockPart> {
    // What is no block at all cannot go back.
    if (typeof block?.type !== "string") return []
    switch (block.type) {
      case "text":
        return [textPart(block, this.options.answer), ...Sources.ofCitations(block["citations"], id)]
      case "thinking":
        return [reasoning(block, ["thinking", "signature"], String(block["thinking"] ?? ""), {
          type: "thinking",
          signature: String(block["signature"] ?? "")
        })]
      case "redacted_thinking":
        return [reasoning(block, ["data"], "", {
          type: "redacted_thinking",
          redactedData: String(block["data"])
        })]
      case "tool_use":
        return [this.call(block)]
      case "server_tool_use":
      case "mcp_tool_use":
        return [this.servedCall(block)]
      default:
        return ServerTools.isResult(block) ? [this.result(block), ...Sources.ofResult(block, id)] : [raw(block)]
    }
  }

  private call(block: Block): BlockPart {
    const id = String(block["id"])
    const name = String(block["name"])
    if (name === this.options.answer) return { type: "text", text: JSON.stringify(block["input"]) }
    const found = this.toolOf(block)
    if (found === undefined) {
      if (this.options.deferred) return { type: "tool-call", id, name, params: block["input"], ...verbatimCall(block) }
      throw new AiError.ToolNotFoundError({
        toolName: name,
        availableTools: this.options.tools.map(({ name }) => name)
      })
    }
    const { tool } = found
    if (block["toolset_name"] != null) {
      // What is no object has nothing to spread.
      const params = { action: name, ...(block["input"] as Schema.JsonObject | undefined) }
      return { type: "tool-call", id, name: tool.name, params, metadata: { anthropic: { block } } }
    }
    const params = this.options.read(tool, block["input"])
    const isAsGiven = params === block["input"] || JSON.stringify(params) === JSON.stringify(block["input"])
    return {
      type: "tool-call",
      id,
      name: tool.name,
      params,
      ...(isAsGiven ? verbatimCall(block) : { metadata: { anthropic: { block, ...callerOf(block) } } })
    }
  }

  private servedCall(block: Block): BlockPart {
    const found = this.toolOf(block)
    if (found === undefined) return raw(block)
    const id = String(block["id"])
    this.callers.set(id, found.tool.name)
    return {
      type: "tool-call",
      id,
      name: found.tool.name,
      params: ServerTools.paramsOf(String(block["name"]), block["input"] ?? {}),
      providerExecuted: true,
      metadata: {
        anthropic: {
          block,
          ...callerOf(block),
          ...(block.type === "mcp_tool_use" ? { mcp_tool: { server: String(block["server_name"]) } } : undefined)
        }
      }
    }
  }

  private result(block: Block): BlockPart {
    const id = String(block["tool_use_id"])
    const name = this.callers.get(id) ??
      ServerTools.ownersOfResult(block.type).map((name) => this.served(name)?.name).find((name) => name !== undefined)
    if (name === undefined) return raw(block)
    return {
      type: "tool-result",
      id,
      name,
      result: block["content"],
      isFailure: ServerTools.isFailure(block),
      providerExecuted: true,
      metadata: { anthropic: { block } }
    }
  }
}

// -----------------------------------------------------------------------------
// blocks
// -----------------------------------------------------------------------------

const raw = (block: Block): BlockPart => ({ type: "text", text: "", metadata: { anthropic: { block } } })

/** Whether a block has fields that its part does not carry. */
const hasMore = (block: Block, known: ReadonlyArray<string>): boolean =>
  Object.keys(block).some((key) => key !== "type" && block[key] !== null && !known.includes(key))

const textPart = (block: Block, answer: string | undefined): BlockPart => {
  // Beside the call that is the answer, a text is no part of it.
  if (answer !== undefined) return raw(block)
  const text = String(block["text"] ?? "")
  const { citations } = block
  const options: TextOptions = {
    // Of the API's own making.
    ...(Array.isArray(citations) && citations.length > 0
      ? { citations: citations as ReadonlyArray<Block> }
      : undefined),
    ...(hasMore(block, ["text", "citations"]) ? { block } : undefined)
  }
  return {
    type: "text",
    text,
    ...(Object.keys(options).length === 0 ? undefined : { metadata: { anthropic: options } })
  }
}

const reasoning = (
  block: Block,
  known: ReadonlyArray<string>,
  text: string,
  info: { type: "thinking"; signature: string } | { type: "redacted_thinking"; redactedData: string }
): BlockPart => ({
  type: "reasoning",
  text,
  metadata: { anthropic: { info, ...(hasMore(block, known) ? { block } : undefined) } }
})

const verbatimCall = (block: Block) => {
  const more = hasMore(block, ["id", "name", "input", "caller"]) ? { block } : undefined
  const caller = callerOf(block)
  return more === undefined && caller === undefined ? undefined : { metadata: { anthropic: { ...more, ...caller } } }
}

const callerOf = ({ caller }: Block): { readonly caller: Caller } | undefined => {
  if (caller == null || typeof caller !== "object" || !("type" in caller)) return undefined
  const toolId = "tool_id" in caller ? { toolId: String(caller["tool_id"]) } : undefined
  return { caller: { type: String(caller["type"]), ...toolId } }
}

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

/** All parts of a message that came whole. @internal */
export const ofMessage = (message: Claude.Message, options: ReadOptions, at: number): Array<Response.PartEncoded> => {
  // Blocks came as JSON; the SDK's types know some of them.
  const blocks = message.content as unknown as ReadonlyArray<Block>
  // By what came: another model may have answered in the place of the one that was asked.
  const isCalled = options.answer !== undefined &&
    blocks.some((block) => block.type === "tool_use" && block["name"] === options.answer)
  const reader = new Reader(isCalled ? options : { ...options, answer: undefined })
  return [
    Finish.metadata(message, at),
    ...blocks.flatMap((block, index) => reader.parts(block, `${message.id}-${index}`)),
    Finish.part(message, message, isCalled)
  ]
}

/** All that was said. @internal */
export const textOf = (parts: ReadonlyArray<Response.PartEncoded>): string =>
  parts.map((part) => part.type === "text" ? part.text : "").join("")
