import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Rates, type RatesOptions } from "../../src/admission/Rates.ts"
import type { Need } from "../../src/admission/Rates.ts"
import { type Priority, type Refusal, type TenantOptions, Turn, Turns } from "../../src/admission/Turns.ts"

const noNeed = { inputTokens: 0, outputTokens: 0 }

const WINDOW = 60_000
const nothing: Need = { inputTokens: 0, outputTokens: 0 }

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const between = <S extends Schema.Top>(least: number, most: number, schema: S) =>
  Schema.Array(schema).check(Schema.isBetweenLength(least, most))
const options = (runs: number) => ({ arbitrary: { runs, size: 80, seed: "turns" } })

interface Call {
  readonly tenant?: string
  readonly priority?: Priority
  readonly need?: Need
  readonly patience?: number
}

/** A gate with a clock that is set by hand, which looks after each step who may start, and checks what always holds. */
class Machine {
  now = 0
  readonly rates: Rates
  readonly turns: Turns
  readonly calls: Array<Turn> = []
  /** In the order in which they started. */
  readonly started: Array<Turn> = []
  readonly refused: Array<Turn> = []
  readonly waiting = new Set<Turn>()
  readonly inFlight = new Set<Turn>()
  /** The last that started of each queue, by its place among all who had to wait. */
  private readonly latest = new Map<string, number>()
  private readonly queue: number
  private readonly tenant: (name: string) => TenantOptions

  constructor(options: {
    readonly level: number
    readonly queue?: number
    readonly limits?: RatesOptions["limits"]
    readonly tenant?: (name: string) => TenantOptions
  }) {
    this.queue = options.queue ?? Infinity
    this.tenant = options.tenant ?? (() => ({}))
    this.rates = new Rates({ limits: options.limits ?? {}, windowMillis: WINDOW, learn: true }, 0)
    this.turns = new Turns({ level: options.level, queue: this.queue, rates: this.rates, tenant: this.tenant })
  }

  enter({ need = nothing, patience = Infinity, priority = "interactive", tenant = "a" }: Call = {}) {
    const turn = new Turn({ tenant, priority, need, deadline: this.now + patience }, (refusal) => {
      if (refusal === undefined) this.begin(turn)
      else this.end(turn, refusal)
    })
    const entered = this.turns.enter(turn, this.now)
    if (entered === "started") this.begin(turn)
    else if (entered === "waiting") {
      this.calls.push(turn)
      this.waiting.add(turn)
    } else this.end(turn, entered)
    this.look()
    return { turn, entered }
  }

  leave(turn: Turn): void {
    this.turns.leave(turn)
    if (this.waiting.delete(turn)) assert.strictEqual(turn.state, "left")
    this.look()
  }

  release(turn: Turn, used?: Need): void {
    this.turns.release(turn)
    this.inFlight.delete(turn)
    this.rates.settle(turn.need, turn.mark, used, this.now)
    this.look()
  }

  /** Starts all who may, and answers when to look again. */
  look(): number | undefined {
    const at = this.turns.next(this.now)
    this.check(at)
    assert.strictEqual(this.turns.next(this.now), at)
    return at
  }

  pass(millis: number): number | undefined {
    this.now += millis
    return this.look()
  }

  /** Lets time pass and calls end until nobody waits. */
  drain(): void {
    for (let rounds = 3 * this.calls.length + 10; this.turns.waiting + this.turns.inFlight > 0; rounds--) {
      assert.isAbove(rounds, 0, "everybody starts or leaves in the end")
      for (const turn of this.inFlight) this.release(turn, turn.need)
      const at = this.look()
      if (at !== undefined) this.pass(at - this.now)
    }
    this.isEmpty()
  }

  isEmpty(): void {
    assert.deepStrictEqual([this.turns.waiting, this.turns.inFlight], [0, 0])
    assert.strictEqual(this.turns["tenants"].size, 0)
    assert.isUndefined(this.turns["deadlines"].first)
    assert.isUndefined(this.turns["current"])
    for (const [, bucket] of this.rates["buckets"]) assert.strictEqual(bucket.reserved, 0)
  }

