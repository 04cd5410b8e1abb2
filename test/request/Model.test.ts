import { assert, describe, it } from "@effect/vitest"
import * as Model from "../../src/request/Model.ts"

describe("lookup", () => {
  it.each([
    ["claude-opus-5-5", "claude-opus-5-5"],
    ["claude-haiku-4-5", "claude-haiku-4-5"],
    ["claude-haiku-4-5-20251001", "claude-haiku-4-5"],
    ["claude-opus-4-5-20251101", "claude-opus-4-5"],
    ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"],
    ["claude-opus-4-20250514", "claude-opus-4"],
    // Bedrock
    ["anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"],
    ["us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5"],
    ["eu.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"],
    ["us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"],
    ["global.anthropic.claude-sonnet-5-5", "claude-sonnet-5-5"],
    ["anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1"],
    [
      "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
      "claude-haiku-4-5"
    ],
    // Vertex
    ["claude-sonnet-4-5@20250929", "claude-sonnet-4-5"],
    ["claude-opus-4@20250514", "claude-opus-4"],
    ["claude-opus-4-6@default", "claude-opus-4-6"]
  ])("knows %s as %s", (id, expected) => {
    assert.strictEqual(Model.lookup(id)?.label, expected)
    assert.strictEqual(Model.label(id), expected)
  })

  it.each([
    "",
    "claude",
    "claude-opus-9",
    "claude-opus-5-5-fast",
    "claude-opus-5-5-2026",
    "gpt-6",
    "my-claude-opus-5-5",
    "__proto__",
    "constructor",
    `claude-opus-5-5${"-".repeat(100_000)}`
  ])("labels the unknown model %j as other", (id) => {
    assert.strictEqual(Model.lookup(id), undefined)
    assert.strictEqual(Model.label(id), "other")
  })

  it("answers labels of a closed list only, each once", () => {
    assert.strictEqual(new Set(Model.labels).size, Model.labels.length)
    for (const label of Model.labels) assert.strictEqual(Model.label(label), label)
  })

  it("finds a partner's spelling only where it is asked to", () => {
    assert.strictEqual(Model.firstParty("claude-haiku-4-5-20251001")?.label, "claude-haiku-4-5")
    for (const id of ["anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5@20251001", "claude-other"]) {
      assert.strictEqual(Model.firstParty(id), undefined)
    }
  })
})

describe("isRetired", () => {
  const sonnet = Model.lookup("claude-sonnet-4-5")!

  it.each([
    ["2026-11-21T00:00:00.000Z", false],
    ["2026-11-30T00:00:00.000Z", false],
    ["2026-11-30T23:59:59.999Z", false],
    ["2026-12-01T00:00:00.000Z", true],
    ["2027-06-01T00:00:00.000Z", true]
  ])("at %s answers %s for a model whose last day is 2026-11-30", (at, expected) => {
    assert.strictEqual(Model.isRetired(sonnet, Date.parse(at)), expected)
  })

  it("never retires a model without a date", () => {
    assert.isFalse(Model.isRetired(Model.lookup("claude-opus-5-5")!, Number.MAX_SAFE_INTEGER))
  })

  it("names a successor that is known and in service", () => {
    for (const label of Model.labels) {
      const model = Model.lookup(label)
      if (model?.retiresAt === undefined) continue
      assert.match(model.retiresAt, /^\d{4}-\d{2}-\d{2}$/)
      assert.strictEqual(Model.lookup(model.successor!)?.retiresAt, undefined)
      assert.isDefined(Model.lookup(model.successor!))
    }
  })
})
