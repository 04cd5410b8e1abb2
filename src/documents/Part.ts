/**
 * What a long document is worked on as: chunks of its text, and the parts of the answer; plain data, each by its Schema.
 */
import * as Schema from "effect/Schema"
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
