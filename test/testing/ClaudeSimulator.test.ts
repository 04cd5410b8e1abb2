import Anthropic, { APIError } from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { Claude } from "effect-claude"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { request as httpsRequest } from "node:https"
import { connect } from "node:net"
import { text as readText } from "node:stream/consumers"
import { cert, key } from "./tls.ts"

const body = { model: "claude-sonnet-5-5", max_tokens: 100, messages: [{ role: "user" as const, content: "Hi there" }] }

const clientOf = (url: string) => new Anthropic({ apiKey: "sk-secret", baseURL: url, maxRetries: 0, logLevel: "off" })

const post = (url: string, init: { stream?: boolean; body?: unknown; signal?: AbortSignal; path?: string } = {}) =>
  fetch(`${url}${init.path ?? "/v1/messages"}`, {
    method: "POST",
    headers: { authorization: "Bearer sk-secret", "content-type": "application/json" },
    body: JSON.stringify(init.body ?? { ...body, stream: init.stream ?? false }),
    signal: init.signal ?? null
  })

/** What an answer looks like to fetch: its status, headers, what of the body came, and how it ended. */
const observe = async (url: string, stream = true) => {
  let text = ""
  try {
    const response = await post(url, { stream })
    try {
      const decoder = new TextDecoder()
      for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true })
      return { response, text, end: "clean" as const }
    } catch {
      return { response, text, end: "broken" as const }
    }
  } catch {
    return { response: undefined, text, end: "broken" as const }
  }
}

/** A call that reads until it has seen enough, and that can be given up. */
const abortable = (url: string) => {
  const controller = new AbortController()
  const response = post(url, { stream: true, signal: controller.signal })
  response.catch(() => {})
  return {
    abort: () => controller.abort(),
    until: async (enough: (text: string) => boolean) => {
      const reader = (await response).body?.pipeThrough(new TextDecoderStream()).getReader()
      let text = ""
      while (!enough(text)) text += (await reader?.read())?.value ?? ""
      return text
    }
  }
}

const eventsOf = (text: string) => Array.from(text.matchAll(/^event: (.*)$/gm), (match) => match[1])

const deltas = (text: string) => eventsOf(text).filter((event) => event === "content_block_delta").length

const simulate = (...answers: ReadonlyArray<Answer.Answer>) => ClaudeSimulator.make({ answers })

