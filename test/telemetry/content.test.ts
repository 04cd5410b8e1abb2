import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import * as Contract from "./contract.ts"
import { mismatches, onlyCall, rowOf, total } from "./reading.ts"
import { ask, play, received, secrets } from "./scenarios.ts"

for (const protocol of ["protobuf", "json"] as const) {
  describe(`content over ${protocol}`, () => {
    const hidden = "[hidden]"
    const redact = (text: string) => text.replaceAll(secrets.prompt, hidden).replaceAll(secrets.argument, hidden)
    const run = Claude.message({
      ...ask,
      tools: [{ name: "lookup", description: secrets.tool, input_schema: { type: "object" } }]
    })
    const answers = [
      Answer.tool("lookup", { q: secrets.argument, id: secrets.argument }, { text: secrets.reply, toolUseId: "t1" })
    ]

    const captureWith = (content: NonNullable<NonNullable<Claude.Options["telemetry"]>["content"]>) =>
      Effect.gen(function*() {
        const simulator = yield* ClaudeSimulator.make()
        return yield* received(
          protocol,
          play(simulator, { name: "content", answers, options: { telemetry: { content } }, run })
        )
      })

    const expected = {
      "gen_ai.system_instructions": [{ type: "text", content: secrets.system }],
      "gen_ai.input.messages": [{ role: "user", parts: [{ type: "text", content: hidden }] }],
      "gen_ai.output.messages": [{
        role: "assistant",
        parts: [
          { type: "text", content: secrets.reply },
          { type: "tool_call", id: "t1", name: "lookup", arguments: { q: hidden, id: hidden } }
        ]
      }],
      "gen_ai.tool.definitions": [{ name: "lookup", description: secrets.tool, input_schema: { type: "object" } }]
    }

    it.live("goes onto the span as JSON, redacted", () =>
      Effect.gen(function*() {
        const { logs, spans } = yield* captureWith({ capture: "span", redact })
        const call = onlyCall(spans, "content")
        assert.deepStrictEqual(mismatches(call.name, rowOf(call)!.attributes, call), [])
        for (const [name, value] of Object.entries(expected)) {
          assert.deepStrictEqual(JSON.parse(String(call.attributes[name])), value, name)
        }
        assert.deepStrictEqual(call.attributes["gen_ai.request.stop_sequences"], [secrets.stop])
        assert.deepStrictEqual(logs, [])
      }))

    it.live("goes into a log with its structure, redacted, whatever the level of logs", () =>
      Effect.gen(function*() {
        const { logs, spans } = yield* captureWith({ capture: "event", redact })
        assert.deepStrictEqual(logs.map((log) => log.body), ["gen_ai.client.inference.operation.details"])
        const [log] = logs
        const row = Contract.logs["gen_ai.client.inference.operation.details"]!
        assert.deepStrictEqual(mismatches("details", row.attributes, log!), [])
        assert.deepStrictEqual([log!.severity, log!.severityNumber], ["Debug", 5])
        for (const [name, value] of Object.entries(expected)) assert.deepStrictEqual(log!.attributes[name], value, name)
        const call = onlyCall(spans, "content")
        assert.strictEqual(log!.spanId, call.spanId)
        assert.isFalse(Object.keys(expected).some((name) => name in call.attributes))
        for (const [name, value] of Object.entries(call.attributes)) {
          assert.deepStrictEqual(log!.attributes[name], value, name)
        }
      }))

    it.live("goes to a function and nowhere else, redacted", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        const { requests } = yield* captureWith({ capture: (content) => void seen.push(content), redact })
        assert.deepStrictEqual(seen, [{
          systemInstructions: expected["gen_ai.system_instructions"],
          inputMessages: expected["gen_ai.input.messages"],
          outputMessages: expected["gen_ai.output.messages"],
          toolDefinitions: expected["gen_ai.tool.definitions"],
          stopSequences: [secrets.stop]
        }])
        const bytes = requests.map((request) => request.body.toString("latin1")).join("\n")
        for (const text of ["that-stays-here", hidden]) assert.notInclude(bytes, text)
      }))

    it.live("keeps what a part is, whatever the redactor makes of texts", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        yield* captureWith({ capture: ({ outputMessages }) => void seen.push(outputMessages), redact: () => "x" })
        assert.deepStrictEqual(seen, [[{
          role: "assistant",
          parts: [
            { type: "text", content: "x" },
            { type: "tool_call", id: "t1", name: "lookup", arguments: { q: "x", id: "x" } }
          ]
        }]])
      }))

    for (const capture of ["span", "event"] as const) {
      it.live(`leaves out what the redactor failed on, and that alone (${capture})`, () =>
        Effect.gen(function*() {
          const all = yield* captureWith({
            capture,
            redact: (text) => {
              if (text.startsWith("prompt") || text.startsWith("argument")) throw new Error(text)
              return text
            }
          })
          const bytes = all.requests.map((request) => request.body.toString("latin1")).join("\n")
          for (const text of [secrets.prompt, secrets.argument]) assert.notInclude(bytes, text)
          for (const text of [secrets.system, secrets.tool, "tool_call", "withheld"]) assert.include(bytes, text)
          assert.strictEqual(onlyCall(all.spans, "content").attributes["claude.outcome"], "success")
          assert.strictEqual(
            total(all, "claude.telemetry.overflow", "value", { "claude.telemetry.signal": "content" }),
            3
          )
        }))
    }
  })
}
