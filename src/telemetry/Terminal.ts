/**
 * What a terminal shows of times, amounts and names, and in which colours.
 */

// -----------------------------------------------------------------------------
// colours
// -----------------------------------------------------------------------------

/** @internal */
export type Paint = (text: string) => string
/** @internal */
export type Style = Record<"bold" | "dim" | "red" | "green" | "yellow" | "cyan" | "magenta", Paint>

const paint = (code: number): Paint => (text) => text === "" ? "" : `\u001b[${code}m${text}\u001b[0m`
const style: Style = {
  bold: paint(1),
  dim: paint(2),
  red: paint(31),
  green: paint(32),
  yellow: paint(33),
  cyan: paint(36),
  magenta: paint(35)
}
/** @internal */
export const itself: Paint = (text) => text
const plain: Style = {
  bold: itself,
  dim: itself,
  red: itself,
  green: itself,
  yellow: itself,
  cyan: itself,
  magenta: itself
}

/** Colours, or none. @internal */
export const paints = (colored: boolean): Style => colored ? style : plain

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

/** @internal */
export const timeOf = (ms: number): string => {
  if (ms < 0.05) return "0 ms"
  if (ms < 9.95) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 59_995) return `${(ms / 1000).toFixed(2)} s`
  const seconds = Math.round(ms / 1000)
  return seconds < 3600
    ? `${Math.floor(seconds / 60)}m ${seconds % 60}s`
    : `${Math.floor(seconds / 3600)}h ${Math.floor(seconds % 3600 / 60)}m`
}

/** @internal */
export const count = (n: number): string => n.toLocaleString("en-US")

/** Two figures below a cent: most calls cost less than one. @internal */
export const money = (amount: number, currency: unknown): string => {
  const digits = amount >= 1 || amount === 0 ? 2 : Math.min(Math.max(2, 1 - Math.floor(Math.log10(amount))), 8)
  const text = amount.toFixed(digits)
  return currency === undefined || currency === "USD" ? `$${text}` : `${text} ${clean(String(currency))}`
}

/** @internal */
export const fit = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(width - 1, 0))}…`

/** Names and ids come from outside, and a terminal obeys control characters. @internal */
export const clean = (text: string): string => text.replace(/\p{Cc}/gu, "�")
