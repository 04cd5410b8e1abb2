/**
 * The gauges of rate limits: what a response told of them, until its reset has passed.
 *
 * What is left of a limit is true for seconds, and nobody may come by to say so: from its reset on a limit is not
 * shown at all until it is told again, rather than as it once was. The surprise: limits that come without a reset show
 * how large they are, and nothing else, since nobody could say for how long it holds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { AdmissionSeries } from "./AdmissionMetrics.ts"

/** @internal */
export interface RateGauges {
  /** When a limit is whole again, by the clock; told before its level. */
  readonly reset: (model: string, kind: string, resetAt: number) => void
  readonly level: (model: string, kind: string, limit: number, remaining: number) => void
}

/** A limit that was told with its reset. */
interface Told {
  readonly key: string
  resetAt: number
  limit: number
  remaining: number
  shown: ReadonlyArray<Metric.Registration>
}

/** What is shown in each registry: of several clients the latest to tell wins, as with any gauge. */
const shownIn = new WeakMap<object, Map<string, Told>>()

/** Gauges in the registry of `context`. @internal */
export const make = Effect.fnUntraced(function*(
  series: AdmissionSeries,
  context: Context.Context<never>
): Effect.fn.Return<RateGauges, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const registry = Context.get(context, Metric.MetricRegistry)
  const shown = shownIn.get(registry) ?? new Map<string, Told>()
  shownIn.set(registry, shown)
  const all = new Map<string, Told>()

  // One fiber at most, which sleeps until the next reset.
  let sleeper: Fiber.Fiber<void> | undefined
  let wakesAt = Infinity
  // What the client was told last is still to be exported when it ends.
  yield* Effect.addFinalizer(() => Effect.sync(() => sleeper?.interruptUnsafe()))

  const wakeAt = (at: number): void => {
    if (at >= wakesAt) return
    sleeper?.interruptUnsafe()
    wakesAt = at
    sleeper = fork(Effect.andThen(Effect.sleep(Math.max(0, Math.ceil(at - now()))), Effect.sync(sweep)))
  }

  const sweep = (): void => {
    sleeper = undefined
    wakesAt = Infinity
    let next = Infinity
    for (const told of all.values()) {
      if (told.resetAt > now()) next = Math.min(next, told.resetAt)
      else {
        hide(told)
        all.delete(told.key)
      }
    }
    wakeAt(next)
  }

  const hide = (told: Told): void => {
    for (const registration of told.shown) registration.remove()
    if (shown.get(told.key) === told) shown.delete(told.key)
  }

  /** Registered once, and read as they are whenever somebody reads them. */
  const show = (told: Told, model: string, kind: string): void => {
    const register = (gauge: Metric.Gauge<number>, value: (isOver: boolean) => number) =>
      Metric.registerUnsafe(gauge, context, {
        get: () => {
          const isOver = now() >= told.resetAt
          // Nobody sweeps for a client that has ended.
          if (isOver) hide(told)
          return { value: value(isOver) }
        },
        update: ignore,
        modify: ignore
      })
    shown.set(told.key, told)
    told.shown = [
      register(series.limit(kind)(model), () => told.limit),
      register(series.remaining(kind)(model), (isOver) => isOver ? told.limit : told.remaining),
      register(series.reset(kind)(model), () => Math.max(0, told.resetAt - now()) / 1000)
    ]
  }

  return {
    reset: (model, kind, resetAt) => {
      const key = `${kind} ${model}`
      const told = all.get(key)
      if (told === undefined) all.set(key, { key, resetAt, limit: 0, remaining: 0, shown: [] })
      else told.resetAt = resetAt
      wakeAt(resetAt)
    },
    level: (model, kind, limit, remaining) => {
      const key = `${kind} ${model}`
      const told = all.get(key)
      if (told === undefined) {
        series.limit(kind)(model).updateUnsafe(limit, context)
        return
      }
      told.limit = limit
      told.remaining = remaining
      if (shown.get(key) !== told) show(told, model, kind)
    }
  }
})

const ignore = (): void => {}
