/** Files and values that somebody means badly, or that a slip makes so. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, References, Schema } from "effect"
import { Prompts } from "../../src/prompts/index.ts"
import { type Files, filesLayer, lastText, refusal, yamlLayer } from "./support.ts"

const Empty = Prompts.define("a", { variables: Schema.Struct({}) })

const jsonLayer = (text: string) =>
  Prompts.layerFiles({ path: "p.json" }).pipe(Layer.provide(filesLayer(new Map([["p.json", text]]))))

/** A file of one prompt of one version, in JSON. */
const json = (version: string) => jsonLayer(`{ "a": { "versions": { "1": ${version} } } }`)

/** The text that version 1 of a file of YAML says. */
const said = (prompt: string) => Effect.map(Empty.render({}), lastText).pipe(Effect.provide(yamlLayer(prompt)))

describe("a hostile file", () => {
  it.effect("does not hold the process up by aliases of blocks", () =>
    Effect.gen(function*() {
      // Each level holds the one below it ten times: the whole of it is 10 to the 20th blocks.
      const levels = Array.from({ length: 20 }, (_, level) => {
        const content = level === 0 ? "hi" : `[${Array.from({ length: 10 }, () => `*x${level - 1}`).join(", ")}]`
        return `- &x${level}\n  type: tool_result\n  tool_use_id: t\n  content: ${content}`
      })
      const content = levels.join("\n").replaceAll(/^/gm, "        ")
      const error = yield* refusal(
        yamlLayer(`a:\n  versions:\n    1:\n      messages:\n      - role: user\n        content:\n${content}`)
      )
      assert.include(error.message, "The template has more than 100000 values")
    }))

  it.effect("is refused however deep it nests, by a message that stays readable", () =>
    Effect.gen(function*() {
      let block = "{ \"type\": \"text\", \"text\": \"x\" }"
      for (let n = 0; n < 5_000; n++) block = `{ "type": "tool_result", "tool_use_id": "t", "content": [${block}] }`
      const blocks = yield* refusal(json(`{ "messages": [{ "role": "user", "content": [${block}] }] }`))
      assert.include(blocks.message, "or nests deeper than 100")
      const list = yield* refusal(
        json(`{ "prompt": "x", "metadata": { "a": ${"[".repeat(50_000)}${"]".repeat(50_000)} } }`)
      )
      assert.include(list.message, "or nests deeper than 100")
      for (const error of [blocks, list]) assert.isBelow(error.message.length, 1_000)
      const yaml = yield* refusal(yamlLayer(`a: ${"[".repeat(50_000)}${"]".repeat(50_000)}`))
      assert.strictEqual(yaml.message, "prompts.yaml: The file is no YAML: it nests too deep.")
    }))

  it.effect("is read however many escapes its texts have", () =>
    Effect.gen(function*() {
      const text = "\"\\\n".repeat(1_000_000)
      const request = yield* Empty.render({}).pipe(
        Effect.provide(json(JSON.stringify({ prompt: text })))
      )
      assert.isTrue(lastText(request) === text)
    }))

  it.effect("is no code: what tags, anchors and merge keys make is data, and names of prototypes are names", () =>
    Effect.gen(function*() {
      const version = (members: string) => `a:\n  versions:\n    1:\n      ${members}`
      assert.strictEqual(
        yield* said(version("prompt: !!js/function 'function () { throw 1 }'")),
        "!!js/function 'function () { throw 1 }'"
      )
      assert.strictEqual(
        yield* said(
          "a:\n  versions:\n    1: &one\n      max_tokens: 5\n      prompt: one\n    2:\n      <<: *one\n      prompt: two"
        ),
        "two"
      )
      for (const key of ["__proto__", "constructor"]) {
        const inVersion = yield* refusal(json(`{ "prompt": "x", "${key}": { "model": "m" } }`))
        assert.strictEqual(inVersion.key, `versions.1.${key}`)
        assert.include(inVersion.message, "There is no such key")
        const inPrompt = yield* refusal(jsonLayer(`{ "a": { "${key}": {}, "versions": { "1": { "prompt": "x" } } } }`))
        assert.strictEqual(inPrompt.key, key)
        const inWeights = yield* refusal(
          jsonLayer(`{ "a": { "weights": { "1": 1, "${key}": 5 }, "versions": { "1": { "prompt": "x" } } } }`)
        )
        assert.strictEqual(inWeights.key, `weights.${key}`)
        const kept = yield* Empty.render({}).pipe(
          Effect.provide(json(`{ "prompt": "x", "metadata": { "${key}": { "user_id": "m" } } }`))
        )
        assert.include(JSON.stringify(kept), `"metadata":{"${key}":{"user_id":"m"}}`)
        assert.isUndefined(Reflect.get(Object(kept.metadata), "user_id"))
      }
    }))

  it.effect("cannot make a message long by names that it makes up", () =>
    Effect.gen(function*() {
      const name = "x".repeat(1_000_000)
      const files = [
        `{ "${name}": {} }`,
        `{ "a": { "${name}": {} } }`,
        `{ "a": { "versions": { "${name}": {} } } }`,
        `{ "a": { "versions": { "1": { "prompt": "x", "${name}": 1 } } } }`,
        `{ "a": { "versions": { "1": { "prompt": "x", "metadata": { "${name}": "{{y}}" } } } } }`,
        `{ "${name}": 1, "${name}": 2 }`
      ]
      for (const text of files) {
        const error = yield* refusal(jsonLayer(text))
        assert.isBelow(error.message.length, 1_000, text.slice(0, 50))
      }
      assert.isBelow((yield* refusal(yamlLayer(`${name}: 1\n${name}: 2`))).message.length, 1_000)
    }))

  it.effect("cannot write lines of its own into a log", () =>
    Effect.gen(function*() {
      const name = "a\\nERROR all is lost\\u001b[31m"
      for (
        const text of [`{ "${name}": {} }`, `{ "a": { "${name}": {} } }`, `{ "a": { "versions": { "${name}": {} } } }`]
      ) {
        const { key = "", message } = yield* refusal(jsonLayer(text))
        for (const told of [key, message]) assert.notMatch(told, /\p{Cc}/u)
      }
    }))

  it.effect("with many mistakes is told of in a time that grows with their number", () =>
    Effect.gen(function*() {
      const time = (count: number) => {
        const versions = Array.from({ length: count }, (_, n) => `    ${n + 1}: { prompt: "{{b}}" }\n`)
        const text = `a:\n  latest: 0\n  versions:\n    0: { prompt: x }\n${versions.join("")}`
        const before = performance.now()
        return Effect.map(
          Effect.scoped(Layer.build(Layer.fresh(yamlLayer(text, { prompts: [Empty] })))),
          () => performance.now() - before
        )
      }
      const few = Math.min(...(yield* Effect.forEach([500, 500, 500], time)))
      const many = Math.min(...(yield* Effect.forEach([5_000, 5_000], time)))
      // Ten times as many take ten times as long, or a hundred times where it grows with the square.
      assert.isBelow(many / few, 50)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
})

describe("a file as editors write it", () => {
  it.effect("may have a byte order mark and any line ends", () =>
    Effect.gen(function*() {
      const lines = [
        "\ufeffa:",
        "  versions:",
        "    1:",
        "      prompt: |",
        "        one",
        "        two",
        "  latest: 1",
        ""
      ]
      assert.strictEqual(yield* said(lines.join("\r\n")), "one\ntwo\n")
      const error = yield* refusal(yamlLayer(lines.join("\r\n").replace("latest: 1", "latest: 2")))
      assert.strictEqual(error.line, 7)
    }))

  it.effect("that is no UTF-8 is refused, rather than read as what it does not say", () =>
    Effect.gen(function*() {
      const text = "a:\n  versions:\n    1: { prompt: Grüße }"
      for (const bytes of [Buffer.from(text, "latin1"), Buffer.from(`\ufeff${text}`, "utf16le")]) {
        const files: Files = new Map([["p.yaml", bytes]])
        const error = yield* refusal(Prompts.layerFiles({ path: "p.yaml" }).pipe(Layer.provide(filesLayer(files))))
        assert.strictEqual(error.message, "p.yaml: The file is no UTF-8. Save it as UTF-8.")
        assert.strictEqual(error.reason._tag, "Malformed")
      }
    }))

  it.effect("names each version as it is written, or not at all", () =>
    Effect.gen(function*() {
      const versions = (names: ReadonlyArray<string>) =>
        `a:\n  latest: "${names[0]!.replaceAll("\"", "")}"\n  versions:\n${
          names.map((name) => `    ${name}: { prompt: it is ${name.replaceAll("\"", "")} }`).join("\n")
        }`
      for (const [written, read] of [["1.10", "1.1"], ["1e3", "1000"], ["0x10", "16"], ["1_000", "1000"]]) {
        const error = yield* refusal(yamlLayer(versions(["1", written!])))
        assert.strictEqual(
          error.message,
          `prompts.yaml:5, prompt "a": YAML reads the key ${written} as the number ${read}. Write "${written}".`
        )
      }
      assert.strictEqual(yield* said(versions(["\"1.10\"", "1.1"])), "it is 1.10")
      const latest = "a:\n  latest: 1.10\n  versions: { \"1.10\": { prompt: x }, 1.1: { prompt: y } }"
      assert.include(
        (yield* refusal(yamlLayer(latest))).message,
        "prompts.yaml:2, prompt \"a\", key latest: Expected a version"
      )
      const weights =
        "a:\n  latest: 1.1\n  weights: { 1.10: 5 }\n  versions: { \"1.10\": { prompt: x }, 1.1: { prompt: y } }"
      assert.include(
        (yield* refusal(yamlLayer(weights.replace("latest: 1.1", "latest: \"1.1\"")))).message,
        "prompts.yaml:3, prompt \"a\": YAML reads the key 1.10"
      )
      // What only looks like a key is none.
      const text =
        "a:\n  versions:\n    \"1.1\":\n      prompt: |\n        1.10: not a version\n        ...: nor this\n"
      assert.strictEqual(yield* said(text), "1.10: not a version\n...: nor this\n")
    }))
})

describe("variables", () => {
  it.effect("are inserted whole, whatever they are made of", () =>
    Effect.gen(function*() {
      const insert = <A, E>(schema: Schema.Codec<A, E>, v: A) =>
        Effect.map(Prompts.define("a", { variables: Schema.Struct({ v: schema }) }).render({ v }), lastText).pipe(
          Effect.provide(Prompts.layerMemory({ a: { versions: { 1: { prompt: "[{{v}}]" } } } }))
        )
      assert.strictEqual(yield* insert(Schema.ReadonlySet(Schema.String), new Set(["a", "b"])), "[[\"a\",\"b\"]]")
      assert.strictEqual(
        yield* insert(Schema.ReadonlyMap(Schema.String, Schema.Int), new Map([["a", 1]])),
        "[[[\"a\",1]]]"
      )
      assert.strictEqual(yield* insert(Schema.Date, new Date(0)), "[1970-01-01T00:00:00.000Z]")
      assert.strictEqual(yield* insert(Schema.BigInt, 5n), "[5]")
      assert.strictEqual(yield* insert(Schema.Unknown, { a: [1, null] }), "[{\"a\":[1,null]}]")
      const error = yield* Effect.flip(insert(Schema.Unknown, () => "code"))
      assert.deepInclude(error.reason, { _tag: "InvalidValue", variable: "v" })
    }))

  it("have no names of what every object has, which a value may seem to have without being given", () => {
    for (const variable of ["constructor", "toString", "__proto__"]) {
      const variables = Schema.Struct({ [variable]: Schema.optionalKey(Schema.String) })
      assert.throws(
        () => Prompts.define("a", { variables }),
        RangeError,
        `Prompts.define: variables of "a" has "${variable}", which no template can insert`
      )
    }
  })

  it("are of a prompt that can be called so", () => {
    for (const name of ["", "a b", "../a", "__proto__", "x".repeat(129)]) {
      assert.throws(
        () => Prompts.define(name, { variables: Schema.Struct({}) }),
        RangeError,
        "Prompts.define: name is "
      )
    }
  })
})
