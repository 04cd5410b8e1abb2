import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Budget from "../../src/admission/Budget.ts"
import type { BudgetOptions } from "../../src/admission/BudgetOptions.ts"
import * as BudgetStore from "../../src/admission/BudgetStore.ts"
import * as StoreGuard from "../../src/admission/StoreGuard.ts"
import type * as Stores from "../../src/admission/Stores.ts"
import * as Teller from "../../src/admission/Teller.ts"
import type * as ClaudeError from "../../src/ClaudeError.ts"
import type { Cost } from "../../src/request/Cost.ts"
import type { InputSize } from "../../src/request/InputSize.ts"
import * as Pricing from "../../src/request/Pricing.ts"

const DAY = 86_400_000

/** A dollar a token, so that both units read the same. */
const pricing = Pricing.make({ overrides: { dear: { input: 1e6, output: 1e6 } } })

const sizeOf = (bytes: number): InputSize => ({
  chars: bytes,
  bytes,
  tokens: 0,
  mostTokens: 0,
  serverTokens: 0,
  cache: "none",
  searches: 0,
  speed: undefined,
  region: undefined
})

const costOf = (amount: number): Cost => ({
  amount,
  currency: "USD",
  source: "custom",
  pricingVersion: "test",
  components: { input: amount, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 }
})

const spent = (amount: number): Budget.Spent => ({ cost: costOf(amount), tokens: amount, unpriced: false })

type Setup = Omit<Budget.BudgetSetup, "pricing">

const make = (options: ReadonlyArray<BudgetOptions>, setup: Setup = {}) => {
  const resolved = Budget.resolve(options)
  if ("_tag" in resolved) return assert.fail(resolved.message)
  const budget = Budget.make(resolved, { pricing, ...setup })
  return {
    /** A call that may come to so many dollars or tokens. */
    reserve: (
      most: number,
      { maxTokens = 0, model = "dear", tenant }: { tenant?: string; model?: string; maxTokens?: number } = {}
    ) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => budget.reserve({ tenant, model, size: sizeOf(most - maxTokens), maxTokens, now })
      )
  }
}

const exceeded = (error: ClaudeError.ClaudeFatalError) =>
  error.reason._tag === "BudgetExceeded" ? error.reason : assert.fail(error.message)

/** How much more may be reserved. */
const left = ({ reserve }: ReturnType<typeof make>, tenant?: string) =>
  Effect.map(
    Effect.flip(reserve(1e6, tenant === undefined ? {} : { tenant })),
    (error) => exceeded(error).limit - exceeded(error).spent
  )

const day = { window: "1 day" } as const
const units = [["usd", { usd: 100, ...day }], ["tokens", { tokens: 100, ...day }]] as const

describe("options", () => {
  const ok = { usd: 1, ...day }
  const refusals: ReadonlyArray<readonly [name: string, option: string, budgets: unknown, message: string]> = [
    ["no list", "budget", 5, "budget is 5; expected a budget"],
    ["a single one without a window", "budget.window", { usd: 1 }, "budget.window is missing"],
    ["no budget", "budget[0]", [null], "budget[0] is null"],
    ["no window", "budget[0].window", [{ usd: 1 }], "budget[0].window is missing"],
    ["a window of nothing", "budget[0].window", [{ usd: 1, window: 0 }], "is 0; expected a time"],
    ["a window without end", "budget[0].window", [{ usd: 1, window: Duration.infinity }], "expected a time"],
    ["a negative window", "budget[0].window", [{ usd: 1, window: "-1 day" }], "-1 day"],
    ["a window that is no time", "budget[0].window", [{ usd: 1, window: "monthly" }], "monthly"],
    ["a window of NaN", "budget[0].window", [{ usd: 1, window: Number.NaN }], "NaN"],
    ["neither unit", "budget[0].usd", [day], "neither usd nor tokens"],
    ["both units", "budget[0].usd", [{ usd: 1, tokens: 1, ...day }], "usd and tokens"],
    ["no money", "budget[0].usd", [{ usd: 0, ...day }], "is 0; expected an amount above zero"],
    ["less than a nano-dollar", "budget[0].usd", [{ usd: 1e-10, ...day }], "1e-10"],
    ["negative money", "budget[0].usd", [{ usd: -5, ...day }], "-5"],
    ["NaN", "budget[0].usd", [{ usd: Number.NaN, ...day }], "NaN"],
    ["money without end", "budget[0].usd", [{ usd: Infinity, ...day }], "Infinity"],
    ["a text for money", "budget[0].usd", [{ usd: "5", ...day }], "is 5"],
    ["no tokens", "budget[0].tokens", [{ tokens: 0, ...day }], "a whole number from 1"],
    ["part of a token", "budget[0].tokens", [{ tokens: 1.5, ...day }], "1.5"],
    ["an unknown key", "budget[0].limit", [{ ...ok, limit: 3 }], "limit is no option of budget[0]"],
    ["the same name twice", "budget[1].name", [ok, ok], "is \"budget\", and so is that of a budget before it"],
    ["an empty name", "budget[0].name", [{ ...ok, name: "" }], "expected a text"],
    ["a share above all", "budget[0].warnAt[1]", [{ ...ok, warnAt: [0.5, 1.2] }], "1.2"],
    ["a share of nothing", "budget[0].warnAt[0]", [{ ...ok, warnAt: [0] }], "a fraction above 0"],
    ["a share that is NaN", "budget[0].warnAt[0]", [{ ...ok, warnAt: [Number.NaN] }], "NaN"],
    ["one share", "budget[0].warnAt", [{ ...ok, warnAt: 0.8 }], "expected a list"],
    ["an unknown per", "budget[0].per", [{ ...ok, per: "user" }], "\"tenant\" or \"all\""],
    ["a tenant's limit of nothing", "budget[0].tenants[\"a\"]", [{ ...ok, per: "tenant", tenants: { a: 0 } }], "is 0"],
    ["tenants where all share", "budget[0].tenants", [{ ...ok, tenants: { a: 3 } }], "per: \"tenant\""],
    ["an unknown unpriced", "budget[0].unpriced", [{ ...ok, unpriced: "warn" }], "\"refuse\" or \"allow\""]
  ]
  it.each(refusals)("are refused by name with %s", (_, option, budgets, message) => {
    const error = Budget.resolve(budgets as ReadonlyArray<BudgetOptions>)
    if (!("_tag" in error)) return assert.fail("they were accepted")
    assert.isTrue(error.reason._tag === "Misconfigured" && error.reason.option === option, error.message)
    assert.include(error.message, message)
  })

  it("have their defaults, and none is no budget", () => {
    assert.deepStrictEqual(Budget.resolve(undefined), [])
    assert.deepStrictEqual(
      Budget.resolve([{ usd: 0.1, ...day, warnAt: [0.9, 0.5, 0.9] }, { name: "t", tokens: 5, ...day }]),
      [
        {
          name: "budget",
          unit: "USD",
          limit: 100_000_000,
          window: DAY,
          perTenant: false,
          tenants: new Map(),
          warnAt: [0.5, 0.9],
          unpriced: "refuse"
        },
        {
          name: "t",
          unit: "tokens",
          limit: 5,
          window: DAY,
          perTenant: false,
          tenants: new Map(),
          warnAt: [0.8],
          unpriced: "refuse"
        }
      ]
    )
  })
})

