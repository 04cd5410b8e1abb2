import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Deferred,
  Effect,
  Exit,
  Fiber,
  FileSystem,
  Layer,
  Logger,
  Metric,
  Path,
  References,
  Schedule,
  Schema,
  SchemaGetter,
  Scope
} from "effect"
import { TestClock } from "effect/testing"
import { spawnSync } from "node:child_process"
import type { PromptError } from "../../src/prompts/index.ts"
import { Prompts } from "../../src/prompts/index.ts"
import { denied, type Files, filesLayer, gone, lastText } from "./support.ts"

const Welcome = Prompts.define("welcome", { variables: Schema.Struct({ name: Schema.String }) })

const served = Effect.map(Welcome.render({ name: "Ann" }), lastText)

/** A file of one prompt that says a text, behind the others that are given. */
const file = (text: string, name = "welcome") =>
  `${name}:\n  versions:\n    1:\n      prompt: ${JSON.stringify(text)}\n`

/** What is logged. */
const logs = () => {
  const told: Array<string> = []
  const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
    const annotations = fiber.getRef(References.CurrentLogAnnotations)
    told.push([logLevel, ...[message].flat(), ...Object.values(annotations)].join(" "))
  })
  return { told, layer: Logger.layer([logger]) }
}

/** How often prompts were reloaded, by outcome. */
const counts = Effect.map(Metric.snapshot, (snapshots) =>
  Object.fromEntries(
    snapshots.filter(({ id }) => id === "claude.prompts.reloads").map((snapshot) => [
      snapshot.attributes?.["claude.prompts.outcome"],
      (snapshot.state as { readonly count: number }).count
    ])
  ))

/** One look at the files, and the moment after which what changed is read again. */
const look = TestClock.adjust("5 seconds").pipe(Effect.andThen(TestClock.adjust("100 millis")))

const over = (
  files: Files,
  options: Partial<Prompts.FileOptions> = {}
): Layer.Layer<Prompts.Prompts, PromptError.PromptError> =>
  Prompts.layerFiles({ path: "p", ...options }).pipe(Layer.provide(filesLayer(files)), Layer.fresh)

