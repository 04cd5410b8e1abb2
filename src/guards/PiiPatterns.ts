/**
 * Where personal data and keys stand in a text: by their form, and by their check digits where they have some.
 *
 * All of it takes time in proportion to the text, whatever the text: repetitions are bounded, no two of them can share
 * a character, and what begins inside a word is not looked at. A candidate that fails its check is left one character
 * further, so that it hides none inside it.
 */
import { isIPv6 } from "node:net"

/** What is looked for. @category models @since 0.2.0 */
export type PiiKind = "email" | "phone" | "iban" | "card" | "ssn" | "ip" | "key"

/** A place in a text, from `start` up to `end`. @category models @since 0.2.0 */
export interface PiiMatch {
  readonly kind: PiiKind
  readonly start: number
  readonly end: number
}

/** All kinds; of two that overlap, the one that stands first gives the name. @internal */
export const kinds: ReadonlyArray<PiiKind> = ["key", "email", "iban", "card", "ssn", "ip", "phone"]

/** No match but a key reaches further than this from where it is recognized. @internal */
export const MAX_LENGTH = 384

// -----------------------------------------------------------------------------
// finding
// -----------------------------------------------------------------------------

/** In order, and none over another: those that overlap are one. @internal */
export const find = (text: string, wanted: ReadonlyArray<PiiKind> = kinds): ReadonlyArray<PiiMatch> => {
  const matches: Array<PiiMatch> = []
  const { places, visible } = seen(text)
  const placeOf = (at: number) => places?.[at] ?? at
  for (const kind of kinds) {
    if (!wanted.includes(kind)) continue
    detectors[kind](visible, (start, end) => matches.push({ kind, start: placeOf(start), end: placeOf(end - 1) + 1 }))
  }
  if (matches.length < 2) return matches
  // Sorting is stable, so of two at one place the kind that stands first stays first.
  matches.sort((a, b) => a.start - b.start)
  const merged: Array<PiiMatch> = []
  for (const match of matches) {
    const last = merged.at(-1)
    if (last === undefined || match.start >= last.end) {
      merged.push(match)
      continue
    }
    const kind = kinds.indexOf(match.kind) < kinds.indexOf(last.kind) ? match.kind : last.kind
    merged[merged.length - 1] = { kind, start: last.start, end: Math.max(last.end, match.end) }
  }
  return merged
}

/**
 * The text as a keyboard would have it, each character in its place: the spaces and hyphens of typography, full-width
 * characters, and the digits of other scripts.
 *
 * @internal
 */
export const folded = (text: string): string => text.replaceAll(FOLDED, fold)

const FOLDED =
  /[\u00a0\u2000-\u200a\u202f\u205f\u3000\u2010-\u2015\u2212\uff01-\uff5e\u0660-\u0669\u06f0-\u06f9\u0966-\u096f]/g

const fold = (character: string): string => {
  const code = character.charCodeAt(0)
  if (code >= 0xff01) return String.fromCharCode(code - 0xfee0)
  const zero = [0x0660, 0x06f0, 0x0966].find((zero) => code >= zero && code <= zero + 9)
  if (zero !== undefined) return String(code - zero)
  return (code >= 0x2010 && code <= 0x2015) || code === 0x2212 ? "-" : " "
}

/** A character that nobody sees: it parts a word by no space, and what is found goes across it. @internal */
export const isInvisible = (code: number): boolean =>
  code > 0x7f && (
    code === 0xad || code === 0xfeff || (code >= 0x200b && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) ||
    (code >= 0x2060 && code <= 0x2064)
  )

const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]/

/** What is seen of a text, and where each character of that stands, if that is elsewhere. */
const seen = (text: string): { readonly visible: string; readonly places: Uint32Array | undefined } => {
  const plain = folded(text)
  if (!INVISIBLE.test(plain)) return { visible: plain, places: undefined }
  const places = new Uint32Array(plain.length)
  const parts: Array<string> = []
  let length = 0
  let from = 0
  for (let at = 0; at <= plain.length; at++) {
    if (at < plain.length && !isInvisible(plain.charCodeAt(at))) {
      places[length++] = at
      continue
    }
    if (at > from) parts.push(plain.slice(from, at))
    from = at + 1
  }
  return { visible: parts.join(""), places }
}

type Found = (start: number, end: number) => void

