import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Schema } from "effect"
import * as Model from "../../src/request/Model.ts"
import * as Pricing from "../../src/request/Pricing.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const price = (model: string, at = now) => Pricing.lookup(Pricing.standard, model, at)

describe("the built-in table", () => {
  // in, out, write 5m, write 1h, read, source
  it.each(
    [
      ["claude-fable-5-2", 8, 40, 10, 16, 0.2, "third-party"],
      ["claude-fable-5-1", 10, 50, 12.5, 20, 0.25, "official"],
      ["claude-mythos-5-1", 10, 50, 12.5, 20, 0.25, "official"],
      ["claude-fable-5", 10, 50, 12.5, 20, 1, "official"],
      ["claude-mythos-5", 10, 50, 12.5, 20, 1, "official"],
      ["claude-opus-5-5", 4, 20, 5, 8, 0.2, "official"],
      ["claude-opus-5", 5, 25, 6.25, 10, 0.5, "official"],
      ["claude-opus-4-8", 5, 25, 6.25, 10, 0.5, "official"],
      ["claude-opus-4-7", 5, 25, 6.25, 10, 0.5, "official"],
      ["claude-opus-4-6", 5, 25, 6.25, 10, 0.5, "official"],
      ["claude-opus-4-5-20251101", 5, 25, 6.25, 10, 0.5, "official"],
      ["claude-sonnet-5-5", 2, 10, 2.5, 4, 0.1, "official"],
      ["claude-sonnet-5", 2, 10, 2.5, 4, 0.2, "official"],
      ["claude-sonnet-4-6", 3, 15, 3.75, 6, 0.3, "official"],
      ["claude-sonnet-4-5-20250929", 3, 15, 3.75, 6, 0.3, "official"],
      ["claude-haiku-5-5", 0.1, 0.5, 0.125, 0.2, 0.01, "official"],
      ["claude-haiku-4-5-20251001", 1, 5, 1.25, 2, 0.1, "official"]
    ] as const
  )("prices %s", (model, input, output, cacheWrite5m, cacheWrite1h, cacheRead, source) => {
    assert.deepInclude(price(model), {
      input,
      output,
      cacheWrite5m,
      cacheWrite1h,
      cacheRead,
      source,
      batch: { input: 0.5, output: 0.5 }
    })
  })

  it("prices models that the model table knows", () => {
    for (const model of Pricing.standard.models.keys()) assert.strictEqual(Model.label(model), model)
  })

  it.each([
    "claude-mythos-5-2",
    "claude-mythos-preview",
    "claude-opus-4-1",
    "claude-next-9",
    "",
    "global.anthropic.claude-opus-5-5",
    "claude-haiku-4-5@20251001"
  ])("leaves %j unpriced", (model) => {
    assert.strictEqual(price(model), undefined)
  })

  it("cuts the cache reads of Sonnet 5.5 on 2026-10-07", () => {
    const cut = Date.parse("2026-10-07T00:00:00Z")
    assert.strictEqual(price("claude-sonnet-5-5", cut - 1)?.cacheRead, 0.2)
    assert.strictEqual(price("claude-sonnet-5-5", cut - 1)?.thirdParty, undefined)
    assert.strictEqual(price("claude-sonnet-5-5", cut)?.cacheRead, 0.1)
    assert.deepStrictEqual(price("claude-sonnet-5-5", cut)?.thirdParty, ["cacheRead"])
    assert.strictEqual(price("claude-sonnet-5-5", cut)?.input, 2)
  })

  it("knows fast rates for two models, by input and output only", () => {
    assert.deepInclude(price("claude-opus-5")?.fast, { input: 10, output: 50 })
    assert.deepInclude(price("claude-opus-5-5")?.fast, { input: 8, output: 40 })
    assert.strictEqual(price("claude-opus-5-5")?.fast?.cacheRead, undefined)
    assert.strictEqual(price("claude-opus-4-8")?.fast, undefined)
  })

  it("is versioned by the day it was drawn up", () => {
    assert.match(Pricing.version, /^\d{4}-\d{2}-\d{2}$/)
    assert.strictEqual(Pricing.standard.version, Pricing.version)
    assert.strictEqual(Pricing.make(), Pricing.standard)
  })
})

