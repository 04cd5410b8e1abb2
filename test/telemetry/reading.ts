/** Rows of the contract against what a receiver got, and the ways about it. */
import { assert } from "@effect/vitest"
import * as Contract from "./contract.ts"
import type { Attributed, AttributeValue, Received, ReceivedPoint, ReceivedSpan } from "./receiver.ts"
import { rootOf } from "./scenarios.ts"

const conforms = (type: Contract.Type, wire: string, value: AttributeValue | undefined): boolean => {
  switch (type) {
    case "string[]":
      return wire === "array" && Array.isArray(value) && value.every((item) => typeof item === "string")
    case "structured":
      return wire === "array" && Array.isArray(value) &&
        value.every((item) => typeof item === "object" && item !== null)
    default:
      return wire === type
  }
}

const admits = (oneOf: ReadonlyArray<string> | RegExp, value: AttributeValue | undefined): boolean =>
  oneOf instanceof RegExp ? oneOf.test(String(value)) : oneOf.includes(String(value))

/** What of attributes is not as a row says. */
export const mismatches = (
  where: string,
  rows: Contract.Attributes,
  { attributes, types }: Attributed
): Array<string> => {
  const found = Object.entries(attributes).flatMap(([name, value]) => {
    const row = rows[name] ?? (name.startsWith("claude.tag.") ? rows["claude.tag"] : undefined)
    if (row === undefined) return [`${where} has ${name}, which no row names`]
    const wrong = []
    if (!conforms(row.type, types[name] ?? "", value)) {
      wrong.push(`${where}: ${name} is ${types[name]}, not ${row.type}`)
    }
    if (row.oneOf !== undefined && !admits(row.oneOf, value)) wrong.push(`${where}: ${name} is ${String(value)}`)
    return wrong
  })
  const missing = Object.entries(rows).filter(([name, row]) => row.always && !(name in attributes))
  return [...found, ...missing.map(([name]) => `${where} lacks ${name}`)]
}

export const rowOf = (span: ReceivedSpan) => Contract.spans.find((row) => row.name.test(span.name))
export const isOurs = (span: ReceivedSpan) => rowOf(span) !== undefined
export const isCall = (span: ReceivedSpan) => /^(chat|count_tokens) /.test(span.name)
export const isChat = (span: ReceivedSpan) => span.name.startsWith("chat ")
export const isAttempt = (span: ReceivedSpan) => span.name === "POST"
/** Whether the cache answered it, with what was answered before or to another. */
export const isReplayed = (span: ReceivedSpan) => span.attributes["claude.cache.outcome"] !== undefined
export const isWait = (span: ReceivedSpan) => span.name.startsWith("claude.wait ")

export const seconds = (nanos: bigint): number => Number(nanos) / 1e9
export const lasted = (span: ReceivedSpan): number => seconds(span.end - span.start)
export const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)
export const numberOf = (span: Attributed, name: string): number => Number(span.attributes[name] ?? 0)

export const childrenOf = (spans: ReadonlyArray<ReceivedSpan>, parent: ReceivedSpan) =>
  spans.filter((span) => span.parentSpanId === parent.spanId && span.traceId === parent.traceId)
    .toSorted((a, b) => Number(a.start - b.start))

export const callsOf = (spans: ReadonlyArray<ReceivedSpan>, scenario: string): ReadonlyArray<ReceivedSpan> => {
  const root = spans.find((span) => span.name === rootOf(scenario))
  assert.isDefined(root, scenario)
  return childrenOf(spans, root).filter(isCall)
}

export const onlyCall = (spans: ReadonlyArray<ReceivedSpan>, scenario: string): ReceivedSpan => {
  const calls = callsOf(spans, scenario)
  assert.strictEqual(calls.length, 1, scenario)
  return calls[0]!
}

export const pointsOf = ({ metrics }: Received, name: string): ReadonlyArray<ReceivedPoint> =>
  metrics.find((metric) => metric.name === name)?.points ?? []

export const total = (
  received: Received,
  name: string,
  of: "value" | "count" | "sum",
  labels: Record<string, unknown> = {}
) =>
  sum(
    pointsOf(received, name)
      .filter((point) => Object.entries(labels).every(([label, value]) => point.attributes[label] === value))
      .map((point) => point[of] ?? 0)
  )
