/**
 * The Messages API as far as the bench needs it, in a process of its own: every answer is computed before the first request, so
 * that what the clients share the machine with is little and the same for all. Prints its port, and ends when its stdin does.
 */
import type { ServerResponse } from "node:http"
import { createServer } from "node:http"
import { recording, shortMessage } from "./fixture.ts"

const limits = {
  "request-id": "req_01PrecomputedForTheBench",
  "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
  "anthropic-ratelimit-requests-limit": "50000",
  "anthropic-ratelimit-requests-remaining": "49999",
  "anthropic-ratelimit-requests-reset": "2040-01-01T00:00:00Z",
  "anthropic-ratelimit-tokens-limit": "8000000",
  "anthropic-ratelimit-tokens-remaining": "7999000",
  "anthropic-ratelimit-tokens-reset": "2040-01-01T00:00:00Z"
}
const streaming = { ...limits, "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" }

const failure = (type: string, message: string): Buffer =>
  Buffer.from(JSON.stringify({ type: "error", error: { type, message }, request_id: limits["request-id"] }))
const answers = {
  short: Buffer.from(JSON.stringify(shortMessage)),
  refused: failure("invalid_request_error", "messages: at least one message is required"),
  busy: failure("overloaded_error", "Overloaded")
}
const json = (response: ServerResponse, status: number, body: Buffer, headers: Record<string, string> = {}): void => {
  response.writeHead(status, {
    ...limits,
    ...headers,
    "content-type": "application/json",
    "content-length": body.length
  }).end(body)
}

const whole = new Map<string, Buffer>()
const wholeOf = (path: string): Buffer => {
  let body = whole.get(path)
  if (body === undefined) whole.set(path, body = Buffer.concat(recording(path).frames))
  return body
}

/** Writes one part after another to all of these streams, `pause` between two rounds. */
const feed = (
  streams: ReadonlyArray<ServerResponse>,
  parts: ReadonlyArray<Buffer>,
  pause: (next: () => void) => void
): void => {
  let round = 0
  const next = (): void => {
    const part = parts[round++]
    const open = streams.filter((stream) => !stream.destroyed)
    if (part === undefined || open.length === 0) return
    for (const stream of open) {
      if (round === parts.length) stream.end(part)
      else stream.write(part)
    }
    pause(next)
  }
  next()
}

const slices = (frames: ReadonlyArray<Buffer>, count: number): ReadonlyArray<Buffer> => {
  const size = Math.ceil(frames.length / count)
  return Array.from(
    { length: Math.ceil(frames.length / size) },
    (_, index) => Buffer.concat(frames.slice(index * size, (index + 1) * size))
  )
}

const gates = new Map<string, Array<ServerResponse>>()
/** Holds a stream until as many are open as the path asks for, then hands all of them on. */
const gather = (
  path: string,
  response: ServerResponse,
  release: (streams: ReadonlyArray<ServerResponse>) => void
): void => {
  const waiting = gates.get(path) ?? []
  gates.set(path, waiting)
  if (waiting.push(response) < Number(path.split("-")[1])) return
  gates.delete(path)
  release(waiting)
}

const answer = (path: string, response: ServerResponse, stream: boolean, retried: boolean): void => {
  const kind = path.split("-")[0]
  if (kind === "refused") return json(response, 400, answers.refused)
  if (kind === "busy" && !retried) return json(response, 529, answers.busy, { "retry-after-ms": "1" })
  if (!stream) return json(response, 200, answers.short)
  response.writeHead(200, streaming)
  if (kind === "paced") {
    const [first, ...rest] = recording(path).frames
    response.write(first)
    return gather(path, response, (streams) => feed(streams, rest, (next) => setTimeout(next, 10)))
  }
  if (kind === "fanout") {
    response.flushHeaders()
    return gather(path, response, (streams) => feed(streams, slices(recording(path).frames, 10), setImmediate))
  }
  response.end(wholeOf(path))
}

const server = createServer({ keepAliveTimeout: 60_000, noDelay: true }, (request, response) => {
  const path = request.url?.split("/")[1] ?? ""
  const body: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => body.push(chunk))
  request.on("end", () => {
    const retried = (request.headers["x-stainless-retry-count"] ?? "0") !== "0"
    answer(path, response, Buffer.concat(body).includes("\"stream\":true"), retried)
  })
})
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") process.stdout.write(`${address.port}\n`)
})
process.stdin.resume().on("end", () => process.exit(0))
