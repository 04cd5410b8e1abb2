/** Guards on the way in and out of a call. */

export * as Guard from "./Guard.ts"

export * as Pii from "./Pii.ts"
