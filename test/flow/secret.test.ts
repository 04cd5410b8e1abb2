import Anthropic from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Effect, Exit, Layer, Option, Redacted, Schema, type Scope, Stream } from "effect"
import { Claude, ClaudeError, RetryPolicy, Transport } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { inspect } from "node:util"
import * as tls from "../testing/tls.ts"
import { observe, warnings } from "./observe.ts"

const key = "Xq7vKp2mWz9rTn4bHs6d-Yf3gLc8jRw5uEa1oDi0"
const hi = { prompt: "Hi" }

/** Half a key is a leak too: whatever shows eleven characters of it shows one of these. */
const parts = key.match(/.{6}/g) ?? []

const leaks = (text: string): string | undefined => {
  for (const part of parts) {
    const found = text.indexOf(part)
    if (found >= 0) return text.slice(Math.max(0, found - 60), found + 60)
  }
  return undefined
}

const deep = (value: unknown) => [
  inspect(value, { depth: 12, showHidden: true, getters: true, maxStringLength: Infinity, maxArrayLength: Infinity }),
  String(value),
  JSON.stringify(value, (_key, part: unknown) => typeof part === "bigint" ? String(part) : part) ?? ""
]

/** What is written to the console and to the process's streams meanwhile. */
const written: Effect.Effect<ReadonlyArray<string>, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const seen: Array<string> = []
    const undo: Array<() => void> = []
    const note = (...parts: ReadonlyArray<unknown>) =>
      void seen.push(parts.map((part) => inspect(part, { depth: 8 })).join(" "))
    for (const method of ["log", "info", "debug", "warn", "error", "trace", "dir"] as const) {
      const original = console[method]
      console[method] = note
      undo.push(() => {
        console[method] = original
      })
    }
    for (const stream of [process.stdout, process.stderr]) {
      const original = stream.write
      stream.write = (chunk: unknown) => (note(chunk), true)
      undo.push(() => {
        stream.write = original
      })
    }
    const level = process.env["ANTHROPIC_LOG"]
    process.env["ANTHROPIC_LOG"] = "debug"
    undo.push(() => {
      if (level === undefined) delete process.env["ANTHROPIC_LOG"]
      else process.env["ANTHROPIC_LOG"] = level
    })
    return { seen, undo }
  }),
  ({ undo }) => Effect.sync(() => undo.forEach((step) => step()))
).pipe(Effect.map(({ seen }) => seen))

/** Every failure that a server can answer with, each telling the credential it was sent. */
const echoes: Record<string, Answer.Answer> = {
  ...Object.fromEntries(
    [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529].flatMap((status) => [
      [`${status}`, Answer.error(status, { message: `You sent authorization: Bearer ${key}, x-api-key: ${key}.` })],
      [`${status} as text`, Answer.error(status, { body: `x-api-key: ${key}` })],
      [`${status} with the key in its type`, Answer.error(status, { type: key, errorCode: key })]
    ])
  ),
  "a long text that is cut within the key": Answer.error(500, { body: "-".repeat(190) + key }),
  "a long message that is cut within the key": Answer.error(500, { message: "-".repeat(990) + key }),
  "another shape of error": Answer.error(400, { body: { error: key, detail: { headers: { "x-api-key": key } } } }),
  "a page": Answer.raw([`<html>${key}</html>`], { status: 502, contentType: "text/html" }),
  "a page as success": Answer.raw([`<html>${key}</html>`], { contentType: "text/html" }),
  "an unknown type of content": Answer.raw(["{}"], { contentType: `application/x-${key}` }),
  "its headers": Answer.error(400, { headers: { "request-id": key, "x-echo": key, "retry-after": key } }),
  "a redirect": Answer.raw([""], { status: 302, headers: { location: `http://127.0.0.1:1/${key}` } }),
  "an error in the stream": Answer.errorEvent("api_error", `x-api-key: ${key}`),
  "an overload in the stream": Answer.errorEvent("overloaded_error", `x-api-key: ${key}`, "afterHeaders"),
  "an unknown error in the stream": Answer.errorEvent(key, key),
  "an event that is no JSON": Answer.raw([`event: x\ndata: {"${key}\n\n`]),
  "JSON that breaks off": Answer.raw([`{"key":"${key}`], { contentType: "application/json" }),
  "JSON that is no message": Answer.raw([JSON.stringify({ key })], { contentType: "application/json" }),
  "an error as JSON": Answer.raw([JSON.stringify({ type: "error", error: { type: "api_error", message: key } })], {
    contentType: "application/json"
  }),
  "a reset": Answer.reset("beforeHeaders"),
  "a reset in its middle": Answer.reset("midStream"),
  "a truncation": Answer.truncate("midStream"),
  silence: Answer.stall("beforeHeaders"),
  "silence in its middle": Answer.stall("midStream"),
  "an answer": Answer.text("Hello")
}

