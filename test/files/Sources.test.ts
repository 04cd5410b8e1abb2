/** Sources that are not what they say: what they are told to be, what they become, and what answers them. */
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem, Queue, Redacted, Stream } from "effect"
import { RetryPolicy } from "effect-claude"
import { execFileSync } from "node:child_process"
import { readdirSync, readlinkSync } from "node:fs"
import { Attachment, Files } from "../../src/files/index.ts"
import { makeServer } from "./filesServer.ts"

const apiKey = Redacted.make("sk-ant-test-key")
const retry = RetryPolicy.make({ times: 2, initial: "1 millis", max: "2 millis" })

const setUp = Effect.fnUntraced(function*(options: Partial<Files.Options> = {}) {
  const server = yield* makeServer
  const files = yield* Files.make({ apiKey, baseURL: server.baseURL, retry, ...options })
  const busy: Parameters<typeof server.first.push>[0] = (request, response) => {
    request.resume().on("end", () => {
      server.json(response, 529, { type: "error", error: { type: "overloaded_error", message: "Busy" } })
    })
    return true
  }
  return { server, files, busy }
})

const until = (done: () => boolean) =>
  Effect.promise(async () => {
    for (let i = 0; i < 500 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.isTrue(done())
  })

/** The file system, but that something happens to a file between a look at it and its reading. */
const changing = (change: (files: FileSystem.FileSystem, path: string) => Effect.Effect<void, unknown>) =>
  Effect.map(FileSystem.FileSystem, (files): FileSystem.FileSystem => ({
    ...files,
    stream: (path, options) => Stream.unwrap(Effect.as(Effect.orDie(change(files, path)), files.stream(path, options)))
  }))

describe("a path", () => {
  it.live.skipIf(process.platform === "win32")(
    "that is no file is refused by what it is, and not read",
    () =>
      Effect.gen(function*() {
        const { files, server } = yield* setUp()
        const system = yield* FileSystem.FileSystem
        const directory = yield* system.makeTempDirectoryScoped()
        const pipe = `${directory}/pipe`
        execFileSync("mkfifo", [pipe])
        yield* system.symlink(directory, `${directory}/folder`)
        for (
          const [path, word] of [[pipe, "FIFO"], ["/dev/zero", "device"], [`${directory}/folder`, "directory"]] as const
        ) {
          for (
            const read of [Attachment.image(path), Attachment.pdf(path), Attachment.text(path), files.upload(path)]
          ) {
            const error = yield* Effect.flip(read as Effect.Effect<unknown, unknown, FileSystem.FileSystem>)
            assert.include((error as Error).message, `${JSON.stringify(path)} is no file but a`, path)
            assert.include((error as Error).message, word)
          }
        }
        yield* system.symlink(`${directory}/b`, `${directory}/a`)
        yield* system.symlink(`${directory}/a`, `${directory}/b`)
        assert.strictEqual((yield* Effect.flip(Attachment.image(`${directory}/a`)))._tag, "PlatformError")
        assert.lengthOf(server.seen, 0)
      }).pipe(Effect.provide(NodeServices.layer)),
    5_000
  )

  it.live("that grows while it is uploaded is sent as it was, and one that shrinks is told of", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      const system = yield* FileSystem.FileSystem
      const path = yield* system.makeTempFileScoped()
      yield* system.writeFileString(path, "first line\n")
      const grows = yield* changing((files, path) => files.writeFileString(path, "more\n", { flag: "a" }))
      yield* Effect.provideService(files.upload(path), FileSystem.FileSystem, grows)
      assert.deepStrictEqual(server.files.map(({ bytes }) => bytes.toString()), ["first line\n"])
      const shrinks = yield* changing((files, path) => files.truncate(path, 5))
      const error = yield* Effect.flip(Effect.provideService(files.upload(path), FileSystem.FileSystem, shrinks))
      assert.include(error.message, "changed while it was read")
      assert.lengthOf(server.files, 1)
    }).pipe(Effect.provide(NodeServices.layer)))
})

