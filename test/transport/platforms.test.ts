import { AnthropicBedrock } from "@anthropic-ai/bedrock-sdk"
import { AnthropicFoundry } from "@anthropic-ai/foundry-sdk"
import Anthropic from "@anthropic-ai/sdk"
import { AnthropicVertex, type ClientOptions as VertexOptions } from "@anthropic-ai/vertex-sdk"
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { trace } from "@opentelemetry/api"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Fiber, Stream } from "effect"
import { Claude, type ClaudeError, RetryPolicy } from "effect-claude"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { text as readText } from "node:stream/consumers"
import { crc32 } from "node:zlib"
import * as AnthropicTransport from "../../src/transport/AnthropicTransport.ts"
import { type RawEvent, sse, streams } from "../decode/streams.ts"

const MODEL = "claude-sonnet-5-5"
const request = { prompt: "Hi there", model: MODEL, max_tokens: 50 }
const { events } = streams["a tool call"] as { readonly events: ReadonlyArray<RawEvent> }

// -----------------------------------------------------------------------------
// a server that answers as told
// -----------------------------------------------------------------------------

interface Seen {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: Readonly<Record<string, unknown>>
}

const serve = (answer: (seen: Seen, response: ServerResponse, index: number) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly seen: Array<Seen>; readonly close: () => void }>((resume) => {
      const seen: Array<Seen> = []
      const server = createServer((request, response) => {
        void readText(request).then((text) => {
          const one = {
            method: request.method,
            path: request.url,
            headers: request.headers,
            body: JSON.parse(text) as Seen["body"]
          }
          answer(one, response, seen.push(one) - 1)
        })
      })
      const close = () => {
        server.close()
        server.closeAllConnections()
      }
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close })))
    }),
    ({ close }) =>
      Effect.sync(close)
  )

const sendJson = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { "content-type": "application/json", "request-id": "req_1", ...headers }).end(
    JSON.stringify(body)
  )

const overloaded = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }

// -----------------------------------------------------------------------------
// AWS's binary event stream: prelude (lengths and their checksum), headers, payload, checksum
// -----------------------------------------------------------------------------

const uint32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

const frame = (headers: Readonly<Record<string, string>>, payload: unknown): Buffer => {
  const STRING = 7
  const head = Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [
      Buffer.from([name.length]),
      Buffer.from(name),
      Buffer.from([STRING, value.length >> 8, value.length & 255]),
      Buffer.from(value)
    ])
  )
  const body = Buffer.from(JSON.stringify(payload))
  const lengths = Buffer.concat([uint32(16 + head.length + body.length), uint32(head.length)])
  const rest = Buffer.concat([lengths, uint32(crc32(lengths)), head, body])
  return Buffer.concat([rest, uint32(crc32(rest))])
}

