/**
 * One name for all requests that say the same: a hash of the whole body, and of what else decides the answer.
 *
 * The hash is of the body's JSON with its keys in order, so two bodies have one name exactly where they mean the same
 * JSON: nothing of a request is left out but `stream`, since a stream and a message of one request share an answer.
 * The surprise: what cannot be named (deeper than 500, or no JSON at all) has no name, and the caller goes on without.
 */
import { createHash } from "node:crypto"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * A SHA-256 in hex of a request's body within a scope (endpoint, tenant, headers), or undefined where it has none.
 *
 * @internal
 */
export const of = (body: object, scope: ReadonlyArray<string>): string | undefined => {
  const text = textOf(body, "stream")
  return text === undefined ? undefined : digest(`[1,${JSON.stringify(scope)},${text}]`)
}

/** What `JSON.stringify` says of a value, with all keys in order; undefined where that is nothing. @internal */
export const textOf = (value: object, without?: string): string | undefined => {
  try {
    return write(value, 0, without)
  } catch {
    return undefined
  }
}

/** SHA-256 in hex. @internal */
export const digest = (text: string): string => createHash("sha256").update(text).digest("hex")

// -----------------------------------------------------------------------------
// canonical JSON
// -----------------------------------------------------------------------------

/** Far more than a request nests, and far less than the stack holds. */
const MAX_DEPTH = 500

const write = (value: unknown, depth: number, without?: string): string | undefined => {
  switch (typeof value) {
    case "string":
      return quote(value)
    case "number":
      return Number.isFinite(value) ? String(value) : "null"
    case "boolean":
      return value ? "true" : "false"
    case "object":
      return value === null ? "null" : writeObject(value, depth, without)
    case "bigint":
      throw new TypeError("A bigint is no JSON.")
    default:
      return undefined
  }
}

const writeObject = (value: object, depth: number, without: string | undefined): string | undefined => {
  // A cycle ends here too.
  if (depth > MAX_DEPTH) throw new RangeError(`The value is nested deeper than ${MAX_DEPTH}.`)
  if (!isPlain(value)) {
    // Dates, buffers and the like: JSON alone knows what becomes of them.
    const json = JSON.stringify(value) as string | undefined
    return json === undefined ? undefined : write(JSON.parse(json), depth + 1, without)
  }
  if (Array.isArray(value)) {
    let text = "["
    for (let index = 0; index < value.length; index++) {
      if (index > 0) text += ","
      text += write(value[index], depth + 1) ?? "null"
    }
    return text + "]"
  }
  // A plain object has no members but those of JSON.
  const members = value as Readonly<Record<string, unknown>>
  let text = "{"
  for (const key of sorted(Object.keys(members))) {
    if (key === without) continue
    const member = write(members[key], depth + 1)
    if (member === undefined) continue
    text += `${text.length > 1 ? "," : ""}${quote(key)}:${member}`
  }
  return text + "}"
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === Array.prototype || prototype === null)
    && !("toJSON" in value && typeof value.toJSON === "function")
}

/** Short plain texts, such as most keys, are quoted faster without JSON. */
const quote = (text: string): string => text.length < 64 && plain.test(text) ? `"${text}"` : JSON.stringify(text)
const plain = /^[\w .,:;/-]*$/

/** By code unit; what is in order already, as most small objects are, is not sorted again. */
const sorted = (keys: ReadonlyArray<string>): ReadonlyArray<string> => {
  for (let index = 1; index < keys.length; index++) {
    if (keys[index - 1]! > keys[index]!) return keys.toSorted()
  }
  return keys
}
