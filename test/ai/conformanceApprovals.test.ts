/** What effect/ai promises of tools that need an approval, over the simulator. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Ref, Schema, Stream } from "effect"
import { Answer } from "effect-claude/testing"
import { Chat, Prompt, Tool, Toolkit } from "effect/ai"
import { Persistence } from "effect/persistence"
import {
  type Ask,
  inEachWay,
  lastBody,
  log,
  only,
  type Parts,
  resultsOf,
  said,
  simulated,
  textOf,
  use
} from "./simulated.ts"
import { blocks, type Json } from "./support.ts"

const parameters = Schema.Struct({ usd: Schema.Int })

/** A toolkit with a tool of each kind, and what was paid. */
const pays = () => {
  const paid: Array<number> = []
  const tools = Toolkit.make(
    Tool.make("ask", { parameters, success: Schema.String, needsApproval: true }),
    Tool.make("free", { parameters, success: Schema.String }),
    Tool.make("rich", { parameters, success: Schema.String, needsApproval: ({ usd }) => usd > 10 }),
    Tool.make("careful", {
      parameters,
      success: Schema.String,
      needsApproval: ({ usd }, { messages, toolCallId }) =>
        Effect.succeed(usd > 10 && messages.length > 0 && toolCallId.startsWith("t"))
    })
  )
  const pay = ({ usd }: { readonly usd: number }) => Effect.sync(() => (paid.push(usd), `paid ${usd}`))
  return {
    paid,
    toolkit: Effect.provide(tools, tools.toLayer({ ask: pay, free: pay, rich: pay, careful: pay }))
  }
}

const response = (request: { readonly approvalId: string }, approved: boolean, reason?: string) => ({
  type: "tool-approval-response" as const,
  approvalId: request.approvalId,
  approved,
  ...(reason === undefined ? undefined : { reason })
})

const after = (prompt: Prompt.Prompt, parts: Parts, ...more: ReadonlyArray<Json>): Prompt.Prompt =>
  Prompt.concat(Prompt.concat(prompt, Prompt.fromResponseParts(parts)), more as Json)

const start = Prompt.make("Pay")

const denied = (reason: string) => JSON.stringify({ type: "execution-denied", reason })

/** The results that went out, by call. */
const sentResults = (body: Json, at = 2) =>
  Object.fromEntries(
    body.messages[at].content
      .filter(({ type }: Json) => type === "tool_result")
      .map(({ content, is_error, tool_use_id }: Json) => [tool_use_id, [content, is_error ?? false]])
  )

const sent = (body: Json) => JSON.stringify(body)

