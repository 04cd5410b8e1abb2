import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Cost from "../../src/request/Cost.ts"
import * as Estimate from "../../src/request/Estimate.ts"
import * as Pricing from "../../src/request/Pricing.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const user = (content: unknown) => ({ messages: [{ role: "user", content }] })
const size = Estimate.inputSize
const likely = (body: object) => Estimate.likely(size(body))
const most = (body: object) => Estimate.most(size(body))
const bytes = (text: string) => new TextEncoder().encode(text).length

const prose = "The quick brown fox jumps over the lazy dog, and then it rests for a while. ".repeat(50)
const chinese = "敏捷的棕色狐狸跳过了懒惰的狗,然后休息了一会儿。".repeat(50)
const digits = Array.from({ length: 1_000 }, (_, n) => String((n * 7_919) % 100_003)).join(",")

describe("likely", () => {
  // Tokens a character, as token counters of the API publish them: prose 0.22 to 0.35, Chinese 0.9 to 1.5.
  it.each([["English prose", prose, 0.2, 0.4], ["Chinese", chinese, 0.9, 1.5], [
    "Russian",
    "мир и война ".repeat(99),
    0.3,
    0.8
  ]])(
    "is near what %s comes to",
    (_, text, least, greatest) => {
      const tokens = likely(user(text)) / text.length
      assert.isAtLeast(tokens, least)
      assert.isAtMost(tokens, greatest)
    }
  )

  it("counts a picture for its tokens, however long its base64 is", () => {
    const picture = (data: string) =>
      user([{ type: "image", source: { type: "base64", data, media_type: "image/png" } }])
    assert.strictEqual(likely(picture("A".repeat(5_000_000))), likely(picture("A")))
    assert.isAbove(likely(picture("A")), 1_500)
    assert.isBelow(likely(picture("A")), 1_700)
    assert.isAtLeast(most(picture("A")), 4_784)
    assert.isBelow(most(picture("A")), 5_000)
  })

  it("counts the pages that a PDF of its length may have", () => {
    const pdf = (length: number) =>
      user([{ type: "document", source: { type: "base64", media_type: "application/pdf", data: "A".repeat(length) } }])
    // Ten pages of text, in a file of 400 kB, are 23 236 tokens.
    assert.isAtLeast(most(pdf(533_000)), 23_236)
    assert.isAbove(likely(pdf(4_000_000)), 2 * likely(pdf(1_000_000)))
    assert.strictEqual(most(pdf(30_000_000)), 1_000_000)
    assert.isAbove(likely(pdf(0)), 2_000)
  })

  it("counts what only the server sees by stated amounts", () => {
    const source = (source: object) => user([{ type: "document", source }])
    for (const unseen of [{ type: "url", url: "https://example.com/a.pdf" }, { type: "file", file_id: "file_1" }]) {
      assert.strictEqual(most(source(unseen)), 1_000_000)
      assert.isAtLeast(likely(source(unseen)), 10_000)
    }
    assert.isBelow(most(user([{ type: "image", source: { type: "file", file_id: "file_1" } }])), 5_000)
  })
})

