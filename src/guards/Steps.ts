/**
 * Guards over texts that arrive in pieces: what may be handed on now, and what must wait for more.
 *
 * A step holds back the end of what came, as far as something may still begin there. It holds a bounded part, so a
 * stream goes on streaming: plain prose is held back by a word.
 */
import * as Pii from "./Pii.ts"
import * as PiiPatterns from "./PiiPatterns.ts"

/** What is handed on, or why nothing more is. @category models @since 0.2.0 */
export type Handed = string | { readonly rejected: string }

/** One guard over one stream. @category models @since 0.2.0 */
export interface Step {
  /** What may be handed on, now that this has come too. */
  readonly next: (piece: string) => Handed
  /** What was held back, as no more will come. */
  readonly end: () => Handed
  /** Whether it has changed what came. */
  readonly hasChanged: () => boolean
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Counts what came. @internal */
export const counting = (check: (chars: number) => string | undefined): Step => {
  let chars = 0
  return {
    next: (piece) => {
      const rejected = check(chars += piece.length)
      return rejected === undefined ? piece : { rejected }
    },
    end: () => "",
    hasChanged: () => false
  }
}

/** Looks for a pattern in a window; nothing of a match that fits into it is handed on. @internal */
export const searching = (pattern: RegExp, window: number, rejected: string): Step => {
  let held = ""
  return {
    next: (piece) => {
      held += piece
      if (pattern.test(held)) return { rejected }
      const cut = wholeCharacters(held, Math.max(0, held.length - window))
      const handed = held.slice(0, cut)
      held = held.slice(cut)
      return handed
    },
    end: () => held,
    hasChanged: () => false
  }
}

/** Takes personal data out, or refuses it. @internal */
export const redacting = (
  kinds: ReadonlyArray<PiiPatterns.PiiKind>,
  placeholderOf: (kind: PiiPatterns.PiiKind, value: string) => Handed
): Step => {
  // What is held back, and before it the last character that was handed on: words are told by what stands before them.
  // Nothing begins with that one, or it would have waited, so before it stands what no match may begin after.
  let held = ""
  let before = 0
  let changed = false
  const hand = (cut: number, matches: ReadonlyArray<PiiPatterns.PiiMatch>): Handed => {
    let rejected: Handed | undefined
    const text = held.slice(0, cut)
    const inside = matches.filter(({ end }) => end <= cut && end > before)
    const handed = Pii.replace(text, inside, (kind, value) => {
      const placeholder = placeholderOf(kind, value)
      if (typeof placeholder === "string") return placeholder
      rejected = placeholder
      return ""
    })
    if (rejected !== undefined) return rejected
    changed ||= inside.length > 0
    const first = before
    held = cut > 0 ? `_${held.slice(cut - 1)}` : held
    before = cut > 0 ? 2 : 0
    return handed.slice(first)
  }
  const matchesIn = () =>
    PiiPatterns.find(held, kinds).flatMap((match) =>
      match.end <= before ? [] : [match.start < before ? { ...match, start: before } : match]
    )
  return {
    next: (piece) => {
      held += piece
      const matches = matchesIn()
      let cut = openFrom(held, Math.max(before, held.length - PiiPatterns.MAX_LENGTH))
      // One that reaches the end may go on, and its beginning waits with it.
      for (const { end, start } of matches) if (end > cut || end === held.length) cut = Math.min(cut, start)
      if (held.length - cut > MAX_HELD) cut = held.length
      cut = wholeCharacters(held, cut)
      return cut <= before ? "" : hand(cut, matches)
    },
    end: () => hand(held.length, matchesIn()),
    hasChanged: () => changed
  }
}

/** Puts back what placeholders stand for. @internal */
export const restoring = (restore: (text: string) => string): Step => {
  let held = ""
  let changed = false
  const hand = (text: string): string => {
    const restored = restore(text)
    changed ||= restored !== text
    return restored
  }
  return {
    next: (piece) => {
      held += piece
      const open = /\[[A-Z]{0,5}(?:_\d{0,9})?$/.exec(held.slice(-17))
      const cut = wholeCharacters(held, held.length - (open?.[0].length ?? 0))
      const handed = held.slice(0, cut)
      held = held.slice(cut)
      return hand(handed)
    },
    end: () => hand(held),
    hasChanged: () => changed
  }
}

/** A key that is longer than this is redacted in parts. */
const MAX_HELD = 16_384

// -----------------------------------------------------------------------------
// where something may begin
// -----------------------------------------------------------------------------

/**
 * From where on something may have begun that is not all there: the last word, and the words before it for as long as
 * they may be parts of a number in groups. A word with small letters is part of none, unless a private key begins in it,
 * and nothing goes across a letter beyond ASCII.
 */
const openFrom = (text: string, floor: number): number => {
  let open = text.length
  let end = text.length
  while (end > floor) {
    let start = end
    let hasSmall = false
    let hasDigit = false
    while (start > floor) {
      const code = text.charCodeAt(start - 1)
      if (code < 0x21 || code > 0x7e) break
      hasSmall ||= code >= 97 && code <= 122
      hasDigit ||= code >= 48 && code <= 57
      start--
    }
    if (start < end) {
      if (hasSmall && !hasDigit && !text.slice(start, end).includes("--") && end < text.length) return open
      open = start
    }
    if (start === floor || !isSpace(text.charCodeAt(start - 1))) return open
    end = start - 1
  }
  return open
}

const isSpace = (code: number): boolean => code === 0x20 || (code >= 9 && code <= 13)

/** A place that is not within a pair of surrogates. */
const wholeCharacters = (text: string, cut: number): number =>
  cut > 0 && text.charCodeAt(cut - 1) >>> 10 === 0x36 ? cut - 1 : cut
