/**
 * An Effect Schema as structured output: what is asked of the API, how its answer is read, and how it is asked again.
 *
 * The JSON Schema that is sent is the subset that the API knows; the schema itself decides what is accepted.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ClaudeError from "../ClaudeError.ts"
import type { MessageRequest } from "./Request.ts"

/** @internal */
export interface StructuredOutput<A, RD> {
  /** The request, asking for this shape. */
  readonly ask: (request: MessageRequest) => MessageRequest
  /** The object in a text, or what is wrong with it. */
  readonly decode: (text: string) => Effect.Effect<Result.Result<A, string>, never, RD>
  /** The request once more, with what came and what was wrong with it. */
  readonly repair: (asked: MessageRequest, text: string, issue: string) => MessageRequest
}

/** @internal */
export const of = Effect.fnUntraced(function*<A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>
): Effect.fn.Return<StructuredOutput<A, RD>, ClaudeError.ClaudeFatalError> {
  // Loaded by those who use it.
  const { toCodecAnthropic } = yield* Effect.promise(() => import("effect/ai/AnthropicStructuredOutput"))
  const { codec, jsonSchema } = yield* Effect.try({
    try: () => toCodecAnthropic(schema),
    catch: (error) =>
      ClaudeError.fatal(
        new ClaudeError.InvalidRequest({ field: "schema" }),
        `The schema cannot be sent as structured output: ${error instanceof Error ? error.message : String(error)}. ` +
          "Use a schema without recursion, made of structs, arrays, unions and primitives.",
        { type: "invalid_request_error" }
      )
  })
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(codec), { onExcessProperty: "error", errors: "all" })
  return {
    ask: (request) => ({
      ...request,
      output_config: { ...request.output_config, format: { type: "json_schema", schema: jsonSchema } }
    }),
    decode: (text) => Effect.result(Effect.mapError(decode(text), (error) => error.message)),
    repair: ({ messages, prompt, ...asked }, text, issue) => ({
      ...asked,
      messages: [
        ...(messages ?? [{ role: "user" as const, content: prompt ?? "" }]),
        // The API takes no empty text; an answer without any leaves nothing to correct but itself.
        ...(text === "" ? [] : [{ role: "assistant" as const, content: text }]),
        { role: "user", content: `That does not fit the schema:\n${issue}\nAnswer again with the corrected JSON alone.` }
      ]
    })
  }
})

/** What stays of an answer that does not fit. @internal */
export const mismatch = (
  answer: ClaudeError.PartialMessage,
  issue: string,
  details: { readonly attempts: number; readonly usage: ClaudeError.Usage; readonly requestId: string | undefined }
): ClaudeError.ClaudeFatalError =>
  ClaudeError.fatal(
    new ClaudeError.SchemaMismatch({ stopReason: answer.stop_reason, issue }),
    `The answer does not fit the schema (stop_reason ${answer.stop_reason}, asked ${details.attempts} times). ` +
      (answer.stop_reason === "max_tokens"
        ? "It was cut at max_tokens: raise it."
        : "The reason's issue says where; make the schema or the prompt plainer."),
    { type: "schema_mismatch", ...details, partial: answer }
  )
