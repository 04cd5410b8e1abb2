import type { MessageCreateParamsNonStreaming } from "@anthropic-ai/sdk/resources/messages/messages"
import { assert, describe, it } from "@effect/vitest"
import { ClaudeFatalError, isClaudeError } from "../../src/ClaudeError.ts"
import * as Model from "../../src/request/Model.ts"
import * as Request from "../../src/request/Request.ts"

const now = Date.parse("2026-11-21T12:00:00Z")
const model = "claude-opus-5-5"
const SECRET = "the patient's name is Ada"

const deepFreeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(deepFreeze)
    Object.freeze(value)
  }
  return value
}

/** What a caller without types, or with others' JSON, may hand in. */
const untyped = (request: object): Request.MessageRequest => request as Request.MessageRequest

const resolved = (
  request: Request.MessageRequest,
  defaults: Request.Defaults = { model },
  at = now
): Request.Params => {
  const params = Request.resolve(deepFreeze(request), deepFreeze(defaults), at)
  if ("_tag" in params) return assert.fail(params.message)
  return params
}

const rejected = (request: object, defaults: Request.Defaults = { model }, at = now): ClaudeFatalError => {
  const error = Request.resolve(deepFreeze(untyped(request)), deepFreeze(defaults), at)
  return error instanceof ClaudeFatalError ? error : assert.fail("the request was accepted")
}

describe("a request that is accepted", () => {
  it("takes its model and max_tokens from the defaults, and the library's max_tokens last", () => {
    const messages = [{ role: "user" as const, content: "hi" }]
    assert.deepStrictEqual(resolved({ messages }), { model, max_tokens: 4096, messages })
    assert.deepStrictEqual(resolved({ messages }, { model, max_tokens: 99 }), { model, max_tokens: 99, messages })
    assert.deepStrictEqual(
      resolved({ messages, model: "claude-haiku-5-5", max_tokens: 7 }, { model, max_tokens: 99 }),
      { model: "claude-haiku-5-5", max_tokens: 7, messages }
    )
    assert.deepStrictEqual(resolved({ messages, model: undefined, max_tokens: undefined }), {
      model,
      max_tokens: 4096,
      messages
    })
    assert.strictEqual(Request.DEFAULT_MAX_TOKENS, 4096)
  })

  it("turns a prompt into one user message", () => {
    const params = resolved({ prompt: "hi" })
    assert.deepStrictEqual(params.messages, [{ role: "user", content: "hi" }])
    assert.isFalse("prompt" in params)
  })

  it.each(["user", "assistant", "system"] as const)("may start with a message of the role %s", (role) => {
    assert.strictEqual(resolved({ messages: [{ role, content: "hi" }] }).messages[0]!.role, role)
  })

  it("keeps every other parameter, also those that nobody has heard of, and leaves out what is undefined", () => {
    const extra = {
      system: "be brief",
      tools: [],
      thinking: { type: "adaptive" },
      output_config: { effort: "low" },
      cache_control: null,
      a_parameter_of_2027: { deep: [1] }
    }
    const params = resolved(
      untyped({ prompt: "hi", ...extra, metadata: undefined, temperature: undefined, stream: undefined })
    )
    assert.deepStrictEqual<unknown>(params, {
      model,
      max_tokens: 4096,
      messages: [{ role: "user", content: "hi" }],
      ...extra
    })
  })

  it("may name a model that the library does not know", () => {
    assert.strictEqual(resolved({ prompt: "hi", model: "claude-next-9" }).model, "claude-next-9")
  })

  it("may ask for zero tokens, which fills the prompt cache", () => {
    assert.strictEqual(resolved({ prompt: "hi", max_tokens: 0 }).max_tokens, 0)
  })

  it("may think for less than max_tokens", () => {
    for (
      const thinking of [{ type: "enabled", budget_tokens: 2047 }, { type: "disabled" }, { type: "adaptive" }] as const
    ) {
      assert.deepStrictEqual(resolved({ prompt: "hi", max_tokens: 2048, thinking }).thinking, thinking)
    }
  })

  it("fits what the SDK's own client takes", () => {
    const params: MessageCreateParamsNonStreaming = resolved({ prompt: "hi" })
    assert.strictEqual(params.model, model)
  })
})

interface Case {
  readonly name: string
  readonly request: object
  readonly defaults?: Request.Defaults
  readonly field: string
  readonly value: string
  readonly expected: RegExp
  readonly todo: RegExp
}

const user = { role: "user", content: SECRET }

