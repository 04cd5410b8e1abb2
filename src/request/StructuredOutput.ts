/**
 * An Effect Schema as structured output: what is asked of the API, how its answer is read, and how it is asked again.
 *
 * A model that has structured output is held to the schema by the API's own format. An older one is made to call a tool
 * whose input is the answer, and so is any where the schema has more unions than the format takes; one that thinks is
 * told to, since it cannot be made to. What the API is told is the subset that it knows; the schema itself decides what
 * is accepted. A schema that cannot be told is refused, with its path, before anything is sent. The surprise: over the
 * wire what is absent is null, so where a schema tells the two apart, null is read as absent.
 */
import type { Message, Tool, ToolChoice } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as JsonSubset from "./JsonSubset.ts"
import * as Model from "./Model.ts"
import * as ObjectAnswer from "./ObjectAnswer.ts"
import type * as ObjectSchema from "./ObjectSchema.ts"
import * as PerModel from "./PerModel.ts"
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
export interface Asked<A, RD> extends ObjectAnswer.Asked<A, RD> {
  readonly request: MessageRequest
  /** Whether a model is made to call it. */
  readonly isCalledBy: (model: string) => boolean
  /** What comes over the wire, and what of that was asked for. */
  readonly whole: Schema.Constraint
  readonly pick: (whole: unknown) => unknown
}

// -----------------------------------------------------------------------------
// asking
// -----------------------------------------------------------------------------

const nothing = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }

/** Asks for an object, and once more for each `repair` when it does not fit. @internal */
export const ask = Effect.fnUntraced(function*<A, E, RD, RE, R>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest,
  options: ObjectAnswer.Reading & {
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
    const decoded = yield* Effect.result(ObjectAnswer.read(asked, answer, options))
    if (decoded._tag === "Success") return decoded.success
    if (times > options.repair || ObjectAnswer.isFinal(asked, answer, options)) {
      const details = { attempts, usage, requestId: answer.requestId }
      return yield* ObjectAnswer.mismatch(asked, answer, decoded.failure, times, details)
    }
    const call = ObjectAnswer.callOf(answer, asked.tool)
    const came = call === undefined ? options.textOf(answer) : JSON.stringify(call.input)
    next = withIssue(next, came, decoded.failure)
  }
})

// -----------------------------------------------------------------------------
// the request
// -----------------------------------------------------------------------------

/** The request for an object, or why there is none. @internal */
export const prepare = Effect.fnUntraced(function*<A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest,
  { model, textOf }: Pick<ObjectAnswer.Reading, "textOf"> & { readonly model: string | undefined }
): Effect.fn.Return<Asked<A, RD>, ClaudeError.ClaudeFatalError> {
  if (!Schema.isSchema(schema)) {
    return yield* invalid("schema is no Effect Schema; the schema comes first, and then the request.")
  }
  // Loaded by those who use it.
  const { ofAnswer } = yield* Effect.promise(() => import("./ObjectSchema.ts"))
  let sent = kept.get(schema)
  if (sent === undefined) kept.set(schema, sent = compile(schema, ofAnswer))
  if (typeof sent === "string") {
    return yield* invalid(
      `The schema cannot be sent as structured output: ${sent}. ` +
        "Use structs, arrays, records, unions and primitives, and of what is recursive as many levels as are needed."
    )
  }
  // It was made of this very schema.
  const { decode, decodeText, isEnforceable, jsonSchema, pick, whole } = sent as Sent<A, RD>
  const others = namesOf(request.tools ?? [])
  const tool = answerTool(schema, jsonSchema, others)
  const isCalledBy = (model: string) => !isEnforceable || !Model.hasStructuredOutput(model)
  const fieldsFor = (model: string): PerModel.Fields =>
    isCalledBy(model)
      ? {
        tools: [...request.tools ?? [], tool],
        tool_choice: choiceOf(request, tool.name, model),
        output_config: request.output_config
      }
      : {
        tools: request.tools,
        tool_choice: request.tool_choice,
        output_config: { ...request.output_config, format: { type: "json_schema", schema: jsonSchema } }
      }
  return {
    request: PerModel.write(request, request.model ?? model ?? "", fieldsFor),
    tool: tool.name,
    others,
    isCalledBy,
    whole,
    pick,
    // By what came: another model may have been asked in the place of this one.
    decode: (message) => {
      const call = ObjectAnswer.callOf(message, tool.name)
      return call === undefined ? decodeText(textOf(message)) : decode(call.input)
    }
  }
})

/** One that thinks cannot be made to call a tool, and the newer ones may always think: it is told to. */
const choiceOf = ({ thinking }: MessageRequest, name: string, model: string): ToolChoice => {
  const thinks = Model.hasStructuredOutput(model) || (thinking != null && thinking.type !== "disabled")
  return thinks
    ? { type: "auto", disable_parallel_tool_use: true }
    : { type: "tool", name, disable_parallel_tool_use: true }
}

interface Sent<A, RD> extends Pick<ObjectSchema.AnswerSchema<A, RD, unknown>, "jsonSchema" | "whole" | "pick"> {
  /** Whether the API's own format takes it. */
  readonly isEnforceable: boolean
  readonly decode: (input: unknown) => Effect.Effect<A, Schema.SchemaError, RD>
  readonly decodeText: (text: string) => Effect.Effect<A, Schema.SchemaError, RD>
}

/** Schemas do not change, and a JSON Schema takes long to make. */
const kept = new WeakMap<object, Sent<unknown, unknown> | string>()

const compile = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  ofAnswer: typeof ObjectSchema.ofAnswer
): Sent<A, RD> | string => {
  const made = ofAnswer(schema)
  if (made._tag === "Failure") return made.failure
  const { codec, jsonSchema, pick, whole } = made.success
  return {
    whole,
    pick,
    jsonSchema,
    isEnforceable: JsonSubset.isEnforceable(jsonSchema),
    decode: Schema.decodeUnknownEffect(codec, strictly),
    decodeText: Schema.decodeUnknownEffect(Schema.fromJsonString(codec), strictly)
  }
}

const strictly = { onExcessProperty: "error", errors: "all" } as const

const invalid = (message: string): ClaudeError.ClaudeFatalError =>
  Failure.fatal(new ClaudeError.InvalidRequest({ field: "schema" }), message, { type: "invalid_request_error" })

const namesOf = (tools: ReadonlyArray<object>): ReadonlySet<string> =>
  new Set(tools.flatMap((tool) => "name" in tool && typeof tool.name === "string" ? [tool.name] : []))

const answerTool = (schema: Schema.Constraint, jsonSchema: object, others: ReadonlySet<string>): Tool => {
  const description = SchemaAST.resolveDescription(schema.ast)
  let name = "answer"
  while (others.has(name)) name += "_"
  return {
    name,
    description: `${
      description === undefined ? "" : `${description} `
    }Call it to answer: its input is the whole answer.`,
    // Only what is of an object comes here.
    input_schema: jsonSchema as Tool.InputSchema
  }
}

/** The request once more, with what came and what was wrong with it: as texts, which every model takes. */
const withIssue = ({ messages, prompt, ...asked }: MessageRequest, came: string, issue: string): MessageRequest => ({
  ...asked,
  messages: [
    ...(messages ?? [{ role: "user" as const, content: prompt }]),
    // The API takes no blank text.
    ...(came.trim() === "" ? [] : [{ role: "assistant" as const, content: came }]),
    {
      role: "user",
      content: `That does not fit the schema:\n${issue}\nAnswer again with all of it, corrected, and nothing else.`
    }
  ]
})
