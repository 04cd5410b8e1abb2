/**
 * How errors of prompts are made: where something is wrong, and how that is written.
 */
import * as Effect from "effect/Effect"
import * as SchemaIssue from "effect/SchemaIssue"
import * as PromptError from "./PromptError.ts"

/** Where something is wrong, as far as it is known. @internal */
export interface Where {
  readonly source?: string | undefined
  readonly prompt?: string | undefined
  readonly version?: string | undefined
  readonly key?: string | undefined
  readonly line?: number | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** An error whose message begins with where it is. @internal */
export const make = (
  reason: PromptError.PromptError["reason"],
  where: Where,
  text: string
): PromptError.PromptError => {
  const { key, line, prompt, source, version } = where
  // A key of a file begins with its version.
  const isVersionTold = key?.startsWith("versions.") ?? false
  const places = [
    ...(source === undefined ? [] : [line === undefined ? source : `${source}:${line}`]),
    ...(prompt === undefined ? [] : [`prompt ${show(prompt)}`]),
    ...(version === undefined || isVersionTold ? [] : [`version ${show(version)}`]),
    ...(key === undefined ? [] : [`key ${key}`])
  ]
  return new PromptError.PromptError({
    reason,
    message: places.length === 0 ? text : `${places.join(", ")}: ${text}`,
    ...(source === undefined ? undefined : { source }),
    ...(prompt === undefined ? undefined : { prompt }),
    ...(version === undefined ? undefined : { version }),
    ...(key === undefined ? undefined : { key }),
    ...(line === undefined ? undefined : { line })
  })
}

/** @internal */
export const malformed = (where: Where, text: string): PromptError.PromptError =>
  make(new PromptError.Malformed({}), where, text)

/** @internal */
export const unavailable = (source: string, text: string): PromptError.PromptError =>
  make(new PromptError.Unavailable({}), { source }, text)

/** A prompt that is asked for and is nowhere. @internal */
export const missing = (source: string, name: string, names: Iterable<string>): PromptError.PromptError =>
  make(
    new PromptError.MissingPrompt({}),
    { source, prompt: name },
    `There is no such prompt; there are ${listed(names)}. Add it, or correct the name.`
  )

/** Whoever takes longer counts as somebody who cannot be reached. */
const TIMEOUT_SECONDS = 30

/** What a source is asked, for as long as it may take. @internal */
export const inTime = <A, R>(
  source: string,
  self: Effect.Effect<A, PromptError.PromptError, R>
): Effect.Effect<A, PromptError.PromptError, R> =>
  Effect.timeoutOrElse(self, {
    duration: TIMEOUT_SECONDS * 1000,
    orElse: () => Effect.fail(unavailable(source, `It did not answer within ${TIMEOUT_SECONDS} seconds.`))
  })

/** What reading throws, as a failure; anything else that is thrown is a defect. @internal */
export const attempt = <A>(read: () => A): Effect.Effect<A, PromptError.PromptError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(read())
    } catch (error) {
      return error instanceof PromptError.PromptError ? Effect.fail(error) : Effect.die(error)
    }
  })

/** A name, cut where it is long. @internal */
export const show = (name: string): string => JSON.stringify(cut(name))

/** @internal */
export const cut = (text: string, length = 64): string => text.length > length ? `${text.slice(0, length)}…` : text

/** Names to choose from. @internal */
export const listed = (names: Iterable<string>): string => {
  const all = Array.from(names)
  const shown = all.slice(0, 20).map((name) => cut(name)).join(", ")
  return all.length === 0 ? "none" : all.length > 20 ? `${shown} and ${all.length - 20} more` : shown
}

/** A path as it is written: `versions.3.messages[0]`, cut where it is long. @internal */
export const keyOf = (path: ReadonlyArray<PropertyKey>): string => {
  const key = path.slice(0, PARTS).reduce<string>((key, part) => {
    if (typeof part === "number") return `${key}[${part}]`
    // What is no name may hold anything, such as the line of a log.
    const name = /^[\p{L}\p{N}_.-]+$/u.test(String(part)) ? cut(String(part)) : show(String(part))
    return key === "" ? name : `${key}.${name}`
  }, "")
  return path.length > PARTS ? `${key}…` : key
}

/** More than a path of a template has that anybody wrote. */
const PARTS = 30

/** What a schema says first: one mistake is often the reason of the others. @internal */
export const firstIssue = (
  issue: SchemaIssue.Issue
): { readonly path: ReadonlyArray<PropertyKey>; readonly message: string } => {
  const first = format(issue).issues[0]
  return {
    path: (first?.path ?? []).map((part) => typeof part === "object" ? part.key : part),
    message: first?.message ?? "Expected another value"
  }
}

const format = SchemaIssue.makeFormatterStandardSchemaV1()
