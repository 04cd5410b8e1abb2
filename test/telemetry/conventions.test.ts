import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import * as Contract from "./contract.ts"

interface Row {
  readonly level?: string
}
interface Facts {
  readonly schema_url: string
  readonly attributes: Readonly<Record<string, { readonly type: string; readonly enum?: ReadonlyArray<string> }>>
  readonly spans: Readonly<
    Record<string, { readonly kind: string; readonly attributes: Readonly<Record<string, Row>> }>
  >
  readonly metrics: Readonly<
    Record<string, {
      readonly instrument: string
      readonly unit: string
      readonly value: string
      readonly buckets?: ReadonlyArray<number>
      readonly attributes: Readonly<Record<string, Row>>
    }>
  >
  readonly events: Readonly<Record<string, { readonly severity_number?: number }>>
  readonly histogram_bucket_sets: Readonly<Record<string, ReadonlyArray<number>>>
}

const factsFile = new URL("../../../shared/facts/genai-semconv.json", import.meta.url)

describe.skipIf(!existsSync(factsFile))("the table", () => {
  const facts: Facts = existsSync(factsFile) ? JSON.parse(readFileSync(factsFile, "utf8")) : undefined
  const isConvention = (name: string) => /^(gen_ai|error|server|http|url|exception)\./.test(name)

  const spans = [...Contract.spans, ...Contract.agentSpans]
  const metrics = { ...Contract.metrics, ...Contract.agentMetrics, ...Contract.promptMetrics }
  const rows: ReadonlyArray<readonly [where: string, Contract.Attributes]> = [
    ...spans.flatMap((span) => [
      [String(span.name), span.attributes] as const,
      ...Object.entries(span.events).map(([name, attributes]) => [`${span.name} ${name}`, attributes] as const)
    ]),
    ...Object.entries(metrics).map(([name, { labels }]) => [name, labels] as const),
    ...Object.entries(Contract.logs).map(([name, { attributes }]) => [name, attributes] as const)
  ]

  it("names the schema of the conventions", () => {
    assert.strictEqual(Contract.schemaUrl, facts.schema_url)
  })

  it("takes no name from the conventions that they do not have, and none with another type", () => {
    for (const [where, attributes] of rows) {
      for (const [name, { oneOf, type }] of Object.entries(attributes).filter(([name]) => isConvention(name))) {
        const fact = facts.attributes[name]
        assert.isDefined(fact, `${where}: ${name}`)
        // What may be any structure is JSON on spans.
        const types = fact.type === "any" ? ["structured", "string"] : [fact.type]
        assert.include(types, type, `${where}: ${name}`)
        // error.type is open; an operation of one's own is allowed where none of theirs fits.
        const open = name === "error.type" || name === "gen_ai.operation.name"
        if (fact.enum !== undefined && Array.isArray(oneOf) && !open) {
          assert.includeMembers([...fact.enum], oneOf, `${where}: ${name}`)
        }
      }
    }
    assert.include([...facts.attributes["gen_ai.operation.name"]?.enum ?? []], "chat")
  })

  it("has the spans of the conventions, with what they require", () => {
    for (const span of spans) {
      const fact = facts.spans[span.convention ?? ""]
      if (fact === undefined) continue
      assert.strictEqual(span.kind, fact.kind)
      const foreign = Object.keys(span.attributes).filter((name) => isConvention(name) && !(name in fact.attributes))
      assert.deepStrictEqual(foreign, [], String(span.name))
      for (const [name, { level }] of Object.entries(fact.attributes)) {
        if (level === "required") assert.isTrue(span.attributes[name]?.always, `${span.name}: ${name}`)
        if (level === "opt_in" && name in span.attributes) assert.isTrue(span.attributes[name]?.optIn, name)
      }
    }
  })

  it("has the metrics of the conventions: instrument, unit, value, buckets and labels", () => {
    for (const [name, metric] of Object.entries(metrics).filter(([name]) => isConvention(name))) {
      const fact = facts.metrics[name]
      assert.isDefined(fact, name)
      assert.deepStrictEqual(
        [metric.instrument, metric.unit, metric.buckets, metric.value ?? fact.value],
        [fact.instrument, fact.unit, fact.buckets, fact.value],
        name
      )
      assert.deepStrictEqual(Object.keys(metric.labels).filter((label) => !(label in fact.attributes)), [], name)
      for (const [label, { level }] of Object.entries(fact.attributes)) {
        if (level === "required") assert.isTrue(metric.labels[label]?.always, `${name}: ${label}`)
      }
    }
    assert.deepStrictEqual(
      Contract.metrics["claude.client.stream.max_gap"]?.buckets,
      facts.histogram_bucket_sets["latency"]
    )
  })

  it("has the events of the conventions, as logs", () => {
    for (const [name, log] of Object.entries(Contract.logs).filter(([name]) => isConvention(name))) {
      const severities = [log.severity].flat().map((severity) => ({ Debug: 5, Info: 9, Warn: 13 })[severity])
      assert.deepStrictEqual(severities, [facts.events[name]?.severity_number], name)
    }
  })
})
