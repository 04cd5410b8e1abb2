/** What a user's own tests need: an API that answers as told, and fails as told. */
export * as Answer from "./Answer.ts"
export * as ClaudeSimulator from "./ClaudeSimulator.ts"
export * as ScriptedTransport from "./ScriptedTransport.ts"
