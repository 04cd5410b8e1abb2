/**
 * What is absent, over the wire: null, since the API is asked for every property, and each that it may leave out would
 * count against what it enforces.
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaTransformation from "effect/SchemaTransformation"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * What may be absent as null, before the rest is rewritten: effect's own codec decodes an optional property twice, and
 * fails at a record or a tuple that has become something else by then. A record's pairs are absent where they are.
 *
 * @internal
 */
export const withNulls = (encoded: SchemaAST.AST): SchemaAST.AST =>
  rewritten(encoded, (type, isOptional) =>
    isOptional
      ? SchemaAST.decodeTo(
        new SchemaAST.Union([type, SchemaAST.null]),
        Schema.optionalKey(Schema.make(SchemaAST.toType(type))).ast,
        nullAsAbsent
      )
      : type)

const nullAsAbsent = SchemaTransformation.transformOptional<unknown, unknown>({
  decode: Option.filter(Predicate.isNotNull),
  encode: Option.orElseSome(() => null)
})

/** What may be null may be absent, too: the input of a call is not held to its schema. @internal */
export const withAbsent = (wire: SchemaAST.AST): SchemaAST.AST =>
  rewritten(wire, (type) =>
    mayBeNull(type)
      ? SchemaAST.decodeTo(Schema.optionalKey(Schema.make(type)).ast, type, absentAsNull)
      : type)

const absentAsNull = SchemaTransformation.transformOptional<unknown, unknown>({
  decode: Option.orElseSome(() => null),
  encode: (value) => value
})

const mayBeNull = (ast: SchemaAST.AST): boolean =>
  ast._tag === "Null" || ast._tag === "Union" && ast.types.some(mayBeNull)

// -----------------------------------------------------------------------------
// rewriting
// -----------------------------------------------------------------------------

/** With each property and each element, from the innermost out, as `child` has it. */
const rewritten = (
  ast: SchemaAST.AST,
  child: (type: SchemaAST.AST, isOptional: boolean) => SchemaAST.AST
): SchemaAST.AST => {
  const within = (type: SchemaAST.AST) => rewritten(type, child)
  const own = (type: SchemaAST.AST) => child(within(type), SchemaAST.isOptional(type))
  switch (ast._tag) {
    case "Objects": {
      const isRecord = ast.indexSignatures.length > 0
      const properties = ast.propertySignatures.map(({ name, type }) =>
        new SchemaAST.PropertySignature(name, isRecord ? within(type) : own(type))
      )
      const others = ast.indexSignatures.map(({ parameter, type }) =>
        new SchemaAST.IndexSignature(parameter, within(type))
      )
      const isSame = properties.every(({ type }, n) => type === ast.propertySignatures[n]!.type) &&
        others.every(({ type }, n) => type === ast.indexSignatures[n]!.type)
      return isSame
        ? ast
        : new SchemaAST.Objects(properties, others, ast.annotations, ast.checks, undefined, ast.context)
    }
    case "Arrays": {
      const elements = ast.elements.map(own)
      const rest = ast.rest.map(within)
      const isSame = elements.every((type, n) => type === ast.elements[n]) &&
        rest.every((type, n) => type === ast.rest[n])
      return isSame
        ? ast
        : new SchemaAST.Arrays(ast.isMutable, elements, rest, ast.annotations, ast.checks, undefined, ast.context)
    }
    case "Union": {
      const types = ast.types.map(within)
      return types.every((type, n) => type === ast.types[n])
        ? ast
        : new SchemaAST.Union(types, ast.options, ast.annotations, ast.checks, undefined, ast.context)
    }
    case "Suspend":
      // It does not come back to itself, or it would have been refused.
      return within(ast.thunk())
    default:
      return ast
  }
}
