/**
 * An OTLP/HTTP receiver on loopback: what was exported, as protobuf or as JSON, in one shape.
 *
 * `const receiver = yield* makeReceiver`, export to `receiver.url`, then `receiver.received()`, or
 * `yield* receiver.until((received) => received.spans.length === 3)` where the export is still on its way.
 */
import { Duration, Effect, Scope } from "effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { gunzipSync } from "node:zlib"
import { decodeRequest } from "./protobuf.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

export type AttributeType = "string" | "boolean" | "int" | "double" | "bytes" | "array" | "kvlist" | "empty"
export type AttributeValue = string | number | boolean | null | ReadonlyArray<AttributeValue> | {
  readonly [key: string]: AttributeValue
}

/** Attributes by their names, and how each was typed on the wire. */
export interface Attributed {
  readonly attributes: Readonly<Record<string, AttributeValue>>
  readonly types: Readonly<Record<string, AttributeType>>
}

export interface ReceivedScope {
  readonly name: string
  readonly version: string | undefined
  readonly schemaUrl: string | undefined
}

interface Origin {
  readonly resource: Attributed
  readonly scope: ReceivedScope
}

export interface ReceivedEvent extends Attributed {
  readonly name: string
  readonly time: bigint
}

export interface ReceivedSpan extends Origin, Attributed {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: "unspecified" | "internal" | "server" | "client" | "producer" | "consumer"
  readonly start: bigint
  readonly end: bigint
  readonly status: "unset" | "ok" | "error"
  readonly statusMessage: string | undefined
  readonly events: ReadonlyArray<ReceivedEvent>
  readonly links: ReadonlyArray<Attributed & { readonly traceId: string; readonly spanId: string }>
}

export interface ReceivedPoint extends Attributed {
  readonly start: bigint
  readonly time: bigint
  /** Of a sum or a gauge. */
  readonly value: number | undefined
  readonly valueType: "int" | "double" | undefined
  /** Of a histogram or a summary, as far as they came. */
  readonly count: number | undefined
  readonly sum: number | undefined
  readonly min: number | undefined
  readonly max: number | undefined
  readonly bounds: ReadonlyArray<number>
  readonly buckets: ReadonlyArray<number>
}

export interface ReceivedMetric extends Origin {
  readonly name: string
  readonly description: string
  readonly unit: string
  readonly type: "sum" | "gauge" | "histogram" | "summary"
  readonly monotonic: boolean | undefined
  readonly temporality: "delta" | "cumulative" | undefined
  readonly points: ReadonlyArray<ReceivedPoint>
}

export interface ReceivedLog extends Origin, Attributed {
  readonly time: bigint
  readonly severity: string
  readonly severityNumber: number
  readonly body: AttributeValue
  readonly eventName: string | undefined
  readonly traceId: string | undefined
  readonly spanId: string | undefined
}

export interface ReceivedRequest {
  readonly signal: Signal
  readonly headers: Http.IncomingHttpHeaders
  readonly bytes: number
  /** As it was written, but for its compression. */
  readonly body: Buffer
}

export interface Received {
  readonly requests: ReadonlyArray<ReceivedRequest>
  readonly spans: ReadonlyArray<ReceivedSpan>
  /** The last export of each metric. */
  readonly metrics: ReadonlyArray<ReceivedMetric>
  /** Every export of every metric. */
  readonly metricExports: ReadonlyArray<ReceivedMetric>
  readonly logs: ReadonlyArray<ReceivedLog>
  /** What differs among them, once each. */
  readonly resources: ReadonlyArray<Attributed>
  readonly scopes: ReadonlyArray<ReceivedScope>
}

