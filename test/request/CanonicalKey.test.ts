import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isDeepStrictEqual } from "node:util"
import * as CanonicalKey from "../../src/request/CanonicalKey.ts"

const of = (body: object, scope: ReadonlyArray<string> = []) => CanonicalKey.of(body, scope)

/** A text that says what it is a key of, for a body that has one. */
const textOf = (value: unknown) => CanonicalKey.textOf([value]) ?? assert.fail("it has no text")

const nested = (depth: number): object => {
  let value: object = []
  for (let n = 0; n < depth; n++) value = n % 2 === 0 ? [value] : { value }
  return value
}

describe("of", () => {
  it("names a body by all that it says, in 64 hexadecimal digits", () => {
    const body = { model: "m", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }
    assert.match(of(body) ?? "", /^[0-9a-f]{64}$/)
    const others = [
      { ...body, model: "n" },
      { ...body, max_tokens: 11 },
      { ...body, system: "" },
      { ...body, messages: [{ role: "assistant", content: "hi" }] },
      { ...body, messages: [{ role: "user", content: "hi" }, { role: "user", content: "hi" }] },
      { ...body, messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] }
    ]
    const keys = new Set([body, ...others].map((body) => of(body)))
    assert.strictEqual(keys.size, others.length + 1)
  })

  it("minds neither the order of keys nor what is undefined", () => {
    assert.strictEqual(
      of({ model: "m", tools: [{ name: "t", input_schema: { type: "object", properties: {} } }], system: undefined }),
      of({ tools: [{ input_schema: { properties: {}, type: "object" }, name: "t" }], model: "m" })
    )
  })

  it("minds the order of lists", () => {
    assert.notStrictEqual(of({ stop_sequences: ["a", "b"] }), of({ stop_sequences: ["b", "a"] }))
  })

  it("leaves out whether the answer is streamed, and nothing of that name further in", () => {
    assert.strictEqual(of({ model: "m", stream: true }), of({ model: "m" }))
    assert.notStrictEqual(of({ tools: [{ stream: true }] }), of({ tools: [{}] }))
    assert.notStrictEqual(of({ metadata: { stream: true } }), of({ metadata: {} }))
  })

  it("tells scopes apart, however their parts are cut", () => {
    const scopes = [[], [""], ["a"], ["a", ""], ["", "a"], ["a", "b"], ["ab"], ["a\",\"b"], ["b", "a"]]
    assert.strictEqual(new Set(scopes.map((scope) => of({ model: "m" }, scope))).size, scopes.length)
    assert.notStrictEqual(of({}, ["[]"]), of([], []))
  })

  it("has no key for what is nested without end, or is no JSON", () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const bomb = { self: [cycle, cycle], big: nested(300) }
    for (const body of [nested(502), nested(10_000), { messages: nested(100_000) }, cycle, bomb, { n: 1n }]) {
      assert.isUndefined(of(body))
    }
    assert.isString(of(nested(400)))
  })

  it("has no key for a body whose getter throws", () => {
    const body = {
      get model(): string {
        throw new Error("no")
      }
    }
    assert.isUndefined(of(body))
  })
})

describe("textOf", () => {
  it("tells texts apart that only look the same", () => {
    const texts = [
      "\u00e9",
      "e\u0301",
      "\ud800",
      "\ufffd",
      "\\ud800",
      "\u0000",
      "\\u0000",
      "\"",
      "\\\"",
      "'",
      " ",
      "\u00a0"
    ]
    assert.strictEqual(new Set(texts.map(textOf)).size, texts.length)
    assert.strictEqual(new Set(texts.map((key) => textOf({ [key]: 1 }))).size, texts.length)
  })

  it("takes numbers as JSON does", () => {
    assert.strictEqual(textOf(-0), textOf(0))
    assert.strictEqual(textOf(1.0), textOf(1))
    assert.strictEqual(textOf(Number.NaN), textOf(null))
    for (const n of [0.1, 1e21, 1e-7, -5, 2 ** 53, 1.7976931348623157e308]) assert.strictEqual(textOf(n), `[${n}]`)
  })

  it("keeps values of different kinds apart", () => {
    const values = [null, "null", true, "true", 0, "0", "", [], {}, [null], ["0"], { 0: 0 }, [[]], { "": {} }]
    assert.strictEqual(new Set(values.map(textOf)).size, values.length)
  })

  it("takes a member called __proto__ as any other", () => {
    const hostile: unknown = JSON.parse("{\"__proto__\":{\"a\":1}}")
    assert.strictEqual(textOf(hostile), "[{\"__proto__\":{\"a\":1}}]")
    assert.notStrictEqual(textOf(hostile), textOf({}))
  })

  it("says of dates, buffers, boxes and instances what is sent of them", () => {
    class Tool {
      name = "t"
      run() {}
    }
    const values = {
      date: new Date(0),
      buffer: Buffer.from("ab"),
      box: Object("x"),
      tool: new Tool(),
      map: new Map([[1, 2]]),
      bare: Object.assign(Object.create(null), { b: 1, a: 2 }),
      own: { toJSON: () => ({ b: 1, a: undefined }) },
      holes: [undefined, () => 1, Symbol("s")],
      nothing: () => 1
    }
    assert.deepStrictEqual(JSON.parse(textOf(values)), JSON.parse(JSON.stringify([values])))
  })

  it.prop("is JSON that says the same, with its keys in order", [Schema.Json], ([value]) => {
    const text = textOf(value)
    assert.deepStrictEqual(JSON.parse(text), JSON.parse(JSON.stringify([value])))
    const inOrder = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return
      const keys = Object.keys(value)
      // Whole numbers come first in any object.
      const names = keys.filter((key) => !/^\d+$/.test(key))
      assert.deepStrictEqual(names, names.toSorted())
      Object.values(value).forEach(inOrder)
    }
    inOrder(JSON.parse(text))
  })

  it.prop("is the same for two values exactly where they are the same JSON", [Schema.Json, Schema.Json], ([a, b]) => {
    const asSent = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
    assert.strictEqual(textOf(a) === textOf(b), isDeepStrictEqual(asSent(a), asSent(b)))
    assert.strictEqual(textOf(a), textOf(shuffled(a)))
  })

  it.prop("tells small changes apart", [Schema.Json, Schema.Json, Schema.String], ([a, b, key]) => {
    const texts = [a, [a], { [key]: a }, { [key]: a, [`${key}!`]: b }, [a, b], [[a], b], [a, [b]], { [key]: [a, b] }]
    assert.strictEqual(new Set(texts.map(textOf)).size, texts.length)
  })
})

/** The same value with its keys the other way round. */
const shuffled = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(shuffled)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).toReversed().map(([key, member]) => [key, shuffled(member)]))
    : value
