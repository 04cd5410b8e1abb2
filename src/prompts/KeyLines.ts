/**
 * In which line of a file a key stands: found by indentation, for messages only.
 *
 * The parser of YAML tells lines of what it cannot parse, and none of what it can. This finds the keys of block style
 * and of JSON as it is usually printed; of what is written in one line, it finds where that line is.
 */

/** Of a text, the line of a key, or of the nearest key above it; from 1. @internal */
export const make = (text: string): (path: ReadonlyArray<PropertyKey>) => number | undefined => {
  // Split by who asks first: most files have no mistake.
  let lines: ReadonlyArray<Line> | undefined
  return (path) => lineOf(lines ??= text.split(/\r\n?|\n/).map(readLine), path)
}

const lineOf = (lines: ReadonlyArray<Line>, path: ReadonlyArray<PropertyKey>): number | undefined => {
  let at = { index: -1, column: -1 }
  let found: number | undefined
  for (const part of path) {
    const next = childOf(lines, at, part)
    if (next === undefined) break
    at = next
    found = next.index + 1
  }
  return found
}

interface Line {
  readonly indent: number
  readonly content: string
}

/** A key in a line; an entry of a list may begin a mapping in the same line, further right. */
interface Place {
  readonly index: number
  readonly column: number
}

const readLine = (raw: string): Line => {
  const content = raw.trimStart()
  return { indent: raw.length - content.length, content: content.startsWith("#") ? "" : content.trimEnd() }
}

const childOf = (lines: ReadonlyArray<Line>, parent: Place, part: PropertyKey): Place | undefined => {
  const isEntry = typeof part === "number"
  const spellings = isEntry ? [] : spellingsOf(String(part))
  let column: number | undefined
  let entries = -1
  const look = (index: number, at: number, content: string): Place | undefined => {
    if (isEntry) {
      return content === "-" || content.startsWith("- ")
        ? (++entries === part ? place(index, at) : undefined)
        : undefined
    }
    return isKey(content, spellings) ? place(index, at) : undefined
  }
  const place = (index: number, column: number): Place => ({ index, column })
  const first = lines[parent.index]
  if (
    first !== undefined && parent.column >= first.indent && first.content.startsWith("-", parent.column - first.indent)
  ) {
    // `- role: user`: the mapping begins behind the dash.
    const behind = first.content.slice(parent.column - first.indent + 1)
    const content = behind.trimStart()
    if (content !== "") {
      column = parent.column + 1 + behind.length - content.length
      const found = look(parent.index, column, content)
      if (found !== undefined) return found
    }
  }
  for (let index = parent.index + 1; index < lines.length; index++) {
    const { content, indent } = lines[index]!
    if (content === "" || content === "---" || (parent.index < 0 && content === "{")) continue
    // A list may stand as far left as its key.
    if (indent < parent.column || (indent === parent.column && !(isEntry && content.startsWith("-")))) return undefined
    column ??= indent
    if (indent !== column) continue
    const found = look(index, indent, content)
    if (found !== undefined) return found
  }
  return undefined
}

const spellingsOf = (key: string) => [key, JSON.stringify(key), `'${key.replaceAll("'", "''")}'`]

const isKey = (content: string, spellings: ReadonlyArray<string>): boolean =>
  spellings.some((written) => content.startsWith(written) && /^\s*:(?:\s|$)/.test(content.slice(written.length)))
