/**
 * How much a run may take, and what it has taken so far.
 *
 * Each run has them anew. They are looked at between turns, the time at every moment. What an agent takes that a tool
 * runs is taken from the agent of that tool too. The surprise: a turn whose cost nobody tells reaches the limit on cost,
 * since what it was is not known.
 */
import type * as Response from "effect/ai/Response"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { FinishInfo } from "../Options.ts"
import type * as AgentStep from "./AgentStep.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** What a run is stopped at. @category options @since 0.2.0 */
export interface Limits {
  /** How often the model is asked. @default 16 */
  readonly turns?: number | undefined
  /** Input and output tokens of all answers, cached ones and those of agents below included. @default no limit */
  readonly tokens?: number | undefined
  /** In USD, of agents below too; an answer whose cost nobody tells, as that of another's model, reaches it. @default no limit */
  readonly cost?: number | undefined
  /** From the start of the run, waiting for a slow consumer and a slow tool to let go included. @default no limit */
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

/** @internal */
export const positive = (field: string, value: number): number =>
  value > 0 ? value : refuse(field, value, "a number above 0")

const refuse = (field: string, value: unknown, expected: string): never => {
  throw new RangeError(`Agent.make: ${field} is ${String(value)}; expected ${expected}.`)
}

// -----------------------------------------------------------------------------
// what was taken
// -----------------------------------------------------------------------------

const nothing: AgentStep.Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 }

/** A limit that is looked at between turns. @internal */
export type Reached = Extract<AgentStep.Reason, "turn-limit" | "token-limit" | "cost-limit">

/** What a run has come to, with the runs of agents below it. @internal */
export class Bill {
  turns = 0
  usage = nothing
  /** A sum with an unknown cost is unknown. */
  cost: number | undefined = 0
  private readonly limits: Checked
  private readonly above: Bill | undefined

  constructor(limits: Checked, above: Bill | undefined) {
    this.limits = limits
    this.above = above
  }

  /** Adds a turn, as its last part tells it: nothing where there was none. */
  add(finish: Response.FinishPart | undefined): Pick<AgentStep.TurnFinished, "usage" | "cost"> {
    const usage = finish === undefined ? nothing : usageOf(finish.usage)
    const cost = finish === undefined ? undefined : costOf(finish)
    this.take(usage, cost)
    return { usage, cost }
  }

  private take(usage: AgentStep.Usage, cost: number | undefined): void {
    const sum = this.usage
    this.usage = {
      inputTokens: sum.inputTokens + usage.inputTokens,
      outputTokens: sum.outputTokens + usage.outputTokens,
      cacheReadTokens: sum.cacheReadTokens + usage.cacheReadTokens,
      cacheWriteTokens: sum.cacheWriteTokens + usage.cacheWriteTokens
    }
    this.cost = this.cost === undefined || cost === undefined ? undefined : this.cost + cost
    this.above?.take(usage, cost)
  }

  /** The limit that leaves no room for another turn. */
  reached(): Reached | undefined {
    return this.spent() ?? (this.turns >= this.limits.turns ? "turn-limit" : undefined)
  }

  private spent(): Reached | undefined {
    const { cost, tokens } = this.limits
    if (cost !== Infinity && (this.cost === undefined || this.cost >= cost)) return "cost-limit"
    if (this.usage.inputTokens + this.usage.outputTokens >= tokens) return "token-limit"
    return this.above?.spent()
  }
}

/** The bill of the run that a tool is part of. @internal */
export const Current = Context.Reference<Bill | undefined>("effect-claude/ai/AgentLimits/Current", {
  defaultValue: () => undefined
})

const usageOf = ({ inputTokens, outputTokens }: Response.Usage): AgentStep.Usage => ({
  inputTokens: inputTokens.total ?? 0,
  outputTokens: outputTokens.total ?? 0,
  cacheReadTokens: inputTokens.cacheRead ?? 0,
  cacheWriteTokens: inputTokens.cacheWrite ?? 0
})

const costOf = ({ metadata }: Response.FinishPart): number | undefined => {
  // Other models have other metadata, or none.
  const cost = (metadata.anthropic as Partial<FinishInfo> | null | undefined)?.cost
  return Predicate.hasProperty(cost, "amount") && Predicate.isNumber(cost.amount) ? cost.amount : undefined
}
