/** Everything at once, over real sockets: whatever happens to a call, it ends once, and leaves nothing behind but its bill. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Redacted, Schedule, Schema, Scope, Stream } from "effect"
import { Claude, ClaudeError, Pricing, RetryPolicy } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { observe, seeded, settle, tell, unended, warnings } from "./observe.ts"

const CALLS = 400
const maxTokens = 100
const total = 1_500

/** Both models at one price. */
const rates = { input: 4, output: 20, cacheRead: 4, cacheWrite5m: 4, cacheWrite1h: 4 }
const models = ["claude-opus-5-5", "claude-haiku-5-5"] as const
const pricing = Pricing.make({ overrides: { [models[0]]: rates, [models[1]]: rates } })
/** What no call here can cost more than, in USD: a thousand bytes of input, and all of `max_tokens`. */
const most = (1_000 * rates.input + maxTokens * rates.output) / 1e6

const tenants = ["acme", "globex", "initech", "capped", "small"] as const
/** In USD: what nobody comes to, and what a few calls come to. */
const enough = 2
const little = 0.02

const layerOf = (url: string) =>
  Claude.layer({
    apiKey: Redacted.make("sk-test"),
    baseURL: url,
    defaults: { model: models[0], max_tokens: maxTokens },
    pricing,
    concurrency: { min: 1, max: 32 },
    queue: 5,
    tenants: { known: { capped: { max: 2 }, acme: { weight: 3 } } },
    fallback: [models[1]],
    retry: RetryPolicy.make({ times: 3, initial: "2 millis", max: "20 millis", maxRetryAfter: "200 millis" }),
    retryBudget: { ratio: 1, burst: 1_000 },
    timeouts: { headers: "80 millis", firstContent: "150 millis", idle: "80 millis", total },
    circuit: { failureRate: 0.7, minimumCalls: 10, openDuration: "40 millis", maxOpenDuration: "200 millis" },
    rateLimits: { window: "200 millis" },
    budget: [{ name: "each", usd: enough, window: "36500 days", per: "tenant", tenants: { small: little } }]
  })

const Answered = Schema.Struct({ answer: Schema.Int })

/** Chance, from a seed. */
const makeDice = (seed: number) => {
  const next = seeded(seed)
  const whole = (below: number) => Math.floor(next() * below)
  return {
    whole,
    chance: (part: number) => next() < part,
    pick: <A>(from: ReadonlyArray<A>): A => from[whole(from.length)]!
  }
}
type Dice = ReturnType<typeof makeDice>

// -----------------------------------------------------------------------------
// the server
// -----------------------------------------------------------------------------

const good = ({ chance, whole }: Dice, isObject: boolean): Answer.Answer => {
  const options = { delay: whole(8), pace: whole(3), firstContent: whole(4) }
  return isObject
    ? Answer.json(chance(0.9) ? { answer: whole(100) } : { answer: "none" }, options)
    : Answer.text("one two three four five", { ...options, ...(chance(0.05) ? { stopReason: "max_tokens" } : {}) })
}

const bad = (dice: Dice, of: Answer.Answer): Answer.Answer => {
  const { pick, whole } = dice
  const anywhere = ["beforeHeaders", "afterHeaders", "midStream", { afterEvents: whole(12) }, {
    afterBytes: whole(900)
  }] as const
  const inBody = anywhere.slice(1) as ReadonlyArray<Answer.BodyPoint>
  return pick<() => Answer.Answer>([
    () => Answer.error(429, { retryAfter: whole(30), retryAfterForm: "ms" }),
    () => Answer.error(429),
    () => Answer.error(529),
    () => Answer.error(pick([500, 502, 503, 408])),
    () => Answer.error(pick([400, 401, 413])),
    () => Answer.reset(pick(anywhere), of),
    () => Answer.close(pick(anywhere), of),
    () => Answer.stall(pick(anywhere), of),
    () => Answer.truncate(pick(inBody), of),
    () => Answer.pings(5, pick(inBody), of),
    () => Answer.errorEvent(pick(["overloaded_error", "api_error", "rate_limit_error"]), "no", pick(inBody), of),
    () => Answer.garbage(pick(["badEvent", "badJson", "html", "html502", "empty"])),
    () => Answer.delay(100 + whole(100), of),
    () => Answer.drip(of, { bytes: 1 + whole(40) })
  ])()
}