/** Each kind of call, asking for an echo by its name. */
const callsFor = (prompt: string): Record<string, Effect.Effect<unknown, ClaudeError.ClaudeError, Claude.Claude>> => ({
  message: Claude.message({ prompt }),
  stream: Stream.runDrain(Claude.stream({ prompt })),
  json: Claude.withPolicy({ wire: "json" })(Claude.message({ prompt })),
  object: Claude.object(Schema.Struct({ answer: Schema.Int }), { prompt }),
  countTokens: Claude.countTokens({ prompt })
})

const echo = ({ body }: ClaudeSimulator.Request) => echoes[String(body?.messages?.[0]?.content)] ?? Answer.hello

const common = {
  defaults: { model: "claude-opus-5-5", max_tokens: 100 },
  retry: RetryPolicy.make({ times: 1, initial: 0 }),
  retryBudget: { ratio: 1, burst: 1_000 },
  timeouts: { headers: "40 millis", idle: "40 millis", total: "400 millis" },
  telemetry: { content: { capture: "event" } }
} satisfies Claude.Options

const clients: Record<string, (url: string) => Claude.Options> = {
  "our own client": (baseURL) => ({ ...common, apiKey: Redacted.make(key), baseURL }),
  "our own client, with the key in its URL too": (baseURL) => ({
    ...common,
    apiKey: Redacted.make(key),
    baseURL: baseURL.replace("://", `://user:${key}@`)
  }),
  "a client that was handed in with the key": (baseURL) => ({
    ...common,
    client: new Anthropic({ apiKey: key, baseURL, logLevel: "debug" })
  }),
  "a client that was handed in with a token": (baseURL) => ({
    ...common,
    client: new Anthropic({ apiKey: null, authToken: key, baseURL, logLevel: "debug" })
  })
}

/** Everything that can be seen of an exit. */
const everything = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<string> => {
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  return [
    ...deep(exit),
    ...(Exit.isFailure(exit)
      ? [Cause.pretty(exit.cause), ...Cause.prettyErrors(exit.cause).map((error) => error.stack ?? "")]
      : []),
    ...deep(error),
    ...(error instanceof Error ? [error.message, error.stack ?? "", ...deep({ ...error })] : []),
    ...(ClaudeError.isClaudeError(error)
      ? [JSON.stringify(Schema.encodeSync(Schema.toCodecJson(ClaudeError.ClaudeError))(error))]
      : [])
  ]
}

const check = (where: string, texts: ReadonlyArray<string>) => {
  for (const text of texts) {
    const leak = leaks(text)
    if (leak !== undefined) assert.fail(`${where} tells the key: …${leak}…`)
  }
}

describe.each(Object.entries(clients))("the key of %s", (_, optionsOf) => {
  it.live("appears in no error, log, span, metric or text, whatever fails", () =>
    Effect.gen(function*() {
      const observed = observe()
      const warned = yield* warnings
      const said = yield* written
      const simulator = yield* ClaudeSimulator.make({ answers: echo })
      yield* simulator.script(echo, "count_tokens")
      const options = optionsOf(simulator.url)
      const layer = Layer.provideMerge(Claude.layer(options), observed.layer)
      const failures: Array<string> = []
      yield* Effect.gen(function*() {
        const claude = yield* Claude.Claude
        check("the service", deep(claude))
        yield* Effect.forEach(Object.keys(echoes), (name) =>
          Effect.forEach(Object.entries(callsFor(name)), ([kind, call]) =>
            Effect.map(Effect.exit(call), (exit) => {
              if (Exit.isFailure(exit)) {
                failures.push(`${name}, ${kind}`)
              }
              check(`${name}, ${kind}`, everything(exit))
            }), { concurrency: "unbounded" }), { concurrency: 16, discard: true })
      }).pipe(Effect.provide(layer))
      assert.isAbove(failures.length, 100)
      check("the layer", [...deep(Claude.layer(options))])
      for (const { name, attributes, events, status } of observed.spans) {
        check(`the span ${name}`, deep({ name, attributes: [...attributes], events, status }))
      }
      assert.isAbove(observed.spans.length, 100)
      check("a log", observed.logs)
      assert.isAbove(observed.logs.length, 100)
      check("a metric", deep(observed.metrics()))
      check("the console", said)
      check("a warning", warned.flatMap(deep))
    }).pipe(Effect.scoped))
})

