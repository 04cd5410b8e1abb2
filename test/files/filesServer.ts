/** A server of the Files API on loopback, in memory, whose answers a test may change. */
import { Effect } from "effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"

export interface Stored {
  readonly id: string
  readonly filename: string
  readonly mime_type: string
  readonly size_bytes: number
  readonly bytes: Buffer
  readonly fields: Readonly<Record<string, string>>
}

export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: http.IncomingHttpHeaders
  /** Whether the client left before the answer was whole. */
  closed: boolean
}

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => boolean

/** Reads a form as the standard says, byte by byte exact. */
const parse = (contentType: string, body: Buffer) => {
  const boundary = /boundary=(.+)$/.exec(contentType)![1]!
  const parts: Array<{ readonly head: string; readonly bytes: Buffer }> = []
  const mark = Buffer.from(`--${boundary}`)
  let at = body.indexOf(mark)
  for (;;) {
    const start = at + mark.length
    if (body.toString("latin1", start, start + 2) === "--") break
    const next = body.indexOf(Buffer.from(`\r\n--${boundary}`), start)
    const part = body.subarray(start + 2, next)
    const split = part.indexOf("\r\n\r\n")
    parts.push({ head: part.toString("utf8", 0, split), bytes: part.subarray(split + 4) })
    at = next + 2
  }
  if (body.subarray(at).toString("latin1") !== `--${boundary}--\r\n`) throw new Error("The form does not end")
  return parts.map(({ bytes, head }) => ({
    name: /name="([^"]*)"/.exec(head)![1]!,
    filename: /filename="([^"]*)"/.exec(head)?.[1],
    type: /Content-Type: (.*)/.exec(head)?.[1],
    bytes
  }))
}

export const makeServer = Effect.acquireRelease(
  Effect.promise(async () => {
    const files: Array<Stored> = []
    const seen: Array<Seen> = []
    const first: Array<Handler> = []
    const json = (response: http.ServerResponse, status: number, body: unknown) =>
      response.writeHead(status, { "content-type": "application/json", "request-id": `req_${seen.length}` }).end(
        JSON.stringify(body)
      )
    const told = ({ bytes: _, fields: _fields, ...file }: Stored) => ({
      ...file,
      type: "file",
      created_at: "2026-01-01T00:00:00Z"
    })
    const server = http.createServer(async (request, response): Promise<unknown> => {
      const entry: Seen = { method: request.method!, url: request.url!, headers: request.headers, closed: false }
      seen.push(entry)
      response.on("close", () => entry.closed = !response.writableFinished)
      if (first.shift()?.(request, response)) return undefined
      const url = new URL(request.url!, "http://x")
      const [, , , id, content] = url.pathname.split("/")
      if (request.method === "POST") {
        const chunks: Array<Buffer> = []
        try {
          for await (const chunk of request) chunks.push(chunk)
        } catch {
          return undefined
        }
        const parts = parse(request.headers["content-type"]!, Buffer.concat(chunks))
        const file = parts.find(({ name }) => name === "file")!
        const stored: Stored = {
          id: `file_${files.length + 1}`,
          filename: file.filename!,
          mime_type: file.type!,
          size_bytes: file.bytes.length,
          bytes: file.bytes,
          fields: Object.fromEntries(
            parts.filter((part) => part !== file).map(({ bytes, name }) => [name, bytes.toString()])
          )
        }
        files.push(stored)
        return json(response, 200, told(stored))
      }
      if (id === undefined) {
        const from = Number(url.searchParams.get("page") ?? 0)
        const limit = Number(url.searchParams.get("limit") ?? 20)
        const next = from + limit < files.length ? String(from + limit) : null
        return json(response, 200, { data: files.slice(from, from + limit).map(told), next_page: next })
      }
      const index = files.findIndex((file) => file.id === decodeURIComponent(id))
      if (index === -1) {
        return json(response, 404, { type: "error", error: { type: "not_found_error", message: "File not found" } })
      }
      if (request.method === "DELETE") files.splice(index, 1)
      if (content !== "content") return json(response, 200, told(files[index] ?? { id } as Stored))
      return response.writeHead(200, { "content-type": "application/octet-stream" }).end(files[index]!.bytes)
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    return { files, seen, first, json, baseURL: `http://127.0.0.1:${port}`, server }
  }),
  ({ server }) =>
    Effect.promise(() =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      })
    )
)
