/**
 * How an agent runs its tools: how many at once, for how long, how often, and who approves.
 *
 * What holds for all of them is said once, and otherwise for one of them in `each`.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as AgentLimits from "./AgentLimits.ts"
import type * as AgentStep from "./AgentStep.ts"
import type { ToolFailure } from "./AgentToolFailure.ts"
import type { Approval } from "./AgentTranscript.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** How a tool is run. @category options @since 0.2.0 */
export interface ToolOptions {
  /** How long an attempt may take; `Infinity` for ever. @default "1 minute" */
  readonly timeout?: Duration.Input | undefined
  /** When an attempt that failed or timed out is followed by another. @default never */
  readonly retry?: Schedule.Schedule<unknown, ToolFailure> | undefined
}

/** How tools are run. @category options @since 0.2.0 */
export interface ToolsOptions<Name extends string = string> extends ToolOptions {
  /** How many run at once. @default 8 */
  readonly concurrency?: number | undefined
  /** What is otherwise for one of them. */
  readonly each?: { readonly [K in Name]?: ToolOptions | undefined } | undefined
}

/** @internal */
export interface Settings {
  readonly concurrency: number
  readonly of: (name: string) => { readonly timeout: number; readonly retry: ToolOptions["retry"] }
  readonly approve:
    | ((request: AgentStep.ApprovalRequest) => Effect.Effect<boolean | Approval>)
    | undefined
}

/** @internal */
export const check = (options: ToolsOptions = {}, approve: Settings["approve"]): Settings => {
  const timeout = AgentLimits.millis("tools.timeout", options.timeout ?? "1 minute")
  const each = new Map(
    Object.entries<ToolOptions | undefined>(options.each ?? {}).map(([name, own]) => [name, {
      timeout: own?.timeout === undefined ? timeout : AgentLimits.millis(`tools.each.${name}.timeout`, own.timeout),
      retry: own?.retry ?? options.retry
    }])
  )
  const others = { timeout, retry: options.retry }
  return {
    concurrency: AgentLimits.whole("tools.concurrency", options.concurrency ?? 8),
    of: (name) => each.get(name) ?? others,
    approve
  }
}
