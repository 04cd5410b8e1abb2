import { assert, describe, it } from "@effect/vitest"
import type { ClaudeError } from "effect-claude"
import { inspect } from "node:util"
import { type Decoder, decoderFor } from "../../src/decode/Event.ts"
import { bytesOf, cut, dresses, type RawEvent, sse, streams } from "./streams.ts"

const newDecoder = (contentType: string | null = "text/event-stream; charset=utf-8") => {
  const decoder = decoderFor(contentType)
  assert.property(decoder, "push")
  return decoder as Decoder
}

const decode = (chunks: Iterable<Uint8Array>): ReadonlyArray<unknown> => {
  const decoder = newDecoder()
  const events: Array<unknown> = []
  for (const chunk of chunks) events.push(...decoder.push([chunk]))
  return [...events, ...decoder.end()]
}

const failureOf = (events: ReadonlyArray<unknown>): ClaudeError.ClaudeRetryableError => {
  const last = events.at(-1) as { readonly failure?: ClaudeError.ClaudeRetryableError } | undefined
  assert.isDefined(last?.failure)
  return last.failure
}

const expected = (events: ReadonlyArray<RawEvent>) => events.filter(({ type }) => type !== "ping")

describe.each(Object.entries(streams))("%s", (_, { events }) => {
  it.each(Object.entries(dresses))("is read in the same way from %s, whole and cut at every byte", (_, dress) => {
    const bytes = bytesOf(dress(events))
    assert.deepStrictEqual(decode([bytes]), expected(events))
    for (const size of [1, 2, 3, 7, 64]) assert.deepStrictEqual(decode(cut(bytes, size)), expected(events))
  })

  it("is read in the same way in two pieces, cut anywhere", () => {
    const bytes = bytesOf(sse(events))
    for (let at = 0; at <= bytes.length; at++) {
      assert.deepStrictEqual(decode([bytes.subarray(0, at), bytes.subarray(at)]), expected(events))
    }
  })
})

describe("reads", () => {
  it("several arrays of one read come in order", () => {
    const decoder = newDecoder()
    const bytes = bytesOf(sse([{ type: "a" }, { type: "b" }]))
    assert.deepStrictEqual(decoder.push([...cut(bytes, 5)]) as ReadonlyArray<unknown>, [{ type: "a" }, { type: "b" }])
  })

  it("an empty read brings nothing", () => {
    const decoder = newDecoder()
    assert.deepStrictEqual(decoder.push([]), [])
    assert.deepStrictEqual(decoder.push([new Uint8Array(0)]), [])
  })

  it("bytes that a socket hands out from a pool are read where they lie", () => {
    const pool = new Uint8Array(4096).fill(33)
    const bytes = bytesOf(sse([{ type: "a", text: "日本語" }]))
    pool.set(bytes, 1000)
    assert.deepStrictEqual(decode([pool.subarray(1000, 1000 + bytes.length)]), [{ type: "a", text: "日本語" }])
  })

  it("an event without its blank line is not there yet", () => {
    assert.deepStrictEqual(decode([bytesOf("data: {\"type\":\"a\"}\n\ndata: {\"type\":\"b\"}\n")]), [{ type: "a" }])
    assert.deepStrictEqual(decode([bytesOf("data: {\"type\":\"a\"}")]), [])
  })

  it("an event without data is none", () => {
    assert.deepStrictEqual(decode([bytesOf("event: a\n\nid: 1\n\n: x\n\ndata: {\"type\":\"b\"}\n\n")]), [{ type: "b" }])
  })

  it("a byte order mark counts only at the very beginning", () => {
    assert.deepStrictEqual(decode([bytesOf(`data: {"type":"a","t":"\uFEFFx"}\n\n`)]), [{ type: "a", t: "\uFEFFx" }])
  })
})

describe("what is no event", () => {
  const secret = "the user's own words"
  const good = sse([{ type: "a" }, { type: "b" }])
  const bad: ReadonlyArray<readonly [what: string, data: string]> = [
    ["broken JSON", `data: {"type":"c","text":"${secret}\n\n`],
    ["no JSON", `data: ${secret}\n\n`],
    ["a text", `data: "${secret}"\n\n`],
    ["a number", "data: 5\n\n"],
    ["null", "data: null\n\n"],
    ["a list", `data: ["${secret}"]\n\n`],
    ["an object without a type", `data: {"text":"${secret}"}\n\n`],
    ["a type that is no text", `data: {"type":5,"text":"${secret}"}\n\n`],
    ["empty data", "data:\n\n"],
    ["bare data", "data\n\n"]
  ]

  it.each(bad)("%s tells its place and not its content, and nothing is read after it", (_, data) => {
    const bytes = bytesOf(good + data + good)
    for (const size of [bytes.length, 1, 16]) {
      const events = decode(cut(bytes, size))
      assert.deepStrictEqual(events.slice(0, -1), [{ type: "a" }, { type: "b" }])
      const { message, reason } = failureOf(events)
      assert.isTrue(reason._tag === "InvalidResponse" && reason.event === 3)
      if (reason._tag !== "InvalidResponse") return
      assert.isAtLeast(reason.offset ?? 0, good.length + data.length - (size === 1 ? 0 : 16))
      assert.isAtMost(reason.offset ?? 0, bytes.length)
      assert.include(message, "Event 3")
      assert.notInclude(inspect(failureOf(events), { depth: 9 }), secret)
    }
  })

  it("a line without end is given up", () => {
    const decoder = newDecoder()
    const chunk = new Uint8Array(1 << 20).fill(120)
    let events: ReadonlyArray<unknown> = []
    for (let count = 0; count < 80 && events.length === 0; count++) events = decoder.push([chunk])
    assert.strictEqual(failureOf(events).reason._tag, "InvalidResponse")
    assert.deepStrictEqual(decoder.push([chunk]), [])
  })
})

describe("content types", () => {
  it.each(["text/event-stream", "TEXT/Event-Stream; charset=utf-8", null])("%s is a stream", (type) => {
    assert.deepStrictEqual(newDecoder(type).push([bytesOf(sse([{ type: "a" }]))]) as ReadonlyArray<unknown>, [{
      type: "a"
    }])
  })

  it.each(["text/html", "text/plain; charset=utf-8", "application/octet-stream", ""])("%s is no message", (type) => {
    const error = decoderFor(type)
    assert.isTrue("_tag" in error && error.reason._tag === "InvalidResponse")
  })
})

describe("a long event", () => {
  const event = (megabytes: number) => {
    const bytes = bytesOf(sse([{ type: "long", text: "x".repeat(megabytes << 20) }]))
    return [...cut(bytes, 64 * 1024)]
  }

  it("of 5 MB in pieces of 64 KB is one event", () => {
    const [long] = decode(event(5)) as ReadonlyArray<{ readonly text: string }>
    assert.strictEqual(long?.text.length, 5 << 20)
  })

  it("takes twice the time when it is twice as long, and not four times", () => {
    // Of this thread alone: machines are busy.
    const time = (chunks: ReadonlyArray<Uint8Array>) => {
      let best = Infinity
      for (let round = 0; round < 5; round++) {
        const before = process.threadCpuUsage()
        decode(chunks)
        const { system, user } = process.threadCpuUsage(before)
        best = Math.min(best, system + user)
      }
      return best
    }
    const [one, four] = [event(4), event(16)]
    // Linear is 4, quadratic is 16.
    assert.isBelow(time(four) / time(one), 10)
  })
})
