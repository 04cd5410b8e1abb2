/** What a client does whose Redis goes away under load: nothing that its callers would notice. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import * as CacheStore from "effect-claude/cache-store"
import { ClaudeRedis } from "effect-claude/redis"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { Redis } from "effect/persistence"
import { observe, tell, unended } from "../flow/observe.ts"
import { client, describeRedis, freshPrefix, type Server, startServer } from "../support/redis.ts"

/** How long a store may take (ARCHITECTURE.md), and how many of them a call asks. */
const patience = 250
const stores = ["limits", "budgets", "circuits", "usage", "cache"] as const

const defaults = { model: "claude-opus-5-5", max_tokens: 100 }
/** For each model in a second; so many callers without a pause would make more than a thousand. */
const limit = 100
const callers = 12
const places = 16
/** Only the last one comes to its limit. */
const tenants = ["acme", "globex", "initech", "small"] as const
const small = 0.02
/** The most that a call of at most 100 tokens may be reserved for. */
const most = 0.0025

interface Done {
  readonly tenant: string
  readonly from: number
  readonly took: number
  readonly exit: Exit.Exit<Claude.Message, unknown>
}

/** Callers of four tenants, who ask again as soon as they are answered, until the load is stopped. */
const underLoad = Effect.fnUntraced(function*(server: Server) {
  const observed = observe()
  const prefix = freshPrefix()
  const simulator = yield* ClaudeSimulator.make({
    answers: (_request, index) => Answer.text("one two three", { delay: 2 + index % 9, pace: index % 3 })
  })
  const redis = Layer.fresh(client(server.url))
  const claude = Claude.layer({
    apiKey: Redacted.make("sk-test"),
    baseURL: simulator.url,
    defaults,
    retry: RetryPolicy.none,
    concurrency: places,
    rateLimits: { requests: limit, window: "1 second" },
    // A window that does not end while a test runs.
    budget: [{ name: "each", usd: 1_000, window: "36500 days", per: "tenant", tenants: { small } }]
  }).pipe(
    Layer.provide(ClaudeRedis.layer({ prefix })),
    Layer.provide(CacheStore.layerRedis),
    Layer.provideMerge(redis),
    Layer.provideMerge(observed.layer)
  )
  const context = yield* Layer.build(claude)
  const done: Array<Done> = []
  let stopped = false
  const call = (tenant: string, prompt: string, cache: boolean, streams: boolean) =>
    Effect.gen(function*() {
      const from = performance.now()
      const answer = streams ? Claude.collect(Claude.stream({ prompt })) : Claude.message({ prompt })
      const exit = yield* Effect.exit(Claude.withPolicy({ tenant, cache })(answer))
      done.push({ tenant, from, took: performance.now() - from, exit })
      // Who is turned away asks again a little later.
      if (Exit.isFailure(exit)) yield* Effect.sleep("20 millis")
    })
  const caller = (tenant: string, n: number) =>
    Effect.gen(function*() {
      for (let i = 0; !stopped; i++) {
        const again = i % 4 === 3
        yield* call(tenant, again ? `again ${i % 20}` : `${tenant} ${n} ${i}`, again, i % 3 === 1)
      }
    })
  const fibers = yield* Effect.forEach(
    tenants.flatMap((tenant) => Array.from({ length: callers / tenants.length }, (_, n) => caller(tenant, n))),
    (caller) => Effect.forkChild(caller)
  ).pipe(Effect.provide(context))

  const unavailable = () =>
    Object.fromEntries(
      observed.metrics().flatMap(({ attributes, id, state }) =>
        id === "claude.store.unavailable"
          ? [[String(attributes?.["claude.store.name"]), Number((state as { readonly count: number }).count)]]
          : []
      )
    )
  const { send } = yield* Effect.provide(Redis.Redis, context)
  /** What a counter of Redis says a tenant has spent, in USD. */
  const counted = (tenant: string) =>
    Effect.gen(function*() {
      const [key] = yield* send<ReadonlyArray<string>>("KEYS", `${prefix}{budgets}:*:${tenant}`)
      return key === undefined ? 0 : Number(yield* send<string>("GET", key)) / 1e9
    })
  const costOf = (tenant: string, since = 0) =>
    done.reduce((sum, call) =>
      call.tenant === tenant && call.from >= since && Exit.isSuccess(call.exit)
        ? sum + call.exit.value.cost!.amount
        : sum, 0)
  const arrivals = Effect.map(simulator.log, ({ entries }) => entries.map(({ arrivedAt }) => arrivedAt))

  return {
    observed,
    done,
    prefix,
    send,
    unavailable,
    counted,
    costOf,
    arrivals,
    reported: Effect.map(
      Effect.provide(Stream.runCollect(Claude.usage), context),
      (rows) => rows.reduce((sum, { requests }) => sum + requests, 0)
    ),
    /** Ends the load, and what is still owed to the store is told it. */
    stop: Effect.gen(function*() {
      stopped = true
      yield* Effect.forEach(fibers, Fiber.join)
      for (const tenant of tenants) yield* Effect.provide(call(tenant, `the last of ${tenant}`, false, false), context)
    }),
    longest: () => Math.max(...done.map(({ took }) => took)),
    /** Until all that is loaded late is loaded, and calls wait for the limit. */
    warm: Effect.promise(async () => {
      while (done.length < 2 * limit) await new Promise((resolve) => setTimeout(resolve, 20))
    }),
    /** Until Redis is used again, all that is kept there. */
    usedAgain: Effect.promise(async () => {
      const until = performance.now() + 10_000
      let before = JSON.stringify(unavailable())
      let quietSince = performance.now()
      // Longer than a store is left alone, and no new failure.
      while (performance.now() < until && performance.now() - quietSince < 1_200) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        const now = JSON.stringify(unavailable())
        if (now !== before) quietSince = performance.now()
        before = now
      }
    })
  }
})

