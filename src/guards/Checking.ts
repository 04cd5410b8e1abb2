/**
 * What guards are and say, and how they are asked one after the other.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import type * as Claude from "../Claude.ts"
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
  /** All texts in order: of the system prompt, the messages, the arguments and results of tools, or of the answer. */
  readonly texts: ReadonlyArray<string>
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

/** What a guard said, as telemetry tells it. */
type Said = "pass" | "change" | "reject"

/** @internal */
export interface Checked<A> {
  readonly value: A
  readonly said: ReadonlyArray<readonly [name: string, verdict: Said]>
}

/** How the subject of a guard is read from a value, and its texts are put back. */
interface Reading<A> {
  readonly subject: (value: A) => Subject
  readonly withTexts: (value: A, texts: ReadonlyArray<string>) => A
}

const requests: Reading<Claude.MessageRequest> = {
  subject: (request) => ({ where: "input", texts: Texts.ofRequest(request), request }),
  withTexts: Texts.withRequest
}

/** A request as the guards leave it, with what they said. @internal */
export const checkRequest = <E, R>(guards: ReadonlyArray<Guard<E, R>>, request: Claude.MessageRequest) =>
  checkAll(guards, "input", requests, request)

/** An answer as the guards leave it. @internal */
export const checkAnswer = <A extends string | Message, E, R>(guards: ReadonlyArray<Guard<E, R>>, answer: A) =>
  Effect.map(
    checkAll<string | Message, E, R>(guards, "output", answers, answer),
    // A text stays a text, and a message what it was but for its texts.
    ({ value }) => value as A
  )

const answers: Reading<string | Message> = {
  subject: (answer) =>
    typeof answer === "string"
      ? { where: "output", texts: [answer] }
      : { where: "output", texts: Texts.ofMessage(answer), message: answer },
  withTexts: (answer, texts) => typeof answer === "string" ? texts[0] ?? "" : Texts.withMessage(answer, texts)
}

const checkAll = Effect.fnUntraced(function*<A, E, R>(
  guards: ReadonlyArray<Guard<E, R>>,
  where: Where,
  { subject, withTexts }: Reading<A>,
  given: A
): Effect.fn.Return<Checked<A>, GuardRejected | E, R> {
  let value = given
  const said: Array<readonly [string, Said]> = []
  for (const { check, name } of guards) {
    const read = readable(() => subject(value))
    if (read === undefined) {
      return yield* rejected(name, where, "The arguments of a tool lie too deep to be looked at. Send flatter ones.")
    }
    const verdict = yield* check(read)
    if (verdict._tag === "Reject") return yield* rejected(name, where, verdict.message)
    if (verdict._tag === "Change") value = withTexts(value, verdict.texts)
    const word = verdict._tag === "Change" ? "change" : "pass"
    said.push([name, word])
    yield* tell(name, where, word)
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

/** What passes of a pull of texts. @internal */
export const passing = <E>(
  guards: ReadonlyArray<StreamGuard>,
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E>
): Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E | GuardRejected> => {
  const steps = guards.map(({ name, step }) => ({ name, step: step() }))
  let isOver = false

  /** What comes out behind the last guard of what comes before one of them; one that refuses is named. */
  const through = (text: string, from: number): string | GuardRejected => {
    let handed = text
    for (const { name, step } of steps.slice(from)) {
      const next = step.next(handed)
      if (typeof next !== "string") return new GuardRejected({ guard: name, where: "output", message: next.rejected })
      handed = next
    }
    return handed
  }
  const flush = (): string | GuardRejected => {
    let all = ""
    for (const [i, { name, step }] of steps.entries()) {
      const left = step.end()
      if (typeof left !== "string") return new GuardRejected({ guard: name, where: "output", message: left.rejected })
      const handed = through(left, i + 1)
      if (typeof handed !== "string") return handed
      all += handed
    }
    return all
  }
  const hand = (handed: string | GuardRejected): Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E | GuardRejected> => {
    if (typeof handed === "string") return handed === "" ? next : Effect.succeed([handed])
    isOver = true
    return Effect.andThen(tell(handed.guard, "output", "reject"), Effect.fail(handed))
  }
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E | GuardRejected> = Effect.suspend(() =>
    isOver ? Cause.done() : Effect.flatMap(pull, (texts) => hand(through(texts.join(""), 0)))
  ).pipe(Pull.catchDone(() => {
    if (isOver) return Cause.done()
    isOver = true
    const left = flush()
    if (typeof left !== "string") return hand(left)
    const told = Effect.forEach(
      steps,
      ({ name, step }) => tell(name, "output", step.hasChanged() ? "change" : "pass"),
      { discard: true }
    )
    return Effect.andThen(told, left === "" ? Cause.done() : Effect.succeed(Arr.of(left)))
  }))
  return next
}

// -----------------------------------------------------------------------------
// telling
// -----------------------------------------------------------------------------

const rejected = (guard: string, where: Where, message: string): Effect.Effect<never, GuardRejected> =>
  Effect.andThen(tell(guard, where, "reject"), Effect.fail(new GuardRejected({ guard, where, message })))

/** An event of the caller's span, where there is one. */
const tell = (name: string, where: Where, verdict: Said): Effect.Effect<void> =>
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
