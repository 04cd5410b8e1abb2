import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import type { FileSystem, Path } from "effect"
import { Prompts } from "../../src/prompts/index.ts"
import { denied, type Files, filesLayer, lastText, refusal, yamlLayer } from "./support.ts"

const Welcome = Prompts.define("welcome", { variables: Schema.Struct({ name: Schema.String, days: Schema.Int }) })

const provide = <A, E>(layer: Layer.Layer<A, E, FileSystem.FileSystem | Path.Path>, files: Files) =>
  Layer.provide(layer, filesLayer(files))

/** The error of a file of one prompt, `welcome`, whose members these lines are. */
const wrong = (members: string, options: Prompts.LoadOptions = {}) =>
  refusal(yamlLayer(`# prompts\nwelcome:\n${members.replaceAll(/^/gm, "  ")}`, options))

/** The error of a file of one version, `3`. */
const wrongVersion = (members: string, options: Prompts.LoadOptions = {}) =>
  wrong(`versions:\n  3:\n${members.replaceAll(/^/gm, "    ")}`, options)

describe("a file that is wrong", () => {
  it.effect("names file, line, prompt and key of a variable that the code does not know", () =>
    Effect.gen(function*() {
      const error = yield* wrongVersion("system: Be kind.\nprompt: Greet {{nmae}}.", { prompts: [Welcome] })
      assert.strictEqual(
        error.message,
        "prompts.yaml:6, prompt \"welcome\", key versions.3.prompt: {{nmae}} is no variable of this prompt; there are " +
          "name, days. Correct it, or add it to Prompts.define(\"welcome\", …)."
      )
      assert.deepInclude(error, {
        source: "prompts.yaml",
        prompt: "welcome",
        version: "3",
        key: "versions.3.prompt",
        line: 6
      })
      assert.deepInclude(error.reason, { _tag: "UnknownVariable", variable: "nmae" })
    }))

  it.effect("names the version that is missing, and those that there are", () =>
    Effect.gen(function*() {
      const versions = "versions:\n  1: { prompt: Hi }\n  2: { prompt: Hello }"
      const latest = yield* wrong(`latest: 4\n${versions}`)
      assert.strictEqual(
        latest.message,
        "prompts.yaml:3, prompt \"welcome\", version \"4\", key latest: There is no version \"4\"; there are 1, 2."
      )
      assert.strictEqual(latest.reason._tag, "MissingVersion")
      const weight = yield* wrong(`${versions}\nweights:\n  1: 5\n  7: 5`)
      assert.strictEqual(
        weight.message,
        "prompts.yaml:8, prompt \"welcome\", version \"7\", key weights.7: There is no version \"7\"; there are 1, 2."
      )
    }))

  it.effect("names the prompt that the code asks for and nobody has", () =>
    Effect.gen(function*() {
      const error = yield* refusal(yamlLayer("hello:\n  versions:\n    1: { prompt: Hi }", { prompts: [Welcome] }))
      assert.strictEqual(
        error.message,
        "prompts.yaml, prompt \"welcome\": There is no such prompt; there are hello. Add it, or correct the name."
      )
      assert.strictEqual(error.reason._tag, "MissingPrompt")
    }))

  it.effect("names both files of a prompt that is there twice", () =>
    Effect.gen(function*() {
      const text = "welcome:\n  versions:\n    1: { prompt: Hi }"
      const files = new Map([["p/a.yaml", text], ["p/b.yml", `x:\n  versions:\n    1: { prompt: Hi }\n${text}`]])
      const error = yield* refusal(
        provide(Prompts.layerFiles({ path: "p" }), files)
      )
      assert.strictEqual(
        error.message,
        "p/b.yml:4, prompt \"welcome\": The prompt is in p/a.yaml too. Remove one of the two, or give it another name."
      )
      assert.strictEqual(error.reason._tag, "Duplicate")
    }))

  it.effect("names a key that is there twice in one file", () =>
    Effect.gen(function*() {
      const error = yield* refusal(yamlLayer("a:\n  versions:\n    1: { prompt: Hi }\na:\n  versions: {}"))
      assert.strictEqual(error.message, "prompts.yaml:4: The file is no YAML: Duplicate key 'a'.")
    }))

  it.effect("names each weight that is none", () =>
    Effect.gen(function*() {
      const versions = "versions:\n  1: { prompt: Hi }\n  2: { prompt: Hello }"
      for (const weight of ["-1", ".nan", ".inf", "ten", "null", "[1]"]) {
        const error = yield* wrong(`weights: { 1: 10, 2: ${weight} }\n${versions}`)
        assert.strictEqual(
          error.message,
          "prompts.yaml:3, prompt \"welcome\", key weights.2: Expected a weight, which is a number from 0.",
          weight
        )
        assert.strictEqual(error.reason._tag, "Malformed")
      }
      for (const weights of ["{}", "{ 1: 0, 2: 0 }"]) {
        const error = yield* wrong(`${versions}\nweights: ${weights}`)
        assert.strictEqual(
          error.message,
          "prompts.yaml:6, prompt \"welcome\", key weights: Expected one weight above 0, or no weights."
        )
      }
    }))

  it.effect("names a type that is wrong, and what is expected, without the text of the prompt", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [version: string, key: string, message: RegExp]> = [
        ["prompt: 5", "prompt", /Expected string/],
        ["prompt: hidden\nmax_tokens: lots", "max_tokens", /Expected/],
        ["prompt: hidden\nmax_tokens: -1", "max_tokens", /Expected/],
        ["prompt: hidden\nmodel: ''", "model", /Expected/],
        ["prompt: hidden\nmessages: []", "messages[0]", /Missing key/],
        ["messages: hidden", "messages", /Expected array/],
        ["messages:\n  - role: human\n    content: hidden", "messages[0].role", /"user" \| "assistant" \| "system"/],
        ["messages:\n  - role: user\n    content: 5", "messages[0].content", /a text, or a list of blocks/],
        ["messages:\n  - role: user", "messages[0].content", /Missing key/],
        ["messages:\n  - role: user\n    content: hidden\n    id: 1", "messages[0].id", /There is no such key/],
        ["prompt: hidden\nmessages:\n  - role: user\n    content: hidden", "prompt", /there are both/],
        ["prompt: hidden\ntools: hammer", "tools", /Expected array/],
        ["prompt: hidden\nthinking: [1]", "thinking", /Expected/],
        ["prompt: hidden\nsytem: hidden", "sytem", /There is no such key; there are model, .*system, /],
        ["prompt: hidden\ntemperature: 1", "temperature", /Version 2026-10-21 of the API dropped it/],
        ["prompt: hidden\nstream: true", "stream", /The call decides whether it streams/],
        ["prompt: ''", "prompt", /an empty text, or blank, which the API refuses/],
        ["prompt: \" \\n\"", "prompt", /an empty text, or blank, which the API refuses/],
        ["messages:\n  - role: user\n    content: ''", "messages[0].content", /an empty text/],
        ["system:\n  - type: text\n    text: ''\nprompt: hidden", "system[0].text", /an empty text/]
      ]
      for (const [version, key, message] of cases) {
        const error = yield* wrongVersion(version)
        assert.strictEqual(error.key, `versions.3.${key}`, version)
        assert.match(error.message, message)
        assert.include(error.message, "prompts.yaml:")
        assert.include(error.message, "prompt \"welcome\"")
        assert.notInclude(error.message, "hidden")
        assert.strictEqual(error.reason._tag, "Malformed")
      }
      const none = yield* wrongVersion("model: claude-opus-5-5")
      assert.match(none.message, /^prompts.yaml:4, .*key versions.3: Expected one of system, prompt and messages/)
    }))

  it.effect("names a block that is none", () =>
    Effect.gen(function*() {
      const block = (members: string) =>
        wrongVersion(
          `messages:\n  - role: user\n    content:\n      - type: text\n        text: hi\n      - ${members}`
        )
      for (
        const [members, key] of [
          ["text: hi", "type"],
          ["type: text", "text"],
          ["{ type: text, text: 5 }", "text"],
          ["type: 5", "type"]
        ] as const
      ) {
        const error = yield* block(members)
        assert.strictEqual(error.key, `versions.3.messages[0].content[1].${key}`, members)
        assert.strictEqual(error.line, 10, members)
      }
    }))

  it.effect("names what is no prompt", () =>
    Effect.gen(function*() {
      const form = (yield* wrong("version:\n  1: { prompt: Hi }")).message
      assert.strictEqual(
        form,
        "prompts.yaml:3, prompt \"welcome\", key version: There is no such key; there are description, latest, weights, versions."
      )
      assert.match((yield* wrong("latest: 1")).message, /^prompts.yaml:2, prompt "welcome", key versions: Missing key/)
      assert.match((yield* wrong("versions: {}")).message, /key versions: There is no version. Write one/)
      assert.match((yield* wrong("versions: [1]")).message, /key versions: Expected/)
      assert.match(
        (yield* wrong("latest: [1]\nversions: { 1: { prompt: Hi } }")).message,
        /key latest: Expected a version/
      )
      assert.match((yield* wrong("versions:\n  1: hi")).message, /^prompts.yaml:4, .*key versions.1: Expected object/)
      assert.match(
        (yield* refusal(yamlLayer("welcome: 5"))).message,
        /^prompts.yaml:1, prompt "welcome": Expected object/
      )
    }))

  it.effect("asks which version is latest where that is not plain", () =>
    Effect.gen(function*() {
      const error = yield* wrong("versions:\n  formal: { prompt: Hi }\n  2: { prompt: Hello }")
      assert.strictEqual(
        error.message,
        "prompts.yaml:2, prompt \"welcome\": latest is missing, and not all versions are whole numbers, of which it would " +
          "be the highest. Set it to one of 2, formal."
      )
    }))

  it.effect("names what a prompt or a version cannot be called", () =>
    Effect.gen(function*() {
      for (const name of ["__proto__", "-a", "a b", "a\\n", "../x", "a/../b", "a//b", "a/", "x".repeat(129)]) {
        const error = yield* refusal(yamlLayer(`"${name}":\n  versions:\n    1: { prompt: Hi }`))
        assert.include(error.message, "The name of a prompt is of letters, digits")
      }
      for (const version of ["__proto__", "a/b", "-1", "x".repeat(65)]) {
        const error = yield* wrong(`versions:\n  "${version}": { prompt: Hi }`)
        assert.include(error.message, "The name of a version is of letters, digits")
      }
      const latest = yield* wrong("versions:\n  latest: { prompt: Hi }")
      assert.match(latest.message, /^prompts.yaml:4, .*latest is the name of whichever version is served/)
    }))

  it.effect("names what is no placeholder, and says how braces are written", () =>
    Effect.gen(function*() {
      for (
        const [text, told] of [
          ["Hi {{user.name}}", "{{user.name}} in line 1 of the text is no placeholder"],
          ["one\n  {{ }}", "{{ }} in line 2 of the text is no placeholder"],
          ["Hi {{name", "{{ in line 1 of the text is no placeholder"],
          ["Hi {{{name}}}", "{{ in line 1 of the text is no placeholder"],
          ["Hi {{#if name}}", "{{#if name}} in line 1 of the text is no placeholder"],
          ["{{constructor()}}", "{{constructor()}} in line 1 of the text is no placeholder"],
          ["{{the text of the prompt that has two braces and then goes on for long}}", "{{ in line 1 of the text"]
        ] as const
      ) {
        const error = yield* wrongVersion(`prompt: ${JSON.stringify(text)}`)
        assert.include(error.message, `prompts.yaml:5, prompt "welcome", key versions.3.prompt: ${told}`)
        assert.include(error.message, "Write \\{{ for two braces that are text.")
      }
    }))

  it.effect("names a placeholder that stands where no value may go", () =>
    Effect.gen(function*() {
      for (
        const [version, key] of [
          ["model: \"{{name}}\"\nprompt: hi", "model"],
          ["stop_sequences: [\"{{name}}\"]\nprompt: hi", "stop_sequences[0]"],
          ["tools:\n  - name: \"{{name}}\"\nprompt: hi", "tools[0].name"],
          ["metadata: { user_id: \"{{name}}\" }\nprompt: hi", "metadata.user_id"],
          [
            "messages: [{ role: user, content: [{ type: image, source: { type: url, url: \"{{name}}\" } }] }]",
            "messages[0].content[0].source.url"
          ],
          [
            "messages: [{ role: user, content: [{ type: document, source: { type: base64, data: \"{{name}}\" } }] }]",
            "messages[0].content[0].source.data"
          ],
          [
            "messages: [{ role: user, content: [{ type: tool_use, id: t, name: n, input: { text: \"{{name}}\" } }] }]",
            "messages[0].content[0].input.text"
          ],
          [
            "messages: [{ role: user, content: [{ type: of_2031, text: \"{{name}}\" }] }]",
            "messages[0].content[0].text"
          ]
        ] as const
      ) {
        const error = yield* wrongVersion(version)
        assert.strictEqual(error.key, `versions.3.${key}`)
        assert.include(error.message, "{{name}} stands where no value may go")
      }
    }))

  it.effect("is refused where it is no YAML, no JSON, or no mapping, with the line where that is known", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* refusal(yamlLayer("a:\n  versions:\n   b: 1\n  c: 2\n d: 3"))).message,
        "prompts.yaml:5: The file is no YAML: Unexpected indentation of 1 spaces."
      )
      const bare = yield* refusal(yamlLayer("a:\n  versions:\n    1:\n      prompt: {{name}}"))
      assert.match(bare.message, /^prompts.yaml:4: The file is no YAML: .* A text that begins with {{ is quoted/)
      for (const [text, kind] of [["", "empty"], ["# none", "empty"], ["- a", "a list"], ["hi", "a string"]]) {
        const error = yield* refusal(yamlLayer(text!))
        assert.include(error.message, `prompts.yaml: The file is ${kind}; expected a mapping`)
      }
      const json = (text: string) =>
        refusal(provide(Prompts.layerFiles({ path: "p.json" }), new Map([["p.json", text]])))
      const syntax = yield* json("{\n  \"a\": 1,\n  \"b\" \"hidden\"}")
      assert.match(syntax.message, /^p.json:3: The file is no JSON: /)
      assert.notInclude((yield* json("{ hidden }")).message, "hidden")
      for (
        const [text, line] of [
          ["{ \"a\": 1, \"a\": 2 }", 1],
          ["{\n \"b\": [{ \"a\": \"{\\\"a\\\": 1}\" }, { \"a\": 1,\n \"\\u0061\" : 2 }] }", 3]
        ] as const
      ) {
        const twice = yield* json(text)
        assert.strictEqual(twice.message, `p.json:${line}: The file has "a" twice in one object.`)
      }
      const nested = yield* json("{\n  \"a\": {\n    \"versions\": {\n      \"1\": { \"prompt\": 5 }\n    }\n  }\n}")
      assert.strictEqual(nested.message, "p.json:4, prompt \"a\", key versions.1.prompt: Expected string.")
    }))

  it.effect("is told where it cannot be read", () =>
    Effect.gen(function*() {
      const missing = yield* refusal(provide(Prompts.layerFiles({ path: ["a.yaml"] }), new Map()))
      assert.strictEqual(
        missing.message,
        "a.yaml: There is no such file or directory. Correct the path, which begins where the process was started."
      )
      assert.strictEqual(missing.reason._tag, "Unavailable")
      const files = new Map([["p/a.yaml", denied("p/a.yaml")]])
      const unreadable = yield* refusal(provide(Prompts.layerFiles({ path: "p" }), files))
      assert.strictEqual(
        unreadable.message,
        "p/a.yaml: It could not be read: PermissionDenied. See that the process may read it."
      )
    }))

  it.effect("does not grow without bound by aliases", () =>
    Effect.gen(function*() {
      const levels = Array.from({ length: 12 }, (_, level) =>
        `x${level}: &x${level} [${
          Array.from({ length: 10 }, () => level === 0 ? "lol" : `*x${level - 1}`).join(", ")
        }]`)
      const text = `a:\n  versions:\n    1:\n      prompt: hi\n      metadata:\n        ${levels.join("\n        ")}`
      const error = yield* refusal(yamlLayer(text))
      assert.include(error.message, "The template has more than 100000 values")
    }))
})

