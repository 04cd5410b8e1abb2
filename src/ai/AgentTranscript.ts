/**
 * Transcripts: which calls of tools are open in one, and how they are answered.
 *
 * A transcript is a `Prompt`, and approvals are the parts that effect/ai has for them, so it goes to JSON and back by
 * Prompt's own schema. A call with neither a result nor a request for approval was cut off; nobody knows whether it
 * ran, so it is answered as interrupted and never run again.
 */
import * as Prompt from "effect/ai/Prompt"
import type * as AgentStep from "./AgentStep.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** The answer to a request for approval. @category models @since 0.2.0 */
export interface Approval {
  readonly approved: boolean
  /** Shown to the model where it is denied. */
  readonly reason?: string | undefined
}

/** A call of a tool, and what is known of its approval. @internal */
export interface Call extends AgentStep.ApprovalRequest {
  readonly approval?: Approval | undefined
}

/** What a transcript was left with. @internal */
export interface Opened {
  /** What was asked for, and is approved, denied, or still waits. */
  readonly asked: ReadonlyArray<Call>
  /** What was cut off. */
  readonly lost: ReadonlyArray<Call>
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** @internal */
export const open = ({ content }: Prompt.Prompt): Opened => {
  const calls = new Map<string, Call>()
  const requests = new Map<string, string>()
  const approvals = new Map<string, Approval>()
  for (const message of content) {
    if (message.role === "user") {
      // Who says something else has not approved.
      for (const id of requests.values()) {
        if (!approvals.has(id)) approvals.set(id, { approved: false, reason: "It was not approved." })
      }
    }
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      if (part.type === "tool-call" && !part.providerExecuted) {
        calls.set(part.id, { toolCallId: part.id, name: part.name, params: part.params })
      }
      if (part.type === "tool-approval-request") requests.set(part.approvalId, part.toolCallId)
      if (part.type === "tool-approval-response") {
        const id = requests.get(part.approvalId)
        if (id !== undefined) approvals.set(id, { approved: part.approved, reason: part.reason })
      }
      if (part.type === "tool-result") calls.delete(part.id)
    }
  }
  const requested = new Set(requests.values())
  const all = [...calls.values()]
  return {
    asked: all.filter(({ toolCallId }) => requested.has(toolCallId)).map((call) => ({
      ...call,
      approval: approvals.get(call.toolCallId)
    })),
    lost: all.filter(({ toolCallId }) => !requested.has(toolCallId))
  }
}

/** The calls of a transcript that wait for an approval. @category combinators @since 0.2.0 */
export const pending = (transcript: Prompt.Prompt): ReadonlyArray<AgentStep.ApprovalRequest> =>
  open(transcript).asked.filter(({ approval }) => approval === undefined).map(requestOf)

/** @internal */
export const requestOf = ({ name, params, toolCallId }: AgentStep.ApprovalRequest): AgentStep.ApprovalRequest => ({
  toolCallId,
  name,
  params
})

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

/**
 * A transcript with answers to what waits for an approval, by the ids of the calls; run it to go on.
 *
 * @category combinators
 * @since 0.2.0
 */
export const answer = (
  transcript: Prompt.Prompt,
  approvals: Readonly<Record<string, boolean | Approval>>
): Prompt.Prompt => {
  const waiting = new Set(pending(transcript).map(({ toolCallId }) => toolCallId))
  const requests = new Map<string, string>()
  for (const message of transcript.content) {
    if (message.role !== "assistant") continue
    for (const part of message.content) {
      if (part.type === "tool-approval-request") requests.set(part.toolCallId, part.approvalId)
    }
  }
  const content = Object.entries(approvals).map(([id, answer]) => {
    const approvalId = requests.get(id)
    if (approvalId === undefined || !waiting.has(id)) {
      throw new RangeError(
        `Agent.answer: no call ${id} waits for an approval; those that do: ${[...waiting].join(", ") || "none"}.`
      )
    }
    const { approved, reason } = approvalOf(answer)
    return Prompt.makePart("tool-approval-response", {
      approvalId,
      approved,
      ...(reason === undefined ? {} : { reason })
    })
  })
  return content.length === 0
    ? transcript
    : Prompt.fromMessages([...transcript.content, Prompt.makeMessage("tool", { content })])
}

/** @internal */
export const approvalOf = (answer: boolean | Approval): Approval =>
  typeof answer === "boolean" ? { approved: answer } : answer

/** A transcript whose open calls have results, each right after its turn; what was asked about them is gone. @internal */
export const answered = (
  transcript: Prompt.Prompt,
  results: ReadonlyMap<string, Prompt.ToolResultPart>
): Prompt.Prompt => {
  if (results.size === 0) return transcript
  const gone = new Set<string>()
  const messages: Array<Prompt.Message> = []
  for (const message of transcript.content) {
    if (message.role === "assistant") {
      const found: Array<Prompt.ToolResultPart> = []
      const content = message.content.filter((part) => {
        const result = part.type === "tool-call" ? results.get(part.id) : undefined
        if (result !== undefined) found.push(result)
        if (part.type !== "tool-approval-request" || !results.has(part.toolCallId)) return true
        gone.add(part.approvalId)
        return false
      })
      messages.push(Prompt.makeMessage("assistant", { content, options: message.options }))
      if (found.length > 0) messages.push(Prompt.makeMessage("tool", { content: found }))
    } else if (message.role === "tool") {
      const content = message.content.filter((part) =>
        part.type !== "tool-approval-response" || !gone.has(part.approvalId)
      )
      if (content.length > 0) messages.push(Prompt.makeMessage("tool", { content, options: message.options }))
    } else messages.push(message)
  }
  return Prompt.fromMessages(messages)
}

/** What a turn adds to a transcript: the answer, with requests for what waits, and results of what does not. @internal */
export const turn = (
  said: Prompt.Prompt,
  results: ReadonlyArray<Prompt.ToolResultPart>,
  waiting: ReadonlyArray<AgentStep.ApprovalRequest>
): ReadonlyArray<Prompt.Message> => {
  const requests = waiting.map(({ toolCallId }) =>
    Prompt.makePart("tool-approval-request", { approvalId: toolCallId, toolCallId })
  )
  return [
    ...said.content.map((message) =>
      message.role === "assistant" && requests.length > 0
        ? Prompt.makeMessage("assistant", { content: [...message.content, ...requests], options: message.options })
        : message
    ),
    ...(results.length === 0 ? [] : [Prompt.makeMessage("tool", { content: results })])
  ]
}
