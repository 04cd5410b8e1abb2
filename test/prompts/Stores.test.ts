import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, FileSystem, Layer, References, Result, Schema } from "effect"
import { KeyValueStore } from "effect/persistence"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { randomUUID } from "node:crypto"
import type { PromptError } from "../../src/prompts/index.ts"
import { Prompts } from "../../src/prompts/index.ts"
import * as PGlite from "../cache/postgres.ts"
import * as Postgres from "./postgres.ts"
import * as SQLite from "./sqlite.ts"
import { lastText, refusal } from "./support.ts"

/** What the suite does to a store beside the library. */
class Backing extends Context.Service<Backing, {
  /** The layer of another process over the same store. */
  readonly process: (
    options?: Prompts.StoreOptions
  ) => Layer.Layer<Prompts.Prompts | Prompts.Publisher, PromptError.PromptError>
  /** Puts a text where the record of a version is kept, or that of the release, `latest`. */
  readonly write: (name: string, version: string, text: string) => Effect.Effect<void>
  readonly remove: (name: string, version: string) => Effect.Effect<void>
}>()("test/Backing") {}

const Empty = Schema.Struct({})

/** What is served by the layer around it. */
const served = (name: string, options?: Prompts.RenderOptions) =>
  Effect.map(Prompts.define(name, { variables: Empty }).render({}, options), lastText)

/** A prompt that no other test uses. */
const fresh = (label: string) => `${label}-${randomUUID()}`

const quiet = Effect.provideService(References.MinimumLogLevel, "None")

const inProcess = <A, E>(
  self: Effect.Effect<A, E, Prompts.Prompts | Prompts.Publisher>,
  options?: Prompts.StoreOptions
) => Effect.flatMap(Backing, ({ process }) => Effect.provide(self, Layer.fresh(process(options))))

