/**
 * Where a text may be cut: before a heading, after a paragraph, a sentence, a line or a word, and else between two
 * characters as a reader sees them.
 *
 * Every function is pure, and looks no further than `LOOKAHEAD` past where it was asked to cut: a text that comes in
 * pieces is cut as it would be in one. The surprise: one character that is longer than a whole chunk, such as a letter
 * under thousands of accents, is cut between code points, since there is no other way.
 */

/** How far past a cut its place is told from. @internal */
export const LOOKAHEAD = 16

/** What a cut is worth. */
const NONE = 0
const WORD = 1
const LINE = 2
const SENTENCE = 3
const PARAGRAPH = 4
const HEADING = 5

const NEWLINE = 10
const FORM_FEED = 12
const CARRIAGE_RETURN = 13

// -----------------------------------------------------------------------------
// sizes
// -----------------------------------------------------------------------------

/** Where so many bytes of UTF-8 end, from a place on: never within a code point. @internal */
export const reach = (text: string, from: number, bytes: number): number => {
  let left = bytes
  let at = from
  while (at < text.length) {
    const isPair = isHigh(text.charCodeAt(at)) && isLow(text.charCodeAt(at + 1))
    left -= isPair ? 4 : bytesOf(text.charCodeAt(at))
    if (left < 0) break
    at += isPair ? 2 : 1
  }
  return at
}

/** Where so many bytes of UTF-8 begin that end at a place; never within a code point. @internal */
export const reachBack = (text: string, end: number, bytes: number): number => {
  let left = bytes
  let at = end
  while (at > 0) {
    const isPair = isLow(text.charCodeAt(at - 1)) && isHigh(text.charCodeAt(at - 2))
    left -= isPair ? 4 : bytesOf(text.charCodeAt(at - 1))
    if (left < 0) break
    at -= isPair ? 2 : 1
  }
  return at
}

const bytesOf = (unit: number): number => unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3
const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000

// -----------------------------------------------------------------------------
// cuts
// -----------------------------------------------------------------------------

/**
 * Where to cut after `from` and no later than `end`: the best place in the last third, of those the last. What follows
 * `end` has to be there, as far as `LOOKAHEAD`.
 *
 * @internal
 */
export const cut = (text: string, from: number, end: number): number => {
  if (end >= text.length) return text.length
  const natural = best(text, end, Math.max(from + 1, end - Math.floor((end - from) / 3)), -1)
  if (natural !== undefined) return natural
  const character = characterStart(text, from, end)
  // Less than one code point is nothing.
  return character > from ? character : end > from ? end : reach(text, from, 4)
}

/** Where an overlap begins that may reach back to `low`: the best place in its first half, of those the first. @internal */
export const overlapStart = (text: string, low: number, end: number): number => {
  if (low >= end || low === 0) return low
  const natural = best(text, low, low + Math.floor((end - low) / 2), 1)
  if (natural !== undefined) return natural
  const character = characterStart(text, 0, low)
  // Up to the next character: an overlap is as long as was asked for at most.
  return character === low ? low : characterEnd(text, character, end)
}

/** Of places that are worth as much, the one that is met first, going from one to the other. */
const best = (text: string, from: number, to: number, step: 1 | -1): number | undefined => {
  let found: number | undefined
  let worth = NONE
  for (let at = from; at !== to + step; at += step) {
    const kind = kindOf(text, at)
    if (kind <= worth || isJoined(text, at)) continue
    found = at
    worth = kind
  }
  return found
}

const kindOf = (text: string, at: number): number => {
  const before = text.charCodeAt(at - 1)
  const next = text.charCodeAt(at)
  if (before === FORM_FEED) return HEADING
  // Blanks and empty lines stay with what they follow, but for an indented line's.
  if (isSpace(next)) return before === NEWLINE && (next === 32 || next === 9) ? LINE : NONE
  if (!isSpace(before)) return !isClosing(next) && fullStops.has(sentenceEnd(text, at - 1)) ? SENTENCE : NONE
  if (before === NEWLINE && isHeading(text, at)) return HEADING
  let lines = 0
  let last = at - 1
  while (last >= 0 && isSpace(text.charCodeAt(last))) {
    if (text.charCodeAt(last) === NEWLINE) lines++
    last--
  }
  if (lines > 1) return PARAGRAPH
  if (sentenceEnds.has(sentenceEnd(text, last))) return SENTENCE
  return before === NEWLINE ? LINE : WORD
}

/** Whether signs of one to six levels stand there, and a blank. */
const isHeading = (text: string, at: number): boolean => {
  let end = at
  while (end < at + 6 && text.charCodeAt(end) === 35) end++
  return isSpace(text.charCodeAt(end))
}

/** What stands there, before marks that close what it is in. */
const sentenceEnd = (text: string, at: number): number => {
  let last = at
  while (last > 0 && at - last < 4 && isClosing(text.charCodeAt(last))) last--
  return text.charCodeAt(last)
}

const codes = (characters: string): ReadonlySet<number> => new Set([...characters].map((each) => each.charCodeAt(0)))

/** Of scripts that put no blank after them. */
const fullStops = codes("。！？｡")
const sentenceEnds = new Set([...fullStops, ...codes(".!?…‽؟।")])
const closing = codes(`"'”’»)]}」』）】`)
const isClosing = (unit: number): boolean => closing.has(unit)

const isSpace = (unit: number): boolean =>
  unit === 32 || unit === 9 || unit === NEWLINE || unit === CARRIAGE_RETURN || unit === FORM_FEED || unit === 0x3000

// -----------------------------------------------------------------------------
// characters
// -----------------------------------------------------------------------------

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** How much before a place may decide whether a character begins there: longer ones are rare beyond belief. @internal */
export const CONTEXT = 4096

/** Whether what follows a blank or a full stop is written onto it, such as an accent. */
const isJoined = (text: string, at: number): boolean => {
  joined.lastIndex = at
  return joined.test(text)
}

/** A segmenter for each place would take a minute for a text of nothing else. */
const joined = /[\p{Grapheme_Extend}\p{Mc}\p{Emoji_Modifier}\u0E33\u0EB3\u200D]/uy

/** Where the character begins that a place is in, or the place itself where one begins there. */
const characterStart = (text: string, from: number, at: number): number => {
  const start = Math.max(from, at - CONTEXT)
  return start + (segmenter.segment(text.slice(start, at + 2)).containing(at - start)?.index ?? 0)
}

/** Where the character ends that begins at a place. */
const characterEnd = (text: string, at: number, end: number): number =>
  at + (segmenter.segment(text.slice(at, end))[Symbol.iterator]().next().value?.segment.length ?? 0)
