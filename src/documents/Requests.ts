/**
 * The requests of a long document: what they are counted as, how much likely fits in the next, and what is answered.
 *
 * A request is sent when it was counted and found within its bound. Those with fewer bytes than tokens are allowed need
 * no count: a text never has more tokens than bytes. How much to put into a request is told from its bytes by a ratio
 * that each count corrects; a guess that was too high costs one more count, and never a request too large.
 */
import * as Effect from "effect/Effect"
import * as Claude from "../Claude.ts"
import type { ClaudeError, Usage } from "../ClaudeError.ts"
import * as Text from "../decode/Text.ts"
import * as CanonicalKey from "../request/CanonicalKey.ts"
import * as InputSize from "../request/InputSize.ts"
import type { Part } from "./Part.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Counts the input tokens of a request. @category models @since 0.2.0 */
export type Count = (request: Claude.MessageRequest) => Effect.Effect<number, ClaudeError, Claude.Claude>

/** A request, and what is known of it. @internal */
export interface Measured {
  readonly request: Claude.MessageRequest
  /** What it says, hashed. */
  readonly key: string
  readonly size: InputSize.InputSize
  /** As they were counted; undefined where its bytes, or an answer, already say that it fits. */
  readonly inputTokens: number | undefined
  /** Its answer, where that was given back. */
  readonly done: Part | undefined
}

/** What was answered before, by the key of what was asked. @internal */
export type Done = ReadonlyMap<string, Part>

/** What a request says, hashed; the functions that make one write it in the same order each time. @internal */
export const keyOf = (request: Claude.MessageRequest): string => CanonicalKey.digest(JSON.stringify(request))

const sizeOf = (request: Claude.MessageRequest): InputSize.InputSize =>
  InputSize.make(request.prompt == null ? request : { ...request, messages: [{ content: request.prompt }] })

/** The most tokens that a request of a size may have. */
const most = ({ bytes, mostTokens, serverTokens }: InputSize.InputSize): number => bytes + mostTokens + serverTokens

/** The most tokens that a request may have, from its bytes alone. @internal */
export const mostTokens = (request: Claude.MessageRequest): number => most(sizeOf(request))

// -----------------------------------------------------------------------------
// how much fits
// -----------------------------------------------------------------------------

/** Tokens of a byte of prose, until there is a count. */
const FIRST_RATIO = 0.3

/** What a guess leaves free, for texts that take more tokens than the one before. */
const MARGIN = 0.92

/** What the counts of requests of one kind have taught. It depends on these alone, so the same document is cut the same. @internal */
export class Fit {
  readonly limit: number
  private readonly count: Count
  private readonly done: Done
  private ratio: number | undefined
  /** What a request has beside the texts: bytes, and tokens of what is no text. */
  private besides = { bytes: 0, tokens: 0 }

  constructor(limit: number, count: Count, done: Done) {
    this.limit = limit
    this.count = count
    this.done = done
  }

  /** How many bytes of text the next request likely takes. */
  get room(): number {
    const { bytes, tokens } = this.besides
    return Math.floor((this.limit * MARGIN - tokens) / (this.ratio ?? FIRST_RATIO)) - bytes
  }

  /** How many bytes likely have so many tokens. */
  bytesOf(tokens: number): number {
    return Math.floor(tokens / (this.ratio ?? FIRST_RATIO))
  }

  /** Counts a request, unless that it fits is known without. */
  measure(request: Claude.MessageRequest): Effect.Effect<Measured, ClaudeError, Claude.Claude> {
    const size = sizeOf(request)
    const key = keyOf(request)
    const done = this.done.get(key)
    const known = { request, key, size, done }
    if (done !== undefined || most(size) <= this.limit) {
      return Effect.succeed({ ...known, inputTokens: done?.inputTokens })
    }
    return Effect.flatMap(this.count(request), (inputTokens) =>
      InputSize.isCount(inputTokens)
        ? Effect.succeed({ ...known, inputTokens })
        : Effect.die(new RangeError(`LongDocument: count answered ${String(inputTokens)}; expected how many tokens.`)))
  }

  /** Learns from a request with so many bytes of the document, and tells whether it fits. */
  accept({ inputTokens, size }: Measured, textBytes: number): boolean {
    if (inputTokens === undefined) return true
    this.besides = { bytes: Math.max(0, size.bytes - textBytes), tokens: size.tokens }
    const ratio = Math.min(MOST_RATIO, Math.max(LEAST_RATIO, (inputTokens - size.tokens) / Math.max(1, size.bytes)))
    const isTooLarge = inputTokens > this.limit
    if (this.ratio === undefined) this.ratio = ratio
    // Too much is corrected at once, too little bit by bit.
    else this.ratio = isTooLarge ? Math.max(ratio, this.ratio) : this.ratio + (ratio - this.ratio) / 3
    return !isTooLarge
  }
}

const LEAST_RATIO = 0.02
const MOST_RATIO = 4

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

/**
 * All of an answer's text; one that was cut or refused is a failure. What was billed is told once, also of a failure.
 *
 * @internal
 */
export const ask = (
  request: Claude.MessageRequest,
  bill: (usage: Usage | undefined, cost: number | undefined) => void
): Effect.Effect<string, ClaudeError, Claude.Claude> =>
  Claude.message(request).pipe(
    Effect.tap(({ billed, cost }) => Effect.sync(() => bill(billed, cost?.amount))),
    // What it cost is known in tokens only.
    Effect.tapError(({ usage }) => Effect.sync(() => usage === undefined ? undefined : bill(usage, undefined))),
    Effect.flatMap(Text.whole)
  )
