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
export const show = (name: string): string => JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name)

/** Names to choose from. @internal */
export const listed = (names: Iterable<string>): string => {
  const all = Array.from(names)
  const shown = all.slice(0, 20).map((name) => name.length > 64 ? `${name.slice(0, 64)}…` : name).join(", ")
  return all.length === 0 ? "none" : all.length > 20 ? `${shown} and ${all.length - 20} more` : shown
}

/** A path as it is written: `versions.3.messages[0]`. @internal */
export const keyOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (key, part) => typeof part === "number" ? `${key}[${part}]` : key === "" ? String(part) : `${key}.${String(part)}`,
    ""
  )

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
