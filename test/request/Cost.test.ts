import type { MessageDeltaUsage, Usage } from "@anthropic-ai/sdk/resources/messages/messages"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type * as ClaudeError from "../../src/ClaudeError.ts"
import * as Cost from "../../src/request/Cost.ts"
import * as Pricing from "../../src/request/Pricing.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const pricing = Pricing.standard
const of = (model: string, usage: Cost.BilledUsage, at = now) => Cost.of(pricing, model, Object.freeze(usage), at)
const known = (model: string, usage: Cost.BilledUsage, at = now): Cost.Cost =>
  of(model, usage, at) ?? assert.fail("the cost is unknown")
const near = (actual: number | undefined, expected: number) =>
  assert.approximately(actual ?? Number.NaN, expected, 1e-12)

const M = 1_000_000

describe("of", () => {
  it("prices each kind of token at its own rate", () => {
    const cost = known("claude-opus-5-5", {
      input_tokens: M,
      output_tokens: M,
      cache_read_input_tokens: M,
      cache_creation_input_tokens: 2 * M,
      cache_creation: { ephemeral_5m_input_tokens: M, ephemeral_1h_input_tokens: M }
    })
    assert.deepStrictEqual(cost, {
      amount: 37.2,
      currency: "USD",
      source: "official",
      pricingVersion: Pricing.version,
      components: { input: 4, cacheRead: 0.2, cacheWrite5m: 5, cacheWrite1h: 8, output: 20 }
    })
  })

  it("takes the SDK's usage, a delta's and an error's, whatever is missing, null or new", () => {
    const sdk: Usage = {
      input_tokens: 100,
      output_tokens: 10,
      cache_creation: null,
      cache_creation_input_tokens: null,
      cache_read_input_tokens: null,
      inference_geo: null,
      output_tokens_details: null,
      server_tool_use: null,
      service_tier: null,
      speed: null
    }
    const delta: MessageDeltaUsage = sdk
    const error: ClaudeError.Usage = {
      input_tokens: 100,
      output_tokens: 10,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 0
    }
    const loose = {
      input_tokens: 100,
      output_tokens: 10,
      of_2027: { x: 1 },
      service_tier: "standard",
      speed: "standard"
    }
    for (const usage of [sdk, delta, error, loose]) near(of("claude-opus-5", usage)?.amount, 0.00075)
    near(of("claude-opus-5", { output_tokens: 10 })?.amount, 0.00025)
  })

  it("takes cache writes without a split as those of five minutes", () => {
    const { components } = known("claude-opus-5-5", { input_tokens: 0, cache_creation_input_tokens: M })
    assert.deepInclude(components, { cacheWrite5m: 5, cacheWrite1h: 0 })
  })

  it("takes what a split leaves of the total as five minutes' too", () => {
    const { components } = known("claude-opus-5-5", {
      input_tokens: 0,
      cache_creation_input_tokens: 3 * M,
      cache_creation: { ephemeral_5m_input_tokens: M, ephemeral_1h_input_tokens: M }
    })
    assert.deepInclude(components, { cacheWrite5m: 10, cacheWrite1h: 8 })
    const split = known("claude-opus-5-5", {
      input_tokens: 0,
      cache_creation: { ephemeral_5m_input_tokens: M, ephemeral_1h_input_tokens: M }
    })
    assert.deepInclude(split.components, { cacheWrite5m: 5, cacheWrite1h: 8 })
  })

  it("uses the price of the day of the call", () => {
    const usage = { input_tokens: 0, output_tokens: 0, cache_read_input_tokens: M }
    const cut = Date.parse("2026-10-07T00:00:00Z")
    near(of("claude-sonnet-5-5", usage, cut - 1)?.amount, 0.2)
    near(of("claude-sonnet-5-5", usage, cut)?.amount, 0.1)
  })

  it.each([
    [{ input_tokens: 100_000 }, 0.01, 0.0005],
    [{ input_tokens: 100_001 }, 0.0500005, 0.0025],
    [{ input_tokens: 99_000, cache_read_input_tokens: 1_000 }, 0.0099 + 0.00001, 0.0005],
    [{ input_tokens: 99_000, cache_read_input_tokens: 1_001 }, 0.0495 + 0.00005005, 0.0025],
    [{ input_tokens: 1, cache_creation_input_tokens: 100_000 }, 0.0000005 + 0.0625, 0.0025],
    [{ input_tokens: 1, cache_creation: { ephemeral_1h_input_tokens: 100_000 } }, 0.0000005 + 0.1, 0.0025]
  ])("prices the whole of %j by the length of its prompt", (usage, prompt, output) => {
    const cost = known("claude-haiku-5-5", { ...usage, output_tokens: 1000 })
    near(cost.amount, prompt + output)
    near(cost.components.output, output)
  })

  it("does not count the answer as prompt", () => {
    near(of("claude-haiku-5-5", { input_tokens: 100_000, output_tokens: 100_000 })?.components.output, 0.05)
  })

  it("halves input and output of a batch, also above a prompt's length", () => {
    const usage = { input_tokens: M, output_tokens: M, service_tier: "batch" }
    assert.deepInclude(known("claude-opus-5-5", usage).components, { input: 2, output: 10 })
    assert.deepInclude(known("claude-haiku-5-5", usage).components, { input: 0.25, output: 1.25 })
  })

  it("knows fast rates of input and output", () => {
    const usage = { input_tokens: M, output_tokens: M, speed: "fast" }
    near(of("claude-opus-5", usage)?.amount, 60)
    near(of("claude-opus-5-5", usage)?.amount, 48)
  })

  it.each([
    ["a model without a price", "claude-mythos-5-2", {}],
    ["a partner's model", "global.anthropic.claude-opus-5-5", {}],
    ["cached tokens in a batch", "claude-opus-5-5", { service_tier: "batch", cache_read_input_tokens: 1 }],
    ["cache writes in a batch", "claude-opus-5-5", { service_tier: "batch", cache_creation_input_tokens: 1 }],
    ["cached tokens in fast mode", "claude-opus-5-5", { speed: "fast", cache_read_input_tokens: 1 }],
    ["fast mode of a model without fast rates", "claude-opus-4-8", { speed: "fast" }],
    ["fast mode in a batch", "claude-opus-5-5", { speed: "fast", service_tier: "batch" }],
    ["a speed of the future", "claude-opus-5-5", { speed: "ludicrous" }],
    ["the priority tier", "claude-opus-5-5", { service_tier: "priority" }],
    ["a tier of the future", "claude-opus-5-5", { service_tier: "gold" }],
    ["inference bound to a region", "claude-opus-5-5", { inference_geo: "us" }],
    ["a web search", "claude-opus-5-5", { server_tool_use: { web_search_requests: 1, web_fetch_requests: 0 } }],
    ["an advisor's tokens", "claude-opus-5-5", { iterations: [{ type: "message" }, { type: "advisor_message" }] }],
    ["a compaction's tokens", "claude-opus-5-5", { iterations: [{ type: "compaction" }] }],
    ["iterations of no known form", "claude-opus-5-5", { iterations: [null] }],
    ["a count that is negative", "claude-opus-5-5", { output_tokens: -1 }],
    ["a count that is NaN", "claude-opus-5-5", { output_tokens: Number.NaN }],
    ["a usage without counts", "claude-opus-5-5", { input_tokens: null, output_tokens: null }]
  ])("is unknown for %s", (_, model, usage) => {
    assert.strictEqual(of(model, { input_tokens: 10, output_tokens: 10, ...usage }), undefined)
  })

  it.each([
    ["no searches", { server_tool_use: { web_search_requests: 0, web_fetch_requests: 3 } }],
    ["a global call", { inference_geo: "global" }],
    ["a call without a region", { inference_geo: "not_available" }],
    ["iterations of the same model", { iterations: [{ type: "message" }, { type: "message" }] }],
    ["zeros where prices are unknown", { service_tier: "batch", cache_read_input_tokens: 0 }]
  ])("is known for %s", (_, usage) => {
    assert.isDefined(of("claude-opus-5-5", { input_tokens: 10, output_tokens: 10, ...usage }))
  })

  it("is zero for no tokens of a priced model", () => {
    assert.strictEqual(of("claude-opus-5-5", { input_tokens: 0, output_tokens: 0 })?.amount, 0)
  })

  it.each([
    ["claude-opus-5-5", {}, "official"],
    ["claude-fable-5-2", {}, "third-party"],
    ["claude-opus-5-5", { speed: "fast" }, "third-party"],
    ["claude-sonnet-5-5", {}, "official"],
    ["claude-sonnet-5-5", { cache_read_input_tokens: 1 }, "third-party"],
    ["claude-haiku-5-5", { cache_creation_input_tokens: 5 }, "official"],
    ["claude-haiku-5-5", { cache_creation_input_tokens: 200_000 }, "third-party"]
  ])("names the least certain source used, for %s with %j", (model, usage, source) => {
    assert.strictEqual(of(model, { input_tokens: 10, output_tokens: 10, ...usage })?.source, source)
  })

  it("stays custom where an override keeps what an official price said of its sources", () => {
    const { from: _, ...sonnet } = Pricing.lookup(pricing, "claude-sonnet-5-5", now)!
    const own = Pricing.make({ overrides: { m: { ...sonnet, source: "custom" } } })
    assert.strictEqual(Cost.of(own, "m", { input_tokens: 1, cache_read_input_tokens: 1 }, now)?.source, "custom")
  })

  it("prices by overrides, with the fee of a search and cached tokens in a batch", () => {
    const own = Pricing.make({
      overrides: {
        m: { input: 1, output: 2, cacheRead: 0.1, webSearch: 0.01, batch: { input: 0.5, output: 0.5, cacheRead: 0.5 } }
      }
    })
    const usage = {
      input_tokens: M,
      cache_read_input_tokens: M,
      server_tool_use: { web_search_requests: 3 },
      service_tier: "batch"
    }
    const cost = Cost.of(own, "m", usage, now)
    assert.deepInclude(cost, { source: "custom", pricingVersion: `${Pricing.version}+custom` })
    assert.deepInclude(cost?.components, { input: 0.5, cacheRead: 0.05, serverTool: 0.03, output: 0 })
    near(cost?.amount, 0.58)
    assert.strictEqual(Cost.of(own, "m", { ...usage, cache_creation_input_tokens: 1 }, now), undefined)
  })
})

