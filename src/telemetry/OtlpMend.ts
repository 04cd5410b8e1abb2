/**
 * What Effect's OTLP exporter writes, mended to the telemetry contract, just before it is serialized.
 *
 * Status stays unset on success, the unit of a metric is no label, doubles stay doubles where their value is whole, a port
 * is a number, captured content is structured in logs, and the library's data stands under a scope and a schema of its own.
 */
import type { LogsData } from "effect/observability/OtlpLogger"
import type { MetricsData } from "effect/observability/OtlpMetrics"
import type { AnyValue, KeyValue } from "effect/observability/OtlpResource"
import type { OtlpSerialization } from "effect/observability/OtlpSerialization"
import type { TraceData } from "effect/observability/OtlpTracer"
import * as Attributes from "./Attributes.ts"
import { isOwnName, isUnit, scope } from "./Instrumentation.ts"

// -----------------------------------------------------------------------------
// mends
// -----------------------------------------------------------------------------

type Serialization = OtlpSerialization["Service"]
type Span = TraceData["resourceSpans"][number]["scopeSpans"][number]["spans"][number]
type Metric = MetricsData["resourceMetrics"][number]["scopeMetrics"][number]["metrics"][number]
type NumberPoint = NonNullable<Metric["sum"]>["dataPoints"][number]
type LogRecord = NonNullable<LogsData["resourceLogs"][number]["scopeLogs"][number]["logRecords"]>[number]

const statusUnset = { code: 0 } as const
const statusOk = 1

/** Mends what is written to OTLP by `self`. @internal */
export const mend = (self: Serialization): Serialization => ({
  traces: (data) =>
    self.traces({
      resourceSpans: data.resourceSpans.map((resource) => ({
        ...resource,
        scopeSpans: resource.scopeSpans.flatMap((group) =>
          byOwner(group.spans, isOwnSpan, (spans, own) => ({
            ...(own ? ownScope : group),
            spans: spans.map((span) => mendSpan(span, own))
          }))
        )
      }))
    }),
  metrics: (data) =>
    self.metrics({
      resourceMetrics: data.resourceMetrics.map((resource) => ({
        ...resource,
        scopeMetrics: resource.scopeMetrics.flatMap((group) =>
          byOwner(group.metrics, (metric) => isOwnName(metric.name), (metrics, own) => ({
            ...(own ? ownScope : group),
            metrics: metrics.map(mendMetric)
          }))
        )
      }))
    }),
  logs: (data) =>
    self.logs({
      resourceLogs: data.resourceLogs.map((resource) => ({
        ...resource,
        scopeLogs: resource.scopeLogs.flatMap((group) =>
          byOwner(group.logRecords ?? [], isOwnLog, (logRecords, own) => ({
            ...(own ? ownScope : group),
            logRecords: logRecords.map((record) => ({
              ...record,
              attributes: mendLog(record.attributes, record.body?.stringValue)
            }))
          }))
        )
      }))
    })
})

const mendSpan = (span: Span, own: boolean): Span => ({
  ...span,
  status: span.status.code === statusOk ? statusUnset : span.status,
  attributes: withDoubles(span.attributes, doubles),
  events: span.events.flatMap((event) =>
    // Effect copies every log to the current span; ours go out as logs, and some stand beside an event of the same name.
    own && event.attributes.some((attribute) => attribute.key === "effect.logLevel")
      ? []
      : [{ ...event, attributes: withDoubles(event.attributes, doublesOf(event.name)) }]
  )
})

const mendMetric = (metric: Metric): Metric => ({
  ...metric,
  ...(metric.sum &&
    { sum: { ...metric.sum, dataPoints: metric.sum.dataPoints.map(withCount(metric)).map(withoutUnit) } }),
  ...(metric.gauge && { gauge: { dataPoints: metric.gauge.dataPoints.map(withoutUnit) } }),
  ...(metric.summary && { summary: { dataPoints: metric.summary.dataPoints.map(withoutUnit) } }),
  ...(metric.histogram && {
    histogram: {
      ...metric.histogram,
      dataPoints: metric.histogram.dataPoints.map((point) => {
        if (point.count !== 0) return withoutUnit(point)
        // Before the first observation Effect's extrema are the largest numbers there are.
        const { max: _max, min: _min, ...empty } = point
        return withoutUnit(empty)
      })
    }
  })
})

const withoutUnit = <Point extends { attributes?: Array<KeyValue> }>(point: Point): Point => ({
  ...point,
  // Labels are strings with Effect; by the conventions a port is none.
  attributes:
    point.attributes?.filter((attribute) => !isUnit(attribute.key)).map((attribute) =>
      attribute.key === Attributes.serverPort
        ? { key: attribute.key, value: { intValue: Number(attribute.value.stringValue) } }
        : attribute
    ) ?? []
})