type Load = Effect.Success<ReturnType<typeof underLoad>>

const now = () => performance.timeOrigin + performance.now()

const sleep = (millis: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, millis)))

/**
 * No stretch of this time saw more requests than so many full buckets and what comes back in it; answers how many there
 * were. Where the store is asked again there are two: its own, and the local one that was used until then.
 */
const assertWithinLimit = (arrivals: ReadonlyArray<number>, buckets: number, from: number, until = Infinity) => {
  const some = arrivals.filter((at) => at >= from && at <= until)
  for (const [i, first] of some.entries()) {
    for (let j = i; j < some.length; j++) {
      // Half a second more: what was sent arrives when the machine has time for it.
      assert.isAtMost(j - i + 1, limit * (buckets + (some[j]! - first + 500) / 1_000))
    }
  }
  return some.length
}

/** How long a call may take that meets a store that does not answer wherever it asks one. */
const longest = (usual: number) => usual + stores.length * patience + 500

/** No call failed for it, and none took longer than every store's patience and what is usual together. */
const assertUnharmed = (load: Load, usual: number) => {
  for (const { exit, tenant, took } of load.done) {
    const told = tell(exit)
    if (tenant === "small") assert.match(told, /^(success|fail BudgetExceeded)$/)
    else assert.strictEqual(told, "success")
    assert.isAtMost(took, longest(usual))
  }
  assert.isTrue(load.done.some(({ exit, tenant }) => tenant === "small" && Exit.isFailure(exit)))
  assert.isAtMost(load.costOf("small"), small)
  assert.deepStrictEqual(unended(load.observed.spans), [])
  assert.deepStrictEqual(load.observed.gauges(), {})
}

/** Nothing that was spent is missing; what was not answered may have counted twice. */
const assertConserved = (load: Load) =>
  Effect.forEach(tenants, (tenant) =>
    Effect.map(load.counted(tenant), (counted) => {
      const cost = load.costOf(tenant)
      assert.isAtLeast(counted, cost - 1e-9)
      assert.isAtMost(counted, cost + places * most)
    }))

