import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { Claude, ClaudeError, RetryPolicy } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as BudgetStore from "../../src/admission/BudgetStore.ts"
import * as Stores from "../../src/admission/Stores.ts"
import * as UsageReport from "../../src/admission/UsageReport.ts"
import * as Failure from "../../src/Failure.ts"
import { Transport } from "../../src/transport/Transport.ts"
import { hi, reason, sent, settle, setUp, start } from "./setUp.ts"

const usage = { input_tokens: 1000, output_tokens: 100 }
const gone = Effect.fail({ _tag: "StoreError", message: "gone" })

/** A store of budgets in memory, and what is spent of all that was reserved there. */
const watched = () => {
  const memory = BudgetStore.makeMemory()
  const known = new Map<string, Stores.BudgetEntry>()
  const store: Stores.BudgetStore = {
    reserve: (entries, id) => {
      for (const entry of entries) if (!entry.key.startsWith("told ")) known.set(entry.key, entry)
      return memory.reserve(entries, id)
    },
    settle: (entries, id) => memory.settle(entries, id)
  }
  const spent = () =>
    [...known.values()].reduce((sum, entry) => sum + memory.settleUnsafe([{ ...entry, amount: 0 }], 1e6)[0]!, 0)
  return { store, spent, usd: () => spent() / 1e9 }
}

const withBudgets = (store: Stores.BudgetStore) => Layer.provide(Layer.succeed(Stores.Budgets, store))
const withUsage = (store: Stores.UsageStore) => Layer.provide(Layer.succeed(Stores.Usage, store))
const sum = (rows: ReadonlyArray<Stores.UsageRow>, of: (row: Stores.UsageRow) => number) =>
  rows.reduce((sum, row) => sum + of(row), 0)

