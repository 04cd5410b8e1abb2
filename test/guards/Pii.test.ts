import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Guard, Pii } from "../../src/guards/index.ts"
import { kinds } from "../../src/guards/PiiPatterns.ts"
import * as Steps from "../../src/guards/Steps.ts"

// Made up, with check digits that hold; the first IBANs are the examples of their registry.
const found: ReadonlyArray<readonly [text: string, redacted: string]> = [
  ["Write to jane.doe+news@mail.example.co.uk, please.", "Write to [EMAIL], please."],
  ["<a@b.de> and (c_d@e-f.org).", "<[EMAIL]> and ([EMAIL])."],
  ["mailto:x@y.com?subject=1", "mailto:[EMAIL]?subject=1"],
  ["Call +49 (0)151 234-56789 now", "Call [PHONE] now"],
  ["Call +1 415 555 0132.", "Call [PHONE]."],
  ["(415) 555-0132 or 415-555-0132", "[PHONE] or [PHONE]"],
  ["Tel. 030/1234 567, 020 7946 0958, 06 12 34 56 78", "Tel. [PHONE], [PHONE], [PHONE]"],
  ["Pay DE89 3704 0044 0532 0130 00 today", "Pay [IBAN] today"],
  ["GB29NWBK60161331926819, MT84 MALT 0110 0001 2345 MTLC AST0 01S!", "[IBAN], [IBAN]!"],
  ["DE89 3704 0044 0532 0130 00 IST GUT", "[IBAN] IST GUT"],
  ["Card 4111 1111 1111 1111 exp 12/29", "Card [CARD] exp 12/29"],
  ["378282246310005 and 5555-5555-5555-4444", "[CARD] and [CARD]"],
  ["No 12 4111 1111 1111 1111 22", "No 12 [CARD] 22"],
  ["from 192.168.0.12:8080 to 10.0.0.1.", "from [IP]:8080 to [IP]."],
  ["[2001:db8::8a2e:370:7334]:443, fe80::1: up, ::ffff:10.1.2.3", "[[IP]]:443, [IP]: up, [IP]"],
  ["key=sk-ant-api03-AbCdEfGhIjKlMnOp_q-rs", "key=[KEY]"],
  ["AKIAIOSFODNN7EXAMPLE ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[KEY] [KEY]"],
  ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123 ok", "[KEY] ok"],
  [
    String.raw`{"private_key":"-----BEGIN PRIVATE KEY-----\nMIIE/+az\nabcd==\n-----END PRIVATE KEY-----\n"}`,
    String.raw`{"private_key":"[KEY]\n"}`
  ],
  [
    "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIB+/09az\nAbCd=\n-----END RSA PRIVATE KEY-----\nb",
    "a\n[KEY]\nb"
  ]
]

const passed = [
  "On 2026-11-21 at 10:30:00 it cost 1,234.56 EUR; on 01.02.2026 and 05/06/2026 more.",
  "std::vector<a::b>, 3.14159265358979, v1.2.3, 999.1.2.3, order 4111111111111112, 12345678",
  "user@localhost, @handle, a @ b.com, DE00 3704 AAAA 0532 ABCD 00, sk-learn, eyJust.eyJab",
  "Zeit 08:30, Seiten 100-200, ISBN 978-3-16-148410-0, § 12 Abs. 3"
]

/** Of this process: what others do on the machine is not in it. */
const cpuMillis = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

