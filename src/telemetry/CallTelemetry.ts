/**
 * What the calls of one client have in common for telemetry: where they go, what they cost, the series of their metrics.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import * as Model from "../request/Model.ts"
import type * as Pricing from "../request/Pricing.ts"
import * as Attributes from "./Attributes.ts"
import type * as Content from "./Content.ts"
import { RequestSeries } from "./Metrics.ts"

/** What a call asks for. @internal */
export type Operation = keyof typeof Attributes.operation

/** @category options @since 0.1.0 */
export interface TelemetryOptions {
  /** What is written of prompts and replies. @default nothing */
  readonly content?: Content.ContentOptions | undefined
  /** Sends `traceparent` with each attempt, so that spans of the API can join. @default true */
  readonly propagate?: boolean | undefined
  /** Labels the cost with its tenant: the first hundred of them, then "other". @default false */
  readonly tenants?: boolean | undefined
}

/** What calls of one client have in common. @internal */
export interface CallTelemetry {
  readonly provider: string
  readonly server: { readonly url: string; readonly address: string; readonly port: number }
  readonly pricing: Pricing.Pricing
  readonly options: TelemetryOptions
  readonly series: (model: string, operation: Operation) => RequestSeries
  /** A tenant as a label of what is recorded with this context, or none. */
  readonly tenantLabel: (tenant: string | undefined, context: Context.Context<never>) => string
  /** What a metric needs of a fiber's context. */
  readonly metricContext: (context: Context.Context<never>) => Context.Context<never>
}

/** How many tenants are told apart in metrics, whichever client they call: they are the same series. */
const TENANTS = 100
const tenantsOf = new WeakMap<object, Set<string>>()

/** @internal */
export const make = (
  options: Omit<CallTelemetry, "series" | "metricContext" | "tenantLabel">
): CallTelemetry => {
  const common = {
    [Attributes.providerName]: options.provider,
    [Attributes.serverAddress]: options.server.address,
    [Attributes.serverPort]: String(options.server.port)
  }
  const kept = { chat: new Map<string, RequestSeries>(), countTokens: new Map<string, RequestSeries>() }
  let small: Context.Context<never> | undefined
  return {
    ...options,
    tenantLabel: (tenant, context) => {
      if (tenant === undefined || options.options.tenants !== true) return ""
      const registry = Context.get(context, Metric.MetricRegistry)
      let tenants = tenantsOf.get(registry)
      if (tenants === undefined) tenantsOf.set(registry, tenants = new Set())
      if (tenants.size < TENANTS) tenants.add(tenant)
      return tenants.has(tenant) ? tenant : Model.OTHER
    },
    metricContext: (context) => {
      const registry = Context.get(context, Metric.MetricRegistry)
      const attributes = Context.get(context, Metric.CurrentMetricAttributes)
      // A metric looks both up with each update, which takes longer the more the context holds: this one holds no more.
      if (
        small === undefined || Context.get(small, Metric.MetricRegistry) !== registry ||
        Context.get(small, Metric.CurrentMetricAttributes) !== attributes
      ) {
        small = Context.make(Metric.MetricRegistry, registry).pipe(
          Context.add(Metric.CurrentMetricAttributes, attributes)
        )
      }
      return small
    },
    series: (model, operation) => {
      const label = Model.label(model)
      let series = kept[operation].get(label)
      if (series === undefined) {
        const labels = { [Attributes.operationName]: Attributes.operation[operation], ...common }
        kept[operation].set(label, series = new RequestSeries(labels, label))
      }
      return series
    }
  }
}
