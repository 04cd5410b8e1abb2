import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Bucket } from "../../src/admission/Bucket.ts"
import * as Gate from "../../src/admission/Gate.ts"
import { kinds, type Need, type Rates } from "../../src/admission/Rates.ts"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import type { Amounts, LimitKind, LimitStore, StoreError } from "../../src/admission/Stores.ts"
import * as ClaudeError from "../../src/ClaudeError.ts"
import * as Failure from "../../src/Failure.ts"

/** A window in which nothing comes back while a test runs. */
const STILL = 1e15
const nothing: Need = { inputTokens: 0, outputTokens: 0 }

type Levels = ReturnType<Rates["levels"]>

/** A gate, and whatever sleeps on its behalf or on its callers'. */
const make = Effect.fnUntraced(function*(options: {
  readonly level: number
  readonly queue?: number
  readonly limits?: Gate.GateOptions["rates"]["limits"]
  readonly window?: number
  readonly shared?: Gate.GateOptions["shared"]
}) {
  const { level, limits = {}, queue = 1_000, shared, window = 60_000 } = options
  const clock = yield* Clock.Clock
  const seen = { sleeping: 0, levels: [] as Levels }
  // The prototype is the test's clock; only what sleeps is counted.
  const counting: Clock.Clock = Object.assign(Object.create(clock) as Clock.Clock, {
    sleep: (duration: Duration.Duration) =>
      Effect.acquireUseRelease(
        Effect.sync(() => void seen.sleeping++),
        () => clock.sleep(duration),
        () => Effect.sync(() => void seen.sleeping--)
      )
  })
  const gate = yield* Effect.provideService(
    Gate.make({
      concurrency: { min: level, max: level },
      queue,
      tenant: (name) => name === "capped" ? { max: 2 } : {},
      rates: { limits, windowMillis: window, learn: true },
      shared,
      onLevel: () => {},
      onRates: (levels) => void (seen.levels = levels)
    }),
    Clock.Clock,
    counting
  )
  const enter = ({
    need = nothing,
    onQueued = Effect.succeed(0n),
    patience = 1e12,
    tenant = "a"
  }: Partial<Gate.Waiter> & { patience?: number }) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      gate.enter({
        tenant,
        priority: "interactive",
        need,
        deadline: now + patience,
        onQueued,
        onLeft: () => Effect.void
      }))
  /** Holds a turn until it is told to go. */
  const hold = Effect.fnUntraced(function*(call: Parameters<typeof enter>[0] = {}) {
    const go = yield* Deferred.make<void>()
    const held: { at?: number; pass?: Gate.Pass } = {}
    const fiber = yield* enter(call).pipe(
      Effect.tap((pass) =>
        Effect.map(Clock.currentTimeMillis, (at) => {
          Object.assign(held, { at, pass })
          pass.sent()
        })
      ),
      Effect.andThen(Deferred.await(go)),
      Effect.scoped,
      Effect.exit,
      Effect.tap(() => Effect.map(Clock.currentTimeMillis, (at) => void (held.at ??= at))),
      Effect.forkChild({ startImmediately: true })
    )
    return { held, fiber, end: Effect.andThen(Deferred.succeed(go, undefined), Fiber.join(fiber)) }
  })
  /** What the local buckets hold. */
  const levels = Effect.gen(function*() {
    const pass = yield* enter({})
    const ghost = { "anthropic-ratelimit-requests-limit": "1000000" }
    pass.responded({ status: 200, headers: new Headers(ghost) })
    // This very call took one request, and gives it back with its scope.
    return Object.fromEntries(seen.levels.map(({ kind, level }) => [kind, kind === "requests" ? level + 1 : level]))
  }).pipe(Effect.scoped)
  return { gate, enter, hold, levels, seen }
})

const reasonOf = (exit: Exit.Exit<unknown, ClaudeError.ClaudeError>) => {
  const failure = Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail") : undefined
  return failure?.error.reason._tag
}

const rateLimited = (retryAfter?: Duration.Input) =>
  Failure.retryable(new ClaudeError.RateLimited({}), "slow down", {
    type: "rate_limit_error",
    retryAfter: retryAfter === undefined ? undefined : Duration.fromInputUnsafe(retryAfter)
  })