describe("messages", () => {
  const blocks: ReadonlyArray<readonly [string, Answer.Answer]> = [
    ["a text", Answer.text("The quick  brown fox\njumps, naïve 🎉.\n")],
    ["a text cut by characters", Answer.text("日本語 🎉🎉 text", { chunk: 3 })],
    ["an empty text", Answer.text("", { stopReason: "refusal" })],
    ["thinking", Answer.thinking("Let me think.", "Done.")],
    [
      "a tool call",
      Answer.tool("weather", { city: "Zürich", days: [1, 2] }, { text: "Looking it up.", toolUseId: "toolu_1" })
    ],
    ["structured output", Answer.json({ a: [1, { b: null }] })],
    [
      "two tool calls",
      Answer.content([
        { type: "tool_use", name: "a", input: {} },
        { type: "tool_use", name: "b", input: { x: "y".repeat(100) } }
      ])
    ],
    [
      "a whole message",
      Answer.message({
        id: "msg_given",
        type: "message",
        role: "assistant",
        model: "claude-opus-5-5",
        content: [
          {
            type: "text",
            text: "It is sunny.",
            citations: [
              {
                type: "char_location",
                cited_text: "sunny",
                document_index: 0,
                document_title: null,
                file_id: null,
                start_char_index: 0,
                end_char_index: 5
              }
            ]
          },
          {
            type: "server_tool_use",
            id: "srvtoolu_1",
            name: "web_search",
            input: { query: "sun" },
            caller: { type: "direct" }
          },
          { type: "redacted_thinking", data: "opaque" }
        ],
        container: null,
        diagnostics: null,
        stop_details: null,
        stop_reason: "max_tokens",
        stop_sequence: null,
        usage: {
          input_tokens: 10,
          output_tokens: 20,
          cache_creation: { ephemeral_5m_input_tokens: 1, ephemeral_1h_input_tokens: 2 },
          cache_creation_input_tokens: 3,
          cache_read_input_tokens: 4,
          inference_geo: "us",
          output_tokens_details: { thinking_tokens: 5 },
          server_tool_use: { web_search_requests: 1, web_fetch_requests: 0 },
          service_tier: "priority",
          speed: "fast"
        }
      })
    ]
  ]
  for (const [name, answer] of blocks) {
    it.live(`answers ${name} as JSON and as a stream that folds to the same message`, () =>
      Effect.gen(function*() {
        const { log, url } = yield* ClaudeSimulator.make({ otherwise: answer })
        const client = clientOf(url)
        const json = yield* Effect.promise(() => client.messages.create(body))
        const streamed = yield* Effect.promise(() => client.messages.stream(body).finalMessage())
        // The id is the request's own, unless the message was given whole.
        assert.deepStrictEqual({ ...plain(streamed), id: "" }, { ...plain(json), id: "" })
        assert.deepStrictEqual((yield* log).entries.map((entry) => entry.outcome), ["complete", "complete"])
      }))
  }

  it.live("says what was billed as the API does: the split in message_start, totals in message_delta", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(
        Answer.text("a b c", {
          usage: { cache_creation_input_tokens: 7, cache_read_input_tokens: 11, output_tokens: 30 }
        })
      )
      const { text } = yield* Effect.promise(() => observe(url))
      const data = Array.from(text.matchAll(/^data: (.*)$/gm), (match) => JSON.parse(match[1] ?? ""))
      const start = data.find((event) => event.type === "message_start").message
      assert.deepStrictEqual(start.usage.cache_creation, { ephemeral_5m_input_tokens: 7, ephemeral_1h_input_tokens: 0 })
      assert.strictEqual(start.usage.service_tier, "standard")
      assert.strictEqual(start.usage.output_tokens, 1)
      const delta = data.find((event) => event.type === "message_delta")
      assert.deepInclude(delta.usage, {
        cache_creation_input_tokens: 7,
        cache_read_input_tokens: 11,
        output_tokens: 30
      })
      assert.strictEqual(delta.usage.input_tokens, start.usage.input_tokens)
      assert.deepStrictEqual(eventsOf(text).slice(0, 3), ["message_start", "content_block_start", "ping"])
    }))

  it.live("counts more input tokens for a longer prompt, the same in count_tokens and in usage", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate()
      const client = clientOf(url)
      const ask = (content: string) => {
        const messages = [{ role: "user" as const, content }]
        return Effect.promise(() =>
          Promise.all([
            client.messages.countTokens({ model: body.model, messages }).then((counted) => counted.input_tokens),
            client.messages.create({ ...body, messages }).then((message) => message.usage.input_tokens)
          ])
        )
      }
      const [short, billedShort] = yield* ask("Hi")
      const [long, billedLong] = yield* ask("Hi".repeat(2000))
      assert.deepStrictEqual([short, long], [billedShort, billedLong])
      assert.approximately(long - short, (4000 - 2) / 4, 1)
    }))

  it.live("answers raw events, and to a request for JSON the message that they make", () =>
    Effect.gen(function*() {
      const { url } = yield* ClaudeSimulator.make({
        otherwise: Answer.events([
          {
            type: "message_start",
            message: { type: "message", id: "msg_1", content: [], usage: { input_tokens: 1, output_tokens: 1 } }
          },
          { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
          { type: "brand_new_event", x: 1 },
          { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hi" } },
          { type: "content_block_stop", index: 0 },
          { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 2 } },
          { type: "message_stop" }
        ])
      })
      const streamed = yield* Effect.promise(() => observe(url))
      assert.include(eventsOf(streamed.text), "brand_new_event")
      const json = yield* Effect.promise(() => observe(url, false))
      assert.deepStrictEqual(JSON.parse(json.text), {
        type: "message",
        id: "msg_1",
        content: [{ type: "text", text: "Hi" }],
        stop_reason: "end_turn",
        usage: { input_tokens: 1, output_tokens: 2 }
      })
    }))

  it.live("paces deltas one by one, and drips single bytes", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(
        Answer.raw(["event: ping\n", { pause: "5 millis" }, new TextEncoder().encode("data: {}\n\n")]),
        Answer.text("one two three four", { pace: "10 millis", firstContent: "5 millis", delay: "5 millis" }),
        Answer.drip(Answer.text("one"), { bytes: 1 })
      )
      assert.strictEqual((yield* Effect.promise(() => observe(url))).text, "event: ping\ndata: {}\n\n")
      const chunks = yield* Effect.promise(async () => {
        const chunks: Array<Uint8Array> = []
        for await (const chunk of (await post(url, { stream: true })).body ?? []) chunks.push(chunk)
        return chunks
      })
      assert.isAtLeast(chunks.length, 4)
      const dripped = yield* Effect.promise(() => observe(url))
      assert.strictEqual(eventsOf(dripped.text).at(-1), "message_stop")
    }))
})

