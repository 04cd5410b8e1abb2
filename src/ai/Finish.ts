/**
 * The first and the last part of an answer: which message it is, how it ended, and what it came to.
 *
 * The API's own words (stop reason, usage) and the call's receipt are in `metadata.anthropic` of the last. A stop that
 * this version does not know is "unknown", and no failure.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as Response from "effect/ai/Response"
import type * as Schema from "effect/Schema"
import type * as Claude from "../Claude.ts"
import type { FinishInfo } from "./Options.ts"

/** The first part of an answer: whose it is. @internal */
export const metadata = ({ id, model }: Message, at: number): Response.ResponseMetadataPartEncoded => ({
  type: "response-metadata",
  id,
  modelId: model,
  timestamp: new Date(at).toISOString()
})

/** How each stop of the API ends an answer; what is not here is "unknown". */
const reasons: Readonly<Record<string, Response.FinishReason>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool-calls",
  pause_turn: "pause",
  // It was cut to compact it, and goes on when it is sent again.
  compaction: "pause",
  refusal: "content-filter"
}

/** How an answer ended, as effect/ai says it. @internal */
export const reasonOf = (stopReason: string | null, isForced: boolean): Response.FinishReason => {
  const reason = stopReason === null || !Object.hasOwn(reasons, stopReason) ? undefined : reasons[stopReason]
  return isForced && reason === "tool-calls" ? "stop" : reason ?? "unknown"
}

/** Whether an answer is not all that was to be said. @internal */
export const isCut = (stopReason: string | null): boolean =>
  ["length", "content-filter", "pause"].includes(reasonOf(stopReason, false))

/** The last part of an answer: how it ended, and what it came to. @internal */
export const part = (
  message: Message,
  receipt: Partial<Claude.Receipt>,
  isForced: boolean
): Response.FinishPartEncoded => {
  const { usage } = message
  // What betas add to a message.
  const more = message as { readonly context_management?: Schema.Json; readonly input_transformations?: Schema.Json }
  const info: FinishInfo = {
    model: message.model,
    stopReason: message.stop_reason,
    stopSequence: message.stop_sequence ?? null,
    stopDetails: json(message.stop_details),
    container: json(message.container),
    contextManagement: json(more.context_management),
    diagnostics: json(message.diagnostics),
    inputTransformations: json(more.input_transformations),
    usage: json(usage),
    requestId: receipt.requestId ?? null,
    cost: json(receipt.cost),
    attempts: receipt.attempts ?? 1,
    cached: receipt.cached ?? false
  }
  return {
    type: "finish",
    reason: reasonOf(message.stop_reason, isForced),
    usage: usageOf(usage),
    metadata: { anthropic: info }
  }
}

/** Tokens, of which those from and to the prompt cache are input too. @internal */
export const usageOf = (usage: Message["usage"]): Response.FinishPartEncoded["usage"] => {
  const uncached = int(usage.input_tokens)
  const cacheRead = int(usage.cache_read_input_tokens)
  const cacheWrite = int(usage.cache_creation_input_tokens)
  const total = int(usage.output_tokens)
  const reasoning = int(usage.output_tokens_details?.thinking_tokens)
  return {
    inputTokens: {
      uncached,
      cacheRead: cacheRead ?? 0,
      cacheWrite: cacheWrite ?? 0,
      total: uncached === undefined ? undefined : uncached + (cacheRead ?? 0) + (cacheWrite ?? 0)
    },
    outputTokens: {
      total,
      reasoning,
      text: total === undefined || reasoning === undefined ? undefined : Math.max(0, total - reasoning)
    }
  }
}

/** What a server tells is counted where it is a number. */
const int = (tokens: unknown): number | undefined => Number.isSafeInteger(tokens) ? Number(tokens) : undefined

/** A value without what JSON does not have. */
const json = (value: unknown): Schema.Json => value == null ? null : JSON.parse(JSON.stringify(value))
