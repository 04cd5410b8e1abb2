import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { Claude } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"

// #region testing
const summarize = (text: string) => Claude.text({ model: "claude-sonnet-5-5", prompt: `Summarize: ${text}` })

const scripted = Claude.layerTransport().pipe(
  Layer.provideMerge(ScriptedTransport.layer([
    Answer.error(429, { retryAfter: "30 seconds" }),
    Answer.text("A short summary.")
  ]))
)

it.effect("a summary survives a rate limit", () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(summarize("a long text"))
    yield* TestClock.adjust("30 seconds")
    expect(yield* Fiber.join(fiber)).toBe("A short summary.")

    const { sent } = yield* ScriptedTransport.ScriptedTransport
    expect(yield* sent).toHaveLength(2)
  }).pipe(Effect.provide(scripted)))
// #endregion
