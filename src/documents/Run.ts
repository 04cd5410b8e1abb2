/**
 * A run over one document: its chunks asked about, their answers reduced, and what is done told meanwhile.
 *
 * Four things bound it. Chunks are read and counted when calls may begin; calls, of chunks and reductions together, are
 * as many as allowed; answers that wait for an earlier one are a few for each call; and when nobody takes what is told,
 * no more is done. The surprise: a failure that may pass leaves a gap, and the reduction goes on without it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Claude from "../Claude.ts"
import type { ClaudeError } from "../ClaudeError.ts"
import * as Chunks from "./Chunks.ts"
import * as DocumentSpan from "./DocumentSpan.ts"
import * as LongDocumentError from "./LongDocumentError.ts"
import type { Chunk, Failed, Part } from "./Part.ts"
import * as Progress from "./Progress.ts"
import * as Reduction from "./Reduction.ts"
import * as Requests from "./Requests.ts"
import type { Piece } from "./Source.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @internal */
export interface Settings<E, R> {
  readonly map: (chunk: Chunk) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly reduce: (parts: ReadonlyArray<Part>) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly count: Requests.Count
  readonly tokens: number
  readonly overlap: number
  readonly fanIn: number
  readonly concurrency: number
  readonly priority: Claude.Policy["priority"]
  /** How many chunks. */
  readonly mayFail: number
}

/** How many events may wait to be taken, beside one for each call that may be in flight. */
const EVENTS = 16

/** How many chunks may be ready beside those that are asked about. */
const READY = 2

/** How many answers, for each call that may be in flight, may wait for an earlier one: else one slow answer stops all. */
const AHEAD = 4

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const run = <E, R, E2, R2>(
  source: Stream.Stream<Piece, E2, R2>,
  settings: Settings<E, R>,
  done: Iterable<Part>
): Stream.Stream<
  Progress.Progress,
  LongDocumentError.LongDocumentError | E | E2,
  Claude.Claude | R | R2
> =>
  Stream.suspend(() => {
    const { concurrency, mayFail } = settings
    // An event has its place before its answer is paid for: so it waits for nobody, and no failure beside it takes it away.
    const places = Semaphore.makeUnsafe(concurrency + EVENTS)
    return Stream.callback<Progress.Progress, LongDocumentError.LongDocumentError | E | E2, Claude.Claude | R | R2>(
      Effect.fnUntraced(function*(events) {
        const calls = Semaphore.makeUnsafe(concurrency)
        const texts = Semaphore.makeUnsafe(concurrency + READY)
        const tally = new Progress.Tally()
        const failures: Array<Failed> = []
        // Answers are taken in order, and a failure waits for none of those before it.
        const broken = Deferred.makeUnsafe<never, LongDocumentError.LongDocumentError>()
        const shared = { ...settings, done: new Map(Array.from(done, (part) => [part.key, part])) }

        /** Answers, or takes what was answered before. */
        const answer = Effect.fnUntraced(function*(
          _tag: "Mapped" | "Reduced",
          { done, inputTokens, key, request }: Requests.Measured,
          place: Pick<Part, "level" | "index" | "range">
        ) {
          const text = done?.text ??
            (yield* calls.withPermit(Requests.ask(request, (usage, cost) => tally.bill(usage, cost))))
          const part: Part = { ...place, text, key, ...(inputTokens === undefined ? undefined : { inputTokens }) }
          tally.part(part, done !== undefined)
          Queue.offerUnsafe(events, { _tag, part, totals: tally.totals })
          yield* DocumentSpan.counted(done !== undefined ? "resumed" : _tag === "Mapped" ? "mapped" : "reduced")
          return part
        })

        const fail = Effect.fnUntraced(function*(failed: Failed) {
          failures.push(failed)
          tally.failed(failed)
          Queue.offerUnsafe(events, { _tag: "Failed", failed, totals: tally.totals })
          yield* DocumentSpan.counted("failed")
          if (failures.length <= mayFail) return undefined
          const error = failedWith(failures)
          yield* Deferred.fail(broken, error)
          return yield* error
        })

        const partOf = ({ chunk, measured }: Chunks.Counted) => {
          const { index, range } = chunk
          if (Result.isFailure(measured)) {
            return fail({ stage: "count", level: 0, index, range, error: measured.failure, chunk })
          }
          return Effect.catch(
            answer("Mapped", measured.success, { level: 0, index, range }),
            (error) => fail(failedOf(chunk, error, measured.success.inputTokens))
          )
        }

        const mapped = Chunks.make(source, shared).pipe(
          holding(texts),
          Stream.mapEffect((each) => {
            const part = each._tag === "Blank"
              ? Effect.as(Effect.sync(() => tally.read(each.range)), undefined)
              : Effect.andThen(places.take(1), partOf(each))
            return Effect.ensuring(part, texts.release(1))
          }, { concurrency: concurrency * AHEAD }),
          Stream.filter((part) => part !== undefined)
        )
        const last = yield* DocumentSpan.within(
          tally,
          Effect.raceFirst(
            Deferred.await(broken),
            Effect.gen(function*() {
              const last = yield* Reduction.reduce(mapped, {
                ...shared,
                answer: ({ index, level, range, ...asked }) =>
                  Effect.andThen(places.take(1), answer("Reduced", asked, { level, index, range })).pipe(
                    Effect.mapError((error) =>
                      LongDocumentError.partsFailed([{ stage: "reduce", level, index, range, error }])
                    ),
                    Effect.tapError((error) => Deferred.fail(broken, error))
                  )
              })
              return last ?? (yield* failures.length === 0 ? LongDocumentError.empty() : failedWith(failures))
            })
          )
        )
        const { totals } = tally
        const failed = failures.toSorted((a, b) => a.index - b.index)
        Queue.offerUnsafe(events, { _tag: "Finished", answer: { text: last.text, failed, totals }, totals })
        yield* Queue.end(events)
      }, Claude.withPolicy({ priority: settings.priority }))
    ).pipe(Stream.tap(() => places.release(1)))
  })

