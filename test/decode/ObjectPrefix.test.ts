import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Equal, Predicate, Result, Schema, SchemaTransformation } from "effect"
import { ObjectPrefix } from "../../src/decode/ObjectPrefix.ts"
import * as ObjectSchema from "../../src/request/ObjectSchema.ts"
import { type AnySchema, generator } from "./schemas.ts"

const whole = (value: unknown) => value

/** All that is told of a JSON text that comes in such pieces. */
const told = (schema: Schema.Constraint, pieces: Iterable<string>): Effect.Effect<Array<unknown>> =>
  Effect.gen(function*() {
    const prefix = new ObjectPrefix(schema)
    const values: Array<unknown> = []
    for (const piece of pieces) {
      prefix.add(piece)
      const next = yield* prefix.next(whole)
      if (next !== undefined) values.push(next.value)
    }
    return values
    // The schemas of these tests need no services.
  }) as Effect.Effect<Array<unknown>>

const isPlain = (value: unknown): value is Record<string, unknown> =>
  Predicate.isObject(value) && Object.getPrototypeOf(value) === Object.prototype

/** Whether all that a value tells is told by another, which may go on at one end. */
const isPrefix = (part: unknown, of: unknown): boolean => {
  if (Equal.equals(part, of)) return true
  if (typeof part === "string") return typeof of === "string" && of.startsWith(part)
  if (Array.isArray(part)) {
    return Array.isArray(of) && part.length <= of.length &&
      part.every((item, n) => n === part.length - 1 ? isPrefix(item, of[n]) : Equal.equals(item, of[n]))
  }
  if (!isPlain(part) || !Predicate.isObject(of)) return false
  const open = Object.keys(part).filter((key) =>
    !(Object.hasOwn(of, key) && Equal.equals(part[key], Reflect.get(of, key)))
  )
  return open.length <= 1 && open.every((key) => Object.hasOwn(of, key) && isPrefix(part[key], Reflect.get(of, key)))
}

/** What a schema's values come as. */
const wireOf = (schema: AnySchema) => {
  const made = Result.getOrThrow(ObjectSchema.make(schema))
  return {
    encode: Schema.encodeUnknownEffect(made.codec),
    decode: Schema.decodeUnknownEffect(made.codec, { onExcessProperty: "error" })
  }
}

describe("any schema that is supported", () => {
  for (let seed = 1; seed <= 80; seed++) {
    it.effect(`round-trips, and each part of its values is of the whole (${seed})`, () =>
      Effect.gen(function*() {
        const schema = generator(seed * 7919)(3)
        if (Result.isFailure(ObjectSchema.make(schema))) return assert.fail("refused")
        const { decode, encode } = wireOf(schema)
        const values = yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 4, size: 4, seed })
        for (const value of values) {
          const wire = JSON.stringify(yield* encode(value))
          const back = yield* decode(JSON.parse(wire))
          assert.strictEqual(JSON.stringify(yield* encode(back)), wire)
          const parts = yield* told(schema, wire.split(""))
          parts.forEach((part, n) => {
            if (!isPrefix(part, back)) assert.deepStrictEqual(part, back, `${n} of ${wire}`)
            const next = parts[n + 1]
            if (n + 1 < parts.length && !isPrefix(part, next)) assert.deepStrictEqual(part, next, `${n} of ${wire}`)
            assert.isFalse(Equal.equals(part, next), "told twice")
          })
        }
      }))
  }
})

/** The same JSON with its properties in another order, and without some that are null: as a call may have them. */
const disordered = (value: unknown, below: (n: number) => number): unknown => {
  if (Array.isArray(value)) return value.map((item) => disordered(item, below))
  if (!Predicate.isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, child]) => child !== null || below(2) === 0)
      .map(([key, child]) => ({ at: below(1000), entry: [key, disordered(child, below)] as const }))
      .toSorted((a, b) => a.at - b.at)
      .map(({ entry }) => entry)
  )
}

