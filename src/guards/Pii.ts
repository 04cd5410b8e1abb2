/**
 * Personal data and keys in texts: found, taken out, and put back.
 *
 * Email addresses, phone numbers, IBANs and card numbers (with their check digits), US social security numbers, IP
 * addresses, API keys, tokens and private keys, also with the spaces and hyphens of typography, the digits of other
 * scripts, and characters between that nobody sees. Names and postal addresses have no form, so they are not found, and
 * who wants to hide something can. `redact` is a plain function: it serves `telemetry.content.redact` as well. The
 * surprise: 1.2.3.4 is taken for an address.
 */
import * as PiiPatterns from "./PiiPatterns.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

export type { PiiKind, PiiMatch } from "./PiiPatterns.ts"

/**
 * What was taken out of texts, so that it can be put back: `[EMAIL_1]` stands for the same value wherever that occurs,
 * and a placeholder that a text brings along for nothing but itself. It grows with what it holds, knows it in the clear,
 * and puts it back for whoever asks, so keep one for one conversation.
 *
 * @category models
 * @since 0.2.0
 */
export interface Vault {
  /** The text with placeholders. */
  readonly hide: (text: string) => string
  /** The text with what the placeholders stand for. */
  readonly restore: (text: string) => string
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface PiiOptions {
  /** What to look for. @default all of them */
  readonly kinds?: ReadonlyArray<PiiPatterns.PiiKind> | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @category constructors @since 0.2.0 */
export const vault = (options: PiiOptions = {}): Vault => {
  const kinds = kindsOf("Pii.vault", options)
  const placeholders = new Map<string, string>()
  const values = new Map<string, string>()
  // What looks like a placeholder in a text that was given, and is none of ours.
  const foreign = new Set<string>()
  const counts = new Map<PiiPatterns.PiiKind, number>()
  const placeholderOf = (kind: PiiPatterns.PiiKind, value: string): string => {
    const known = placeholders.get(value)
    if (known !== undefined) return known
    let count = counts.get(kind) ?? 0
    let placeholder: string
    do placeholder = `[${kind.toUpperCase()}_${++count}]`
    while (foreign.has(placeholder))
    counts.set(kind, count)
    placeholders.set(value, placeholder)
    values.set(placeholder, value)
    return placeholder
  }
  return {
    hide: (text) => {
      for (const [, kind, number] of text.matchAll(PLACEHOLDER)) {
        const placeholder = `[${kind!.toUpperCase()}_${number}]`
        if (!values.has(placeholder)) foreign.add(placeholder)
      }
      return replace(text, PiiPatterns.find(text, kinds), placeholderOf)
    },
    restore: (text) =>
      values.size === 0 ? text : text.replaceAll(
        PLACEHOLDER,
        (found, kind: string, number: string) => values.get(`[${kind.toUpperCase()}_${number}]`) ?? found
      )
  }
}

/** Also as models write them: with small letters, and with what Markdown puts before an underscore. */
const PLACEHOLDER = /\[([A-Za-z]{2,5})\\?_(\d{1,9})\]/g

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** Where in a text there is any, in order. @category combinators @since 0.2.0 */
export const find = (text: string, options: PiiOptions = {}): ReadonlyArray<PiiPatterns.PiiMatch> =>
  PiiPatterns.find(text, kindsOf("Pii.find", options))

/** The text with `[EMAIL]`, `[PHONE]` and so on in the place of each. @category combinators @since 0.2.0 */
export const redact = (text: string, options: PiiOptions = {}): string =>
  replace(text, PiiPatterns.find(text, kindsOf("Pii.redact", options)), nameOf)

/** The placeholder of what need not be put back. @internal */
export const nameOf = (kind: PiiPatterns.PiiKind): string => `[${kind.toUpperCase()}]`

/** Puts something else in the place of each match. @internal */
export const replace = (
  text: string,
  matches: ReadonlyArray<PiiPatterns.PiiMatch>,
  placeholderOf: (kind: PiiPatterns.PiiKind, value: string) => string
): string => {
  if (matches.length === 0) return text
  const parts: Array<string> = []
  let at = 0
  for (const { end, kind, start } of matches) {
    parts.push(text.slice(at, start), placeholderOf(kind, text.slice(start, end)))
    at = end
  }
  parts.push(text.slice(at))
  return parts.join("")
}

/** The kinds that are asked for; one that is none throws. @internal */
export const kindsOf = (
  name: string,
  { kinds = PiiPatterns.kinds }: PiiOptions
): ReadonlyArray<PiiPatterns.PiiKind> => {
  for (const kind of kinds) {
    if (PiiPatterns.kinds.includes(kind)) continue
    throw new RangeError(`${name}: kinds has ${JSON.stringify(kind)}; expected some of ${PiiPatterns.kinds.join(", ")}`)
  }
  return kinds
}