describe("an upload", () => {
  it.live("that is refused before all of it was read says why", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp({ retry: RetryPolicy.none })
      server.first.push((_, response) => {
        server.json(response, 413, { type: "error", error: { type: "request_too_large", message: "Too large" } })
        return true
      })
      const endless = Stream.fromEffectRepeat(Effect.sync(() => Buffer.alloc(65_536)))
      const error = yield* Effect.flip(files.upload(Stream.rechunk(endless, 1)))
      assert.deepStrictEqual([error.reason._tag, error.status, error.requestId], ["RequestTooLarge", 413, "req_1"])
    }))

  it.live.skipIf(process.platform !== "linux")(
    "that is interrupted closes its file and its socket",
    () =>
      Effect.gen(function*() {
        const { files, server } = yield* setUp()
        const system = yield* FileSystem.FileSystem
        const path = yield* system.makeTempFileScoped()
        yield* system.truncate(path, 50_000_000)
        const isOpen = () =>
          readdirSync("/proc/self/fd").some((fd) => {
            try {
              return readlinkSync(`/proc/self/fd/${fd}`) === path
            } catch {
              return false
            }
          })
        for (let i = 0; i < 5; i++) {
          let goOn = () => {}
          server.first.push((request) => {
            goOn = () => request.on("error", () => {}).resume()
            return true
          })
          const uploading = yield* Effect.forkChild(files.upload(path), { startImmediately: true })
          yield* until(() => server.seen.length === i + 1)
          yield* Effect.sleep("10 millis")
          assert.isTrue(isOpen())
          yield* Fiber.interrupt(uploading)
          assert.isFalse(isOpen())
          goOn()
          yield* until(() => server.seen[i]!.closed)
        }
      }).pipe(Effect.provide(NodeServices.layer))
  )
})

describe("a stream", () => {
  it.live("that can be read once is not sent a second time, as what is left of it", () =>
    Effect.gen(function*() {
      const { busy, files, server } = yield* setUp()
      const queue = yield* Queue.unbounded<Uint8Array, import("effect/Cause").Done>()
      yield* Queue.offerAll(queue, [Buffer.from("one,"), Buffer.from("two")])
      yield* Queue.end(queue)
      server.first.push(busy)
      const error = yield* Effect.flip(files.upload(Stream.fromQueue(queue)))
      assert.deepStrictEqual([error.reason._tag, error.attempts], ["Overloaded", 1])
      assert.lengthOf(server.files, 0)
    }))

  it.live("that is longer than allowed is read no further, and closed", () =>
    Effect.gen(function*() {
      let read = 0
      let closed = 0
      const endless = Stream.fromEffectRepeat(Effect.sync(() => new Uint8Array(++read && 1000))).pipe(
        Stream.ensuring(Effect.sync(() => closed++))
      )
      yield* Effect.flip(Attachment.text(endless, { maxBytes: 5_000 }))
      assert.isAtMost(read, 7)
      assert.strictEqual(closed, 1)
    }))
})

describe("options", () => {
  it.effect("that are no numbers are no limits, and are refused", () =>
    Effect.gen(function*() {
      for (const maxBytes of [NaN, -1, 0, 1.5]) {
        const error = yield* Effect.flip(Attachment.text(Buffer.from("a"), { maxBytes }))
        assert.include(error.message, `maxBytes is ${maxBytes}; expected a whole number from 1`)
      }
      const error = yield* Effect.flip(Attachment.image(Buffer.from("a"), { maxPixels: NaN }))
      assert.include(error.message, "maxPixels is NaN")
      const { files } = yield* setUp()
      assert.include((yield* Effect.flip(files.upload(Buffer.from("a"), { maxBytes: NaN }))).message, "maxBytes is NaN")
    }))

  it.effect("of a URL that the API cannot fetch are refused, without the URL", () =>
    Effect.gen(function*() {
      const message = (url: string | URL) =>
        Effect.map(Effect.flip(Attachment.image({ url })), ({ message }) => message)
      const file = yield* message(new URL("file:///home/secret.png"))
      assert.include(file, "file:")
      assert.include(file, "fileURLToPath")
      assert.notInclude(file, "secret")
      assert.include(yield* message("picture.png"), "is none")
      assert.include((yield* Effect.flip(Attachment.pdf({ fileId: "" }))).message, "fileId is empty")
    }))
})