/** Reads a chunk when there is a permit for it; who is done with it gives that back. */
const holding =
  (texts: Semaphore.Semaphore) =>
  <E, R>(chunks: Stream.Stream<Chunks.Asked, E, R>): Stream.Stream<Chunks.Asked, E, R> =>
    Stream.transformPull(chunks, (pull) => Effect.succeed(Effect.andThen(texts.take(1), pull)))

/** Asks about a chunk that failed, alone, when it is known to fit. @internal */
export const retry = <E, R>(
  { chunk, inputTokens, stage }: Failed,
  { count, map, priority, tokens }: Settings<E, R>
): Effect.Effect<Part, LongDocumentError.LongDocumentError | E, Claude.Claude | R> =>
  Effect.gen(function*() {
    const { index, range } = chunk
    const request = yield* map(chunk)
    const failed = (error: ClaudeError, stage: "count" | "map") =>
      failedWith([{ ...failedOf(chunk, error, inputTokens), stage }])
    if (stage === "count") {
      const counted = yield* Effect.mapError(count(request), (error) => failed(error, "count"))
      if (counted > tokens) {
        return yield* LongDocumentError.outgrown({
          stage: "map",
          level: 0,
          index,
          range,
          tokens: counted,
          limit: tokens
        })
      }
    }
    const text = yield* Effect.mapError(Requests.ask(request, () => {}), (error) => failed(error, "map"))
    // What the run did not learn from, the next does not either: it cuts what follows as this one did.
    const part: Part = { level: 0, index, range, text, key: Requests.keyOf(request) }
    return inputTokens === undefined ? part : { ...part, inputTokens }
  }).pipe(Claude.withPolicy({ priority }))

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const failedOf = (chunk: Chunk, error: ClaudeError, inputTokens: number | undefined): Failed => {
  const { index, range } = chunk
  const failed: Failed = { stage: "map", level: 0, index, range, error, chunk }
  return inputTokens === undefined ? failed : { ...failed, inputTokens }
}

/** An error tells where, and not what it says there. */
const failedWith = (failures: ReadonlyArray<Failed>): LongDocumentError.LongDocumentError => {
  const [first, ...others] = failures.map(({ chunk: _chunk, inputTokens: _tokens, ...failure }) => failure)
  return first === undefined ? LongDocumentError.empty() : LongDocumentError.partsFailed([first, ...others])
}
