import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Bucket } from "../../src/admission/Bucket.ts"

const WINDOW = 60_000

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const upTo = <S extends Schema.Top>(count: number, schema: S) => Schema.Array(schema).check(Schema.isMaxLength(count))
const options = (runs: number) => ({ arbitrary: { runs, size: 80, seed: "bucket" } })

const Take = Schema.TaggedStruct("take", { amount: whole(0, 120) })
const Settle = Schema.TaggedStruct("settle", { which: whole(0, 40), used: whole(0, 120) })
const Pass = Schema.TaggedStruct("pass", { millis: whole(0, 20_000) })
const Pause = Schema.TaggedStruct("pause", { millis: whole(0, 20_000) })
const Lower = Schema.TaggedStruct("lower", { level: whole(0, 100) })

/** Takes what the bucket holds whenever it may, and gives back what was not used of it at any time. */
const play = (
  bucket: Bucket,
  limit: number,
  steps: ReadonlyArray<
    typeof Take.Type | typeof Settle.Type | typeof Pass.Type | typeof Pause.Type | typeof Lower.Type
  >,
  each: (now: number) => void
) => {
  const open: Array<number> = []
  /** What was taken, and what of it came back. */
  const flows: Array<{ readonly at: number; readonly amount: number }> = []
  let now = 0
  for (const step of steps) {
    if (step._tag === "pass") now += step.millis
    else if (step._tag === "pause") bucket.pause(now + step.millis)
    else if (step._tag === "lower") bucket.lower(step.level, now)
    else if (step._tag === "take") {
      const amount = step.amount % (limit + 1)
      if (bucket.waitFor(amount, now) <= 0) {
        bucket.take(amount, now)
        open.push(amount)
        flows.push({ at: now, amount })
      }
    } else if (open.length > 0) {
      const reserved = open.splice(step.which % open.length, 1)[0]!
      const used = step.used % (reserved + 1)
      bucket.settle(reserved, used, now)
      flows.push({ at: now, amount: used - reserved })
    }
    each(now)
  }
  return { flows, open, now }
}

