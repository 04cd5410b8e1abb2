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

/** The prompts of a file; throws a `PromptError`. @internal */
export const parse = (source: string, text: string): ReadonlyArray<PromptDocument.Prompt> => {
  const plain = text.replace(/^\uFEFF/, "")
  const document = /\.json$/i.test(source) ? parseJson(source, plain) : parseYaml(source, plain)
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw PromptFailure.malformed(
      { source },
      `The file is ${kind(document)}; expected a mapping of the names of prompts to their versions.`
    )
  }
  return Object.entries(document).map(([name, value]) =>
    PromptDocument.fromDocument(name, value, { source, lineOf: (path) => KeyLines.lineOf(plain, [name, ...path]) })
  )
}

// -----------------------------------------------------------------------------
// YAML
// -----------------------------------------------------------------------------

const parseYaml = (source: string, text: string): unknown => {
  try {
    return Yaml.parse(text)
  } catch (error) {
    const [, message, line] = /^(.*?)(?: at line (\d+))?$/s.exec(messageOf(error))!
    const bare = message!.includes("flow") ? bareLine(text) : undefined
    throw PromptFailure.malformed(
      { source, line: line === undefined ? bare : Number(line) },
      `The file is no YAML: ${message}.` +
        (bare === undefined ? "" : " A text that begins with {{ is quoted, or written as a block with |.")
    )
  }
}

/** Where a text begins with a placeholder and no quotation mark. */
const bareLine = (text: string): number | undefined => {
  const line = text.split(/\r\n?|\n/).findIndex((line) => /(?:^|[:-])\s+\{\{/.test(line))
  return line < 0 ? undefined : line + 1
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

/** Of two keys with one name the parser of JSON keeps the latter and says nothing. */
const checkDuplicates = (source: string, text: string): void => {
  const tokens = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[{}[\]]/g
  const open: Array<Set<string>> = []
  for (const { 0: token, 1: quoted, 2: colon, index } of text.matchAll(tokens)) {
    if (token === "{" || token === "[") open.push(new Set())
    else if (token === "}" || token === "]") open.pop()
    else if (quoted !== undefined && colon !== undefined) {
      const key = String(JSON.parse(quoted))
      const keys = open.at(-1)
      if (keys?.has(key) === true) {
        const line = text.slice(0, index).split("\n").length
        throw PromptFailure.malformed({ source, line }, `The file has ${PromptFailure.show(key)} twice in one object.`)
      }
      keys?.add(key)
    }
  }
}

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const kind = (value: unknown): string =>
  value === null || value === undefined ? "empty" : Array.isArray(value) ? "a list" : `a ${typeof value}`
