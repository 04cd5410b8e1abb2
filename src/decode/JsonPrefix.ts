/**
 * JSON that is still arriving, read once: what of it is complete, and the values that are open around its end.
 *
 * Only the last element of the last element and so on can be open, so a prefix is a chain of open values, each with
 * its complete children. A number is never open text, since a part of it would be another number. What is no JSON
 * stops the reading; it is for the reader of the whole to say so.
 */

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A string that goes on. @internal */
export interface OpenText {
  readonly _tag: "Text"
  text: string
  /** The first half of a character, where only that has come of it. */
  half: string
}

/** A list that goes on, and its element that does. @internal */
export interface OpenList {
  readonly _tag: "List"
  readonly items: Array<unknown>
  open: Open | undefined
}

/** An object that goes on, and its property that does. @internal */
export interface OpenObject {
  readonly _tag: "Object"
  readonly entries: Array<readonly [key: string, value: unknown]>
  key: string | undefined
  open: Open | undefined
}

/** A value whose end has not come. @internal */
export type Open = OpenText | OpenList | OpenObject

type Expected = "value" | "firstItem" | "key" | "firstKey" | "colon" | "next" | "text" | "word" | "nothing"

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

const blank = /[ \t\n\r]*/y
const plain = /[^"\\]*/y
const control = /[^ -\uffff]/
const bare = /[^\s,:{}[\]"]*/y

const escapes: Readonly<Record<string, string>> = {
  "\"": "\"",
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t"
}

/** No number needs more: what goes on for longer would be read again with each piece. */
const LONGEST_WORD = 1000

/** @internal */
export class JsonPrefix {
  /** The outermost value, as long as it is open. */
  root: Open | undefined
  /** It is no JSON, and nothing that comes is read. */
  isBroken = false

  private expected: Expected = "value"
  /** Lists and objects that are open, outermost first. */
  private readonly parents: Array<OpenList | OpenObject> = []
  private text: OpenText | undefined
  private isKey = false
  /** A text with a control character is no JSON, which shows when it is whole. */
  private hasControl = false
  /** What cannot be read before more of it comes: an escape, or a number. */
  private rest = ""

  /** Takes what has come; its cost is of that alone. */
  add(more: string): void {
    const json = this.rest + more
    this.rest = ""
    let at = 0
    while (at < json.length && !this.isBroken) at = this.step(json, at)
  }

  private step(json: string, at: number): number {
    if (this.expected === "text") return this.inText(json, at)
    if (this.expected === "word") return this.inWord(json, at)
    const start = skip(blank, json, at)
    if (start > at) return start
    const char = json[at]!
    const parent = this.parents.at(-1)
    switch (this.expected) {
      case "key":
      case "firstKey":
        if (char === "\"") return this.beginText(at, true)
        return char === "}" && this.expected === "firstKey" ? this.close(at) : this.broken(at)
      case "colon":
        if (char !== ":") return this.broken(at)
        this.expected = "value"
        return at + 1
      case "next":
        if (char === (parent?._tag === "List" ? "]" : "}")) return this.close(at)
        if (char !== ",") return this.broken(at)
        this.expected = parent?._tag === "List" ? "value" : "key"
        return at + 1
      case "firstItem":
        return char === "]" ? this.close(at) : this.begin(char, at)
      case "value":
        return this.begin(char, at)
      default:
        return this.broken(at)
    }
  }

  private begin(char: string, at: number): number {
    if (char === "\"") return this.beginText(at, false)
    if (char === "{" || char === "[") {
      const open: OpenList | OpenObject = char === "["
        ? { _tag: "List", items: [], open: undefined }
        : { _tag: "Object", entries: [], key: undefined, open: undefined }
      this.opened(open)
      this.parents.push(open)
      this.expected = char === "[" ? "firstItem" : "firstKey"
      return at + 1
    }
    if (!/[-\dtfn]/.test(char)) return this.broken(at)
    this.expected = "word"
    return at
  }

  private beginText(at: number, isKey: boolean): number {
    this.text = { _tag: "Text", text: "", half: "" }
    this.isKey = isKey
    if (!isKey) this.opened(this.text)
    this.expected = "text"
    return at + 1
  }

  private inText(json: string, at: number): number {
    const open = this.text!
    const end = skip(plain, json, at)
    if (end > at) {
      const more = json.slice(at, end)
      append(open, more)
      this.hasControl ||= control.test(more)
    }
    if (end === json.length) return end
    if (json[end] === "\"") {
      if (this.hasControl) return this.broken(end)
      if (this.isKey) {
        const parent = this.parents.at(-1)
        if (parent?._tag === "Object") parent.key = open.text + open.half
        this.expected = "colon"
      } else this.complete(open.text + open.half)
      return end + 1
    }
    const isCode = json[end + 1] === "u"
    const length = isCode ? 6 : 2
    if (end + length > json.length) {
      this.rest = json.slice(end)
      return json.length
    }
    const code = isCode ? json.slice(end + 2, end + 6) : ""
    const char = isCode
      ? /^[\da-f]{4}$/i.test(code) ? String.fromCharCode(Number.parseInt(code, 16)) : undefined
      : escapes[json[end + 1]!]
    if (char === undefined) return this.broken(end)
    append(open, char)
    return end + length
  }

  private inWord(json: string, at: number): number {
    const end = skip(bare, json, at)
    if (end - at > LONGEST_WORD) return this.broken(at)
    // A number may go on, and a word may not.
    if (end === json.length && !/^(?:true|false|null)$/.test(json.slice(at))) {
      this.rest = json.slice(at)
      return end
    }
    try {
      // A word or a number is its own JSON.
      this.complete(JSON.parse(json.slice(at, end)))
      return end
    } catch {
      return this.broken(at)
    }
  }

  private opened(open: Open): void {
    const parent = this.parents.at(-1)
    if (parent === undefined) this.root = open
    else parent.open = open
  }

  private close(at: number): number {
    const closed = this.parents.pop()!
    // As JSON.parse has it: the last of a key counts, and `__proto__` is a key as any other.
    this.complete(closed._tag === "List" ? closed.items : Object.fromEntries(closed.entries))
    return at + 1
  }

  private complete(value: unknown): void {
    const parent = this.parents.at(-1)
    this.text = undefined
    this.expected = parent === undefined ? "nothing" : "next"
    if (parent === undefined) this.root = undefined
    else {
      parent.open = undefined
      if (parent._tag === "List") parent.items.push(value)
      else {
        parent.entries.push([parent.key!, value])
        parent.key = undefined
      }
    }
  }

  private broken(at: number): number {
    this.isBroken = true
    return at
  }
}

/** Never looks at the text itself: that would copy all of it with each read. */
const append = (open: OpenText, more: string): void => {
  const all = open.half + more
  const isHalf = all.charCodeAt(all.length - 1) >> 10 === 0x36
  open.text += isHalf ? all.slice(0, -1) : all
  open.half = isHalf ? all.slice(-1) : ""
}

const skip = (pattern: RegExp, json: string, at: number): number => {
  pattern.lastIndex = at
  pattern.exec(json)
  return pattern.lastIndex
}
