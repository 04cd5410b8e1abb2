/**
 * `effect-claude/guards`: checks and redaction on the way in and out of a call.
 */

/** Guards of a request, of an answer, of a stream, and of all calls of a program. */
export * as Guard from "./Guard.ts"

/** Personal data and keys in a text: found, taken out, put back. */
export * as Pii from "./Pii.ts"