const suite = (name: string, backing: Layer.Layer<Backing>) =>
  layer(backing, { timeout: 60_000 })(name, (it) => {
    it.effect("serves the first version that is published, and each other when it is released", () =>
      inProcess(Effect.gen(function*() {
        const name = fresh("a")
        yield* Prompts.publish(name, "1", { prompt: "one" })
        assert.strictEqual(yield* served(name), "one")
        yield* Prompts.publish(name, "2", { prompt: "two" })
        assert.strictEqual(yield* served(name), "one")
        assert.strictEqual(yield* served(name, { version: "2" }), "two")
        yield* Prompts.release(name, { latest: "2" })
        assert.strictEqual(yield* served(name), "two")
        assert.strictEqual(yield* served(name, { version: "latest" }), "two")
        assert.strictEqual(yield* served(name, { version: "1" }), "one")
      })))

    it.effect("splits by weights, and goes back from release to release, weights included", () =>
      inProcess(Effect.gen(function*() {
        const name = fresh("b")
        for (const version of ["1", "2", "3"]) yield* Prompts.publish(name, version, { prompt: version })
        yield* Prompts.release(name, { latest: "2" })
        yield* Prompts.release(name, { latest: "2", weights: { "2": 50, "3": 50 } })
        yield* Prompts.release(name, { latest: "3" })
        const texts = Effect.forEach(Array.from({ length: 40 }, (_, n) => `user-${n}`), (key) => served(name, { key }))
        const shares = Effect.map(texts, (texts) => [...new Set(texts)].toSorted())
        assert.deepStrictEqual(yield* shares, ["3"])
        assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "2", weights: { "2": 50, "3": 50 } })
        assert.deepStrictEqual(yield* shares, ["2", "3"])
        assert.strictEqual(yield* served(name), "2")
        const [listed] = (yield* Prompts.list).filter((prompt) => prompt.name === name)
        assert.deepStrictEqual(listed!.release, { latest: "2", weights: { "2": 50, "3": 50 } })
        assert.deepStrictEqual(listed!.versions.toSorted(), ["1", "2", "3"])
        assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "2" })
        assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "1" })
        const error = yield* Effect.flip(Prompts.rollback(name))
        assert.strictEqual(error.reason._tag, "NoEarlierRelease")
        assert.include(error.message, "There is no earlier release to go back to. Release one of 1, 2, 3.")
        assert.deepStrictEqual(yield* shares, ["1"])
      })))

    it.effect("remembers a release once however often it is made, and twenty at most", () =>
      inProcess(Effect.gen(function*() {
        const name = fresh("c")
        for (const version of ["1", "2"]) yield* Prompts.publish(name, version, { prompt: version })
        for (let n = 0; n < 3; n++) yield* Prompts.release(name, { latest: "2", weights: { "1": 1, "2": 1 } })
        assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "1" })
        for (let n = 0; n < 30; n++) yield* Prompts.release(name, { latest: n % 2 === 0 ? "2" : "1" })
        for (let n = 0; n < 20; n++) yield* Prompts.rollback(name)
        assert.strictEqual((yield* Effect.flip(Prompts.rollback(name))).reason._tag, "NoEarlierRelease")
      })))

    it.effect("remembers each of two releases that are made at once", () =>
      inProcess(Effect.gen(function*() {
        const name = fresh("q")
        for (const version of ["1", "2", "3"]) yield* Prompts.publish(name, version, { prompt: version })
        yield* Effect.forEach(["2", "3"], (latest) => Prompts.release(name, { latest }), { concurrency: 2 })
        const [latest, before] = [yield* served(name), (yield* Prompts.rollback(name)).latest]
        assert.sameMembers([latest, before], ["2", "3"])
        assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "1" })
      })))

    it.effect("goes back to no release that cannot be served any more", () =>
      Effect.gen(function*() {
        const { remove } = yield* Backing
        yield* inProcess(Effect.gen(function*() {
          const name = fresh("r")
          for (const version of ["1", "2"]) yield* Prompts.publish(name, version, { prompt: version })
          yield* Prompts.release(name, { latest: "2" })
          yield* remove(name, "1")
          const error = yield* Effect.flip(Prompts.rollback(name))
          assert.deepInclude(error, { prompt: name, version: "1" })
          assert.strictEqual(error.reason._tag, "MissingVersion")
          yield* Prompts.reload
          assert.strictEqual(yield* served(name), "2")
        }))
      }))

    it.effect("keeps a version as it was published first, and takes the same again", () =>
      inProcess(Effect.gen(function*() {
        const name = fresh("d")
        yield* Prompts.publish(name, "1", { max_tokens: 5, prompt: "one" })
        yield* Prompts.publish(name, "1", { prompt: "one", max_tokens: 5, model: undefined })
        const error = yield* Effect.flip(Prompts.publish(name, "1", { prompt: "other" }))
        assert.strictEqual(error.reason._tag, "Duplicate")
        assert.deepInclude(error, { prompt: name, version: "1" })
        assert.include(error.message, "This version is there already, and says something else.")
        assert.strictEqual(yield* served(name), "one")
      })))

    it.effect("shows another process what was published and released when it looks again", () =>
      Effect.gen(function*() {
        const name = fresh("e")
        const { process } = yield* Backing
        const other = yield* Layer.build(Layer.fresh(process({ watch: "2 seconds" })))
        yield* inProcess(Effect.gen(function*() {
          yield* Prompts.publish(name, "1", { prompt: "one" })
          yield* Prompts.publish(name, "2", { prompt: "two" })
          yield* Prompts.release(name, { latest: "2" })
        }))
        const there = Effect.provideContext(served(name), other)
        assert.strictEqual((yield* Effect.flip(there)).reason._tag, "MissingPrompt")
        yield* until(Effect.map(Effect.option(there), (text) => text._tag === "Some" && text.value === "two"))
        yield* inProcess(Prompts.rollback(name))
        yield* Effect.provideContext(Prompts.reload, other)
        assert.strictEqual(yield* there, "one")
      }))

    it.effect("keeps every character", () =>
      inProcess(Effect.gen(function*() {
        const name = fresh("é/漢字")
        const text = "é e\u0301 漢字 🙂 \u0000 \" \\ \n \u2028 ' $1 :x ?"
        yield* Prompts.publish(name, "ä.1+x", { system: text, prompt: text })
        assert.strictEqual(yield* served(name), text)
      })))

    it.effect("refuses to publish or release what cannot be served, by prompt, version and key", () =>
      Effect.gen(function*() {
        const name = fresh("f")
        const Known = Prompts.define(name, { variables: Schema.Struct({ a: Schema.String }) })
        yield* inProcess(Prompts.publish(name, "1", { prompt: "{{a}}" }))
        yield* inProcess(Prompts.publish(name, "2", { prompt: "{{b}}" }))
        yield* inProcess(
          Effect.gen(function*() {
            const refused = (
              self: Effect.Effect<unknown, PromptError.PromptError, Prompts.Publisher>,
              message: string
            ) => Effect.map(Effect.flip(self), (error) => assert.include(error.message, message))
            yield* refused(
              Prompts.publish(name, "3", { prompt: "{{b}}" }),
              "key prompt: {{b}} is no variable of this prompt"
            )
            yield* refused(
              Prompts.publish(name, "3", { prompt: "{{" }),
              "key prompt: {{ in line 1 of the text is no placeholder"
            )
            yield* refused(Prompts.publish(name, "3", { prompt: 5 } as never), "key prompt: Expected string")
            yield* refused(Prompts.publish(name, "3", null as never), "Expected object")
            yield* refused(Prompts.publish(name, "3", { prompt: 1n } as never), "The template is no JSON")
            yield* refused(Prompts.publish(name, "latest", { prompt: "a" }), "latest is the name of whichever version")
            yield* refused(Prompts.publish("a b", "1", { prompt: "a" }), "The name of a prompt is of")
            yield* refused(Prompts.release(name, { latest: "2" }), "{{b}} is no variable of this prompt")
            yield* refused(Prompts.release(name, { latest: "1", weights: { "2": 1 } }), "{{b}} is no variable")
            yield* refused(Prompts.release(name, { latest: "9" }), "There is no version \"9\"; there are 1, 2.")
            yield* refused(
              Prompts.release(name, { latest: "1", weights: { "9": 1 } }),
              "key weights.9: There is no version"
            )
            yield* refused(
              Prompts.release(name, { latest: "1", weights: { "1": -1 } }),
              "key weights.1: Expected a weight"
            )
            yield* refused(
              Prompts.release(name, { latest: "1", weights: { "1": 0 } }),
              "key weights: Expected one weight above 0"
            )
            yield* refused(Prompts.release(name, { latest: 1 } as never), "key latest: Expected string")
            yield* refused(Prompts.release(fresh("nobody"), { latest: "1" }), "There is no such prompt")
            yield* refused(Prompts.rollback(fresh("nobody")), "There is no such prompt")
            assert.strictEqual(lastText(yield* Known.render({ a: "A" })), "A")
          }),
          { prompts: [Known] }
        )
      }).pipe(quiet))

    it.effect("starts with prompts that are given, where it has none of their names", () =>
      Effect.gen(function*() {
        const name = fresh("g")
        const initial = (text: string): Prompts.StoreOptions => ({
          initial: { [name]: { latest: 1, weights: { 1: 1 }, versions: { 1: { prompt: text }, 2: { prompt: "two" } } } }
        })
        assert.strictEqual(yield* inProcess(served(name), initial("one")), "one")
        yield* inProcess(Prompts.release(name, { latest: "2" }))
        assert.strictEqual(yield* inProcess(served(name), initial("changed")), "two")
        assert.strictEqual(yield* inProcess(served(name, { version: "1" }), initial("changed")), "one")
        const error = yield* Effect.flip(
          inProcess(served(name), { initial: { x: { versions: { 1: { prompt: "" } } } } })
        )
        assert.include(error.message, "initial, prompt \"x\", key versions.1.prompt: It is an empty text")
      }))

    it.effect("fails at its start where what is served cannot be, and names the record", () =>
      Effect.gen(function*() {
        const { remove, write } = yield* Backing
        const name = fresh("h")
        const fails = (message: RegExp, options?: Prompts.StoreOptions) =>
          Effect.map(Effect.flip(inProcess(served(name), options)), (error) => assert.match(error.message, message))
        yield* write(name, "1", "{ \"prompt\": ")
        yield* fails(/^\S+ h-\S+\/1, prompt "h-\S+", version "1": The record is no JSON/)
        yield* write(name, "1", "{ \"prompt\": \"{{a}}\", \"max_tokens\": \"many\" }")
        yield* fails(/^\S+ h-\S+\/1, prompt "h-\S+", version "1", key max_tokens: Expected/)
        yield* write(name, "1", "{ \"prompt\": \"{{a}}\" }")
        const Known = Prompts.define(name, { variables: Empty })
        yield* fails(/key prompt: {{a}} is no variable of this prompt; there are none/, { prompts: [Known] })
        yield* write(name, "latest", "{ \"latest\": \"7\" }")
        yield* fails(
          /^\S+ h-\S+\/latest, prompt "h-\S+", version "7", key latest: There is no version "7"; there are 1/
        )
        yield* write(name, "latest", "{ \"latest\": \"1\", \"weights\": { \"1\": \"all\" } }")
        yield* fails(/\/latest, prompt "h-\S+", key weights.1: Expected a weight/)
        yield* write(name, "latest", "no JSON")
        yield* fails(/\/latest, prompt "h-\S+", key latest: Expected object/)
        const Missing = Prompts.define(fresh("nobody"), { variables: Empty })
        yield* remove(name, "1")
        yield* remove(name, "latest")
        yield* fails(/prompt "nobody-\S+": There is no such prompt/, { prompts: [Missing] })
      }))

    it.effect("serves what is whole while a version that nobody is served cannot be read", () =>
      Effect.gen(function*() {
        const { remove, write } = yield* Backing
        const name = fresh("i")
        const Known = Prompts.define(name, { variables: Empty })
        yield* inProcess(Prompts.publish(name, "1", { prompt: "one" }))
        yield* write(name, "2", "{")
        yield* write(name, "3", "{ \"prompt\": \"{{later}}\" }")
        yield* write(name, "no name", "{ \"prompt\": \"four\" }")
        yield* inProcess(
          Effect.gen(function*() {
            assert.strictEqual(yield* served(name), "one")
            assert.include(
              (yield* Effect.flip(served(name, { version: "no name" }))).message,
              "The name of a version is"
            )
            assert.include((yield* Effect.flip(served(name, { version: "2" }))).message, "The record is no JSON")
            assert.include((yield* Effect.flip(served(name, { version: "3" }))).message, "{{later}} is no variable")
            yield* write(name, "2", "{ \"prompt\": \"two\" }")
            yield* Prompts.reload
            assert.strictEqual(yield* served(name, { version: "2" }), "two")
          }),
          { prompts: [Known] }
        )
        for (const version of ["1", "2", "3", "no name", "latest"]) yield* remove(name, version)
      }).pipe(quiet))

    it.effect("keeps the last good release while the record of it is broken, and mends it by a release", () =>
      Effect.gen(function*() {
        const { write } = yield* Backing
        const name = fresh("j")
        yield* inProcess(Effect.gen(function*() {
          yield* Prompts.publish(name, "1", { prompt: "one" })
          yield* Prompts.publish(name, "2", { prompt: "two" })
          yield* Prompts.release(name, { latest: "2" })
          yield* write(name, "latest", "{")
          assert.include((yield* Effect.flip(Prompts.reload)).message, "Release a version again, or mend the record")
          assert.strictEqual(yield* served(name), "two")
          yield* Prompts.release(name, { latest: "1" })
          assert.strictEqual(yield* served(name), "one")
          yield* Prompts.reload
          assert.strictEqual((yield* Effect.flip(Prompts.rollback(name))).reason._tag, "NoEarlierRelease")
        }))
      }).pipe(quiet))

    it.effect("serves rows that somebody else wrote, the highest number first", () =>
      Effect.gen(function*() {
        const { write } = yield* Backing
        const name = fresh("k")
        yield* write(name, "9", "{ \"prompt\": \"nine\" }")
        yield* write(name, "10", "{ \"prompt\": \"ten\" }")
        yield* inProcess(Effect.gen(function*() {
          assert.strictEqual(yield* served(name), "ten")
          yield* Prompts.release(name, { latest: "9" })
          assert.strictEqual(yield* served(name), "nine")
          assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "10" })
        }))
      }))

    it.effect("has no prompt of which there is a release alone", () =>
      Effect.gen(function*() {
        const { remove, write } = yield* Backing
        const name = fresh("s")
        yield* write(name, "latest", "{ \"latest\": \"1\" }")
        const error = yield* Effect.flip(inProcess(served(name)))
        assert.strictEqual(error.reason._tag, "MissingPrompt")
        yield* remove(name, "latest")
      }))

    it.effect("goes on serving what it serves where nobody has released it, whatever is published", () =>
      Effect.gen(function*() {
        const { write } = yield* Backing
        const name = fresh("m")
        yield* write(name, "9", "{ \"prompt\": \"nine\" }")
        yield* write(name, "10", "{ \"prompt\": \"ten\" }")
        yield* inProcess(Effect.gen(function*() {
          yield* Prompts.publish(name, "11", { prompt: "eleven" })
          assert.strictEqual(yield* served(name), "ten")
          yield* Prompts.release(name, { latest: "11" })
          assert.strictEqual(yield* served(name), "eleven")
          assert.deepStrictEqual(yield* Prompts.rollback(name), { latest: "10" })
        }))
      }))

    it.effect("keeps nothing of what it starts with where some of it is wrong", () =>
      Effect.gen(function*() {
        const [right, wrong] = [fresh("p"), fresh("p")]
        const Known = Prompts.define(wrong, { variables: Empty })
        const initial = (text: string) => ({
          [right]: { versions: { 1: { prompt: "one" } } },
          [wrong]: { versions: { 1: { prompt: text } } }
        })
        const error = yield* Effect.flip(inProcess(served(right), { initial: initial("{{a}}"), prompts: [Known] }))
        assert.include(error.message, "key versions.1.prompt: {{a}} is no variable of this prompt")
        const names = yield* inProcess(Effect.map(Prompts.list, (list) => list.map(({ name }) => name)))
        assert.notIncludeMembers(names, [right, wrong])
        // So that the program, once it is corrected, starts.
        assert.strictEqual(yield* inProcess(served(wrong), { initial: initial("two"), prompts: [Known] }), "two")
      }))

    it.effect("goes on with what it starts with where another process ended in the middle of it", () =>
      Effect.gen(function*() {
        const { write } = yield* Backing
        const name = fresh("n")
        const versions = { 1: { prompt: "one" }, 2: { prompt: "two" }, 3: { prompt: "three" } }
        yield* write(name, "2", JSON.stringify(versions[2]))
        yield* inProcess(
          Effect.gen(function*() {
            assert.strictEqual(yield* served(name), "one")
            assert.strictEqual(yield* served(name, { version: "3" }), "three")
          }),
          { initial: { [name]: { latest: 1, versions } } }
        )
        // Versions of somebody else are no beginning of it.
        const taken = fresh("n")
        yield* write(taken, "7", JSON.stringify({ prompt: "seven" }))
        yield* inProcess(
          Effect.gen(function*() {
            assert.strictEqual(yield* served(taken), "seven")
            assert.strictEqual((yield* Effect.flip(served(taken, { version: "1" }))).reason._tag, "MissingVersion")
          }),
          { initial: { [taken]: { latest: 1, versions } } }
        )
      }))

    it.effect("starts with the same prompts in many processes at once", () =>
      Effect.gen(function*() {
        const name = fresh("o")
        const initial = { [name]: { latest: 1, versions: { 1: { prompt: "one" }, 2: { prompt: "two" } } } }
        const texts = yield* Effect.all(
          Array.from({ length: 5 }, () => inProcess(served(name), { initial })),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(texts, ["one", "one", "one", "one", "one"])
      }))

    it.effect("serves many that are published at once", () =>
      inProcess(Effect.gen(function*() {
        const names = Array.from({ length: 20 }, () => fresh("l"))
        yield* Effect.forEach(names, (name) => Prompts.publish(name, "1", { prompt: name }), { concurrency: 10 })
        for (const name of names) assert.strictEqual(yield* served(name), name)
      })))
  })

