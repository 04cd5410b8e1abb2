/**
 * What of a request the API knows only by a beta, and the header that names them all.
 */
import type { MessageCreateParamsBase } from "@anthropic-ai/sdk/resources/beta/messages/messages"

type Field = keyof MessageCreateParamsBase

/** Of the parameters, those that are a beta's. */
const fields: ReadonlyArray<readonly [Field, string]> = [
  ["mcp_servers", "mcp-client-2025-11-20"],
  ["context_management", "context-management-2025-06-27"],
  ["compaction", "compact-2026-09-04"],
  ["fallbacks", "server-side-fallback-2026-07-01"],
  ["fallback_credit_token", "fallback-credit-2026-07-01"],
  ["thread", "message-threads-2026-08-12"],
  ["billing_policy", "user-profiles-billing-2026-10-01"]
]

/** The betas that these parameters need. @internal */
export const of = (params: { readonly [K in Field]?: MessageCreateParamsBase[K] | undefined }): Array<string> => {
  const betas = fields.filter(([field]) => params[field] != null).map(([, beta]) => beta)
  if (params.output_config?.task_budget != null) betas.push("task-budgets-2026-03-13")
  if (params.context_management?.edits?.some(({ type }) => type === "compact_20260112") === true) {
    betas.push("compact-2026-01-12")
  }
  return betas
}

/** The value of `anthropic-beta`, if there are any. @internal */
export const header = (betas: ReadonlyArray<string>): string | undefined =>
  betas.length === 0 ? undefined : [...new Set(betas)].toSorted().join(",")
