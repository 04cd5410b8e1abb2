/**
 * What is told of admission: levels, limits, circuits, budgets, the cache, and stores that could not be asked.
 *
 * It belongs to a client and not to a call: metrics go where the client's layer was built. Logs go where the call logs
 * that met it, since that is where somebody listens, and have the ids of the caller's span.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Model from "../request/Model.ts"
import { AdmissionSeries } from "./AdmissionMetrics.ts"
import * as Attributes from "./Attributes.ts"
import * as RateGauges from "./RateGauges.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A circuit that moved. @internal */
export interface CircuitMove {
  readonly from: "Closed" | "Open" | "HalfOpen"
  readonly to: "Closed" | "Open" | "HalfOpen"
}

/** A limit as it stands. @internal */
export interface RateLevel {
  readonly kind: "requests" | "inputTokens" | "outputTokens" | "tokens"
  readonly limit: number
  readonly level: number
}

/** What an event of a budget tells; amounts are in `unit`. @internal */
export interface BudgetFacts {
  readonly tenant: string | undefined
  readonly unit: "USD" | "tokens"
  readonly spent: number
  readonly limit: number
  /** By the clock, in milliseconds. */
  readonly windowEndsAt: number
  /** What a call that was refused might have come to, and whether it is the first of its window. */
  readonly needed?: number
  readonly first?: boolean
  /** The part that is spent. */
  readonly fraction?: number
  /** The model that has no price, and what counts as spent of its call. */
  readonly model?: string
  readonly kept?: number
}