describe("the key", () => {
  const call = (options: Claude.Options) => Effect.provide(Claude.text(hi), Claude.layer(options))

  const setups: Record<string, (url: string) => Claude.Options> = {
    "a server that nobody trusts": (url) => ({
      ...common,
      apiKey: Redacted.make(key),
      baseURL: url.replace("http:", "https:")
    }),
    "a port that nobody listens on": () => ({ ...common, apiKey: Redacted.make(key), baseURL: "http://127.0.0.1:1" }),
    "no URL": () => ({ ...common, apiKey: Redacted.make(key), baseURL: "127.0.0.1" }),
    "another scheme": () => ({ ...common, apiKey: Redacted.make(key), baseURL: "ftp://127.0.0.1" }),
    "a line break in it": (baseURL) => ({ ...common, apiKey: Redacted.make(`${key}\nx-other: 1`), baseURL }),
    "a letter beyond ASCII in it": (baseURL) => ({ ...common, apiKey: Redacted.make(`${key}é`), baseURL }),
    "a space in it": (baseURL) => ({ ...common, apiKey: Redacted.make(`${key} ${key}`), baseURL }),
    "an unknown option": (baseURL) => ({ ...common, apiKey: Redacted.make(key), baseURL, ...{ apikey: key } }),
    "a wrong option": (baseURL) => ({ ...common, apiKey: Redacted.make(key), baseURL, concurrency: -1 }),
    "a client with a line break in it": (baseURL) => ({
      ...common,
      client: new Anthropic({ apiKey: `${key}\nx`, baseURL })
    }),
    "a client with a letter beyond ASCII in it": (baseURL) => ({
      ...common,
      client: new Anthropic({ apiKey: `${key}漢`, baseURL })
    }),
    "a client with a token that is no header": (baseURL) => ({
      ...common,
      client: new Anthropic({ apiKey: null, authToken: `${key}\u0000`, baseURL })
    }),
    "a client whose server is not there": () => ({
      ...common,
      client: new Anthropic({ apiKey: key, baseURL: "http://127.0.0.1:1" })
    }),
    "a client whose URL is none": () => ({
      ...common,
      client: new Anthropic({ apiKey: key, baseURL: "http://127.0.0.1:99999" })
    }),
    "a client whose fetch throws what it was given": (baseURL) => ({
      ...common,
      client: new Anthropic({
        apiKey: key,
        baseURL,
        fetch: (_url, init) =>
          Promise.reject(new TypeError(`fetch failed: ${inspect(init)}`, { cause: new Error(inspect(init)) }))
      })
    }),
    "a client whose fetch answers with what it was given": (baseURL) => ({
      ...common,
      client: new Anthropic({
        apiKey: key,
        baseURL,
        fetch: (_url, init) => {
          const body = inspect(init)
          return Promise.resolve(
            new Response(new ReadableStream({ start: (controller) => controller.error(new Error(body)) }))
          )
        }
      })
    })
  }

  for (const [name, optionsOf] of Object.entries(setups)) {
    it.live(`appears nowhere with ${name}`, () =>
      Effect.gen(function*() {
        const observed = observe()
        const said = yield* written
        const simulator = yield* ClaudeSimulator.make(name.includes("trusts") ? { tls } : {})
        const exit = yield* Effect.exit(call(optionsOf(simulator.url)).pipe(Effect.provide(observed.layer)))
        assert.isTrue(Exit.isFailure(exit))
        check("the error", everything(exit))
        check(
          "a span",
          observed.spans.flatMap(({ attributes, events, status }) =>
            deep({ attributes: [...attributes], events, status })
          )
        )
        check("a log", observed.logs)
        check("a metric", deep(observed.metrics()))
        check("the console", said)
      }).pipe(Effect.scoped))
  }

  it.live("appears in no text of the options, the layer, the transport or the configuration", () =>
    Effect.gen(function*() {
      const options: Claude.Options = {
        ...common,
        apiKey: Redacted.make(key),
        baseURL: `http://user:${key}@127.0.0.1:1`
      }
      check("the options", deep({ ...options, baseURL: undefined }))
      check("the layer", deep(Claude.layer(options)))
      const environment = { ANTHROPIC_API_KEY: key, CLAUDE_MODEL: "claude-opus-5-5", CLAUDE_MAX_TOKENS: "many" }
      const exit = yield* Claude.text(hi).pipe(
        Effect.provide(
          Layer.provide(Claude.layerConfig, ConfigProvider.layer(ConfigProvider.fromUnknown(environment)))
        ),
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(exit))
      check("the configuration's error", everything(exit))
      check("its layer", deep(Claude.layerConfig))
      let transport: unknown
      const seen = Layer.effectDiscard(Effect.map(Effect.serviceOption(Transport.Transport), (found) => {
        transport = found
      }))
      yield* Effect.exit(Layer.build(Layer.provideMerge(seen, Claude.layer(options))))
      check("the transport", deep(transport))
      check("the service", deep(yield* Effect.exit(Layer.build(Claude.layer(options)))))
    }).pipe(Effect.scoped))
})
