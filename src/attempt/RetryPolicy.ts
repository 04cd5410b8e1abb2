/**
 * When a failed attempt is made again: a Schedule, and what the server and the caller's deadline say.
 *
 * The schedule gives the delays and their number. The server's hint is a floor under each delay; one that is too long,
 * or ends past the deadline, fails the call at once with `retryAfter` on its error. An error's `retryHere` has the
 * last word. A budget over all calls keeps an outage from doubling the load.
 */
import * as Duration from "effect/Duration"
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

// A declaration, since `standard` is made while this module loads.
function duration(name: string, input: Duration.Input): Duration.Duration {
  // Duration reads NaN as zero.
  const parsed = Duration.fromInput(Number.isNaN(input) ? -1 : input)
  if (parsed._tag === "None" || !(Duration.toMillis(parsed.value) >= 0)) {
    throw new RangeError(`RetryPolicy.make: ${name} is ${String(input)}; expected a duration such as "2 seconds"`)
  }
  return parsed.value
}