const headers = (parts: Readonly<Record<string, string>>) => ({
  status: 200,
  headers: new Headers(Object.entries(parts).map(([name, value]) => [`anthropic-ratelimit-${name}`, value]))
})

/** Buckets in memory that several gates may share, on the test's clock, which fail and hang as they are told. */
const makeStore = Effect.fnUntraced(function*(size: number, window: number) {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const buckets = new Map(kinds.map((kind): [LimitKind, Bucket] => [kind, new Bucket(size, window, now())]))
  const state = { fault: "" as "" | "fails" | "hangs" | "breaks", asked: 0, lag: 0 }
  const answer = <A>(f: () => A): Effect.Effect<A, StoreError> =>
    Effect.suspend((): Effect.Effect<A, StoreError> => {
      state.asked++
      if (state.fault === "hangs") return Effect.never
      if (state.fault === "breaks") return Effect.die(new Error("a bug"))
      if (state.fault === "fails") return Effect.fail({ _tag: "Down", message: "it is down" })
      return Effect.andThen(state.lag === 0 ? Effect.void : Effect.sleep(state.lag), Effect.sync(f))
    })
  const store: LimitStore = {
    take: (_, limits, needs) =>
      answer(() => {
        for (const [granted, need] of needs.entries()) {
          const wait = Math.max(0, ...limits.map(({ kind }) => buckets.get(kind)!.waitFor(need[kind], now())))
          if (wait > 0) return { granted, waitMillis: Math.ceil(wait) }
          for (const { kind } of limits) buckets.get(kind)!.take(need[kind], now())
        }
        return { granted: needs.length, waitMillis: 0 }
      }),
    give: (_, limits, amounts: Amounts) =>
      answer(() => {
        for (const { kind } of limits) buckets.get(kind)!.settle(amounts[kind], 0, now())
      }),
    pause: (_, __, named, millis) =>
      answer(() => {
        for (const kind of named.length === 0 ? kinds : named) buckets.get(kind)!.pause(now() + millis)
      })
  }
  const guard = yield* StoreGuard.make({ patience: 250, rest: 1_000, onUnavailable: () => Effect.void })
  return { state, level: (kind: LimitKind) => buckets.get(kind)!.levelAt(now()), shared: { key: "k", store, guard } }
})

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const PATIENT = 1e6
const Caller = Schema.Struct({
  comes: whole(0, 40),
  tenant: Schema.Literals(["a", "b", "capped"]),
  need: Schema.Struct({ inputTokens: whole(0, 50), outputTokens: whole(0, 50) }),
  patience: Schema.Literals([1, 5, 20, PATIENT]),
  lasts: whole(0, 15),
  /** By how much it uses less, or more; nothing where it is never sent. */
  used: Schema.UndefinedOr(Schema.Struct({ inputTokens: whole(0, 60), outputTokens: whole(0, 60) })),
  interrupted: Schema.Literals([0, 1, 2, 3, 5, 8, 13, 21, 34, 1_000])
})
const Callers = Schema.Array(Caller).check(Schema.isMaxLength(40))
type Made = Effect.Success<ReturnType<typeof make>>

