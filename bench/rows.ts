/** What is measured, and what is to be reached: each target is a ratio to the floor. */
import { shortDeltas } from "./fixture.ts"
import type { Job, Load, Measured } from "./worker.ts"

export interface Figure {
  readonly title: string
  readonly unit: string
  readonly digits: number
  readonly value: (measured: Measured) => number
  readonly target: number
}

export interface Row {
  readonly name: string
  readonly job: Omit<Job, "contender" | "port" | "profile">
  readonly figures: ReadonlyArray<Figure>
}

const perEvent = (title: string, events: number, target: number, digits: number): Figure => ({
  title,
  unit: "µs CPU per event",
  digits,
  value: ({ calls, cpuUs }) => cpuUs / (calls * events),
  target
})

const perCall = (title: string, target: number): Figure => ({
  title,
  unit: "µs CPU per call",
  digits: 0,
  value: ({ calls, cpuUs }) => cpuUs / calls,
  target
})

const load = (method: Load["method"], path: string, calls: number, concurrency: number, boxMs = 60_000): Load => ({
  method,
  path,
  calls,
  concurrency,
  boxMs
})

/** Many streams that are all open before the first of them goes on, after a warm-up by eight at a time. */
const together = (kind: "paced" | "fanout", streams: number, events: number, warm: number): Row["job"] => ({
  wire: "sse",
  warm: load("stream", `burst-${events}`, warm, 8),
  load: load("stream", `${kind}-${streams}-${events}`, streams, streams)
})

const shortCalls = (wire: "sse" | "json", calls: number): Row["job"] => ({
  wire,
  warm: load("message", "short", calls / 4, 64, 2000),
  load: load("message", "short", calls, 64, 5000)
})

export const rows = (quick: boolean): ReadonlyArray<Row> => {
  const many = quick ? 200 : 1000
  const paced = quick ? 100 : 200
  return [
    {
      name: "burst",
      job: {
        wire: "sse",
        warm: load("stream", "burst-5000", quick ? 2 : 6, 1, 2000),
        load: load("stream", "burst-5000", quick ? 4 : 24, 1, 4000)
      },
      figures: [perEvent("one stream of 5 000 events, written at once", 5000, 1.2, 2)]
    },
    {
      name: "paced",
      job: together("paced", paced, quick ? 50 : 200, quick ? 20 : 60),
      figures: [perEvent(`${paced} streams at once, one event to each every 10 ms`, quick ? 50 : 200, 0.9, 1)]
    },
    {
      name: "fanout",
      job: together("fanout", many, 200, quick ? 20 : 60),
      figures: [
        perEvent(`${many} streams of 200 events at once`, 200, 1.4, 2),
        { title: "peak memory there", unit: "MB RSS", digits: 0, value: ({ peakRssMb }) => peakRssMb, target: 1.45 }
      ]
    },
    {
      name: "json",
      job: shortCalls("json", quick ? 600 : 4000),
      figures: [perCall("a short call, `wire: \"json\"`, 64 at once", 1.25)]
    },
    {
      name: "folded",
      job: shortCalls("sse", quick ? 600 : 4000),
      figures: [perCall(`a short call folded from ${shortDeltas} deltas, 64 at once`, 1.5)]
    },
    {
      name: "cold",
      job: { wire: "json", load: load("message", "short", 1, 1) },
      figures: [{ title: "import and first call", unit: "ms", digits: 0, value: ({ wallMs }) => wallMs, target: 14 }]
    }
  ]
}
