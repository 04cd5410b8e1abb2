/**
 * Tools that Claude knows by name and version: those that the API runs (search, fetch, code, tool search, advisor) and
 * those that it asks the program to run (bash, text editor, memory, computer, browser).
 *
 * Each is a function of the API's own options, answering a tool for any toolkit. Those that the program runs need a
 * handler like any other tool. What the API runs is read openly: a result of a kind that is newer than these types
 * passes. A version that is newer than this table is `customServed` or `customLocal`.
 */
import type {
  BetaAdvisorRedactedResultBlock,
  BetaAdvisorResultBlock,
  BetaBashCodeExecutionResultBlock,
  BetaBrowserMemberName,
  BetaCodeExecutionResultBlock,
  BetaComputerMemberName,
  BetaEncryptedCodeExecutionResultBlock,
  BetaTextEditorCodeExecutionCreateResultBlock,
  BetaTextEditorCodeExecutionStrReplaceResultBlock,
  BetaTextEditorCodeExecutionViewResultBlock,
  BetaTool,
  BetaToolResultContentBlockParam,
  BetaToolSearchToolSearchResultBlock,
  BetaToolUnion,
  BetaWebFetchBlock,
  BetaWebSearchResultBlock
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// options of the API
// -----------------------------------------------------------------------------

const CacheControl = Schema.Struct({
  type: Schema.Literal("ephemeral"),
  ttl: Schema.optionalKey(Schema.Literals(["5m", "1h"]))
})

const text = Schema.String
const texts = Schema.Array(Schema.String)
const maybe = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What every tool takes. */
const common = {
  allowed_callers: Schema.optionalKey(
    Schema.Array(
      Schema.Literals(["direct", "code_execution_20250825", "code_execution_20260120", "code_execution_20260521"])
    )
  ),
  cache_control: maybe(CacheControl),
  defer_loading: Schema.optionalKey(Schema.Boolean),
  strict: Schema.optionalKey(Schema.Boolean)
}

/** What tools take that the program runs. */
const local = {
  ...common,
  input_examples: Schema.optionalKey(Schema.Array(Schema.Record(Schema.String, Schema.Unknown)))
}

const domains = { ...common, allowed_domains: maybe(texts), blocked_domains: maybe(texts), max_uses: maybe(Schema.Int) }

const inclusion = { response_inclusion: Schema.optionalKey(Schema.Literals(["full", "excluded"])) }

const search = {
  ...domains,
  user_location: maybe(
    Schema.Struct({
      type: Schema.Literal("approximate"),
      city: maybe(text),
      country: maybe(text),
      region: maybe(text),
      timezone: maybe(text)
    })
  )
}

const some = [Schema.Struct({ type: Schema.Literal("all") }), Schema.Struct({ type: Schema.Literal("none") })] as const
const those = Schema.Array(Schema.Struct({ type: Schema.Literal("tool_reference"), name: text }))
const ofTools = Schema.optionalKey(
  Schema.Union([
    ...some,
    Schema.Struct({ type: Schema.Literal("only"), tools: those }),
    Schema.Struct({ type: Schema.Literal("except"), tools: those })
  ])
)

const fetched = {
  ...domains,
  url_sources: maybe(
    Schema.Struct({
      user_input: Schema.optionalKey(Schema.Union(some)),
      client_tool_results: ofTools,
      server_tool_results: ofTools
    })
  ),
  citations: maybe(Schema.Struct({ enabled: Schema.optionalKey(Schema.Boolean) })),
  max_content_tokens: maybe(Schema.Int)
}

const display = {
  ...local,
  display_height_px: Schema.Int,
  display_width_px: Schema.Int,
  display_number: maybe(Schema.Int)
}

const set = {
  cache_control: maybe(CacheControl),
  configs: maybe(Schema.Record(Schema.String, Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))))
}

// -----------------------------------------------------------------------------
// parameters of those that the program runs
// -----------------------------------------------------------------------------

const bash = Schema.Struct({ command: Schema.optionalKey(text), restart: Schema.optionalKey(Schema.Boolean) })

const range = Schema.optionalKey(Schema.Array(Schema.Int))

const edits = [
  Schema.Struct({ command: Schema.Literal("view"), path: text, view_range: range }),
  Schema.Struct({ command: Schema.Literal("create"), path: text, file_text: text }),
  Schema.Struct({
    command: Schema.Literal("str_replace"),
    path: text,
    old_str: text,
    new_str: Schema.optionalKey(text)
  }),
  Schema.Struct({
    command: Schema.Literal("insert"),
    path: text,
    insert_line: Schema.Int,
    // Which of them it is depends on the version.
    insert_text: Schema.optionalKey(text),
    new_str: Schema.optionalKey(text)
  })
] as const

const editor = Schema.Union(edits)
const undoing = Schema.Union([...edits, Schema.Struct({ command: Schema.Literal("undo_edit"), path: text })])

