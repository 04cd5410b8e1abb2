/**
 * What a simulated Messages API answers, as pure data.
 *
 * `Answer.text("Hello")` streams or comes as JSON, as the request asks. Faults wrap an answer and break it at a point:
 * `Answer.reset("midStream", Answer.text("…"))`. An answer may be used for any number of requests.
 *
 * The surprise: a fault keeps its meaning without a stream. Asked for JSON, "midStream" is the middle of the body, and
 * an error event becomes the HTTP error of its type.
 */
import type {
  ContentBlock,
  Message,
  RefusalStopDetails,
  StopReason,
  Usage
} from "@anthropic-ai/sdk/resources/messages/messages"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ObjectSchema from "../request/ObjectSchema.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What the simulator sends for one request. @category models @since 0.1.0 */
export type Answer = Reply | Events | Raw | Failure | Garbage | Broken | Dripped | Delayed

/** A message, streamed or as JSON. @category models @since 0.1.0 */
export interface Reply {
  readonly _tag: "Reply"
  readonly content: ReadonlyArray<Block>
  readonly fields: Partial<Omit<Message, "content" | "usage">>
  readonly usage: Partial<Usage>
  readonly chunk: number | "word"
  readonly paceMillis: number
  readonly firstContentMillis: number
}

/** Events as given, framed as server-sent events. @category models @since 0.1.0 */
export interface Events {
  readonly _tag: "Events"
  readonly events: ReadonlyArray<RawEvent>
  readonly paceMillis: number
}

/** A body as given. @category models @since 0.1.0 */
export interface Raw {
  readonly _tag: "Raw"
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly chunks: ReadonlyArray<string | Uint8Array | { readonly pauseMillis: number }>
}

/** An HTTP error in the API's envelope. @category models @since 0.1.0 */
export interface Failure {
  readonly _tag: "Failure"
  readonly status: number
  readonly options: ErrorOptions
}

/** A response that is no message. @category models @since 0.1.0 */
export interface Garbage {
  readonly _tag: "Garbage"
  readonly kind: GarbageKind
}

/** Another answer, broken at a point. @category models @since 0.1.0 */
export interface Broken {
  readonly _tag: "Broken"
  readonly of: Answer
  readonly at: Point
  readonly by: Fault
}

/** Another answer, a few bytes at a time. @category models @since 0.1.0 */
export interface Dripped {
  readonly _tag: "Dripped"
  readonly of: Answer
  readonly bytes: number
  readonly everyMillis: number
}

/** Another answer, later. @category models @since 0.1.0 */
export interface Delayed {
  readonly _tag: "Delayed"
  readonly of: Answer
  readonly millis: number
}

/** How an answer breaks. @category models @since 0.1.0 */
export type Fault =
  | { readonly _tag: "Reset" }
  | { readonly _tag: "Close" }
  | { readonly _tag: "Stall" }
  | { readonly _tag: "Truncate" }
  | { readonly _tag: "Pings"; readonly everyMillis: number }
  | { readonly _tag: "ErrorEvent"; readonly type: string; readonly message: string }

/**
 * Where in the body an answer breaks: after its headers, after half of its deltas, after so many events (pings do not
 * count), or after so many bytes, also within an event.
 *
 * @category models
 * @since 0.1.0
 */
export type BodyPoint =
  | "afterHeaders"
  | "midStream"
  | { readonly afterEvents: number }
  | { readonly afterBytes: number }

/** Where an answer breaks. @category models @since 0.1.0 */
export type Point = "beforeHeaders" | BodyPoint

/**
 * What comes in place of a message: an event with broken JSON in an otherwise good stream, a 200 with broken JSON, a
 * 200 or a 502 with a page of HTML as a proxy would send it, or a 200 with nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type GarbageKind = "badEvent" | "badJson" | "html" | "html502" | "empty"

/** Any event at all: known, unknown, or broken on purpose. @category models @since 0.1.0 */
export interface RawEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** A content block; what is left out of a text, thinking or tool block is filled in. @category models @since 0.1.0 */
export type Block =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "thinking"; readonly thinking: string; readonly signature?: string | undefined }
  | { readonly type: "tool_use"; readonly name: string; readonly input: unknown; readonly id?: string | undefined }
  | ContentBlock

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** How a message comes over the wire. @category options @since 0.1.0 */
export interface PacingOptions {
  /** Before the headers. @default 0 */
  readonly delay?: Duration.Input | undefined
  /** Between the headers and the first content. @default 0 */
  readonly firstContent?: Duration.Input | undefined
  /** Between one delta and the next. @default 0, all at once */
  readonly pace?: Duration.Input | undefined
  /** Characters in a delta, or a word a delta. @default "word" */
  readonly chunk?: number | "word" | undefined
}