describe("personal data", () => {
  it("is found in the forms that people write it in", () => {
    for (const [text, redacted] of found) assert.strictEqual(Pii.redact(text), redacted)
  })

  it("is not found in dates, prices, versions, code and numbers whose check fails", () => {
    for (const text of passed) assert.strictEqual(Pii.redact(text), text)
  })

  it("is looked for by kind, and a kind that is none is refused by name", () => {
    assert.strictEqual(Pii.redact("a@b.de 10.0.0.1", { kinds: ["ip"] }), "a@b.de [IP]")
    assert.deepStrictEqual(Pii.find("to a@b.de"), [{ kind: "email", start: 3, end: 9 }])
    assert.throws(
      () => Pii.redact("", { kinds: [...["name"]] as never }),
      /Pii\.redact: kinds has "name"; expected some/
    )
  })

  it("comes back out of a vault, one placeholder for each value", () => {
    const vault = Pii.vault()
    const hidden = vault.hide("a@b.de, c@d.de, a@b.de, 10.0.0.1")
    assert.strictEqual(hidden, "[EMAIL_1], [EMAIL_2], [EMAIL_1], [IP_1]")
    assert.strictEqual(
      vault.restore(`Dear [EMAIL_2], not [EMAIL_9]: ${hidden}`),
      "Dear c@d.de, not [EMAIL_9]: a@b.de, c@d.de, a@b.de, 10.0.0.1"
    )
  })

  it("comes back from what models make of a placeholder, and is not put where a text had one of its own", () => {
    const vault = Pii.vault()
    assert.strictEqual(
      vault.hide("[EMAIL_1] and [email_2] are not a@b.de, nor c@d.de"),
      "[EMAIL_1] and [email_2] are not [EMAIL_3], nor [EMAIL_4]"
    )
    // Those that are the vault's own stay so.
    assert.strictEqual(vault.hide("again [EMAIL_3] and e@f.de"), "again [EMAIL_3] and [EMAIL_5]")
    assert.strictEqual(
      vault.restore("[EMAIL_1], [email_3], [EMAIL\\_4], [Email_5](mailto:[EMAIL_5]), [EMAIL_04] [EMAIL_ 4]"),
      "[EMAIL_1], a@b.de, c@d.de, e@f.de(mailto:e@f.de), [EMAIL_04] [EMAIL_ 4]"
    )
  })

  it("takes time in proportion to a hostile text", () => {
    const size = 400_000
    const rows: Array<readonly [string, number, number]> = []
    const units = [
      "a",
      "1",
      "1 ",
      "4 7 ",
      "1-",
      "a@",
      "@",
      "a.",
      "a@a.",
      "1.",
      ":",
      "a:",
      "1:",
      "::1 ",
      "AA11",
      "AA11 ",
      "AA11 AAAA ",
      "+1 ",
      "+",
      "(",
      "0 ",
      "00",
      "01 23 ",
      "4111 ",
      "4111 1111 1111 111",
      "sk-",
      "eyJ",
      "eyJaaaaaaaa.",
      "eyJaaaaaaaa.eyJ",
      "-----BEGIN ",
      "-----BEGIN PRIVATE KEY-----",
      "A ",
      " ",
      "(415) ",
      "\u4f60",
      "ghp_a",
      "[EMAIL_1",
      "[",
      "\u200b",
      "1\u200b",
      "sk-aaaa "
    ]
    for (const unit of units) {
      const time = (length: number) => {
        const text = unit.repeat(Math.ceil(length / unit.length))
        const start = cpuMillis()
        Pii.redact(text)
        return cpuMillis() - start
      }
      time(10_000)
      rows.push([unit, time(size / 8), time(size)])
    }
    // Eight times the text in 64 times the time would be a square; a pause of the machine is no square either.
    for (const [unit, eighth, whole] of rows) {
      assert.isBelow(whole, Math.max(5_000, eighth * 30), JSON.stringify(unit))
    }
    if (process.env["GUARDS_TIMES"]) console.log(rows.map((row) => row.join(" ")).join("\n"))
  }, 60_000)
})

