/**
 * The blocks of tools that the API runs itself: whose they are, and how they are made again from parts that do not
 * hold them, such as those of a chat that another provider for Claude has stored.
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { Block } from "./Options.ts"

/** Names on the wire that belong to the tool of another name. */
const owners: Readonly<Record<string, string>> = {
  bash_code_execution: "code_execution",
  text_editor_code_execution: "code_execution"
}

/** What toolkits call Claude's tools, for prompts that come without the toolkit. */
const customs: Readonly<Record<string, string>> = {
  AnthropicWebSearch: "web_search",
  AnthropicWebFetch: "web_fetch",
  AnthropicCodeExecution: "code_execution",
  AnthropicToolSearchRegex: "tool_search_tool_regex",
  AnthropicToolSearchBM25: "tool_search_tool_bm25",
  AnthropicAdvisor: "advisor",
  AnthropicBash: "bash",
  AnthropicTextEditor: "str_replace_based_edit_tool",
  AnthropicMemory: "memory",
  AnthropicComputerUse: "computer"
}

const known: ReadonlySet<string> = new Set([...Object.values(customs), ...Object.keys(owners)])

/** What the API calls a tool, as the request's tools say, or as it is known without them. @internal */
export const providerName = (name: string, declared: string): string =>
  declared === name && Object.hasOwn(customs, name) ? customs[name]! : declared

/** Whether the API may have run a tool of this name: others were run by another provider. @internal */
export const isServed = (part: Prompt.ToolCallPart | Prompt.ToolResultPart, providerName: string): boolean =>
  part.options.anthropic?.mcp_tool != null || providerName !== part.name || known.has(providerName)

/** The provider's name of the tool that a server tool call is of. @internal */
export const ownerOfCall = (name: string): string => owners[name] ?? name

const RESULT = "_tool_result"

/** Whether a block is the result of a server tool. @internal */
export const isResult = (block: Block): boolean =>
  block.type.endsWith(RESULT) && typeof block["tool_use_id"] === "string"

/** The provider's names of the tools that a result's type may be of. @internal */
export const ownersOfResult = (type: string): ReadonlyArray<string> => {
  const name = type.slice(0, -RESULT.length)
  return name === "tool_search" ? ["tool_search_tool_regex", "tool_search_tool_bm25"] : [ownerOfCall(name)]
}

/** Whether it says that the tool failed. @internal */
export const isFailure = (block: Block): boolean =>
  block["is_error"] === true ||
  Predicate.hasProperty(block["content"], "type") && String(block["content"].type).endsWith("_error")

/** What a call's parameters are to its tool: where one tool has several calls, they say which it is. @internal */
export const paramsOf = (name: string, input: Schema.Json): Schema.Json =>
  Object.hasOwn(owners, name) && isObject(input) ? { type: name, ...input } : input

const isObject = (json: Schema.Json): json is Schema.JsonObject => Predicate.isObject(json)

// -----------------------------------------------------------------------------
// made again
// -----------------------------------------------------------------------------

/** A call, where nobody kept its block. @internal */
export const callBlock = (part: Prompt.ToolCallPart, providerName: string): Block => {
  const server = part.options.anthropic?.mcp_tool?.server
  // Parameters of a tool came as JSON, and go as JSON.
  const params = part.params as Schema.Json
  if (server !== undefined) {
    return { type: "mcp_tool_use", id: part.id, name: part.name, input: params, server_name: server }
  }
  if (Predicate.hasProperty(params, "type") && typeof params.type === "string" && marks.has(params.type)) {
    const { type, ...input } = params as Schema.JsonObject
    return {
      type: "server_tool_use",
      id: part.id,
      name: Object.hasOwn(owners, String(type)) ? String(type) : providerName,
      input
    }
  }
  return { type: "server_tool_use", id: part.id, name: providerName, input: params }
}

/** What parameters may be marked with, which the API did not give. */
const marks = new Set([...Object.keys(owners), "programmatic-tool-call"])

/** A result, where nobody kept its block. @internal */
export const resultBlock = (part: Prompt.ToolResultPart, providerName: string): Block => {
  // As with parameters: what is kept in a prompt is JSON.
  const result = part.result as Schema.Json
  if (part.options.anthropic?.mcp_tool != null) {
    return { type: "mcp_tool_result", tool_use_id: part.id, is_error: part.isFailure, content: result }
  }
  if (providerName.startsWith("tool_search_tool")) {
    const content = Array.isArray(result)
      ? { type: "tool_search_tool_search_result", tool_references: result }
      : result
    return { type: `tool_search${RESULT}`, tool_use_id: part.id, content }
  }
  const kind = Predicate.hasProperty(result, "type") ? String(result.type) : ""
  const name = Object.keys(owners).find((name) => kind.startsWith(name)) ?? providerName
  return { type: name + RESULT, tool_use_id: part.id, content: result }
}
