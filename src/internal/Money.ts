/**
 * What calls may spend and what they spent: budgets, the usage report, and prompt caches that did not hit.
 *
 * Money is reserved before a call queues and settled when its attempt is over, whatever became of it. The surprise: an
 * attempt that was sent and given up costs something, too (`unbilled`); what nobody answered for is never taken for free.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Budget from "../admission/Budget.ts"
import * as Stores from "../admission/Stores.ts"
import * as Teller from "../admission/Teller.ts"
import * as UsageReport from "../admission/UsageReport.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { InputSize } from "../request/InputSize.ts"
import * as MarkedPrefixes from "../request/MarkedPrefixes.ts"
import type { AdmissionTelemetry } from "../telemetry/AdmissionTelemetry.ts"
import type { Bill } from "../telemetry/CallSpan.ts"
import type { Exchange } from "../transport/Transport.ts"
import * as Endpoint from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

/** An attempt that is about to be made. @internal */
export interface Spending {
  readonly tenant: string | undefined
  readonly model: string
  readonly size: InputSize
  readonly maxTokens: number
  readonly body: object
  /** Over SSE. */
  readonly streamed: boolean
}

/** How it ended. @internal */
export interface Ending {
  /** What it was billed, if that was told. */
  readonly bill: Bill | undefined
  /** What it failed with, if it was not given up. */
  readonly error: ClaudeError.ClaudeError | undefined
  /** What became of its request, if it was sent. */
  readonly exchange: Pick<Exchange, "refusal"> | undefined
  readonly sentAt: number
}

/** @internal */
export interface Money {
  /**
   * Reserves the most that it can cost, and settles with the scope; answers where to tell how it ended. One that never
   * came to be sent tells nothing, and costs nothing.
   */
  readonly reserve: (
    spending: Spending
  ) => Effect.Effect<(ending: Ending) => void, ClaudeError.ClaudeFatalError, Scope.Scope>
  readonly usage: Stream.Stream<Stores.UsageRow, ClaudeError.ClaudeError>
}

/** @internal */
export const make = Effect.fnUntraced(function*(
  settings: Settings.Settings,
  telemetry: AdmissionTelemetry
): Effect.fn.Return<Money, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const budgetStore = yield* Stores.Budgets
  const budgetGuard = yield* Endpoint.guard("budgets", telemetry)
  const usageStore = yield* Stores.Usage
  const usageGuard = yield* Endpoint.guard("usage", telemetry)
  const prefixes = new MarkedPrefixes.MarkedPrefixes()
  const report = usageStore === undefined ? UsageReport.makeMemory() : UsageReport.makeShared({
    store: usageStore,
    guard: usageGuard,
    teller: yield* Teller.make(usageGuard, Endpoint.PATIENCE),
    onRefused: ({ message }) => telemetry.storeUnavailable("usage", message)
  })
  const budget = Budget.make(settings.budgets, {
    pricing: settings.pricing,
    shared: budgetStore === undefined ? undefined : {
      store: budgetStore,
      guard: budgetGuard,
      teller: yield* Teller.make(budgetGuard, Endpoint.PATIENCE)
    },
    onEvent: ({ _tag, budget, ...facts }) => telemetry.budgetEvent(_tag, budget, facts),
    onLevel: ({ budget, limit, remaining, tenant, unit, windowEndsAt }) => {
      // A tenant is no label.
      if (tenant === undefined) telemetry.budget(budget, limit, remaining, unit, windowEndsAt)
    }
  })

  return {
    reserve: (spending) =>
      Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) => {
        const { body, maxTokens, model, size, streamed, tenant } = spending
        let ending: Ending | undefined
        const now = clock.currentTimeMillisUnsafe()
        const settle = (reservation: Budget.Reservation) =>
          Effect.suspend(() => {
            if (ending === undefined) return reservation.settle(Budget.nothing)
            if (ending.bill === undefined) return reservation.settle(unbilled(ending, streamed))
            const { cost, model, partial, usage } = ending.bill
            const row = UsageReport.rowOf({ at: now, tenant, model, usage, cost })
            const tokens = row.inputTokens + row.cacheReadTokens + row.cacheWriteTokens + row.outputTokens
            return Effect.andThen(
              reservation.settle({ cost, tokens, unpriced: cost === undefined, partial }),
              Effect.ignoreCause(report.add(row))
            )
          })
        const onEnd = (ended: Ending) => {
          ending = ended
          const { bill, sentAt } = ended
          const prefix = bill === undefined ? undefined : MarkedPrefixes.prefixOf(body)
          if (
            bill !== undefined && prefix !== undefined &&
            prefixes.answered(prefix, bill.usage, sentAt, clock.currentTimeMillisUnsafe())
          ) telemetry.promptCacheMissed(bill.model)
        }
        return Effect.flatMap(
          budget.reserve({ tenant, model, size, maxTokens, now }),
          (reservation) => Effect.as(Scope.addFinalizer(scope, settle(reservation)), onEnd)
        )
      })),
    usage: Stream.mapError(
      report.rows,
      ({ message }) =>
        Failure.retryable(
          new ClaudeError.ConnectionFailed({}),
          `The store of the usage report could not be read: ${message}. Try again when it is back.`,
          { type: "connection_error" }
        )
    )
  }
})

/**
 * What an attempt counts as that nobody told the bill of.
 *
 * - Never sent, never connected, or refused by the server, be it in the stream: nothing.
 * - Sent and not answered, over JSON: all that was reserved. A server that was left answers all the same, and bills it.
 * - The same over SSE: the most that its input may cost. Nothing was produced that we know of, and to close a stream ends
 *   it.
 *
 * So prompts that are given up again and again, by a timeout or by their callers, do not pass a budget. An answer that
 * had begun tells its input, and is a bill that is `partial`.
 */
const unbilled = ({ error, exchange }: Ending, streamed: boolean): Budget.Spent => {
  if (exchange === undefined || exchange.refusal !== undefined) return Budget.nothing
  if (error !== undefined && !isUnanswered(error)) return Budget.nothing
  return streamed ? Budget.unknownInput : Budget.unknown
}

/** Whether it may have reached a server that said nothing to it. What is left is what a server says, or an option. */
const isUnanswered = ({ reason, status }: ClaudeError.ClaudeError): boolean => {
  switch (reason._tag) {
    case "ConnectionFailed":
      return reason.code === undefined || !neverConnected.test(reason.code)
    case "DeadlineExceeded":
    case "InvalidResponse":
    case "StreamInterrupted":
    case "TimedOut":
      return status === undefined
    default:
      return false
  }
}

const neverConnected = /^(?:ECONNREFUSED|ENOTFOUND|EAI_\w+|EHOSTUNREACH|ENETUNREACH|ENETDOWN|UND_ERR_CONNECT_TIMEOUT)$/
