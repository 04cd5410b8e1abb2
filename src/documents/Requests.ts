/**
 * The requests of a long document: what they are counted as, how much likely fits in the next, and what is answered.
 *
 * A request is sent when the API has counted it and found it within its bound. Those with fewer bytes than tokens are
 * allowed need no count: a text never has more tokens than bytes. How much to put into a request is told from its bytes
 * by a ratio that each count corrects; a guess that was too high costs one more count, and never a request too large.
 */
import * as Effect from "effect/Effect"
import * as Claude from "../Claude.ts"
import type { ClaudeError } from "../ClaudeError.ts"
import * as CanonicalKey from "../request/CanonicalKey.ts"
import * as InputSize from "../request/InputSize.ts"
import type { Count, Part } from "./LongPart.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A request that is within its bound. @internal */
export interface Fitting {
  readonly request: Claude.MessageRequest
  /** What it says, hashed. */
  readonly key: string
  /** As the API counted them; undefined where its bytes already say that it fits. */
  readonly inputTokens: number | undefined
  /** Its answer, where that was given back. */
  readonly done: Part | undefined
}

/** A request that has more tokens than it may. @internal */
export interface TooLarge {
  readonly tokens: number
}

/** What a request says, hashed; the functions that make one write it in the same order each time. @internal */
export const keyOf = (request: Claude.MessageRequest): string => CanonicalKey.digest(JSON.stringify(request))

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
  private ratio: number | undefined
  /** What a request has beside the texts: bytes, and tokens of what is no text. */
  private besides = { bytes: 0, tokens: 0 }

  constructor(limit: number, count: Count) {
    this.limit = limit
    this.count = count
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

  /** Whether a request with so many bytes of the document is within the bound. */
  check(
    request: Claude.MessageRequest,
    textBytes: number,
    done: Part | undefined
  ): Effect.Effect<Fitting | TooLarge, ClaudeError, Claude.Claude> {
    const size = InputSize.make(
      request.prompt == null ? request : { ...request, messages: [{ content: request.prompt }] }
    )
    const key = keyOf(request)
    const known = done?.key === key ? done : undefined
    const most = size.bytes + size.mostTokens + size.serverTokens
    if (most <= this.limit) return Effect.succeed({ request, key, inputTokens: undefined, done: known })
    const counted = known?.inputTokens === undefined ? this.count(request) : Effect.succeed(known.inputTokens)
    return Effect.map(counted, (inputTokens) => {
      this.learn(size, textBytes, inputTokens)
      return inputTokens > this.limit ? { tokens: inputTokens } : { request, key, inputTokens, done: known }
    })
  }

  private learn(size: InputSize.InputSize, textBytes: number, counted: number): void {
    this.besides = { bytes: Math.max(0, size.bytes - textBytes), tokens: size.tokens }
    const ratio = Math.min(MOST_RATIO, Math.max(LEAST_RATIO, (counted - size.tokens) / Math.max(1, size.bytes)))
    if (this.ratio === undefined) this.ratio = ratio
    // Too much is corrected at once, too little bit by bit.
    else this.ratio = counted > this.limit ? Math.max(ratio, this.ratio) : this.ratio + (ratio - this.ratio) / 3
  }
}

const LEAST_RATIO = 0.02
const MOST_RATIO = 4

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

/** What runs in the background never goes before what somebody waits for. @internal */
export const inBackground: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Claude.withPolicy({
  priority: "batch"
})

/** All of an answer's text, and the message that it came in; an answer that was cut or refused is a failure. @internal */
export const ask = (
  request: Claude.MessageRequest
): Effect.Effect<readonly [text: string, message: Claude.Message], ClaudeError, Claude.Claude> =>
  Effect.flatMap(Claude.Claude, (claude) => {
    let answer: Claude.Message
    const message: typeof claude.message = (request) =>
      Effect.tap(claude.message(request), (message) => Effect.sync(() => answer = message))
    return Claude.text(request).pipe(
      Effect.provideService(Claude.Claude, { ...claude, message }),
      Effect.map((text) => [text, answer] as const),
      inBackground
    )
  })
