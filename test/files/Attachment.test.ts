import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, pipe, Stream } from "effect"
import { Claude } from "effect-claude"
import { ClaudeLanguageModel } from "effect-claude/ai"
import { Answer } from "effect-claude/testing"
import { LanguageModel } from "effect/ai"
import { Attachment } from "../../src/files/index.ts"
import { sent, setUp } from "../flow/setUp.ts"

// Each as small as it can be; only what stands in the header is read.
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))
const png = (width: number, height: number) => {
  const bytes = new Uint8Array(33)
  bytes.set(hex("89504e470d0a1a0a 0000000d 49484452"))
  new DataView(bytes.buffer).setUint32(16, width)
  new DataView(bytes.buffer).setUint32(20, height)
  return bytes
}
const gif = hex("474946383961 2823 0100 000000")
const jpeg = hex("ffd8 ffe0 0004 0000 ff ffc4 0003 00 ffc2 000b 08 0010 2328 01 011100 ffd9")
const vp8 = hex("52494646 00000000 57454250 56503820 00000000 000000 9d012a 2823 1000")
const vp8l = hex("52494646 00000000 57454250 5650384c 00000000 2f 27230000")
const vp8x = hex("52494646 00000000 57454250 56503858 0a000000 00000000 272300 0f0000")
const pdf = Buffer.from("%PDF-1.7\n1 0 obj\n")

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")
const messageOf = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ message }) => message)

