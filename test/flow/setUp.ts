/** A client over scripted answers that neither retries nor tells anybody outside, and what its tests meet at. */
import { Effect, Layer } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { ScriptedTransport } from "effect-claude/testing"
// What is loaded when it is first needed would come by the machine's clock.
import "effect/ai/AnthropicStructuredOutput"
import "effect/persistence/CircuitBreaker"
import { observe } from "./observe.ts"

export const hi = { prompt: "Hi" }
const defaults = { model: "claude-opus-5-5", max_tokens: 100 }

export const setUp = (
  answers: ScriptedTransport.Answers,
  options: Parameters<typeof Claude.layerTransport>[0] = {}
) => {
  const observed = observe()
  const layer = Claude.layerTransport({ defaults, retry: RetryPolicy.none, ...options }).pipe(
    Layer.provideMerge(ScriptedTransport.layer(answers)),
    Layer.provideMerge(observed.layer)
  )
  return { observed, layer }
}

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Lets all run that can run now. */
export const settle = Effect.repeat(turn, { times: 20 })

/** The circuit is loaded by the machine's clock. */
export const loaded = Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 50)))

export const sent = Effect.flatMap(ScriptedTransport.ScriptedTransport, ({ sent }) => sent)

/** Which models were asked. */
export const asked = Effect.map(sent, (all) => all.map(({ body }) => "model" in body ? body.model : undefined))

export const reason = (error: ClaudeError.ClaudeError) => error.reason._tag

export const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })
