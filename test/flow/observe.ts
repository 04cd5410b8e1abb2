/** What the tests of the call path look at from outside: spans, fibers, gauges, console, warnings, timers. */
import { Context, Effect, type Exit, Layer, Logger, Metric, References, type Scope, Tracer } from "effect"

export interface Observed {
  readonly spans: ReadonlyArray<Tracer.NativeSpan>
  readonly logs: ReadonlyArray<string>
  /** Fibers that were started below it and have not ended. */
  readonly fibers: () => number
  readonly metrics: () => ReadonlyArray<Metric.Metric.Snapshot>
  /** What is counted up and down, where it is not zero: a level is no such count. */
  readonly gauges: () => Readonly<Record<string, number>>
  /** A tracer, a metric registry, a fiber count and a logger of its own, for all that is built upon it. */
  readonly layer: Layer.Layer<never>
}

export const observe = (): Observed => {
  const spans: Array<Tracer.NativeSpan> = []
  const logs: Array<string> = []
  let fibers = 0
  const registry: Context.Service.Shape<typeof Metric.MetricRegistry> = new Map()
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const metrics = () => Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, registry))
  return {
    spans,
    logs,
    fibers: () => fibers,
    metrics,
    gauges: () =>
      Object.fromEntries(
        metrics().flatMap((metric) =>
          metric.type === "Gauge" && counts.test(metric.id) && Number(metric.state.value) !== 0
            ? [[metric.id, Number(metric.state.value)]]
            : []
        )
      ),
    layer: Layer.mergeAll(
      Layer.succeed(Tracer.Tracer, tracer),
      Layer.succeed(Metric.MetricRegistry, registry),
      Layer.succeed(Metric.FiberRuntimeMetrics, {
        recordFiberStart: () => void fibers++,
        recordFiberEnd: () => void fibers--
      }),
      Layer.succeed(References.MinimumLogLevel, "All"),
      Logger.layer([Logger.map(Logger.formatJson, (line) => void logs.push(line))])
    )
  }
}

/** The gauges that count up and down. */
const counts = /\.(active_requests|active_streams|queue\.depth)$/

/** No logs, where failures are meant. */
export const quiet: Layer.Layer<never> = Logger.layer([])

/** The names of spans that have begun and not ended. */
export const unended = (spans: ReadonlyArray<Tracer.NativeSpan>): ReadonlyArray<string> =>
  spans.filter((span) => span.status._tag !== "Ended").map((span) => span.name)

/** Seconds that a span took. */
export const secondsOf = (span: Tracer.NativeSpan): number =>
  span.status._tag === "Ended" ? Number(span.status.endTime - span.status.startTime) / 1e9 : Number.NaN

/** Looks again, on the machine's clock, until it is so; answers what it was in the end. */
export const settle = <A>(look: () => A, so: (value: A) => boolean, millis = 5_000): Effect.Effect<A> =>
  Effect.promise(async () => {
    const end = performance.now() + millis
    let value = look()
    while (!so(value) && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      value = look()
    }
    return value
  })

/** Timers that keep the process alive. */
export const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

/** The warnings of the process while the effect ran. */
export const warnings: Effect.Effect<ReadonlyArray<Error>, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const seen: Array<Error> = []
    const listener = (warning: Error) => void seen.push(warning)
    process.on("warning", listener)
    return { seen, listener }
  }),
  ({ listener }) => Effect.sync(() => process.off("warning", listener))
).pipe(Effect.map(({ seen }) => seen))

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
export const seeded = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The errors and defects of an exit, as one line. */
export const tell = (exit: Exit.Exit<unknown, unknown>): string =>
  exit._tag === "Success"
    ? "success"
    : exit.cause.reasons.map((reason) =>
      reason._tag === "Fail"
        ? `fail ${String((reason.error as { reason?: { _tag?: string } })?.reason?._tag ?? reason.error)}`
        : reason._tag === "Die"
        ? `die ${String(reason.defect)}`
        : "interrupt"
    ).join(", ")