const cases: ReadonlyArray<Case> = [
  {
    name: "neither prompt nor messages",
    request: {},
    field: "messages",
    value: "missing, and so is prompt",
    expected: /one of the two/,
    todo: /Set prompt/
  },
  {
    name: "both prompt and messages",
    request: { prompt: SECRET, messages: [user] },
    field: "prompt",
    value: "set beside messages",
    expected: /one of the two/,
    todo: /Remove prompt/
  },
  {
    name: "an empty prompt",
    request: { prompt: "" },
    field: "prompt",
    value: "an empty text",
    expected: /not empty/,
    todo: /Set prompt/
  },
  {
    name: "a prompt that is no text",
    request: { prompt: { text: SECRET } },
    field: "prompt",
    value: "an object",
    expected: /a text/,
    todo: /Set prompt/
  },
  {
    name: "an empty message list",
    request: { messages: [] },
    field: "messages",
    value: "an empty list",
    expected: /at least one message/,
    todo: /Add a user message/
  },
  {
    name: "messages that are no list",
    request: { messages: user },
    field: "messages",
    value: "an object",
    expected: /a list/,
    todo: /Add a user message/
  },
  {
    name: "a message that is a text",
    request: { messages: [SECRET] },
    field: "messages[0]",
    value: "a string",
    expected: /role and content/,
    todo: /Write it as/
  },
  {
    name: "a message that is null",
    request: { messages: [null] },
    field: "messages[0]",
    value: "null",
    expected: /role and content/,
    todo: /Write it as/
  },
  {
    name: "an unknown role",
    request: { messages: [{ role: "tool", content: SECRET }] },
    field: "messages[0].role",
    value: "\"tool\"",
    expected: /"user", "assistant" or "system"/,
    todo: /Write it as/
  },
  {
    name: "a missing role",
    request: { messages: [{ content: SECRET }] },
    field: "messages[0].role",
    value: "missing",
    expected: /"user"/,
    todo: /Write it as/
  },
  {
    name: "missing content",
    request: { messages: [{ role: "user" }] },
    field: "messages[0].content",
    value: "missing",
    expected: /not empty/,
    todo: /Write it as/
  },
  {
    name: "empty content",
    request: { messages: [{ role: "user", content: "" }] },
    field: "messages[0].content",
    value: "an empty text",
    expected: /not empty/,
    todo: /Write it as/
  },
  {
    name: "no content blocks",
    request: { messages: [{ role: "user", content: [] }] },
    field: "messages[0].content",
    value: "an empty list",
    expected: /not empty/,
    todo: /Write it as/
  },
  {
    name: "content that is an object",
    request: { messages: [{ role: "user", content: { type: "text", text: SECRET } }] },
    field: "messages[0].content",
    value: "an object",
    expected: /a list of blocks/,
    todo: /Write it as/
  },
  {
    name: "no model anywhere",
    request: { prompt: SECRET },
    defaults: {},
    field: "model",
    value: "missing",
    expected: /the id of a model/,
    todo: /on the request, in Claude\.layer\(\{ defaults: \{ model \} \}\), or as CLAUDE_MODEL/
  },
  {
    name: "an empty model",
    request: { prompt: SECRET, model: " " },
    field: "model",
    value: "\" \"",
    expected: /the id of a model/,
    todo: /Set it/
  },
  {
    name: "a model that is no text",
    request: { prompt: SECRET, model: 5 },
    field: "model",
    value: "5",
    expected: /the id of a model/,
    todo: /Set it/
  },
  ...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53].map((max_tokens): Case => ({
    name: `max_tokens of ${max_tokens}`,
    request: { prompt: SECRET, max_tokens },
    field: "max_tokens",
    value: String(max_tokens),
    expected: /a whole number/,
    todo: /Set it/
  })),
  {
    name: "max_tokens as a text",
    request: { prompt: SECRET, max_tokens: "1024" },
    field: "max_tokens",
    value: "\"1024\"",
    expected: /a whole number/,
    todo: /Set it/
  },
  {
    name: "default max_tokens that are no number",
    request: { prompt: SECRET },
    defaults: { model, max_tokens: Number.NaN },
    field: "max_tokens",
    value: "NaN",
    expected: /a whole number/,
    todo: /Set it/
  },
  ...["temperature", "top_p", "top_k"].map((field): Case => ({
    name: field,
    request: { prompt: SECRET, [field]: 0 },
    field,
    value: "0",
    expected: /version 2026-10-21 of the API dropped/,
    todo: /Remove it.*output_config\.effort/
  })),
  ...[true, false].map((stream): Case => ({
    name: `stream: ${stream}`,
    request: { prompt: SECRET, stream },
    field: "stream",
    value: String(stream),
    expected: /the call decides/,
    todo: /Remove it.*Claude\.stream/
  })),
  {
    name: "a thinking budget of all of max_tokens",
    request: { prompt: SECRET, max_tokens: 2048, thinking: { type: "enabled", budget_tokens: 2048 } },
    field: "thinking.budget_tokens",
    value: "2048",
    expected: /less than max_tokens, which is 2048\./,
    todo: /raise max_tokens above 2048/
  },
  {
    name: "a thinking budget above the default max_tokens",
    request: { prompt: SECRET, thinking: { type: "enabled", budget_tokens: 8000 } },
    field: "thinking.budget_tokens",
    value: "8000",
    expected: /less than max_tokens, which is 4096 \(the default\)/,
    todo: /raise max_tokens above 8000/
  }
]

