/**
 * Requests of the Files API: each is attempted until one serves, with a span for each attempt.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Retrying from "../attempt/Retrying.ts"
import * as RetryPolicy from "../attempt/RetryPolicy.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Attributes from "../telemetry/Attributes.ts"
import * as AnthropicTransport from "../transport/AnthropicTransport.ts"
import * as Classify from "../transport/Classify.ts"

/** What one request is. @internal */
export interface Request {
  readonly method: "GET" | "POST" | "DELETE"
  readonly path: string
  readonly timeout: Duration.Duration
  /** The file that it is about, for what the API says when there is none. */
  readonly fileId?: string | undefined
  /** Whether an answer is one: what stands between may answer with a page of its own, and call that a success. */
  readonly isAnswer?: ((data: unknown) => boolean) | undefined
}

/** What is sent, where that has failures of its own. @internal */
export interface Source<E> {
  /** Fails where the source has. */
  readonly failed: Effect.Effect<void, E>
  /** Whether all of it can be sent again. */
  readonly isWhole: () => boolean
}

/** What was answered, as the SDK tells it. @internal */
export interface Answered<A> {
  readonly data: A
  readonly response: { readonly status: number; readonly headers: { readonly get: (name: string) => string | null } }
}

/** Makes a request, once. @internal */
export type Send<A> = (options: SendOptions) => Promise<Answered<A>>

/** @internal */
export type SendOptions = { readonly signal: AbortSignal; readonly timeout: number }

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: AnthropicTransport.AnthropicTransportOptions & { readonly retry?: RetryPolicy.RetryPolicy | undefined }
): Effect.fn.Return<Requests, ClaudeError.ClaudeFatalError, Scope.Scope> {
  const { retry = RetryPolicy.standard } = options
  const client = options.client === undefined
    ? yield* AnthropicTransport.makeClient(options)
    : options.client.withOptions({ maxRetries: 0, openTelemetry: false, logLevel: "off" })
  const clock = yield* Clock.Clock
  const budget = new Retrying.RetryBudget({ ratio: 0.2, burst: 10 })
  const base = new URL(client.baseURL)
  // A token provider makes a new token after one was refused.
  const refreshes = client.apiKey == null && client.authToken == null

  /** One attempt, with its span. */
  const attempt = <A, E, R>(
    { fileId, isAnswer = () => true, method, path, timeout }: Request,
    number: number,
    send: Effect.Effect<Send<A>, never, R | Scope.Scope>,
    failed: Effect.Effect<void, E>
  ): Effect.Effect<A, ClaudeError.ClaudeError | E, R> =>
    Effect.scoped(Effect.flatMap(send, (send) =>
      Effect.tryPromise({
        try: (signal) => send({ signal, timeout: NEVER_MILLIS }),
        catch: (thrown) =>
          named(
            Classify.fromThrown(thrown, clock.currentTimeMillisUnsafe(), AnthropicTransport.secrets(client)),
            fileId
          )
      }))).pipe(
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(timedOut("headers", timeout)) }),
        Effect.filterOrFail(({ data }) => isAnswer(data), ({ response }) => noAnswer(response)),
        Effect.catch((error) => Effect.andThen(failed, Effect.fail(Failure.enrich(error, { attempts: number })))),
        Effect.flatMap(({ data, response }) => {
          const requestId = response.headers.get("request-id")
          return Effect.as(
            Effect.annotateCurrentSpan({
              [Attributes.httpResponseStatusCode]: response.status,
              ...(requestId === null ? undefined : { [Attributes.requestId]: requestId })
            }),
            data
          )
        }),
        Effect.tapError((error) =>
          ClaudeError.isClaudeError(error)
            ? Effect.annotateCurrentSpan({
              [Attributes.errorType]: error.type,
              ...(error.status === undefined ? undefined : { [Attributes.httpResponseStatusCode]: error.status }),
              ...(error.requestId === undefined ? undefined : { [Attributes.requestId]: error.requestId })
            })
            : Effect.void
        ),
        Effect.withSpan(method, {
          kind: "client",
          attributes: {
            [Attributes.httpRequestMethod]: method,
            [Attributes.urlFull]: `${base.origin}${base.pathname.replace(/\/$/, "")}${path}`,
            [Attributes.serverAddress]: base.hostname,
            [Attributes.serverPort]: base.port === "" ? (base.protocol === "http:" ? 80 : 443) : Number(base.port),
            [Attributes.attemptNumber]: number,
            ...(number === 1 ? undefined : { [Attributes.httpRequestResendCount]: number - 1 })
          }
        }, { captureStackTrace: false })
      )

  /** Attempts of a request, until one serves. */
  const request = <A, E = never, R = never>(
    request: Request,
    send: Send<A> | Effect.Effect<Send<A>, never, R | Scope.Scope>,
    source: Source<E> = always
  ): Effect.Effect<A, ClaudeError.ClaudeError | E, R> =>
    Effect.suspend(() => {
      budget.deposit()
      let attempts = 0
      const again = Retrying.makeAgain({
        policy: retry,
        budget,
        deadline: () => Infinity,
        isForHere: () => true,
        onRetry: () => Effect.void
      })
      const loop: Effect.Effect<A, ClaudeError.ClaudeError | E, R> = Effect.suspend(() =>
        attempt(request, ++attempts, Effect.isEffect(send) ? send : Effect.succeed(send), source.failed)
      ).pipe(Effect.catch((error) => {
        if (!ClaudeError.isClaudeError(error) || !source.isWhole()) return Effect.fail(error)
        if (refreshes && attempts === 1 && error.status === 401) return loop
        return Effect.andThen(again(error), loop)
      }))
      return loop
    })

  return { client, request }
})

