/**
 * What of a request the API knows only by a beta, and the header that names them all.
 *
 * What a beta has put into an answer needs it again when it goes back, also where the request asks for none of it: the
 * API reads a history by the betas of the request that it comes with.
 */
import type { AnthropicBeta } from "@anthropic-ai/sdk/resources/beta/beta"
import type { BetaMessageParam, MessageCreateParamsBase } from "@anthropic-ai/sdk/resources/beta/messages/messages"

type Field = keyof MessageCreateParamsBase

/** A beta that the SDK knows by name: its type is open to any other. @internal */
export type Known = AnthropicBeta extends infer Beta ? Beta extends string ? string extends Beta ? never : Beta : never
  : never

/** Of the parameters, those that are a beta's. */
const fields: ReadonlyArray<readonly [Field, Known]> = [
  ["mcp_servers", "mcp-client-2025-11-20"],
  ["context_management", "context-management-2025-06-27"],
  ["compaction", "compact-2026-09-04"],
  ["fallbacks", "server-side-fallback-2026-07-01"],
  ["fallback_credit_token", "fallback-credit-2026-07-01"],
  ["thread", "message-threads-2026-08-12"],
  ["billing_policy", "user-profiles-billing-2026-10-01"],
  // Some models need it for any speed, and others do not mind it.
  ["speed", "fast-mode-2026-02-01"]
]

/** Of the blocks of a history, those that are a beta's. */
const blocks: Readonly<Record<string, Known>> = {
  mcp_tool_use: "mcp-client-2025-11-20",
  mcp_tool_result: "mcp-client-2025-11-20",
  mcp_tool_listing: "mcp-client-2026-09-15",
  advisor_tool_result: "advisor-tool-2026-03-01",
  fallback: "server-side-fallback-2026-07-01",
  tool_addition: "mid-conversation-tool-changes-2026-07-01",
  tool_removal: "mid-conversation-tool-changes-2026-07-01"
}

/** The betas that these parameters need. @internal */
export const of = (params: { readonly [K in Field]?: MessageCreateParamsBase[K] | undefined }): Array<Known> => {
  const { context_management, output_config, thinking } = params
  const betas = fields.filter(([field]) => params[field] != null).map(([, beta]) => beta)
  if (output_config?.task_budget != null) betas.push("task-budgets-2026-03-13")
  if (context_management?.edits?.some(({ type }) => type === "compact_20260112") === true) {
    betas.push("compact-2026-01-12")
  }
  if (thinking !== undefined && "display" in thinking && thinking.display === "updates") {
    betas.push("thinking-display-updates-2026-08-18")
  }
  if (thinking !== undefined && "block_binding" in thinking && thinking.block_binding != null) {
    betas.push("thinking-binding-controls-2026-08-01")
  }
  return betas
}

/** The betas that what is sent back needs. @internal */
export const ofMessages = (messages: ReadonlyArray<BetaMessageParam>): Array<Known> => {
  const betas: Array<Known> = []
  for (const { content } of messages) {
    if (typeof content === "string" || content === undefined) continue
    for (const block of content) {
      if (Object.hasOwn(blocks, block.type)) betas.push(blocks[block.type]!)
      // The signed block is that of a request for it; the other, of an edit of the context.
      else if (block.type === "compaction") {
        betas.push(block.signature == null ? "compact-2026-01-12" : "compact-2026-09-04")
      }
      if (block.type === "tool_addition" && block.tool.type === "tool_definition") betas.push("inline-tools-2026-09-15")
    }
  }
  return betas
}

/** The value of `anthropic-beta`, if there are any. @internal */
export const header = (betas: ReadonlyArray<string>): string | undefined =>
  betas.length === 0 ? undefined : [...new Set(betas)].toSorted().join(",")