describe("a request that is refused", () => {
  it.each(cases)(
    "names value, expectation and remedy for $name",
    ({ defaults, expected, field, request, todo, value }) => {
      const error = rejected(request, defaults)
      assert.strictEqual(error._tag, "ClaudeFatalError")
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.deepInclude(error.reason, { field })
      assert.strictEqual(error.type, "invalid_request_error")
      assert.isFalse(error.retryHere)
      assert.isFalse(error.mayFailOver)
      assert.strictEqual(error.attempts, 0)
      const parts = /^(.+?)(?:; expected|, but) (.+?\.) ([A-Z].+\.)$/.exec(error.message)
      assert.isNotNull(parts, error.message)
      assert.strictEqual(parts![1], `${field} is ${value}`)
      assert.match(parts![2]!, expected)
      assert.match(parts![3]!, todo)
      assert.notInclude(error.message, SECRET)
      assert.isTrue(isClaudeError(error))
    }
  )

  it("shows a long value only in part", () => {
    const error = rejected({ prompt: "hi", max_tokens: "9".repeat(10_000) })
    assert.isBelow(error.message.length, 300)
  })

  it.each(["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"])("names date and successor once %s has retired", (id) => {
    const request: Request.MessageRequest = { prompt: "hi", model: id }
    const end = Date.parse("2026-12-01T00:00:00Z")
    assert.strictEqual(resolved(request, {}, end - 1).model, id)
    const error = rejected(request, {}, end)
    assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "model" })
    assert.strictEqual(
      error.message,
      `model is "${id}"; expected a model in service: this one was retired on 2026-11-30. Use "claude-sonnet-5-5" instead.`
    )
    assert.strictEqual(rejected({ prompt: "hi" }, { model: id }, end).message, error.message)
  })

  it("leaves the retirement of a partner's model to the partner", () => {
    for (const id of ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5@20250929"]) {
      assert.strictEqual(resolved({ prompt: "hi", model: id }, {}, Date.parse("2030-01-01")).model, id)
    }
  })

  it("names the output limit of a model where it is known", () => {
    const lookup = (id: string): Model.KnownModel | undefined =>
      id === model ? { label: id, maxOutput: 1000 } : undefined
    const request: Request.MessageRequest = { prompt: "hi", max_tokens: 1001 }
    const error = Request.resolve(request, { model }, now, lookup)
    assert(error instanceof ClaudeFatalError)
    assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "max_tokens" })
    assert.strictEqual(
      error.message,
      "max_tokens is 1001; expected at most 1000, the output limit of claude-opus-5-5. " +
        "Set max_tokens to 1000 or less, or choose a model with a higher limit."
    )
    assert.isFalse("_tag" in Request.resolve({ prompt: "hi", max_tokens: 1000 }, { model }, now, lookup))
    assert.isFalse("_tag" in Request.resolve(request, { model: "claude-other" }, now, lookup))
  })
})

describe("resolveCount", () => {
  const count = (request: Request.CountTokensRequest, defaults: Request.Defaults = { model }, at = now) =>
    Request.resolveCount(deepFreeze(request), deepFreeze(defaults), at)

  it("counts what a message would send, without what only a message takes", () => {
    const request: Request.MessageRequest = {
      prompt: "hi",
      system: "be brief",
      max_tokens: 10,
      stop_sequences: ["x"],
      metadata: { user_id: "u" },
      service_tier: "auto",
      tool_choice: { type: "auto" }
    }
    assert.deepStrictEqual<unknown>(count(request), {
      model,
      messages: [{ role: "user", content: "hi" }],
      system: "be brief",
      tool_choice: { type: "auto" }
    })
  })

  it("refuses what a message refuses", () => {
    for (
      const [request, field] of [
        [{ messages: [] }, "messages"],
        [{ prompt: "hi", temperature: 1 }, "temperature"],
        [{ prompt: "hi", stream: true }, "stream"],
        [{ prompt: "hi", model: "" }, "model"]
      ] as const
    ) {
      const error = count(untyped(request))
      assert(error instanceof ClaudeFatalError)
      assert.deepInclude(error.reason, { _tag: "InvalidRequest", field })
    }
    const retired = count({ prompt: "hi", model: "claude-sonnet-4-5" }, {}, Date.parse("2027-01-01"))
    assert(retired instanceof ClaudeFatalError)
    assert.include(retired.message, "2026-11-30")
  })
})

describe("totalTimeout", () => {
  it.each([
    [undefined, 600_000],
    [0, 600_000],
    [4096, 600_000],
    [21_333, 600_000],
    [64_000, 1_800_000],
    [128_000, 3_600_000]
  ])("for max_tokens of %s is %i ms", (max_tokens, millis) => {
    assert.strictEqual(Request.totalTimeout(max_tokens), millis)
  })
})
