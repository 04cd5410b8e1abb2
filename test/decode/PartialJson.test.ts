import { partialParse } from "@anthropic-ai/sdk/_vendor/partial-json-parser/parser"
import { assert, describe, it } from "@effect/vitest"
import { parse } from "../../src/decode/PartialJson.ts"

/** A value, or that there is none. */
const outcome = (parse: (text: string) => unknown, text: string) => {
  try {
    return { value: parse(text) }
  } catch (error) {
    assert.isTrue(error instanceof SyntaxError)
    return "no JSON"
  }
}

/** Numbers that look random and are the same in every run. */
const generator = (seed: number) => {
  let state = seed
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const pick = <A>(values: ReadonlyArray<A>): A => values[Math.floor(random() * values.length)] as A
  const strings = [
    "",
    "a",
    "two words",
    "quote \" and \\ slash",
    "line\nbreak\t",
    "日本語 🎉",
    "{not: [a]}",
    "true",
    "12",
    "\\\"",
    "\u0000",
    "end\\"
  ]
  const numbers = [0, 1, -1, 12, 3.25, -0.5, 1e21, 1e-7, 123456789]
  const value = (depth: number): unknown => {
    const kind = depth === 0 ? Math.floor(random() * 4) : Math.floor(random() * 6)
    switch (kind) {
      case 0:
        return pick(strings)
      case 1:
        return pick(numbers)
      case 2:
        return pick([true, false])
      case 3:
        return null
      case 4:
        return Array.from({ length: Math.floor(random() * 4) }, () => value(depth - 1))
      default:
        return Object.fromEntries(
          Array.from({ length: Math.floor(random() * 4) }, (_, index) => [`${pick(strings)}${index}`, value(depth - 1)])
        )
    }
  }
  return { value, pick }
}

describe("of an object that is cut anywhere", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])("makes what the SDK's parser makes of it (seed %d)", (seed) => {
    const { pick, value } = generator(seed)
    for (let count = 0; count < 25; count++) {
      // What models write: an object, in any layout.
      const text = JSON.stringify({ a: value(3), b: value(2) }, null, pick([undefined, 1, "\t"]))
      for (let at = 1; at <= text.length; at++) {
        const cut = text.slice(0, at)
        assert.deepStrictEqual(outcome(parse, cut), outcome(partialParse, cut), JSON.stringify(cut))
      }
    }
  })
})

describe("of a text", () => {
  const rows: ReadonlyArray<readonly [text: string, value: unknown]> = [
    ["{\"a\":1,\"b\":\"x\ny", { a: 1 }],
    ["{", {}],
    ["{\"a", {}],
    ["{\"a\"", {}],
    ["{\"a\":", {}],
    ["{\"a\":1", {}],
    ["{\"a\":1,", { a: 1 }],
    ["{\"a\":1}", { a: 1 }],
    ["{\"a\":\"x", {}],
    ["{\"a\":\"x\"", { a: "x" }],
    ["{\"a\":[1, 2", { a: [1] }],
    ["{\"a\":[1, 2,", { a: [1, 2] }],
    ["{\"a\":tru", {}],
    ["{\"a\":true", { a: true }],
    ["{\"a\":{\"b\":{", { a: { b: {} } }],
    ["{\"a\":\"b\\", {}],
    ["{\"a\":\"b\\\"", {}],
    ["{\"a\":\"b\\\"\"", { a: "b\"" }],
    ["{\"a\":\"\\u00", {}],
    ["{\"a\":1,\"b", { a: 1 }],
    ["{\"a\":1,\"b\":", { a: 1 }]
  ]

  it.each(rows)("%s keeps what is complete", (text, value) => {
    assert.deepStrictEqual(parse(text), value)
    assert.deepStrictEqual(outcome(partialParse, text), { value })
  })

  it.each([
    "{\"a\":nonsense}",
    "{]",
    "{\"a\" 1}",
    "[1 2]",
    "{\"a\":1}}",
    "nonsense",
    "{\"a\":1,,}",
    "{'a':1}",
    "{\"a\":01}",
    "[,]",
    "{\"a\":\"x\ny\",\"b\":1"
  ])(
    "%s is wrong rather than cut, and refused",
    (text) => {
      assert.throws(() => parse(text), SyntaxError)
      assert.throws(() => partialParse(text))
    }
  )
})

describe("of a long text", () => {
  it("is as deep as it comes", () => {
    assert.lengthOf(parse("[".repeat(100_000)) as ReadonlyArray<unknown>, 1)
  })

  it("takes time that grows with its length", () => {
    const time = (length: number) => {
      const text = JSON.stringify({ list: Array.from({ length }, (_, index) => ({ index, text: "x \"y\"" })) }).slice(
        0,
        -3
      )
      let best = Infinity
      for (let round = 0; round < 3; round++) {
        // Of this thread alone: machines are busy.
        const before = process.threadCpuUsage()
        parse(text)
        const { system, user } = process.threadCpuUsage(before)
        best = Math.min(best, system + user)
      }
      return best
    }
    time(5_000)
    assert.isBelow(time(80_000) / Math.max(1000, time(20_000)), 10)
  })
})
