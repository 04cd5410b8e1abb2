import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Random, References, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Twins from "../../src/cache/Twins.ts"

/** A call that counts itself, and those of it that run. */
const counting = <A, E>(call: Effect.Effect<A, E>) => {
  const seen = { made: 0, running: 0 }
  const counted = Effect.suspend(() => {
    seen.made++
    seen.running++
    return Effect.ensuring(call, Effect.sync(() => seen.running--))
  })
  return { seen, call: counted }
}

/** Who made a call, and who was answered by another's. */
interface Result<A> {
  readonly value: A
  readonly shared: boolean
}

/** Twins of a scope, each of whom says so. */
const within = <A = string, E = never>(scope: Scope.Scope, copy: (value: A) => A = (value) => value) => {
  const { run, ...twins } = Twins.make<A, E | "closed">({ scope, copy, closed: () => "closed" })
  type Answer = Effect.Effect<A | undefined, E | "closed">
  return {
    ...twins,
    run: (key: string, call: Effect.Effect<A, E | "closed">, asTwin: (answer: Answer) => Answer = (answer) => answer) =>
      Effect.suspend(() => {
        let shared = false
        const told = (answer: Answer) =>
          Effect.tap(asTwin(answer), (value) => Effect.sync(() => shared = value !== undefined))
        return Effect.map(run(key, call, told), (value): Result<A> => ({ value, shared }))
      })
  }
}

const make = <A = string, E = never>(copy?: (value: A) => A) =>
  Effect.map(Effect.scope, (scope) => within<A, E>(scope, copy))

/** Lets all fibers run that can. */
const settle = TestClock.adjust(0)

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

