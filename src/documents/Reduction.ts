/**
 * Many parts to one, in a tree: as many as fit are reduced together, and what comes of that again, until one is left.
 *
 * A level begins as soon as the one below it has enough, so that no more answers are held than are not yet reduced. Its
 * parts are in the document's order, whichever was answered first. The surprise: one part alone is not reduced.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Claude from "../Claude.ts"
import * as LongDocumentError from "./LongDocumentError.ts"
import type { Part } from "./Part.ts"
import * as Requests from "./Requests.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Parts that are reduced together. @internal */
export interface Group extends Requests.Measured {
  readonly level: number
  readonly index: number
  readonly range: LongDocumentError.Range
}

/** @internal */
export interface ReductionOptions<E, R, E2, R2> {
  readonly reduce: (parts: ReadonlyArray<Part>) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly answer: (group: Group) => Effect.Effect<Part, E2, R2>
  readonly tokens: number
  readonly fanIn: number
  readonly concurrency: number
  readonly count: Requests.Count
  readonly done: Requests.Done
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** The part that all of a level come to; undefined where there are none. @internal */
export const reduce = <E, R, E2, R2, E3, R3>(
  parts: Stream.Stream<Part, E3, R3>,
  options: ReductionOptions<E, R, E2, R2>,
  level = 1
): Effect.Effect<
  Part | undefined,
  E | E2 | E3 | LongDocumentError.LongDocumentError,
  R | R2 | R3 | Claude.Claude | Scope.Scope
> =>
  Effect.gen(function*() {
    const pull = yield* Stream.toPull(parts)
    const ahead: Array<Part> = []
    while (ahead.length < 2) {
      const more = yield* nextOf(pull)
      if (more === undefined) return ahead[0]
      ahead.push(...more)
    }
    const all = Stream.concat(Stream.fromIterable(ahead), Stream.fromPull(Effect.succeed(pull)))
    const reduced = groups(all, options, level).pipe(
      Stream.mapEffect((group) => "request" in group ? options.answer(group) : Effect.succeed(group), {
        concurrency: options.concurrency
      })
    )
    return yield* reduce(reduced, options, level + 1)
  })

/** What comes next, or undefined where nothing does. */
const nextOf = <A, E, R>(
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E, void, R>
): Effect.Effect<Arr.NonEmptyReadonlyArray<A> | undefined, Pull.ExcludeDone<E>, R> =>
  Pull.catchDone(pull, () => Effect.undefined)

/** Parts, in groups of those that fit into one request; the last may be alone, and stays as it is. */
const groups = <E, R, E3, R3>(
  parts: Stream.Stream<Part, E3, R3>,
  { count, done, fanIn, reduce, tokens }: Omit<ReductionOptions<E, R, never, never>, "answer">,
  level: number
): Stream.Stream<Group | Part, E | E3 | LongDocumentError.LongDocumentError, R | R3 | Claude.Claude> =>
  Stream.transformPull(parts, (pull) =>
    Effect.sync(() => {
      const fit = new Requests.Fit(tokens, count, done)
      let waiting: ReadonlyArray<Part> = []
      let isEnded = false
      let index = 0

      /** How many of those that wait likely fit, or undefined where more may. */
      const likely = (): number | undefined => {
        const { room } = fit
        const most = Math.min(waiting.length, fanIn)
        let bytes = 0
        for (let length = 0; length < most; length++) {
          bytes += Buffer.byteLength(waiting[length]!.text)
          if (length >= 2 && bytes > room) return length
        }
        return isEnded || most === fanIn ? most : undefined
      }

      const next: Pull.Pull<
        Arr.NonEmptyReadonlyArray<Group | Part>,
        E | E3 | LongDocumentError.LongDocumentError,
        void,
        R | Claude.Claude
      > = Effect.gen(function*() {
        let length = likely()
        while (length === undefined) {
          const more = yield* nextOf(pull)
          if (more === undefined) isEnded = true
          else waiting = [...waiting, ...more]
          length = likely()
        }
        const [first] = waiting
        if (first === undefined) return yield* Cause.done()
        if (length === 1) {
          waiting = []
          return [first] as const
        }
        while (true) {
          const group = waiting.slice(0, length)
          const range = { ...first.range, ...endOf(group.at(-1) ?? first) }
          const textBytes = group.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
          const measured = yield* Effect.mapError(
            fit.measure(yield* reduce(group)),
            (error) => LongDocumentError.partsFailed([{ stage: "count", level, index, range, error }])
          )
          if (fit.accept(measured, textBytes)) {
            waiting = waiting.slice(length)
            return [{ ...measured, level, index: index++, range }] as const
          }
          if (length === 2) {
            const { inputTokens = 0 } = measured
            return yield* LongDocumentError.doesNotFit({
              stage: "reduce",
              level,
              index,
              range,
              tokens: inputTokens,
              limit: tokens
            })
          }
          length = Math.max(2, Math.min(length - 1, likely() ?? length))
        }
      })
      return next
    }))

const endOf = ({ range: { end, endByte } }: Part) => ({ end, endByte })
