/**
 * Where in a schema lies what cannot be sent as structured output.
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** The path at which a schema comes back to itself, such as `tree.children[]`. @internal */
export const recursion = (schema: Schema.Constraint): string | undefined => {
  let document: JsonSchema.Document<"draft-2020-12">
  try {
    document = Schema.toJsonSchemaDocument(schema)
  } catch {
    return undefined
  }
  return search(document.schema, "", [], document.definitions)
}

/** What each reference of these documents begins with. */
const DEFINITIONS = "#/$defs/"

const search = (
  node: unknown,
  path: string,
  within: ReadonlyArray<string>,
  definitions: JsonSchema.Definitions
): string | undefined => {
  if (!Predicate.isObject(node)) return undefined
  const json = node as JsonSchema.JsonSchema
  const seek = (child: unknown, at: string, stack = within) => search(child, at, stack, definitions)
  if (typeof json["$ref"] === "string") {
    const key = json["$ref"].slice(DEFINITIONS.length).replaceAll("~1", "/").replaceAll("~0", "~")
    return within.includes(key) ? path : seek(definitions[key], path, [...within, key])
  }
  const children: Array<readonly [unknown, string]> = [
    ...Object.entries(json["properties"] ?? {}).map(([name, child]) =>
      [child, path === "" ? name : `${path}.${name}`] as const
    ),
    [json["items"], `${path}[]`],
    [json["additionalProperties"], `${path}[key]`]
  ]
  for (const keyword of ["prefixItems", "anyOf", "oneOf", "allOf"]) {
    const members: unknown = json[keyword]
    if (!Array.isArray(members)) continue
    members.forEach((member, n) => children.push([member, keyword === "prefixItems" ? `${path}[${n}]` : path]))
  }
  for (const [child, at] of children) {
    const found = seek(child, at)
    if (found !== undefined) return found
  }
  return undefined
}
