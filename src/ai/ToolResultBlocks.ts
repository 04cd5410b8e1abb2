/**
 * What a tool answered as the block of its result: a text as it is, blocks as they are, and all else as JSON.
 */
import type {
  BetaToolResultBlockParam,
  BetaToolResultContentBlockParam
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import type * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"

/** The block of a result; `toBlocks` makes those of what the tool made for the model. @internal */
export const fromPart = (
  part: Prompt.ToolResultPart,
  toBlocks: (part: Prompt.ToolModelOutputPart) => ReadonlyArray<object>,
  toolset: string | undefined
): BetaToolResultBlockParam => {
  const content = contentOf(part, toBlocks)
  return {
    type: "tool_result",
    tool_use_id: part.id,
    ...(content === undefined ? undefined : { content }),
    ...(part.isFailure ? { is_error: true } : undefined),
    ...(toolset === undefined ? undefined : { toolset_name: toolset })
  }
}

const contentOf = (
  { isFailure, modelOutput, result }: Prompt.ToolResultPart,
  toBlocks: (part: Prompt.ToolModelOutputPart) => ReadonlyArray<object>
): BetaToolResultBlockParam["content"] | undefined => {
  if (modelOutput !== undefined) {
    // Of a user's parts, those that a result takes as well.
    return modelOutput.flatMap(toBlocks) as Array<BetaToolResultContentBlockParam>
  }
  // What a tool made of blocks is them; the check has seen each.
  if (isContent(result)) return result as Array<BetaToolResultContentBlockParam>
  const text = typeof result === "string" ? result : JSON.stringify(result)
  // An error must say something.
  if (text === undefined || text === "") return isFailure ? "The tool failed, and did not say why." : undefined
  return text
}

const isContent = (result: unknown): boolean =>
  Array.isArray(result) && result.length > 0 && result.every((block) =>
    Predicate.hasProperty(block, "type") && (
      block.type === "text" && Predicate.hasProperty(block, "text") && typeof block.text === "string" ||
      (block.type === "image" || block.type === "document") && Predicate.hasProperty(block, "source") &&
        Predicate.hasProperty(block.source, "type") ||
      block.type === "search_result" && Predicate.hasProperty(block, "source") &&
        Predicate.hasProperty(block, "content") ||
      block.type === "tool_reference" && Predicate.hasProperty(block, "tool_name") ||
      block.type === "browser_state" && Predicate.hasProperty(block, "tabs")
    )
  )
