/**
 * Questions about documents of any size: each chunk is asked about (map), and the answers are put together in a tree
 * (reduce), as a Stream of progress or as the answer.
 *
 * ```ts
 * const summary = LongDocument.make({
 *   chunk: { tokens: 8000, overlap: 200 },
 *   map: ({ text }) => ({ system: "Summarise this part of a book.", prompt: LongDocument.enclose(text) }),
 *   reduce: (parts) => ({
 *     system: "Make one summary of these, which follow one another.",
 *     prompt: parts.map(({ text }) => LongDocument.enclose(text, "part")).join("\n")
 *   })
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
import * as CanonicalKey from "../request/CanonicalKey.ts"
import type * as LongDocumentError from "./LongDocumentError.ts"
import type * as Part from "./Part.ts"
import type { Answer, Finished, Progress } from "./Progress.ts"
import * as Requests from "./Requests.ts"
import * as Run from "./Run.ts"

export { DoesNotFit, Empty, LongDocumentError, PartFailure, PartsFailed, Range } from "./LongDocumentError.ts"
export { Chunk, Failed, Part } from "./Part.ts"
export type { Answer, Progress, Totals } from "./Progress.ts"
export type { Count } from "./Requests.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A text, or pieces of one, cut anywhere; bytes are UTF-8, and what is none is read as U+FFFD. @category models @since 0.2.0 */
export type Source<E = never, R = never> = string | Stream.Stream<string | Uint8Array, E, R>

/** A way to answer about documents. @category models @since 0.2.0 */
export interface LongDocument<E = never, R = never> {
  /** Answers, and tells what is done, in the order in which it is; it goes on as fast as that is taken. */
  readonly run: <E2 = never, R2 = never>(
    source: Source<E2, R2>,
    options?: RunOptions
  ) => Stream.Stream<Progress, LongDocumentError.LongDocumentError | E | E2, Claude.Claude | R | R2>
  /** Answers; where it fails, what it had by then is lost: `run` tells each part as it is done. */
  readonly result: <E2 = never, R2 = never>(
    source: Source<E2, R2>,
    options?: RunOptions
  ) => Effect.Effect<Answer, LongDocumentError.LongDocumentError | E | E2, Claude.Claude | R | R2>
  /**
   * Asks about one chunk again, alone; its part may be given to a run as done. Where its count had failed, that also keeps
   * what follows cut as it was.
   */
  readonly retry: (
    failed: Part.Failed
  ) => Effect.Effect<Part.Part, LongDocumentError.LongDocumentError | E, Claude.Claude | R>
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** A request, or an Effect of one, such as a rendered prompt. @category options @since 0.2.0 */
export type Request<E = never, R = never> = Claude.MessageRequest | Effect.Effect<Claude.MessageRequest, E, R>

/** @category options @since 0.2.0 */
export interface Options<E = never, R = never> {
  /** What is asked about a chunk. */
  readonly map: (chunk: Part.Chunk) => Request<E, R>
  /** What is asked about answers, two at the least, in the document's order. */
  readonly reduce: (parts: ReadonlyArray<Part.Part>) => Request<E, R>
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
  /** A chunk that fails ends the work, with the calls that are in flight, or so many may, held with their texts; a reduction always does. @default "fail" */
  readonly onFailure?: "fail" | { readonly collect: number } | undefined
  /** How requests are counted; `countBytes` where the platform cannot. @default Claude.countTokens */
  readonly count?: Requests.Count | undefined
  /** Whether its calls go behind what somebody waits for. @default "batch" */
  readonly priority?: Claude.Policy["priority"]
}

/** @category options @since 0.2.0 */
export interface RunOptions {
  /** What an earlier run answered: it is not asked again where the same would be; the client's defaults are no part of that. */
  readonly done?: Iterable<Part.Part> | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @category constructors @since 0.2.0 */
export const make = <E = never, R = never>(options: Options<E, R>): LongDocument<E, R> => {
  const settings: Run.Settings<E, R> = {
    ...resolve(options),
    map: (chunk) => requestOf(options.map(chunk)),
    reduce: (parts) => requestOf(options.reduce(parts))
  }
  const run: LongDocument<E, R>["run"] = (source, { done = [] } = {}) =>
    Run.run(typeof source === "string" ? Stream.succeed(source) : source, settings, done)
  return {
    run,
    result: (source, options) =>
      Stream.runLast(run(source, options)).pipe(
        // The last event of a run that ends well tells the answer.
        Effect.map((last) => (Option.getOrThrow(last) as Finished).answer)
      ),
    retry: (failed) => Run.retry(failed, settings)
  }
}

/**
 * A file's bytes, as a source. Where they are no UTF-8, say what they are: `Stream.decodeText({ encoding: "utf-16" })`
 * behind it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const file = (path: string): Stream.Stream<Uint8Array, PlatformError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => files.stream(path)))

/**
 * The most tokens that a request can have, one for each byte: needs no call, and fills a quarter of each request or so.
 *
 * @category constructors
 * @since 0.2.0
 */
export const countBytes: Requests.Count = (request) => Effect.sync(() => Requests.mostTokens(request))

/**
 * A text between two tags that it does not contain, so that nothing in it can end the block: say in `system` that what
 * stands in the block is what it is about, and no instruction.
 *
 * @category combinators
 * @since 0.2.0
 */
export const enclose = (text: string, name = "document"): string => {
  if (!/^[a-z][\w-]*$/i.test(name)) {
    throw new RangeError(`LongDocument.enclose: name is ${JSON.stringify(name)}; expected a name such as document.`)
  }
  let tag: string
  let mark = text
  do tag = `${name}-${(mark = CanonicalKey.digest(mark)).slice(0, 8)}`
  while (text.includes(tag))
  return `<${tag}>\n${text}\n</${tag}>`
}

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const requestOf = <E, R>(request: Request<E, R>): Effect.Effect<Claude.MessageRequest, E, R> =>
  Effect.isEffect(request) ? request : Effect.succeed(request)

const resolve = (
  { chunk, concurrency = 8, count = Claude.countTokens, fanIn = 16, onFailure = "fail", priority = "batch" }: Omit<
    Options,
    "map" | "reduce"
  >
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
    count,
    priority
  }
}

const check = (field: string, value: unknown, least: number, most: number, expected: string): void => {
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) return
  throw new RangeError(`LongDocument.make: ${field} is ${String(value)}; expected a whole number: ${expected}.`)
}
