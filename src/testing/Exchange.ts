/**
 * One request, from its arrival to the close of its response.
 *
 * The order is the API's: an outage, path, credential, body, capacity, rate limits; then the script is asked, so that a
 * refusal uses up no scripted answer.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Answer from "./Answer.ts"
import * as Playback from "./Playback.ts"
import type * as RateLimit from "./RateLimit.ts"
import * as ResponsePlan from "./ResponsePlan.ts"
import * as SimulatedModels from "./SimulatedModels.ts"
import * as SimulatedRequest from "./SimulatedRequest.ts"
import type * as SimulatorLog from "./SimulatorLog.ts"

/**
 * How many messages are answered at once; more get a 529.
 *
 * With a `slowdown`, what is before the first content takes longer as the last quarter of the places fills, up to so
 * many times as long when all are taken (2: twice). An answer's own effect takes as long as it does.
 *
 * @category models
 * @since 0.2.0
 */
export type Capacity = number | {
  readonly limit: number
  /** @default 1, no slower */
  readonly slowdown?: number | undefined
}

/**
 * Down (`true`): every request's connection is reset before a response. An HTTP status: that is the answer to all, as
 * of a proxy before a server that is down.
 *
 * @category models
 * @since 0.2.0
 */
export type Outage = boolean | number

/** What all exchanges of a simulator share; it changes while it runs. @category models @since 0.1.0 */
export interface Shared {
  readonly recorder: SimulatorLog.Recorder
  readonly otherwise: Answer.Answer
  readonly latencyMillis: number
  readonly models: ReadonlyArray<SimulatedModels.SimulatedModel> | undefined
  readonly scripts: { [K in SimulatedRequest.Endpoint]: Script }
  capacity: { readonly limit: number; readonly slowdown: number }
  /** What all are answered while it lasts. */
  outage: Answer.Answer | false
  rateLimit: RateLimit.RateLimit | undefined
  /** Those under way: calling one cuts its connection. */
  readonly open: Set<() => void>
  readonly nextRequestId: () => string
  /** Runs an answer's effect, and answers how to interrupt it. */
  readonly run: (
    effect: Effect.Effect<Answer.Answer>,
    onExit: (exit: Exit.Exit<Answer.Answer>) => void
  ) => () => void
}

/** The next answer, unless the script is at its end. @category models @since 0.1.0 */
export type Script = (
  request: SimulatedRequest.SimulatedRequest
) => Answer.Answer | Effect.Effect<Answer.Answer> | undefined

/** @category constructors @since 0.2.0 */
export const capacity = (capacity: Capacity): Shared["capacity"] => {
  const { limit, slowdown = 1 } = typeof capacity === "number" ? { limit: capacity, slowdown: 1 } : capacity
  if (!(limit >= 0)) throw new RangeError(`ClaudeSimulator: capacity must be 0 or more, got ${limit}`)
  if (!(slowdown >= 1 && slowdown < Infinity)) {
    throw new RangeError(`ClaudeSimulator: capacity.slowdown must be 1 or more, and finite, got ${slowdown}`)
  }
  return { limit, slowdown }
}

/** @category constructors @since 0.2.0 */
export const outage = (outage: Outage): Shared["outage"] =>
  typeof outage === "number"
    ? Answer.error(outage, { message: "The service is down" })
    : outage && Answer.reset("beforeHeaders")

/** The API refuses more. */
const maxBodyBytes = 32 * 1024 * 1024