describe("personal data in a stream", () => {
  const streamed = (pieces: ReadonlyArray<string>, guard = Guard.redactPii()) =>
    Stream.fromIterable(pieces).pipe(Stream.rechunk(1), Guard.outputStream(guard), Stream.runCollect)

  const text = found.map(([text]) => text).concat(passed).join(" then \u4f60\u597d \u{1F600} ")

  it.effect("is redacted as in the whole text, wherever the text is cut", () =>
    Effect.gen(function*() {
      const whole = Pii.redact(text)
      for (const size of [1, 2, 3, 7, 16, 50, 1000]) {
        for (const offset of size > 7 ? [0, 1, 2, 3, 5, 11] : [0]) {
          const pieces = [text.slice(0, offset)]
          for (let at = offset; at < text.length; at += size) pieces.push(text.slice(at, at + size))
          assert.strictEqual((yield* streamed(pieces)).join(""), whole, `${size} from ${offset}`)
        }
      }
      for (const [text, redacted] of found) {
        for (let cut = 0; cut <= text.length; cut++) {
          assert.strictEqual(
            (yield* streamed([text.slice(0, cut), text.slice(cut)])).join(""),
            redacted,
            `${cut} of ${text}`
          )
        }
      }
    }))

  it("is redacted as in the whole text, also where all of it looks like something", () => {
    // A generator of its own, so that a failure comes back.
    let seed = 1
    const next = (below: number) => Math.floor((seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647 * below)
    const words = found.flatMap(([text]) => text.split(" ")).concat(
      " ",
      " ",
      "\n",
      " of the ",
      "_",
      "(",
      "0",
      "-",
      "\u4f60"
    )
    for (let run = 0; run < 1_000; run++) {
      const text = Array.from({ length: 1 + next(80) }, () => words[next(words.length)]).join("")
      const step = Steps.redacting(kinds, Pii.nameOf)
      let handed = ""
      for (let at = 0; at < text.length;) {
        const to = at + 1 + next(next(40) + 1)
        handed += step.next(text.slice(at, to)) as string
        at = to
      }
      assert.strictEqual(handed + (step.end() as string), Pii.redact(text), text)
    }
  })

  it.effect("holds prose back by a word, and numbers no further than they can go", () =>
    Effect.gen(function*() {
      const handed: Array<string> = []
      const lag: Array<number> = []
      let sent = 0
      const pieces = Stream.fromIterable(Array.from("It was a bright cold day in April, and the clocks were striking."))
        .pipe(
          Stream.rechunk(1),
          Stream.tap(() => Effect.sync(() => lag.push(++sent - handed.join("").length)))
        )
      yield* Stream.runForEach(Guard.outputStream(Guard.redactPii())(pieces), (text) =>
        Effect.sync(() => handed.push(text)))
      assert.isAtMost(Math.max(...lag), 12)
      const digits = yield* streamed(["1 ".repeat(5_000)])
      assert.isAtLeast(digits[0]!.length, 10_000 - 400)
    }))

  it.effect("never holds more than a bound, and ends a text whose key never ends", () =>
    Effect.gen(function*() {
      const endless = `-----BEGIN PRIVATE KEY-----\n${"QUJD\n".repeat(20_000)}`
      const pieces = endless.match(/[\s\S]{1,100}/g)!
      let sent = 0
      let most = 0
      let handed = 0
      yield* Stream.fromIterable(pieces).pipe(
        Stream.rechunk(1),
        Stream.tap((piece) => Effect.sync(() => most = Math.max(most, (sent += piece.length) - handed))),
        Guard.outputStream(Guard.redactPii()),
        Stream.runForEach((text) => Effect.sync(() => handed += text.length))
      )
      assert.isBelow(most, 40_000)
    }))

  it.effect("is refused before any of it is handed on", () =>
    Effect.gen(function*() {
      const handed: Array<string> = []
      const error = yield* Stream.fromIterable(["The key is AKIA", "IOSFODNN7", "EXAMPLE."]).pipe(
        Stream.rechunk(1),
        Guard.outputStream(Guard.noPii()),
        Stream.runForEach((text) => Effect.sync(() => handed.push(text))),
        Effect.flip
      )
      assert.strictEqual(handed.join(""), "The key is ")
      assert.deepStrictEqual([error.guard, error.where], ["noPii", "output"])
      assert.notInclude(error.message, "AKIA")
    }))

  it.effect("comes back out of a vault, wherever a placeholder is cut", () =>
    Effect.gen(function*() {
      const vault = Pii.vault()
      vault.hide("a@b.de 10.0.0.1")
      const answer = "[[EMAIL_1]], [IP\\_1] and [X] or [EMAIL"
      for (let size = 1; size < 9; size++) {
        const pieces = answer.match(new RegExp(`.{1,${size}}`, "g"))!
        assert.strictEqual(
          (yield* streamed(pieces, Guard.restorePii(vault))).join(""),
          "[a@b.de], 10.0.0.1 and [X] or [EMAIL"
        )
      }
    }))
})