describe("an approval", () => {
  inEachWay("is asked for where the tool says so, always or by its parameters, and the others run", (ask) => {
    const { paid, toolkit } = pays()
    return Effect.gen(function*() {
      const parts = yield* ask({ prompt: start, toolkit: yield* toolkit })
      const requests = only(parts, "tool-approval-request")
      assert.sameMembers(requests.map(({ toolCallId }) => toolCallId), ["t1", "t4", "t6"])
      assert.strictEqual(new Set(requests.map(({ approvalId }) => approvalId)).size, 3)
      assert.sameMembers(paid, [2, 3, 5])
      assert.deepStrictEqual(resultsOf(parts), { t2: "paid 2", t3: "paid 3", t5: "paid 5" })
    }).pipe(Effect.provide(simulated([blocks([
      use("t1", "ask", { usd: 1 }),
      use("t2", "free", { usd: 2 }),
      use("t3", "rich", { usd: 3 }),
      use("t4", "rich", { usd: 40 }),
      use("t5", "careful", { usd: 5 }),
      use("t6", "careful", { usd: 60 })
    ])])))
  })

  const answers = [
    blocks([
      said("May I?"),
      use("t1", "ask", { usd: 1 }),
      use("t2", "rich", { usd: 20 }),
      use("t3", "free", { usd: 3 })
    ]),
    Answer.text("Done."),
    Answer.text("Bye.")
  ]

  inEachWay("that is given lets the tool run once; one that is denied says why; the model sees results only", (ask) => {
    const { paid, toolkit } = pays()
    return Effect.gen(function*() {
      const tools = yield* toolkit
      const first = yield* ask({ prompt: start, toolkit: tools })
      const [one, two] = only(first, "tool-approval-request").toSorted((a, b) => a.toolCallId < b.toolCallId ? -1 : 1)
      const asked = after(start, first, {
        role: "tool",
        content: [response(one!, true), response(two!, false, "Too much.")]
      })
      assert.deepStrictEqual(paid, [3])
      const second = yield* ask({ prompt: asked, toolkit: tools })
      assert.deepStrictEqual(paid, [3, 1])
      assert.strictEqual(textOf(second), "Done.")
      const body = yield* lastBody
      assert.deepStrictEqual(sentResults(body), {
        t1: ["paid 1", false],
        t2: [denied("Too much."), true],
        t3: ["paid 3", false]
      })
      assert.deepStrictEqual(body.messages.map(({ role }: Json) => role), ["user", "assistant", "user"])
      assert.notInclude(sent(body), "approval")
      assert.deepStrictEqual(Object.keys(resultsOf(second)).toSorted(), ["t1", "t2"])

      // And the next turn says the same of it, with no more of the approval.
      yield* ask({ prompt: after(asked, second, { role: "user", content: "Thanks" }), toolkit: tools })
      assert.deepStrictEqual(paid, [3, 1])
      const { messages } = yield* lastBody
      assert.notInclude(sent(messages), "approval")
      assert.strictEqual(JSON.stringify(messages.slice(0, 3)), JSON.stringify(body.messages))
      assert.deepStrictEqual(messages.slice(3), [
        { role: "assistant", content: [said("Done.")] },
        { role: "user", content: [said("Thanks")] }
      ])
    }).pipe(Effect.provide(simulated(answers)))
  })

  inEachWay("that nobody gave leaves a chat that goes on: the call is answered as interrupted", (ask) => {
    const { paid, toolkit } = pays()
    return Effect.gen(function*() {
      const tools = yield* toolkit
      const first = yield* ask({ prompt: start, toolkit: tools })
      yield* ask({ prompt: after(start, first, { role: "user", content: "Never mind." }), toolkit: tools })
      assert.deepStrictEqual(paid, [3])
      const body = yield* lastBody
      const results = sentResults(body)
      assert.deepStrictEqual(Object.keys(results).toSorted(), ["t1", "t2", "t3"])
      assert.isTrue(results["t1"][1])
      assert.isTrue(results["t2"][1])
      assert.deepStrictEqual(body.messages[2].content.at(-1), said("Never mind."))
    }).pipe(Effect.provide(simulated(answers)))
  })

  inEachWay("is not asked for where the answer was cut", (ask) => {
    const { paid, toolkit } = pays()
    return Effect.gen(function*() {
      const parts = yield* ask({ prompt: start, toolkit: yield* toolkit })
      assert.deepStrictEqual(only(parts, "tool-approval-request"), [])
      assert.deepStrictEqual(only(parts, "tool-result").map(({ isFailure }) => isFailure), [true])
      assert.deepStrictEqual(paid, [])
    }).pipe(Effect.provide(simulated([blocks([use("t1", "ask", { usd: 1 })], { stopReason: "max_tokens" })])))
  })

  inEachWay(
    "that is given without the toolkit, or for a tool that is gone, is a failure, and nothing is sent",
    (ask) => {
      const { toolkit } = pays()
      return Effect.gen(function*() {
        const first = yield* ask({ prompt: start, toolkit: yield* toolkit })
        const asked = after(start, first, {
          role: "tool",
          content: only(first, "tool-approval-request").map((request) => response(request, true))
        })
        const none = yield* Effect.flip(ask({ prompt: asked }))
        assert.strictEqual(none.reason._tag, "ToolkitRequiredError")
        assert.sameMembers([...none.reason.pendingApprovals], ["ask", "rich"])
        const Other = Toolkit.make(Tool.make("other"))
        const other = yield* Effect.provide(Other, Other.toLayer({ other: () => Effect.void }))
        const gone = yield* Effect.flip(ask({ prompt: asked, toolkit: other }))
        assert.strictEqual(gone.reason._tag, "ToolNotFoundError")
        assert.strictEqual((yield* log).requests, 1)
      }).pipe(Effect.provide(simulated(answers)))
    }
  )

  inEachWay("is thought over by no more than the bound at once", (ask) => {
    let thinking = 0
    let most = 0
    const tools = Toolkit.make(Tool.make("slow", {
      parameters,
      success: Schema.String,
      needsApproval: () =>
        Effect.gen(function*() {
          most = Math.max(most, ++thinking)
          yield* Effect.sleep("1 millis")
          thinking--
          return true
        })
    }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(tools, tools.toLayer({ slow: () => Effect.succeed("") }))
      const parts = yield* ask({ prompt: start, toolkit, concurrency: 2 })
      assert.strictEqual(only(parts, "tool-approval-request").length, 5)
      assert.strictEqual(most, 2)
    }).pipe(Effect.provide(simulated([
      blocks(Array.from({ length: 5 }, (_, n) => use(`t${n}`, "slow", { usd: n })))
    ])))
  })

  inEachWay("that is given runs tools side by side, no more than the bound", (ask) => {
    let running = 0
    let most = 0
    const both = Deferred.makeUnsafe<void>()
    const tools = Toolkit.make(Tool.make("slow", { parameters, success: Schema.String, needsApproval: true }))
    return Effect.gen(function*() {
      const toolkit = yield* Effect.provide(
        tools,
        tools.toLayer({
          slow: () =>
            Effect.gen(function*() {
              most = Math.max(most, ++running)
              if (running === 2) yield* Deferred.succeed(both, undefined)
              yield* Deferred.await(both)
              yield* Effect.sleep("1 millis")
              running--
              return "done"
            })
        })
      )
      const first = yield* ask({ prompt: start, toolkit })
      const given = only(first, "tool-approval-request").map((request) => response(request, true))
      yield* ask({ prompt: after(start, first, { role: "tool", content: given }), toolkit, concurrency: 2 })
      assert.strictEqual(Object.keys(sentResults(yield* lastBody)).length, 6)
      assert.strictEqual(most, 2)
    }).pipe(Effect.provide(simulated([
      blocks(Array.from({ length: 6 }, (_, n) => use(`t${n}`, "slow", { usd: n })))
    ])))
  })
})