/** @category handlers @since 0.1.0 */
export const handle = (shared: Shared, request: IncomingMessage, response: ServerResponse): void => {
  const { recorder } = shared
  // A target that is no URL is no endpoint either.
  const url = URL.parse(request.url ?? "/", base) ?? new URL("/invalid", base)
  const requestId = shared.nextRequestId()
  const entry = recorder.arrived({
    requestId,
    method: request.method ?? "GET",
    path: url.pathname,
    headers: request.headers
  })

  let isCut = false
  let interrupt: (() => void) | undefined
  let playback: Playback.Playback | undefined
  let admission: (RateLimit.Admission & { readonly _tag: "Admitted" }) | undefined
  let isAdmitted = false
  let outputTokens = 0

  const cut = () => {
    isCut = true
    request.socket.destroy()
  }
  shared.open.add(cut)
  response.once("finish", () => {
    entry.finishedAt = recorder.now()
  })
  response.once("close", () => {
    shared.open.delete(cut)
    const progress = playback?.progress() ?? 0
    playback?.stop()
    interrupt?.()
    admission?.settle(Math.round(outputTokens * progress))
    if (isAdmitted) recorder.released()
    recorder.closed(entry, response.writableFinished ? "complete" : isCut ? "cut" : "clientClosed")
  })

  const send = (answer: Answer.Answer, asked: Asked = {}) => {
    if (response.destroyed) return
    const { body } = asked
    const plan = ResponsePlan.make(
      shared.latencyMillis === 0 || answer === shared.outage
        ? answer
        : { _tag: "Delayed", of: answer, millis: shared.latencyMillis },
      {
        requestId,
        messageId: requestId.replace("req_", "msg_"),
        model: body?.model ?? "unknown",
        inputTokens: asked.inputTokens ?? 0,
        stream: asked.json === undefined && body?.stream === true,
        json: asked.json
      }
    )
    outputTokens = plan.outputTokens
    const paced = isAdmitted ? slowed(plan, slowness(shared.capacity, recorder.inFlight())) : plan
    playback = Playback.play(response, paced, {
      "request-id": requestId,
      "anthropic-organization-id": organization,
      ...admission?.headers
    }, {
      onHead: (status) => {
        entry.status = status
        entry.firstByteAt = recorder.now()
        recorder.changed()
      },
      onBytes: (count) => {
        entry.bytesSent += count
        recorder.changed()
      },
      onCut: () => {
        isCut = true
      }
    })
  }

  const respond = (text: string) => {
    entry.body = parse(text)
    recorder.changed()
    if (shared.outage !== false) {
      recorder.refusedByOutage(entry)
      return send(shared.outage)
    }
    const endpoint = SimulatedRequest.route(entry.method, url.pathname)
    if (typeof endpoint !== "string") return send(endpoint)
    const refusal = SimulatedRequest.checkCredential(request.headers) ??
      SimulatedRequest.checkBody(endpoint, entry.body, request.headers, shared.models?.map(SimulatedModels.idOf))
    if (refusal !== undefined) return send(refusal)
    // Checked above as far as the API insists; a test that sends more knows its types.
    const body = endpoint === "models" ? {} : entry.body as SimulatedRequest.SimulatedRequest["body"]
    const inputTokens = endpoint === "models" ? 0 : SimulatedRequest.inputTokens(body)

    const asked: Asked = { body, inputTokens }
    if (endpoint === "messages") {
      if (recorder.inFlight() >= shared.capacity.limit) return send(Answer.error(529, { message: "Overloaded" }))
      const verdict = shared.rateLimit?.admit(inputTokens, body.max_tokens ?? 0)
      if (verdict?._tag === "Exceeded") {
        return send(Answer.error(429, { message: verdict.message, headers: verdict.headers }))
      }
      admission = verdict
      isAdmitted = true
      recorder.admitted()
    } else if (endpoint === "count_tokens") {
      asked.json = { input_tokens: inputTokens }
    } else {
      const models = SimulatedModels.respond(shared.models ?? SimulatedModels.defaults, url)
      if ("refusal" in models) return send(models.refusal)
      asked.json = models.json
    }

    let answer: ReturnType<Script>
    try {
      const { attempt, headers, method, path } = entry
      answer = shared.scripts[endpoint]({ endpoint, method, path, headers, attempt, body })
    } catch (error) {
      return send(broken(String(error)), asked)
    }
    if (!Effect.isEffect(answer)) return send(answer ?? shared.otherwise, asked)
    interrupt = shared.run(answer, (exit) => {
      interrupt = undefined
      send(exit._tag === "Success" ? exit.value : broken(Cause.pretty(exit.cause)), asked)
    })
  }

  const chunks: Array<Buffer> = []
  let size = 0
  request.on("data", (chunk: Buffer) => {
    const before = size
    size += chunk.length
    if (size <= maxBodyBytes) chunks.push(chunk)
    else if (before <= maxBodyBytes) send(Answer.error(413, { message: "Request exceeds the maximum size" }))
  })
  request.on("end", () => {
    if (size <= maxBodyBytes) respond(Buffer.concat(chunks, size).toString("utf8"))
  })
}

/** How many times as long the first content takes with so many messages in flight. */
const slowness = ({ limit, slowdown }: Shared["capacity"], inFlight: number): number => {
  const taken = (inFlight / limit - 0.75) / 0.25
  return slowdown === 1 ? 1 : 1 + (slowdown - 1) * Math.min(1, Math.max(0, taken))
}

/** The pauses before the first content, so many times as long. */
const slowed = (plan: ResponsePlan.ResponsePlan, times: number): ResponsePlan.ResponsePlan => {
  if (times === 1) return plan
  const content = plan.steps.findIndex((step) => step._tag === "Write" && step.event === "content_block_delta")
  const steps = plan.steps.map((step, at): ResponsePlan.Step =>
    step._tag === "Pause" && (content === -1 || at < content) ? { ...step, millis: step.millis * times } : step
  )
  return { ...plan, steps }
}

interface Asked {
  readonly body?: SimulatedRequest.SimulatedRequest["body"]
  readonly inputTokens?: number
  json?: unknown
}

const base = "http://127.0.0.1"

const organization = "00000000-0000-4000-8000-000000000000"

const parse = (text: string): unknown => {
  if (text === "") return undefined
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A test's own mistake, said where the test will see it. */
const broken = (why: string): Answer.Answer =>
  Answer.error(500, { message: `The simulator's script failed: ${why}`, shouldRetry: false })
