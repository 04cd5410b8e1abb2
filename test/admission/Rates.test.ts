import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { amountOf, kinds, type Mark, type Need, Rates, type RatesOptions } from "../../src/admission/Rates.ts"
import { amounts } from "../../src/admission/SharedRates.ts"
import type { LimitKind } from "../../src/admission/Stores.ts"

const WINDOW = 60_000
const none: Mark = {}
const one: Need = { inputTokens: 10, outputTokens: 5 }

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const upTo = <S extends Schema.Top>(count: number, schema: S) => Schema.Array(schema).check(Schema.isMaxLength(count))
const options = (runs: number) => ({ arbitrary: { runs, size: 80, seed: "rates" } })

const Kind = Schema.Literals(["requests", "inputTokens", "outputTokens", "tokens"])
const ANeed = Schema.Struct({ inputTokens: whole(0, 60), outputTokens: whole(0, 60) })
const Limits = Schema.Struct({
  requests: Schema.optionalKey(whole(1, 30)),
  inputTokens: Schema.optionalKey(whole(60, 500)),
  outputTokens: Schema.optionalKey(whole(60, 500)),
  tokens: Schema.optionalKey(whole(120, 500))
})

const make = (limits: RatesOptions["limits"], learn = true) => new Rates({ limits, windowMillis: WINDOW, learn }, 0)
const levelOf = (rates: Rates, kind: LimitKind, now = 0) =>
  rates.levels(now).find((level) => level.kind === kind)?.level
const told = (kind: LimitKind, limit?: number, remaining?: number) => ({ kind, limit, remaining, resetAt: undefined })

