import { assert, describe, it } from "@effect/vitest"
import * as Cuts from "../../src/documents/Cuts.ts"
import { random } from "./support.ts"

/** All pieces of a text, of so many bytes at most. */
const cutAll = (text: string, bytes: number): Array<string> => {
  const pieces: Array<string> = []
  let at = 0
  while (at < text.length) {
    const end = Cuts.cut(text, at, Cuts.reach(text, at, bytes))
    assert.isAbove(end, at)
    pieces.push(text.slice(at, end))
    at = end
  }
  return pieces
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })
const characters = (text: string) => Array.from(graphemes.segment(text), ({ segment }) => segment)

const atoms = [
  ..."abc 1.,\n\t-#\"",
  " ",
  "\n\n",
  "\r\n",
  ". ",
  "# ",
  "\n## ",
  "\n###### ",
  "é",
  "e\u0301",
  "\u0301",
  "ß",
  "日",
  "本。",
  "！",
  "한",
  "ท",
  "\u{1F600}",
  "\u{1F468}\u200D\u{1F469}\u200D\u{1F467}",
  "\u{1F1E9}\u{1F1EA}",
  "\u{1F1EB}",
  "\u{1F3FD}",
  "\u200D",
  "\uFE0F",
  "क्षि",
  "\uD800",
  "\uDC00",
  "\f",
  "\u3000",
  " \u0301"
]

describe("where a text is cut", () => {
  it("puts together what it has cut, leaves no piece empty or too long, and splits no character", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const next = random(seed)
      const text = Array.from({ length: 1 + next(300) }, () => atoms[next(atoms.length)]!).join("")
      const bytes = 40 + next(200)
      const pieces = cutAll(text, bytes)
      assert.strictEqual(pieces.join(""), text)
      const longest = Math.max(...characters(text).map((character) => Buffer.byteLength(character)))
      for (const piece of pieces) assert.isAtMost(Buffer.byteLength(piece), bytes)
      // A character that is longer than a third of a piece may be in the way of every cut.
      if (longest < bytes / 3) assert.deepStrictEqual(pieces.flatMap(characters), characters(text), `seed ${seed}`)
    }
  })

  it("is told from a little of what follows", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const next = random(seed)
      const text = Array.from({ length: 100 + next(100) }, () => atoms[next(atoms.length)]!).join("")
      const end = Cuts.reach(text, 0, 30 + next(60))
      const part = text.slice(0, end + Cuts.LOOKAHEAD)
      assert.strictEqual(Cuts.cut(part, 0, end), Cuts.cut(text, 0, end), `seed ${seed}`)
    }
  })

  it("splits no code point, though a character be longer than what fits", () => {
    const accents = `e${"\u0301".repeat(500)}`
    assert.isAbove(cutAll(accents, 40).length, 10)
    const family = "\u{1F468}\u200D\u{1F469}\u200D\u{1F467}".repeat(5)
    for (const bytes of [1, 2, 3, 4, 5, 7, 9, 18]) {
      for (const text of [family, "a \u{1F600}b. \u{1F600}\n\u{1F600}"]) {
        const pieces = cutAll(text, bytes)
        assert.strictEqual(pieces.join(""), text)
        for (const piece of pieces) assert.isTrue(piece.isWellFormed())
      }
    }
  })

  it("splits no character after a blank or a full stop, whatever is written onto it", () => {
    const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })
    const words = "x".repeat(80)
    const from = (first: number, last: number) => Array.from({ length: last - first }, (_, index) => first + index)
    for (
      const code of [
        ...from(0x300, 0x3100),
        ...from(0xa800, 0xac00),
        ...from(0xfe00, 0xfff0),
        ...from(0x1f300, 0x1f700)
      ]
    ) {
      for (const before of [" ", "。"]) {
        const text = `${before}${String.fromCodePoint(code)}`
        // A whole character of both is not cut; where there are two, most are.
        if (segmenter.segment(text).containing(1)?.index === 1) continue
        const document = words + text.repeat(2) + words
        assert.notStrictEqual(Cuts.cut(document, 0, 81), 81, `U+${code.toString(16)}`)
      }
    }
  })

  const cutOf = (text: string, end: number) => {
    const at = Cuts.cut(text, 0, end)
    return [text.slice(0, at), text.slice(at)]
  }

  it("cuts before a heading, else after a paragraph, a sentence, a line, a word, in that order", () => {
    const start = "x".repeat(80)
    const rest = "y".repeat(40)
    const cases: ReadonlyArray<readonly [before: string, after: string]> = [
      [`${start}\n`, "# Title\n\nA paragraph. And\nwords "],
      [`${start}\f`, "A page. And one\n\nof words "],
      [`${start} a.\n\n`, "A sentence. And one\nof words "],
      [`${start} a. \r\n \r\n`, "A sentence. And one\nof words "],
      [`${start} a\nline and a “sentence.” `, "One\nof words "],
      [`${start} a\nline and a (“sentence.”) `, "One\nof words "],
      [`${start}文章。`, "章of words and"],
      [`${start}文章。\n`, "章of\nwords and"],
      [`${start}「文章。」`, "章of words and"],
      [`${start}文章\u3000`, "章of"],
      [`${start}\n`, "###### Title\n\nA paragraph. And\nwords "],
      [`${start}\n`, "#\tTitle\n\nA paragraph. And\nwords "],
      [`${start}\n####### words\n`, "and # words "],
      [`${start} of words\n`, "  indented words "],
      [`${start} of words\n`, "\tindented words "],
      [`${start} of\n`, "words and "],
      [`${start} 3.5 and words `, "anything"],
      [`${start}.method(a.b) `, "anything"]
    ]
    for (const [before, after] of cases) {
      const [head, tail] = cutOf(before + after + rest, before.length + after.length)
      assert.deepStrictEqual([head, tail], [before, after + rest])
    }
  })

  it("takes of equal places the last, and none in the first two thirds", () => {
    assert.strictEqual(cutOf(`${"A sentence. ".repeat(9)}and more`, 100)[0], "A sentence. ".repeat(8))
    assert.strictEqual(cutOf(`# A\n\n${"words ".repeat(40)}`, 100)[0], `# A\n\n${"words ".repeat(15)}`)
    assert.strictEqual(cutOf(`${"z".repeat(60)}\n\n${"words ".repeat(40)}`, 100)[0]!.length, 98)
    assert.strictEqual(cutOf(`${"z".repeat(80)} of words\n\n\n\nand more`, 91)[0]!.length, 84)
    assert.strictEqual(cutOf(`${"z".repeat(80)} of 「文章。」and more`, 88)[0]!.length, 84)
    assert.strictEqual(cutOf("z".repeat(200), 99)[0], "z".repeat(99))
  })

  it("begins an overlap with a sentence or a word, and is no longer than it may be", () => {
    const text = "One two three four. Five six seven eight nine ten."
    const begin = (low: number) => text.slice(Cuts.overlapStart(text, low, text.length))
    assert.strictEqual(begin(10), "Five six seven eight nine ten.")
    assert.strictEqual(begin(22), "six seven eight nine ten.")
    assert.strictEqual(begin(0), text)
    assert.strictEqual(begin(text.length), "")
    const family = "\u{1F468}\u200D\u{1F469}\u200D\u{1F467}"
    assert.strictEqual(Cuts.overlapStart(family.repeat(3), 3, family.length * 3), family.length)
  })
})
