/**
 * An Effect Schema as structured output: what is asked of the API, how its answer is read, and how it is asked again.
 *
 * A model that has structured output is held to the schema by the API's own format; an older one is made to call a tool
 * whose input is the answer. What the API is told is the subset that it knows; the schema itself decides what is
 * accepted. A schema that cannot be told is refused, with its path, before anything is sent. The surprise: over the wire
 * what is absent is null, so where a schema tells the two apart, null is read as absent.
 */
import type { Message, Tool, ToolUseBlock, ToolUseBlockParam } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Model from "./Model.ts"
import type * as ObjectSchema from "./ObjectSchema.ts"
import type { MessageRequest } from "./Request.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What is known of the call that answered. */
interface Answered {
  readonly requestId: string | undefined
  readonly attempts: number
  readonly billed: ClaudeError.Usage | undefined
  readonly cached: boolean
}

/** A request for an object, and how its answer is read. @internal */
export interface Asked<A, RD> {
  readonly request: MessageRequest
  /** The name of the tool whose call is the answer, where it is not the text. */
  readonly tool: string | undefined
  /** What the answer is of, and what of it was asked for. */
  readonly schema: Schema.Constraint
  readonly pick: (answer: unknown) => unknown
  readonly decode: (message: Message) => Effect.Effect<A, Schema.SchemaError, RD>
}

/** How an answer is told from one that was cut. @internal */
export interface Reading {
  readonly textOf: (message: Message) => string
  /** Whether an answer was cut or refused: it would be again. */
  readonly isIncomplete: (stopReason: string | null) => boolean
}

// -----------------------------------------------------------------------------
// asking
// -----------------------------------------------------------------------------

const nothing = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }

/** Asks for an object, and once more for each `repair` when it does not fit. @internal */
export const ask = Effect.fnUntraced(function*<A, E, RD, RE, R>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest,
  options: Reading & {
    readonly message: (
      request: MessageRequest
    ) => Effect.Effect<Message & Answered, ClaudeError.ClaudeError, R>
    readonly repair: number
    readonly model: string | undefined
  }
): Effect.fn.Return<A, ClaudeError.ClaudeError, R | RD> {
  const asked = yield* prepare(schema, request, options)
  let next = asked.request
  let attempts = 0
  let usage: ClaudeError.Usage | undefined
  for (let times = 1;; times++) {
    const answer = yield* Effect.mapError(options.message(next), (error) =>
      Failure.enrich(error, {
        attempts: attempts + error.attempts,
        usage: error.usage === undefined ? usage : Failure.addUsage(usage, error.usage)
      }))
    attempts += answer.attempts
    // An answer from the cache was billed to somebody else.
    usage = Failure.addUsage(usage, answer.billed ?? (answer.cached ? nothing : answer.usage))
    const decoded = yield* Effect.result(read(asked, answer, options))
    if (decoded._tag === "Success") return decoded.success
    if (times > options.repair || options.isIncomplete(answer.stop_reason)) {
      return yield* mismatch(answer, decoded.failure, times, { attempts, usage, requestId: answer.requestId })
    }
    next = withIssue(next, callOf(answer, asked.tool) ?? options.textOf(answer), decoded.failure)
  }
})

/** The object that a message is, or what is wrong with it. @internal */
export const read = <A, RD>(
  { decode }: Asked<A, RD>,
  message: Message,
  { isIncomplete }: Reading
): Effect.Effect<A, string, RD> =>
  // What was cut or refused may happen to parse, and is not what was asked for all the same.
  Effect.matchEffect(decode(message), {
    onFailure: (error) => Effect.fail(error.message),
    onSuccess: (object) =>
      isIncomplete(message.stop_reason)
        ? Effect.fail(`It stopped early: ${message.stop_reason}.`)
        : Effect.succeed(object)
  })

/** @internal */
export const mismatch = (
  answer: Message,
  issue: string,
  times: number,
  details: {
    readonly attempts: number
    readonly usage: ClaudeError.Usage | undefined
    readonly requestId: string | undefined
  }
): ClaudeError.ClaudeFatalError =>
  Failure.fatal(
    new ClaudeError.SchemaMismatch({ stopReason: answer.stop_reason, issue }),
    `The answer does not fit the schema (stop_reason ${answer.stop_reason}, asked ${times} times). ` +
      (answer.stop_reason === "max_tokens"
        ? "It was cut at max_tokens: raise it."
        : "The reason's issue says where; make the schema or the prompt plainer."),
    { type: "schema_mismatch", ...details, partial: answer }
  )

// -----------------------------------------------------------------------------
// the request
// -----------------------------------------------------------------------------

