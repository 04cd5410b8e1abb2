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
    : Layer.unwrap(Effect.gen(function*() {
      const { url } = yield* ClaudeSimulator.ClaudeSimulator
      yield* say("No ANTHROPIC_API_KEY: a simulator on this machine answers.")
      return ConfigProvider.layerAdd(
        ConfigProvider.fromUnknown({ ANTHROPIC_API_KEY: "simulated", ANTHROPIC_BASE_URL: url }),
        { asPrimary: true }
      )
    })).pipe(Layer.provide(ClaudeSimulator.layer({ answers })))

const say = (text: string) => Console.log(styleText("dim", `${text}\n`))