const chunk = (event: unknown) =>
  frame(
    { ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" },
    { bytes: Buffer.from(typeof event === "string" ? event : JSON.stringify(event)).toString("base64") }
  )

const exception = (type: string, message: string) =>
  frame({ ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" }, { message })

// -----------------------------------------------------------------------------
// the platforms
// -----------------------------------------------------------------------------

const noisy = (log: Array<unknown>) => {
  const tell = (...args: ReadonlyArray<unknown>) => void log.push(args)
  return {
    maxRetries: 3,
    timeout: 50,
    logLevel: "debug" as const,
    logger: { error: tell, warn: tell, info: tell, debug: tell }
  }
}

interface Platform {
  readonly name: string
  readonly provider: string
  readonly client: (url: string, log: Array<unknown>) => NonNullable<Claude.Options["client"]>
  readonly streamPath: string
  readonly jsonPath: string
  readonly stream: (response: ServerResponse, events: ReadonlyArray<RawEvent>) => ServerResponse
  readonly credential: (headers: IncomingHttpHeaders) => boolean
}

const sendSse = (response: ServerResponse, events: ReadonlyArray<RawEvent>) => {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" }).write(sse(events))
  return response
}

/** What the client asks of Google's library, and no more. */
const authClient = {
  projectId: "project-1",
  getRequestHeaders: () => Promise.resolve(new Headers({ authorization: "Bearer ya29.fake" }))
} as unknown as NonNullable<VertexOptions["authClient"]>

const platforms: ReadonlyArray<Platform> = [
  {
    name: "Anthropic",
    provider: "anthropic",
    client: (baseURL, log) => new Anthropic({ ...noisy(log), apiKey: "sk-fake", baseURL }),
    streamPath: "/v1/messages",
    jsonPath: "/v1/messages",
    stream: sendSse,
    credential: ({ authorization }) => authorization === "Bearer sk-fake"
  },
  {
    name: "AnthropicBedrock",
    provider: "aws.bedrock",
    client: (baseURL, log) =>
      new AnthropicBedrock({
        ...noisy(log),
        awsRegion: "eu-central-1",
        awsAccessKey: "AKIAFAKE",
        awsSecretKey: "fake",
        baseURL
      }),
    streamPath: `/model/${MODEL}/invoke-with-response-stream`,
    jsonPath: `/model/${MODEL}/invoke`,
    stream: (response, events) => {
      response.writeHead(200, { "content-type": "application/vnd.amazon.eventstream" }).write(
        Buffer.concat(events.map(chunk))
      )
      return response
    },
    credential: ({ authorization }) => authorization?.startsWith("AWS4-HMAC-SHA256 Credential=AKIAFAKE/") === true
  },
  {
    name: "AnthropicVertex",
    provider: "gcp.vertex_ai",
    client: (url, log) =>
      new AnthropicVertex({
        ...noisy(log),
        region: "europe-west1",
        projectId: "project-1",
        authClient,
        baseURL: `${url}/v1`
      }),
    streamPath: `/v1/projects/project-1/locations/europe-west1/publishers/anthropic/models/${MODEL}:streamRawPredict`,
    jsonPath: `/v1/projects/project-1/locations/europe-west1/publishers/anthropic/models/${MODEL}:rawPredict`,
    stream: sendSse,
    credential: ({ authorization }) => authorization === "Bearer ya29.fake"
  },
  {
    name: "AnthropicFoundry",
    provider: "azure.ai.inference",
    client: (url, log) => new AnthropicFoundry({ ...noisy(log), apiKey: "foundry-fake", baseURL: `${url}/anthropic/` }),
    streamPath: "/anthropic/v1/messages",
    jsonPath: "/anthropic/v1/messages",
    stream: sendSse,
    credential: (headers) => headers["x-api-key"] === "foundry-fake"
  }
]

const layer = (client: Claude.Options["client"], options: Omit<Claude.Options, "client"> = {}) =>
  Claude.layer({ client, retry: RetryPolicy.none, ...options })

it("each platform's client fits, by its type", () => {
  type Client = NonNullable<Claude.Options["client"]>
  expectTypeOf<Anthropic>().toExtend<Client>()
  expectTypeOf<AnthropicBedrock>().toExtend<Client>()
  expectTypeOf<AnthropicVertex>().toExtend<Client>()
  expectTypeOf<AnthropicFoundry>().toExtend<Client>()
})

describe.each(platforms)("$name", (platform) => {
  const { credential, jsonPath, name, provider, stream: send, streamPath } = platform

  it.live("answers a message and a stream, one request each, in the platform's own way", () =>
    Effect.gen(function*() {
      const log: Array<unknown> = []
      const server = yield* serve((_, response) => void send(response, events).end())
      const client = platform.client(server.url, log)
      const [message, streamed] = yield* Effect.all([
        Claude.message(request),
        Stream.runCollect(Claude.stream(request))
      ]).pipe(
        Effect.provide(layer(client))
      )
      assert.deepStrictEqual(message.content.map(({ type }) => type), ["text", "tool_use"])
      assert.strictEqual(message.stop_reason, "tool_use")
      assert.strictEqual(message.usage.output_tokens, 42)
      assert.deepStrictEqual(streamed.map(({ type }) => type as string), events.map(({ type }) => type))
      assert.deepStrictEqual(server.seen.map(({ method, path }) => [method, path]), [["POST", streamPath], [
        "POST",
        streamPath
      ]])
      assert.isTrue(server.seen.every(({ headers }) => credential(headers)))
      assert.deepStrictEqual(
        server.seen.map(({ body }) => body["messages"]),
        server.seen.map(() => [{ role: "user", content: "Hi there" }])
      )
      assert.deepStrictEqual(log, [])
    }))

  it.live("answers JSON as well", () =>
    Effect.gen(function*() {
      const body = {
        id: "msg_1",
        type: "message",
        role: "assistant",
        model: MODEL,
        content: [{ type: "text", text: "ok" }],
        stop_reason: "end_turn",
        stop_sequence: null,
        usage: { input_tokens: 1, output_tokens: 1 }
      }
      const server = yield* serve((_, response) => void sendJson(response, 200, body))
      const text = yield* Effect.provide(Claude.text(request), layer(platform.client(server.url, []), { wire: "json" }))
      assert.deepStrictEqual([text, server.seen.map(({ path }) => path)], ["ok", [jsonPath]])
    }))

  it.live("is asked once for each attempt of ours: its own retries, timeout and logs are off", () =>
    Effect.gen(function*() {
      const log: Array<unknown> = []
      const server = yield* serve((_, response, index) => {
        // Longer than the client's own timeout.
        setTimeout(() => index % 3 === 2 ? void send(response, events).end() : sendJson(response, 529, overloaded), 70)
      })
      const client = platform.client(server.url, log)
      const error = yield* Effect.flip(Effect.provide(Claude.message(request), layer(client)))
      assert.deepStrictEqual([error.reason._tag, error.status, error.attempts], ["Overloaded", 529, 1])
      assert.strictEqual(server.seen.length, 1)
      const retry = RetryPolicy.make({ initial: "1 millis" })
      const message = yield* Effect.provide(Claude.message(request), layer(client, { retry }))
      assert.strictEqual(message.stop_reason, "tool_use")
      assert.strictEqual(server.seen.length, 3)
      assert.deepStrictEqual(server.seen.map(({ headers }) => headers["x-stainless-retry-count"]), ["0", "0", "1"])
      assert.deepStrictEqual(log, [])
      // The client that was handed in is as it was.
      assert.strictEqual(client.maxRetries, 3)
    }))

  it.live("a stream that breaks, falls silent or is cut tells what it is", () =>
    Effect.gen(function*() {
      const failing = (finish: (response: ServerResponse) => void, timeouts: Claude.Policy["timeouts"] = {}) =>
        Effect.scoped(Effect.gen(function*() {
          const server = yield* serve((_, response) => {
            finish(send(response, events.slice(0, 5)))
          })
          return (yield* Effect.flip(
            Effect.provide(Claude.message(request), layer(platform.client(server.url, []), { timeouts }))
          )).reason._tag
        }))
      assert.strictEqual(yield* failing((response) => void response.end()), "StreamInterrupted")
      assert.strictEqual(
        yield* failing((response) => void setTimeout(() => response.destroy(), 30)),
        "StreamInterrupted"
      )
      assert.strictEqual(yield* failing(() => {}, { idle: "150 millis" }), "TimedOut")
    }))

  it.live("a call that is given up closes the connection", () =>
    Effect.gen(function*() {
      let closed = false
      const server = yield* serve((_, response) => {
        response.once("close", () => {
          closed = true
        })
        send(response, events.slice(0, 5))
      })
      const fiber = yield* Effect.forkChild(
        Effect.provide(Claude.message(request), layer(platform.client(server.url, [])))
      )
      while (server.seen.length === 0) yield* Effect.sleep("5 millis")
      yield* Effect.sleep("30 millis")
      yield* Fiber.interrupt(fiber)
      for (let waited = 0; !closed && waited < 100; waited++) yield* Effect.sleep("10 millis")
      assert.isTrue(closed)
    }))

  it.live("is named in telemetry, with the address that it sends to", () =>
    Effect.gen(function*() {
      const transport = yield* AnthropicTransport.make({ client: platform.client("http://127.0.0.1:9999", []) })
      assert.deepStrictEqual([transport.provider, transport.server.address, transport.server.port], [
        provider,
        "127.0.0.1",
        9999
      ])
      assert.include(name, "Anthropic")
    }))
})

describe("Bedrock's exceptions", () => {
  const [, bedrock] = platforms as readonly [Platform, Platform]
  const rows: ReadonlyArray<readonly [frame: Buffer, reason: ClaudeError.ClaudeError["reason"]["_tag"]]> = [
    [exception("throttlingException", "Too many requests"), "RateLimited"],
    [exception("internalServerException", "Oops"), "ServerError"],
    [exception("modelStreamErrorException", "Oops"), "ServerError"],
    [exception("serviceUnavailableException", "Later"), "ServerError"],
    [exception("modelTimeoutException", "Too slow"), "ServerError"],
    [exception("validationException", "Too long"), "InvalidRequest"],
    [chunk({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } }), "Overloaded"],
    [chunk("{\"private\":"), "StreamInterrupted"],
    [Buffer.from("this is no frame at all, and long enough to be read as one"), "StreamInterrupted"]
  ]

  it.live.each(rows)("in mid-stream are told as what they are (%#)", ([bad, reason]) =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => void bedrock.stream(response, events.slice(0, 5)).end(bad))
      const error = yield* Effect.flip(Effect.provide(
        Claude.message(request),
        layer(bedrock.client(server.url, []), { timeouts: { idle: "2 seconds" } })
      ))
      assert.strictEqual(error.reason._tag, reason)
      assert.notInclude(error.message, "private")
    }))
})

