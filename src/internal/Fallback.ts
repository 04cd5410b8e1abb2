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
import * as Failure from "../Failure.ts"
import * as Request from "../request/Request.ts"
import * as AnthropicTransport from "../transport/AnthropicTransport.ts"
import type { Transport } from "../transport/Transport.ts"
import type { Call, Prepared, Target } from "./Call.ts"
import type { Endpoint } from "./Endpoint.ts"
import type * as Settings from "./Settings.ts"

/** @internal */
export interface Fallback {
  /** The first target of a call. */
  readonly home: (prepared: Prepared) => Target
  /** What to do after a failed attempt at the call's target. */
  readonly again: (call: Call) => Call["again"]
  /**
   * Attempts at each target, until one serves; a value that was refused may go to the next, too. With what broke after
   * an attempt had served, it goes on from there.
   */
  readonly served: <A, R>(
    call: Call,
    attempt: Effect.Effect<A, ClaudeError.ClaudeError, R>,
    isRefused: (value: A) => boolean,
    broken?: ClaudeError.ClaudeError
  ) => Effect.Effect<A, ClaudeError.ClaudeError, R>
}

/** @internal */
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

  /** The next target that is another than the one that was asked. */
  const next = (call: Call): string | Settings.FallbackTarget | undefined => {
    for (;;) {
      const to = call.fallback.shift()
      if (to === undefined) return undefined
      const { client, model = call.prepared.resolved.model } = typeof to === "string" ? { model: to } : to
      if (client !== undefined || model !== call.target.model || call.target.endpoint !== home) return to
    }
  }

  return {
    home: (prepared) => target(prepared, home, prepared.resolved.model),
    again,
    served: <A, R>(
      call: Call,
      attempt: Effect.Effect<A, ClaudeError.ClaudeError, R>,
      isRefused: (value: A) => boolean,
      broken?: ClaudeError.ClaudeError
    ) => {
      /** What an earlier target ended with that others may serve, and the answer of one that refused. */
      let before: ClaudeError.ClaudeError | undefined
      let refused: { readonly value: A; readonly restore: () => void } | undefined

      const attempts = Effect.suspend(() => Retrying.retrying(call.again, attempt))
      const here = (attempts: Effect.Effect<A, ClaudeError.ClaudeError, R>): typeof attempts =>
        Effect.matchEffect(attempts, {
          onSuccess: (value) => {
            const to = call.prepared.policy.onRefusal === "fallback" && isRefused(value) ? next(call) : undefined
            if (to === undefined) return Effect.succeed(value)
            refused = { value, restore: remember(call) }
            return Effect.andThen(moveOn(call, to, undefined), there)
          },
          onFailure: (error) => {
            const to = error.mayFailOver ? next(call) : undefined
            if (to === undefined) {
              if (refused === undefined) return Effect.fail(told(call, before, error))
              refused.restore()
              return Effect.succeed(refused.value)
            }
            before = error
            return Effect.andThen(moveOn(call, to, error), there)
          }
        })
      const there: typeof attempts = Effect.suspend(() => here(attempts))
      return broken === undefined ? there : here(Effect.andThen(call.again(broken), attempts))
    }
  }
}

/** Who answered, to be said again where nobody does after that. */
const remember = (call: Call): () => void => {
  const { accumulator, target } = call
  const restore = call.span.remember()
  return () => {
    Object.assign(call, { accumulator, target })
    restore()
  }
}

/** What a later target cannot do at all is no reason to think that the call will never work. */
const told = (
  { target: { model } }: Call,
  before: ClaudeError.ClaudeError | undefined,
  error: ClaudeError.ClaudeError
): ClaudeError.ClaudeError =>
  before === undefined || error.mayFailOver || error.reason._tag === "DeadlineExceeded"
    ? error
    : Failure.enrich(before, {
      attempts: before.attempts,
      message: `${before.message}\nThen ${model} was asked, too: ${error.message}`
    })