describe("any value of a schema, as a model may write it", () => {
  for (let seed = 1; seed <= 40; seed++) {
    it.effect(`is told in parts of the whole, in any order and in pieces of any size (${seed})`, () =>
      Effect.gen(function*() {
        let state = seed
        const below = (n: number) => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0
          return Math.floor(state / 2 ** 32 * n)
        }
        const schema = generator(seed * 6151)(2)
        const { decode, encode } = wireOf(schema)
        for (const value of yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 3, size: 4, seed })) {
          const came = disordered(yield* encode(value), below)
          const wire = JSON.stringify(came)
          const back = yield* decode(came)
          for (const size of [1, 2 + below(10)]) {
            const parts = yield* told(schema, wire.match(new RegExp(`[^]{1,${size}}`, "g"))!)
            for (const part of parts) if (!isPrefix(part, back)) assert.deepStrictEqual(part, back, wire)
          }
        }
      }))
  }
})

describe("what of a value is told before it is whole", () => {
  const last = (schema: Schema.Constraint, json: string) =>
    Effect.map(told(schema, json.split("")), (all) => all.at(-1))
  class Point extends Schema.Class<Point>("Point")({ x: Schema.Int, label: Schema.String }) {}
  const Shape = Schema.Union([
    Schema.Struct({ kind: Schema.Literal("circle"), name: Schema.String, radius: Schema.Int }),
    Schema.Struct({ kind: Schema.Literal("square"), name: Schema.String, side: Schema.Int }),
    Schema.String
  ])
  const Snaked = Schema.Record(Schema.String.pipe(Schema.decode(SchemaTransformation.snakeToCamel())), Schema.String)
  const Email = Schema.String.check(Schema.isPattern(/^\S+@\S+$/)).pipe(Schema.brand("Email"))
  const cases: ReadonlyArray<readonly [what: string, schema: Schema.Constraint, json: string, value: unknown]> = [
    ["a string, as far as it goes", Schema.String, "\"so f", "so f"],
    ["a string up to a character of which half has come", Schema.String, "\"a\\ud83d", "a"],
    ["a string up to an escape of which a part has come", Schema.String, "\"a\\u26", "a"],
    ["a string that is long enough", Schema.NonEmptyString, "\"a", "a"],
    ["no string that is too short yet", Schema.Struct({ a: Schema.NonEmptyString }), "{\"a\":\"", {}],
    ["no string that is checked for more", Schema.Struct({ a: Email }), "{\"a\":\"a@b.co", {}],
    ["that string when it is whole", Schema.Struct({ a: Email }), "{\"a\":\"a@b.com\"", { a: "a@b.com" }],
    ["no number that may go on", Schema.Array(Schema.Int), "[1,23", [1]],
    ["that number when it is whole", Schema.Array(Schema.Int), "[1,23 ", [1, 23]],
    ["no literal", Schema.Struct({ a: Schema.Literal("yes") }), "{\"a\":\"ye", {}],
    ["a string that may be a literal", Schema.Union([Schema.Literal("yes"), Schema.String]), "\"ye", "ye"],
    ["no string that may be a date", Schema.Array(Schema.Union([Schema.Date, Schema.String])), "[\"2027", []],
    ["nothing of what is transformed", Schema.Struct({ a: Schema.Date, b: Schema.Int }), "{\"a\":\"2027-01-31", {}],
    ["a class, as the object that it is made of", Point, "{\"x\":1,\"label\":\"a", { x: 1, label: "a" }],
    ["a class that is whole, as itself", Schema.Array(Point), "[{\"x\":1,\"label\":\"a\"}", [
      new Point({ x: 1, label: "a" })
    ]],
    [
      "no absent property",
      Schema.Struct({ a: Schema.optionalKey(Schema.Int), b: Schema.String }),
      "{\"a\":null,\"b\":\"",
      { b: "" }
    ],
    ["no property that does not decode", Schema.Struct({ a: Schema.Int, b: Schema.String }), "{\"a\":\"x\",\"b\":\"y", {
      b: "y"
    }],
    ["no element after one that does not decode", Schema.Array(Schema.Int), "[1,\"x\",3,", [1]],
    ["no property that nobody asked for", Schema.Struct({ a: Schema.String }), "{\"b\":1,\"a\":\"x", { a: "x" }],
    ["the last property of a name", Schema.Struct({ a: Schema.Int }), "{\"a\":1,\"a\":2,", { a: 2 }],
    ["a record's open value", Schema.Record(Schema.String, Schema.String), "[{\"0\":\"k\",\"1\":\"v", { k: "v" }],
    ["no record's open value, where its key is transformed", Snaked, "[{\"0\":\"a_b\",\"1\":\"v", {}],
    ["a record's value under its own key", Snaked, "[{\"0\":\"a_b\",\"1\":\"v\"", { aB: "v" }],
    ["a tuple up to its open element", Schema.Tuple([Schema.String, Schema.String]), "{\"1\":\"b\",\"0\":\"a", ["a"]],
    [
      "a tuple's rest",
      Schema.TupleWithRest(Schema.Tuple([Schema.Int]), [Schema.String]),
      "{\"0\":1,\"__rest__\":[\"a\",\"b",
      [1, "a", "b"]
    ],
    ["a union's member, when one is left", Shape, "{\"name\":\"a\",\"kind\":\"square\",\"s", {
      name: "a",
      kind: "square"
    }],
    ["no union's member, while two are left", Schema.Array(Shape), "[\"a\",{\"name\":\"a\",\"kind\":\"squ", ["a"]],
    ["nothing after what is no JSON", Schema.Array(Schema.Int), "[1,2,}3,4,", [1, 2]]
  ]
  for (const [what, schema, json, value] of cases) {
    it.effect(what, () => Effect.map(last(schema, json), (told) => assert.deepStrictEqual(told, value)))
  }

  it.effect("is all of it, but for its last bracket", () => {
    const schema = Schema.Struct({
      a: Schema.Record(Schema.String, Schema.Array(Shape)),
      b: Schema.NullOr(Schema.Date)
    })
    const { encode } = wireOf(schema)
    return Effect.gen(function*() {
      for (const value of yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 20, size: 5, seed: 7 })) {
        const json = JSON.stringify(yield* encode(value))
        assert.deepStrictEqual(yield* last(schema, json.slice(0, -1)), value)
      }
    })
  })

  it.effect("is the same however its JSON is cut", () => {
    const schema = generator(42)(4)
    const { encode } = wireOf(schema)
    return Effect.gen(function*() {
      const [value] = yield* Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 1, size: 8, seed: 3 })
      const json = JSON.stringify(yield* encode(value)).slice(0, -1)
      const expected = yield* last(schema, json)
      for (let at = 0; at < json.length; at++) {
        assert.deepStrictEqual((yield* told(schema, [json.slice(0, at), json.slice(at)])).at(-1), expected)
      }
    })
  })
})

