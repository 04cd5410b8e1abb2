/**
 * What the library emits, row by row: the repository's own copy of its telemetry contract.
 *
 * Changing a row here is a breaking change for whoever built a dashboard on it. `contract.test.ts` holds it against what a
 * receiver gets, in both directions, and against the facts of OpenTelemetry's conventions.
 */
import * as Model from "../../src/request/Model.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

export type Type = "string" | "int" | "double" | "boolean" | "string[]" | "structured"

export interface Attribute {
  readonly type: Type
  /** It is there on every span, event, point or log of its row. */
  readonly always?: true
  /** Nothing else may stand there. */
  readonly oneOf?: ReadonlyArray<string> | RegExp
  /** It is there only where content is asked for. */
  readonly optIn?: true
}

export type Attributes = Readonly<Record<string, Attribute>>

export interface Span {
  readonly name: RegExp
  readonly kind: "client" | "internal"
  /** The conventions' span that it is one of. */
  readonly convention?: string
  /** Any of the caller's, or a call. */
  readonly parent: "caller" | "call"
  readonly attributes: Attributes
  readonly events: Readonly<Record<string, Attributes>>
}

export interface Metric {
  readonly instrument: "histogram" | "counter" | "gauge"
  readonly unit: string
  /** What a counter's points are. */
  readonly value?: "int" | "double"
  readonly buckets?: ReadonlyArray<number>
  readonly labels: Attributes
}

export type Severity = "Debug" | "Info" | "Warn"

export interface Log {
  readonly severity: Severity | ReadonlyArray<Severity>
  readonly attributes: Attributes
  readonly optIn?: true
  /** Whose span it names: that of the call, or that of its caller where it is no single call's. */
  readonly of: "call" | "caller"
}

// -----------------------------------------------------------------------------
// closed lists
// -----------------------------------------------------------------------------

export const schemaUrl = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"

/** The API's own types, then an HTTP status without one, then what happens on this side. */
export const errorTypes =
  /^(invalid_request_error|authentication_error|billing_error|permission_error|not_found_error|conflict_error|request_too_large|rate_limit_error|timeout_error|api_error|overloaded_error|[1-5]\d\d|connection_error|client_timeout_error|stream_truncated|stream_stalled|circuit_open|queue_rejected|budget_exceeded|_OTHER)$/

const operations = ["chat", "count_tokens"]
const providers = ["anthropic", "aws.bedrock", "gcp.vertex_ai", "azure.ai.inference"]
const models = Model.labels
const queues = ["concurrency", "rate_limit"]
const waits = [...queues, "circuit", "budget", "backoff"]
const waitOutcomes = ["granted", "cancelled", "deadline", "rejected"]
const reasons = [
  "RateLimited",
  "Overloaded",
  "ServerError",
  "ConnectionFailed",
  "TimedOut",
  "StreamInterrupted",
  "InvalidResponse",
  "CircuitOpen",
  // What is fatal may be tried again where the server says so.
  "InvalidRequest",
  "Authentication",
  "PermissionDenied",
  "NotFound",
  "RequestTooLarge"
]
/** Why a call goes on to another target, beside those for which it is tried again. */
const fallbackReasons = [...reasons, "QueueFull", "SpendLimit", "refusal"]
const limitKinds = ["requests", "tokens", "input_tokens", "output_tokens"]
const states = ["Closed", "Open", "HalfOpen"]
const stores = ["limits", "circuits", "budgets", "usage", "cache"]
/** An address, then a model that is known: never an id that a caller made up. */
const circuits = new RegExp(`^[^/]+:\\d+/(count_tokens/)?(${models.join("|")})$`)
/** The budgets of the scenarios: the program's own names. */
export const budgets = ["daily", "weekly", "monthly", "by tenant", "in tokens", "unpriced"]

// -----------------------------------------------------------------------------
// spans
// -----------------------------------------------------------------------------

const string: Attribute = { type: "string" }
const int: Attribute = { type: "int" }
const double: Attribute = { type: "double" }
const always = (attribute: Attribute): Attribute => ({ ...attribute, always: true })
const oneOf = (values: ReadonlyArray<string> | RegExp): Attribute => ({ type: "string", oneOf: values })

