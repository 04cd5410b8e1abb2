/**
 * Guards on the way in and out of a call: each looks at the texts, and lets them pass, changes them or refuses them.
 *
 * `Guard.input(…)` takes a request and answers it, `Guard.output(…)` stands behind a call, `Guard.outputStream(…)` behind
 * a stream of texts, `Guard.around(…)` on both sides, and `Guard.layer(…)` around all calls of a program; each guard sees
 * what the one before it left. What a guard said is an event of the caller's span.
 * The surprise: an answer that is refused was made all the same, and is paid for.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Claude from "../Claude.ts"
import type { ClaudeError } from "../ClaudeError.ts"
import * as Estimate from "../request/Estimate.ts"
import * as Chain from "./Chain.ts"
import * as Checking from "./Checking.ts"
import type { Guard, GuardRejected, StreamGuard, Subject, Verdict } from "./Checking.ts"
import * as Pii from "./Pii.ts"
import * as Steps from "./Steps.ts"
import * as Texts from "./Texts.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

export { GuardRejected } from "./Checking.ts"
export type { Guard, StreamGuard, Subject, Verdict, Where } from "./Checking.ts"
export type { LayerOptions } from "./GuardedClaude.ts"
export type { Handed, Step } from "./Steps.ts"

type Any = Guard<unknown, unknown>

/** What guards may fail with, beside refusing. @category models @since 0.2.0 */
export type Error<G extends Any> = G extends Guard<infer E, unknown> ? E : never

/** What guards need. @category models @since 0.2.0 */
export type Services<G extends Any> = G extends Guard<unknown, infer R> ? R : never

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** It may go on. @category constructors @since 0.2.0 */
export const pass: Verdict = { _tag: "Pass" }

/** It may go on with these texts in the place of its own. @category constructors @since 0.2.0 */
export const change = (texts: ReadonlyArray<string>): Verdict => ({ _tag: "Change", texts })

/** It may not; the message says why and what to do, without the text. @category constructors @since 0.2.0 */
export const reject = (message: string): Verdict => ({ _tag: "Reject", message })

/** A guard of your own. @category constructors @since 0.2.0 */
export const make = <E = never, R = never>(
  name: string,
  check: (subject: Subject) => Effect.Effect<Verdict, E, R>
): Guard<E, R> => ({ name, check })

const makeStreamed = (name: string, check: (subject: Subject) => Verdict, step: () => Steps.Step): StreamGuard => ({
  name,
  check: (subject) => Effect.sync(() => check(subject)),
  step
})

// -----------------------------------------------------------------------------
// guards
// -----------------------------------------------------------------------------

/**
 * Refuses more characters, all texts together.
 *
 * @throws RangeError when `limit` is no whole number from 0.
 * @category guards
 * @since 0.2.0
 */
export const maxChars = (limit: number): StreamGuard => {
  checkLimit("maxChars", limit)
  const tooMany = (chars: number) =>
    chars <= limit ? undefined : `There are ${chars} characters, and ${limit} are allowed. Send or ask for less.`
  const guard = makeStreamed(
    "maxChars",
    ({ texts }) => {
      const message = tooMany(texts.reduce((chars, text) => chars + text.length, 0))
      return message === undefined ? pass : reject(message)
    },
    () => Steps.counting(tooMany)
  )
  return { ...guard, isOfSize: true }
}

/**
 * Refuses more tokens. What cannot be more by its size is not counted; the rest is, by the API, which is sent it for that:
 * a guard that hides stands before this one.
 *
 * @throws RangeError when `limit` is no whole number from 0.
 * @category guards
 * @since 0.2.0
 */
export const maxTokens = (limit: number): Guard<ClaudeError, Claude.Claude> => {
  checkLimit("maxTokens", limit)
  const guard = make("maxTokens", ({ message, request, texts }) => {
    const counted = message === undefined
      ? countWithin(request ?? { prompt: texts.join("") }, limit)
      : Effect.succeed(message.usage.output_tokens)
    return Effect.map(
      counted,
      (tokens) =>
        tokens <= limit ? pass : reject(`There are ${tokens} tokens, and ${limit} are allowed. Send or ask for less.`)
    )
  })
  return { ...guard, isOfSize: true }
}

