/**
 * What telemetry writes of prompts and replies: nothing, unless it is asked to.
 *
 * A redactor runs over every text before anything is written; where it throws, that text alone is left out. Content
 * goes onto the call's span, into a log record, or to a function of yours.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Predicate from "effect/Predicate"
import * as Attributes from "./Attributes.ts"

/** The content of one call, in the shape of OpenTelemetry's GenAI conventions. @category models @since 0.1.0 */
export interface Content {
  readonly systemInstructions?: ReadonlyArray<Part> | undefined
  readonly inputMessages: ReadonlyArray<ChatMessage>
  readonly outputMessages: ReadonlyArray<ChatMessage>
  readonly toolDefinitions?: ReadonlyArray<unknown> | undefined
  readonly stopSequences?: ReadonlyArray<string> | undefined
}

/** @category models @since 0.1.0 */
export interface ChatMessage {
  readonly role: string
  readonly parts: ReadonlyArray<Part>
}

/** @category models @since 0.1.0 */
export interface Part {
  readonly type: string
  readonly [key: string]: unknown
}

/** @category options @since 0.1.0 */
export interface ContentOptions {
  /** Where content goes: onto the span, into a log record, or to a function. @default "off" */
  readonly capture?: "off" | "span" | "event" | ((content: Content) => void) | undefined
  /** Runs over each text; what it answers is written, and where it throws nothing is. */
  readonly redact?: ((text: string) => string) | undefined
}

/** What stands where a redactor failed. */
const withheld = "[withheld: the redactor failed]"

/** Reads a request and what was answered; `failed` hears of each text that could not be redacted. @internal */
export const make = (
  params: object,
  message: Message | undefined,
  redact: (text: string) => string = (text) => text,
  failed: () => void = () => {}
): Content => {
  const text = (value: string): string => {
    try {
      return redact(value)
    } catch {
      failed()
      return withheld
    }
  }
  const safe = (value: unknown): unknown =>
    typeof value === "string" ?
      text(value)
      : Array.isArray(value) ?
      value.map(safe)
      : Predicate.isObject(value) ?
      safeFields(value)
      : value
  const safeFields = (value: object) =>
    Object.fromEntries(Object.entries(value).map(([key, value]) => [key, safe(value)]))
  // What a part is, and whose, is no text of a prompt: without it nobody could read the rest.
  const named = <A extends object>(value: A): A => ({
    ...value,
    ...safeFields(Object.fromEntries(Object.entries(value).filter(([key]) => !names.has(key))))
  })
  const all = (content: unknown) => parts(content).map(named)
  const request = params as { system?: unknown; messages?: unknown; tools?: unknown; stop_sequences?: unknown }
  return {
    ...(request.system === undefined ? undefined : { systemInstructions: all(request.system) }),
    inputMessages: (Array.isArray(request.messages) ? request.messages : []).map((message) => ({
      role: String(message.role),
      parts: all(message.content)
    })),
    outputMessages: message === undefined ? [] : [{ role: message.role, parts: all(message.content) }],
    ...(Array.isArray(request.tools) ? { toolDefinitions: request.tools.map(named) } : undefined),
    ...(Array.isArray(request.stop_sequences) ? { stopSequences: request.stop_sequences.map(text) } : undefined)
  }
}

/** Content as a span and a log can hold it: each part of it as JSON. @internal */
export const attributes = (content: Content): Record<string, unknown> => ({
  ...(content.systemInstructions && { [Attributes.systemInstructions]: JSON.stringify(content.systemInstructions) }),
  [Attributes.inputMessages]: JSON.stringify(content.inputMessages),
  [Attributes.outputMessages]: JSON.stringify(content.outputMessages),
  ...(content.toolDefinitions && { [Attributes.toolDefinitions]: JSON.stringify(content.toolDefinitions) }),
  ...(content.stopSequences && { [Attributes.requestStopSequences]: content.stopSequences })
})

const names: ReadonlySet<string> = new Set(["type", "id", "name"])

const parts = (content: unknown): ReadonlyArray<Part> =>
  typeof content === "string"
    ? [{ type: "text", content }]
    : Array.isArray(content)
    ? content.map(part)
    : []

/** A block of the API as a part of the conventions; one that they do not know keeps its own shape. */
const part = (block: Record<string, unknown> & { readonly type: string }): Part => {
  switch (block.type) {
    case "text":
      return { type: "text", content: block["text"] }
    case "thinking":
      return { type: "reasoning", content: block["thinking"] }
    case "tool_use":
      return { type: "tool_call", id: block["id"], name: block["name"], arguments: block["input"] }
    case "tool_result":
      return { type: "tool_call_response", id: block["tool_use_id"], response: block["content"] }
    case "server_tool_use":
      return {
        type: "server_tool_call",
        id: block["id"],
        name: block["name"],
        server_tool_call: { ...block["input"] as object, type: block["name"] }
      }
    default:
      return block
  }
}