describe.each(units)("a budget in %s", (_, options) => {
  it.effect("refuses a call that might not fit, and says what there is, what it needs and until when", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust(DAY / 4)
      const budget = make([{ ...options, name: "daily" }])
      const running = yield* budget.reserve(60)
      const error = yield* Effect.flip(budget.reserve(41, { maxTokens: 30 }))
      const unit = "usd" in options ? "USD" : "tokens"
      assert.deepInclude(exceeded(error), { budget: "daily", unit, limit: 100, spent: 60, needed: 41 })
      assert.strictEqual(Duration.toMillis(error.retryAfter!), (DAY * 3) / 4)
      assert.isFalse(error.retryHere)
      const show = (amount: number) => unit === "USD" ? `$${amount}.00` : `${amount} tokens`
      assert.strictEqual(
        error.message,
        `Budget "daily" has ${show(40)} of ${show(100)} left until 1970-01-02T00:00:00.000Z, ` +
          `and this call may come to ${show(41)}. Calls that run have reserved ${show(60)}, and give back what they ` +
          "do not use. Wait until then, lower max_tokens, shorten the prompt, or raise the budget."
      )
      yield* running.settle(spent(20))
      yield* budget.reserve(80)
      assert.strictEqual(yield* left(budget), 0)
    }))

  it.effect("does not tell a call to wait that would never fit", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(make([options]).reserve(101))
      assert.isUndefined(error.retryAfter)
      assert.include(error.message, "It would not fit into a whole window")
    }))

  it.effect("gives back to the last unit what was not spent, once", () =>
    Effect.gen(function*() {
      const budget = make([options])
      const reservation = yield* budget.reserve(100)
      yield* reservation.settle(Budget.nothing)
      yield* reservation.settle(Budget.nothing)
      assert.strictEqual(yield* left(budget), 100)
      const other = yield* budget.reserve(70)
      yield* other.settle(spent(31))
      yield* other.settle(Budget.nothing)
      assert.strictEqual(yield* left(budget), 69)
    }))

  it.effect("takes nothing that is unknown for nothing", () =>
    Effect.gen(function*() {
      const unknowns: ReadonlyArray<readonly [Budget.Spent, usd: number, tokens: number]> = [
        [Budget.unknown, 10, 10],
        [Budget.unknownInput, 6, 6],
        [{ cost: undefined, tokens: 3, unpriced: true }, 10, 3],
        [{ cost: undefined, tokens: 3, unpriced: false }, 10, 3],
        [{ cost: costOf(3), tokens: Number.NaN, unpriced: false }, 3, 10],
        [{ cost: costOf(3), tokens: -1, unpriced: false }, 3, 10],
        [{ cost: costOf(Number.NaN), tokens: 3, unpriced: false }, 10, 3]
      ]
      for (const [unknown, usd, tokens] of unknowns) {
        const budget = make([options])
        const reservation = yield* budget.reserve(10, { maxTokens: 4 })
        yield* reservation.settle(unknown)
        assert.strictEqual(yield* left(budget), 100 - ("usd" in options ? usd : tokens), JSON.stringify(unknown))
      }
    }))

  it.effect("takes an answer that broke off for as long as it could have been", () =>
    Effect.gen(function*() {
      const budget = make([options])
      const broken = yield* budget.reserve(50, { maxTokens: 30 })
      yield* broken.settle({ ...spent(5), partial: true })
      assert.strictEqual(yield* left(budget), 65)
      const long = yield* budget.reserve(50, { maxTokens: 30 })
      yield* long.settle({ ...spent(25), partial: true })
      assert.strictEqual(yield* left(budget), 15)
    }))

  it.effect("counts what a call came to beyond its most, and then refuses", () =>
    Effect.gen(function*() {
      const budget = make([options])
      const reservation = yield* budget.reserve(10)
      yield* reservation.settle(spent(130))
      assert.strictEqual(yield* left(budget), -30)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(budget.reserve(1))))
    }))

  it.effect("begins anew at midnight, while calls of the day before are settled there", () =>
    Effect.gen(function*() {
      const budget = make([options])
      yield* TestClock.adjust(DAY - 1)
      const before = yield* budget.reserve(90)
      assert.strictEqual(yield* left(budget), 10)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* left(budget), 100)
      const after = yield* budget.reserve(90)
      yield* before.settle(Budget.nothing)
      assert.strictEqual(yield* left(budget), 10)
      yield* after.settle(Budget.nothing)
      assert.strictEqual(yield* left(budget), 100)
    }))

  it.effect("says nothing of a price where nobody saw the answer", () =>
    Effect.gen(function*() {
      const events: Array<Budget.BudgetEvent> = []
      const budget = make([options], { onEvent: (event) => Effect.sync(() => void events.push(event)) })
      for (const given of [Budget.unknown, Budget.unknownInput]) {
        const reservation = yield* budget.reserve(10, { maxTokens: 4 })
        yield* reservation.settle(given)
      }
      assert.strictEqual(yield* left(budget), 84)
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["Exceeded"])
    }))

  it.effect("is each tenant's own where it is per tenant, those without a name together", () =>
    Effect.gen(function*() {
      const budget = make([{ ...options, per: "tenant", tenants: { big: 1_000 } }])
      yield* budget.reserve(70, { tenant: "a" })
      yield* budget.reserve(80)
      assert.deepStrictEqual(
        [yield* left(budget, "a"), yield* left(budget, "b"), yield* left(budget, "big"), yield* left(budget)],
        [30, 100, 1_000, 20]
      )
      assert.include((yield* Effect.flip(budget.reserve(31, { tenant: "a" }))).message, "of tenant \"a\" has")
      const all = make([options])
      yield* all.reserve(70, { tenant: "a" })
      assert.strictEqual(yield* left(all, "b"), 30)
    }))
})

