/**
 * The events of a streamed message: the SDK's union, kept open.
 *
 * Events, blocks and deltas that this version does not know are passed on as they came. Pings are not: they only
 * show that the connection lives. A message that came as JSON becomes the events that would have made it.
 */
import type { Message, RawMessageStopEvent, RawMessageStreamEvent } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Predicate from "effect/Predicate"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import { Body } from "./Body.ts"
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

/** What a stream emits; `End` is what its last event carries besides. @category models @since 0.1.0 */
export type StreamEvent<End> =
  | Exclude<RawMessageStreamEvent, RawMessageStopEvent>
  | RawMessageStopEvent & Partial<End>
  | RestartEvent

/** What ends a stream: the API's `error` event, or `failure` where what came is no event. @internal */
export interface ErrorEvent {
  readonly type: "error"
  readonly error?: object | undefined
  readonly failure?: ClaudeError.ClaudeRetryableError | undefined
}

/** What may arrive on the wire. @internal */
export type WireEvent = RawMessageStreamEvent | ErrorEvent

/** From bytes to events: some with each read, the rest at the end. @internal */
export interface Decoder {
  readonly push: (bytes: ReadonlyArray<Uint8Array>) => Array<WireEvent>
  readonly end: () => Array<WireEvent>
}

/** The decoder that a response's content type asks for. @internal */
export const decoderFor = (contentType: string | null): Decoder | ClaudeError.ClaudeRetryableError => {
  const type = contentType?.split(";")[0]!.trim().toLowerCase() ?? "text/event-stream"
  if (type === "text/event-stream") return makeSseDecoder()
  if (type === "application/json" || type.endsWith("+json")) return makeJsonDecoder()
  return Failure.retryable(
    new ClaudeError.InvalidResponse({}),
    `The response is ${type}, not a message. A proxy may have answered in place of the API: check the base URL.`,
    { type: "_OTHER" }
  )
}

/** Collects a JSON message, and answers the events that would have streamed it. */
const makeJsonDecoder = (): Decoder => {
  const body = new Body()
  return {
    push: (bytes) => body.push(bytes) ? [] : [{ type: "error", failure: malformed("does not end", 1, body.length) }],
    end: () => {
      let message: unknown
      try {
        message = body.json()
      } catch {
        return [{ type: "error", failure: malformed(`is not JSON (${body.length} bytes)`, 1, body.length) }]
      }
      if (Predicate.isObject(message) && "type" in message && message.type === "error") return [errorEvent(message)]
      if (!Predicate.hasProperty(message, "content") || !Array.isArray(message.content)) {
        return [{ type: "error", failure: malformed("has no content", 1, body.length) }]
      }
      // As on the stream, the shape is the API's.
      return fromMessage(message as unknown as Message)
    }
  }
}

/**
 * A stateful decoder from the bytes of an event stream to its events. What is no event becomes an `error` that says
 * where it stood but not what it was, and nothing is read after it.
 */
const makeSseDecoder = (): Decoder => {
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
    let event: { readonly type?: unknown; readonly error?: unknown } | null
    try {
      event = JSON.parse(data)
    } catch {
      return fail(`is not JSON (${data.length} characters)`)
    }
    if (typeof event?.type !== "string") return fail("has no type")
    // A failure is ours to tell and a restart ours to begin: neither is taken from the wire.
    if (event.type === "ping" || event.type === "restart") return
    if (event.type === "error") return void events.push(errorEvent(event))
    // The wire is trusted from here: the shape is the API's, and unknown types are passed on.
    events.push(event as WireEvent)
  })
  return {
    push: (bytes) => {
      events = []
      for (const chunk of bytes) {
        if (!failed && !sse.push(chunk)) fail("does not end")
      }
      return events
    },
    end: () => []
  }
}

/** An error as the API tells it, and no more than that. */
const errorEvent = (event: { readonly error?: unknown }): ErrorEvent => ({
  type: "error",
  error: Predicate.isObject(event.error) ? event.error : undefined
})

const malformed = (what: string, event: number, offset: number) =>
  Failure.retryable(
    new ClaudeError.InvalidResponse({ event, offset }),
    `Event ${event} of the response, within its first ${offset} bytes, ${what}. ` +
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