describe("failures", () => {
  const forms = [["seconds", "retry-after", "1.5"], ["ms", "retry-after-ms", "1500"], [
    "date",
    "retry-after",
    /GMT$/
  ]] as const
  for (const [form, header, value] of forms) {
    it.live(`tells when to retry in ${form}, with any status`, () =>
      Effect.gen(function*() {
        const statuses = [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529]
        const { url } = yield* simulate(...statuses.map((status) =>
          Answer.error(status, {
            retryAfter: "1.5 seconds",
            retryAfterForm: form,
            shouldRetry: status > 500,
            errorCode: "some_code"
          })
        ))
        for (const status of statuses) {
          const error = yield* thrown(url)
          assert.strictEqual(error.status, status)
          assert.strictEqual(error.errorCode, "some_code")
          assert.match(error.headers?.get(header) ?? "", typeof value === "string" ? new RegExp(`^${value}$`) : value)
          assert.strictEqual(error.headers?.get("x-should-retry"), String(status > 500))
          assert.match(error.requestID ?? "", /^req_/)
        }
      }))
  }

  it.live("types its errors as the API does", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(
        Answer.error(529),
        Answer.error(429, { type: "odd_error", message: "no" }),
        Answer.error(503, { body: "text" })
      )
      assert.strictEqual((yield* thrown(url)).type, "overloaded_error")
      assert.include((yield* thrown(url)).message, "odd_error")
      assert.strictEqual((yield* thrown(url)).type, null)
    }))

  const five = Answer.text("a b c d e")
  it.live("resets or closes the connection before headers, after headers, and where it is told", () =>
    Effect.gen(function*() {
      const { logWhen, url } = yield* simulate(
        Answer.reset("beforeHeaders"),
        Answer.reset("afterHeaders"),
        Answer.reset({ afterEvents: 4 }, five),
        Answer.close({ afterBytes: 10 }),
        Answer.close("midStream", five)
      )
      assert.strictEqual((yield* Effect.promise(() => observe(url))).response, undefined)
      const headers = yield* Effect.promise(() => observe(url))
      assert.deepStrictEqual([headers.response?.status, headers.text, headers.end], [200, "", "broken"])
      const events = yield* Effect.promise(() => observe(url))
      assert.deepStrictEqual([eventsOf(events.text).filter((e) => e !== "ping").length, events.end], [4, "broken"])
      const bytes = yield* Effect.promise(() => observe(url))
      assert.deepStrictEqual([bytes.text, bytes.end], ["event: mes", "broken"])
      const middle = yield* Effect.promise(() => observe(url, false))
      assert.strictEqual(middle.end, "broken")
      assert.throws(() => JSON.parse(middle.text))
      yield* logWhen((log) => log.entries.filter((entry) => entry.outcome === "cut").length === 5)
    }))

  it.live("stalls before headers, after headers and mid-stream until the client gives up", () =>
    Effect.gen(function*() {
      const { log, logWhen, url } = yield* simulate(
        Answer.stall("beforeHeaders"),
        Answer.text("never", { delay: "Infinity" }),
        Answer.stall("afterHeaders"),
        Answer.stall("midStream", Answer.drip(five))
      )
      for (const [index, status] of [undefined, undefined, 200, 200].entries()) {
        const call = abortable(url)
        yield* logWhen(({ entries, inFlight }) => inFlight === 1 && entries[index]?.status === status)
        // Three of five deltas come; what follows them never does.
        if (index === 3) yield* Effect.promise(() => call.until((text) => deltas(text) === 3))
        assert.strictEqual((yield* log).entries[index]?.outcome, "open")
        call.abort()
        yield* logWhen(({ entries, inFlight }) => entries[index]?.outcome === "clientClosed" && inFlight === 0)
      }
      assert.strictEqual((yield* log).earlyCloses, 4)
    }))

  it.live("sends only pings, for ever", () =>
    Effect.gen(function*() {
      const { logWhen, url } = yield* simulate(Answer.pings("2 millis"))
      const call = abortable(url)
      const text = yield* Effect.promise(() => call.until((text) => eventsOf(text).length > 3))
      assert.deepStrictEqual(new Set(eventsOf(text)), new Set(["ping"]))
      call.abort()
      yield* logWhen((log) => log.entries[0]?.outcome === "clientClosed")
    }))

  it.live("ends cleanly without message_stop, or with an error event", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(
        Answer.truncate("midStream", five),
        Answer.truncate(),
        Answer.errorEvent("overloaded_error", "Overloaded", "midStream", five),
        Answer.errorEvent("overloaded_error", "Overloaded")
      )
      const cut = yield* Effect.promise(() => observe(url))
      assert.deepStrictEqual([deltas(cut.text), eventsOf(cut.text).at(-1), cut.end], [
        3,
        "content_block_delta",
        "clean"
      ])
      const json = yield* Effect.promise(() => observe(url, false))
      assert.strictEqual(json.end, "clean")
      assert.throws(() => JSON.parse(json.text))
      const error = yield* Effect.promise(() => observe(url))
      assert.deepStrictEqual([deltas(error.text), eventsOf(error.text).at(-1), error.end], [3, "error", "clean"])
      assert.include(error.text, `"error":{"type":"overloaded_error","message":"Overloaded"}`)
      const asked = yield* Effect.promise(() => observe(url, false))
      assert.strictEqual(asked.response?.status, 529)
    }))

  it.live("answers garbage of every kind", () =>
    Effect.gen(function*() {
      const kinds = ["badEvent", "badJson", "html", "html502", "empty"] as const
      const { url } = yield* simulate(...kinds.map(Answer.garbage))
      const seen = yield* Effect.forEach(kinds, () => Effect.promise(() => observe(url)))
      assert.deepStrictEqual(seen.map(({ response }) => response?.status), [200, 200, 200, 502, 200])
      assert.deepStrictEqual(
        seen.map(({ response }) => response?.headers.get("content-type")?.split(";")[0]),
        ["text/event-stream", "application/json", "text/html", "text/html", "text/event-stream"]
      )
      assert.deepStrictEqual(seen.map(({ response }) => response?.headers.has("request-id")), [
        true,
        true,
        false,
        false,
        true
      ])
      const badData = seen[0]?.text.match(/^data: .*$/gm)?.filter((line) => Exit.isFailure(tryParse(line.slice(6))))
      assert.strictEqual(badData?.length, 1)
      assert.throws(() => JSON.parse(seen[1]?.text ?? ""))
      assert.strictEqual(seen[4]?.text, "")
    }))

  it("refuses answers that make no sense", () => {
    assert.throws(() => Answer.error(200), RangeError)
    assert.throws(() => Answer.text("a", { chunk: 0 }), RangeError)
    assert.throws(() => Answer.reset({ afterEvents: -1 }), RangeError)
    assert.throws(() => Answer.drip(Answer.hello, { bytes: 1.5 }), RangeError)
  })
})