describe("budgets together", () => {
  it.effect("are all reserved or none, and settled each in its unit", () =>
    Effect.gen(function*() {
      const budgets = make([
        { name: "money", usd: 100, ...day },
        { name: "tenants", tokens: 50, per: "tenant", window: "1 hour" }
      ])
      const error = yield* Effect.flip(budgets.reserve(60, { tenant: "a" }))
      assert.deepInclude(exceeded(error), { budget: "tenants", unit: "tokens", limit: 50, spent: 0, needed: 60 })
      const reservation = yield* budgets.reserve(50, { tenant: "a" })
      assert.strictEqual(yield* left(budgets, "b"), 50)
      yield* reservation.settle({ cost: costOf(0.5), tokens: 7, unpriced: false })
      assert.strictEqual(exceeded(yield* Effect.flip(budgets.reserve(44, { tenant: "a" }))).budget, "tenants")
      yield* budgets.reserve(43, { tenant: "a" })
      assert.strictEqual(yield* left(budgets), 56.5)
    }))

  it.effect("are without effect where there are none", () =>
    Effect.gen(function*() {
      const reservation = yield* make([]).reserve(1e9, { model: "unheard-of" })
      yield* reservation.settle(Budget.nothing)
    }))

  it.effect("are kept apart, however they are named", () =>
    Effect.gen(function*() {
      const keys = new Set<string>()
      const memory = BudgetStore.makeMemory()
      const store: Stores.BudgetStore = {
        ...memory,
        reserve: (entries) => {
          for (const { key } of entries) keys.add(key)
          return memory.reserve(entries)
        }
      }
      const shared = { store, guard: yield* guarded }
      for (const name of ["a", `a:tokens:${DAY}:0`, "\uD800", "/%"]) {
        for (const window of ["1 day", "1 hour"] as const) {
          const budget = make([{ name, tokens: 9, window, per: "tenant" }], { shared })
          for (const tenant of ["", "x", ":x", `tokens:${DAY}:0:x`]) yield* budget.reserve(1, { tenant })
        }
      }
      assert.strictEqual(keys.size, 4 * 2 * 4)
    }))
})

