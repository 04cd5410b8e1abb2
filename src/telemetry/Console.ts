/**
 * Prints each call as a waterfall when it ends: the call, its waits and its attempts on one scale, then tokens and cost.
 *
 * For a terminal in development. It wraps the tracer that is there, so that spans still reach their exporter.
 *
 * The surprise: a layer that is merged beside it brings a tracer of its own and one of the two is lost. Provide the exporter
 * to it instead: `layerConsole().pipe(Layer.provideMerge(layerOtlp()))`.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as Attributes from "./Attributes.ts"
import { type Call, waterfall } from "./Waterfall.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Where the console layer writes: `process.stdout` is one. @category models @since 0.1.0 */
export interface ConsoleOutput {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.1.0 */
export interface ConsoleOptions {
  /** @default process.stdout */
  readonly output?: ConsoleOutput | undefined
  /** Columns of a line. @default the terminal's, at most 120; 96 where there is none */
  readonly width?: number | undefined
  /** @default on a terminal, unless NO_COLOR is set */
  readonly colors?: boolean | undefined
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** Prints a waterfall of each call. @category layers @since 0.1.0 */
export const layerConsole = (options: ConsoleOptions = {}): Layer.Layer<never> =>
  Layer.effect(
    Tracer.Tracer,
    Effect.gen(function*() {
      const output: ConsoleOutput = options.output ?? process.stdout
      const noColor = yield* Effect.option(Config.String("NO_COLOR"))
      const colors = options.colors ?? (output.isTTY === true && Option.getOrElse(noColor, () => "") === "")
      return watch(yield* Effect.tracer, (call) => {
        const width = options.width ?? (output.isTTY === true ? Math.min(output.columns ?? 96, 120) : 96)
        // One write for a call, so that calls which end together do not mix their lines.
        output.write(waterfall(call, Math.max(width, 40), colors))
      })
    })
  )

// -----------------------------------------------------------------------------
// spans
// -----------------------------------------------------------------------------

/** More than a call with all its retries has; nested work of a tool may have any number. */
const maxRows = 40

const watch = (tracer: Tracer.Tracer, print: (call: Call) => void): Tracer.Tracer => {
  const known = new WeakMap<Tracer.AnySpan, { readonly call: Call; readonly depth: number }>()
  return Tracer.make({
    context: tracer.context,
    span(options) {
      const span = tracer.span(options)
      const parent = Option.isSome(options.parent) ? known.get(options.parent.value) : undefined
      if (parent !== undefined) {
        const { call } = parent
        known.set(span, { call, depth: parent.depth + 1 })
        add(call, { span, depth: parent.depth + 1 })
      } else if (span.sampled && isCall(span)) {
        const call: Call = { span, rows: [{ span, depth: 0 }], omitted: 0, firstContentAt: undefined }
        known.set(span, { call, depth: 0 })
        listen(call, print)
      }
      return span
    }
  })
}

const add = (call: Call, row: Call["rows"][number]): void => {
  if (call.rows.length < maxRows) call.rows.push(row)
  else call.omitted++
}

const isCall = (span: Tracer.Span): boolean =>
  span.kind === "client" &&
  Object.values(Attributes.operation).some((operation) => span.name.startsWith(`${operation} `))

/** The methods of the span itself are replaced: a wrapper around it would no longer be what its tracer knows as its own. */
const listen = (call: Call, print: (call: Call) => void): void => {
  const { span } = call
  const { end, event } = span
  span.event = (name, time, attributes) => {
    if (name === Attributes.firstContentEvent) call.firstContentAt ??= time
    else if (name === Attributes.fallbackEvent) add(call, { at: time, attributes })
    event.call(span, name, time, attributes)
  }
  span.end = (time, exit) => {
    if (span.status._tag === "Ended") return
    end.call(span, time, exit)
    if (!span.attributes.has(Attributes.operationName)) return
    try {
      print(call)
    } catch {
      // An output that cannot be written to must not fail the call that ends here.
    }
  }
}
