/**
 * The metrics of a call, and their series: metrics whose labels were attached once and are kept.
 *
 * Attaching labels for every call would cost more than all the updates of it. Labels come from closed lists: an unknown
 * model is `other`, and no id ever becomes a label.
 */
import * as Metric from "effect/Metric"
import type { Components } from "../request/Cost.ts"
import { OTHER } from "../request/Model.ts"
import type * as Pricing from "../request/Pricing.ts"
import type { PromptIdentity } from "../request/Request.ts"
import * as Attributes from "./Attributes.ts"

type Histogram = Metric.Histogram<number>
type Counter = Metric.Counter<number>
/** @internal */
export type Gauge = Metric.Gauge<number>
/** @internal */
export type Labels = Readonly<Record<string, string>>

const latency = Array.from({ length: 14 }, (_, n) => 0.01 * 2 ** n)
const tokens = Array.from({ length: 14 }, (_, n) => 4 ** n)

/** A metric is a function of its labels: given at birth they cost nothing later, unlike `Metric.withAttributes`. */
const histogram =
  (name: string, unit: string, description: string, boundaries: ReadonlyArray<number>) => (labels: Labels): Histogram =>
    Metric.histogram(name, { boundaries, description, attributes: { unit, ...labels } })
/** @internal */
export const counter = (name: string, unit: string, description: string) => (labels: Labels): Counter =>
  Metric.counter(name, { description, incremental: true, attributes: { unit, ...labels } })
/** @internal */
export const gauge = (name: string, unit: string, description: string) => (labels: Labels): Gauge =>
  Metric.gauge(name, { description, attributes: { unit, ...labels } })

const duration = histogram(
  "gen_ai.client.inference.duration",
  "s",
  "Duration of a call, its retries and waits included",
  latency
)
const timeToFirstChunk = histogram(
  "gen_ai.client.inference.time_to_first_chunk",
  "s",
  "Time from the start of a call to its first content",
  latency
)
const timePerOutputChunk = histogram(
  "gen_ai.client.inference.time_per_output_chunk",
  "s",
  "Time between two reads that brought content",
  latency
)
const inputTokens = counter("gen_ai.client.inference.usage.input_tokens", "{token}", "Input tokens, cached included")
const outputTokens = counter("gen_ai.client.inference.usage.output_tokens", "{token}", "Output tokens")
const cacheReadTokens = counter(
  "gen_ai.client.inference.usage.cache_read.input_tokens",
  "{token}",
  "Input tokens that were read from the prompt cache"
)
const cacheWriteTokens = counter(
  "gen_ai.client.inference.usage.cache_write.input_tokens",
  "{token}",
  "Input tokens that were written to the prompt cache"
)
const reasoningTokens = counter(
  "gen_ai.client.inference.usage.reasoning.output_tokens",
  "{token}",
  "Output tokens that were spent on thinking"
)
const operationInputTokens = histogram(
  "gen_ai.client.inference.operation.input_tokens",
  "{token}",
  "Input tokens of a call",
  tokens
)
const operationOutputTokens = histogram(
  "gen_ai.client.inference.operation.output_tokens",
  "{token}",
  "Output tokens of a call",
  tokens
)
const attempts = counter("claude.client.attempts", "{attempt}", "Requests that were sent")
const retryDelay = histogram(
  "claude.client.retry.delay",
  "s",
  "Time waited before a retry",
  [0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64]
)
const waitDuration = histogram(
  "claude.client.wait.duration",
  "s",
  "Time waited before a request could be sent",
  [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60]
)
const queueDepth = gauge("claude.client.queue.depth", "{request}", "Calls that wait for their turn")
const activeRequests = gauge("claude.client.active_requests", "{request}", "Requests in flight")
const activeStreams = gauge("claude.client.active_streams", "{stream}", "Streams that are being read")
const streamMaxGap = histogram(
  "claude.client.stream.max_gap",
  "s",
  "The longest time between two reads of a response that brought content",
  latency
)
const outputTokenRate = histogram(
  "claude.client.output_token.rate",
  "{token}/s",
  "Output tokens a second, from the first content to the last",
  [1, 2, 5, 10, 20, 40, 60, 80, 100, 150, 200, 400]
)
const cost = counter("claude.client.cost", "{USD}", "What calls cost, by component")
const executeToolDuration = histogram("gen_ai.execute_tool.duration", "s", "Duration of a tool's run", latency)
const invokeAgentDuration = histogram(
  "gen_ai.invoke_agent.duration",
  "s",
  "Duration of an agent's run, its tools included",
  Array.from({ length: 13 }, (_, n) => 0.1 * 2 ** n)
)
const documentParts = counter("claude.document.parts", "{part}", "Parts of long documents, by what became of them")
const promptDuration = histogram(
  "claude.prompts.duration",
  "s",
  "Duration of a call, by the version of its prompt",
  latency
)
const promptCost = counter("claude.prompts.cost", "{USD}", "What calls cost, by the version of their prompt")
const overflow = counter("claude.telemetry.overflow", "{event}", "What telemetry could not record, by reason")