describe("what was given up", () => {
  /** How much of a million tokens is spent by a call of 2 000 bytes and up to 100 tokens of output that ends so. */
  const spentBy = (
    answer: Answer.Answer,
    wire: "sse" | "json",
    options: Parameters<typeof Claude.layerTransport>[0] = {}
  ) =>
    Effect.gen(function*() {
      const { spent, store } = watched()
      const { layer } = setUp(() => answer, {
        wire,
        circuit: false,
        timeouts: { total: "30 seconds", headers: "20 seconds", firstContent: "20 seconds" },
        budget: [{ tokens: 1_000_000, window: "1 day" }],
        ...options
      })
      yield* Effect.gen(function*() {
        const call = yield* start(Effect.exit(Claude.text({ prompt: "x".repeat(2_000) })))
        yield* settle
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.interrupt(call).pipe(Effect.when(Effect.succeed(options.timeouts?.total === "1 hour")))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.await(call)
      }).pipe(Effect.provide(layer.pipe(withBudgets(store))))
      return spent()
    })
  const all = 2_100
  const few = 50

  const given: ReadonlyArray<readonly [how: string, answer: Answer.Answer, sse: number, json: number]> = [
    ["a timeout before the headers", Answer.stall("beforeHeaders"), 2_000, all],
    ["a connection that was lost before the headers", Answer.reset("beforeHeaders"), 2_000, all],
    ["a response that broke off before it said anything", Answer.reset("afterHeaders"), 2_000, all],
    ["a response that is no message", Answer.garbage("html"), 2_000, all],
    ["an error response", Answer.error(500), 0, 0],
    ["a refusal to serve", Answer.error(529), 0, 0],
    ["a mistake of the caller", Answer.error(400), 0, 0]
  ]
  it.effect.each(given)(
    "counts as its input over SSE and as all of it over JSON, or as nothing: %s",
    ([_, answer, sse, json]) =>
      Effect.gen(function*() {
        for (const [wire, expected] of [["sse", sse], ["json", json]] as const) {
          const spent = yield* spentBy(answer, wire)
          if (expected === 0) assert.strictEqual(spent, 0, wire)
          else assert.isTrue(spent >= expected && spent <= expected + few, `${wire}: ${spent}`)
        }
      })
  )

  it.effect("counts as nothing where the stream itself refused it", () =>
    Effect.gen(function*() {
      const refusal = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }
      assert.strictEqual(yield* spentBy(Answer.events([refusal]), "sse"), 0)
    }))

  it.effect("counts so where its caller left, too", () =>
    Effect.gen(function*() {
      const patient = { timeouts: { total: "1 hour", headers: "1 hour" } } as const
      const [sse, json] = [
        yield* spentBy(Answer.stall("beforeHeaders"), "sse", patient),
        yield* spentBy(Answer.stall("beforeHeaders"), "json", patient)
      ]
      assert.isTrue(sse >= 2_000 && sse < 2_000 + few, String(sse))
      assert.isTrue(json >= all && json < all + few, String(json))
    }))

  it.effect.each(["ECONNREFUSED", "ENOTFOUND", "UND_ERR_CONNECT_TIMEOUT"])(
    "counts as nothing where there was no connection: %s",
    (code) =>
      Effect.gen(function*() {
        const { spent, store } = watched()
        const error = Failure.retryable(new ClaudeError.ConnectionFailed({ code }), "no", { type: "connection_error" })
        const exchange = {
          response: Effect.fail(error),
          pull: Effect.fail(error),
          fail: () => {},
          complete: () => {}
        }
        const transport = Transport.of({
          open: () => Effect.succeed(exchange),
          server: { url: "http://127.0.0.1:1", address: "127.0.0.1", port: 1 },
          provider: "anthropic"
        })
        const layer = Claude.layerTransport({
          defaults: { model: "claude-opus-5-5", max_tokens: 100 },
          retry: RetryPolicy.none,
          budget: [{ tokens: 10_000, window: "1 day" }]
        }).pipe(Layer.provide(Layer.succeed(Transport, transport)), withBudgets(store))
        assert.strictEqual(reason(yield* Effect.flip(Claude.text(hi).pipe(Effect.provide(layer)))), "ConnectionFailed")
        assert.strictEqual(spent(), 0)
      })
  )

  it.effect("costs nothing where it was never sent", () =>
    Effect.gen(function*() {
      const { spent, store } = watched()
      const { layer } = setUp(() => Answer.text("ok", { usage, delay: "1 minute" }), {
        concurrency: 1,
        budget: [{ tokens: 1_000_000, window: "1 day" }]
      })
      yield* Effect.gen(function*() {
        yield* start(Claude.text(hi))
        yield* settle
        const before = spent()
        const queued = yield* start(Claude.text({ prompt: "x".repeat(2_000) }))
        yield* settle
        assert.isAbove(spent(), before)
        yield* Fiber.interrupt(queued)
        assert.strictEqual(spent(), before)
      }).pipe(Effect.provide(layer.pipe(withBudgets(store))))
    }))

  for (const wire of ["sse", "json"] as const) {
    it.effect(`does not pass a budget over and over, over ${wire}`, () => {
      const { layer } = setUp(() => Answer.text("ok", { delay: "31 seconds", usage }), {
        wire,
        timeouts: { total: "30 seconds", headers: "30 seconds" },
        budget: [{ usd: 1, window: "1 day" }],
        circuit: false
      })
      return Effect.gen(function*() {
        const reasons: Array<string> = []
        while (reasons.length < 10 && !reasons.includes("BudgetExceeded")) {
          // 200 kB, which the server reads and answers all the same.
          const call = yield* start(Effect.flip(Claude.message({ prompt: "word ".repeat(20_000) })))
          yield* settle
          yield* TestClock.adjust("40 seconds")
          reasons.push(reason(yield* Fiber.join(call)))
        }
        assert.strictEqual(reasons.at(-1), "BudgetExceeded")
        assert.strictEqual((yield* sent).length, reasons.length - 1)
      }).pipe(Effect.provide(layer))
    })
  }
})

