/**
 * What is told of prompts that change while a program runs: a metric by outcome, and a log for each change and, once,
 * for each thing that is wrong.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Metrics from "../telemetry/Metrics.ts"
import type { PromptError } from "./PromptError.ts"

/** Prompts have changed; what they say cannot be used, and the last good ones stay; or they could not be read. @internal */
export type ReloadOutcome = "changed" | "refused" | "unavailable"

const reloads = Metrics.keep((outcome) =>
  Metrics.counter("claude.prompts.reloads", "{reload}", "Changes of prompts, by what became of them")({
    [outcomeLabel]: outcome
  })
)
const outcomeLabel = "claude.prompts.outcome"

/** @internal */
export const counted = (outcome: ReloadOutcome): Effect.Effect<void> => Metric.update(reloads(outcome), 1)

/** @internal */
export const changed = (names: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logInfo("claude.prompts.changed"), { prompts: names.join(", ") })

/** @internal */
export const wrong = ({ message, reason }: PromptError): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWarning("claude.prompts.refused"), { reason: reason._tag, message })
