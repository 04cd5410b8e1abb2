/**
 * Whether marked prefixes hit: what was written to the API's prompt cache, and not read when it was sent again.
 *
 * A prefix is what the tools and the system prompt say up to their last breakpoint. A miss within its lifetime has a
 * cause that someone wants to know: a model changed, a tool's keys in another order, another workspace, or a prefix too
 * short to be kept. Breakpoints among the messages move with every turn and are not watched.
 */
import * as CanonicalKey from "./CanonicalKey.ts"
import type { BilledUsage } from "./Cost.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What is marked of a request, and for how long the API keeps it. @internal */
export interface MarkedPrefix {
  readonly hash: string
  readonly ttlMillis: number
}

/** When a prefix can be read from the cache. */
interface Written {
  readonly from: number
  readonly until: number
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** The marked prefix of a request's body; undefined, and next to free, where nothing of it is marked. @internal */
export const prefixOf = (body: object): MarkedPrefix | undefined => {
  const { model, output_config, speed, system, tools }: Body = body
  const lastTool = lastMarked(tools)
  const lastSystem = lastMarked(system)
  const last = lastSystem ?? lastTool
  if (last === undefined) return undefined
  const text = CanonicalKey.textOf([
    // What the API keeps apart, or writes into the prompt before all of it.
    model,
    speed,
    output_config?.format,
    lastSystem === undefined ? before(tools, lastTool) : tools,
    before(system, lastSystem)
  ])
  if (text === undefined) return undefined
  return { hash: CanonicalKey.digest(text).slice(0, 16), ttlMillis: last.ttl === "1h" ? HOUR : 5 * MINUTE }
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** The few members that are read, as they may be. */
interface Body {
  readonly model?: unknown
  readonly speed?: unknown
  readonly output_config?: { readonly format?: unknown } | null
  readonly system?: unknown
  readonly tools?: unknown
}

interface Last {
  readonly index: number
  readonly ttl: unknown
}

const lastMarked = (blocks: unknown): Last | undefined => {
  if (!Array.isArray(blocks)) return undefined
  const index = blocks.findLastIndex((block) => block?.cache_control != null)
  return index < 0 ? undefined : { index, ttl: blocks[index].cache_control.ttl }
}

const before = (blocks: unknown, last: Last | undefined): unknown =>
  Array.isArray(blocks) && last !== undefined ? blocks.slice(0, last.index + 1) : undefined

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** The prefixes that one client's answers wrote or read, the latest of them. @internal */
export class MarkedPrefixes {
  readonly #capacity: number
  readonly #written = new Map<string, Written>()

  constructor(capacity = 1000) {
    this.#capacity = capacity
  }

  /**
   * Takes note of an answer that was sent at one time and complete at another; true where its prefix was in the cache
   * when it was sent, and nothing was read from there.
   */
  answered(prefix: MarkedPrefix, usage: BilledUsage, sentAt: number, completeAt: number): boolean {
    const read = usage.cache_read_input_tokens ?? 0
    const written = usage.cache_creation_input_tokens ?? 0
    // Neither: it was too short to be kept.
    if (!(read > 0 || written > 0)) return false
    const known = this.#written.get(prefix.hash)
    const wasThere = known !== undefined && known.from <= sentAt && sentAt < known.until
    const until = sentAt + prefix.ttlMillis
    this.#written.delete(prefix.hash)
    // Each use begins its lifetime anew, and answers may end in another order than they began in.
    this.#written.set(
      prefix.hash,
      known !== undefined && sentAt < known.until
        ? { from: known.from, until: Math.max(known.until, until) }
        : { from: completeAt, until }
    )
    for (const oldest of this.#written.keys()) {
      if (this.#written.size <= this.#capacity) break
      this.#written.delete(oldest)
    }
    return wasThere && !(read > 0)
  }
}
