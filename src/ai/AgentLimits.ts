/**
 * How much a run may take, and what it has taken so far.
 *
 * Limits are looked at between turns, the time at every moment. The surprise: a turn whose cost nobody tells reaches
 * the limit on cost, since what it was is not known.
 */
import type * as Response from "effect/ai/Response"
import * as Duration from "effect/Duration"
import type * as AgentStep from "./AgentStep.ts"
import type { FinishInfo } from "./Options.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** What a run is stopped at. @category options @since 0.2.0 */
export interface Limits {
  /** How often the model is asked. @default 16 */
  readonly turns?: number | undefined
  /** Input and output tokens of all turns, cached ones included. @default no limit */
  readonly tokens?: number | undefined
  /** In USD, by the cost that our models tell. @default no limit */
  readonly cost?: number | undefined
  /** From the start of the run, waiting for a slow consumer included. @default no limit */
  readonly time?: Duration.Input | undefined
}

/** @internal */
export interface Checked {
  readonly turns: number
  readonly tokens: number
  readonly cost: number
  /** In milliseconds. */
  readonly time: number
}

/** Limits that can be meant. @internal */
export const check = (...all: ReadonlyArray<Limits | undefined>): Checked => {
  const pick = <K extends keyof Limits>(name: K) => all.findLast((limits) => limits?.[name] !== undefined)?.[name]
  const time = pick("time")
  return {
    turns: whole("limits.turns", pick("turns") ?? 16),
    tokens: positive("limits.tokens", pick("tokens") ?? Infinity),
    cost: positive("limits.cost", pick("cost") ?? Infinity),
    time: time === undefined ? Infinity : millis("limits.time", time)
  }
}

/** @internal */
export const whole = (field: string, value: number): number =>
  Number.isSafeInteger(value) && value > 0 ? value : refuse(field, value, "a whole number from 1")

/** @internal */
export const millis = (field: string, input: Duration.Input): number => {
  const duration = Duration.fromInput(input)
  return duration._tag === "Some" && Duration.toMillis(duration.value) > 0
    ? Duration.toMillis(duration.value)
    : refuse(field, input, "a time longer than nothing")
}

const positive = (field: string, value: number): number => value > 0 ? value : refuse(field, value, "a number above 0")

const refuse = (field: string, value: unknown, expected: string): never => {
  throw new RangeError(`Agent.make: ${field} is ${String(value)}; expected ${expected}.`)
}

// -----------------------------------------------------------------------------
// what was taken
// -----------------------------------------------------------------------------

const nothing: AgentStep.Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 }

/** What the turns of a run have come to. @internal */
export class Bill {
  turns = 0
  usage = nothing
  /** A sum with an unknown cost is unknown. */
  cost: number | undefined = 0

  /** Adds a turn, as its last part tells it: nothing where there was none. */
  add(finish: Response.FinishPart | undefined): Pick<AgentStep.TurnFinished, "usage" | "cost"> {
    const usage = finish === undefined ? nothing : usageOf(finish.usage)
    const cost = finish === undefined ? undefined : costOf(finish)
    const sum = this.usage
    this.usage = {
      inputTokens: sum.inputTokens + usage.inputTokens,
      outputTokens: sum.outputTokens + usage.outputTokens,
      cacheReadTokens: sum.cacheReadTokens + usage.cacheReadTokens,
      cacheWriteTokens: sum.cacheWriteTokens + usage.cacheWriteTokens
    }
    this.cost = this.cost === undefined || cost === undefined ? undefined : this.cost + cost
    return { usage, cost }
  }

  /** The limit that leaves no room for another turn. */
  reached(limits: Checked): AgentStep.Reason | undefined {
    if (limits.cost !== Infinity && (this.cost === undefined || this.cost >= limits.cost)) return "cost-limit"
    if (this.usage.inputTokens + this.usage.outputTokens >= limits.tokens) return "token-limit"
    return this.turns >= limits.turns ? "turn-limit" : undefined
  }
}

const usageOf = ({ inputTokens, outputTokens }: Response.Usage): AgentStep.Usage => ({
  inputTokens: inputTokens.total ?? 0,
  outputTokens: outputTokens.total ?? 0,
  cacheReadTokens: inputTokens.cacheRead ?? 0,
  cacheWriteTokens: inputTokens.cacheWrite ?? 0
})

const costOf = ({ metadata }: Response.FinishPart): number | undefined => {
  // Other models have other metadata, or none.
  const cost = (metadata.anthropic as Partial<FinishInfo> | null | undefined)?.cost
  const amount = typeof cost === "object" && cost !== null && "amount" in cost ? cost.amount : undefined
  return typeof amount === "number" ? amount : undefined
}
