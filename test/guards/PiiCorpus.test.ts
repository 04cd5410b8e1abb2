/** What programs, logs and papers are full of, and what of it is nobody's data. */
import { assert, describe, it } from "@effect/vitest"
import { createHash, randomUUID } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { Pii } from "../../src/guards/index.ts"

const passed: Readonly<Record<string, ReadonlyArray<string>>> = {
  "source code": [
    "const every = list[1::2] + list[::3]; matrix @ other.T; std::vector<int>::iterator it = a1::begin();",
    "h2::before, b2::before, .e2::after { content: \"\" } /* sk-toggleable__label-arrow sk-folding-cube-wrapper */",
    "<img src=\"logo@2x.png\" srcset=\"logo@1.5x.png 1.5x\"> npm install next@15.0.0-canary.beta zod@4.1.0",
    "import { x } from \"@scope/package\"; @app.route(\"/\") def f(self): return x[0:10]",
    "0x4111111111111111 4111111111111111n_ f(t,n)+4294967296*g a[0]+4294967296 6.02214076e23 0b1010 1_000_000_000_000_000 0755",
    "git diff a1b2c3d..e4f5a6b @@ -12,7 +12,9 @@ index 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha512-9Yw1q6bJSIQbqGv6rFhhHqRuNqBq1mcPp0iH1Xn2dX7v6q4m1Q==, sha256:e3b0c44298fc1c149afbf4c8996fb924"
  ],
  "logs": [
    "2026-11-21T10:30:00.123456789+02:00 INFO pid=41111 took 1234567890123ns at 1700000000.123456",
    "2026-11-21-10-30-00.log 20261121103000 20261121-103000-4567 [21/Nov/2026:10:30:00 +0000] \"GET / HTTP/1.1\" 200",
    "00000001 0000012345 0012345678 job 000123456789 offset=4611686018427387904",
    "mac 00:1a:2b:3c:4d:5e, fingerprint 43:51:43:a1:b5:fc:8b:b7:0a:3a:a9:b1:0f:66:73:a8, 12:34:56.789",
    "req_011CSHoEeqs5C35K2UUqR7Fy msg_01XFDUDYJgAACzvnptvVoYEL toolu_01D7FLrfh4GYq7yT1ULFeyMV"
  ],
  "papers and shops": [
    "ISBN 978-3-16-148410-0, ISBN-10 3-16-148410-X, ISSN 2049-3630, doi:10.1000/182, arXiv:2401.12345v2",
    "EAN 9783161484100, Boston, MA 02110-1301, Newark NJ 07102-4567, 10115 Berlin, SW1A 1AA",
    "pp. 100-200, 1,234,567.89 EUR, 12.345.678,90 EUR, 01.02.2026-03.04.2026, 05/06/2026, 3:2, 50-60-70",
    "Version 10.15.7, Chrome/120.0.0, section 12.3.4, scores 21-19-15-13, 100 200 300 400 500"
  ]
}

describe("what is nobody's", () => {
  for (const [name, texts] of Object.entries(passed)) {
    it(`stays as it is in ${name}`, () => {
      for (const text of texts) assert.strictEqual(Pii.redact(text), text)
    })
  }

  it("stays as it is in all but a few of many made-up identifiers", () => {
    const made: Readonly<Record<string, (i: number) => string>> = {
      uuid: () => randomUUID(),
      hash: (i) => createHash("sha256").update(`${i}`).digest("hex"),
      base64: (i) => createHash("sha512").update(`${i}`).digest("base64"),
      millis: (i) => String(1_700_000_000_000 + i * 86_400_123),
      nanos: (i) => String(1_700_000_000_000_000_000n + BigInt(i) * 86_400_000_123_457n),
      snowflake: (i) => String((BigInt(1_000 + i) << 50n) + BigInt(i * 7919)),
      order: (i) => `2026-${String(i).padStart(6, "0")}-${(i * 7919) % 97}`,
      padded: (i) => String(i * 7919).padStart(10, "0"),
      decimal: (i) => `0.${String(Math.abs(Math.sin(i + 1))).slice(2)} ${Math.exp(i / 100)}`
    }
    for (const [name, make] of Object.entries(made)) {
      let wrong = 0
      for (let i = 0; i < 2_000; i++) if (Pii.find(`id=${make(i)} (${make(i)})`).length > 0) wrong++
      assert.isAtMost(wrong, 40, name)
    }
  })

  it("stays as it is in the sources of this library", () => {
    for (const folder of ["src", "src/admission", "src/decode", "src/request", "src/transport", "src/telemetry"]) {
      for (const name of readdirSync(folder).filter((name) => name.endsWith(".ts"))) {
        const text = readFileSync(`${folder}/${name}`, "utf8")
        assert.deepStrictEqual(
          Pii.find(text, { kinds: ["email", "phone", "iban", "card", "ssn", "key"] }).map(({ end, start }) =>
            text.slice(start, end)
          ),
          [],
          name
        )
      }
    }
  })
})
