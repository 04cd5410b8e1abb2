/**
 * What the code knows of a prompt: its name, and the variables that it can insert, by a Schema.
 *
 * What is inserted is what the schema encodes to JSON, so it also says how a value is written: a date by its text, a set
 * as a list. Texts, numbers and booleans are inserted as they are, lists and objects as JSON, and what is left out or null
 * as nothing. Half a character becomes the mark that stands for one, since no request may hold it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type { MessagesRequest } from "../request/Request.ts"
import * as PromptDocument from "./PromptDocument.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import type { Template } from "./Template.ts"
import * as TemplateText from "./TemplateText.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A prompt's name and its variables. @category models @since 0.2.0 */
export interface AnyDefinition {
  readonly name: string
  /** The names that its templates may insert. */
  readonly variables: ReadonlySet<string>
}

/** A version that is served. @category models @since 0.2.0 */
export interface Chosen {
  readonly version: string
  /** The request that it makes of texts, which are inserted as they are; it is the caller's own. */
  readonly fill: (
    definition: AnyDefinition,
    texts: ReadonlyMap<string, string>
  ) => Effect.Effect<MessagesRequest, PromptError.PromptError>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** The schema of variables: a struct whose encoding needs nothing. @category models @since 0.2.0 */
export type Variables = Schema.ConstraintCodec<object, object, unknown, never>

/** A definition, and how its values become texts. @internal */
export const make = <S extends Variables>(
  name: string,
  variables: S
): AnyDefinition & {
  readonly texts: (
    values: S["Type"],
    version: string
  ) => Effect.Effect<ReadonlyMap<string, string>, PromptError.PromptError>
} => {
  checkName(name)
  const codec = Schema.toCodecJson(variables)
  const names = namesOf(name, codec.ast)
  const encode = Schema.encodeUnknownEffect(codec)
  return {
    name,
    variables: names,
    texts: Effect.fnUntraced(function*(values, version) {
      const where = { prompt: name, version }
      const encoded = yield* Effect.mapError(encode(values), (error) => {
        const { message, path } = PromptFailure.firstIssue(error.issue)
        return invalidValue(where, path, `${message}.`)
      })
      const texts = new Map<string, string>()
      for (const variable of names) texts.set(variable, textOf(Reflect.get(Object(encoded), variable)).toWellFormed())
      return texts
    })
  }
}

/** A version of a prompt, to be filled. @internal */
export const chosen = (prompt: PromptDocument.Prompt, version: string, template: Template): Chosen => ({
  version,
  fill: (definition, texts) =>
    Effect.suspend(() => {
      const wrong = misfit(definition, prompt, version)
      if (wrong !== undefined) return Effect.fail(wrong)
      const request = template.render(texts)
      return "empty" in request
        ? invalidValue(
          { prompt: prompt.name, version, key: PromptFailure.keyOf(request.empty) },
          [],
          "These values leave the text empty, or blank, which the API refuses. Give a value, or a text around the placeholder."
        )
        : Effect.succeed(request)
    })
})

// -----------------------------------------------------------------------------
// checks
// -----------------------------------------------------------------------------

/** Why a version cannot be served: it is malformed, or inserts what its definition has no variable for. @internal */
export const misfit = (
  definition: AnyDefinition | undefined,
  prompt: Pick<PromptDocument.Prompt, "versions" | "where">,
  version: string
): PromptError.PromptError | undefined => {
  const template = prompt.versions.get(version)
  if (template === undefined || template instanceof PromptError.PromptError) return template
  if (definition === undefined) return undefined
  for (const [variable, path] of template.variables) {
    if (definition.variables.has(variable)) continue
    return PromptFailure.make(
      new PromptError.UnknownVariable({ variable }),
      prompt.where(["versions", version, ...path]),
      `{{${variable}}} is no variable of this prompt; there are ${PromptFailure.listed(definition.variables)}. ` +
        `Correct it, or add it to Prompts.define(${PromptFailure.show(definition.name)}, …).`
    )
  }
  return undefined
}

/** The versions that are served, to all or to some. @internal */
export const released = (prompt: Pick<PromptDocument.Prompt, "latest" | "weights">): ReadonlySet<string> =>
  new Set([prompt.latest, ...prompt.weights.flatMap(([version, weight]) => weight > 0 ? [version] : [])])

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const checkName = (name: string): void => {
  if (PromptDocument.isName(name)) return
  throw new RangeError(
    `Prompts.define: name is ${PromptFailure.show(name)}; expected letters, digits, . _ - and /, such as support/reply.`
  )
}

const namesOf = (name: string, variables: SchemaAST.AST): ReadonlySet<string> => {
  const ast = SchemaAST.toEncoded(variables)
  if (ast._tag !== "Objects" || ast.indexSignatures.length > 0) {
    throw new RangeError(
      `Prompts.define: variables of ${
        PromptFailure.show(name)
      } are no Schema.Struct; expected one with a field for each variable.`
    )
  }
  const names = ast.propertySignatures.map((property) => String(property.name))
  for (const variable of names) {
    if (TemplateText.isName(variable) && !(variable in Object.prototype)) continue
    throw new RangeError(
      `Prompts.define: variables of ${PromptFailure.show(name)} has ${
        PromptFailure.show(variable)
      }, which no template can ` +
        "insert; expected letters, digits and _, and no name that every object has."
    )
  }
  return new Set(names)
}

const textOf = (value: unknown): string =>
  value === null || value === undefined
    ? ""
    : typeof value === "object"
    ? JSON.stringify(value)
    : String(value)

const invalidValue = (where: PromptFailure.Where, path: ReadonlyArray<PropertyKey>, text: string) =>
  PromptFailure.make(
    new PromptError.InvalidValue(path.length === 0 ? {} : { variable: String(path[0]) }),
    { ...where, ...(path.length === 0 ? undefined : { key: PromptFailure.keyOf(path) }) },
    text
  )
