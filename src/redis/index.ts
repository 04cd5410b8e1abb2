/**
 * `effect-claude/redis`: what several processes share through Redis.
 */

/** Limits, circuits, budgets and the usage report of all processes with one prefix. */
export * as ClaudeRedis from "./ClaudeRedis.ts"
