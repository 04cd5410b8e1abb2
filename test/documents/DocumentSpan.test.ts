/** What a run tells of itself: its span, over those of its calls, and its metric. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Stream, type Tracer } from "effect"
import { Answer } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import type * as LongDocument from "../../src/documents/LongDocument.ts"
import { observe, unended } from "../flow/observe.ts"
import * as Contract from "../telemetry/contract.ts"
import { counted, make, MAP, settle, setUp } from "./setUp.ts"
import { prose } from "./support.ts"

const usage = { input_tokens: 1000, output_tokens: 100, cache_read_input_tokens: 10, cache_creation_input_tokens: 0 }
const answers = () => Answer.text("mapped", { usage })

const spanOf = (spans: ReadonlyArray<Tracer.NativeSpan>): Tracer.NativeSpan => {
  const found = spans.filter(({ name }) => name === "claude.document")
  assert.strictEqual(found.length, 1)
  return found[0]!
}

const parentOf = ({ parent }: Tracer.NativeSpan) => Option.getOrUndefined(parent)

/** What is not as the contract says. */
const foreign = ({ attributes }: Tracer.NativeSpan): ReadonlyArray<string> => {
  const rows = Contract.documentSpans[0]!.attributes
  return [
    ...[...attributes.keys()].filter((name) => !(name in rows)),
    ...Object.keys(rows).filter((name) => rows[name]!.always && !attributes.has(name))
  ]
}

const partsIn = (observed: ReturnType<typeof observe>) =>
  Object.fromEntries(
    observed.metrics().flatMap((metric) =>
      metric.id === "claude.document.parts" && metric.type === "Counter"
        ? [[metric.attributes?.["claude.document.outcome"], metric.state.count]]
        : []
    )
  )

describe("the span of a run", () => {
  const text = prose(12_000)

  it.effect("lies over its calls, and says what the run has come to", () => {
    const observed = observe()
    const { layer, maps, reductions } = setUp(answers)
    return Effect.gen(function*() {
      const parts: Array<LongDocument.Part> = []
      let levels = 0
      yield* Stream.runForEach(make({ fanIn: 3 }).run(text), (event) =>
        Effect.sync(() => {
          if (!("part" in event)) return
          levels = Math.max(levels, event.part.level)
          if (event.part.level === 0 && event.part.index < 2) parts.push(event.part)
        })).pipe(Effect.withSpan("program"))
      const span = spanOf(observed.spans)
      const calls = maps().length + reductions().length
      assert.strictEqual(span.kind, "internal")
      assert.strictEqual(parentOf(span), observed.spans.find(({ name }) => name === "program"))
      const children = observed.spans.filter(({ name }) => /^(chat|count_tokens) /.test(name))
      assert.isAtLeast(children.length, calls + maps().length - 1)
      for (const child of children) assert.strictEqual(parentOf(child), span)
      assert.deepStrictEqual(Object.fromEntries(span.attributes), {
        "claude.outcome": "success",
        "claude.document.mapped": maps().length,
        "claude.document.failed": 0,
        "claude.document.reduced": reductions().length,
        "claude.document.resumed": 0,
        "claude.document.levels": levels,
        "claude.document.bytes": Buffer.byteLength(text),
        "claude.document.input_tokens": 1010 * calls,
        "claude.document.output_tokens": 100 * calls
      })
      assert.deepStrictEqual(foreign(span), [])
      assert.deepStrictEqual(unended(observed.spans), [])
      assert.deepStrictEqual(partsIn(observed), { mapped: maps().length, reduced: reductions().length })

      yield* make({ fanIn: 3 }).result(text, { done: parts })
      const again = observed.spans.findLast(({ name }) => name === "claude.document")!
      assert.strictEqual(again.attributes.get("claude.document.resumed"), 2)
      assert.strictEqual(partsIn(observed)["resumed"], 2)
    }).pipe(Effect.provide(Layer.provideMerge(layer, observed.layer)))
  })

  it.effect("has the error of the call that ended it, and how far it came", () => {
    const observed = observe()
    const { layer } = setUp((prompt) => prompt.includes("# Chapter 4\n") ? Answer.error(529) : answers())
    return Effect.gen(function*() {
      yield* Effect.flip(make({ concurrency: 1 }).result(text))
      const span = spanOf(observed.spans)
      assert.deepInclude(Object.fromEntries(span.attributes), {
        "claude.outcome": "error",
        "error.type": "overloaded_error",
        "claude.document.failed": 1
      })
      assert.isAbove(Number(span.attributes.get("claude.document.mapped")), 0)
      assert.deepStrictEqual(foreign(span), [])
      assert.strictEqual(partsIn(observed)["failed"], 1)
    }).pipe(Effect.provide(Layer.provideMerge(layer, observed.layer)))
  })

  it.effect("says nothing of what a source failed with, which may be what was read", () => {
    const observed = observe()
    const { layer } = setUp(answers)
    return Effect.gen(function*() {
      const source = Stream.concat(Stream.succeed(text), Stream.fail(new Error("a secret that was read")))
      yield* Effect.flip(make().result(source))
      const span = spanOf(observed.spans)
      assert.strictEqual(span.attributes.get("error.type"), "_OTHER")
      const { status } = span
      if (status._tag !== "Ended" || Exit.isSuccess(status.exit)) throw new Error("not failed")
      assert.match(String(status.exit.cause), /The document failed: _OTHER\./)
      assert.notInclude(String(status.exit.cause), "secret")
    }).pipe(Effect.provide(Layer.provideMerge(layer, observed.layer)))
  })

  it.effect("is cancelled when the run is given up", () => {
    const observed = observe()
    const { layer } = setUp((prompt) =>
      prompt.startsWith(MAP) ? Answer.delay("1 minute", Answer.text("late")) : answers()
    )
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(make().result(text))
      yield* settle
      yield* Fiber.interrupt(fiber)
      const span = spanOf(observed.spans)
      assert.strictEqual(span.attributes.get("claude.outcome"), "cancelled")
      assert.isFalse(span.attributes.has("error.type"))
      assert.deepStrictEqual(foreign(span), [])
      assert.deepStrictEqual(unended(observed.spans), [])
      assert.deepStrictEqual(observed.gauges(), {})
    }).pipe(Effect.provide(Layer.provideMerge(layer, observed.layer)))
  })

  it.effect("and all below it end, and nothing stays behind, whenever it is interrupted", () =>
    Effect.gen(function*() {
      for (let steps = 0; steps < 600; steps += 31) {
        const observed = observe()
        const { layer } = setUp(
          (_prompt, index) => Answer.delay(index % 3, Answer.text("An answer.")),
          (prompt, index) => Answer.delay(index % 2, counted(prompt, index))
        )
        yield* Effect.gen(function*() {
          let isClosed = 0
          const source = Stream.fromIterable(prose(9000).match(/[^]{1,500}/g)!).pipe(
            Stream.rechunk(1),
            Stream.onStart(Effect.sync(() => isClosed--)),
            Stream.ensuring(Effect.sync(() => isClosed++))
          )
          const before = observed.fibers()
          const fiber = yield* Effect.forkChild(make({ concurrency: 3, fanIn: 2 }).result(source))
          for (let step = 0; step < steps; step++) {
            yield* Effect.yieldNow
            if (step % 20 === 19) yield* TestClock.adjust(1)
          }
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(unended(observed.spans), [], `after ${steps}`)
          assert.deepStrictEqual([observed.gauges(), isClosed, observed.fibers()], [{}, 0, before], `after ${steps}`)
        }).pipe(Effect.provide(Layer.provideMerge(layer, observed.layer)))
      }
    }))
})