describe("the usage report over a store", () => {
  it.effect("has every call, also those that were billed while the store was away", () => {
    const memory = UsageReport.makeMemory()
    let down = false
    const store: Stores.UsageStore = { add: (row, id) => down ? gone : memory.add(row, id), rows: memory.rows }
    const { layer } = setUp(() => Answer.text("ok", { usage }))
    return Effect.gen(function*() {
      let cost = 0
      for (let i = 0; i < 9; i++) {
        down = i > 0 && i < 7
        cost += (yield* Claude.message(hi)).cost!.amount
        yield* TestClock.adjust("300 millis")
      }
      const rows = yield* Stream.runCollect(Claude.usage)
      assert.closeTo(sum(rows, (row) => row.cost), cost, 1e-12)
      assert.strictEqual(sum(rows, (row) => row.requests), 9)
    }).pipe(Effect.provide(layer.pipe(withUsage(store))))
  })

  it.effect("counts a part of a token as none, and takes other rows where one is refused", () => {
    const memory = UsageReport.makeMemory()
    const rows: Array<Stores.UsageRow> = []
    const store: Stores.UsageStore = {
      add: (row) => {
        rows.push(row)
        return row.inputTokens === 7
          ? Effect.fail({ _tag: "StoreError", message: "no", refused: true })
          : memory.add(row)
      },
      rows: memory.rows
    }
    const { layer, observed } = setUp((_, i) =>
      Answer.text("ok", { usage: { input_tokens: [0.5, 7, 1000, 1000][i]!, output_tokens: 100 } })
    )
    return Effect.gen(function*() {
      for (let i = 0; i < 4; i++) yield* Claude.message(hi)
      assert.deepStrictEqual(rows.map(({ inputTokens }) => inputTokens), [0, 7, 1000, 1000])
      assert.strictEqual(sum(yield* Stream.runCollect(Claude.usage), (row) => row.requests), 3)
      // It is told of, once, and not asked for again.
      const told = observed.metrics().filter(({ id }) => id === "claude.store.unavailable")
      assert.deepStrictEqual(told.map(({ state }) => state), [{ count: 1, incremental: true }])
    }).pipe(Effect.provide(layer.pipe(withUsage(store))))
  })
})

