import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as RateHeaders from "../../src/admission/RateHeaders.ts"
import * as RateLimit from "../../src/testing/RateLimit.ts"

const names = { requests: "requests", inputTokens: "input-tokens", outputTokens: "output-tokens", tokens: "tokens" }

const headers = (limits: Readonly<Record<string, Readonly<Record<string, string>>>>) =>
  new Headers(
    Object.entries(limits).flatMap(([name, parts]) =>
      Object.entries(parts).map(([part, value]): [string, string] => [`anthropic-ratelimit-${name}-${part}`, value])
    )
  )

describe("what headers tell of rate limits", () => {
  it("is each limit that is named, with what remains of it and when it is full", () => {
    const reset = "2026-01-02T03:04:05Z"
    const told = RateHeaders.read(headers({
      requests: { limit: "50", remaining: "49", reset },
      "input-tokens": { limit: "30000", remaining: "0", reset },
      "output-tokens": { limit: "8000", remaining: "8000" },
      tokens: { limit: "38000" }
    }))
    assert.deepStrictEqual(told, [
      { kind: "requests", limit: 50, remaining: 49, resetAt: Date.parse(reset) },
      { kind: "inputTokens", limit: 30_000, remaining: 0, resetAt: Date.parse(reset) },
      { kind: "outputTokens", limit: 8_000, remaining: 8_000, resetAt: undefined },
      { kind: "tokens", limit: 38_000, remaining: undefined, resetAt: undefined }
    ])
  })

  it("is nothing where there are none", () => {
    assert.deepStrictEqual(RateHeaders.read(new Headers({ "retry-after": "3" })), [])
    assert.deepStrictEqual(RateHeaders.read(headers({ requests: { reset: "2026-01-02T03:04:05Z" } })), [])
  })

  it("is what the simulated server sends of its own", () => {
    const limits = { requests: 10, inputTokens: 1_000, outputTokens: 100, tokens: 1_100 }
    const admitted = RateLimit.make(limits).admit(400, 50)
    const told = RateHeaders.read(new Headers(admitted.headers))
    assert.deepStrictEqual(told.map(({ kind }) => kind), ["requests", "inputTokens", "outputTokens", "tokens"])
    for (const { kind, limit, remaining, resetAt } of told) {
      assert.strictEqual(limit, limits[kind])
      assert.isAtMost(remaining!, limits[kind])
      assert.isTrue(Number.isFinite(resetAt))
    }
    assert.deepStrictEqual(told.slice(0, 2).map(({ remaining }) => remaining), [9, 600])
  })

  const Text = Schema.Union([
    Schema.Literals(["", " ", "0", "12", "-1", "1e9", "NaN", "Infinity", "twelve", "1.5", "0x10"]),
    Schema.String.check(Schema.isPattern(/^[ -~]*$/))
  ])
  const Parts = Schema.Struct({
    limit: Schema.optionalKey(Text),
    remaining: Schema.optionalKey(Text),
    reset: Schema.optionalKey(Text)
  })

  it.prop(
    "is a number from 0 or nothing, whatever stands there, and never of a limit that is not named",
    { requests: Parts, inputTokens: Parts, outputTokens: Parts, tokens: Parts },
    (sent) => {
      const told = RateHeaders.read(headers(
        Object.fromEntries(Object.entries(sent).map(([kind, parts]) => [names[kind as keyof typeof names], parts]))
      ))
      assert.strictEqual(new Set(told.map(({ kind }) => kind)).size, told.length)
      for (const { kind, limit, remaining, resetAt } of told) {
        for (const value of [limit, remaining]) assert.isTrue(value === undefined || (value >= 0 && value < Infinity))
        assert.isTrue(limit !== undefined || remaining !== undefined)
        assert.isTrue(limit === undefined || Number(sent[kind].limit) === limit)
        assert.isTrue(remaining === undefined || Number(sent[kind].remaining) === remaining)
        assert.isFalse(Number.isNaN(resetAt))
      }
    },
    { arbitrary: { runs: 200, size: 60, seed: "headers" } }
  )
})
