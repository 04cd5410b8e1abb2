/**
 * Tools that Claude knows and the program runs: bash, text editor, memory, computer, browser.
 *
 * Each needs a handler like any other tool.
 */
import type { BetaBrowserMemberName, BetaComputerMemberName } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type CustomOptions, ran } from "./ProviderTool.ts"
import { display, local, maybe, set, text } from "./ToolArgs.ts"

// -----------------------------------------------------------------------------
// bash
// -----------------------------------------------------------------------------

const bash = Schema.Struct({ command: Schema.optionalKey(text), restart: Schema.optionalKey(Schema.Boolean) })

const shell = { name: "bash", custom: "AnthropicBash", args: Schema.Struct(local), params: bash } as const

/** @category bash @since 0.2.0 */
export const Bash_20241022 = ran({ ...shell, type: "bash_20241022" })
/** @category bash @since 0.2.0 */
export const Bash_20250124 = ran({ ...shell, type: "bash_20250124" })

// -----------------------------------------------------------------------------
// text editor and memory
// -----------------------------------------------------------------------------

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

const edit = { name: "str_replace_based_edit_tool", custom: "AnthropicTextEditor", args: Schema.Struct(local) } as const

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

const memory = Schema.Union([
  ...edits,
  Schema.Struct({ command: Schema.Literal("delete"), path: text }),
  Schema.Struct({ command: Schema.Literal("rename"), old_path: text, new_path: text })
])

/** @category memory @since 0.2.0 */
export const Memory_20250818 = ran({
  type: "memory_20250818",
  name: "memory",
  custom: "AnthropicMemory",
  args: Schema.Struct(local),
  params: memory
})

// -----------------------------------------------------------------------------
// computer and browser
// -----------------------------------------------------------------------------

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

/** An action of a toolset: its name, and what it takes. */
const action = <Name extends string>() =>
  Schema.declare((u): u is { readonly action: Name; readonly [field: string]: unknown } =>
    Predicate.hasProperty(u, "action") && typeof u.action === "string"
  )

const screen = { name: "computer", custom: "AnthropicComputerUse", params: computer } as const

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

/**
 * A tool that the program runs and this table does not have. The betas that it needs go to the model's `betas`.
 *
 * @category constructors
 * @since 0.2.0
 */
export const customLocal = <const Type extends string, const Custom extends string, Params extends Schema.Top>(
  { customName, name, parameters, type }: CustomOptions<Type, Custom> & { readonly parameters: Params }
) => ran({ type, name, custom: customName, args: Schema.Record(Schema.String, Schema.Unknown), params: parameters })