describe("run", () => {
  it.effect("makes one call for all who ask at the same time, and says who shared it", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), "1 second"))
      const fibers = yield* Effect.forEach(numbers(1_000), () => Effect.forkChild(twins.run("k", call)))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(seen, { made: 1, running: 1 })
      assert.strictEqual(twins.size(), 1)
      yield* TestClock.adjust("1 millis")
      const results = yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(results, numbers(1_000).map((n) => ({ value: "a", shared: n > 0 })))
      assert.deepStrictEqual(seen, { made: 1, running: 0 })
      assert.strictEqual(twins.size(), 0)
    }))

  it.effect("makes a call for each key, and for each who comes later", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), "1 second"))
      const fibers = yield* Effect.forEach(["k", "l"], (key) => Effect.forkChild(twins.run(key, call)))
      yield* TestClock.adjust("1 second")
      for (const fiber of fibers) assert.deepStrictEqual(yield* Fiber.join(fiber), { value: "a", shared: false })
      const later = yield* Effect.forkChild(twins.run("k", call))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(later), { value: "a", shared: false })
      assert.strictEqual(seen.made, 3)
    }))

  it.effect("shares an answer and no failure: where the call fails, the first who waited for it leads the others", () =>
    Effect.gen(function*() {
      const twins = yield* make<string, string>()
      const asks = (name: string, outcome: Effect.Effect<string, string>) => {
        const { call, seen } = counting(Effect.andThen(Effect.sleep("1 second"), outcome))
        return { name, seen, exit: Effect.forkChild(Effect.exit(twins.run("k", call))) }
      }
      for (const outcome of [Effect.fail("mine"), Effect.die("mine"), Effect.interrupt]) {
        const all = [asks("leader", outcome), ...numbers(10).map((n) => asks(`twin ${n}`, Effect.succeed(`of ${n}`)))]
        const fibers = yield* Effect.forEach(all, ({ exit }) => exit)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(twins.size(), 1)
        yield* TestClock.adjust("1 second")
        const [leader, ...others] = yield* Effect.forEach(fibers, Fiber.join)
        assert.isTrue(Exit.isFailure(leader!))
        const [first, ...rest] = others
        assert.deepStrictEqual(first, Exit.succeed({ value: "of 0", shared: false }))
        for (const exit of rest) assert.deepStrictEqual(exit, Exit.succeed({ value: "of 0", shared: true }))
        assert.deepStrictEqual(all.map(({ seen }) => seen.made), [1, 1, ...numbers(9).map(() => 0)])
        assert.strictEqual(twins.size(), 0)
      }
    }))

  it.effect("waits for two calls of others at most, and fails with a failure of its own", () =>
    Effect.gen(function*() {
      const twins = yield* make<string, string>()
      const fibers = yield* Effect.forEach(numbers(10), (n) =>
        Effect.forkChild(Effect.flip(twins.run("k", Effect.andThen(Effect.sleep("1 second"), Effect.fail(`${n}`))))))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), numbers(10).map(String))
      assert.strictEqual(twins.size(), 0)
    }))

  it.effect("makes the call anew for one who tries again at once", () =>
    Effect.gen(function*() {
      const twins = yield* make<string, string>()
      const { call, seen } = counting(Effect.delay(Effect.fail("no"), "1 second"))
      const fiber = yield* Effect.forkChild(Effect.flip(Effect.retry(twins.run("k", call), { times: 2 })))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "no")
      assert.deepStrictEqual(seen, { made: 3, running: 0 })
    }))

  it.effect("makes the call for a twin who does not want what came", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const picky = (answer: Effect.Effect<string | undefined, "closed">) => Effect.as(answer, undefined)
      const first = yield* Effect.forkChild(twins.run("k", Effect.delay(Effect.succeed("a"), "1 second")))
      const second = yield* Effect.forkChild(twins.run("k", Effect.delay(Effect.succeed("b"), "1 second"), picky))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(first), { value: "a", shared: false })
      assert.deepStrictEqual(yield* Fiber.join(second), { value: "b", shared: false })
    }))

  it.effect("takes a call that throws before it is an effect's step, or is done at once", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const broken = new Error("broken")
      const throws = Effect.suspend((): Effect.Effect<string> => {
        throw broken
      })
      assert.deepStrictEqual(yield* Effect.exit(twins.run("k", throws)), Exit.die(broken))
      assert.deepStrictEqual(yield* twins.run("k", Effect.succeed("a")), { value: "a", shared: false })
      assert.strictEqual(twins.size(), 0)
    }))

  it.effect("lets a twin wait in its own way, and not the one who makes the call", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const call = Effect.delay(Effect.succeed("a"), "1 second")
      const run = twins.run("k", call, Effect.map((answer) => `${answer} of a twin`))
      assert.strictEqual(twins.size(), 0)
      const fibers = yield* Effect.forEach(numbers(2), () => Effect.forkChild(run))
      yield* settle
      assert.strictEqual(twins.size(), 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), [
        { value: "a", shared: false },
        { value: "a of a twin", shared: true }
      ])
    }))

  it.effect("a twin's own failure is nobody else's, and ends no call that others wait for", () =>
    Effect.gen(function*() {
      const twins = yield* make<string, string>()
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), "1 second"))
      const first = yield* Effect.forkChild(twins.run("k", call))
      yield* settle
      const late = twins.run("k", call, Effect.timeoutOrElse({ duration: 10, orElse: () => Effect.fail("too late") }))
      const second = yield* Effect.forkChild(Effect.flip(late))
      yield* TestClock.adjust(10)
      assert.strictEqual(yield* Fiber.join(second), "too late")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(first)).value, "a")
      assert.strictEqual(seen.made, 1)
    }))

  it.effect("runs with the context of the first", () =>
    Effect.gen(function*() {
      const Who = Context.Reference<string>("test/Who", { defaultValue: () => "nobody" })
      const twins = yield* make()
      const call = Effect.delay(Effect.service(Who), "1 second")
      const fibers = yield* Effect.forEach(
        ["first", "second"],
        (who) => Effect.forkChild(Effect.provideService(twins.run("k", call), Who, who))
      )
      yield* TestClock.adjust("1 second")
      for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber)).value, "first")
    }))
})

