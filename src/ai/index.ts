/** Claude behind effect/ai. */

export * as Agent from "./Agent.ts"

export * as ClaudeLanguageModel from "./ClaudeLanguageModel.ts"

export * as ClaudeTool from "./ClaudeTool.ts"

export type * as Options from "./Options.ts"