describe("overrides", () => {
  it("replace a model's prices, for its dated id too, and leave the others and the table as they were", () => {
    const before = price("claude-haiku-4-5")
    const pricing = Pricing.make({ overrides: { "claude-haiku-4-5-20251001": { input: 0.9, output: 4 } } })
    for (const id of ["claude-haiku-4-5", "claude-haiku-4-5-20251001"]) {
      assert.deepStrictEqual(Pricing.lookup(pricing, id, now), { input: 0.9, output: 4, source: "custom" })
    }
    assert.strictEqual(Pricing.lookup(pricing, "claude-opus-5", now), price("claude-opus-5"))
    assert.strictEqual(price("claude-haiku-4-5"), before)
  })

  it("price what the table does not, under its very id", () => {
    const pricing = Pricing.make({
      overrides: { "eu.anthropic.claude-opus-5-5": { input: 4.4, output: 22, source: "official" } }
    })
    assert.deepInclude(Pricing.lookup(pricing, "eu.anthropic.claude-opus-5-5", now), { input: 4.4, source: "official" })
    assert.strictEqual(Pricing.lookup(pricing, "us.anthropic.claude-opus-5-5", now), undefined)
    assert.strictEqual(Pricing.lookup(pricing, "claude-opus-5-5", now), price("claude-opus-5-5"))
  })

  it("come into force on their days, in whatever order they are written", () => {
    const pricing = Pricing.make({
      overrides: {
        m: [{ input: 3, output: 3, from: "2027-01-01" }, { input: 1, output: 1, from: "2026-01-01" }]
      }
    })
    const at = (day: string) => Pricing.lookup(pricing, "m", Date.parse(day))?.input
    assert.deepStrictEqual(
      [at("2025-12-31T23:59:59Z"), at("2026-01-01"), at("2026-12-31T23:59:59Z"), at("2027-01-01"), at("2030-01-01")],
      [undefined, 1, 1, 3, 3]
    )
  })

  it("show in the version, once", () => {
    const once = Pricing.merge(Pricing.standard, { m: { input: 1, output: 1 } })
    assert.strictEqual(once.version, `${Pricing.version}+custom`)
    assert.strictEqual(Pricing.merge(once, { n: { input: 1, output: 1 } }).version, once.version)
    assert.strictEqual(Pricing.merge(once, {}).version, once.version)
    assert.strictEqual(Pricing.make({ version: "contract 7" }).version, "contract 7")
    assert.strictEqual(Pricing.make({ overrides: {}, version: "contract 7" }).version, "contract 7")
  })

  it("take back a price that was looked up, with a fee beside it", () => {
    const known = price("claude-opus-5-5")!
    const pricing = Pricing.make({ overrides: { "claude-opus-5-5": { ...known, webSearch: 0.01 } } })
    assert.deepStrictEqual(Pricing.lookup(pricing, "claude-opus-5-5", now), { ...known, webSearch: 0.01 })
  })

  const ok = { input: 1, output: 1 }
  const bad: ReadonlyArray<readonly [string, object, string]> = [
    ["input", { input: -1, output: 1 }, "-1"],
    ["input", { output: 1 }, "undefined"],
    ["output", { input: 1, output: Number.NaN }, "NaN"],
    ["output", { input: 1, output: "5" }, "5"],
    ["cacheRead", { ...ok, cacheRead: Number.POSITIVE_INFINITY }, "Infinity"],
    ["cacheWrite5m", { ...ok, cacheWrite5m: -0.1 }, "-0.1"],
    ["cacheWrite1h", { ...ok, cacheWrite1h: Number.NaN }, "NaN"],
    ["webSearch", { ...ok, webSearch: -1 }, "-1"],
    ["batch.output", { ...ok, batch: { input: 0.5, output: -0.5 } }, "-0.5"],
    ["fast.input", { ...ok, fast: { input: Number.NaN, output: 1 } }, "NaN"],
    ["above.promptTokens", { ...ok, above: { promptTokens: -5, rates: ok } }, "-5"],
    ["above.rates.input", { ...ok, above: { promptTokens: 5, rates: { input: -2, output: 1 } } }, "-2"],
    ["from", { ...ok, from: "tomorrow" }, "tomorrow"],
    ["from", { ...ok, from: "2026-02-30" }, "2026-02-30"],
    ["from", { ...ok, from: "2026-10-07T00:00:00Z" }, "2026-10-07T00:00:00Z"],
    ["cacheWrite", { ...ok, cacheWrite: 3 }, "unknown"],
    ["fast.cached", { ...ok, fast: { ...ok, cached: 3 } }, "unknown"],
    ["above.rate", { ...ok, above: { promptTokens: 5, rates: ok, rate: ok } }, "unknown"],
    ["above.rates", { ...ok, above: { promptTokens: 5 } }, "undefined"],
    ["above", { ...ok, above: 3 }, "3"],
    ["fast", { ...ok, fast: null }, "null"],
    ["source", { ...ok, source: "rumour" }, "rumour"],
    ["thirdParty", { ...ok, thirdParty: ["cache"] }, "[cache]"],
    ["from", { ...ok, from: 20_260_101 }, "20260101"],
    ["a price", null as unknown as object, "null"]
  ]
  it.each(bad)("are refused by name and value where %s is wrong: %j", (field, override, value) => {
    for (
      const [fn, run] of [
        ["Pricing.make", () => Pricing.make({ overrides: { "claude-x": override as Pricing.PriceOverride } })],
        [
          "Pricing.merge",
          () =>
            Pricing.merge(Pricing.standard, {
              "claude-x": [{ ...ok, from: "2020-01-01" }, override as Pricing.PriceOverride]
            })
        ],
        [
          "Pricing.fromJson",
          () => Pricing.fromJson({ version: "1", models: { "claude-x": override } })
        ]
      ] as const
    ) {
      try {
        run()
      } catch (error) {
        assert.instanceOf(error, RangeError)
        const { message } = error as RangeError
        assert.isTrue(message.startsWith(`${fn}: claude-x: ${field} is ${value}; expected `), message)
        continue
      }
      assert.fail(`${fn} accepted it`)
    }
  })

  it.each([
    ["no price", [], "claude-x has no price"],
    ["two prices of a day", [{ ...ok, from: "2026-01-01" }, { ...ok, from: "2026-01-01" }], "from is 2026-01-01 twice"],
    ["two prices of any day", [ok, ok], "from is missing twice"]
  ])("are refused with %s", (_, prices, message) => {
    assert.throws(() => Pricing.make({ overrides: { "claude-x": prices } }), RangeError, message)
  })

  it("are refused where they name one model by two ids", () => {
    const overrides = { "claude-haiku-4-5": ok, "claude-haiku-4-5-20251001": ok }
    assert.throws(() => Pricing.make({ overrides }), RangeError, "is the same model as claude-haiku-4-5")
  })
})

