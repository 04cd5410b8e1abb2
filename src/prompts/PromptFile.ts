/**
 * A file of prompts: JSON by its name (`.json`), and else YAML.
 *
 * The surprise: YAML reads `prompt: {{name}}` as a mapping, so a text that begins with a placeholder is quoted, or
 * written as a block with `|`.
 */
import * as Yaml from "effect/encoding/Yaml"
import * as KeyLines from "./KeyLines.ts"
import * as PromptDocument from "./PromptDocument.ts"
import * as PromptFailure from "./PromptFailure.ts"
import type * as Template from "./Template.ts"

/** The prompts of a file; throws a `PromptError`. @internal */
export const parse = (source: string, text: string): ReadonlyArray<PromptDocument.Prompt> => {
  const isJson = /\.json$/i.test(source)
  const document = isJson ? parseJson(source, text) : parseYaml(source, text)
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw PromptFailure.malformed(
      { source },
      `The file is ${kind(document)}; expected a mapping of the names of prompts to their versions.`
    )
  }
  const lineOf = KeyLines.make(text)
  const misread = isJson ? undefined : misreadIn(text)
  return Object.entries(document).map(([name, value]) => {
    const prompt = PromptDocument.fromDocument(name, value, { source, lineOf: (path) => lineOf([name, ...path]) })
    if (misread !== undefined) checkSpelling(prompt, misread, (path) => lineOf([name, ...path]))
    return prompt
  })
}

// -----------------------------------------------------------------------------
// YAML
// -----------------------------------------------------------------------------

const parseYaml = (source: string, text: string): unknown => {
  try {
    return Yaml.parse(text)
  } catch (error) {
    // The parser calls itself for what is nested.
    if (error instanceof RangeError) {
      throw PromptFailure.malformed({ source }, "The file is no YAML: it nests too deep.")
    }
    const [, message, line] = /^(.*?)(?: at line (\d+))?$/s.exec(messageOf(error))!
    const bare = message!.includes("flow") ? bareLine(text) : undefined
    throw PromptFailure.malformed(
      { source, line: line === undefined ? bare : Number(line) },
      `The file is no YAML: ${PromptFailure.cut(message!, 200)}.` +
        (bare === undefined ? "" : " A text that begins with {{ is quoted, or written as a block with |.")
    )
  }
}

/** Where a text begins with a placeholder and no quotation mark. */
const bareLine = (text: string): number | undefined => {
  const line = text.split(/\r\n?|\n/).findIndex((line) => /(?:^|[:-])\s+\{\{/.test(line))
  return line < 0 ? undefined : line + 1
}

/** By how it is read, how something that looks like a key is written, and its line. */
type Misread = ReadonlyMap<string, { readonly written: string; readonly line: number }>

/** What looks like keys that YAML reads as numbers, and spells otherwise: `1.10` is `1.1`. */
const misreadIn = (text: string): Misread => {
  const misread = new Map<string, { readonly written: string; readonly line: number }>()
  for (
    const { 0: { length }, 1: written = "", index } of text.matchAll(/(?:^|[{,])[ \t]*([+.]?\d[\w.+-]*)[ \t]*:(?=\s)/gm)
  ) {
    const read = String(Yaml.parse(written))
    if (read !== written) misread.set(read, { written, line: lineAt(text, index + length) })
  }
  return misread
}

/** Throws where a version is served under another name than its file says. */
const checkSpelling = (
  { name, source, versions, weights }: PromptDocument.Prompt,
  misread: Misread,
  lineOf: (path: Template.Path) => number | undefined
): void => {
  for (const [mapping, keys] of [["versions", versions.keys()], ["weights", new Map(weights).keys()]] as const) {
    for (const version of keys) {
      const key = misread.get(version)
      // Found below its mapping, it is written as it is read.
      if (key === undefined || lineOf([mapping, version]) !== lineOf([mapping])) continue
      throw PromptFailure.malformed(
        { source, prompt: name, line: key.line },
        `YAML reads the key ${key.written} as the number ${version}. Write "${key.written}".`
      )
    }
  }
}

// -----------------------------------------------------------------------------
// JSON
// -----------------------------------------------------------------------------

const parseJson = (source: string, text: string): unknown => {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    const message = messageOf(error)
    const [, line] = /\bline (\d+)/.exec(message) ?? []
    throw PromptFailure.malformed(
      { source, line: line === undefined ? undefined : Number(line) },
      // Node quotes what it could not parse, which may be the text of a prompt.
      `The file is no JSON: ${message.replace(/,? ?"[^]*/, "").trim()}.`
    )
  }
  checkDuplicates(source, text)
  return document
}

/** JSON keeps the last of two members with one name: here that is a mistake, as it is in YAML. */
const checkDuplicates = (source: string, text: string): void => {
  const open: Array<Set<string>> = []
  const marks = /["{}[\]]/g
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    if (mark[0] === "{" || mark[0] === "[") open.push(new Set())
    else if (mark[0] === "}" || mark[0] === "]") open.pop()
    else {
      const end = endOfText(text, mark.index)
      marks.lastIndex = end
      if (!isKey(text, end)) continue
      const key = String(JSON.parse(text.slice(mark.index, end)))
      const keys = open.at(-1)
      if (keys?.has(key) === true) {
        throw PromptFailure.malformed(
          { source, line: lineAt(text, mark.index) },
          `The file has ${PromptFailure.show(key)} twice in one object.`
        )
      }
      keys?.add(key)
    }
  }
}

/** Behind the quotation mark that ends a text. */
const endOfText = (text: string, start: number): number => {
  let at = start + 1
  while (text[at] !== "\"") at += text[at] === "\\" ? 2 : 1
  return at + 1
}

const isKey = (text: string, end: number): boolean => {
  colon.lastIndex = end
  return colon.test(text)
}

const colon = /\s*:/y

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

const lineAt = (text: string, index: number): number => text.slice(0, index).split(/\r\n?|\n/).length

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const kind = (value: unknown): string =>
  value === null || value === undefined ? "empty" : Array.isArray(value) ? "a list" : `a ${typeof value}`