describe("counting tokens", () => {
  it.live("goes where the platform counts, and is NotFound where it does not", () =>
    Effect.gen(function*() {
      const server = yield* serve((seen, response) =>
        seen.path?.includes("/model/") === true ||
          seen.path?.startsWith("/v1/messages/") === true && seen.headers["user-agent"]?.includes("Bedrock") === true
          ? void sendJson(response, 404, { type: "error", error: { type: "not_found_error", message: "no such path" } })
          : void sendJson(response, 200, { input_tokens: 12 })
      )
      for (const { client, name } of platforms) {
        const counted = Effect.provide(Claude.countTokens(request), layer(client(server.url, [])))
        if (name === "AnthropicBedrock") assert.strictEqual((yield* Effect.flip(counted)).reason._tag, "NotFound")
        else assert.strictEqual(yield* counted, 12)
      }
      assert.include(
        server.seen.map(({ path }) => path),
        "/v1/projects/project-1/locations/europe-west1/publishers/anthropic/models/count-tokens:rawPredict"
      )
    }))
})

describe("the SDK's own spans", () => {
  it.live("are off, also where the application has a tracer provider", () =>
    Effect.gen(function*() {
      const exporter = new InMemorySpanExporter()
      trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
      yield* Effect.addFinalizer(() => Effect.sync(() => trace.disable()))
      const spans = () => exporter.getFinishedSpans().map(({ instrumentationScope }) => instrumentationScope.name)
      for (const platform of platforms) {
        const server = yield* serve((_, response) => void platform.stream(response, events).end())
        const client = platform.client(server.url, [])
        yield* Effect.provide(Claude.message(request), layer(client))
        assert.deepStrictEqual(spans(), [])
        // Called by itself, the same client has one.
        yield* Effect.promise(async () => {
          const stream = await client.messages.create({
            model: MODEL,
            max_tokens: 5,
            messages: [{ role: "user", content: "Hi" }],
            stream: true
          }, { timeout: 5_000 })
          for await (const _ of stream);
        })
        assert.strictEqual(spans().length, 1, platform.name)
        assert.match(spans()[0] ?? "", /anthropic/)
        exporter.reset()
      }
    }))
})