const answers = (dice: Dice): ClaudeSimulator.Answers => ({ body, endpoint }) => {
  const of = good(dice, endpoint === "messages" && JSON.stringify(body).includes("json_schema"))
  return dice.chance(0.3) ? bad(dice, of) : of
}

/** Its capacity moves, its limits come and go, it is down for a while. */
const weather = (simulator: ClaudeSimulator.ClaudeSimulator["Service"], { pick, whole }: Dice) =>
  Effect.forever(
    Effect.gen(function*() {
      yield* Effect.sleep(20 + whole(60))
      yield* pick([
        simulator.setCapacity(pick([4, 16, Infinity])),
        simulator.setCapacity({ limit: 8 + whole(24), slowdown: 3 }),
        simulator.setRateLimits({ requests: 20 + whole(60), outputTokens: 5_000, window: "200 millis" }),
        simulator.setRateLimits(undefined),
        simulator.dropConnections,
        Effect.suspend(() =>
          simulator.setOutage(pick([true, 502, 503])).pipe(
            Effect.andThen(Effect.sleep(20 + whole(60))),
            Effect.andThen(simulator.setOutage(false))
          )
        )
      ])
    })
  )

// -----------------------------------------------------------------------------
// the callers
// -----------------------------------------------------------------------------

type AnyCall = Effect.Effect<unknown, unknown, Claude.Claude>

/** What a consumer fails with is its own. */
const ofConsumer = "the consumer's"

const consumed = (dice: Dice, request: Claude.MessageRequest): AnyCall => {
  const { pick, whole } = dice
  const events = Claude.stream(request)
  return pick<() => AnyCall>([
    () => Claude.collect(events),
    () => Stream.runDrain(Claude.streamText(request)),
    () => Stream.runForEachArray(events, () => Effect.sleep(whole(6))),
    () => Stream.runDrain(Stream.take(events, 1 + whole(6))),
    () => Stream.runForEach(events, ({ type }) => type === "message_delta" ? Effect.fail(ofConsumer) : Effect.void),
    () => Stream.runDrain(Stream.take(Stream.buffer(events, { capacity: 2 }), whole(10))),
    () => Claude.collect(Claude.withPolicy({ onBreak: "restart" })(events))
  ])()
}

/** Prompts of one size, so that each costs about the same. */
const promptOf = (text: string) => ({ prompt: text.padEnd(200, " x") })

const aCall = (dice: Dice, n: number): AnyCall => {
  const { chance, pick, whole } = dice
  const isCached = chance(0.25)
  const request = promptOf(isCached ? `again ${whole(10)}` : `call ${n}`)
  /** Nothing but its deadline is between a caller and the end of these. */
  const bounded = (call: AnyCall): AnyCall =>
    Effect.timeoutOrElse(call, {
      duration: total + 1_000,
      orElse: () => Effect.die("a call went on past its deadline")
    })
  const call = pick<() => AnyCall>([
    () => bounded(Claude.message(request)),
    () => bounded(Claude.message(request)),
    () => bounded(Claude.text(request)),
    () => bounded(Claude.withPolicy({ wire: "json" })(Claude.message(request))),
    () => bounded(Claude.countTokens(request)),
    () => Claude.object(Answered, request),
    () => consumed(dice, request),
    () => consumed(dice, request),
    () => consumed(dice, request)
  ])()
  return call.pipe(
    Claude.withPolicy({
      tenant: pick(tenants),
      cache: isCached,
      priority: pick(["interactive", "batch"]),
      ...(chance(0.2) ? { fallback: [] } : {})
    })
  )
}