describe("most", () => {
  it.each([["prose", prose], ["Chinese", chinese], ["digits", digits], ["emoji", "👩‍👩‍👧‍👦🏳️‍🌈".repeat(30)]])(
    "is at least a token for each byte of %s, and little more",
    (_, text) => {
      for (const body of [user(text), user([{ type: "text", text }]), { ...user("Hi"), system: text }]) {
        assert.isAtLeast(most(body), bytes(text))
        assert.isAtMost(most(body), bytes(text) + 40)
      }
    }
  )

  it("sees texts wherever a request may have them", () => {
    const text = "x".repeat(10_000)
    const bodies: ReadonlyArray<object> = [
      { ...user("Hi"), system: [{ type: "text", text }] },
      user([{ type: "tool_result", tool_use_id: "t", content: [{ type: "text", text }] }]),
      user([{ type: "tool_result", tool_use_id: "t", content: text }]),
      user([{ type: "document", source: { type: "text", media_type: "text/plain", data: text } }]),
      user([{ type: "document", source: { type: "content", content: [{ type: "text", text }] } }]),
      user([{ type: "document", title: text, source: { type: "text", media_type: "text/plain", data: "a" } }]),
      user([{ type: "search_result", source: "s", title: "t", content: [{ type: "text", text }] }]),
      {
        messages: [{
          role: "assistant",
          content: [{ type: "tool_use", id: "t", name: "n", input: { a: [{ b: text }] } }]
        }]
      },
      { messages: [{ role: "assistant", content: [{ type: "thinking", thinking: text, signature: "s" }] }] },
      { messages: [{ role: "assistant", content: [{ type: "redacted_thinking", data: text }] }] },
      { ...user("Hi"), tools: [{ name: "n", description: text, input_schema: { type: "object" } }] },
      { ...user("Hi"), tools: [{ name: "n", input_schema: { type: "object", properties: { [text]: {} } } }] },
      { ...user("Hi"), output_config: { format: { type: "json_schema", schema: { description: text } } } },
      user([{ type: "block_of_2028", depth: { of: { text } } }])
    ]
    for (const body of bodies) assert.isAtLeast(most(body), 10_000, JSON.stringify(body).slice(0, 80))
  })

  it("takes an input of a tool for text, also where it looks like a picture", () => {
    const input = { type: "image", source: { data: "x".repeat(20_000) } }
    assert.isAtLeast(most({ messages: [{ role: "assistant", content: [{ type: "tool_use", input }] }] }), 20_000)
  })

  it("counts the tools that the API describes itself, and what its own tools may bring in", () => {
    const none = most(user("Hi"))
    const tools = (tool: object) => most({ ...user("Hi"), tools: [tool] }) - none
    assert.isAtLeast(tools({ type: "bash_20250124", name: "bash" }), 1_000)
    assert.isAtLeast(tools({ type: "web_search_20260318", name: "web_search", max_uses: 3 }), 45_000)
    assert.isAtLeast(tools({ type: "web_fetch_20250910", name: "web_fetch" }), 50_000)
    assert.isBelow(tools({ name: "mine", input_schema: { type: "object" } }), 1_200)
    for (const max_uses of [Number.NaN, -3, "3"]) {
      assert.isAtLeast(tools({ type: "web_search_20260318", name: "web_search", max_uses }), 50_000)
    }
  })

  it("looks at an array of tools again when it has grown", () => {
    const tools: Array<object> = [{ name: "a", input_schema: {} }]
    const before = most({ ...user("Hi"), tools })
    assert.strictEqual(most({ ...user("Hi"), tools }), before)
    tools.push({ name: "b", description: "x".repeat(500), input_schema: {} })
    assert.isAtLeast(most({ ...user("Hi"), tools }), before + 500)
  })

  it("looks at tools again when anything in them was changed in place, and only then", () => {
    let read = 0
    const properties: Record<string, unknown> = { city: { type: "string", enum: ["a", "b"] } }
    const tool = {
      name: "a",
      get description() {
        read++
        return "as it was"
      },
      input_schema: { type: "object", properties, required: ["city"] }
    }
    const changes: ReadonlyArray<() => void> = [
      () => Object.defineProperty(tool, "description", { value: "x".repeat(700), enumerable: true }),
      () => tool.input_schema.required.push("y".repeat(700)),
      () => tool.input_schema.required[0] = "y".repeat(700),
      () => properties["z".repeat(700)] = {},
      () => {
        delete properties["city"]
        properties["c".repeat(700)] = { type: "string", enum: ["a", "b"] }
      }
    ]
    const request = { ...user("Hi"), tools: [tool] }
    let size = most(request)
    // The first time it is only measured, and the second time remembered.
    assert.strictEqual(most(request), size)
    const reads = read
    assert.strictEqual(most(request), size)
    // Compared, which is a read, and not measured again.
    assert.strictEqual(read, reads + 1)
    for (const change of changes) {
      change()
      assert.isAtLeast(most(request), size + 600)
      size = most(request)
      assert.strictEqual(most(request), size)
    }
  })
})

