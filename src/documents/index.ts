/**
 * `effect-claude/documents`: texts that are longer than a request.
 */

/** Counted parts of a text of any size, each asked about, and their answers put together. */
export * as LongDocument from "./LongDocument.ts"