describe("a bucket", () => {
  it.prop(
    "lets no more be taken, over any stretch of time, than it holds and what flows in",
    { limit: whole(30, 100), steps: upTo(60, Schema.Union([Take, Settle, Pass, Pause, Lower])) },
    ({ limit, steps }) => {
      const bucket = new Bucket(limit, WINDOW, 0)
      const { flows, now, open } = play(bucket, limit, steps, (now) => {
        const level = bucket.levelAt(now)
        assert.isAtLeast(level, -1e-6)
        assert.isAtMost(level, limit)
      })
      let refunds = 0
      for (const [first, { amount, at: from }] of flows.entries()) {
        refunds -= Math.min(0, amount)
        let sum = 0
        for (const { amount, at } of flows.slice(first)) {
          sum += amount
          assert.isAtMost(sum, limit + ((at - from) * limit) / WINDOW + 1e-6)
        }
      }
      const out = open.reduce((sum, amount) => sum + amount, 0)
      assert.strictEqual(bucket.reserved, out)
      assert.isAtLeast(bucket.taken, out + refunds)
      // Who waits for a whole window has all of it again, whatever is out.
      assert.approximately(bucket.levelAt(now + WINDOW), limit, 1e-6)
    },
    options(150)
  )

  it.prop(
    "has what is asked for after the wait that it tells, and not a moment before",
    { limit: whole(1, 100_000), taken: whole(0, 300_000), amount: whole(0, 300_000), at: whole(0, 1_000_000) },
    ({ amount, at, limit, taken }) => {
      const bucket = new Bucket(limit, WINDOW, 0)
      bucket.take(taken, at / 7)
      const wait = bucket.waitFor(amount, at / 7)
      assert.isAtLeast(wait, Math.max(0, ((taken - limit + Math.min(amount, limit)) * WINDOW) / limit) - 1e-3)
      if (wait <= 0) return
      assert.isAbove(bucket.waitFor(amount, at / 7 + wait * 0.999), 0)
      assert.isAtMost(bucket.waitFor(amount, at / 7 + wait), 0)
    },
    options(150)
  )

  it.prop(
    "is as if each call had taken what it used, to the unit, in whatever order calls end",
    {
      calls: upTo(
        20,
        Schema.Struct({ reserved: whole(0, 1_000), used: whole(0, 1_000), order: whole(0, 1_000) })
      )
    },
    ({ calls }) => {
      const bucket = new Bucket(20_000, WINDOW, 0)
      for (const { reserved } of calls) bucket.take(reserved, 0)
      for (const { reserved, used } of calls.toSorted((a, b) => a.order - b.order)) bucket.settle(reserved, used, 0)
      assert.strictEqual(bucket.levelAt(0), 20_000 - calls.reduce((sum, { used }) => sum + used, 0))
      assert.strictEqual(bucket.reserved, 0)
      for (const { used } of calls) bucket.settle(used, 0, 0)
      assert.strictEqual(bucket.levelAt(0), 20_000)
    },
    options(100)
  )

  it("never holds more than its limit, however much comes back and however late", () => {
    const bucket = new Bucket(10, WINDOW, 0)
    bucket.take(10, 0)
    bucket.settle(10, 0, WINDOW)
    assert.strictEqual(bucket.levelAt(WINDOW), 10)
    bucket.settle(5, 0, WINDOW)
    assert.strictEqual(bucket.levelAt(3 * WINDOW), 10)
  })

  it("makes who comes next wait for a debt", () => {
    const bucket = new Bucket(10, WINDOW, 0)
    bucket.take(5, 0)
    bucket.settle(5, 25, 0)
    assert.strictEqual(bucket.levelAt(0), -15)
    assert.strictEqual(bucket.waitFor(0, 0), 1.5 * WINDOW)
    assert.strictEqual(bucket.waitFor(1, 0), 1.6 * WINDOW)
  })

  it("gives what is more than it holds once it is full, and is then in debt", () => {
    const bucket = new Bucket(10, WINDOW, 0)
    assert.isAtMost(bucket.waitFor(30, 0), 0)
    bucket.take(30, 0)
    assert.strictEqual(bucket.waitFor(30, 0), 3 * WINDOW)
  })

  it.prop(
    "tells of those who stand in line exactly when the last of them has its turn",
    { limit: whole(1, 100), taken: whole(0, 150), line: upTo(8, whole(0, 150)), amount: whole(0, 150) },
    ({ amount, limit, line, taken }) => {
      const bucket = new Bucket(limit, WINDOW, 0)
      bucket.take(taken, 0)
      const told = bucket.lasts(line.reduce((sum, one) => sum + one, 0), amount, 0)
      let now = 0
      for (const one of line) {
        now += Math.max(0, bucket.waitFor(one, now))
        bucket.take(one, now)
      }
      now += Math.max(0, bucket.waitFor(amount, now))
      assert.approximately(told, now, 1e-3)
    },
    options(100)
  )

  it.prop(
    "follows a limit that changes: what was taken stays taken, and it fills at the old rate before, at the new one after",
    { limits: upTo(6, whole(1, 1_000)), taken: whole(0, 400), millis: whole(0, 6_000) },
    ({ limits, millis, taken }) => {
      let [limit, level, now] = [200, 200 - taken, 0]
      const bucket = new Bucket(limit, WINDOW, 0)
      bucket.take(taken, 0)
      for (const next of limits) {
        level = Math.min(next, limit, level + (millis * limit) / WINDOW)
        now += millis
        bucket.resize(next, WINDOW, now)
        assert.strictEqual(bucket.limit, next)
        assert.approximately(bucket.levelAt(now), level, 1e-6)
        limit = next
      }
      assert.approximately(bucket.levelAt(now + 1_000), Math.min(limit, level + limit / 60), 1e-6)
    },
    options(100)
  )

  it("holds a pause to its end, never shortens it, and fills meanwhile", () => {
    const bucket = new Bucket(10, WINDOW, 0)
    bucket.take(10, 0)
    bucket.pause(30_000)
    bucket.pause(10_000)
    assert.strictEqual(bucket.waitFor(1, 0), 30_000)
    assert.strictEqual(bucket.waitFor(0, 29_999), 1)
    assert.strictEqual(bucket.lasts(0, 1, 29_999), 1)
    assert.approximately(bucket.lasts(9, 1, 29_999), 30_001, 1e-6)
    assert.isAtMost(bucket.waitFor(5, 30_000), 0)
  })

  it("only ever lowers to what is said to remain", () => {
    const bucket = new Bucket(10, WINDOW, 0)
    bucket.lower(4, 0)
    assert.strictEqual(bucket.levelAt(0), 4)
    bucket.lower(7, 0)
    assert.strictEqual(bucket.levelAt(0), 4)
    bucket.lower(-3, 0)
    assert.strictEqual(bucket.levelAt(0), -3)
  })

  it("gains nothing where the clock is set back, and fills from there on", () => {
    const bucket = new Bucket(10, WINDOW, 100_000)
    bucket.take(10, 100_000)
    assert.strictEqual(bucket.levelAt(40_000), 0)
    assert.strictEqual(bucket.levelAt(46_000), 1)
  })
})
