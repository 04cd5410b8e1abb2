/**
 * The longest valid prefix of a JSON text that was cut off, as a value: what is complete stays, the rest goes.
 *
 * A string, a number or a word that runs into the cut is dropped, with its key. Text that is not JSON is not repaired.
 */

/** Parses JSON that may end early; throws `SyntaxError` where it is wrong rather than cut. @internal */
export const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return JSON.parse(complete(text))
  }
}

/** The text up to its last complete value, with what is open closed. */
const complete = (text: string): string => {
  const open: Array<"}" | "]"> = []
  // Where the text may be cut: after a value, or after a bracket.
  let cut = 0
  let expectsKey = false
  const keep = (end: number) => {
    cut = end
  }
  for (let at = 0; at < text.length;) {
    const char = text[at]!
    if (char === "{" || char === "[") {
      open.push(char === "{" ? "}" : "]")
      expectsKey = char === "{"
      keep(++at)
    } else if (char === "}" || char === "]") {
      if (open.pop() !== char) return text
      expectsKey = false
      keep(++at)
    } else if (char === ",") {
      expectsKey = open.at(-1) === "}"
      at++
    } else if (char === ":") {
      expectsKey = false
      at++
    } else if (char === "\"") {
      const end = endOfString(text, at)
      if (end === -1) break
      if (!expectsKey) keep(end)
      at = end
    } else if (/\s/.test(char)) {
      at++
    } else {
      const end = at + /^[^\s,:{}[\]"]*/.exec(text.slice(at))![0].length
      // A number may go on past the cut, so only what something else ends is known to be whole.
      if (end === text.length && !/^(true|false|null)$/.test(text.slice(at))) break
      keep(end)
      at = end
    }
  }
  // Whatever opens or closes is kept, so what is open at the end is what is open at the cut.
  return text.slice(0, cut) + open.toReversed().join("")
}

const endOfString = (text: string, start: number): number => {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === "\\") at++
    else if (text[at] === "\"") return at + 1
  }
  return -1
}