describe("a file", () => {
  it.effect("serves the version that is latest: the one it names, or the highest number", () =>
    Effect.gen(function*() {
      const text = (latest: string) =>
        `welcome:\n${latest}  versions:\n    2: { prompt: two }\n    10: { prompt: ten }\n    9: { prompt: nine }`
      for (const [latest, served] of [["", "ten"], ["  latest: 2\n", "two"], ["  latest: \"9\"\n", "nine"]] as const) {
        const request = yield* Welcome.render({ name: "Ann", days: 3 }).pipe(Effect.provide(yamlLayer(text(latest))))
        assert.strictEqual(lastText(request), served)
      }
    }))

  it.effect("is a mapping of prompts in YAML or JSON, alone or beside others in a directory", () =>
    Effect.gen(function*() {
      const files = new Map([
        ["p/a.yaml", "a:\n  versions:\n    1: { prompt: A }"],
        ["p/b.yml", "b/c:\n  description: For people.\n  versions:\n    1: { prompt: B }"],
        ["p/c.json", "\ufeff{ \"c\": { \"versions\": { \"1\": { \"prompt\": \"C\" } } } }"],
        ["p/notes.txt", "not read"],
        ["p/.hidden.yaml", "not: read"]
      ])
      const list = yield* Prompts.list.pipe(
        Effect.provide(provide(Prompts.layerFiles({ path: ["p", "p/a.yaml"] }), files))
      )
      assert.deepStrictEqual(list.map(({ name, source }) => [name, source]), [
        ["a", "p/a.yaml"],
        ["b/c", "p/b.yml"],
        ["c", "p/c.json"]
      ])
      assert.deepStrictEqual(list[0]!.release, { latest: "1" })
      assert.deepStrictEqual(list[0]!.versions, ["1"])
    }))

  it("refuses options that are wrong, by name", () => {
    const refused = (make: () => unknown, message: string) => assert.throws(make, RangeError, message)
    refused(() => Prompts.layerFiles({ path: "" }), "Prompts.layerFiles: path is empty")
    refused(() => Prompts.layerFiles({ path: [] }), "Prompts.layerFiles: path is empty")
    refused(() => Prompts.layerSql({ table: "" }), "Prompts.layerSql: table is empty")
    for (const watch of [0, -1, Number.NaN, Infinity, "soon" as never]) {
      refused(() => Prompts.layerFiles({ path: "p", watch }), `Prompts.layerFiles: watch is ${String(watch)}`)
    }
    refused(() => Prompts.layerMemory({}, { prompts: [Welcome, Welcome] }), "prompts has \"welcome\" twice")
  })
})
