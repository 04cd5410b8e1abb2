import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Prompts } from "../../src/prompts/index.ts"
import * as Split from "../../src/prompts/Split.ts"
import { lastText } from "./support.ts"

const keys = Array.from({ length: 20_000 }, (_, n) => `user-${n}`)

const counts = (prompt: string, weights: Split.Weights, of: ReadonlyArray<string> = keys) => {
  const counts = new Map<string, number>()
  for (const key of of) {
    const version = Split.choose(prompt, key, weights)!
    counts.set(version, (counts.get(version) ?? 0) + 1)
  }
  return counts
}

/** How far counts are from what weights say: about as many as there are degrees of freedom where they follow them. */
const chiSquare = (counts: ReadonlyMap<string, number>, weights: Split.Weights, total = keys.length) => {
  const sum = weights.reduce((sum, [, weight]) => sum + weight, 0)
  return weights.reduce((chi, [version, weight]) => {
    const expected = total * (weight / sum)
    return chi + ((counts.get(version) ?? 0) - expected) ** 2 / expected
  }, 0)
}

describe("a split", () => {
  it("follows its weights", () => {
    // With 1 to 3 degrees of freedom, chance alone is above these once in 10 000.
    for (
      const [weights, bound] of [
        [[["1", 50], ["2", 50]], 15.1],
        [[["1", 90], ["2", 10]], 15.1],
        [[["1", 0.99], ["2", 0.01]], 15.1],
        [[["1", 1e-320], ["2", 1e-320]], 15.1],
        [[["1", 1e308], ["2", 3e307]], 15.1],
        [[["a", 1], ["b", 2], ["c", 3], ["d", 4]], 21.1]
      ] as ReadonlyArray<[Split.Weights, number]>
    ) {
      for (const prompt of ["welcome", "farewell", "x"]) {
        assert.isBelow(chiSquare(counts(prompt, weights), weights), bound, `${prompt} ${JSON.stringify(weights)}`)
      }
    }
  })

  it("follows its weights whatever keys look like", () => {
    const weights: Split.Weights = [["1", 70], ["2", 30]]
    const kinds: Record<string, (n: number) => string> = {
      numbers: String,
      padded: (n) => String(n).padStart(40, "0"),
      repeated: (n) => "a".repeat(n % 2_000) + n,
      uuids: (n) => `${(n * 2_654_435_761 >>> 0).toString(16)}-0000-4000-8000-${String(n).padStart(12, "0")}`,
      unicode: (n) => String.fromCodePoint(0x1_0000 + n),
      even: (n) => String(n * 1_024)
    }
    for (const [kind, keyOf] of Object.entries(kinds)) {
      const found = counts("welcome", weights, keys.map((_, n) => keyOf(n)))
      assert.isBelow(chiSquare(found, weights), 15.1, kind)
    }
  })

  it("gives a key the same version on every machine, in whatever order the weights stand", () => {
    const weights: Split.Weights = [["1", 50], ["2", 30], ["3", 20]]
    // As they were when this was written: a change would move people in tests that are running.
    const firsts = keys.slice(0, 12).map((key) => Split.choose("welcome", key, weights)).join("")
    assert.strictEqual(firsts, "123131111111")
    for (const key of keys.slice(0, 1_000)) {
      assert.strictEqual(
        Split.choose("welcome", key, weights),
        Split.choose("welcome", key, weights.toReversed())
      )
    }
  })

  it("moves a key only to a version whose share grew, and as few as can be", () => {
    const moves = (before: Split.Weights, after: Split.Weights) => {
      const moved = new Map<string, number>()
      for (const key of keys) {
        const [from, to] = [Split.choose("welcome", key, before), Split.choose("welcome", key, after)]
        if (from !== to) moved.set(`${from} ${to}`, (moved.get(`${from} ${to}`) ?? 0) + 1)
      }
      return moved
    }
    const widened = moves([["1", 90], ["2", 10]], [["1", 80], ["2", 20]])
    assert.deepStrictEqual([...widened.keys()], ["1 2"])
    assert.closeTo(widened.get("1 2")! / keys.length, 0.1, 0.01)
    const added = moves([["1", 50], ["2", 50]], [["1", 50], ["2", 50], ["3", 25]])
    assert.deepStrictEqual([...added.keys()].toSorted(), ["1 3", "2 3"])
    assert.closeTo((added.get("1 3")! + added.get("2 3")!) / keys.length, 0.2, 0.01)
    const removed = moves([["1", 50], ["2", 50], ["3", 25]], [["1", 50], ["2", 50]])
    assert.deepStrictEqual([...removed.keys()].toSorted(), ["3 1", "3 2"])
    assert.strictEqual(moves([["1", 90], ["2", 10]], [["1", 0.9], ["2", 0.1]]).size, 0)
    assert.strictEqual(moves([["1", 1]], [["1", 1], ["2", 0]]).size, 0)
  })

  it("is of each prompt by itself", () => {
    const weights: Split.Weights = [["1", 50], ["2", 50]]
    const same = keys.filter((key) => Split.choose("a", key, weights) === Split.choose("b", key, weights)).length
    assert.closeTo(same / keys.length, 0.5, 0.015)
  })

  it("gives nobody a version without weight, and nothing where none has one", () => {
    assert.deepStrictEqual([...counts("welcome", [["1", 0], ["2", 1]]).keys()], ["2"])
    assert.isUndefined(Split.choose("welcome", "a", [["1", 0]]))
    assert.isUndefined(Split.choose("welcome", "a", []))
  })

  it("takes any text for a key", () => {
    for (const key of ["", "\u0000", "\ud800", "🙂", "x".repeat(1_000_000), "__proto__", "\"]"]) {
      assert.include(["1", "2"], Split.choose("welcome", key, [["1", 1], ["2", 1]]))
    }
  })
})

describe("a prompt with weights", () => {
  const Welcome = Prompts.define("welcome", { variables: Schema.Struct({}) })
  const memory = (release: Partial<Prompts.Document>) =>
    Prompts.layerMemory({ welcome: { versions: { 1: { prompt: "one" }, 2: { prompt: "two" } }, ...release } })
  const served = (options?: Prompts.RenderOptions) => Effect.map(Welcome.render({}, options), lastText)

  it.effect("is split by key; without one latest is served, and a version that is asked for goes before both", () =>
    Effect.gen(function*() {
      const texts = new Set<unknown>()
      for (const key of keys.slice(0, 50)) texts.add(yield* served({ key }))
      assert.deepStrictEqual([...texts].toSorted(), ["one", "two"])
      assert.strictEqual(yield* served(), "one")
      assert.strictEqual(yield* served({ key: undefined }), "one")
      for (const key of keys.slice(0, 50)) {
        assert.strictEqual(yield* served({ key, version: "latest" }), "one")
        assert.strictEqual(yield* served({ key, version: "2" }), "two")
      }
    }).pipe(Effect.provide(memory({ latest: 1, weights: { 1: 50, 2: 50 } }))))

  it.effect("gives a key latest where there are no weights", () =>
    Effect.gen(function*() {
      for (const key of keys.slice(0, 50)) assert.strictEqual(yield* served({ key }), "two")
    }).pipe(Effect.provide(memory({}))))
})
