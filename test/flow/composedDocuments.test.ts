/** What is beneath the span of a document ends before it, and at once where a part has failed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { LongDocument } from "effect-claude/documents"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { observe } from "./observe.ts"

const simulated = (answers: ClaudeSimulator.Answers) =>
  Layer.unwrap(Effect.map(
    ClaudeSimulator.ClaudeSimulator,
    ({ url }) =>
      Claude.layer({
        apiKey: Redacted.make("sk-test"),
        baseURL: url,
        defaults: { model: "claude-opus-5-5", max_tokens: 100 },
        retry: RetryPolicy.none
      })
  )).pipe(Layer.provideMerge(ClaudeSimulator.layer({ answers })))

describe("the span of a document", () => {
  const book = LongDocument.make({
    map: ({ text }) => ({ prompt: `Map: ${text}` }),
    reduce: (parts) => ({ prompt: parts.map(({ text }) => text).join() }),
    chunk: { tokens: 60 },
    count: LongDocument.countBytes,
    concurrency: 4,
    fanIn: 2
  })
  const text = "One two three four five six seven. ".repeat(20)
  const answer = (_: unknown, index: number) =>
    index < 2
      ? Answer.text("Short.")
      : Answer.delay(
        index === 3 ? 50 : 0,
        index === 3 ? Answer.error(413) : Answer.stall("midStream", Answer.text("So many words"))
      )
  const ways: Readonly<Record<string, Effect.Effect<unknown, unknown, Claude.Claude>>> = {
    "a part has failed": Effect.exit(book.result(text)),
    "its reader has left": Stream.runDrain(Stream.take(book.run(text), 1)),
    "it was interrupted": Effect.timeoutOption(Stream.runDrain(book.run(text)), "300 millis"),
    "it was interrupted as a result": Effect.timeoutOption(book.result(text), "30 millis")
  }
  for (const [name, way] of Object.entries(ways)) {
    it.live(`ends after all that is beneath it where ${name}`, () => {
      const observed = observe()
      return Effect.gen(function*() {
        yield* Effect.timeoutOrElse(Effect.exit(way), {
          duration: "10 seconds",
          // What comes in order waits for answers that do not come.
          orElse: () => Effect.sync(() => assert.fail("it goes on after it has failed"))
        })
        const run = observed.spans.find(({ name }) => name === "claude.document")!
        const calls = observed.spans.filter(({ name }) => name.startsWith("chat "))
        assert.isAbove(calls.length, 1)
        const endOf = ({ status }: typeof run) => status._tag === "Ended" ? status.endTime : undefined
        for (const call of calls) assert.isTrue(endOf(call)! <= endOf(run)!, `${endOf(call)! - endOf(run)!} ns`)
      }).pipe(
        Effect.provide(Layer.provideMerge(simulated(answer), observed.layer))
      )
    })
  }
})
