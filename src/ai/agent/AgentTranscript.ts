/**
 * Transcripts: which calls of tools are open in one, and how they are answered.
 *
 * A transcript is a `Prompt`, and approvals are the parts that effect/ai has for them, so it goes to JSON and back by
 * Prompt's own schema. A call with neither a result nor a request for approval was cut off; nobody knows whether it
 * ran, so it is answered as interrupted and never run again. The surprise: what a transcript says was approved is run,
 * so one that comes back from a client is worth no more than the client.
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
export interface Call extends AgentStep.ToolCall {
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
      switch (part.type) {
        case "tool-call":
          if (part.providerExecuted) break
          calls.set(part.id, callOf(part))
          // A call that has the id of another is not approved by what that one was.
          approvals.delete(part.id)
          for (const [approvalId, id] of requests) if (id === part.id) requests.delete(approvalId)
          break
        case "tool-approval-request":
          requests.set(part.approvalId, part.toolCallId)
          break
        case "tool-approval-response": {
          const id = requests.get(part.approvalId)
          if (id !== undefined) approvals.set(id, { approved: part.approved, reason: part.reason })
          break
        }
        case "tool-result":
          calls.delete(part.id)
      }
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
  open(transcript).asked.filter(({ approval }) => approval === undefined).map(withoutApproval)

/** @internal */
export const callOf = (
  { id, name, params }: { readonly id: string; readonly name: string; readonly params: unknown }
): AgentStep.ToolCall => ({ toolCallId: id, name, params })

/** @internal */
export const withoutApproval = ({ name, params, toolCallId }: Call): AgentStep.ToolCall => ({
  toolCallId,
  name,
  params
})

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

/**
 * A transcript with answers to what waits for an approval, by the ids of the calls; run it to go on. Whatever is said
 * next instead denies what was not answered. What a transcript says was approved is run: one that was with a client is
 * to be checked, or better kept here.
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

/**
 * A transcript in which some of its last calls have results, right after their turn, some wait for an approval, and the
 * others are open. What was asked and answered about them before is gone.
 *
 * @internal
 */
export const settled = (
  transcript: Prompt.Prompt,
  calls: ReadonlyArray<AgentStep.ToolCall>,
  results: ReadonlyMap<string, Prompt.ToolResultPart>,
  waiting: ReadonlySet<string>
): Prompt.Prompt => {
  const { content } = transcript
  // Ids may come again: those of the last calls that have them are meant.
  const left = new Set(calls.map(({ toolCallId }) => toolCallId))
  const ofTurns = new Map<number, Set<string>>()
  let from = content.length
  while (left.size > 0 && from > 0) {
    const message = content[--from]!
    if (message.role !== "assistant") continue
    const own = new Set<string>()
    for (const part of message.content) if (part.type === "tool-call" && left.delete(part.id)) own.add(part.id)
    if (own.size > 0) ofTurns.set(from, own)
  }
  const messages = content.slice(0, from)
  const gone = new Set<string>()
  for (let at = from; at < content.length; at++) {
    const message = content[at]!
    const own = ofTurns.get(at)
    if (message.role === "assistant" && own !== undefined) {
      const kept = message.content.filter((part) => {
        if (part.type !== "tool-approval-request" || !own.has(part.toolCallId)) return true
        gone.add(part.approvalId)
        return false
      })
      const ids = [...own]
      const requests = ids.filter((id) => waiting.has(id)).map((id) =>
        Prompt.makePart("tool-approval-request", { approvalId: id, toolCallId: id })
      )
      const found = ids.flatMap((id) => results.get(id) ?? [])
      messages.push(Prompt.makeMessage("assistant", { content: [...kept, ...requests], options: message.options }))
      if (found.length > 0) messages.push(Prompt.makeMessage("tool", { content: found }))
    } else if (message.role === "tool" && gone.size > 0) {
      const kept = message.content.filter((part) =>
        part.type !== "tool-approval-response" || !gone.has(part.approvalId)
      )
      if (kept.length > 0) messages.push(Prompt.makeMessage("tool", { content: kept, options: message.options }))
    } else messages.push(message)
  }
  return Prompt.fromMessages(messages)
}