const call: Attributes = {
  "gen_ai.provider.name": always(oneOf(providers)),
  "gen_ai.request.model": always(string),
  "server.address": always(string),
  "server.port": always(int),
  "error.type": oneOf(errorTypes),
  "anthropic.request.id": string,
  "claude.attempt.count": always(int),
  "claude.outcome": always(oneOf(["success", "error", "cancelled", "rejected"])),
  "claude.wait.total": double,
  "claude.tenant": string,
  "claude.fallback.served_by": string,
  "gen_ai.prompt.name": string,
  "gen_ai.prompt.version": string,
  // `claude.tag.<name>`, one for each tag of `Claude.withPolicy`.
  "claude.tag": string
}

const retry: Attributes = {
  attempt: always(int),
  reason: always(oneOf(reasons)),
  delay: always(double),
  retry_after: double
}

const fallback: Attributes = {
  from: always(string),
  to: always(string),
  reason: always(oneOf(fallbackReasons))
}

const exception: Attributes = {
  "exception.type": always(string),
  "exception.message": always(string),
  "exception.stacktrace": always(string)
}

const content: Attributes = {
  "gen_ai.system_instructions": { type: "string", optIn: true },
  "gen_ai.input.messages": { type: "string", optIn: true },
  "gen_ai.output.messages": { type: "string", optIn: true },
  "gen_ai.tool.definitions": { type: "string", optIn: true },
  "gen_ai.request.stop_sequences": { type: "string[]", optIn: true }
}

const chat: Attributes = {
  ...call,
  ...content,
  "gen_ai.operation.name": always(oneOf(["chat"])),
  "gen_ai.request.max_tokens": always(int),
  "gen_ai.request.stream": { type: "boolean" },
  "gen_ai.request.reasoning.level": string,
  "gen_ai.output.type": oneOf(["json"]),
  "gen_ai.response.id": string,
  "gen_ai.response.model": string,
  "gen_ai.response.finish_reasons": { type: "string[]" },
  "gen_ai.response.time_to_first_chunk": double,
  "gen_ai.usage.input_tokens": int,
  "gen_ai.usage.output_tokens": int,
  "gen_ai.usage.cache_read.input_tokens": int,
  "gen_ai.usage.cache_write.input_tokens": int,
  "gen_ai.usage.reasoning.output_tokens": int,
  "anthropic.message.stop_reason": string,
  "anthropic.request.service_tier": string,
  "anthropic.response.service_tier": string,
  "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": int,
  "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": int,
  "claude.cache.outcome": oneOf(["hit", "shared"]),
  "claude.cost.amount": double,
  "claude.cost.currency": oneOf(["USD"]),
  "claude.cost.source": oneOf(["official", "third-party", "custom"]),
  "claude.pricing.version": string
}

export const spans: ReadonlyArray<Span> = [
  {
    name: /^chat \S+$/,
    kind: "client",
    convention: "gen_ai.client.inference",
    parent: "caller",
    attributes: chat,
    events: { "claude.retry": retry, "claude.fallback": fallback, "claude.first_content": {}, exception }
  },
  {
    name: /^count_tokens \S+$/,
    kind: "client",
    parent: "caller",
    attributes: {
      ...call,
      "gen_ai.operation.name": always(oneOf(["count_tokens"])),
      "anthropic.message.count_tokens.input_tokens": int
    },
    events: { "claude.retry": retry, "claude.fallback": fallback, exception }
  },
  {
    name: /^POST$/,
    kind: "client",
    convention: "http.client",
    parent: "call",
    attributes: {
      "http.request.method": always(oneOf(["POST"])),
      "server.address": always(string),
      "server.port": always(int),
      "url.full": always(oneOf(/\/v1\/messages(\/count_tokens)?$/)),
      "claude.attempt.number": always(int),
      "http.request.resend_count": int,
      "http.response.status_code": int,
      "error.type": oneOf(errorTypes),
      "anthropic.request.id": string
    },
    events: { exception }
  },
  {
    name: /^claude\.wait (concurrency|rate_limit)$/,
    kind: "internal",
    parent: "call",
    attributes: {
      "claude.wait.kind": always(oneOf(queues)),
      "claude.wait.outcome": always(oneOf(waitOutcomes)),
      "claude.wait.queue_depth": always(int)
    },
    events: {}
  },
  {
    name: /^claude\.wait circuit$/,
    kind: "internal",
    parent: "call",
    attributes: {
      "claude.wait.kind": always(oneOf(["circuit"])),
      "claude.wait.outcome": always(oneOf(["granted", "cancelled", "rejected"]))
    },
    events: {}
  },
  {
    // A budget is not waited for: it turns away.
    name: /^claude\.wait budget$/,
    kind: "internal",
    parent: "call",
    attributes: {
      "claude.wait.kind": always(oneOf(["budget"])),
      "claude.wait.outcome": always(oneOf(["rejected"]))
    },
    events: {}
  },
  {
    name: /^claude\.wait backoff$/,
    kind: "internal",
    parent: "call",
    attributes: {
      "claude.wait.kind": always(oneOf(["backoff"])),
      "claude.wait.outcome": always(oneOf(["granted", "cancelled"]))
    },
    events: {}
  }
]

