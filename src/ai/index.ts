/** Claude behind effect/ai. */

export * as Agent from "./agent/Agent.ts"

export * as AgentTool from "./agent/AgentTool.ts"

export * as ClaudeLanguageModel from "./ClaudeLanguageModel.ts"

export * as ClaudeTool from "./tools/ClaudeTool.ts"

export * as McpTools from "./mcp/McpTools.ts"

export type * as Options from "./Options.ts"