/** Tokens are counted in whole numbers, and typed so. */
const withCount = ({ name }: Metric) => (point: NumberPoint): NumberPoint => {
  const { asDouble, ...rest } = point
  return name.startsWith(Attributes.usageMetrics) && typeof asDouble === "number" && Number.isInteger(asDouble)
    ? { ...rest, asInt: asDouble }
    : point
}

const mendLog = (attributes: Array<KeyValue>, body: string | null | undefined): Array<KeyValue> => {
  const mended = withDoubles(attributes, doublesOf(body))
  return body !== Attributes.inferenceDetails ?
    mended :
    mended.map((attribute) =>
      structured.has(attribute.key) ? { key: attribute.key, value: parsed(attribute.value) } : attribute
    )
}

/** Content, which is JSON until here: a log's attributes hold its structure, of which Effect's exporter would make strings. */
const structured: ReadonlySet<string> = new Set([
  Attributes.systemInstructions,
  Attributes.inputMessages,
  Attributes.outputMessages,
  Attributes.toolDefinitions
])

const parsed = (value: AnyValue): AnyValue => {
  try {
    return anyValue(JSON.parse(value.stringValue ?? ""))
  } catch {
    return value
  }
}

const anyValue = (json: unknown): AnyValue => {
  if (typeof json === "string") return { stringValue: json }
  if (typeof json === "boolean") return { boolValue: json }
  if (typeof json === "number") return Number.isSafeInteger(json) ? { intValue: json } : { doubleValue: json }
  if (Array.isArray(json)) return { arrayValue: { values: json.map(anyValue) } }
  const values = Object.entries(json ?? {}).map(([key, value]) => ({ key, value: anyValue(value) }))
  return json === null ? {} : { kvlistValue: { values } }
}

/** Attributes that are doubles by contract, also where their value is whole. */
const doubles: ReadonlySet<string> = new Set([
  Attributes.responseTimeToFirstChunk,
  Attributes.waitTotal,
  Attributes.costAmount
])

const retryDoubles: ReadonlySet<string> = new Set([Attributes.retryDelay, Attributes.retryHint])

const budgetDoubles: ReadonlySet<string> = new Set([
  Attributes.budgetLimit,
  Attributes.budgetSpent,
  Attributes.budgetNeeded,
  Attributes.budgetFraction,
  Attributes.budgetKept
])

/** The doubles of events and logs whose names mean nothing elsewhere. */
const doublesByEvent: ReadonlyMap<string | null | undefined, ReadonlySet<string>> = new Map([
  [Attributes.retryEvent, retryDoubles],
  [Attributes.budgetExceededLog, budgetDoubles],
  [Attributes.budgetThresholdLog, budgetDoubles],
  [Attributes.budgetUnpricedLog, budgetDoubles],
  [Attributes.rateLimitLowLog, new Set([Attributes.rateLimitLimit])]
])

const doublesOf = (event: string | null | undefined) => doublesByEvent.get(event) ?? doubles

const withDoubles = (
  attributes: Array<KeyValue>,
  names: ReadonlySet<string>
): Array<KeyValue> =>
  attributes.map((attribute) =>
    names.has(attribute.key) && attribute.value.intValue != null
      ? { key: attribute.key, value: { doubleValue: Number(attribute.value.intValue) } }
      : attribute
  )

// -----------------------------------------------------------------------------
// owners
// -----------------------------------------------------------------------------

const ownScope = { scope, schemaUrl: Attributes.schemaUrl }

/** Makes a group of the application's items and one of ours, where there are any. */
const byOwner = <A, B>(
  items: ReadonlyArray<A>,
  isOwn: (item: A) => boolean,
  make: (items: ReadonlyArray<A>, own: boolean) => B
): Array<B> =>
  [false, true].flatMap((own) => {
    const group = items.filter((item) => isOwn(item) === own)
    return group.length > 0 ? [make(group, own)] : []
  })

/** Every call, attempt and wait has an attribute of ours; agents and tools have the conventions' alone, as other providers' do. */
const isOwnSpan = (span: Span): boolean =>
  span.attributes.some(({ key }) => key.startsWith("claude.")) ||
  (span.attributes.some(({ key }) => isOwnName(key)) && !span.attributes.some(isOtherProvider))

const isOtherProvider = ({ key, value }: KeyValue): boolean =>
  (key === Attributes.providerName || key === Attributes.formerProviderName) && value.stringValue !== "anthropic"

const isOwnLog = (record: LogRecord): boolean => isOwnName(record.body?.stringValue ?? "")
