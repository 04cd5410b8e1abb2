/**
 * `effect-claude/files`: files in messages, and the Files API.
 */

/** Images, PDFs and texts as blocks of a message, checked before they are sent. */
export * as Attachment from "./Attachment.ts"

/** Uploads, lists, downloads and deletions. */
export * as Files from "./Files.ts"
