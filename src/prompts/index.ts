/** Prompts outside the code: versioned templates in files, key-value stores or SQL. */
export * as LongDocument from "./LongDocument.ts"

export * as PromptError from "./PromptError.ts"

export * as Prompts from "./Prompts.ts"
