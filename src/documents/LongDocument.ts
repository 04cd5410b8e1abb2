/**
 * Questions about documents of any size: each chunk is asked about (map), and the answers are put together in a tree
 * (reduce), as a Stream of progress or as the answer.
 *
 * ```ts
 * const summary = LongDocument.make({
 *   chunk: { tokens: 8000, overlap: 200 },
 *   map: ({ text }) => ({ prompt: `Summarise this part of a book in a paragraph:\n\n${text}` }),
 *   reduce: (parts) => ({ prompt: `Make one summary of these:\n\n${parts.map(({ text }) => text).join("\n\n")}` })
 * })
 *
 * const answer = summary.result(LongDocument.file("book.txt"))
 * ```
 *
 * The source is read as its chunks are asked about. The surprise: a document of one chunk is not reduced.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import * as Claude from "../Claude.ts"
import type * as LongDocumentError from "./LongDocumentError.ts"
import type * as LongPart from "./LongPart.ts"
import * as LongRequests from "./LongRequests.ts"
import * as LongRun from "./LongRun.ts"

export { DoesNotFit, Empty, LongDocumentError, PartFailure, PartsFailed, Range } from "./LongDocumentError.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A piece of the document. @category models @since 0.2.0 */
export type Chunk = LongPart.Chunk

/** What was answered about a chunk, or about parts together; plain data, to be kept and given back. @category models @since 0.2.0 */
export type Part = LongPart.Part

/** A chunk that has no answer, and why. @category models @since 0.2.0 */
export type Failed = LongPart.Failed

/** What has come of a document so far. @category models @since 0.2.0 */
export type Totals = LongPart.Totals

/** What comes of a document. @category models @since 0.2.0 */
export type Answer = LongPart.Answer

/** What happens to a document, in the order in which it happens: chunks are done in any order. @category models @since 0.2.0 */
export type Progress = LongPart.Progress

/** A text, or pieces of one, cut anywhere; bytes are UTF-8. @category models @since 0.2.0 */
export type Source<E = never, R = never> = string | Stream.Stream<string | Uint8Array, E, R>

/** A way to answer about documents. @category models @since 0.2.0 */
export interface LongDocument<E = never, R = never> {
  /** Answers, and tells what is done meanwhile; it goes on as fast as that is taken. */
  readonly run: <E2 = never, R2 = never>(
    source: Source<E2, R2>,
    options?: RunOptions
  ) => Stream.Stream<Progress, LongDocumentError.LongDocumentError | E | E2, Claude.Claude | R | R2>
  /** Answers. */
  readonly result: <E2 = never, R2 = never>(
    source: Source<E2, R2>,
    options?: RunOptions
  ) => Effect.Effect<Answer, LongDocumentError.LongDocumentError | E | E2, Claude.Claude | R | R2>
  /** Asks about one chunk again, alone; its part may be given to a run as done. */
  readonly retry: (
    failed: Failed
  ) => Effect.Effect<Part, LongDocumentError.LongDocumentError | E, Claude.Claude | R>
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** A request, or an Effect of one, such as a rendered prompt. @category options @since 0.2.0 */
export type Request<E = never, R = never> = Claude.MessageRequest | Effect.Effect<Claude.MessageRequest, E, R>

/** @category options @since 0.2.0 */
export interface Options<E = never, R = never> {
  /** What is asked about a chunk. */
  readonly map: (chunk: Chunk) => Request<E, R>
  /** What is asked about answers, two at the least, in the document's order. */
  readonly reduce: (parts: ReadonlyArray<Part>) => Request<E, R>
  readonly chunk: {
    /** The most input tokens of a request, all that it says included; no request is sent that was counted as more. */
    readonly tokens: number
    /** About how many tokens of the chunk before it a chunk begins with. @default 0 */
    readonly overlap?: number | undefined
  }
  /** The most answers that are reduced together, where as many fit. @default 16 */
  readonly fanIn?: number | undefined
  /** How many calls may be in flight, within what the client allows. @default 8 */
  readonly concurrency?: number | undefined
  /** A chunk that fails ends the work, or so many may; a reduction that fails always does. @default "fail" */
  readonly onFailure?: "fail" | { readonly collect: number } | undefined
  /** How requests are counted. @default Claude.countTokens */
  readonly count?: LongPart.Count | undefined
}

/** @category options @since 0.2.0 */
export interface RunOptions {
  /** What an earlier run answered: it is not asked again where the same would be asked. */
  readonly done?: Iterable<Part> | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @category constructors @since 0.2.0 */
export const make = <E = never, R = never>(options: Options<E, R>): LongDocument<E, R> => {
  const settings: LongRun.Settings<E, R> = {
    ...resolve(options),
    map: (chunk) => requestOf(options.map(chunk)),
    reduce: (parts) => requestOf(options.reduce(parts))
  }
  const run: LongDocument<E, R>["run"] = (source, { done = [] } = {}) =>
    LongRun.run(typeof source === "string" ? Stream.succeed(source) : source, settings, done)
  return {
    run,
    result: (source, options) =>
      Stream.runLast(run(source, options)).pipe(
        // The last event of a run that ends well tells the answer.
        Effect.map((last) => (Option.getOrThrow(last) as LongPart.Finished).answer)
      ),
    retry: (failed) => LongRun.retry(failed, settings)
  }
}

/**
 * A file's bytes, as a source.
 *
 * @category constructors
 * @since 0.2.0
 */
export const file = (path: string): Stream.Stream<Uint8Array, PlatformError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => files.stream(path)))

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const requestOf = <E, R>(request: Request<E, R>): Effect.Effect<Claude.MessageRequest, E, R> =>
  Effect.isEffect(request) ? request : Effect.succeed(request)

const resolve = (
  { chunk, concurrency = 8, count, fanIn = 16, onFailure = "fail" }: Omit<Options, "map" | "reduce">
) => {
  const { overlap = 0, tokens } = chunk
  const collect = onFailure === "fail" ? 0 : onFailure?.collect
  check("chunk.tokens", tokens, 1, Infinity, "the most input tokens of a request, such as 8000")
  check("chunk.overlap", overlap, 0, tokens / 2, "at most half of chunk.tokens, such as 200")
  check("fanIn", fanIn, 2, Infinity, "how many answers are reduced together, from 2")
  check("concurrency", concurrency, 1, Infinity, "how many calls may be in flight, from 1")
  check("onFailure.collect", collect, 0, Infinity, "how many chunks may fail, from 0")
  return {
    tokens,
    overlap,
    fanIn,
    concurrency,
    mayFail: collect,
    count: (request: Claude.MessageRequest) => LongRequests.inBackground((count ?? Claude.countTokens)(request))
  }
}

const check = (field: string, value: unknown, least: number, most: number, expected: string): void => {
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) return
  throw new RangeError(`LongDocument.make: ${field} is ${String(value)}; expected a whole number: ${expected}.`)
}
