/**
 * `effect-claude/prompts`: versioned templates outside the code, in files, key-value stores or SQL.
 */

/** What is wrong with a prompt, and in which file and line. */
export * as PromptError from "./PromptError.ts"

/** Prompts that are defined, rendered, reloaded, published and rolled back. */
export * as Prompts from "./Prompts.ts"