  private begin(turn: Turn): void {
    assert.strictEqual(turn.state, "started")
    assert.isFalse(this.inFlight.has(turn), "it starts once")
    assert.isAtMost(this.turns.inFlight, this.turns.level)
    assert.isBelow(this.now, turn.deadline)
    if (this.waiting.delete(turn)) {
      const queue = `${turn.tenant} ${turn.priority}`
      const place = this.calls.indexOf(turn)
      assert.isAbove(place, this.latest.get(queue) ?? -1, "first come, first served")
      this.latest.set(queue, place)
    }
    this.inFlight.add(turn)
    this.started.push(turn)
  }

  private end(turn: Turn, refusal: Refusal): void {
    assert.strictEqual(turn.state, "left")
    assert.isFalse(this.inFlight.has(turn))
    this.waiting.delete(turn)
    if (refusal === "deadline") this.refused.push(turn)
  }

  /** What the machine says of itself is what happened. */
  private check(at: number | undefined): void {
    const { inFlight, turns, waiting } = this
    assert.deepStrictEqual([turns.inFlight, turns.waiting], [inFlight.size, waiting.size])
    const none = () => ({ inFlight: 0, interactive: [0, 0, 0], batch: [0, 0, 0] })
    const expected = new Map<string, ReturnType<typeof none>>()
    const of = ({ tenant }: Turn) => {
      const counts = expected.get(tenant) ?? none()
      expected.set(tenant, counts)
      return counts
    }
    for (const turn of inFlight) of(turn).inFlight++
    let soonest = Infinity
    for (const turn of waiting) {
      const sums = of(turn)[turn.priority]
      for (const [n, more] of [1, turn.need.inputTokens, turn.need.outputTokens].entries()) sums[n]! += more
      soonest = Math.min(soonest, turn.deadline)
    }
    assert.isAbove(soonest, this.now)
    const ring = new Set<unknown>()
    for (let tenant = turns["current"]; tenant !== undefined && !ring.has(tenant); tenant = tenant.next) {
      ring.add(tenant)
    }
    // Who has nobody here is forgotten.
    assert.strictEqual(turns["tenants"].size, expected.size)
    for (const tenant of turns["tenants"].values()) {
      const sums = (priority: Priority) => {
        const { inputTokens, outputTokens, size } = tenant[priority]
        assert.isAtMost(size, this.queue)
        return [size, inputTokens, outputTokens]
      }
      const counts = { inFlight: tenant.inFlight, interactive: sums("interactive"), batch: sums("batch") }
      assert.deepStrictEqual(counts, expected.get(tenant.name))
      const { max = Infinity } = this.tenant(tenant.name)
      assert.isAtMost(tenant.inFlight, max)
      assert.strictEqual(ring.has(tenant), tenant.head !== undefined && tenant.inFlight < max)
    }
    // Nobody waits who could start.
    assert.strictEqual(turns.waitsForRate, ring.size > 0 && turns.inFlight < turns.level)
    if (turns.waitsForRate) assert.isAbove(at!, this.now)
    assert.isAtMost(at ?? Infinity, soonest)
    if (!turns.waitsForRate) assert.strictEqual(at ?? Infinity, soonest)
  }
}

