/**
 * A schema as what can be told of its values before they are whole: which parts it has on the wire, how each is decoded
 * on its own, and which of them may be told while they are open.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as ObjectSchema from "../request/ObjectSchema.ts"
import type { Open } from "./JsonPrefix.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Nothing can be told yet. @internal */
export const none: unique symbol = Symbol.for("effect-claude/decode/ObjectShape/none")

/** A part's value, or `none` where it does not decode. @internal */
export type Decode = (value: unknown) => Effect.Effect<unknown, never, unknown>

/** A part of a schema: how it is decoded when it is whole, and how it is told before. @internal */
export interface Part {
  readonly decode: Decode
  readonly shape: () => Shape
}

/** How what is open is told. @internal */
export type Shape =
  | { readonly _tag: "Whole"; readonly opens: ReadonlySet<Open["_tag"]> }
  | { readonly _tag: "Literal" }
  | { readonly _tag: "Text"; readonly decode: Decode }
  | { readonly _tag: "List"; readonly item: Part }
  | Fields
  | { readonly _tag: "Record"; readonly entry: (key: string) => Part }
  | { readonly _tag: "Tuple"; readonly fields: Fields; readonly length: number; readonly tail: number }
  | { readonly _tag: "Union"; readonly members: ReadonlyArray<Shape> }