describe("refusals", () => {
  it.live("refuses what the API refuses, and leaves the script alone", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate(Answer.text("scripted"))
      const statusOf = (path: string, init: RequestInit) =>
        Effect.promise(async () => (await fetch(url + path, init)).status)
      const key = { "x-api-key": "sk" }
      const send = (value: unknown, headers: Record<string, string> = key) =>
        statusOf("/v1/messages", {
          method: "POST",
          headers,
          body: typeof value === "string" ? value : JSON.stringify(value)
        })
      assert.strictEqual(yield* send(body, {}), 401)
      assert.strictEqual(yield* send("{"), 400)
      assert.strictEqual(yield* send({ ...body, model: undefined }), 400)
      assert.strictEqual(yield* send({ ...body, max_tokens: undefined }), 400)
      assert.strictEqual(yield* send({ ...body, max_tokens: -1 }), 400)
      assert.strictEqual(yield* send({ ...body, messages: [] }), 400)
      assert.strictEqual(yield* send({ ...body, temperature: 1 }, { ...key, "anthropic-version": "2026-10-21" }), 400)
      assert.strictEqual(yield* send("x".repeat(34_000_000)), 413)
      assert.strictEqual(yield* statusOf("/v1/messages", { headers: key }), 405)
      assert.strictEqual(yield* statusOf("/v1/unknown", { headers: key }), 404)
      assert.strictEqual(yield* statusOf("/v1/models/%E0%A4", { headers: key }), 404)
      assert.strictEqual(yield* statusOf("//", { headers: key }), 404)
      const message = yield* Effect.promise(() => clientOf(url).messages.create(body))
      assert.deepInclude(message.content[0], { type: "text", text: "scripted" })
    }))

  const ask = { role: "user", content: "Go" }
  const call = (...ids: ReadonlyArray<string>) => ({
    role: "assistant",
    content: ids.map((id) => ({ type: "tool_use", id, name: "f", input: {} }))
  })
  const result = (...ids: ReadonlyArray<string>) => ({
    role: "user",
    content: ids.map((id) => ({ type: "tool_result", tool_use_id: id, content: "1" }))
  })
  const said = (role: string, ...content: ReadonlyArray<object>) => ({ role, content })
  const text = (text: string, more: object = {}) => ({ type: "text", text, ...more })
  const search = { type: "server_tool_use", id: "s", name: "web_search", input: {} }
  const found = { type: "web_search_tool_result", tool_use_id: "s", content: [] }

  for (
    const [what, messages, refusal] of [
      ["a call that nobody answered", [ask, call("a", "b"), result("a"), ask], "messages.1: `tool_use` ids were found"],
      ["a call at the end", [ask, call("a")], "messages.1: `tool_use` ids were found"],
      ["a result without its call", [ask, result("a")], "messages.1.content.0: unexpected `tool_use_id`"],
      [
        "a result that comes a turn too late",
        [ask, call("a"), result("a"), said("assistant", text("So.")), result("a")],
        "messages.4.content.0: unexpected `tool_use_id`"
      ],
      ["two results of one call", [ask, call("a"), result("a", "a")], "messages.2.content.1: each tool_use must have"],
      ["what the API ran without its call", [ask, said("assistant", found)], "`web_search_tool_result` blocks: s"],
      [
        "a turn that ends with a thought",
        [ask, said("assistant", { type: "thinking", thinking: "Hm.", signature: "c2ln" }), ask],
        "messages.1: The final block in an assistant message cannot be `thinking`."
      ],
      [
        "what the API has not run to its end",
        [ask, said("assistant", search, text("So.")), ask],
        "messages.1: `web_search` tool use with id `s` was found without a corresponding `web_search_tool_result`"
      ],
      ["an empty text", [said("user", text(""))], "text content blocks must be non-empty"],
      ["a text of blanks", [ask, said("assistant", text(" \n")), ask], "must contain non-whitespace text"],
      [
        "a message of a blank text, beside one of the same turn that can be read",
        [ask, said("user", text(" ")), said("assistant", text("So."))],
        "must contain non-whitespace text"
      ],
      ["an empty message", [{ role: "user", content: "" }], "text content blocks must be non-empty"]
    ] as const
  ) {
    it.live(`refuses ${what}, as the API says it`, () =>
      Effect.gen(function*() {
        const { url } = yield* simulate()
        const response = yield* Effect.promise(() => post(url, { body: { ...body, messages } }))
        assert.strictEqual(response.status, 400)
        const { error } = yield* Effect.promise(() => response.json())
        assert.strictEqual(error.type, "invalid_request_error")
        assert.include(error.message, refusal)
      }))
  }

  it.live("takes turns of many messages, instructions between them, and blocks that it does not know", () =>
    Effect.gen(function*() {
      const { url } = yield* simulate()
      const messages = [
        ask,
        said("user", text("And")),
        said("assistant", text("Well."), { type: "hologram" }, search, found, text("", { citations: [{}] })),
        call("a"),
        call("b"),
        { role: "system", content: "Be brief." },
        result("b"),
        said("user", { type: "tool_result", tool_use_id: "a" }, text("So?")),
        said(
          "assistant",
          { type: "mcp_tool_result", tool_use_id: "elsewhere" },
          { ...search, id: "s2" },
          ...call("c").content
        ),
        result("c"),
        // What a tool was called for in the midst of ends in a later turn.
        said("assistant", { ...search, id: "s4" }, ...call("d").content),
        result("d"),
        said("assistant", { ...found, tool_use_id: "s4" }, text("\n\n"), text("So.")),
        ask,
        // It goes on where it was.
        said("assistant", { ...search, id: "s3" })
      ]
      const response = yield* Effect.promise(() => post(url, { body: { ...body, messages } }))
      assert.strictEqual(response.status, 200)
    }))

  it.live("lists models, a page at a time, and knows no others where they are given", () =>
    Effect.gen(function*() {
      const { script, url } = yield* ClaudeSimulator.make({
        models: ["claude-a", { id: "claude-b", max_tokens: 7 }, "claude-c"]
      })
      const client = clientOf(url)
      const ids = yield* Effect.promise(async () => {
        const ids: Array<string> = []
        for await (const model of client.models.list({ limit: 2 })) ids.push(model.id)
        return ids
      })
      assert.deepStrictEqual(ids, ["claude-a", "claude-b", "claude-c"])
      assert.strictEqual((yield* Effect.promise(() => client.models.retrieve("claude-b"))).max_tokens, 7)
      const unknown = yield* Effect.promise(() => client.models.retrieve("claude-d").catch((error) => error))
      assert.strictEqual(unknown.status, 404)
      assert.strictEqual((yield* thrown(url)).status, 404)
      yield* script([Answer.error(500)], "models")
      const scripted = yield* Effect.promise(() => client.models.retrieve("claude-b").catch((error) => error))
      assert.strictEqual(scripted.status, 500)
    }))
})