describe("an attachment", () => {
  it.effect("is the block of what its bytes are, from a path, bytes and a stream", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const directory = yield* files.makeTempDirectoryScoped()
      const path = `${directory}/picture.txt`
      const bytes = png(10, 20)
      yield* files.writeFile(path, bytes)
      const expected = {
        type: "image",
        source: { type: "base64", media_type: "image/png", data: base64(bytes) }
      } as const
      assert.deepStrictEqual(yield* Attachment.image(path), expected)
      assert.deepStrictEqual(yield* Attachment.image(bytes), expected)
      assert.deepStrictEqual(yield* Attachment.image(Buffer.concat([gif, bytes]).subarray(gif.length)), expected)
      const pieces = Stream.make(bytes.subarray(0, 3), bytes.subarray(3, 9), bytes.subarray(9)).pipe(Stream.rechunk(1))
      assert.deepStrictEqual(yield* Attachment.image(pieces), expected)
      assert.deepStrictEqual(
        yield* Attachment.pdf(pdf, { title: "T", context: "C", citations: true, cache_control: { type: "ephemeral" } }),
        {
          type: "document",
          source: { type: "base64", media_type: "application/pdf", data: base64(pdf) },
          title: "T",
          context: "C",
          citations: { enabled: true },
          cache_control: { type: "ephemeral" }
        }
      )
      assert.deepStrictEqual((yield* Attachment.text(Buffer.from("\ufeffGrüße \u4f60"))).source, {
        type: "text",
        media_type: "text/plain",
        data: "Grüße \u4f60"
      })
      const missing = yield* Effect.flip(Attachment.image(`${directory}/none.png`))
      assert.strictEqual(missing._tag, "PlatformError")
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("stays where it is, by its URL or its id", () =>
    Effect.gen(function*() {
      const url = new URL("https://example.com/a")
      assert.deepStrictEqual((yield* Attachment.image({ url })).source, { type: "url", url: url.href })
      assert.deepStrictEqual((yield* Attachment.pdf({ url: url.href })).source, { type: "url", url: url.href })
      assert.deepStrictEqual((yield* Attachment.image({ fileId: "file_1" })).source, {
        type: "file",
        file_id: "file_1"
      })
      assert.deepStrictEqual((yield* Attachment.text({ fileId: "file_1" })).source, { type: "file", file_id: "file_1" })
    }))

  it.effect("is refused where its picture is too large on a side, in every form", () =>
    Effect.gen(function*() {
      for (
        const [bytes, size] of [
          [png(9000, 1), "9000 x 1"],
          [gif, "9000 x 1"],
          [jpeg, "9000 x 16"],
          [vp8, "9000 x 16"],
          [vp8l, "9000 x 1"],
          [vp8x, "9000 x 16"]
        ] as const
      ) {
        const error = yield* Effect.flip(Attachment.image(bytes))
        assert.strictEqual(error.reason._tag, "InvalidRequest")
        assert.strictEqual(error.message, `The file is ${size} pixels, and 8000 a side are allowed. Scale it down.`)
        assert.isFalse(error.retryHere)
        yield* Attachment.image(bytes, { maxPixels: 9000 })
      }
      // Cut within its header: what it is is known, and how large it is is not.
      for (const bytes of [png(1, 1).subarray(0, 12), jpeg.subarray(0, 6), vp8l.subarray(0, 18)]) {
        yield* Attachment.image(bytes)
      }
    }))

  it.effect("is what its first bytes say, whatever stands in a header that somebody made up", () =>
    Effect.gen(function*() {
      let seed = 3
      const next = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
      for (const start of [png(1, 1).subarray(0, 8), gif.subarray(0, 6), jpeg.subarray(0, 3), vp8, vp8l, vp8x]) {
        for (let i = 0; i < 300; i++) {
          const noise = Uint8Array.from({ length: next(64) }, () => next(3) === 0 ? 0xff : next(256))
          const result = yield* Effect.result(Attachment.image(Buffer.concat([start, noise])))
          if (result._tag === "Failure") assert.match(result.failure.message, /is \d+ x \d+ pixels/)
        }
      }
      // Segments without an end.
      const endless = Buffer.alloc(7_000_000, 0xff).fill(0xd8, 1, 2)
      assert.strictEqual((yield* Attachment.image(endless)).type, "image")
      const sound = Buffer.from("RIFF\0\0\0\0WAVEfmt ")
      assert.include(yield* messageOf(Attachment.image(sound)), "is no JPEG, PNG, GIF or WebP image")
    }))

  it.effect("is refused before it is read where it is too large, and no later than it is seen to be", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const path = yield* files.makeTempFileScoped()
      yield* files.writeFile(path, new Uint8Array(7_864_321))
      assert.strictEqual(
        yield* messageOf(Attachment.image(path)),
        `${
          JSON.stringify(path)
        } has 7864321 bytes, and 7864320 are allowed. Scale it down or compress it, or upload it ` +
          "with Files.upload and send its id."
      )
      let read = 0
      const endless = Stream.fromEffectRepeat(Effect.sync(() => new Uint8Array(++read && 1000)))
      assert.include(
        yield* messageOf(Attachment.pdf(endless, { maxBytes: 10_000 })),
        "The stream has at least 11000 bytes, and 10000 are allowed"
      )
      assert.isAtMost(read, 12)
      assert.include(yield* messageOf(Attachment.text(new Uint8Array(0))), "is empty")
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("is refused where it is something else, with what it is", () =>
    Effect.gen(function*() {
      assert.include(yield* messageOf(Attachment.image(pdf)), "but a PDF. Convert it, or send it with Attachment.pdf.")
      assert.include(yield* messageOf(Attachment.image(hex("00000018 66747970 68656963"))), "but a HEIC image")
      assert.include(yield* messageOf(Attachment.image(hex("00"))), "WebP image. Convert it.")
      assert.include(yield* messageOf(Attachment.image(Buffer.from("<?xml?><svg >"))), "but an SVG image. Convert it.")
      assert.include(yield* messageOf(Attachment.image(Buffer.from("\n<!doctype html>"))), "but an HTML page")
      assert.include(yield* messageOf(Attachment.pdf(gif)), "is no PDF")
      assert.include(yield* messageOf(Attachment.text(pdf.subarray(0, 9).fill(0xff, 8))), "but a PDF")
      assert.include(yield* messageOf(Attachment.text(gif)), "is no text in UTF-8, but an image. Convert it.")
    }))

  it.effect("is what its bytes are, where nobody says what it is", () =>
    Effect.gen(function*() {
      const small = png(10, 20)
      assert.deepStrictEqual(yield* Attachment.file(small, { title: "T" }), yield* Attachment.image(small))
      assert.deepStrictEqual(yield* Attachment.file(pdf, { title: "T" }), yield* Attachment.pdf(pdf, { title: "T" }))
      const text = Buffer.from("not one that begins with %PDF-")
      assert.deepStrictEqual(yield* Attachment.file(text), yield* Attachment.text(text))
      const large = Buffer.concat([small, Buffer.alloc(7_864_320)])
      assert.include(yield* messageOf(Attachment.file(large)), "and 7864320 are allowed. Scale it down")
      assert.include(yield* messageOf(Attachment.file(hex("ff00"))), "is no text in UTF-8")
    }))

  it.effect("is put together with others into requests that fit, as they come", () =>
    Effect.gen(function*() {
      let read = 0
      const files = (count: number, length: number) =>
        Stream.range(1, count).pipe(
          Stream.rechunk(1),
          Stream.tap(() => Effect.sync(() => read++)),
          Stream.mapEffect(() => Attachment.text(Buffer.from("a".repeat(length))))
        )
      const sizes = <E, R>(batches: Stream.Stream<ReadonlyArray<unknown>, E, R>) =>
        Effect.map(Stream.runCollect(batches), (batches) => batches.map(({ length }) => length))
      assert.deepStrictEqual(yield* sizes(files(45, 1).pipe(Attachment.batches())), [20, 20, 5])
      assert.deepStrictEqual(yield* sizes(files(5, 100_000).pipe(Attachment.batches({ maxBytes: 250_000 }))), [2, 2, 1])
      assert.deepStrictEqual(yield* sizes(files(2, 1000).pipe(Attachment.batches({ maxBytes: 10 }))), [1, 1])
      assert.deepStrictEqual(yield* sizes(files(45, 1).pipe(Stream.take(0), Attachment.batches())), [])
      read = 0
      yield* Stream.runDrain(files(1_000_000, 1).pipe(Attachment.batches(), Stream.take(2)))
      assert.isAtMost(read, 41)
      assert.throws(() => Attachment.batches({ maxFiles: 0 }), "Attachment.batches: maxFiles is 0; expected a whole")
    }))

  it.effect("is refused where it is too large for one of many images, and where those are too many", () =>
    Effect.gen(function*() {
      const small = yield* Attachment.image(png(2000, 2000))
      const large = yield* Attachment.image(png(2001, 1))
      const request = (images: ReadonlyArray<typeof small>): Claude.MessageRequest => ({
        messages: [{ role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [...images] }] }]
      })
      const twenty = Array.from({ length: 20 }, () => small)
      yield* Attachment.fits(request([...twenty, small]))
      yield* Attachment.fits(request([...twenty.slice(1), large]))
      assert.include(
        yield* messageOf(Attachment.fits(request([...twenty, large]))),
        "Image 21 of 21 is 2001 x 1 pixels, and a request with more than 20 images takes 2000 a side"
      )
      assert.include(
        yield* messageOf(Attachment.fits(request(Array.from({ length: 601 }, () => small)))),
        "has 601 images, and the API takes 600"
      )
    }))

  it.effect("is a part of a prompt of effect/ai, and goes out as the same block", () => {
    const { layer } = setUp([Answer.text("Seen.")])
    return Effect.gen(function*() {
      const all = [
        yield* Attachment.image(png(1, 1), { cache_control: { type: "ephemeral", ttl: "1h" } }),
        yield* Attachment.image({ url: "https://example.com/a.png" }),
        yield* Attachment.image({ fileId: "file_1" }),
        yield* Attachment.pdf(pdf, { title: "T", context: "C", citations: true }),
        yield* Attachment.pdf({ url: "https://example.com/a.pdf" }),
        yield* Attachment.pdf({ fileId: "file_2" }),
        yield* Attachment.text(Buffer.from("https://example.com/ is a text"), { title: "T" })
      ]
      yield* LanguageModel.generateText({
        prompt: [{ role: "user", content: all.map((attachment) => Attachment.toPart(attachment)) }]
      })
      const [{ body }] = yield* sent as never as Effect.Effect<[{ body: Claude.MessageRequest }]>
      assert.deepStrictEqual(body.messages, [{ role: "user", content: all }])
    }).pipe(
      Effect.provide(ClaudeLanguageModel.layer({ model: "claude-opus-5-5" }).pipe(Layer.provideMerge(layer)))
    )
  })

  it.effect("goes out in a message, which is refused where it is too large as a whole", () => {
    const { layer } = setUp([Answer.text("A cat.")])
    return Effect.gen(function*() {
      const block = yield* Attachment.image(png(1, 1))
      const request: Claude.MessageRequest = {
        messages: [{ role: "user", content: [block, { type: "text", text: "What?" }] }]
      }
      assert.strictEqual(yield* pipe(request, Attachment.fits, Effect.flatMap(Claude.text)), "A cat.")
      const big = yield* Attachment.pdf(Buffer.concat([pdf, Buffer.alloc(12_000_000)]))
      const error = yield* Effect.flip(Attachment.fits({ messages: [{ role: "user", content: [big, big, big] }] }))
      assert.strictEqual(error.reason._tag, "RequestTooLarge")
      assert.match(error.message, /^The request has 4800\d{4} bytes, and the API takes 33554432/)
      const umlauts = { messages: [{ role: "user" as const, content: "ü".repeat(17_000_000) }] }
      assert.include(yield* messageOf(Attachment.fits(umlauts)), "34000")
      assert.lengthOf(yield* sent, 1)
    }).pipe(Effect.provide(layer))
  })
})