/** Lets time pass until it is so, for stores that answer in their own. */
const until = (isSo: Effect.Effect<boolean>) =>
  Effect.gen(function*() {
    for (let n = 0; n < 500; n++) {
      if (yield* isSo) return
      yield* TestClock.adjust("1 second")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))
    }
    assert.fail("it never was")
  })

// -----------------------------------------------------------------------------
// the stores
// -----------------------------------------------------------------------------

const overKeyValueStore = Layer.effect(
  Backing,
  Effect.map(KeyValueStore.KeyValueStore, (store) => ({
    process: (options) =>
      Prompts.layerKeyValueStore(options).pipe(Layer.provide(Layer.succeed(KeyValueStore.KeyValueStore, store))),
    write: (name, version, text) => Effect.orDie(store.set(`prompts/${name}/${version}`, text)),
    remove: (name, version) => Effect.orDie(store.remove(`prompts/${name}/${version}`))
  }))
)

suite("a key-value store in memory", overKeyValueStore.pipe(Layer.provide(Layer.fresh(KeyValueStore.layerMemory))))

const directory = Layer.unwrap(
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return KeyValueStore.layerFileSystem(yield* fs.makeTempDirectoryScoped())
  })
).pipe(Layer.provide(NodeServices.layer), Layer.orDie)

