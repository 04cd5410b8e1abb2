/** What every store of budgets does, whoever keeps account. Runs on the machine's clock. */
import { assert, layer } from "@effect/vitest"
import { Effect, type Layer, Schema } from "effect"
import type { BudgetEntry } from "../../src/admission/Stores.ts"
import * as Stores from "../../src/admission/Stores.ts"

const window = Date.now() + 3_600_000

export const entry = (key: string, amount: number, limit = 100, expiresAt = window): BudgetEntry => ({
  key,
  amount,
  limit,
  expiresAt
})

/** Runs a suite over a layer that sets `Stores.Budgets`; keys are new with each test. */
export const budgetStoreSuite = <E>(name: string, store: Layer.Layer<never, E>): void =>
  layer(store, { excludeTestServices: true })(name, (it) => {
    let keys = 0
    const key = () => `budget ${keys++}`
    const theStore = Effect.map(Stores.Budgets, (store) => store ?? assert.fail("the layer sets no Stores.Budgets"))
    type Test = (store: Stores.BudgetStore, key: () => string) => Effect.Effect<void, unknown>
    const live = (title: string, test: Test) =>
      it.effect(title, () => Effect.flatMap(theStore, (store) => test(store, key)))

    live(
      "reserves until there is no room, to the unit, and says what is spent",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          assert.deepStrictEqual(yield* store.reserve([entry(k, 60)]), { _tag: "Reserved", spent: [60] })
          assert.deepStrictEqual(yield* store.reserve([entry(k, 41)]), { _tag: "Exceeded", index: 0, spent: 60 })
          assert.deepStrictEqual(yield* store.reserve([entry(k, 40)]), { _tag: "Reserved", spent: [100] })
          assert.deepStrictEqual(yield* store.reserve([entry(k, 0)]), { _tag: "Reserved", spent: [100] })
          assert.deepStrictEqual(yield* store.reserve([entry(k, 1)]), { _tag: "Exceeded", index: 0, spent: 100 })
        })
    )

    live("reserves all entries or none, and names the first without room", (store, key) =>
      Effect.gen(function*() {
        const [a, b, c] = [key(), key(), key()]
        yield* store.reserve([entry(b, 90)])
        const wanted = [entry(a, 20), entry(b, 20), entry(c, 200)]
        assert.deepStrictEqual(yield* store.reserve(wanted), { _tag: "Exceeded", index: 1, spent: 90 })
        const fits = [entry(a, 20), entry(b, 10), entry(c, 100)]
        assert.deepStrictEqual(yield* store.reserve(fits), { _tag: "Reserved", spent: [20, 100, 100] })
        // Two budgets may come to the same account.
        const d = key()
        assert.deepStrictEqual(yield* store.reserve([entry(d, 60), entry(d, 60)]), {
          _tag: "Exceeded",
          index: 1,
          spent: 60
        })
        assert.deepStrictEqual(yield* store.reserve([entry(d, 60), entry(d, 40)]), {
          _tag: "Reserved",
          spent: [60, 100]
        })
      }))

    live("settles limit or not, gives back, and is never below nothing", (store, key) =>
      Effect.gen(function*() {
        const [a, b] = [key(), key()]
        yield* store.reserve([entry(a, 50)])
        assert.deepStrictEqual(yield* store.settle([entry(a, 70), entry(b, 5)]), [120, 5])
        assert.deepStrictEqual(yield* store.reserve([entry(a, 0)]), { _tag: "Exceeded", index: 0, spent: 120 })
        assert.deepStrictEqual(yield* store.settle([entry(a, -100), entry(b, -6)]), [20, 0])
        assert.deepStrictEqual(yield* store.reserve([entry(a, 80), entry(b, 100)]), {
          _tag: "Reserved",
          spent: [100, 100]
        })
      }))

    live(
      "does once what it is asked again under the same id, and says how it stands now",
      (store, key) =>
        Effect.gen(function*() {
          const [a, b] = [key(), key()]
          const both = [entry(a, 30), entry(b, 40)]
          assert.deepStrictEqual(yield* store.reserve(both, `${a} reserved`), { _tag: "Reserved", spent: [30, 40] })
          yield* store.reserve([entry(a, 5)], `${a} another`)
          assert.deepStrictEqual(yield* store.reserve(both, `${a} reserved`), { _tag: "Reserved", spent: [35, 40] })
          assert.deepStrictEqual(yield* store.settle([entry(a, -20), entry(b, 9)], `${a} settled`), [15, 49])
          yield* store.settle([entry(b, 1)])
          yield* store.settle([entry(b, 1)])
          assert.deepStrictEqual(yield* store.settle([entry(a, -20), entry(b, 9)], `${a} settled`), [15, 51])
          // What is owed may be another's by then, or less.
          assert.deepStrictEqual(yield* store.settle([entry(b, 9)], `${a} settled`), [51])
        })
    )

    live(
      "refuses again what it refused under an id, so that no question that was late is done after all",
      (store, key) =>
        Effect.gen(function*() {
          const [a, b] = [key(), key()]
          yield* store.reserve([entry(b, 90)])
          const wanted = [entry(a, 20), entry(b, 20)]
          const refused = { _tag: "Exceeded", index: 1 } as const
          assert.deepStrictEqual(yield* store.reserve(wanted, a), { ...refused, spent: 90 })
          yield* store.settle([entry(b, -60)])
          assert.deepStrictEqual(yield* store.reserve(wanted, a), { ...refused, spent: 30 })
          assert.deepStrictEqual(yield* store.reserve(wanted, b), { _tag: "Reserved", spent: [20, 50] })
        })
    )

    live("does once what many ask at once under one id", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        yield* Effect.forEach(
          Array.from({ length: 20 }, (_, n) => n % 2 === 0),
          (settles) =>
            Effect.asVoid<unknown, unknown, never>(
              settles ? store.settle([entry(k, 3)], `${k} s`) : store.reserve([entry(k, 4)], `${k} r`)
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(yield* store.settle([entry(k, 0)]), [7])
      }))

    live("has nothing to say to nothing", (store) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* store.reserve([]), { _tag: "Reserved", spent: [] })
        assert.deepStrictEqual(yield* store.settle([]), [])
      }))

    live("counts nano-dollars of millions exactly", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        const much = 5_000_000_000_000_001
        yield* store.settle([entry(k, much)])
        assert.deepStrictEqual(yield* store.reserve([entry(k, 1, much + 1)]), { _tag: "Reserved", spent: [much + 1] })
        assert.deepStrictEqual(yield* store.reserve([entry(k, 1, much + 1)]), {
          _tag: "Exceeded",
          index: 0,
          spent: much + 1
        })
      }))

    live("never reserves more than the limit, however many ask at once", (store, key) =>
      Effect.gen(function*() {
        const [all, one] = [key(), key()]
        const answers = yield* Effect.forEach(
          Array.from({ length: 60 }, (_, n) => n),
          (n) => store.reserve([entry(all, 7, 100), entry(n % 2 === 0 ? one : all, 3, 20)]),
          { concurrency: "unbounded" }
        )
        const granted = answers.filter(({ _tag }) => _tag === "Reserved").length
        const [spent] = yield* store.settle([entry(all, 0)])
        assert.isAbove(granted, 5)
        assert.isAtMost(spent!, 100)
      }))

    const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
    const Step = Schema.Struct({
      settles: Schema.Boolean,
      changes: Schema.Array(Schema.Struct({ of: whole(0, 2), amount: whole(0, 60) })).check(Schema.isMaxLength(4))
    })
    it.effect.prop(
      "keeps account as a model does, over any reservations and settlements",
      { steps: Schema.Array(Step).check(Schema.isMaxLength(15)) },
      ({ steps }) =>
        Effect.gen(function*() {
          const store = yield* theStore
          const names = [key(), key(), key()]
          const spent = [0, 0, 0]
          for (const { changes, settles } of steps) {
            const entries = changes.map(({ amount, of }) => entry(names[of]!, settles ? amount - 30 : amount))
            if (settles) {
              const expected = changes.map(({ amount, of }) => spent[of] = Math.max(0, spent[of]! + amount - 30))
              assert.deepStrictEqual(yield* store.settle(entries), expected)
              continue
            }
            const after = [...spent]
            const index = changes.findIndex(({ amount, of }) => (after[of]! += amount) > 100)
            const reserved = yield* store.reserve(entries)
            if (index !== -1) {
              const { amount, of } = changes[index]!
              assert.deepStrictEqual(reserved, { _tag: "Exceeded", index, spent: after[of]! - amount })
              continue
            }
            assert.strictEqual(reserved._tag, "Reserved")
            for (const { amount, of } of changes) spent[of]! += amount
          }
          const last = yield* store.settle(names.map((name) => entry(name, 0)))
          assert.deepStrictEqual(last, spent)
        }),
      { arbitrary: { runs: 100 } }
    )
  })
