import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Answer } from "effect-claude/testing"
import { LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { readFileSync } from "node:fs"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { blocks, layerOf, sentHeaders } from "./support.ts"

const betasOf = (
  prompt: Prompt.RawInput,
  config: ClaudeLanguageModel.ConfigOptions = {}
) =>
  Effect.gen(function*() {
    yield* LanguageModel.generateText({ prompt }).pipe(ClaudeLanguageModel.withConfigOverride(config))
    return (yield* sentHeaders).at(-1)!["anthropic-beta"]
  }).pipe(Effect.provide(layerOf([Answer.hello])))

/** A prompt in which the model has said this block. */
const after = (block: object): Prompt.RawInput =>
  [
    { role: "user", content: "Hi" },
    { role: "assistant", content: [{ type: "text", text: "", options: { anthropic: { block } } }] },
    { role: "user", content: "And?" }
  ] as never

describe("betas", () => {
  const used = readFileSync(new URL("../../src/ai/Betas.ts", import.meta.url), "utf8") +
    readFileSync(new URL("../../src/ai/tools/ProviderTool.ts", import.meta.url), "utf8")
  const known = readFileSync(
    new URL("../../node_modules/@anthropic-ai/sdk/resources/beta/beta.d.ts", import.meta.url),
    "utf8"
  )
  for (const [beta] of used.matchAll(/(?<=")[a-z][a-z-]*-20\d\d-\d\d-\d\d(?=")/g)) {
    it(`${beta} is one that the SDK knows`, () => assert.include(known, `'${beta}'`))
  }

  for (
    const [name, config, beta] of [
      ["nothing of a beta", {}, undefined],
      [
        "MCP servers",
        { mcp_servers: [{ type: "url", name: "far", url: "https://a.invalid" }] },
        "mcp-client-2025-11-20"
      ],
      ["context edits", { context_management: { edits: [] } }, "context-management-2025-06-27"],
      [
        "compaction of the context",
        { context_management: { edits: [{ type: "compact_20260112" }] } },
        "compact-2026-01-12,context-management-2025-06-27"
      ],
      ["a summary", { compaction: { type: "summarize" } }, "compact-2026-09-04"],
      ["fallbacks", { fallbacks: "default" }, "server-side-fallback-2026-07-01"],
      ["a credit of a fallback", { fallback_credit_token: "t" }, "fallback-credit-2026-07-01"],
      ["a thread", { thread: { type: "create" } }, "message-threads-2026-08-12"],
      [
        "who is billed",
        { billing_policy: { type: "billing_policy", bill_to: "self" } },
        "user-profiles-billing-2026-10-01"
      ],
      ["speed", { speed: "fast" }, "fast-mode-2026-02-01"],
      [
        "a budget for a task",
        { output_config: { task_budget: { type: "tokens", total: 20_000 } } },
        "task-budgets-2026-03-13"
      ],
      ["effort, which is none", { output_config: { effort: "high" } }, undefined],
      [
        "thoughts as updates",
        { thinking: { type: "adaptive", display: "updates" } },
        "thinking-display-updates-2026-08-18"
      ],
      ["thoughts, which are none", { thinking: { type: "adaptive", display: "omitted" } }, undefined],
      [
        "thoughts that are bound",
        { thinking: { type: "adaptive", block_binding: { prefix_mismatch_behavior: "drop_block" } } },
        "thinking-binding-controls-2026-08-01"
      ],
      ["those that the caller names, each once", { betas: ["b", "a", "b"], speed: null }, "a,b"]
    ] satisfies ReadonlyArray<readonly [string, ClaudeLanguageModel.ConfigOptions, string | undefined]>
  ) {
    it.effect(`are named for ${name}`, () =>
      Effect.map(betasOf("Hi", config), (betas) => assert.strictEqual(betas, beta)))
  }

  for (
    const [block, beta] of [
      [{ type: "text", text: "x" }, undefined],
      [{ type: "mcp_tool_result", tool_use_id: "m", is_error: false, content: [] }, "mcp-client-2025-11-20"],
      [{ type: "mcp_tool_listing", mcp_server_name: "far", tools: [] }, "mcp-client-2026-09-15"],
      [{ type: "advisor_tool_result", tool_use_id: "s", content: {} }, "advisor-tool-2026-03-01"],
      [{ type: "fallback", from: { model: "a" }, to: { model: "b" } }, "server-side-fallback-2026-07-01"],
      [{ type: "compaction", content: "So far." }, "compact-2026-01-12"],
      [{ type: "compaction", content: "So far.", signature: "s" }, "compact-2026-09-04"],
      [
        { type: "tool_addition", tool: { type: "tool_reference", name: "f" } },
        "mid-conversation-tool-changes-2026-07-01"
      ],
      [
        { type: "tool_addition", tool: { type: "tool_definition", definition: {} } },
        "inline-tools-2026-09-15,mid-conversation-tool-changes-2026-07-01"
      ],
      [{ type: "constructor" }, undefined]
    ] as const
  ) {
    it.effect(`go with a history that has ${JSON.stringify(block)}`, () =>
      Effect.map(betasOf(after(block)), (betas) => assert.strictEqual(betas, beta)))
  }

  it.effect("go on with a chat that has left what they were for", () => {
    const advisor = Toolkit.make(ClaudeTool.Advisor_20260301({ model: "claude-opus-5-5" }))
    return Effect.gen(function*() {
      const { content } = yield* LanguageModel.generateText({ prompt: "Hi", toolkit: advisor })
      const parts: ReadonlyArray<Response.AnyPart> = content
      const history = Prompt.concat(Prompt.make("Hi"), Prompt.fromResponseParts(parts))
      yield* LanguageModel.generateText({ prompt: Prompt.concat(history, "So?") })
      const headers = yield* sentHeaders
      assert.deepStrictEqual(headers.map((headers) => headers["anthropic-beta"]), [
        "advisor-tool-2026-03-01",
        "advisor-tool-2026-03-01"
      ])
    }).pipe(Effect.provide(layerOf([
      blocks([
        { type: "server_tool_use", id: "s1", name: "advisor", input: {} },
        { type: "advisor_tool_result", tool_use_id: "s1", content: { type: "advisor_result", text: "Wait." } }
      ]),
      Answer.hello
    ])))
  })

  it.effect("of tools go with the tools", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(
        ClaudeTool.ComputerUse_20251124({ display_height_px: 1, display_width_px: 1 }),
        Tool.make("f")
      )
      const handlers = yield* Effect.provide(
        toolkit,
        toolkit.toLayer({ AnthropicComputerUse: () => Effect.succeed("x"), f: () => Effect.void })
      )
      yield* LanguageModel.generateText({ prompt: "Hi", toolkit: handlers })
      assert.strictEqual((yield* sentHeaders)[0]!["anthropic-beta"], "computer-use-2025-11-24")
    }).pipe(Effect.provide(layerOf([Answer.hello]))))
})
