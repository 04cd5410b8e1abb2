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
  /** What was held back, as no more of this text will come; what comes then is another. */
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

/**
 * Looks for a pattern: where one begins is decided when as much as fits into a window has come behind it. Until then all
 * of it waits, and as much as fits into a window is kept before it: so ends and neighbours are what they are in the text.
 *
 * @internal
 */
export const searching = (pattern: RegExp, window: number, rejected: string): Step => {
  let held = ""
  // How much of it was handed on.
  let before = 0
  const first = (): number => {
    pattern.lastIndex = before
    return pattern.exec(held)?.index ?? Infinity
  }
  return {
    next: (piece) => {
      held += piece
      const cut = wholeCharacters(held, Math.max(before, held.length - window))
      if (cut === before) return ""
      if (first() < cut) return { rejected }
      const handed = held.slice(before, cut)
      const from = Math.max(0, cut - window)
      held = held.slice(from)
      before = cut - from
      return handed
    },
    end: () => {
      if (first() < Infinity) return { rejected }
      const handed = held.slice(before)
      held = ""
      before = 0
      return handed
    },
    hasChanged: () => false
  }
}

/** Takes personal data out, or refuses it. @internal */
export const redacting = (
  kinds: ReadonlyArray<PiiPatterns.PiiKind>,
  placeholderOf: (kind: PiiPatterns.PiiKind, value: string) => Handed
): Step => {
  // What is held back, and before it the last one that was handed on of those that are seen: words are told by what
  // stands before them.
  // Nothing begins with that one, or it would have waited, so before it stands what no match may begin after.
  let held = ""
  let before = 0
  // When to look again.
  let enough = 0
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
    const last = seenUntil(held, cut)
    held = last > 0 ? `_${held[last - 1]}${held.slice(cut)}` : held.slice(cut)
    before = last > 0 ? 2 : 0
    return handed.slice(first)
  }
  const matchesIn = () =>
    PiiPatterns.find(held, kinds).flatMap((match) =>
      match.end <= before ? [] : [match.start < before ? { ...match, start: before } : match]
    )
  return {
    next: (piece) => {
      held += piece
      if (held.length < enough) return ""
      const floor = floorOf(held)
      let cut = openFrom(PiiPatterns.folded(held), Math.max(before, floor))
      // It is looked through once for many pieces, where each of them moves on by no more than itself.
      if (cut <= before || (cut < floor + NEAR && cut - before < AT_ONCE)) return ""
      const matches = matchesIn()
      // One that reaches the end may go on, and its beginning waits with it.
      const reach = seenUntil(held, held.length)
      for (const { end, start } of matches) if (end > cut || end >= reach) cut = Math.min(cut, start)
      if (held.length - cut > MAX_HELD) cut = held.length
      cut = wholeCharacters(held, cut)
      enough = held.length < LONG ? 0 : held.length + (held.length >>> 4)
      if (cut <= before) return ""
      enough = 0
      return hand(cut, matches)
    },
    end: () => {
      const handed = hand(held.length, matchesIn())
      held = ""
      before = enough = 0
      return handed
    },
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
      const open = /\[[A-Za-z]{0,5}\\?(?:_\d{0,9})?$/.exec(held.slice(-17))
      const cut = wholeCharacters(held, held.length - (open?.[0].length ?? 0))
      const handed = held.slice(0, cut)
      held = held.slice(cut)
      return hand(handed)
    },
    end: () => {
      const handed = hand(held)
      held = ""
      return handed
    },
    hasChanged: () => changed
  }
}

/** A key that is longer than this is redacted in parts. */
const MAX_HELD = 16_384

/** As much of what never pauses is looked through at once. */
const AT_ONCE = 128
const NEAR = 8

/** A key that is longer than this is looked at again when it has grown by a part. */
const LONG = 1_024

// -----------------------------------------------------------------------------
// where something may begin
// -----------------------------------------------------------------------------

/**
 * From where on something may have begun that is not all there: the last word, and the words before it for as long as
 * they may be parts of a number in groups. A word with small letters is part of none, unless a private key begins in it,
 * and nothing goes across a letter of another script.
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
      const isWide = code > 0x7e && PiiPatterns.isWide(code)
      if ((code < 0x21 || code > 0x7e) && !isWide && !PiiPatterns.isInvisible(code)) break
      hasSmall ||= isWide || (code >= 97 && code <= 122)
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

/**
 * Where the characters begin that no match but a key reaches back to from the end; of those that nobody sees, one that
 * is among many more is not waited for.
 */
const floorOf = (text: string): number => {
  const least = Math.max(0, text.length - LONG)
  let at = text.length
  let seen = 0
  for (; at > least && seen < PiiPatterns.MAX_LENGTH; at--) {
    const code = text.charCodeAt(at - 1)
    if (code < 0x80 || !PiiPatterns.isInvisible(code)) seen++
  }
  return at > least ? at : text.length - LONG
}

/** The end of what is seen of a text up to a place. */
const seenUntil = (text: string, end: number): number => {
  let at = end
  while (at > 0 && PiiPatterns.isInvisible(text.charCodeAt(at - 1))) at--
  return at
}

const isSpace = (code: number): boolean => code === 0x20 || (code >= 9 && code <= 13)

/** A place that is not within a pair of surrogates. */
const wholeCharacters = (text: string, cut: number): number =>
  cut > 0 && text.charCodeAt(cut - 1) >>> 10 === 0x36 ? cut - 1 : cut
