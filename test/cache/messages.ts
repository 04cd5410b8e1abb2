/** Messages as the API answers them. */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"

/** A whole one that says a text; all of it may be told otherwise. */
export const message = (text: string, fields: Partial<Message> = {}): Message => ({
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-opus-5-5",
  content: [{ type: "text", text, citations: null }],
  container: null,
  diagnostics: null,
  stop_reason: "end_turn",
  stop_sequence: null,
  stop_details: null,
  usage: {
    input_tokens: 10,
    output_tokens: 5,
    cache_creation: null,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    inference_geo: null,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: "standard",
    speed: null
  },
  ...fields
})
