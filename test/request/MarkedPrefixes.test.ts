import { assert, describe, it } from "@effect/vitest"
import { MarkedPrefixes, prefixOf } from "../../src/request/MarkedPrefixes.ts"
import * as PromptCache from "../../src/request/PromptCache.ts"

const short = { type: "ephemeral" }
const long = { type: "ephemeral", ttl: "1h" }
const text = (text: string, cache_control?: object) => ({ type: "text", text, cache_control })
const tool = (name: string, cache_control?: object) => ({ name, input_schema: {}, cache_control })

const hashOf = (body: object) => prefixOf(body)?.hash ?? assert.fail("nothing of it is marked")

describe("prefixOf", () => {
  it("is nothing where neither tools nor system are marked", () => {
    for (
      const body of [
        { model: "m", messages: [{ role: "user", content: [text("q", short)] }] },
        { model: "m", system: "s", tools: [tool("a")], cache_control: short },
        { system: [text("s")], tools: [] },
        { system: [null], tools: 5 },
        {}
      ]
    ) assert.isUndefined(prefixOf(body))
  })

  it("is the same whatever follows the last breakpoint, and another where something before it changes", () => {
    const body = { model: "m", tools: [tool("a"), tool("b")], system: [text("s", short), text("t")] }
    const hash = hashOf(body)
    assert.match(hash, /^[0-9a-f]{16}$/)
    const same = [
      { ...body, system: [text("s", short), text("today is another day")] },
      { ...body, messages: [{ role: "user", content: "q" }], max_tokens: 5, stream: true, thinking: {} }
    ]
    for (const other of same) assert.strictEqual(hashOf(other), hash)
    const others = [
      { ...body, model: "n" },
      { ...body, speed: "fast" },
      { ...body, tools: [tool("a")] },
      { ...body, system: [text("S", short)] },
      { ...body, output_config: { format: { type: "json_schema", schema: {} } } },
      { ...body, system: [text("s"), text("t", short)] }
    ]
    assert.strictEqual(new Set([hash, ...others.map(hashOf)]).size, others.length + 1)
  })

  it("ends with the last marked tool where no system block is marked", () => {
    const body = { model: "m", tools: [tool("a", short), tool("b")], system: "s" }
    assert.strictEqual(hashOf(body), hashOf({ ...body, tools: [tool("a", short), tool("c")], system: "t" }))
    assert.notStrictEqual(hashOf(body), hashOf({ ...body, tools: [tool("A", short), tool("b")] }))
  })

  it("is the same whatever order a tool's keys come in", () => {
    const a = { name: "a", input_schema: { type: "object", properties: {} }, cache_control: short }
    const b = { cache_control: short, input_schema: { properties: {}, type: "object" }, name: "a" }
    assert.strictEqual(hashOf({ tools: [a] }), hashOf({ tools: [b] }))
  })

  it("lives as long as its last breakpoint", () => {
    assert.strictEqual(prefixOf({ system: [text("s", short)] })?.ttlMillis, 300_000)
    assert.strictEqual(prefixOf({ system: [text("s", long)] })?.ttlMillis, 3_600_000)
    assert.strictEqual(prefixOf({ tools: [tool("a", long)], system: [text("s", short)] })?.ttlMillis, 300_000)
  })

  it("sees what PromptCache.mark has marked", () => {
    assert.isDefined(prefixOf(PromptCache.mark({ system: "s", prompt: "p" })))
    assert.isUndefined(prefixOf(PromptCache.mark({ prompt: "p" })))
  })
})

describe("MarkedPrefixes", () => {
  const prefix = { hash: "a", ttlMillis: 1_000 }
  const wrote = { cache_creation_input_tokens: 2_000, cache_read_input_tokens: 0 }
  const read = { cache_creation_input_tokens: 10, cache_read_input_tokens: 2_000 }
  const neither = { cache_creation_input_tokens: 0, cache_read_input_tokens: null }

  it("tells of a prefix that was written, and written again while it was there", () => {
    const prefixes = new MarkedPrefixes()
    assert.isFalse(prefixes.answered(prefix, wrote, 0, 100))
    assert.isTrue(prefixes.answered(prefix, wrote, 200, 300))
    assert.isTrue(prefixes.answered(prefix, wrote, 400, 500))
  })

  it("is content where it was read", () => {
    const prefixes = new MarkedPrefixes()
    assert.isFalse(prefixes.answered(prefix, wrote, 0, 100))
    assert.isFalse(prefixes.answered(prefix, read, 200, 300))
    assert.isFalse(prefixes.answered({ hash: "b", ttlMillis: 1_000 }, wrote, 200, 300))
  })

  it("expects nothing after its lifetime, which each use begins anew", () => {
    const prefixes = new MarkedPrefixes()
    prefixes.answered(prefix, wrote, 0, 100)
    assert.isFalse(prefixes.answered(prefix, wrote, 1_000, 1_100))
    prefixes.answered(prefix, read, 1_900, 1_950)
    assert.isTrue(prefixes.answered(prefix, wrote, 2_800, 2_900))
  })

  it("expects nothing of calls that were sent before the first of them was answered", () => {
    const prefixes = new MarkedPrefixes()
    assert.isFalse(prefixes.answered(prefix, wrote, 0, 500))
    assert.isFalse(prefixes.answered(prefix, wrote, 10, 400))
    assert.isTrue(prefixes.answered(prefix, wrote, 600, 700))
  })

  it("keeps what the latest use gave it, in whatever order answers end", () => {
    const prefixes = new MarkedPrefixes()
    prefixes.answered(prefix, wrote, 0, 10)
    prefixes.answered(prefix, read, 800, 810)
    prefixes.answered(prefix, read, 100, 900)
    assert.isTrue(prefixes.answered(prefix, wrote, 1_700, 1_710))
  })

  it("expects it from the first answer on, however long a later one takes", () => {
    const prefixes = new MarkedPrefixes()
    prefixes.answered(prefix, wrote, 0, 10)
    prefixes.answered(prefix, read, 20, 500)
    assert.isTrue(prefixes.answered(prefix, wrote, 100, 510))
  })

  it("has no opinion of what is too short to be kept", () => {
    const prefixes = new MarkedPrefixes()
    for (const at of [0, 100, 200]) assert.isFalse(prefixes.answered(prefix, neither, at, at + 10))
    for (const at of [300, 400]) assert.isFalse(prefixes.answered(prefix, {}, at, at + 10))
    assert.isFalse(prefixes.answered(prefix, wrote, 500, 510))
  })

  it("forgets what was used least recently", () => {
    const prefixes = new MarkedPrefixes(2)
    const of = (hash: string) => ({ hash, ttlMillis: 1_000 })
    prefixes.answered(of("a"), wrote, 0, 1)
    prefixes.answered(of("b"), wrote, 2, 3)
    prefixes.answered(of("a"), read, 4, 5)
    prefixes.answered(of("c"), wrote, 6, 7)
    assert.isTrue(prefixes.answered(of("a"), wrote, 10, 11))
    assert.isFalse(prefixes.answered(of("b"), wrote, 12, 13))
  })
})
