/**
 * A schema as structured output: the JSON Schema that the API can hold an answer to and the codec that reads it, or what
 * of the schema cannot be told so, and where.
 *
 * The JSON Schema is the subset that the API knows, so it may allow more; the codec decides. On the wire a record is a
 * list of keys and values, a tuple an object, and what is absent is null.
 */
import { toCodecAnthropic } from "effect/ai/AnthropicStructuredOutput"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as JsonSchema from "effect/JsonSchema"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaTransformation from "effect/SchemaTransformation"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A schema that can be sent. @internal */
export interface ObjectSchema<A, RD, RE> {
  readonly codec: Schema.ConstraintCodec<A, unknown, RD, RE>
  readonly jsonSchema: JsonSchema.JsonSchema
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** What is to be sent, or what stands against it: "it is recursive at tree.children[]". @internal */
export const make = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>
): Result.Result<ObjectSchema<A, RD, RE>, string> => {
  const path = recursion(schema)
  if (path !== undefined) return Result.fail(`it is recursive ${at(path)}`)
  const made = attempt(schema)
  if (typeof made !== "string") return Result.succeed(made)
  const found = search(schema.ast, "", [])
  return Result.fail(found === undefined ? made : `${found.failure} ${at(found.path)}`)
}

/** As effect/ai asks for it: throws where there is none. @internal */
export const toCodec: LanguageModel.CodecTransformer = (schema) =>
  // What comes back to itself effect's own refuses, and says so.
  recursion(schema) === undefined ? codecOf(schema) : toCodecAnthropic(schema)

/** The codec of a schema that `make` has taken, or of a part of it. @internal */
export const codecOf = <A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>): ObjectSchema<A, RD, RE> => {
  const { ast } = Schema.toCodecJson(schema)
  const encoded = SchemaAST.toEncoded(ast)
  const from = withNulls(encoded)
  if (from === encoded) return toCodecAnthropic(schema)
  // It decodes to what the schema decodes to, with the same services.
  return toCodecAnthropic(
    Schema.make<typeof schema>(SchemaAST.decodeTo(from, ast, SchemaTransformation.passthrough()))
  )
}

const at = (path: string): string => `at ${path === "" ? "its root" : path}`

