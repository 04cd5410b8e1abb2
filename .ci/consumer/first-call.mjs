// The first call of someone who has just installed the package: to a simulator, so without a key and without a network.
import { Effect, Layer, Redacted } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"

const claude = Layer.unwrap(
  Effect.map(ClaudeSimulator.ClaudeSimulator, ({ url }) =>
    Claude.layer({
      apiKey: Redacted.make("sk-test"),
      baseURL: url,
      defaults: { model: "claude-opus-5-5", max_tokens: 1024 }
    }))
)
const simulator = ClaudeSimulator.layer({ answers: [Answer.text("Hello from the packed tarball.")] })

const program = Claude.text({ prompt: "Say hello." }).pipe(Effect.provide(claude.pipe(Layer.provide(simulator))))
console.log(await Effect.runPromise(program))
