/**
 * A document as chunks whose requests fit, one after the other: the next is read and counted when it is asked for.
 *
 * Where they are cut depends on the text and on what was counted, never on the pieces that the text comes in. That is
 * why they are counted in turn: a few counts a second are more tokens than an account may send.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type * as Claude from "../Claude.ts"
import type { ClaudeError } from "../ClaudeError.ts"
import * as Cuts from "./Cuts.ts"
import * as LongDocumentError from "./LongDocumentError.ts"
import type { Chunk } from "./Part.ts"
import * as Requests from "./Requests.ts"
import { type Piece, Source } from "./Source.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A chunk, and the request that asks about it, or why that could not be counted. @internal */
export interface Counted {
  readonly _tag: "Chunk"
  readonly chunk: Chunk
  readonly measured: Result.Result<Requests.Measured, ClaudeError>
}

/** What comes of a piece of the document; nothing is asked where it is blank, as the API takes no such request. @internal */
export type Asked = Counted | { readonly _tag: "Blank"; readonly range: LongDocumentError.Range }

/** @internal */
export interface ChunkOptions<E, R> {
  readonly map: (chunk: Chunk) => Effect.Effect<Claude.MessageRequest, E, R>
  readonly tokens: number
  readonly overlap: number
  readonly count: Requests.Count
  readonly done: Requests.Done
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
      const next = nextOf(new Source(pull), options)
      return Effect.flatMap(next, (asked) => asked === undefined ? Cause.done() : Effect.succeed([asked] as const))
    }))

const nextOf = <E, R, E2>(
  source: Source<E2>,
  { count, done, map, overlap, tokens }: ChunkOptions<E, R>
): Effect.Effect<
  Asked | undefined,
  E | E2 | LongDocumentError.LongDocumentError,
  R | Claude.Claude
> => {
  const fit = new Requests.Fit(tokens, count, done)
  let index = 0

  /** The chunk that so many bytes hold, overlap included. */
  const chunkOf = Effect.fnUntraced(function*(bytes: number) {
    yield* source.need(bytes + Cuts.LOOKAHEAD)
    const { at, text } = source
    const before = Cuts.reachBack(text, at, Math.min(fit.bytesOf(overlap), Math.floor(bytes / 2)))
    const begin = Cuts.overlapStart(text, before, at)
    const end = Cuts.cut(text, at, Cuts.reach(text, at, bytes - Buffer.byteLength(text.slice(begin, at))))
    const own = text.slice(at, end)
    const chunk: Chunk = {
      index,
      // A copy: a slice would keep all alive that was read with it. Halves of characters become marks on the way.
      text: Buffer.from(text.slice(begin, end)).toString(),
      overlap: at - begin,
      range: {
        start: source.chars,
        end: source.chars + own.length,
        startByte: source.bytes,
        endByte: source.bytes + Buffer.byteLength(own)
      }
    }
    return { chunk, end, isBlank: own.trim() === "" }
  })

  const advance = (end: number) => {
    const before = Cuts.reachBack(source.text, end, fit.bytesOf(overlap))
    source.advance(end, Math.max(0, before - Cuts.CONTEXT))
  }

  return Effect.gen(function*() {
    yield* source.need(1)
    if (source.at >= source.text.length) return undefined
    let bytes = Math.max(1, fit.room)
    while (true) {
      const { chunk, end, isBlank } = yield* chunkOf(bytes)
      const { range } = chunk
      if (isBlank) {
        advance(end)
        return { _tag: "Blank", range }
      }
      const measured = yield* Effect.result(fit.measure(yield* map(chunk)))
      if (Result.isFailure(measured) || fit.accept(measured.success, Buffer.byteLength(chunk.text))) {
        advance(end)
        index++
        return { _tag: "Chunk", chunk, measured }
      }
      if (bytes <= 1) {
        const { inputTokens = 0 } = measured.success
        const place = { stage: "map", level: 0, index, range } as const
        return yield* LongDocumentError.doesNotFit({ ...place, tokens: inputTokens, limit: tokens })
      }
      // A guess that failed says little of by how much to go on.
      bytes = Math.max(1, Math.floor(Math.min(bytes * 0.9, Math.max(bytes * 0.5, fit.room))))
    }
  })
}
