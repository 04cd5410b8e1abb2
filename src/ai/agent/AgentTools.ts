/**
 * The tools of a turn: which of them wait for an approval, how many run at once, and what becomes of each.
 *
 * Whatever happens to a tool is shown to the model as a result, also where it has `failureMode: "error"`. The surprise:
 * of what nobody has declared (a defect, an error of another service) the model learns that it happened and no more,
 * since a cause may hold a secret.
 */
import * as Prompt from "effect/ai/Prompt"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { AnyToolkit } from "../TracedToolkit.ts"
import type * as AgentStep from "./AgentStep.ts"
import { type Ended, notRun, run, type Settings } from "./AgentToolCall.ts"
import * as ToolFailure from "./AgentToolFailure.ts"
import * as AgentTranscript from "./AgentTranscript.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Where steps go, made for who listens. @internal */
export interface Told {
  /** Somebody reads the answers as they come. */
  readonly isLive: boolean
  /** Waits until there is room for them. */
  readonly emit: (steps: () => ReadonlyArray<AgentStep.Step>) => Effect.Effect<unknown>
  /** Waits until the step after it is asked for. */
  readonly handOver: (step: () => AgentStep.Step) => Effect.Effect<unknown>
  /** Leaves it out where there is no room. */
  readonly offer: (step: AgentStep.Step) => void
}

/** Where a turn stands, and where what happens is told. @internal */
export interface Turn {
  readonly number: number
  /** All up to here; the calls of the turn are open in it. */
  readonly transcript: Prompt.Prompt
  /** When the run has to be over, by the clock. */
  readonly deadline: number
  readonly told: Told
}

/** What became of the calls of a turn. @internal */
export interface Settled {
  /** With their results, and requests for what waits. */
  readonly transcript: Prompt.Prompt
  readonly pending: ReadonlyArray<AgentStep.ApprovalRequest>
  /** Time was up before all of them were over. */
  readonly isLate: boolean
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/** Answers calls without running them; gives the transcript. @internal */
export const interrupted = Effect.fnUntraced(function*(
  calls: ReadonlyArray<AgentTranscript.Call>,
  reason: string,
  turn: Turn
): Effect.fn.Return<Prompt.Prompt> {
  const outcomes = new Outcomes(calls, turn)
  const ended = notRun("interrupted", ToolFailure.interrupted(reason))
  for (const call of calls) yield* outcomes.end(call, ended)
  return outcomes.transcript
})

/**
 * Runs the calls of a turn, as far as they may be and there is time; what was said before it is for who decides whether
 * one needs an approval.
 *
 * @internal
 */
export const settle = Effect.fnUntraced(function*(
  settings: Settings,
  toolkit: AnyToolkit,
  calls: ReadonlyArray<AgentTranscript.Call>,
  messages: ReadonlyArray<Prompt.Message>,
  turn: Turn
): Effect.fn.Return<Settled> {
  const clock = yield* Clock.Clock
  const semaphore = yield* Semaphore.make(settings.concurrency)
  const outcomes = new Outcomes(calls, turn)
  const begun = new Set<string>()

  const one = Effect.fnUntraced(function*(call: AgentTranscript.Call) {
    const approval = call.approval ?? (yield* approvalFor(settings, toolkit, call, messages))
    if (approval === undefined) return yield* outcomes.wait(call)
    if (!approval.approved) return yield* outcomes.end(call, notRun("denied", ToolFailure.denied(approval.reason)))
    yield* semaphore.withPermit(Effect.gen(function*() {
      const { name, toolCallId } = call
      const { number, told } = turn
      yield* told.emit(() => [{ _tag: "ToolStarted", turn: number, ...AgentTranscript.withoutApproval(call) }])
      begun.add(toolCallId)
      const progress = (result: unknown) => told.offer({ _tag: "ToolProgress", turn: number, toolCallId, name, result })
      yield* outcomes.end(call, yield* run(settings, toolkit, call, progress, clock))
    }))
  })

  const all = Effect.andThen(
    turn.told.handOver(() => ({
      _tag: "ToolsCalled",
      turn: turn.number,
      calls: calls.map(AgentTranscript.withoutApproval),
      transcript: outcomes.transcript
    })),
    Effect.forEach(calls, one, { concurrency: "unbounded", discard: true })
  )
  const isLate = Option.isNone(yield* inTime(all, turn.deadline))

  for (const call of calls) yield* outcomes.close(call, notRun("interrupted", outOfTime(begun.has(call.toolCallId))))
  return { transcript: outcomes.transcript, pending: outcomes.pending, isLate }
})

/** What comes of it before then. @internal */
export const inTime = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  deadline: number
): Effect.Effect<Option.Option<A>, E, R> =>
  deadline === Infinity
    ? Effect.asSome(self)
    : Clock.clockWith((clock) => Effect.timeoutOption(self, deadline - clock.currentTimeMillisUnsafe()))

