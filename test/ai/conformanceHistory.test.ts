/** Whatever a chat has been through, the API takes what it sends next: the simulator refuses what the API refuses. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Ref, Schema, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { Chat, Prompt, Tool, Toolkit } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { seeded } from "../flow/observe.ts"
import { log, said, simulated, use } from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const parameters = Schema.Struct({ n: Schema.Int })
const Tools = Toolkit.make(
  Tool.make("find", { parameters, success: Schema.Int }),
  Tool.make("ask", { parameters, success: Schema.Int, needsApproval: ({ n }) => n % 2 === 0 }),
  Tool.make("fail", { parameters, failure: Schema.String, failureMode: "return" }),
  Tool.make("note", { parameters }),
  ClaudeTool.WebSearch_20260318({})
)
const tools = Effect.provide(
  Tools,
  Tools.toLayer({
    find: ({ n }) => Effect.succeed(n),
    ask: ({ n }) => Effect.succeed(n),
    fail: () => Effect.fail("broken"),
    note: () => Effect.sleep("1 millis")
  })
)

const walk = (seed: number, turns: number) => {
  const next = seeded(seed)
  const chance = (part: number) => next() < part
  const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(next() * all.length)]!
  let ids = 0

  const block = (): ReadonlyArray<Json> =>
    pick<() => ReadonlyArray<Json>>([
      () => [said(pick(["So.", " ", "", "naïve 🎉 \n"]))],
      () => [{ type: "thinking", thinking: pick(["Hm. ", ""]), signature: "c2ln" }],
      () => [{ type: "redacted_thinking", data: "b3Bh" }],
      () => [use(`t${ids++}`, pick(["find", "ask", "fail", "note"]), { n: ids })],
      () => [use(`t${ids++}`, "find", { n: "none" })],
      () => [{ type: "hologram", data: 1 }],
      () => {
        const id = `s${ids++}`
        const call = { type: "server_tool_use", id, name: "web_search", input: { query: "q" } }
        return chance(0.3) ? [call] : [call, { type: "web_search_tool_result", tool_use_id: id, content: [] }]
      }
    ])()

  const answer = (): Answer.Answer => {
    const content = Array.from({ length: Math.floor(next() * 5) }, block).flat()
    const whole = blocks(
      content,
      chance(0.3) ? { stopReason: pick(["max_tokens", "refusal", "pause_turn", "brand_new"]) as Json } : {}
    )
    const at = { afterEvents: Math.floor(next() * 14) }
    return pick([
      () => whole,
      () => whole,
      () => whole,
      () => Answer.truncate(at, whole),
      () => Answer.errorEvent("overloaded_error", "Overloaded", at, whole)
    ])()
  }

  /** What its caller does with what waits for an approval. */
  const responses = (history: Prompt.Prompt): ReadonlyArray<Json> => {
    const parts = history.content.flatMap(({ content }): ReadonlyArray<Json> =>
      typeof content === "string" ? [] : content
    )
    const answered = new Set(
      parts.filter(({ type }) => type === "tool-approval-response").map((part) => part.approvalId)
    )
    return parts
      .filter((part) => part.type === "tool-approval-request" && !answered.has(part.approvalId) && chance(0.7))
      .map(({ approvalId }) => ({ type: "tool-approval-response", approvalId, approved: chance(0.6), reason: "No." }))
  }

  return Effect.gen(function*() {
    const toolkit: Toolkit.WithHandler<Json> = yield* tools
    let chat = yield* Chat.empty
    for (let turn = 0; turn < turns; turn++) {
      const given = responses(yield* Ref.get(chat.history))
      const prompt: ReadonlyArray<Json> = [
        ...(given.length === 0 ? [] : [{ role: "tool", content: given }]),
        ...(turn > 0 && chance(0.4) ? [] : [{ role: "user", content: pick(["Go", "And?", "  on"]) }])
      ]
      const options = { prompt, toolkit } as Json
      const exit: Exit.Exit<unknown, Json> = yield* Effect.exit(
        pick<() => Effect.Effect<unknown, Json, Json>>([
          () => chat.generateText(options) as Json,
          () => Stream.runDrain(chat.streamText(options)) as Json,
          () => Stream.runDrain(Stream.take(chat.streamText(options), Math.floor(next() * 20))) as Json
        ])()
      )
      if (Exit.isFailure(exit)) {
        const error = ClaudeLanguageModel.claudeError(Option.getOrThrow(Exit.findErrorOption(exit)))
        const status = Option.getOrUndefined(error)?.status
        if (status === 400) {
          const { entries } = yield* log
          const { messages } = entries.at(-1)!.body as Json
          assert.fail(`seed ${seed}, turn ${turn}: ${Option.getOrThrow(error).message} ${JSON.stringify(messages)}`)
        }
      }
      if (chance(0.3)) chat = yield* Chat.fromJson(yield* chat.exportJson)
    }
  }).pipe(Effect.provide(simulated(() => answer())))
}

describe("a chat that goes through anything", () => {
  it.live("is taken by the API at each turn", () =>
    Effect.forEach(Array.from({ length: 15 }, (_, seed) => seed + 1), (seed) => walk(seed, 10), {
      discard: true
    }) as Effect.Effect<void>)
})
