/**
 * What goes over the wire for an answer to a request: headers, writes, pauses and an end, in order.
 *
 * A plan is plain data. Whoever plays it brings the clock and the connection: the simulator plays it over a socket with
 * the machine's timers. Each event is a write of its own; the player may join writes that no pause divides.
 */
import * as Duration from "effect/Duration"
import * as Answer from "./Answer.ts"
import * as EventFold from "./EventFold.ts"
import * as SimulatedMessage from "./SimulatedMessage.ts"

/** One thing to do. @category models @since 0.1.0 */
export type Step =
  | { readonly _tag: "Pause"; readonly millis: number }
  | {
    readonly _tag: "Head"
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    /** The API's own headers (request id, rate limits) go with it: not with what a proxy would send. */
    readonly fromApi: boolean
  }
  | WriteStep
  | { readonly _tag: "Repeat"; readonly bytes: Uint8Array; readonly everyMillis: number }
  | { readonly _tag: "End" }
  /** The connection ends here: by a TCP reset, or closed as if all were said. */
  | { readonly _tag: "Reset"; readonly by: "reset" | "close" }
  | { readonly _tag: "Hang" }

/** Bytes of the body; `event` is the type of the event that they complete. @category models @since 0.1.0 */
export interface WriteStep {
  readonly _tag: "Write"
  readonly bytes: Uint8Array
  readonly event?: string
}

/** The steps, and the output tokens that they stand for. @category models @since 0.1.0 */
export interface ResponsePlan {
  readonly steps: ReadonlyArray<Step>
  readonly outputTokens: number
}

/** What a plan needs to know of the request. @category models @since 0.1.0 */
export interface Context extends SimulatedMessage.Asked {
  readonly requestId: string
  readonly stream: boolean
  /** An endpoint's own JSON, which stands in for the message where the request asks for none. */
  readonly json?: unknown
  /** Milliseconds since the epoch, for a Retry-After date. @default the machine's clock */
  readonly now?: number | undefined
}

/** @category constructors @since 0.1.0 */
export const make = (answer: Answer.Answer, context: Context): ResponsePlan => {
  switch (answer._tag) {
    case "Reply":
      return reply(answer, context)
    case "Events":
      return events(answer, context)
    case "Raw":
      return plan([
        head(answer.status, answer.headers),
        ...answer.chunks.map((chunk): Step =>
          typeof chunk === "string" ? write(chunk) : "pauseMillis" in chunk ? pause(chunk.pauseMillis) : write(chunk)
        ),
        end
      ])
    case "Failure":
      return failure(answer.status, answer.options, context)
    case "Garbage":
      return garbage(answer.kind, context)
    case "Broken":
      return broken(answer, context)
    case "Dripped": {
      const { outputTokens, steps } = make(answer.of, context)
      return plan(steps.flatMap((step) => step._tag === "Write" ? drip(step, answer) : [step]), outputTokens)
    }
    case "Delayed": {
      const { outputTokens, steps } = make(answer.of, context)
      return plan([pause(answer.millis), ...steps], outputTokens)
    }
  }
}

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

const encoder = new TextEncoder()

const plan = (steps: ReadonlyArray<Step>, outputTokens = 0): ResponsePlan => ({ steps, outputTokens })

const pause = (millis: number): Step => ({ _tag: "Pause", millis })

const head = (status: number, headers: Readonly<Record<string, string>>, fromApi = true): Step => ({
  _tag: "Head",
  status,
  headers,
  fromApi
})

const write = (body: string | Uint8Array): Step => ({
  _tag: "Write",
  bytes: typeof body === "string" ? encoder.encode(body) : body
})

const writeFrame = ({ bytes, event }: SimulatedMessage.Frame): Step => ({ _tag: "Write", bytes, event })

const end: Step = { _tag: "End" }

