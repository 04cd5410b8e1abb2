/**
 * Tools that Claude knows by name and version: those that the API runs (search, fetch, code, tool search, advisor) and
 * those that it asks the program to run (bash, text editor, memory, computer, browser).
 *
 * Each is a function of the API's own options, answering a tool for any toolkit. Those that the program runs need a
 * handler like any other tool. What the API runs is read openly: a result of a kind that is newer than these types
 * passes. A version that is newer than this table is `customServed` or `customLocal`.
 */
import type { BetaTool } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Context from "effect/Context"

export * from "./LocalTools.ts"
export type { CustomOptions, ServedFailure } from "./ProviderTool.ts"
export * from "./ServedTools.ts"

/**
 * What the API takes of a tool of your own beside its name, description and parameters, such as a breakpoint:
 * `tool.annotate(ClaudeTool.Definition, { cache_control: { type: "ephemeral" } })`.
 *
 * @category annotations
 * @since 0.2.0
 */
export const Definition: Context.Reference<
  Readonly<Partial<Omit<BetaTool, "name" | "input_schema" | "description" | "type" | "strict">>>
> = Context.Reference("effect-claude/ai/ClaudeTool/Definition", { defaultValue: () => ({}) })
