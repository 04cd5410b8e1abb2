/**
 * A document as chunks whose requests fit, one after the other: the next is read and counted when it is asked for.
 *
 * Where they are cut depends on the text and on what was counted, never on the pieces that the text comes in.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Claude from "../Claude.ts"
import * as LongDocumentError from "./LongDocumentError.ts"
import type { Chunk, Count, Part } from "./LongPart.ts"
import * as LongRequests from "./LongRequests.ts"
import { LongSource, type Piece } from "./LongSource.ts"
import * as LongText from "./LongText.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A chunk, and the request that asks about it. @internal */
export interface Asked extends LongRequests.Fitting {
  readonly chunk: Chunk
}

/** @internal */
export interface ChunkOptions<E, R> {
  readonly map: (chunk: Chunk) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly tokens: number
  readonly overlap: number
  readonly count: Count
  readonly done: (level: number, index: number) => Part | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const make = <E, R, E2, R2>(
  source: Stream.Stream<Piece, E2, R2>,
  options: ChunkOptions<E, R>
): Stream.Stream<Asked, E | E2 | LongDocumentError.LongDocumentError, R | R2 | Claude.Claude> =>
  Stream.transformPull(source, (pull) =>
    Effect.sync(() => {
      const next = nextOf(new LongSource(pull), options)
      return Effect.flatMap(next, (asked) => asked === undefined ? Cause.done() : Effect.succeed([asked] as const))
    }))

const nextOf = <E, R, E2>(
  source: LongSource<E2>,
  { count, done, map, overlap, tokens }: ChunkOptions<E, R>
): Effect.Effect<
  Asked | undefined,
  E | E2 | LongDocumentError.LongDocumentError,
  R | Claude.Claude
> => {
  const fit = new LongRequests.Fit(tokens, count)
  let index = 0

  /** The chunk that so many bytes hold, overlap included. */
  const chunkOf = Effect.fnUntraced(function*(bytes: number) {
    yield* source.need(bytes + LongText.LOOKAHEAD)
    const { at, text } = source
    const begin = LongText.overlapStart(text, LongText.reachBack(text, at, Math.floor(bytes / 2)), at)
    const before = text.slice(begin, at)
    const end = LongText.cut(text, at, LongText.reach(text, at, bytes - Buffer.byteLength(before)))
    const own = text.slice(at, end)
    const chunk: Chunk = {
      index,
      text: before + own,
      overlap: before.length,
      range: {
        start: source.chars,
        end: source.chars + own.length,
        startByte: source.bytes,
        endByte: source.bytes + Buffer.byteLength(own)
      }
    }
    return { chunk, end }
  })

  return Effect.gen(function*() {
    yield* source.need(1)
    if (source.at >= source.text.length) return undefined
    let bytes = Math.max(1, fit.room)
    while (true) {
      const { chunk, end } = yield* chunkOf(bytes)
      const { range } = chunk
      const request = yield* map(chunk)
      const checked = yield* Effect.mapError(
        fit.check(request, Buffer.byteLength(chunk.text), done(0, index)),
        (error) => LongDocumentError.partsFailed([{ stage: "count", level: 0, index, range, error }])
      )
      if ("tokens" in checked) {
        if (bytes <= 1) {
          return yield* LongDocumentError.doesNotFit({
            stage: "map",
            level: 0,
            index,
            range,
            tokens: checked.tokens,
            limit: tokens
          })
        }
        // A guess that failed says little of by how much to go on.
        bytes = Math.max(1, Math.floor(Math.min(bytes * 0.9, Math.max(bytes * 0.5, fit.room))))
        continue
      }
      const kept = LongText.reachBack(source.text, end, fit.bytesOf(overlap))
      source.advance(end, LongText.overlapStart(source.text, kept, end))
      index++
      return { ...checked, chunk }
    }
  })
}