describe("a hostile body", () => {
  it("ends, however deep it is, and also where it holds itself", () => {
    let deep: unknown = "x"
    for (let n = 0; n < 100_000; n++) deep = { content: [deep] }
    assert.isAbove(most({ messages: [deep] }), 100_000)
    let input: unknown = "x"
    for (let n = 0; n < 100_000; n++) input = [input]
    assert.isAbove(most({ messages: [{ role: "assistant", content: [{ type: "tool_use", input }] }] }), 100_000)
    const circle: Array<unknown> = []
    for (let n = 0; n < 1_000; n++) circle.push(circle)
    for (const body of [user(circle), user([{ type: "tool_use", input: circle }]), { ...user("Hi"), tools: circle }]) {
      assert.strictEqual(most(body), 1_000_000)
    }
    assert.strictEqual(
      most(user([{ type: "tool_use", input: Object.assign([], { length: 4_000_000_000 }) }])),
      1_000_000
    )
  })

  it.each([{}, { messages: null }, { messages: "Hi", system: 5 }, { messages: [null, 3, [[]]], tools: [null, 7] }])(
    "is counted without complaint: %j",
    (body) => {
      assert.isAtLeast(most(body), 0)
      assert.isTrue(Number.isFinite(likely(body)))
    }
  )
})

describe("mostCost", () => {
  const cost = (model: string, body: object, maxTokens = 0, pricing = Pricing.standard) =>
    Estimate.mostCost(pricing, model, size(body), maxTokens, now)
  const cached = (ttl?: "1h") => ({
    ...user(prose),
    system: [{ type: "text", text: "s", cache_control: { type: "ephemeral", ttl } }]
  })
  const near = (actual: number, expected: number) => assert.approximately(actual, expected, 1e-12)

  it("takes all input at the dearest rate that may apply, and the whole answer", () => {
    const plain = user(prose)
    near(cost("claude-opus-5-5", plain, 1_000).usd, (most(plain) * 4 + 1_000 * 20) / 1e6)
    near(cost("claude-opus-5-5", cached()).usd, (most(cached()) * 5) / 1e6)
    near(cost("claude-opus-5-5", cached("1h")).usd, (most(cached("1h")) * 8) / 1e6)
    near(cost("claude-opus-5-5", { ...plain, cache_control: { type: "ephemeral" } }).usd, (most(plain) * 5) / 1e6)
    near(cost("claude-opus-5-5", { ...plain, speed: "fast" }, 10).usd, (most(plain) * 8 + 10 * 40) / 1e6)
    near(cost("claude-opus-5-5", plain, 1_000).outputUsd, 0.02)
  })

  it("takes the rates of long prompts where the prompt may be one", () => {
    const short = user("x".repeat(90_000))
    const long = user("x".repeat(100_000))
    near(cost("claude-haiku-5-5", short, 100).usd, (most(short) * 0.1 + 100 * 0.5) / 1e6)
    near(cost("claude-haiku-5-5", long, 100).usd, (most(long) * 0.5 + 100 * 2.5) / 1e6)
  })

  it.each([
    ["a model", "claude-mythos-5-2", {}, "claude-mythos-5-2 has no known price"],
    ["a region", "claude-opus-5-5", { inference_geo: "us" }, "inference_geo us has no known price"],
    ["fast mode", "claude-opus-4-8", { speed: "fast" }, "has no fast.input"],
    ["a cache in fast mode", "claude-opus-5-5", { speed: "fast", cache_control: {} }, "has no fast.cacheRead"],
    ["a speed of the future", "claude-opus-5-5", { speed: "ludicrous" }, "has no ludicrous.input"],
    ["a search", "claude-opus-5-5", { tools: [{ type: "web_search_20260318", max_uses: 1 }] }, "has no webSearch"]
  ])("names what has no price: %s", (_, model, body, missing) => {
    assert.include(cost(model, { ...user("Hi"), ...body }).missing, missing)
  })

  it("adds the fees of the searches that a request allows, where it bounds them", () => {
    const known = Pricing.lookup(Pricing.standard, "claude-opus-5-5", now)!
    const pricing = Pricing.make({ overrides: { "claude-opus-5-5": { ...known, webSearch: 0.01 } } })
    const search = (max_uses?: number) => ({ ...user("Hi"), tools: [{ type: "web_search_20260318", max_uses }] })
    const { missing, usd } = cost("claude-opus-5-5", search(5), 0, pricing)
    assert.isUndefined(missing)
    near(usd, (most(search(5)) * 4) / 1e6 + 0.05)
    assert.include(cost("claude-opus-5-5", search(), 0, pricing).missing, "max_uses")
  })

  const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
  it.prop(
    "is never less than what a call costs whose tokens it foresaw",
    {
      model: Schema.Literals([...Pricing.standard.models.keys()]),
      text: Schema.String,
      length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 })),
      cache: Schema.Literals(["none", "5m", "1h"]),
      input: Share,
      read: Share,
      write: Share,
      output: Share,
      maxTokens: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 }))
    },
    ({ cache, input, length, maxTokens, model, output, read, text, write }) => {
      const body = {
        ...user(`${text}x`.repeat(Math.ceil(length / (text.length + 1)))),
        ...(cache === "none" ? undefined : { cache_control: { type: "ephemeral", ttl: cache } })
      }
      const all = Math.floor(most(body) * input)
      const reads = cache === "none" ? 0 : Math.floor(all * read)
      const writes = cache === "none" ? 0 : Math.floor((all - reads) * write)
      const spent = Cost.of(Pricing.standard, model, {
        input_tokens: all - reads - writes,
        cache_read_input_tokens: reads,
        cache_creation: { [cache === "1h" ? "ephemeral_1h_input_tokens" : "ephemeral_5m_input_tokens"]: writes },
        output_tokens: Math.floor(maxTokens * output)
      }, now)
      assert.isAtMost(spent!.amount, cost(model, body, maxTokens).usd + 1e-12)
    }
  )
})