/** A message's fields beside its content. @category options @since 0.1.0 */
export interface ReplyOptions extends PacingOptions {
  readonly id?: string | undefined
  /** @default the request's */
  readonly model?: string | undefined
  /** What is left out is estimated from the size of the request and of the answer. */
  readonly usage?: Partial<Usage> | undefined
  /** @default "tool_use" if the content calls a tool, else "end_turn" */
  readonly stopReason?: StopReason | undefined
  readonly stopSequence?: string | undefined
  readonly stopDetails?: RefusalStopDetails | undefined
}

/** An HTTP error's parts. @category options @since 0.1.0 */
export interface ErrorOptions {
  /** The envelope's type. @default the one that the API gives with this status */
  readonly type?: string | undefined
  readonly message?: string | undefined
  /** `error.details.error_code`, as in `enforced_spend_limit_reached`. */
  readonly errorCode?: string | undefined
  readonly retryAfter?: Duration.Input | undefined
  /**
   * `retry-after-ms`, or `retry-after` in seconds (with their fraction, so that tests stay short) or as an HTTP date
   * (rounded up to a second). @default "seconds"
   */
  readonly retryAfterForm?: "ms" | "seconds" | "date" | undefined
  /** The header `x-should-retry`. */
  readonly shouldRetry?: boolean | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** In place of the envelope: text as it is, anything else as JSON. */
  readonly body?: unknown
}

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

/** One text. @category messages @since 0.1.0 */
export const text = (text: string, options?: ReplyOptions): Answer => content([{ type: "text", text }], options)

/** One text that is a value's JSON, as structured output comes. @category messages @since 0.1.0 */
export const json = (value: unknown, options?: ReplyOptions): Answer => text(JSON.stringify(value), options)

/**
 * A value as a model with structured output answers it to `Claude.object(schema, …)`: encoded, and as the API takes what
 * is no plain object.
 *
 * @throws RangeError when the schema cannot be sent, or the value does not fit it.
 * @category messages
 * @since 0.2.0
 */
export const object = <A, E, RD>(
  schema: Schema.ConstraintCodec<A, E, RD, never>,
  value: A,
  options?: ReplyOptions
): Answer => {
  const made = ObjectSchema.ofAnswer(schema)
  if (Result.isFailure(made)) throw new RangeError(`Answer.object: the schema cannot be sent: ${made.failure}.`)
  return json(Schema.encodeSync(made.success.codec)(value), options)
}

/** A thinking block, then a text. @category messages @since 0.1.0 */
export const thinking = (thinking: string, text: string, options?: ReplyOptions): Answer =>
  content([{ type: "thinking", thinking }, { type: "text", text }], options)

/** One tool call, after a text if one is given. @category messages @since 0.1.0 */
export const tool = (
  name: string,
  input: unknown,
  options?: ReplyOptions & { readonly toolUseId?: string | undefined; readonly text?: string | undefined }
): Answer =>
  content([
    ...(options?.text === undefined ? [] : [{ type: "text" as const, text: options.text }]),
    { type: "tool_use", name, input, id: options?.toolUseId }
  ], options)

/** Any blocks. @category messages @since 0.1.0 */
export const content = (blocks: ReadonlyArray<Block>, options: ReplyOptions = {}): Answer =>
  reply(blocks, options, {
    ...(options.id === undefined ? undefined : { id: options.id }),
    ...(options.model === undefined ? undefined : { model: options.model }),
    ...(options.stopReason === undefined ? undefined : { stop_reason: options.stopReason }),
    ...(options.stopSequence === undefined ? undefined : { stop_sequence: options.stopSequence }),
    ...(options.stopDetails === undefined ? undefined : { stop_details: options.stopDetails })
  }, options.usage ?? {})

/** A message as the API has answered it, whole. @category messages @since 0.1.0 */
export const message = (message: Message, options: PacingOptions = {}): Answer => {
  const { content, usage, ...fields } = message
  return reply(content, options, fields, usage)
}

const reply = (
  content: ReadonlyArray<Block>,
  options: PacingOptions,
  fields: Reply["fields"],
  usage: Partial<Usage>
): Answer => {
  const chunk = options.chunk ?? "word"
  if (chunk !== "word" && !(Number.isInteger(chunk) && chunk > 0)) {
    throw new RangeError(`Answer: chunk must be "word" or a positive integer, got ${chunk}`)
  }
  const reply: Reply = {
    _tag: "Reply",
    content,
    fields,
    usage,
    chunk,
    paceMillis: Duration.toMillis(options.pace ?? 0),
    firstContentMillis: Duration.toMillis(options.firstContent ?? 0)
  }
  return options.delay === undefined ? reply : delay(options.delay, reply)
}