describe("what has no price", () => {
  it.effect("is refused under a budget in USD, by the name of the model", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(make([{ usd: 5, ...day }]).reserve(1, { model: "claude-next-9" }))
      assert.isTrue(error.reason._tag === "Misconfigured" && error.reason.option === "pricing")
      assert.include(error.message, "claude-next-9 has no known price")
    }))

  it.effect("passes under a budget in tokens, and where it is allowed, even when all is spent", () =>
    Effect.gen(function*() {
      const tokens = make([{ tokens: 5, ...day }])
      yield* tokens.reserve(5, { model: "claude-next-9" })
      const events: Array<Budget.BudgetEvent> = []
      const usd = make([{ usd: 5, ...day, unpriced: "allow" }], {
        onEvent: (event) => Effect.sync(() => void events.push(event))
      })
      const priced = yield* usd.reserve(5)
      yield* priced.settle(spent(6))
      const unpriced = yield* usd.reserve(50, { model: "claude-next-9" })
      yield* unpriced.settle({ cost: undefined, tokens: 3, unpriced: true })
      assert.strictEqual(yield* left(usd), -1)
      assert.deepInclude(events.find(({ _tag }) => _tag === "Unpriced"), { model: "claude-next-9", kept: 0, spent: 6 })
      // It turned out to have a price after all.
      const known = yield* usd.reserve(50, { model: "claude-next-9" })
      yield* known.settle(spent(2))
      assert.strictEqual(yield* left(usd), -3)
    }))
})

describe("events", () => {
  const observed = (options: BudgetOptions) => {
    const events: Array<Budget.BudgetEvent> = []
    const onEvent = (event: Budget.BudgetEvent) => Effect.sync(() => void events.push(event))
    const seen = () => {
      const tags = events.map((event) => event._tag === "Threshold" ? event.fraction : event._tag)
      events.length = 0
      return tags
    }
    return { budget: make([options], { onEvent }), events, seen }
  }

  it.effect("tell each part of the limit once a window, of what is spent and not of what is reserved", () =>
    Effect.gen(function*() {
      const { budget, events, seen } = observed({ usd: 100, ...day, warnAt: [1, 0.5, 0.8] })
      const spend = (amount: number) =>
        Effect.flatMap(budget.reserve(amount), (reservation) => reservation.settle(spent(amount)))
      const open = yield* budget.reserve(49)
      yield* spend(49)
      assert.deepStrictEqual(seen(), [])
      yield* open.settle(spent(1))
      assert.deepStrictEqual(events, [{
        _tag: "Threshold",
        budget: "budget",
        tenant: undefined,
        unit: "USD",
        fraction: 0.5,
        spent: 50,
        limit: 100,
        windowEndsAt: DAY
      }])
      events.length = 0
      yield* spend(20)
      yield* spend(10)
      yield* spend(10)
      assert.deepStrictEqual(seen(), [0.8])
      yield* spend(10)
      assert.deepStrictEqual(seen(), [1])
      yield* TestClock.adjust(DAY)
      yield* spend(90)
      assert.deepStrictEqual(seen(), [0.5, 0.8])
    }))

  it.effect("tell of each tenant by itself", () =>
    Effect.gen(function*() {
      const { budget, events } = observed({ tokens: 10, ...day, per: "tenant" })
      for (const tenant of ["a", "b", "a"]) {
        const reservation = yield* budget.reserve(9, { tenant }).pipe(Effect.orElseSucceed(() => undefined))
        yield* reservation?.settle(spent(9)) ?? Effect.void
      }
      assert.deepStrictEqual(events.map(({ _tag, tenant }) => [_tag, tenant]), [
        ["Threshold", "a"],
        ["Threshold", "b"],
        ["Exceeded", "a"]
      ])
    }))

  it.effect("tell each call that is refused, and which was the first", () =>
    Effect.gen(function*() {
      const { budget, events } = observed({ tokens: 10, ...day })
      for (let n = 0; n < 3; n++) yield* Effect.flip(budget.reserve(11))
      yield* TestClock.adjust(DAY)
      yield* Effect.flip(budget.reserve(12))
      assert.deepStrictEqual(
        events.map((event) => event._tag === "Exceeded" && [event.first, event.needed, event.spent]),
        [[true, 11, 0], [false, 11, 0], [false, 11, 0], [true, 12, 0]]
      )
    }))

  it.effect("tell once of a cost that nobody knows, and what counts instead", () =>
    Effect.gen(function*() {
      const { budget, events } = observed({ usd: 100, ...day })
      for (let n = 0; n < 2; n++) {
        const reservation = yield* budget.reserve(10)
        yield* reservation.settle({ cost: undefined, tokens: 3, unpriced: true })
      }
      assert.lengthOf(events, 1)
      assert.deepInclude(events[0], { _tag: "Unpriced", model: "dear", kept: 10, spent: 10 })
    }))

  it.effect("do not tell of a window that is over", () =>
    Effect.gen(function*() {
      const { budget, seen } = observed({ usd: 100, ...day })
      const reservation = yield* budget.reserve(90)
      yield* TestClock.adjust(DAY)
      yield* reservation.settle(spent(90))
      assert.deepStrictEqual(seen(), [])
    }))

  it.effect("that fail do no harm", () =>
    Effect.gen(function*() {
      const budget = make([{ usd: 100, ...day }], { onEvent: () => Effect.die("listener") })
      const reservation = yield* budget.reserve(90)
      yield* reservation.settle(spent(90))
      assert.strictEqual(yield* left(budget), 10)
    }))

  it.effect("levels tell what is neither spent nor reserved", () =>
    Effect.gen(function*() {
      const levels: Array<Budget.BudgetLevel> = []
      const budget = make([{ name: "x", usd: 100, ...day }, { name: "y", tokens: 50, ...day, per: "tenant" }], {
        onLevel: (level) => levels.push(level)
      })
      const reservation = yield* budget.reserve(40, { tenant: "a" })
      yield* reservation.settle(spent(0.5))
      const x = { budget: "x", tenant: undefined, unit: "USD", limit: 100, windowEndsAt: DAY } as const
      const y = { budget: "y", tenant: "a", unit: "tokens", limit: 50, windowEndsAt: DAY } as const
      assert.deepStrictEqual(levels, [
        { ...x, remaining: 60 },
        { ...y, remaining: 10 },
        { ...x, remaining: 99.5 },
        { ...y, remaining: 49 }
      ])
    }))
})

