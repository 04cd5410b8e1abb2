/**
 * A reply as the message and the events that the API would send for it.
 *
 * The events between the first and the last two do not depend on the request: they are framed once per answer, so that
 * thousands of calls at once share their bytes. A tool call therefore keeps its id while its answer is reused.
 */
import type { Message, Usage } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as Answer from "./Answer.ts"

/** One server-sent event, ready to be written. @category models @since 0.1.0 */
export interface Frame {
  readonly event: string
  readonly bytes: Uint8Array
}

/** What of a request shows in its answer. @category models @since 0.1.0 */
export interface Asked {
  readonly model: string
  readonly inputTokens: number
  readonly messageId: string
}

/** About four characters a token: the size matters, not the truth. @category estimates @since 0.1.0 */
export const estimateTokens = (characters: number): number => Math.max(1, Math.ceil(characters / 4))

const encoder = new TextEncoder()

/** @category frames @since 0.1.0 */
export const frame = (event: Answer.RawEvent): Frame => ({
  event: event.type,
  bytes: encoder.encode(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
})

/** @category frames @since 0.1.0 */
export const ping: Frame = frame({ type: "ping" })

/** The whole message. @category messages @since 0.1.0 */
export const message = (reply: Answer.Reply, asked: Asked): Message => {
  const { content, outputTokens, stopReason, thinkingTokens } = bodyOf(reply)
  return {
    model: asked.model,
    id: asked.messageId,
    type: "message",
    role: "assistant",
    stop_reason: stopReason,
    stop_sequence: null,
    stop_details: null,
    container: null,
    diagnostics: null,
    ...reply.fields,
    // Filled in below to what the API sends; a type of the SDK for the loose block does not exist.
    content: content as unknown as Message["content"],
    usage: usage(reply.usage, asked.inputTokens, outputTokens, thinkingTokens)
  }
}

/** The events that stream it. @category messages @since 0.1.0 */
export const frames = (reply: Answer.Reply, message: Message): ReadonlyArray<Frame> => [
  frame({
    type: "message_start",
    message: {
      ...message,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      stop_details: null,
      usage: { ...message.usage, output_tokens: Math.min(1, message.usage.output_tokens), output_tokens_details: null }
    }
  }),
  ...bodyOf(reply).frames,
  frame({
    type: "message_delta",
    delta: {
      stop_reason: message.stop_reason,
      stop_sequence: message.stop_sequence,
      stop_details: message.stop_details,
      container: message.container
    },
    usage: {
      input_tokens: message.usage.input_tokens,
      cache_creation_input_tokens: message.usage.cache_creation_input_tokens,
      cache_read_input_tokens: message.usage.cache_read_input_tokens,
      output_tokens: message.usage.output_tokens,
      output_tokens_details: message.usage.output_tokens_details,
      server_tool_use: message.usage.server_tool_use
    }
  }),
  messageStop
]

const messageStop = frame({ type: "message_stop" })

const usage = (given: Partial<Usage>, input: number, output: number, thinking: number): Usage => ({
  input_tokens: input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: {
    ephemeral_5m_input_tokens: given.cache_creation_input_tokens ?? 0,
    ephemeral_1h_input_tokens: 0
  },
  output_tokens: output,
  output_tokens_details: thinking === 0 ? null : { thinking_tokens: thinking },
  server_tool_use: null,
  service_tier: "standard",
  inference_geo: "not_available",
  speed: "standard",
  ...given
})

// -----------------------------------------------------------------------------
// the body: what all requests share
// -----------------------------------------------------------------------------

interface Body {
  readonly content: ReadonlyArray<Answer.Block>
  readonly frames: ReadonlyArray<Frame>
  readonly stopReason: Message["stop_reason"]
  readonly outputTokens: number
  readonly thinkingTokens: number
}

const bodies = new WeakMap<Answer.Reply, Body>()

let toolUses = 0

const bodyOf = (reply: Answer.Reply): Body => {
  let body = bodies.get(reply)
  if (body === undefined) bodies.set(reply, body = makeBody(reply))
  return body
}

const makeBody = (reply: Answer.Reply): Body => {
  const content = reply.content.map(complete)
  let characters = 0
  let thinking = 0
  const frames: Array<Frame> = []
  content.forEach((block, index) => {
    const { deltas, start } = parts(block, reply.chunk)
    frames.push(frame({ type: "content_block_start", index, content_block: start }))
    if (index === 0) frames.push(ping)
    for (const delta of deltas) frames.push(frame({ type: "content_block_delta", index, delta }))
    frames.push(frame({ type: "content_block_stop", index }))
    characters += JSON.stringify(block).length
    if (block.type === "thinking") thinking += block.thinking.length
  })
  return {
    content,
    frames,
    stopReason: content.some((block) => block.type === "tool_use") ? "tool_use" : "end_turn",
    outputTokens: estimateTokens(characters),
    thinkingTokens: thinking === 0 ? 0 : estimateTokens(thinking)
  }
}

const complete = (block: Answer.Block): Answer.Block => {
  switch (block.type) {
    case "text":
      return { citations: null, ...block }
    case "thinking":
      return { ...block, signature: block.signature ?? Buffer.from(`signed: ${block.thinking}`).toString("base64") }
    case "tool_use":
      return { caller: { type: "direct" }, ...block, id: block.id ?? `toolu_01${String(++toolUses).padStart(22, "0")}` }
    default:
      return block
  }
}

/** The block as it opens, and the deltas that fill it. Blocks that the API sends whole have none. */
const parts = (block: Answer.Block, chunk: number | "word"): {
  readonly start: object
  readonly deltas: ReadonlyArray<object>
} => {
  switch (block.type) {
    case "text": {
      const citations = "citations" in block ? block.citations : null
      return {
        start: { ...block, text: "", citations: citations === null ? null : [] },
        deltas: [
          ...pieces(block.text, chunk).map((text) => ({ type: "text_delta", text })),
          ...(citations ?? []).map((citation) => ({ type: "citations_delta", citation }))
        ]
      }
    }
    case "thinking":
      return {
        start: { ...block, thinking: "", signature: "" },
        deltas: [
          ...pieces(block.thinking, chunk).map((thinking) => ({ type: "thinking_delta", thinking })),
          { type: "signature_delta", signature: block.signature }
        ]
      }
    case "tool_use":
    case "server_tool_use":
      return {
        start: { ...block, input: {} },
        // The API opens every input with an empty delta.
        deltas: ["", ...pieces(JSON.stringify(block.input), chunk === "word" ? 12 : chunk)].map((partial_json) => ({
          type: "input_json_delta",
          partial_json
        }))
      }
    default:
      return { start: block, deltas: [] }
  }
}

const pieces = (text: string, chunk: number | "word"): ReadonlyArray<string> => {
  if (chunk === "word") return text.match(/\s*\S+|\s+$/g) ?? []
  // By code points: half of a surrogate pair does not survive its encoding.
  const points = Array.from(text)
  const out: Array<string> = []
  for (let i = 0; i < points.length; i += chunk) out.push(points.slice(i, i + chunk).join(""))
  return out
}
