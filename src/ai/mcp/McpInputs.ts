/**
 * Names and parameters of an MCP server's tools as the API takes them.
 *
 * The API refuses a request for one name, one key or one schema that it does not take, whatever the request is about,
 * so a single tool of a single server would end every call. The surprise: alternatives at the root of a schema become
 * one object with the parameters of all of them; which of them go together the server still checks, and says.
 */
import type * as McpSchema from "effect/ai/McpSchema"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as McpSchemas from "./McpSchemas.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** The parameters of a tool. @internal */
export interface Input {
  /** As the model is told them. */
  readonly schema: JsonSchema.JsonSchema
  /** What the model gave, under the names of the server. */
  readonly restore: (params: Readonly<Record<string, unknown>>) => Record<string, unknown>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** The names of tools, in their order: those that the API takes as they are, the others changed where they must be. @internal */
export const toolNames = (names: ReadonlyArray<string>): ReadonlyArray<string> => fitted(names, /[^a-zA-Z0-9_-]/g, 128)

/** @internal */
export const input = (root: McpSchema.Tool["inputSchema"]): Input => {
  const schema = folded(McpSchemas.valid(root))
  const properties = objectOf(schema.properties)
  const keys = Object.keys(properties)
  const fitting = fitted(keys, /[^a-zA-Z0-9_.-]/g, 64)
  const renamed = new Map(keys.map((key, index) => [key, fitting[index]!]))
  if (keys.every((key) => renamed.get(key) === key)) return { schema, restore: (params) => ({ ...params }) }
  const original = new Map([...renamed].map(([key, name]) => [name, key]))
  return {
    schema: {
      ...schema,
      properties: Object.fromEntries(keys.map((key) => [renamed.get(key), properties[key]])),
      ...(Array.isArray(schema.required)
        ? { required: schema.required.map((key) => renamed.get(key) ?? key) }
        : undefined)
    },
    restore: (params) =>
      Object.fromEntries(Object.entries(params).map(([name, value]) => [original.get(name) ?? name, value]))
  }
}

/** What does not fit is changed, and never to what another is called. */
const fitted = (names: ReadonlyArray<string>, others: RegExp, length: number): ReadonlyArray<string> => {
  const clean = (name: string) => name.replaceAll(others, "_").slice(0, length) || "_"
  const taken = new Set(names.filter((name) => clean(name) === name))
  // Of thousands that are alike, each goes on from the last.
  const next = new Map<string, number>()
  return names.map((name) => {
    const wanted = clean(name)
    if (wanted === name) return name
    let free = wanted
    let n = next.get(wanted) ?? 2
    for (; taken.has(free); n++) free = `${wanted.slice(0, length - `_${n}`.length)}_${n}`
    next.set(wanted, n)
    taken.add(free)
    return free
  })
}

// -----------------------------------------------------------------------------
// alternatives
// -----------------------------------------------------------------------------

/** A schema without alternatives at its root. */
const folded = (root: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  const { allOf, anyOf, oneOf, ...rest } = root
  if (allOf === undefined && anyOf === undefined && oneOf === undefined) return root
  const found = new Map<string, Map<string, unknown>>()
  const required = new Set(arrayOf(rest.required))
  const add = (schema: JsonSchema.JsonSchema, isAlways: boolean) => {
    for (const [key, property] of Object.entries(objectOf(schema.properties))) {
      const known = found.get(key) ?? new Map<string, unknown>()
      found.set(key, known.set(JSON.stringify(property), property))
    }
    if (isAlways) arrayOf(schema.required).forEach((key) => required.add(key))
  }
  add(rest, true)
  for (const part of arrayOf(allOf)) add(resolved(root, part), true)
  for (const part of [...arrayOf(anyOf), ...arrayOf(oneOf)]) add(resolved(root, part), false)
  return {
    ...rest,
    // Below the root the API takes alternatives.
    properties: Object.fromEntries(
      [...found].map(([key, known]) => {
        const all = [...known.values()]
        return [key, all.length === 1 ? all[0] : { anyOf: all }]
      })
    ),
    ...(required.size === 0 ? undefined : { required: [...required] })
  }
}

/** What a part of the root refers to, where it does. */
const resolved = (root: JsonSchema.JsonSchema, part: unknown): JsonSchema.JsonSchema => {
  const schema = objectOf(part)
  const [, group, name] = typeof schema.$ref === "string"
    ? /^#\/(\$defs|definitions)\/([^/]+)$/.exec(schema.$ref) ?? []
    : []
  return group === undefined || name === undefined ? schema : objectOf(objectOf(root[group])[name])
}

const objectOf = (value: unknown): JsonSchema.JsonSchema => Predicate.isReadonlyObject(value) ? value : {}

const arrayOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []
