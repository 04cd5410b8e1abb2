/** A long document's calls over a transport in memory, and what is asked of it. */
import { assert } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
import * as LongDocument from "../../src/documents/LongDocument.ts"
import { random } from "./support.ts"

// -----------------------------------------------------------------------------
// what is asked, and what answers
// -----------------------------------------------------------------------------

/** What requests say before the text that they are about. */
export const MAP = "Map:\n"
export const REDUCE = "Reduce:\n"

export const make = (options: Partial<LongDocument.Options> = {}) =>
  LongDocument.make({
    map: ({ text }) => ({ prompt: MAP + text }),
    reduce: (parts) => ({ prompt: REDUCE + parts.map(({ text }) => text).join("|") }),
    chunk: { tokens: 500 },
    ...options
  })

export const promptOf = ({ body }: { readonly body: object }): string => {
  const [message] = Reflect.get(body, "messages")
  return message.content
}

export const isCount = ({ path }: { readonly path: string }) => path.endsWith("count_tokens")

/** Tokens as this API counts them: words come to one for five bytes, some to more, by what they are. */
export const tokensOf = (prompt: string): number => {
  let tokens = 7
  for (const word of prompt.split(/(?<=\s)/)) tokens += Math.ceil(Buffer.byteLength(word) / (3 + word.length % 4))
  return tokens
}

export type Respond = (prompt: string, index: number) => Answer.Answer

export const counted: Respond = (prompt) =>
  Answer.raw([JSON.stringify({ input_tokens: tokensOf(prompt) })], { contentType: "application/json" })

export const setUp = (
  respond: Respond = (prompt) => Answer.text(prompt.startsWith(MAP) ? `m${prompt.length}` : "reduced"),
  count: Respond = counted,
  options: Parameters<typeof Claude.layerTransport>[0] = {}
) => {
  const requests: Array<{ readonly prompt: string; readonly isCount: boolean }> = []
  const layer = Claude.layerTransport({
    defaults: { model: "claude-sonnet-5-5", max_tokens: 100 },
    retry: RetryPolicy.none,
    circuit: false,
    concurrency: 64,
    ...options
  }).pipe(
    Layer.provideMerge(ScriptedTransport.layer((request, index) => {
      const prompt = promptOf(request)
      requests.push({ prompt, isCount: isCount(request) })
      return isCount(request) ? count(prompt, index) : respond(prompt, index)
    }))
  )
  return {
    layer,
    requests,
    maps: () => requests.filter(({ isCount, prompt }) => !isCount && prompt.startsWith(MAP)),
    reductions: () => requests.filter(({ isCount, prompt }) => !isCount && prompt.startsWith(REDUCE)),
    counts: () => requests.filter(({ isCount }) => isCount)
  }
}

/** A text in pieces of random sizes, some of bytes. */
export const inPieces = (text: string, seed: number): Stream.Stream<string | Uint8Array> => {
  const next = random(seed)
  const bytes = new TextEncoder().encode(text)
  const pieces: Array<string | Uint8Array> = []
  if (seed % 3 === 0) {
    for (let at = 0; at < text.length;) pieces.push(text.slice(at, at += 1 + next(700)))
  } else for (let at = 0; at < bytes.length;) pieces.push(bytes.slice(at, at += 1 + next(seed % 3 === 1 ? 5 : 3000)))
  return seed % 2 === 0 ? Stream.fromIterable(pieces).pipe(Stream.rechunk(1)) : Stream.fromIterable(pieces)
}

/** The chunks that a document asks about. */
export const chunksOf = (source: LongDocument.Source, options: Partial<LongDocument.Options> = {}) => {
  const chunks: Array<LongDocument.Chunk> = []
  const document = make({
    ...options,
    map: (chunk) => {
      chunks[chunk.index] = chunk
      return { prompt: MAP + chunk.text }
    }
  })
  return Effect.as(document.result(source), chunks)
}

export const failureOf = <A, E>(exit: Exit.Exit<A, E>): E => {
  assert.isTrue(Exit.isFailure(exit))
  const reason = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
  if (reason === undefined) throw new Error("did not fail")
  return reason.error
}

export const longError = (error: unknown): LongDocument.LongDocumentError => {
  if (error instanceof LongDocument.LongDocumentError) return error
  throw error
}

/** Lets everything come as far as it can. */
export const settle = Effect.forEach(Array.from({ length: 400 }), () => Effect.yieldNow, { discard: true })

export const after = (time: Parameters<typeof TestClock.adjust>[0]) => Effect.andThen(TestClock.adjust(time), settle)