describe("Learned", () => {
  const some = size(user(prose))

  it("goes by the size alone at first, and by short answers", () => {
    const learned = new Estimate.Learned()
    assert.strictEqual(learned.likelyInput(some), Estimate.likely(some))
    assert.strictEqual(learned.likelyOutput(4_096), 512)
    assert.strictEqual(learned.likelyOutput(100), 100)
  })

  it("comes to what calls were counted as, large ones above all", () => {
    const learned = new Estimate.Learned()
    for (let n = 0; n < 100; n++) {
      learned.learn(some, Math.round(1.4 * Estimate.likely(some)), 50)
      learned.learn(size(user("Hi")), 1, 50)
    }
    assert.approximately(learned.likelyInput(some) / Estimate.likely(some), 1.4, 0.05)
    assert.strictEqual(learned.likelyOutput(4_096), 50)
    assert.strictEqual(learned.likelyOutput(20), 20)
  })

  it("follows when that changes", () => {
    const learned = new Estimate.Learned()
    for (let n = 0; n < 100; n++) learned.learn(some, Estimate.likely(some), 50)
    for (let n = 0; n < 40; n++) learned.learn(some, 2 * Estimate.likely(some), 1_000)
    assert.approximately(learned.likelyInput(some) / Estimate.likely(some), 2, 0.05)
    assert.isAbove(learned.likelyOutput(4_096), 950)
  })

  it("never comes to nothing, nor to what is no number", () => {
    const learned = new Estimate.Learned()
    for (const [input, output] of [[0, 0], [Number.NaN, -1], [Infinity, Number.NaN]] as const) {
      learned.learn(some, input, output)
    }
    assert.isAbove(learned.likelyInput(some), 0)
    assert.isBelow(learned.likelyInput(some), Estimate.likely(some))
    assert.strictEqual(learned.likelyOutput(100), 0)
  })
})
