import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Controller } from "../../src/admission/Controller.ts"
import { between, fixed, lognormal, randomOf, type Run, run, type Seen, type Server } from "./capacity.ts"

const seeds = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => n * 7919)
const adaptive = (max = 64) => new Controller({ min: 1, max })

const median = (numbers: ReadonlyArray<number>) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

/** The level at each half second. */
const levels = (seen: Seen, from: number, to: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  let next = 0
  for (let second = from; second < to; second += 0.5) {
    while (next < seen.levels.length && seen.levels[next]![0] <= second) next++
    found.push(seen.levels[next - 1]![1])
  }
  return found
}
const mean = (numbers: ReadonlyArray<number>) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length
/** How often these levels lie below four fifths of 64. */
const shareBelow = (numbers: ReadonlyArray<number>) => numbers.filter((n) => n < 0.8 * 64).length / numbers.length
const reaches = (seen: Seen, level: number, from = 0) =>
  (seen.levels.find(([second, n]) => second >= from && n >= level)?.[0] ?? Number.NaN) - from

/** First content after about a second, the end half a second later; no limit. */
const server = (options: Partial<Server> = {}): Server => ({
  capacity: () => Infinity,
  slowdown: () => 1,
  refuses: false,
  base: (_second, random) => 1000 * lognormal(random, 0.2),
  rest: (random) => 1000 * random(),
  ...options
})

/** Twice as slow at capacity, rising from this load on. */
const risingFrom = (load: number) => (at: number) => 1 + Math.min(1, Math.max(0, (at - load) / (1 - load)))

describe("capacity that moves from 8 to 64 to 16", () => {
  const phase = 75
  const capacities = [8, 64, 16]
  const moving = (second: number) => capacities[Math.min(2, Math.floor(second / phase))]!

  /** The throughput of the best fixed level, by trying them. */
  const best = (server: Server, capacity: number): number => {
    let most = 0
    const end = 70
    for (let level = Math.floor(0.6 * capacity); level <= capacity; level += Math.ceil(capacity / 32)) {
      const seen = run({
        server: { ...server, capacity: () => capacity },
        controller: fixed(level),
        seconds: end,
        seed: 1
      })
      most = Math.max(most, between(seen.completed, 10, end) / (end - 10))
    }
    return most
  }

  const shapes = {
    "doubling from 0.85 of it": risingFrom(0.85),
    "doubling from 0.75 of it": risingFrom(0.75),
    "doubling at once at 0.9 of it": (load: number) => load < 0.9 ? 1 : 2,
    "doubling smoothly": (load: number) => 1 + 1 / (1 + Math.exp((0.92 - load) / 0.02)),
    "not rising": () => 1
  }
  for (const [name, slowdown] of Object.entries(shapes)) {
    it(`is found within 30 seconds each time and then used, with hardly a 529, latency ${name}`, () => {
      const limited = server({ refuses: true, slowdown })
      const runs = seeds.map((seed) =>
        run({ server: { ...limited, capacity: moving }, controller: adaptive(), seconds: 3 * phase, seed })
      )
      for (const [n, capacity] of capacities.entries()) {
        const most = best(limited, capacity)
        const [from, to] = [n * phase + 30, (n + 1) * phase]
        const ratios = runs.map(({ completed }) => between(completed, from, to) / (to - from) / most)
        const refused = runs.map((seen) => {
          const count = between(seen.refused, from, to)
          return count / (count + between(seen.completed, from, to))
        })
        const found = runs.map(({ completed }) => {
          let second = 0
          while (second < phase && between(completed, n * phase + second, n * phase + second + 10) < 8.5 * most) {
            second++
          }
          return second
        })
        assert.isAtMost(Math.max(...found), 30, `seconds to find ${capacity}`)
        assert.isAtLeast(Math.min(...ratios), 0.85, `worst ratio at ${capacity}`)
        assert.isAtLeast(median(ratios), 0.86, `usual ratio at ${capacity}`)
        assert.isAtMost(Math.max(...refused), 0.02, `529s at ${capacity}`)
      }
    })
  }

  it("is found where no refusal ever tells", () => {
    const queueing = (load: number) => load <= 1 ? risingFrom(0.75)(load) : 2 * load
    const ratios = seeds.map((seed) => {
      const seen = run({
        server: server({ capacity: () => 16, slowdown: queueing }),
        controller: adaptive(),
        seconds: 90,
        seed
      })
      return between(seen.completed, 30, 90) / 60
    })
    assert.isAtLeast(Math.min(...ratios), 0.85 * best(server({ slowdown: queueing }), 16))
  })
})

