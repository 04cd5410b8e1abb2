/** Calls to Claude, safe to depend on. */

export * as CacheStore from "./cache/CacheStore.ts"

export * as Claude from "./Claude.ts"

export * as ClaudeError from "./ClaudeError.ts"

export * as Cost from "./request/Cost.ts"

export * as Pricing from "./request/Pricing.ts"

export * as PromptCache from "./request/PromptCache.ts"

export * as RetryPolicy from "./attempt/RetryPolicy.ts"

export * as Stores from "./admission/Stores.ts"

export * as Transport from "./transport/Transport.ts"
