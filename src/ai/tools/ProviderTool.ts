/**
 * A tool that Claude knows by type: as one of effect/ai's, and as the API takes it.
 */
import type { BetaToolResultContentBlockParam, BetaToolUnion } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Tool from "effect/ai/Tool"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Betas from "../Betas.ts"

// -----------------------------------------------------------------------------
// models
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

// -----------------------------------------------------------------------------
// schemas
// -----------------------------------------------------------------------------

/** Typed as far as it is known, and open: what the API adds is handed on. */
const open = <A>(): Schema.declare<A> => Schema.declare((_u): _u is A => true)

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

/** A tool that the program runs. @internal */
export const ran = <
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

/** A tool that the API runs, whose failures are results as any other. @internal */
export const served =
  <Params, Success>() =>
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

// -----------------------------------------------------------------------------
// on the wire
// -----------------------------------------------------------------------------

const PREFIX = "anthropic."

/** Those that the API knows by type alone. */
const unnamed = new Set(["computer_toolset_20260801", "browser_toolset_20260801"])

/** What the API knows only by a beta. */
const betas: Readonly<Record<string, Betas.Known>> = {
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
export const betaOf = (tool: Tool.AnyProviderDefined): Betas.Known | undefined => {
  const type = tool.id.slice(PREFIX.length)
  return Object.hasOwn(betas, type) ? betas[type] : undefined
}
