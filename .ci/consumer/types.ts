// The types as a consumer sees them: results, requirements and the two halves of the error channel survive the packing.
import { Effect, Redacted, Schema, Stream } from "effect"
import { Claude, ClaudeError, Stores } from "effect-claude"
import { Agent, AgentTool, ClaudeLanguageModel, McpTools } from "effect-claude/ai"
import { layerRedis } from "effect-claude/cache-store"
import { LongDocument } from "effect-claude/documents"
import { Attachment, Files } from "effect-claude/files"
import { Guard } from "effect-claude/guards"
import { Prompts } from "effect-claude/prompts"
import { ClaudeRedis } from "effect-claude/redis"
import { layerConsole } from "effect-claude/telemetry"
import { ClaudeSimulator } from "effect-claude/testing"
import { LanguageModel, McpClient, Toolkit } from "effect/ai"

const layer = Claude.layer({
  apiKey: Redacted.make("sk-test"),
  defaults: { model: "claude-opus-5-5", max_tokens: 1024 },
  concurrency: { max: 32 },
  circuit: { failureRate: 0.4 },
  budget: { usd: 5, window: "1 day" } satisfies Claude.BudgetOptions
})

export const text: Effect.Effect<string, ClaudeError.ClaudeError, Claude.Claude> = Claude.text({ prompt: "Say hello." })

export const object: Effect.Effect<{ readonly city: string }, ClaudeError.ClaudeError, Claude.Claude> = Claude.object(
  Schema.Struct({ city: Schema.String }),
  { prompt: "Name a city." }
)

export const chars: Effect.Effect<number, ClaudeError.ClaudeError, Claude.Claude> = Claude.streamText({
  prompt: "Say hello."
}).pipe(
  Claude.withPolicy({ onBreak: "restart" }),
  Stream.runFold(() => 0, (sum, part) => sum + part.length)
)

export const recovered: Effect.Effect<string, ClaudeError.ClaudeRetryableError | ClaudeError.ClaudeFatalError> = text
  .pipe(
    Effect.catchReason("ClaudeRetryableError", "RateLimited", () => Effect.succeed("later")),
    Effect.provide(layer)
  )

export const fatal: Effect.Effect<string, ClaudeError.ClaudeRetryableError> = text.pipe(
  Effect.catchTag("ClaudeFatalError", (error) => Effect.succeed(error.message)),
  Effect.provide(layer),
  Effect.catchTag("ClaudeFatalError", () => Effect.succeed("misconfigured"))
)

const Welcome = Prompts.define("welcome", { variables: Schema.Struct({ name: Schema.String }) })

export const welcome = Effect.flatMap(Welcome.render({ name: "Ann" }), Claude.text)

export const generated: Effect.Effect<string, unknown, LanguageModel.LanguageModel> = Effect.map(
  LanguageModel.generateText({ prompt: "Say hello." }),
  ({ text }) => text
)

export const model = ClaudeLanguageModel.model("claude-opus-5-5", { max_tokens: 100 })

const clerk = Agent.make({ name: "clerk", toolkit: McpTools.toolkit(McpClient.McpClient), limits: { turns: 3 } })

export const answered = Effect.catchTag(clerk.run("Hello?"), "AiError", ({ transcript }) => clerk.run(transcript))

export const asTool = Toolkit.merge(AgentTool.make(clerk, { name: "clerk", description: "Knows the shop." }).toolkit)

export const summary = LongDocument.make({
  chunk: { tokens: 1000 },
  map: ({ text }) => ({ prompt: LongDocument.enclose(text) }),
  reduce: (parts) => ({ prompt: parts.map(({ text }) => text).join("\n") })
}).result("A text.")

export const described = Effect.flatMap(
  Attachment.image(new Uint8Array()),
  (image) => Claude.text({ messages: [{ role: "user", content: [image] }] })
)

export const guarded = Guard.layer({ output: [Guard.redactPii()] }).pipe((it) => [it, Files.layerConfig])

export const shared = [ClaudeRedis.layer({ prefix: "p:" }), layerRedis, layerConsole()]

export const limits: Effect.Effect<Stores.LimitStore | undefined> = Effect.gen(function*() {
  return yield* Stores.Limits
})

export const simulator = ClaudeSimulator.layer({ capacity: 1 })

// @ts-expect-error an answer is text, not a number
export const wrong: Effect.Effect<number, ClaudeError.ClaudeError, Claude.Claude> = text