const guarded = StoreGuard.make({ patience: 100, rest: 1_000, onUnavailable: () => Effect.void })

const Amount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
const Caller = Schema.Struct({
  most: Amount,
  share: Schema.Literals([0, 0.3, 1]),
  starts: Amount,
  lasts: Amount,
  interrupted: Schema.Union([Schema.Undefined, Amount]),
  tenant: Schema.Literals(["a", "b"])
})

/** Callers that come, run, are interrupted and settle; checks after each that no limit was ever exceeded. */
const storm = (callers: ReadonlyArray<typeof Caller.Type>, setup: Setup) =>
  Effect.gen(function*() {
    const limits = { all: 100, a: 70, b: 70 }
    const books = { all: 0, a: 0, b: 0 }
    const budget = make([
      { name: "all", usd: limits.all, window: "1000 days" },
      { name: "each", tokens: limits.a, window: "1000 days", per: "tenant" }
    ], setup)
    const book = (tenant: "a" | "b", amount: number) => {
      books.all += amount
      books[tenant] += amount
      for (const key of ["all", "a", "b"] as const) assert.isAtMost(books[key], limits[key])
    }
    let granted = 0
    let open = 0
    const call = ({ lasts, most, share, tenant }: typeof Caller.Type) =>
      Effect.acquireUseRelease(
        Effect.tap(budget.reserve(most, { tenant }), () =>
          Effect.sync(() => {
            granted++
            open++
            book(tenant, most)
          })),
        () => Effect.sleep(lasts),
        (reservation, exit) => {
          const cost = Exit.isSuccess(exit) ? Math.floor(most * share) : 0
          // It is over, however long the store takes to hear of it.
          open--
          book(tenant, cost - most)
          return reservation.settle(cost === 0 ? Budget.nothing : spent(cost))
        }
      )
    const fibers = yield* Effect.forEach(callers, (caller) =>
      Effect.forkChild(Effect.delay(Effect.ignoreCause(call(caller)), caller.starts)))
    for (let tick = 0; tick <= 125; tick++) {
      for (const [index, { interrupted }] of callers.entries()) {
        if (interrupted === tick) {
          yield* Effect.forkChild(Fiber.interrupt(fibers[index]!))
        }
      }
      yield* TestClock.adjust(1)
    }
    yield* TestClock.adjust("1 minute")
    yield* Effect.forEach(fibers, Fiber.await)
    assert.strictEqual(open, 0)
    return { books, budget, granted }
  })

describe("however callers come and go", () => {
  it.effect.prop(
    "what is settled and what is open never exceeds a limit, and what is left is the limit less what was spent",
    { callers: Schema.Array(Caller).check(Schema.isMaxLength(40)) },
    ({ callers }) =>
      Effect.gen(function*() {
        const { books, budget } = yield* storm(callers, {})
        assert.strictEqual(yield* left(budget, "a"), 100 - books.all)
        for (const tenant of ["a", "b"] as const) {
          const most = Math.min(100 - books.all, 70 - books[tenant])
          yield* budget.reserve(most, { tenant }).pipe(Effect.flatMap(({ settle }) => settle(Budget.nothing)))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(budget.reserve(most + 1, { tenant }))))
        }
      }).pipe(Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 60 } }
  )

  it.effect.prop(
    "a shared store that fails, hangs and is late lets nothing through, and has counted each call once when it is back",
    {
      callers: Schema.Array(Caller).check(Schema.isMaxLength(25)),
      faults: Schema.Array(Schema.Literals(["", "", "", "before", "after", "hangs", "late"])).check(
        Schema.isMaxLength(60)
      )
    },
    ({ callers, faults }) =>
      Effect.gen(function*() {
        const memory = BudgetStore.makeMemory()
        const keys = new Map<string, Stores.BudgetEntry>()
        let asked = 0
        const flaky = <A>(question: Effect.Effect<A, Stores.StoreError>): Effect.Effect<A, Stores.StoreError> =>
          Effect.suspend(() => {
            const fault = faults[asked++] ?? ""
            if (fault === "hangs") return Effect.never
            // Done long after it was given up.
            if (fault === "late") return Effect.andThen(Effect.forkDetach(Effect.delay(question, 1_500)), Effect.never)
            if (fault === "before") return Effect.fail({ _tag: "Down", message: "down" })
            return fault === "" ? question : Effect.andThen(question, Effect.fail({ _tag: "Down", message: "down" }))
          })
        const store: Stores.BudgetStore = {
          reserve: (entries, id) => {
            for (const entry of entries) keys.set(entry.key, entry)
            return flaky(memory.reserve(entries, id))
          },
          settle: (entries, id) => flaky(memory.settle(entries, id))
        }
        const guard = yield* guarded
        const { books } = yield* storm(callers, { shared: { store, guard, teller: yield* Teller.make(guard, 100) } })
        // As many questions as there are faults may be without an answer, one in a second.
        yield* TestClock.adjust("1 minute")
        for (const [key, entry] of keys) {
          const [units] = memory.settleUnsafe([{ ...entry, amount: 0 }], 0)
          if (key.startsWith("all:")) assert.strictEqual(units! / 1e9, books.all)
          else if (key.startsWith("each:")) assert.strictEqual(units, books[key.endsWith(":a") ? "a" : "b"])
        }
      }).pipe(Effect.scoped, Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 60 } }
  )

  it.effect("refunds are exact: 2 000 interrupted calls leave a whole budget", () =>
    Effect.gen(function*() {
      const budget = make([{ usd: 5_000_000, ...day }])
      const fibers = yield* Effect.forEach(
        Array.from({ length: 2_000 }, (_, n) => 0.1 + n / 7),
        (most) =>
          Effect.forkChild(Effect.acquireUseRelease(
            budget.reserve(most),
            () => Effect.never,
            (reservation) => reservation.settle(Budget.nothing)
          ))
      )
      yield* TestClock.adjust(1)
      yield* Fiber.interruptAll(fibers)
      yield* budget.reserve(5_000_000)
    }))
})

