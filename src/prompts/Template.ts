/**
 * One version of a prompt: a request whose texts have placeholders.
 *
 * It is data, and what it is made of comes from it alone: roles, blocks and parameters are never built from values. A
 * value goes into one text, and where a placeholder stands elsewhere (in a tool, a URL, a role) the template is refused.
 */
import type { MessagesRequest } from "../request/Request.ts"
import * as TemplateText from "./TemplateText.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A place in a template. @internal */
export type Path = ReadonlyArray<string | number>

/** @internal */
export interface Template {
  /** The names that it inserts, and where each stands first. */
  readonly variables: ReadonlyMap<string, Path>
  /** A request of its own for each caller, or the place of a text that these values leave empty. */
  readonly render: (values: ReadonlyMap<string, string>) => MessagesRequest | { readonly empty: Path }
}

/** What is wrong with a template, and where. @internal */
export interface Problem {
  readonly path: Path
  readonly text: string
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** A template of a version that has the form of one. @internal */
export const make = (document: Readonly<Record<string, unknown>>): Template | Problem => {
  const reader = new Reader()
  const { messages, prompt, system, ...rest } = document
  const nodes: ReadonlyArray<readonly [string, Node]> = [
    ...Object.entries(rest).map(([key, value]) => [key, reader.verbatim(value, [key])] as const),
    ...(system === undefined ? [] : [["system", reader.content(system, ["system"])] as const]),
    [
      "messages",
      prompt === undefined
        ? reader.list(messages ?? [], ["messages"], reader.message)
        : { record: [["role", { constant: "user" }], ["content", reader.text(prompt, ["prompt"])]], listed: true }
    ]
  ]
  if (reader.problem !== undefined) return reader.problem
  return {
    variables: reader.variables,
    render: (values) => {
      const filling: Filling = { values, empty: undefined }
      const request = fill({ record: nodes }, filling)
      // The reader has kept the form of a version, and made its prompt a message.
      return filling.empty === undefined ? request as MessagesRequest : { empty: filling.empty }
    }
  }
}

/** @internal */
export const isProblem = (template: Template | Problem): template is Problem => "text" in template

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

type Node =
  | { readonly constant: unknown }
  | { readonly text: TemplateText.TemplateText; readonly path: Path }
  | { readonly list: ReadonlyArray<Node> }
  /** In a list of its own, where it is `listed`. */
  | { readonly record: ReadonlyArray<readonly [string, Node]>; readonly listed?: boolean }

/** Of what is not read. */
const nothing: Node = { constant: undefined }

type Walk = (value: unknown, path: Path) => Node

/** Far more than a prompt has, and few enough for what aliases in YAML can multiply. */
const MAX_NODES = 100_000
const MAX_DEPTH = 100

class Reader {
  readonly variables = new Map<string, Path>()
  /** The first. */
  problem: Problem | undefined
  private nodes = 0

  /** Values may stand in it. */
  readonly text: Walk = (value, path) => {
    const text = this.parse(value, path)
    if (text === undefined) return this.verbatim(value, path)
    if (text.names.length === 0) {
      if (isBlank(text.literals[0]!)) {
        this.fail(path, "It is an empty text, or blank, which the API refuses. Write one, or leave it out.")
      }
      return { constant: text.literals[0] }
    }
    for (const name of text.names) if (!this.variables.has(name)) this.variables.set(name, path)
    return { text, path }
  }

  /** It is what it is; braces are escaped in it as they are in texts. */
  readonly verbatim: Walk = (value, path) => {
    if (Array.isArray(value)) return this.list(value, path, this.verbatim)
    if (typeof value === "object" && value !== null) return this.record(value, path, () => this.verbatim)
    const text = this.parse(value, path)
    if (text === undefined) return { constant: value }
    if (text.names.length > 0) {
      this.fail(
        path,
        `{{${text.names[0]}}} stands where no value may go: values go into the texts of system, prompt and messages. ` +
          "Write \\{{ for two braces that are text."
      )
    }
    return { constant: text.literals[0] }
  }

  readonly list = (value: unknown, path: Path, walk: Walk): Node => {
    if (!Array.isArray(value)) return this.verbatim(value, path)
    if (this.isOver(path)) return nothing
    return { list: value.map((item: unknown, index) => walk(item, [...path, index])) }
  }

  readonly message: Walk = (value, path) =>
    this.record(value, path, (key) => key === "content" ? this.content : this.verbatim)

  /** A text, or a list of blocks. */
  readonly content: Walk = (value, path) =>
    typeof value === "string" ? this.text(value, path) : this.list(value, path, this.block)

  private readonly block: Walk = (value, path) => this.record(value, path, (key, type) => this.blocks[type]?.[key])

  private readonly source: Walk = (value, path) => this.record(value, path, (key, type) => this.sources[type]?.[key])

  /** Which members of a block hold texts, by its type. */
  private readonly blocks: Readonly<Record<string, Readonly<Record<string, Walk>>>> = {
    text: { text: this.text },
    document: { title: this.text, context: this.text, source: this.source },
    search_result: { title: this.text, content: this.content },
    tool_result: { content: this.content }
  }

  private readonly sources: Readonly<Record<string, Readonly<Record<string, Walk>>>> = {
    text: { data: this.text },
    content: { content: this.content }
  }

  private record(value: unknown, path: Path, walkOf: (key: string, type: string) => Walk | undefined): Node {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return this.verbatim(value, path)
    if (this.isOver(path)) return nothing
    const type = "type" in value && typeof value.type === "string" ? value.type : ""
    const entries = Object.entries(value)
    return {
      record: entries.map(([key, member]) => [key, (walkOf(key, type) ?? this.verbatim)(member, [...path, key])])
    }
  }

  private parse(value: unknown, path: Path): TemplateText.TemplateText | undefined {
    if (this.isOver(path) || typeof value !== "string") return undefined
    const text = TemplateText.parse(value)
    if (text instanceof TemplateText.TemplateText) return text
    this.fail(path, text.problem)
    return undefined
  }

  /** Counts a place; of one that is wrong, or larger than it may be, nothing more is read. */
  private isOver(path: Path): boolean {
    this.nodes++
    if (this.nodes > MAX_NODES || path.length > MAX_DEPTH) {
      this.fail(path, `The template has more than ${MAX_NODES} values, or nests deeper than ${MAX_DEPTH}.`)
    }
    return this.problem !== undefined
  }

  private fail(path: Path, text: string): void {
    this.problem ??= { path, text }
  }
}

// -----------------------------------------------------------------------------
// filling
// -----------------------------------------------------------------------------

interface Filling {
  readonly values: ReadonlyMap<string, string>
  empty: Path | undefined
}

const isBlank = (text: string): boolean => !/\S/.test(text)

/** Everything anew, so that whoever changes a request changes no other. */
const fill = (node: Node, filling: Filling): unknown => {
  if ("constant" in node) return node.constant
  if ("text" in node) {
    const text = node.text.insert(filling.values)
    if (isBlank(text)) filling.empty ??= node.path
    return text
  }
  if ("list" in node) return node.list.map((item) => fill(item, filling))
  // Not by assignment, to which some names mean something.
  const record = Object.fromEntries(node.record.map(([key, member]) => [key, fill(member, filling)]))
  return node.listed === true ? [record] : record
}
