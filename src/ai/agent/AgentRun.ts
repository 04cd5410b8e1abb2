/**
 * A run: the model is asked, the tools that it asks for are run, and again, until it is done or a limit is reached.
 *
 * A limit stops what comes next. What the model asked for in its last turn is not run, since nobody would read what it
 * answered; what runs when the time is up is interrupted. Either way each call has a result that says so. An answer that
 * time or a failure has cut off is not in the transcript, which can be run again from there.
 */
import * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as AiErrors from "../AiErrors.ts"
import * as AgentAnswer from "./AgentAnswer.ts"
import type * as AgentLimits from "./AgentLimits.ts"
import type * as AgentStep from "./AgentStep.ts"
import type { Settings } from "./AgentToolCall.ts"
import * as AgentTools from "./AgentTools.ts"
import * as AgentTranscript from "./AgentTranscript.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What a run is made of. @internal */
export interface Setup extends AgentAnswer.Asking {
  readonly tools: Settings
  /** When it has to be over, by the clock. */
  readonly deadline: number
  readonly bill: AgentLimits.Bill
}

// -----------------------------------------------------------------------------
// the loop
// -----------------------------------------------------------------------------

/** @internal */
export const run = Effect.fnUntraced(function*(
  setup: Setup,
  input: Prompt.RawInput
): Effect.fn.Return<AgentStep.Result, AgentStep.AgentError> {
  const { bill, deadline, told, toolkit, tools } = setup
  const clock = yield* Clock.Clock

  let transcript = Prompt.make(input)
  let pending: ReadonlyArray<AgentStep.ApprovalRequest> = []
  let reason: AgentStep.Reason | undefined
  let text = ""
  const turn = (): AgentTools.Turn => ({ number: bill.turns, transcript, deadline, told })
  const settle = Effect.fnUntraced(function*(
    calls: ReadonlyArray<AgentTranscript.Call>,
    messages: ReadonlyArray<Prompt.Message>
  ) {
    const settled = yield* AgentTools.settle(tools, toolkit, calls, messages, turn())
    transcript = settled.transcript
    pending = [...pending, ...settled.pending]
    if (settled.isLate) reason = "time-limit"
  })

  // What the transcript was left with.
  const { asked, lost } = AgentTranscript.open(transcript)
  if (lost.length > 0) {
    transcript = yield* AgentTools.interrupted(lost, "It was cut off, and may have run.", turn())
  }
  const isAnswered = ({ approval }: AgentTranscript.Call) => approval !== undefined || tools.approve !== undefined
  const answered = asked.filter(isAnswered)
  pending = asked.filter((call) => !isAnswered(call)).map(AgentTranscript.withoutApproval)
  if (answered.length > 0) yield* settle(answered, transcript.content)
  if (pending.length > 0) reason ??= "approval"

  let isPaused = false
  while (reason === undefined) {
    reason = clock.currentTimeMillisUnsafe() >= deadline ? "time-limit" : bill.reached()
    if (reason !== undefined) break
    bill.turns++
    const asking = AgentAnswer.ask(setup, bill.turns, transcript).pipe(
      Effect.mapError((error) => {
        // Who runs it as a tool has paid for it, too.
        if (isBilled(error)) bill.add(undefined)
        return failed(error, transcript)
      }),
      // Whoever interrupts it: nobody knows what it has cost by then.
      Effect.onInterrupt(() => Effect.sync(() => bill.add(undefined)))
    )
    const said = yield* AgentTools.inTime(asking, deadline)
    if (Option.isNone(said)) {
      reason = "time-limit"
      break
    }
    const { calls, content, finish } = said.value
    const spent = bill.add(finish)
    const finishReason = finish?.reason ?? "unknown"
    text = isPaused ? text + said.value.text : said.value.text
    isPaused = finishReason === "pause"
    const before = transcript.content
    transcript = Prompt.fromMessages([...before, ...content])

    reason = endOf(finishReason)
    if (calls.length > 0) {
      const stop = reason ?? bill.reached()
      if (stop === undefined) {
        yield* settle(calls, before)
        if (pending.length > 0) reason ??= "approval"
      } else {
        reason = stop
        transcript = yield* AgentTools.interrupted(calls, `It was not run: ${whys[stop]}.`, turn())
      }
    } else if (!isPaused) reason ??= "done"
    yield* told.emit(() => [{ _tag: "TurnFinished", turn: bill.turns, finishReason, ...spent, transcript }])
  }

  const { cost, turns, usage } = bill
  const result: AgentStep.Result = { reason, text, turns, usage, cost, transcript, pending }
  yield* told.emit(() => [{ _tag: "Finished", ...result }])
  return result
})

/** How a turn ends a run, whatever it asked for. */
const endOf = (reason: Response.FinishReason): "refused" | "cut" | undefined => {
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

const whys: Readonly<Record<NonNullable<ReturnType<typeof endOf>> | AgentLimits.Reached, string>> = {
  "turn-limit": "the agent has had all its turns",
  "token-limit": "the agent has had all its tokens",
  "cost-limit": "the agent has spent all that it may",
  refused: "the answer was refused",
  cut: "the answer was cut"
}

/** The failure of a call, and what was said before it, which nobody shall read in a log. */
const failed = ({ method, module, reason }: AiError.AiError, transcript: Prompt.Prompt): AgentStep.AgentError =>
  // Just defined.
  Object.defineProperty(AiError.make({ module, method, reason }), "transcript", {
    value: transcript
  }) as AgentStep.AgentError

const isBilled = (error: AiError.AiError): boolean =>
  Option.match(AiErrors.claudeError(error), { onNone: () => false, onSome: ({ usage }) => usage !== undefined })
