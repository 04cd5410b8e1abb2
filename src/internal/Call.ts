/**
 * One call on its way: what it asks, of whom, and what it leaves behind.
 */
import type { Message as SdkMessage } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Timeouts from "../attempt/Timeouts.ts"
import type * as ClaudeError from "../ClaudeError.ts"
import type { Accumulator } from "../decode/Accumulator.ts"
import * as Failure from "../Failure.ts"
import * as Cost from "../request/Cost.ts"
import type * as Request from "../request/Request.ts"
import type { Outcome } from "../telemetry/Attributes.ts"
import type * as CallSpan from "../telemetry/CallSpan.ts"
import type * as CallTelemetry from "../telemetry/CallTelemetry.ts"
import type * as Endpoint from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** The SDK's message, and its receipt. */
export type Message = SdkMessage & Receipt

/** What a call leaves behind beside its answer. */
export interface Receipt {
  readonly requestId: string | undefined
  readonly cost: Cost.Cost | undefined
  /** How many times the request was sent. */
  readonly attempts: number
  /** What all of them were billed. */
  readonly billed: ClaudeError.Usage | undefined
  /**
   * It was answered before, or to another call at the same time, and cost nothing. Where the call that paid for all was
   * given up by its caller, no receipt has the cost: the usage report does.
   */
  readonly cached: boolean
}

/** A request that may be sent, and how. @internal */
export interface Prepared {
  readonly operation: CallTelemetry.Operation
  readonly resolved: Request.Resolved
  readonly policy: Settings.Policy
  readonly timeouts: Timeouts.Timeouts
  /** How long the call may take. */
  readonly total: number
  /** The response comes as a stream of events; and the caller reads it as one. */
  readonly streamed: boolean
  readonly stream: boolean
}

/** A model at an endpoint, and what is sent to it. @internal */
export interface Target {
  readonly endpoint: Endpoint.Endpoint
  readonly lane: Endpoint.Lane
  readonly model: string
  readonly body: Request.Resolved & { readonly stream?: boolean }
}

/** One call. @internal */
export interface Call {
  readonly span: CallSpan.CallSpan
  readonly prepared: Prepared
  /** Which answers, and which may yet be asked. */
  target: Target
  readonly fallback: Array<string | Settings.FallbackTarget>
  /** What to do after a failed attempt at this target. */
  again: (error: ClaudeError.ClaudeError) => Effect.Effect<void, ClaudeError.ClaudeError>
  /** Until when; a stream's time ends with its first content. */
  deadline: number
  /** What the latest attempt has received. */
  accumulator: Accumulator
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** A call's last word: the error, with what the call knows by then. @internal */
export const final = (call: Call, error: ClaudeError.ClaudeError): ClaudeError.ClaudeError =>
  Failure.enrich(error, {
    attempts: call.span.attempts,
    usage: call.span.usage,
    partial: call.accumulator.partial()
  })

/** @internal */
export const receipt = ({ span: { attempts, cost, requestId, usage } }: Call): Receipt => ({
  requestId,
  cost,
  attempts,
  billed: usage,
  cached: false
})

/** The receipt that a stream's last event carries. @internal */
export const receiptOf = (
  { attempts = 1, billed, cached = false, cost, requestId }: Partial<Receipt>
): Receipt => ({ requestId, cost, attempts, billed, cached })

/** The receipt of what the cache answers. @internal */
export const free: Receipt = {
  requestId: undefined,
  cost: Cost.nothing,
  attempts: 0,
  billed: undefined,
  cached: true
}

/** A message as the API gave it. @internal */
export const withoutReceipt = (
  { attempts: _attempts, billed: _billed, cached: _cached, cost: _cost, requestId: _id, ...message }: Message
): SdkMessage => message

/** @internal */
export const end = (call: Call, outcome: Outcome, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  call.span.end(outcome, exit, () => call.accumulator.partial())

/** @internal */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  Exit.isSuccess(exit) ? "success" : Exit.hasInterrupts(exit) ? "cancelled" : "error"