describe("scripts", () => {
  it.live("asks a function, waits for its effect, and answers otherwise at the end of a list", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const simulator = yield* ClaudeSimulator.make({
        answers: (request, index) =>
          Effect.as(Deferred.await(gate), Answer.text(`${index}: ${request.body.model} in ${request.path}`))
      })
      const asked = yield* Effect.forkChild(Effect.promise(() => clientOf(simulator.url).messages.create(body)))
      yield* simulator.logWhen((log) => log.inFlight === 1)
      yield* Deferred.succeed(gate, undefined)
      assert.deepInclude((yield* Fiber.join(asked)).content[0], { text: "0: claude-sonnet-5-5 in /v1/messages" })

      yield* simulator.script([Answer.error(500)])
      assert.strictEqual((yield* thrown(simulator.url)).status, 500)
      const otherwise = yield* Effect.promise(() => clientOf(simulator.url).messages.create(body))
      assert.deepInclude(otherwise.content[0], { text: "Hello! How can I help you today?" })
    }))

  it.live("interrupts an answer's effect when the client leaves, and says when a script fails", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const { logWhen, script, url } = yield* ClaudeSimulator.make({
        answers: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      })
      const call = abortable(url)
      yield* logWhen((log) => log.inFlight === 1)
      call.abort()
      yield* Deferred.await(interrupted)
      yield* script(() => {
        throw new Error("a slip of the pen")
      })
      assert.include((yield* thrown(url)).message, "a slip of the pen")
      yield* script(() => Effect.die(new Error("another slip")))
      assert.include((yield* thrown(url)).message, "another slip")
    }))
})

describe("limits", () => {
  it.live("enforces requests per window, tells when to return, and lets pass who waited", () =>
    Effect.gen(function*() {
      const { log, url } = yield* ClaudeSimulator.make({ rateLimits: { requests: 2, window: "400 millis" } })
      const first = yield* Effect.promise(() => post(url))
      assert.strictEqual(first.headers.get("anthropic-ratelimit-requests-limit"), "2")
      assert.strictEqual(first.headers.get("anthropic-ratelimit-requests-remaining"), "1")
      assert.isFalse(Number.isNaN(Date.parse(first.headers.get("anthropic-ratelimit-requests-reset") ?? "")))
      yield* Effect.promise(() => post(url))
      const refused = yield* Effect.promise(() => post(url))
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers.get("retry-after"), "1")
      const wait = Number(refused.headers.get("retry-after-ms"))
      assert.isAbove(wait, 0)
      yield* Effect.sleep(wait + 1)
      assert.strictEqual((yield* Effect.promise(() => post(url))).status, 200)
      assert.strictEqual((yield* log).maxInFlight, 1)
    }))

  it.live("counts input by the size of the request, and output by what was produced", () =>
    Effect.gen(function*() {
      const { setRateLimits, url } = yield* ClaudeSimulator.make({
        rateLimits: { inputTokens: 500, window: "1 hour" },
        otherwise: Answer.text("x", { usage: { output_tokens: 60 } })
      })
      const long = { ...body, messages: [{ role: "user", content: "x".repeat(1600) }] }
      assert.strictEqual((yield* Effect.promise(() => post(url, { body: long }))).status, 200)
      const refused = yield* Effect.promise(() => post(url, { body: long }))
      assert.strictEqual(refused.status, 429)
      assert.isAbove(Number(refused.headers.get("retry-after")), 60)
      assert.match(refused.headers.get("anthropic-ratelimit-input-tokens-reset") ?? "", /T\d\d:\d\d:\d\dZ$/)
      assert.strictEqual((yield* Effect.promise(() => post(url))).status, 200)

      yield* setRateLimits({ outputTokens: 100, tokens: 100_000, window: "1 hour" })
      const remaining = yield* Effect.forEach([1, 2, 3], () =>
        Effect.promise(async () => {
          const response = await post(url)
          await response.text()
          return [response.status, response.headers.get("anthropic-ratelimit-output-tokens-remaining")]
        }))
      assert.deepStrictEqual(remaining, [[200, "100"], [200, "40"], [429, "0"]])

      yield* setRateLimits({ outputTokens: 150, reserveMaxTokens: true, window: "1 hour" })
      const [one, two] = yield* Effect.promise(() => Promise.all([post(url), post(url)]))
      assert.deepStrictEqual([one.status, two.status].toSorted(), [200, 429])
      yield* setRateLimits(undefined)
      assert.isFalse((yield* Effect.promise(() => post(url))).headers.has("anthropic-ratelimit-output-tokens-limit"))
    }))

  it.live("answers 529 past its capacity, which may change while it runs", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { log, logWhen, setCapacity, url } = yield* ClaudeSimulator.make({
        capacity: 2,
        answers: () => Effect.as(Deferred.await(gate), Answer.text("done"))
      })
      const ask = Effect.promise(async () => (await post(url)).status)
      const held = yield* Effect.forkChild(Effect.all([ask, ask], { concurrency: 2 }))
      yield* logWhen((log) => log.inFlight === 2)
      assert.strictEqual(yield* ask, 529)
      yield* setCapacity(3)
      const third = yield* Effect.forkChild(ask)
      yield* logWhen((log) => log.inFlight === 3)
      assert.strictEqual(yield* ask, 529)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual([...(yield* Fiber.join(held)), yield* Fiber.join(third)], [200, 200, 200])
      const { inFlight, maxInFlight } = yield* logWhen((log) => log.inFlight === 0)
      assert.deepStrictEqual([inFlight, maxInFlight, (yield* log).requests], [0, 3, 5])
    }))
})

