/**
 * What is told of admission: levels, limits, circuits, budgets, the cache, and stores that could not be asked.
 *
 * It belongs to a client and not to a call, so it is written with the context of the client's layer.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Model from "../request/Model.ts"
import * as Attributes from "./Attributes.ts"
import { AdmissionSeries } from "./Metrics.ts"

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

/** @internal */
export interface AdmissionTelemetry {
  readonly level: (model: string, level: number) => void
  readonly rates: (model: string, levels: ReadonlyArray<RateLevel>) => void
  /** How long until a limit is whole again, in seconds. */
  readonly rateReset: (model: string, kind: RateLevel["kind"], seconds: number) => void
  readonly circuit: (key: string, label: string, move: CircuitMove) => Effect.Effect<void>
  readonly budget: (name: string, limit: number, remaining: number) => void
  readonly budgetEvent: (
    kind: "Exceeded" | "Threshold" | "Unpriced",
    name: string,
    facts: Readonly<Record<string, unknown>>
  ) => Effect.Effect<void>
  readonly storeUnavailable: (store: string, message: string) => Effect.Effect<void>
  readonly cache: (outcome: Attributes.CacheOutcome) => void
  readonly promptCacheMissed: (model: string) => void
}

/** @internal */
export const make: Effect.Effect<AdmissionTelemetry> = Effect.contextWith((context: Context.Context<never>) => {
  const own = Context.make(Metric.MetricRegistry, Context.get(context, Metric.MetricRegistry)).pipe(
    Context.add(Metric.CurrentMetricAttributes, Context.get(context, Metric.CurrentMetricAttributes))
  )
  const run = Effect.runForkWith(context)
  const series = new AdmissionSeries()
  const record = (metric: Metric.Metric<number, unknown>, value: number) => metric.updateUnsafe(value, own)
  const log = (log: Effect.Effect<void>, facts: Readonly<Record<string, unknown>>) =>
    Effect.ignoreCause(Effect.annotateLogs(log, facts))
  /** Below this part of a limit its log is due, once, until it has recovered. */
  const LOW = 0.05
  const low = new Set<string>()

  return Effect.succeed<AdmissionTelemetry>({
    level: (model, level) => record(series.level(Model.label(model)), level),
    rates: (model, levels) => {
      const label = Model.label(model)
      for (const { kind, level, limit } of levels) {
        const name = kindLabels[kind]
        record(series.limit(name)(label), limit)
        record(series.remaining(name)(label), Math.max(0, Math.floor(level)))
        const key = `${name} ${label}`
        if (level > 2 * LOW * limit) low.delete(key)
        else if (level < LOW * limit && !low.has(key)) {
          low.add(key)
          const facts = { [Attributes.rateLimitKind]: name, [Attributes.requestModel]: label, limit, remaining: level }
          run(log(Effect.logWarning(Attributes.rateLimitLowLog), facts))
        }
      }
    },
    rateReset: (model, kind, seconds) => record(series.reset(kindLabels[kind])(Model.label(model)), seconds),
    circuit: (key, label, { from, to }) => {
      record(series.circuitState(label), states[to])
      record(series.transitions(`${from} ${to}`), 1)
      const facts = { [Attributes.circuitKey]: key, [Attributes.circuitFrom]: from, [Attributes.circuitTo]: to }
      return log(
        to === "Open" ? Effect.logWarning(Attributes.circuitLog) : Effect.logInfo(Attributes.circuitLog),
        facts
      )
    },
    budget: (name, limit, remaining) => {
      record(series.budgetLimit(name), limit)
      record(series.budgetRemaining(name), Math.max(0, remaining))
    },
    budgetEvent: (kind, name, facts) => {
      const all = { [Attributes.budgetName]: name, ...facts }
      if (kind === "Threshold") return log(Effect.logWarning(Attributes.budgetThresholdLog), all)
      if (kind === "Unpriced") return log(Effect.logWarning(Attributes.budgetUnpricedLog), all)
      record(series.budgetRejections(name), 1)
      // Counted each time, and told once in a window.
      return facts["first"] === false ? Effect.void : log(Effect.logWarning(Attributes.budgetExceededLog), all)
    },
    storeUnavailable: (store, message) => {
      record(series.storeUnavailable(store), 1)
      return log(Effect.logWarning(Attributes.storeUnavailableLog), { [Attributes.storeName]: store, message })
    },
    cache: (outcome) => record(series.cache(outcome), 1),
    promptCacheMissed: (model) => record(series.promptCacheMissed(Model.label(model)), 1)
  })
})

const kindLabels: Readonly<Record<RateLevel["kind"], string>> = {
  requests: "requests",
  inputTokens: "input_tokens",
  outputTokens: "output_tokens",
  tokens: "tokens"
}

const states: Readonly<Record<CircuitMove["to"], number>> = { Closed: 0, HalfOpen: 1, Open: 2 }
