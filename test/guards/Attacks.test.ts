/** What people and models write who do not know of the guards, or do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Guard, Pii } from "../../src/guards/index.ts"
import { kinds } from "../../src/guards/PiiPatterns.ts"
import * as Steps from "../../src/guards/Steps.ts"

const message = (...content: ReadonlyArray<unknown>) =>
  Effect.succeed(
    {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "m",
      stop_reason: "end_turn",
      usage: { output_tokens: 1 },
      content
    } as never as import("@anthropic-ai/sdk/resources/messages/messages").Message
  )

const streamed = (pieces: ReadonlyArray<string>, ...guards: ReadonlyArray<Guard.StreamGuard>) => {
  let handed = ""
  return Stream.fromIterable(pieces).pipe(
    Stream.rechunk(1),
    Guard.outputStream(...guards),
    Stream.runForEach((text) => Effect.sync(() => handed += text)),
    Effect.result,
    Effect.map(({ _tag }) => [handed, _tag])
  )
}

describe("a pattern in a stream", () => {
  it.effect("is found where it is in the whole text, and nowhere else", () =>
    Effect.gen(function*() {
      for (
        const [pattern, text] of [
          [/\bcat\b/, "a category of cats"],
          [/^secret/, `${"x".repeat(300)} secret`],
          [/secret$/, `a secret ${"x".repeat(300)}`],
          [/cat(?!egory)/, "a category"],
          [/(?<!\w)password/, `my_password ${"x".repeat(300)}`],
          [/a{3,4}b/, "aaa aab"]
        ] as const
      ) {
        assert.isFalse(pattern.test(text))
        for (const size of [1, 2, 3, 5, 400]) {
          const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g"))!
          for (const window of [16, 256]) {
            assert.deepStrictEqual(
              yield* streamed(pieces, Guard.noPattern(pattern, "p", { window })),
              [text, "Success"],
              `${pattern} ${size} ${window}`
            )
          }
        }
      }
      for (
        const [pattern, text] of [
          [/\bcat\b/, "it is a cat"],
          [/secret$/, `${"x".repeat(300)} secret`],
          [/^secret/, "secret, and more"],
          [/cat(?!egory)/, `a cat ${"x".repeat(300)}`],
          [/pass\s+word/i, `${"x".repeat(300)} Pass\n word ${"x".repeat(300)}`]
        ] as const
      ) {
        for (const size of [1, 2, 3, 5, 400]) {
          const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g"))!
          const [handed, ending] = yield* streamed(pieces, Guard.noPattern(pattern, "p", { window: 16 }))
          assert.strictEqual(ending, "Failure", `${pattern} ${size}`)
          assert.isTrue(text.startsWith(handed!) && handed!.length <= text.search(pattern), `${pattern} ${size}`)
        }
      }
    }))
})

describe("an answer", () => {
  it.effect("is looked at in what it cites and what it thinks", () =>
    Effect.gen(function*() {
      const citation = { type: "char_location", cited_text: "jane@example.com", document_title: "mail of b@c.de" }
      const cited = { type: "text", text: "See.", citations: [citation] }
      const redacted = yield* message(cited).pipe(Guard.output(Guard.redactPii()))
      assert.deepStrictEqual(redacted.content as unknown, [
        { ...cited, citations: [{ ...citation, cited_text: "[EMAIL]", document_title: "mail of [EMAIL]" }] }
      ])
      const thinking = { type: "thinking", thinking: "It is a@b.de", signature: "s" }
      for (const guard of [Guard.noPii(), Guard.noPattern(/a@b/, "p")]) {
        const error = yield* Effect.flip(message(thinking).pipe(Guard.output(guard)))
        assert.strictEqual(error._tag, "GuardRejected")
      }
      // It is signed.
      const kept = yield* message(thinking).pipe(Guard.output(Guard.redactPii()))
      assert.deepStrictEqual(kept.content as unknown, [thinking])
    }))

  it.effect("is held to a schema by its text alone", () =>
    Effect.gen(function*() {
      const guard = Guard.output(Guard.schema(Schema.Struct({ n: Schema.Int })))
      const kept = yield* message(
        { type: "thinking", thinking: "Hm.", signature: "s" },
        { type: "text", text: "{\"n\":", citations: [{ type: "char_location", cited_text: "q" }] },
        { type: "text", text: "1}" },
        { type: "tool_use", id: "t", name: "n", input: { text: "x" } }
      ).pipe(guard)
      assert.lengthOf(kept.content, 4)
    }))

  it.effect("keeps what is no text in the arguments of its tools", () =>
    Effect.gen(function*() {
      const input = { at: new Date(0), to: "a@b.de", __proto__: null }
      const [block] = (yield* message({ type: "tool_use", id: "t", name: "n", input }).pipe(
        Guard.output(Guard.redactPii())
      )).content as unknown as [{ input: typeof input }]
      assert.deepStrictEqual([block.input.at, block.input.to], [new Date(0), "[EMAIL]"])
      const hostile: unknown = JSON.parse("{\"__proto__\":{\"x\":\"a@b.de\"},\"constructor\":\"a@b.de\"}")
      const [other] = (yield* message({ type: "tool_use", id: "t", name: "n", input: hostile }).pipe(
        Guard.output(Guard.redactPii())
      )).content as unknown as [{ input: unknown }]
      assert.strictEqual(
        JSON.stringify(other.input),
        "{\"__proto__\":{\"x\":\"[EMAIL]\"},\"constructor\":\"[EMAIL]\"}"
      )
    }))

  it.effect("is not handed on by halves, where a guard leaves out a text", () =>
    Effect.gen(function*() {
      const forgetful = Guard.make("forgetful", () => Effect.succeed(Guard.change(["only one"])))
      const exit = yield* Effect.exit(
        message({ type: "text", text: "a" }, { type: "text", text: "secret" }).pipe(Guard.output(forgetful))
      )
      assert.include(String(exit), "Guard forgetful answered 1 text in the place of 2")
    }))
})

describe("personal data", () => {
  it("is found as word processors, other scripts and other people write it", () => {
    for (
      const [text, redacted] of [
        ["Tel. +49\u00a0151\u202f234\u201156789", "Tel. [PHONE]"],
        ["4111\u20111111\u20131111\u22121111", "[CARD]"],
        ["\uff14\uff11\uff11\uff11 1111 1111 1111", "[CARD]"],
        ["\uff4a\uff4f\uff45\uff20example\uff0ecom", "[EMAIL]"],
        ["\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661", "[CARD]"],
        ["an j\u00f6rg.m\u00fcller@b\u00fccher.example", "an [EMAIL]"],
        ["an jo\u0308rg@example.com", "an [EMAIL]"],
        ["o'brien@example.com, 'a@b.de'", "[EMAIL], '[EMAIL]'"],
        ["\u8bf7\u5199\u4fe1\u7ed9user@example.com\u8c22\u8c22", "\u8bf7\u5199\u4fe1\u7ed9[EMAIL]\u8c22\u8c22"],
        ["SSN 219-09-9999.", "SSN [SSN]."],
        ["1-800-555-0199 or 1 (415) 555-0132", "[PHONE] or [PHONE]"],
        ["jane\u200b@exam\u00adple\u2060.com\u200b, ok", "[EMAIL]\u200b, ok"],
        ["\u202a+49 151 23456789\u202c", "\u202a[PHONE]\u202c"],
        ["4111\u200b1111\ufeff1111\u200d1111", "[CARD]"],
        ["me@2x.com, me@7.example.org, me@163.com", "[EMAIL], [EMAIL], [EMAIL]"],
        ["GET /find?mail=jane.doe%40example.com&n=1 50%40", "GET /find?mail=[EMAIL]&n=1 50%40"]
      ] as const
    ) assert.strictEqual(Pii.redact(text), redacted)
  })

  it("is not found in identifiers, hashes, times and versions", () => {
    let seed = 7
    const next = () => (seed = (seed * 48_271) % 2_147_483_647)
    const hex = (length: number) => Array.from({ length }, () => (next() % 16).toString(16)).join("")
    let wrong = 0
    for (let i = 0; i < 2_000; i++) {
      const uuid = [8, 4, 4, 4, 12].map(hex).join("-")
      if (Pii.find(`id ${uuid}, ${hex(40)} at 2026-11-21T10:30:00.${next() % 1000}Z`).length > 0) wrong++
    }
    assert.isAtMost(wrong, 4)
    const passed = "1700000000000 1700000000000000 msg_01XFDUDYJgAACzvnptvVoYEL req_011CSHoEeqs5C35K2UUqR7Fy " +
      "v24.21.0 0.4111111111111111 000-12-3456 666-12-3456 12-345-6789 GMT+02:00 0x1F 10-20-30"
    assert.strictEqual(Pii.redact(passed), passed)
  })
})

describe("personal data in a stream", () => {
  it("is redacted as in the whole text, in any script", () => {
    let seed = 11
    const next = (below: number) => Math.floor((seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647 * below)
    const words = [
      "j\u00f6rg@b\u00fccher.example",
      "o'brien@example.com",
      "+49\u00a0151\u202f234\u201156789",
      "219-09-9999",
      "1-800-555-0199",
      "4111\u20114111\u20134111\u22121111",
      "\uff14\uff11\uff11\uff11",
      "1111",
      "\u00e9",
      "\u0301",
      "@",
      ".",
      "-",
      " ",
      "\u00a0",
      "\u202f",
      "\u4f60",
      "1",
      "0",
      "0.",
      "a",
      "A",
      "'",
      "\n",
      "\u{1F600}",
      "x@y.de",
      "x%40y.de",
      "%",
      ":",
      "::1",
      "DE89 3704 0044 0532 0130 00",
      "sk-ant-api03-AbCdEfGhIjKlMnOp",
      "-----BEGIN PRIVATE KEY-----\nQUJD",
      "a\u200b@\u2060b.de",
      "4111\u200b111\u00ad1\ufeff",
      "\u200b",
      "\u200d",
      "\ud83d"
    ]
    for (let run = 0; run < 1_500; run++) {
      const text = Array.from({ length: 1 + next(40) }, () => words[next(words.length)]).join("")
      const step = Steps.redacting(kinds, Pii.nameOf)
      let handed = ""
      for (let at = 0; at < text.length;) {
        const to = at + 1 + next(next(30) + 1)
        handed += step.next(text.slice(at, to)) as string
        at = to
      }
      assert.strictEqual(handed + (step.end() as string), Pii.redact(text), JSON.stringify(text))
    }
  })

  it("takes time in proportion to a hostile text, also letter by letter", () => {
    const time = (unit: string, length: number) => {
      const text = unit.repeat(length / unit.length)
      const step = Steps.redacting(kinds, Pii.nameOf)
      const start = cpuMillis()
      for (const letter of text) step.next(letter)
      step.end()
      return cpuMillis() - start
    }
    for (
      const unit of [
        "a",
        "1",
        "1 ",
        "4 7 ",
        "@",
        "a@",
        ":",
        "eyJ",
        "+1 ",
        "-",
        "\u200b",
        "1\u200b",
        `-----BEGIN PRIVATE KEY-----\n${"QUJD\n".repeat(300)}`
      ]
    ) {
      const part = time(unit, 1_600)
      assert.isBelow(time(unit, 12_800), Math.max(2_000, part * 30), unit.slice(0, 10))
    }
  }, 60_000)
})

/** Of this process: what others do on the machine is not in it. */
const cpuMillis = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}
