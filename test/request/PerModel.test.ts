import { assert, describe, it } from "@effect/vitest"
import * as PerModel from "../../src/request/PerModel.ts"

const tool = { name: "answer", input_schema: { type: "object" as const } }
const written = PerModel.write(
  { system: "Be brief." },
  "new",
  (model): PerModel.Fields =>
    model === "new"
      ? { tools: undefined, output_config: { effort: "low" } }
      : { tools: [tool] }
)

describe("a request that models take in different ways", () => {
  it("is written for the one that is asked", () => {
    assert.deepInclude(written, { system: "Be brief.", output_config: { effort: "low" } })
  })

  it("is rewritten for another, with nothing left of the first", () => {
    const resolved = { model: "new", system: written.system, output_config: written.output_config }
    PerModel.carry(written, resolved)
    const other: object = PerModel.rewrite(resolved, "old")
    assert.deepStrictEqual(JSON.parse(JSON.stringify(other)), { model: "new", system: "Be brief.", tools: [tool] })
    assert.notProperty(other, "output_config")
    assert.deepStrictEqual(PerModel.rewrite(PerModel.rewrite(resolved, "old"), "new"), resolved)
  })

  it("says nothing of it on the wire", () => {
    assert.deepStrictEqual(Object.keys(written).toSorted(), ["output_config", "system", "tools"])
  })

  it("is the same where all take it alike", () => {
    const plain = { system: "Be brief." }
    PerModel.carry(plain, plain)
    assert.strictEqual(PerModel.rewrite(plain, "old"), plain)
  })
})
