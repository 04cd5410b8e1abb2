/**
 * Retries at each target in its turn, until one serves: models, or models of other clients.
 *
 * Each target has all its retries; the call's deadline and the client's retry budget bound them together. What is down
 * is waited for only where there is nobody else to ask.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Retrying from "../attempt/Retrying.ts"
import * as RetryPolicy from "../attempt/RetryPolicy.ts"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Request from "../request/Request.ts"
import * as AnthropicTransport from "../transport/AnthropicTransport.ts"
import type { Transport } from "../transport/Transport.ts"
import type { Call, Prepared, Target } from "./Call.ts"
import type { Endpoint } from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

export interface Fallback {
  /** The first target of a call. */
  readonly home: (prepared: Prepared) => Target
  /** What to do after a failed attempt at the call's target. */
  readonly again: (call: Call) => Call["again"]
  /** Attempts at each target, until one serves; a value that was refused may go to the next, too. */
  readonly served: <A, R>(
    call: Call,
    attempt: Effect.Effect<A, ClaudeError.ClaudeError, R>,
    isRefused: (value: A) => boolean
  ) => Effect.Effect<A, ClaudeError.ClaudeError, R>
}

export const make = (
  home: Endpoint,
  endpointOf: (transport: Transport["Service"]) => Endpoint,
  retryBudget: Retrying.RetryBudget,
  scope: Scope.Scope
): Fallback => {
  const target = ({ operation, resolved, streamed }: Prepared, endpoint: Endpoint, model: string): Target => {
    const body = model === resolved.model ? resolved : Request.forModel(resolved, model)
    return { endpoint, lane: endpoint.lane(operation, model), model, body: streamed ? { ...body, stream: true } : body }
  }

  const again = (call: Call): Call["again"] =>
    Retrying.makeAgain({
      policy: call.prepared.policy.retry ?? RetryPolicy.standard,
      budget: retryBudget,
      deadline: () => call.deadline,
      isForHere: ({ reason }) => reason._tag !== "CircuitOpen" || call.fallback.length === 0,
      onRetry: ({ delay, error }) => call.span.retries(error, delay)
    })

  /** Endpoints of clients, each made once. */
  const others = new WeakMap<object, Endpoint>()
  const endpointFor = (client: NonNullable<Settings.FallbackTarget["client"]>) =>
    Effect.suspend(() => {
      const known = others.get(client)
      if (known !== undefined) return Effect.succeed(known)
      return Effect.map(Scope.provide(AnthropicTransport.make({ client }), scope), (transport) => {
        const endpoint = endpointOf(transport)
        others.set(client, endpoint)
        return endpoint
      })
    })

  /** Goes on to the next target; without an error it was a refusal. */
  const moveOn = (
    call: Call,
    to: string | Settings.FallbackTarget,
    error: ClaudeError.ClaudeError | undefined
  ): Effect.Effect<void, ClaudeError.ClaudeFatalError> => {
    const { client, model = call.prepared.resolved.model } = typeof to === "string" ? { model: to } : to
    return Effect.flatMap(client === undefined ? Effect.succeed(home) : endpointFor(client), (endpoint) => {
      call.target = target(call.prepared, endpoint, model)
      call.again = again(call)
      return call.span.failsOver(endpoint.telemetry, model, error)
    })
  }

  return {
    home: (prepared) => target(prepared, home, prepared.resolved.model),
    again,
    served: (call, attempt, isRefused) => {
      const next = (goesOn: boolean) => goesOn ? call.fallback.shift() : undefined
      const here: typeof attempt = Effect.suspend(() => Retrying.retrying(call.again, attempt)).pipe(
        Effect.flatMap((value) => {
          const to = next(call.prepared.policy.onRefusal === "fallback" && isRefused(value))
          return to === undefined ? Effect.succeed(value) : Effect.andThen(moveOn(call, to, undefined), here)
        }),
        Effect.catch((error) => {
          const to = next(error.mayFailOver)
          return to === undefined ? Effect.fail(error) : Effect.andThen(moveOn(call, to, error), here)
        })
      )
      return here
    }
  }
}