describe("a chat that waits for an approval", () => {
  const answers = [
    blocks([
      { type: "thinking", thinking: "Costly. ", signature: "c2ln+/=" },
      use("t1", "ask", { usd: 1 })
    ]),
    Answer.text("Done."),
    Answer.text("Bye.")
  ]
  const asks = (way: "whole" | "streamed", chat: Chat.Chat): Ask => (options: Json) =>
    way === "whole"
      ? Effect.map(chat.generateText(options), ({ content }) => content) as Json
      : Stream.runCollect(chat.streamText(options)) as Json

  for (const way of ["whole", "streamed"] as const) {
    it.live(`is stored, found again by another process, given it, and goes on (${way})`, () => {
      const { paid, toolkit } = pays()
      return Effect.gen(function*() {
        const tools = yield* toolkit
        const store = yield* Chat.Persistence
        const first = yield* asks(way, yield* store.getOrCreate("c1"))({ prompt: "Pay", toolkit: tools })
        assert.strictEqual(only(first, "tool-approval-request").length, 1)

        const again = yield* store.get("c1")
        const request = (yield* Ref.get(again.history)).content
          .flatMap(({ content }) => typeof content === "string" ? [] : [...content])
          .find((part) => part.type === "tool-approval-request")!
        const given = [{ role: "tool" as const, content: [response(request, true)] }]
        const second = yield* asks(way, again)({ prompt: given, toolkit: tools })
        assert.strictEqual(textOf(second), "Done.")
        assert.deepStrictEqual(paid, [1])
        const body = yield* lastBody
        assert.strictEqual(
          JSON.stringify(body.messages[1].content),
          JSON.stringify([
            { type: "thinking", thinking: "Costly. ", signature: "c2ln+/=" },
            use("t1", "ask", { usd: 1 })
          ])
        )
        assert.deepStrictEqual(sentResults(body), { t1: ["paid 1", false] })

        const last = yield* store.get("c1")
        yield* asks(way, last)({ prompt: "Thanks", toolkit: tools })
        assert.deepStrictEqual(paid, [1])
        const { messages } = yield* lastBody
        assert.strictEqual(JSON.stringify(messages.slice(0, 3)), JSON.stringify(body.messages))
        assert.notInclude(sent(messages), "approval")
      }).pipe(Effect.provide([
        simulated(answers),
        Chat.layerPersisted({ storeId: "chats" }).pipe(Layer.provide(Persistence.layerBackingMemory))
      ]))
    })
  }
})
