/**
 * What a long document is worked on as: chunks of its text, the parts of the answer, and what has come of it so far.
 */
import type * as Effect from "effect/Effect"
import type * as Claude from "../Claude.ts"
import type { ClaudeError, Usage } from "../ClaudeError.ts"
import type { PartFailure, Range } from "./LongDocumentError.ts"

/** A piece of the document. @category models @since 0.2.0 */
export interface Chunk {
  /** Which it is, from 0. */
  readonly index: number
  /** What the one before it ends with, and then its own. */
  readonly text: string
  /** How many UTF-16 units of `text` the one before it has too. */
  readonly overlap: number
  /** Its own place, without the overlap: the ranges of all chunks are the document. */
  readonly range: Range
}

/** What was answered about a chunk, or about parts together; plain data, to be kept and given back. @category models @since 0.2.0 */
export interface Part {
  /** 0 for a chunk's; a reduction's is one above that of its parts. */
  readonly level: number
  readonly index: number
  readonly range: Range
  readonly text: string
  /** The request that it answers, hashed: it is asked again when that is another. */
  readonly key: string
  /** What the API counted before it was sent; left out where its size in bytes said that it fits. */
  readonly inputTokens?: number | undefined
}

/** A chunk that has no answer. @category models @since 0.2.0 */
export interface Failed extends PartFailure {
  readonly chunk: Chunk
}

/** Counts the input tokens of a request. @category models @since 0.2.0 */
export type Count = (request: Claude.MessageRequest) => Effect.Effect<number, ClaudeError, Claude.Claude>

/** What has come of a document so far. @category models @since 0.2.0 */
export interface Totals {
  readonly mapped: number
  readonly failed: number
  readonly reduced: number
  /** Parts among these that were given back, and cost nothing now. */
  readonly resumed: number
  /** Bytes of the document in the chunks that are mapped or have failed. */
  readonly bytes: number
  /** As billed, over all attempts, cached ones included. */
  readonly inputTokens: number
  readonly outputTokens: number
  /** In USD; undefined from the first call on whose price nobody knows. */
  readonly cost: number | undefined
}

/** What comes of a document. @category models @since 0.2.0 */
export interface Answer {
  readonly text: string
  /** Chunks that it knows nothing of, where `onFailure` let them pass. */
  readonly failed: ReadonlyArray<Failed>
  readonly totals: Totals
}

/** The end of a run. @category models @since 0.2.0 */
export interface Finished {
  readonly _tag: "Finished"
  readonly answer: Answer
  readonly totals: Totals
}

/** What happens to a document. @category models @since 0.2.0 */
export type Progress =
  | { readonly _tag: "Mapped"; readonly part: Part; readonly totals: Totals }
  | { readonly _tag: "Failed"; readonly failed: Failed; readonly totals: Totals }
  | { readonly _tag: "Reduced"; readonly part: Part; readonly totals: Totals }
  | Finished

/** Adds up what comes of a document. @internal */
export class Tally {
  private readonly all = {
    mapped: 0,
    failed: 0,
    reduced: 0,
    resumed: 0,
    bytes: 0,
    inputTokens: 0,
    outputTokens: 0,
    cost: 0 as number | undefined
  }

  get totals(): Totals {
    return { ...this.all }
  }

  /** A part is there; `message` where it was asked for now. */
  part({ level, range }: Part, message: Claude.Message | undefined): void {
    if (level > 0) this.all.reduced++
    else {
      this.all.mapped++
      this.all.bytes += range.endByte - range.startByte
    }
    if (message === undefined) this.all.resumed++
    else this.bill(message.billed, message.cost?.amount)
  }

  failed({ error, range }: Failed): void {
    this.all.failed++
    this.all.bytes += range.endByte - range.startByte
    // What it cost is known in tokens only.
    if (error.usage !== undefined) this.bill(error.usage, undefined)
  }

  private bill(usage: Usage | undefined, cost: number | undefined): void {
    const { all } = this
    if (usage !== undefined) {
      all.inputTokens += usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
      all.outputTokens += usage.output_tokens
    }
    all.cost = all.cost === undefined || cost === undefined ? undefined : all.cost + cost
  }
}
