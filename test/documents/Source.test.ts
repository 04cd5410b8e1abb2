/** Sources as they come: halves of characters, blanks, nothing that could be cut at, nothing at all, and what hangs. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import * as LongDocument from "../../src/documents/LongDocument.ts"
import { after, chunksOf, longError, make, MAP, settle, setUp } from "./setUp.ts"
import { prose } from "./support.ts"

const own = (chunks: ReadonlyArray<LongDocument.Chunk>) =>
  chunks.map(({ overlap, text }) => text.slice(overlap)).join("")

describe("a source", () => {
  it.effect("of another encoding is decoded before it comes", () => {
    const { layer, maps } = setUp()
    return Effect.gen(function*() {
      const text = "Grüße aus Zürich, \u{1F600}."
      const bytes = Buffer.from(`\uFEFF${text}`, "utf16le")
      const pieces = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
      const source = Stream.fromIterable(pieces).pipe(Stream.decodeText({ encoding: "utf-16" }))
      const { totals } = yield* make().result(source)
      assert.deepStrictEqual(maps().map(({ prompt }) => prompt), [MAP + text])
      assert.strictEqual(totals.bytes, Buffer.byteLength(text))
    }).pipe(Effect.provide(layer))
  })

  it.effect("is asked about without halves of characters, which no request may hold", () => {
    const { layer, maps } = setUp()
    return Effect.gen(function*() {
      const pieces = ["A half \uD83D", "\uDE00 put together. ", "\uDE00 Alone, \uD83D.", "\uD83D"]
      const chunks = yield* chunksOf(Stream.fromIterable(pieces))
      assert.strictEqual(own(chunks), "A half \u{1F600} put together. \uFFFD Alone, \uFFFD.\uFFFD")
      for (const { prompt } of maps()) assert.isTrue(prompt.isWellFormed())
      assert.strictEqual(chunks.at(-1)!.range.end, pieces.join("").length)
      assert.strictEqual(chunks.at(-1)!.range.endByte, Buffer.byteLength(pieces.join("")))
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not asked about where it is blank, since the API takes no such request", () => {
    const { layer, maps } = setUp()
    return Effect.gen(function*() {
      const text = `${" \n".repeat(9000)}${prose(4000)}${"\n".repeat(20_000)}${prose(4000)}${"\r\n\t".repeat(9000)}`
      for (const overlap of [0, 100]) {
        const chunks = yield* chunksOf(text, { chunk: { tokens: 500, overlap } })
        for (const { overlap, text } of chunks) assert.notStrictEqual(text.slice(overlap).trim(), "")
        assert.deepStrictEqual(chunks.map(({ index }) => index), chunks.map((_, index) => index))
        for (const { overlap, range, text: asked } of chunks) {
          assert.strictEqual(asked, text.slice(range.start - overlap, range.end))
        }
        assert.strictEqual(own(chunks).replaceAll(/\s/g, ""), text.replaceAll(/\s/g, ""))
      }
      const { totals } = yield* make().result(text)
      assert.strictEqual(totals.bytes, Buffer.byteLength(text))
      for (const { prompt } of maps()) assert.notStrictEqual(prompt.slice(MAP.length).trim(), "")

      const { message, reason } = longError(yield* Effect.flip(make().result(" \n\n\t".repeat(5000))))
      assert.strictEqual(reason._tag, "Empty")
      assert.strictEqual(message, "There is no text in the document, so nothing to ask about. Check its source.")
    }).pipe(Effect.provide(layer))
  })

  it.effect("of one line, one emoji sequence, or one letter under accents is cut all the same", () => {
    const { layer } = setUp((prompt) => Answer.text(prompt.slice(0, 6)))
    return Effect.gen(function*() {
      for (
        const text of [
          "x".repeat(100_000),
          "日".repeat(30_000),
          "\u{1F468}\u200D".repeat(20_000),
          `e${"\u0301".repeat(50_000)}`,
          `a${"\u{E0101}".repeat(20_000)}`,
          "\u{1F1E9}".repeat(20_001),
          "z\r\n".repeat(2000) + "y\r".repeat(5000) + "y\r\n".repeat(10_000)
        ]
      ) {
        const chunks = yield* chunksOf(text, { chunk: { tokens: 2000, overlap: 50 } })
        assert.isAbove(chunks.length, 1)
        assert.strictEqual(own(chunks), text)
        for (const { overlap, text } of chunks) {
          assert.isTrue(text.isWellFormed())
          assert.isFalse(text.slice(overlap).startsWith("\n"))
        }
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("of nothing, also in pieces, is told as such", () => {
    const { layer, requests } = setUp()
    return Effect.gen(function*() {
      for (const source of ["", Stream.empty, Stream.make("", new Uint8Array(), "")]) {
        assert.strictEqual(longError(yield* Effect.flip(make().result(source))).reason._tag, "Empty")
      }
      assert.deepStrictEqual(requests, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("that fails in the middle ends the work as it failed, and what was done by then is told", () => {
    const { layer } = setUp()
    return Effect.gen(function*() {
      const source = Stream.concat(Stream.succeed(prose(20_000)), Stream.fail("no disk" as const))
      const events: Array<LongDocument.Progress> = []
      const error = yield* Effect.flip(
        Stream.runForEach(make().run(source), (event) => Effect.sync(() => events.push(event)))
      )
      assert.strictEqual(error, "no disk")
      assert.isAbove(events.length, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("that hangs holds up neither what it has brought nor an interruption", () => {
    const { layer, maps } = setUp()
    return Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const source = Stream.concat(Stream.succeed(prose(20_000)), Stream.never).pipe(
        Stream.ensuring(Deferred.succeed(closed, undefined))
      )
      const events: Array<LongDocument.Progress> = []
      // One call at a time: a read that waits must not stand in the way of the reductions.
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(
          make({ concurrency: 1, fanIn: 2 }).run(source),
          (event) => Effect.sync(() => events.push(event))
        )
      )
      yield* settle
      yield* after("1 minute")
      assert.isAbove(maps().length, 8)
      assert.strictEqual(events.filter(({ _tag }) => _tag === "Mapped").length, maps().length)
      assert.isAtLeast(events.filter(({ _tag }) => _tag === "Reduced").length, maps().length / 2 - 1)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(closed)
    }).pipe(Effect.provide(layer))
  })
})