export interface Receiver {
  /** The base URL to export to. */
  readonly url: string
  readonly received: () => Received
  /** Waits until what was received is enough; dies after ten seconds, naming what there was. */
  readonly until: (enough: (received: Received) => boolean) => Effect.Effect<Received>
  /** How requests are answered from now on: by a status, or not at all. What is not answered by 200 is not kept. */
  readonly answer: (how: number | "never") => void
  /** Requests that came, answered or not. */
  readonly seen: () => number
  readonly clear: () => void
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

export const makeReceiver: Effect.Effect<Receiver, never, Scope.Scope> = Effect.gen(function*() {
  let how: number | "never" = 200
  let seen = 0
  let kept = empty()
  const waiting = new Set<() => void>()

  const server = Http.createServer((request, response) => {
    seen++
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      if (how === "never") return
      if (how !== 200) return void response.writeHead(how).end()
      try {
        const body = Buffer.concat(chunks)
        const signal = signalOf(request.url)
        const plain = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body
        const json = request.headers["content-type"]?.startsWith("application/json") === true
        keep(kept, signal, json ? JSON.parse(plain.toString()) : decodeRequest(signal, plain))
        kept.requests.push({ signal, headers: request.headers, bytes: body.length, body: plain })
        response.writeHead(200, { "content-type": request.headers["content-type"] }).end(json ? "{}" : undefined)
      } catch (error) {
        kept.failures.push(String(error))
        response.writeHead(400).end(String(error))
      }
      for (const check of waiting) check()
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

  const received = (): Received => {
    if (kept.failures.length > 0) throw new Error(`The receiver could not read an export: ${kept.failures.join("; ")}`)
    const origins: ReadonlyArray<Origin> = [...kept.spans, ...kept.metrics, ...kept.logs]
    const last = new Map(kept.metrics.map((metric) => [`${metric.scope.name} ${metric.name}`, metric]))
    return {
      requests: [...kept.requests],
      spans: [...kept.spans],
      metrics: [...last.values()],
      metricExports: [...kept.metrics],
      logs: [...kept.logs],
      resources: distinct(origins.map((origin) => origin.resource)),
      scopes: distinct(origins.map((origin) => origin.scope))
    }
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    until: (enough) =>
      Effect.callback<Received>((resume) => {
        const check = () => {
          try {
            const now = received()
            if (!enough(now)) return
            resume(Effect.succeed(now))
          } catch (error) {
            resume(Effect.die(error))
          }
          waiting.delete(check)
        }
        waiting.add(check)
        check()
        return Effect.sync(() => waiting.delete(check))
      }).pipe(Effect.timeoutOrElse({
        duration: Duration.seconds(10),
        orElse: () => Effect.die(new Error(`The receiver has not got enough: ${outline(received())}`))
      })),
    answer: (next) => {
      how = next
    },
    seen: () => seen,
    clear: () => {
      kept = empty()
    }
  }
})

const outline = ({ logs, metrics, spans }: Received): string =>
  JSON.stringify({
    spans: spans.map((span) => span.name),
    metrics: metrics.map((metric) => metric.name),
    logs: logs.map((log) => log.body)
  })

// -----------------------------------------------------------------------------
// OTLP/JSON to one shape
// -----------------------------------------------------------------------------

type Signal = "traces" | "metrics" | "logs"
interface Json {
  readonly [key: string]: unknown
}
interface Kept {
  readonly requests: Array<ReceivedRequest>
  readonly spans: Array<ReceivedSpan>
  readonly metrics: Array<ReceivedMetric>
  readonly logs: Array<ReceivedLog>
  readonly failures: Array<string>
}

const empty = (): Kept => ({ requests: [], spans: [], metrics: [], logs: [], failures: [] })

const signalOf = (url: string | undefined): Signal => {
  const signal = /^\/v1\/(traces|metrics|logs)$/.exec(url ?? "")?.[1]
  if (signal === undefined) throw new Error(`no signal is received at ${url}`)
  return signal as Signal
}

/** A field that OTLP makes a list: its absence is an empty one. */
const list = (json: Json, name: string): ReadonlyArray<Json> => (json[name] ?? []) as ReadonlyArray<Json>
const child = (json: Json, name: string): Json => (json[name] ?? {}) as Json
const text = (json: Json, name: string): string | undefined =>
  json[name] === "" ? undefined : json[name] as string | undefined
/** 64-bit integers are strings, or numbers; NaN and the infinities are strings. */
const number = (json: Json, name: string): number | undefined => json[name] == null ? undefined : Number(json[name])
const time = (json: Json, name: string): bigint => BigInt(json[name] as string | undefined ?? 0)

const keep = (kept: Kept, signal: Signal, body: Json | unknown): void => {
  const name = { traces: "Spans", metrics: "Metrics", logs: "Logs" }[signal]
  for (const group of list(body as Json, `resource${name}`)) {
    const resource = attributed(child(group, "resource"))
    for (const part of list(group, `scope${name}`)) {
      const { name: scopeName = "", version } = child(part, "scope") as {
        readonly name?: string
        readonly version?: string
      }
      const origin = { resource, scope: { name: scopeName, version, schemaUrl: text(part, "schemaUrl") } }
      for (const span of list(part, "spans")) kept.spans.push({ ...origin, ...spanOf(span) })
      for (const metric of list(part, "metrics")) kept.metrics.push({ ...origin, ...metricOf(metric) })
      for (const record of list(part, "logRecords")) kept.logs.push({ ...origin, ...logOf(record) })
    }
  }
}

const attributed = (json: Json): Attributed => {
  const pairs = list(json, "attributes").map(({ key, value }) => [key as string, valueOf(value as Json)] as const)
  return {
    attributes: Object.fromEntries(pairs.map(([key, [value]]) => [key, value])),
    types: Object.fromEntries(pairs.map(([key, [, type]]) => [key, type]))
  }
}

const valueOf = (json: Json): readonly [AttributeValue, AttributeType] => {
  const [[field, value] = ["", null]] = Object.entries(json).filter(([, value]) => value !== undefined)
  switch (field) {
    case "":
      return [null, "empty"]
    case "stringValue":
      return [value as string, "string"]
    case "boolValue":
      return [value as boolean, "boolean"]
    case "intValue":
      return [Number(value), "int"]
    case "doubleValue":
      return [Number(value), "double"]
    case "bytesValue":
      return [value as string, "bytes"]
    case "arrayValue":
      return [list(value as Json, "values").map((item) => valueOf(item)[0]), "array"]
    case "kvlistValue":
      return [attributed({ attributes: list(value as Json, "values") }).attributes, "kvlist"]
    default:
      throw new Error(`AnyValue has no field ${field}`)
  }
}

const kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const
const statuses = ["unset", "ok", "error"] as const

const spanOf = (json: Json): Omit<ReceivedSpan, keyof Origin> => ({
  ...attributed(json),
  traceId: json["traceId"] as string,
  spanId: json["spanId"] as string,
  parentSpanId: text(json, "parentSpanId"),
  name: json["name"] as string,
  kind: kinds[number(json, "kind") ?? 0]!,
  start: time(json, "startTimeUnixNano"),
  end: time(json, "endTimeUnixNano"),
  status: statuses[number(child(json, "status"), "code") ?? 0]!,
  statusMessage: text(child(json, "status"), "message"),
  events: list(json, "events").map((event) => ({
    ...attributed(event),
    name: event["name"] as string,
    time: time(event, "timeUnixNano")
  })),
  links: list(json, "links").map((link) => ({
    ...attributed(link),
    traceId: link["traceId"] as string,
    spanId: link["spanId"] as string
  }))
})

const metricOf = (json: Json): Omit<ReceivedMetric, keyof Origin> => {
  const type = (["sum", "gauge", "histogram", "summary"] as const).find((type) => json[type] !== undefined)
  if (type === undefined) throw new Error(`metric ${String(json["name"])} has no data`)
  const data = child(json, type)
  return {
    name: json["name"] as string,
    description: text(json, "description") ?? "",
    unit: text(json, "unit") ?? "",
    type,
    monotonic: type === "sum" ? data["isMonotonic"] === true : undefined,
    temporality: ([undefined, "delta", "cumulative"] as const)[number(data, "aggregationTemporality") ?? 0],
    points: list(data, "dataPoints").map((point) => ({
      ...attributed(point),
      start: time(point, "startTimeUnixNano"),
      time: time(point, "timeUnixNano"),
      value: number(point, "asDouble") ?? number(point, "asInt"),
      valueType: point["asDouble"] != null ? "double" : point["asInt"] != null ? "int" : undefined,
      count: number(point, "count"),
      sum: number(point, "sum"),
      min: number(point, "min"),
      max: number(point, "max"),
      bounds: list(point, "explicitBounds").map(Number),
      buckets: list(point, "bucketCounts").map(Number)
    }))
  }
}

const logOf = (json: Json): Omit<ReceivedLog, keyof Origin> => ({
  ...attributed(json),
  time: time(json, "timeUnixNano"),
  severity: text(json, "severityText") ?? "",
  severityNumber: number(json, "severityNumber") ?? 0,
  body: valueOf(child(json, "body"))[0],
  eventName: text(json, "eventName"),
  traceId: text(json, "traceId"),
  spanId: text(json, "spanId")
})

const distinct = <A>(items: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...new Map(items.map((item) => [JSON.stringify(item), item])).values()
]
