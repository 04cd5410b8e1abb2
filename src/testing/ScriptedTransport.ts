/**
 * A transport without a network, for tests under TestClock: it plays the same answers as `ClaudeSimulator`, in memory
 * and by Effect's clock.
 *
 * Provide it below `Claude.layerTransport`. Everything above the transport is the real thing: retries, timeouts,
 * decoding, telemetry. What only a socket can show (cancellation seen by a server, TLS, keep-alive) needs the simulator.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Classify from "../transport/Classify.ts"
import { Mailbox } from "../transport/Mailbox.ts"
import { Transport, type TransportRequest } from "../transport/Transport.ts"
import type * as Answer from "./Answer.ts"
import * as ResponsePlan from "./ResponsePlan.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** One request that was sent. @category models @since 0.1.0 */
export interface Sent extends TransportRequest {
  /** When, by Effect's clock. */
  readonly at: number
  /** When it was given up before its answer was complete. */
  closedAt: number | undefined
}

/** Answers in order, the last of them for all that follow; or a function of the request and of how many came before. */
export type Answers =
  | readonly [Answer.Answer, ...Array<Answer.Answer>]
  | ((request: TransportRequest, index: number) => Answer.Answer)

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/** @category services @since 0.1.0 */
export class ScriptedTransport extends Context.Service<ScriptedTransport, {
  readonly transport: Transport["Service"]
  /** What was sent so far, in order. */
  readonly sent: Effect.Effect<ReadonlyArray<Sent>>
}>()("effect-claude/testing/ScriptedTransport") {}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** @category constructors @since 0.1.0 */
export const make = (answers: Answers): Effect.Effect<ScriptedTransport["Service"]> =>
  Effect.sync(() => {
    const log: Array<Sent> = []
    const answerOf = typeof answers === "function"
      ? answers
      : (_request: TransportRequest, index: number) => answers[Math.min(index, answers.length - 1)]!

    const open: Transport["Service"]["open"] = Effect.fnUntraced(function*(request) {
      const clock = yield* Clock.Clock
      const index = log.length
      const sent: Sent = { ...request, at: clock.currentTimeMillisUnsafe(), closedAt: undefined }
      log.push(sent)
      const mailbox = new Mailbox()
      mailbox.attach({
        pause: () => {},
        resume: () => {},
        abort: () => {
          sent.closedAt = clock.currentTimeMillisUnsafe()
        }
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => mailbox.close()))
      const answer = answerOf(request, index)
      const { steps } = ResponsePlan.make(answer, planContext(request, index, sent.at))
      yield* Effect.forkScoped(play(steps, mailbox, clock))
      return {
        response: mailbox.response,
        pull: mailbox.pull,
        get refusal() {
          return mailbox.refusal
        },
        fail: (error) => mailbox.fail(error),
        // There is no connection to keep, so nothing to wait for.
        complete: () => mailbox.end()
      }
    })

    return ScriptedTransport.of({
      sent: Effect.sync(() => [...log]),
      transport: {
        open,
        provider: "anthropic",
        server: { url: "http://scripted.invalid", address: "scripted.invalid", port: 80 }
      }
    })
  })

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** The transport, and the log of what it was sent. @category layers @since 0.1.0 */
export const layer = (answers: Answers): Layer.Layer<ScriptedTransport | Transport> => {
  const scripted = Layer.effect(ScriptedTransport, make(answers))
  return Layer.effect(Transport, Effect.map(ScriptedTransport, ({ transport }) => transport)).pipe(
    Layer.provideMerge(scripted)
  )
}

// -----------------------------------------------------------------------------

const play = Effect.fnUntraced(function*(
  steps: ReadonlyArray<ResponsePlan.Step>,
  mailbox: Mailbox,
  clock: Clock.Clock
): Effect.fn.Return<void> {
  let failed: { readonly status: number; readonly headers: Headers; body: string } | undefined
  let responded = false
  for (const step of steps) {
    switch (step._tag) {
      case "Pause":
        yield* Effect.sleep(step.millis)
        break
      case "Head": {
        const headers = new Headers({ "request-id": "req_scripted", ...step.headers })
        if (step.status >= 400) {
          failed = { status: step.status, headers, body: "" }
          mailbox.refusal = failed
        } else mailbox.respond({ status: step.status, headers })
        responded = true
        break
      }
      case "Write":
        if (failed === undefined) mailbox.push(step.bytes)
        else failed.body += new TextDecoder().decode(step.bytes)
        break
      case "Repeat":
        return yield* Effect.forever(
          Effect.andThen(Effect.sync(() => mailbox.push(step.bytes)), Effect.sleep(step.everyMillis))
        )
      case "End":
        if (failed === undefined) return mailbox.end()
        return mailbox.fail(
          Classify.fromStatus({ ...failed, ...envelope(failed.body) }, clock.currentTimeMillisUnsafe())
        )
      case "Reset": {
        const cause = Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" })
        return mailbox.fail(
          responded
            ? Classify.fromBroken(cause)
            : Classify.fromThrown(
              Object.assign(new Error("Connection error.", { cause }), { name: "APIConnectionError" }),
              0
            )
        )
      }
      case "Hang":
        return yield* Effect.never
    }
  }
})

/** What an error's body says, read as the SDK reads it. */
const envelope = (body: string): { type?: string; code?: string; message: string } => {
  try {
    const { error } = JSON.parse(body)
    return {
      type: error.type,
      message: error.message,
      ...(error.details?.error_code === undefined ? undefined : { code: error.details.error_code })
    }
  } catch {
    return { message: "a body that is no JSON" }
  }
}

const planContext = (request: TransportRequest, index: number, now: number): ResponsePlan.Context => {
  const body = request.body as { readonly model?: unknown; readonly stream?: boolean }
  const size = JSON.stringify(request.body).length
  return {
    model: typeof body.model === "string" ? body.model : "claude-opus-5-5",
    inputTokens: Math.ceil(size / 4),
    messageId: `msg_scripted_${index}`,
    requestId: `req_scripted_${index}`,
    stream: body.stream === true,
    now,
    ...(request.path === "/v1/messages/count_tokens" ? { json: { input_tokens: Math.ceil(size / 4) } } : undefined)
  }
}
