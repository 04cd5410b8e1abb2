/**
 * The program's own tools as the API takes them, and the parameters of their calls as the tools take them.
 *
 * A strict tool is sent in the subset of JSON Schema that the API can enforce, where records are lists of pairs and
 * what is optional is null. So the input of a call to it has that shape: `read` turns it into what the tool's own
 * schema expects. A schema that the subset cannot tell goes out as it is, and is not enforced, unless it must be.
 */
import type { BetaTool } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as AiError from "effect/ai/AiError"
import * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import type * as JsonSchema from "effect/JsonSchema"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonSubset from "../../request/JsonSubset.ts"
import * as ObjectSchema from "../../request/ObjectSchema.ts"
import * as ClaudeTool from "./ClaudeTool.ts"
import type { StrictBudget } from "./StrictBudget.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What decides how a tool is told. @internal */
export interface Settings {
  /** The model has structured output. */
  readonly structuredOutputs: boolean
  readonly strictJsonSchema: boolean | undefined
}

/** A tool as it is sent, and a call's input as the tool takes it. @internal */
export interface Defined {
  readonly definition: BetaTool
  readonly read: (input: unknown) => unknown
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * As strict as is asked for, or as there is room; throws `UnsupportedSchemaError` where a schema cannot be told.
 *
 * @internal
 */
export const define = (tool: Tool.Any, settings: Settings, budget: StrictBudget): Defined => {
  const asked = askedOf(tool, settings)
  if (asked === false) return plain(tool)
  const made = strict(tool)
  if (asked === true) {
    if ("failure" in made) throw made.failure
    return made
  }
  return "failure" in made || !budget.takes(made.definition.input_schema) ? plain(tool) : made
}

/** Takes from the budget what will be strict however much that is. @internal */
export const reserve = (tool: Tool.Any, settings: Settings, budget: StrictBudget): void => {
  if (askedOf(tool, settings) !== true) return
  const made = strict(tool)
  if (!("failure" in made)) budget.takes(made.definition.input_schema)
}

/** Whether it must be strict, or may be where nobody says. */
const askedOf = (tool: Tool.Any, { strictJsonSchema, structuredOutputs }: Settings): boolean | undefined => {
  if (!structuredOutputs) return false
  // A schema that is given as JSON is for its author to fit to the subset.
  return Tool.getStrictMode(tool) ?? strictJsonSchema ?? (Tool.isDynamic(tool) ? false : undefined)
}

/** Tools do not change, and a JSON Schema takes long to make. */
const memoized = <A>(make: (tool: Tool.Any) => A): (tool: Tool.Any) => A => {
  const made = new WeakMap<Tool.Any, A>()
  return (tool) => {
    let known = made.get(tool)
    if (known === undefined) made.set(tool, known = make(tool))
    return known
  }
}

const plain = memoized((tool): Defined => ({ definition: definition(tool, plainSchema(tool)), read: (input) => input }))

const strict = memoized((tool): Defined | { readonly failure: AiError.UnsupportedSchemaError } => {
  if (Tool.isDynamic(tool) && tool.jsonSchema !== undefined) {
    return { definition: { ...definition(tool, tool.jsonSchema), strict: true }, read: (input) => input }
  }
  // What services it needs is for whoever decodes by it.
  const made = ObjectSchema.make(tool.parametersSchema as Schema.Codec<unknown, unknown, unknown, unknown>)
  const failure = Result.isFailure(made)
    ? made.failure
    // The input of a call is an object, and a list of pairs is none.
    : JsonSubset.isInput(made.success.jsonSchema)
    ? undefined
    : "it is told as no plain object"
  return failure === undefined && Result.isSuccess(made)
    ? { definition: { ...definition(tool, made.success.jsonSchema), strict: true }, read: readerOf(tool) }
    : {
      failure: new AiError.UnsupportedSchemaError({
        description: `The parameters of the tool ${tool.name} cannot be enforced: ${failure}. Use structs, arrays, ` +
          "records, unions and primitives, without recursion, or let the tool be without (Tool.Strict, false)."
      })
    }
})

const definition = (tool: Tool.Any, schema: JsonSchema.JsonSchema): BetaTool => {
  const description = Tool.getDescription(tool)
  return {
    name: tool.name,
    ...(description === undefined ? undefined : { description }),
    // The API's own type of it asks for `type: "object"`, which it checks itself.
    input_schema: schema as unknown as BetaTool.InputSchema,
    ...Context.get(tool.annotations, ClaudeTool.Definition)
  }
}

const plainSchema = (tool: Tool.Any): JsonSchema.JsonSchema => {
  try {
    return Tool.getJsonSchema(tool)
  } catch (error) {
    throw new AiError.UnsupportedSchemaError({
      description: `The parameters of the tool ${tool.name} have no JSON Schema: ` +
        `${error instanceof Error ? error.message : String(error)}.`
    })
  }
}

/** Reads what was enforced. What does not fit goes on as it is: the toolkit tells the model what is wrong with it. */
const readerOf = (tool: Tool.Any): Defined["read"] => {
  let read: ((input: unknown) => Option.Option<unknown>) | undefined
  return (input) => {
    // Of the encoded side alone: it runs none of the schema's own transformations, which are the toolkit's to run.
    read ??= Schema.decodeUnknownOption(ObjectSchema.codecOf(Schema.toEncoded(tool.parametersSchema)).codec)
    return Option.getOrElse(read(input), () => input)
  }
}
