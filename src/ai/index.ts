/**
 * `effect-claude/ai`: programs of `effect/ai` on Claude, agents, and tools from elsewhere.
 *
 * `ClaudeLanguageModel.layer({ model })` over a Claude layer is all that a program of `LanguageModel`, `Chat` and `Toolkit`
 * needs. Importing this also types the parts' `anthropic` options and metadata.
 */

/** A model that is asked again with what its tools answered, within limits. */
export * as Agent from "./agent/Agent.ts"

/** An agent as a tool, of another agent or of an MCP server. */
export * as AgentTool from "./agent/AgentTool.ts"

/** Claude as `LanguageModel`. */
export * as ClaudeLanguageModel from "./ClaudeLanguageModel.ts"

/** The API's own tools: web search, code execution, bash, memory and so on. */
export * as ClaudeTool from "./tools/ClaudeTool.ts"

/** The tools of MCP servers as a toolkit. */
export * as McpTools from "./mcp/McpTools.ts"

/** What of a part's `anthropic` options and metadata there is. */
export type * as Options from "./Options.ts"
