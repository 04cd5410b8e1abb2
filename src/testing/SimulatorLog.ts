/**
 * What the simulator saw: every request with its credential redacted, what became of it, and how many came at once.
 *
 * A log is a snapshot. Times are milliseconds since the epoch, with their fraction.
 */
import type { IncomingHttpHeaders } from "node:http"

/** What became of a request. @category models @since 0.1.0 */
export type Outcome =
  /** It is being answered. */
  | "open"
  /** The whole answer was sent, be it a good one or an error. */
  | "complete"
  /** The client closed the connection first. */
  | "clientClosed"
  /** The simulator cut the connection: by script, or because it was told to. */
  | "cut"

/** One request. @category models @since 0.1.0 */
export interface Entry {
  /** The first request is 0. */
  readonly index: number
  readonly requestId: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Parsed where it is JSON, else the text; `undefined` while it has not arrived, or where there is none. */
  readonly body: unknown
  /** Which attempt the client says this is (`x-stainless-retry-count` + 1). */
  readonly attempt: number
  readonly status: number | undefined
  readonly outcome: Outcome
  /** How much of the body was handed to the connection. */
  readonly bytesSent: number
  readonly arrivedAt: number
  readonly firstByteAt: number | undefined
  /** The last byte of a whole answer was sent. */
  readonly finishedAt: number | undefined
  /** Nothing more happens to it: finished, cut, or closed by the client. */
  readonly closedAt: number | undefined
}

/** What was seen until now. @category models @since 0.1.0 */
export interface SimulatorLog {
  /** In order of arrival; the oldest are forgotten past the limit. */
  readonly entries: ReadonlyArray<Entry>
  /** How many requests came, also those that are forgotten. */
  readonly requests: number
  /** How many messages are being answered now, refusals aside. */
  readonly inFlight: number
  /** The most messages that were answered at once. */
  readonly maxInFlight: number
  /** How many answers the client did not wait for. */
  readonly earlyCloses: number
  /** Requests that came in outages, and those of them that the client says are not its first attempt. */
  readonly duringOutage: { readonly requests: number; readonly retries: number }
  /** Connections: now, and ever. */
  readonly sockets: { readonly open: number; readonly opened: number }
}

/** An entry while it is written. @category models @since 0.1.0 */
export type Draft = { -readonly [K in keyof Entry]: Entry[K] }

/** The book that the server keeps. @category models @since 0.1.0 */
export interface Recorder {
  readonly arrived: (request: {
    readonly requestId: string
    readonly method: string
    readonly path: string
    readonly headers: IncomingHttpHeaders
  }) => Draft
  readonly refusedByOutage: (entry: Draft) => void
  readonly admitted: () => void
  readonly released: () => void
  readonly inFlight: () => number
  readonly closed: (entry: Draft, outcome: Outcome) => void
  readonly socketOpened: () => void
  readonly socketClosed: () => void
  /** Something changed that those who wait may wait for. */
  readonly changed: () => void
  readonly snapshot: () => SimulatorLog
  readonly clear: () => void
  /** Milliseconds since the epoch, with their fraction. */
  readonly now: () => number
  /** Shows each new state until `look` is satisfied; answers how to give up. */
  readonly watch: (look: (log: SimulatorLog) => boolean) => () => void
}

/** @category constructors @since 0.1.0 */
export const make = (limit: number): Recorder => {
  let entries: Array<Draft> = []
  let requests = 0
  let inFlight = 0
  let maxInFlight = 0
  let earlyCloses = 0
  let duringOutage = { requests: 0, retries: 0 }
  let open = 0
  let opened = 0
  let check: NodeJS.Immediate | undefined
  const waiting = new Set<() => void>()

  const snapshot = (): SimulatorLog => ({
    entries: entries.map((entry) => ({ ...entry })),
    requests,
    inFlight,
    maxInFlight,
    earlyCloses,
    duringOutage,
    sockets: { open, opened }
  })
  // Once a turn of the event loop: under load, a snapshot for every change would be quadratic.
  const changed = () => {
    if (waiting.size === 0 || check !== undefined) return
    check = setImmediate(() => {
      check = undefined
      for (const tick of waiting) tick()
    })
  }

  return {
    arrived: ({ headers, method, path, requestId }) => {
      const entry: Draft = {
        index: requests++,
        requestId,
        method,
        path,
        headers: redacted(headers),
        body: undefined,
        attempt: 1 + (Number(headers["x-stainless-retry-count"]) || 0),
        status: undefined,
        outcome: "open",
        bytesSent: 0,
        arrivedAt: now(),
        firstByteAt: undefined,
        finishedAt: undefined,
        closedAt: undefined
      }
      entries.push(entry)
      // In lumps: shifting the array at every request would move all of it.
      if (entries.length >= 2 * limit) entries = entries.slice(-limit)
      changed()
      return entry
    },
    refusedByOutage: ({ attempt }) => {
      const { requests, retries } = duringOutage
      duringOutage = { requests: requests + 1, retries: retries + (attempt > 1 ? 1 : 0) }
      changed()
    },
    admitted: () => {
      inFlight++
      maxInFlight = Math.max(maxInFlight, inFlight)
      changed()
    },
    released: () => {
      inFlight--
      changed()
    },
    inFlight: () => inFlight,
    closed: (entry, outcome) => {
      entry.outcome = outcome
      entry.closedAt = now()
      if (outcome === "clientClosed") earlyCloses++
      changed()
    },
    socketOpened: () => {
      open++
      opened++
      changed()
    },
    socketClosed: () => {
      open--
      changed()
    },
    changed,
    now,
    snapshot: () => {
      if (entries.length > limit) entries = entries.slice(-limit)
      return snapshot()
    },
    clear: () => {
      entries = []
      requests = 0
      maxInFlight = inFlight
      earlyCloses = 0
      duringOutage = { requests: 0, retries: 0 }
      opened = open
    },
    watch: (look) => {
      const tick = () => {
        if (look(snapshot())) waiting.delete(tick)
      }
      waiting.add(tick)
      tick()
      return () => waiting.delete(tick)
    }
  }
}

const now = (): number => performance.timeOrigin + performance.now()

const secrets = new Set(["authorization", "proxy-authorization", "x-api-key", "cookie"])

const redacted = (headers: IncomingHttpHeaders): Record<string, string> => {
  const out: Record<string, string> = {}
  for (const name in headers) out[name] = secrets.has(name) ? "<redacted>" : String(headers[name])
  return out
}
