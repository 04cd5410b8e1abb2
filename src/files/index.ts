/** Files in messages, and the Files API. */

export * as Attachment from "./Attachment.ts"

export * as Files from "./Files.ts"
