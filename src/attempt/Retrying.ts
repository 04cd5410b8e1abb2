/**
 * Attempts made again: a policy's schedule, and what the server, the caller's deadline and the budget say to it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { RetryPolicy } from "./RetryPolicy.ts"

/** A retry that is about to be waited for. @internal */
export interface Retry {
  readonly error: ClaudeError.ClaudeError
  readonly delay: Duration.Duration
}

/**
 * Answers what to do after a failed attempt: wait and succeed when it may be made again, else fail with the call's
 * final error. One of these serves all attempts of a call, so the schedule's count is the call's.
 *
 * @internal
 */
export const makeAgain = (options: {
  readonly policy: RetryPolicy
  readonly budget: RetryBudget
  /** When the call must be over, by the clock. */
  readonly deadline: () => number
  /** Whether a failure that may be tried again is to be tried again here. */
  readonly isForHere: (error: ClaudeError.ClaudeError) => boolean
  readonly onRetry: (retry: Retry) => Effect.Effect<void>
}): (error: ClaudeError.ClaudeError) => Effect.Effect<void, ClaudeError.ClaudeError> => {
  const { budget, deadline, isForHere, onRetry, policy } = options
  let late = false
  const schedule = policy.schedule.pipe(
    Schedule.setInputType<ClaudeError.ClaudeError>(),
    Schedule.while(({ input }) =>
      input.retryHere &&
      (input.retryAfter === undefined || Duration.isLessThanOrEqualTo(input.retryAfter, policy.maxRetryAfter))
    ),
    Schedule.modifyDelay(({ duration, input }) =>
      Effect.succeed(
        Math.ceil(Math.max(Duration.toMillis(duration), Duration.toMillis(input.retryAfter ?? Duration.zero)))
      )
    ),
    // The delay is final from here on.
    Schedule.while(({ duration, input, now }) => {
      const fits = now + Duration.toMillis(duration) < deadline()
      late = !fits && input.retryAfter === undefined
      return fits && budget.withdraw()
    }),
    Schedule.tap(({ duration, input }) => onRetry({ error: input, delay: duration }))
  )
  let step: ((error: ClaudeError.ClaudeError) => Pull.Pull<unknown, never, unknown>) | undefined
  return (error) =>
    Effect.suspend(() => {
      if (!error.retryHere || !isForHere(error)) return Effect.fail(error)
      const wait: Pull.Pull<unknown, never, unknown> = step === undefined
        ? Effect.flatMap(Schedule.toStepWithSleep(schedule), (made) => (step = made)(error))
        : step(error)
      return Pull.matchEffect(wait, {
        onSuccess: () => Effect.void,
        onFailure: Effect.failCause,
        onDone: () => Effect.fail(late ? tooLate(error) : withHint(error, policy))
      })
    })
}

/** Makes an attempt until it succeeds, or `again` says that it is enough. @internal */
export const retrying = <A, R>(
  again: (error: ClaudeError.ClaudeError) => Effect.Effect<void, ClaudeError.ClaudeError>,
  attempt: Effect.Effect<A, ClaudeError.ClaudeError, R>
): Effect.Effect<A, ClaudeError.ClaudeError, R> => {
  const loop: typeof attempt = Effect.catch(attempt, (error) => Effect.andThen(again(error), loop))
  return loop
}

/** Why a server's hint was not waited for. */
const withHint = (error: ClaudeError.ClaudeError, policy: RetryPolicy): ClaudeError.ClaudeError => {
  const { retryAfter } = error
  if (retryAfter === undefined || Duration.isLessThanOrEqualTo(retryAfter, policy.maxRetryAfter)) return error
  return Failure.enrich(error, {
    attempts: error.attempts,
    message: `${error.message}. The server asks to wait ${Duration.format(retryAfter)}, longer than the policy's ` +
      `maxRetryAfter (${Duration.format(policy.maxRetryAfter)}): try again then, or raise it.`
  })
}

const tooLate = (error: ClaudeError.ClaudeError) =>
  Failure.fatal(
    new ClaudeError.DeadlineExceeded({}),
    `The next retry would have ended past the call's total timeout. Raise timeouts.total, or retry less. The last failure: ${error.message}`,
    {
      type: "client_timeout_error",
      // There is time left, if not here.
      mayFailOver: error.mayFailOver,
      status: error.status,
      requestId: error.requestId,
      usage: error.usage,
      partial: error.partial
    }
  )

/**
 * A token bucket over all calls of a client: each call brings a part of a retry, each retry takes one.
 *
 * @internal
 */
export class RetryBudget {
  private tokens: number
  private readonly ratio: number
  private readonly burst: number

  constructor(options: { readonly ratio: number; readonly burst: number }) {
    this.ratio = options.ratio
    this.burst = options.burst
    this.tokens = options.burst
  }

  deposit(): void {
    this.tokens = Math.min(this.burst, this.tokens + this.ratio)
  }

  withdraw(): boolean {
    if (this.tokens < 1) return false
    this.tokens -= 1
    return true
  }
}