describe("a server whose capacity moves", () => {
  it.live("takes longer before the first content as its last quarter of places fills, and no longer after it", () =>
    Effect.gen(function*() {
      const { logWhen, setCapacity, url } = yield* ClaudeSimulator.make({
        capacity: { limit: 4, slowdown: 8 },
        answers: () => Answer.text("done", { firstContent: "30 millis", delay: "30 millis" })
      })
      /** How long the last of so many takes to its first content, with the others held in flight. */
      const time = (calls: number) =>
        Effect.gen(function*() {
          const before = Array.from({ length: calls - 1 }, () => post(url, { stream: true }))
          yield* logWhen((log) => log.inFlight === calls - 1)
          const start = performance.now()
          yield* Effect.promise(async () => {
            await (await post(url, { stream: true })).text()
            await Promise.all(before.map(async (response) => (await response).text()))
          })
          yield* logWhen((log) => log.inFlight === 0)
          return performance.now() - start
        })
      yield* time(1)
      // Timers fire late, never early: the lower bound holds on any machine, and the upper ones are the slow case itself.
      const [free, busy] = [yield* time(3), yield* time(4)]
      assert.isAtLeast(busy, 8 * 60 - 4)
      assert.isBelow(free, busy)
      yield* setCapacity({ limit: 8, slowdown: 8 })
      assert.isBelow(yield* time(4), busy)
      yield* setCapacity(4)
      assert.isBelow(yield* time(4), busy)
    }))

  it.live("answers 529 past a limit that slows down", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { logWhen, setCapacity, url } = yield* ClaudeSimulator.make({
        capacity: { limit: 1, slowdown: 2 },
        answers: () => Effect.as(Deferred.await(gate), Answer.text("done"))
      })
      const ask = Effect.promise(async () => (await post(url)).status)
      const held = yield* Effect.forkChild(ask)
      yield* logWhen((log) => log.inFlight === 1)
      assert.strictEqual(yield* ask, 529)
      yield* setCapacity({ limit: 2 })
      const second = yield* Effect.forkChild(ask)
      yield* logWhen((log) => log.inFlight === 2)
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual([yield* Fiber.join(held), yield* Fiber.join(second)], [200, 200])
    }))

  it.live("refuses capacities that make no sense", () =>
    Effect.gen(function*() {
      for (const capacity of [-1, NaN, { limit: 4, slowdown: 0.5 }, { limit: NaN }, { limit: 4, slowdown: Infinity }]) {
        const exit = yield* Effect.exit(ClaudeSimulator.make({ capacity }))
        assert.match(String(exit), /RangeError.*capacity/)
      }
    }))
})

describe("an outage", () => {
  it.live("cuts what is open, resets what comes, is counted apart, and ends when told", () =>
    Effect.gen(function*() {
      const { log, logWhen, setOutage, url } = yield* simulate(Answer.stall("afterHeaders"), Answer.text("scripted"))
      const cut = yield* Effect.forkChild(Effect.promise(() => observe(url)))
      yield* logWhen((log) => log.inFlight === 1)
      yield* setOutage(true)
      assert.strictEqual((yield* Fiber.join(cut)).end, "broken")
      assert.strictEqual((yield* Effect.promise(() => observe(url))).response, undefined)
      const client = clientOf(url).withOptions({ maxRetries: 1 })
      yield* Effect.promise(() => client.messages.create(body).catch(() => {}))
      yield* Effect.promise(() => client.models.list().catch(() => {}))
      const { duringOutage, entries } = yield* logWhen((log) => log.entries.every(({ outcome }) => outcome === "cut"))
      assert.deepStrictEqual(duringOutage, { requests: 5, retries: 2 })
      assert.deepStrictEqual(new Set(entries.slice(1).map(({ status }) => status)), new Set([undefined]))
      yield* setOutage(false)
      assert.include((yield* Effect.promise(() => observe(url))).text, "scripted")
      assert.deepInclude(yield* log, { requests: 7, duringOutage: { requests: 5, retries: 2 } })
    }))

  it.live("answers every endpoint with a status instead, without the usual latency", () =>
    Effect.gen(function*() {
      const { log, reset, setOutage, url } = yield* ClaudeSimulator.make({
        latency: "1 minute",
        rateLimits: { requests: 1 }
      })
      for (const status of [500, 503, 529]) {
        yield* setOutage(status)
        assert.strictEqual((yield* thrown(url)).status, status)
        const models = yield* Effect.promise(() => clientOf(url).models.list().catch((error) => error))
        assert.strictEqual(models.status, status)
      }
      assert.deepStrictEqual((yield* log).duringOutage, { requests: 6, retries: 0 })
      assert.match(String(yield* Effect.exit(setOutage(200))), /RangeError/)
      yield* reset
      assert.deepStrictEqual((yield* log).duringOutage, { requests: 0, retries: 0 })
    }))
})

