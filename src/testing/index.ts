/**
 * `effect-claude/testing`: an API that answers as told, and fails as told, for a user's own tests.
 */

/** What is answered: a text, an object, tool calls, an error, and each way to break off. */
export * as Answer from "./Answer.ts"

/** The Messages API as an HTTP server, for whole programs. */
export * as ClaudeSimulator from "./ClaudeSimulator.ts"

/** Answers in memory, under `TestClock`. */
export * as ScriptedTransport from "./ScriptedTransport.ts"
