/** Streams with tools, which effect/ai puts into a queue without a bound. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { Claude } from "effect-claude"
import { LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import { MODEL } from "./support.ts"

const Notes = Toolkit.make(
  Tool.make("note", { parameters: Schema.Struct({}), success: Schema.String, failure: Schema.String })
)

const start = { type: "message_start", message: { id: "m", model: MODEL, content: [], usage: {} } }
const call = (index: number) => [
  { type: "content_block_start", index, content_block: { type: "tool_use", id: `t${index}`, name: "note", input: {} } },
  { type: "content_block_stop", index }
]
const text = (index: number) => ({ type: "content_block_start", index, content_block: { type: "text", text: "" } })
const delta = (index: number) => ({ type: "content_block_delta", index, delta: { type: "text_delta", text: "x" } })
const end = [
  { type: "content_block_stop", index: 3 },
  { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 1 } },
  { type: "message_stop" }
]

/** A model whose every stream is made of these reads. */
const modelOfReads = (reads: Stream.Stream<ReadonlyArray<object>>) => {
  // As far as a stream goes, that is all of the service.
  const claude = {
    stream: () => Stream.mapArray(reads, (reads) => reads.flat() as unknown as readonly [object, ...Array<object>])
  } as unknown as Claude.Claude["Service"]
  return ClaudeLanguageModel.layer({ model: MODEL }).pipe(Layer.provide(Layer.succeed(Claude.Claude, claude)))
}

/** Two calls, and then a text of that many deltas, each an event of its own; says how many were read. */
const modelOf = (deltas: number) => {
  const read = { count: 0 }
  const texts = Stream.range(1, deltas).pipe(Stream.rechunk(1), Stream.map(() => (read.count++, [delta(3)])))
  const layer = modelOfReads(
    Stream.make([start, ...call(0), ...call(1), text(3)]).pipe(Stream.concat(texts), Stream.concat(Stream.make(end)))
  )
  return { read, layer }
}

const settled = Effect.gen(function*() {
  for (let n = 0; n < 3000; n++) yield* Effect.yieldNow
})

const noting = Notes.toLayer({ note: () => Effect.succeed("noted") })

describe("a stream with tools", () => {
  for (
    const [name, options] of [
      ["", {}],
      [", also where nobody resolves its calls", { disableToolCallResolution: true }]
    ] as const
  ) {
    it.effect(`goes no further than its reader${name}`, () => {
      const { layer, read } = modelOf(2000)
      const hold = Deferred.makeUnsafe<void>()
      return Effect.gen(function*() {
        const parts: Array<string> = []
        const fiber = yield* LanguageModel.streamText({ prompt: "Go", toolkit: Notes, ...options }).pipe(
          Stream.runForEach((part: Response.AnyPart) =>
            Effect.andThen(Effect.sync(() => parts.push(part.type)), Deferred.await(hold))
          ),
          Effect.forkChild
        )
        yield* settled
        assert.isAtMost(read.count, 64)
        yield* Deferred.succeed(hold, undefined)
        yield* Fiber.join(fiber)
        assert.strictEqual(read.count, 2000)
        assert.strictEqual(parts.filter((type) => type === "text-delta").length, 2000)
        assert.strictEqual(parts.filter((type) => type === "tool-call").length, 2)
        assert.strictEqual(parts.at(-1), "finish")
      }).pipe(Effect.provide([layer, noting]))
    })
  }

  it.effect("goes on while a tool reads another to its end", () => {
    const { layer } = modelOf(200)
    const modelOfText = modelOfReads(
      Stream.make(start, text(3), ...Array.from({ length: 500 }, () => delta(3)), ...end).pipe(
        Stream.map((event) => [event]),
        Stream.rechunk(1)
      )
    )
    const inner = LanguageModel.streamText({ prompt: "In" }).pipe(
      Stream.filter(({ type }) => type === "text-delta"),
      Stream.runCount
    )
    // The tools that it calls are nobody's here.
    const reading = Notes.toLayer({
      note: () => Effect.map(Effect.provide(inner, modelOfText), String)
    })
    return Effect.gen(function*() {
      const parts: ReadonlyArray<Response.AnyPart> = yield* Stream.runCollect(
        LanguageModel.streamText({ prompt: "Go", toolkit: Notes })
      )
      assert.deepStrictEqual(
        parts.flatMap((part) => part.type === "tool-result" ? [part.result] : []),
        ["500", "500"]
      )
    }).pipe(Effect.provide([layer, reading]))
  })

  for (const concurrency of ["unbounded", 1] as const) {
    it.effect(`lets a reader wait for a tool whose call came with much else (${concurrency} at once)`, () => {
      const noted = Deferred.makeUnsafe<void>()
      const waiting = Array.from({ length: 100 }, () => delta(3))
      const layer = modelOfReads(
        Stream.make([start, text(3), ...waiting, ...call(0)], ...waiting.map((event) => [event]), end).pipe(
          Stream.rechunk(1)
        )
      )
      return Effect.gen(function*() {
        const parts: Array<string> = []
        const fiber = yield* LanguageModel.streamText({ prompt: "Go", toolkit: Notes, concurrency }).pipe(
          Stream.runForEach((part: Response.AnyPart) => {
            parts.push(part.type)
            return part.type === "tool-call" ? Deferred.await(noted) : Effect.void
          }),
          Effect.forkChild
        )
        yield* settled
        assert.strictEqual(parts.at(-1), "finish")
        yield* Fiber.join(fiber)
      }).pipe(
        Effect.provide([layer, Notes.toLayer({ note: () => Effect.as(Deferred.succeed(noted, undefined), "noted") })])
      )
    })
  }

  it.effect("is one of several that are read side by side, each at its own pace", () => {
    const one = modelOf(1000)
    const other = modelOf(1000)
    const texts = (layer: typeof one.layer) =>
      LanguageModel.streamText({ prompt: "Go", toolkit: Notes }).pipe(
        Stream.provide(layer),
        Stream.filter((part: Response.AnyPart) => part.type === "text-delta")
      )
    return Effect.gen(function*() {
      const zipped = yield* Stream.runCount(Stream.zip(texts(one.layer), texts(other.layer)))
      const merged = yield* Stream.runCount(
        Stream.merge(texts(one.layer), Stream.buffer(texts(other.layer), { capacity: 4 }))
      )
      const some = yield* Stream.runCount(Stream.take(texts(one.layer), 3))
      assert.deepStrictEqual([zipped, merged, some], [1000, 2000, 3])
    }).pipe(Effect.provide(noting))
  })

  it.effect("ends what it reads where its reader leaves while it waits for it", () => {
    const { layer, read } = modelOf(2000)
    return Effect.gen(function*() {
      const fiber = yield* LanguageModel.streamText({ prompt: "Go", toolkit: Notes }).pipe(
        Stream.runForEach(() => Effect.never),
        Effect.forkChild
      )
      yield* settled
      yield* Fiber.interrupt(fiber)
      const before = read.count
      yield* settled
      assert.strictEqual(read.count, before)
    }).pipe(Effect.provide([layer, noting]))
  })
})
