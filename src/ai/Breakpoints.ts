/**
 * Breakpoints of the prompt cache: on the blocks that take one, and no more of them than the API takes.
 *
 * A chat whose every turn asks for one would have too many after a few, and be refused from then on. So of those in the
 * conversation the last stay, which is where it was cached last.
 */
import type {
  BetaCacheControlEphemeral,
  BetaMessageParam,
  BetaTextBlockParam
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Predicate from "effect/Predicate"
import type { CacheControl } from "./Options.ts"
import type { Param } from "./Turns.ts"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** Blocks that may carry no breakpoint. */
const unmarked = new Set(["thinking", "redacted_thinking", "fallback", "mcp_tool_listing"])

/** A block with the breakpoint of its part. @internal */
export const on = (
  block: Param,
  part: { readonly options: { readonly anthropic?: { readonly cacheControl?: CacheControl | null } | null } }
): Param => {
  const cacheControl = part.options.anthropic?.cacheControl
  return cacheControl == null || unmarked.has(block.type) ? block : marked(block, cacheControl)
}

/** A message's own goes on the last of its blocks that takes one, unless that has its own. @internal */
export const onLast = (blocks: Array<Param>, cacheControl: CacheControl | null | undefined): void => {
  if (cacheControl == null) return
  const at = blocks.findLastIndex(({ type }) => !unmarked.has(type))
  const block = blocks[at]
  if (block !== undefined && !isMarked(block)) blocks[at] = marked(block, cacheControl)
}

const marked = (block: Param, cacheControl: BetaCacheControlEphemeral): Param =>
  // All blocks that may carry one have it in this field.
  ({ ...block, cache_control: cacheControl }) as Param

const isMarked = (block: object): boolean => "cache_control" in block && block.cache_control != null

// -----------------------------------------------------------------------------
// how many
// -----------------------------------------------------------------------------

/** The most that the API takes in one request. */
const MOST = 4

/** Takes the first of the conversation away, and then of the system prompt, where there are too many. @internal */
export const limit = (
  { messages, system }: {
    readonly system: Array<BetaTextBlockParam> | undefined
    readonly messages: ReadonlyArray<BetaMessageParam>
  },
  others: ReadonlyArray<object>
): void => {
  const inSystem = placesIn(system)
  const inMessages = messages.flatMap(({ content }) => placesIn(content))
  const excess = others.filter(isMarked).length + inSystem.length + inMessages.length - MOST
  if (excess > 0) { for (const clear of [...inMessages, ...inSystem].slice(0, excess)) clear() }
}

/** What takes away each of the breakpoints in some blocks, in their order. */
const placesIn = (content: unknown): Array<() => void> => {
  if (!Array.isArray(content)) return []
  // What was not made here may be anything, and is held by somebody else: it is never changed.
  const blocks: Array<object> = content
  return blocks.flatMap((block, at) => {
    if (!Predicate.isObject(block)) return []
    const within = "content" in block && Array.isArray(block.content) ? [...block.content] : undefined
    const places = within === undefined ? [] : placesIn(within).map((clear) => () => {
      clear()
      blocks[at] = { ...blocks[at], content: within }
    })
    return isMarked(block) ? [...places, () => (blocks[at] = without(blocks[at]!))] : places
  })
}

const without = (block: object): object => {
  const { cache_control: _, ...rest } = block as { readonly cache_control?: unknown }
  return rest
}
