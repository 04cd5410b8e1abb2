/** What becomes of calls to a client that is closed. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import { Claude } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"

describe("a client that is closed", () => {
  for (const fallback of [[], ["claude-haiku-5-5"]]) {
    it.effect(`turns away calls to models that nobody has asked before (fallback: ${fallback.length})`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const layer = Claude.layerTransport({ fallback }).pipe(
          Layer.provide(ScriptedTransport.layer(() => Answer.hello))
        )
        const claude = Context.get(yield* Layer.buildWithScope(layer, scope), Claude.Claude)
        yield* Scope.close(scope, Exit.void)
        const request = { prompt: "Hi", model: "claude-opus-5-5" }
        const errors = yield* Effect.forEach([
          claude.message(request),
          claude.countTokens(request),
          Stream.runDrain(claude.stream({ ...request, model: "claude-sonnet-5-5" }))
        ], (call) => Effect.flip(call as Effect.Effect<unknown, { readonly reason: { readonly _tag: string } }>))
        assert.deepStrictEqual(new Set(errors.map(({ reason }) => reason._tag)), new Set(["Misconfigured"]))
      }))
  }
})
