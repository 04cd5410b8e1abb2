/** What a prompt carries for Claude survives being stored: as JSON, and as what is made of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Answer } from "effect-claude/testing"
import { Chat } from "effect/ai"
import { bodies, layerOf } from "./support.ts"

const cacheControl = { type: "ephemeral", ttl: "1h" } as const

describe("the export of a chat", () => {
  it.effect("keeps files, breakpoints and blocks", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.fromPrompt([
        { role: "system", content: "Be brief.", options: { anthropic: { cacheControl } } },
        {
          role: "user",
          options: { anthropic: { cacheControl } },
          content: [
            { type: "file", mediaType: "image/png", data: new Uint8Array([0x89, 0x50, 0x4e, 0x47]) },
            { type: "file", mediaType: "application/pdf", data: new URL("https://a.invalid/a.pdf"), fileName: "a.pdf" },
            { type: "file", mediaType: "text/plain", data: new URL("https://a.invalid/a.txt") },
            { type: "file", mediaType: "text/plain", data: "https://a.invalid is a text" },
            {
              type: "file",
              mediaType: "application/pdf",
              data: "",
              options: {
                anthropic: { fileId: "file_1", citations: { enabled: true }, documentContext: "c", cacheControl }
              }
            },
            { type: "text", text: "", options: { anthropic: { block: { type: "search_result", source: "s" } } } },
            { type: "text", text: " \ud83d 🎉 e\u0301 " }
          ]
        }
      ])
      yield* chat.generateText({ prompt: "So?" })
      const others = [
        yield* Chat.fromJson(yield* chat.exportJson),
        yield* Chat.fromExport(JSON.parse(JSON.stringify(yield* chat.export)))
      ]
      for (const one of [chat, ...others]) yield* one.generateText({ prompt: "And?" })
      const [, went, ...came] = yield* bodies
      assert.strictEqual(went.messages[0].content.length, 8)
      for (const body of came) assert.strictEqual(JSON.stringify(body), JSON.stringify(went))
    }).pipe(Effect.provide(layerOf([Answer.hello]))))
})