/** How much of a candidate is one: its length, or none. */
type Accept = (candidate: string, text: string, start: number) => number

const scan = (pattern: RegExp, accept: Accept = (candidate) => candidate.length) => (text: string, found: Found) => {
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const length = accept(match[0], text, match.index)
    if (length > 0) found(match.index, match.index + length)
    pattern.lastIndex = match.index + Math.max(1, length)
  }
}

/** The longest beginning of a candidate that ends with a word and passes a check. */
const longest = (least: number, check: (characters: string) => boolean): Accept => (candidate, text, start) => {
  let characters = candidate.replaceAll(/[ -]/g, "")
  for (let end = candidate.length; end > 0 && characters.length >= least; end--) {
    const last = candidate.charCodeAt(end - 1)
    if (!isWord(last)) continue
    if (!isWord(text.charCodeAt(start + end)) && check(characters)) return end
    characters = characters.slice(0, -1)
  }
  return 0
}

// -----------------------------------------------------------------------------
// kinds
// -----------------------------------------------------------------------------

/** The sign of an address, also as URLs have it. */
const AT = /@|%40/g

const email = (text: string, found: Found): void => {
  for (const { 0: sign, index: at } of text.matchAll(AT)) {
    let start = at
    while (start > 0 && at - start < 64 && isLocal(text.charCodeAt(start - 1))) start--
    while (start < at && !isName(text.charCodeAt(start))) start++
    const from = at + sign.length
    let end = from
    while (end < text.length && end - from < 254 && isDomain(text.charCodeAt(end))) end++
    while (end > from && !isName(text.charCodeAt(end - 1))) end--
    const domain = text.slice(from, end)
    const labels = domain.split(".")
    // `icon@2x.png` is a picture, and `next@15.0.0-canary` a version.
    const isAddress = start < at && labels.length > 1 && labels.every((label) => label !== "") &&
      /^(?:[A-Za-z\u00c0-\u052f]{2,63}|xn--[A-Za-z0-9-]{1,59})$/.test(labels.at(-1)!) &&
      !/^\d{1,4}(?:\.\d{1,6}\.\d{1,6}(?!\w)|(?:\.\d)?x\.(?:avif|gif|jpe?g|png|svg|webp)$)/.test(domain)
    if (isAddress) found(start, end)
  }
}

/** Addresses of version 4, and of version 6 with a digit and a group of three: `std::move` and `list[1::2]` have none. */
const ip = (text: string, found: Found): void => {
  scan(
    /(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)/g,
    (address) => address.split(".").every((part) => Number(part) <= 255) ? address.length : 0
  )(text, found)
  let from = 0
  for (let at = text.indexOf(":"); at !== -1; at = text.indexOf(":", from)) {
    let start = at
    while (start > from && at - start < 45 && isAddress(text.charCodeAt(start - 1))) start--
    let end = at + 1
    while (end < text.length && end - start < 46 && isAddress(text.charCodeAt(end))) end++
    from = end
    const address = text.slice(start, end).replace(/(?<=[^:])[:.]$/, "")
    const isPart = isWord(text.charCodeAt(start - 1)) || isWord(text.charCodeAt(start + address.length))
    if (!isPart && /\d/.test(address) && /[\dA-Fa-f]{3}/.test(address) && isIPv6(address)) {
      found(start, start + address.length)
    }
  }
}

/** How many digits the cards have whose number begins with this one. */
const cardLengths: Readonly<Record<string, ReadonlyArray<number>>> = {
  2: [16],
  3: [14, 15, 16],
  4: [13, 16, 19],
  5: [16],
  6: [16, 17, 18, 19]
}

/**
 * The longest beginning of a candidate that ends with a number and passes Luhn's check. Every second digit from the last
 * is doubled: the sums with the even ones doubled, and with the odd ones, serve all lengths at once.
 */
const card: Accept = (candidate, text, start) => {
  const sums = [0, 0]
  let digits = 0
  let length = 0
  for (let i = 0; i < candidate.length; i++) {
    const digit = candidate.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) continue
    const doubled = digit > 4 ? digit * 2 - 9 : digit * 2
    const isEven = digits % 2 === 0
    sums[0]! += isEven ? doubled : digit
    sums[1]! += isEven ? digit : doubled
    digits++
    const isCard = digits >= 13 && cardLengths[candidate[0]!]!.includes(digits) && sums[digits % 2]! % 10 === 0
    if (isCard && !isWord(text.charCodeAt(start + i + 1))) length = i + 1
  }
  return length
}

