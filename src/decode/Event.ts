/**
 * The events of a streamed message: the SDK's union, kept open.
 *
 * Events, blocks and deltas that this version does not know are passed on as they came. Pings are not: they only
 * show that the connection lives. A message that came as JSON becomes the events that would have made it.
 */
import type { Message, RawMessageStreamEvent } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Predicate from "effect/Predicate"
import * as ClaudeError from "../ClaudeError.ts"
import { SseDecoder } from "./Sse.ts"

/**
 * Emitted by a stream with `onBreak: "restart"`: what came before is void, the answer begins again.
 *
 * @category models
 * @since 0.1.0
 */
export interface RestartEvent {
  readonly type: "restart"
  /** The attempt that begins now. */
  readonly attempt: number
  /** Why the last one broke off. */
  readonly error: ClaudeError.ClaudeRetryableError
}

/**
 * What a stream emits. More types than these may arrive: treat every union in it as open.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamEvent = RawMessageStreamEvent | RestartEvent

/** What ends a stream: the API's `error` event, or `failure` where what came is no event. @internal */
export interface ErrorEvent {
  readonly type: "error"
  readonly error?: { readonly type?: string; readonly message?: string } | undefined
  readonly request_id?: string | undefined
  readonly failure?: ClaudeError.ClaudeRetryableError | undefined
}

/** What may arrive on the wire. @internal */
export type WireEvent = RawMessageStreamEvent | ErrorEvent

/**
 * A stateful decoder from the bytes of an event stream to its events. What is no event becomes an `error` that says
 * where it stood but not what it was, and nothing is read after it.
 *
 * @internal
 */
export const makeDecoder = (): (bytes: ReadonlyArray<Uint8Array>) => Array<WireEvent> => {
  let events: Array<WireEvent> = []
  let count = 0
  let failed = false
  const fail = (what: string) => {
    failed = true
    events.push({ type: "error", failure: malformed(what, count, sse.offset) })
  }
  const sse = new SseDecoder((data) => {
    if (failed) return
    count++
    let event: unknown
    try {
      event = JSON.parse(data)
    } catch {
      return fail(`is not JSON (${data.length} characters)`)
    }
    if (!Predicate.hasProperty(event, "type") || typeof event.type !== "string") return fail("has no type")
    // The wire is trusted from here: the shape is the API's, and unknown types are passed on.
    if (event.type !== "ping") events.push(event as WireEvent)
  })
  return (bytes) => {
    events = []
    for (const chunk of bytes) {
      if (!failed && !sse.push(chunk)) fail("does not end")
    }
    return events
  }
}

const malformed = (what: string, event: number, offset: number) =>
  ClaudeError.retryable(
    new ClaudeError.InvalidResponse({ event, offset }),
    `Event ${event} of the stream, within its first ${offset} bytes, ${what}. ` +
      "Something between here and the API may have changed the stream; the call may be tried again.",
    { type: "_OTHER" }
  )

/** The events that would have streamed this message. @internal */
export const fromMessage = (message: Message): Array<WireEvent> => {
  const { content, stop_reason, stop_sequence, ...head } = message
  const events: Array<WireEvent> = [
    { type: "message_start", message: { ...head, content: [], stop_reason: null, stop_sequence: null } }
  ]
  for (let index = 0; index < content.length; index++) {
    const block = content[index]!
    switch (block.type) {
      case "text": {
        const { text, ...rest } = block
        events.push({ type: "content_block_start", index, content_block: { ...rest, text: "" } })
        events.push({ type: "content_block_delta", index, delta: { type: "text_delta", text } })
        break
      }
      case "thinking": {
        const { signature, thinking, ...rest } = block
        events.push({ type: "content_block_start", index, content_block: { ...rest, thinking: "", signature: "" } })
        events.push({ type: "content_block_delta", index, delta: { type: "thinking_delta", thinking } })
        events.push({ type: "content_block_delta", index, delta: { type: "signature_delta", signature } })
        break
      }
      case "tool_use":
      case "server_tool_use": {
        const partial_json = JSON.stringify(block.input ?? {})
        events.push({ type: "content_block_start", index, content_block: { ...block, input: {} } })
        events.push({ type: "content_block_delta", index, delta: { type: "input_json_delta", partial_json } })
        break
      }
      default:
        events.push({ type: "content_block_start", index, content_block: block })
    }
    events.push({ type: "content_block_stop", index })
  }
  events.push({
    type: "message_delta",
    delta: {
      stop_reason,
      stop_sequence,
      stop_details: message.stop_details,
      container: message.container
    },
    usage: message.usage
  }, { type: "message_stop" })
  return events
}