/** A struct's. @internal */
export interface Fields {
  readonly _tag: "Fields"
  readonly parts: ReadonlyMap<string, Part>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** How the codec that the API's answers are read with spells a tuple's elements. @internal */
export const REST = "__rest__"
/** @internal */
export const tailKey = (n: number): string => `__tail_${n}__`

/** Schemas do not change, and a codec takes long to make. */
const parts = new WeakMap<SchemaAST.AST, Part>()

/** @internal */
export const partOf = (ast: SchemaAST.AST): Part => {
  let part = parts.get(ast)
  if (part === undefined) {
    let shape: Shape | undefined
    parts.set(ast, part = { decode: decoder(ast), shape: () => shape ??= shapeOf(ast) })
  }
  return part
}

const codecOf = (ast: SchemaAST.AST) =>
  ObjectSchema.codecOf(Schema.make<Schema.Codec<unknown, unknown, unknown>>(ast)).codec

const decoder = (ast: SchemaAST.AST): Decode => {
  let decode: Decode | undefined
  return (value) => {
    if (decode === undefined) {
      const effect = Schema.decodeUnknownEffect(codecOf(ast), { onExcessProperty: "error" })
      decode = (value) => Effect.orElseSucceed(effect(value), () => none)
    }
    return decode(value)
  }
}

/** A property is decoded as an object of it alone, since it may be absent, null or have a default. */
const fieldOf = (property: SchemaAST.PropertySignature): Part => {
  const decode = decoder(new SchemaAST.Objects([property], []))
  return {
    decode: (value) => decode(Object.fromEntries([[property.name, value]])),
    shape: partOf(property.type).shape
  }
}

const fieldsOf = (properties: ReadonlyArray<SchemaAST.PropertySignature>): Fields => ({
  _tag: "Fields",
  parts: new Map(properties.map((property) => [String(property.name), fieldOf(property)]))
})

const shapeOf = (ast: SchemaAST.AST): Shape => {
  if (ast.encoding !== undefined) {
    const [{ to }] = ast.encoding
    // A class goes on as the struct that it is made of.
    const isClass = SchemaAST.isDeclaration(ast) && ast.annotations?.["~constructor"] !== undefined
    return isClass && ast.encoding.length === 1 && to.encoding === undefined ? shapeOf(to) : whole(ast)
  }
  switch (ast._tag) {
    case "String":
      return textOf(ast)
    case "Literal":
      return typeof ast.literal === "string" ? { _tag: "Literal" } : whole(ast)
    case "Arrays":
      return arrayOf(ast)
    case "Objects":
      return ast.indexSignatures.length === 0 ? fieldsOf(ast.propertySignatures) : recordOf(ast)
    case "Union":
      return { _tag: "Union", members: [...new Set(ast.types.flatMap(membersOf))] }
    case "Suspend":
      return partOf(ast.thunk()).shape()
    default:
      return whole(ast)
  }
}

const membersOf = (ast: SchemaAST.AST): ReadonlyArray<Shape> => {
  const shape = partOf(ast).shape()
  return shape._tag === "Union" ? shape.members : [shape]
}

const arrayOf = (ast: SchemaAST.Arrays): Shape => {
  const { elements, rest } = ast
  if (elements.length === 0 && rest.length === 1) return { _tag: "List", item: partOf(rest[0]!) }
  const [items, ...tail] = rest
  const fields = fieldsOf([
    ...elements.map((element, n) => new SchemaAST.PropertySignature(String(n), element)),
    ...(items === undefined ? [] : [new SchemaAST.PropertySignature(REST, new SchemaAST.Arrays(false, [], [items]))]),
    ...tail.map((element, n) => new SchemaAST.PropertySignature(tailKey(n), element))
  ])
  return { _tag: "Tuple", fields, length: elements.length, tail: tail.length }
}

const recordOf = (ast: SchemaAST.Objects): Shape => {
  const { indexSignatures, propertySignatures } = ast
  const others: Part = {
    decode: decoder(new SchemaAST.Objects([], indexSignatures)),
    // Which of several signatures a key is of shows when its value is whole, and so does a key that is transformed.
    shape: isSpelled(indexSignatures) ? partOf(indexSignatures[0]!.type).shape : () => never
  }
  const named = new Map(propertySignatures.map((property) => [String(property.name), {
    decode: decoder(new SchemaAST.Objects([property], indexSignatures)),
    shape: partOf(property.type).shape
  }]))
  return { _tag: "Record", entry: (key) => named.get(key) ?? others }
}

/** Whether keys are those that come. */
const isSpelled = ([only, ...others]: ReadonlyArray<SchemaAST.IndexSignature>): boolean =>
  others.length === 0 && only?.parameter.encoding === undefined

const lengths = new Set<unknown>([
  "effect/schema/isMinLength",
  "effect/schema/isMaxLength",
  "effect/schema/isBetweenLength"
])

const textOf = (ast: SchemaAST.String): Shape => {
  if (ast.checks === undefined) return { _tag: "Text", decode: Effect.succeed }
  // A part of what any other check has passed may pass it, too, and be another thing.
  return ast.checks.every(({ annotations }) => lengths.has(annotations?.representation?.id))
    ? { _tag: "Text", decode: decoder(ast) }
    : whole(ast)
}

const never: Shape = { _tag: "Whole", opens: new Set() }

const whole = (ast: SchemaAST.AST): Shape => {
  const opens = new Set<Open["_tag"]>()
  const seen = new Set<SchemaAST.AST>()
  const add = (wire: SchemaAST.AST): void => {
    if (seen.has(wire)) return
    seen.add(wire)
    switch (wire._tag) {
      case "String":
      case "TemplateLiteral":
      case "Literal":
      case "Enum":
        opens.add("Text")
        break
      case "Arrays":
        opens.add("List")
        break
      case "Objects":
        opens.add("Object")
        break
      case "Union":
        wire.types.forEach(add)
        break
      case "Suspend":
        add(wire.thunk())
        break
    }
  }
  add(SchemaAST.toEncoded(codecOf(ast).ast))
  return { _tag: "Whole", opens }
}

/** Whether an open value may become what a shape tells of. @internal */
export const mayBe = (shape: Shape, open: Open): boolean => {
  switch (shape._tag) {
    case "Whole":
      return shape.opens.has(open._tag)
    case "Literal":
    case "Text":
      return open._tag === "Text"
    case "List":
    case "Record":
      return open._tag === "List"
    case "Fields":
    case "Tuple":
      return open._tag === "Object"
    case "Union":
      return shape.members.some((member) => mayBe(member, open))
  }
}