describe("rate limit headers", () => {
  it.live("come with answers, scripted errors and 429s, with resets to the millisecond in a short window", () =>
    Effect.gen(function*() {
      const limits = { requests: 2, inputTokens: 100_000, outputTokens: 100_000, tokens: 100_000 }
      const { script, setRateLimits, url } = yield* ClaudeSimulator.make({
        answers: [Answer.text("a"), Answer.error(500), Answer.text("b")],
        rateLimits: { ...limits, window: "30 seconds" }
      })
      const seen = yield* Effect.forEach([200, 500, 429], (status) =>
        Effect.promise(async () => {
          const response = await post(url)
          await response.text()
          assert.strictEqual(response.status, status)
          for (const kind of ["requests", "input-tokens", "output-tokens", "tokens"]) {
            const of = (what: string) => response.headers.get(`anthropic-ratelimit-${kind}-${what}`) ?? ""
            assert.strictEqual(of("limit"), kind === "requests" ? "2" : "100000")
            assert.match(of("remaining"), /^\d+$/)
            assert.match(of("reset"), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
            assert.isAtLeast(Date.parse(of("reset")), Date.now() - 10_000)
          }
          return response.headers
        }))
      assert.deepStrictEqual(seen.map((headers) => headers.get("anthropic-ratelimit-requests-remaining")), [
        "1",
        "0",
        "0"
      ])
      // The bucket is full a window after it was empty; one request fits when half of that has passed.
      const wait = Number(seen[2]!.get("retry-after-ms"))
      assert.isTrue(wait > 10_000 && wait <= 15_000)
      assert.strictEqual(seen[2]!.get("retry-after"), String(Math.ceil(wait / 1000)))

      yield* setRateLimits({ requests: 7, window: "1 minute" })
      yield* script([Answer.text("c")])
      const { headers } = yield* Effect.promise(() => post(url))
      assert.strictEqual(headers.get("anthropic-ratelimit-requests-limit"), "7")
      assert.isFalse(headers.has("anthropic-ratelimit-tokens-limit"))
    }))
})

describe("the log", () => {
  it.live("holds what was sent, without the credential, and when each thing happened", () =>
    Effect.gen(function*() {
      const { log, logWhen, reset, url } = yield* simulate(Answer.text("a b", { pace: "5 millis", delay: "5 millis" }))
      yield* Effect.promise(() =>
        clientOf(url).messages.create({ ...body, stream: true }).asResponse().then((r) => r.text())
      )
      const [entry] = (yield* logWhen((log) => log.entries[0]?.outcome === "complete")).entries
      assert.isDefined(entry)
      assert.deepStrictEqual(entry.body, { ...body, stream: true })
      assert.deepInclude(entry, { index: 0, method: "POST", path: "/v1/messages", status: 200, attempt: 1 })
      assert.strictEqual(entry.headers.authorization, "<redacted>")
      assert.notInclude(JSON.stringify(yield* log), "sk-secret")
      const times = [entry.arrivedAt, entry.firstByteAt ?? NaN, entry.finishedAt ?? NaN, entry.closedAt ?? NaN]
      assert.deepStrictEqual(times, times.toSorted((a, b) => a - b))
      assert.isAbove(entry.bytesSent, 0)
      yield* reset
      assert.deepInclude(yield* log, { requests: 0, maxInFlight: 0, entries: [] })
    }))

  it.live("knows each retry by what the client says of it, and forgets the oldest past its limit", () =>
    Effect.gen(function*() {
      const { log, url } = yield* ClaudeSimulator.make({
        answers: [Answer.error(500, { retryAfter: 1, retryAfterForm: "ms" })],
        logLimit: 2
      })
      const client = clientOf(url).withOptions({ maxRetries: 1 })
      yield* Effect.promise(() => client.messages.create(body))
      assert.deepStrictEqual((yield* log).entries.map((entry) => entry.attempt), [1, 2])
      yield* Effect.promise(() => client.messages.create(body))
      assert.deepStrictEqual((yield* log).entries.map((entry) => entry.index), [1, 2])
      assert.strictEqual((yield* log).requests, 3)
    }))

  it.live("notes a client that leaves in mid-stream, over TLS too", () =>
    Effect.gen(function*() {
      const answer = Answer.stall({ afterEvents: 3 })
      const plain = yield* simulate(answer)
      const call = abortable(plain.url)
      yield* Effect.promise(() => call.until((text) => text.includes("message_start")))
      call.abort()
      const { earlyCloses } = yield* plain.logWhen((log) => log.entries[0]?.outcome === "clientClosed")
      assert.strictEqual(earlyCloses, 1)

      const secure = yield* ClaudeSimulator.make({ answers: [answer], tls: { key, cert } })
      yield* Effect.callback<void>((resume) => {
        const request = httpsRequest(`${secure.url}/v1/messages`, {
          method: "POST",
          ca: cert,
          headers: { "x-api-key": "sk" }
        }, () => {
          request.destroy()
          resume(Effect.void)
        })
        request.end(JSON.stringify({ ...body, stream: true }))
      })
      yield* secure.logWhen((log) => log.earlyCloses === 1 && log.sockets.open === 0)
    }))
})

describe("life", () => {
  it.live("speaks https with a given certificate, and resets there too", () =>
    Effect.gen(function*() {
      const { url } = yield* ClaudeSimulator.make({
        answers: [Answer.text("safe"), Answer.reset("afterHeaders")],
        tls: { key, cert }
      })
      const get = () =>
        new Promise<string>((resolve, reject) => {
          const headers = { "x-api-key": "sk" }
          httpsRequest(`${url}/v1/messages`, { method: "POST", ca: cert, agent: false, headers }, (response) => {
            readText(response).then(resolve, reject)
          }).on("error", reject).end(JSON.stringify(body))
        })
      assert.match(url, /^https:/)
      assert.include(yield* Effect.promise(get), "safe")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(get))))
    }))

  it.live("frees its port and every socket when its scope closes, also those in mid-answer", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const simulator = yield* ClaudeSimulator.make({
        answers: (_, index) => index === 0 ? Answer.pings("1 millis") : Answer.stall("beforeHeaders")
      }).pipe(Scope.provide(scope))
      const open = yield* Effect.forEach([0, 1], () => Effect.forkChild(Effect.promise(() => observe(simulator.url))))
      yield* simulator.logWhen((log) => log.inFlight === 2)
      yield* Scope.close(scope, Exit.void)
      for (const fiber of open) assert.strictEqual((yield* Fiber.join(fiber)).end, "broken")
      const log = yield* simulator.logWhen((log) => log.sockets.open === 0)
      assert.deepStrictEqual(log.entries.map((entry) => entry.outcome), ["cut", "cut"])
      const refused = yield* Effect.callback<string>((resume) => {
        connect(Number(new URL(simulator.url).port), "127.0.0.1")
          .on("connect", () => resume(Effect.succeed("connected")))
          .on("error", (error) => resume(Effect.succeed(error.message)))
      })
      assert.include(refused, "ECONNREFUSED")
    }))

  it.live("drops every connection when told, and goes on", () =>
    Effect.gen(function*() {
      const { dropConnections, logWhen, url } = yield* simulate(Answer.stall("afterHeaders"))
      const cut = yield* Effect.forkChild(Effect.promise(() => observe(url)))
      yield* logWhen((log) => log.inFlight === 1)
      yield* dropConnections
      assert.strictEqual((yield* Fiber.join(cut)).end, "broken")
      assert.strictEqual((yield* Effect.promise(() => observe(url))).end, "clean")
    }))

  it.live("holds no more than the kernel buffers for a client that does not read", () =>
    Effect.gen(function*() {
      const { log, logWhen, url } = yield* simulate(Answer.raw(Array.from({ length: 300 }, () => "x".repeat(100_000))))
      const socket = connect(Number(new URL(url).port), "127.0.0.1")
      const sent = JSON.stringify({ ...body, stream: true })
      socket.write(
        `POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: sk\r\ncontent-length: ${sent.length}\r\n\r\n${sent}`
      )
      socket.pause()
      yield* logWhen((log) => (log.entries[0]?.bytesSent ?? 0) > 0)
      yield* Effect.sleep("50 millis")
      assert.isBelow((yield* log).entries[0]?.bytesSent ?? Infinity, 15_000_000)
      socket.destroy()
      yield* logWhen((log) => log.earlyCloses === 1)
    }))

  it.live("answers two thousand calls at once", () =>
    Effect.gen(function*() {
      const { log, logWhen, url } = yield* ClaudeSimulator.make({ otherwise: Answer.text("word ".repeat(20)) })
      const all = yield* Effect.forkChild(
        Effect.promise(() => Promise.all(Array.from({ length: 2000 }, () => observe(url))))
      )
      const ends = yield* Fiber.join(all)
      assert.isTrue(ends.every(({ text }) => text.includes("message_stop")))
      yield* logWhen((log) => log.inFlight === 0)
      const { entries } = yield* log
      assert.strictEqual(new Set(entries.map((entry) => entry.requestId)).size, 2000)
    }))
})

