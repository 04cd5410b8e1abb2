/**
 * What calls may spend and what they spent: budgets, the usage report, and prompt caches that did not hit.
 *
 * Money is reserved before a call queues and settled when its attempt is over, whatever became of it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Budget from "../admission/Budget.ts"
import * as Stores from "../admission/Stores.ts"
import * as UsageReport from "../admission/UsageReport.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { InputSize } from "../request/InputSize.ts"
import * as MarkedPrefixes from "../request/MarkedPrefixes.ts"
import type { AdmissionTelemetry } from "../telemetry/AdmissionTelemetry.ts"
import type { Bill } from "../telemetry/CallSpan.ts"
import * as Endpoint from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

/** An attempt that is about to be made. */
export interface Spending {
  readonly tenant: string | undefined
  readonly model: string
  readonly size: InputSize
  readonly maxTokens: number
  readonly body: object
}

export interface Money {
  /** Reserves the most that it can cost, and settles with the scope; answers where to tell what it was billed. */
  readonly reserve: (
    spending: Spending
  ) => Effect.Effect<(bill: Bill, sentAt: number) => void, ClaudeError.ClaudeFatalError, Scope.Scope>
  readonly usage: Stream.Stream<Stores.UsageRow, ClaudeError.ClaudeError>
}

export const make = Effect.fnUntraced(function*(
  settings: Settings.Settings,
  telemetry: AdmissionTelemetry
): Effect.fn.Return<Money> {
  const clock = yield* Clock.Clock
  const budgetStore = yield* Stores.Budgets
  const budgetGuard = yield* Endpoint.guard("budgets", telemetry)
  const usageStore = yield* Stores.Usage
  const usageGuard = yield* Endpoint.guard("usage", telemetry)
  const prefixes = new MarkedPrefixes.MarkedPrefixes()
  const ownUsage = UsageReport.makeMemory()
  const budget = Budget.make(settings.budgets, {
    pricing: settings.pricing,
    shared: budgetStore === undefined ? undefined : { store: budgetStore, guard: budgetGuard },
    onEvent: ({ _tag, budget, ...facts }) => telemetry.budgetEvent(_tag, budget, facts),
    onLevel: (name, limit, remaining, tenant) => {
      // A tenant is no label.
      if (tenant === undefined) telemetry.budget(name, limit, remaining)
    }
  })

  const report = (row: Stores.UsageRow): Effect.Effect<void> =>
    usageStore === undefined
      ? Effect.ignoreCause(ownUsage.add(row))
      : Effect.asVoid(usageGuard.ask(usageStore.add(row), Effect.ignoreCause(ownUsage.add(row))))

  return {
    reserve: (spending) =>
      Effect.gen(function*() {
        const { body, maxTokens, model, size, tenant } = spending
        let bill: Bill | undefined
        const now = clock.currentTimeMillisUnsafe()
        const settle = (reservation: Budget.Reservation) =>
          Effect.suspend(() => {
            // What was given up before it answered anything is taken as not billed: an outage must not eat the budget.
            if (bill === undefined) return reservation.settle(Budget.nothing)
            const { cost, model, partial, usage } = bill
            const row = UsageReport.rowOf({ at: now, tenant, model, usage, cost })
            const tokens = row.inputTokens + row.cacheReadTokens + row.cacheWriteTokens + row.outputTokens
            return Effect.andThen(
              reservation.settle({ cost, tokens, unpriced: cost === undefined, partial }),
              report(row)
            )
          })
        yield* Effect.acquireRelease(budget.reserve({ tenant, model, size, maxTokens, now }), settle)
        return (billed: Bill, sentAt: number) => {
          bill = billed
          const prefix = MarkedPrefixes.prefixOf(body)
          if (
            prefix !== undefined &&
            prefixes.answered(prefix, billed.usage, sentAt, clock.currentTimeMillisUnsafe())
          ) telemetry.promptCacheMissed(billed.model)
        }
      }),
    usage: Stream.mapError(
      usageStore === undefined ? ownUsage.rows : usageStore.rows,
      ({ message }) =>
        Failure.retryable(
          new ClaudeError.ConnectionFailed({}),
          `The store of the usage report could not be read: ${message}. Try again when it is back.`,
          { type: "connection_error" }
        )
    )
  }
})
