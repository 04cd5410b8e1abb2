/**
 * The events of a streamed answer as stream parts: arrays in, arrays out.
 *
 * Texts, thoughts and the parameters of calls are told as they come. When a block has ended, the parts of the whole
 * block are made as for an answer that came whole (`ResponseParts`), so both ways agree. What ends a stream early is no
 * part: it is a failure of the stream.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as Response from "effect/ai/Response"
import type * as Claude from "../Claude.ts"
import { Accumulator } from "../decode/Accumulator.ts"
import type { WireEvent } from "../decode/Event.ts"
import * as Finish from "./Finish.ts"
import type { Block } from "./Options.ts"
import * as ResponseParts from "./ResponseParts.ts"

type Part = Response.StreamPartEncoded

/** How a block is told while it grows. */
type Kind = "text" | "reasoning" | "params" | "whole"

interface OpenBlock {
  readonly id: string
  readonly kind: Kind
  /** Grows the block as a whole message would. */
  readonly accumulator: Accumulator
  /** What it has yet to take: many at once cost it less. */
  pending: Array<DeltaEvent>
}

type DeltaEvent = Extract<WireEvent, { type: "content_block_delta" }>

const MOST_PENDING = 256

/** Reads the events of one answer; throws where a call has no tool, or its input is no JSON. @internal */
export class StreamParts {
  private readonly reader: ResponseParts.Reader
  private readonly now: () => number
  /** The message without its content. */
  private readonly head = new Accumulator()
  private readonly open = new Map<number, OpenBlock>()
  private id = ""

  constructor(options: ResponseParts.ReadOptions, now: () => number) {
    this.reader = new ResponseParts.Reader(options)
    this.now = now
  }

  read(events: ReadonlyArray<Claude.StreamEvent>): Array<Part> {
    const parts: Array<Part> = []
    for (const event of events) {
      switch (event.type) {
        case "content_block_delta":
          this.delta(event, parts)
          break
        case "content_block_start":
          this.start(event, parts)
          break
        case "content_block_stop":
          this.stop(event.index, parts)
          break
        case "message_start":
          this.head.add([event])
          this.id = event.message.id
          parts.push(Finish.metadata(event.message, this.now()))
          // An answer that goes on within a container begins with what is there already.
          event.message.content.forEach((content_block, index) => {
            this.start({ type: "content_block_start", index, content_block }, parts)
            this.stop(index, parts)
          })
          break
        case "message_delta":
          this.head.add([event])
          break
        case "message_stop":
          // A block that nobody closed is over with its message.
          for (const index of this.open.keys()) this.stop(index, parts)
          parts.push(Finish.part(this.message, event, false))
      }
    }
    return parts
  }

  /** The message so far, without its content. */
  get message(): Message {
    return this.head.message()
  }

  private start(event: Extract<WireEvent, { type: "content_block_start" }>, parts: Array<Part>): void {
    // A block came as JSON; the SDK's types know some of them.
    const block = event.content_block as unknown as Block
    const { index } = event
    this.stop(index, parts)
    const accumulator = new Accumulator()
    accumulator.add([emptyMessage, event])
    // It may say that another model answers from here on.
    if (block.type === "fallback") this.head.add([event])
    const isCall = this.reader.toolOf(block) !== undefined
    const kind = block.type === "text"
      ? "text"
      : block.type === "thinking" || block.type === "redacted_thinking"
      ? "reasoning"
      : isCall
      ? "params"
      : "whole"
    const id = kind === "params" ? String(block["id"]) : `${this.id}-${index}`
    this.open.set(index, { id, kind, accumulator, pending: [] })
    switch (kind) {
      case "text":
        parts.push({ type: "text-start", id })
        if (block["text"]) parts.push({ type: "text-delta", id, delta: String(block["text"]) })
        break
      case "reasoning":
        parts.push({ type: "reasoning-start", id })
        if (block["thinking"]) parts.push({ type: "reasoning-delta", id, delta: String(block["thinking"]) })
        break
      case "params": {
        const { isServed, tool } = this.reader.toolOf(block)!
        parts.push({ type: "tool-params-start", id, name: tool.name, providerExecuted: isServed })
      }
    }
  }

  private delta(event: DeltaEvent, parts: Array<Part>): void {
    const block = this.open.get(event.index)
    if (block === undefined) return
    // In its own fold it is the first.
    if (block.pending.push(event.index === 0 ? event : { ...event, index: 0 }) >= MOST_PENDING) grow(block)
    const { delta } = event
    const { id, kind } = block
    if (delta.type === "text_delta") {
      if (kind === "text" && isSome(delta.text)) parts.push({ type: "text-delta", id, delta: delta.text })
    } else if (delta.type === "thinking_delta") {
      if (kind === "reasoning" && isSome(delta.thinking)) {
        parts.push({ type: "reasoning-delta", id, delta: delta.thinking })
      }
    } else if (delta.type === "input_json_delta") {
      if (kind === "params" && isSome(delta.partial_json)) {
        parts.push({ type: "tool-params-delta", id, delta: delta.partial_json })
      }
    }
  }

  private stop(index: number, parts: Array<Part>): void {
    const open = this.open.get(index)
    if (open === undefined) return
    this.open.delete(index)
    const { id, kind } = open
    grow(open)
    // As when it began.
    const block = open.accumulator.message().content[0] as unknown as Block
    if (kind === "params") parts.push({ type: "tool-params-end", id })
    for (const part of this.reader.parts(block, `${this.id}-${index}`)) {
      const { metadata } = part
      const carried = metadata === undefined ? undefined : { metadata }
      switch (part.type) {
        case "text":
          if (kind !== "text") {
            parts.push({ type: "text-start", id })
            if (part.text !== "") parts.push({ type: "text-delta", id, delta: part.text })
          }
          // Of the same part that it is the end of.
          parts.push({ type: "text-end", id, ...carried } as Part)
          break
        case "reasoning":
          parts.push({ type: "reasoning-end", id, ...carried } as Part)
          break
        default:
          parts.push(part)
      }
    }
  }
}

/** An empty one says nothing, and neither does what is none. */
const isSome = (text: unknown): boolean => typeof text === "string" && text !== ""

const grow = (block: OpenBlock): void => {
  block.accumulator.add(block.pending)
  block.pending = []
}

/** A message without a block. What else a message has is no concern of a block's fold. */
const emptyMessage: WireEvent = { type: "message_start", message: { content: [], usage: {} } as unknown as Message }
