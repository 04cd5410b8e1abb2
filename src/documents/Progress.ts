/**
 * What is told while a document is worked on: each part as it is done, and what has come of all of them so far.
 */
import type { Usage } from "../ClaudeError.ts"
import type { Range } from "./LongDocumentError.ts"
import type { Failed, Part } from "./Part.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

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

/** What happens to a document, in the order in which it happens: chunks are done in any order. @category models @since 0.2.0 */
export type Progress =
  | { readonly _tag: "Mapped"; readonly part: Part; readonly totals: Totals }
  | { readonly _tag: "Failed"; readonly failed: Failed; readonly totals: Totals }
  | { readonly _tag: "Reduced"; readonly part: Part; readonly totals: Totals }
  | Finished

// -----------------------------------------------------------------------------
// adding up
// -----------------------------------------------------------------------------

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
