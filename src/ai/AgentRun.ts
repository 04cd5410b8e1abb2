/**
 * A run: the model is asked, the tools that it asks for are run, and again, until it is done or a limit is reached.
 *
 * A limit stops what comes next. What the model asked for in its last turn is not run, since nobody would read what it
 * answered; what runs when the time is up is interrupted. Either way each call has a result that says so. A turn that
 * time has cut off is not in the transcript, which can be run again from there.
 */
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as AgentLimits from "./AgentLimits.ts"
import type * as AgentStep from "./AgentStep.ts"
import type { Turn } from "./AgentToolCall.ts"
import type { Settings } from "./AgentToolOptions.ts"
import * as AgentTools from "./AgentTools.ts"
import * as AgentTranscript from "./AgentTranscript.ts"
import type { AnyToolkit } from "./TracedToolkit.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What a run is made of. @internal */
export interface Setup {
  readonly model: LanguageModel.LanguageModel
  readonly toolkit: AnyToolkit
  readonly instructions: ReadonlyArray<Prompt.Message>
  readonly tools: Settings
  readonly limits: AgentLimits.Checked
  readonly bill: AgentLimits.Bill
  readonly told: Told
}

/** Where steps go. @internal */
export interface Told {
  /** Waits until there is room for them. */
  readonly emit: (steps: Arr.NonEmptyReadonlyArray<AgentStep.Step>) => Effect.Effect<unknown>
  /** Leaves it out where there is no room. */
  readonly offer: (step: AgentStep.Step) => void
}

/** What the model said in a turn. */
interface Said {
  readonly parts: ReadonlyArray<Response.AnyPart>
  readonly finish: Response.FinishPart | undefined
  readonly text: string
}

// -----------------------------------------------------------------------------
// the loop
// -----------------------------------------------------------------------------

/** @internal */
export const run = Effect.fnUntraced(function*(
  setup: Setup,
  input: Prompt.RawInput
): Effect.fn.Return<AgentStep.Result, AiError.AiError> {
  const { bill, limits, told, toolkit, tools } = setup
  const clock = yield* Clock.Clock
  const deadline = clock.currentTimeMillisUnsafe() + limits.time
  const emit = (step: AgentStep.Step) => Effect.asVoid(told.emit([step]))

  let transcript = Prompt.make(input)
  let pending: ReadonlyArray<AgentStep.ApprovalRequest> = []
  let text = ""
  const isLate = () => clock.currentTimeMillisUnsafe() >= deadline
  const turn = (): Turn => ({
    number: bill.turns,
    messages: transcript.content,
    deadline,
    emit,
    offer: told.offer
  })
  const stopped = ({ isLate, pending }: AgentTools.Settled): AgentStep.Reason | undefined =>
    isLate ? "time-limit" : pending.length > 0 ? "approval" : undefined

  // What the transcript was left with.
  const { asked, lost } = AgentTranscript.open(transcript)
  const cut = yield* AgentTools.interrupted(lost, "It was cut off, and may have run.", turn())
  transcript = AgentTranscript.answered(transcript, cut)
  const settled = yield* AgentTools.settle(tools, toolkit, asked, turn())
  transcript = AgentTranscript.answered(transcript, settled.results)
  pending = settled.pending
  if (cut.size + settled.results.size > 0) yield* emit({ _tag: "Resumed", transcript })
  let reason = stopped(settled)

  while (reason === undefined) {
    reason = isLate() ? "time-limit" : bill.reached(limits)
    if (reason !== undefined) break
    bill.turns++
    const said = yield* inTime(ask(setup, transcript), deadline - clock.currentTimeMillisUnsafe())
    if (Option.isNone(said)) {
      bill.add(undefined)
      reason = "time-limit"
      break
    }
    const { finish, parts } = said.value
    const spent = bill.add(finish)
    text = said.value.text
    const finishReason = finish?.reason ?? "unknown"
    const calls = callsOf(parts)

    reason = endOf(finishReason)
    let results: ReadonlyMap<string, Prompt.ToolResultPart>
    if (calls.length === 0) {
      results = new Map()
      if (finishReason !== "pause") reason ??= "done"
    } else {
      reason ??= isLate() ? "time-limit" : bill.reached(limits)
      if (reason !== undefined) {
        results = yield* AgentTools.interrupted(calls, `It was not run: ${whys[reason]}.`, turn())
      } else {
        const settled = yield* AgentTools.settle(tools, toolkit, calls, turn())
        results = settled.results
        pending = settled.pending
        reason = stopped(settled)
      }
    }
    transcript = Prompt.fromMessages([
      ...transcript.content,
      ...AgentTranscript.turn(Prompt.fromResponseParts(parts), [...results.values()], pending)
    ])
    yield* emit({ _tag: "TurnFinished", turn: bill.turns, finishReason, ...spent, transcript })
  }

  const { cost, turns, usage } = bill
  const result: AgentStep.Result = { reason, text, turns, usage, cost, transcript, pending }
  yield* emit({ _tag: "Finished", ...result })
  return result
})

