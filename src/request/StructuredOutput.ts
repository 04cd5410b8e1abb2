/**
 * An Effect Schema as structured output: what is asked of the API, and how its answer is read.
 *
 * A model that has structured output is held to the schema by the API's own format. An older one is made to call a tool
 * whose input is the answer, and so is any where the schema has more unions than the format takes; one that thinks is
 * told to, since it cannot be made to. What the API is told is the subset that it knows; the schema itself decides what
 * is accepted. A schema that cannot be told is refused, with its path, before anything is sent. The surprise: over the
 * wire what is absent is null, so where a schema tells the two apart, null is read as absent.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as ClaudeError from "../ClaudeError.ts"
import * as AnswerTool from "./AnswerTool.ts"
import * as JsonSubset from "./JsonSubset.ts"
import * as Model from "./Model.ts"
import * as ObjectAnswer from "./ObjectAnswer.ts"
import type * as ObjectSchema from "./ObjectSchema.ts"
import * as PerModel from "./PerModel.ts"
import type { MessageRequest } from "./Request.ts"
import * as RequestCheck from "./RequestCheck.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

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
// the request
// -----------------------------------------------------------------------------

/** The request for an object, or why there is none. @internal */
export const prepare = Effect.fnUntraced(function*<A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest,
  model: string | undefined
): Effect.fn.Return<Asked<A, RD>, ClaudeError.ClaudeFatalError> {
  if (!Schema.isSchema(schema)) {
    return yield* RequestCheck.refused(
      "schema",
      "schema is no Effect Schema; the schema comes first, and then the request."
    )
  }
  if (request.output_config?.format != null) {
    return yield* RequestCheck.refused(
      "output_config.format",
      "output_config.format is set beside a schema, which is the format. Remove it, or ask with Claude.message."
    )
  }
  // Loaded by those who use it.
  const { ofAnswer } = yield* Effect.promise(() => import("./ObjectSchema.ts"))
  let sent = kept.get(schema)
  if (sent === undefined) kept.set(schema, sent = compile(schema, ofAnswer))
  if (typeof sent === "string") {
    return yield* RequestCheck.refused(
      "schema",
      `The schema cannot be sent as structured output: ${sent}. ` +
        "Use structs, arrays, records, unions and primitives, and of what is recursive as many levels as are needed."
    )
  }
  // It was made of this very schema.
  const { decode, decodeText, isEnforceable, jsonSchema, pick, whole } = sent as Sent<A, RD>
  const tool = AnswerTool.make("answer", namesOf(request.tools ?? []), schema, jsonSchema)
  const isCalledBy = (model: string) => !isEnforceable || !Model.hasStructuredOutput(model)
  const fieldsFor = (model: string): PerModel.Fields =>
    isCalledBy(model)
      ? {
        tools: [...request.tools ?? [], tool],
        tool_choice: AnswerTool.choice(tool.name, { model, thinking: request.thinking }),
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
    isCalledBy,
    whole,
    pick,
    // By what came: another model may have been asked in the place of this one.
    decode: (message) => {
      const call = ObjectAnswer.callOf(message, tool.name)
      return call === undefined ? decodeText(ObjectAnswer.textOf(message)) : decode(call.input)
    }
  }
})

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

const namesOf = (tools: ReadonlyArray<object>): ReadonlySet<string> =>
  new Set(tools.flatMap((tool) => "name" in tool && typeof tool.name === "string" ? [tool.name] : []))
