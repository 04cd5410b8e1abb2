/** A model over a transport that plays answers, and what it was sent. */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import { Effect, Layer } from "effect"
import { Claude } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { LanguageModel } from "effect/ai"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import { type RawEvent, sse } from "../decode/streams.ts"

export const MODEL = "claude-opus-5-5"

export const layerOf = (
  answers: ScriptedTransport.Answers,
  config: ClaudeLanguageModel.Options["config"] = {},
  options: Parameters<typeof Claude.layerTransport>[0] = {},
  model = MODEL
): Layer.Layer<LanguageModel.LanguageModel | Claude.Claude | ScriptedTransport.ScriptedTransport> =>
  ClaudeLanguageModel.layer({ model, config }).pipe(
    Layer.provideMerge(Claude.layerTransport({ retryBudget: { ratio: 1, burst: 0 }, ...options })),
    Layer.provideMerge(ScriptedTransport.layer(answers)),
    Layer.orDie
  )

/** What came as JSON, read as a test likes. */
export type Json = ReturnType<typeof JSON.parse>

/** The bodies that were sent. */
export const bodies: Effect.Effect<ReadonlyArray<Json>, never, ScriptedTransport.ScriptedTransport> = Effect.flatMap(
  ScriptedTransport.ScriptedTransport,
  ({ sent }) => Effect.map(sent, (all) => all.map(({ body }) => JSON.parse(JSON.stringify(body))))
)

export const lastBody: Effect.Effect<Json, never, ScriptedTransport.ScriptedTransport> = Effect.map(
  bodies,
  (all) => all.at(-1)
)

export const sentHeaders: Effect.Effect<
  ReadonlyArray<Readonly<Record<string, string>>>,
  never,
  ScriptedTransport.ScriptedTransport
> = Effect.flatMap(
  ScriptedTransport.ScriptedTransport,
  ({ sent }) => Effect.map(sent, (all) => all.map(({ headers }) => headers as Record<string, string>))
)

/** An event stream, as it is. */
export const stream = (events: ReadonlyArray<RawEvent>): Answer.Answer => raw(sse(events))

export const raw = (text: string): Answer.Answer => Answer.raw([text])

/** A message of these blocks. */
export const blocks = (content: ReadonlyArray<object>, options: Answer.ReplyOptions = {}): Answer.Answer =>
  Answer.content(content as unknown as Message["content"], options)

// -----------------------------------------------------------------------------
// recorded streams
// -----------------------------------------------------------------------------

const shared = new URL("../../../shared/fixtures/", import.meta.url)

export const recorded: ReadonlyArray<string> = existsSync(shared)
  ? readdirSync(new URL("streams/", shared)).filter((name) => name.endsWith(".sse")).map((name) => name.slice(0, -4))
  : []

export const readRecorded = (name: string): string => readFileSync(new URL(`streams/${name}.sse`, shared), "utf8")

/** Messages that came as JSON. */
export const recordedMessages: ReadonlyArray<string> = existsSync(shared)
  ? readdirSync(new URL("http/", shared)).filter((name) => name.endsWith(".json"))
  : []

export const readMessage = (name: string): Message =>
  JSON.parse(readFileSync(new URL(`http/${name}`, shared), "utf8")).body

/** What the SDK makes of it, or nothing where it makes nothing of it. */
export const expectedOf = (name: string): Message | undefined => {
  const { beta, stable } = JSON.parse(readFileSync(new URL(`expected/${name}.json`, shared), "utf8"))
  const expected = beta === "same as stable" ? stable : beta
  return expected.ok ? expected.message : undefined
}
