/**
 * Asks about a file as a process of its own, and says what memory that took: `node memory.ts <file>`. What answers
 * is in the same process, and keeps nothing of what it was sent.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Claude from "../../src/Claude.ts"
import * as LongDocument from "../../src/documents/LongDocument.ts"
import { Mailbox } from "../../src/transport/Mailbox.ts"
import { Transport, type TransportRequest } from "../../src/transport/Transport.ts"

/** What is told when it is done. */
export interface Told {
  readonly text: string
  readonly totals: LongDocument.Totals
  /** The most memory that was resident, in MB, and what was before anything was asked. */
  readonly resident: number
  readonly before: number
  readonly seconds: number
}

/** An answer, as it comes over the wire. */
const message = new TextEncoder().encode(
  [
    {
      type: "message_start",
      message: {
        id: "msg_1",
        type: "message",
        role: "assistant",
        model: "claude-sonnet-5-5",
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: 7000, output_tokens: 1 }
      }
    },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "A summary. ".repeat(40) } },
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 120 } },
    { type: "message_stop" }
  ].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("")
)

const count = ({ body }: TransportRequest) =>
  new TextEncoder().encode(JSON.stringify({ input_tokens: Math.ceil(Buffer.byteLength(JSON.stringify(body)) / 4) }))

const transport = Layer.succeed(Transport, {
  provider: "anthropic",
  server: { url: "http://memory.invalid", address: "memory.invalid", port: 80 },
  open: (request) =>
    Effect.sync(() => {
      const isCount = request.path.endsWith("count_tokens")
      const mailbox = new Mailbox()
      mailbox.respond({
        status: 200,
        headers: new Headers({ "content-type": isCount ? "application/json" : "text/event-stream" })
      })
      mailbox.push(isCount ? count(request) : message)
      mailbox.end()
      return {
        response: mailbox.response,
        pull: mailbox.pull,
        refusal: undefined,
        fail: (error) => mailbox.fail(error),
        complete: () => mailbox.end()
      }
    })
})

const [, , path] = process.argv
if (path !== undefined) {
  const document = LongDocument.make({
    chunk: { tokens: 8000, overlap: 200 },
    map: ({ text }) => ({ system: "Summarise.", prompt: text }),
    reduce: (parts) => ({ system: "Summarise.", prompt: parts.map(({ text }) => text).join("\n\n") })
  })
  const megabytes = (bytes: number) => Math.round(bytes / 1_000_000)
  const before = megabytes(process.memoryUsage.rss())
  const startedAt = performance.now()
  const { text, totals } = await document.result(LongDocument.file(path)).pipe(
    Effect.provide([
      NodeFileSystem.layer,
      Claude.layerTransport({ defaults: { model: "claude-sonnet-5-5" } }).pipe(Layer.provide(transport))
    ]),
    Effect.runPromise
  )
  const seconds = (performance.now() - startedAt) / 1000
  const told: Told = { text, totals, before, seconds, resident: megabytes(process.resourceUsage().maxRSS * 1024) }
  console.log(JSON.stringify(told))
}
