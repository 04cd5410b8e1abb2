/**
 * Guards over an answer while it comes: over its text piece by piece, and over what comes as a whole beside that.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Checking from "./Checking.ts"
import type * as Steps from "./Steps.ts"

/** Guards over one text that comes in pieces, one after the other. @internal */
export class Chain {
  private readonly guards: ReadonlyArray<Checking.StreamGuard>
  private readonly steps: ReadonlyArray<{ readonly name: string; readonly step: Steps.Step }>
  private readonly changed = new Set<string>()
  private readonly notes: Checking.Notes = {
    where: "output",
    note: (name, verdict) => Effect.sync(() => verdict === "change" && this.changed.add(name))
  }

  constructor(guards: ReadonlyArray<Checking.StreamGuard>) {
    this.steps = guards.map(({ name, step }) => ({ name, step: step() }))
    // What counts goes on counting.
    this.guards = guards.map((guard, i) =>
      guard.isOfSize === true ? { ...guard, check: ({ texts }) => counted(this.steps[i]!.step, texts) } : guard
    )
  }

  /** A block that came as a whole; what is said of it is told with the rest. */
  block<B extends Checking.Block>(block: B): Effect.Effect<B, Checking.GuardRejected> {
    // It is the same block, but for its texts.
    return Effect.map(Checking.checkAll(this.guards, Checking.blocks, block, this.notes), ({ value }) => value as B)
  }

  /** The arguments of a tool. */
  value(value: unknown): Effect.Effect<unknown, Checking.GuardRejected> {
    return Effect.map(Checking.checkAll(this.guards, Checking.values, value, this.notes), ({ value }) => value)
  }

  /** What comes out behind the last guard of what comes before one of them; one that refuses is named. */
  next(text: string, from = 0): string | Checking.GuardRejected {
    let handed = text
    for (const { name, step } of this.steps.slice(from)) {
      const next = step.next(handed)
      if (typeof next !== "string") {
        return new Checking.GuardRejected({ guard: name, where: "output", message: next.rejected })
      }
      handed = next
    }
    return handed
  }

  /** What was held back, as no more will come. */
  end(): string | Checking.GuardRejected {
    let all = ""
    for (const [i, { name, step }] of this.steps.entries()) {
      const left = step.end()
      if (typeof left !== "string") {
        return new Checking.GuardRejected({ guard: name, where: "output", message: left.rejected })
      }
      const handed = this.next(left, i + 1)
      if (typeof handed !== "string") return handed
      all += handed
    }
    return all
  }

  readonly told: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      this.steps,
      ({ name, step }) =>
        Checking.tell(name, "output", step.hasChanged() || this.changed.has(name) ? "change" : "pass"),
      { discard: true }
    )
  )
}

const counted = (step: Steps.Step, texts: ReadonlyArray<string>): Effect.Effect<Checking.Verdict> =>
  Effect.sync(() => {
    const handed = step.next(texts.join(""))
    return typeof handed === "string" ? { _tag: "Pass" } : { _tag: "Reject", message: handed.rejected }
  })

/**
 * What passes of a pull of texts. What was held back is handed on also before a failure: as much of the answer came.
 *
 * @internal
 */
export const passing = <E>(
  guards: ReadonlyArray<Checking.StreamGuard>,
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E>
): Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E | Checking.GuardRejected> => {
  type Texts = Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E | Checking.GuardRejected>
  const chain = new Chain(guards)
  // How it ends, once all of it was handed on.
  let ending: Pull.Pull<never, E> | undefined

  const refuse = (rejected: Checking.GuardRejected): Texts => {
    ending = Cause.done()
    return Checking.refused(rejected)
  }
  const end = (how: Pull.Pull<never, E>): Texts => {
    const left = chain.end()
    if (typeof left !== "string") return refuse(left)
    ending = how
    return Effect.andThen(chain.told, left === "" ? how : Effect.succeed(Arr.of(left)))
  }
  const next: Texts = Effect.suspend(() =>
    ending ?? Pull.matchEffect(pull, {
      onSuccess: (texts): Texts => {
        const handed = chain.next(texts.join(""))
        if (typeof handed !== "string") return refuse(handed)
        return handed === "" ? next : Effect.succeed([handed])
      },
      onFailure: (cause) => Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : end(Effect.failCause(cause)),
      onDone: () => end(Cause.done())
    })
  )
  return next
}
