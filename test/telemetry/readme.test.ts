/** The page that says what is emitted, against the table that is held against what a receiver gets. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as Contract from "./contract.ts"

const page = readFileSync(new URL("../../src/telemetry/README.md", import.meta.url), "utf8")

// -----------------------------------------------------------------------------
// reading it
// -----------------------------------------------------------------------------

const section = (title: string): string => {
  const [, text] = page.split(`\n## ${title}\n`)
  assert.isDefined(text, title)
  return text!.split("\n## ")[0]!
}

/** The cells of the rows of a section's table. */
const rowsOf = (title: string): ReadonlyArray<ReadonlyArray<string>> =>
  section(title).split("\n").filter((line) => line.startsWith("| `")).map((line) =>
    line.slice(1, -1).split("|").map((cell) => cell.trim())
  )

/** `a.{b,c}.d` is two names. */
const expand = (name: string): ReadonlyArray<string> => {
  const braces = /\{([^{}]*,[^{}]*)\}/.exec(name)
  if (braces === null) return [name]
  return braces[1]!.split(",").flatMap((part) => expand(name.replace(braces[0], part)))
}

const quoted = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/`([^`]+)`/g), ([, name = ""]) => name).flatMap(expand)

/** `- *name*: …` stands for the names behind it. */
const groupsOf = (title: string): ReadonlyMap<string, ReadonlyArray<string>> =>
  new Map(
    Array.from(section(title).matchAll(/^- (\*\w+\*): (.*)$/gm), ([, name = "", names = ""]) => [name, quoted(names)])
  )

/** The names of a cell, with those of the groups that it names. */
const namesIn = (title: string, cell: string): ReadonlyArray<string> => [
  ...Array.from(groupsOf(title)).flatMap(([group, names]) => cell.includes(group) ? names : []),
  ...quoted(cell)
]

const words = (list: string) => list.split(",").map((word) => word.trim())

/** The names of a cell that are followed by all that they may be. */
const listsIn = (cell: string) =>
  Array.from(
    cell.matchAll(/`([^`]+)` \(([^)]*)\)/g),
    ([, name = "", values = ""]) => [name, words(values)] as const
  )

const required = (attributes: Contract.Attributes): ReadonlyArray<string> =>
  Object.keys(attributes).filter((name) => attributes[name]?.optIn !== true)

// -----------------------------------------------------------------------------
// what it says
// -----------------------------------------------------------------------------

