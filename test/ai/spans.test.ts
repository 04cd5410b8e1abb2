import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Schema, Stream, Tracer } from "effect"
import { Claude } from "effect-claude"
import { Answer } from "effect-claude/testing"
import { Chat, LanguageModel, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import * as ClaudeTool from "../../src/ai/tools/ClaudeTool.ts"
import { observe, unended } from "../flow/observe.ts"
import { blocks, layerOf, MODEL, sentHeaders } from "./support.ts"

const SECRET = "078-05-1120"

const Find = Tool.make("find", {
  description: "Finds a person",
  parameters: Schema.Struct({ ssn: Schema.String }),
  success: Schema.String,
  failure: Schema.String,
  failureMode: "return"
})
const Finds = Toolkit.make(Find)
const finding = Finds.toLayer({ find: () => Effect.succeed("found").pipe(Effect.withSpan("inner")) })

const use = (id: string, name = "find") => ({ type: "tool_use", id, name, input: { ssn: SECRET } })

/** An answer that the API has searched for. */
const searched = blocks([
  { type: "server_tool_use", id: "s1", name: "web_search", input: { query: SECRET } },
  { type: "web_search_tool_result", tool_use_id: "s1", content: [{ type: "web_search_result", title: SECRET }] },
  { type: "text", text: SECRET }
])

const usage = { input_tokens: 3, cache_read_input_tokens: 10, cache_creation_input_tokens: 7, output_tokens: 5 }

const parentOf = (span: Tracer.NativeSpan): string | undefined =>
  Option.match(span.parent, {
    onNone: () => undefined,
    onSome: (parent) => parent._tag === "Span" ? parent.name : undefined
  })

const tree = (spans: ReadonlyArray<Tracer.NativeSpan>) =>
  spans.map((span) => [span.name, parentOf(span)]).toSorted(([a], [b]) => String(a).localeCompare(String(b)))

/** All that a span says of itself when it is exported. */
const told = (span: Tracer.NativeSpan): string =>
  JSON.stringify([
    [...span.attributes],
    span.events,
    span.status._tag === "Ended" && Exit.isFailure(span.status.exit) ? String(span.status.exit.cause) : ""
  ], (_key, value) => typeof value === "bigint" ? String(value) : value)

const ways = {
  generateText: LanguageModel.generateText({ prompt: "Go", toolkit: Finds }),
  streamText: Stream.runDrain(LanguageModel.streamText({ prompt: "Go", toolkit: Finds }))
}

describe("spans", () => {
  for (const [name, program] of Object.entries(ways)) {
    it.effect(`of ${name}: the call and its tools are children of the model's, each tool by itself`, () => {
      const observed = observe()
      return Effect.gen(function*() {
        yield* Effect.withSpan(program, "program")
        const model = `LanguageModel.${name}`
        assert.deepStrictEqual(tree(observed.spans), [
          ["chat claude-opus-5-5", model],
          ["execute_tool find", model],
          ["execute_tool find", model],
          ["inner", "execute_tool find"],
          ["inner", "execute_tool find"],
          [model, "program"],
          ["POST", "chat claude-opus-5-5"],
          ["program", undefined]
        ])
        const tools = observed.spans.filter((span) => span.name === "execute_tool find")
        assert.sameMembers(tools.map(({ attributes }) => attributes.get("gen_ai.tool.call.id")), ["t1", "t2"])
        assert.deepInclude(Object.fromEntries(tools[0]!.attributes), {
          "gen_ai.operation.name": "execute_tool",
          "gen_ai.tool.name": "find",
          "gen_ai.tool.type": "function",
          "gen_ai.tool.description": "Finds a person"
        })
        for (const span of observed.spans) assert.notInclude(told(span), SECRET)
        const { attributes } = observed.spans.find((span) => span.name === model)!
        assert.deepInclude(Object.fromEntries(attributes), {
          "gen_ai.provider.name": "anthropic",
          "gen_ai.request.model": "claude-opus-5-5",
          "gen_ai.response.id": "msg_1"
        })
        assert.deepStrictEqual(attributes.get("gen_ai.response.finish_reasons"), ["tool-calls"])
        // Who adds up calls by their operation, or their tokens, counts each once; cached ones are among these.
        const all = (name: string) => observed.spans.flatMap(({ attributes }) => attributes.get(name) ?? [])
        assert.deepStrictEqual(all("gen_ai.operation.name").toSorted(), ["chat", "execute_tool", "execute_tool"])
        assert.deepStrictEqual(all("gen_ai.usage.input_tokens"), [20])
        assert.deepStrictEqual(all("gen_ai.usage.output_tokens"), [5])
        assert.deepStrictEqual(unended(observed.spans), [])
      }).pipe(
        Effect.provide(
          Layer.provideMerge(
            Layer.mergeAll(finding, layerOf([blocks([use("t1"), use("t2")], { id: "msg_1", usage })])),
            observed.layer
          )
        )
      )
    })
  }

  it.effect("of a chat are the same, below the chat's", () => {
    const observed = observe()
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* Stream.runDrain(chat.streamText({ prompt: "Go", toolkit: Finds }))
      assert.deepStrictEqual(tree(observed.spans), [
        ["chat claude-opus-5-5", "LanguageModel.streamText"],
        ["Chat.streamText", undefined],
        ["execute_tool find", "LanguageModel.streamText"],
        ["inner", "execute_tool find"],
        ["LanguageModel.streamText", "Chat.streamText"],
        ["POST", "chat claude-opus-5-5"]
      ])
    }).pipe(
      Effect.provide(Layer.provideMerge(Layer.mergeAll(finding, layerOf([blocks([use("t1")])])), observed.layer))
    )
  })

  it.effect("of a call that its first read opens are the same, and its betas hold", () => {
    const observed = observe()
    const lazily = Layer.effect(
      Claude.Claude,
      Effect.map(
        Claude.Claude,
        (claude) =>
          Claude.Claude.of({ ...claude, stream: (request) => Stream.unwrap(Effect.sync(() => claude.stream(request))) })
      )
    )
    return Effect.gen(function*() {
      yield* Stream.runDrain(LanguageModel.streamText({ prompt: "Go" }))
      assert.deepStrictEqual(tree(observed.spans), [
        ["chat claude-opus-5-5", "LanguageModel.streamText"],
        ["LanguageModel.streamText", undefined],
        ["POST", "chat claude-opus-5-5"]
      ])
      assert.deepStrictEqual((yield* sentHeaders).map((headers) => headers["anthropic-beta"]), ["of-model"])
    }).pipe(
      Effect.provide(
        ClaudeLanguageModel.layer({ model: MODEL, config: { betas: ["of-model"] } }).pipe(
          Layer.provide(lazily),
          Layer.provideMerge(layerOf([Answer.hello])),
          Layer.provideMerge(observed.layer)
        )
      )
    )
  })

  it.effect("of tools that were approved are children of the call that runs them", () => {
    const observed = observe()
    const toolkit = Toolkit.make(
      Tool.make("find", { ...Find, parameters: Find.parametersSchema, success: Schema.String, needsApproval: true })
    )
    return Effect.gen(function*() {
      const first = (yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Go", toolkit }))) as ReadonlyArray<
        Response.AnyPart
      >
      const { approvalId } = first.find((part) => part.type === "tool-approval-request")!
      const before = observed.spans.length
      yield* Stream.runDrain(LanguageModel.streamText({
        prompt: Prompt.concat(Prompt.concat(Prompt.make("Go"), Prompt.fromResponseParts(first)), [
          { role: "tool", content: [{ type: "tool-approval-response", approvalId, approved: true }] }
        ]),
        toolkit
      }))
      const [model, tool] = observed.spans.slice(before)
      assert.strictEqual(model!.name, "LanguageModel.streamText")
      assert.strictEqual(tool!.name, "execute_tool find")
      assert.strictEqual(Option.getOrThrow(tool!.parent).spanId, model!.spanId)
      for (const span of observed.spans) assert.notInclude(told(span), SECRET)
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          Layer.mergeAll(
            toolkit.toLayer({ find: () => Effect.succeed("found") }),
            layerOf([blocks([use("t1")]), Answer.hello])
          ),
          observed.layer
        )
      )
    )
  })

  for (
    const [how, handler, input] of [
      ["that fail", () => Effect.fail(`nobody has ${SECRET}`), { ssn: SECRET }],
      ["that die", () => Effect.die(new Error(SECRET)), { ssn: SECRET }],
      [
        "that die as they are interrupted",
        () => Effect.ensuring(Effect.interrupt, Effect.die(new Error(SECRET))),
        { ssn: SECRET }
      ],
      ["whose parameters do not fit", () => Effect.succeed("found"), { ssn: [SECRET] }]
    ] as const
  ) {
    for (const failureMode of ["error", "return"] as const) {
      it.effect(`of tools ${how} say so, and not what they were given (${failureMode})`, () => {
        const observed = observe()
        const toolkit = Toolkit.make(Tool.make("find", {
          parameters: Schema.Struct({ ssn: Schema.String }),
          success: Schema.String,
          failure: Schema.String,
          failureMode: failureMode as "return"
        }))
        return Effect.gen(function*() {
          yield* Effect.exit(LanguageModel.generateText({ prompt: "Go", toolkit }))
          yield* Effect.exit(Stream.runDrain(LanguageModel.streamText({ prompt: "Go", toolkit })))
          const tools = observed.spans.filter((span) => span.name === "execute_tool find")
          assert.strictEqual(tools.length, 2)
          for (const span of tools) assert.strictEqual(span.attributes.get("error.type"), "tool_error")
          // The model's span, too: it ends as the call does.
          for (const span of observed.spans) assert.notInclude(told(span), SECRET)
          assert.deepStrictEqual(unended(observed.spans), [])
        }).pipe(
          Effect.provide(
            Layer.provideMerge(
              Layer.mergeAll(toolkit.toLayer({ find: handler }), layerOf([blocks([{ ...use("t1"), input }])])),
              observed.layer
            )
          )
        )
      })
    }
  }

  it.effect("tell nothing of what the API ran, nor of prompts, files and answers, also where these do not fit", () => {
    const observed = observe()
    const toolkit = Toolkit.make(Find, ClaudeTool.WebSearch_20260318({}))
    const prompt = [{
      role: "user",
      content: [
        { type: "text", text: SECRET },
        { type: "file", mediaType: "text/plain", data: SECRET, fileName: SECRET }
      ]
    }] as const
    return Effect.gen(function*() {
      const asks = [
        LanguageModel.generateText({ prompt, toolkit }),
        Stream.runDrain(LanguageModel.streamText({ prompt, toolkit })),
        LanguageModel.generateObject({ prompt, schema: Schema.Struct({ ssn: Schema.Int }) }),
        LanguageModel.generateText({ prompt, toolkit }),
        Stream.runDrain(LanguageModel.streamText({ prompt, toolkit }))
      ]
      const messages: Array<string> = []
      for (const ask of asks) {
        const exit = yield* Effect.exit(ask as Effect.Effect<unknown, unknown>)
        if (Exit.isFailure(exit)) messages.push(String(exit.cause))
      }
      // The object that does not fit, and the call that nobody declared.
      assert.strictEqual(messages.length, 3)
      for (const message of messages) assert.notInclude(message, SECRET)
      for (const span of observed.spans) assert.notInclude(told(span), SECRET)
      for (const log of observed.logs) assert.notInclude(log, SECRET)
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          Layer.mergeAll(
            finding,
            layerOf([
              searched,
              searched,
              Answer.json({ ssn: SECRET }),
              blocks([use("t1", "nobody")]),
              blocks([use("t1", "nobody")])
            ])
          ),
          observed.layer
        )
      )
    )
  })

  it.effect("all end where a stream is left in the middle of a tool", () => {
    const observed = observe()
    const called = Deferred.makeUnsafe<void>()
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(ways.streamText)
      yield* Deferred.await(called)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(unended(observed.spans), [])
      const tool = observed.spans.find((span) => span.name === "execute_tool find")!
      assert.isFalse(tool.attributes.has("error.type"))
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          Layer.mergeAll(
            Finds.toLayer({ find: () => Effect.andThen(Deferred.succeed(called, undefined), Effect.never) }),
            layerOf([blocks([use("t1")])])
          ),
          observed.layer
        )
      )
    )
  })
})