/** How a turn ends a run, whatever it asked for. */
const endOf = (reason: Response.FinishReason): AgentStep.Reason | undefined => {
  switch (reason) {
    case "stop":
    case "tool-calls":
    case "pause":
      return undefined
    case "content-filter":
      return "refused"
    // A call in an answer that was cut, or ended in a way that nobody knows, may be half of one.
    default:
      return "cut"
  }
}

const whys: Readonly<Record<AgentStep.Reason, string>> = {
  done: "the agent was done",
  approval: "another call waits for an approval",
  "turn-limit": "the agent has had all its turns",
  "token-limit": "the agent has had all its tokens",
  "cost-limit": "the agent has spent all that it may",
  "time-limit": "the agent has had all its time",
  refused: "the answer was refused",
  cut: "the answer was cut"
}

const inTime = <A, E, R>(self: Effect.Effect<A, E, R>, millis: number): Effect.Effect<Option.Option<A>, E, R> =>
  millis === Infinity ? Effect.asSome(self) : Effect.timeoutOption(self, Math.max(0, millis))

// -----------------------------------------------------------------------------
// a turn
// -----------------------------------------------------------------------------

/** Asks the model, and tells what it says as it comes. */
const ask = (
  { bill, instructions, model, told, toolkit }: Setup,
  { content }: Prompt.Prompt
): Effect.Effect<Said, AiError.AiError> =>
  Effect.suspend(() => {
    const parts: Array<Response.AnyPart> = []
    let finish: Response.FinishPart | undefined
    let text = ""
    const read = (part: Response.AnyPart): AgentStep.Step | undefined => {
      // Parameters come whole with the call.
      if (!part.type.startsWith("tool-params-")) parts.push(part)
      switch (part.type) {
        case "text-delta":
          text += part.delta
          return { _tag: "TextDelta", turn: bill.turns, text: part.delta }
        case "reasoning-delta":
          return { _tag: "ReasoningDelta", turn: bill.turns, text: part.delta }
        case "finish":
          finish = part
      }
      return undefined
    }
    // The toolkit's handlers are called here and not by the model, whose queue for that has no bound.
    const answer = model.streamText({
      prompt: Prompt.fromMessages([...instructions, ...content]),
      toolkit,
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
      // What the tools' schemas need is in what the agent needs.
    }) as Stream.Stream<Response.AnyPart, AiError.AiError>
    return answer.pipe(
      Stream.runForEachArray((all) => {
        const steps: Array<AgentStep.Step> = []
        for (const part of all) {
          if (part.type === "error") return Effect.fail(streamError)
          const step = read(part)
          if (step !== undefined) steps.push(step)
        }
        return isNonEmpty(steps) ? told.emit(steps) : Effect.void
      }),
      Effect.map((): Said => ({ parts, finish, text }))
    )
  })

/** Some models tell of a failure amid their answer. */
const streamError = AiError.make({
  module: "Agent",
  method: "run",
  reason: new AiError.InternalProviderError({ description: "The model's answer broke off with an error." })
})

const isNonEmpty = (steps: ReadonlyArray<AgentStep.Step>): steps is Arr.NonEmptyReadonlyArray<AgentStep.Step> =>
  steps.length > 0

const callsOf = (parts: ReadonlyArray<Response.AnyPart>): ReadonlyArray<AgentTranscript.Call> =>
  parts.flatMap((part) =>
    part.type === "tool-call" && !part.providerExecuted
      ? [{ toolCallId: part.id, name: part.name, params: part.params }]
      : []
  )
