/**
 * What guards are and say, and how they are asked one after the other.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Claude from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Attributes from "../telemetry/Attributes.ts"
import type * as Steps from "./Steps.ts"
import * as Texts from "./Texts.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** Before the call, or after it. @category models @since 0.2.0 */
export type Where = "input" | "output"

/** What a guard looks at. @category models @since 0.2.0 */
export interface Subject {
  readonly where: Where
  /** All texts in order: of the system prompt, the messages, the arguments and results of tools; or of the answer. */
  readonly texts: ReadonlyArray<string>
  /** Texts that no guard can change: the thinking of an answer, which is signed. */
  readonly fixed?: ReadonlyArray<string> | undefined
  /** What is asked, on the way in. */
  readonly request?: Claude.MessageRequest | undefined
  /** The answer, on the way out, where it is a whole message. */
  readonly message?: Message | undefined
}

/** What a guard says: it passes, it passes with other texts (as many), or it does not. @category models @since 0.2.0 */
export type Verdict =
  | { readonly _tag: "Pass" }
  | { readonly _tag: "Change"; readonly texts: ReadonlyArray<string> }
  | { readonly _tag: "Reject"; readonly message: string }

/** @category models @since 0.2.0 */
export interface Guard<out E = never, out R = never> {
  /** Of the events, the tags and the error. */
  readonly name: string
  readonly check: (subject: Subject) => Effect.Effect<Verdict, E, R>
  /** Whether it is about size alone: `Guard.layer` does not ask it where tokens are only counted. @default false */
  readonly isOfSize?: boolean | undefined
}

