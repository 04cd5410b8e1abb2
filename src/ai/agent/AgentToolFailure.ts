/**
 * Why an attempt of a tool failed, and what the model is told of it.
 *
 * A failure that the tool declares goes to the model as its schema encodes it; parameters that do not fit go with what
 * is wrong with them. Of all else the model is told that it happened: the message of a cause may hold anything.
 */
import * as AiError from "effect/ai/AiError"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ToolTimedOut } from "../TracedToolkit.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What a tool answers, or what it failed with. @internal */
export type HandlerResult = Tool.HandlerResult<Tool.Any>

/**
 * An attempt that failed: what a `retry` schedule is given.
 *
 * @category errors
 * @since 0.2.0
 */
export class ToolFailure extends Data.TaggedError("ToolFailure")<{
  readonly tool: string
  /** It failed as it declares; it took too long; its parameters do not fit; or it has a fault. */
  readonly kind: "failed" | "timed-out" | "parameters" | "defect"
  /** What it failed with, in this process alone. */
  readonly error: unknown
  /** What the model is told. */
  readonly result: unknown
}> {
  /** Whether another attempt may end otherwise: a fault and parameters that do not fit stay what they are. */
  get isRetryable(): boolean {
    return this.kind === "failed" || this.kind === "timed-out"
  }
}

// -----------------------------------------------------------------------------
// what the model is told
// -----------------------------------------------------------------------------

interface Told {
  /** The first two are those of effect/ai. */
  readonly type: "execution-denied" | "execution-interrupted" | "execution-failed" | "execution-timed-out"
  readonly reason: string
}

/** @internal */
export const denied = (reason = "It was not approved."): Told => ({ type: "execution-denied", reason })

/** @internal */
export const interrupted = (reason: string): Told => ({ type: "execution-interrupted", reason })

/** @internal */
export const unknownTool = (name: string, known: ReadonlyArray<string>): Told =>
  failed(`There is no tool ${name}; there are ${known.join(", ") || "none"}.`)

/** @internal */
export const tooLong = (length: number, limit: number): Told =>
  failed(`It has run, and its answer has ${length} characters where ${limit} may be read: ask it for less.`)

/** @internal */
export const notJson: Told = {
  type: "execution-failed",
  reason: "It has run, and its answer cannot be told: it is no JSON."
}

const failed = (reason: string): Told => ({ type: "execution-failed", reason })

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Of a tool that returns its failures. @internal */
export const ofResult = (tool: Tool.Any, { encodedResult, result }: HandlerResult): ToolFailure =>
  AiError.isAiError(result)
    ? ofAiError(tool, result)
    : new ToolFailure({ tool: tool.name, kind: "failed", error: result, result: encodedResult })

/** Of a tool that fails with them, or that nobody expected to. @internal */
export const ofCause = (tool: Tool.Any, cause: Cause.Cause<unknown>): Effect.Effect<ToolFailure> => {
  const error = Cause.squash(cause)
  if (!cause.reasons.some(Cause.isFailReason)) {
    return Effect.succeed(defect(tool, error, Cause.hasInterruptsOnly(cause) ? "It was interrupted." : undefined))
  }
  if (error instanceof ToolTimedOut) {
    const result: Told = { type: "execution-timed-out", reason: error.message }
    return Effect.succeed(new ToolFailure({ tool: tool.name, kind: "timed-out", error, result }))
  }
  if (AiError.isAiError(error)) return Effect.succeed(ofAiError(tool, error))
  // What it needs to encode them, it needs to run.
  const encode = Schema.encodeUnknownEffect(tool.failureSchema as Schema.Encoder<unknown>)
  return encode(error).pipe(
    Effect.map((result) => new ToolFailure({ tool: tool.name, kind: "failed", error, result })),
    Effect.orElseSucceed(() => defect(tool, error)),
    Effect.catchDefect(() => Effect.succeed(defect(tool, error)))
  )
}

const ofAiError = (tool: Tool.Any, error: AiError.AiError): ToolFailure => {
  switch (error.reason._tag) {
    case "ToolParameterValidationError":
      return new ToolFailure({ tool: tool.name, kind: "parameters", error, result: failed(error.reason.message) })
    // What it answered does not fit, and trying again would do again what it has done.
    case "InvalidToolResultError":
    case "ToolResultEncodingError":
      return defect(tool, error, "Its result is not what it says that it answers.")
    default:
      return new ToolFailure({
        tool: tool.name,
        kind: "failed",
        error,
        result: failed(`It failed: ${error.reason._tag}.`)
      })
  }
}

const defect = (tool: Tool.Any, error: unknown, reason = "It failed for a reason of its own."): ToolFailure =>
  new ToolFailure({ tool: tool.name, kind: "defect", error, result: failed(reason) })