const withFiles = <A, E>(
  initial: Record<string, string>,
  run: (files: Files, told: Array<string>) => Effect.Effect<A, E, Prompts.Prompts>,
  options?: Partial<Prompts.FileOptions>
) =>
  Effect.suspend(() => {
    const files: Files = new Map(Object.entries(initial))
    const { layer, told } = logs()
    return run(files, told).pipe(
      Effect.provide(over(files, options).pipe(Layer.provideMerge(layer))),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

describe("files that change", () => {
  it.effect("are served as they are by now, without a new deploy", () =>
    withFiles({ "p/a.yaml": file("one") }, (files, told) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* served, "one")
        files.set("p/a.yaml", file("two {{name}}"))
        assert.strictEqual(yield* served, "one")
        yield* look
        assert.strictEqual(yield* served, "two Ann")
        files.set("p/b.json", "{ \"b\": { \"versions\": { \"1\": { \"prompt\": \"b\" } } } }")
        yield* look
        assert.deepStrictEqual((yield* Prompts.list).map(({ name }) => name), ["welcome", "b"])
        files.delete("p/b.json")
        yield* look
        assert.deepStrictEqual((yield* Prompts.list).map(({ name }) => name), ["welcome"])
        yield* look
        assert.deepStrictEqual(told, [
          "Info claude.prompts.changed welcome",
          "Info claude.prompts.changed b",
          "Info claude.prompts.changed b"
        ])
        assert.deepStrictEqual(yield* counts, { changed: 3 })
      })))

  it.effect("roll back at once where they are looked at now", () =>
    withFiles({
      "p/a.yaml": "welcome:\n  latest: 2\n  versions:\n    1: { prompt: one }\n    2: { prompt: two }"
    }, (files) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* served, "two")
        files.set("p/a.yaml", "welcome:\n  latest: 1\n  versions:\n    1: { prompt: one }\n    2: { prompt: two }")
        yield* Prompts.reload
        assert.strictEqual(yield* served, "one")
      })))

  it.effect("keep their last good prompts while they are wrong, are told of once, and counted each time", () =>
    withFiles({ "p/a.yaml": file("one"), "p/b.yaml": file("b", "b") }, (files, told) =>
      Effect.gen(function*() {
        files.set("p/a.yaml", file("broken {{nmae}}"))
        files.set("p/b.yaml", file("new b", "b"))
        for (let n = 0; n < 4; n++) yield* look
        assert.strictEqual(yield* served, "one")
        assert.strictEqual(lastText(yield* B.render({})), "new b")
        assert.lengthOf(told, 2)
        assert.strictEqual(told[0], "Info claude.prompts.changed b")
        assert.include(told[1], "Warn claude.prompts.refused UnknownVariable p/a.yaml:4, prompt \"welcome\"")
        assert.deepStrictEqual(yield* counts, { changed: 1, refused: 4 })
        const error = yield* Effect.flip(Prompts.reload)
        assert.strictEqual(error.reason._tag, "UnknownVariable")
        // Another mistake is told, and so is the same one after it was mended.
        files.set("p/a.yaml", "welcome: [")
        yield* look
        assert.include(told[2], "Warn claude.prompts.refused Malformed p/a.yaml")
        files.set("p/a.yaml", file("mended"))
        yield* look
        assert.strictEqual(yield* served, "mended")
        files.set("p/a.yaml", "welcome: [")
        yield* look
        assert.lengthOf(told.filter((line) => line.includes("Malformed")), 2)
        assert.strictEqual(yield* served, "mended")
        for (const text of [file("mended"), "welcome: ["]) {
          files.set("p/a.yaml", text)
          yield* look
        }
        assert.lengthOf(told.filter((line) => line.includes("Malformed")), 3)
      }), { prompts: [Welcome] }))

  it.effect("that are written still are left for the next look", () =>
    withFiles({ "p/a.yaml": file("one") }, (files, told) =>
      Effect.gen(function*() {
        // Half a file is a whole YAML.
        files.set("p/a.yaml", file("half"))
        yield* TestClock.adjust("5 seconds")
        files.set("p/a.yaml", `${file("half")}${file("rest", "rest")}`)
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* served, "one")
        yield* look
        assert.strictEqual(yield* served, "half")
        assert.lengthOf(yield* Prompts.list, 2)
        // An editor that moves a file away and writes it anew.
        files.delete("p/a.yaml")
        files.set("p/b.yaml", file("b", "b"))
        yield* TestClock.adjust("5 seconds")
        files.set("p/a.yaml", file("again"))
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* served, "half")
        yield* look
        assert.strictEqual(yield* served, "again")
        // One that is there at first, and then not.
        files.set("p/b.yaml", file("new b", "b"))
        yield* TestClock.adjust("5 seconds")
        const moved = files.get("p/a.yaml")!
        files.delete("p/a.yaml")
        yield* TestClock.adjust("100 millis")
        assert.strictEqual(yield* served, "again")
        files.set("p/a.yaml", moved)
        yield* look
        assert.strictEqual(yield* served, "again")
        assert.isFalse(told.some((line) => line.startsWith("Warn")))
      })))

  it.effect("keep what was served where they cannot be read, or are gone, or empty", () =>
    withFiles({ "p/a.yaml": file("one"), "p/b.yaml": file("b", "b") }, (files, told) =>
      Effect.gen(function*() {
        const before = new Map(files)
        files.clear()
        for (let n = 0; n < 3; n++) yield* look
        assert.strictEqual(yield* served, "one")
        assert.deepStrictEqual(told, [
          "Warn claude.prompts.refused Unavailable p: There is no such file or directory. Correct the path, which begins " +
          "where the process was started."
        ])
        assert.deepStrictEqual(yield* counts, { unavailable: 3 })
        for (const [path, text] of before) files.set(path, text)
        files.set("p/a.yaml", denied("p/a.yaml"))
        yield* look
        assert.strictEqual(yield* served, "one")
        files.set("p/a.yaml", "")
        yield* look
        assert.strictEqual(yield* served, "one")
        // A prompt that the code asks for, and that is nowhere any more.
        files.delete("p/a.yaml")
        files.set("p/b.yaml", file("new b", "b"))
        yield* look
        assert.strictEqual(yield* served, "one")
        assert.include(told.at(-1), "Warn claude.prompts.refused MissingPrompt p, prompt \"welcome\"")
        files.set("p/c.yaml", file("moved"))
        yield* look
        assert.strictEqual(yield* served, "moved")
        assert.strictEqual(lastText(yield* B.render({})), "new b")
      }), { prompts: [Welcome] }))

  it.effect("have nothing to say where they are gone between being listed and being read", () =>
    withFiles({ "p/a.yaml": file("one"), "p/b.yaml": file("b", "b") }, (files, told) =>
      Effect.gen(function*() {
        files.set("p/b.yaml", gone("p/b.yaml"))
        yield* look
        assert.deepStrictEqual((yield* Prompts.list).map(({ name }) => name), ["welcome"])
        assert.deepStrictEqual(told, ["Info claude.prompts.changed b"])
      })))

  it.effect("keep all that was served while a prompt is in two of them", () =>
    withFiles({ "p/a.yaml": file("one"), "p/b.yaml": file("b", "b") }, (files, told) =>
      Effect.gen(function*() {
        files.set("p/b.yaml", `${file("new b", "b")}${file("two")}`)
        yield* look
        assert.strictEqual(yield* served, "one")
        assert.strictEqual(lastText(yield* B.render({})), "b")
        assert.include(
          told[0],
          "Warn claude.prompts.refused Duplicate p/b.yaml:5, prompt \"welcome\": The prompt is in p/a.yaml too"
        )
        files.delete("p/a.yaml")
        yield* look
        assert.strictEqual(yield* served, "two")
        assert.strictEqual(lastText(yield* B.render({})), "new b")
      })))

  it.effect("hold up no change of another by what is wrong with one of them", () =>
    withFiles(
      { "p/a.yaml": file("one"), "p/b.yaml": file("b", "b"), "p/c.yaml": file("c", "c") },
      (files, told) =>
        Effect.gen(function*() {
          const texts = Effect.map(Effect.all([served, B.render({}), C.render({})]), ([text, b, c]) => [
            text,
            lastText(b),
            lastText(c)
          ])
          // A prompt that the code asks for is gone, another is in two files, and a third is rolled back meanwhile.
          files.set("p/a.yaml", file("x", "x"))
          files.set("p/b.yaml", `${file("new b", "b")}${file("two", "c")}`)
          files.set("p/c.yaml", file("c before", "c"))
          const error = yield* Effect.flip(Prompts.reload)
          assert.strictEqual(error.reason._tag, "Duplicate")
          assert.deepStrictEqual(yield* texts, ["one", "b", "c before"])
          yield* look
          assert.deepStrictEqual(told.map((line) => line.split(" ").slice(0, 4).join(" ")), [
            "Info claude.prompts.changed c",
            "Warn claude.prompts.refused Duplicate p/b.yaml:5,",
            "Warn claude.prompts.refused MissingPrompt p,"
          ])
          files.set("p/b.yaml", file("new b", "b"))
          files.set("p/d.yaml", file("moved"))
          yield* look
          assert.deepStrictEqual(yield* texts, ["moved", "new b", "c before"])
          assert.deepStrictEqual((yield* Prompts.list).map(({ name }) => name).toSorted(), ["b", "c", "welcome", "x"])
        }),
      { prompts: [Welcome] }
    ))

  it.effect("change between renders, never within one", () =>
    withFiles({ "p/a.yaml": both(0) }, (files) =>
      Effect.gen(function*() {
        const Slow = Prompts.define("b", {
          variables: Schema.Struct({
            // A value that lets others go first.
            name: Schema.String.pipe(
              Schema.decodeTo(Schema.String, {
                decode: SchemaGetter.passthrough(),
                encode: SchemaGetter.transformEffect((text: string) => Effect.as(Effect.yieldNow, text))
              })
            )
          })
        })
        const requests = yield* Effect.forEach(
          Array.from({ length: 1_000 }, (_, n) => n),
          (n) =>
            n % 100 === 0
              ? Effect.andThen(Effect.sync(() => files.set("p/a.yaml", both(n))), Effect.as(Prompts.reload, undefined))
              : n % 2 === 0
              ? Slow.render({ name: "A" })
              : Welcome.render({ name: "A" }),
          { concurrency: "unbounded" }
        )
        const seen = new Set<unknown>()
        for (const request of requests) {
          if (request === undefined) continue
          assert.strictEqual(lastText(request), `${String(request.system)} A`)
          seen.add(request.system)
        }
        assert.isAtLeast(seen.size, 2)
      })))

  it.effect("tell what a version lacks that nobody is served yet, and serve the others", () =>
    withFiles({
      "p/a.yaml": "welcome:\n  latest: 1\n  versions:\n    1: { prompt: one }\n    2: { prompt: \"{{plan}}\" }"
    }, (_, told) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* served, "one")
        yield* look
        assert.lengthOf(told, 1)
        assert.include(
          told[0],
          "Warn claude.prompts.refused UnknownVariable p/a.yaml:5, prompt \"welcome\", key versions.2.prompt"
        )
        assert.include((yield* Effect.flip(Welcome.render({ name: "A" }, { version: "2" }))).message, "p/a.yaml:5")
      }), { prompts: [Welcome] }))

  it.effect("are looked at as often as is said, or never", () =>
    Effect.gen(function*() {
      yield* withFiles({ "p/a.yaml": file("one") }, (files) =>
        Effect.gen(function*() {
          files.set("p/a.yaml", file("two"))
          yield* TestClock.adjust("1 hour")
          assert.strictEqual(yield* served, "one")
          yield* Prompts.reload
          assert.strictEqual(yield* served, "two")
        }), { watch: false })
      yield* withFiles({ "p/a.yaml": file("one") }, (files) =>
        Effect.gen(function*() {
          files.set("p/a.yaml", file("two"))
          yield* TestClock.adjust("59 seconds")
          assert.strictEqual(yield* served, "one")
          yield* TestClock.adjust("2 seconds")
          assert.strictEqual(yield* served, "two")
        }), { watch: "1 minute" })
    }))

  it.effect("are looked at no more when the layer is closed", () =>
    Effect.gen(function*() {
      let reads = 0
      const files: Files = new Map([["p/a.yaml", file("one")]])
      const counting = Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) => ({
          ...fs,
          readFile: (path: string) => Effect.suspend(() => (reads++, fs.readFile(path)))
        }))
      ).pipe(Layer.provide(filesLayer(files)))
      const layer = Prompts.layerFiles({ path: "p" }).pipe(Layer.provide([counting, Path.layer]))
      yield* Effect.scoped(Effect.andThen(Layer.build(layer), TestClock.adjust("12 seconds")))
      assert.strictEqual(reads, 3)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(reads, 3)
    }))

  it.effect("are looked at again after a look that hung, or broke", () =>
    Effect.gen(function*() {
      const files: Files = new Map([["p/a.yaml", file("one")]])
      let next: "read" | "hang" | "break" = "read"
      const odd = Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) => ({
          ...fs,
          readFile: (path: string) =>
            Effect.suspend(() =>
              next === "hang" ? Effect.never : next === "break" ? Effect.die("odd") : fs.readFile(path)
            )
        }))
      ).pipe(Layer.provide(filesLayer(files)))
      const { layer: logger, told } = logs()
      const layer = Prompts.layerFiles({ path: "p" }).pipe(Layer.provide([odd, Path.layer]), Layer.provideMerge(logger))
      yield* Effect.gen(function*() {
        for (const way of ["hang", "break"] as const) {
          next = way
          yield* TestClock.adjust("36 seconds")
          next = "read"
          files.set("p/a.yaml", file(way))
          yield* TestClock.adjust("36 seconds")
          assert.strictEqual(yield* served, way)
        }
        assert.include(told[0], "Unavailable p: It did not answer within 30 seconds.")
        assert.isTrue(told.some((line) => line.includes("Unavailable p: Reading failed")))
      }).pipe(Effect.provide(layer))
    }))

  it.effect("are served as a reload has found them, though a look began before it", () =>
    Effect.gen(function*() {
      const files: Files = new Map([["p/a.yaml", file("one")]])
      const gate = yield* Deferred.make<void>()
      let reads = 0
      const slow = Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) => ({
          ...fs,
          // The second read of the look, which is the third of all, is a slow one.
          readFile: (path: string) =>
            Effect.tap(fs.readFile(path), () => ++reads === 3 ? Deferred.await(gate) : Effect.void)
        }))
      ).pipe(Layer.provide(filesLayer(files)))
      yield* Effect.gen(function*() {
        files.set("p/a.yaml", file("two"))
        yield* look
        assert.strictEqual(reads, 3)
        files.set("p/a.yaml", file("three"))
        const reload = yield* Effect.forkChild(Prompts.reload, { startImmediately: true })
        yield* Effect.yieldNow
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(reload)
        assert.strictEqual(yield* served, "three")
      }).pipe(Effect.provide(Prompts.layerFiles({ path: "p" }).pipe(Layer.provide([slow, Path.layer]))))
    }))

  it.effect("are left where a look was, when the layer is closed or a reload is interrupted", () =>
    Effect.gen(function*() {
      const files: Files = new Map([["p/a.yaml", file("one")]])
      const reading = yield* Deferred.make<void>()
      const state = { hangs: false, left: 0 }
      const slow = Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (fs) => ({
          ...fs,
          readFile: (path: string) =>
            Effect.suspend(() =>
              state.hangs
                ? Effect.andThen(Deferred.succeed(reading, undefined), Effect.never).pipe(
                  Effect.onInterrupt(() => Effect.sync(() => state.left++))
                )
                : fs.readFile(path)
            )
        }))
      ).pipe(Layer.provide(filesLayer(files)))
      const layer = Prompts.layerFiles({ path: "p" }).pipe(Layer.provide([slow, Path.layer]))
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      state.hangs = true
      const reload = yield* Effect.forkChild(Effect.provideContext(Prompts.reload, context))
      yield* Deferred.await(reading)
      yield* Fiber.interrupt(reload)
      assert.strictEqual(state.left, 1)
      state.hangs = false
      files.set("p/a.yaml", file("two"))
      // Whoever was interrupted holds up nobody.
      yield* Effect.provideContext(Prompts.reload, context)
      assert.strictEqual(yield* Effect.provideContext(served, context), "two")
      state.hangs = true
      yield* TestClock.adjust("6 seconds")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(state.left, 2)
      assert.strictEqual(yield* Effect.provideContext(served, context), "two")
    }))

  it.live("are read where they are files, by whatever way they are reached", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const { join } = yield* Path.Path
      const at = (...parts: ReadonlyArray<string>) => join(directory, ...parts)
      const directory = yield* fs.makeTempDirectoryScoped()
      // As a config map is mounted: a link to a link to a directory, which another takes the place of.
      for (const [time, text] of [["..1", "one"], ["..2", "two"]] as const) {
        yield* fs.makeDirectory(at(time))
        yield* fs.writeFileString(at(time, "a.yaml"), file(text))
      }
      yield* fs.symlink("..1", at("..data"))
      yield* fs.symlink("..data/a.yaml", at("a.yaml"))
      yield* fs.symlink("nowhere.yaml", at("b.yaml"))
      yield* fs.makeDirectory(at("c.yaml"))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* served, "one")
        yield* fs.symlink("..2", at("..next"))
        yield* fs.rename(at("..next"), at("..data"))
        yield* Prompts.reload
        assert.strictEqual(yield* served, "two")
        // Nobody writes to it: to read it would never end.
        assert.strictEqual(spawnSync("mkfifo", [at("d.yaml")]).status, 0)
        const pipe = yield* Effect.flip(Prompts.reload)
        assert.strictEqual(pipe.message, `${at("d.yaml")}: It is no file, but a FIFO.`)
        yield* fs.remove(at("d.yaml"))
        yield* fs.truncate(at("..2", "a.yaml"), 65 * 1024 * 1024)
        const large = yield* Effect.flip(Prompts.reload)
        assert.include(large.message, "The files of prompts are larger than 67108864 bytes together.")
        assert.strictEqual(yield* served, "two")
      }).pipe(Effect.provide(Prompts.layerFiles({ path: directory, watch: false })))
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("are found on a real disk", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const directory = yield* fs.makeTempDirectoryScoped()
      const write = (text: string) => fs.writeFileString(path.join(directory, "a.yaml"), text)
      yield* write(file("one"))
      yield* Effect.gen(function*() {
        assert.strictEqual(yield* served, "one")
        yield* write("welcome: [")
        yield* Effect.sleep(300)
        assert.strictEqual(yield* served, "one")
        // Put in place at once, as a config map is.
        yield* fs.writeFileString(path.join(directory, ".next"), file("two"))
        yield* fs.rename(path.join(directory, ".next"), path.join(directory, "a.yaml"))
        yield* served.pipe(
          Effect.filterOrFail((text) => text === "two"),
          Effect.retry({ schedule: Schedule.spaced(20), times: 500 })
        )
      }).pipe(
        Effect.provide(
          Prompts.layerFiles({ path: directory, watch: 20, prompts: [Welcome] }).pipe(
            Layer.provideMerge(logs().layer)
          )
        )
      )
    }).pipe(Effect.provide(NodeServices.layer)))
})

/** A file of two prompts that both say a number, twice each. */
const both = (number: number) =>
  ["welcome", "b"].map((name) =>
    `${name}:\n  versions:\n    1: { system: "${number}", prompt: "${number} {{name}}" }\n`
  ).join("")

const C = Prompts.define("c", { variables: Schema.Struct({}) })

const B = Prompts.define("b", { variables: Schema.Struct({}) })
