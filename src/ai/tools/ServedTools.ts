/**
 * Tools that the API runs: web search and fetch, code execution, tool search, advisor.
 *
 * They are read openly: a result of a kind that is newer than these types passes.
 */
import type {
  BetaAdvisorRedactedResultBlock,
  BetaAdvisorResultBlock,
  BetaBashCodeExecutionResultBlock,
  BetaCodeExecutionResultBlock,
  BetaEncryptedCodeExecutionResultBlock,
  BetaTextEditorCodeExecutionCreateResultBlock,
  BetaTextEditorCodeExecutionStrReplaceResultBlock,
  BetaTextEditorCodeExecutionViewResultBlock,
  BetaToolSearchToolSearchResultBlock,
  BetaWebFetchBlock,
  BetaWebSearchResultBlock
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Schema from "effect/Schema"
import { type CustomOptions, served } from "./ProviderTool.ts"
import { CacheControl, common, fetched, inclusion, maybe, search, text } from "./ToolArgs.ts"

// -----------------------------------------------------------------------------
// web
// -----------------------------------------------------------------------------

const searches = served<{ readonly query: string }, ReadonlyArray<BetaWebSearchResultBlock>>()
const fetches = served<{ readonly url: string }, BetaWebFetchBlock>()

const webSearch = { name: "web_search", custom: "AnthropicWebSearch" } as const
const webFetch = { name: "web_fetch", custom: "AnthropicWebFetch" } as const

/** @category web @since 0.2.0 */
export const WebSearch_20250305 = searches({ ...webSearch, type: "web_search_20250305", args: Schema.Struct(search) })
/** @category web @since 0.2.0 */
export const WebSearch_20260209 = searches({ ...webSearch, type: "web_search_20260209", args: Schema.Struct(search) })
/** @category web @since 0.2.0 */
export const WebSearch_20260318 = searches({
  ...webSearch,
  type: "web_search_20260318",
  args: Schema.Struct({ ...search, ...inclusion })
})

/** @category web @since 0.2.0 */
export const WebFetch_20250910 = fetches({ ...webFetch, type: "web_fetch_20250910", args: Schema.Struct(fetched) })
/** @category web @since 0.2.0 */
export const WebFetch_20260209 = fetches({ ...webFetch, type: "web_fetch_20260209", args: Schema.Struct(fetched) })
const cached = { ...fetched, use_cache: Schema.optionalKey(Schema.Boolean) }
/** @category web @since 0.2.0 */
export const WebFetch_20260309 = fetches({ ...webFetch, type: "web_fetch_20260309", args: Schema.Struct(cached) })
/** @category web @since 0.2.0 */
export const WebFetch_20260318 = fetches({
  ...webFetch,
  type: "web_fetch_20260318",
  args: Schema.Struct({ ...cached, ...inclusion })
})

// -----------------------------------------------------------------------------
// code
// -----------------------------------------------------------------------------

const executes = served<
  | { readonly code: string }
  | { readonly type: "bash_code_execution"; readonly command: string }
  | { readonly type: "text_editor_code_execution"; readonly command: string; readonly path: string },
  | BetaCodeExecutionResultBlock
  | BetaEncryptedCodeExecutionResultBlock
  | BetaBashCodeExecutionResultBlock
  | BetaTextEditorCodeExecutionCreateResultBlock
  | BetaTextEditorCodeExecutionStrReplaceResultBlock
  | BetaTextEditorCodeExecutionViewResultBlock
>()

const code = { name: "code_execution", custom: "AnthropicCodeExecution", args: Schema.Struct(common) } as const

/** @category code @since 0.2.0 */
export const CodeExecution_20250522 = executes({ ...code, type: "code_execution_20250522" })
/** @category code @since 0.2.0 */
export const CodeExecution_20250825 = executes({ ...code, type: "code_execution_20250825" })
/** @category code @since 0.2.0 */
export const CodeExecution_20260120 = executes({ ...code, type: "code_execution_20260120" })
/** @category code @since 0.2.0 */
export const CodeExecution_20260521 = executes({ ...code, type: "code_execution_20260521" })

// -----------------------------------------------------------------------------
// other tools and models
// -----------------------------------------------------------------------------

const finds = <Params>() => served<Params, BetaToolSearchToolSearchResultBlock>()
const advises = served<object, BetaAdvisorResultBlock | BetaAdvisorRedactedResultBlock>()

/** @category tool search @since 0.2.0 */
export const ToolSearchRegex_20251119 = finds<{ readonly pattern: string; readonly limit?: number }>()({
  type: "tool_search_tool_regex_20251119",
  name: "tool_search_tool_regex",
  custom: "AnthropicToolSearchRegex",
  args: Schema.Struct(common)
})
/** @category tool search @since 0.2.0 */
export const ToolSearchBM25_20251119 = finds<{ readonly query: string; readonly limit?: number }>()({
  type: "tool_search_tool_bm25_20251119",
  name: "tool_search_tool_bm25",
  custom: "AnthropicToolSearchBM25",
  args: Schema.Struct(common)
})

/** Another model, asked for advice. @category advisor @since 0.2.0 */
export const Advisor_20260301 = advises({
  type: "advisor_20260301",
  name: "advisor",
  custom: "AnthropicAdvisor",
  args: Schema.Struct({
    ...common,
    model: text,
    caching: maybe(CacheControl),
    max_tokens: maybe(Schema.Int),
    max_uses: maybe(Schema.Int)
  })
})

// -----------------------------------------------------------------------------
// newer ones
// -----------------------------------------------------------------------------

/**
 * A tool that the API runs and this table does not have. The betas that it needs go to the model's `betas`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const customServed = <const Type extends string, const Custom extends string>(
  { customName, name, type }: CustomOptions<Type, Custom>
) => served<unknown, unknown>()({ type, name, custom: customName, args: Schema.Record(Schema.String, Schema.Unknown) })
