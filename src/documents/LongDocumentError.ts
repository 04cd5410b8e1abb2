/**
 * What ends the work on a long document: a part of it that failed, or one that does not fit.
 *
 * No message and no field holds the text of the document.
 */
import * as Schema from "effect/Schema"
import * as ClaudeError from "../ClaudeError.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Where in the document something is, in UTF-16 units and in bytes of UTF-8; the ends are exclusive. @category models @since 0.2.0 */
export interface Range extends Schema.Schema.Type<typeof Range> {}

/** @category models @since 0.2.0 */
export const Range = Schema.Struct({
  start: Schema.Int,
  end: Schema.Int,
  startByte: Schema.Int,
  endByte: Schema.Int
})

/** One part that failed, and why. @category models @since 0.2.0 */
export interface PartFailure extends Schema.Schema.Type<typeof PartFailure> {}

/** @category models @since 0.2.0 */
export const PartFailure = Schema.Struct({
  /** Counting its tokens, or the request itself. */
  stage: Schema.Literals(["count", "map", "reduce"]),
  /** 0 for a chunk; a reduction's is one above that of its parts. */
  level: Schema.Int,
  /** Which of its level it is, from 0. */
  index: Schema.Int,
  range: Range,
  error: ClaudeError.ClaudeError
})

// -----------------------------------------------------------------------------
// reasons
// -----------------------------------------------------------------------------

/** Parts failed: more of them than `onFailure` lets pass, or all. @category reasons @since 0.2.0 */
export class PartsFailed extends Schema.TaggedClass<PartsFailed>("effect-claude/documents/PartsFailed")("PartsFailed", {
  /** All that failed, the one that ended it last. */
  failures: Schema.NonEmptyArray(PartFailure)
}) {}

/** A request that has more tokens than `chunk.tokens`, however little of the document is in it. @category reasons @since 0.2.0 */
export class DoesNotFit extends Schema.TaggedClass<DoesNotFit>("effect-claude/documents/DoesNotFit")("DoesNotFit", {
  stage: Schema.Literals(["map", "reduce"]),
  level: Schema.Int,
  index: Schema.Int,
  range: Range,
  tokens: Schema.Finite,
  limit: Schema.Finite
}) {}

/** There is nothing in the document, or blanks alone. @category reasons @since 0.2.0 */
export class Empty extends Schema.TaggedClass<Empty>("effect-claude/documents/Empty")("Empty", {}) {}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** Why there is no answer about a document. @category errors @since 0.2.0 */
export class LongDocumentError extends Schema.TaggedError<LongDocumentError>()("LongDocumentError", {
  reason: Schema.Union([PartsFailed, DoesNotFit, Empty]),
  /** What happened, with which values, and what to do. */
  message: Schema.String
}) {}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** @internal */
export const partsFailed = (failures: readonly [PartFailure, ...Array<PartFailure>]): LongDocumentError => {
  const last = failures.at(-1) ?? failures[0]
  const count = failures.length === 1 ? "" : `${failures.length} parts failed. `
  return new LongDocumentError({
    reason: new PartsFailed({ failures }),
    message: `${count}${nameOf(last)} failed${last.stage === "count" ? " to be counted" : ""}: ${last.error.message} ` +
      (last.stage === "count" && uncounted.has(last.error.reason._tag)
        ? "Where the platform counts no tokens, give count: LongDocument.countBytes. "
        : "") +
      "What is done need not be asked again: give its parts to the next run as done."
  })
}

/** What platforms say that know nothing of counting. */
const uncounted: ReadonlySet<string> = new Set(["NotFound", "InvalidRequest", "PermissionDenied"])

/** @internal */
export const doesNotFit = (fields: Omit<DoesNotFit, "_tag">): LongDocumentError =>
  new LongDocumentError({
    reason: new DoesNotFit(fields),
    message: `${nameOf(fields)} has ${fields.tokens} input tokens with the least that it can hold; ` +
      `chunk.tokens allows ${fields.limit}. ` + (fields.stage === "map"
        ? "Raise it, or shorten what map adds to the chunk."
        : "Raise it, or let map and reduce answer in fewer tokens (max_tokens).")
  })

/** What a chunk comes to that could not be counted when it was cut. @internal */
export const outgrown = (fields: Omit<DoesNotFit, "_tag">): LongDocumentError =>
  new LongDocumentError({
    reason: new DoesNotFit(fields),
    message: `${nameOf(fields)} has ${fields.tokens} input tokens; chunk.tokens allows ${fields.limit}. ` +
      "Run the document again, with what is done: it is then cut smaller."
  })

/** @internal */
export const empty = (): LongDocumentError =>
  new LongDocumentError({
    reason: new Empty({}),
    message: "There is no text in the document, so nothing to ask about. Check its source."
  })

const nameOf = ({ index, level, range }: Pick<PartFailure, "index" | "level" | "range">): string =>
  `${
    level === 0 ? `Chunk ${index}` : `Reduction ${index} of level ${level}`
  } (bytes ${range.startByte} to ${range.endByte})`