suite("a key-value store in files", overKeyValueStore.pipe(Layer.provide(Layer.fresh(directory))))

const overSql = Layer.effect(
  Backing,
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const process = (options?: Prompts.StoreOptions) =>
      Prompts.layerSql(options).pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, sql)))
    // Makes the table.
    yield* Effect.scoped(Layer.build(Layer.fresh(process())))
    const remove = (name: string, version: string) =>
      sql`DELETE FROM effect_claude_prompts WHERE name = ${name} AND version = ${version}`
    return {
      process,
      remove: (name, version) => Effect.asVoid(Effect.orDie(remove(name, version))),
      write: (name, version, text) =>
        remove(name, version).pipe(
          Effect.andThen(sql`INSERT INTO effect_claude_prompts VALUES (${name}, ${version}, ${text})`),
          Effect.orDie,
          Effect.asVoid
        )
    }
  })
)

suite("SQL of PGlite", overSql.pipe(Layer.provide(PGlite.layer), Layer.orDie))

suite("SQL of SQLite", overSql.pipe(Layer.provide(SQLite.layer()), Layer.orDie))

describe("SQL of another kind", () => {
  it.effect("is refused when the layer is built, by what to do instead", () =>
    Effect.gen(function*() {
      const layer = Prompts.layerSql().pipe(Layer.provide(SQLite.layer("mysql")))
      assert.strictEqual(
        (yield* refusal(layer)).message,
        "effect_claude_prompts: Only Postgres and SQLite are known here. Keep prompts in a KeyValueStore over this " +
          "database, by KeyValueStore.layerSql."
      )
    }))
})

