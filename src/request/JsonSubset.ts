/**
 * The subset of JSON Schema that the API can hold an answer to: what of a document is in it, and what the API refuses
 * all the same.
 *
 * What is left out stays in the descriptions, for the model to read; the codec decides it.
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** The parts of a JSON Schema, and the path of each. @internal */
export const childrenOf = (
  json: JsonSchema.JsonSchema,
  path = ""
): Array<readonly [child: unknown, path: string]> => {
  const children: Array<readonly [unknown, string]> = Object.entries(json["properties"] ?? {})
    .map(([name, child]) => [child, join(path, name)] as const)
  if ("items" in json) children.push([json["items"], `${path}[]`])
  // What may be beside the properties is nothing, or a record's values.
  if (Predicate.isObject(json["additionalProperties"])) children.push([json["additionalProperties"], `${path}[key]`])
  for (const keyword of ["prefixItems", "anyOf", "oneOf", "allOf"]) {
    const members: unknown = json[keyword]
    if (!Array.isArray(members)) continue
    members.forEach((member, n) => children.push([member, keyword === "prefixItems" ? `${path}[${n}]` : path]))
  }
  return children
}

/** The path of a property. @internal */
export const join = (path: string, name: PropertyKey): string => path === "" ? String(name) : `${path}.${String(name)}`

/** The definition that a reference of these documents names. @internal */
export const definitionOf = ($ref: string): string =>
  $ref.slice("#/$defs/".length).replaceAll("~1", "/").replaceAll("~0", "~")

const isNode = (json: unknown): json is JsonSchema.JsonSchema => Predicate.isObject(json)

/** A document's parts, each once, and those of its definitions. */
const nodesOf = (json: unknown): Array<JsonSchema.JsonSchema> =>
  isNode(json)
    ? [
      json,
      ...childrenOf(json).flatMap(([child]) => nodesOf(child)),
      ...Object.values(json["$defs"] ?? {}).flatMap(nodesOf)
    ]
    : []

// -----------------------------------------------------------------------------
// what the API asks
// -----------------------------------------------------------------------------

const kinds = ["type", "anyOf", "allOf", "enum", "const", "$ref"]

/** Whether each part of a JSON Schema says what it is of, as the API asks. @internal */
export const isTold = (json: unknown): boolean =>
  isNode(json) && kinds.some((keyword) => keyword in json) &&
  childrenOf(json).every(([child]) => isTold(child)) &&
  Object.values(json["$defs"] ?? {}).every(isTold)

/** More of them, and the API refuses a format or a strict tool. */
const MOST_UNIONS = 16

/** Whether the API holds an answer to it; a property that may be absent is a union, too. @internal */
export const isEnforceable = (json: JsonSchema.JsonSchema): boolean =>
  nodesOf(json).filter(({ anyOf, type }) => anyOf !== undefined || Array.isArray(type)).length <= MOST_UNIONS

const KEY = /^[a-zA-Z0-9_.-]{1,64}$/

/** Whether it can be the input of a tool as it is. @internal */
export const isInput = ({ allOf, properties, type }: JsonSchema.JsonSchema): boolean =>
  type === "object" && allOf === undefined && Object.keys(properties ?? {}).every((key) => KEY.test(key))

// -----------------------------------------------------------------------------
// rewriting
// -----------------------------------------------------------------------------

/** Lookaround, names, references, word boundaries, classes of Unicode, long repetitions. */
const BEYOND = /\(\?[^:]|\\(?:[bBkpP1-9]|u\{)|\{(?:\d+,)?\d{3,}\}/

/** Without patterns that the API cannot compile, and definitions that nothing refers to. @internal */
export const simplified = ({ $defs, ...json }: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  const root = withoutPatterns(json)
  const used = new Map<string, JsonSchema.JsonSchema>()
  const use = (json: JsonSchema.JsonSchema): void => {
    for (const { $ref } of nodesOf(json)) {
      const name = typeof $ref === "string" ? definitionOf($ref) : undefined
      const definition: unknown = name === undefined ? undefined : Reflect.get($defs ?? {}, name)
      if (name === undefined || used.has(name) || !isNode(definition)) continue
      const kept = withoutPatterns(definition)
      used.set(name, kept)
      use(kept)
    }
  }
  use(root)
  return used.size === 0 ? root : { ...root, $defs: Object.fromEntries(used) }
}

const withoutPatterns = (json: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  const rewritten = Object.entries(json).map(([keyword, value]) => {
    if (keyword === "properties") return [keyword, mapValues(value, rewrite)]
    return [keyword, Array.isArray(value) ? value.map(rewrite) : keyword === "items" ? rewrite(value) : value]
  })
  const { pattern, ...node }: JsonSchema.JsonSchema = Object.fromEntries(rewritten)
  if (typeof pattern !== "string") return node
  if (!BEYOND.test(pattern)) return { ...node, pattern }
  const description = typeof node["description"] === "string" ? node["description"] : ""
  if (description.includes(pattern)) return node
  const said = `a string matching the RegExp ${pattern}`
  return { ...node, description: description === "" ? said : `${description} and ${said}` }
}

const rewrite = (json: unknown): unknown => isNode(json) ? withoutPatterns(json) : json

const mapValues = (value: unknown, f: (value: unknown) => unknown): unknown =>
  Predicate.isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, child]) => [name, f(child)]))
    : value