const outOfTime = (wasBegun: boolean) =>
  ToolFailure.interrupted(
    wasBegun ? "It was begun, and there was no time left to end it." : "There was no time left for it."
  )

/** What became of each call, told as it happens. */
class Outcomes {
  private readonly calls: ReadonlyArray<AgentTranscript.Call>
  private readonly turn: Turn
  private readonly results = new Map<string, Prompt.ToolResultPart>()
  private readonly waiting = new Set<string>()
  /** How to tell of what may not have been told: time may be up just then. */
  private readonly untold = new Map<string, () => AgentStep.Step>()

  constructor(calls: ReadonlyArray<AgentTranscript.Call>, turn: Turn) {
    this.calls = calls
    this.turn = turn
  }

  get transcript(): Prompt.Prompt {
    return AgentTranscript.settled(this.turn.transcript, this.calls, this.results, this.waiting)
  }

  get pending(): ReadonlyArray<AgentStep.ApprovalRequest> {
    return this.calls.filter(({ toolCallId }) => this.waiting.has(toolCallId)).map(AgentTranscript.withoutApproval)
  }

  end(call: AgentTranscript.Call, ended: Ended): Effect.Effect<void> {
    const { name, toolCallId } = call
    const { attempts, duration, error, modelOutput, outcome, result } = ended
    this.results.set(
      toolCallId,
      Prompt.makePart("tool-result", {
        id: toolCallId,
        name,
        isFailure: outcome !== "success",
        result,
        providerExecuted: false,
        ...(modelOutput === undefined ? undefined : { modelOutput })
      })
    )
    return this.tell(toolCallId, () => ({
      _tag: "ToolFinished",
      turn: this.turn.number,
      toolCallId,
      name,
      outcome,
      result,
      ...(error === undefined ? undefined : { error }),
      duration: Duration.millis(duration),
      attempts,
      transcript: this.transcript
    }))
  }

  wait(call: AgentTranscript.Call): Effect.Effect<void> {
    this.waiting.add(call.toolCallId)
    return this.tell(call.toolCallId, () => ({
      _tag: "ApprovalNeeded",
      turn: this.turn.number,
      ...AgentTranscript.withoutApproval(call),
      transcript: this.transcript
    }))
  }

  /** Ends a call that is neither over nor waits, and tells of one that was not told of. */
  close(call: AgentTranscript.Call, ended: Ended): Effect.Effect<void> {
    const { toolCallId } = call
    const untold = this.untold.get(toolCallId)
    if (untold !== undefined) return this.tell(toolCallId, untold)
    return this.results.has(toolCallId) || this.waiting.has(toolCallId) ? Effect.void : this.end(call, ended)
  }

  private tell(id: string, step: () => AgentStep.Step): Effect.Effect<void> {
    this.untold.set(id, step)
    return Effect.uninterruptibleMask((restore) =>
      Effect.andThen(
        restore(this.turn.told.emit(() => [step()])),
        Effect.sync(() => void this.untold.delete(id))
      )
    )
  }
}

// -----------------------------------------------------------------------------
// approvals
// -----------------------------------------------------------------------------

/** Whether a call may be run: by what its tool says, and then by who answers for it. Undefined where it has to wait. */
const approvalFor = Effect.fnUntraced(function*(
  { approve }: Settings,
  toolkit: AnyToolkit,
  call: AgentTranscript.Call,
  messages: ReadonlyArray<Prompt.Message>
): Effect.fn.Return<AgentTranscript.Approval | undefined> {
  const tool = Object.hasOwn(toolkit.tools, call.name) ? toolkit.tools[call.name] : undefined
  let needed = tool?.needsApproval ?? false
  if (typeof needed === "function") {
    const isNeeded = needed
    const decoded = Schema.isSchema(tool?.parametersSchema)
      ? Schema.decodeUnknownEffect(tool.parametersSchema as Schema.Decoder<unknown>)(call.params)
      : Effect.succeed(call.params)
    needed = yield* decoded.pipe(
      Effect.matchEffect({
        // What cannot be decoded is not run either.
        onFailure: () => Effect.succeed(false),
        onSuccess: (params) => {
          const answer = isNeeded(params, { toolCallId: call.toolCallId, messages })
          return Effect.isEffect(answer) ? answer : Effect.succeed(answer)
        }
      }),
      // Who cannot tell that it is harmless has to ask.
      Effect.catchDefect(() => Effect.succeed(true))
    )
  }
  if (!needed) return { approved: true }
  if (approve === undefined) return undefined
  return yield* Effect.suspend(() => approve(AgentTranscript.withoutApproval(call))).pipe(
    Effect.map(AgentTranscript.approvalOf),
    // Who breaks over it has not answered.
    Effect.catchDefect(() => Effect.undefined)
  )
})
