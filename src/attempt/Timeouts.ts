/**
 * The timeouts of a call. `headers`, `firstContent` and `idle` end one attempt, which may be retried; `total` ends the
 * call, its waits and retries included.
 *
 * Only a pending read is timed, so a consumer that takes its time never trips `idle`; any byte counts, pings too.
 */
import * as Duration from "effect/Duration"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

/** @category options @since 0.1.0 */
export interface TimeoutOptions {
  /** From the sending of a request to the headers of its response. @default "30 seconds" */
  readonly headers?: Duration.Input | undefined
  /** From the sending of a request to the first content of its answer. @default "2 minutes" */
  readonly firstContent?: Duration.Input | undefined
  /** Between two reads. @default "30 seconds" */
  readonly idle?: Duration.Input | undefined
  /**
   * The deadline of the whole call; of a stream, until its first content.
   *
   * @default the longer of 10 minutes and 60 minutes × max_tokens / 128 000
   */
  readonly total?: Duration.Input | undefined
}

/** Resolved to milliseconds. @category models @since 0.1.0 */
export interface Timeouts {
  readonly headers: number
  readonly firstContent: number
  readonly idle: number
  readonly total: number | undefined
}

const names = ["headers", "firstContent", "idle", "total"] as const

const defaults: Timeouts = { headers: 30_000, firstContent: 120_000, idle: 30_000, total: undefined }

/** Reads the options, naming the one that is no positive time. @internal */
export const resolve = (options: TimeoutOptions | undefined): Timeouts | ClaudeError.ClaudeFatalError => {
  if (options === undefined) return defaults
  const timeouts: { -readonly [K in keyof Timeouts]: Timeouts[K] } = { ...defaults }
  for (const name of names) {
    const input = options[name]
    if (input === undefined) continue
    const millis = Duration.fromInput(input)
    const value = millis._tag === "None" ? Number.NaN : Duration.toMillis(millis.value)
    if (!(value > 0 && Number.isFinite(value))) {
      return Failure.misconfigured(
        `timeouts.${name}`,
        `timeouts.${name} is ${String(input)}; expected a finite time above zero, such as "30 seconds".`
      )
    }
    timeouts[name] = value
  }
  return timeouts
}