const sseHead = head(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" })

const jsonHead = (status: number, headers?: Readonly<Record<string, string>>): Step =>
  head(status, { "content-type": "application/json", ...headers })

const jsonSteps = (value: unknown): ReadonlyArray<Step> => [jsonHead(200), write(JSON.stringify(value)), end]

// -----------------------------------------------------------------------------
// messages
// -----------------------------------------------------------------------------

const reply = (reply: Answer.Reply, context: Context): ResponsePlan => {
  if (context.json !== undefined) return plan(jsonSteps(context.json))
  const message = SimulatedMessage.message(reply, context)
  const outputTokens = message.usage.output_tokens
  const streamed = paced(SimulatedMessage.frames(reply, message), reply.paceMillis, reply.firstContentMillis)
  if (context.stream) return plan([sseHead, ...streamed, end], outputTokens)
  // The API sends a JSON message's headers when the message is done.
  const millis = streamed.reduce((sum, step) => sum + (step._tag === "Pause" ? step.millis : 0), 0)
  return plan([...(millis === 0 ? [] : [pause(millis)]), ...jsonSteps(message)], outputTokens)
}

const events = (answer: Answer.Events, context: Context): ResponsePlan => {
  if (context.json !== undefined) return plan(jsonSteps(context.json))
  if (context.stream) {
    return plan([sseHead, ...paced(answer.events.map(SimulatedMessage.frame), answer.paceMillis, 0), end])
  }
  const error = answer.events.find((event) => event.type === "error")
  if (error !== undefined) {
    const { message, type } = EventFold.record(error.error)
    return failure(statusOf(String(type)), { type: String(type), message: String(message) }, context)
  }
  const message = EventFold.fold(answer.events)
  return message === undefined
    ? failure(500, { message: "The scripted events make no message: there is no message_start." }, context)
    : plan(jsonSteps(message))
}

const paced = (
  frames: ReadonlyArray<SimulatedMessage.Frame>,
  paceMillis: number,
  firstContentMillis: number
): ReadonlyArray<Step> => {
  if (paceMillis === 0 && firstContentMillis === 0) return frames.map(writeFrame)
  const between = pause(paceMillis)
  const steps: Array<Step> = []
  let first = true
  for (const frame of frames) {
    if (frame.event === "content_block_delta") {
      if (first && firstContentMillis > 0) steps.push(pause(firstContentMillis))
      if (!first && paceMillis > 0) steps.push(between)
      first = false
    }
    steps.push(writeFrame(frame))
  }
  return steps
}

// -----------------------------------------------------------------------------
// failures
// -----------------------------------------------------------------------------

const types: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  504: "timeout_error",
  529: "overloaded_error"
}

const typeOf = (status: number): string => types[status] ?? (status < 500 ? "invalid_request_error" : "api_error")

const statusOf = (type: string): number => {
  if (type === "timeout_error") return 504
  const entry = Object.entries(types).find(([, t]) => t === type)
  return entry === undefined ? 500 : Number(entry[0])
}

const errorBody = (type: string, message: string, context: Context, errorCode?: string) => ({
  type: "error",
  error: { type, message, ...(errorCode === undefined ? undefined : { details: { error_code: errorCode } }) },
  request_id: context.requestId
})

const failure = (status: number, options: Answer.ErrorOptions, context: Context): ResponsePlan => {
  const type = options.type ?? typeOf(status)
  const body = options.body ?? errorBody(type, options.message ?? `${status} ${type}`, context, options.errorCode)
  return plan([
    jsonHead(status, {
      ...retryHeaders(options, context.now ?? Date.now()),
      ...(options.shouldRetry === undefined ? undefined : { "x-should-retry": String(options.shouldRetry) }),
      ...options.headers
    }),
    write(typeof body === "string" ? body : JSON.stringify(body)),
    end
  ])
}

const retryHeaders = (options: Answer.ErrorOptions, now: number): Record<string, string> => {
  if (options.retryAfter === undefined) return {}
  const millis = Duration.toMillis(options.retryAfter)
  switch (options.retryAfterForm ?? "seconds") {
    case "ms":
      return { "retry-after-ms": String(millis) }
    case "seconds":
      return { "retry-after": String(millis / 1000) }
    case "date":
      return { "retry-after": new Date(Math.ceil((now + millis) / 1000) * 1000).toUTCString() }
  }
}

