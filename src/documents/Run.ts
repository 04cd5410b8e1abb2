/**
 * A run over one document: its chunks asked about, their answers reduced, and what is done told meanwhile.
 *
 * Three things bound it. The next chunk is read when a call may begin; calls, of chunks and reductions together, are as
 * many as allowed; and when nobody takes what is told, no more is done. The surprise: a failure that may pass leaves a
 * gap, and the reduction goes on without it.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type * as Claude from "../Claude.ts"
import type { ClaudeError } from "../ClaudeError.ts"
import * as LongChunks from "./LongChunks.ts"
import * as LongDocumentError from "./LongDocumentError.ts"
import * as LongPart from "./LongPart.ts"
import * as LongReduction from "./LongReduction.ts"
import * as LongRequests from "./LongRequests.ts"
import type { Piece } from "./LongSource.ts"

type Part = LongPart.Part
type Failed = LongPart.Failed

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @internal */
export interface Settings<E, R> {
  readonly map: (chunk: LongPart.Chunk) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly reduce: (parts: ReadonlyArray<Part>) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly count: LongPart.Count
  readonly tokens: number
  readonly overlap: number
  readonly fanIn: number
  readonly concurrency: number
  /** How many chunks. */
  readonly mayFail: number
}

/** How many events may wait to be taken. */
const EVENTS = 16

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const run = <E, R, E2, R2>(
  source: Stream.Stream<Piece, E2, R2>,
  settings: Settings<E, R>,
  done: Iterable<Part>
): Stream.Stream<
  LongPart.Progress,
  LongDocumentError.LongDocumentError | E | E2,
  Claude.Claude | R | R2
> =>
  Stream.callback<LongPart.Progress, LongDocumentError.LongDocumentError | E | E2, Claude.Claude | R | R2>(
    Effect.fnUntraced(function*(events) {
      const { concurrency, mayFail } = settings
      const permits = Semaphore.makeUnsafe(concurrency)
      const tally = new LongPart.Tally()
      const failures: Array<Failed> = []
      const known = new Map(Array.from(done, (part) => [`${part.level} ${part.index}`, part]))
      const shared = { ...settings, done: (level: number, index: number) => known.get(`${level} ${index}`) }

      const answered = (_tag: "Mapped" | "Reduced", part: Part, message?: Claude.Message) =>
        Effect.suspend(() => {
          tally.part(part, message)
          return Effect.as(Queue.offer(events, { _tag, part, totals: tally.totals }), part)
        })

      /** Answers, or takes what was answered before. */
      const answer = (
        _tag: "Mapped" | "Reduced",
        { done, inputTokens, key, request }: LongRequests.Fitting,
        place: Pick<Part, "level" | "index" | "range">
      ) =>
        done === undefined
          ? Effect.flatMap(permits.withPermit(LongRequests.ask(request)), ([text, message]) => {
            const counted = inputTokens === undefined ? undefined : { inputTokens }
            return answered(_tag, { ...place, text, key, ...counted }, message)
          })
          : answered(_tag, done)

      const mapped = LongChunks.make(source, shared).pipe(
        Stream.mapEffect((asked) => {
          const { chunk } = asked
          return Effect.catch(
            answer("Mapped", asked, { level: 0, index: chunk.index, range: chunk.range }),
            (error) => {
              const failed = failedOf(chunk, error)
              failures.push(failed)
              tally.failed(failed)
              return Effect.andThen(
                Queue.offer(events, { _tag: "Failed", failed, totals: tally.totals }),
                failures.length > mayFail ? failedWith(failures) : Effect.undefined
              )
            }
          )
        }, { concurrency }),
        Stream.filter((part) => part !== undefined)
      )
      const last = yield* LongReduction.reduce(mapped, {
        ...shared,
        answer: ({ index, level, range, ...asked }) =>
          Effect.mapError(
            answer("Reduced", asked, { level, index, range }),
            (error) => LongDocumentError.partsFailed([{ stage: "reduce", level, index, range, error }])
          )
      })
      if (last === undefined) return yield* failures.length === 0 ? LongDocumentError.empty() : failedWith(failures)

      const { totals } = tally
      const failed = failures.toSorted((a, b) => a.index - b.index)
      yield* Queue.offer(events, { _tag: "Finished", answer: { text: last.text, failed, totals }, totals })
      yield* Queue.end(events)
    }),
    // Without a size it would hold whatever comes.
    { bufferSize: EVENTS }
  )

/** Asks about a chunk that failed, alone: it was found to fit when it was asked about first. @internal */
export const retry = <E, R>(
  { chunk }: Failed,
  { map }: Settings<E, R>
): Effect.Effect<Part, LongDocumentError.LongDocumentError | E, Claude.Claude | R> =>
  Effect.flatMap(map(chunk), (request) => {
    const { index, range } = chunk
    return LongRequests.ask(request).pipe(
      Effect.map(([text]): Part => ({ level: 0, index, range, text, key: LongRequests.keyOf(request) })),
      Effect.mapError((error) => failedWith([failedOf(chunk, error)]))
    )
  })

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const failedOf = (chunk: LongPart.Chunk, error: ClaudeError): Failed => {
  const { index, range } = chunk
  return { stage: "map", level: 0, index, range, error, chunk }
}

/** An error tells where, and not what it says there. */
const failedWith = (failures: ReadonlyArray<Failed>): LongDocumentError.LongDocumentError => {
  const [first, ...others] = failures.map(({ chunk: _chunk, ...failure }) => failure)
  return first === undefined ? LongDocumentError.empty() : LongDocumentError.partsFailed([first, ...others])
}
