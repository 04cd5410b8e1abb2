/**
 * One question, one answer: the smallest program there is.
 * Run it with `node examples/10-first-call.ts`, with or without ANTHROPIC_API_KEY in the environment.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import * as Api from "./support/api.ts"

// #region first-call
const program = Effect.gen(function*() {
  const answer = yield* Claude.text({
    model: "claude-sonnet-5-5",
    max_tokens: 200,
    prompt: "Why is the sky blue? One sentence."
  })
  yield* Console.log(answer)
})

// Reads ANTHROPIC_API_KEY. Retries, timeouts, spans, metrics and cost are on, with sound defaults.
const main = program.pipe(Effect.provide(Claude.layerConfig))
// #endregion

const scripted = [
  Answer.text("Air scatters the short waves of sunlight far more than the long ones, so blue comes from everywhere.")
]

main.pipe(Effect.provide(Api.layer(scripted)), NodeRuntime.runMain)