describe("the cost of an object", () => {
  /** How many elements were told, in pieces as small as a token. */
  const copied = (schema: Schema.Constraint, json: string) =>
    Effect.map(
      told(schema, json.match(/.{1,20}/g)!),
      (all) => all.reduce<number>((sum, part) => sum + Object.keys(part as object).length, 0)
    )
  const kinds: ReadonlyArray<readonly [what: string, schema: Schema.Constraint, element: (n: number) => string]> = [
    ["a list", Schema.Array(Schema.Int), (n) => `${1_000_000 + n}`],
    ["a record", Schema.Record(Schema.String, Schema.Int), (n) => `{"0":"key ${1_000_000 + n}","1":${n}}`]
  ]
  for (const [what, schema, element] of kinds) {
    it.effect(`grows with its length, not with the square of it: ${what}`, () =>
      Effect.gen(function*() {
        const json = (length: number) => `[${Array.from({ length }, (_, n) => element(n)).join(",")}`
        const small = yield* copied(schema, json(4000))
        const large = yield* copied(schema, json(8000))
        assert.isBelow(large, small * 2.5)
      }))
  }

  it.effect("is that of what comes, also where it is one text, one number or nothing that was asked for", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({ text: Schema.String, n: Schema.Finite })
      const long = "x".repeat(2_000_000)
      // The square of any of these would take minutes.
      for (
        const json of [
          `{"text":"${long}`,
          `{"n":${"1".repeat(2_000_000)}`,
          `{"${long}`,
          `{"n":${" ".repeat(2_000_000)}`
        ]
      ) {
        const parts = yield* told(schema, json.match(/.{1,20}/gs)!)
        assert.isAbove(parts.length, 0)
      }
      const tuple = Schema.TupleWithRest(Schema.Tuple([Schema.Int]), [Schema.Int])
      const rest = yield* told(tuple, [`{"0":1,"__rest__":[${"1,".repeat(300_000)}`])
      assert.strictEqual(Object(rest[0]).length, 300_001)
      const emoji = yield* told(schema, [..."{\"text\":\"", ..."\ud83d\ude00".repeat(100_000).split("")])
      assert.strictEqual((emoji.at(-1) as { text: string }).text.length, 200_000)
    }))
})
