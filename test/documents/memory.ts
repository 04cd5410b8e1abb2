/**
 * Asks about a file as a process of its own, and says what memory that took: `node memory.ts <file> [<url>]`. What
 * answers is at the URL, or else in the same process, and keeps nothing of what it was sent. Where there are so many
 * short calls to make, in place of the file, the process makes them.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Claude from "../../src/Claude.ts"
import * as LongDocument from "../../src/documents/LongDocument.ts"
import { Mailbox } from "../../src/transport/Mailbox.ts"
import { Transport, type TransportRequest } from "../../src/transport/Transport.ts"
import { message } from "./answer.ts"

/** What is told when it is done. */
export interface Told {
  readonly text: string
  readonly totals: LongDocument.Totals | undefined
  /** The most memory that was resident, in MB, and what was before anything was asked. */
  readonly resident: number
  readonly before: number
  readonly seconds: number
}

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

const [, , path, url] = process.argv
if (path !== undefined) {
  const defaults = { model: "claude-sonnet-5-5" }
  const layer = url === undefined
    ? Claude.layerTransport({ defaults }).pipe(Layer.provide(transport))
    : Claude.layer({ apiKey: Redacted.make("key"), baseURL: url, defaults })
  const document = LongDocument.make({
    chunk: { tokens: 8000, overlap: 200 },
    map: ({ text }) => ({ system: "Summarise.", prompt: text }),
    reduce: (parts) => ({ system: "Summarise.", prompt: parts.map(({ text }) => text).join("\n\n") })
  })
  const megabytes = (bytes: number) => Math.round(bytes / 1_000_000)
  const before = megabytes(process.memoryUsage.rss())
  const startedAt = performance.now()
  const calls = Number(path)
  const short = Effect.andThen(Claude.countTokens({ prompt: "Hi" }), Claude.text({ prompt: "Hi" }))
  const work: Effect.Effect<Pick<Told, "text" | "totals">, unknown, Claude.Claude | FileSystem.FileSystem> = calls > 0
    ? Effect.as(Effect.forEach(Array.from({ length: calls }), () => short, { concurrency: 8, discard: true }), {
      text: "",
      totals: undefined
    })
    : document.result(LongDocument.file(path))
  const { text, totals } = await Effect.runPromise(Effect.provide(work, [NodeFileSystem.layer, layer]))
  const seconds = (performance.now() - startedAt) / 1000
  const told: Told = { text, totals, before, seconds, resident: megabytes(process.resourceUsage().maxRSS * 1024) }
  console.log(JSON.stringify(told))
}