describe("what is told of a file", () => {
  it.live("is told by its bytes where they tell, and else by its name", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      const system = yield* FileSystem.FileSystem
      const path = `${yield* system.makeTempDirectoryScoped()}/scan.PNG`
      yield* system.writeFileString(path, "%PDF-1.7")
      yield* files.upload(path)
      yield* files.upload(Buffer.from("ffd8ffe0", "hex"))
      yield* files.upload(Buffer.from("a,b"), { filename: "table.csv" })
      yield* files.upload(Stream.make(Buffer.from("%PDF-1.7")), { filename: "a.txt" })
      yield* files.upload(path, { mediaType: "text/plain; charset=utf-8" })
      yield* files.upload(Buffer.from("x"), { filename: "\u4f60 \ud800.png" })
      assert.deepStrictEqual(server.files.map(({ filename, mime_type }) => [filename, mime_type]), [
        ["scan.PNG", "application/pdf"],
        ["unnamed", "image/jpeg"],
        ["table.csv", "text/csv"],
        ["a.txt", "text/plain"],
        ["scan.PNG", "text/plain; charset=utf-8"],
        ["\u4f60 \ufffd.png", "image/png"]
      ])
      for (const filename of ["a\r\nX-Evil: 1\r\n\r\nb.png", "\"; name=\"x", "10:30.log", "a".repeat(256)]) {
        assert.include((yield* Effect.flip(files.upload(Buffer.from("x"), { filename }))).message, "filename is \"")
      }
      for (const mediaType of ["", "png", "a/b\r\nX: 1"]) {
        const error = yield* Effect.flip(files.upload(Buffer.from("x"), { mediaType }))
        assert.include(error.message, "expected one such as text/csv")
      }
    }).pipe(Effect.provide(NodeServices.layer)))
})

describe("an answer", () => {
  it.live("of something in between is none, whatever its status", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp({ retry: RetryPolicy.none })
      const html: Parameters<typeof server.first.push>[0] = (request, response) => {
        request.resume()
        response.writeHead(200, { "content-type": "text/html", "request-id": "req_1" }).end("<html>Sign in</html>")
        return true
      }
      for (
        const ask of [
          files.upload(Buffer.from("a")),
          files.metadata("file_1"),
          files.delete("file_1"),
          Stream.runCollect(files.list())
        ]
      ) {
        server.first.push(html)
        const error = yield* Effect.flip(ask as Effect.Effect<unknown, import("effect-claude").ClaudeError.ClaudeError>)
        assert.deepStrictEqual([error.reason._tag, error.status, error.requestId], ["InvalidResponse", 200, "req_1"])
        assert.notInclude(error.message, "Sign in")
      }
    }))

  it.live("that is downloaded is let go of when its reader has enough", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      server.first.push((_, response) => {
        response.writeHead(200).write("beginning")
        return true
      })
      yield* Stream.runDrain(Stream.take(files.download("file_1"), 1))
      yield* until(() => server.seen[0]!.closed)
    }))
})

describe("an upload of 200 MB", () => {
  it.live("is in memory by a small part at a time", () =>
    Effect.gen(function*() {
      const { files, server } = yield* setUp()
      const system = yield* FileSystem.FileSystem
      const path = yield* system.makeTempFileScoped()
      // What is loaded with the first one stays.
      yield* files.upload(new Uint8Array(1_000_000))
      const size = 200 * 1024 * 1024
      yield* system.truncate(path, size)
      let received = 0
      server.first.push((request, response) => {
        request.on("data", (chunk: Buffer) => received += chunk.length).on("end", () => {
          server.json(response, 200, { id: "file_1" })
        })
        return true
      })
      const before = process.memoryUsage().rss
      let most = 0
      const watched = yield* Effect.forkChild(
        Effect.repeat(
          Effect.andThen(Effect.sync(() => most = Math.max(most, process.memoryUsage().rss)), Effect.sleep("5 millis")),
          { times: 100_000 }
        ),
        { startImmediately: true }
      )
      yield* files.upload(path, { filename: "large.bin" })
      yield* Fiber.interrupt(watched)
      assert.isAtLeast(received, size)
      assert.isBelow((most - before) / 2 ** 20, 100)
    }).pipe(Effect.provide(NodeServices.layer)), 60_000)
})