/** What went wrong is over with `mend`: before it and after it. */
const drill = Effect.fnUntraced(function*(
  options: ReadonlyArray<string>,
  wrong: (server: Server, load: Load) => Effect.Effect<unknown, Redis.RedisError>,
  mend: (server: Server, load: Load) => Effect.Effect<unknown, Redis.RedisError>
) {
  const server = yield* startServer(options)
  const load = yield* underLoad(server)
  // A client waits for its answers when it closes.
  yield* Effect.addFinalizer(() => server.resume)
  yield* load.warm
  const usual = load.longest()
  const before = load.unavailable()

  const from = now()
  yield* wrong(server, load)
  yield* sleep(1_500)
  const until = now()
  for (const store of stores) {
    const count = (load.unavailable()[store] ?? 0) - (before[store] ?? 0)
    assert.isAbove(count, 0, store)
    // Asked about once a second, by all who come at once, before a call and after it: not with every call.
    assert.isAtMost(count, 2 * callers * (1 + (until - from) / 1_000), store)
  }

  yield* mend(server, load)
  yield* load.usedAgain
  const reported = yield* load.reported
  // Rows that were missed may be told in lumps.
  while ((yield* load.reported) === reported) yield* sleep(100)
  yield* load.stop

  assertUnharmed(load, usual)
  const arrivals = yield* load.arrivals
  assertWithinLimit(arrivals, 1, 0, from)
  assert.isAbove(assertWithinLimit(arrivals, 1, from, until), callers)
  assertWithinLimit(arrivals, 2, until)
  yield* assertConserved(load)
})

/** On a machine that has other things to do. */
const timeout = 60_000

describeRedis("a Redis under load", () => {
  it.live("may be killed: calls go on within local limits, and it is used again when it is back", () =>
    // What it knew is there again, so that it can be seen that nothing was lost of it.
    drill(["--appendonly", "yes"], ({ kill }) => kill, ({ restart }) => restart).pipe(Effect.scoped), timeout)

  it.live(
    "may hang: nobody waits for it longer than its patience",
    () => drill([], ({ pause }) => pause, ({ resume }) => resume).pipe(Effect.scoped),
    timeout
  )

  it.live("may refuse to write, as a replica does, or one without memory", () =>
    drill(
      [],
      (_server, { send }) =>
        Effect.gen(function*() {
          // Port 1 of this machine has no master.
          yield* send("REPLICAOF", "127.0.0.1", "1")
          yield* sleep(500)
          yield* send("REPLICAOF", "NO", "ONE")
          yield* send("CONFIG", "SET", "maxmemory", "1")
        }),
      (_server, { send }) => send("CONFIG", "SET", "maxmemory", "0")
    ).pipe(Effect.scoped), timeout)

  it.live("may forget everything: nobody notices, and it counts again from there", () =>
    Effect.gen(function*() {
      const load = yield* underLoad(yield* startServer())
      yield* load.warm
      const usual = load.longest()
      const forgot = performance.now()
      yield* load.send("FLUSHALL")
      yield* load.send("SCRIPT", "FLUSH")
      const at = now()
      yield* sleep(1_000)
      yield* load.stop
      for (const { exit, took } of load.done) {
        assert.match(tell(exit), /^(success|fail BudgetExceeded)$/)
        assert.isAtMost(took, longest(usual))
      }
      const arrivals = yield* load.arrivals
      assertWithinLimit(arrivals, 1, 0, at)
      assertWithinLimit(arrivals, 1, at)
      const counted = yield* load.counted("acme")
      assert.isAtMost(counted, load.costOf("acme") + 1e-9)
      // Those that were under way give back what it no longer knows of.
      assert.isAtLeast(counted, load.costOf("acme", forgot) - places * most)
      assert.isAbove(counted, 0)
      const keys = yield* load.send<ReadonlyArray<string>>("KEYS", "*")
      for (const kind of ["limits:", "{budgets}:", "{usage}:", "circuit:"]) {
        assert.isTrue(keys.some((key) => key.startsWith(load.prefix + kind)), kind)
      }
    }).pipe(Effect.scoped), timeout)
}, "own")
