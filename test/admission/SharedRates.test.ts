import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { kinds, type Mark, type Need, Rates } from "../../src/admission/Rates.ts"
import { amounts, SharedRates } from "../../src/admission/SharedRates.ts"
import type { Amounts } from "../../src/admission/Stores.ts"

const limits = { requests: 20, inputTokens: 1_000, outputTokens: 1_000, tokens: 1_500 }
const full = kinds.map((kind) => ({ kind, limit: limits[kind], level: limits[kind] }))
const large: Need = { inputTokens: 30, outputTokens: 10 }
const small: Need = { inputTokens: 5, outputTokens: 1 }
const nothing: Amounts = { requests: 0, inputTokens: 0, outputTokens: 0, tokens: 0 }

const make = ({ learn = true } = {}) => {
  const local = new Rates({ limits, windowMillis: 60_000, learn }, 0)
  const state = { isLocal: false }
  return { local, state, shared: new SharedRates(local, () => state.isLocal) }
}

describe("rates that are shared", () => {
  it("let nobody start before the store has granted it, and say that it will be told", () => {
    const { local, shared } = make()
    assert.strictEqual(shared.waitFor(small, 0), Infinity)
    shared.supply([large])
    assert.strictEqual(shared.waitFor(large, 0), 0)
    assert.strictEqual(shared.waitFor({ ...large, outputTokens: 11 }, 0), Infinity)
    shared.take(large, 0)
    assert.strictEqual(shared.waitFor(small, 0), Infinity)
    // They would go on from there.
    assert.strictEqual(local.levels(0)[1]!.level, 970)
  })

  it("are the local ones while the store rests, and the store's again after", () => {
    const { local, shared, state } = make()
    state.isLocal = true
    assert.strictEqual(shared.waitFor(large, 0), 0)
    const mark = shared.take(large, 0)
    assert.strictEqual(local.levels(0)[1]!.level, 970)
    assert.deepStrictEqual(shared.levels(0), local.levels(0))
    assert.isAbove(shared.lasts({ ...nothing, requests: 20 }, small, 0), 0)
    state.isLocal = false
    assert.strictEqual(shared.waitFor(large, 0), Infinity)
    assert.strictEqual(shared.lasts({ ...nothing, requests: 20 }, small, 0), 0)
    // It took of the local buckets, so there it goes back to.
    shared.settle(large, mark, undefined, 0)
    assert.deepStrictEqual(local.levels(0), full)
    assert.isUndefined(shared.takeOwed(true))
  })

  it("are no rates where none are known", () => {
    const shared = new SharedRates(new Rates({ limits: {}, windowMillis: 60_000, learn: true }, 0), () => false)
    assert.strictEqual(shared.waitFor(large, 0), 0)
    shared.settle(large, shared.take(large, 0), large, 0)
    assert.isUndefined(shared.takeOwed(true))
  })

  it("pause for this process, whoever keeps the buckets, and follow the limits that are told", () => {
    const { shared } = make()
    shared.supply([large])
    shared.pause(["requests"], 5_000)
    assert.strictEqual(shared.waitFor(large, 0), 5_000)
    assert.strictEqual(shared.lasts(nothing, large, 0), 5_000)
    assert.strictEqual(shared.closedUntil, 5_000)
    assert.strictEqual(shared.waitFor(large, 5_000), 0)
    shared.told(
      { kind: "requests", limit: 9, remaining: 0, resetAt: undefined },
      large,
      shared.take(large, 5_000),
      5_000
    )
    assert.strictEqual(shared.limits[0]!.limit, 9)
  })

  it("leave what remains to the store to know", () => {
    const { local, shared } = make()
    shared.supply([large])
    shared.told({ kind: "requests", limit: 20, remaining: 0, resetAt: undefined }, large, shared.take(large, 0), 0)
    assert.strictEqual(local.levels(0)[0]!.level, 19)
  })

  it("keep a lease for those who wait, and give it back where nobody does", () => {
    const { shared } = make()
    shared.supply([large, small])
    shared.settle(large, shared.take(large, 0), { inputTokens: 40, outputTokens: 0 }, 0)
    assert.deepStrictEqual(shared.takeOwed(false), { requests: 0, inputTokens: -10, outputTokens: 10, tokens: 0 })
    assert.isUndefined(shared.takeOwed(false))
    assert.deepStrictEqual(shared.takeOwed(true), amounts(small))
    assert.isUndefined(shared.takeOwed(true))
  })

  const Tokens = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))
  const Use = Schema.Struct({ inputTokens: Tokens, outputTokens: Tokens })
  const Step = Schema.Union([
    Schema.TaggedStruct("supply", { needs: Schema.Array(Use).check(Schema.isMaxLength(4)) }),
    Schema.TaggedStruct("take", { need: Use }),
    Schema.TaggedStruct("settle", { which: Tokens, used: Schema.UndefinedOr(Use) }),
    Schema.TaggedStruct("owed", { withCredit: Schema.Boolean }),
    Schema.TaggedStruct("store", { rests: Schema.Boolean })
  ])

  it.prop(
    "give back exactly what was granted and not used, whoever leaves and however the store comes and goes",
    { steps: Schema.Array(Step).check(Schema.isMaxLength(60)) },
    ({ steps }) => {
      const { local, shared, state } = make()
      const store = { ...nothing } as { -readonly [K in keyof Amounts]: number }
      const add = (some: Amounts, sign: 1 | -1) => {
        for (const kind of kinds) store[kind] += sign * some[kind]
      }
      const open: Array<{ readonly need: Need; readonly mark: Mark; readonly wasLocal: boolean }> = []
      const used = { ...nothing } as { -readonly [K in keyof Amounts]: number }
      const usedHere = { ...nothing } as { -readonly [K in keyof Amounts]: number }
      const settle = (which: number, use: Need | undefined) => {
        const [call] = open.splice(which % open.length, 1)
        shared.settle(call!.need, call!.mark, use, 0)
        if (use === undefined) return
        for (const kind of kinds) {
          usedHere[kind] += amounts(use)[kind]
          if (!call!.wasLocal) used[kind] += amounts(use)[kind]
        }
      }
      for (const step of steps) {
        if (step._tag === "supply") {
          for (const need of step.needs) add(amounts(need), 1)
          shared.supply(step.needs)
        } else if (step._tag === "take") {
          if (shared.waitFor(step.need, 0) <= 0) {
            open.push({ need: step.need, mark: shared.take(step.need, 0), wasLocal: state.isLocal })
          }
        } else if (step._tag === "settle") {
          if (open.length > 0) settle(step.which, step.used)
        } else if (step._tag === "owed") {
          const owed = shared.takeOwed(step.withCredit)
          if (owed !== undefined) add(owed, -1)
        } else state.isLocal = step.rests
      }
      while (open.length > 0) settle(0, undefined)
      const owed = shared.takeOwed(true)
      if (owed !== undefined) add(owed, -1)
      assert.deepStrictEqual(store, used)
      for (const [n, { kind, level }] of local.levels(0).entries()) {
        assert.strictEqual(level, full[n]!.limit - usedHere[kind])
      }
    },
    { arbitrary: { runs: 150, size: 60, seed: "shared" } }
  )
})
