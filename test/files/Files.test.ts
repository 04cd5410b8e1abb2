import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Data, Effect, Fiber, FileSystem, Layer, Redacted, Stream } from "effect"
import { RetryPolicy } from "effect-claude"
import { Attachment, Files } from "../../src/files/index.ts"
import { observe } from "../flow/observe.ts"
import { makeServer } from "./filesServer.ts"

const key = "sk-ant-test-key"
const apiKey = Redacted.make(key)
const retry = RetryPolicy.make({ times: 2, initial: "1 millis", max: "2 millis" })

const setUp = Effect.fnUntraced(function*(options: Partial<Files.Options> = {}) {
  const server = yield* makeServer
  const files = yield* Files.make({ apiKey, baseURL: server.baseURL, retry, ...options })
  return { server, files }
})

const until = (done: () => boolean) =>
  Effect.promise(async () => {
    for (let i = 0; i < 500 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.isTrue(done())
  })

class SourceBroke extends Data.TaggedError("SourceBroke") {}

describe("the Files API", () => {
  it.live("is where the environment says, with its key", () =>
    Effect.gen(function*() {
      const { baseURL } = yield* makeServer
      const environment = ConfigProvider.fromUnknown({ ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: baseURL })
      const { id } = yield* Files.upload(Buffer.from("a,b"), { filename: "a.csv" }).pipe(
        Effect.provide(Files.layerConfig.pipe(Layer.provide(ConfigProvider.layer(environment))))
      )
      assert.strictEqual(id, "file_1")
    }))

  it.live("takes a path, bytes and a stream, byte for byte, with what is told of them", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      const system = yield* FileSystem.FileSystem
      const path = `${yield* system.makeTempDirectoryScoped()}/re'port.csv`
      const bytes = Buffer.from("\r\n--a,b\r\n\u0000\u00ff--\r\n", "latin1")
      yield* system.writeFile(path, bytes)
      const uploaded = yield* files.upload(path, { expiresIn: "2 hours" })
      assert.deepStrictEqual([uploaded.id, uploaded.filename, uploaded.mime_type], [
        "file_1",
        "re'port.csv",
        "text/csv"
      ])
      yield* files.upload(bytes, { filename: "Grüße.PDF" })
      yield* files.upload(Stream.make(bytes.subarray(0, 1), bytes.subarray(1)), { mediaType: "text/x" })
      assert.deepStrictEqual(server.files.map(({ bytes }) => bytes), [bytes, bytes, bytes])
      assert.deepStrictEqual(server.files.map(({ fields }) => fields), [{ expires_in_seconds: "7200" }, {}, {}])
      assert.deepStrictEqual(server.files.map(({ filename, mime_type }) => [filename, mime_type]).slice(1), [
        ["Grüße.PDF", "application/pdf"],
        ["unnamed", "text/x"]
      ])
      // What is known beforehand is told, and what is not comes in chunks.
      assert.deepStrictEqual(
        server.seen.map(({ headers }) => [headers["content-length"] !== undefined, headers["transfer-encoding"]]),
        [
          [true, undefined],
          [true, undefined],
          [false, "chunked"]
        ]
      )
      assert.include(JSON.stringify(server.seen[0]!.headers), key)
      const block = yield* Attachment.pdf({ fileId: uploaded.id })
      assert.deepStrictEqual(block.source, { type: "file", file_id: "file_1" })
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("lists by pages as they are asked for, tells of one, hands out its bytes, and deletes it", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      for (let i = 0; i < 5; i++) yield* files.upload(Buffer.from(`${i}`.repeat(100_000)))
      server.seen.length = 0
      const ids = files.list({ pageSize: 2 }).pipe(Stream.map(({ id }) => id))
      assert.deepStrictEqual(yield* Stream.runCollect(ids), [1, 2, 3, 4, 5].map((n) => `file_${n}`))
      assert.lengthOf(server.seen, 3)
      yield* Stream.runDrain(Stream.take(ids, 2))
      assert.lengthOf(server.seen, 4)
      assert.strictEqual((yield* files.metadata("file_2")).size_bytes, 100_000)
      const bytes = yield* Stream.runCollect(files.download("file_3"))
      assert.strictEqual(Buffer.concat(bytes).toString(), "2".repeat(100_000))
      yield* files.delete("file_3")
      const gone = yield* Effect.flip(files.metadata("file_3"))
      assert.deepStrictEqual([gone.reason._tag, gone.status, gone.attempts, gone.requestId !== undefined], [
        "NotFound",
        404,
        1,
        true
      ])
      assert.include(gone.message, "There is no file \"file_3\"")
      for (const id of ["", ".", ".."]) {
        assert.include((yield* Effect.flip(files.delete(id))).message, "expected the id of a file")
      }
      yield* Effect.flip(files.metadata("../v1/messages?x#y"))
      assert.strictEqual(server.seen.at(-1)!.url, "/v1/files/..%2Fv1%2Fmessages%3Fx%23y")
    }))

  it.live("makes a request again that may serve later, with the source read anew", () =>
    Effect.gen(function*() {
      const observed = observe()
      yield* Effect.gen(function*() {
        const { files, server } = yield* setUp()
        const overloaded = (_: unknown, response: Parameters<typeof server.json>[0]) => {
          server.json(response, 529, { type: "error", error: { type: "overloaded_error", message: "Busy" } })
          return true
        }
        // Refused before it was read, and cut.
        server.first.push(overloaded, (request) => {
          request.socket.destroy()
          return true
        })
        let read = 0
        const source = Stream.fromEffectRepeat(Effect.sync(() => Buffer.alloc(1000, ++read))).pipe(
          Stream.take(300),
          Stream.rechunk(1)
        )
        const uploaded = yield* files.upload(source, { repeatable: true })
        assert.strictEqual(uploaded.size_bytes, 300_000)
        assert.lengthOf(server.seen, 3)
        server.first.push(overloaded, overloaded, overloaded)
        const error = yield* Effect.flip(files.delete("file_1"))
        assert.deepStrictEqual([error.reason._tag, error.attempts], ["Overloaded", 3])
      }).pipe(Effect.provide(observed.layer))
      const spans = observed.spans.map(({ attributes, name, status }) => [
        name,
        attributes.get("http.response.status_code"),
        attributes.get("error.type"),
        attributes.get("claude.attempt.number"),
        status._tag
      ])
      assert.deepStrictEqual(spans.slice(0, 3), [
        ["POST", 529, "overloaded_error", 1, "Ended"],
        ["POST", undefined, "connection_error", 2, "Ended"],
        ["POST", 200, undefined, 3, "Ended"]
      ])
      assert.lengthOf(spans, 6)
      assert.notInclude(
        JSON.stringify(observed.spans.map(({ attributes }) => Array.from(attributes))) + observed.logs.join(""),
        key
      )
    }))

  it.live("fails as its source does, and sends no more than is allowed", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      const broken = Stream.concat(Stream.make(Buffer.alloc(100_000)), Stream.fail(new SourceBroke()))
      assert.strictEqual((yield* Effect.flip(files.upload(broken)))._tag, "SourceBroke")
      const error = yield* Effect.flip(files.upload(new Uint8Array(11), { maxBytes: 10, filename: "a" }))
      assert.include(error.message, "\"a\" has 11 bytes or more, and 10 are allowed")
      const endless = Stream.fromEffectRepeat(Effect.sync(() => Buffer.alloc(1000)))
      const tooLong = yield* Effect.flip(files.upload(endless, { maxBytes: 200_000 }))
      assert.strictEqual(tooLong.reason._tag, "RequestTooLarge")
      assert.include(
        (yield* Effect.flip(files.upload(new Uint8Array(1), { expiresIn: "1 minute" }))).message,
        "expiresIn is 60 seconds"
      )
      assert.deepStrictEqual(server.files, [])
      assert.isAtMost(server.seen.length, 2)
    }))

  it.live("reads a source no faster than it is sent, and ends all of it when it is interrupted", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      // A server that reads nothing.
      let goOn = () => {}
      server.first.push((request) => {
        goOn = () => request.on("error", () => {}).resume()
        return true
      })
      let read = 0
      let ended = false
      const endless = Stream.fromEffectRepeat(Effect.sync(() => Buffer.alloc(65_536, read += 65_536))).pipe(
        Stream.rechunk(1),
        Stream.ensuring(Effect.sync(() => ended = true))
      )
      const fiber = yield* Effect.forkChild(files.upload(endless), { startImmediately: true })
      yield* until(() => server.seen.length === 1 && read > 0)
      yield* Effect.sleep("200 millis")
      const before = read
      yield* Effect.sleep("200 millis")
      assert.strictEqual(read, before)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(ended)
      // A socket that is not read does not tell that it was closed.
      goOn()
      yield* until(() => server.seen[0]!.closed)

      server.first.push((_, response) => {
        response.writeHead(200).write("beginning")
        return true
      })
      const downloading = yield* Effect.forkChild(Stream.runDrain(files.download("file_x")), { startImmediately: true })
      yield* until(() => server.seen.length === 2)
      yield* Effect.sleep("50 millis")
      yield* Fiber.interrupt(downloading)
      yield* until(() => server.seen[1]!.closed)
    }))

  it.live("times out a silent answer, a silent download, and tells of one that breaks off", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp({
        retry: RetryPolicy.none,
        timeout: "100 millis",
        idleTimeout: "100 millis"
      })
      server.first.push(() => true)
      const silent = yield* Effect.flip(files.metadata("f"))
      assert.deepInclude(silent.reason, { _tag: "TimedOut", phase: "headers" })
      const beginning = (then: (response: { destroy: () => void }) => void) =>
        server.first.push((_, response) => {
          response.writeHead(200, { "content-length": "100" }).write("beginning", () => then(response))
          return true
        })
      beginning(() => {})
      const idle = yield* Effect.flip(Stream.runDrain(files.download("f")))
      assert.deepInclude(idle.reason, { _tag: "TimedOut", phase: "idle" })
      beginning((response) => setTimeout(() => response.destroy(), 20))
      const broken = yield* Effect.flip(Stream.runDrain(files.download("f")))
      assert.strictEqual(broken.reason._tag, "StreamInterrupted")
    }))

  it.live("refuses options that cannot be meant", () =>
    Effect.gen(function*() {
      const noKey = yield* Effect.flip(Files.make({}))
      assert.include(noKey.message, "apiKey is missing")
      const noTime = yield* Effect.flip(Files.make({ apiKey, timeout: 0 }))
      assert.include(noTime.message, "timeout is 0")
    }))
})