describe("a server without a limit", () => {
  const observe = (options: Partial<Server>, more: Partial<Run> = {}) =>
    seeds.map((seed) => run({ server: server(options), controller: adaptive(), seconds: 150, seed, ...more }))

  it("is used to nine tenths within four times its time to first content", () => {
    for (const seen of observe({})) assert.isAtMost(reaches(seen, 58), 4)
  })

  it("is used as far where answers tell no time to their first content", () => {
    for (const seen of observe({}, { json: true })) assert.isAtMost(reaches(seen, 58), 12)
  })

  it("is used as far before the first long calls end", () => {
    const slow = observe({ rest: (random) => 60_000 * random() }, { callers: 100 })
    for (const seen of slow) assert.isAtMost(reaches(seen, 58), 20)
  })

  /** Latencies, and how much of the time the level may be below four fifths. */
  const noises: Record<string, readonly [Server["base"], number]> = {
    "scatter widely": [(_second, random) => 1000 * lognormal(random, 0.5), 0.02],
    "are either 0.3 or 3 seconds": [(_second, random) => random() < 0.5 ? 300 : 3000, 0.02],
    "are seldom 3 and mostly 0.3 seconds": [
      (_second, random) => (random() < 0.2 ? 3000 : 300) * lognormal(random, 0.2),
      0.02
    ],
    // What changes with time looks, for a while, like what changes with the level.
    "move slowly between 0.5 and 2.5 seconds": [
      (second, random) => 1000 * (1.5 + Math.sin(second / 15)) * lognormal(random, 0.3),
      0.1
    ]
  }
  for (const [name, [base, below]] of Object.entries(noises)) {
    it(`is used, though its latencies ${name}`, () => {
      const runs = observe({ base })
      for (const seen of runs) assert.isAtMost(reaches(seen, 58), 8)
      const after = runs.map((seen) => levels(seen, 10, 150))
      assert.isAtLeast(Math.min(...after.map(mean)), 0.8 * 64)
      assert.isAtLeast(mean(after.flat()), 0.95 * 64)
      assert.isAtMost(shareBelow(after.flat()), below)
    })
  }

  it("is used as before when it answers twice as slowly, or twice as fast, for good", () => {
    for (const [before, after] of [[1000, 2000], [2000, 1000]] as const) {
      const runs = observe({ base: (second, random) => (second < 60 ? before : after) * lognormal(random, 0.2) })
      for (const seen of runs) {
        const later = levels(seen, 60, 150)
        assert.isAtLeast(mean(later), 0.9 * 64)
        assert.isAtMost(shareBelow(later), 0.05)
      }
    }
  })

  it("gets no higher level than its callers fill", () => {
    for (const seen of observe({}, { callers: 10 })) assert.strictEqual(Math.max(...levels(seen, 0, 150)), 16)
    for (const seen of observe({}, { callers: 30 })) assert.isAtMost(Math.max(...levels(seen, 0, 150)), 32)
  })

  it("is left alone while it refuses all, and used again soon after", () => {
    const runs = observe({ refuses: true, capacity: (second) => second >= 60 && second < 80 ? 0 : Infinity })
    for (const seen of runs) {
      assert.strictEqual(levels(seen, 70, 80).at(-1), 1)
      assert.isAtMost(reaches(seen, 58, 80), 25)
    }
  })
})

