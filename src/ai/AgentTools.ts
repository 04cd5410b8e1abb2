/**
 * The tools of a turn: which of them wait, how many run at once, and what becomes of each.
 *
 * Whatever happens to a tool is shown to the model as a result, also where it has `failureMode: "error"`. The surprise:
 * of what nobody has declared (a defect, an error of another service) the model learns that it happened and no more,
 * since a cause may hold a secret.
 */
import * as Prompt from "effect/ai/Prompt"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as AgentApproval from "./AgentApproval.ts"
import type * as AgentStep from "./AgentStep.ts"
import { type Ended, notRun, run, type Turn } from "./AgentToolCall.ts"
import * as ToolFailure from "./AgentToolFailure.ts"
import type { Settings } from "./AgentToolOptions.ts"
import * as AgentTranscript from "./AgentTranscript.ts"
import type { AnyToolkit } from "./TracedToolkit.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What became of the calls of a turn. @internal */
export interface Settled {
  /** In the order of the calls. */
  readonly results: ReadonlyMap<string, Prompt.ToolResultPart>
  readonly pending: ReadonlyArray<AgentStep.ApprovalRequest>
  /** Time was up before all of them were over. */
  readonly isLate: boolean
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/** Answers calls without running them. @internal */
export const interrupted = (calls: ReadonlyArray<AgentTranscript.Call>, reason: string, turn: Turn) =>
  Effect.gen(function*() {
    const results = new Map<string, Prompt.ToolResultPart>()
    const ended = notRun("interrupted", ToolFailure.interrupted(reason))
    for (const call of calls) {
      results.set(call.toolCallId, partOf(call, ended))
      yield* turn.emit(finished(call, ended, turn))
    }
    return results
  })

/** Runs the calls of a turn, as far as they may be and there is time. @internal */
export const settle = Effect.fnUntraced(function*(
  settings: Settings,
  toolkit: AnyToolkit,
  calls: ReadonlyArray<AgentTranscript.Call>,
  turn: Turn
): Effect.fn.Return<Settled> {
  const clock = yield* Clock.Clock
  const semaphore = yield* Semaphore.make(settings.concurrency)
  const ended = new Map<string, Ended>()
  const begun = new Set<string>()
  const told = new Set<string>()
  const pending = new Map<string, AgentStep.ApprovalRequest>()

  /** Tells how a call ended, or that it waits. Time may be up just here; what was told is not told again. */
  const tell = (step: AgentStep.ToolFinished | AgentStep.ApprovalNeeded) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.andThen(restore(turn.emit(step)), Effect.sync(() => void told.add(step.toolCallId)))
    )
  const end = (call: AgentTranscript.Call, how: Ended) => {
    ended.set(call.toolCallId, how)
    return tell(finished(call, how, turn))
  }
  const wait = (call: AgentTranscript.Call) => {
    pending.set(call.toolCallId, AgentTranscript.requestOf(call))
    return tell(needed(call, turn))
  }

  const one = Effect.fnUntraced(function*(call: AgentTranscript.Call) {
    const approval = call.approval ?? (yield* AgentApproval.approvalFor(settings, toolkit, call, turn.messages))
    if (approval === undefined) return yield* wait(call)
    if (!approval.approved) return yield* end(call, notRun("denied", ToolFailure.denied(approval.reason)))
    yield* semaphore.withPermit(Effect.gen(function*() {
      const { name, params, toolCallId } = call
      yield* turn.emit({ _tag: "ToolStarted", turn: turn.number, toolCallId, name, params })
      begun.add(toolCallId)
      yield* end(call, yield* run(settings, toolkit, call, turn, clock))
    }))
  })

  const all = Effect.forEach(calls, one, { concurrency: "unbounded", discard: true })
  const isLate = turn.deadline === Infinity
    ? (yield* all, false)
    : (yield* Effect.timeoutOption(all, Math.max(0, turn.deadline - clock.currentTimeMillisUnsafe())))._tag === "None"

  const results = new Map<string, Prompt.ToolResultPart>()
  for (const call of calls) {
    const isTold = told.has(call.toolCallId)
    if (pending.has(call.toolCallId)) {
      if (!isTold) yield* tell(needed(call, turn))
      continue
    }
    const how = ended.get(call.toolCallId) ?? notRun("interrupted", outOfTime(begun.has(call.toolCallId)))
    if (!isTold) yield* tell(finished(call, how, turn))
    results.set(call.toolCallId, partOf(call, how))
  }
  return { results, pending: [...pending.values()], isLate }
})

const outOfTime = (wasBegun: boolean) =>
  ToolFailure.interrupted(
    wasBegun ? "It was begun, and there was no time left to end it." : "There was no time left for it."
  )

// -----------------------------------------------------------------------------

const partOf = ({ name, toolCallId }: AgentTranscript.Call, { modelOutput, outcome, result }: Ended) =>
  Prompt.makePart("tool-result", {
    id: toolCallId,
    name,
    isFailure: outcome !== "success",
    result,
    providerExecuted: false,
    ...(modelOutput === undefined ? undefined : { modelOutput })
  })

const needed = (call: AgentTranscript.Call, turn: Turn): AgentStep.ApprovalNeeded => ({
  _tag: "ApprovalNeeded",
  turn: turn.number,
  ...AgentTranscript.requestOf(call)
})

const finished = (
  { name, toolCallId }: AgentTranscript.Call,
  { attempts, duration, outcome, result }: Ended,
  turn: Turn
): AgentStep.ToolFinished => ({
  _tag: "ToolFinished",
  turn: turn.number,
  toolCallId,
  name,
  outcome,
  result,
  duration: Duration.millis(duration),
  attempts
})
