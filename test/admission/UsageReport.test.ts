import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import type { UsageRow, UsageStore } from "../../src/admission/Stores.ts"
import * as Teller from "../../src/admission/Teller.ts"
import * as UsageReport from "../../src/admission/UsageReport.ts"
import * as Cost from "../../src/request/Cost.ts"
import * as Pricing from "../../src/request/Pricing.ts"

const noon = Date.parse("2026-11-21T12:00:00Z")
const model = "claude-opus-5-5"
const usage = { input_tokens: 100, output_tokens: 10, cache_read_input_tokens: 50, cache_creation_input_tokens: 20 }
const cost = Cost.of(Pricing.standard, model, usage, noon)!

const row = (day: string, tenant: string, model: string, requests = 1): UsageRow => ({
  day,
  tenant,
  model,
  requests,
  inputTokens: 10 * requests,
  cacheReadTokens: 5 * requests,
  cacheWriteTokens: 2 * requests,
  outputTokens: requests,
  cost: requests / 4,
  unpriced: 0
})

const fill = (store: UsageStore, rows: ReadonlyArray<UsageRow>) =>
  Effect.andThen(Effect.forEach(rows, (row) => store.add(row), { discard: true }), Stream.runCollect(store.rows))

const names = (rows: ReadonlyArray<UsageRow>) => rows.map(({ day, model, tenant }) => `${day} ${tenant} ${model}`)

describe("rowOf", () => {
  it("tells each kind of token apart, so that they add up to all", () => {
    assert.deepStrictEqual(UsageReport.rowOf({ at: noon, tenant: "acme", model, usage, cost }), {
      day: "2026-11-21",
      tenant: "acme",
      model,
      requests: 1,
      inputTokens: 100,
      cacheReadTokens: 50,
      cacheWriteTokens: 20,
      outputTokens: 10,
      cost: cost.amount,
      unpriced: 0
    })
  })

  it("ends a day at midnight in UTC", () => {
    const day = (at: string) => UsageReport.rowOf({ at: Date.parse(at), tenant: undefined, model, usage, cost }).day
    assert.deepStrictEqual([day("2026-11-21T23:59:59.999Z"), day("2026-11-22T00:00:00Z")], ["2026-11-21", "2026-11-22"])
  })

  it("counts a request without a price as one, and what is not known of a usage as nothing", () => {
    const odd = { input_tokens: null, output_tokens: Number.NaN, cache_read_input_tokens: -4 }
    const { cost, inputTokens, outputTokens, cacheReadTokens, requests, tenant, unpriced } = UsageReport.rowOf({
      at: noon,
      tenant: undefined,
      model,
      usage: odd,
      cost: undefined
    })
    assert.deepStrictEqual([inputTokens, outputTokens, cacheReadTokens, cost], [0, 0, 0, 0])
    assert.deepStrictEqual([requests, unpriced, tenant], [1, 1, ""])
  })

  it("counts whole tokens, and takes a cost that is no number for one that is unknown", () => {
    const { cacheReadTokens, cost: amount, inputTokens, outputTokens, unpriced } = UsageReport.rowOf({
      at: noon,
      tenant: undefined,
      model,
      usage: { input_tokens: 7.9, output_tokens: 1e300, cache_read_input_tokens: Infinity },
      cost: { ...cost, amount: Number.NaN }
    })
    assert.deepStrictEqual([inputTokens, outputTokens, cacheReadTokens, amount, unpriced], [7, 1e12, 0, 0, 1])
  })

  it("takes cache writes from the split or the total, whichever tells more", () => {
    const writes = (usage: Cost.BilledUsage) =>
      UsageReport.rowOf({ at: noon, tenant: "a", model, usage, cost }).cacheWriteTokens
    const cache_creation = { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 4 }
    assert.strictEqual(writes({ cache_creation }), 7)
    assert.strictEqual(writes({ cache_creation, cache_creation_input_tokens: 9 }), 9)
  })
})