const componentLabels: Readonly<Record<keyof Components, string>> = {
  input: "input",
  cacheRead: "cache_read",
  cacheWrite5m: "cache_write_5m",
  cacheWrite1h: "cache_write_1h",
  output: "output",
  serverTool: "server_tool"
}

const lost = (signal: string, reason: string) =>
  overflow({ [Attributes.telemetrySignal]: signal, [Attributes.telemetryReason]: reason })

/** Keeps what `make` makes of each label. @internal */
export const keep = <A>(make: (label: string) => A): (label: string) => A => {
  const kept = new Map<string, A>()
  return (label) => {
    let value = kept.get(label)
    if (value === undefined) kept.set(label, value = make(label))
    return value
  }
}

const withError = (metric: (labels: Labels) => Histogram, labels: Labels): (error: string) => Histogram =>
  keep((error) => metric(error === "" ? labels : { ...labels, [Attributes.errorType]: error }))

/** How many tools, agents, and versions of prompts are told apart. */
const NAMES = 100

/** Keeps what `make` makes of the first hundred labels; all that come later are one. */
const keepFew = <A>(make: (label: string) => A): (label: string) => A => {
  const seen = new Set<string>()
  const kept = keep(make)
  return (label) => {
    if (seen.size < NAMES) seen.add(label)
    return kept(seen.has(label) ? label : OTHER)
  }
}

/** How long a tool took, by its name and then its `error.type`, or "". @internal */
export const toolDuration: (name: string) => (error: string) => Histogram = keepFew((name) =>
  withError(executeToolDuration, { [Attributes.toolName]: name })
)

/** How long an agent took, by its name and then its `error.type`, or "". @internal */
export const agentDuration: (name: string) => (error: string) => Histogram = keepFew((name) =>
  withError(invokeAgentDuration, { [Attributes.agentName]: name })
)

/** The series of one version of a prompt. @internal */
export interface PromptSeries {
  /** By its `error.type`, or "". */
  readonly duration: (error: string) => Histogram
  readonly cost: Counter
}

const promptSeriesOf = keepFew((prompt): PromptSeries => {
  const [name = OTHER, version = OTHER] = prompt.split("\n")
  const labels = { [Attributes.promptName]: name, [Attributes.promptVersion]: version }
  return { duration: withError(promptDuration, labels), cost: promptCost(labels) }
})

/** How long the calls of a prompt's version took, and what they cost. @internal */
export const promptSeries = ({ name, version }: PromptIdentity): PromptSeries => promptSeriesOf(`${name}\n${version}`)

/** What became of prompts that changed while a program runs, by outcome. @internal */
export const promptReloads: (outcome: Attributes.PromptsOutcome) => Counter = keep((outcome) =>
  counter("claude.prompts.reloads", "{reload}", "Changes of prompts, by what became of them")({
    [Attributes.promptsOutcome]: outcome
  })
)

/** Parts of long documents, by what became of them. @internal */
export const documentPart: (outcome: string) => Counter = keep((outcome) =>
  documentParts({ [Attributes.documentOutcome]: outcome })
)

