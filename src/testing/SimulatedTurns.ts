/**
 * What the API insists on in a conversation: a call of a tool is answered in the turn after it and nowhere else, what
 * the API ran itself stands behind its call, in whichever turn, and was run to its end, no turn ends with a thought, no
 * text is empty, and no message has blank texts alone.
 *
 * Messages of one role in a row are one turn, as for the API. Blocks of kinds that are not known here are left alone.
 */
import { record } from "./EventFold.ts"

interface Placed {
  readonly block: Readonly<Record<string, unknown>>
  /** Where it stands, as the API says it. */
  readonly at: string
  readonly message: number
}

interface Turn {
  readonly role: unknown
  readonly blocks: Array<Placed>
}

/** What the API would say against the messages, if anything. @category checks @since 0.2.0 */
export const refusal = (messages: ReadonlyArray<unknown>): string | undefined => {
  const turns = turnsOf(messages)
  const results = new Set(turns.flatMap(({ blocks }) => blocks.map(({ block }) => block["tool_use_id"])))
  const served = new Set<unknown>()
  let before: ReadonlyArray<Placed> = []
  for (const { blocks, role } of turns) {
    const wrong = textRefusal(blocks) ?? servedRefusal(blocks, served) ?? thoughtRefusal(before) ??
      resultRefusal(before, blocks) ?? unservedRefusal(before, blocks, results)
    if (wrong !== undefined) return wrong
    before = role === "assistant" ? blocks : []
  }
  return resultRefusal(before, [])
}

const turnsOf = (messages: ReadonlyArray<unknown>): ReadonlyArray<Turn> => {
  const turns: Array<Turn> = []
  messages.forEach((value, message) => {
    const { content, role } = record(value)
    // Instructions in mid-conversation are nobody's turn.
    if (role === "system") return
    const blocks = (Array.isArray(content) ? content : [{ type: "text", text: content }]).map((
      block,
      index
    ): Placed => ({
      block: record(block),
      at: `messages.${message}.content.${index}`,
      message
    }))
    const last = turns.at(-1)
    if (last?.role === role) last!.blocks.push(...blocks)
    else turns.push({ role, blocks })
  })
  return turns
}

const textRefusal = (blocks: ReadonlyArray<Placed>): string | undefined => {
  const readable = new Set<number>()
  const blank = new Set<number>()
  for (const { block: { citations, text, type }, message } of blocks) {
    if (type !== "text" || typeof text !== "string") continue
    const isCited = Array.isArray(citations) && citations.length > 0
    if (text === "" && !isCited) return "messages: text content blocks must be non-empty"
    if (text.trim() === "" && !isCited) blank.add(message)
    else readable.add(message)
  }
  // Beside a text to read, a blank one passes: answers have them between thoughts and citations, and come back so.
  return [...blank].every((message) => readable.has(message))
    ? undefined
    : "messages: text content blocks must contain non-whitespace text"
}

/** A program that a server runs may call for tools before it has ended, so its result may come turns later. */
const servedRefusal = (blocks: ReadonlyArray<Placed>, calls: Set<unknown>): string | undefined => {
  for (const { at, block: { id, tool_use_id, type } } of blocks) {
    if (type === "server_tool_use") calls.add(id)
    else if (typeof type === "string" && /^(?!mcp).+_tool_result$/.test(type) && !calls.has(tool_use_id)) {
      return `${at}: unexpected \`tool_use_id\` found in \`${type}\` blocks: ${tool_use_id}. ` +
        `Each \`${type}\` block must have a corresponding \`server_tool_use\` block before it.`
    }
  }
  return undefined
}

/** Beside calls of the program's own, those of the API go on when these are answered. */
const unservedRefusal = (
  before: ReadonlyArray<Placed>,
  blocks: ReadonlyArray<Placed>,
  results: ReadonlySet<unknown>
): string | undefined => {
  if (blocks.some(({ block }) => block["type"] === "tool_result")) return undefined
  const call = before.find(({ block: { id, type } }) => type === "server_tool_use" && !results.has(id))
  if (call === undefined) return undefined
  const { id, name } = call.block
  return `messages.${call.message}: \`${name}\` tool use with id \`${id}\` was found without a corresponding ` +
    `\`${name}_tool_result\` block`
}

const thoughtRefusal = (blocks: ReadonlyArray<Placed>): string | undefined => {
  const last = blocks.at(-1)
  return last !== undefined && String(last.block["type"]).endsWith("thinking")
    ? `messages.${last.message}: The final block in an assistant message cannot be \`${last.block["type"]}\`.`
    : undefined
}

const resultRefusal = (before: ReadonlyArray<Placed>, blocks: ReadonlyArray<Placed>): string | undefined => {
  const calls = before.filter(({ block }) => block["type"] === "tool_use")
  const called = new Set(calls.map(({ block }) => block["id"]))
  const answered = new Set<unknown>()
  for (const { at, block: { tool_use_id, type } } of blocks) {
    if (type !== "tool_result") continue
    if (!called.has(tool_use_id)) {
      return `${at}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${tool_use_id}. ` +
        "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
    }
    if (answered.has(tool_use_id)) {
      return `${at}: each tool_use must have a single result. ` +
        `Found multiple \`tool_result\` blocks with id: ${tool_use_id}`
    }
    answered.add(tool_use_id)
  }
  const missing = calls.filter(({ block }) => !answered.has(block["id"]))
  return missing.length === 0
    ? undefined
    : `messages.${
      missing[0]!.message
    }: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ` +
      `${missing.map(({ block }) => block["id"]).join(", ")}. ` +
      "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
}
