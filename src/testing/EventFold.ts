/**
 * The message that raw events make: what `Answer.events` answers to a request for JSON.
 *
 * It is a fold of its own, not the library's, since the library is tested against it.
 */
import type * as Answer from "./Answer.ts"

interface Slot {
  readonly block: Record<string, unknown>
  json: string | undefined
}

/**
 * The message so far, or `undefined` without a `message_start`.
 *
 * @category folds
 * @since 0.1.0
 */
export const fold = (events: ReadonlyArray<Answer.RawEvent>): Record<string, unknown> | undefined => {
  let message: Record<string, unknown> | undefined
  const slots = new Map<number, Slot>()
  for (const event of events) {
    if (event.type === "message_start") {
      message = { ...record(event.message) }
      const given = Array.isArray(message.content) ? message.content : []
      given.forEach((block, index) => slots.set(index, { block: { ...record(block) }, json: undefined }))
    }
    if (event.type === "message_delta" && message !== undefined) {
      message = {
        ...message,
        ...record(event.delta),
        usage: { ...record(message.usage), ...present(record(event.usage)) }
      }
    }
    const index = Number(event.index)
    if (event.type === "content_block_start") {
      slots.set(index, { block: { ...record(event.content_block) }, json: undefined })
    }
    const slot = slots.get(index)
    if (event.type === "content_block_delta" && slot !== undefined) applyDelta(slot, record(event.delta))
  }
  if (message === undefined) return undefined
  return { ...message, content: Array.from(slots.values(), close) }
}

const close = ({ block, json }: Slot): Record<string, unknown> => {
  if (!json) return block
  try {
    return { ...block, input: JSON.parse(json) }
  } catch {
    // Input that was broken on purpose has no JSON form.
    return block
  }
}

const applyDelta = (slot: Slot, delta: Record<string, unknown>): void => {
  const { block } = slot
  if (delta.type === "text_delta") block.text = `${block.text ?? ""}${delta.text}`
  if (delta.type === "thinking_delta") block.thinking = `${block.thinking ?? ""}${delta.thinking}`
  if (delta.type === "signature_delta") block.signature = delta.signature
  if (delta.type === "compaction_delta") Object.assign(block, { ...delta, type: block.type })
  if (delta.type === "input_json_delta") slot.json = `${slot.json ?? ""}${delta.partial_json}`
  if (delta.type === "citations_delta") {
    block.citations = [...(Array.isArray(block.citations) ? block.citations : []), delta.citation]
  }
}

/** Its fields, or none. @category guards @since 0.1.0 */
export const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? value as Record<string, unknown> : {}

const present = (value: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(value).filter(([, v]) => v != null))