describe("a shared store", () => {
  const down = Effect.fail({ _tag: "Down", message: "down" })

  /** Two processes, and the store between them, which may be taken down. */
  const two = Effect.gen(function*() {
    const memory = BudgetStore.makeMemory()
    const state = { isDown: false, hangs: false, isMute: false, asked: 0, told: [] as Array<number>, most: 0 }
    const through = <A>(question: Effect.Effect<A, Stores.StoreError>): Effect.Effect<A, Stores.StoreError> =>
      Effect.suspend((): Effect.Effect<A, Stores.StoreError> => {
        state.asked++
        if (state.isMute) return Effect.andThen(question, Effect.never)
        return state.hangs ? Effect.never : state.isDown ? down : question
      })
    const store: Stores.BudgetStore = {
      reserve: (entries, id) => through(memory.reserve(entries, id)),
      settle: (entries, id) =>
        through(
          Effect.suspend(() => {
            state.told.push(...entries.map(({ amount }) => amount))
            state.most = Math.max(state.most, entries.length)
            return memory.settle(entries, id)
          })
        )
    }
    const events: Array<Budget.BudgetEvent> = []
    const onEvent = (event: Budget.BudgetEvent) => Effect.sync(() => void events.push(event))
    const process = (teller?: Teller.Teller) =>
      Effect.map(
        guarded,
        (guard) => make([{ tokens: 100, per: "tenant", ...day }], { shared: { store, guard, teller }, onEvent })
      )
    return { state, events, memory, one: yield* process(), other: yield* process(), process }
  })

  it.effect("is one budget for all processes", () =>
    Effect.gen(function*() {
      const { one, other } = yield* two
      const reservation = yield* one.reserve(60)
      assert.strictEqual(yield* left(other), 40)
      yield* reservation.settle(spent(10))
      assert.strictEqual(yield* left(other), 90)
    }))

  it.effect("that is down is answered for from what was last heard of it", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      yield* one.reserve(60)
      yield* left(other)
      state.isDown = true
      assert.deepStrictEqual([yield* left(one), yield* left(other)], [40, 40])
      yield* one.reserve(30)
      assert.strictEqual(yield* left(one), 10)
    }))

  it.effect("that hangs costs a call its patience, once, also where the call cannot be interrupted", () =>
    Effect.gen(function*() {
      const { one, state } = yield* two
      state.hangs = true
      const fiber = yield* Effect.forkChild(
        Effect.scoped(
          Effect.acquireRelease(one.reserve(60), (reservation) => reservation.settle(spent(50)))
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust(99)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* left(one), 50)
      assert.strictEqual(state.asked, 1)
    }))

  it.effect("is waited for by a caller that is interrupted, so that what it reserves is settled", () =>
    Effect.gen(function*() {
      const memory = BudgetStore.makeMemory()
      const store: Stores.BudgetStore = { ...memory, reserve: (entries) => Effect.delay(memory.reserve(entries), 50) }
      const budget = make([{ tokens: 100, ...day }], { shared: { store, guard: yield* guarded } })
      const call = yield* Effect.forkChild(
        Effect.acquireUseRelease(budget.reserve(60), () => Effect.never, ({ settle }) => settle(Budget.nothing))
      )
      const bare = yield* Effect.forkChild(Effect.exit(budget.reserve(30)))
      yield* TestClock.adjust(10)
      const gone = yield* Effect.forkChild(Fiber.interruptAll([call, bare]))
      yield* TestClock.adjust(39)
      assert.isUndefined(gone.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(gone)
      const free = yield* Effect.forkChild(left(budget))
      // Once for the reservation, and once for being the first that is refused.
      yield* TestClock.adjust(50)
      yield* TestClock.adjust(50)
      assert.strictEqual(yield* Fiber.join(free), 70)
    }))

  it.effect("is told what it missed as soon as it is back, before it is asked again", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      state.isDown = true
      const running = yield* one.reserve(30)
      const done = yield* one.reserve(40)
      yield* done.settle(spent(15))
      state.isDown = false
      // It is left alone until then.
      assert.strictEqual(yield* left(other), 100)
      yield* TestClock.adjust(1_000)
      assert.strictEqual(yield* left(one), 55)
      assert.strictEqual(yield* left(other), 55)
      yield* running.settle(spent(10))
      assert.strictEqual(yield* left(other), 75)
    }))

  it.effect("is told again what may have been lost, charges and refunds", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      const refund = yield* one.reserve(60)
      state.isDown = true
      yield* refund.settle(spent(10))
      state.isDown = false
      yield* TestClock.adjust(1_000)
      assert.strictEqual(yield* left(one), 90)
      const charge = yield* one.reserve(10)
      state.isDown = true
      yield* charge.settle(spent(25))
      state.isDown = false
      yield* TestClock.adjust(1_000)
      yield* left(one)
      assert.strictEqual(yield* left(other), 65)
    }))

  it.effect("is charged once where it does what it is asked and nobody hears of it, however often it is asked again", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      state.isMute = true
      for (let n = 0; n < 5; n++) {
        const call = yield* Effect.forkChild(Effect.flatMap(one.reserve(20), ({ settle }) => settle(spent(3))))
        yield* TestClock.adjust(100)
        yield* TestClock.adjust(100)
        yield* Fiber.join(call)
        yield* TestClock.adjust(1_000)
      }
      assert.isAbove(state.asked, 4)
      state.isMute = false
      yield* left(one)
      yield* left(one)
      assert.strictEqual(yield* left(other), 85)
    }))

  it.effect("gives back what it reserved for a call that was refused before it answered", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      const running = yield* one.reserve(50)
      yield* (yield* other.reserve(40)).settle(Budget.nothing)
      // It has room, and this process thinks that it has not.
      yield* (yield* one.reserve(0)).settle(Budget.nothing)
      state.isMute = true
      const call = yield* Effect.forkChild(Effect.exit(one.reserve(51)))
      yield* TestClock.adjust(100)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(call)))
      state.isMute = false
      yield* running.settle(spent(5))
      yield* TestClock.adjust(1_000)
      yield* left(one)
      assert.strictEqual(yield* left(other), 95)
    }))

  it.effect("is told only charges again when it may have forgotten whether it heard of them", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      const refund = yield* one.reserve(40)
      const charge = yield* one.reserve(10, { tenant: "a" })
      state.isMute = true
      const told = yield* Effect.forEach(
        [refund.settle(spent(10)), charge.settle(spent(25))],
        (settle) => Effect.forkChild(settle)
      )
      yield* TestClock.adjust(100)
      yield* Effect.forEach(told, Fiber.join)
      yield* TestClock.adjust("3 minutes")
      state.isMute = false
      yield* left(one)
      // Done once, and 15 of the charge a second time.
      assert.deepStrictEqual([yield* left(other), yield* left(other, "a")], [90, 60])
    }))

  it.effect("is told what it missed when it has rested, without a further call", () =>
    Effect.gen(function*() {
      const { other, process, state } = yield* two
      const guard = yield* guarded
      const teller = yield* Teller.make(guard, 100)
      const woken: Array<Teller.Debtor> = []
      const one = yield* process({
        wake: (debtor) => Effect.andThen(Effect.sync(() => woken.push(debtor)), teller.wake(debtor))
      })
      state.isDown = true
      const reservation = yield* one.reserve(60)
      yield* reservation.settle(spent(20))
      yield* TestClock.adjust("10 seconds")
      const asked = state.asked
      yield* TestClock.adjust("10 seconds")
      // One question in a second, while it is away.
      assert.isAtMost(state.asked - asked, 11)
      state.isDown = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* left(other), 80)
      assert.isFalse(woken[0]!.owes())
      const rests = state.asked
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(state.asked, rests)
    }).pipe(Effect.scoped))

  it.effect("is told once more when the client closes, which waits for it no longer than its patience", () =>
    Effect.gen(function*() {
      const { other, process, state } = yield* two
      const spend = (scope: Scope.Scope) =>
        Effect.gen(function*() {
          const one = yield* process(
            yield* Scope.provide(Effect.flatMap(guarded, (guard) => Teller.make(guard, 100)), scope)
          )
          state.isDown = true
          const reservation = yield* one.reserve(60)
          yield* reservation.settle(spent(20))
          state.isDown = false
        })
      const scope = yield* Scope.make()
      yield* spend(scope)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* left(other), 80)
      const hanging = yield* Scope.make()
      yield* spend(hanging)
      state.hangs = true
      yield* Scope.close(hanging, Exit.void)
    }))

  it.effect("has thresholds, refusals and unknown prices told once, by one of its processes", () =>
    Effect.gen(function*() {
      const { events, one, other, state } = yield* two
      for (const process of [one, other, one, other]) {
        yield* (yield* process.reserve(21)).settle(spent(21))
      }
      for (const process of [one, other, one]) yield* Effect.flip(process.reserve(17))
      assert.deepStrictEqual(
        events.map((event) => event._tag === "Exceeded" ? event.first : event._tag),
        ["Threshold", true, false, false]
      )
      events.length = 0
      // Nobody knows who was first, and twice is better than never.
      state.isDown = true
      yield* (yield* one.reserve(90, { tenant: "a" })).settle(spent(90))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["Threshold"])
    }))

  it.effect("is told of many in pieces, so that no call waits for all of them", () =>
    Effect.gen(function*() {
      const { one, other, state } = yield* two
      state.isDown = true
      const tenants = Array.from({ length: 1_200 }, (_, i) => `tenant ${i}`)
      yield* Effect.forEach(tenants, (tenant) => one.reserve(30, { tenant }))
      state.isDown = false
      yield* TestClock.adjust(1_000)
      // The first of them had been asked for, and is asked again by itself.
      for (const so of [500, 1_000, 1_199, 1_199]) {
        yield* left(one, "asks")
        assert.strictEqual(state.told.length, so)
      }
      assert.strictEqual(state.most, 500)
      assert.strictEqual(yield* left(other, "tenant 1199"), 70)
    }))

  it.effect("that refuses something for good is asked for the rest all the same", () =>
    Effect.gen(function*() {
      const memory = BudgetStore.makeMemory()
      const store: Stores.BudgetStore = {
        reserve: memory.reserve,
        settle: (entries, id) =>
          entries.some(({ key }) => key.endsWith(":bad"))
            ? Effect.fail({ _tag: "StoreError", message: "no number", refused: true })
            : memory.settle(entries, id)
      }
      const guard = yield* guarded
      const budget = make([{ tokens: 100, per: "tenant", ...day }], { shared: { store, guard } })
      yield* Effect.flatMap(budget.reserve(60, { tenant: "bad" }), ({ settle }) => settle(spent(10)))
      for (let call = 0; call < 5; call++) {
        yield* Effect.flatMap(budget.reserve(60, { tenant: "good" }), ({ settle }) => settle(spent(10)))
        assert.isFalse(guard.isResting())
      }
      assert.strictEqual(yield* left(budget, "good"), 50)
    }))

  it.effect("is not told of a window that is over", () =>
    Effect.gen(function*() {
      const { one, state } = yield* two
      state.isDown = true
      const reservation = yield* one.reserve(30)
      yield* reservation.settle(spent(20))
      state.isDown = false
      yield* TestClock.adjust(DAY)
      assert.strictEqual(yield* left(one), 100)
      assert.deepStrictEqual(state.told, [])
    }))
})