describe("copies", () => {
  const value = { content: [{ text: "a" }] }

  it.effect("hands out the value itself where one caller has it alone", () =>
    Effect.gen(function*() {
      const twins = yield* make<typeof value>(structuredClone)
      assert.strictEqual((yield* twins.run("k", Effect.succeed(value))).value, value)
    }))

  it.effect("gives each of several one of its own, which another's changes do not reach", () =>
    Effect.gen(function*() {
      const twins = yield* make<typeof value>(structuredClone)
      const change = Effect.map(twins.run("k", Effect.delay(Effect.succeed(value), 10)), ({ value }) => {
        value.content[0]!.text += "!"
        return value
      })
      const fibers = yield* Effect.forEach(numbers(5), () => Effect.forkChild(change))
      yield* TestClock.adjust(10)
      for (const fiber of fibers) assert.deepStrictEqual(yield* Fiber.join(fiber), { content: [{ text: "a!" }] })
      assert.deepStrictEqual(value, { content: [{ text: "a" }] })
    }))

  it.effect("a copy that cannot be made is its caller's defect", () =>
    Effect.gen(function*() {
      const twins = yield* make<string>(() => {
        throw new Error("no copy")
      })
      const fibers = yield* Effect.forEach(
        numbers(2),
        () => Effect.forkChild(Effect.exit(twins.run("k", Effect.delay(Effect.succeed("a"), 10))))
      )
      yield* TestClock.adjust(10)
      for (const fiber of fibers) assert.isTrue(Exit.hasDies(yield* Fiber.join(fiber)))
      assert.strictEqual(twins.size(), 0)
    }))
})

