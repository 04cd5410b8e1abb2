/**
 * The pure fold from events to a message, equal to what the SDK's own accumulator makes of them.
 *
 * Usage in `message_delta` is cumulative: it overwrites and is never added. Tool input is parsed once, when the
 * message is asked for, so its cost does not grow with the square of its length.
 */
import type { Message, RawMessageDeltaEvent } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { ErrorEvent, WireEvent } from "./Event.ts"
import * as PartialJson from "./PartialJson.ts"

/**
 * The message so far, and what has been seen of it.
 *
 * @internal
 */
export class Accumulator {
  /** How many deltas have arrived. */
  deltas = 0
  /** `message_stop` has arrived. */
  isComplete = false
  /** What ended the message before that. */
  failure: ErrorEvent | undefined

  private head: Message | undefined
  private content: Array<OpenBlock> = []
  private inputs: Array<string | undefined> = []
  /** A run of text deltas of one read, and their block. */
  private readonly texts: Array<string> = []
  private textIndex = -1

  /** Takes one array of events, and answers how many of them belong to the message. */
  add(events: ReadonlyArray<WireEvent>): number {
    for (let i = 0; i < events.length; i++) {
      const event = events[i]!
      switch (event.type) {
        case "content_block_delta":
          if (this.head === undefined) return this.outOfOrder(i, "content before message_start")
          this.deltas++
          // The texts of one read are joined once: a rope of every delta would outlive them all and burden the collector.
          if (this.texts.length > 0 && event.delta.type === "text_delta" && event.index === this.textIndex) {
            this.texts.push(event.delta.text)
          } else {
            this.flush()
            if (event.delta.type === "text_delta" && this.content[event.index]?.type === "text") {
              this.textIndex = event.index
              this.texts.push(event.delta.text)
            } else this.delta(event.index, event.delta)
          }
          break
        case "content_block_start":
          this.flush()
          this.start(event.content_block)
          break
        case "message_start":
          this.flush()
          if (this.head !== undefined) {
            return this.outOfOrder(i, "a second message_start before message_stop")
          }
          this.head = { ...event.message, usage: { ...event.message.usage } }
          this.content = event.message.content.map((block) => ({ ...block }))
          break
        case "message_delta":
          if (this.head !== undefined) messageDelta(this.head, event)
          break
        case "message_stop":
          this.flush()
          if (this.head === undefined) return this.outOfOrder(i, "message_stop before message_start")
          this.isComplete = true
          return i + 1
        case "error":
          this.flush()
          this.failure = event
          return i
      }
    }
    this.flush()
    return events.length
  }

  private outOfOrder(at: number, what: string): number {
    this.failure = { type: "error", failure: outOfOrder(what) }
    return at
  }

  /** Moves the texts of a run of deltas into their block. */
  private flush(): void {
    const { texts } = this
    if (texts.length === 0) return
    const block = this.content[this.textIndex]!
    block.text = (block.text || "") + (texts.length === 1 ? texts[0] : texts.join(""))
    texts.length = 0
    this.textIndex = -1
  }

  /** A delta of any kind, or the end, has arrived. */
  get hasContent(): boolean {
    return this.deltas > 0 || this.isComplete
  }

  /** What has been billed so far. */
  get usage(): Message["usage"] | undefined {
    return this.head?.usage
  }

  /** The message as it stands, without its content: cheap, for telemetry. */
  get envelope(): Message | undefined {
    return this.head
  }

  /** The whole message; throws `ClaudeRetryableError` when it never began or its tool input is no JSON. */
  message(): Message {
    if (this.head === undefined) throw outOfOrder("message_stop before message_start")
    return this.snapshot(this.head, () => {
      throw outOfOrder("tool input that is not JSON")
    })
  }

  /** The whole message, or the error that it is none. */
  get folded(): Effect.Effect<Message, ClaudeError.ClaudeRetryableError> {
    return Effect.try({
      try: () => this.message(),
      // `message` throws nothing else.
      catch: (error) => error as ClaudeError.ClaudeRetryableError
    })
  }

