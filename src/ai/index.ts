/** Claude behind effect/ai. */

export * as Agent from "./Agent.ts"

export * as AgentTool from "./AgentTool.ts"

export * as ClaudeLanguageModel from "./ClaudeLanguageModel.ts"

export * as ClaudeTool from "./ClaudeTool.ts"

export * as McpTools from "./McpTools.ts"

export type * as Options from "./Options.ts"
