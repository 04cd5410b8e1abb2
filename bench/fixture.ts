/**
 * What the server answers, and what a reader of it has to arrive at. The first segment of the path names the answer:
 *
 * - `burst-N`     N text deltas, written at once
 * - `paced-C-N`   held until C streams are open; then one event to each of them every 10 ms
 * - `fanout-C-N`  held until C streams are open; then all of them in ten slices, round robin
 * - `tool-N`      the input of one tool call in N deltas, written at once
 * - `short`       a JSON message, or the same text in 128 deltas for a request that streams
 * - `refused`, `busy`  a 400; a 529 to each first attempt, then `short`
 */
import type { Message, RawMessageStreamEvent } from "@anthropic-ai/sdk/resources/messages/messages"

export const model = "claude-sonnet-4-6"
export const prompt = "Say hello."

const pieces = [
  "A ",
  "service",
  " that",
  " calls",
  " a",
  " model",
  " waits",
  " more",
  " than",
  " it",
  " works:",
  " naïve",
  " «quotes»,",
  "\n\n",
  " \"escapes\"",
  " too."
]
const piece = (index: number): string => pieces[index % pieces.length] ?? ""

export const shortDeltas = 128
export const shortText = pieces.join("").repeat(shortDeltas / pieces.length)

const usage = (output: number): Message["usage"] => ({
  input_tokens: 25,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
  output_tokens: output,
  inference_geo: "not_available",
  output_tokens_details: null,
  server_tool_use: null,
  service_tier: "standard",
  speed: "standard"
})

const message = (content: Message["content"], stop: Message["stop_reason"], output: number): Message => ({
  id: "msg_01PrecomputedForTheBench",
  type: "message",
  role: "assistant",
  model,
  content,
  container: null,
  diagnostics: null,
  stop_details: null,
  stop_reason: stop,
  stop_sequence: null,
  usage: usage(output)
})

export const shortMessage: Message = message(
  [{ type: "text", text: shortText, citations: null }],
  "end_turn",
  shortDeltas
)

type WireEvent = RawMessageStreamEvent | { readonly type: "ping" }
const frame = (event: WireEvent): Buffer => Buffer.from(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)

export interface Recording {
  /** One SSE frame an event. */
  readonly frames: ReadonlyArray<Buffer>
  /** All text, or the tool's input as JSON. */
  readonly text: string
}

const record = (
  start: WireEvent,
  deltas: Iterable<WireEvent>,
  text: string,
  stop: Message["stop_reason"]
): Recording => {
  const body = Array.from(deltas, frame)
  return {
    text,
    frames: [
      frame({ type: "message_start", message: message([], null, 1) }),
      frame(start),
      frame({ type: "ping" }),
      ...body,
      frame({ type: "content_block_stop", index: 0 }),
      frame({
        type: "message_delta",
        delta: { stop_reason: stop, stop_sequence: null, stop_details: null, container: null },
        usage: {
          input_tokens: 25,
          cache_creation_input_tokens: 0,
          cache_read_input_tokens: 0,
          output_tokens: body.length,
          output_tokens_details: null,
          server_tool_use: null
        }
      }),
      frame({ type: "message_stop" })
    ]
  }
}

const textRecording = (deltas: number): Recording => {
  const texts = Array.from({ length: deltas }, (_, index) => piece(index))
  return record(
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "", citations: null } },
    texts.map((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
    texts.join(""),
    "end_turn"
  )
}

const toolRecording = (deltas: number): Recording => {
  // Cut within keys, strings and numbers alike, as the API does.
  const json = JSON.stringify({
    rows: Array.from({ length: deltas }, (_, index) => ({ id: index, name: piece(index) }))
  })
  const size = Math.ceil(json.length / deltas)
  const parts = Array.from({ length: deltas }, (_, index) => json.slice(index * size, (index + 1) * size))
  return record(
    {
      type: "content_block_start",
      index: 0,
      content_block: {
        type: "tool_use",
        id: "toolu_01Precomputed",
        name: "store",
        input: {},
        caller: { type: "direct" }
      }
    },
    parts.map((part) => ({
      type: "content_block_delta",
      index: 0,
      delta: { type: "input_json_delta", partial_json: part }
    })),
    json,
    "tool_use"
  )
}

const recordings = new Map<string, Recording>()

/** The recording behind a path such as `burst-5000`; the same path gives the same one. */
export const recording = (path: string): Recording => {
  let found = recordings.get(path)
  if (found === undefined) {
    const [kind, ...numbers] = path.split("-")
    const deltas = kind === "burst" || kind === "paced" || kind === "fanout" || kind === "tool"
      ? Number(numbers.at(-1))
      : shortDeltas
    found = kind === "tool" ? toolRecording(deltas) : textRecording(deltas)
    recordings.set(path, found)
  }
  return found
}
