/**
 * One attempt: a request sent, its response read up to the first content, and a pull of the events after that.
 *
 * What comes before the first content is held back, so an attempt that fails until then can be retried unseen. A
 * watchdog fiber, owned by the attempt's scope, times the reads that are pending.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type { Timeouts } from "./Timeouts.ts"
import { Watchdog } from "./Watchdog.ts"

/** What an attempt reads from: the transport's exchange. @internal */
export interface Source<Head> {
  readonly response: Effect.Effect<Head, ClaudeError.ClaudeError>
  /** The next bytes; none at the end. */
  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, ClaudeError.ClaudeError>
  readonly fail: (error: ClaudeError.ClaudeError) => void
  readonly complete: () => void
}

/** What makes events of bytes. @internal */
export interface Decoder<Event> {
  readonly push: (bytes: ReadonlyArray<Uint8Array>) => Array<Event>
  readonly end: () => Array<Event>
}

/** What knows how far the message is. @internal */
export interface Progress<Event, Failure> {
  /** Takes events, and answers how many of them belong to the message. */
  readonly add: (events: ReadonlyArray<Event>) => number
  readonly hasContent: boolean
  readonly isComplete: boolean
  readonly deltas: number
  /** What ended the message early, if something did. */
  readonly failure: Failure | undefined
}

/** @internal */
export interface AttemptOptions<Head, Event, Failure> {
  readonly source: Source<Head>
  readonly decoder: (head: Head) => Decoder<Event> | ClaudeError.ClaudeError
  readonly progress: Progress<Event, Failure>
  /** What such a failure means. */
  readonly failure: (failure: Failure) => ClaudeError.ClaudeError
  readonly timeouts: Timeouts
  /** When the call must be over, by the clock; `untilContent` where that means its first content. */
  readonly deadline: number
  readonly untilContent: boolean
  /** A response came. */
  readonly onHead: (head: Head) => void
  /** A read brought content. */
  readonly onContent: (now: number) => void
  /** The message is complete; what it answers is handed on in place of the last events. */
  readonly onComplete: (events: Array<Event>) => Effect.Effect<Array<Event>, ClaudeError.ClaudeError>
}

/** An attempt that has reached its first content. @internal */
export interface Attempt<Event> {
  readonly held: Array<Event>
  readonly pull: Pull.Pull<Array<Event>, ClaudeError.ClaudeError>
}

/** Sends, and reads until the first content. @internal */
export const open = <Head, Event, Failure>(
  options: AttemptOptions<Head, Event, Failure>
): Effect.Effect<Attempt<Event>, ClaudeError.ClaudeError, Scope.Scope> =>
  Effect.clockWith((clock) => {
    const { progress, source } = options
    const watchdog = new Watchdog(clock, options)
    const failure = () => progress.failure === undefined ? undefined : options.failure(progress.failure)
    const take = (events: Array<Event>): Array<Event> => {
      const deltas = progress.deltas
      const count = progress.add(events)
      if (count < events.length) events.length = count
      if (progress.deltas > deltas) options.onContent(clock.currentTimeMillisUnsafe())
      return events
    }

    const pull = (decoder: Decoder<Event>) => {
      // Made once, and evaluated for every read.
      const read: Pull.Pull<Array<Event>, ClaudeError.ClaudeError> = Effect.flatMap(source.pull, (bytes) => {
        watchdog.rests()
        const ended = bytes.length === 0
        let events: Array<Event>
        try {
          events = take(ended ? decoder.end() : decoder.push(bytes))
        } catch {
          // Valid JSON of another shape than the API's. What of it was taken in is not to be trusted.
          return Effect.fail(malformed())
        }
        if (progress.isComplete) {
          watchdog.enter("done")
          source.complete()
          return options.onComplete(events)
        }
        if (events.length > 0) return Effect.succeed(events)
        return ended && progress.failure === undefined ? Effect.fail(truncated()) : next
      })
      const next: typeof read = Effect.suspend(() => {
        if (progress.isComplete) return Cause.done()
        const error = failure()
        if (error !== undefined) return Effect.fail(error)
        watchdog.waits()
        return read
      })
      return next
    }

    /** Reads on until there is content that nobody has seen, or its failure. */
    const hold = (
      next: Attempt<Event>["pull"],
      held: Array<Event>
    ): Effect.Effect<Attempt<Event>, ClaudeError.ClaudeError> =>
      Effect.flatMap(Pull.catchDone(next, () => Effect.succeed<Array<Event>>([])), (events) => {
        for (const event of events) held.push(event)
        if (!progress.hasContent) return hold(next, held)
        const error = failure()
        if (error !== undefined) return Effect.fail(error)
        if (!progress.isComplete) watchdog.enter("content")
        return Effect.succeed({ held, pull: next })
      })

    return Effect.andThen(
      Effect.forkScoped(watchdog.run),
      Effect.flatMap(source.response, (head) => {
        watchdog.enter("response")
        options.onHead(head)
        const decoder = options.decoder(head)
        return "push" in decoder ? hold(pull(decoder), []) : Effect.fail(decoder)
      })
    )
  })

const malformed = () =>
  Failure.retryable(
    new ClaudeError.InvalidResponse({}),
    "The response has events of another shape than the API's. " +
      "Something between here and the API may have changed it; the call may be tried again.",
    { type: "_OTHER" }
  )

const truncated = () =>
  Failure.retryable(
    new ClaudeError.StreamInterrupted({}),
    "The response ended before the message was complete (no message_stop). The call may be tried again.",
    { type: "stream_truncated" }
  )
