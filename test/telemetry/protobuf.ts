/**
 * Reads OTLP's protobuf wire format into the shape of OTLP/JSON, by a table of opentelemetry-proto's fields.
 * It shares nothing with the encoder under test.
 */

type Scalar =
  | "string"
  | "bool"
  | "uint32"
  | "enum"
  | "int64"
  | "fixed32"
  | "fixed64"
  | "sfixed64"
  | "double"
  | "bytes"
  | "hex"
type Field = readonly [name: string, type: Scalar | (() => Message), repeated?: "repeated"]
type Message = Readonly<Record<number, Field>>

const AnyValue: Message = {
  1: ["stringValue", "string"],
  2: ["boolValue", "bool"],
  3: ["intValue", "int64"],
  4: ["doubleValue", "double"],
  5: ["arrayValue", () => ({ 1: ["values", () => AnyValue, "repeated"] })],
  6: ["kvlistValue", () => ({ 1: ["values", () => KeyValue, "repeated"] })],
  7: ["bytesValue", "bytes"]
}
const KeyValue: Message = { 1: ["key", "string"], 2: ["value", () => AnyValue] }
const attributes = ["attributes", () => KeyValue, "repeated"] as const
const dropped = ["droppedAttributesCount", "uint32"] as const
const Resource: Message = { 1: attributes, 2: dropped }
const Scope: Message = { 1: ["name", "string"], 2: ["version", "string"], 3: attributes, 4: dropped }
const Event: Message = { 1: ["timeUnixNano", "fixed64"], 2: ["name", "string"], 3: attributes, 4: dropped }
const Link: Message = {
  1: ["traceId", "hex"],
  2: ["spanId", "hex"],
  3: ["traceState", "string"],
  4: attributes,
  5: dropped,
  6: ["flags", "fixed32"]
}
const Span: Message = {
  1: ["traceId", "hex"],
  2: ["spanId", "hex"],
  3: ["traceState", "string"],
  4: ["parentSpanId", "hex"],
  5: ["name", "string"],
  6: ["kind", "enum"],
  7: ["startTimeUnixNano", "fixed64"],
  8: ["endTimeUnixNano", "fixed64"],
  9: attributes,
  10: dropped,
  11: ["events", () => Event, "repeated"],
  12: ["droppedEventsCount", "uint32"],
  13: ["links", () => Link, "repeated"],
  14: ["droppedLinksCount", "uint32"],
  15: ["status", () => ({ 2: ["message", "string"], 3: ["code", "enum"] })],
  16: ["flags", "fixed32"]
}
const times = { 2: ["startTimeUnixNano", "fixed64"], 3: ["timeUnixNano", "fixed64"] } as const
const NumberPoint: Message = {
  ...times,
  4: ["asDouble", "double"],
  6: ["asInt", "sfixed64"],
  7: attributes,
  8: ["flags", "uint32"]
}
const HistogramPoint: Message = {
  ...times,
  4: ["count", "fixed64"],
  5: ["sum", "double"],
  6: ["bucketCounts", "fixed64", "repeated"],
  7: ["explicitBounds", "double", "repeated"],
  9: attributes,
  10: ["flags", "uint32"],
  11: ["min", "double"],
  12: ["max", "double"]
}
const SummaryPoint: Message = {
  ...times,
  4: ["count", "fixed64"],
  5: ["sum", "double"],
  6: ["quantileValues", () => ({ 1: ["quantile", "double"], 2: ["value", "double"] }), "repeated"],
  7: attributes,
  8: ["flags", "uint32"]
}
const temporality = ["aggregationTemporality", "enum"] as const
const Metric: Message = {
  1: ["name", "string"],
  2: ["description", "string"],
  3: ["unit", "string"],
  5: ["gauge", () => ({ 1: ["dataPoints", () => NumberPoint, "repeated"] })],
  7: ["sum", () => ({ 1: ["dataPoints", () => NumberPoint, "repeated"], 2: temporality, 3: ["isMonotonic", "bool"] })],
  9: ["histogram", () => ({ 1: ["dataPoints", () => HistogramPoint, "repeated"], 2: temporality })],
  11: ["summary", () => ({ 1: ["dataPoints", () => SummaryPoint, "repeated"] })]
}
const LogRecord: Message = {
  1: ["timeUnixNano", "fixed64"],
  2: ["severityNumber", "enum"],
  3: ["severityText", "string"],
  5: ["body", () => AnyValue],
  6: attributes,
  7: dropped,
  8: ["flags", "fixed32"],
  9: ["traceId", "hex"],
  10: ["spanId", "hex"],
  11: ["observedTimeUnixNano", "fixed64"],
  12: ["eventName", "string"]
}
const envelope = (name: string, items: string, item: Message): Message => ({
  1: [`resource${name}`, () => ({
    1: ["resource", () => Resource],
    2: [`scope${name}`, () => ({
      1: ["scope", () => Scope],
      2: [items, () => item, "repeated"],
      3: ["schemaUrl", "string"]
    }), "repeated"],
    3: ["schemaUrl", "string"]
  }), "repeated"]
})
const requests = {
  traces: envelope("Spans", "spans", Span),
  metrics: envelope("Metrics", "metrics", Metric),
  logs: envelope("Logs", "logRecords", LogRecord)
}