/** Of what stands on calls: they are held against what an agent tells, in test/ai. */
const toolErrors = ["tool_error", "client_timeout_error"]
export const agentSpans: ReadonlyArray<Span> = [
  {
    name: /^invoke_agent /,
    kind: "internal",
    convention: "gen_ai.invoke_agent.internal",
    parent: "caller",
    attributes: {
      "gen_ai.operation.name": always(oneOf(["invoke_agent"])),
      "gen_ai.agent.name": always(string),
      "gen_ai.usage.input_tokens": always(int),
      "gen_ai.usage.output_tokens": always(int),
      "gen_ai.response.finish_reasons": { type: "string[]" },
      "claude.outcome": always(oneOf(["success", "error", "cancelled"])),
      "error.type": oneOf(errorTypes)
    },
    events: { exception }
  },
  {
    name: /^execute_tool /,
    kind: "internal",
    convention: "gen_ai.execute_tool.internal",
    parent: "caller",
    attributes: {
      "gen_ai.operation.name": always(oneOf(["execute_tool"])),
      "gen_ai.tool.name": always(string),
      "gen_ai.tool.type": always(oneOf(["function"])),
      "gen_ai.tool.call.id": string,
      "gen_ai.tool.description": string,
      "error.type": oneOf(toolErrors)
    },
    events: { exception }
  }
]

/** Held against what a run tells, in test/prompts. */
export const documentSpans: ReadonlyArray<Span> = [
  {
    name: /^claude\.document$/,
    kind: "internal",
    parent: "caller",
    attributes: {
      "claude.document.mapped": always(int),
      "claude.document.failed": always(int),
      "claude.document.reduced": always(int),
      "claude.document.resumed": always(int),
      "claude.document.levels": always(int),
      "claude.document.bytes": always(int),
      "claude.document.input_tokens": always(int),
      "claude.document.output_tokens": always(int),
      "claude.outcome": always(oneOf(["success", "error", "cancelled"])),
      "error.type": oneOf(errorTypes)
    },
    events: { exception }
  }
]

// -----------------------------------------------------------------------------
// metrics
// -----------------------------------------------------------------------------

const latency = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const tokens = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]

const model: Attributes = { "gen_ai.request.model": always(oneOf(models)) }
const common: Attributes = {
  "gen_ai.operation.name": always(oneOf(["chat"])),
  "gen_ai.provider.name": always(oneOf(providers)),
  ...model,
  "gen_ai.response.model": oneOf(models),
  "server.address": always(string),
  "server.port": always(int)
}
const orError: Attributes = { ...common, "error.type": oneOf(errorTypes) }

const usage: Metric = {
  instrument: "counter",
  unit: "{token}",
  value: "int",
  labels: { ...common, "gen_ai.token.modality": always(oneOf(["text", "unknown"])) }
}
const seconds = (buckets: ReadonlyArray<number>, labels: Attributes): Metric => ({
  instrument: "histogram",
  unit: "s",
  buckets,
  labels
})
const perCall: Metric = { instrument: "histogram", unit: "{token}", buckets: tokens, labels: orError }
const gauge = (unit: string, labels: Attributes): Metric => ({ instrument: "gauge", unit, labels })
const counted = (unit: string, labels: Attributes): Metric => ({
  instrument: "counter",
  unit,
  value: "double",
  labels
})
const limitOf = (kinds: ReadonlyArray<string>): Attributes => ({
  ...model,
  "claude.ratelimit.kind": always(oneOf(kinds))
})
const tokenLimit = limitOf(limitKinds.filter((kind) => kind !== "requests"))
const requestLimit = limitOf(["requests"])
const budget: Attributes = { "claude.budget.name": always(oneOf(budgets)) }

