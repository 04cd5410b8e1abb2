/**
 * What an object of options may hold, and what is said of one that holds something else: its name, its value, and what
 * was expected. It is for programs without types, and for typing errors; what is undefined is left out.
 */
import * as Predicate from "effect/Predicate"
import type * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

/** A value that is checked, as `[is it one, what was expected]`; an object of such; or what is checked elsewhere. @internal */
export type Shape = Check | Fields | "elsewhere"

/** @internal */
export type Check = readonly [isValid: (value: never) => boolean, expected: string]

/** @internal */
export interface Fields {
  readonly [name: string]: Shape
}

/** The first thing that is wrong with an object of options; `path` is what stands before its fields' names. @internal */
export const check = (
  what: string,
  path: string,
  options: unknown,
  fields: Fields
): ClaudeError.ClaudeFatalError | undefined => {
  if (options === undefined) return undefined
  if (!Predicate.isObject(options)) return refuse(what, options, `an object of ${namesOf(fields)}`)
  for (const [name, value] of Object.entries(options)) {
    const shape = fields[name]
    const at = `${path}${name}`
    if (shape === undefined || !Object.hasOwn(fields, name)) {
      return Failure.misconfigured(at, `${name} is no option of ${what}; there are ${namesOf(fields)}.`)
    }
    if (value === undefined || shape === "elsewhere") continue
    const wrong = isCheck(shape) ? checkValue(at, value, shape) : check(at, `${at}.`, value, shape)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

const namesOf = (fields: Fields): string => Object.keys(fields).join(", ")

const isCheck = (shape: Check | Fields): shape is Check => Array.isArray(shape)

// A check takes whatever there is.
const checkValue = (at: string, value: unknown, [isValid, expected]: Check) =>
  isValid(value as never) ? undefined : refuse(at, value, expected)

/** Names an option, its value and what was expected. @internal */
export const refuse = (option: string, value: unknown, expected: string): ClaudeError.ClaudeFatalError =>
  Failure.misconfigured(option, `${option} is ${show(value)}; expected ${expected}.`)

/** A text may hold anything, a secret too; a list or an object is no more than that. */
const show = (value: unknown): string =>
  typeof value === "string" || typeof value === "object" && value !== null
    ? `a ${Array.isArray(value) ? "list" : typeof value}`
    : String(value)

// -----------------------------------------------------------------------------
// checks
// -----------------------------------------------------------------------------

/** @internal */
export const oneOf = (...values: ReadonlyArray<string>): Check => [
  (value: unknown) => values.some((known) => known === value),
  values.map((value) => JSON.stringify(value)).join(" or ")
]

/** @internal */
export const text: Check = [(value: unknown) => typeof value === "string" && value !== "", "a text that is not empty"]

/** @internal */
export const texts: Check = [
  (value: unknown) =>
    Predicate.isObject(value) &&
    Object.values(value).every((value) => value === undefined || typeof value === "string"),
  "an object of texts"
]

/** @internal */
export const flag: Check = [Predicate.isBoolean, "true or false"]

/** @internal */
export const whole = (least: number): Check => [
  (value: unknown) => Number.isSafeInteger(value) && Number(value) >= least,
  `a whole number from ${least}`
]
