import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Layer, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as LongDocument from "../../src/documents/LongDocument.ts"
import {
  after,
  chunksOf,
  counted,
  failureOf,
  inPieces,
  isCount,
  longError,
  make,
  MAP,
  promptOf,
  REDUCE,
  type Respond,
  settle,
  setUp,
  tokensOf
} from "./setUp.ts"
import { prose } from "./support.ts"

// -----------------------------------------------------------------------------

describe("chunks", () => {
  it.effect("are the document when put together without their overlaps, and say where they are in it", () => {
    const { layer } = setUp()
    return Effect.gen(function*() {
      for (const [seed, overlap] of [[1, 0], [2, 0], [3, 40], [4, 200]] as const) {
        const text = prose(20_000, seed)
        const chunks = yield* chunksOf(text, { chunk: { tokens: 500, overlap } })
        assert.isAbove(chunks.length, 10)
        assert.strictEqual(chunks.map(({ overlap, text }) => text.slice(overlap)).join(""), text)
        let at = { end: 0, endByte: 0 }
        for (const { overlap, range, text: asked } of chunks) {
          assert.strictEqual(asked, text.slice(range.start - overlap, range.end))
          assert.deepStrictEqual([range.start, range.startByte], [at.end, at.endByte])
          assert.strictEqual(range.endByte - range.startByte, Buffer.byteLength(text.slice(range.start, range.end)))
          at = range
        }
        assert.strictEqual(chunks.slice(1).every((chunk) => (chunk.overlap > 0) === (overlap > 0)), true)
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("are never asked about in a request of more tokens than allowed, and mostly use what is", () => {
    const { layer, maps, counts } = setUp()
    return Effect.gen(function*() {
      // Dense in the middle: what was learned from prose is wrong there.
      const text = prose(20_000) + "日本語 ".repeat(2000) + "a b c d ".repeat(2000) + prose(10_000)
      yield* make({ chunk: { tokens: 500, overlap: 50 } }).result(text)
      const tokens = maps().map(({ prompt }) => tokensOf(prompt))
      assert.isAtMost(Math.max(...tokens), 500)
      assert.isAbove(tokens.reduce((sum, each) => sum + each) / tokens.length, 350)
      // Those sent were counted, but for a last one that is too short to be in doubt; few were counted in vain.
      const all = new Set(counts().map(({ prompt }) => prompt))
      for (const { prompt } of maps()) assert.isTrue(all.has(prompt) || Buffer.byteLength(prompt) < 500)
      assert.isBelow(counts().length, maps().length * 1.4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("have less overlap where what map says leaves little room", () => {
    const { layer, maps } = setUp()
    return Effect.gen(function*() {
      const text = prose(8000)
      const document = make({
        chunk: { tokens: 500, overlap: 250 },
        map: (chunk) => ({ prompt: MAP + chunk.text + " More words.".repeat(100) })
      })
      const { totals } = yield* document.result(text)
      assert.strictEqual(totals.bytes, Buffer.byteLength(text))
      for (const { prompt } of maps()) assert.isAtMost(tokensOf(prompt), 500)
    }).pipe(Effect.provide(layer))
  })

  it.effect("are the same whatever pieces the document comes in", () => {
    const { layer } = setUp()
    // Of a byte for each character, and many places where a few more tell whether to cut.
    const plain = prose(9000).replaceAll(/[^\n -~]/g, "").replaceAll(". ", ".\n###### ")
    const text = `\uFEFF${prose(6000)}\u{1F468}\u200D\u{1F469}\u200D\u{1F467} `.repeat(2) + "日本。".repeat(500)
    return Effect.gen(function*() {
      for (const document of [text, plain]) {
        for (const chunk of [{ tokens: 300, overlap: 30 }, { tokens: 300 }, { tokens: 3000, overlap: 500 }]) {
          const whole = yield* chunksOf(document, { chunk })
          assert.isAbove(whole.length, document === plain && chunk.tokens === 3000 ? 0 : 1)
          for (let seed = 1; seed <= 6; seed++) {
            assert.deepStrictEqual(yield* chunksOf(inPieces(document, seed), { chunk }), whole, `seed ${seed}`)
          }
        }
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect("tell of bytes that are no text by the mark that stands for them", () => {
    const { layer, maps } = setUp()
    return Effect.gen(function*() {
      const half = new TextEncoder().encode("é").subarray(0, 1)
      yield* make().result(Stream.make("a", half, "b", half))
      assert.deepStrictEqual(maps().map(({ prompt }) => prompt), [`${MAP}a\uFFFDb\uFFFD`])
    }).pipe(Effect.provide(layer))
  })

  it.effect("end where sections, paragraphs or sentences do", () => {
    const { layer } = setUp()
    return Effect.gen(function*() {
      const chunks = yield* chunksOf(prose(30_000), { chunk: { tokens: 500, overlap: 60 } })
      for (const { text } of chunks) assert.match(text, /[.]\s+$/)
      for (const { overlap, text } of chunks.slice(1)) assert.match(text, overlap === 0 ? /^#/ : /^[^.\s]/)
      assert.isAbove(
        chunks.filter(({ overlap, text }) => text.slice(overlap).startsWith("# ")).length,
        chunks.length / 3
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("of a short document need no count", () => {
    const { layer, requests } = setUp()
    return Effect.gen(function*() {
      const { text } = yield* make().result("A short document.")
      assert.strictEqual(text, `m${MAP.length + 17}`)
      assert.deepStrictEqual(requests, [{ prompt: `${MAP}A short document.`, isCount: false }])
    }).pipe(Effect.provide(layer))
  })

  it.effect("may be read from a file", () => {
    const { layer } = setUp()
    const text = prose(5000)
    const files = FileSystem.layerNoop({
      stream: (path) =>
        path === "book.txt" ? inPieces(text, 2).pipe(Stream.filter((piece) => typeof piece !== "string")) : Stream.empty
    })
    return Effect.gen(function*() {
      const { totals } = yield* make().result(LongDocument.file("book.txt"))
      assert.strictEqual(totals.bytes, Buffer.byteLength(text))
    }).pipe(Effect.provide(Layer.merge(layer, files)))
  })
})

describe("reduction", () => {
  /** Answers that tell in which order what was asked. */
  const told: Respond = (prompt) =>
    Answer.text(
      prompt.startsWith(MAP) ? `c${/\d+/.exec(prompt)?.[0]}` : `(${prompt.slice(REDUCE.length).replaceAll("|", " ")})`
    )
  /** A document of so many chunks: each takes all there is. */
  const documentOf = (chunks: number) =>
    Array.from({ length: chunks }, (_, index) => `# ${String(index).padStart(4, "0")} ${"word ".repeat(38)}\n`).join("")
  const perByte: Respond = (prompt) =>
    Answer.raw([JSON.stringify({ input_tokens: Buffer.byteLength(prompt) })], { contentType: "application/json" })

  it.effect("does not happen to one answer", () => {
    const { layer, reductions } = setUp(told, perByte)
    return Effect.gen(function*() {
      assert.strictEqual((yield* make({ chunk: { tokens: 240 } }).result(documentOf(1))).text, "c0000")
      assert.deepStrictEqual(reductions(), [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is of two answers one request", () => {
    const { layer, reductions } = setUp(told, perByte)
    return Effect.gen(function*() {
      assert.strictEqual((yield* make({ chunk: { tokens: 240 } }).result(documentOf(2))).text, "(c0000 c0001)")
      assert.deepStrictEqual(reductions().map(({ prompt }) => prompt), [`${REDUCE}c0000|c0001`])
    }).pipe(Effect.provide(layer))
  })

  it.effect("is of as many as may be, and of no answer alone", () => {
    const { layer, reductions } = setUp(told, perByte)
    return Effect.gen(function*() {
      const events = yield* Stream.runCollect(make({ chunk: { tokens: 240 }, fanIn: 2 }).run(documentOf(5)))
      const parts = events.flatMap((event) => event._tag === "Reduced" ? [event.part] : [])
      assert.deepStrictEqual(parts.map(({ index, level }) => [level, index]), [[1, 0], [1, 1], [2, 0], [3, 0]])
      assert.strictEqual(parts.at(-1)!.text, "(((c0000 c0001) (c0002 c0003)) c0004)")
      assert.strictEqual(reductions().length, 4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is tried of two, however little room is guessed", () => {
    const { layer, reductions } = setUp(
      (prompt) => Answer.text(prompt.startsWith(MAP) ? "x".repeat(115) : "short"),
      perByte
    )
    return Effect.gen(function*() {
      // Two of them are one token less than may be, which a guess leaves free.
      yield* make({ chunk: { tokens: 240 } }).result(documentOf(8))
      const sizes = reductions().map(({ prompt }) => prompt.split("|").length)
      assert.deepStrictEqual(sizes, [2, 2, 2, 2, 4])
    }).pipe(Effect.provide(layer))
  })

  it.effect("of a thousand is a tree whose requests all fit, in the document's order whoever answers first", () => {
    const millis = (prompt: string, index: number) => prompt.startsWith(MAP) ? (index * 7919) % 50 : 20 + index % 13
    const { counts, layer, maps, reductions } = setUp(
      (prompt, index) =>
        prompt.startsWith(MAP)
          ? Answer.delay(millis(prompt, index), Answer.text(`c${/\d+/.exec(prompt)?.[0]} ${".".repeat(28)}`))
          : Answer.delay(
            millis(prompt, index),
            Answer.text(`<${/c\d+/.exec(prompt)?.[0]} to ${prompt.match(/c\d+/g)?.at(-1)}>`)
          ),
      perByte
    )
    return Effect.gen(function*() {
      const document = make({ chunk: { tokens: 240 }, concurrency: 16, fanIn: 10 })
      const fiber = yield* Effect.forkChild(document.result(documentOf(1000)))
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("5 millis")
      const { text, totals } = yield* Fiber.join(fiber)
      assert.strictEqual(text, "<c0000 to c0999>")
      assert.deepStrictEqual([maps().length, totals.mapped, totals.reduced], [1000, 1000, reductions().length])
      assert.isBelow(reductions().length, 300)
      for (const { prompt } of reductions()) {
        assert.isAtMost(Buffer.byteLength(prompt), 240)
        const parts = prompt.slice(REDUCE.length).split("|")
        assert.isAtLeast(parts.length, 2)
        assert.isAtMost(parts.length, 10)
        // Of neighbours, in order.
        const ends = parts.map((part) => part.match(/\d+/g)!.map(Number))
        for (let index = 1; index < ends.length; index++) {
          assert.strictEqual(ends[index]![0], ends[index - 1]!.at(-1)! + 1)
        }
      }
      assert.isBelow(counts().filter(({ prompt }) => prompt.startsWith(REDUCE)).length, reductions().length * 1.3)
      // Maps and reductions share what may be in flight.
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      const calls = (yield* sent).flatMap((request, index) =>
        isCount(request) ? [] : [{ at: request.at, until: request.at + millis(promptOf(request), index) }]
      )
      const inFlight = calls.map(({ at }) => calls.filter((call) => call.at <= at && at < call.until).length)
      assert.isAtMost(Math.max(...inFlight), 16)
      assert.isAbove(Math.max(...inFlight), 12)
    }).pipe(Effect.provide(layer))
  })

  it.effect("ends with an error that names where it is when two answers do not fit", () => {
    const { layer } = setUp(() => Answer.text("x".repeat(130)), perByte)
    return Effect.gen(function*() {
      const error = longError(failureOf(yield* Effect.exit(make({ chunk: { tokens: 240 } }).result(documentOf(3)))))
      assert.strictEqual(error.reason._tag, "DoesNotFit")
      assert.strictEqual(
        error.message,
        "Reduction 0 of level 1 (bytes 0 to 396) has 269 input tokens with the least that it can hold; chunk.tokens " +
          "allows 240. Raise it, or let map and reduce answer in fewer tokens (max_tokens)."
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("that fails ends the work, and is asked again alone when the rest is given back", () => {
    let isBroken = true
    const { layer, requests } = setUp(
      (prompt, index) => isBroken && prompt.startsWith(`${REDUCE}(`) ? Answer.error(500) : told(prompt, index),
      perByte
    )
    return Effect.gen(function*() {
      const document = make({ chunk: { tokens: 240 }, fanIn: 2 })
      const parts: Array<LongDocument.Part> = []
      const keep = (event: LongDocument.Progress) =>
        Effect.sync(() => {
          if ("part" in event) parts.push(event.part)
        })
      const error = longError(failureOf(yield* Effect.exit(Stream.runForEach(document.run(documentOf(4)), keep))))
      assert.strictEqual(error.reason._tag, "PartsFailed")
      if (error.reason._tag !== "PartsFailed") return
      assert.deepInclude(error.reason.failures[0], { stage: "reduce", level: 2, index: 0 })
      assert.strictEqual(error.reason.failures[0].error.reason._tag, "ServerError")
      assert.deepStrictEqual(parts.map(({ level }) => level).toSorted(), [0, 0, 0, 0, 1, 1])

      isBroken = false
      requests.length = 0
      const { text, totals } = yield* document.result(documentOf(4), { done: JSON.parse(JSON.stringify(parts)) })
      assert.strictEqual(text, "((c0000 c0001) (c0002 c0003))")
      // Nothing else is sent; what was once cut too large is counted again, to be cut the same.
      assert.deepStrictEqual(requests.filter(({ isCount }) => !isCount).map(({ prompt }) => prompt), [
        `${REDUCE}(c0000 c0001)|(c0002 c0003)`
      ])
      assert.deepInclude(totals, { mapped: 4, reduced: 3, resumed: 6 })
      assert.isAbove(totals.cost!, 0)
    }).pipe(Effect.provide(layer))
  })
})

describe("a run", () => {
  it.effect("tells what is done, what it took and what it cost so far", () => {
    const usage = { input_tokens: 1000, output_tokens: 100 }
    const { layer, maps, reductions } = setUp(() => Answer.text("An answer.", { usage }))
    return Effect.gen(function*() {
      const text = prose(12_000)
      const events = yield* Stream.runCollect(make({ concurrency: 3 }).run(text))
      const calls = maps().length + reductions().length
      assert.strictEqual(events.length, calls + 1)
      const { totals } = events.at(-1)!
      assert.deepInclude(totals, {
        mapped: maps().length,
        reduced: reductions().length,
        failed: 0,
        resumed: 0,
        bytes: Buffer.byteLength(text),
        inputTokens: 1000 * calls,
        outputTokens: 100 * calls
      })
      assert.isAbove(totals.cost!, 0)
      assert.closeTo(events[0]!.totals.cost!, totals.cost! / calls, 1e-9)
    }).pipe(Effect.provide(layer))
  })

  it.effect("reads no further ahead than its calls, and not at all while nobody takes what is done", () => {
    const { layer, maps } = setUp((prompt) => Answer.delay(1000, Answer.text(prompt.slice(0, 4))))
    return Effect.gen(function*() {
      let read = 0
      // Pieces of 1 000 bytes; a chunk takes some 1 700.
      const source = Stream.fromIterable(prose(400_000).match(/[^]{1,1000}/g)!).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => read++))
      )
      let taken = 0
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(
          make({ concurrency: 4 }).run(source),
          () => Effect.andThen(Effect.sync(() => taken++), taken === 30 ? Effect.never : Effect.void)
        )
      )
      yield* settle
      assert.strictEqual(maps().length, 4)
      // Four in flight, one or two more that are cut, and one being read.
      assert.isAtMost(read, 4 * 2 + 6)
      for (let second = 0; second < 40; second++) yield* after("1 second")
      assert.strictEqual(taken, 31)
      // What waits to be taken is bounded as well.
      assert.isAtMost(maps().length, 31 + 16 + 10)
      assert.isAtMost(read, (31 + 16 + 10) * 2)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(layer))
  })

  it.effect("that is interrupted leaves nothing in flight, and closes its source", () => {
    const { layer, maps } = setUp(() => Answer.delay(60_000, Answer.text("late")))
    return Effect.gen(function*() {
      let closed = 0
      const source = Stream.fromIterable(prose(60_000).match(/[^]{1,1000}/g)!).pipe(
        Stream.rechunk(1),
        Stream.ensuring(Effect.sync(() => closed++))
      )
      const fiber = yield* Effect.forkChild(make({ concurrency: 5 }).result(source))
      yield* settle
      assert.deepStrictEqual([maps().length, closed], [5, 0])
      yield* Fiber.interrupt(fiber)
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      const open = (yield* sent).filter((request) => !isCount(request) && request.closedAt === undefined)
      assert.deepStrictEqual([open.length, closed], [0, 1])
      yield* after("5 minutes")
      assert.strictEqual(maps().length, 5)
    }).pipe(Effect.provide(layer))
  })

  it.effect("takes its requests from Effects, such as rendered prompts, and its policy from where it runs", () => {
    const { layer } = setUp()
    return Effect.gen(function*() {
      const document = LongDocument.make({
        chunk: { tokens: 500 },
        map: ({ text }) => Effect.succeed({ prompt: MAP + text }),
        reduce: () => Effect.succeed({ prompt: `${REDUCE}all` })
      })
      const { text } = yield* document.result(prose(6000)).pipe(Claude.withPolicy({ headers: { "x-of": "acme" } }))
      assert.strictEqual(text, "reduced")
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      const all = yield* sent
      assert.isAbove(all.length, 5)
      for (const { headers } of all) assert.strictEqual(headers["x-of"], "acme")
    }).pipe(Effect.provide(layer))
  })

  it.effect("goes behind what somebody waits for", () => {
    const order: Array<string> = []
    const layer = Claude.layerTransport({
      defaults: { model: "claude-sonnet-5-5" },
      concurrency: 1,
      retry: RetryPolicy.none
    }).pipe(Layer.provide(ScriptedTransport.layer((request) => {
      if (!isCount(request)) order.push(promptOf(request).slice(0, 4))
      return isCount(request) ? counted(promptOf(request), 0) : Answer.delay(1000, Answer.text("done"))
    })))
    return Effect.gen(function*() {
      const work = yield* Effect.forkChild(make({ concurrency: 4 }).result(prose(9000)))
      yield* settle
      const first = order.length
      const urgent = yield* Effect.forkChild(Claude.text({ prompt: "Now!" }))
      yield* settle
      yield* after("1 second")
      assert.strictEqual(order[first], "Now!")
      yield* Fiber.interrupt(work)
      yield* Fiber.interrupt(urgent)
    }).pipe(Effect.provide(layer))
  })
})
