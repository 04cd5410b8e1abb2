/**
 * Streams of our own making, one for each kind of thing that a message may hold, and the ways in which bytes may come.
 */

/** An event as it is on the wire: known, unknown or to come. */
export interface RawEvent {
  readonly type: string
  readonly [key: string]: unknown
}

export interface Recorded {
  readonly events: ReadonlyArray<RawEvent>
  /** Only the SDK's beta types know it. */
  readonly beta?: boolean
}

const start = (fields: object = {}, usage: object = {}): RawEvent => ({
  type: "message_start",
  message: {
    id: "msg_made",
    type: "message",
    role: "assistant",
    model: "claude-sonnet-5-5",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 11, output_tokens: 1, service_tier: "standard", ...usage },
    ...fields
  }
})

const end = (
  stop_reason = "end_turn",
  usage: object = {},
  delta: object = {},
  fields: object = {}
): ReadonlyArray<RawEvent> => [
  {
    type: "message_delta",
    delta: { stop_reason, stop_sequence: null, ...delta },
    usage: { output_tokens: 42, ...usage },
    ...fields
  },
  { type: "message_stop" }
]

const block = (index: number, content_block: RawEvent, ...deltas: ReadonlyArray<RawEvent>): ReadonlyArray<RawEvent> => [
  { type: "content_block_start", index, content_block },
  ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })),
  { type: "content_block_stop", index }
]

/** Cut into pieces of so many characters. */
const pieces = (text: string, size: number): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, index) => text.slice(index * size, (index + 1) * size))

const text = (index: number, text: string, size = 4) =>
  block(index, { type: "text", text: "" }, ...pieces(text, size).map((text) => ({ type: "text_delta", text })))

const tool = (index: number, input: string, type = "tool_use", fields: object = {}) =>
  block(
    index,
    { type, id: `toolu_${index}`, name: "look_up", input: {}, ...fields },
    ...["", ...pieces(input, 5)].map((partial_json) => ({ type: "input_json_delta", partial_json }))
  )

const json = JSON.stringify({
  city: "Zürich 🎉",
  days: [1, -2.5e3, null, true],
  quote: "say \"hi\"\\\n",
  deep: { a: [{ b: {} }] }
})

const citation = {
  type: "web_search_result_location",
  cited_text: "It is sunny.",
  url: "https://weather.invalid/",
  title: "Weather",
  encrypted_index: "b3BhcXVl"
}