describe("a budget over a store", () => {
  it.effect("has a slow store charged once for each call, though it answers none in time", () => {
    const { store, usd } = watched()
    let isSlow = true
    // What was sent is done, whoever waits for it.
    const late = <A>(question: Effect.Effect<A, Stores.StoreError>) =>
      isSlow
        ? Effect.flatMap(
          Effect.forkDetach(question, { startImmediately: true }),
          (fiber) => Effect.andThen(Effect.sleep(300), Fiber.join(fiber))
        )
        : question
    const slow: Stores.BudgetStore = {
      reserve: (entries, id) => late(store.reserve(entries, id)),
      settle: (entries, id) => late(store.settle(entries, id))
    }
    const { layer } = setUp(() => Answer.text("ok", { usage }), { budget: [{ usd: 1000, window: "10 days" }] })
    return Effect.gen(function*() {
      let cost = 0
      for (let i = 0; i < 30; i++) {
        const call = yield* start(Claude.message(hi))
        for (let k = 0; k < 10; k++) {
          yield* TestClock.adjust("100 millis")
          yield* settle
        }
        cost += (yield* Fiber.join(call)).cost!.amount
      }
      isSlow = false
      yield* TestClock.adjust("10 seconds")
      assert.closeTo(usd(), cost, 1e-6)
    }).pipe(Effect.provide(layer.pipe(withBudgets(slow))))
  })

  it.effect("has what the store missed told without a further call, and once more when the client closes", () =>
    Effect.gen(function*() {
      for (const waits of [true, false]) {
        const { store, usd } = watched()
        const memory = UsageReport.makeMemory()
        let down = true
        const own: Stores.BudgetStore = {
          reserve: (entries, id) => down ? gone : store.reserve(entries, id),
          settle: (entries, id) => down ? gone : store.settle(entries, id)
        }
        const report: Stores.UsageStore = { add: (row, id) => down ? gone : memory.add(row, id), rows: memory.rows }
        const { layer } = setUp(() => Answer.text("ok", { usage }), { budget: [{ usd: 10, window: "1 day" }] })
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(layer.pipe(withBudgets(own), withUsage(report)), scope)
        const { cost } = yield* Effect.provide(Claude.message(hi), context)
        down = false
        if (waits) yield* TestClock.adjust("2 seconds")
        else yield* Scope.close(scope, Exit.void)
        assert.closeTo(usd(), cost!.amount, 1e-9)
        assert.strictEqual(sum(yield* Stream.runCollect(memory.rows), (row) => row.requests), 1)
        yield* Scope.close(scope, Exit.void)
      }
    }))

  it.effect("is told in its own unit", () => {
    const { layer, observed } = setUp(() => Answer.text("ok", { usage }), {
      budget: [{ name: "t", tokens: 1_000_000, window: "1 day" }, { name: "m", usd: 10, window: "1 day" }]
    })
    return Effect.gen(function*() {
      yield* Claude.message(hi)
      const told = observed.metrics().filter(({ id }) => id.startsWith("claude.budget."))
      assert.sameMembers(
        told.map(({ attributes, id }) => `${id} ${attributes?.["claude.budget.name"]} ${attributes?.["unit"]}`),
        [
          "claude.budget.tokens.limit t {token}",
          "claude.budget.tokens.remaining t {token}",
          "claude.budget.limit m {USD}",
          "claude.budget.remaining m {USD}"
        ]
      )
    }).pipe(Effect.provide(layer))
  })
})

describe("tenants", () => {
  it.effect("of any name have budgets and rows of their own", () => {
    const names = ["__proto__", "constructor", "a:b", "{x}", "ü\u0000", "x".repeat(10_000), "a", "a:"]
    const { layer } = setUp(() => Answer.text("ok", { usage }), {
      budget: [{ tokens: 2000, window: "1 day", per: "tenant", tenants: JSON.parse(`{"__proto__":1900}`) }]
    })
    return Effect.gen(function*() {
      for (const tenant of names) yield* Claude.message(hi).pipe(Claude.withPolicy({ tenant }))
      for (const tenant of names) {
        const error = yield* Effect.flip(
          Claude.message({ prompt: "x".repeat(900) }).pipe(Claude.withPolicy({ tenant }))
        )
        assert.deepInclude(error.reason, { _tag: "BudgetExceeded", limit: tenant === "__proto__" ? 1900 : 2000 })
      }
      const rows = yield* Stream.runCollect(Claude.usage)
      assert.deepStrictEqual(rows.map(({ tenant }) => tenant), names.toSorted())
    }).pipe(Effect.provide(layer))
  })
})

