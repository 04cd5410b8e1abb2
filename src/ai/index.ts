/** Claude behind effect/ai. */

export * as ClaudeLanguageModel from "./ClaudeLanguageModel.ts"

export * as ClaudeTool from "./ClaudeTool.ts"

export type * as Options from "./Options.ts"