/** Lets them come, wait, be served and be interrupted, and answers what was used and who left how. */
const storm = Effect.fnUntraced(function*({ enter, gate, seen }: Made, level: number, callers: typeof Callers.Type) {
  const used = { requests: 0, inputTokens: 0, outputTokens: 0, tokens: 0 }
  let open = 0
  const call = (caller: typeof Caller.Type) =>
    Effect.gen(function*() {
      const came = yield* Clock.currentTimeMillis
      const pass = yield* enter(caller).pipe(Effect.tapError((error) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          assert.strictEqual(error.reason._tag, "DeadlineExceeded")
          assert.isBelow(caller.patience, PATIENT, "who has time starts")
          assert.isTrue(now === came || now === came + caller.patience, `at ${now - came} of ${caller.patience} ms`)
        })
      ))
      assert.isBelow(yield* Clock.currentTimeMillis, came + caller.patience)
      assert.isAtMost(++open, level)
      yield* Effect.addFinalizer(() => Effect.sync(() => void open--))
      if (caller.used !== undefined) {
        pass.sent()
        const { inputTokens, outputTokens } = caller.used
        const ended = () => {
          pass.ended(caller.used, undefined)
          used.requests += 1
          used.inputTokens += inputTokens
          used.outputTokens += outputTokens
          used.tokens += inputTokens + outputTokens
        }
        yield* Effect.onExit(Effect.sleep(caller.lasts), () => Effect.sync(ended))
      } else yield* Effect.sleep(caller.lasts)
    }).pipe(Effect.scoped)
  const fibers = yield* Effect.forEach(
    callers,
    (caller) => Effect.forkChild(Effect.exit(Effect.delay(call(caller), caller.comes)))
  )
  for (let tick = 0; tick < 80; tick++) {
    for (const [n, { comes, interrupted }] of callers.entries()) {
      // Some just before time passes and some as it does, so that one is interrupted in the moment it is woken.
      if (comes + interrupted === tick) {
        const interrupt = Fiber.interrupt(fibers[n]!)
        yield* Effect.forkChild(n % 2 === 0 ? interrupt : Effect.delay(interrupt, 1), { startImmediately: true })
      }
    }
    yield* TestClock.adjust(1)
    assert.isAtMost(gate.turns.inFlight, level)
    assert.strictEqual(gate.turns.inFlight, open)
  }
  yield* TestClock.adjust("1 hour")
  const exits = yield* Effect.forEach(fibers, (fiber) => Fiber.await(fiber))
  for (const exit of exits) {
    const result = Exit.isSuccess(exit) ? exit.value : exit
    if (Exit.isFailure(result) && reasonOf(result) === undefined) {
      assert.isTrue(Exit.hasInterrupts(result), `nothing broke: ${String(result)}`)
    }
  }
  assert.deepStrictEqual([open, gate.turns.inFlight, gate.turns.waiting, seen.sleeping], [0, 0, 0, 0])
  assert.strictEqual(gate.turns["tenants"].size, 0)
  return used
})

const unlimited = { requests: 1e6, inputTokens: 1e6, outputTokens: 1e6, tokens: 1e6 }
const left = (used: Amounts) => Object.fromEntries(kinds.map((kind) => [kind, 1e6 - used[kind]]))