describe("leaving", () => {
  it.effect("the call goes on when its first caller leaves", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), "1 second"))
      const first = yield* Effect.forkChild(twins.run("k", call))
      yield* settle
      const second = yield* Effect.forkChild(twins.run("k", call))
      yield* settle
      yield* Fiber.interrupt(first)
      const third = yield* Effect.forkChild(twins.run("k", call))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(second), { value: "a", shared: true })
      assert.deepStrictEqual(yield* Fiber.join(third), { value: "a", shared: true })
      assert.deepStrictEqual(seen, { made: 1, running: 0 })
    }))

  it.effect("the call ends with its last caller, who waits until it has", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      let closed = false
      const close = Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => void (closed = true)))
      const call = Effect.ensuring(Effect.never, close)
      const fibers = yield* Effect.forEach(numbers(3), () => Effect.forkChild(twins.run("k", call)))
      yield* settle
      yield* Fiber.interruptAll(fibers.slice(0, 2))
      assert.strictEqual(twins.size(), 1)
      const left = yield* Effect.forkChild(Fiber.interrupt(fibers[2]!))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(left.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(left)
      assert.isTrue(closed)
    }))

  it.effect("who comes while a call is ending makes another", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const dying = Effect.ensuring(Effect.never, Effect.sleep("1 second"))
      const first = yield* Effect.forkChild(twins.run("k", dying))
      yield* settle
      const left = yield* Effect.forkChild(Fiber.interrupt(first))
      yield* settle
      const next = yield* Effect.forkChild(twins.run("k", Effect.delay(Effect.succeed("b"), "2 seconds")))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(left)
      // The end of the one takes nothing of the other.
      assert.strictEqual(twins.size(), 1)
      const twin = yield* Effect.forkChild(twins.run("k", Effect.die("not made")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(next), { value: "b", shared: false })
      assert.deepStrictEqual(yield* Fiber.join(twin), { value: "b", shared: true })
    }))

  it.effect("leaves nothing behind, at whatever step a caller is interrupted", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      let kept = 0
      for (const steps of numbers(40)) {
        for (const others of [0, 1, 2]) {
          const { call, seen } = counting(Effect.as(Effect.forEach(numbers(5), () => Effect.yieldNow), "a"))
          const caller = yield* Effect.forkChild(twins.run("k", call))
          const fibers = yield* Effect.forEach(numbers(others), () => Effect.forkChild(twins.run("k", call)))
          for (let step = 0; step < steps; step++) yield* Effect.yieldNow
          yield* Fiber.interrupt(caller)
          if (Exit.isSuccess(yield* Fiber.await(caller))) kept++
          for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber)).value, "a")
          assert.strictEqual(seen.running, 0)
          assert.isAtMost(seen.made, others === 0 ? 1 : 2)
          assert.strictEqual(twins.size(), 0)
        }
      }
      // Some of them were early, and some late.
      assert.isAbove(kept, 0)
      assert.isBelow(kept, 120)
    }))

  it.effect("joins no call that is ending, and makes none twice, wherever the scheduler lets others go first", () =>
    Effect.gen(function*() {
      for (const ops of numbers(30)) {
        const twins = yield* make()
        const seen = { made: 0, running: 0, most: 0 }
        const call = Effect.suspend(() => {
          seen.made++
          seen.most = Math.max(seen.most, ++seen.running)
          return Effect.as(Effect.yieldNow, "a").pipe(Effect.ensuring(Effect.sync(() => seen.running--)))
        })
        const run = Effect.exit(twins.run("k", call))
        const fibers = yield* Effect.forEach(
          numbers(20),
          (n) =>
            Effect.forEach(numbers(n % 5), () => Effect.yieldNow).pipe(
              Effect.andThen(run),
              // With fewer than three a fiber does nothing but yield.
              Effect.provideService(References.MaxOpsBeforeYield, 3 + (ops + n) % 30),
              Effect.forkChild
            )
        )
        for (const n of numbers(10)) {
          yield* Effect.forEach(numbers(n % 3), () => Effect.yieldNow)
          fibers[(n * 7) % 20]!.interruptUnsafe()
        }
        yield* settle
        const exits = yield* Effect.forEach(fibers, Fiber.await)
        for (const exit of exits) {
          // Who was not interrupted has an answer, and no end of another's call.
          if (Exit.isSuccess(exit)) assert.isTrue(Exit.isSuccess(exit.value), String(exit.value))
        }
        assert.strictEqual(seen.most, 1)
        assert.strictEqual(seen.running, 0)
        assert.strictEqual(twins.size(), 0)
      }
    }))

  for (const order of ["before", "after"] as const) {
    it.effect(`a caller interrupted just ${order} the result comes takes it from nobody`, () =>
      Effect.gen(function*() {
        const twins = yield* make()
        const result = yield* Deferred.make<string>()
        const { call, seen } = counting(Deferred.await(result))
        const fibers = yield* Effect.forEach(numbers(3), () => Effect.forkChild(twins.run("k", call)))
        yield* settle
        const done = Effect.sync(() => Deferred.doneUnsafe(result, Effect.succeed("a")))
        const interrupt = Effect.sync(() => fibers[0]!.interruptUnsafe())
        yield* order === "before" ? Effect.andThen(interrupt, done) : Effect.andThen(done, interrupt)
        const [first, ...others] = yield* Effect.forEach(fibers, Fiber.await)
        assert.isTrue(order === "before" ? Exit.hasInterrupts(first!) : Exit.isSuccess(first!))
        for (const other of others) assert.deepStrictEqual(other, Exit.succeed({ value: "a", shared: true }))
        assert.deepStrictEqual(seen, { made: 1, running: 0 })
        assert.strictEqual(twins.size(), 0)
      }))
  }

  it.effect("a caller that may not be interrupted gets what it waits for", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const call = Effect.delay(Effect.succeed("a"), "1 second")
      let got: Result<string> | undefined
      const caller = yield* Effect.forkChild(
        Effect.uninterruptible(Effect.map(twins.run("k", call), (result) => void (got = result)))
      )
      yield* settle
      const left = yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(left)
      assert.deepStrictEqual(got, { value: "a", shared: false })
    }))

  it.effect.prop(
    "whatever is interrupted when, who stays gets an answer and nothing is left",
    [
      Schema.Array(
        Schema.Struct({
          key: Schema.Literals(["k", "l"]),
          comes: Schema.Literals([0, 1, 2, 3, 5, 8]),
          leaves: Schema.Literals([0, 1, 2, 3, 5, 8, 13, 100]),
          outcome: Schema.Literals(["value", "failure", "defect"])
        })
      ).check(Schema.isMaxLength(12))
    ],
    ([callers]) =>
      Effect.gen(function*() {
        const twins = yield* make<string, string>()
        const seen = { running: new Map<string, number>(), most: 0 }
        const calls = { value: Effect.succeed("a"), failure: Effect.fail("no"), defect: Effect.die("broken") }
        const run = (key: string, outcome: keyof typeof calls) =>
          twins.run(
            key,
            Effect.suspend(() => {
              const running = (seen.running.get(key) ?? 0) + 1
              seen.running.set(key, running)
              seen.most = Math.max(seen.most, running)
              return Effect.andThen(Effect.sleep(4), calls[outcome]).pipe(
                Effect.ensuring(Effect.sync(() => seen.running.set(key, seen.running.get(key)! - 1)))
              )
            })
          )
        const fibers = yield* Effect.forEach(callers, ({ comes, key, outcome }) =>
          Effect.forkChild(Effect.exit(Effect.delay(run(key, outcome), comes))))
        const ends = yield* Effect.forEach(callers, ({ leaves }, n) =>
          leaves === 100
            ? Effect.undefined
            : Effect.forkChild(Effect.delay(Fiber.interrupt(fibers[n]!), leaves)))
        yield* TestClock.adjust(50)
        for (const end of ends) {
          if (end !== undefined) {
            yield* Fiber.join(end)
          }
        }
        for (const [n, fiber] of fibers.entries()) {
          if (callers[n]!.leaves !== 100) {
            continue
          }
          const exit = yield* Fiber.join(fiber)
          assert.isFalse(Exit.hasInterrupts(exit))
        }
        assert.strictEqual(twins.size(), 0)
        // Who has waited for two that failed makes a call of its own.
        if (
          callers.every(({ outcome }) =>
            outcome === "value"
          )
        ) assert.isAtMost(seen.most, 1)
        for (const running of seen.running.values()) {
          assert.strictEqual(running, 0)
        }
      })
  )

  it.effect("1 000 callers who come and go at random leave nothing", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), 10))
      const fibers = yield* Effect.forEach(numbers(1_000), (n) =>
        Effect.gen(function*() {
          yield* Effect.sleep(yield* Random.nextIntBetween(0, 100))
          const run = twins.run(`k${n % 7}`, call)
          const patience = yield* Random.nextIntBetween(1, 20)
          return yield* Effect.timeoutOption(run, patience)
        }).pipe(Effect.forkChild))
      yield* TestClock.adjust(200)
      for (const fiber of fibers) {
        const result = yield* Fiber.join(fiber)
        if (result._tag === "Some") assert.strictEqual(result.value.value, "a")
      }
      assert.strictEqual(twins.size(), 0)
      assert.strictEqual(seen.running, 0)
      assert.isBelow(seen.made, 1_000)
    }))
})

