/** Prompts outside the code: versioned templates in files, key-value stores or SQL. */
export * as PromptError from "./PromptError.ts"

export * as Prompts from "./Prompts.ts"
