/** A server with capacity and the clients before it, as discrete events: what a controller meets, in simulated time. */

/** What is asked how many attempts may be in flight, and told how they ended. */
export interface Level {
  readonly level: number
  content(
    now: number,
    sample: { startedAt: number; firstContentMillis: number; inFlight: number; limited: boolean }
  ): void
  overloaded(now: number, sample: { startedAt: number; inFlight: number }): void
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
  /** The share of requests that it refuses whatever the load. */
  readonly loss?: number
}

export interface Run {
  readonly server: Server
  readonly controller: Level
  readonly seconds: number
  readonly seed: number
  /** How many callers call again and again. */
  readonly callers?: (second: number) => number
  /** When a call counts as limited: by how things were when it started, or also by what came until its answer. */
  readonly limited?: "start" | "until"
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

interface Call {
  readonly startedAt: number
  readonly inFlight: number
  readonly limited: boolean
  readonly tries: number
}

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
  const waiting: Array<number> = []
  let callers = 0

  const start = (tries: number) => {
    inFlight++
    const limited = inFlight >= controller.level
    if (limited) limitedAt = now
    const call: Call = { startedAt: now, inFlight, limited, tries }
    const second = now / 1000
    const capacity = server.capacity(second)
    if ((server.refuses && serving >= capacity) || (server.loss !== undefined && random() < server.loss)) {
      agenda.add(now + 3 + 4 * random(), () => {
        inFlight--
        refused.push(now / 1000)
        controller.overloaded(now, call)
        const backoff = 500 * 2 ** tries * (0.5 + random())
        agenda.add(now + backoff, () => waiting.push(tries + 1))
      })
      return
    }
    serving++
    const millis = server.base(second, random) * server.slowdown(serving / capacity)
    agenda.add(now + millis, () => {
      const limited = call.limited || (options.limited !== "start" && limitedAt >= call.startedAt)
      controller.content(now, { ...call, limited, firstContentMillis: millis })
      agenda.add(now + server.rest(random), () => {
        serving--
        inFlight--
        completed.push(now / 1000)
        if (callers > (options.callers?.(now / 1000) ?? Infinity)) callers--
        else waiting.push(0)
      })
    })
  }

  const pump = () => {
    const wanted = options.callers?.(now / 1000) ?? 500
    while (callers < wanted) {
      callers++
      waiting.push(0)
    }
    while (waiting.length > 0 && inFlight < controller.level) start(waiting.shift()!)
    if (waiting.length > 0) limitedAt = now
    if (levels.at(-1)?.[1] !== controller.level) levels.push([now / 1000, controller.level])
  }

  const tick = () => agenda.add(now + 100, tick)
  tick()
  pump()
  for (let next = agenda.take(); next !== undefined && next.at < end; next = agenda.take()) {
    now = next.at
    next.act()
    pump()
  }
  return { completed, refused, levels }
}

/** A fixed level. */
export const fixed = (level: number): Level => ({ level, content: () => {}, overloaded: () => {} })

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
