import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { JsonPrefix, type Open } from "../../src/decode/JsonPrefix.ts"

const read = (pieces: Iterable<string>): JsonPrefix => {
  const prefix = new JsonPrefix()
  for (const piece of pieces) prefix.add(piece)
  return prefix
}

/** What is complete of a list that goes on. */
const items = (prefix: JsonPrefix): ReadonlyArray<unknown> => {
  assert(prefix.root?._tag === "List")
  return prefix.root.items
}

/** What is open, with what of it is complete. */
const shown = (open: Open | undefined): unknown => {
  switch (open?._tag) {
    case "Text":
      return `${open.text}…`
    case "List":
      return [...open.items, ...open.open === undefined ? ["…"] : [shown(open.open)]]
    case "Object":
      return Object.fromEntries([...open.entries, ...open.key === undefined ? [] : [[open.key, shown(open.open)]]])
    default:
      return open
  }
}

describe("JSON that arrives", () => {
  const texts = [
    String.raw`{"a":"q\"b\\\/\b\f\n\r\t","b":"\u00e9\ud83d\ude00\uD83D","c":"😀é日本"}`,
    String.raw`{"__proto__":{"x":1},"constructor":[],"":"","a":1,"a":2}`,
    "[0,-1,1.5,2e10,-3.25E-2,true,false,null,[],{},\"\"]",
    " { \"a\" : [ 1 , { \"b\" : null } , \"\" ] \n\t}\r",
    "\"text\"",
    "12"
  ]
  for (const text of texts) {
    it(`is what JSON.parse says of it, wherever it is cut: ${text}`, () => {
      const json = `[${text},`
      const expected = JSON.stringify(JSON.parse(text))
      const same = (pieces: Iterable<string>) => {
        const prefix = read(pieces)
        assert.isFalse(prefix.isBroken)
        assert.strictEqual(JSON.stringify(items(prefix)[0]), expected)
      }
      same(json.split(""))
      for (let first = 0; first <= json.length; first++) {
        for (let second = first; second <= json.length; second++) {
          same([json.slice(0, first), json.slice(first, second), json.slice(second)])
        }
      }
    })
  }

  for (let seed = 1; seed <= 40; seed++) {
    it.effect(`is any value, in pieces of any size (${seed})`, () =>
      Effect.gen(function*() {
        for (const value of yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Json), { count: 5, size: 6, seed })) {
          const text = JSON.stringify(value)
          const pieces = `[${text},`.match(new RegExp(`[^]{1,${seed}}`, "g"))!
          assert.strictEqual(JSON.stringify(items(read(pieces))[0]), text)
        }
      }))
  }

  const cases: ReadonlyArray<readonly [what: string, json: string, shown: unknown]> = [
    ["a number that may go on is not told", "[1,2", [1, "…"]],
    ["a number that something ends is", "[1,2 ", [1, 2, "…"]],
    ["a sign or an exponent is no number", "[1,-", [1, "…"]],
    ["a word is told when it is whole", "[true,fals", [true, "…"]],
    ["a text goes on", "{\"a\":\"so f", { a: "so f…" }],
    ["a part of an escape is not told", String.raw`{"a":"x\u26`, { a: "x…" }],
    ["half of a character is not told", String.raw`{"a":"x\ud83d`, { a: "x…" }],
    ["nor is it between two reads", "{\"a\":\"x\ud83d", { a: "x…" }],
    ["a key that goes on is none", "{\"a\":1,\"b", { a: 1 }],
    ["a key without its value has none", "{\"a\":", { a: undefined }]
  ]
  for (const [what, json, expected] of cases) {
    it(`${what}: ${json}`, () => assert.deepStrictEqual(shown(read(json.split("")).root), expected))
  }

  const broken = [
    "x",
    "[1,}",
    "{1",
    "{\"a\" 1",
    "[1 2",
    "{\"a\":1,}",
    "[tru,",
    "[01,",
    "[1.,",
    "[NaN,",
    String.raw`["\x`,
    "[\"a\nb\",",
    "{\"a\tb\":",
    "[]]"
  ]
  for (const json of [...broken, `[${"1".repeat(2000)}`]) {
    it(`is read no further where it is none: ${json.slice(0, 20)}`, () => {
      const prefix = read([...json, "[\"more\"]"])
      assert.isTrue(prefix.isBroken)
    })
  }

  it("is as deep as it comes", () => {
    assert.isFalse(read(["[".repeat(200_000), "]".repeat(199_999)]).isBroken)
  })
})