describe("add", () => {
  const a = known("claude-opus-5-5", { input_tokens: M, cache_read_input_tokens: M })
  const b = known("claude-fable-5-2", { output_tokens: M, cache_creation_input_tokens: M })

  it("adds component by component and keeps the less certain source", () => {
    const sum = Cost.add(Object.freeze(a), Object.freeze(b))
    assert.deepStrictEqual(sum.components, { input: 4, cacheRead: 0.2, cacheWrite5m: 10, cacheWrite1h: 0, output: 40 })
    near(sum.amount, 54.2)
    assert.strictEqual(sum.source, "third-party")
    assert.strictEqual(Cost.add(b, a).source, "third-party")
    assert.strictEqual(Cost.add(a, a).source, "official")
    assert.strictEqual(Cost.add(a, { ...a, source: "custom" }).source, "custom")
    assert.strictEqual(Cost.add({ ...a, source: "custom" }, b).source, "third-party")
  })

  it("keeps the fees of server tools, and names each version of the prices once", () => {
    const other = { ...a, pricingVersion: "contract 7", components: { ...a.components, serverTool: 1 } }
    const sum = Cost.add(Cost.add(a, other), other)
    assert.strictEqual(sum.components.serverTool, 2)
    assert.strictEqual(sum.pricingVersion, `${Pricing.version}, contract 7`)
    near(sum.amount, 3 * a.amount + 2)
  })
})