/** Decodes the body of an export request. */
export const decodeRequest = (signal: keyof typeof requests, body: Uint8Array): unknown =>
  decode(requests[signal], body)

const decode = (message: Message, bytes: Uint8Array): Record<string, unknown> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const result: Record<string, unknown> = {}
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n;; shift += 7n) {
      const byte = view.getUint8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const read = (wire: number): bigint | DataView => {
    if (wire === 0) return varint()
    const length = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? Number(varint()) : NaN
    if (!(at + length <= bytes.length)) throw new Error(`protobuf: wire type ${wire} at byte ${at} of ${bytes.length}`)
    at += length
    return new DataView(bytes.buffer, bytes.byteOffset + at - length, length)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const raw = read(tag & 7)
    const field = message[tag >> 3]
    if (field === undefined) throw new Error(`protobuf: field ${tag >> 3} is not in the table`)
    const [name, type, repeated] = field
    // Numbers of a repeated field come one by one, or packed.
    const packed = repeated && raw instanceof DataView && (type === "double" || type === "fixed64") && (tag & 7) === 2
    const values = packed
      ? Array.from(
        { length: raw.byteLength / 8 },
        (_, n) => scalar(type, new DataView(raw.buffer, raw.byteOffset + n * 8, 8))
      )
      : [typeof type === "function" ? decode(type(), bytesOf(raw)) : scalar(type, raw)]
    if (repeated) result[name] = [...(result[name] as ReadonlyArray<unknown> | undefined ?? []), ...values]
    else result[name] = values[0]
  }
  return result
}

const bytesOf = (raw: bigint | DataView): Buffer => {
  if (typeof raw === "bigint") throw new Error("protobuf: a number where bytes belong")
  return Buffer.from(raw.buffer as ArrayBuffer, raw.byteOffset, raw.byteLength)
}

const scalar = (type: Scalar, raw: bigint | DataView): unknown => {
  if (typeof raw === "bigint") {
    if (type === "bool") return raw !== 0n
    if (type === "int64") return String(BigInt.asIntN(64, raw))
    if (type === "uint32" || type === "enum") return Number(raw)
  } else {
    if (type === "string") return new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(raw))
    if (type === "hex") return bytesOf(raw).toString("hex")
    if (type === "bytes") return bytesOf(raw).toString("base64")
    if (type === "double") return raw.getFloat64(0, true)
    if (type === "fixed64") return String(raw.getBigUint64(0, true))
    if (type === "sfixed64") return String(raw.getBigInt64(0, true))
    if (type === "fixed32") return raw.getUint32(0, true)
  }
  throw new Error(`protobuf: ${type} has another wire type`)
}
