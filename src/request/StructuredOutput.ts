/**
 * An Effect Schema as structured output: what is asked of the API, how its answer is read, and how it is asked again.
 *
 * The JSON Schema that is sent is the subset that the API knows; the schema itself decides what is accepted.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { MessageRequest } from "./Request.ts"

/** What is known of the call that answered. */
interface Answered {
  readonly requestId: string | undefined
  readonly attempts: number
  readonly billed: ClaudeError.Usage | undefined
  readonly cached: boolean
}

const nothing = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }

/** Asks for an object, and once more for each `repair` when it does not fit. @internal */
export const ask = Effect.fnUntraced(function*<A, E, RD, RE, R>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  request: MessageRequest,
  options: {
    readonly message: (
      request: MessageRequest
    ) => Effect.Effect<Message & Answered, ClaudeError.ClaudeError, R>
    readonly repair: number
    readonly textOf: (message: Message) => string
    /** Whether an answer was cut or refused: it would be again. */
    readonly isIncomplete: (stopReason: string | null) => boolean
  }
): Effect.fn.Return<A, ClaudeError.ClaudeError, R | RD> {
  const { codec, jsonSchema } = yield* prepare(schema)
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(codec), { onExcessProperty: "error", errors: "all" })
  let asked: MessageRequest = {
    ...request,
    output_config: { ...request.output_config, format: { type: "json_schema", schema: jsonSchema } }
  }
  let attempts = 0
  let usage: ClaudeError.Usage | undefined
  for (let times = 1;; times++) {
    const answer = yield* Effect.mapError(options.message(asked), (error) =>
      Failure.enrich(error, {
        attempts: attempts + error.attempts,
        usage: error.usage === undefined ? usage : Failure.addUsage(usage, error.usage)
      }))
    attempts += answer.attempts
    // An answer from the cache was billed to somebody else.
    usage = Failure.addUsage(usage, answer.billed ?? (answer.cached ? nothing : answer.usage))
    const text = options.textOf(answer)
    const decoded = yield* Effect.result(decode(text))
    const isIncomplete = options.isIncomplete(answer.stop_reason)
    // What was cut or refused may happen to parse, and is not what was asked for all the same.
    if (decoded._tag === "Success" && !isIncomplete) return decoded.success
    const issue = decoded._tag === "Failure" ? decoded.failure.message : `It stopped early: ${answer.stop_reason}.`
    if (times > options.repair || isIncomplete) {
      return yield* mismatch(answer, issue, times, { attempts, usage, requestId: answer.requestId })
    }
    asked = withIssue(asked, text, issue)
  }
})

const prepare = Effect.fnUntraced(function*<A, E, RD, RE>(schema: Schema.ConstraintCodec<A, E, RD, RE>) {
  // Loaded by those who use it.
  if (!Schema.isSchema(schema)) {
    return yield* Failure.fatal(
      new ClaudeError.InvalidRequest({ field: "schema" }),
      "schema is no Effect Schema; Claude.object takes the schema first, and then the request.",
      { type: "invalid_request_error" }
    )
  }
  const { toCodecAnthropic } = yield* Effect.promise(() => import("effect/ai/AnthropicStructuredOutput"))
  return yield* Effect.try({
    try: () => toCodecAnthropic(schema),
    catch: (error) =>
      Failure.fatal(
        new ClaudeError.InvalidRequest({ field: "schema" }),
        `The schema cannot be sent as structured output: ${error instanceof Error ? error.message : String(error)}. ` +
          "Use a schema without recursion, made of structs, arrays, unions and primitives.",
        { type: "invalid_request_error" }
      )
  })
})

/** The request once more, with what came and what was wrong with it. */
const withIssue = ({ messages, prompt, ...asked }: MessageRequest, text: string, issue: string): MessageRequest => ({
  ...asked,
  messages: [
    ...(messages ?? [{ role: "user" as const, content: prompt }]),
    // The API takes no empty text.
    ...(text === "" ? [] : [{ role: "assistant" as const, content: text }]),
    { role: "user", content: `That does not fit the schema:\n${issue}\nAnswer again with the corrected JSON alone.` }
  ]
})

const mismatch = (
  answer: Message,
  issue: string,
  times: number,
  details: { readonly attempts: number; readonly usage: ClaudeError.Usage; readonly requestId: string | undefined }
) =>
  Failure.fatal(
    new ClaudeError.SchemaMismatch({ stopReason: answer.stop_reason, issue }),
    `The answer does not fit the schema (stop_reason ${answer.stop_reason}, asked ${times} times). ` +
      (answer.stop_reason === "max_tokens"
        ? "It was cut at max_tokens: raise it."
        : "The reason's issue says where; make the schema or the prompt plainer."),
    { type: "schema_mismatch", ...details, partial: answer }
  )
