/**
 * The JSON Schema of an MCP server's tool as draft 2020-12 has it, which the API checks.
 *
 * Servers write schemas by hand, or with tools for older drafts and for OpenAPI, and the API refuses a request in which
 * one keyword of one tool is not of the draft. What older drafts say otherwise is said anew; a keyword whose value is not
 * what the draft knows is left out, as if it were not there. The server still checks what it is given.
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"

/** @internal */
export const valid = (root: JsonSchema.JsonSchema): JsonSchema.JsonSchema => schemaOf(root, 0)

/** A schema within so many others is taken for one of anything. */
const DEPTH = 64

const schemaOf = (schema: JsonSchema.JsonSchema, depth: number): JsonSchema.JsonSchema =>
  depth > DEPTH ? {} : Object.fromEntries(
    Object.entries(renewed(schema)).flatMap(([key, value]): Array<[string, unknown]> => {
      const kept = keywords.has(key) ? keywords.get(key)!(value, depth + 1) : value
      return kept === undefined ? [] : [[key, kept]]
    })
  )

/** What older drafts say otherwise, and which draft it is. */
const renewed = (
  { $schema: _, additionalItems, exclusiveMaximum, exclusiveMinimum, items, maximum, minimum, ...rest }:
    JsonSchema.JsonSchema
): JsonSchema.JsonSchema => ({
  ...rest,
  ...(Array.isArray(items) ? { prefixItems: items, items: additionalItems } : { items }),
  ...(exclusiveMaximum === true ? { exclusiveMaximum: maximum } : { exclusiveMaximum, maximum }),
  ...(exclusiveMinimum === true ? { exclusiveMinimum: minimum } : { exclusiveMinimum, minimum })
})

// -----------------------------------------------------------------------------
// keywords
// -----------------------------------------------------------------------------

/** What of its value the draft knows; undefined where it is nothing that it does. */
type Keyword = (value: unknown, depth: number) => unknown

const where = (is: (value: unknown) => boolean): Keyword => (value) => is(value) ? value : undefined

const like = (pattern: RegExp) => where((value) => Predicate.isString(value) && pattern.test(value))

const isSchema = (value: unknown): boolean => typeof value === "boolean" || Predicate.isReadonlyObject(value)

const schema: Keyword = (value, depth) =>
  typeof value === "boolean" ? value : Predicate.isReadonlyObject(value) ? schemaOf(value, depth) : undefined

const schemas: Keyword = (value, depth) => {
  const found = Array.isArray(value) ? value.filter(isSchema).map((one) => schema(one, depth)) : []
  return found.length > 0 ? found : undefined
}

const named = (one: Keyword): Keyword => (value, depth) =>
  Predicate.isReadonlyObject(value)
    ? Object.fromEntries(
      Object.entries(value).flatMap(([key, own]): Array<[string, unknown]> => {
        const kept = one(own, depth)
        return kept === undefined ? [] : [[key, kept]]
      })
    )
    : undefined

const texts: Keyword = (value) => Array.isArray(value) ? [...new Set(value.filter(Predicate.isString))] : undefined

const types: Keyword = (value) => {
  const known = [value].flat().filter((type) => TYPES.has(type))
  return known.length > 1 ? [...new Set(known)] : known[0]
}

const TYPES = new Set<unknown>(["null", "boolean", "object", "array", "number", "string", "integer"])

const isPattern = (value: unknown): boolean => {
  try {
    return typeof value === "string" && new RegExp(value, "u") instanceof RegExp
  } catch {
    return false
  }
}

const property: Keyword = (value, depth) => schema(value, depth) ?? {}

const patterns: Keyword = (value, depth) => {
  const all = named(schema)(value, depth)
  return Predicate.isReadonlyObject(all)
    ? Object.fromEntries(Object.entries(all).filter(([pattern]) => isPattern(pattern)))
    : undefined
}

const each = (keyword: Keyword, ...names: ReadonlyArray<string>) => names.map((name) => [name, keyword] as const)

const keywords: ReadonlyMap<string, Keyword> = new Map([
  ...each(types, "type"),
  ...each(named(property), "properties"),
  ...each(named(schema), "$defs", "definitions", "dependentSchemas"),
  ...each(patterns, "patternProperties"),
  ...each(named((value, depth) => texts(value, depth) ?? schema(value, depth)), "dependencies"),
  ...each(named(texts), "dependentRequired"),
  ...each(texts, "required"),
  ...each(schemas, "allOf", "anyOf", "oneOf", "prefixItems"),
  ...each(schema, "items", "contains", "not", "if", "then", "else"),
  ...each(
    schema,
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema"
  ),
  ...each(where(Array.isArray), "enum", "examples"),
  ...each(where(Number.isFinite), "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
  ...each(where((value) => Predicate.isNumber(value) && value > 0), "multipleOf"),
  ...each(
    where((value) => Number.isSafeInteger(value) && Number(value) >= 0),
    ...["Length", "Items", "Properties", "Contains"].flatMap((of) => [`min${of}`, `max${of}`])
  ),
  ...each(where(Predicate.isBoolean), "uniqueItems", "deprecated", "readOnly", "writeOnly"),
  ...each(where(isPattern), "pattern"),
  ...each(where(Predicate.isString), "title", "description", "format", "contentEncoding", "contentMediaType"),
  ...each(where(Predicate.isString), "$comment", "$ref", "$dynamicRef"),
  ...each(like(/^[^#]*#?$/), "$id"),
  ...each(like(/^[A-Za-z_][-\w.]*$/), "$anchor", "$dynamicAnchor"),
  // Of what describes schemas themselves there is nothing in a tool.
  ...each(() => undefined, "$vocabulary", "$recursiveRef", "$recursiveAnchor")
])