describe("a report in memory", () => {
  it.effect("adds up by day, tenant and model, and answers in that order", () =>
    Effect.gen(function*() {
      const rows = yield* fill(UsageReport.makeMemory(), [
        row("2026-11-22", "b", "m"),
        row("2026-11-21", "b", "n", 2),
        row("2026-11-21", "b", "m"),
        row("2026-11-22", "a", "m"),
        row("2026-11-21", "b", "n", 3),
        row("2026-11-21", "", "m")
      ])
      assert.deepStrictEqual(rows, [
        row("2026-11-21", "", "m"),
        row("2026-11-21", "b", "m"),
        row("2026-11-21", "b", "n", 5),
        row("2026-11-22", "a", "m"),
        row("2026-11-22", "b", "m")
      ])
    }))

  it.effect("keeps tenants and models apart, however they are named", () =>
    Effect.gen(function*() {
      const rows = yield* fill(UsageReport.makeMemory(), [
        row("2026-11-21", "a\",\"b", "c"),
        row("2026-11-21", "a", "b\",\"c"),
        row("2026-11-21", "__proto__", "constructor")
      ])
      assert.lengthOf(rows, 3)
    }))

  it.effect("is read as it is when reading begins, and again later", () =>
    Effect.gen(function*() {
      const store = UsageReport.makeMemory()
      assert.deepStrictEqual(yield* Stream.runCollect(store.rows), [])
      yield* store.add(row("2026-11-21", "a", "m"))
      assert.lengthOf(yield* Stream.runCollect(store.rows), 1)
    }))

  it.effect("forgets the oldest days when there are too many rows", () =>
    Effect.gen(function*() {
      const store = UsageReport.makeMemory({ rows: 3 })
      const rows = [row("2026-11-21", "a", "m"), row("2026-11-21", "b", "m"), row("2026-11-22", "a", "m")]
      assert.lengthOf(yield* fill(store, rows), 3)
      assert.deepStrictEqual(names(yield* fill(store, [row("2026-11-23", "a", "m")])), [
        "2026-11-22 a m",
        "2026-11-23 a m"
      ])
      yield* fill(store, [row("2026-11-23", "b", "m")])
      // One that comes late is itself the oldest.
      assert.deepStrictEqual(names(yield* fill(store, [row("2026-11-20", "a", "m")])), [
        "2026-11-22 a m",
        "2026-11-23 a m",
        "2026-11-23 b m"
      ])
    }))

  it.effect("loses nothing of a day that has too many tenants: those that come later are one row", () =>
    Effect.gen(function*() {
      const store = UsageReport.makeMemory({ rows: 2 })
      const rows = yield* fill(store, ["a", "b", "c", "d", "a", "d"].map((tenant) => row("2026-11-21", tenant, "m")))
      assert.deepStrictEqual(rows, [
        row("2026-11-21", UsageReport.OTHERS, "m", 3),
        row("2026-11-21", "a", "m", 2),
        row("2026-11-21", "b", "m", 1)
      ])
    }))
})

describe("a report over a store", () => {
  /** A store that may be down, or mute: then it does what it is told, and nobody hears of it. */
  const setUp = Effect.gen(function*() {
    const memory = UsageReport.makeMemory()
    const state = { isDown: false, isMute: false, adds: 0, refuses: "" }
    const store: UsageStore = {
      add: (row, id) =>
        Effect.suspend(() => {
          state.adds++
          if (state.isDown || row.tenant === state.refuses) return Effect.fail({ _tag: "Down", message: "down" })
          return state.isMute ? Effect.andThen(memory.add(row, id), Effect.never) : memory.add(row, id)
        }),
      rows: memory.rows
    }
    const guard = yield* StoreGuard.make({ patience: 100, rest: 1_000, onUnavailable: () => Effect.void })
    const teller = yield* Teller.make(guard, 100)
    const report = UsageReport.makeShared({ store, guard, teller, onRefused: () => Effect.void })
    return { memory, report, state }
  })

  it.effect("adds up what is owed by day, tenant and model, so that an outage costs a row each", () =>
    Effect.gen(function*() {
      const { memory, report, state } = yield* setUp
      state.isDown = true
      for (let n = 0; n < 300; n++) yield* report.add(row("2026-11-21", n % 2 === 0 ? "a" : "b", "m"))
      yield* TestClock.adjust("5 seconds")
      assert.isAtMost(state.adds, 7)
      state.isDown = false
      const before = state.adds
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Stream.runCollect(memory.rows), [
        row("2026-11-21", "a", "m", 150),
        row("2026-11-21", "b", "m", 150)
      ])
      // The first had been sent by itself.
      assert.isAtMost(state.adds - before, 3)
    }).pipe(Effect.scoped))

  it.effect("tells again what was not answered, and it counts once", () =>
    Effect.gen(function*() {
      const { memory, report, state } = yield* setUp
      state.isMute = true
      for (let n = 0; n < 3; n++) {
        const call = yield* Effect.forkChild(report.add(row("2026-11-21", "a", "m")))
        yield* TestClock.adjust("4 seconds")
        yield* Fiber.join(call)
      }
      assert.isAbove(state.adds, 3)
      state.isMute = false
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Stream.runCollect(memory.rows), [row("2026-11-21", "a", "m", 3)])
    }).pipe(Effect.scoped))

  it.effect("tells the rows of others also where the store never takes one", () =>
    Effect.gen(function*() {
      const { memory, report, state } = yield* setUp
      state.refuses = "odd"
      yield* report.add(row("2026-11-21", "odd", "m"))
      for (let n = 0; n < 20; n++) yield* report.add(row("2026-11-21", `t${n}`, "m"))
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* Stream.runCollect(memory.rows), 20)
    }).pipe(Effect.scoped))

  it.effect("is told what it missed before it is read", () =>
    Effect.gen(function*() {
      const { report, state } = yield* setUp
      state.isDown = true
      yield* report.add(row("2026-11-21", "a", "m"))
      yield* report.add(row("2026-11-21", "a", "m"))
      yield* TestClock.adjust(999)
      state.isDown = false
      yield* TestClock.setTime(1_000)
      assert.deepStrictEqual(yield* Stream.runCollect(report.rows), [row("2026-11-21", "a", "m", 2)])
    }).pipe(Effect.scoped))
})