describe("a call within a call", () => {
  it.effect("is made, and does not wait for itself", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const call = Effect.map(twins.run("k", Effect.succeed("inner")), ({ value }) => `outer of ${value}`)
      assert.deepStrictEqual(yield* twins.run("k", call), { value: "outer of inner", shared: false })
    }))

  it.effect("is made also where another key lies between, or a fiber of its own", () =>
    Effect.gen(function*() {
      const twins = yield* make()
      const inner = Effect.map(twins.run("k", Effect.succeed("a")), ({ value }) => value)
      const between = Effect.map(twins.run("l", inner), ({ value }) => value)
      const outer = Effect.flatMap(Effect.forkChild(between), Fiber.join)
      assert.strictEqual((yield* twins.run("k", outer)).value, "a")
      assert.strictEqual(twins.size(), 0)
    }))

  it.effect("shares with twins of another client all the same", () =>
    Effect.gen(function*() {
      const [ours, theirs] = [yield* make(), yield* make()]
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), 10))
      const within = Effect.map(theirs.run("k", call), ({ value }) => value)
      const fibers = [yield* Effect.forkChild(ours.run("k", within)), yield* Effect.forkChild(theirs.run("k", call))]
      yield* TestClock.adjust(10)
      for (const fiber of fibers) assert.strictEqual((yield* Fiber.join(fiber)).value, "a")
      assert.strictEqual(seen.made, 1)
    }))
})

describe("the scope", () => {
  it.effect("ends all calls, says so to all who wait, and none is made after it", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const twins = within(scope)
      const { call, seen } = counting(Effect.delay(Effect.succeed("a"), "1 second"))
      const fibers = yield* Effect.forEach(
        ["k", "k", "l"],
        (key) => Effect.forkChild(Effect.exit(twins.run(key, call)))
      )
      yield* settle
      assert.deepStrictEqual(seen, { made: 2, running: 2 })
      yield* Scope.close(scope, Exit.void)
      for (const fiber of fibers) assert.strictEqual(yield* Effect.flip(yield* Fiber.join(fiber)), "closed")
      assert.strictEqual(seen.running, 0)
      assert.strictEqual(yield* Effect.flip(twins.run("k", call)), "closed")
      assert.strictEqual(seen.made, 2)
      assert.strictEqual(twins.size(), 0)
    }))

  it.effect("keeps nothing of calls that have ended", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const twins = within(scope)
      for (const n of numbers(1_000)) yield* twins.run(String(n), Effect.succeed("a"))
      assert.isTrue(scope.state._tag !== "Open" || !scope.state.finalizers?.size)
      assert.strictEqual(twins.size(), 0)
    }))
})
