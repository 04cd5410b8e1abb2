/**
 * What the attempts of a call were billed, one by one and all together.
 *
 * Each is counted for the model that answered it, so a call that failed over is no other model's expense. The surprise:
 * the sum is unknown as soon as a part of it is, while counters still count the parts that are known.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Cost from "../request/Cost.ts"
import * as Model from "../request/Model.ts"
import { allInput } from "./CallAttributes.ts"
import type { CallTelemetry } from "./CallTelemetry.ts"
import type { CallWriter } from "./CallWriter.ts"
import type { RequestSeries } from "./Metrics.ts"

/** What one attempt was billed. @internal */
export interface Bill {
  /** The model that answered. */
  readonly model: string
  readonly usage: Message["usage"]
  /** Nothing where the price is unknown. */
  readonly cost: Cost.Cost | undefined
  /** The answer did not end: of its output only what was told by then is known. */
  readonly partial: boolean
}

/** Where an attempt was made, and when its call began. @internal */
export interface Billed {
  readonly telemetry: CallTelemetry
  readonly series: RequestSeries
  readonly model: string
  readonly tenant: string | undefined
  readonly at: number
  readonly partial: boolean
}

/** @internal */
export class CallBill {
  /** Of all attempts together. */
  usage: ClaudeError.Usage | undefined
  cost: Cost.Cost | undefined
  /** Tokens of the output that were spent on thinking. */
  reasoning = 0
  private unpriced = false
  private readonly writer: Pick<CallWriter, "record" | "context">

  constructor(writer: Pick<CallWriter, "record" | "context">) {
    this.writer = writer
  }

  /** Adds an attempt, and counts its tokens and its money. */
  add(envelope: Message, { at, model, partial, series, telemetry, tenant }: Billed): Bill {
    const { usage } = envelope
    const { context, record } = this.writer
    // Other platforms answer with Anthropic's ids at prices of their own: there the id that was asked for decides.
    const priced = telemetry.provider === "anthropic" ? envelope.model : model
    const cost = Cost.of(telemetry.pricing, priced, usage, at)
    const tokens = Failure.addUsage(undefined, usage)
    const reasoning = usage.output_tokens_details?.thinking_tokens ?? 0

    this.usage = this.usage === undefined ? tokens : Failure.addUsage(this.usage, usage)
    this.reasoning += reasoning
    if (cost === undefined) this.unpriced = true
    // A sum with an unknown part is unknown.
    this.cost = this.unpriced || cost === undefined
      ? undefined
      : this.cost === undefined
      ? cost
      : Cost.add(this.cost, cost)

    const answered = series.response(Model.label(envelope.model))
    const { cache_creation_input_tokens: written, cache_read_input_tokens: read } = tokens
    record(answered.inputTokens, allInput(tokens))
    record(answered.outputTokens, tokens.output_tokens)
    if (read > 0) record(answered.cacheReadTokens, read)
    if (written > 0) record(answered.cacheWriteTokens, written)
    if (reasoning > 0) record(answered.reasoningTokens, reasoning)
    if (cost === undefined) record(answered.unpriced, 1)
    else {
      const label = telemetry.tenantLabel(tenant, context)
      for (const component of Cost.componentNames) {
        const amount = cost.components[component]
        if (amount !== undefined && amount > 0) record(answered.cost(component, cost.source, label), amount)
      }
    }
    return { model: envelope.model, usage, cost, partial }
  }
}