Postgres.describePostgres("SQL of Postgres", () => {
  suite("as a store", overSql.pipe(Layer.provide(Postgres.layer), Layer.orDie))

  layer(Postgres.PostgresUrl.layer, { timeout: 60_000 })("shared by processes", (it) => {
    /** What another process does, with connections of its own. */
    const elsewhere = <A, E>(
      self: Effect.Effect<A, E, Prompts.Prompts | Prompts.Publisher | SqlClient.SqlClient | Postgres.PostgresUrl>,
      options: Prompts.SqlOptions = {},
      user = "postgres"
    ) =>
      Effect.flatMap(Postgres.PostgresUrl, (url) =>
        Effect.provide(
          self,
          Layer.fresh(Prompts.layerSql({ watch: false, ...options })).pipe(
            Layer.provideMerge(Postgres.client(url.replace("postgres@", `${user}@`)))
          )
        ))

    const together = <A, E, R>(run: (index: number) => Effect.Effect<A, E, R>) =>
      Effect.all(Array.from({ length: 8 }, (_, index) => run(index)), { concurrency: "unbounded" })

    it.effect("is made once, by whichever of them is first", () =>
      Effect.gen(function*() {
        for (const table of ["prompts_a", "prompts_b", "prompts_c"]) {
          assert.deepStrictEqual(
            yield* together(() => elsewhere(Prompts.list, { table })),
            Array.from({ length: 8 }, () => [])
          )
        }
      }))

    it.effect("keeps one of the texts that are published as one version at once, and tells all others", () =>
      Effect.gen(function*() {
        const results = yield* together((index) =>
          elsewhere(Effect.result(Prompts.publish("raced", "1", { prompt: `by ${index}` })))
        )
        const winner = results.findIndex(Result.isSuccess)
        assert.strictEqual(results.filter(Result.isSuccess).length, 1)
        for (const result of results.filter(Result.isFailure)) {
          assert.strictEqual(result.failure.reason._tag, "Duplicate")
        }
        assert.deepStrictEqual(yield* together(() => elsewhere(served("raced"))), Array(8).fill(`by ${winner}`))
      }))

    it.effect("serves the later of two releases, in all of them", () =>
      Effect.gen(function*() {
        yield* elsewhere(
          Effect.forEach(["1", "2", "3"], (version) => Prompts.publish("released", version, { prompt: version }))
        )
        yield* together((index) => elsewhere(Prompts.release("released", { latest: index % 2 === 0 ? "2" : "3" })))
        const texts = new Set(yield* together(() => elsewhere(served("released"))))
        assert.strictEqual(texts.size, 1)
        yield* elsewhere(Prompts.rollback("released"))
        assert.strictEqual(new Set(yield* together(() => elsewhere(served("released")))).size, 1)
      }))

    it.effect("is read and written by a user who may make no tables", () =>
      elsewhere(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE ROLE clerk LOGIN`
        const refused = yield* Effect.flip(elsewhere(Prompts.list, { table: "prompts_new" }, "clerk"))
        assert.match(refused.message, /^prompts_new: SQL did not make the table: \w+\.$/)
        yield* sql`GRANT SELECT, INSERT, UPDATE ON effect_claude_prompts TO clerk`
        const text = yield* elsewhere(
          Effect.gen(function*() {
            yield* Prompts.publish("granted", "1", { prompt: "one" })
            yield* Prompts.publish("granted", "2", { prompt: "two" })
            yield* Prompts.release("granted", { latest: "2" })
            return yield* served("granted")
          }),
          {},
          "clerk"
        )
        assert.strictEqual(text, "two")
      })))

    it.effect("may be called anything, and none of its names is read as SQL", () =>
      elsewhere(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        for (const table of ["Robert\"); DROP TABLE effect_claude_prompts; --", "SELECT", "prompts '1' $1 ?"]) {
          const text = yield* elsewhere(
            Prompts.publish("a", "1", { prompt: "'; DROP TABLE x; --" }).pipe(Effect.andThen(served("a"))),
            { table }
          )
          assert.strictEqual(text, "'; DROP TABLE x; --")
        }
        assert.lengthOf(yield* sql`SELECT 1 AS one FROM effect_claude_prompts WHERE 1 = 0`, 0)
      })))

    it.effect("goes on serving while the table is gone, and tells so", () =>
      elsewhere(
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* Prompts.publish("kept", "1", { prompt: "one" })
          yield* sql`ALTER TABLE prompts_moved RENAME TO prompts_away`
          const error = yield* Effect.flip(Prompts.reload)
          assert.strictEqual(error.message, "prompts_moved: SQL did not list the prompts: SqlSyntaxError.")
          assert.strictEqual(error.reason._tag, "Unavailable")
          assert.strictEqual(yield* served("kept"), "one")
          yield* sql`ALTER TABLE prompts_away RENAME TO prompts_moved`
          yield* Prompts.reload
        }),
        { table: "prompts_moved" }
      ))
  })
})

// -----------------------------------------------------------------------------
// what one of them has of its own
// -----------------------------------------------------------------------------

describe("a key-value store", () => {
  it.effect("shares its keys with others, below a prefix", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      for (const key of ["latest", "a/1", "prompts/", "prompts/a", "prompts//1", "prompts/a/", "p/b/1"]) {
        yield* store.set(key, key === "p/b/1" ? "{ \"prompt\": \"one\" }" : "not a prompt")
      }
      const names = (prefix?: string) =>
        Effect.map(Prompts.list, (list) => list.map(({ name }) => name)).pipe(
          Effect.provide(Layer.fresh(Prompts.layerKeyValueStore({ prefix })))
        )
      assert.deepStrictEqual(yield* names(), [])
      assert.deepStrictEqual(yield* names("p/"), ["b"])
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))

  it.effect("that fails is told, and serves what it gave before", () =>
    Effect.gen(function*() {
      let isDown = true
      const store = yield* KeyValueStore.KeyValueStore
      const failing = Layer.succeed(KeyValueStore.KeyValueStore, {
        ...store,
        keys: Effect.suspend(() =>
          isDown
            ? Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "keys", message: "no disk" }))
            : store.keys
        )
      })
      const layer = Layer.fresh(Prompts.layerKeyValueStore()).pipe(Layer.provide(failing))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.strictEqual(error.message, "KeyValueStore: It did not list its keys: no disk.")
      assert.strictEqual(error.reason._tag, "Unavailable")
      isDown = false
      yield* Effect.gen(function*() {
        yield* Prompts.publish("a", "1", { prompt: "one" })
        isDown = true
        yield* Prompts.publish("a", "2", { prompt: "two" })
        assert.strictEqual((yield* Effect.flip(Prompts.release("a", { latest: "2" }))).reason._tag, "Unavailable")
        assert.strictEqual(yield* served("a"), "one")
        isDown = false
        yield* Prompts.release("a", { latest: "2" })
        assert.strictEqual(yield* served("a"), "two")
      }).pipe(Effect.provide(layer))
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))

  it.effect("that fails in the middle of publishing serves what it served before", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      for (const version of ["9", "10"]) yield* store.set(`prompts/a/${version}`, `{ "prompt": "${version}" }`)
      let left = 0
      const failing = Layer.succeed(KeyValueStore.KeyValueStore, {
        ...store,
        set: (key: string, value: string | Uint8Array) =>
          Effect.suspend(() =>
            left-- > 0
              ? store.set(key, value)
              : Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "set", message: "no disk" }))
          )
      })
      yield* Effect.gen(function*() {
        for (const written of [0, 1, 2]) {
          left = written
          const exit = yield* Effect.exit(Prompts.publish("a", "11", { prompt: "11" }))
          assert.strictEqual(Exit.isSuccess(exit), written === 2)
          yield* Prompts.reload
          assert.strictEqual(yield* served("a"), "10", `after ${written}`)
        }
        left = 1
        yield* Prompts.release("a", { latest: "11" })
        assert.strictEqual(yield* served("a"), "11")
      }).pipe(Effect.provide(Layer.fresh(Prompts.layerKeyValueStore()).pipe(Layer.provide(failing))))
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))

  it.effect("that does not answer is told after a while, and holds up nobody who comes later", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      let hangs = false
      const hanging = Layer.succeed(KeyValueStore.KeyValueStore, {
        ...store,
        set: (key: string, value: string | Uint8Array) =>
          Effect.suspend(() => hangs ? Effect.never : store.set(key, value))
      })
      yield* Effect.gen(function*() {
        yield* Prompts.publish("a", "1", { prompt: "one" })
        hangs = true
        const publishing = yield* Effect.forkChild(Effect.flip(Prompts.publish("a", "2", { prompt: "two" })))
        const rollingBack = yield* Effect.forkChild(Effect.exit(Prompts.rollback("a")))
        yield* TestClock.adjust("31 seconds")
        const error = yield* Fiber.join(publishing)
        assert.strictEqual(error.message, "KeyValueStore: It did not answer within 30 seconds.")
        assert.strictEqual(error.reason._tag, "Unavailable")
        hangs = false
        yield* Fiber.join(rollingBack)
        yield* Prompts.publish("a", "2", { prompt: "two" })
        yield* Prompts.release("a", { latest: "2" })
        assert.strictEqual(yield* served("a"), "two")
      }).pipe(Effect.provide(Layer.fresh(Prompts.layerKeyValueStore()).pipe(Layer.provide(hanging))))
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))

  it.effect("may lose a version between the look that lists it and its reading", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      for (const version of ["1", "2"]) yield* store.set(`prompts/a/${version}`, "{ \"prompt\": \"text\" }")
      const listing = Layer.succeed(KeyValueStore.KeyValueStore, {
        ...store,
        keys: Effect.succeed(["prompts/a/2", "prompts/a/3", "prompts/a/1"])
      })
      yield* Effect.gen(function*() {
        assert.deepStrictEqual((yield* Prompts.list).map(({ versions }) => versions), [["1", "2"]])
      }).pipe(Effect.provide(Layer.fresh(Prompts.layerKeyValueStore()).pipe(Layer.provide(listing))))
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))

  it.effect("is refused where it has a name that no prompt can have", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      yield* store.set("prompts/a b/1", "{ \"prompt\": \"one\" }")
      const layer = Layer.fresh(Prompts.layerKeyValueStore()).pipe(
        Layer.provide(Layer.succeed(KeyValueStore.KeyValueStore, store))
      )
      assert.match((yield* refusal(layer)).message, /^KeyValueStore a b, prompt "a b": The name of a prompt is of/)
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))

  it.effect("is asked for each version once", () =>
    Effect.gen(function*() {
      const store = yield* KeyValueStore.KeyValueStore
      const asked: Array<string> = []
      const counting = Layer.succeed(KeyValueStore.KeyValueStore, {
        ...store,
        get: (key: string) => Effect.suspend(() => (asked.push(key), store.get(key)))
      })
      yield* store.set("prompts/a/1", "{ \"prompt\": \"one\" }")
      yield* store.set("prompts/a/2", "{ \"prompt\": \"two\" }")
      yield* store.set("prompts/a/latest", "{ \"latest\": \"1\" }")
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(asked.splice(0).toSorted(), ["prompts/a/1", "prompts/a/2", "prompts/a/latest"])
        for (let n = 0; n < 3; n++) yield* Prompts.reload
        assert.deepStrictEqual(asked, ["prompts/a/latest", "prompts/a/latest", "prompts/a/latest"])
      }).pipe(Effect.provide(Layer.fresh(Prompts.layerKeyValueStore()).pipe(Layer.provide(counting))))
    }).pipe(Effect.provide(Layer.fresh(KeyValueStore.layerMemory))))
})

describe("memory", () => {
  it.effect("publishes and releases as the stores do", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* served("a"), "one")
      yield* Prompts.publish("a", "2", { prompt: "two" })
      yield* Prompts.release("a", { latest: "2" })
      assert.strictEqual(yield* served("a"), "two")
      yield* Prompts.rollback("a")
      assert.strictEqual(yield* served("a"), "one")
      assert.strictEqual((yield* Effect.flip(Prompts.publish("a", "2", { prompt: "x" }))).reason._tag, "Duplicate")
    }).pipe(Effect.provide(Prompts.layerMemory({ a: { versions: { 1: { prompt: "one" } } } }))))

  it.effect("is of each layer by itself", () =>
    Effect.gen(function*() {
      const layer = Prompts.layerMemory()
      yield* Prompts.publish("a", "1", { prompt: "one" }).pipe(Effect.provide(Layer.fresh(layer)))
      assert.deepStrictEqual(yield* Prompts.list.pipe(Effect.provide(Layer.fresh(layer))), [])
    }))
})
