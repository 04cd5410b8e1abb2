/**
 * What the examples talk to: the real API where ANTHROPIC_API_KEY is set, else a simulator on this machine that answers
 * as scripted. Either way `Claude.layerConfig` finds its key and its URL in the configuration, as it does in production.
 */
import { ConfigProvider, Console, Effect, Layer } from "effect"
import { ClaudeSimulator } from "effect-claude/testing"
import { styleText } from "node:util"

export const isReal = (process.env["ANTHROPIC_API_KEY"] ?? "") !== ""

export const layer = (answers: ClaudeSimulator.Answers): Layer.Layer<never> =>
  isReal
    ? Layer.effectDiscard(say("ANTHROPIC_API_KEY is set: these are real calls."))
    : Layer.effectDiscard(say("No ANTHROPIC_API_KEY: a simulator on this machine answers.")).pipe(
      Layer.merge(simulated),
      Layer.provide(ClaudeSimulator.layer({ answers }))
    )

/** The simulator's URL in the configuration, and a key that is none, over whatever the environment says. */
export const simulated: Layer.Layer<never, never, ClaudeSimulator.ClaudeSimulator> = Layer.unwrap(
  Effect.map(ClaudeSimulator.ClaudeSimulator, ({ url }) =>
    ConfigProvider.layerAdd(
      ConfigProvider.fromUnknown({ ANTHROPIC_API_KEY: "simulated", ANTHROPIC_BASE_URL: url }),
      { asPrimary: true }
    ))
)

export const say = (text: string) => Console.log(styleText("dim", `${text}\n`))
