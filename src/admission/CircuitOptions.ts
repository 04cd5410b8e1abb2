/**
 * When a circuit opens and for how long, and what is refused of that, by name.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** When a circuit opens, and for how long. @category options @since 0.2.0 */
export interface CircuitOptions {
  /** The part of the latest calls that failed at which it opens. @default 0.5 */
  readonly failureRate?: number | undefined
  /** How many of the latest calls are looked at. @default 20 */
  readonly size?: number | undefined
  /** How many there must be before it may open. @default 10 */
  readonly minimumCalls?: number | undefined
  /** How long it is open the first time; twice as long each time that its probe fails. @default "5 seconds" */
  readonly openDuration?: Duration.Input | undefined
  /** The longest that it is open, whatever the server says. @default "1 minute" */
  readonly maxOpenDuration?: Duration.Input | undefined
}

/** @internal */
export interface CircuitSettings {
  readonly tripPolicy: {
    readonly _tag: "Rate"
    readonly threshold: number
    readonly minimumCalls: number
    readonly size: number
  }
  /** In milliseconds. */
  readonly openDuration: number
  readonly maxOpenDuration: number
}

const known = ["failureRate", "size", "minimumCalls", "openDuration", "maxOpenDuration"]

const refuseAll = (options: unknown) =>
  Failure.misconfigured(
    "circuit",
    `circuit is ${String(options)}; expected an object of ${known.join(", ")}, or false for none.`
  )

/** Reads the options, naming the one that is wrong. @internal */
export const resolve = (options: CircuitOptions = {}): CircuitSettings | ClaudeError.ClaudeFatalError => {
  const refuse = (field: string, value: unknown, expected: string) =>
    Failure.misconfigured(`circuit.${field}`, `circuit.${field} is ${String(value)}; expected ${expected}.`)
  const given: unknown = options
  if (!Predicate.isObject(given)) return refuseAll(given)
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown !== undefined) return refuse(unknown, "no option", `one of ${known.join(", ")}`)
  const { failureRate = 0.5, maxOpenDuration = "1 minute", openDuration = "5 seconds", size = 20 } = options
  const minimumCalls = options.minimumCalls ?? Math.min(10, size)
  if (!(typeof failureRate === "number" && failureRate > 0 && failureRate <= 1)) {
    return refuse("failureRate", failureRate, "a part above 0, up to 1")
  }
  if (!Number.isInteger(size) || size < 1) return refuse("size", size, "a whole number of calls from 1")
  if (!Number.isInteger(minimumCalls) || minimumCalls < 1 || minimumCalls > size) {
    return refuse("minimumCalls", minimumCalls, `a whole number of calls from 1 to size (${size})`)
  }
  const open = millis(openDuration)
  const longest = millis(maxOpenDuration)
  if (!(open > 0 && Number.isFinite(open))) return refuse("openDuration", openDuration, `a time such as "5 seconds"`)
  if (!(longest >= open && Number.isFinite(longest))) {
    return refuse("maxOpenDuration", maxOpenDuration, "a finite time no shorter than openDuration")
  }
  return {
    tripPolicy: { _tag: "Rate", threshold: failureRate, minimumCalls, size },
    openDuration: open,
    maxOpenDuration: longest
  }
}

const millis = (input: Duration.Input): number => {
  const duration = Duration.fromInput(input)
  return duration._tag === "None" ? Number.NaN : Duration.toMillis(duration.value)
}
