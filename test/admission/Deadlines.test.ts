import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Deadlines, type Due } from "../../src/admission/Deadlines.ts"

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Few deadlines, so that many are the same; some have none. */
const Add = Schema.TaggedStruct("add", { deadline: whole(0, 12) })
const Remove = Schema.TaggedStruct("remove", { which: whole(0, 1_000) })
const First = Schema.TaggedStruct("first", {})

describe("those who wait", () => {
  it.prop(
    "have the one in front who must leave first, whoever came and went, and know their places",
    { steps: Schema.Array(Schema.Union([Add, Add, Remove, First])).check(Schema.isMaxLength(120)) },
    ({ steps }) => {
      const deadlines = new Deadlines<Due>()
      const members: Array<Due> = []
      const gone: Array<Due> = []
      const leave = (due: Due) => {
        deadlines.remove(due)
        members.splice(members.indexOf(due), 1)
        gone.push(due)
      }
      const check = () => {
        const soonest = Math.min(...members.map(({ deadline }) => deadline))
        if (members.length === 0) assert.isUndefined(deadlines.first)
        else {
          assert.strictEqual(deadlines.first?.deadline, soonest)
          assert.include(members, deadlines.first)
        }
        assert.deepStrictEqual(members.map(({ place }) => place).toSorted((a, b) => a - b), [...members.keys()])
        assert.isTrue(gone.every(({ place }) => place === -1))
      }
      for (const step of steps) {
        if (step._tag === "add") {
          const due = { deadline: step.deadline === 12 ? Infinity : step.deadline, place: -1 }
          deadlines.add(due)
          members.push(due)
        } else if (members.length > 0) {
          leave(step._tag === "first" ? deadlines.first! : members[step.which % members.length]!)
        }
        check()
      }
      const left: Array<number> = []
      for (let due = deadlines.first; due !== undefined; due = deadlines.first) {
        left.push(due.deadline)
        leave(due)
        check()
      }
      assert.deepStrictEqual(left, left.toSorted((a, b) => a - b))
      assert.lengthOf(members, 0)
    },
    { arbitrary: { runs: 120, size: 60, seed: "deadlines" } }
  )

  it("leave once, and change nothing when they leave again or never came", () => {
    const deadlines = new Deadlines<Due>()
    const [one, other, stranger] = [1, 2, 3].map((deadline) => ({ deadline, place: -1 }))
    deadlines.add(one!)
    deadlines.add(other!)
    deadlines.remove(stranger!)
    deadlines.remove(one!)
    deadlines.remove(one!)
    assert.strictEqual(deadlines.first, other)
    assert.strictEqual(other!.place, 0)
  })
})