/** The request for an object, or why there is none. @internal */
export const prepare = Effect.fnUntraced(function*<A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest,
  { model, textOf }: Pick<Reading, "textOf"> & { readonly model: string | undefined }
): Effect.fn.Return<Asked<A, RD>, ClaudeError.ClaudeFatalError> {
  if (!Schema.isSchema(schema)) {
    return yield* invalid("schema is no Effect Schema; the schema comes first, and then the request.")
  }
  // Loaded by those who use it.
  const { make } = yield* Effect.promise(() => import("./ObjectSchema.ts"))
  let sent = kept.get(schema)
  if (sent === undefined) kept.set(schema, sent = compile(schema, make))
  if (typeof sent === "string") {
    return yield* invalid(
      `The schema cannot be sent as structured output: ${sent}. ` +
        "Use structs, arrays, records, unions and primitives, without recursion."
    )
  }
  // It was made of this very schema.
  const { decode, decodeText, jsonSchema, pick, schema: whole } = sent as Sent<A, RD>
  if (Model.hasStructuredOutput(request.model ?? model ?? "")) {
    const output_config = { ...request.output_config, format: { type: "json_schema" as const, schema: jsonSchema } }
    return {
      request: { ...request, output_config },
      tool: undefined,
      schema: whole,
      pick,
      decode: (message) => decodeText(textOf(message))
    }
  }
  const tool = answerTool(schema, jsonSchema, request.tools ?? [])
  return {
    request: {
      ...request,
      tools: [...request.tools ?? [], tool],
      tool_choice: { type: "tool", name: tool.name, disable_parallel_tool_use: true }
    },
    tool: tool.name,
    schema: whole,
    pick,
    decode: (message) => decode(callOf(message, tool.name)?.input)
  }
})

interface Sent<A, RD> {
  readonly schema: Schema.Constraint
  readonly jsonSchema: ObjectSchema.ObjectSchema<A, RD, unknown>["jsonSchema"]
  readonly pick: (answer: unknown) => unknown
  readonly decode: (input: unknown) => Effect.Effect<A, Schema.SchemaError, RD>
  readonly decodeText: (text: string) => Effect.Effect<A, Schema.SchemaError, RD>
}

/** Schemas do not change, and a JSON Schema takes long to make. */
const kept = new WeakMap<object, Sent<unknown, unknown> | string>()

const compile = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  make: typeof ObjectSchema.make
): Sent<A, RD> | string => {
  const made = make(schema)
  if (made._tag === "Failure") return made.failure
  const { codec, jsonSchema } = made.success
  if (jsonSchema.type === "object") {
    return {
      schema,
      jsonSchema,
      pick: (answer) => answer,
      decode: Schema.decodeUnknownEffect(codec, strictly),
      decodeText: Schema.decodeUnknownEffect(Schema.fromJsonString(codec), strictly)
    }
  }
  // The API answers with an object, and calls have one as their input: all else is a property of it.
  const wrapped = compile(Schema.Struct({ answer: schema }), make)
  if (typeof wrapped === "string") return wrapped
  return {
    schema: wrapped.schema,
    jsonSchema: wrapped.jsonSchema,
    pick: (value) => (value as { readonly answer?: unknown }).answer,
    decode: (input) => Effect.map(wrapped.decode(input), ({ answer }) => answer as A),
    decodeText: (text) => Effect.map(wrapped.decodeText(text), ({ answer }) => answer as A)
  }
}

const strictly = { onExcessProperty: "error", errors: "all" } as const

const invalid = (message: string): ClaudeError.ClaudeFatalError =>
  Failure.fatal(new ClaudeError.InvalidRequest({ field: "schema" }), message, { type: "invalid_request_error" })

const answerTool = (
  schema: Schema.Constraint,
  jsonSchema: object,
  tools: ReadonlyArray<object>
): Tool => {
  const description = SchemaAST.resolveDescription(schema.ast)
  let name = "answer"
  while (tools.some((tool) => "name" in tool && tool.name === name)) name += "_"
  return {
    name,
    description: `${description === undefined ? "" : `${description} `}Answers: its input is the whole answer.`,
    // Only what is of an object comes here.
    input_schema: jsonSchema as Tool.InputSchema
  }
}

/** The call that is the answer. */
const callOf = (message: Message, tool: string | undefined): ToolUseBlock | undefined =>
  message.content.find((block): block is ToolUseBlock => block.type === "tool_use" && block.name === tool)

/** The request once more, with what came and what was wrong with it. */
const withIssue = (
  { messages, prompt, ...asked }: MessageRequest,
  came: ToolUseBlock | string,
  issue: string
): MessageRequest => {
  const what = `That does not fit the schema:\n${issue}\nAnswer again with the corrected`
  return {
    ...asked,
    messages: [
      ...(messages ?? [{ role: "user" as const, content: prompt }]),
      // The API takes no empty text.
      ...(came === ""
        ? []
        : [{ role: "assistant" as const, content: typeof came === "string" ? came : [toParam(came)] }]),
      {
        role: "user",
        content: typeof came === "string"
          ? `${what} JSON alone.`
          : [{ type: "tool_result", tool_use_id: came.id, is_error: true, content: `${what} input.` }]
      }
    ]
  }
}

/** A call as it goes back: what the API says beside it is for its reader. */
const toParam = ({ id, input, name, type }: ToolUseBlock): ToolUseBlockParam => ({ type, id, name, input })