describe("turns", () => {
  const ANeed = Schema.Struct({ inputTokens: whole(0, 60), outputTokens: whole(0, 60) })
  const Enter = Schema.TaggedStruct("enter", {
    tenant: Schema.Literals(["free", "capped", "heavy"]),
    priority: Schema.Literals(["interactive", "batch"]),
    need: ANeed,
    patience: Schema.Literals([1, 500, 20_000, 200_000, 1e12])
  })
  const Which = whole(0, 100)
  const Step = Schema.Union([
    Enter,
    Enter,
    Enter,
    Schema.TaggedStruct("leave", { which: Which }),
    Schema.TaggedStruct("release", { which: Which, used: Schema.UndefinedOr(ANeed) }),
    Schema.TaggedStruct("release", { which: Which, used: Schema.UndefinedOr(ANeed) }),
    Schema.TaggedStruct("pass", { millis: whole(0, 15_000) }),
    Schema.TaggedStruct("level", { level: whole(1, 6) }),
    Schema.TaggedStruct("told", { limit: whole(10, 400), remaining: Schema.UndefinedOr(whole(0, 400)) }),
    Schema.TaggedStruct("pause", { millis: whole(0, 10_000) })
  ])

  it.prop(
    "are each taken once or not at all, by no more than may, in order, and nothing is left, whatever happens",
    { steps: between(0, 80, Step), level: whole(1, 6), queue: whole(1, 6) },
    ({ level, queue, steps }) => {
      const machine = new Machine({
        level,
        queue,
        limits: { requests: 30, inputTokens: 300 },
        tenant: (name) => name === "capped" ? { max: 2 } : name === "heavy" ? { weight: 3 } : {}
      })
      const { rates, turns } = machine
      for (const step of steps) {
        if (step._tag === "enter") {
          const queued = [...machine.waiting].filter((turn) =>
            turn.tenant === step.tenant && turn.priority === step.priority
          )
          const { entered } = machine.enter(step)
          if (entered !== "started") assert.strictEqual(entered === "full", queued.length >= queue)
        } else if (step._tag === "leave") {
          const turn = machine.calls[step.which % machine.calls.length]
          // One that has left or started before is not touched.
          const was = turn?.state
          if (turn !== undefined) machine.leave(turn)
          if (was !== "waiting") assert.strictEqual(turn?.state, was)
        } else if (step._tag === "release") {
          const turn = machine.started[step.which % machine.started.length]
          if (turn?.state === "started") machine.release(turn, step.used)
          else if (turn !== undefined) turns.release(turn)
        } else if (step._tag === "pass") machine.pass(step.millis)
        else if (step._tag === "level") {
          const before = machine.started.length
          const lowered = step.level <= turns.inFlight
          turns.level = step.level
          machine.look()
          if (lowered) assert.strictEqual(machine.started.length, before)
        } else if (step._tag === "told") {
          rates.told({ kind: "inputTokens", ...step, resetAt: undefined }, noNeed, {}, machine.now)
        } else rates.pause(["inputTokens"], machine.now + step.millis)
        machine.look()
      }
      machine.drain()
    },
    options(150)
  )

  it.prop(
    "go round the tenants, each as many as its weight, exactly",
    { weights: between(2, 4, whole(1, 5)), rounds: whole(1, 6) },
    ({ rounds, weights }) => {
      const machine = new Machine({ level: 1, tenant: (name) => ({ weight: weights[Number(name)] ?? 1 }) })
      const { turn } = machine.enter({ tenant: "first" })
      const all = rounds * weights.reduce((sum, weight) => sum + weight, 0)
      for (const tenant of weights.keys()) for (let n = 0; n < all; n++) machine.enter({ tenant: String(tenant) })
      machine.release(turn)
      while (machine.started.length <= all) machine.release(machine.started.at(-1)!)
      const seen = weights.map((_, tenant) =>
        machine.started.slice(1, all + 1).filter((turn) => turn.tenant === `${tenant}`).length
      )
      assert.deepStrictEqual(seen, weights.map((weight) => weight * rounds))
    },
    options(15)
  )

  it.prop(
    "come to everybody in time, however many others keep coming",
    {
      weights: between(1, 4, whole(1, 3)),
      level: whole(1, 3),
      ahead: whole(0, 6),
      priority: Schema.Literals(["interactive", "batch"]),
      order: between(1, 10, whole(0, 5))
    },
    ({ ahead, level, order, priority, weights }) => {
      const machine = new Machine({ level, tenant: (name) => ({ weight: weights[Number(name)]! }) })
      const flood = () => {
        for (const tenant of weights.keys()) {
          for (const priority of ["interactive", "batch"] as const) {
            const queued = machine.turns["tenants"].get(String(tenant))?.[priority].size ?? 0
            for (let n = queued; n < 2; n++) machine.enter({ tenant: String(tenant), priority })
          }
        }
      }
      for (let n = 0; n < level + ahead; n++) machine.enter({ tenant: "0", priority })
      const probe = machine.enter({ tenant: "0", priority }).turn
      // Of its own tenant: those ahead, and those of the other priority that have a turn between them.
      const own = priority === "interactive" ? (ahead + 1) * 9 / 8 + 1 : (ahead + 1) * 9
      const most = (Math.ceil(own / weights[0]!) + 1) * weights.reduce((sum, weight) => sum + weight, 0)
      for (let n = 0; probe.state === "waiting"; n++) {
        assert.isAtMost(n, most)
        flood()
        const open = [...machine.inFlight]
        machine.release(open[order[n % order.length]! % open.length]!)
      }
      assert.strictEqual(probe.state, "started")
    },
    options(30)
  )

  it("go to a tenant's interactive calls first, and after eight of them to a batch call", () => {
    const machine = new Machine({ level: 1 })
    for (let n = 0; n < 5; n++) machine.enter({ priority: "batch" })
    for (let n = 0; n < 20; n++) machine.enter()
    while (machine.inFlight.size > 0) for (const turn of machine.inFlight) machine.release(turn)
    const order = machine.started.map(({ priority }) => priority === "batch" ? "b" : "i").join("")
    assert.strictEqual(order, `b${"i".repeat(8)}b${"i".repeat(8)}biiiibb`)
  })

  it.prop(
    "are not overtaken by small calls where the next one needs much, which starts as soon as there is enough",
    {
      small: between(
        0,
        20,
        Schema.Struct({ tenant: Schema.Literals(["a", "b", "c"]), tokens: whole(0, 5), after: whole(0, 4_000) })
      )
    },
    ({ small }) => {
      const machine = new Machine({ level: 100, limits: { inputTokens: 100 } })
      machine.enter({ need: { inputTokens: 100, outputTokens: 0 } })
      const big = machine.enter({ need: { inputTokens: 100, outputTokens: 0 } }).turn
      for (const { after, tenant, tokens } of small) {
        machine.pass(Math.min(after, WINDOW - 1 - machine.now))
        machine.enter({ tenant, need: { inputTokens: tokens, outputTokens: 0 } })
        assert.strictEqual(machine.started.length, 1)
      }
      const at = machine.look()!
      assert.approximately(at, WINDOW, 1e-6)
      machine.pass(at - machine.now)
      assert.strictEqual(machine.started[1], big)
      machine.drain()
      assert.lengthOf(machine.started, 2 + small.length)
    },
    options(30)
  )

  it("are refused where a queue is full: each tenant and priority has its own", () => {
    const machine = new Machine({ level: 1, queue: 2 })
    machine.enter()
    for (const tenant of ["a", "b"]) {
      for (const priority of ["interactive", "batch"] as const) {
        const entered = [1, 2, 3].map(() => machine.enter({ tenant, priority }).entered)
        assert.deepStrictEqual(entered, ["waiting", "waiting", "full"])
      }
    }
    machine.drain()
    assert.lengthOf(machine.started, 9)
  })

  it.prop(
    "are refused at once exactly where the wait cannot end in time",
    { line: between(1, 6, whole(0, 150)), tokens: whole(0, 150), patience: whole(0, 600_000), permit: Schema.Boolean },
    ({ line, patience, permit, tokens }) => {
      const play = (patience: number) => {
        const machine = new Machine({ level: permit ? 100 : 1, limits: { inputTokens: 100 } })
        for (const inputTokens of line) machine.enter({ need: { inputTokens, outputTokens: 0 } })
        // Whoever has a permit gives it back at once, so it is the rate that is waited for.
        const { entered, turn } = machine.enter({ need: { inputTokens: tokens, outputTokens: 0 }, patience })
        while (turn.state === "waiting") {
          const [open] = machine.inFlight.values()
          if (open === undefined) machine.pass(machine.look()! - machine.now)
          else machine.release(open, open.need)
        }
        return { entered, state: turn.state, at: machine.now }
      }
      const patient = play(Infinity)
      assert.strictEqual(patient.state, "started")
      // To the nearest millisecond nobody can tell.
      if (Math.abs(patient.at - patience) < 1) return
      const hurried = play(patience)
      if (patience > patient.at) assert.deepStrictEqual(hurried, patient)
      else assert.deepStrictEqual(hurried, { entered: "deadline", state: "left", at: 0 })
    },
    options(60)
  )

  it("are lost at the deadline, and not before, by those who wait for a permit", () => {
    const machine = new Machine({ level: 1 })
    machine.enter()
    const late = machine.enter({ patience: 2_000 }).turn
    const soon = machine.enter({ patience: 1_000 }).turn
    assert.strictEqual(machine.look(), 1_000)
    machine.pass(999)
    assert.lengthOf(machine.refused, 0)
    assert.strictEqual(machine.pass(1), 2_000)
    assert.deepStrictEqual(machine.refused, [soon])
    machine.pass(1_000)
    assert.deepStrictEqual(machine.refused, [soon, late])
  })

  it("are timed anew when a limit changes, either way, or is paused", () => {
    const machine = new Machine({ level: 10, limits: { requests: 60 } })
    for (let n = 0; n < 60; n++) {
      machine.turns.level = n + 2
      machine.enter()
    }
    const told = (limit: number) =>
      machine.rates.told({ kind: "requests", limit, remaining: undefined, resetAt: undefined }, noNeed, {}, 0)
    const patient = machine.enter({ patience: 20_000 }).turn
    assert.strictEqual(machine.look(), 1_000)
    told(30)
    assert.strictEqual(machine.look(), 2_000)
    told(60)
    assert.strictEqual(machine.look(), 1_000)
    const hurried = machine.enter({ patience: 4_000 }).turn
    machine.rates.pause(["requests"], 5_000)
    assert.strictEqual(machine.look(), 5_000)
    assert.deepStrictEqual(machine.refused, [hurried])
    told(2)
    machine.look()
    assert.deepStrictEqual(machine.refused, [hurried, patient])
  })

  it("that are wanted next are told in the order of the round, no more than may start", () => {
    const machine = new Machine({ level: 9, limits: { requests: 4 } })
    for (let n = 0; n < 4; n++) machine.enter()
    for (const [n, tenant] of ["a", "a", "b", "c", "a", "b"].entries()) {
      machine.enter({ tenant, need: { inputTokens: n, outputTokens: 0 } })
    }
    const wanted = (count: number) => machine.turns.wanted(count).map(({ inputTokens }) => inputTokens)
    assert.deepStrictEqual(wanted(16), [0, 2, 3, 1, 5])
    assert.deepStrictEqual(wanted(3), [0, 2, 3])
    machine.turns.level = 4
    assert.deepStrictEqual(wanted(16), [])
  })

  it("are forgotten with those who waited for them: 100 000 come and go, and nothing of them is kept", () => {
    const rates = new Rates({ limits: {}, windowMillis: WINDOW, learn: true }, 0)
    const turns = new Turns({ level: 1, queue: 100_000, rates, tenant: () => ({}) })
    let told = 0
    const calls = Array.from({ length: 100_001 }, (_, n) => {
      const call = { tenant: `${n % 100}`, priority: n % 3 === 0 ? "batch" : "interactive", need: nothing } as const
      const turn = new Turn({ ...call, deadline: n % 5 === 0 ? 1_000 + n : Infinity }, () => void told++)
      assert.strictEqual(turns.enter(turn, 0), n === 0 ? "started" : "waiting")
      return turn
    })
    for (const [n, turn] of calls.entries()) if (n > 0 && n % 2 === 0) turns.leave(turn)
    assert.strictEqual(turns.waiting, 50_000)
    turns.level = 20_000
    turns.next(0)
    assert.strictEqual(turns.inFlight, 20_000)
    turns.next(200_000)
    for (let open = calls.filter(({ state }) => state === "started"); open.length > 0;) {
      for (const turn of open) turns.release(turn)
      turns.next(200_000)
      open = calls.filter(({ state }) => state === "started")
    }
    assert.isTrue(
      calls.every(({ next, place, previous, state }) => state === "left" && place === -1 && !next && !previous)
    )
    assert.strictEqual(told, 50_000)
    assert.deepStrictEqual([turns.waiting, turns.inFlight, turns["tenants"].size], [0, 0, 0])
    assert.lengthOf(turns["deadlines"]["heap"], 0)
  })
})