describe("over random faults", () => {
  /** The same numbers in each run. */
  const randomly = (seed: number) => () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648

  it.effect("receipts, errors, the report and the budget agree", () =>
    Effect.gen(function*() {
      const random = randomly(7)
      const pick = <A>(...all: ReadonlyArray<A>) => all[Math.floor(random() * all.length)]!
      const someUsage = () => ({ input_tokens: Math.floor(random() * 5000), output_tokens: Math.floor(random() * 90) })
      const ok = () => Answer.text("a b c d", { usage: someUsage() })
      const { store, usd } = watched()
      const answers = [
        ok,
        ok,
        () => Answer.error(500),
        () => Answer.error(529),
        () => Answer.error(429, { retryAfter: "1 second" }),
        () => Answer.reset("midStream", ok()),
        () => Answer.truncate("midStream", ok()),
        () => Answer.text("no", { stopReason: "refusal", usage: someUsage() }),
        () => Answer.error(400),
        () => Answer.garbage("badEvent")
      ]
      const { layer } = setUp(() => pick(...answers)(), {
        retry: RetryPolicy.make({ times: 2 }),
        retryBudget: { burst: 10_000 },
        circuit: false,
        budget: [{ usd: 1000, window: "300 days" }],
        fallback: ["claude-haiku-4-5"],
        onRefusal: "fallback"
      })
      yield* Effect.gen(function*() {
        let tokens = 0
        let cost = 0
        const calls = [
          () => Claude.message(hi),
          () => Claude.message(hi).pipe(Claude.withPolicy({ wire: "json" })),
          () => Claude.collect(Claude.stream(hi)),
          () => Claude.collect(Claude.stream(hi)).pipe(Claude.withPolicy({ onBreak: "restart" }))
        ]
        for (let i = 0; i < 200; i++) {
          const call = yield* start(Effect.exit(pick(...calls)()))
          for (let k = 0; k < 200 && call.pollUnsafe() === undefined; k++) {
            yield* settle
            yield* TestClock.adjust("500 millis")
          }
          const exit = yield* Fiber.join(call)
          if (Exit.isSuccess(exit)) {
            const { billed, cost: receipt } = exit.value
            tokens += billed!.input_tokens + billed!.output_tokens
            cost += receipt!.amount
          } else {
            const { usage } = yield* Effect.flip(exit)
            tokens += (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0)
          }
        }
        const rows = yield* Stream.runCollect(Claude.usage)
        const reported = sum(rows, (row) => row.cost)
        assert.strictEqual(sum(rows, (row) => row.inputTokens + row.outputTokens), tokens)
        assert.isAtLeast(usd(), reported - 1e-6)
        assert.isAtLeast(reported, cost - 1e-9)
      }).pipe(Effect.provide(layer.pipe(withBudgets(store))))
    }))

  it.effect("nothing is left of calls that are interrupted at any step, over stores that take their time", () =>
    Effect.gen(function*() {
      const { spent, store } = watched()
      const later = <A, E>(question: Effect.Effect<A, E>) =>
        Effect.andThen(Effect.yieldNow, Effect.tap(question, () => Effect.yieldNow))
      const own: Stores.BudgetStore = {
        reserve: (entries, id) => later(store.reserve(entries, id)),
        settle: (entries, id) => later(store.settle(entries, id))
      }
      const { layer, observed } = setUp(() => Answer.text("a b", { usage, delay: "1 second" }), {
        budget: [{ usd: 1000, window: "300 days" }],
        concurrency: 2,
        rateLimits: { requests: 10_000 }
      })
      yield* Effect.gen(function*() {
        for (let steps = 0; steps < 60; steps++) {
          const calls = [Claude.message(hi), Claude.message({ prompt: "p" }), Claude.collect(Claude.stream(hi))]
          const fibers = yield* Effect.forEach(calls, (call) => start(Effect.exit(call)))
          for (let k = 0; k < steps; k++) {
            yield* Effect.yieldNow
            if (k % 7 === 6) yield* TestClock.adjust("300 millis")
          }
          yield* Effect.forEach(fibers, Fiber.interrupt, { concurrency: "unbounded" })
        }
        yield* TestClock.adjust("10 minutes")
        yield* settle
        assert.deepStrictEqual(observed.gauges(), {})
        const before = spent()
        const both = yield* start(Effect.all([Claude.message(hi), Claude.message(hi)], { concurrency: 2 }))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* settle
        const [message] = yield* Fiber.join(both)
        // To the unit: nothing of these two is still reserved.
        assert.strictEqual(spent() - before, Math.round(2e9 * message.cost!.amount))
      }).pipe(Effect.provide(layer.pipe(withBudgets(own))))
    }))
})
