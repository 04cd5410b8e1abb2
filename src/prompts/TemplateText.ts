/**
 * A text with placeholders, `{{name}}`: read once, and filled in one pass, so what is inserted is never read again.
 *
 * A backslash before two braces takes their meaning from them: `\{{name}}` is the text `{{name}}`, and `\\{{name}}` a
 * backslash and a value. Braces that stand alone are themselves. There is nothing else: no code, no conditions.
 */

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A name between each two literals. @internal */
export class TemplateText {
  readonly literals: ReadonlyArray<string>
  readonly names: ReadonlyArray<string>

  constructor(literals: ReadonlyArray<string>, names: ReadonlyArray<string>) {
    this.literals = literals
    this.names = names
  }

  /** What was left out is an empty text. */
  insert(values: ReadonlyMap<string, string>): string {
    const { literals, names } = this
    let text = literals[0]!
    for (let index = 0; index < names.length; index++) {
      text += (values.get(names[index]!) ?? "") + literals[index + 1]!
    }
    return text
  }
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** A text with its placeholders, or what is wrong with it. @internal */
export const parse = (text: string): TemplateText | { readonly problem: string } => {
  const literals: Array<string> = []
  const names: Array<string> = []
  let literal = ""
  let from = 0
  while (true) {
    const open = text.indexOf("{{", from)
    if (open < 0) break
    let backslashes = 0
    while (open - backslashes > from && text[open - backslashes - 1] === "\\") backslashes++
    literal += text.slice(from, open - backslashes) + "\\".repeat(backslashes >> 1)
    if (backslashes % 2 === 1) {
      // This brace is text; the next may begin a placeholder with the one after it.
      literal += "{"
      from = open + 1
      continue
    }
    placeholder.lastIndex = open
    const match = placeholder.exec(text)
    if (match === null) return { problem: problemAt(text, open) }
    literals.push(literal)
    names.push(match[1]!)
    literal = ""
    from = placeholder.lastIndex
  }
  literals.push(literal + text.slice(from))
  return new TemplateText(literals, names)
}

/** Whether a template can insert a variable of this name. @internal */
export const isName = (name: string): boolean => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)

const placeholder = /\{\{[ \t]*([\p{L}_][\p{L}\p{N}_]*)[ \t]*\}\}/uy

const problemAt = (text: string, open: number): string => {
  const line = text.slice(0, open).split("\n").length
  // What looks like a name is told; anything else may be the text of the prompt.
  const [, token] = /^\{\{([^{}\n]{0,40})\}\}/.exec(text.slice(open, open + 50)) ?? []
  const what = token === undefined ? "{{" : `{{${token}}}`
  return `${what} in line ${line} of the text is no placeholder: between {{ and }} stands a name of letters, digits and _. ` +
    "Write \\{{ for two braces that are text."
}