/** @internal */
export interface AdmissionTelemetry {
  readonly level: (model: string, level: number) => void
  readonly rates: (model: string, levels: ReadonlyArray<RateLevel>) => void
  /** How long until a limit is whole again, in seconds; told before its level. */
  readonly rateReset: (model: string, kind: RateLevel["kind"], seconds: number) => void
  readonly circuit: (key: string, label: string, move: CircuitMove) => Effect.Effect<void>
  /** A budget as it stands, until its window ends. */
  readonly budget: (
    name: string,
    limit: number,
    remaining: number,
    unit?: BudgetFacts["unit"],
    windowEndsAt?: number
  ) => void
  readonly budgetEvent: (
    kind: "Exceeded" | "Threshold" | "Unpriced",
    name: string,
    facts: BudgetFacts
  ) => Effect.Effect<void>
  readonly storeUnavailable: (store: string, message: string) => Effect.Effect<void>
  readonly cache: (outcome: Attributes.CacheOutcome) => void
  readonly promptCacheMissed: (model: string) => void
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** Below this part of a limit its log is due, once, until twice as much is left again. */
const LOW = 0.05

/** @internal */
export const make: Effect.Effect<AdmissionTelemetry, never, Scope.Scope> = Effect.gen(function*() {
  const context = yield* Effect.context<never>()
  const own = Context.make(Metric.MetricRegistry, Context.get(context, Metric.MetricRegistry)).pipe(
    Context.add(Metric.CurrentMetricAttributes, Context.get(context, Metric.CurrentMetricAttributes))
  )
  const clock = yield* Clock.Clock
  const series = new AdmissionSeries()
  const gauges = yield* RateGauges.make(series, own)
  const record = (metric: Metric.Metric<number, unknown>, value: number) => metric.updateUnsafe(value, own)

  const low = new Set<string>()
  const rate = (model: string, { kind, level, limit }: RateLevel) => {
    const name = kindLabels[kind]
    const key = `${name} ${model}`
    const remaining = Math.max(0, Math.floor(level))
    gauges.level(model, name, limit, remaining)
    if (level > 2 * LOW * limit) low.delete(key)
    else if (level < LOW * limit && !low.has(key)) {
      low.add(key)
      const told = log(Effect.logWarning(Attributes.rateLimitLowLog), {
        [Attributes.rateLimitKind]: name,
        [Attributes.requestModel]: model,
        [Attributes.rateLimitLimit]: limit,
        [Attributes.rateLimitRemaining]: remaining
      })
      // Within the call that was answered, which has no place for an effect here.
      Effect.runForkWith(Fiber.getCurrent()?.context ?? context)(told)
    }
  }

  return {
    level: (model, level) => record(series.level(Model.label(model)), level),
    rates: (model, levels) => {
      const label = Model.label(model)
      for (const level of levels) rate(label, level)
    },
    rateReset: (model, kind, seconds) =>
      gauges.reset(Model.label(model), kindLabels[kind], clock.currentTimeMillisUnsafe() + seconds * 1000),
    circuit: (key, label, { from, to }) =>
      Effect.suspend(() => {
        record(series.circuitState(label), states[to])
        record(series.transitions(`${from} ${to}`), 1)
        return log(
          to === "Open" ? Effect.logWarning(Attributes.circuitLog) : Effect.logInfo(Attributes.circuitLog),
          { [Attributes.circuitKey]: key, [Attributes.circuitFrom]: from, [Attributes.circuitTo]: to }
        )
      }),
    budget: (name, limit, remaining, unit = "USD", windowEndsAt = Infinity) => {
      const left = Math.max(0, remaining)
      record(series.budgetLimit[unit](name), limit)
      // A window ends whether or not anybody comes by to say so, and the next one is whole.
      Metric.registerUnsafe(series.budgetRemaining[unit](name), own, {
        get: () => ({ value: clock.currentTimeMillisUnsafe() < windowEndsAt ? left : limit }),
        update: ignore,
        modify: ignore
      })
    },
    budgetEvent: (kind, name, facts) =>
      Effect.suspend(() => {
        if (kind === "Exceeded") record(series.budgetRejections(name), 1)
        // Counted each time, and told once in a window.
        return facts.first === false
          ? Effect.void
          : log(Effect.logWarning(budgetLogs[kind]), budgetAttributes(name, facts))
      }),
    storeUnavailable: (store, message) =>
      Effect.suspend(() => {
        record(series.storeUnavailable(store), 1)
        return log(Effect.logWarning(Attributes.storeUnavailableLog), {
          [Attributes.storeName]: store,
          [Attributes.storeMessage]: message
        })
      }),
    cache: (outcome) => record(series.cache(outcome), 1),
    promptCacheMissed: (model) => record(series.promptCacheMissed(Model.label(model)), 1)
  }
})

const ignore = (): void => {}

/** A log that cannot be written is none of the call's business. */
const log = (log: Effect.Effect<void>, facts: Readonly<Record<string, unknown>>): Effect.Effect<void> =>
  Effect.ignoreCause(Effect.annotateLogs(log, facts))

// -----------------------------------------------------------------------------
// names
// -----------------------------------------------------------------------------

const kindLabels: Readonly<Record<RateLevel["kind"], string>> = {
  requests: "requests",
  inputTokens: "input_tokens",
  outputTokens: "output_tokens",
  tokens: "tokens"
}

const states: Readonly<Record<CircuitMove["to"], number>> = { Closed: 0, HalfOpen: 1, Open: 2 }

const budgetLogs = {
  Exceeded: Attributes.budgetExceededLog,
  Threshold: Attributes.budgetThresholdLog,
  Unpriced: Attributes.budgetUnpricedLog
} as const

const budgetAttributes = (name: string, facts: BudgetFacts): Readonly<Record<string, unknown>> => {
  const all: ReadonlyArray<readonly [name: string, value: unknown]> = [
    [Attributes.budgetName, name],
    [Attributes.tenant, facts.tenant],
    [Attributes.budgetUnit, facts.unit],
    [Attributes.budgetLimit, facts.limit],
    [Attributes.budgetSpent, facts.spent],
    [Attributes.budgetWindowEnd, new Date(facts.windowEndsAt).toISOString()],
    [Attributes.budgetNeeded, facts.needed],
    [Attributes.budgetFraction, facts.fraction],
    [Attributes.requestModel, facts.model],
    [Attributes.budgetKept, facts.kept]
  ]
  return Object.fromEntries(all.filter(([, value]) => value !== undefined))
}
