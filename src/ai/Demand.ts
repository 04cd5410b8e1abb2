/**
 * How far a stream with tools may be ahead of who reads it.
 *
 * effect/ai puts the parts of such a stream into a queue without a bound, where its tools put their results, too. So
 * the parts that are in it are counted here, and what they come from is read on when some of them were taken.
 */
import type * as Response from "effect/ai/Response"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"

/** The most parts that wait for their reader, but for those of one read, and of the one after a call. */
const MOST_WAITING = 64

/** @internal */
export class Demand {
  private waiting = 0
  private readonly latch = Latch.makeUnsafe(true)

  /** What is read on as the reader asks for more. */
  paced<A extends { readonly type: string }, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> {
    return Stream.transformPull(
      stream,
      (pull) =>
        Effect.succeed(Effect.tap(Effect.andThen(this.latch.await, pull), (parts) =>
          Effect.sync(() => {
            this.waiting += parts.length
            // A tool begins when something follows its call, and a reader may wait for what it does.
            const isCalling = parts.some(({ type }) => type === "tool-call")
            if (this.waiting >= MOST_WAITING && !isCalling) this.latch.closeUnsafe()
          })))
    )
  }

  /** What its reader takes: a part was taken when the next is asked for. */
  taken<A extends Response.AnyPart, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> {
    return Stream.transformPull(stream, (pull) =>
      Effect.sync(() => {
        let last = 0
        return Effect.suspend(() => {
          this.waiting -= last
          last = 0
          if (this.waiting < MOST_WAITING) this.latch.openUnsafe()
          return Effect.map(pull, (parts) => {
            for (const part of parts) if (!isOfTool(part)) last++
            return parts
          })
        })
      }))
  }
}

/** Put into the queue by the program's own tools. */
const isOfTool = (part: Response.AnyPart): boolean =>
  part.type === "tool-approval-request" || part.type === "tool-result" && !part.providerExecuted

/** That of the stream which a model is asked for, if it has tools. @internal */
export const Current: Context.Reference<Demand | undefined> = Context.Reference<Demand | undefined>(
  "effect-claude/ai/Demand",
  { defaultValue: () => undefined }
)