export const streams: Readonly<Record<string, Recorded>> = {
  text: { events: [start(), ...text(0, "Hello, naïve 日本語 🎉 world"), ...end()] },
  "two texts": {
    events: [start(), ...text(0, "one"), ...text(1, "two", 1), ...end("stop_sequence", {}, { stop_sequence: "END" })]
  },
  "an empty text": { events: [start(), ...text(0, ""), ...end()] },
  "nothing at all": { events: [start(), ...end()] },
  pings: {
    events: [
      start(),
      { type: "ping" },
      ...text(0, "still here").flatMap((event) => [{ type: "ping" }, event]),
      ...end()
    ]
  },
  thinking: {
    events: [
      start(),
      ...block(
        0,
        { type: "thinking", thinking: "", signature: "" },
        { type: "thinking_delta", thinking: "Let me " },
        { type: "thinking_delta", thinking: "think." },
        { type: "signature_delta", signature: "c2lnbmVk" }
      ),
      ...text(1, "Done."),
      ...end("end_turn", { output_tokens_details: { thinking_tokens: 7 } })
    ]
  },
  "redacted thinking": {
    events: [start(), ...block(0, { type: "redacted_thinking", data: "b3BhcXVl" }), ...text(1, "Done."), ...end()]
  },
  "a tool call": { events: [start(), ...text(0, "Looking it up."), ...tool(1, json), ...end("tool_use")] },
  "tool calls": { events: [start(), ...tool(0, json), ...tool(1, ""), ...tool(2, "{}"), ...end("tool_use")] },
  "a tool call that was cut": { events: [start(), ...tool(0, json.slice(0, -20)), ...end("max_tokens")] },
  "server tools": {
    events: [
      start({}, { server_tool_use: { web_search_requests: 0 } }),
      ...tool(0, "{\"query\":\"weather\"}", "server_tool_use", { name: "web_search" }),
      ...block(1, {
        type: "web_search_tool_result",
        tool_use_id: "toolu_0",
        content: [{
          type: "web_search_result",
          title: "Weather",
          url: "https://weather.invalid/",
          encrypted_content: "eA==",
          page_age: null
        }]
      }),
      ...block(
        2,
        { type: "text", text: "", citations: [] },
        { type: "citations_delta", citation },
        { type: "text_delta", text: "It is " },
        { type: "text_delta", text: "sunny." },
        { type: "citations_delta", citation: { ...citation, title: "Again" } }
      ),
      ...end("end_turn", { server_tool_use: { web_search_requests: 1 } })
    ]
  },
  "citations of a block without any": {
    events: [
      start(),
      ...block(0, { type: "text", text: "" }, { type: "text_delta", text: "a" }, { type: "citations_delta", citation }),
      ...end()
    ]
  },
  refusal: {
    events: [
      start(),
      ...text(0, "I "),
      ...end("refusal", {}, { stop_details: { type: "refusal", category: "cyber", explanation: "No." } })
    ]
  },
  "usage that grows": {
    events: [
      start({}, {
        cache_creation_input_tokens: 1,
        cache_read_input_tokens: 2,
        cache_creation: { ephemeral_5m_input_tokens: 1, ephemeral_1h_input_tokens: 0 }
      }),
      ...text(0, "a"),
      {
        type: "message_delta",
        delta: { stop_reason: null, stop_sequence: null },
        usage: { output_tokens: 5, input_tokens: 20 }
      },
      ...end("end_turn", {
        output_tokens: 6,
        input_tokens: 21,
        cache_creation_input_tokens: 3,
        cache_read_input_tokens: null
      })
    ]
  },
  "a container": {
    events: [
      start(),
      ...text(0, "a"),
      ...end("pause_turn", {}, { container: { id: "cont_1", expires_at: "2026-12-01T00:00:00Z" } })
    ]
  },
  "what nobody knows": {
    events: [
      start({ sparkle: true }, { dream_tokens: 3 }),
      { type: "sparkle", glitter: [1, 2] },
      ...block(0, { type: "hologram", data: { x: 1 } }, { type: "hologram_delta", more: true }),
      ...block(1, { type: "text", text: "given", shine: 1 }, { type: "glow_delta", glow: 1 }, {
        type: "text_delta",
        text: " and more"
      }),
      { type: "content_block_delta", index: 99, delta: { type: "text_delta", text: "to nobody" } },
      { type: "content_block_delta", index: 1, delta: { type: "thinking_delta", thinking: "to the wrong kind" } },
      ...end("brand_new_reason", { brand_new_tokens: 9 }, { brand_new: 1 })
    ]
  },
  compaction: {
    beta: true,
    events: [
      start(),
      ...block(0, { type: "compaction", content: null }, { type: "compaction_delta", content: "The story so far." }),
      ...block(1, { type: "compaction", content: null }, {
        type: "compaction_delta",
        content: "Closed.",
        encrypted_content: "eA=="
      }),
      ...text(2, "On we go."),
      ...end("end_turn", { iterations: [{ type: "message", input_tokens: 1, output_tokens: 2 }] }, {}, {
        context_management: { applied_edits: [] }
      })
    ]
  },
  "a tool of another server": {
    beta: true,
    events: [start(), ...tool(0, json, "mcp_tool_use", { server_name: "far" }), ...end()]
  },
  "a fallback": {
    beta: true,
    events: [
      start(),
      ...block(0, { type: "fallback", from: { model: "claude-sonnet-5-5" }, to: { model: "claude-haiku-5-5" } }),
      ...text(1, "Served."),
      ...end("end_turn", { fallback_credit: { tokens: 1 } })
    ]
  }
}

/** As the API frames them. */
export const sse = (events: ReadonlyArray<RawEvent>): string =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")

const encoder = new TextEncoder()
export const bytesOf = (text: string): Uint8Array => encoder.encode(text)

/** Pieces of so many bytes. */
export const cut = function*(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** The same events in other clothes. */
export const dresses: Readonly<Record<string, (events: ReadonlyArray<RawEvent>) => string>> = {
  LF: sse,
  CRLF: (events) => sse(events).replaceAll("\n", "\r\n"),
  "lone CR": (events) => sse(events).replaceAll("\n", "\r"),
  "line ends of all kinds": (events) => {
    const ends = ["\n", "\r\n", "\r"]
    let at = 0
    // A lone CR before an LF would be one line end and not two.
    return sse(events).replaceAll("\n\n", "\u0000").replaceAll("\n", () => ends[at++ % 3] ?? "\n").replaceAll(
      "\u0000",
      () => ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\r"][at++ % 5] ?? "\n\n"
    )
  },
  "a byte order mark": (events) => `\uFEFF${sse(events)}`,
  comments: (events) => `: hello\n\n${sse(events).replaceAll("\n\n", "\n: keep-alive\n\n:\n\n")}`,
  "ids and retries": (events) =>
    `retry: 3000\n\n${sse(events).replaceAll("data: ", "id: 7\nretry: 10\nunknown: x\ndataset: y\ndata: ")}`,
  "no event names": (events) => sse(events).replaceAll(/^event: .*\n/gm, ""),
  "names after the data": (events) => sse(events).replaceAll(/^(event: .*\n)(data: .*\n)/gm, "$2$1"),
  "no spaces": (events) => sse(events).replaceAll("data: ", "data:").replaceAll("event: ", "event:"),
  "several data lines": (events) =>
    events.map((event) =>
      `event: ${event.type}\ndata: ${JSON.stringify(event, null, 1).replaceAll("\n", "\ndata: ")}\n\n`
    ).join(""),
  "blank lines between": (events) => sse(events).replaceAll("\n\n", "\n\n\n\n\n")
}
