/**
 * When a failed attempt is made again: a Schedule, and what the server and the caller's deadline say.
 *
 * The schedule gives the delays and their number. The server's hint is a floor under each delay; one that is too long,
 * or ends past the deadline, fails the call at once with `retryAfter` on its error. An error's `retryHere` has the
 * last word. A budget over all calls keeps an outage from doubling the load.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as ClaudeError from "../ClaudeError.ts"

/** @category models @since 0.1.0 */
export interface RetryPolicy {
  /** The delay before each retry; its end is the last of them. */
  readonly schedule: Schedule.Schedule<unknown, ClaudeError.ClaudeError>
  /** A server's hint above this is not waited for. */
  readonly maxRetryAfter: Duration.Duration
}

/** @category options @since 0.1.0 */
export interface RetryOptions {
  /** How many retries follow the first attempt. @default 4 */
  readonly times?: number | undefined
  /** The first delay; each that follows is twice as long. @default "500 millis" */
  readonly initial?: Duration.Input | undefined
  /** The longest delay. @default "20 seconds" */
  readonly max?: Duration.Input | undefined
  /** A server's hint above this fails the call at once. @default "60 seconds" */
  readonly maxRetryAfter?: Duration.Input | undefined
}

/**
 * Exponential and jittered: what most services need.
 *
 * @throws RangeError when a number is no number of retries, or a duration is negative.
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: RetryOptions = {}): RetryPolicy => {
  const times = options.times ?? 4
  if (!Number.isInteger(times) || times < 0) {
    throw new RangeError(`RetryPolicy.make: times is ${times}; expected a whole number from 0`)
  }
  return fromSchedule(
    Schedule.min([
      Schedule.exponential(duration("initial", options.initial ?? "500 millis")),
      Schedule.spaced(duration("max", options.max ?? "20 seconds"))
    ]).pipe(Schedule.jittered, Schedule.upTo({ times })),
    options
  )
}

/**
 * Any schedule over `ClaudeError`: its delays, and its end, are the policy's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSchedule = (
  schedule: Schedule.Schedule<unknown, ClaudeError.ClaudeError>,
  options: Pick<RetryOptions, "maxRetryAfter"> = {}
): RetryPolicy => ({
  schedule,
  maxRetryAfter: duration("maxRetryAfter", options.maxRetryAfter ?? "60 seconds")
})

/** Four retries from half a second to twenty. @category constructors @since 0.1.0 */
export const standard: RetryPolicy = make()

/** One attempt. @category constructors @since 0.1.0 */
export const none: RetryPolicy = make({ times: 0 })

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
  readonly onRetry: (retry: Retry) => Effect.Effect<void>
}): (error: ClaudeError.ClaudeError) => Effect.Effect<void, ClaudeError.ClaudeError> => {
  const { budget, deadline, onRetry, policy } = options
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
      if (!error.retryHere) return Effect.fail(error)
      const wait: Pull.Pull<unknown, never, unknown> = step === undefined
        ? Effect.flatMap(Schedule.toStepWithSleep(schedule), (made) => (step = made)(error))
        : step(error)
      return Pull.matchEffect(wait, {
        onSuccess: () => Effect.void,
        onFailure: Effect.failCause,
        onDone: () => Effect.fail(late ? tooLate(error) : error)
      })
    })
}

const tooLate = (error: ClaudeError.ClaudeError) =>
  ClaudeError.fatal(
    new ClaudeError.DeadlineExceeded({}),
    `The next retry would have ended past the call's total timeout. Raise timeouts.total, or retry less. The last failure: ${error.message}`,
    {
      type: "client_timeout_error",
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

// A declaration, since `standard` is made while this module loads.
function duration(name: string, input: Duration.Input): Duration.Duration {
  // Duration reads NaN as zero.
  const parsed = Duration.fromInput(Number.isNaN(input) ? -1 : input)
  if (parsed._tag === "None" || !(Duration.toMillis(parsed.value) >= 0)) {
    throw new RangeError(`RetryPolicy.make: ${name} is ${String(input)}; expected a duration such as "2 seconds"`)
  }
  return parsed.value
}
