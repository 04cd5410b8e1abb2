/** Texts of any size: counted parts, mapped and reduced. */
export * as LongDocument from "./LongDocument.ts"