/** @internal */
export interface Requests {
  readonly client: AnthropicTransport.AnthropicClient
  /** Attempts of a request, until one serves. */
  readonly request: <A, E = never, R = never>(
    request: Request,
    send: Send<A> | Effect.Effect<Send<A>, never, R | Scope.Scope>,
    source?: Source<E>
  ) => Effect.Effect<A, ClaudeError.ClaudeError | E, R>
}

const always: Source<never> = { failed: Effect.void, isWhole: () => true }

/** Longer than any timeout of ours; the longest that one timer takes. */
const NEVER_MILLIS = 2 ** 31 - 1

/** @internal */
export const duration = (
  option: string,
  input: Duration.Input
): Effect.Effect<Duration.Duration, ClaudeError.ClaudeFatalError> => {
  const parsed = Duration.fromInput(Number.isNaN(input) ? -1 : input)
  return parsed._tag === "Some" && Duration.toMillis(parsed.value) > 0
    ? Effect.succeed(parsed.value)
    : Effect.fail(
      Failure.misconfigured(option, `${option} is ${String(input)}; expected a duration such as "30 seconds".`)
    )
}

/** @internal */
export const timedOut = (phase: "headers" | "idle", timeout: Duration.Duration): ClaudeError.ClaudeError =>
  Failure.retryable(
    new ClaudeError.TimedOut({ phase }),
    `The Files API sent ${phase === "idle" ? "no more bytes" : "no answer"} for ${Duration.format(timeout)}. ` +
      "Try again, or raise the timeout of Files.layer.",
    { type: "client_timeout_error" }
  )

const noAnswer = ({ headers, status }: Answered<unknown>["response"]): ClaudeError.ClaudeError =>
  Failure.retryable(
    new ClaudeError.InvalidResponse({}),
    `The answer (${status}) is none of the Files API's. Check baseURL, and what stands between here and the API.`,
    { type: "_OTHER", status, requestId: headers.get("request-id") ?? undefined }
  )

/** A 404 is about a file here. */
const named = (error: ClaudeError.ClaudeError, fileId: string | undefined): ClaudeError.ClaudeError =>
  fileId === undefined || error.reason._tag !== "NotFound" ? error : Failure.enrich(error, {
    attempts: error.attempts,
    message:
      `There is no file ${JSON.stringify(fileId.slice(0, 100))} in this key's workspace (404): it was deleted, has ` +
      "expired, or belongs to another. List them with Files.list."
  })
