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

/** What the API enforces in one request: https://platform.claude.com/docs/en/build-with-claude/structured-outputs @internal */
export const limits = { tools: 20, optional: 24, unions: 16 }

/** What counts towards them. @internal */
export interface Cost {
  /** Properties that may be absent. */
  readonly optional: number
  readonly unions: number
}

/** Schemas do not change. */
const costs = new WeakMap<object, Cost>()

/** What a JSON Schema takes of what the API enforces. @internal */
export const costOf = (json: JsonSchema.JsonSchema): Cost => {
  let cost = costs.get(json)
  if (cost === undefined) {
    const nodes = nodesOf(json)
    cost = {
      optional: nodes.reduce((sum, node) => sum + optionalIn(node), 0),
      unions: nodes.filter(({ anyOf, type }) => Array.isArray(anyOf) || Array.isArray(type)).length
    }
    costs.set(json, cost)
  }
  return cost
}

const optionalIn = ({ properties, required }: JsonSchema.JsonSchema): number => {
  const names = new Set<unknown>(Array.isArray(required) ? required : [])
  return Object.keys(properties ?? {}).filter((name) => !names.has(name)).length
}

/** Whether the API holds an answer to it, which has no properties that may be absent: they may be null. @internal */
export const isEnforceable = (json: JsonSchema.JsonSchema): boolean => costOf(json).unions <= limits.unions

const KEY = /^[a-zA-Z0-9_.-]{1,64}$/

/** Whether it can be the input of a tool as it is. @internal */
export const isInput = ({ allOf, properties, type }: JsonSchema.JsonSchema): boolean =>
  type === "object" && allOf === undefined && Object.keys(properties ?? {}).every((key) => KEY.test(key))

// -----------------------------------------------------------------------------
// rewriting
// -----------------------------------------------------------------------------

/** Lookaround, names, references, word boundaries, classes of Unicode, long repetitions. */
const BEYOND = /\(\?[^:]|\\(?:[bBkpP1-9]|u\{)|\{(?:\d+,)?\d{3,}\}/

/**
 * Without patterns that the API cannot compile and definitions that nothing refers to, and with names of definitions
 * that any reader of references finds: an identifier may have slashes.
 *
 * @internal
 */
export const simplified = ({ $defs, ...json }: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  const names = new Map<string, string>()
  const definitions = new Map<string, unknown>()
  const nameOf = (key: string): string => {
    let name = names.get(key)
    if (name === undefined) {
      name = key.replaceAll(/[^\w-]/g, "_")
      while (definitions.has(name)) name += "_"
      names.set(key, name)
      // Its place, since it may refer to others.
      definitions.set(name, undefined)
      definitions.set(name, rewrite(Reflect.get($defs ?? {}, key)))
    }
    return name
  }
  const rewrite = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(rewrite)
    return isNode(value) ? withoutPattern(rewriteNode(value)) : value
  }
  const rewriteNode = (json: JsonSchema.JsonSchema): JsonSchema.JsonSchema =>
    Object.fromEntries(
      Object.entries(json).map(([keyword, value]) => {
        if (keyword === "$ref" && typeof value === "string") return [keyword, `#/$defs/${nameOf(definitionOf(value))}`]
        if (keyword === "properties") return [keyword, mapValues(value, rewrite)]
        return [keyword, keyword === "enum" ? value : rewrite(value)]
      })
    )
  const root = withoutPattern(rewriteNode(json))
  return definitions.size === 0 ? root : { ...root, $defs: Object.fromEntries(definitions) }
}

const withoutPattern = ({ pattern, ...node }: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  if (typeof pattern !== "string") return node
  if (!BEYOND.test(pattern)) return { ...node, pattern }
  const description = typeof node["description"] === "string" ? node["description"] : ""
  if (description.includes(pattern)) return node
  const said = `a string matching the RegExp ${pattern}`
  return { ...node, description: description === "" ? said : `${description} and ${said}` }
}

const mapValues = (value: unknown, f: (value: unknown) => unknown): unknown =>
  Predicate.isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, child]) => [name, f(child)]))
    : value