const attempt = <A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>): ObjectSchema<A, RD, RE> | string => {
  try {
    const made = codecOf(schema)
    return isTold(made.jsonSchema) ? made : "any value would fit it"
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * What may be absent as null, before the rest is rewritten: effect's own codec decodes an optional property twice, and
 * fails at a record or a tuple that has become something else by then.
 */
const withNulls = (ast: SchemaAST.AST): SchemaAST.AST => {
  const child = (type: SchemaAST.AST): SchemaAST.AST => {
    const inner = withNulls(type)
    return SchemaAST.isOptional(type)
      ? SchemaAST.decodeTo(
        new SchemaAST.Union([inner, SchemaAST.null]),
        Schema.optionalKey(Schema.make(SchemaAST.toType(inner))).ast,
        absent
      )
      : inner
  }
  switch (ast._tag) {
    case "Objects": {
      const properties = ast.propertySignatures.map(({ name, type }) =>
        new SchemaAST.PropertySignature(name, child(type))
      )
      const others = ast.indexSignatures.map(({ parameter, type }) =>
        new SchemaAST.IndexSignature(parameter, withNulls(type))
      )
      const isSame = properties.every(({ type }, n) => type === ast.propertySignatures[n]!.type) &&
        others.every(({ type }, n) => type === ast.indexSignatures[n]!.type)
      return isSame
        ? ast
        : new SchemaAST.Objects(properties, others, ast.annotations, ast.checks, undefined, ast.context)
    }
    case "Arrays": {
      const elements = ast.elements.map(child)
      const rest = ast.rest.map(withNulls)
      const isSame = elements.every((type, n) => type === ast.elements[n]) &&
        rest.every((type, n) => type === ast.rest[n])
      return isSame
        ? ast
        : new SchemaAST.Arrays(ast.isMutable, elements, rest, ast.annotations, ast.checks, undefined, ast.context)
    }
    case "Union": {
      const types = ast.types.map(withNulls)
      return types.every((type, n) => type === ast.types[n])
        ? ast
        : new SchemaAST.Union(types, ast.options, ast.annotations, ast.checks, undefined, ast.context)
    }
    case "Suspend":
      // It does not come back to itself, or it would have been refused.
      return withNulls(ast.thunk())
    default:
      return ast
  }
}

const absent = SchemaTransformation.transformOptional<unknown, unknown>({
  decode: Option.filter(Predicate.isNotNull),
  encode: Option.orElseSome(() => null)
})

// -----------------------------------------------------------------------------
// what cannot be told
// -----------------------------------------------------------------------------

const kinds = ["type", "anyOf", "allOf", "enum", "const", "$ref"]

/** Whether each part of a JSON Schema says what it is of, as the API asks. */
const isTold = (json: unknown): boolean => {
  if (!Predicate.isObject(json)) return false
  const node = json as JsonSchema.JsonSchema
  return kinds.some((keyword) => keyword in node) && childrenOf(node).every(([child]) => isTold(child)) &&
    Object.values(node["$defs"] ?? {}).every(isTold)
}

const childrenOf = (json: JsonSchema.JsonSchema, path = ""): Array<readonly [child: unknown, path: string]> => {
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

const join = (path: string, name: PropertyKey): string => path === "" ? String(name) : `${path}.${String(name)}`

/** What each reference of these documents begins with. */
const DEFINITIONS = "#/$defs/"

/** The path at which a schema comes back to itself, such as `tree.children[]`. */
const recursion = (schema: Schema.Constraint): string | undefined => {
  let document: JsonSchema.Document<"draft-2020-12">
  try {
    document = Schema.toJsonSchemaDocument(schema)
  } catch {
    return undefined
  }
  const seek = (node: unknown, path: string, within: ReadonlyArray<string>): string | undefined => {
    if (!Predicate.isObject(node)) return undefined
    const json = node as JsonSchema.JsonSchema
    if (typeof json["$ref"] === "string") {
      const key = json["$ref"].slice(DEFINITIONS.length).replaceAll("~1", "/").replaceAll("~0", "~")
      return within.includes(key) ? path : seek(document.definitions[key], path, [...within, key])
    }
    for (const [child, at] of childrenOf(json, path)) {
      const found = seek(child, at, within)
      if (found !== undefined) return found
    }
    return undefined
  }
  return seek(document.schema, "", [])
}

/** The innermost part that cannot be told on its own. */
const search = (
  ast: SchemaAST.AST,
  path: string,
  within: ReadonlyArray<SchemaAST.AST>
): { readonly path: string; readonly failure: string } | undefined => {
  if (within.includes(ast)) return undefined
  const failure = attempt(Schema.make<Schema.Codec<unknown>>(ast))
  if (typeof failure !== "string") return undefined
  for (const [child, at] of partsOf(ast, path)) {
    const found = search(child, at, [...within, ast])
    if (found !== undefined) return found
  }
  return { path, failure }
}

const partsOf = (ast: SchemaAST.AST, path: string): ReadonlyArray<readonly [SchemaAST.AST, string]> => {
  const encoded = ast.encoding?.at(-1)
  if (encoded !== undefined) return [[encoded.to, path]]
  switch (ast._tag) {
    case "Objects":
      return [
        ...ast.propertySignatures.map(({ name, type }) => [type, join(path, name)] as const),
        ...ast.indexSignatures.map(({ type }) => [type, `${path}[key]`] as const)
      ]
    case "Arrays":
      return [
        ...ast.elements.map((element, n) => [element, `${path}[${n}]`] as const),
        ...ast.rest.map((element) => [element, `${path}[]`] as const)
      ]
    case "Union":
      return ast.types.map((type) => [type, path])
    case "Suspend":
      return [[ast.thunk(), path]]
    case "Declaration":
      return ast.typeParameters.map((type) => [type, path])
    default:
      return []
  }
}
