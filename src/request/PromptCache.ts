/**
 * Breakpoints for the API's prompt cache, placed where they pay: at the end of the system prompt, of the tools, and of
 * the last turn.
 *
 * The API takes four in all, those of an hour before those of five minutes, in the order tools, system, messages. What
 * is there already is kept and counts, and what is added gives way to it, in number and in lifetime. For two lifetimes
 * mark twice: first `{ ttl: "1h", lastTurn: false }`, then the rest.
 */
import type {
  CacheControlEphemeral,
  ContentBlockParam,
  MessageParam
} from "@anthropic-ai/sdk/resources/messages/messages"
import * as Predicate from "effect/Predicate"
import type { MessageRequest } from "./Request.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** How long the API keeps what is marked, after its last use. @category models @since 0.2.0 */
export type Ttl = "5m" | "1h"

/** @category options @since 0.2.0 */
export interface MarkOptions {
  /** @default "5m" */
  readonly ttl?: Ttl | undefined
  /** Whether the end of the system prompt is marked. @default true */
  readonly system?: boolean | undefined
  /** Whether the last tool is marked. @default true */
  readonly tools?: boolean | undefined
  /** Whether the end of the last turn is marked, for the turn that follows. @default true */
  readonly lastTurn?: boolean | undefined
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * The request with breakpoints for the prompt cache. Where not all find room, the system prompt's comes first, then the
 * last turn's; a block that takes none (thinking, an empty text, a tool that is loaded late) leaves it to the one before.
 *
 * @category combinators
 * @since 0.2.0
 */
export const mark = (request: MessageRequest, options: MarkOptions = {}): MessageRequest => {
  const { lastTurn = true, system = true, tools = true, ttl } = options
  if (ttl !== undefined && ttl !== "5m" && ttl !== "1h") {
    throw new RangeError(`PromptCache.mark: ttl is ${String(ttl)}; expected "5m" or "1h".`)
  }
  const breakpoints = breakpointsOf(request)
  const add = (at: number): CacheControlEphemeral | undefined => {
    if (breakpoints.length >= MAX_BREAKPOINTS) return undefined
    const fitting = fit(breakpoints, at, ttl ?? "5m")
    breakpoints.push({ at, ttl: fitting })
    return ttl === undefined && fitting === "5m" ? { type: "ephemeral" } : { type: "ephemeral", ttl: fitting }
  }
  const marked: Record<string, unknown> = { ...request }
  const markMember = (name: "system" | "tools", part: number, takes: (block: Block) => boolean) => {
    const end = markLast(request[name], takes, (index) => add(place(part, index)))
    if (end !== undefined) marked[name] = end
  }
  if (system) markMember("system", SYSTEM, takesMark)
  // The mark of a request as a whole is one at the end of its last turn.
  if (lastTurn && request.cache_control == null) {
    const messages = markLastTurn(messagesOf(request), add)
    if (messages !== undefined) {
      marked["messages"] = messages
      delete marked["prompt"]
    }
  }
  if (tools) markMember("tools", TOOLS, isLoaded)
  // Its own members, some of them with a mark upon a block of a type that takes it.
  return marked as unknown as MessageRequest
}

/** The most breakpoints that the API takes. */
const MAX_BREAKPOINTS = 4

type Block = Readonly<Record<string, unknown>>

/** The mark for a place, unless there is no room for it. */
type Add = (at: number) => CacheControlEphemeral | undefined

/** The content with its last block that takes it marked, if `add` gives it one; undefined where no block takes it. */
const markLast = (
  content: unknown,
  takes: (block: Block) => boolean,
  add: Add
): unknown => {
  const blocks: unknown = typeof content === "string" ? [{ type: "text", text: content }] : content
  if (!Array.isArray(blocks)) return undefined
  const index = blocks.findLastIndex((block) => isBlock(block) && takes(block))
  if (index < 0) return undefined
  const cache_control = isMarked(blocks[index]) ? undefined : add(index)
  return cache_control === undefined ? content : blocks.with(index, { ...blocks[index], cache_control })
}

const messagesOf = ({ messages, prompt }: MessageRequest): ReadonlyArray<MessageParam> => {
  if (typeof prompt === "string") return [{ role: "user", content: prompt }]
  return Array.isArray(messages) ? messages : []
}

/** The messages with a mark in the last one that takes it; undefined where nothing is to be changed. */
const markLastTurn = (messages: ReadonlyArray<MessageParam>, add: Add): ReadonlyArray<unknown> | undefined => {
  for (let turn = messages.length - 1; turn >= 0; turn--) {
    const message = messages[turn]
    const end = markLast(message?.content, takesMark, (index) => add(place(MESSAGES, turn, index)))
    if (end !== undefined) {
      return end === message?.content
        ? undefined
        : [...messages.slice(0, turn), { ...message, content: end }, ...messages.slice(turn + 1)]
    }
  }
  return undefined
}

// -----------------------------------------------------------------------------
// blocks
// -----------------------------------------------------------------------------

type Taking<B> = B extends { type: infer T extends string } ? "cache_control" extends keyof B ? T : never : never

/** What takes a mark, as the SDK's types say; what they do not know is left alone. */
const taking: Readonly<Record<Taking<ContentBlockParam>, true>> = {
  bash_code_execution_tool_result: true,
  code_execution_tool_result: true,
  container_upload: true,
  document: true,
  image: true,
  search_result: true,
  server_tool_use: true,
  text: true,
  text_editor_code_execution_tool_result: true,
  tool_result: true,
  tool_search_tool_result: true,
  tool_use: true,
  web_fetch_tool_result: true,
  web_search_tool_result: true
}

const isBlock = (block: unknown): block is Block => Predicate.isObject(block)

const takesMark = ({ text, type }: Block): boolean =>
  type === "text" ? typeof text === "string" && /\S/.test(text) : Object.hasOwn(taking, String(type))

/** The API refuses a mark on a tool that is loaded when it is needed. */
const isLoaded = ({ configs, default_config, defer_loading }: Block): boolean =>
  [{ defer_loading }, default_config, ...Object.values(isBlock(configs) ? configs : {})]
    .every((config) => !isBlock(config) || config["defer_loading"] !== true)

const isMarked = (block: unknown): block is { readonly cache_control: unknown } =>
  isBlock(block) && block["cache_control"] != null

/** Without a lifetime it is five minutes. */
const ttlOf = (control: unknown): Ttl => isBlock(control) && control["ttl"] === "1h" ? "1h" : "5m"

// -----------------------------------------------------------------------------
// breakpoints
// -----------------------------------------------------------------------------

interface Breakpoint {
  readonly at: number
  readonly ttl: Ttl
}

const TOOLS = 0
const SYSTEM = 1
const MESSAGES = 2
const END = 3

/** Places in the order in which the API reads them. */
const place = (part: number, index = 0, block = 0): number => (part * 1e6 + index) * 1e6 + block

/** The lifetime nearest to what is wanted: none of an hour may follow one of five minutes. */
const fit = (breakpoints: ReadonlyArray<Breakpoint>, at: number, wanted: Ttl): Ttl =>
  breakpoints.some((other) => other.ttl === "5m" && other.at <= at)
    ? "5m"
    : breakpoints.some((other) => other.ttl === "1h" && other.at > at)
    ? "1h"
    : wanted

/** All that a request has, those in the blocks of a tool result too. */
const breakpointsOf = (request: MessageRequest): Array<Breakpoint> => {
  const found: Array<Breakpoint> = []
  const visit = (block: unknown, at: number, depth = 0): void => {
    if (!isBlock(block) || depth > MAX_DEPTH) return
    // A tool's input is data: what looks like a mark in there is none.
    for (const inner of [block["content"], block["source"], block["tool_references"]]) {
      if (Array.isArray(inner)) inner.forEach((block) => visit(block, at, depth + 1))
      else visit(inner, at, depth + 1)
    }
    if (isMarked(block)) found.push({ at, ttl: ttlOf(block.cache_control) })
  }
  const visitAll = (blocks: unknown, at: (index: number) => number) => {
    if (Array.isArray(blocks)) blocks.forEach((block, index) => visit(block, at(index)))
  }
  visitAll(request.tools, (index) => place(TOOLS, index))
  visitAll(request.system, (index) => place(SYSTEM, index))
  messagesOf(request).forEach((message, turn) => visitAll(message?.content, (index) => place(MESSAGES, turn, index)))
  if (isMarked(request)) found.push({ at: place(END), ttl: ttlOf(request.cache_control) })
  return found
}

/** Deeper than blocks are nested. */
const MAX_DEPTH = 8