/** The most that it can have, where that is within the limit, else what it has. */
const countWithin = (request: Claude.MessageRequest, limit: number) => {
  const { messages = [{ role: "user", content: request.prompt }], system, tools } = request
  const most = Estimate.most(Estimate.inputSize({ messages, system, tools }))
  // A prompt of no text cannot be counted.
  return most <= limit || request.prompt === "" ? Effect.succeed(most) : Claude.countTokens(request)
}

/**
 * Refuses texts in which a pattern is found. Over a stream, nothing of a match up to `window` characters long is handed
 * on. Your pattern runs over what strangers wrote: let no two of its repetitions share a character.
 *
 * @throws RangeError when `window` is no whole number from 1.
 * @category guards
 * @since 0.2.0
 */
export const noPattern = (
  pattern: RegExp,
  name: string,
  options: { /** @default 256 */ readonly window?: number | undefined } = {}
): StreamGuard => {
  const { window = 256 } = options
  checkLimit("noPattern", window, "window", 1)
  const flags = pattern.flags.replaceAll(/[gy]/g, "")
  const stateless = new RegExp(pattern.source, flags)
  const message = `A text has what the guard ${JSON.stringify(name)} does not allow. Take it out.`
  return makeStreamed(
    name,
    (subject) => all(subject).some((text) => stateless.test(text)) ? reject(message) : pass,
    () => Steps.searching(new RegExp(pattern.source, `${flags}g`), window, message)
  )
}

/**
 * Refuses what is no JSON of a schema: the whole answer, or on the way in the last text. `Claude.object` asks for such
 * an answer and decodes it; this holds one to more than it was asked for.
 *
 * @category guards
 * @since 0.2.0
 */
export const schema = <A, E, RD, RE>(
  schema: Schema.ConstraintCodec<A, E, RD, RE>,
  name = "schema"
): Guard<never, RD> => {
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(schema))
  return make(
    name,
    ({ message, texts }) =>
      Effect.match(decode(message === undefined ? texts.at(-1) ?? "" : Texts.saidIn(message)), {
        onSuccess: () => pass,
        // What a schema says of a value holds the value.
        onFailure: () => reject("The text is not JSON that fits the schema. Send, or ask for, an object of it.")
      })
  )
}

/** Puts `[EMAIL]`, `[PHONE]` and so on in the place of personal data and keys. @category guards @since 0.2.0 */
export const redactPii = (options: Pii.PiiOptions = {}): StreamGuard => {
  const kinds = Pii.kindsOf("Guard.redactPii", options)
  return changing("redactPii", (text) => Pii.redact(text, options), () => Steps.redacting(kinds, Pii.nameOf))
}

/** Refuses personal data and keys. @category guards @since 0.2.0 */
export const noPii = (options: Pii.PiiOptions = {}): StreamGuard => {
  const kinds = Pii.kindsOf("Guard.noPii", options)
  const rejected = (kind: Pii.PiiKind) =>
    `A text holds personal data or a key (${kind}). Take it out, or let Guard.redactPii do so.`
  return makeStreamed(
    "noPii",
    (subject) => {
      for (const text of all(subject)) {
        const [first] = Pii.find(text, options)
        if (first !== undefined) return reject(rejected(first.kind))
      }
      return pass
    },
    () => Steps.redacting(kinds, (kind) => ({ rejected: rejected(kind) }))
  )
}

/** Takes personal data and keys out of a request, into a vault. @category guards @since 0.2.0 */
export const hidePii = (vault: Pii.Vault): Guard => ({
  name: "hidePii",
  check: ({ texts }) => Effect.sync(() => changed(texts, vault.hide))
})

/** Puts back into an answer what a vault holds. @category guards @since 0.2.0 */
export const restorePii = (vault: Pii.Vault): StreamGuard =>
  changing("restorePii", vault.restore, () => Steps.restoring(vault.restore))