describe("the README", () => {
  for (
    const [title, metrics] of [
      ["Metrics", Contract.metrics],
      ["Metrics of tools and agents", Contract.agentMetrics],
      ["Metrics of prompts", Contract.promptMetrics],
      ["Metrics of long documents", Contract.documentMetrics]
    ] as const
  ) {
    it(`has every metric with its unit, its instrument, its buckets and its labels, and no other, in ${title}`, () => {
      const told = rowsOf(title).flatMap(([names, ...cells]) => quoted(names!).map((name) => [name, cells] as const))
      assert.sameMembers(told.map(([name]) => name), Object.keys(metrics))
      for (const [name, [unit, instrument = "", labels = ""]] of told) {
        const row = metrics[name]!
        assert.strictEqual(unit, row.unit, name)
        const range = row.buckets === undefined ? "" : `, ${row.buckets[0]} to ${row.buckets.at(-1)}`
        assert.strictEqual(instrument, row.instrument + range, name)
        assert.sameMembers([...new Set(namesIn(title, labels))], Object.keys(row.labels), name)
        for (const [label, values] of listsIn(labels)) {
          assert.sameMembers(values, [...row.labels[label]!.oneOf as ReadonlyArray<string>], `${name}: ${label}`)
        }
      }
    })
  }

  for (
    const [title, spans] of [
      ["Spans", Contract.spans],
      ["Spans of tools and agents", Contract.agentSpans],
      ["Spans of long documents", Contract.documentSpans]
    ] as const
  ) {
    it(`has every span with its kind, its parent, its attributes and its events, and no other, in ${title}`, () => {
      const rows = rowsOf(title)
      const rowOf = (span: string) => spans.filter((row) => row.name.test(span.replace(/\{\w+\}/, "x")))
      const shown = rows.map(([span]) => quoted(span!)[0]!)
      for (const row of spans) assert.isTrue(shown.some((span) => rowOf(span).includes(row)), String(row.name))
      for (const [index, [, place, attributes = "", events = ""]] of rows.entries()) {
        const name = shown[index]!
        const [row, ...others] = rowOf(name)
        assert.deepStrictEqual([row !== undefined, others], [true, []], name)
        assert.strictEqual(place, `${row!.kind}, ${row!.parent}`, name)
        const told = namesIn(title, attributes).map((attribute) => attribute.replace("claude.tag.*", "claude.tag"))
        assert.sameMembers(told, [...required(row!.attributes)], name)
        assert.sameMembers([...quoted(events)], Object.keys(row!.events), name)
        for (const [, event = "", list = ""] of events.matchAll(/`([^`]+)` \{([^}]*)\}/g)) {
          assert.sameMembers(words(list), Object.keys(row!.events[event]!), event)
        }
      }
    })
  }

  for (const [title, logs] of [["Logs", Contract.logs], ["Logs of prompts", Contract.promptLogs]] as const) {
    it(`has every log with its level and its attributes, and no other, in ${title}`, () => {
      const told = rowsOf(title).map(([name, ...cells]) => [quoted(name!)[0]!, cells] as const)
      assert.sameMembers(told.map(([name]) => name), Object.keys(logs))
      for (const [name, [level = "", attributes = ""]] of told) {
        const row = logs[name]!
        assert.sameMembers([...new Set(level.match(/Debug|Info|Warn/g))], [row.severity].flat(), name)
        if (row.optIn) continue
        assert.sameMembers(
          [...quoted(attributes)],
          required(row.attributes).filter((of) => of !== "effect.fiberId"),
          name
        )
      }
    })
  }

  it("asks Prometheus for metrics, labels and values that there are", () => {
    const queries = Array.from(page.matchAll(/```promql\n([^`]*)```/g), ([, query = ""]) => query)
    assert.isAtLeast(queries.length, 4)
    const labels = new Map(
      Object.values(Contract.metrics).flatMap((row) => Object.entries(row.labels)).map(([name, row]) => [
        name.replaceAll(".", "_"),
        row
      ])
    )
    const suffixes = ["", "_total", "_seconds_bucket", "_seconds_sum", "_seconds_count"]
    const metrics = new Map(
      Object.entries(Contract.metrics).flatMap(([name, { instrument, unit }]) => {
        const base = name.replaceAll(".", "_")
        const of = suffixes.filter((suffix) => {
          if (instrument === "counter") return suffix === "_total"
          return instrument === "histogram" && unit === "s" ? suffix.startsWith("_seconds") : suffix === ""
        })
        return of.map((suffix) => [base + suffix, Contract.metrics[name]!.labels])
      })
    )
    const known = /^(sum|max|by|rate|or|vector|histogram_quantile|le|m|\d.*)$/
    for (const query of queries) {
      const selectors = Array.from(query.matchAll(/((?:gen_ai|claude)_\w+)(?:\{([^}]*)\})?/g)).filter(([, name = ""]) =>
        metrics.has(name)
      )
      assert.isNotEmpty(selectors, query)
      for (const [, name = "", matchers = ""] of selectors) {
        for (const [, label = "", values = ""] of matchers.matchAll(/(\w+)(?:=~?|!=)"([^"]*)"/g)) {
          const rows = Object.entries(metrics.get(name)!)
          const row = rows.find(([of]) => of.replaceAll(".", "_") === label)?.[1]
          assert.isDefined(row, `${name}: ${label}`)
          for (const value of values.split("|")) {
            // What is no closed list may be anything.
            const admits = row?.oneOf instanceof RegExp
              ? row.oneOf.test(value)
              : row?.oneOf === undefined || row.oneOf.includes(value)
            assert.isTrue(admits, `${name}: ${label}=${value}`)
          }
        }
      }
      const rest = query.replaceAll(/"[^"]*"/g, "").match(/[A-Za-z_]\w*/g) ?? []
      const unheardOf = rest.filter((word) => !metrics.has(word) && !labels.has(word) && !known.test(word))
      assert.deepStrictEqual(unheardOf, [], query)
      for (const [open, close] of ["()", "[]", "{}"]) {
        assert.strictEqual(query.split(open!).length, query.split(close!).length, query)
      }
    }
  })
})
