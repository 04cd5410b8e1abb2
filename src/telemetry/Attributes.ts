/**
 * Every name that telemetry writes: attributes, spans, events, outcomes. No literal of these stands anywhere else.
 *
 * Names come from OpenTelemetry's GenAI conventions, then from Anthropic's own, then from ours. Renaming one is a
 * breaking change: the contract test says so.
 */

export const schemaUrl = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"

// spans and events
export const operation = { chat: "chat", countTokens: "count_tokens" } as const
export const attemptSpan = "POST"
export const waitSpan = (kind: WaitKind) => `claude.wait ${kind}`
export const retryEvent = "claude.retry"
export const firstContentEvent = "claude.first_content"
export const fallbackEvent = "claude.fallback"
export const guardEvent = "claude.guard"
export const circuitLog = "claude.circuit.transition"
export const budgetExceededLog = "claude.budget.exceeded"
export const budgetUnpricedLog = "claude.budget.unpriced"
export const budgetThresholdLog = "claude.budget.threshold"
export const rateLimitLowLog = "claude.ratelimit.low"
export const storeUnavailableLog = "claude.store.unavailable"
export const promptsChangedLog = "claude.prompts.changed"
export const promptsRefusedLog = "claude.prompts.refused"
/** Whoever has defined a tool, what has a span runs in this process. */
export const executeTool = { operation: "execute_tool", toolType: "function" } as const
export const executeToolSpan = (tool: string) => `execute_tool ${tool}`
export const invokeAgent = { operation: "invoke_agent" } as const
export const invokeAgentSpan = (agent: string) => `invoke_agent ${agent}`
/** A run over a long document; what it has come to is named as its totals are. */
export const documentSpan = "claude.document"
export const document = (name: string) => `claude.document.${name}`
export const inferenceDetails = "gen_ai.client.inference.operation.details"
export const exceptionLog = "gen_ai.client.operation.exception"

/** What a call waits for in a queue. */
export type QueueKind = "concurrency" | "rate_limit"

/** What a call waits for before it is sent, or what turned it away. */
export type WaitKind = QueueKind | "circuit" | "budget" | "backoff"

/** How a wait ended; what is rejected took no time. */
export type WaitOutcome = "granted" | "cancelled" | "deadline" | "rejected"

/** How a call ended. */
export type Outcome = "success" | "error" | "cancelled"

// gen_ai
export const operationName = "gen_ai.operation.name"
export const providerName = "gen_ai.provider.name"
/** What `provider.name` was called before. */
export const formerProviderName = "gen_ai.system"
export const requestModel = "gen_ai.request.model"
export const requestMaxTokens = "gen_ai.request.max_tokens"
export const requestStream = "gen_ai.request.stream"
export const requestStopSequences = "gen_ai.request.stop_sequences"
export const requestReasoningLevel = "gen_ai.request.reasoning.level"
export const outputType = "gen_ai.output.type"
export const promptName = "gen_ai.prompt.name"
export const promptVersion = "gen_ai.prompt.version"
export const responseId = "gen_ai.response.id"
export const responseModel = "gen_ai.response.model"
export const responseFinishReasons = "gen_ai.response.finish_reasons"
export const responseTimeToFirstChunk = "gen_ai.response.time_to_first_chunk"
/** What the names of metrics that count tokens begin with. */
export const usageMetrics = "gen_ai.client.inference.usage."
export const usageInputTokens = "gen_ai.usage.input_tokens"
export const usageOutputTokens = "gen_ai.usage.output_tokens"
export const usageCacheReadTokens = "gen_ai.usage.cache_read.input_tokens"
export const usageCacheWriteTokens = "gen_ai.usage.cache_write.input_tokens"
export const usageReasoningTokens = "gen_ai.usage.reasoning.output_tokens"
export const tokenModality = "gen_ai.token.modality"
export const systemInstructions = "gen_ai.system_instructions"
export const inputMessages = "gen_ai.input.messages"
export const outputMessages = "gen_ai.output.messages"
export const toolDefinitions = "gen_ai.tool.definitions"
export const toolName = "gen_ai.tool.name"
export const toolCallId = "gen_ai.tool.call.id"
export const toolType = "gen_ai.tool.type"
export const toolDescription = "gen_ai.tool.description"
export const agentName = "gen_ai.agent.name"

