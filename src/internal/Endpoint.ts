/**
 * What stands between a call and one place that answers: its transport, and a lane for each of its models.
 *
 * The API limits each model by itself, so each has a gate, a circuit and estimates of its own. A client of Bedrock that
 * calls fail over to is another endpoint, made when it is first asked for.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Circuit from "../admission/Circuit.ts"
import * as Gate from "../admission/Gate.ts"
import * as StoreGuard from "../admission/StoreGuard.ts"
import * as Stores from "../admission/Stores.ts"
import * as Estimate from "../request/Estimate.ts"
import * as Model from "../request/Model.ts"
import type { AdmissionTelemetry } from "../telemetry/AdmissionTelemetry.ts"
import * as CallTelemetry from "../telemetry/CallTelemetry.ts"
import type { Transport } from "../transport/Transport.ts"
import type * as Settings from "./Settings.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** The way to one model at an endpoint. @internal */
export interface Lane {
  readonly gate: Gate.Gate
  readonly circuit: Circuit.Circuit | undefined
  readonly learned: Estimate.Learned
}

/** @internal */
export interface Endpoint {
  readonly transport: Transport["Service"]
  readonly telemetry: CallTelemetry.CallTelemetry
  /** Takes the client's credentials out of a text. */
  readonly redact: (text: string) => string
  readonly lane: (operation: CallTelemetry.Operation, model: string) => Lane
}

/** How many models that the library does not know have lanes of their own at an endpoint. */
const UNKNOWN_MODELS = 100

/** How long a shared store may take, and how long it is left alone when it did not answer, in milliseconds. @internal */
export const PATIENCE = 250
const REST = 1000

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** Guards a shared store, and tells when it could not be asked. @internal */
export const guard = (name: string, telemetry: AdmissionTelemetry): Effect.Effect<StoreGuard.StoreGuard> =>
  StoreGuard.make({
    patience: PATIENCE,
    rest: REST,
    onUnavailable: (error) => telemetry.storeUnavailable(name, error?.message ?? `no answer within ${PATIENCE} ms`)
  })

/** Makes the endpoints of a client, which end with the scope. @internal */
export const makeAll = Effect.fnUntraced(function*(
  settings: Settings.Settings,
  admission: AdmissionTelemetry
): Effect.fn.Return<(transport: Transport["Service"]) => Endpoint, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const runSync = Effect.runSyncWith(yield* Effect.context<never>())
  const limits = yield* Stores.Limits
  const circuits = yield* Stores.Circuits
  const limitsGuard = yield* guard("limits", admission)
  const circuitsGuard = yield* guard("circuits", admission)
  const circuitOf = settings.circuit === undefined ? undefined : yield* Circuit.make({
    settings: settings.circuit,
    shared: circuits === undefined ? undefined : { store: circuits, guard: circuitsGuard },
    onTransition: (transition) => admission.circuit(transition.key, labelOf(transition.key), transition)
  })

  return (transport) => {
    const { account, server: { address, port } } = transport
    const lanes = new Map<string, Lane>()
    let unknown = 0

    const nameOf = (model: string): string => {
      const known = Model.lookup(model)?.label
      if (known !== undefined) return known
      if (lanes.has(`chat ${model}`) || lanes.has(`countTokens ${model}`)) return model
      return unknown++ < UNKNOWN_MODELS ? model : Model.OTHER
    }

    const make = (operation: CallTelemetry.Operation, model: string): Lane => {
      const counts = operation === "countTokens"
      const key = `${address}:${port}/${counts ? "count_tokens/" : ""}${model}`
      const gate = Gate.make({
        ...settings.admission,
        // Who takes of shared limits waits for the store, if for nothing else.
        queue: limits === undefined ? settings.admission.queue : Math.max(settings.admission.queue, Gate.LEASE),
        tenant: (name) => settings.admission.tenant(name) ?? {},
        // Counting has limits of its own, which nobody tells.
        concurrency: counts
          ? { min: settings.admission.concurrency.max, max: settings.admission.concurrency.max }
          : settings.admission.concurrency,
        rates: counts ? { limits: {}, windowMillis: 60_000, learn: false } : settings.admission.ratesOf(model),
        shared: limits === undefined || counts ? undefined : {
          key: account === undefined ? key : `${account}@${key}`,
          store: limits,
          guard: limitsGuard
        },
        onLevel: (level) => {
          if (!counts) admission.level(model, level)
        },
        onRates: (levels, told) => {
          const now = clock.currentTimeMillisUnsafe()
          for (const { kind, resetAt } of told) {
            if (resetAt !== undefined) admission.rateReset(model, kind, Math.max(0, resetAt - now) / 1000)
          }
          admission.rates(model, levels)
        }
      })
      const made = runSync(Scope.provide(gate, scope))
      if (!counts) admission.level(model, made.turns.level)
      return {
        gate: made,
        circuit: circuitOf?.(key),
        learned: new Estimate.Learned()
      }
    }

    return {
      transport,
      telemetry: CallTelemetry.make({ ...transport, pricing: settings.pricing, options: settings.telemetry }),
      redact: transport.redact ?? ((text) => text),
      lane: (operation, model) => {
        const name = nameOf(model)
        const id = `${operation} ${name}`
        let lane = lanes.get(id)
        if (lane === undefined) lanes.set(id, lane = make(operation, name))
        return lane
      }
    }
  }
})

/** A circuit's key as a label: never an id that a caller made up. */
const labelOf = (key: string): string => {
  const slash = key.lastIndexOf("/")
  return `${key.slice(0, slash)}/${Model.label(key.slice(slash + 1))}`
}