describe("budgets in memory", () => {
  const entry = (key: string, amount: number, expiresAt = DAY, limit = 100) => ({ key, amount, expiresAt, limit })

  it("are forgotten when their window is over, and when nothing is spent", () => {
    const store = BudgetStore.makeMemory()
    store.reserveUnsafe([entry("a", 1), entry("b", 1), entry("c", 1, 2 * DAY)], 0)
    assert.strictEqual(store.size(), 3)
    store.settleUnsafe([entry("b", -1)], 0)
    assert.strictEqual(store.size(), 2)
    store.reserveUnsafe([entry("d", 1, 3 * DAY)], DAY)
    assert.strictEqual(store.size(), 2)
    assert.deepStrictEqual(store.settleUnsafe([entry("a", 5), entry("c", 0, 2 * DAY)], DAY), [5, 1])
    assert.strictEqual(store.size(), 2)
  })

  it("are as many as there is room for; the others have one account together, and are settled there", () => {
    const store = BudgetStore.makeMemory({ capacity: 2 })
    const reserve = (key: string, amount: number, limit?: number) =>
      store.reserveUnsafe([entry(key, amount, DAY, limit)], 0)
    for (const key of ["a", "b"]) assert.strictEqual(reserve(key, 60)._tag, "Reserved")
    assert.deepStrictEqual(reserve("c", 60), { _tag: "Reserved", spent: [60] })
    assert.deepStrictEqual(reserve("d", 60), { _tag: "Exceeded", index: 0, spent: 60 })
    assert.deepStrictEqual(reserve("d", 60, 200), { _tag: "Reserved", spent: [60] })
    // Room for one more key changes nothing for those who share.
    store.settleUnsafe([entry("a", -60)], 0)
    assert.deepStrictEqual(reserve("d", 40), { _tag: "Reserved", spent: [100] })
    assert.deepStrictEqual(store.settleUnsafe([entry("c", -60)], 0), [40])
    assert.deepStrictEqual(reserve("b", 40), { _tag: "Reserved", spent: [100] })
    assert.isAtMost(store.size(), 2)
  })

  it.effect("go by the clock where they are asked as a store", () =>
    Effect.gen(function*() {
      const store = BudgetStore.makeMemory()
      yield* store.reserve([entry("a", 1)])
      yield* TestClock.adjust(DAY)
      yield* store.settle([entry("b", 1, 2 * DAY)])
      assert.strictEqual(store.size(), 1)
    }))
})