describe("for any usage", () => {
  const models = [...Pricing.standard.models.keys()]
  const Tokens = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300_000 }))
  const Counts = Schema.Struct({
    input_tokens: Tokens,
    output_tokens: Tokens,
    cache_read_input_tokens: Tokens,
    cache_creation: Schema.Struct({ ephemeral_5m_input_tokens: Tokens, ephemeral_1h_input_tokens: Tokens })
  })
  const sum = ({ components }: Cost.Cost) => Object.values(components).reduce((total, part) => total + part, 0)

  it.prop(
    "the components sum to the amount, and none is negative",
    [Schema.Literals(models), Counts],
    ([model, usage]) => {
      const cost = known(model, usage)
      near(cost.amount, sum(cost))
      for (const part of Object.values(cost.components)) assert.isAtLeast(part, 0)
      const twice = Cost.add(cost, cost)
      near(twice.amount, sum(twice))
      near(twice.amount, 2 * cost.amount)
    }
  )

  it.prop(
    "more tokens of any kind never cost less",
    [Schema.Literals(models), Counts, Counts],
    ([model, usage, more]) => {
      const before = known(model, usage).amount
      for (const key of ["input_tokens", "output_tokens", "cache_read_input_tokens"] as const) {
        assert.isAtLeast(known(model, { ...usage, [key]: usage[key] + more[key] }).amount, before)
      }
      for (const key of ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"] as const) {
        const cache_creation = { ...usage.cache_creation, [key]: usage.cache_creation[key] + more.cache_creation[key] }
        assert.isAtLeast(known(model, { ...usage, cache_creation }).amount, before)
      }
    }
  )
})