/** A guard that can look at a text while it comes. @category models @since 0.2.0 */
export interface StreamGuard extends Guard {
  /** For each stream anew. */
  readonly step: () => Steps.Step
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** A guard refused a request or an answer; no part of it is in the error. @category errors @since 0.2.0 */
export class GuardRejected extends Schema.TaggedError<GuardRejected>()("GuardRejected", {
  guard: Schema.String,
  where: Schema.Literals(["input", "output"]),
  /** What was refused, by which limit, and what to do. */
  message: Schema.String
}) {}

// -----------------------------------------------------------------------------
// one after the other
// -----------------------------------------------------------------------------

/** What a guard said, as telemetry tells it. @internal */
export type Said = "pass" | "change" | "reject"

/** Where guards look, and who hears what they say. @internal */
export interface Notes {
  readonly where: Where
  readonly note: (name: string, verdict: Said) => Effect.Effect<void>
}

/** A block of an answer. @internal */
export type Block = Message["content"][number]

/** @internal */
export interface Checked<A> {
  readonly value: A
  readonly said: ReadonlyArray<readonly [name: string, verdict: Said]>
}

/** How the subject of a guard is read from a value, and its texts are put back. @internal */
export interface Reading<A> {
  readonly subject: (value: A) => Subject
  readonly withTexts: (value: A, texts: ReadonlyArray<string>) => A
}

const requests: Reading<Claude.MessageRequest> = {
  subject: (request) => ({ where: "input", texts: Texts.ofRequest(request), request }),
  withTexts: Texts.withRequest
}

const messages: Reading<Message> = {
  subject: (message) => ({
    where: "output",
    texts: Texts.ofMessage(message),
    fixed: Texts.thinkingOf(message),
    message
  }),
  withTexts: Texts.withMessage
}

/** @internal */
export const blocks: Reading<Block> = {
  subject: (block) => ({
    where: "output",
    texts: Texts.ofBlock(block),
    fixed: Texts.thinkingOf({ content: [block] })
  }),
  withTexts: Texts.withBlock
}

/** @internal */
export const values: Reading<unknown> = {
  subject: (value) => ({ where: "output", texts: Texts.ofValue(value) }),
  withTexts: Texts.withValue
}

/** A request as the guards leave it, with what they said. @internal */
export const checkRequest = <E, R>(guards: ReadonlyArray<Guard<E, R>>, request: Claude.MessageRequest) =>
  checkAll(guards, requests, request, telling("input"))

/** What guards said of a request, as tags of its call. @internal */
export const tags = (said: Checked<unknown>["said"]): Readonly<Record<string, string>> =>
  Object.fromEntries(said.map(([name, verdict]) => [`guard.${name}`, verdict]))

/** An answer as the guards leave it: a message, or a value that is none, whatever it looks like. @internal */
export const checkAnswer = <A, E, R>(
  guards: ReadonlyArray<Guard<E, R>>,
  answer: A,
  mayBeMessage = true
): Effect.Effect<A, GuardRejected | E, R> => {
  const checked: Effect.Effect<Checked<unknown>, GuardRejected | E, R> = mayBeMessage && isMessage(answer)
    ? checkAll(guards, messages, answer, telling("output"))
    : checkAll(guards, values, answer, telling("output"))
  // A text stays a text, and what has texts in it what it was but for those.
  return Effect.map(checked, ({ value }) => value as A)
}

/** A failure as the guards leave it: what had come of an answer rides on it, and goes where it is refused. @internal */
export const checkFailure = <F, E, R>(guards: ReadonlyArray<Guard<E, R>>, failure: F): Effect.Effect<F, never, R> => {
  if (guards.length === 0 || !ClaudeError.isClaudeError(failure) || failure.partial === undefined) {
    return Effect.succeed(failure)
  }
  return Effect.match(checkAnswer(guards, failure.partial), {
    // It is the same error, but for its partial answer.
    onSuccess: (partial) => partial === failure.partial ? failure : withPartial(failure, partial) as F,
    onFailure: () => withPartial(failure, undefined) as F
  })
}

const withPartial = (
  error: ClaudeError.ClaudeError,
  partial: ClaudeError.PartialMessage | undefined
): ClaudeError.ClaudeError => {
  const { _tag, cause: _cause, message, name: _name, partial: _partial, reason: _reason, stack: _stack, ...known } =
    error
  const fields = { ...known, message, ...(partial === undefined ? undefined : { partial }) }
  return error._tag === "ClaudeFatalError"
    ? new ClaudeError.ClaudeFatalError({ ...fields, reason: error.reason })
    : new ClaudeError.ClaudeRetryableError({ ...fields, reason: error.reason })
}

/** A call whose failures are as the guards leave them. @internal */
export const checkFailed = <A, E, R, E2, R2>(
  guards: ReadonlyArray<Guard<E2, R2>>,
  call: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | R2> =>
  Effect.catch(call, (failure) => Effect.flatMap(checkFailure(guards, failure), Effect.fail))

/** What a call answers or fails with, as the guards leave it. @internal */
export const checkCall = <A, E, R, E2, R2>(
  guards: ReadonlyArray<Guard<E2, R2>>,
  call: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2 | GuardRejected, R | R2> =>
  Effect.flatMap(checkFailed(guards, call), (answer) => checkAnswer(guards, answer))

/** A stream whose failures are as the guards leave them. @internal */
export const checkFailures = <A, E, R>(
  guards: ReadonlyArray<StreamGuard>,
  self: Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> =>
  Stream.catch(self, (failure) => Stream.unwrap(Effect.map(checkFailure(guards, failure), Stream.fail)))

/** An object that somebody asked for may be of a type, and have contents. */
const isMessage = (answer: unknown): answer is Message =>
  Predicate.hasProperty(answer, "type") && answer.type === "message" &&
  Predicate.hasProperty(answer, "role") && answer.role === "assistant" &&
  Predicate.hasProperty(answer, "content") && Array.isArray(answer.content) &&
  Predicate.hasProperty(answer, "usage") && Predicate.hasProperty(answer, "model")

/** What all guards leave of a value, one after the other. @internal */
export const checkAll = Effect.fnUntraced(function*<A, E, R>(
  guards: ReadonlyArray<Guard<E, R>>,
  { subject, withTexts }: Reading<A>,
  given: A,
  { note, where }: Notes
): Effect.fn.Return<Checked<A>, GuardRejected | E, R> {
  let value = given
  const said: Array<readonly [string, Said]> = []
  for (const { check, name } of guards) {
    const read = readable(() => subject(value))
    if (read === undefined) {
      return yield* rejected(name, where, "A text lies too deep to be looked at. Send, or ask for, flatter objects.")
    }
    const verdict = yield* check(read)
    if (verdict._tag === "Reject") return yield* rejected(name, where, verdict.message)
    if (verdict._tag === "Change") {
      const [given, left] = [read.texts.length, verdict.texts.length]
      // What has no text in its place would be handed on unchanged.
      if (left !== given) {
        return yield* Effect.die(
          new RangeError(`Guard ${name} answered ${left} text${left === 1 ? "" : "s"} in the place of ${given}`)
        )
      }
      value = withTexts(value, verdict.texts)
    }
    const word = verdict._tag === "Change" ? "change" : "pass"
    said.push([name, word])
    yield* note(name, word)
  }
  return { value, said }
})

/** Nothing where a text lies too deep. */
const readable = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (thrown) {
    if (thrown instanceof Texts.TooDeep) return undefined
    throw thrown
  }
}

// -----------------------------------------------------------------------------
// telling
// -----------------------------------------------------------------------------

/** @internal */
export const refused = (rejected: GuardRejected): Effect.Effect<never, GuardRejected> =>
  Effect.andThen(tell(rejected.guard, rejected.where, "reject"), Effect.fail(rejected))

const rejected = (guard: string, where: Where, message: string): Effect.Effect<never, GuardRejected> =>
  refused(new GuardRejected({ guard, where, message }))

const telling = (where: Where): Notes => ({ where, note: (name, verdict) => tell(name, where, verdict) })

/** An event of the caller's span, where there is one. @internal */
export const tell = (name: string, where: Where, verdict: Said): Effect.Effect<void> =>
  Effect.ignore(
    Effect.flatMap(Effect.currentSpan, (span) =>
      Effect.clockWith((clock) =>
        Effect.sync(() =>
          span.event(Attributes.guardEvent, clock.currentTimeNanosUnsafe(), {
            [Attributes.guardName]: name,
            [Attributes.guardWhere]: where,
            [Attributes.guardVerdict]: verdict
          })
        )
      ))
  )
