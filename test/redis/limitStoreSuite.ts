/** What every store of rate limits does, whoever keeps the buckets. Runs on the machine's clock. */
import { assert, layer } from "@effect/vitest"
import { Effect, type Layer, Schema } from "effect"
import type { Amounts, Limit, LimitKind } from "../../src/admission/Stores.ts"
import * as Stores from "../../src/admission/Stores.ts"

/** A window in which nothing comes back while a test runs. */
const still = 1_000 * 86_400_000

export const amounts = (some: Partial<Amounts> = {}): Amounts => ({
  requests: 0,
  inputTokens: 0,
  outputTokens: 0,
  tokens: 0,
  ...some
})

const one = amounts({ requests: 1 })

const requests = (limit: number, windowMillis = still): Limit => ({ kind: "requests", limit, windowMillis })

/** Runs a suite over a layer that sets `Stores.Limits`; keys are new with each test. */
export const limitStoreSuite = <E>(name: string, store: Layer.Layer<never, E>): void =>
  layer(store, { excludeTestServices: true })(name, (it) => {
    let keys = 0
    const key = () => `key ${keys++}`
    const theStore = Effect.map(Stores.Limits, (store) => store ?? assert.fail("the layer sets no Stores.Limits"))
    type Test = (store: Stores.LimitStore, key: () => string) => Effect.Effect<void, unknown>
    const live = (title: string, test: Test) =>
      it.effect(title, () => Effect.flatMap(theStore, (store) => test(store, key)))

    live(
      "grants what a bucket holds, in order, and tells when the next need fits",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          assert.deepStrictEqual(yield* store.take(k, [requests(3)], [one, one]), { granted: 2, waitMillis: 0 })
          const { granted, waitMillis } = yield* store.take(k, [requests(3)], [one, one, one])
          assert.strictEqual(granted, 1)
          assert.isAbove(waitMillis, still / 3 - 10_000)
          assert.isAtMost(waitMillis, still / 3 + 1)
          assert.strictEqual((yield* store.take(k, [requests(3)], [one])).granted, 0)
        })
    )

    live(
      "takes a need whole or not at all, and none after one that does not fit",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const limits = [requests(10), { kind: "inputTokens", limit: 100, windowMillis: still }] as const
          const big = amounts({ requests: 1, inputTokens: 60 })
          const small = amounts({ requests: 1, inputTokens: 1 })
          assert.strictEqual((yield* store.take(k, limits, [big, big, small])).granted, 1)
          // Had the second taken its request, or the third its turn, there would be less of them left.
          assert.strictEqual(
            (yield* store.take(k, limits, Array.from({ length: 10 }, () => amounts({ requests: 1, inputTokens: 4 }))))
              .granted,
            9
          )
        })
    )

    live(
      "knows each key apart, and grants all where nothing is limited or asked",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          assert.strictEqual((yield* store.take(k, [requests(1)], [one])).granted, 1)
          assert.strictEqual((yield* store.take(key(), [requests(1)], [one])).granted, 1)
          assert.deepStrictEqual(yield* store.take(key(), [], [one, one]), { granted: 2, waitMillis: 0 })
          assert.deepStrictEqual(yield* store.take(k, [requests(1)], []), { granted: 0, waitMillis: 0 })
          yield* store.give(k, [], one)
        })
    )

    live(
      "grants a need larger than the limit when the bucket is full, and leaves a debt",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const need = amounts({ requests: 25 })
          assert.strictEqual((yield* store.take(k, [requests(10)], [need])).granted, 1)
          const { waitMillis } = yield* store.take(k, [requests(10)], [one])
          assert.approximately(waitMillis, (16 * still) / 10, 10_000)
          // In debt, even nothing waits.
          assert.strictEqual((yield* store.take(k, [requests(10)], [amounts()])).granted, 0)
          yield* store.give(k, [requests(10)], amounts({ requests: 24 }))
          assert.strictEqual((yield* store.take(k, [requests(10)], [need])).granted, 0)
          yield* store.give(k, [requests(10)], amounts({ requests: 1 }))
          assert.strictEqual((yield* store.take(k, [requests(10)], [need])).granted, 1)
        })
    )

    live("gives back a positive amount, takes a negative one, and never holds more than its limit", (
      store,
      key
    ) =>
      Effect.gen(function*() {
        const k = key()
        yield* store.give(k, [requests(5)], amounts({ requests: 100 }))
        assert.strictEqual((yield* store.take(k, [requests(5)], Array.from({ length: 9 }, () => one))).granted, 5)
        yield* store.give(k, [requests(5)], amounts({ requests: -2 }))
        yield* store.give(k, [requests(5)], amounts({ requests: 3 }))
        assert.strictEqual((yield* store.take(k, [requests(5)], [one, one])).granted, 1)
      }))

    live(
      "follows a limit that changes: never more than the new one, and what was taken stays taken",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const many = Array.from({ length: 50 }, () => one)
          assert.strictEqual((yield* store.take(k, [requests(20)], many.slice(0, 5))).granted, 5)
          assert.strictEqual((yield* store.take(k, [requests(10)], many)).granted, 10)
          assert.strictEqual((yield* store.take(k, [requests(40)], many)).granted, 0)
          yield* store.give(k, [requests(40)], amounts({ requests: 30 }))
          assert.strictEqual((yield* store.take(k, [requests(40)], many)).granted, 30)
        })
    )

    live(
      "fills a changed limit at its old rate until the change, and at the new one after it",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const fast = requests(100, 1)
          yield* store.take(k, [fast], Array.from({ length: 100 }, () => one))
          yield* Effect.sleep("5 millis")
          assert.strictEqual((yield* store.take(k, [requests(100)], [one])).granted, 1)
          yield* store.take(k, [requests(100)], Array.from({ length: 100 }, () => one))
          yield* Effect.sleep("5 millis")
          assert.strictEqual((yield* store.take(k, [requests(100)], [one])).granted, 0)
        })
    )

    live(
      "holds a pause for exactly the kinds named, never shortens it, and then goes on",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const limits = [requests(10), { kind: "outputTokens", limit: 10, windowMillis: still }] as const
          const start = performance.now()
          yield* store.pause(k, limits, ["outputTokens"], 300)
          yield* store.pause(k, limits, ["outputTokens"], 10)
          assert.strictEqual((yield* store.take(k, [limits[0]], [one])).granted, 1)
          const { granted, waitMillis } = yield* store.take(k, limits, [one])
          const asked = performance.now()
          assert.strictEqual(granted, 0)
          assert.isAtMost(waitMillis, 300)
          assert.isAtLeast(waitMillis, 300 - (asked - start) - 1)
          yield* Effect.sleep(waitMillis + 1)
          assert.deepStrictEqual(yield* store.take(k, limits, [one]), { granted: 1, waitMillis: 0 })
          assert.isAtLeast(performance.now() - start, 299)
        })
    )

    live("pauses all of a key where it has no bucket for what is named", (store, key) =>
      Effect.gen(function*() {
        for (const kinds of [[], ["tokens"]] as ReadonlyArray<ReadonlyArray<LimitKind>>) {
          const k = key()
          yield* store.pause(k, [requests(10)], kinds, 60_000)
          assert.strictEqual((yield* store.take(k, [requests(10)], [one])).granted, 0)
          assert.strictEqual((yield* store.take(k, [], [one])).granted, 0)
        }
      }))

    live("lets pass after the wait that it told", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        const limits = [requests(10, 400)]
        yield* store.take(k, limits, Array.from({ length: 10 }, () => one))
        let waits = 0
        while (waits < 5) {
          const { granted, waitMillis } = yield* store.take(k, limits, [one])
          // The machine was slow, and it is time already.
          if (granted === 1) continue
          assert.isTrue(waitMillis > 0 && waitMillis <= 40)
          const from = performance.now()
          while (performance.now() - from < waitMillis) yield* Effect.sleep("1 millis")
          assert.deepStrictEqual(yield* store.take(k, limits, [one]), { granted: 1, waitMillis: 0 })
          waits++
        }
      }))

    live(
      "never grants more, over any stretch of time, than a full bucket and what comes back in it",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const [limit, window] = [40, 80]
          const grants: Array<{ readonly before: number; readonly after: number; readonly amount: number }> = []
          const drawer = (size: number) =>
            Effect.gen(function*() {
              const end = performance.now() + 400
              while (performance.now() < end) {
                const before = performance.now()
                const needs = Array.from({ length: 6 }, (_, n) => amounts({ requests: 1 + (n * size) % 7 }))
                const { granted, waitMillis } = yield* store.take(k, [requests(limit, window)], needs)
                const amount = needs.slice(0, granted).reduce((sum, need) => sum + need.requests, 0)
                grants.push({ before, after: performance.now(), amount })
                yield* Effect.sleep(Math.min(waitMillis, 3))
              }
            })
          yield* Effect.forEach([1, 2, 3], drawer, { concurrency: 3, discard: true })
          grants.sort((a, b) => a.after - b.after)
          let worst = Number.NEGATIVE_INFINITY
          for (const from of grants) {
            let sum = 0
            for (const { after, amount, before } of grants) {
              if (before < from.before) continue
              sum += amount
              // A millisecond more, for the store's clock is not ours.
              worst = Math.max(worst, sum - limit - ((after - from.before + 1) * limit) / window)
            }
          }
          assert.isAtMost(worst, 0)
          const total = grants.reduce((sum, { amount }) => sum + amount, 0)
          assert.isAbove(total, limit + (300 * limit) / window)
        })
    )

    const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
    const each = (minimum: number, maximum: number) => {
      const some = whole(minimum, maximum)
      return Schema.Struct({ requests: some, inputTokens: some, outputTokens: some, tokens: some })
    }
    const upTo = <S extends Schema.Top>(count: number, schema: S) =>
      Schema.Array(schema).check(Schema.isMaxLength(count))
    const aStep = Schema.Union([
      Schema.TaggedStruct("take", { needs: upTo(5, each(0, 30)) }),
      Schema.TaggedStruct("give", { amounts: each(-20, 20) })
    ])
    const aKind = Schema.Literals(["requests", "inputTokens", "outputTokens", "tokens"])

    it.effect.prop(
      "grants as a model of it does, over any takes and gives, to the unit and to the millisecond",
      { sizes: each(1, 60), some: upTo(4, aKind), steps: upTo(12, aStep) },
      ({ sizes, some, steps }) =>
        Effect.gen(function*() {
          const store = yield* theStore
          const k = key()
          const limits = [...new Set(some)].map((kind): Limit => ({ kind, limit: sizes[kind], windowMillis: still }))
          const levels = { ...sizes }
          const start = performance.now()
          const waitFor = (need: Amounts) =>
            Math.max(
              0,
              ...limits.map(({ kind, limit }) => ((Math.min(need[kind], limit) - levels[kind]) * still) / limit)
            )
          for (const step of steps) {
            if (step._tag === "give") {
              yield* store.give(k, limits, step.amounts)
              for (const { kind, limit } of limits) levels[kind] = Math.min(limit, levels[kind] + step.amounts[kind])
              continue
            }
            const taken = yield* store.take(k, limits, step.needs)
            let granted = 0
            for (const need of step.needs) {
              if (waitFor(need) > 0) break
              for (const { kind } of limits) levels[kind] -= need[kind]
              granted++
            }
            assert.strictEqual(taken.granted, granted)
            const next = step.needs[granted]
            const wait = next === undefined ? 0 : Math.ceil(waitFor(next))
            assert.isAtMost(taken.waitMillis, wait + 1)
            // What came back since the first taking, and the rounding up.
            assert.isAtLeast(taken.waitMillis, wait - (performance.now() - start) - 1)
          }
        }),
      { arbitrary: { runs: 200 } }
    )

    it.effect.prop(
      "has all again, exactly, once all that was taken is given back, in any order",
      { parts: upTo(10, whole(0, 900)) },
      ({ parts }) =>
        Effect.gen(function*() {
          const store = yield* theStore
          const k = key()
          const sizes = parts.map((part) => part / 97)
          const limits = [requests(100)]
          const needs = sizes.map((size) => amounts({ requests: size }))
          assert.strictEqual((yield* store.take(k, limits, needs)).granted, needs.length)
          for (const size of sizes.toSorted((a, b) => a - b)) {
            yield* store.give(k, limits, amounts({ requests: size }))
          }
          assert.strictEqual((yield* store.take(k, limits, [amounts({ requests: 100 })])).granted, 1)
          assert.strictEqual((yield* store.take(k, limits, [amounts({ requests: 0.001 })])).granted, 0)
        }),
      { arbitrary: { runs: 30 } }
    )
  })
