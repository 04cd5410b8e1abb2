/** Prometheus's text format, read strictly. */
import { assert } from "@effect/vitest"

export interface Sample {
  readonly name: string
  /** The family that it is a part of: a histogram has three. */
  readonly family: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Exposition {
  /** Types by the names of families. */
  readonly families: ReadonlyMap<string, string>
  readonly samples: ReadonlyArray<Sample>
}

const metaLine = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/
const sampleLine =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (NaN|[+-]Inf|-?[0-9][0-9.e+-]*)$/

export const readExposition = (text: string): Exposition => {
  const families = new Map<string, string>()
  const samples: Array<Sample> = []
  const seen = new Set<string>()
  assert.isTrue(text.endsWith("\n"))
  for (const line of text.slice(0, -1).split("\n")) {
    const meta = metaLine.exec(line)
    if (meta !== null) {
      if (meta[1] === "TYPE") {
        assert.match(meta[3]!, /^(counter|gauge|histogram|summary)$/)
        assert.isFalse(families.has(meta[2]!), `${line} comes twice`)
        families.set(meta[2]!, meta[3]!)
      }
      continue
    }
    const sample = sampleLine.exec(line)
    assert.isNotNull(sample, line)
    const [, name = "", labels = "", value = ""] = sample ?? []
    assert.isFalse(seen.has(name + labels), `${line} comes twice`)
    seen.add(name + labels)
    const family = families.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "")
    assert.isTrue(families.has(family), `${name} has no type`)
    assert.strictEqual(families.get(family) === "counter", family.endsWith("_total"), family)
    samples.push({
      name,
      family,
      labels: Object.fromEntries(Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, key, of]) => [key, of])),
      value: Number(value.replace("Inf", "Infinity"))
    })
  }
  return { families, samples }
}
