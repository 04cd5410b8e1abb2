/** What every store of the usage report does, whoever keeps the rows. Runs on the machine's clock. */
import { assert, layer } from "@effect/vitest"
import { Effect, type Layer, Schema, Stream } from "effect"
import type { StoreError, UsageRow, UsageStore } from "../../src/admission/Stores.ts"

export const row = (some: Partial<UsageRow> = {}): UsageRow => ({
  day: "2026-11-21",
  tenant: "acme",
  model: "claude-opus-5-5",
  requests: 1,
  inputTokens: 10,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 5,
  cost: 0.000175,
  unpriced: 0,
  ...some
})

/** Costs are sums of fractions: what is less than a nano-dollar is nothing. */
const exact = (rows: ReadonlyArray<UsageRow>) => rows.map((row) => ({ ...row, cost: Math.round(row.cost * 1e9) / 1e9 }))

/** Runs a suite over stores that `make` makes, a new and empty one with each test. */
export const usageStoreSuite = <R>(
  name: string,
  make: () => Effect.Effect<UsageStore, never, R>,
  around: Layer.Layer<R>
): void =>
  layer(around, { excludeTestServices: true })(name, (it) => {
    const live = (title: string, test: (store: UsageStore) => Effect.Effect<void, StoreError>) =>
      it.effect(title, () => Effect.flatMap(Effect.suspend(make), test))
    const rowsOf = (store: UsageStore) => Effect.map(Stream.runCollect(store.rows), exact)

    live("has no rows of nothing", (store) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* rowsOf(store), [])
      }))

    live("adds up every figure of a day, tenant and model, and keeps what differs in one of them apart", (store) =>
      Effect.gen(function*() {
        const some = { cacheReadTokens: 3, cacheWriteTokens: 2, unpriced: 1 }
        yield* store.add(row(some))
        yield* store.add(row(some))
        yield* store.add(row({ day: "2026-11-22" }))
        yield* store.add(row({ tenant: "globex" }))
        yield* store.add(row({ model: "claude-haiku-5-5" }))
        assert.deepStrictEqual(yield* rowsOf(store), [
          row({ model: "claude-haiku-5-5" }),
          row({
            requests: 2,
            inputTokens: 20,
            cacheReadTokens: 6,
            cacheWriteTokens: 4,
            outputTokens: 10,
            cost: 0.00035,
            unpriced: 2
          }),
          row({ tenant: "globex" }),
          row({ day: "2026-11-22" })
        ])
      }))

    live("answers in the order of days, tenants and models, however they came and are named", (store) =>
      Effect.gen(function*() {
        const days = ["2026-11-21", "2025-12-31", "2026-02-01"]
        const tenants = ["b", "", "a\",\"b", "a", "__proto__", "é\n{x}", "B"]
        const models = ["m", "constructor", "a b"]
        for (const day of days) {
          for (const tenant of tenants) {
            for (const model of models) {
              yield* store.add(row({ day, tenant, model }))
            }
          }
        }
        const expected = days.toSorted().flatMap((day) =>
          tenants.toSorted().flatMap((tenant) =>
            models.toSorted().map((model) =>
              row({ day, tenant, model })
            )
          )
        )
        assert.deepStrictEqual(yield* rowsOf(store), expected)
      }))

    live("has a row of what cost nothing, too", (store) =>
      Effect.gen(function*() {
        const nothing = row({ inputTokens: 0, outputTokens: 0, cost: 0 })
        yield* store.add(nothing)
        yield* store.add(row({ ...nothing, tenant: "unpriced", unpriced: 1 }))
        assert.deepStrictEqual(yield* rowsOf(store), [nothing, row({ ...nothing, tenant: "unpriced", unpriced: 1 })])
      }))

    live("loses none of those that are added at once", (store) =>
      Effect.gen(function*() {
        yield* Effect.forEach(
          Array.from({ length: 200 }, (_, n) =>
            n),
          (n) => store.add(row({ tenant: `t${n % 4}`, inputTokens: n })),
          { concurrency: "unbounded", discard: true }
        )
        const rows = yield* rowsOf(store)
        assert.deepStrictEqual(rows.map(({ tenant, requests }) => `${tenant} ${requests}`), [
          "t0 50",
          "t1 50",
          "t2 50",
          "t3 50"
        ])
        assert.strictEqual(rows.reduce((sum, { inputTokens }) => sum + inputTokens, 0), (199 * 200) / 2)
      }))

    live("adds once what it is told again under the same id", (store) =>
      Effect.gen(function*() {
        yield* store.add(row(), "one")
        yield* store.add(row(), "two")
        yield* store.add(row(), "one")
        yield* store.add(row())
        assert.deepStrictEqual((yield* rowsOf(store)).map(({ requests }) => requests), [3])
      }))

    live("is read as it is, and again later", (store) =>
      Effect.gen(function*() {
        yield* store.add(row())
        assert.deepStrictEqual(yield* rowsOf(store), [row()])
        yield* store.add(row({ tenant: "globex" }))
        assert.deepStrictEqual(yield* rowsOf(store), [row(), row({ tenant: "globex" })])
        assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(store.rows, 1)), [row()])
      }))

    const whole = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
    const aRow = Schema.Struct({
      day: Schema.Literals(["2026-11-21", "2026-11-22"]),
      tenant: Schema.Literals(["", "acme", "globex"]),
      model: Schema.Literals(["m", "n"]),
      inputTokens: whole(1_000_000),
      outputTokens: whole(1_000_000),
      nanos: whole(1_000_000_000)
    })
    it.effect.prop(
      "adds up as a model of it does, over any rows",
      { parts: Schema.Array(aRow).check(Schema.isMaxLength(12)) },
      ({ parts }) =>
        Effect.gen(function*() {
          const store = yield* make()
          const expected = new Map<string, UsageRow>()
          for (const { nanos, ...some } of parts) {
            const added = row({ ...some, cost: nanos / 1e9 })
            yield* store.add(added)
            const key = JSON.stringify([added.day, added.tenant, added.model])
            const before = expected.get(key)
            expected.set(
              key,
              before === undefined ? added : {
                ...added,
                requests: before.requests + 1,
                inputTokens: before.inputTokens + added.inputTokens,
                outputTokens: before.outputTokens + added.outputTokens,
                cost: before.cost + added.cost
              }
            )
          }
          assert.sameDeepMembers([...yield* rowsOf(store)], exact([...expected.values()]))
        }),
      { arbitrary: { runs: 40 } }
    )
  })