describe("a gate", () => {
  it.effect.prop(
    "has every permit and all of its buckets again, exactly, whenever callers come, leave and are interrupted",
    { level: whole(1, 6), callers: Callers },
    ({ callers, level }) =>
      Effect.gen(function*() {
        const made = yield* make({ level, limits: unlimited, window: STILL })
        const used = yield* storm(made, level, callers)
        assert.deepStrictEqual(round(yield* made.levels), left(used))
      }).pipe(Effect.scoped, Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 30, size: 60, seed: "gate" } }
  )

  it.effect.prop(
    "gives a shared store back, exactly, what was leased and not used",
    { level: whole(1, 6), lag: whole(0, 3), callers: Callers },
    ({ callers, lag, level }) =>
      Effect.gen(function*() {
        const { level: levelOf, shared, state } = yield* makeStore(1e6, STILL)
        state.lag = lag
        const made = yield* make({ level, limits: unlimited, window: STILL, shared })
        const used = yield* storm(made, level, callers)
        assert.deepStrictEqual(round(Object.fromEntries(kinds.map((kind) => [kind, levelOf(kind)]))), left(used))
      }).pipe(Effect.scoped, Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 25, size: 60, seed: "shared" } }
  )

  it.effect.prop(
    "lets everybody through or leave in time while a shared store fails, hangs, breaks and comes back",
    {
      level: whole(1, 6),
      callers: Callers,
      faults: Schema.Array(Schema.Literals(["", "fails", "hangs", "breaks"])).check(Schema.isMaxLength(6))
    },
    ({ callers, faults, level }) =>
      Effect.gen(function*() {
        const { shared, state } = yield* makeStore(1e6, STILL)
        const made = yield* make({ level, limits: unlimited, window: STILL, shared })
        yield* Effect.forkChild(
          Effect.forEach(faults, (fault) => Effect.delay(Effect.sync(() => void (state.fault = fault)), 7))
        )
        yield* storm(made, level, callers)
      }).pipe(Effect.scoped, Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 25, size: 60, seed: "faults" } }
  )

  it.effect("gives back the turn of a caller that is interrupted in the moment it is woken", () =>
    Effect.gen(function*() {
      const { gate, hold } = yield* make({ level: 1 })
      const [first, second, third] = [yield* hold(), yield* hold(), yield* hold()]
      // Its fiber has yet to run when it is interrupted.
      first.fiber.interruptUnsafe()
      second.fiber.interruptUnsafe()
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      yield* Fiber.await(second.fiber)
      assert.strictEqual(gate.turns.inFlight, 1)
      assert.isDefined(third.held.pass)
      yield* third.end
      assert.strictEqual(gate.turns.inFlight, 0)
    }))

  it.effect("gives back the turn that comes to a caller that is interrupted before it came to wait", () =>
    Effect.gen(function*() {
      const { gate, hold } = yield* make({ level: 1, limits: { requests: 2 }, window: STILL })
      const first = yield* hold()
      const second = yield* hold({ onQueued: Effect.as(Effect.sleep(10), 0n) })
      yield* first.end
      assert.strictEqual(gate.turns.inFlight, 1)
      yield* Effect.forkChild(Fiber.interrupt(second.fiber), { startImmediately: true })
      yield* TestClock.adjust(10)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(second.fiber)))
      assert.isUndefined(second.held.pass)
      assert.strictEqual(gate.turns.inFlight, 0)
      // The request that it took is there again, too.
      const third = yield* hold()
      assert.isDefined(third.held.pass)
    }))

  it.effect("tells a waiter at its deadline, to the millisecond, and the next one at its own", () =>
    Effect.gen(function*() {
      const { gate, hold } = yield* make({ level: 1 })
      const first = yield* hold()
      const waiters = yield* Effect.forEach([700, 300, 500], (patience) => hold({ patience }))
      yield* TestClock.adjust(299)
      assert.strictEqual(gate.turns.waiting, 3)
      yield* TestClock.adjust(1_000)
      const exits = yield* Effect.forEach(waiters, ({ fiber }) => Fiber.join(fiber))
      assert.deepStrictEqual(exits.map(reasonOf), ["DeadlineExceeded", "DeadlineExceeded", "DeadlineExceeded"])
      assert.deepStrictEqual(waiters.map(({ held }) => held.at), [700, 300, 500])
      yield* first.end
    }))

  it.effect("refuses who comes to a full queue, and lets in again who comes later", () =>
    Effect.gen(function*() {
      const { gate, hold } = yield* make({ level: 1, queue: 2 })
      const [first, second] = [yield* hold(), yield* hold(), yield* hold()]
      const refused = yield* hold()
      assert.strictEqual(reasonOf(yield* Fiber.join(refused.fiber)), "QueueFull")
      yield* Fiber.interrupt(second.fiber)
      yield* hold()
      assert.strictEqual(gate.turns.waiting, 2)
      yield* first.end
      assert.strictEqual(gate.turns.waiting, 1)
    }))

  it.effect("times those who wait anew when a response tells of a lower limit, or of a higher one", () =>
    Effect.gen(function*() {
      const { hold } = yield* make({ level: 10 })
      const [one, other] = [yield* hold(), yield* hold()]
      one.held.pass!.responded(headers({ "requests-limit": "60", "requests-remaining": "0" }))
      const waiters = [yield* hold(), yield* hold()]
      yield* TestClock.adjust(500)
      other.held.pass!.responded(headers({ "requests-limit": "20" }))
      yield* TestClock.adjust(1_499)
      assert.isUndefined(waiters[0]!.held.at)
      // Refills are sums of fractions, and a timer rounds up.
      yield* TestClock.adjust(2)
      assert.isAtLeast(waiters[0]!.held.at!, 2_000)
      // Half of the next one is there when the limit rises to a call every half second.
      yield* TestClock.adjust(1_498)
      other.held.pass!.responded(headers({ "requests-limit": "120" }))
      yield* TestClock.adjust(1_000)
      assert.approximately(waiters[1]!.held.at!, 3_750, 1)
    }))

  it.effect("lets the next one start when one leaves that needed more than there is", () =>
    Effect.gen(function*() {
      const { hold } = yield* make({ level: 10, limits: { inputTokens: 100 } })
      yield* hold({ need: { inputTokens: 90, outputTokens: 0 } })
      const big = yield* hold({ need: { inputTokens: 100, outputTokens: 0 } })
      const small = yield* hold({ need: { inputTokens: 10, outputTokens: 0 } })
      yield* TestClock.adjust(5)
      assert.isUndefined(small.held.at)
      yield* Fiber.interrupt(big.fiber)
      yield* TestClock.adjust(0)
      assert.strictEqual(small.held.at, 5)
    }))

  for (const [until, tells] of [["retry-after", "3 seconds"], ["the reset that it names", undefined]] as const) {
    it.effect(`starts nobody after a 429 until ${until}, then all who may`, () =>
      Effect.gen(function*() {
        const { hold } = yield* make({ level: 2, limits: { requests: 100, inputTokens: 100 } })
        const [one, other] = [yield* hold(), yield* hold()]
        const waiters = [yield* hold(), yield* hold({ patience: 2_000 })]
        one.held.pass!.responded(headers({
          "requests-limit": "100",
          "requests-remaining": "0",
          "requests-reset": "1970-01-01T00:00:03Z",
          "input-tokens-limit": "100",
          "input-tokens-remaining": "90",
          "input-tokens-reset": "1970-01-01T00:10:00Z"
        }))
        one.held.pass!.ended(undefined, rateLimited(tells))
        yield* one.end
        // Who cannot wait so long is told at once.
        assert.strictEqual(reasonOf(yield* Fiber.join(waiters[1]!.fiber)), "DeadlineExceeded")
        assert.strictEqual(waiters[1]!.held.at, 0)
        yield* other.end
        yield* TestClock.adjust(2_999)
        assert.isUndefined(waiters[0]!.held.at)
        yield* TestClock.adjust(1)
        assert.strictEqual(waiters[0]!.held.at, 3_000)
      }))
  }

  it.effect("leases from a shared store what it holds, one process as the other, in turn as it fills", () =>
    Effect.gen(function*() {
      const { shared } = yield* makeStore(10, 10_000)
      const options = { level: 100, limits: { requests: 10 }, window: 10_000, shared }
      const gates = [yield* make(options), yield* make(options)]
      const calls = yield* Effect.forEach(gates, ({ hold }) => Effect.all(Array.from({ length: 10 }, () => hold())))
      const started = () => calls.flat().filter(({ held }) => held.at !== undefined).length
      yield* TestClock.adjust(0)
      assert.strictEqual(started(), 10)
      for (let second = 1; second <= 10; second++) {
        yield* TestClock.adjust(999)
        assert.strictEqual(started(), 9 + second)
        yield* TestClock.adjust(1)
        assert.strictEqual(started(), 10 + second)
      }
    }))

  it.effect("holds to its own limits while a shared store is gone, and asks it again when it is back", () =>
    Effect.gen(function*() {
      const { level, shared, state } = yield* makeStore(10, 10_000)
      const { hold } = yield* make({ level: 100, limits: { requests: 10 }, window: 10_000, shared })
      state.fault = "fails"
      const calls = yield* Effect.all(Array.from({ length: 12 }, () => hold()))
      yield* TestClock.adjust(1)
      assert.strictEqual(calls.filter(({ held }) => held.at !== undefined).length, 10)
      assert.strictEqual(state.asked, 1)
      state.fault = ""
      yield* TestClock.adjust(1_000)
      assert.strictEqual(calls.filter(({ held }) => held.at !== undefined).length, 12)
      yield* hold()
      yield* TestClock.adjust(0)
      assert.isBelow(level("requests"), 10)
    }))

  it.effect("lets those who wait go on by local limits when what is given back to a store is not answered", () =>
    Effect.gen(function*() {
      const { shared, state } = yield* makeStore(10, 10_000)
      const { hold } = yield* make({ level: 1, limits: { inputTokens: 10 }, window: 10_000, shared })
      const first = yield* hold({ need: { inputTokens: 5, outputTokens: 0 } })
      yield* TestClock.adjust(0)
      state.fault = "hangs"
      yield* first.end
      const second = yield* hold()
      yield* TestClock.adjust(249)
      assert.isUndefined(second.held.at)
      yield* TestClock.adjust(1)
      assert.strictEqual(second.held.at, 250)
    }))

  it.effect("lets those who wait go on by local limits when a store that told them to wait is gone by then", () =>
    Effect.gen(function*() {
      const { shared } = yield* makeStore(10, 10_000)
      const { hold } = yield* make({ level: 2, limits: { requests: 10 }, window: 10_000, shared })
      yield* shared.store.take("k", [{ kind: "requests", limit: 10, windowMillis: 10_000 }], [
        { requests: 10, inputTokens: 0, outputTokens: 0, tokens: 0 }
      ])
      const call = yield* hold()
      yield* TestClock.adjust(500)
      // Somebody else asked it in vain.
      yield* shared.guard.ask(Effect.fail({ _tag: "Down", message: "it is down" }), Effect.void)
      yield* TestClock.adjust(500)
      assert.strictEqual(call.held.at, 1_000)
    }))

  it.effect("leaves no timer behind when its scope closes, and nobody who waits", () =>
    Effect.gen(function*() {
      const { shared, state } = yield* makeStore(1, 60_000)
      for (
        const options of [{ level: 1 }, { level: 5, limits: { requests: 1 } }, {
          level: 5,
          limits: { requests: 1 },
          shared
        }]
      ) {
        state.lag = 10
        const scope = yield* Scope.make()
        const { gate, hold, seen } = yield* Scope.provide(make(options), scope)
        const calls = yield* Effect.all(Array.from({ length: 3 }, () => hold({ patience: 300_000 })))
        yield* TestClock.adjust(20)
        assert.isAbove(gate.turns.waiting, 0)
        assert.isAbove(seen.sleeping, 0)
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust(0)
        assert.deepStrictEqual([gate.turns.waiting, seen.sleeping], [0, 0])
        for (const { fiber, held } of calls) {
          if (held.pass === undefined) assert.isDefined(reasonOf(yield* Fiber.join(fiber)))
        }
      }
    }))

  it.effect("keeps nothing of 10 000 callers who wait and leave", () =>
    Effect.gen(function*() {
      const { enter, gate, hold, seen } = yield* make({ level: 1, queue: 10_000 })
      const first = yield* hold()
      const fibers = yield* Effect.forEach(Array.from({ length: 10_000 }), (_, n) =>
        Effect.forkChild(
          Effect.exit(Effect.scoped(enter({ tenant: `${n % 10}`, patience: n % 2 === 0 ? 1_000 : 1e9 }))),
          {
            startImmediately: true
          }
        ))
      assert.strictEqual(gate.turns.waiting, 10_000)
      yield* TestClock.adjust(1_000)
      assert.strictEqual(gate.turns.waiting, 5_000)
      for (const [n, fiber] of fibers.entries()) {
        if (n % 4 === 1) {
          fiber.interruptUnsafe()
        }
      }
      yield* TestClock.adjust(0)
      assert.strictEqual(gate.turns.waiting, 2_500)
      yield* first.end
      yield* TestClock.adjust(0)
      const exits = yield* Effect.forEach(fibers, (fiber) => Fiber.await(fiber))
      const served = exits.filter((exit) => Exit.isSuccess(exit) && Exit.isSuccess(exit.value)).length
      assert.strictEqual(served, 2_500)
      assert.deepStrictEqual([gate.turns.waiting, gate.turns.inFlight, gate.turns["tenants"].size, seen.sleeping], [
        0,
        0,
        0,
        0
      ])
    }))
})

/** What comes back in a window of 30 000 years does not count. */
const round = (levels: Record<string, number>) =>
  Object.fromEntries(Object.entries(levels).map(([kind, level]) => [kind, Math.round(level)]))
