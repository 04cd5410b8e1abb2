/**
 * An OTLP/HTTP receiver on loopback that keeps what is posted to it as JSON, and prints it: what a collector does, in a
 * screenful. Only the parts of the payloads that are printed are read.
 */
import { Console, Effect, Schema } from "effect"
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { styleText } from "node:util"

/** Names that are printed, of attributes and of metrics. */
const shown = new Set([
  "claude.cost.amount",
  "error.type",
  "gen_ai.usage.output_tokens",
  "http.response.status_code",
  "claude.client.attempts",
  "claude.client.cost",
  "gen_ai.client.inference.duration",
  "gen_ai.client.inference.usage.input_tokens",
  "gen_ai.client.inference.usage.output_tokens"
])

export const make = Effect.gen(function*() {
  const received = { spans: new Array<Span>(), metrics: new Array<Metric>(), logs: new Array<Log>() }
  const server = createServer(async (request, response) => {
    const { resourceLogs, resourceMetrics, resourceSpans } = decode(await text(request))
    received.spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))
    received.logs.push(...resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)))
    // They are cumulative: the last export says all.
    const metrics = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    if (metrics.length > 0) received.metrics = metrics
    response.setHeader("content-type", "application/json").end("{}")
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.sync(() => server.close().closeAllConnections())
  )
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    print: Effect.suspend(() =>
      Console.log([
        ...section("spans"),
        ...tree(received.spans),
        ...section("metrics"),
        ...received.metrics.filter(({ name }) => shown.has(name)).map(metricLine),
        ...section("logs"),
        ...received.logs.map(({ attributes, body }) => `${body.stringValue}  ${facts(attributes)}`)
      ].join("\n"))
    )
  }
})

// -----------------------------------------------------------------------------
// lines
// -----------------------------------------------------------------------------

const section = (title: string) => ["", styleText("bold", title)]

const tree = (spans: ReadonlyArray<Span>, parent = "", depth = 0): ReadonlyArray<string> =>
  spans.filter(({ parentSpanId }) => (parentSpanId ?? "") === parent)
    .toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
    .flatMap((span) => {
      const millis = Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6
      const label = `${"  ".repeat(depth)}${span.name}`.padEnd(26)
      const known = facts(span.attributes.filter(({ key }) => shown.has(key)))
      const line = `${label} ${millis.toFixed(0).padStart(6)} ms  ${known}`.trimEnd()
      return [line, ...tree(spans, span.spanId, depth + 1)]
    })

const metricLine = ({ histogram, name, sum, unit }: Metric) => {
  const points = sum?.dataPoints ?? histogram?.dataPoints ?? []
  const total = points.reduce((total, { asDouble, asInt, sum }) => total + Number(asDouble ?? asInt ?? sum ?? 0), 0)
  return `${name.padEnd(44)} ${rounded(total)} ${unit}`
}

const facts = (attributes: Span["attributes"]) =>
  attributes.filter(({ key }) => !key.startsWith("effect."))
    .map(({ key, value }) => `${styleText("dim", `${key}=`)}${rounded(Object.values(value)[0])}`).join(" ")

const rounded = (value: unknown) => typeof value === "number" ? Number(value.toPrecision(3)) : String(value)

// -----------------------------------------------------------------------------
// the parts of OTLP/JSON that are printed
// -----------------------------------------------------------------------------

const Attributes = Schema.Array(Schema.Struct({
  key: Schema.String,
  value: Schema.Record(Schema.String, Schema.Unknown)
}))

const Span = Schema.Struct({
  name: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optional(Schema.String),
  startTimeUnixNano: Schema.String,
  endTimeUnixNano: Schema.String,
  attributes: Attributes
})
type Span = typeof Span.Type

const Value = Schema.optional(Schema.Union([Schema.Finite, Schema.String]))
const Points = Schema.optional(Schema.Struct({
  dataPoints: Schema.Array(Schema.Struct({ asDouble: Value, asInt: Value, sum: Value }))
}))
const Metric = Schema.Struct({ name: Schema.String, unit: Schema.String, sum: Points, histogram: Points })
type Metric = typeof Metric.Type

const Log = Schema.Struct({ body: Schema.Struct({ stringValue: Schema.String }), attributes: Attributes })
type Log = typeof Log.Type

const listOf = <S extends Schema.Top>(schema: S) =>
  Schema.Array(schema).pipe(Schema.withDecodingDefault(Effect.succeed([])))

const Scopes = {
  spans: Schema.Struct({ scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })) }),
  metrics: Schema.Struct({ scopeMetrics: Schema.Array(Schema.Struct({ metrics: Schema.Array(Metric) })) }),
  logs: Schema.Struct({ scopeLogs: Schema.Array(Schema.Struct({ logRecords: Schema.Array(Log) })) })
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({
  resourceSpans: listOf(Scopes.spans),
  resourceMetrics: listOf(Scopes.metrics),
  resourceLogs: listOf(Scopes.logs)
})))