describe("Claude over the simulator", () => {
  it.live("is one layer over another, with options of its own", () =>
    Effect.gen(function*() {
      const { log } = yield* ClaudeSimulator.ClaudeSimulator
      const values = yield* Claude.object(Schema.Array(Schema.DateTimeUtcFromString), { prompt: "When?" })
      assert.deepStrictEqual(values.map(DateTime.formatIso), ["2026-11-21T00:00:00.000Z"])
      assert.deepInclude((yield* log).entries[0]?.body, { model: "claude-haiku-5-5" })
    }).pipe(
      Effect.provide(
        ClaudeSimulator.layerClaude({ defaults: { model: "claude-haiku-5-5" } }).pipe(
          Layer.provideMerge(ClaudeSimulator.layer({
            answers: [
              Answer.object(Schema.Array(Schema.DateTimeUtcFromString), [DateTime.makeUnsafe("2026-11-21T00:00:00Z")])
            ]
          }))
        )
      )
    ))

  it("says which object cannot be answered", () => {
    assert.throws(() => Answer.object(Schema.Array(Schema.Never), []), /Answer.object: the schema cannot be sent/)
  })
})

/** Without what the SDK adds beside the message. */
const plain = (message: Anthropic.Message): Anthropic.Message => {
  const { parsed_output: _, ...rest } = JSON.parse(JSON.stringify(message))
  return rest
}

const tryParse = (text: string): Exit.Exit<unknown, unknown> => {
  try {
    return Exit.succeed(JSON.parse(text))
  } catch (error) {
    return Exit.fail(error)
  }
}

const thrown = (url: string) =>
  Effect.flip(Effect.tryPromise({
    try: () => clientOf(url).messages.create(body),
    catch: (error) => {
      if (error instanceof APIError) return error
      throw error
    }
  }))