describe("rates", () => {
  const Step = Schema.Union([
    Schema.TaggedStruct("take", { need: ANeed }),
    Schema.TaggedStruct("take", { need: ANeed }),
    Schema.TaggedStruct("settle", { which: whole(0, 60), used: whole(0, 60) }),
    Schema.TaggedStruct("pass", { millis: whole(0, 10_000) })
  ])

  it.prop(
    "let no more of any kind be taken, over any stretch of time, than its limit and what flows in",
    { limits: Limits, steps: upTo(60, Step) },
    ({ limits, steps }) => {
      const rates = make(limits)
      const flows: Array<{ readonly at: number; readonly need: Need; readonly sign: 1 | -1; readonly calls: number }> =
        []
      const open: Array<readonly [Need, Mark]> = []
      let now = 0
      for (const step of steps) {
        if (step._tag === "pass") now += step.millis
        else if (step._tag === "take") {
          const wait = rates.waitFor(step.need, now)
          const short = rates.levels(now).filter(({ kind, level }) => amountOf(kind, step.need) > level + 1e-6)
          assert.strictEqual(wait <= 0, short.length === 0)
          if (wait > 0) continue
          open.push([step.need, rates.take(step.need, now)])
          flows.push({ at: now, need: step.need, sign: 1, calls: 1 })
        } else if (open.length > 0) {
          const [[need, mark]] = open.splice(step.which % open.length, 1) as [readonly [Need, Mark]]
          const used = {
            inputTokens: Math.min(step.used, need.inputTokens),
            outputTokens: Math.min(step.used, need.outputTokens)
          }
          rates.settle(need, mark, used, now)
          const back = {
            inputTokens: need.inputTokens - used.inputTokens,
            outputTokens: need.outputTokens - used.outputTokens
          }
          flows.push({ at: now, need: back, sign: -1, calls: 0 })
        }
      }
      for (const { kind, limit } of rates.limits) {
        for (const [first, { at: from }] of flows.entries()) {
          let sum = 0
          for (const { at, calls, need, sign } of flows.slice(first)) {
            sum += sign * (kind === "requests" ? calls : amountOf(kind, need))
            assert.isAtMost(sum, limit + ((at - from) * limit) / WINDOW + 1e-6)
          }
        }
      }
    },
    options(80)
  )

  it.prop(
    "have all back, to the unit, of calls that were never sent, and less what they used of those that were",
    { calls: upTo(20, Schema.Struct({ need: ANeed, used: Schema.UndefinedOr(ANeed), order: whole(0, 100) })) },
    ({ calls }) => {
      const full = { requests: 100, inputTokens: 5_000, outputTokens: 5_000, tokens: 5_000 }
      const rates = make(full)
      const taken = calls.map((call) => ({ ...call, mark: rates.take(call.need, 0) }))
      for (const { mark, need, used } of taken.toSorted((a, b) => a.order - b.order)) rates.settle(need, mark, used, 0)
      for (const kind of kinds) {
        const used = calls.reduce((sum, { used }) => sum + (used === undefined ? 0 : amountOf(kind, used)), 0)
        assert.strictEqual(levelOf(rates, kind), full[kind] - used)
      }
    },
    options(80)
  )

  it.prop(
    "follow a limit that is told, down and up, and never beyond a configured one; where they do not learn, not at all",
    {
      limits: Limits,
      tells: upTo(12, Schema.Struct({ kind: Kind, limit: whole(0, 700) })),
      learn: Schema.Boolean
    },
    ({ learn, limits, tells }) => {
      const rates = make(limits, learn)
      const expected = new Map<LimitKind, number>(Object.entries(limits) as Array<[LimitKind, number]>)
      for (const { kind, limit } of tells) {
        rates.told(told(kind, limit), one, none, 0)
        // A limit of none is no limit that could be meant.
        if (learn && limit > 0) expected.set(kind, Math.min(limit, limits[kind] ?? Infinity))
        assert.deepStrictEqual(new Map(rates.limits.map(({ kind, limit }) => [kind, limit])), expected)
        for (const { limit, level } of rates.levels(0)) assert.isAtMost(level, limit)
      }
    },
    options(80)
  )

  it.prop(
    "hold no more than what is said to remain less what was taken since, and rise by no answer",
    {
      configured: Schema.Boolean,
      steps: upTo(
        40,
        Schema.Union([
          Schema.TaggedStruct("start", {}),
          Schema.TaggedStruct("others", { calls: whole(1, 5) }),
          Schema.TaggedStruct("answer", { which: whole(0, 60) })
        ])
      )
    },
    ({ configured, steps }) => {
      const limit = 100
      const rates = make(configured ? { requests: limit, inputTokens: 10 * limit } : {})
      // What the server counts, as calls reach it in the order in which they start.
      let [remaining, started] = [limit, 0]
      let known = configured ? 0 : undefined
      const open: Array<{ readonly mark: Mark; readonly remaining: number; readonly number: number }> = []
      for (const step of steps) {
        if (step._tag === "start") open.push({ mark: rates.take(one, 0), remaining: --remaining, number: ++started })
        else if (step._tag === "others") remaining -= step.calls
        else if (open.length > 0) {
          const call = open.splice(step.which % open.length, 1)[0]!
          const before = levelOf(rates, "requests") ?? limit
          rates.told(told("requests", limit, call.remaining), one, call.mark, 0)
          rates.told(told("inputTokens", 10 * limit, 10 * call.remaining), one, call.mark, 0)
          const now = levelOf(rates, "requests")!
          assert.isAtMost(now, before)
          // Of a limit that is learned, what was taken before is not known.
          known ??= started
          assert.isAtMost(now, call.remaining - (started - Math.max(known, call.number)))
          assert.strictEqual(levelOf(rates, "inputTokens"), 10 * now)
        }
      }
    },
    options(80)
  )

  it("hold what is said to remain against all that was taken since the limit is known, for a call from before", () => {
    const rates = make({})
    const [first, second] = [rates.take(one, 0), rates.take(one, 0)]
    rates.told(told("requests", 50, 49), one, first, 0)
    for (let n = 0; n < 10; n++) rates.take(one, 0)
    rates.told(told("requests", 50, 48), one, second, 0)
    assert.strictEqual(levelOf(rates, "requests"), 38)
  })

  it("hold what remains of output against all that is still reserved", () => {
    const rates = make({ outputTokens: 100, tokens: 200 })
    const marks = [rates.take(one, 0), rates.take(one, 0)]
    rates.told(told("outputTokens", 100, 80), one, marks[0]!, 0)
    rates.told(told("tokens", 200, 100), one, marks[0]!, 0)
    assert.strictEqual(levelOf(rates, "outputTokens"), 70)
    assert.strictEqual(levelOf(rates, "tokens"), 70)
    rates.settle(one, marks[1]!, { inputTokens: 10, outputTokens: 1 }, 0)
    assert.strictEqual(levelOf(rates, "outputTokens"), 74)
  })

  it("give a limit that was learned of meanwhile nothing back of a call from before", () => {
    const rates = make({ requests: 10 })
    const before = rates.take(one, 0)
    rates.told(told("inputTokens", 100, 40), one, before, 0)
    rates.settle(one, before, undefined, 0)
    assert.strictEqual(levelOf(rates, "inputTokens"), 40)
    assert.strictEqual(levelOf(rates, "requests"), 10)
  })

  it.prop(
    "pause what is named where it is known, else all, to the latest end, and no longer",
    { limits: Limits, pauses: upTo(5, Schema.Struct({ kinds: upTo(3, Kind), until: whole(1, 50_000) })) },
    ({ limits, pauses }) => {
      const rates = make(limits)
      let [all, ends] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
      for (const { kinds, until } of pauses) {
        rates.pause(kinds, until)
        ends = Math.max(ends, until)
        if (!kinds.some((kind) => limits[kind] !== undefined)) all = Math.max(all, until)
        assert.strictEqual(rates.pausedUntil, all)
        assert.strictEqual(rates.closedUntil, ends)
        assert.strictEqual(rates.waitFor(one, 0), Math.max(0, ends))
        assert.strictEqual(rates.lasts(amounts({ inputTokens: 0, outputTokens: 0 }), one, 0) >= Math.max(0, ends), true)
        assert.strictEqual(rates.waitFor(one, ends), 0)
      }
    },
    options(60)
  )

  it("wait for the kind that has the least, and start together what all of them have", () => {
    const rates = make({ requests: 60, outputTokens: 5 })
    assert.strictEqual(rates.waitFor(one, 0), 0)
    rates.take(one, 0)
    assert.strictEqual(rates.waitFor(one, 0), WINDOW)
    assert.strictEqual(rates.waitFor({ inputTokens: 1, outputTokens: 0 }, 0), 0)
    assert.strictEqual(rates.lasts(amounts(one), one, 0), 2 * WINDOW)
  })

  it("give nothing back of what the server has counted already", () => {
    const rates = make({ inputTokens: 1_000 })
    const need = { inputTokens: 100, outputTokens: 0 }
    const mark = rates.take(need, 0)
    rates.told(told("inputTokens", 1_000, 50), need, mark, 0)
    rates.settle(need, mark, undefined, 0)
    assert.strictEqual(levelOf(rates, "inputTokens"), 50)
    const next = rates.take({ inputTokens: 40, outputTokens: 0 }, 0)
    rates.settle({ inputTokens: 40, outputTokens: 0 }, next, undefined, 0)
    assert.strictEqual(levelOf(rates, "inputTokens"), 50)
  })
})
