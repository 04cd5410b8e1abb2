/**
 * A call that is read as a stream: its attempts until the first content, and then its events as they come, to the
 * break that ends it or the restart that a policy asks for.
 *
 * The pull lives in the stream's scope and each attempt in one of its own, closed as soon as the attempt has ended:
 * all that a call holds is free before its consumer sees the last event.
 */
import type { Message as SdkMessage } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Attempt from "../attempt/Attempt.ts"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Event from "../decode/Event.ts"
import { type Call, end, final, free, type Receipt, receipt } from "./Call.ts"

export type StreamEvent = Event.StreamEvent<Receipt>

type Events = Arr.NonEmptyArray<StreamEvent>

/** What a stream's channel pulls. @internal */
export type EventPull = Pull.Pull<Events, ClaudeError.ClaudeError>

type WireEvents = Array<Event.WireEvent>

/** An attempt of a stream. */
interface Opened {
  /** Its events up to the first content, and whether they are still to be handed on. */
  readonly held: Events
  first: boolean
  readonly rest: EventPull
}

/** @internal */
export interface StreamCallOptions {
  readonly call: Call
  readonly scope: Scope.Scope
  readonly now: () => number
  /** One attempt; what it is given runs when the message is complete. */
  readonly attempt: (
    onComplete: (events: WireEvents) => Effect.Effect<WireEvents, ClaudeError.ClaudeError>
  ) => Effect.Effect<Attempt.Attempt<Event.WireEvent>, ClaudeError.ClaudeError, Scope.Scope>
  /** Makes attempts until one serves. */
  readonly served: <A, R>(
    attempt: Effect.Effect<A, ClaudeError.ClaudeError, R>,
    broken?: ClaudeError.ClaudeError
  ) => Effect.Effect<A, ClaudeError.ClaudeError, R>
  /** The message is whole. */
  readonly onWhole: Effect.Effect<void>
}

/** Opens a stream: its first content is there when it answers. @internal */
export const open = Effect.fnUntraced(function*(
  { attempt, call, now, onWhole, scope, served }: StreamCallOptions
): Effect.fn.Return<EventPull, ClaudeError.ClaudeError> {
  const failing = <A>(effect: Effect.Effect<A, ClaudeError.ClaudeError>) =>
    Effect.catchCause(effect, (cause) => {
      const failed = Exit.failCause(Cause.map(cause, (error) => final(call, error)))
      return Cause.hasInterruptsOnly(cause) ? failed : Effect.andThen(end(call, "error", failed), failed)
    })

  const opening = Effect.suspend(() => {
    const own = Scope.makeUnsafe()
    const close = (exit: Exit.Exit<unknown, unknown>) => Scope.close(own, exit)
    const onComplete = (events: WireEvents) =>
      failing(close(Exit.void)).pipe(
        Effect.andThen(onWhole),
        Effect.andThen(Effect.suspend(() => {
          Object.assign(events[events.length - 1]!, receipt(call))
          return end(call, "success", Exit.void)
        })),
        Effect.as(events)
      )
    return Effect.andThen(
      Scope.addFinalizer(scope, close(left)),
      attempt(onComplete).pipe(
        Scope.provide(own),
        Effect.onExit((exit) => Exit.isFailure(exit) ? close(exit) : Effect.void),
        Effect.map(({ held, pull }): Opened => ({ held: toPublic(held), rest: rest(pull, close), first: true }))
      )
    )
  })

  /** What follows, until it breaks. Made once: it is pulled for every read. */
  const rest = (
    pull: Attempt.Attempt<Event.WireEvent>["pull"],
    close: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
  ): EventPull =>
    Effect.catchCause(toPublicPull(pull), (cause) => {
      const error = cause.reasons.find(Cause.isFailReason)?.error
      if (Cause.isDone(error)) return Effect.failCause(cause)
      // Without a failure it is a defect or an interruption.
      if (error === undefined) return failing(Effect.failCause(cause as Cause.Cause<never>))
      const mayRestart = call.prepared.policy.onBreak === "restart" && error._tag === "ClaudeRetryableError"
      return Effect.andThen(close(Exit.fail(error)), failing(mayRestart ? restart(error) : Effect.fail(error)))
    })

  const restart = (error: ClaudeError.ClaudeRetryableError): Effect.Effect<Events, ClaudeError.ClaudeError> =>
    Effect.suspend(() => {
      call.deadline = now() + call.prepared.total
      // With what it knew, before the next attempt begins.
      const known = final(call, error)
      const broken = known._tag === "ClaudeRetryableError" ? known : error
      return served(opening, error).pipe(
        Effect.map((next) => {
          current = { ...next, first: false }
          return [{ type: "restart", attempt: call.span.attempts, error: broken }, ...next.held]
        })
      )
    })

  let current: Opened = yield* failing(served(opening))
  // A pull is the result, not to be run here. @effect-diagnostics-next-line returnEffectInGen:off
  return Effect.suspend(() => {
    if (!current.first) return current.rest
    current.first = false
    return Effect.succeed(current.held)
  })
})

/** A message that was kept, as the stream that it came as. @internal */
export const replay = (call: Call, message: SdkMessage): Effect.Effect<EventPull> =>
  Effect.suspend(() => {
    call.span.cached("hit", message)
    const events = toPublic(Event.fromMessage(message))
    Object.assign(events[events.length - 1]!, free)
    let first = true
    const pull: EventPull = Effect.suspend(() => {
      if (!first) return Cause.done()
      first = false
      return Effect.succeed(events)
    })
    return Effect.as(end(call, "success", Exit.void), pull)
  })

/** How an attempt ends that its consumer gave up. */
const left = Exit.interrupt()

/** What ends a message early is cut off before these, and an attempt reads on until there is an event. */
const toPublic = (events: WireEvents): Events => events as Events
const toPublicPull = (pull: Attempt.Attempt<Event.WireEvent>["pull"]): EventPull => pull as EventPull
