/**
 * A schema as structured output: the JSON Schema that the API can hold an answer to and the codec that reads it, or what
 * of the schema cannot be told so, and where.
 *
 * The JSON Schema is the subset that the API knows, so it may allow more; the codec decides. On the wire a record is a
 * list of keys and values, a tuple an object, and what is absent is null.
 */
import { toCodecAnthropic } from "effect/ai/AnthropicStructuredOutput"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Absence from "./Absence.ts"
import * as JsonSubset from "./JsonSubset.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A schema that can be sent. @internal */
export interface ObjectSchema<A, RD, RE> {
  readonly codec: Schema.ConstraintCodec<A, unknown, RD, RE>
  readonly jsonSchema: JsonSchema.JsonSchema
}

/** A schema of whole answers. @internal */
export interface AnswerSchema<A, RD, RE> extends ObjectSchema<A, RD, RE> {
  /** What comes over the wire, and what of that was asked for. */
  readonly whole: Schema.Constraint
  readonly pick: (whole: unknown) => unknown
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

/** Schemas do not change, and a codec takes longer to make than all else of a call. */
const answers = new WeakMap<object, Result.Result<AnswerSchema<unknown, unknown, unknown>, string>>()

/** As `make`, for an answer: the API answers with a plain object, so that all else is a property of one. @internal */
export const ofAnswer = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>
): Result.Result<AnswerSchema<A, RD, RE>, string> => {
  let made = answers.get(schema)
  if (made === undefined) answers.set(schema, made = Result.map(make(schema), (made) => asAnswer(schema, made)))
  // It was made of this very schema.
  return made as Result.Result<AnswerSchema<A, RD, RE>, string>
}

const asAnswer = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  made: ObjectSchema<A, RD, RE>
): AnswerSchema<A, RD, RE> => {
  if (JsonSubset.isInput(made.jsonSchema)) return { ...made, whole: schema, pick: (answer) => answer }
  const whole = Schema.Struct({ answer: schema })
  const { codec, jsonSchema } = codecOf(whole)
  return {
    // It decodes to what the schema decodes to, with the same services.
    codec: Schema.make<typeof made.codec>(SchemaAST.decodeTo(codec.ast, SchemaAST.toType(schema.ast), onlyAnswer)),
    jsonSchema,
    whole,
    pick: (value) => Predicate.isObject(value) ? Reflect.get(value, "answer") : undefined
  }
}

const onlyAnswer = SchemaTransformation.transform({
  decode: ({ answer }: { readonly answer: unknown }) => answer,
  encode: (answer: unknown) => ({ answer })
})

/** The codec of a schema that `make` has taken, or of a part of it. @internal */
export const codecOf = <A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>): ObjectSchema<A, RD, RE> => {
  const { ast } = Schema.toCodecJson(schema)
  const encoded = SchemaAST.toEncoded(ast)
  const from = Absence.withNulls(encoded)
  const { codec, jsonSchema } = toCodecAnthropic(
    // It decodes to what the schema decodes to, with the same services.
    from === encoded
      ? schema
      : Schema.make<typeof schema>(SchemaAST.decodeTo(from, ast, SchemaTransformation.passthrough()))
  )
  const wire = SchemaAST.toEncoded(codec.ast)
  const lenient = Absence.withAbsent(wire)
  return {
    codec: lenient === wire
      ? codec
      : Schema.make<typeof codec>(SchemaAST.decodeTo(lenient, codec.ast, SchemaTransformation.passthrough())),
    jsonSchema: JsonSubset.simplified(jsonSchema)
  }
}

const at = (path: string): string => `at ${path === "" ? "its root" : path}`

const attempt = <A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>): ObjectSchema<A, RD, RE> | string => {
  try {
    const made = codecOf(schema)
    return JsonSubset.isTold(made.jsonSchema) ? made : "JSON Schema cannot say what it is"
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

// -----------------------------------------------------------------------------
// what cannot be told
// -----------------------------------------------------------------------------

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
      const key = JsonSubset.definitionOf(json["$ref"])
      return within.includes(key) ? path : seek(document.definitions[key], path, [...within, key])
    }
    for (const [child, at] of JsonSubset.childrenOf(json, path)) {
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
        ...ast.propertySignatures.map(({ name, type }) => [type, JsonSubset.join(path, name)] as const),
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
