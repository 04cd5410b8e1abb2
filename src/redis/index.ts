/** What several processes share through Redis. */
export * as ClaudeRedis from "./ClaudeRedis.ts"