  /** What had arrived, if anything: never throws. */
  partial(): Message | undefined {
    return this.head === undefined ? undefined : this.snapshot(this.head, () => ({}))
  }

  private snapshot(head: Message, onBadInput: () => unknown): Message {
    const content = this.content.map((block, index) => {
      const json = this.inputs[index]
      if (json === undefined) return block
      try {
        return { ...block, input: json === "" ? {} : PartialJson.parse(json) }
      } catch {
        return { ...block, input: onBadInput() }
      }
    })
    // The blocks are the wire's own, with their deltas applied.
    return { ...head, content: content as unknown as Message["content"] }
  }

  private start(start: OpenBlock): void {
    const { type } = start
    const block = { ...start, type }
    if (Array.isArray(block.citations)) block.citations = [...block.citations]
    this.content.push(block)
    if (this.head !== undefined && block.type === "fallback" && block.to?.model !== undefined) {
      // The last hop's block names the model that served the response.
      this.head.model = block.to.model
    }
  }

  private delta(index: number, delta: OpenDelta): void {
    const block = this.content[index]
    if (block === undefined) return
    switch (delta.type) {
      case "input_json_delta":
        if (takesInput.has(block.type)) this.inputs[index] = (this.inputs[index] ?? "") + delta.partial_json
        break
      case "thinking_delta":
        if (block.type === "thinking") block.thinking = (block.thinking ?? "") + delta.thinking
        break
      case "signature_delta":
        if (block.type === "thinking") block.signature = delta.signature
        break
      case "citations_delta":
        if (block.type === "text") (block.citations ??= []).push(delta.citation)
        break
      case "compaction_delta":
        if (block.type === "compaction") {
          block.content = delta.content
          if ("encrypted_content" in delta) block.encrypted_content = delta.encrypted_content
        }
        break
    }
  }
}

/** Every block and delta is read as this: those that the SDK's types know, those of its betas, and those to come. */
interface OpenBlock {
  type: string
  text?: string | undefined
  thinking?: string | undefined
  signature?: string | undefined
  citations?: Array<unknown> | null | undefined
  content?: unknown
  encrypted_content?: unknown
  to?: { readonly model?: Message["model"] }
}

interface OpenDelta {
  readonly type: string
  readonly partial_json?: string
  readonly thinking?: string
  readonly signature?: string
  readonly citation?: unknown
  readonly content?: unknown
  readonly encrypted_content?: unknown
}

const takesInput = new Set<string>(["tool_use", "server_tool_use", "mcp_tool_use"])

const messageDelta = (message: Message, event: RawMessageDeltaEvent): void => {
  const { delta } = event
  message.stop_reason = delta.stop_reason
  message.stop_sequence = delta.stop_sequence
  message.stop_details = delta.stop_details
  if (delta.container != null) message.container = delta.container
  const more = event as typeof event & Record<string, unknown>
  for (const key of ["context_management", "input_transformations"]) {
    if (more[key] != null) Object.assign(message, { [key]: more[key] })
  }
  const usage = event.usage as typeof event.usage & Record<string, unknown>
  for (const key of cumulative) {
    if (usage[key] != null) Object.assign(message.usage, { [key]: usage[key] })
  }
}

/** Tier, speed, geography and the split of cache writes come only with `message_start`. */
const cumulative = [
  "output_tokens",
  "input_tokens",
  "cache_creation_input_tokens",
  "cache_read_input_tokens",
  "server_tool_use",
  "output_tokens_details",
  "iterations",
  "fallback_credit"
]

const outOfOrder = (what: string) =>
  Failure.retryable(
    new ClaudeError.InvalidResponse({}),
    `The response is no message: it has ${what}. The call may be tried again.`,
    { type: "_OTHER" }
  )
