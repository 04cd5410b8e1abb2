import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Equal, Result, Schema } from "effect"
import * as ObjectSchema from "../../src/request/ObjectSchema.ts"
import { generator } from "../decode/schemas.ts"
import { accepts, complaints } from "./jsonSchema.ts"

const made = <A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>) =>
  Result.getOrThrow(ObjectSchema.make(schema))

describe("any schema that is supported", () => {
  for (let seed = 1; seed <= 100; seed++) {
    it.effect(`is told in what the API takes, which its values are of, and reads them back (${seed})`, () =>
      Effect.gen(function*() {
        const schema = generator(seed * 104729)(3)
        const { codec, jsonSchema } = made(schema)
        assert.deepStrictEqual(complaints(jsonSchema), [])
        // As it is sent.
        const sent: unknown = JSON.parse(JSON.stringify(jsonSchema))
        const encode = Schema.encodeUnknownEffect(codec)
        const decode = Schema.decodeUnknownEffect(codec, { onExcessProperty: "error", errors: "all" })
        for (const value of yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 4, size: 4, seed })) {
          const wire = JSON.stringify(yield* encode(value))
          assert.isTrue(accepts(sent, JSON.parse(wire)), `${wire} by ${JSON.stringify(sent)}`)
          const back = yield* decode(JSON.parse(wire))
          assert.strictEqual(JSON.stringify(yield* encode(back)), wire)
        }
      }))
  }

  it.effect("gives equal values back, where absent and undefined are not told apart", () =>
    Effect.gen(function*() {
      class Person extends Schema.Class<Person>("Person")({
        name: Schema.NonEmptyString,
        born: Schema.Date,
        tags: Schema.optionalKey(Schema.Record(Schema.String, Schema.BigInt)),
        at: Schema.Tuple([Schema.Finite, Schema.optionalKey(Schema.Finite)]),
        seen: Schema.Option(Schema.DateTimeUtcFromString),
        pets: Schema.ReadonlySet(Schema.Literals(["cat", "dog"]))
      }) {}
      const { codec } = made(Person)
      for (const person of yield* Arbitrary.sampleEffect(Arbitrary.schema(Person), { count: 50, size: 5, seed: 11 })) {
        const wire: unknown = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(person)))
        assert.isTrue(Equal.equals(yield* Schema.decodeUnknownEffect(codec)(wire), person))
      }
    }))
})

describe("what is sent of a schema", () => {
  it("has what checks say in its descriptions, for the model to read", () => {
    const { jsonSchema } = made(Schema.Struct({
      age: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 150 })).annotate({ description: "In years" }),
      tags: Schema.Array(Schema.String).check(Schema.isMinLength(2))
    }))
    const { age, tags } = jsonSchema["properties"] as Record<string, { readonly description: string }>
    assert.match(age!.description, /In years|between 0 and 150/)
    assert.match(tags!.description, /at least 2/)
  })

  it("has no pattern that the API cannot compile, and says it instead", () => {
    const { jsonSchema } = made(Schema.Struct({
      ahead: Schema.String.check(Schema.isPattern(/^(?=a)\w+$/u)),
      letters: Schema.String.check(Schema.isPattern(/^\p{L}+$/u)),
      long: Schema.String.check(Schema.isPattern(/^a{1,5000}$/u)),
      listed: Schema.Array(Schema.String.check(Schema.isPattern(/^\bword$/u))),
      either: Schema.NullOr(Schema.String.check(Schema.isPattern(/^(a)\1$/u))),
      plain: Schema.String.check(Schema.isPattern(/^[a-c]{2,3}(?:x|y)$/u))
    }))
    const { either, listed, plain, ...others } = jsonSchema["properties"] as Record<string, object>
    for (const whole of [either, listed]) assert.notMatch(JSON.stringify(whole), /"pattern"/)
    assert.propertyVal(plain, "pattern", "^[a-c]{2,3}(?:x|y)$")
    for (const [name, property] of Object.entries(others)) {
      assert.notProperty(property, "pattern", name)
      assert.match((property as { readonly description: string }).description, /RegExp \^/)
    }
  })

  it("has definitions of the definitions that it refers to, under names without an escape", () => {
    const Word = Schema.String.check(Schema.isPattern(/^(?=a)b$/u)).annotate({ identifier: "acme/Word" })
    const Other = Schema.Struct({ n: Schema.Int }).annotate({ identifier: "acme~Word" })
    const Page = Schema.Struct({ words: Schema.Array(Word), other: Other }).annotate({ identifier: "acme/Page~1" })
    const { jsonSchema } = made(Schema.Struct({ first: Page, last: Page, constructor: Other }))
    assert.deepStrictEqual(complaints(jsonSchema), [])
    const { $defs } = jsonSchema
    assert.isAbove(Object.keys(Object($defs)).length, 2)
    for (const name of Object.keys(Object($defs))) assert.match(name, /^[\w-]+$/)
    assert.notMatch(JSON.stringify(jsonSchema), /"pattern"|~/)
    const one = { words: [{ 0: "b" }], other: { n: 1 } }
    assert.isFalse(accepts(jsonSchema, { first: one, last: one, constructor: { n: 1 } }))
    const page = { words: ["b"], other: { n: 1 } }
    assert.isTrue(accepts(jsonSchema, { first: page, last: page, constructor: { n: 1 } }))
    assert.isFalse(accepts(jsonSchema, { first: page, last: page, constructor: { n: "1" } }))
  })

  it("has null for what may be absent, also of what is suspended", () => {
    const Part = Schema.Struct({ of: Schema.optionalKey(Schema.Record(Schema.String, Schema.Int)) })
    const { codec } = made(Schema.Struct({ part: Schema.suspend(() => Part) }))
    for (
      const [value, wire] of [[{ part: {} }, { part: { of: null } }], [{ part: { of: { x: 1 } } }, {
        part: { of: [{ 0: "x", 1: 1 }] }
      }]] as const
    ) {
      assert.deepStrictEqual(Schema.encodeSync(codec)(value), wire)
      assert.deepStrictEqual(Schema.decodeSync(codec)(wire), value)
    }
  })

  it("has no definitions that nothing refers to", () => {
    class Point extends Schema.Class<Point>("acme/Point")({ x: Schema.Int }) {}
    assert.notProperty(made(Point).jsonSchema, "$defs")
  })

  it("is made once of each schema", () => {
    const schema = Schema.Struct({ a: Schema.Int })
    assert.strictEqual(ObjectSchema.ofAnswer(schema), ObjectSchema.ofAnswer(schema))
  })
})