export const metrics: Readonly<Record<string, Metric>> = {
  "gen_ai.client.inference.duration": seconds(latency, orError),
  "gen_ai.client.inference.time_to_first_chunk": seconds(latency, common),
  "gen_ai.client.inference.time_per_output_chunk": seconds(latency, common),
  "gen_ai.client.inference.usage.input_tokens": usage,
  "gen_ai.client.inference.usage.output_tokens": usage,
  "gen_ai.client.inference.usage.cache_read.input_tokens": usage,
  "gen_ai.client.inference.usage.cache_write.input_tokens": usage,
  "gen_ai.client.inference.usage.reasoning.output_tokens": usage,
  "gen_ai.client.inference.operation.input_tokens": perCall,
  "gen_ai.client.inference.operation.output_tokens": perCall,
  "claude.client.attempts": {
    instrument: "counter",
    unit: "{attempt}",
    value: "double",
    labels: {
      ...orError,
      "gen_ai.operation.name": always(oneOf(operations)),
      "claude.outcome": always(oneOf(["success", "error", "cancelled"]))
    }
  },
  "claude.client.retry.delay": seconds([0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64], {
    ...model,
    "claude.retry.reason": always(oneOf(reasons))
  }),
  "claude.client.wait.duration": seconds([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60], {
    ...model,
    "claude.wait.kind": always(oneOf(waits)),
    "claude.wait.outcome": always(oneOf(waitOutcomes))
  }),
  "claude.client.queue.depth": gauge("{request}", { ...model, "claude.wait.kind": always(oneOf(queues)) }),
  "claude.client.active_requests": gauge("{request}", model),
  "claude.client.active_streams": gauge("{stream}", model),
  "claude.client.stream.max_gap": seconds(latency, model),
  "claude.client.output_token.rate": {
    instrument: "histogram",
    unit: "{token}/s",
    buckets: [1, 2, 5, 10, 20, 40, 60, 80, 100, 150, 200, 400],
    labels: model
  },
  "claude.client.cost": {
    instrument: "counter",
    unit: "{USD}",
    value: "double",
    labels: {
      ...model,
      "gen_ai.response.model": oneOf(models),
      "claude.cost.component": always(
        oneOf(["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "server_tool"])
      ),
      "claude.cost.source": always(oneOf(["official", "third-party", "custom"])),
      // With `telemetry.tenants`: a hundred of them, then "other".
      "claude.tenant": string
    }
  },
  // A hundred versions, then "other".
  "claude.prompts.duration": seconds(latency, {
    "gen_ai.prompt.name": always(string),
    "gen_ai.prompt.version": always(string),
    "error.type": oneOf(errorTypes)
  }),
  "claude.prompts.cost": counted("{USD}", {
    "gen_ai.prompt.name": always(string),
    "gen_ai.prompt.version": always(string)
  }),
  "claude.client.concurrency.level": gauge("{request}", model),
  "claude.ratelimit.limit": gauge("{token}", tokenLimit),
  "claude.ratelimit.remaining": gauge("{token}", tokenLimit),
  "claude.ratelimit.requests.limit": gauge("{request}", requestLimit),
  "claude.ratelimit.requests.remaining": gauge("{request}", requestLimit),
  "claude.ratelimit.reset": gauge("s", limitOf(limitKinds)),
  "claude.circuit.state": gauge("{state}", { "claude.circuit.key": always(oneOf(circuits)) }),
  "claude.circuit.transitions": counted("{transition}", {
    "claude.circuit.from": always(oneOf(states)),
    "claude.circuit.to": always(oneOf(states))
  }),
  "claude.budget.limit": gauge("{USD}", budget),
  "claude.budget.remaining": gauge("{USD}", budget),
  "claude.budget.tokens.limit": gauge("{token}", budget),
  "claude.budget.tokens.remaining": gauge("{token}", budget),
  "claude.budget.rejections": counted("{request}", budget),
  "claude.store.unavailable": counted("{request}", { "claude.store.name": always(oneOf(stores)) }),
  "claude.cache.lookups": counted("{request}", { "claude.cache.outcome": always(oneOf(["hit", "miss", "shared"])) }),
  "claude.prompt_cache.misses": counted("{request}", model),
  "claude.telemetry.overflow": {
    instrument: "counter",
    unit: "{event}",
    value: "double",
    labels: {
      "claude.telemetry.signal": always(oneOf(["cost", "span", "log", "content"])),
      "claude.telemetry.reason": always(oneOf(["unpriced", "failed"]))
    }
  }
}

export const agentMetrics: Readonly<Record<string, Metric>> = {
  "gen_ai.execute_tool.duration": seconds(latency, {
    // A hundred of them, then "other".
    "gen_ai.tool.name": always(string),
    "error.type": oneOf(toolErrors)
  }),
  "gen_ai.invoke_agent.duration": seconds(Array.from({ length: 13 }, (_, n) => 0.1 * 2 ** n), {
    "gen_ai.agent.name": always(string),
    "error.type": oneOf(errorTypes)
  })
}

/** Of prompts that change while a program runs: they are held against what is received, in test/prompts. */
export const promptMetrics: Readonly<Record<string, Metric>> = {
  "claude.prompts.reloads": counted("{reload}", {
    "claude.prompts.outcome": always(oneOf(["changed", "refused", "unavailable"]))
  })
}

/** Held against what a run tells, in test/prompts. */
export const documentMetrics: Readonly<Record<string, Metric>> = {
  "claude.document.parts": counted("{part}", {
    "claude.document.outcome": always(oneOf(["mapped", "reduced", "failed", "resumed"]))
  })
}

// -----------------------------------------------------------------------------
// logs
// -----------------------------------------------------------------------------

// Effect's logger numbers the fiber that spoke.
const logged: Attributes = { "effect.fiberId": always(int) }
const structured: Attribute = { type: "structured", optIn: true }
const budgetEvent: Attributes = {
  ...logged,
  "claude.budget.name": always(oneOf(budgets)),
  unit: always(oneOf(["USD", "tokens"])),
  limit: always(double),
  spent: always(double),
  window_end: always(oneOf(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)),
  // Of a budget that each tenant has to itself.
  "claude.tenant": string
}

export const logs: Readonly<Record<string, Log>> = {
  "claude.retry": { severity: "Info", of: "call", attributes: { ...logged, ...retry } },
  "claude.circuit.transition": {
    // Warn where it opens.
    severity: ["Info", "Warn"],
    of: "caller",
    attributes: {
      ...logged,
      "claude.circuit.key": always(string),
      "claude.circuit.from": always(oneOf(states)),
      "claude.circuit.to": always(oneOf(states))
    }
  },
  "claude.budget.exceeded": { severity: "Warn", of: "caller", attributes: { ...budgetEvent, needed: always(double) } },
  "claude.budget.threshold": {
    severity: "Warn",
    of: "caller",
    attributes: { ...budgetEvent, fraction: always(double) }
  },
  "claude.budget.unpriced": {
    severity: "Warn",
    of: "caller",
    attributes: { ...budgetEvent, "gen_ai.request.model": always(string), kept: always(double) }
  },
  "claude.ratelimit.low": {
    severity: "Warn",
    of: "caller",
    attributes: {
      ...logged,
      "claude.ratelimit.kind": always(oneOf(limitKinds)),
      "gen_ai.request.model": always(oneOf(models)),
      limit: always(double),
      remaining: always(int)
    }
  },
  "claude.store.unavailable": {
    severity: "Warn",
    of: "caller",
    attributes: { ...logged, "claude.store.name": always(oneOf(stores)), message: always(string) }
  },
  "gen_ai.client.operation.exception": {
    severity: "Warn",
    of: "call",
    attributes: {
      ...logged,
      "exception.type": always(string),
      "exception.message": always(string),
      "error.type": always(oneOf(errorTypes))
    }
  },
  "gen_ai.client.inference.operation.details": {
    severity: "Debug",
    of: "call",
    optIn: true,
    attributes: {
      ...logged,
      ...chat,
      "gen_ai.system_instructions": structured,
      "gen_ai.input.messages": always(structured),
      "gen_ai.output.messages": always(structured),
      "gen_ai.tool.definitions": structured
    }
  }
}

const promptReasons = ["Unavailable", "Malformed", "UnknownVariable", "MissingPrompt", "MissingVersion", "Duplicate"]

/** Of prompts that change while a program runs: no call's, and no caller's. */
export const promptLogs: Readonly<Record<string, Log>> = {
  "claude.prompts.changed": { severity: "Info", of: "caller", attributes: { ...logged, prompts: always(string) } },
  "claude.prompts.refused": {
    severity: "Warn",
    of: "caller",
    attributes: { ...logged, reason: always(oneOf(promptReasons)), message: always(string) }
  }
}
