/** Schemas that look random and are the same in every run, of all that the library says it supports. */
import { Effect, Schema, SchemaTransformation } from "effect"

export type AnySchema = Schema.Codec<unknown, unknown>

class Point extends Schema.Class<Point>("Point")({
  x: Schema.Int,
  label: Schema.optionalKey(Schema.String),
  at: Schema.DateTimeUtcFromString
}) {}

class Tagged extends Schema.TaggedClass<Tagged>()("Tagged", {
  point: Point,
  more: Schema.optional(Schema.NullOr(Schema.Array(Point)))
}) {}

const Word = Schema.String.check(Schema.isPattern(/^[a-z]+$/))

const Words = Schema.String.check(Schema.isPattern(/^[a-z]+(?:,[a-z]+)*$/)).pipe(
  Schema.decodeTo(
    Schema.NonEmptyArray(Word),
    SchemaTransformation.transform({
      decode: (text): readonly [string, ...Array<string>] => text.split(",") as [string, ...Array<string>],
      encode: (words) => words.join(",")
    })
  )
)

const leaves: ReadonlyArray<Schema.Codec<unknown, unknown>> = [
  Schema.String,
  Schema.String,
  Schema.NonEmptyString,
  Schema.String.check(Schema.isMaxLength(20)),
  Schema.String.check(Schema.isPattern(/^[a-z]{2,5}$/)),
  Schema.String.pipe(Schema.brand("Name")),
  Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 500 })).pipe(Schema.brand("Count")),
  Schema.Finite,
  // What is no finite number comes as a text.
  // @effect-diagnostics-next-line schemaNumber:off
  Schema.Number,
  Schema.Boolean,
  Schema.Null,
  Schema.BigInt,
  Schema.Date,
  Schema.Duration,
  Schema.FiniteFromString,
  Schema.Literal("a \"literal\""),
  Schema.Literals(["red", "green", 3, true]),
  Schema.TemplateLiteral(["id-", Schema.Int]),
  Schema.Option(Schema.String),
  Schema.NullOr(Schema.String),
  Schema.Union([Schema.Literal("unknown"), Schema.String, Schema.Int]),
  Schema.Uint8Array,
  Schema.Enum({ Low: 0, High: "high" }),
  Schema.Literal(10n),
  Schema.NullishOr(Schema.Int),
  Schema.OptionFromNullOr(Schema.String),
  Schema.URL,
  Schema.DateTimeUtc,
  Schema.StringFromBase64,
  Schema.TemplateLiteral([Schema.Literals(["a", "b"]), "-", Schema.String]),
  Words,
  Point,
  Tagged
]

const keys = ["a", "name", "1", "0", "key \"q\"", "日本", "__proto__", "__rest__", "", "last"]

const recordKeys = [Schema.String, Schema.TemplateLiteral(["x-", Schema.String]), Schema.Literals(["p", "q"]), Word]

export const generator = (seed: number) => {
  let state = seed
  const below = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor(state / 2 ** 32 * n)
  }
  const pick = <A>(values: ReadonlyArray<A>): A => values[below(values.length)]!
  const some = (most: number, least = 0) => Array.from({ length: least + below(most - least + 1) })
  const property = (depth: number): AnySchema => {
    const type = any(depth)
    switch (below(8)) {
      case 0:
        return Schema.optionalKey(type)
      case 3:
        return Schema.OptionFromOptionalKey(type)
      case 4:
        return Schema.OptionFromOptional(type)
      case 1:
        return Schema.optional(type)
      case 2:
        return Schema.mutableKey(type)
      default:
        return type
    }
  }
  const names = () => [...new Set(some(4, 1).map(() => pick(keys)))]
  const fields = (depth: number, of = names()) => Object.fromEntries(of.map((name) => [name, property(depth)]))
  const any = (depth: number): AnySchema => {
    if (depth === 0) return pick(leaves)
    const deeper = () => any(depth - 1)
    switch (below(13)) {
      case 0:
      case 1:
      case 2:
        return Schema.Struct(fields(depth - 1))
      case 3:
        return Schema.Array(deeper())
      case 4:
        return Schema.NonEmptyArray(deeper())
      case 5:
        return Schema.Tuple([deeper(), deeper(), ...below(2) === 0 ? [] : [Schema.optionalKey(deeper())]])
      case 6:
        return Schema.TupleWithRest(Schema.Tuple([deeper()]), below(2) === 0 ? [deeper()] : [deeper(), deeper()])
      case 7:
        return Schema.Record(pick(recordKeys), deeper())
      case 8: {
        const value = deeper()
        return Schema.StructWithRest(Schema.Struct({ id: value, maybe: Schema.optionalKey(value) }), [
          Schema.Record(Schema.String, value)
        ])
      }
      case 9:
        return Schema.Union(
          ["One", "Two", "Three"].map((tag) =>
            Schema.Struct({
              _tag: Schema.tag(tag),
              ...fields(depth - 1, names().filter((name) => name !== "__proto__"))
            })
          )
        )
      case 10:
        return Schema.NullOr(deeper())
      case 11:
        return pick([
          () => Schema.ReadonlyMap(Schema.String, deeper()),
          () => Schema.ReadonlySet(Schema.String),
          () => Schema.Option(deeper()),
          () => Schema.HashMap(Schema.String, deeper()),
          () => Schema.Chunk(deeper()),
          () => Schema.Result(deeper(), Schema.String),
          () =>
            Schema.StructWithRest(Schema.Struct({ id: Schema.Int, of: Schema.optionalKey(Schema.String) }), [
              Schema.Record(Schema.TemplateLiteral(["x-", Schema.String]), deeper())
            ]),
          () => Schema.suspend(deeper),
          () => Schema.Struct({ a: deeper() }).pipe(Schema.encodeKeys({ a: "b" })),
          () => Schema.Struct({ a: Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed("x"))) })
        ])()
      default:
        return pick(leaves)
    }
  }
  return any
}