const all = ({ fixed = [], texts }: Subject): ReadonlyArray<string> => [...texts, ...fixed]

const changing = (name: string, f: (text: string) => string, step: () => Steps.Step): StreamGuard =>
  makeStreamed(name, ({ texts }) => changed(texts, f), step)

const changed = (texts: ReadonlyArray<string>, f: (text: string) => string): Verdict => {
  const others = texts.map(f)
  return others.some((text, i) => text !== texts[i]) ? change(others) : pass
}

const checkLimit = (name: string, value: number, field = "limit", least = 0): void => {
  if (Number.isSafeInteger(value) && value >= least) return
  throw new RangeError(`Guard.${name}: ${field} is ${String(value)}; expected a whole number from ${least}`)
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

export { layer } from "./GuardedClaude.ts"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Looks at a request before it is sent: `pipe(request, Guard.input(Guard.maxChars(20_000)), Effect.flatMap(Claude.text))`.
 * Images, PDFs, uploaded files, thinking (which is signed), the definitions of tools and what the API's own tools found
 * are not looked at.
 *
 * @category combinators
 * @since 0.2.0
 */
export const input = <const Guards extends ReadonlyArray<Any>>(...guards: Guards) =>
(
  request: Claude.MessageRequest
): Effect.Effect<Claude.MessageRequest, GuardRejected | Error<Guards[number]>, Services<Guards[number]>> =>
  Effect.map(Checking.checkRequest(typed(guards), request), ({ value }) => value)

/**
 * Looks at the answer of a call, a text, a message or an object: `Claude.text(request).pipe(Guard.output(Guard.redactPii()))`.
 * The thinking of a message is signed: guards that change leave it as it is, and guards that refuse look at it.
 *
 * @category combinators
 * @since 0.2.0
 */
export const output = <const Guards extends ReadonlyArray<Any>>(...guards: Guards) =>
<A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | GuardRejected | Error<Guards[number]>, R | Services<Guards[number]>> =>
  Checking.checkCall(typed(guards), self)

/**
 * Looks at texts while they come: `Claude.streamText(request).pipe(Guard.outputStream(Guard.redactPii()))`. It holds back
 * what may be the beginning of something, to the end of the stream or its failure, and hands on no more after a refusal.
 *
 * @category combinators
 * @since 0.2.0
 */
export const outputStream = (...guards: ReadonlyArray<StreamGuard>) =>
<E, R>(
  self: Stream.Stream<string, E, R>
): Stream.Stream<string, E | GuardRejected, R> =>
  Stream.transformPull(
    Checking.checkFailures(guards, self),
    (pull) => Effect.sync(() => Chain.passing(guards, pull))
  )

/**
 * A call with its guards: a function from a request, as the call is. What the guards on the way in said is also a tag of
 * the call (`guard.<name>`), so that it is on the call's own span.
 *
 * @category combinators
 * @since 0.2.0
 */
export const around = <
  const In extends ReadonlyArray<Any> = [],
  const Out extends ReadonlyArray<Any> = []
>(guards: { readonly input?: In | undefined; readonly output?: Out | undefined }) =>
<A, E, R>(
  call: (request: Claude.MessageRequest) => Effect.Effect<A, E, R>
) =>
(
  request: Claude.MessageRequest
): Effect.Effect<
  A,
  E | GuardRejected | Error<In[number] | Out[number]>,
  R | Services<In[number] | Out[number]>
> =>
  Effect.flatMap(Checking.checkRequest(typed<In>(guards.input), request), ({ said, value }) => {
    return Checking.checkCall(typed<Out>(guards.output), Claude.withPolicy({ tags: Checking.tags(said) })(call(value)))
  })

/** Each guard fails with and needs no more than all of them together do. */
const typed = <Guards extends ReadonlyArray<Any>>(guards: Guards | undefined) =>
  (guards ?? []) as ReadonlyArray<Guard<Error<Guards[number]>, Services<Guards[number]>>>
