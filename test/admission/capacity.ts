/** A server with capacity and the clients before it, as discrete events: what a controller meets, in simulated time. */

import type * as Controller from "../../src/admission/Controller.ts"

/** What is asked how many attempts may be in flight, and told how they ended. */
export interface Level {
  readonly level: number
  content(now: number, sample: Controller.ContentSample): void
  success(now: number, sample: Controller.AnswerSample): void
  overloaded(now: number, sample: Controller.Sample): void
}

export interface Server {
  /** How many requests it takes at once, at a time in seconds. */
  readonly capacity: (second: number) => number
  /** What follows from a load of 1 = capacity: how many times the base latency. */
  readonly slowdown: (load: number) => number
  /** Answers 529 past its capacity. */
  readonly refuses: boolean
  /** Milliseconds to first content when idle. */
  readonly base: (second: number, random: () => number) => number
  /** Milliseconds from first content to the end. */
  readonly rest: (random: () => number) => number
}

export interface Run {
  readonly server: Server
  readonly controller: Level
  readonly seconds: number
  readonly seed: number
  /** How many callers call again and again. @default 500 */
  readonly callers?: number
  /** Answers come whole, so that none tells when its first content came. */
  readonly json?: boolean
}

export interface Seen {
  readonly completed: ReadonlyArray<number>
  readonly refused: ReadonlyArray<number>
  readonly levels: ReadonlyArray<readonly [second: number, level: number]>
}

/** A small generator of numbers that are the same each time (mulberry32). */
export const randomOf = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Multiplies by e^N(0, sigma). */
export const lognormal = (random: () => number, sigma: number): number =>
  Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))

/** Runs for some seconds. */
export const run = (options: Run): Seen => {
  const { controller, server } = options
  const random = randomOf(options.seed)
  const agenda = new Agenda()
  const completed: Array<number> = []
  const refused: Array<number> = []
  const levels: Array<readonly [number, number]> = []
  const end = options.seconds * 1000
  let now = 0
  let inFlight = 0
  let serving = 0
  let limitedAt = -1
  // Those who wait, by how often they were refused already.
  const waiting: Array<number> = Array.from({ length: options.callers ?? 500 }, () => 0)

  const start = (tries: number) => {
    const place = ++inFlight
    const startedAt = now
    if (place >= controller.level) limitedAt = now
    const second = now / 1000
    const capacity = server.capacity(second)
    if (server.refuses && serving >= capacity) {
      agenda.add(now + 3 + 4 * random(), () => {
        inFlight--
        refused.push(now / 1000)
        controller.overloaded(now, { startedAt, inFlight: place })
        agenda.add(now + 500 * 2 ** tries * (0.5 + random()), () => waiting.push(tries + 1))
      })
      return
    }
    serving++
    const millis = server.base(second, random) * server.slowdown(serving / capacity)
    agenda.add(now + millis, () => {
      const limited = () => limitedAt >= startedAt
      if (options.json !== true) {
        controller.content(now, { startedAt, inFlight: place, limited: limited(), firstContentMillis: millis })
      }
      agenda.add(now + server.rest(random), () => {
        serving--
        inFlight--
        completed.push(now / 1000)
        waiting.push(0)
        if (options.json === true) controller.success(now, { startedAt, inFlight: place, limited: limited() })
      })
    })
  }

  const pump = () => {
    while (waiting.length > 0 && inFlight < controller.level) start(waiting.shift()!)
    if (waiting.length > 0) limitedAt = now
    if (levels.at(-1)?.[1] !== controller.level) levels.push([now / 1000, controller.level])
  }

  pump()
  for (let next = agenda.take(); next !== undefined && next.at < end; next = agenda.take()) {
    now = next.at
    next.act()
    pump()
  }
  return { completed, refused, levels }
}

/** A fixed level. */
export const fixed = (level: number): Level => ({ level, content: () => {}, success: () => {}, overloaded: () => {} })

/** How many of these times lie from one second to another. */
export const between = (times: ReadonlyArray<number>, from: number, to: number): number =>
  times.reduce((sum, time) => time >= from && time < to ? sum + 1 : sum, 0)

/** What happens next, a binary heap by time. */
class Agenda {
  private readonly heap: Array<{ at: number; act: () => void }> = []

  add(at: number, act: () => void): void {
    const { heap } = this
    let i = heap.length
    heap.push({ at, act })
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (heap[parent]!.at <= at) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = { at, act }
  }

  take(): { at: number; act: () => void } | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++
      if (heap[child]!.at >= last.at) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}