const memory = Schema.Union([
  ...edits,
  Schema.Struct({ command: Schema.Literal("delete"), path: text }),
  Schema.Struct({ command: Schema.Literal("rename"), old_path: text, new_path: text })
])

const point = Schema.optionalKey(Schema.Array(Schema.Finite))

const computer = Schema.Struct({
  action: text,
  coordinate: point,
  start_coordinate: point,
  region: point,
  text: Schema.optionalKey(text),
  duration: Schema.optionalKey(Schema.Finite),
  scroll_amount: Schema.optionalKey(Schema.Finite),
  scroll_direction: Schema.optionalKey(text)
})

/** Typed as far as it is known, and open: what the API adds is handed on. */
const open = <A>(): Schema.declare<A> => Schema.declare((_u): _u is A => true)

/** An action of a toolset: its name, and what it takes. */
const action = <Name extends string>() =>
  Schema.declare((u): u is { readonly action: Name; readonly [field: string]: unknown } =>
    Predicate.hasProperty(u, "action") && typeof u.action === "string"
  )

/** What a handler answers: a text, or blocks, such as a screenshot. */
const Content = Schema.Union([
  Schema.String,
  Schema.Array(
    Schema.declare((u): u is BetaToolResultContentBlockParam => Predicate.hasProperty(u, "type"))
  )
])

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

interface Entry<Type extends string, Custom extends string, Args extends Schema.Top> {
  readonly type: Type
  readonly name: string
  readonly custom: Custom
  readonly args: Args
}

/** A tool that the program runs. */
const ran = <
  const Type extends string,
  const Custom extends string,
  Args extends Schema.Top,
  Params extends Schema.Top
>(
  entry: Entry<Type, Custom, Args> & { readonly params: Params }
) =>
  Tool.providerDefined({
    id: `anthropic.${entry.type}`,
    customName: entry.custom,
    providerName: entry.name,
    args: entry.args,
    parameters: entry.params,
    success: Content,
    failure: Schema.String,
    requiresHandler: true
  })

/** A tool that the API runs, whose failures are results as any other. */
const served = <Params, Success>() =>
<const Type extends string, const Custom extends string, Args extends Schema.Top>(
  entry: Entry<Type, Custom, Args>
) => {
  const make = Tool.providerDefined({
    id: `anthropic.${entry.type}`,
    customName: entry.custom,
    providerName: entry.name,
    args: entry.args,
    parameters: open<Params>(),
    success: open<Success>(),
    failure: open<ServedFailure>()
  })
  type Config = {
    readonly args: Args
    readonly parameters: Schema.declare<Params>
    readonly success: Schema.declare<Success>
    readonly failure: Schema.declare<ServedFailure>
    readonly failureMode: "return"
  }
  return (args: Args["Encoded"]): Tool.ProviderDefined<`anthropic.${Type}`, Custom, Config> =>
    // The mode is read from the options, where their type has it for tools with handlers only.
    make(Object.assign({}, args, { failureMode: "return" }) as never) as never
}

/** How a tool that the API runs says that it failed. @category models @since 0.2.0 */
export interface ServedFailure {
  readonly type: string
  readonly error_code: string
}

const searches = served<{ readonly query: string }, ReadonlyArray<BetaWebSearchResultBlock>>()
const fetches = served<{ readonly url: string }, BetaWebFetchBlock>()
const finds = <Params>() => served<Params, BetaToolSearchToolSearchResultBlock>()
const advises = served<object, BetaAdvisorResultBlock | BetaAdvisorRedactedResultBlock>()
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

const webSearch = { name: "web_search", custom: "AnthropicWebSearch" } as const
const webFetch = { name: "web_fetch", custom: "AnthropicWebFetch" } as const
const code = { name: "code_execution", custom: "AnthropicCodeExecution", args: Schema.Struct(common) } as const
const shell = { name: "bash", custom: "AnthropicBash", args: Schema.Struct(local), params: bash } as const
const edit = { name: "str_replace_based_edit_tool", custom: "AnthropicTextEditor", args: Schema.Struct(local) } as const
const screen = { name: "computer", custom: "AnthropicComputerUse", params: computer } as const

// -----------------------------------------------------------------------------
// run by the API
// -----------------------------------------------------------------------------

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

/** @category code @since 0.2.0 */
export const CodeExecution_20250522 = executes({ ...code, type: "code_execution_20250522" })
/** @category code @since 0.2.0 */
export const CodeExecution_20250825 = executes({ ...code, type: "code_execution_20250825" })
/** @category code @since 0.2.0 */
export const CodeExecution_20260120 = executes({ ...code, type: "code_execution_20260120" })
/** @category code @since 0.2.0 */
export const CodeExecution_20260521 = executes({ ...code, type: "code_execution_20260521" })

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
// run by the program
// -----------------------------------------------------------------------------

/** @category bash @since 0.2.0 */
export const Bash_20241022 = ran({ ...shell, type: "bash_20241022" })
/** @category bash @since 0.2.0 */
export const Bash_20250124 = ran({ ...shell, type: "bash_20250124" })