// general
export const serverAddress = "server.address"
export const serverPort = "server.port"
export const errorType = "error.type"
/** The `error.type` of a tool: it failed, or it did not answer in time. */
export const toolError = { failed: "tool_error", timedOut: "client_timeout_error" } as const
/** The `error.type` of what has no type of its own. */
export const otherError = "_OTHER"
export const exceptionType = "exception.type"
export const exceptionMessage = "exception.message"
export const httpRequestMethod = "http.request.method"
export const httpResponseStatusCode = "http.response.status_code"
export const httpRequestResendCount = "http.request.resend_count"
export const urlFull = "url.full"

// anthropic
export const stopReason = "anthropic.message.stop_reason"
export const requestId = "anthropic.request.id"
export const requestServiceTier = "anthropic.request.service_tier"
export const responseServiceTier = "anthropic.response.service_tier"
export const cacheCreation5m = "anthropic.usage.cache_creation.ephemeral_5m_input_tokens"
export const cacheCreation1h = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
export const countedInputTokens = "anthropic.message.count_tokens.input_tokens"

// claude
export const attemptCount = "claude.attempt.count"
export const attemptNumber = "claude.attempt.number"
export const waitTotal = "claude.wait.total"
export const waitKind = "claude.wait.kind"
export const waitQueueDepth = "claude.wait.queue_depth"
export const waitOutcome = "claude.wait.outcome"
export const outcome = "claude.outcome"
export const costAmount = "claude.cost.amount"
export const costCurrency = "claude.cost.currency"
export const costSource = "claude.cost.source"
export const costComponent = "claude.cost.component"
export const pricingVersion = "claude.pricing.version"
export const tenant = "claude.tenant"
export const tag = (name: string) => `claude.tag.${name}`
export const telemetrySignal = "claude.telemetry.signal"
export const telemetryReason = "claude.telemetry.reason"
export const retryReasonLabel = "claude.retry.reason"
export const cacheOutcome = "claude.cache.outcome"
/** Which model answered, where, after a fallback. */
export const servedBy = "claude.fallback.served_by"
export const circuitKey = "claude.circuit.key"
export const circuitFrom = "claude.circuit.from"
export const circuitTo = "claude.circuit.to"
export const rateLimitKind = "claude.ratelimit.kind"
export const budgetName = "claude.budget.name"
export const storeName = "claude.store.name"
export const documentOutcome = "claude.document.outcome"
export const guardName = "claude.guard.name"
export const guardWhere = "claude.guard.where"
export const guardVerdict = "claude.guard.verdict"

/** What a response cache answered: what was kept, nothing, or what somebody else was asking for already. */
export type CacheOutcome = "hit" | "miss" | "shared"

// of the event claude.fallback
export const fallbackFrom = "from"
export const fallbackTo = "to"
export const fallbackReason = "reason"

// of the logs of budgets; amounts are in the budget's unit
export const budgetUnit = "unit"
export const budgetLimit = "limit"
export const budgetSpent = "spent"
export const budgetWindowEnd = "window_end"
/** What a call that was refused might have come to. */
export const budgetNeeded = "needed"
/** The part of the limit that is spent. */
export const budgetFraction = "fraction"
/** What counts as spent of a call whose cost nobody knows. */
export const budgetKept = "kept"

// of the log claude.ratelimit.low
export const rateLimitLimit = "limit"
export const rateLimitRemaining = "remaining"

// of the log claude.store.unavailable
export const storeMessage = "message"

/** Prompts have changed; what they say cannot be used; or they could not be read. */
export type PromptsOutcome = "changed" | "refused" | "unavailable"
export const promptsOutcome = "claude.prompts.outcome"

// of the logs of prompts
export const promptsNames = "prompts"
export const promptsReason = "reason"
export const promptsMessage = "message"

// of the event and the log claude.retry
export const retryAttempt = "attempt"
export const retryReason = "reason"
export const retryDelay = "delay"
export const retryHint = "retry_after"
