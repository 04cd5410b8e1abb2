import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { Accumulator } from "../../src/decode/Accumulator.ts"
import { type Decoder, decoderFor } from "../../src/decode/Event.ts"

const shared = new URL("../../../shared/fixtures/", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, shared))

const fold = (chunks: Iterable<Uint8Array>) => {
  const decoder = decoderFor("text/event-stream; charset=utf-8") as Decoder
  const accumulator = new Accumulator()
  for (const chunk of chunks) accumulator.add(decoder.push([chunk]))
  if (accumulator.failure !== undefined) throw accumulator.failure.failure
  return JSON.parse(JSON.stringify(accumulator.message()))
}
const cut = function*(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
const names = existsSync(shared)
  ? readdirSync(new URL("streams/", shared)).filter((name) => name.endsWith(".sse")).map((name) => name.slice(0, -4))
  : []

describe.skipIf(names.length === 0)("recorded streams", () => {
  it.each(names)("%s folds to what the SDK makes of it, whole and cut at every byte", (name) => {
    const bytes = read(`streams/${name}.sse`)
    const { stable, beta } = JSON.parse(read(`expected/${name}.json`).toString())
    const expected = beta === "same as stable" ? stable : beta
    if (!expected.ok) {
      assert.throws(() => fold([bytes]), /message_start/)
      return
    }
    assert.deepStrictEqual(fold([bytes]), expected.message)
    for (const size of [1, 2, 3, 5, 7, 61, 1021]) assert.deepStrictEqual(fold(cut(bytes, size)), expected.message)
    const step = Math.max(1, Math.floor(bytes.length / 400))
    for (let at = 0; at <= bytes.length; at += step) {
      assert.deepStrictEqual(fold([bytes.subarray(0, at), bytes.subarray(at)]), expected.message)
    }
    const crlf = Buffer.from(bytes.toString().replaceAll("\n", "\r\n"))
    assert.deepStrictEqual(fold([crlf]), expected.message)
    assert.deepStrictEqual(fold(cut(crlf, 1)), expected.message)
  })
})