interface Ended {
  readonly exit: Exit.Exit<unknown, unknown>
  readonly interrupted: boolean
}

/** Starts the calls one after the other, now and then many at once, and gives some of them up. */
const crowd = (dice: Dice, makeCall: typeof aCall, givenUp: number) =>
  Effect.gen(function*() {
    const { chance, whole } = dice
    const ends: Array<Fiber.Fiber<Ended>> = []
    for (let n = 0; n < CALLS; n++) {
      const call = yield* Effect.forkChild(makeCall(dice, n))
      const patience = chance(givenUp) ? whole(120) : undefined
      const end = patience === undefined
        ? Effect.map(Fiber.await(call), (exit): Ended => ({ exit, interrupted: false }))
        : Effect.sleep(patience).pipe(
          Effect.andThen(Fiber.interrupt(call)),
          Effect.andThen(Fiber.await(call)),
          Effect.map((exit): Ended => ({ exit, interrupted: true }))
        )
      ends.push(yield* Effect.forkChild(end))
      if (!chance(0.3)) yield* Effect.sleep(whole(12))
    }
    return yield* Effect.forEach(ends, Fiber.join)
  })

// -----------------------------------------------------------------------------
// what must be so
// -----------------------------------------------------------------------------

const assertEnded = ({ exit, interrupted }: Ended) => {
  if (Exit.isSuccess(exit)) return
  for (const reason of exit.cause.reasons) {
    if (Cause.isFailReason(reason)) {
      assert.isTrue(reason.error === ofConsumer || ClaudeError.isClaudeError(reason.error), tell(exit))
    } else assert.isTrue(Cause.isInterruptReason(reason) && interrupted, tell(exit))
  }
}

/** What a budget says is spent: told to a call that is larger than what can be left of it. */
const spentOf = (tenant: string) =>
  Claude.message({ prompt: "how much", max_tokens: 128_000 }).pipe(
    Claude.withPolicy({ tenant }),
    Effect.flip,
    Effect.map(({ reason }) => reason._tag === "BudgetExceeded" ? reason.spent : assert.fail(reason._tag))
  )

const sum = <A>(all: ReadonlyArray<A>, of: (one: A) => number) => all.reduce((sum, one) => sum + of(one), 0)

/** Runs a crowd in any weather; `check` is asked in good weather. */
const chaos = <E>(
  seed: number,
  makeCall: typeof aCall,
  givenUp: number,
  check: (
    ends: ReadonlyArray<Ended>,
    observed: ReturnType<typeof observe>
  ) => Effect.Effect<void, E, Claude.Claude>
) =>
  Effect.gen(function*() {
    const observed = observe()
    const warned = yield* warnings
    const simulator = yield* ClaudeSimulator.make({ answers: answers(makeDice(seed)) })
    yield* simulator.script(answers(makeDice(seed + 1)), "count_tokens")
    const outer = yield* Layer.build(observed.layer)
    const fibers = observed.fibers()
    const scope = yield* Scope.make()
    const claude = yield* Effect.provide(Layer.buildWithScope(layerOf(simulator.url), scope), outer)
    yield* Effect.gen(function*() {
      const sky = yield* Effect.forkChild(weather(simulator, makeDice(seed + 2)))
      const ends = yield* crowd(makeDice(seed + 3), makeCall, givenUp)
      yield* Fiber.interrupt(sky)
      ends.forEach(assertEnded)

      // Nobody waits, and nothing is in flight: neither here nor there.
      assert.deepStrictEqual(observed.gauges(), {})
      assert.deepStrictEqual(unended(observed.spans), [])
      yield* simulator.logWhen(({ inFlight }) => inFlight === 0)

      yield* simulator.setOutage(false)
      yield* simulator.setCapacity(Infinity)
      yield* simulator.setRateLimits(undefined)
      yield* simulator.script([])
      yield* simulator.script([], "count_tokens")
      for (const model of models) {
        const healthy = Claude.message({ ...promptOf("healthy"), model }).pipe(
          Claude.withPolicy({ fallback: [] }),
          Effect.retry({ while: ({ reason }) => reason._tag === "CircuitOpen", schedule: Schedule.spaced(10) }),
          Effect.timeout("5 seconds")
        )
        assert.strictEqual((yield* healthy).model, model)
      }
      yield* check(ends, observed)
    }).pipe(Effect.provide(claude), Effect.provide(outer))

    yield* Scope.close(scope, Exit.void)
    assert.strictEqual(yield* settle(observed.fibers, (now) => now === fibers), fibers)
    yield* simulator.logWhen(({ sockets }) => sockets.open === 0)
    assert.deepStrictEqual(warned, [])
  }).pipe(Effect.scoped)