describe("the level", () => {
  const refused = (startedAt: number, inFlight: number) => ({ startedAt, inFlight })
  const answered = (startedAt: number, inFlight: number, limited = true) => ({ startedAt, inFlight, limited })

  it("starts at 16, or at the nearest that is allowed", () => {
    assert.strictEqual(adaptive().level, 16)
    assert.strictEqual(adaptive(5).level, 5)
    assert.strictEqual(new Controller({ min: 20, max: 64 }).level, 20)
  })

  it("falls once for a burst of refusals from one round trip", () => {
    const controller = adaptive()
    for (let inFlight = 10; inFlight <= 16; inFlight++) controller.overloaded(5, refused(0, inFlight))
    assert.strictEqual(controller.level, 9)
    controller.overloaded(6, refused(5, 9))
    assert.strictEqual(controller.level, 9)
    controller.overloaded(7, refused(6, 9))
    assert.strictEqual(controller.level, 7)
  })

  it("falls faster the more refusals follow each other", () => {
    const controller = new Controller({ min: 1, max: 1000 })
    const fixedAt = new Controller({ min: 100, max: 100 })
    const falls: Array<number> = []
    for (let now = 1; now <= 12; now++) {
      const before = controller.level
      controller.overloaded(now, refused(now - 0.5, before))
      fixedAt.overloaded(now, refused(now - 0.5, 100))
      falls.push(before - controller.level)
    }
    assert.deepStrictEqual(falls.slice(0, 3), [1, 2, 3])
    assert.strictEqual(controller.level, 1)
    assert.strictEqual(fixedAt.level, 100)
  })

  it("forgives one lone refusal in 50 answers", () => {
    const controller = adaptive(16)
    const answers = (count: number) => {
      for (let n = 0; n < count; n++) controller.success(0, answered(0, 1, false))
    }
    answers(50)
    controller.overloaded(10, refused(9, 16))
    assert.strictEqual(controller.level, 16)
    answers(40)
    controller.overloaded(20, refused(19, 16))
    assert.strictEqual(controller.level, 15)
  })

  it("does not move without demand", () => {
    const controller = adaptive()
    for (let now = 0; now < 1000; now++) {
      controller.content(now, { ...answered(now - 1, 10, false), firstContentMillis: now % 2 === 0 ? 10 : 10_000 })
      controller.success(now, answered(now - 1, 10, false))
    }
    assert.strictEqual(controller.level, 16)
  })

  it("returns from a trial at its first refusal", () => {
    const controller = adaptive()
    for (let now = 0; now < 4; now++) controller.success(now, answered(-1, 16))
    assert.isAbove(controller.level, 16)
    controller.overloaded(5, refused(4.5, 20))
    assert.strictEqual(controller.level, 16)
  })

  const Count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 }))
  const Events = Schema.Array(Schema.Struct({
    kind: Schema.Literals(["content", "success", "overloaded"]),
    passed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2000 })),
    took: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })),
    inFlight: Count,
    limited: Schema.Boolean,
    times: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
  }))

  it.prop(
    "is a whole number between min and max whatever happens",
    [Count, Count, Events],
    ([one, other, events]) => {
      const [min, max] = [Math.min(one, other), Math.max(one, other)]
      const controller = new Controller({ min, max })
      let now = 0
      const check = () => {
        assert.isTrue(Number.isInteger(controller.level), `${controller.level} is whole`)
        assert.isAtLeast(controller.level, min)
        assert.isAtMost(controller.level, max)
      }
      check()
      for (const { inFlight, kind, limited, passed, times, took } of events) {
        for (let n = 0; n < times; n++) {
          now += passed
          const sample = { startedAt: now - took, inFlight: Math.min(inFlight, controller.level), limited }
          if (kind === "content") controller.content(now, { ...sample, firstContentMillis: took })
          else controller[kind](now, sample)
          check()
        }
      }
    }
  )

  it("refuses limits that are none, naming the field", () => {
    for (const value of [0, -1, 1.5, Number.NaN, Infinity]) {
      assert.throws(() => new Controller({ min: value, max: 64 }), RangeError, /min must be a whole number/)
      assert.throws(() => new Controller({ min: 1, max: value }), RangeError, /max must be a whole number/)
    }
    assert.throws(() => new Controller({ min: 9, max: 8 }), RangeError, "min must not exceed max, got 9 and 8")
  })
})

describe("the simulated server", () => {
  it("serves a fixed level as Little's law says", () => {
    const seen = run({
      server: server({ base: () => 1000, rest: () => 500 }),
      controller: fixed(30),
      seconds: 31.6,
      seed: 1
    })
    assert.strictEqual(seen.completed.length, 30 * 21)
    const random = randomOf(1)
    assert.approximately(mean(Array.from({ length: 20_000 }, () => Math.log(lognormal(random, 0.5)))), 0, 0.02)
  })
})

it("refusals lower the level also after the clock was set back", () => {
  const controller = adaptive()
  const at = 7_200_000
  controller.overloaded(at, { startedAt: at - 10, inFlight: controller.level })
  const before = controller.level
  for (let n = 1; n <= 4; n++) {
    controller.overloaded(n * 1_000, { startedAt: n * 1_000 - 10, inFlight: controller.level })
  }
  assert.isBelow(controller.level, before)
})
