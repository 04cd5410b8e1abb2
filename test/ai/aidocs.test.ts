/** effect's own programs over effect/ai, as they are shipped: only the modules of their providers are ours. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, type Scope, Stream } from "effect"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { Claude } from "../../src/index.ts"
import { quiet } from "../flow/observe.ts"
import { blocks, type Json, MODEL } from "./support.ts"

const docs = new URL("../../node_modules/effect/ai-docs/src/71_ai/", import.meta.url)

/** What stands for the providers that the programs name. */
const providers = (url: string) => {
  const client = {
    layerConfig: () => Claude.layer({ apiKey: Redacted.make("sk-test"), baseURL: url }).pipe(Layer.orDie)
  }
  const model = { model: () => ClaudeLanguageModel.model(MODEL) }
  return {
    OpenAiClient: client,
    AnthropicClient: client,
    OpenAiLanguageModel: model,
    AnthropicLanguageModel: model,
    OpenAiTool: { WebSearch: () => ClaudeTool.WebSearch_20260318({}) }
  }
}

const folder = mkdtempSync(join(tmpdir(), "ai-docs-"))
afterAll(() => rmSync(folder, { recursive: true }))
let count = 0

/** Loads a program whose providers are these. */
const load = (path: string, url: string): Promise<Record<string, Json>> => {
  const key = `aiDocs${count++}`
  Object.assign(globalThis, { [key]: providers(url) })
  const plan = join(folder, "LaunchPlan.mjs")
  const resolved = (source: string) =>
    stripTypeScriptTypes(source)
      .replaceAll(/import (\{[^}]*\}) from "@effect\/ai-[^"]*"/g, `const $1 = globalThis.${key}`)
      .replaceAll("\"./fixtures/domain/LaunchPlan.ts\"", JSON.stringify(pathToFileURL(plan).href))
      .replaceAll(/from "(effect[^"]*)"/g, (_, name: string) => `from ${JSON.stringify(import.meta.resolve(name))}`)
  writeFileSync(plan, resolved(readFileSync(new URL("fixtures/domain/LaunchPlan.ts", docs), "utf8")))
  const program = join(folder, `${key}.mjs`)
  writeFileSync(program, resolved(readFileSync(new URL(path, docs), "utf8")))
  return import(/* @vite-ignore */ pathToFileURL(program).href)
}

/** A service of a program that is only known when it runs. */
interface Service {
  readonly [method: string]: (input: string) => Effect.Effect<Json> & Stream.Stream<string>
}

const serviceOf = (path: string, name: string, url: string): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* Effect.promise(() => load(path, url))
    const context: Context.Context<Json> = yield* Layer.build(program[name].layer as Layer.Layer<Json>)
    return Context.getUnsafe(context, program[name])
  })

describe("effect's own programs", () => {
  it.live("10_language-model: text, an object, a stream, and a plan of models", () =>
    Effect.gen(function*() {
      const plan = { audience: "developers", channels: ["mail"], launchDate: "2026-12-01", summary: "s", keyRisks: [] }
      const simulator = yield* ClaudeSimulator.make({
        answers: [Answer.text("Launched!"), Answer.json(plan), Answer.text("- one\n- two")]
      })
      const writer = yield* serviceOf("10_language-model.ts", "AiWriter", simulator.url)
      assert.deepStrictEqual(yield* writer["draftAnnouncement"]!("Effect"), {
        provider: "anthropic",
        text: "Launched!"
      })
      assert.deepStrictEqual({ ...(yield* writer["extractLaunchPlan"]!("notes")) }, plan)
      assert.strictEqual(yield* Stream.mkString(writer["streamReleaseHighlights"]!("1.0")), "- one\n- two")
    }).pipe(Effect.provide(quiet), Effect.scoped))

  it.live("20_tools: tools that the model must call", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({
        answers: [blocks([
          { type: "text", text: "Looking." },
          { type: "tool_use", id: "t1", name: "SearchProducts", input: { query: "blue", maxResults: 1 } },
          { type: "tool_use", id: "t2", name: "GetInventory", input: { productId: "p-1" } }
        ])]
      })
      const assistant = yield* serviceOf("20_tools.ts", "ProductAssistant", simulator.url)
      assert.deepStrictEqual(yield* assistant["answer"]!("What is blue?"), { text: "Looking.", toolCallCount: 2 })
    }).pipe(Effect.provide(quiet), Effect.scoped))

  it.live("30_chat: a chat, and an agent's loop", () =>
    Effect.gen(function*() {
      const simulator = yield* ClaudeSimulator.make({
        answers: [
          Answer.text("Hi."),
          Answer.text("Still here."),
          Answer.tool("getCurrentTime", { id: "x" }),
          Answer.text("It is late.")
        ]
      })
      const assistant = yield* serviceOf("30_chat.ts", "AiAssistant", simulator.url)
      assert.strictEqual(yield* assistant["chat"]!("Hello"), "Hi.")
      assert.strictEqual(yield* assistant["chat"]!("Again"), "Still here.")
      assert.strictEqual(yield* assistant["agent"]!("What time is it?"), "It is late.")
    }).pipe(Effect.provide(quiet), Effect.scoped))
})