const garbage = (kind: Answer.GarbageKind, context: Context): ResponsePlan => {
  const html = (status: number, title: string) =>
    plan([
      head(status, { "content-type": "text/html; charset=utf-8" }, false),
      write(`<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`),
      end
    ])
  switch (kind) {
    case "html":
      return html(200, "Welcome")
    case "html502":
      return html(502, "502 Bad Gateway")
    case "empty":
      return plan([context.stream ? sseHead : jsonHead(200), end])
    case "badJson":
      return plan([jsonHead(200), write(`{"type":"message","content":[{"type":"text","text":"Hel`), end])
    case "badEvent": {
      if (!context.stream) return garbage("badJson", context)
      const { steps } = make(hello, context)
      const at = 1 + steps.findIndex((step) => step._tag === "Write" && step.event === "content_block_delta")
      const bad = write(
        `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":\n\n`
      )
      return plan([...steps.slice(0, at), bad, ...steps.slice(at)])
    }
  }
}

const hello = Answer.text("one two three four")

// -----------------------------------------------------------------------------
// faults
// -----------------------------------------------------------------------------

const broken = (answer: Answer.Broken, context: Context): ResponsePlan => {
  const { at, by, of } = answer
  if (by._tag === "ErrorEvent" && !context.stream) return failure(statusOf(by.type), by, context)
  const whole = make(of, context)
  return plan([...until(whole.steps, at), ...fault(answer, context)], whole.outputTokens)
}

const fault = ({ at, by }: Answer.Broken, context: Context): ReadonlyArray<Step> => {
  switch (by._tag) {
    case "Reset":
    case "Close": {
      const reset: Step = { _tag: "Reset", by: by._tag === "Reset" ? "reset" : "close" }
      // An error discards what the client has not read yet, so what was sent gets a moment to be read.
      return at === "beforeHeaders" ? [reset] : [pause(20), reset]
    }
    case "Stall":
      return [{ _tag: "Hang" }]
    case "Truncate":
      return [end]
    case "Pings":
      // JSON has no pings: there it is a stall.
      return context.stream
        ? [{ _tag: "Repeat", bytes: SimulatedMessage.ping.bytes, everyMillis: by.everyMillis }]
        : [{ _tag: "Hang" }]
    case "ErrorEvent":
      return [
        writeFrame(SimulatedMessage.frame({ ...errorBody(by.type, by.message, context), type: "error" })),
        end
      ]
  }
}

/** The steps up to a point, without the end. */
const until = (steps: ReadonlyArray<Step>, at: Answer.Point): ReadonlyArray<Step> => {
  const headers = steps.findIndex((step) => step._tag === "Head")
  if (at === "beforeHeaders") return steps.slice(0, headers)
  if (at === "afterHeaders") return steps.slice(0, headers + 1)
  if (at !== "midStream" && "afterBytes" in at) return untilByte(steps, at.afterBytes)
  if (!steps.some((step) => isEvent(step))) {
    // JSON has no events: the middle of its body.
    const total = steps.reduce((sum, step) => sum + (step._tag === "Write" ? step.bytes.length : 0), 0)
    return untilByte(steps, Math.floor(total / 2))
  }
  const counts = at === "midStream"
    ? (step: Step) => isEvent(step, (event) => event === "content_block_delta")
    : (step: Step) => isEvent(step, (event) => event !== "ping")
  let left = at === "midStream" ? Math.ceil(steps.filter(counts).length / 2) : at.afterEvents
  if (left === 0) return steps.slice(0, headers + 1)
  const last = steps.findIndex((step) => counts(step) && --left === 0)
  return last === -1 ? steps.filter((step) => step._tag !== "End") : steps.slice(0, last + 1)
}

const isEvent = (step: Step, which: (event: string) => boolean = () => true): boolean =>
  step._tag === "Write" && step.event !== undefined && which(step.event)

const untilByte = (steps: ReadonlyArray<Step>, bytes: number): ReadonlyArray<Step> => {
  const out: Array<Step> = []
  let left = bytes
  for (const step of steps) {
    if (step._tag === "End") break
    if (step._tag !== "Write") {
      out.push(step)
      continue
    }
    if (left > 0) out.push({ _tag: "Write", bytes: step.bytes.subarray(0, left) })
    left -= step.bytes.length
    if (left <= 0) break
  }
  return out
}

const drip = (step: WriteStep, { bytes: size, everyMillis }: Answer.Dripped): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  for (let i = 0; i < step.bytes.length; i += size) {
    const bytes = step.bytes.subarray(i, i + size)
    // The event is there once its last byte is.
    steps.push(i + size < step.bytes.length ? { _tag: "Write", bytes } : { ...step, bytes }, pause(everyMillis))
  }
  return steps
}
