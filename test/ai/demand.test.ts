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

/** Two calls, and then a text of that many deltas, each an event of its own; says how many were read. */
const modelOf = (deltas: number) => {
  const read = { count: 0 }
  const claude = {
    stream: () =>
      Stream.fromIterable([[start, ...call(0), ...call(1), text(3)]]).pipe(
        Stream.concat(Stream.range(1, deltas).pipe(Stream.rechunk(1), Stream.map(() => (read.count++, [delta(3)])))),
        Stream.concat(Stream.make(end)),
        Stream.mapArray((arrays) => arrays.flat() as unknown as readonly [object, ...Array<object>])
      )
    // As far as a stream goes, that is all of the service.
  } as unknown as Claude.Claude["Service"]
  const layer = ClaudeLanguageModel.layer({ model: MODEL }).pipe(Layer.provide(Layer.succeed(Claude.Claude, claude)))
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
    const inner = LanguageModel.streamText({ prompt: "In" }).pipe(
      Stream.filter(({ type }) => type === "text-delta"),
      Stream.runCount
    )
    // The tools that it calls are nobody's here.
    const reading = Notes.toLayer({
      note: () => Effect.map(Effect.provide(inner, modelOfText.layer), String)
    })
    const modelOfText = textOf(500)
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

/** A text of that many deltas. */
const textOf = (deltas: number) => {
  const events = [start, text(3), ...Array.from({ length: deltas }, () => delta(3)), ...end]
  // As above.
  const claude = { stream: () => Stream.fromIterable(events).pipe(Stream.rechunk(1)) } as unknown as Claude.Claude[
    "Service"
  ]
  return {
    layer: ClaudeLanguageModel.layer({ model: MODEL }).pipe(Layer.provide(Layer.succeed(Claude.Claude, claude)))
  }
}