/** @category text editor @since 0.2.0 */
export const TextEditor_20241022 = ran({
  ...edit,
  type: "text_editor_20241022",
  name: "str_replace_editor",
  params: undoing
})
/** @category text editor @since 0.2.0 */
export const TextEditor_20250124 = ran({
  ...edit,
  type: "text_editor_20250124",
  name: "str_replace_editor",
  params: undoing
})
/** @category text editor @since 0.2.0 */
export const TextEditor_20250429 = ran({ ...edit, type: "text_editor_20250429", params: editor })
/** @category text editor @since 0.2.0 */
export const TextEditor_20250728 = ran({
  ...edit,
  type: "text_editor_20250728",
  args: Schema.Struct({ ...local, max_characters: maybe(Schema.Int) }),
  params: editor
})

/** @category memory @since 0.2.0 */
export const Memory_20250818 = ran({
  type: "memory_20250818",
  name: "memory",
  custom: "AnthropicMemory",
  args: Schema.Struct(local),
  params: memory
})

/** @category computer @since 0.2.0 */
export const ComputerUse_20241022 = ran({ ...screen, type: "computer_20241022", args: Schema.Struct(display) })
/** @category computer @since 0.2.0 */
export const ComputerUse_20250124 = ran({ ...screen, type: "computer_20250124", args: Schema.Struct(display) })
/** @category computer @since 0.2.0 */
export const ComputerUse_20251124 = ran({
  ...screen,
  type: "computer_20251124",
  args: Schema.Struct({ ...display, enable_zoom: Schema.optionalKey(Schema.Boolean) })
})
/** Its calls come one for each action: they are one tool here, and `action` says which. @category computer @since 0.2.0 */
export const ComputerToolset_20260801 = ran({
  type: "computer_toolset_20260801",
  name: "computer",
  custom: "AnthropicComputer",
  args: Schema.Struct(set),
  params: action<BetaComputerMemberName>()
})
/** Its calls come one for each action: they are one tool here, and `action` says which. @category browser @since 0.2.0 */
export const BrowserToolset_20260801 = ran({
  type: "browser_toolset_20260801",
  name: "browser",
  custom: "AnthropicBrowser",
  args: Schema.Struct(set),
  params: action<BetaBrowserMemberName>()
})

// -----------------------------------------------------------------------------
// newer ones
// -----------------------------------------------------------------------------

/** A tool that this table does not have, as the API and the toolkit name it. @category models @since 0.2.0 */
export interface CustomOptions<Type extends string, Custom extends string> {
  /** Its type on the wire, such as `web_search_20270101`. */
  readonly type: Type
  /** What the API calls it. */
  readonly name: string
  /** What the toolkit calls it. */
  readonly customName: Custom
}

const options = Schema.Record(Schema.String, Schema.Unknown)

/**
 * A tool that the API runs and this table does not have. The betas that it needs go to the model's `betas`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const customServed = <const Type extends string, const Custom extends string>(
  { customName, name, type }: CustomOptions<Type, Custom>
) => served<unknown, unknown>()({ type, name, custom: customName, args: options })

/**
 * A tool that the program runs and this table does not have. The betas that it needs go to the model's `betas`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const customLocal = <const Type extends string, const Custom extends string, Params extends Schema.Top>(
  { customName, name, parameters, type }: CustomOptions<Type, Custom> & { readonly parameters: Params }
) => ran({ type, name, custom: customName, args: options, params: parameters })

// -----------------------------------------------------------------------------
// annotations
// -----------------------------------------------------------------------------

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

// -----------------------------------------------------------------------------
// on the wire
// -----------------------------------------------------------------------------

const PREFIX = "anthropic."

/** Those that the API knows by type alone. */
const unnamed = new Set(["computer_toolset_20260801", "browser_toolset_20260801"])

/** What the API knows only by a beta. */
const betas: Readonly<Record<string, string>> = {
  bash_20241022: "computer-use-2024-10-22",
  text_editor_20241022: "computer-use-2024-10-22",
  computer_20241022: "computer-use-2024-10-22",
  computer_20250124: "computer-use-2025-01-24",
  computer_20251124: "computer-use-2025-11-24",
  advisor_20260301: "advisor-tool-2026-03-01"
}

/** A provider's tool as the API takes it, or nothing where it is another provider's. @internal */
export const onWire = (tool: Tool.AnyProviderDefined): BetaToolUnion | undefined => {
  if (!tool.id.startsWith(PREFIX)) return undefined
  const type = tool.id.slice(PREFIX.length)
  const { failureMode: _, ...args } = (tool.args ?? {}) as Readonly<Record<string, unknown>>
  // Of the table's schemas, which are the API's; of a custom tool, what its author knows.
  return { type, ...(unnamed.has(type) ? undefined : { name: tool.providerName }), ...args } as unknown as BetaToolUnion
}

/** The beta that a tool needs. @internal */
export const betaOf = (tool: Tool.AnyProviderDefined): string | undefined => betas[tool.id.slice(PREFIX.length)]
