/**
 * Objects of a schema, asked for by messages and by streams: read, told as they come, and asked for again.
 *
 * One that does not fit goes back with what is wrong with it, as a call of its own. What streams was seen and is never
 * taken back, so it is asked for once. The surprise: an answer that was kept and does not fit is not met again for as
 * long as it is kept, but asked for anew.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as ClaudeError from "../ClaudeError.ts"
import type * as ObjectParts from "../decode/ObjectParts.ts"
import * as Failure from "../Failure.ts"
import * as ObjectAnswer from "../request/ObjectAnswer.ts"
import type { MessageRequest } from "../request/Request.ts"
import * as StructuredOutput from "../request/StructuredOutput.ts"
import * as Call from "./Call.ts"
import type * as StreamCall from "./StreamCall.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** The calls that objects are asked for by; `anew`, whatever the cache has. @internal */
export interface Calls {
  readonly message: (request: MessageRequest, anew: boolean) => Effect.Effect<Call.Message, ClaudeError.ClaudeError>
  /** A stream that fails where it breaks. */
  readonly stream: (
    request: MessageRequest,
    anew: boolean
  ) => Stream.Stream<StreamCall.StreamEvent, ClaudeError.ClaudeError>
  /** How often an object that does not fit is asked for again. */
  readonly repair: Effect.Effect<number>
  /** Of requests that name none. */
  readonly model: string | undefined
}

/** @internal */
export interface Objects {
  readonly object: <A, E, RD, RE>(
    schema: Schema.ConstraintCodec<A, E, RD, RE>,
    request: MessageRequest
  ) => Effect.Effect<A, ClaudeError.ClaudeError, RD>
  readonly streamObject: <A, E, RD, RE>(
    schema: Schema.ConstraintCodec<A, E, RD, RE>,
    request: MessageRequest
  ) => Stream.Stream<ObjectParts.ObjectPart<A, Call.Receipt>, ClaudeError.ClaudeError, RD>
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const make = ({ message, model, repair, stream }: Calls): Objects => ({
  object: (schema, request) =>
    Effect.flatMap(
      Effect.all([StructuredOutput.prepare(schema, request, model), repair]),
      ([asked, repair]) => {
        let isReplayed = false
        const asking = (anew: boolean) =>
          ask(asked, repair, (request) =>
            Effect.tap(message(request, anew), ({ cached }) =>
              Effect.sync(() => isReplayed = cached)))
        return Effect.catchIf(asking(false), (error) =>
          isReplayed && isMismatch(error), () => asking(true))
      }
    ),

  streamObject: (schema, request) =>
    Stream.unwrap(Effect.gen(function*() {
      const asked = yield* StructuredOutput.prepare(schema, request, model)
      // Loaded by those who use it.
      const { parts } = yield* Effect.promise(() => import("../decode/ObjectParts.ts"))
      let isReplayed = false
      const receiptOf = (event: Partial<Call.Receipt>) => {
        const receipt = Call.receiptOf(event)
        isReplayed = receipt.cached
        return receipt
      }
      const asking = (anew: boolean) =>
        Stream.transformPull(
          stream(asked.request, anew),
          (pull) => Effect.sync(() => parts(pull, asked, receiptOf))
        )
      return Stream.catchIf(
        asking(false),
        // What was kept comes in one read, so nobody has seen a part of one that does not fit.
        (error) => isReplayed && isMismatch(error),
        () => asking(true)
      )
    }))
})

const isMismatch = ({ reason }: ClaudeError.ClaudeError): boolean => reason._tag === "SchemaMismatch"

// -----------------------------------------------------------------------------
// asking
// -----------------------------------------------------------------------------

const nothing = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }

/** Asks for an object, and once more for each `repair` when it does not fit. */
const ask = Effect.fnUntraced(function*<A, RD>(
  asked: StructuredOutput.Asked<A, RD>,
  repair: number,
  message: (request: MessageRequest) => Effect.Effect<Call.Message, ClaudeError.ClaudeError>
): Effect.fn.Return<A, ClaudeError.ClaudeError, RD> {
  let next = asked.request
  let attempts = 0
  let usage: ClaudeError.Usage | undefined
  for (let times = 1;; times++) {
    const answer = yield* Effect.mapError(message(next), (error) =>
      Failure.enrich(error, {
        attempts: attempts + error.attempts,
        usage: error.usage === undefined ? usage : Failure.addUsage(usage, error.usage)
      }))
    attempts += answer.attempts
    // An answer from the cache was billed to somebody else.
    usage = Failure.addUsage(usage, answer.billed ?? (answer.cached ? nothing : answer.usage))
    const decoded = yield* Effect.result(ObjectAnswer.read(asked, answer))
    if (decoded._tag === "Success") return decoded.success
    if (times > repair || ObjectAnswer.isFinal(asked, answer)) {
      const details = { attempts, usage, requestId: answer.requestId }
      return yield* ObjectAnswer.mismatch(asked, answer, decoded.failure, times, details)
    }
    next = withIssue(next, ObjectAnswer.cameAs(asked, answer), decoded.failure)
  }
})

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