describe("a file of prices", () => {
  const table = {
    version: "contract 7",
    models: {
      "claude-opus-5-5": [
        { input: 4, output: 20 },
        { from: "2026-11-01", input: 3.6, output: 18, cacheRead: 0.18, batch: { input: 0.5, output: 0.5 } }
      ],
      "claude-next-9": { input: 1, output: 2, above: { promptTokens: 10, rates: { input: 2, output: 4 } } }
    }
  }

  it("stands over the built-in table, or another, each model with its own prices only", () => {
    for (const json of [table, JSON.stringify(table), `\uFEFF${JSON.stringify(table)}`]) {
      const pricing = Pricing.fromJson(json)
      assert.strictEqual(pricing.version, "contract 7")
      assert.deepStrictEqual(Pricing.lookup(pricing, "claude-opus-5-5", now), {
        ...table.models["claude-opus-5-5"][1]!,
        source: "custom"
      })
      assert.strictEqual(Pricing.lookup(pricing, "claude-opus-5-5", Date.parse("2026-10-31"))?.input, 4)
      assert.strictEqual(Pricing.lookup(pricing, "claude-next-9", now)?.above?.promptTokens, 10)
      assert.strictEqual(Pricing.lookup(pricing, "claude-opus-5", now), price("claude-opus-5"))
    }
    const alone = Pricing.fromJson(table, { version: "none", models: new Map() })
    assert.strictEqual(Pricing.lookup(alone, "claude-opus-5", now), undefined)
    assert.strictEqual(alone.models.size, 2)
  })

  it.each([
    ["text that is no JSON", "{ \"version\": ", "Pricing.fromJson: the text is no JSON: "],
    ["a list", "[]", "the table is []; expected an object"],
    ["nothing", null, "the table is null; expected an object"],
    ["no version", { models: {} }, "version is undefined; expected a text"],
    ["an empty version", { version: "", models: {} }, "version is ; expected a text"],
    ["no models", { version: "1" }, "models is undefined; expected an object of prices by model"],
    ["models in a list", { version: "1", models: [table] }, "models is [[object Object]]; expected an object"],
    ["a key that is unknown", { ...table, currency: "EUR" }, "currency is unknown; expected one of version, models"],
    ["a rate that is a text", { version: "1", models: { m: { input: "4", output: 1 } } }, "m: input is 4; expected a"],
    [
      "a rate that is null",
      { version: "1", models: { m: { input: 4, output: null } } },
      "m: output is null; expected a"
    ],
    ["a rate beyond all numbers", `{"version":"1","models":{"m":{"input":1e999,"output":1}}}`, "m: input is Infinity"],
    ["a price that is none", { version: "1", models: { m: [3] } }, "m: a price is 3; expected an object"]
  ])("is refused where it is %s", (_, json, message) => {
    assert.throws(() => Pricing.fromJson(json), RangeError, message)
  })

  it.prop("is read or refused, whatever it holds, and never prices below zero", { json: Schema.Json }, ({ json }) => {
    try {
      Pricing.fromJson({ version: "1", models: { m: json, n: [{ input: json, output: 1 }] } })
    } catch (error) {
      assert.instanceOf(error, RangeError)
      return
    }
    assert.isTrue(typeof json === "number" && json >= 0)
  })

  it.effect("is read from disk, and an error names it", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/prices.json`
      yield* files.writeFileString(path, JSON.stringify(table))
      const pricing = yield* Pricing.fromFile(path)
      assert.strictEqual(Pricing.lookup(pricing, "claude-opus-5-5", now)?.input, 3.6)
      yield* files.writeFileString(path, JSON.stringify({ version: "1", models: { m: { input: -4, output: 1 } } }))
      for (const [at, message] of [[path, "m: input is -4"], [`${folder}/missing.json`, "ENOENT"]] as const) {
        const error = yield* Effect.flip(Pricing.fromFile(at))
        assert.isTrue(error.reason._tag === "Misconfigured" && error.reason.option === "pricing")
        assert.include(error.message, at)
        assert.include(error.message, message)
      }
    }).pipe(Effect.provide(NodeServices.layer)))
})
