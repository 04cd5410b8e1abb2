/**
 * What a long document is worked on as: chunks of its text, the parts of the answer, and what has come of it so far.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Claude from "../Claude.ts"
import type { ClaudeError, Usage } from "../ClaudeError.ts"
import { PartFailure, Range } from "./LongDocumentError.ts"

/** A piece of the document. @category models @since 0.2.0 */
export interface Chunk extends Schema.Schema.Type<typeof Chunk> {}

/** @category models @since 0.2.0 */
export const Chunk = Schema.Struct({
  /** Which it is, from 0. */
  index: Schema.Int,
  /** What the text before it ends with, and then its own; half a character is a U+FFFD, as no request may hold it. */
  text: Schema.String,
  /** How many UTF-16 units of `text` are of before. */
  overlap: Schema.Int,
  /** Its own place, without the overlap: the ranges of all chunks are the document, but for where it is blank. */
  range: Range
})

/** What was answered about a chunk, or about parts together; plain data, to be kept and given back. @category models @since 0.2.0 */
export interface Part extends Schema.Schema.Type<typeof Part> {}

/** Reads parts that were kept: `Schema.decodeUnknownEffect(Schema.Array(LongDocument.Part))`. @category models @since 0.2.0 */
export const Part = Schema.Struct({
  /** 0 for a chunk's; a reduction's is one above that of its parts. */
  level: Schema.Int,
  index: Schema.Int,
  range: Range,
  text: Schema.String,
  /** The request that it answers, hashed: it is asked again when that is another. */
  key: Schema.String,
  /** What the API counted before it was sent; left out where its size in bytes said that it fits. */
  inputTokens: Schema.optional(Schema.Finite)
})

/** A chunk that has no answer; `Schema.toCodecJson(LongDocument.Failed)` keeps it. @category models @since 0.2.0 */
export interface Failed extends Schema.Schema.Type<typeof Failed> {}

/** @category models @since 0.2.0 */
export const Failed = Schema.Struct({
  ...PartFailure.fields,
  chunk: Chunk,
  /** As they were counted; left out where that was not needed, or failed. */
  inputTokens: Schema.optional(Schema.Finite)
})

/** Counts the input tokens of a request. @category models @since 0.2.0 */
export type Count = (request: Claude.MessageRequest) => Effect.Effect<number, ClaudeError, Claude.Claude>

/** What has come of a document so far. @category models @since 0.2.0 */
export interface Totals {
  readonly mapped: number
  readonly failed: number
  readonly reduced: number
  /** Parts among these that were given back, and cost nothing now. */
  readonly resumed: number
  /** Bytes of the document that are done with: mapped, failed, or blank. */
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
  /** How often answers were reduced to fewer. */
  levels = 0

  get totals(): Totals {
    return { ...this.all }
  }

  part({ level, range }: Part, isResumed: boolean): void {
    if (isResumed) this.all.resumed++
    this.levels = Math.max(this.levels, level)
    if (level > 0) this.all.reduced++
    else {
      this.all.mapped++
      this.read(range)
    }
  }

  failed({ range }: Failed): void {
    this.all.failed++
    this.read(range)
  }

  /** So much of the document is done with. */
  read({ endByte, startByte }: Range): void {
    this.all.bytes += endByte - startByte
  }

  bill(usage: Usage | undefined, cost: number | undefined): void {
    const { all } = this
    if (usage !== undefined) {
      all.inputTokens += usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
      all.outputTokens += usage.output_tokens
    }
    all.cost = all.cost === undefined || cost === undefined ? undefined : all.cost + cost
  }
}