/** What is answered where nothing was scripted. @category messages @since 0.1.0 */
export const hello: Answer = text("Hello! How can I help you today?")

// -----------------------------------------------------------------------------
// bodies as given
// -----------------------------------------------------------------------------

/** Events as given. Asked for JSON, the message that they make. @category bodies @since 0.1.0 */
export const events = (
  events: ReadonlyArray<RawEvent>,
  options: { readonly pace?: Duration.Input | undefined } = {}
): Answer => ({ _tag: "Events", events, paceMillis: Duration.toMillis(options.pace ?? 0) })

/** A body as given, with pauses between its chunks. @category bodies @since 0.1.0 */
export const raw = (
  chunks: ReadonlyArray<string | Uint8Array | { readonly pause: Duration.Input }>,
  options: {
    /** @default 200 */
    readonly status?: number | undefined
    /** @default "text/event-stream; charset=utf-8" */
    readonly contentType?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  } = {}
): Answer => ({
  _tag: "Raw",
  status: options.status ?? 200,
  headers: { "content-type": options.contentType ?? "text/event-stream; charset=utf-8", ...options.headers },
  chunks: chunks.map((chunk) =>
    typeof chunk === "string" || chunk instanceof Uint8Array
      ? chunk
      : { pauseMillis: Duration.toMillis(chunk.pause) }
  )
})

// -----------------------------------------------------------------------------
// failures
// -----------------------------------------------------------------------------

/** An HTTP error in the API's envelope. @category failures @since 0.1.0 */
export const error = (status: number, options: ErrorOptions = {}): Answer => {
  if (!Number.isInteger(status) || status < 400 || status > 599) {
    throw new RangeError(`Answer.error: status must be an integer from 400 to 599, got ${status}`)
  }
  return { _tag: "Failure", status, options }
}

/** A response that is no message. @category failures @since 0.1.0 */
export const garbage = (kind: GarbageKind): Answer => ({ _tag: "Garbage", kind })

/** The connection is reset, as TCP does it; under TLS it is closed. @category failures @since 0.1.0 */
export const reset = (at: Point = "midStream", of: Answer = hello): Answer => broken(of, at, { _tag: "Reset" })

/** The connection is closed in mid-answer, as by a proxy or a restart. @category failures @since 0.1.0 */
export const close = (at: Point = "midStream", of: Answer = hello): Answer => broken(of, at, { _tag: "Close" })

/** Nothing more comes, and the connection stays open. @category failures @since 0.1.0 */
export const stall = (at: Point = "midStream", of: Answer = hello): Answer => broken(of, at, { _tag: "Stall" })

/** The body ends cleanly, too early. @category failures @since 0.1.0 */
export const truncate = (at: BodyPoint = "midStream", of: Answer = hello): Answer =>
  broken(of, at, { _tag: "Truncate" })

/** From there on only pings come, for ever. @category failures @since 0.1.0 */
export const pings = (every: Duration.Input, at: BodyPoint = "afterHeaders", of: Answer = hello): Answer =>
  broken(of, at, { _tag: "Pings", everyMillis: Math.max(1, Duration.toMillis(every)) })

/** The stream ends with an `error` event, such as `overloaded_error`. @category failures @since 0.1.0 */
export const errorEvent = (
  type: string,
  message: string,
  at: BodyPoint = "midStream",
  of: Answer = hello
): Answer => broken(of, at, { _tag: "ErrorEvent", type, message })

const broken = (of: Answer, at: Point, by: Fault): Answer => {
  const place = typeof at === "string" ? 0 : "afterEvents" in at ? at.afterEvents : at.afterBytes
  if (!Number.isInteger(place) || place < 0) {
    throw new RangeError(`Answer: a fault's place must be a non-negative integer, got ${place}`)
  }
  return { _tag: "Broken", of, at, by }
}

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** The same bytes, one (or a few) at a time. @category combinators @since 0.1.0 */
export const drip = (
  of: Answer = hello,
  options: {
    /** @default 1 */
    readonly bytes?: number | undefined
    /** @default 0: one turn of the event loop */
    readonly every?: Duration.Input | undefined
  } = {}
): Answer => {
  const bytes = options.bytes ?? 1
  if (!Number.isInteger(bytes) || bytes < 1) {
    throw new RangeError(`Answer.drip: bytes must be a positive integer, got ${bytes}`)
  }
  return { _tag: "Dripped", of, bytes, everyMillis: Duration.toMillis(options.every ?? 0) }
}

/** The same, later: the headers wait too. @category combinators @since 0.1.0 */
export const delay = (duration: Duration.Input, of: Answer): Answer => ({
  _tag: "Delayed",
  of,
  millis: Duration.toMillis(duration)
})
