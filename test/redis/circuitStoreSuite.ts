/** What every store of circuits does, whoever keeps their state. Runs on the machine's clock. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, type Layer, Schema, type Scope } from "effect"
import { CircuitBreaker } from "effect/persistence"
import * as Stores from "../../src/admission/Stores.ts"

type Store = typeof CircuitBreaker.CircuitBreakerStore.Service
type Outcome = "Success" | "Failure" | "Ignored"

const half: CircuitBreaker.TripPolicy = { _tag: "Rate", threshold: 0.5, minimumCalls: 4, size: 6 }
const atOnce = CircuitBreaker.consecutive(1)

/** Longer than a test takes. */
const long = Duration.minutes(10)

const record = (
  store: Store,
  key: string,
  generation: number,
  outcome: Outcome,
  tripPolicy: CircuitBreaker.TripPolicy = half,
  openFor: Duration.Input = long
) => store.record({ key, generation, outcome, tripPolicy, openFor: Duration.fromInputUnsafe(openFor) })

/** One call after the other, each with its outcome; the last one's transition. */
const calls = (store: Store, key: string, outcomes: ReadonlyArray<Outcome>, openFor?: Duration.Input) =>
  Effect.gen(function*() {
    let last: CircuitBreaker.Transition | undefined
    for (const outcome of outcomes) {
      const { generation } = yield* store.admit(key)
      last = yield* record(store, key, generation, outcome, half, openFor)
    }
    return last
  })

const open = (store: Store, key: string, openFor?: Duration.Input) =>
  Effect.gen(function*() {
    const { generation } = yield* store.admit(key)
    return yield* record(store, key, generation, "Failure", atOnce, openFor)
  })

const times = (count: number, outcome: Outcome): ReadonlyArray<Outcome> => Array.from({ length: count }, () => outcome)