/** The series of one request model that no response is known for yet. @internal */
export class RequestSeries {
  readonly activeRequests: Gauge
  readonly activeStreams: Gauge
  /** Who waits for a turn, and what the latest to leave had waited for. */
  readonly queue: { depth: number; waitsFor: Attributes.QueueKind } = { depth: 0, waitsFor: "concurrency" }
  readonly queueDepth: (kind: string) => Gauge
  readonly wait: (kindAndOutcome: string) => Histogram
  readonly retryDelay: (reason: string) => Histogram
  readonly lost: (signal: string) => Counter
  readonly response: (model: string) => ResponseSeries

  constructor(common: Labels, model: string) {
    const labels = { [Attributes.requestModel]: model }
    this.activeRequests = activeRequests(labels)
    this.activeStreams = activeStreams(labels)
    this.queueDepth = keep((kind) => queueDepth({ ...labels, [Attributes.waitKind]: kind }))
    this.wait = keep((key) => {
      const [kind, outcome] = key.split(" ")
      return waitDuration({
        ...labels,
        [Attributes.waitKind]: kind!,
        [Attributes.waitOutcome]: outcome!
      })
    })
    this.retryDelay = keep((reason) => retryDelay({ ...labels, [Attributes.retryReasonLabel]: reason }))
    this.lost = keep((signal) => lost(signal, "failed"))
    this.response = keep((response) => new ResponseSeries({ ...common, ...labels }, response))
  }
}

/** The series of one request model and one response model. @internal */
export class ResponseSeries {
  readonly duration: (error: string) => Histogram
  readonly operationInputTokens: (error: string) => Histogram
  readonly operationOutputTokens: (error: string) => Histogram
  readonly timeToFirstChunk: Histogram
  readonly timePerOutputChunk: Histogram
  readonly maxGap: Histogram
  readonly outputTokenRate: Histogram
  readonly inputTokens: Counter
  readonly outputTokens: Counter
  readonly cacheReadTokens: Counter
  readonly cacheWriteTokens: Counter
  readonly reasoningTokens: Counter
  readonly attempts: (outcomeAndError: string) => Counter
  /** Counted with nothing where no usage was received, so that every operation is in them. */
  readonly unknownUsage: ReadonlyArray<Counter>
  /** Of a tenant, or of all where that is "". */
  readonly cost: (component: keyof Components, source: Pricing.Source, tenant: string) => Counter
  readonly unpriced: Counter

  constructor(request: Labels, model: string) {
    const labels = model === "" ? request : { ...request, [Attributes.responseModel]: model }
    const modality = { ...labels, [Attributes.tokenModality]: "text" }
    const onlyModel = { [Attributes.requestModel]: request[Attributes.requestModel]! }
    this.duration = withError(duration, labels)
    this.operationInputTokens = withError(operationInputTokens, labels)
    this.operationOutputTokens = withError(operationOutputTokens, labels)
    this.timeToFirstChunk = timeToFirstChunk(labels)
    this.timePerOutputChunk = timePerOutputChunk(labels)
    this.maxGap = streamMaxGap(onlyModel)
    this.outputTokenRate = outputTokenRate(onlyModel)
    this.inputTokens = inputTokens(modality)
    this.outputTokens = outputTokens(modality)
    this.cacheReadTokens = cacheReadTokens(modality)
    this.cacheWriteTokens = cacheWriteTokens(modality)
    this.reasoningTokens = reasoningTokens(modality)
    const unknown = { ...labels, [Attributes.tokenModality]: "unknown" }
    this.unknownUsage = [inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens].map((counter) =>
      counter(unknown)
    )
    this.attempts = keep((key) => {
      const [outcome, error] = key.split(" ")
      return attempts({
        ...labels,
        [Attributes.outcome]: outcome!,
        ...(error ? { [Attributes.errorType]: error } : undefined)
      })
    })
    const models = model === "" ? onlyModel : { ...onlyModel, [Attributes.responseModel]: model }
    const costs = keep((tenant) =>
      keep((source) =>
        keep((component) =>
          cost({
            ...models,
            [Attributes.costComponent]: component,
            [Attributes.costSource]: source,
            ...(tenant === "" ? undefined : { [Attributes.tenant]: tenant })
          })
        )
      )
    )
    this.cost = (component, source, tenant) => costs(tenant)(source)(componentLabels[component])
    this.unpriced = lost("cost", "unpriced")
  }
}