/** What a metric has counted, over all its labels but those that are left out. */
const counted = (
  observed: ReturnType<typeof observe>,
  name: string,
  labels: (labels: string) => boolean = () => true
) =>
  sum(
    observed.metrics(),
    (metric) =>
      metric.id === name && metric.type === "Counter" && labels(JSON.stringify(metric.attributes))
        ? Number(metric.state.count)
        : 0
  )

/** On a machine that has other things to do. */
const timeout = 60_000

describe("chaos", () => {
  for (const seed of [7, 42, 2026]) {
    it.live(
      `every call ends once, leaves nothing behind, and every cent of it is counted (seed ${seed})`,
      () =>
        chaos(seed, aCall, 0.15, (ends, observed) =>
          Effect.gen(function*() {
            const told = new Set(ends.map(({ exit }) => tell(exit)))
            assert.includeMembers([...told], ["success", "interrupt"])
            assert.isAbove(told.size, 6)
            const rows = yield* Stream.runCollect(Claude.usage)
            const cost = sum(rows, ({ cost }) => cost)
            let beyond = 0
            for (const tenant of tenants) {
              const spent = yield* spentOf(tenant)
              assert.isAtMost(spent, tenant === "small" ? little : enough)
              const known = sum(rows.filter((row) => row.tenant === tenant), ({ cost }) => cost)
              assert.isAtLeast(spent, known - 1e-9)
              beyond += spent - known
            }
            // Of an answer that did not end more may count than is known of it, and never more than was reserved.
            const failed = counted(observed, "claude.client.attempts", (labels) => !labels.includes("\"success\""))
            assert.isAbove(beyond, 0)
            assert.isAtMost(beyond, failed * most)
            // The report and the metric are two accounts of the same bills.
            assert.closeTo(counted(observed, "claude.client.cost"), cost, 1e-9)
            assert.strictEqual(sum(rows, ({ unpriced }) => unpriced), 0)
          })),
      timeout
    )
  }

  it.live("what callers are told that they were billed is what the report says", () => {
    const told = (exit: Exit.Exit<unknown, unknown>): number => {
      // What these calls succeed with is a message, and what they fail with is an error of theirs.
      if (Exit.isSuccess(exit)) return (exit.value as Claude.Message).cost!.amount
      const { usage } = exit.cause.reasons.find(Cause.isFailReason)!.error as ClaudeError.ClaudeError
      return usage === undefined ? 0 : (usage.input_tokens * rates.input + usage.output_tokens * rates.output) / 1e6
    }
    const answered = ({ chance, pick }: Dice, n: number) => {
      const request = promptOf(`call ${n}`)
      const call = chance(0.5) ? Claude.message(request) : Claude.collect(Claude.stream(request))
      return Claude.withPolicy({ tenant: pick(tenants) })(call)
    }
    return chaos(99, answered, 0, (ends) =>
      Effect.gen(function*() {
        const rows = yield* Stream.runCollect(Claude.usage)
        const healthy = rows.filter(({ tenant }) => tenant === "")
        assert.strictEqual(sum(healthy, ({ requests }) => requests), models.length)
        assert.closeTo(
          sum(ends, ({ exit }) => told(exit)),
          sum(rows, ({ cost }) => cost) - sum(healthy, ({ cost }) => cost),
          1e-9
        )
      }))
  }, timeout)
})
