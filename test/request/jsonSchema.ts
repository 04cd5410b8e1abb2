/** What the API says of the JSON Schemas that it takes, and a reader of them. */
import { Predicate } from "effect"

/** As the SDK's own transformation to that subset has it. */
const keywords = new Set([
  "$ref",
  "$defs",
  "type",
  "title",
  "description",
  "enum",
  "const",
  "anyOf",
  "allOf",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "pattern",
  "format"
])
const kinds = ["type", "anyOf", "allOf", "enum", "const", "$ref"]
const formats = new Set([
  "date-time",
  "time",
  "date",
  "duration",
  "email",
  "hostname",
  "uri",
  "ipv4",
  "ipv6",
  "uuid"
])

type Node = Readonly<Record<string, unknown>>

const nodeOf = (value: unknown): Node => {
  if (!Predicate.isObject(value)) throw new Error(`${JSON.stringify(value)} is no JSON Schema`)
  return value as Node
}

const entriesOf = (value: unknown): Array<[string, unknown]> => Object.entries(value ?? {})
const listOf = (value: unknown): ReadonlyArray<unknown> => value === undefined ? [] : value as ReadonlyArray<unknown>

/** What the API would refuse of a JSON Schema, and where. */
export const complaints = (schema: unknown, root = nodeOf(schema), path = "#"): Array<string> => {
  const json = nodeOf(schema)
  const found: Array<string> = []
  const complain = (what: string) => found.push(`${path}: ${what}`)
  for (const keyword of Object.keys(json)) if (!keywords.has(keyword)) complain(keyword)
  if (!kinds.some((keyword) => keyword in json)) complain("says nothing")
  if (json["type"] === "object" && json["additionalProperties"] !== false) complain("is open")
  if (json["format"] !== undefined && !formats.has(String(json["format"]))) complain(`format ${json["format"]}`)
  if (/\(\?[^:]|\\[bBkpP1-9]/.test(String(json["pattern"]))) complain(`pattern ${json["pattern"]}`)
  // Nobody says how references are unescaped.
  if (/[^\w/#$-]/.test(String(json["$ref"] ?? ""))) complain(`escaped ${json["$ref"]}`)
  if (json["$ref"] !== undefined && definitionOf(json, root) === undefined) complain(`dangling ${json["$ref"]}`)
  for (const [name, child] of entriesOf(json["properties"])) found.push(...complaints(child, root, `${path}.${name}`))
  for (const [name, child] of entriesOf(json["$defs"])) found.push(...complaints(child, root, `${path}$${name}`))
  for (const child of [...listOf(json["anyOf"]), ...listOf(json["allOf"])]) found.push(...complaints(child, root, path))
  if (json["items"] !== undefined) found.push(...complaints(json["items"], root, `${path}[]`))
  return found
}

const definitionOf = ({ $ref }: Node, root: Node): unknown =>
  Reflect.get(nodeOf(root["$defs"]), String($ref).slice("#/$defs/".length))

/** Whether a value is of a JSON Schema of that subset. */
export const accepts = (schema: unknown, value: unknown, root = nodeOf(schema)): boolean => {
  const json = nodeOf(schema)
  if (json["$ref"] !== undefined) return accepts(definitionOf(json, root), value, root)
  if (json["anyOf"] !== undefined && !listOf(json["anyOf"]).some((child) => accepts(child, value, root))) return false
  if (!listOf(json["allOf"]).every((child) => accepts(child, value, root))) return false
  if (json["enum"] !== undefined && !listOf(json["enum"]).includes(value)) return false
  if ("const" in json && json["const"] !== value) return false
  switch (json["type"]) {
    case undefined:
      return true
    case "null":
      return value === null
    case "boolean":
    case "number":
      return typeof value === json["type"]
    case "integer":
      return Number.isInteger(value)
    case "string":
      return typeof value === "string" &&
        (json["pattern"] === undefined || new RegExp(String(json["pattern"]), "u").test(value))
    case "array":
      return Array.isArray(value) &&
        (json["items"] === undefined || value.every((item) => accepts(json["items"], item, root)))
    case "object": {
      if (!Predicate.isObject(value)) return false
      const properties = new Map(entriesOf(json["properties"]))
      return listOf(json["required"]).every((key) => Object.hasOwn(value, String(key))) &&
        Object.entries(value).every(([key, child]) => properties.has(key) && accepts(properties.get(key), child, root))
    }
    default:
      throw new Error(`type ${JSON.stringify(json["type"])}`)
  }
}
