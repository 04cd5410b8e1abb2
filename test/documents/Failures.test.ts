import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as LongDocument from "../../src/documents/LongDocument.ts"
import { after, chunksOf, counted, failureOf, isCount, longError, make, MAP, settle, setUp } from "./setUp.ts"
import { prose } from "./support.ts"

describe("failures", () => {
  const text = prose(12_000)
  /** The first chunk that fails takes longer than the next. */
  const slowly = (index: number, answer: Answer.Answer) => index === 1 ? Answer.delay(50, answer) : answer
  const broken = (isBroken: (index: number) => boolean) => {
    let index = -1
    const numbers = new Map<string, number>()
    return (prompt: string): Answer.Answer => {
      if (!prompt.startsWith(MAP)) return Answer.text("reduced")
      if (!numbers.has(prompt)) numbers.set(prompt, ++index)
      const number = numbers.get(prompt)!
      return isBroken(number) ? slowly(number, Answer.error(529)) : Answer.text("mapped")
    }
  }

  it.effect("end the work at once, saying which chunk, where, and why, and nothing of its text", () => {
    const { layer, maps } = setUp(broken((index) => index === 3))
    return Effect.gen(function*() {
      const document = make({ concurrency: 2 })
      const chunks: Array<LongDocument.Chunk> = yield* chunksOf(text).pipe(Effect.provide(setUp().layer))
      const error = longError(failureOf(yield* Effect.exit(document.result(text))))
      if (error.reason._tag !== "PartsFailed") throw error
      const [failure] = error.reason.failures
      const { range } = chunks[3]!
      assert.deepStrictEqual({ ...failure, error: failure.error.reason._tag }, {
        stage: "map",
        level: 0,
        index: 3,
        range,
        error: "Overloaded"
      })
      assert.match(error.message, new RegExp(`^Chunk 3 \\(bytes ${range.startByte} to ${range.endByte}\\) failed: `))
      assert.isAtMost(maps().length, 6)
    }).pipe(Effect.provide(layer))
  })

  it.effect("leave nothing in flight", () => {
    const { layer, maps } = setUp((_prompt, index) =>
      Answer.delay(
        maps().length === 2 ? 1000 : 60_000,
        maps().length === 2 ? Answer.error(529) : Answer.text(`${index}`)
      )
    )
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.exit(make({ concurrency: 4 }).result(text)))
      yield* settle
      assert.strictEqual(maps().length, 4)
      yield* after("1 second")
      assert.isDefined(fiber.pollUnsafe())
      const { sent } = yield* ScriptedTransport.ScriptedTransport
      const open = (yield* sent).filter((request) => !isCount(request) && request.closedAt === undefined)
      assert.deepStrictEqual(open, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("pass, as many as may, and are retried alone; their parts complete the next run", () => {
    let isDown = true
    const { layer, maps, counts, reductions } = setUp(broken((index) => isDown && (index === 1 || index === 4)))
    return Effect.gen(function*() {
      const document = make({ onFailure: { collect: 2 } })
      const parts: Array<LongDocument.Part> = []
      const running = yield* Effect.forkChild(Stream.runCollect(document.run(text)))
      yield* Effect.andThen(settle, after(50))
      const events = yield* Fiber.join(running)
      for (const event of events) if ("part" in event) parts.push(event.part)
      const finished = events.at(-1)!
      if (finished._tag !== "Finished") throw new Error("not finished")
      const { failed, totals } = finished.answer
      assert.deepStrictEqual(failed.map(({ index }) => index), [1, 4])
      assert.deepInclude(totals, { failed: 2, bytes: Buffer.byteLength(text) })
      assert.deepStrictEqual(events.filter(({ _tag }) => _tag === "Failed").length, 2)

      const mapped = maps().length
      const retrying = yield* Effect.forkChild(Effect.exit(document.retry(failed[0]!)))
      yield* Effect.andThen(settle, after(50))
      const refused = longError(failureOf(yield* Fiber.join(retrying)))
      assert.match(refused.message, /^Chunk 1 /)
      isDown = false
      const retried = yield* Effect.forEach(failed, document.retry)
      assert.strictEqual(maps().length, mapped + 3)
      assert.strictEqual(maps().at(-1)!.prompt, MAP + failed[1]!.chunk.text)

      const before = { maps: maps().length, reductions: reductions().length, counts: counts().length }
      const { failed: none, totals: then } = yield* document.result(text, { done: [...parts, ...retried] })
      assert.deepStrictEqual(none, [])
      assert.strictEqual(maps().length, before.maps)
      assert.strictEqual(then.failed, 0)
      assert.strictEqual(then.mapped, totals.mapped + 2)
      assert.isAtMost(counts().length - before.counts, 6)

      // Another question is another part.
      const other = make({ map: ({ text }) => ({ prompt: `${MAP}${text}?` }) })
      const { totals: anew } = yield* other.result(text, { done: parts })
      assert.strictEqual(anew.resumed, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("of a chunk that has taught what follows are retried, and all is cut as it was", () =>
    Effect.gen(function*() {
      // Dense in the middle: what is counted there changes how much is tried next.
      const dense = Array.from({ length: 600 }, (_, number) => `日本語${number} `).join("")
      const text = prose(5000) + dense + prose(5000, 2)
      const chunks = yield* chunksOf(text).pipe(Effect.provide(setUp().layer))
      for (const { index, text: own } of chunks) {
        let isDown = true
        const { layer, maps } = setUp((prompt) =>
          isDown && prompt === MAP + own ? Answer.error(529) : Answer.text("An answer.")
        )
        yield* Effect.gen(function*() {
          const document = make({ onFailure: { collect: 1 } })
          const events = yield* Stream.runCollect(document.run(text))
          const parts = events.flatMap((event) => "part" in event ? [event.part] : [])
          const [failed] = events.flatMap((event) => event._tag === "Failed" ? [event.failed] : [])
          isDown = false
          const retried = yield* document.retry(failed!)
          assert.strictEqual(maps().length, chunks.length + 1)
          yield* document.result(text, { done: [...parts, retried] })
          assert.strictEqual(maps().length, chunks.length + 1, `chunk ${index}`)
        }).pipe(Effect.provide(layer))
      }
    }))

  it.effect("of more chunks than may end the work with all of them", () => {
    const { layer } = setUp(broken((index) => index % 3 === 0))
    return Effect.gen(function*() {
      const error = longError(failureOf(
        yield* Effect.exit(make({ onFailure: { collect: 1 }, concurrency: 1 }).result(text))
      ))
      if (error.reason._tag !== "PartsFailed") throw error
      assert.deepStrictEqual(error.reason.failures.map(({ index }) => index), [0, 3])
      assert.match(error.message, /^2 parts failed\. Chunk 3 /)
    }).pipe(Effect.provide(layer))
  })

  it.effect("of all chunks end the work, however many may fail", () => {
    const { layer, maps } = setUp(() => Answer.error(529))
    return Effect.gen(function*() {
      const error = longError(yield* Effect.flip(make({ onFailure: { collect: 100 } }).result(text)))
      if (error.reason._tag !== "PartsFailed") throw error
      assert.strictEqual(error.reason.failures.length, maps().length)
      assert.match(error.message, new RegExp(`^${maps().length} parts failed\\. Chunk \\d+ `))
    }).pipe(Effect.provide(layer))
  })

  it.effect("of an answer that was cut or refused count as such", () =>
    Effect.gen(function*() {
      for (const stopReason of ["max_tokens", "refusal", "model_context_window_exceeded"] as const) {
        const { layer } = setUp(() => Answer.text("half an", { stopReason }))
        const error = longError(yield* Effect.flip(Effect.provide(make().result("A document."), layer)))
        if (error.reason._tag !== "PartsFailed") throw error
        assert.deepInclude(error.reason.failures[0].error.reason, { _tag: "Incomplete", stopReason })
      }
    }))

  it.effect("of what may be spent end the work where it is, and it goes on when more may be", () => {
    const usage = { input_tokens: 1000, output_tokens: 100 }
    const { layer, maps } = setUp(() => Answer.text("An answer.", { usage }), counted, {
      budget: { usd: 0.03, window: "1 day" }
    })
    return Effect.gen(function*() {
      const document = make({ concurrency: 2 })
      const parts: Array<LongDocument.Part> = []
      let totals: LongDocument.Totals | undefined
      const day = Effect.suspend(() =>
        Effect.exit(Stream.runForEach(document.run(text, { done: [...parts] }), (event) =>
          Effect.sync(() => {
            totals = event.totals
            if ("part" in event) parts.push(event.part)
          })))
      )
      const first = longError(failureOf(yield* day))
      if (first.reason._tag !== "PartsFailed") throw first
      assert.strictEqual(first.reason.failures.at(-1)!.error.reason._tag, "BudgetExceeded")
      assert.isAbove(totals!.mapped, 2)
      assert.isAtMost(totals!.cost!, 0.03)

      let days = 1
      for (let isDone = false; !isDone && days < 10; days++) {
        yield* TestClock.adjust("1 day")
        isDone = Exit.isSuccess(yield* day)
      }
      assert.isBelow(days, 10)
      // Nothing was asked twice.
      assert.strictEqual(new Set(maps().map(({ prompt }) => prompt)).size, maps().length)
    }).pipe(Effect.provide(layer))
  })

  it.effect("are billed as far as it is known what they cost", () => {
    const usage = { input_tokens: 1000, output_tokens: 100 }
    const { layer, maps } = setUp((prompt) =>
      Answer.text("mapped", { usage, ...(prompt.length % 2 === 0 ? { stopReason: "max_tokens" } : undefined) })
    )
    return Effect.gen(function*() {
      const events = yield* Stream.runCollect(make({ onFailure: { collect: 100 } }).run(text))
      const { totals } = events.at(-1)!
      assert.isAbove(totals.failed, 0)
      assert.isAbove(totals.mapped, 0)
      assert.strictEqual(totals.inputTokens, 1000 * (maps().length + totals.reduced))
      assert.isAbove(totals.cost!, 0)

      // One that broke off has been billed for its input, and nobody knows for how much else.
      const broken = setUp((prompt) =>
        prompt.includes("# Chapter 2\n")
          ? Answer.reset("midStream", Answer.text("mapped", { usage }))
          : Answer.text("mapped", { usage })
      )
      const running = yield* make({ onFailure: { collect: 100 } }).result(text).pipe(
        Effect.provide(broken.layer),
        Effect.forkChild
      )
      for (let second = 0; second < 5; second++) yield* after("1 second")
      const { totals: known } = yield* Fiber.join(running)
      assert.isAbove(known.failed, 0)
      assert.strictEqual(known.inputTokens, 1000 * (known.failed + known.mapped + known.reduced))
      assert.isUndefined(known.cost)
    }).pipe(Effect.provide(layer))
  })

  it.effect("of counting pass as well, as many as may, and are counted and retried alone", () => {
    let isDown = true
    const refused: Array<string> = []
    const { counts, layer, maps } = setUp(undefined, (prompt, index) => {
      if (!isDown || counts().length !== 4) return counted(prompt, index)
      refused.push(prompt)
      return Answer.error(429)
    })
    return Effect.gen(function*() {
      const document = make({ onFailure: { collect: 1 } })
      const events = yield* Stream.runCollect(document.run(text))
      const finished = events.at(-1)!
      if (finished._tag !== "Finished") throw new Error("not finished")
      const { failed, totals } = finished.answer
      assert.deepStrictEqual(failed.map(({ error, stage }) => [stage, error.reason._tag]), [["count", "RateLimited"]])
      assert.strictEqual(MAP + failed[0]!.chunk.text, refused[0])
      assert.strictEqual(totals.bytes, Buffer.byteLength(text))

      const limited = setUp(undefined, () => Answer.error(429))
      const again = longError(yield* Effect.flip(Effect.provide(document.retry(failed[0]!), limited.layer)))
      if (again.reason._tag !== "PartsFailed") throw again
      assert.deepInclude(again.reason.failures[0], { stage: "count", index: failed[0]!.index })

      isDown = false
      const parts = events.flatMap((event) => "part" in event ? [event.part] : [])
      const before = counts().length
      const retried = yield* document.retry(failed[0]!)
      assert.strictEqual(counts().length, before + 1)
      const mapped = maps().length
      const whole = yield* document.result(text, { done: [...parts, retried] })
      assert.deepStrictEqual(whole.failed, [])
      assert.strictEqual(maps().length, mapped)

      const dense = setUp(undefined, () => Answer.raw([`{"input_tokens":501}`], { contentType: "application/json" }))
      const error = longError(yield* Effect.flip(Effect.provide(document.retry(failed[0]!), dense.layer)))
      assert.strictEqual(error.reason._tag, "DoesNotFit")
      assert.match(
        error.message,
        /^Chunk \d+ \(bytes \d+ to \d+\) has 501 input tokens; chunk\.tokens allows 500\. Run/
      )
      assert.deepStrictEqual(dense.maps(), [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("of a platform that counts nothing say what to do, and bytes are counted instead", () => {
    const { layer, maps } = setUp(undefined, () => Answer.error(404))
    return Effect.gen(function*() {
      const error = longError(yield* Effect.flip(make().result(text)))
      assert.include(error.message, "LongDocument.countBytes")
      yield* make({ count: LongDocument.countBytes }).result(text)
      for (const { prompt } of maps()) assert.isAtMost(Buffer.byteLength(prompt), 500)
      assert.isAbove(maps().map(({ prompt }) => prompt.length).reduce((a, b) => a + b) / maps().length, 300)
    }).pipe(Effect.provide(layer))
  })

  it.effect("of counting, of the source and of a prompt are told as what they are", () => {
    const { layer } = setUp(undefined, () => Answer.error(401))
    return Effect.gen(function*() {
      const error = longError(failureOf(yield* Effect.exit(make().result(text))))
      if (error.reason._tag !== "PartsFailed") throw error
      assert.deepInclude(error.reason.failures[0], { stage: "count", index: 0 })
      assert.match(error.message, /^Chunk 0 \(bytes 0 to \d+\) failed to be counted: /)

      const source = Stream.concat(Stream.succeed("A document. "), Stream.fail("no disk" as const))
      assert.strictEqual(failureOf(yield* Effect.exit(make().result(source))), "no disk")
      const rendered = LongDocument.make({
        chunk: { tokens: 500 },
        map: () => Effect.fail("no prompt" as const),
        reduce: () => ({ prompt: "?" })
      })
      assert.strictEqual(failureOf(yield* Effect.exit(rendered.result("A document."))), "no prompt")
    }).pipe(Effect.provide(layer))
  })

  it.effect("of what cannot be asked name what is wrong", () => {
    const { layer } = setUp()
    return Effect.gen(function*() {
      const empty = longError(failureOf(yield* Effect.exit(make().result(""))))
      assert.strictEqual(empty.reason._tag, "Empty")
      const tight = make({
        chunk: { tokens: 20 },
        map: ({ text }) => ({ prompt: "Too many words. ".repeat(20) + text })
      })
      const error = longError(failureOf(yield* Effect.exit(tight.result(text))))
      assert.strictEqual(error.reason._tag, "DoesNotFit")
      assert.match(
        error.message,
        /^Chunk 0 \(bytes 0 to 1\) has \d+ input tokens .* allows 20\. Raise it, or shorten what map/
      )

      const dies = yield* Effect.exit(make({ count: () => Effect.succeed(NaN) }).result(text))
      assert.match(String(dies), /LongDocument: count answered NaN; expected how many tokens\./)

      for (
        const [options, message] of [
          [{ chunk: { tokens: 0 } }, /chunk\.tokens is 0; expected/],
          [{ chunk: { tokens: NaN } }, /chunk\.tokens is NaN/],
          [{ chunk: { tokens: 100, overlap: 60 } }, /chunk\.overlap is 60; .*at most half of chunk\.tokens/],
          [{ fanIn: 1 }, /fanIn is 1/],
          [{ concurrency: 0 }, /concurrency is 0/],
          [{ onFailure: { collect: -1 } }, /onFailure\.collect is -1/]
        ] as const
      ) assert.throws(() => make(options), RangeError, message)
    }).pipe(Effect.provide(layer))
  })
})
