/**
 * The texts of a request and of an answer: what people and tools wrote, not what must stay as it is.
 *
 * Looked at are the system prompt, texts and what they cite, tool calls' arguments and tools' results, and documents
 * that are text. Images, PDFs, what was uploaded, the definitions of tools, what the API's own tools found and blocks
 * that are not known here are not.
 * Thinking is signed, so it is left as it is, and of an answer only looked at.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import type { MessageRequest } from "../Claude.ts"

/** Deeper arguments of tools than this are not followed: they could be as deep as a text is long. */
const MAX_DEPTH = 200

type Change = (text: string) => string

type Block = Message["content"][number]

/** A block or a message, read as it comes. */
type Loose = Readonly<Record<string, unknown>>

/** All texts of a request, in order. @internal */
export const ofRequest = (request: MessageRequest): ReadonlyArray<string> =>
  collect((change) => mapRequest(request, change))

/** All texts of an answer, in order. @internal */
export const ofMessage = (message: Message): ReadonlyArray<string> => collect((change) => mapMessage(message, change))

/** All texts of a block of an answer, in order. @internal */
export const ofBlock = (given: Block): ReadonlyArray<string> => collect((change) => block(given, change, 0))

/** All texts of a value, in order. @internal */
export const ofValue = (value: unknown): ReadonlyArray<string> => collect((change) => json(value, change, 0))

/** What an answer thinks. @internal */
export const thinkingOf = ({ content }: Pick<Message, "content">): ReadonlyArray<string> =>
  content.flatMap((block) => block.type === "thinking" ? [block.thinking] : [])

/** What an answer says. @internal */
export const saidIn = ({ content }: Message): string =>
  content.map((block) => block.type === "text" ? block.text : "").join("")

/** The request with other texts, as many as it has. @internal */
export const withRequest = (request: MessageRequest, texts: ReadonlyArray<string>): MessageRequest =>
  mapRequest(request, inOrder(texts))

/** The answer with other texts, as many as it has. @internal */
export const withMessage = <M extends Message>(message: M, texts: ReadonlyArray<string>): M =>
  mapMessage(message, inOrder(texts))

/** The block with other texts, as many as it has. @internal */
export const withBlock = (given: Block, texts: ReadonlyArray<string>): Block =>
  // Texts became texts, so it is such a block as before.
  block(given, inOrder(texts), 0) as Block

/** The value with other texts, as many as it has. @internal */
export const withValue = (value: unknown, texts: ReadonlyArray<string>): unknown => json(value, inOrder(texts), 0)

/** Thrown where a text lies too deep to be looked at. @internal */
export class TooDeep extends Error {}

const collect = (walk: (change: Change) => unknown): ReadonlyArray<string> => {
  const texts: Array<string> = []
  walk((text) => {
    texts.push(text)
    return text
  })
  return texts
}

/** One walk finds the texts and the other changes them, so they meet in the same order. */
const inOrder = (texts: ReadonlyArray<string>): Change => {
  let at = 0
  return (text) => texts[at++] ?? text
}

// -----------------------------------------------------------------------------
// walking
// -----------------------------------------------------------------------------

const mapRequest = (request: MessageRequest, change: Change): MessageRequest => {
  const loose: Loose = { ...request }
  const system = "system" in loose ? { system: content(loose["system"], change) } : undefined
  const asked = loose["prompt"] === undefined
    ? { messages: content(loose["messages"], change) }
    : { prompt: content(loose["prompt"], change) }
  // Texts became texts and blocks the same blocks, so it is a request as before.
  return { ...request, ...system, ...asked } as MessageRequest
}

const mapMessage = <M extends Message>(message: M, change: Change): M => ({
  ...message,
  // As above.
  content: content(message.content, change) as M["content"]
})

const content = (value: unknown, change: Change, depth = 0): unknown => {
  if (depth > MAX_DEPTH) throw new TooDeep()
  if (typeof value === "string") return change(value)
  if (Array.isArray(value)) return value.map((item) => block(item, change, depth + 1))
  return value
}

const block = (value: unknown, change: Change, depth: number): unknown => {
  if (!isObject(value)) return value
  const { type } = value
  // A message has a role in place of a type.
  if (type === undefined || type === "tool_result" || type === "mcp_tool_result") {
    return with_(value, "content", (inner) => content(inner, change, depth))
  }
  if (type === "text") {
    return with_(
      with_(value, "text", (text) => content(text, change, depth)),
      "citations",
      (citations) => Array.isArray(citations) ? citations.map((citation) => cited(citation, change, depth)) : citations
    )
  }
  if (type === "tool_use" || type === "server_tool_use" || type === "mcp_tool_use") {
    return with_(value, "input", (input) => json(input, change, depth))
  }
  if (type === "search_result") {
    return with_(
      with_(value, "title", (title) => content(title, change, depth)),
      "content",
      (inner) => content(inner, change, depth)
    )
  }
  return type === "document" ? document(value, change, depth) : value
}

const cited = (value: unknown, change: Change, depth: number): unknown =>
  isObject(value)
    ? ["cited_text", "document_title", "title"].reduce(
      (citation, key) => with_(citation, key, (text) => content(text, change, depth)),
      value
    )
    : value

const document = (value: Loose, change: Change, depth: number): Loose => {
  let changed = value
  for (const key of ["title", "context"]) changed = with_(changed, key, (text) => content(text, change, depth))
  return with_(changed, "source", (source) => {
    if (!isObject(source)) return source
    if (source["type"] === "text") return with_(source, "data", (data) => content(data, change, depth))
    return source["type"] === "content" ? with_(source, "content", (inner) => content(inner, change, depth)) : source
  })
}

/** All texts of a value; names of fields are no texts of anybody's. */
const json = (value: unknown, change: Change, depth: number): unknown => {
  if (depth > MAX_DEPTH) throw new TooDeep()
  if (typeof value === "string") return change(value)
  if (Array.isArray(value)) {
    const changed = value.map((item) => json(item, change, depth + 1))
    return changed.every((item, i) => item === value[i]) ? value : changed
  }
  // Bytes have no texts, and a great many entries.
  if (!isObject(value) || ArrayBuffer.isView(value)) return value
  if (value instanceof Map) {
    const changed = Array.from(value, ([key, inner]) => [key, json(inner, change, depth + 1)] as const)
    return changed.every(([key, inner]) => inner === value.get(key)) ? value : new Map(changed)
  }
  if (value instanceof Set) {
    const changed = Array.from(value, (item) => json(item, change, depth + 1))
    return changed.every((item) => value.has(item)) ? value : new Set(changed)
  }
  const entries = Object.entries(value)
  const changed = entries.map(([key, inner]) => [key, json(inner, change, depth + 1)] as const)
  // What holds no text in the open, such as a Date, stays what it is.
  if (changed.every(([, inner], i) => inner === entries[i]![1])) return value
  // Not assigned: `__proto__` is a name like others.
  return Object.setPrototypeOf(Object.fromEntries(changed), Object.getPrototypeOf(value))
}

const with_ = (value: Loose, key: string, change: (inner: unknown) => unknown): Loose =>
  value[key] == null ? value : { ...value, [key]: change(value[key]) }

const isObject = (value: unknown): value is Loose => typeof value === "object" && value !== null