/** Runs a suite over a layer that sets `Stores.Circuits`; keys are new with each test. */
export const circuitStoreSuite = <E>(name: string, circuits: Layer.Layer<never, E>): void =>
  layer(circuits, { excludeTestServices: true })(name, (it) => {
    let keys = 0
    const key = () => `chat/model ${keys++}`
    const theStore = Effect.map(Stores.Circuits, (store) => store ?? assert.fail("the layer sets no Stores.Circuits"))
    type Test = (store: Store, key: () => string) => Effect.Effect<void, unknown, Scope.Scope>
    const live = (title: string, test: Test) =>
      it.effect(title, () => Effect.scoped(Effect.flatMap(theStore, (store) => test(store, key))))

    live(
      "lets everybody through that it knows nothing of, and no one as a probe",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          assert.deepStrictEqual(yield* store.state(k), { _tag: "Closed", key: k })
          for (let i = 0; i < 3; i++) {
            const { consecutiveOpenings, probe, transition } = yield* store.admit(k)
            assert.deepStrictEqual([consecutiveOpenings, probe, transition], [0, false, undefined])
          }
        })
    )

    live(
      "opens when so many of the latest calls have failed, not before enough were made",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          assert.isUndefined(yield* calls(store, k, times(3, "Failure")))
          const opened = yield* calls(store, k, ["Failure"])
          assert.deepStrictEqual(opened, {
            key: k,
            from: "Closed",
            to: "Open",
            retryAfter: long,
            consecutiveOpenings: 1
          })
          const { reason } = yield* Effect.flip(store.admit(k))
          if (reason._tag !== "CircuitOpen") return assert.fail(reason._tag)
          assert.strictEqual(reason.key, k)
          assert.isAtMost(Duration.toMillis(reason.retryAfter), Duration.toMillis(long))
          assert.isAbove(Duration.toMillis(reason.retryAfter), Duration.toMillis(long) - 60_000)
          const state = yield* store.state(k)
          assert.strictEqual(state._tag, "Open")
          // Nobody else's.
          assert.isFalse((yield* store.admit(key())).probe)
        })
    )

    live(
      "looks at the latest calls only, and counts what succeeded among them",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          const before = [
            ...times(3, "Success"),
            ...times(1, "Failure"),
            ...times(6, "Success"),
            ...times(2, "Failure")
          ]
          assert.isUndefined(yield* calls(store, k, before))
          // The third of the latest six; of all that there were it is the fourth of thirteen.
          assert.strictEqual((yield* calls(store, k, ["Failure"]))?.to, "Open")
        })
    )

    live("counts nothing of what is to be ignored", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        assert.isUndefined(yield* calls(store, k, [...times(3, "Failure"), ...times(20, "Ignored")]))
        assert.strictEqual((yield* calls(store, k, ["Failure"]))?.to, "Open")
      }))

    live(
      "lets one probe when its time is over, however many ask at once, and closes when that succeeds",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          yield* open(store, k, 1)
          yield* Effect.sleep("10 millis")
          const asked = yield* Effect.forEach(times(20, "Success"), () => Effect.result(store.admit(k)), {
            concurrency: "unbounded"
          })
          const probes = asked.flatMap((result) => result._tag === "Success" ? [result.success] : [])
          const refusals = asked.flatMap((result) => result._tag === "Failure" ? [result.failure.reason._tag] : [])
          assert.strictEqual(probes.length, 1)
          assert.deepStrictEqual(new Set(refusals), new Set(["CircuitHalfOpen"]))
          const { consecutiveOpenings, generation, probe, transition } = probes[0]!
          assert.deepStrictEqual([probe, consecutiveOpenings], [true, 1])
          assert.deepStrictEqual(transition, { key: k, from: "Open", to: "HalfOpen" })
          const closed = yield* record(store, k, generation, "Success", atOnce)
          assert.deepStrictEqual(closed, { key: k, from: "HalfOpen", to: "Closed" })
          assert.isFalse((yield* store.admit(k)).probe)
        })
    )

    live("opens again when its probe fails, once more than before", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        yield* open(store, k, 1)
        yield* Effect.sleep("10 millis")
        const { generation } = yield* store.admit(k)
        const opened = yield* record(store, k, generation, "Failure", half, long)
        assert.deepStrictEqual(opened, {
          key: k,
          from: "HalfOpen",
          to: "Open",
          retryAfter: long,
          consecutiveOpenings: 2
        })
        assert.strictEqual((yield* Effect.flip(store.admit(k))).reason._tag, "CircuitOpen")
      }))

    live("gives the next the probe that was given up", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        yield* open(store, k, 1)
        yield* Effect.sleep("10 millis")
        const first = yield* store.admit(k)
        assert.isUndefined(yield* record(store, k, first.generation, "Ignored", half))
        const next = yield* store.admit(k)
        assert.deepStrictEqual([next.probe, next.transition], [true, undefined])
        // The first one's word comes too late.
        assert.isUndefined(yield* record(store, k, first.generation, "Success", half))
        assert.strictEqual((yield* Effect.flip(store.admit(k))).reason._tag, "CircuitHalfOpen")
        assert.strictEqual((yield* record(store, k, next.generation, "Success", half))?.to, "Closed")
      }))

    live("hears nothing of calls that were let through before it opened", (store, key) =>
      Effect.gen(function*() {
        const k = key()
        const before = yield* Effect.forEach(times(4, "Success"), () => store.admit(k))
        yield* open(store, k, 1)
        for (const { generation } of before) {
          assert.isUndefined(yield* record(store, k, generation, "Success", atOnce))
          assert.isUndefined(yield* record(store, k, generation, "Failure", atOnce))
        }
        yield* Effect.sleep("10 millis")
        assert.deepStrictEqual((yield* store.admit(k)).consecutiveOpenings, 1)
      }))

    live(
      "remembers how often it has opened for as long as it was open, and no longer",
      (store, key) =>
        Effect.gen(function*() {
          const k = key()
          yield* open(store, k, 300)
          yield* Effect.sleep("320 millis")
          const { generation } = yield* store.admit(k)
          const from = performance.now()
          yield* record(store, k, generation, "Success", half)
          const { consecutiveOpenings } = yield* store.admit(k)
          // Unless the machine has slept meanwhile.
          if (performance.now() - from < 290) assert.strictEqual(consecutiveOpenings, 1)
          yield* Effect.sleep("320 millis")
          assert.strictEqual((yield* store.admit(k)).consecutiveOpenings, 0)
        })
    )

    it.effect.prop(
      "opens where a model of it does, over any outcomes",
      {
        outcomes: Schema.Array(Schema.Literals(["Success", "Failure", "Ignored"])).check(Schema.isMaxLength(20)),
        minimumCalls: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
        more: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
        threshold: Schema.Literals([0.2, 0.5, 0.75, 1])
      },
      ({ minimumCalls, more, outcomes, threshold }) =>
        Effect.scoped(Effect.gen(function*() {
          const store = yield* theStore
          const k = key()
          const size = minimumCalls + more
          const policy: CircuitBreaker.TripPolicy = { _tag: "Rate", threshold, minimumCalls, size }
          let latest: ReadonlyArray<boolean> = []
          for (const outcome of outcomes) {
            const { generation } = yield* store.admit(k)
            const transition = yield* record(store, k, generation, outcome, policy)
            if (outcome !== "Ignored") latest = [...latest, outcome === "Failure"].slice(-size)
            const failed = latest.filter(Boolean).length
            const opens = outcome !== "Ignored" && latest.length >= minimumCalls && failed >= threshold * latest.length
            assert.strictEqual(transition?.to, opens ? "Open" : undefined)
            if (opens) return
          }
        })),
      { arbitrary: { runs: 100 } }
    )
  })