const mod97 = (iban: string): boolean => {
  let rest = 0
  for (let i = 0; i < iban.length; i++) {
    const code = iban.charCodeAt((i + 4) % iban.length)
    rest = code < 58 ? (rest * 10 + code - 48) % 97 : (rest * 100 + code - 55) % 97
  }
  return rest === 1
}

/** As they are written: with the prefix of a country, as in North America, or with a leading zero. */
const phone = (text: string, found: Found): void => {
  for (const detect of phones) detect(text, found)
}

/** A date with dots has eight digits, and 02110-1301 is a place in Boston. */
const national: Accept = (candidate) => {
  const digits = candidate.replaceAll(/\D/g, "").length
  return digits >= 9 && digits <= 12 && !/^\d{5}-\d{4}$/.test(candidate) ? candidate.length : 0
}

const phones = [
  scan(/(?<![\w+)\]])\+[1-9](?:[ ()./-]{0,2}\d){6,14}(?!\w)/g),
  scan(/(?<![\w.+-])00[1-9](?:[ ()./-]{0,2}\d){8,14}(?!\w)/g),
  scan(/(?<![\w.+-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])/g),
  scan(
    /(?<![\w.+-])\(?0[1-9]\d{0,4}\)?[ ./-]{1,2}\d{2,8}(?:([ .-])\d{2,8}(?:\1\d{2,8}){0,3})?(?!\w)/g,
    national
  ),
  scan(/(?<![\w.+-])0[1-9]\d{8,10}(?![\w.])/g)
]

// A private key ends with as much of its last line as is there: in a stream that comes in pieces too.
const key = scan(
  new RegExp(
    `(?<![\\w-])(?:${
      [
        // Names of classes have no digits.
        "sk-(?=[A-Za-z_-]{0,512}\\d)[\\w-]{16,512}",
        "gh[oprsu]_\\w{30,255}",
        "github_pat_\\w{22,255}",
        "glpat-[\\w-]{20,255}",
        "xox[abeoprs]-[\\w-]{10,255}",
        "(?:AKIA|ASIA)[A-Z0-9]{16}(?!\\w)",
        "AIza[\\w-]{35}",
        "hf_\\w{30,64}",
        "npm_\\w{36}",
        "[prs]k_(?:live|test)_\\w{16,255}",
        "eyJ[\\w-]{8,300}\\.eyJ[\\w-]{8,4096}(?:\\.[\\w-]{0,1024})?",
        "-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\\w+/=\\s\\\\]{0,8192}(?:(?!-----B)-{1,5}(?:E[A-Z ]{0,60}-{0,5})?)?"
      ].join("|")
    })`,
    "g"
  )
)

const detectors: Readonly<Record<PiiKind, (text: string, found: Found) => void>> = {
  key,
  email,
  iban: scan(/(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}/g, longest(15, mod97)),
  // No card begins with another digit, and none with what stands behind a decimal point.
  card: scan(/(?<![\w+]|\d\.)[2-6](?:[ -]?\d){12,18}/g, card),
  ssn: scan(/(?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])/g),
  ip,
  phone
}

// -----------------------------------------------------------------------------
// characters
// -----------------------------------------------------------------------------

// Beyond either end of a text the code is NaN, which is none of these.
const isDigit = (code: number): boolean => code >= 48 && code <= 57
const isLetter = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
const isWord = (code: number): boolean => isDigit(code) || isLetter(code) || code === 95
/** A letter or an accent of the Latin, Greek and Cyrillic scripts beyond ASCII, all of which part words by spaces. @internal */
export const isWide = (code: number): boolean => code >= 0xc0 && code <= 0x52f && code !== 0xd7 && code !== 0xf7
const isName = (code: number): boolean => isWord(code) || isWide(code)
const isDomain = (code: number): boolean =>
  isDigit(code) || isLetter(code) || isWide(code) || code === 45 || code === 46
const isLocal = (code: number): boolean =>
  isName(code) || code === 43 || code === 45 || code === 46 || code === 37 || code === 39
const isAddress = (code: number): boolean =>
  isDigit(code) || code === 58 || code === 46 || (code >= 65 && code <= 70) || (code >= 97 && code <= 102)
