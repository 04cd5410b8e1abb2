/**
 * The tools of a request as the API takes them, and the parameters of its calls as the tools take them.
 *
 * A strict tool is sent in the subset of JSON Schema that the API can enforce, where records are lists of pairs and
 * what is optional is null. So the input of a call to it has that shape: `read` turns it into what the tool's own
 * schema expects. A schema that the subset cannot tell goes out as it is, and is not enforced, unless it must be.
 */
import type { BetaTool, BetaToolChoice, BetaToolUnion } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import type * as JsonSchema from "effect/JsonSchema"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as ObjectSchema from "../request/ObjectSchema.ts"
import * as ClaudeTool from "./ClaudeTool.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What decides how tools are told. @internal */
export interface ToolSettings {
  /** The model has structured output. */
  readonly structuredOutputs: boolean
  readonly strictJsonSchema: boolean | undefined
  readonly disableParallelToolCalls: boolean | undefined
}

/** @internal */
export interface Definitions {
  readonly tools: Array<BetaToolUnion>
  readonly toolChoice: BetaToolChoice | undefined
  readonly betas: Array<string>
  /** The schema of the answer, where it is to be JSON and the model has structured output. */
  readonly format: JsonSchema.JsonSchema | undefined
  /** The name of the tool whose call is the answer, where the model has not. */
  readonly forced: string | undefined
  /** A call's input, as its tool takes it. */
  readonly read: (tool: Tool.Any, input: unknown) => unknown
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Throws an `AiErrorReason` where a tool or a schema cannot be sent. @internal */
export const make = (options: LanguageModel.ProviderOptions, settings: ToolSettings): Definitions => {
  const betas: Array<string> = []
  const strict = new Set<Tool.Any>()
  const tools = options.tools.map((tool): BetaToolUnion => {
    if (Tool.isProviderDefined(tool)) {
      const beta = ClaudeTool.betaOf(tool)
      if (beta !== undefined) betas.push(beta)
      checkOptions(tool)
      return ClaudeTool.onWire(tool) ?? throwForeign(tool)
    }
    const { definition, isStrict } = define(tool, settings)
    if (isStrict) strict.add(tool)
    return definition
  })
  const { responseFormat } = options
  const format = responseFormat.type === "json" ? formatOf(responseFormat) : undefined
  const forced = format === undefined || settings.structuredOutputs ? undefined : toolName(format.name)
  if (forced !== undefined && format !== undefined) tools.push(answerTool(forced, format))
  return {
    tools,
    toolChoice: forced === undefined
      ? choiceOf(options, settings)
      : { type: "tool", name: forced, disable_parallel_tool_use: true },
    betas,
    format: settings.structuredOutputs ? format?.schema : undefined,
    forced,
    read: (tool, input) => strict.has(tool) ? readStrict(tool, input) : input
  }
}

const throwForeign = (tool: Tool.AnyProviderDefined): never => {
  throw new AiError.InvalidUserInputError({
    description:
      `The tool ${tool.name} is ${tool.id}, a tool of another provider. Take it out of the toolkit, or use ` +
      "one of effect-claude's ClaudeTool."
  })
}

const known = new WeakSet<Tool.AnyProviderDefined>()

/** Nobody else looks at the options that a tool was made with. */
const checkOptions = (tool: Tool.AnyProviderDefined): void => {
  if (known.has(tool)) return
  // Options are plain data: their schemas need no services.
  const read = Schema.decodeResult(tool.argsSchema as Schema.Codec<unknown, unknown>)(tool.args ?? {})
  if (Result.isFailure(read)) {
    throw new AiError.ToolConfigurationError({ toolName: tool.name, description: messageOf(read.failure) })
  }
  known.add(tool)
}

const choiceOf = (
  { toolChoice, tools }: LanguageModel.ProviderOptions,
  { disableParallelToolCalls }: ToolSettings
): BetaToolChoice | undefined => {
  if (tools.length === 0) return undefined
  if (toolChoice === "none") return { type: "none" }
  const parallel = disableParallelToolCalls === undefined
    ? undefined
    : { disable_parallel_tool_use: disableParallelToolCalls }
  if (
    toolChoice === "required" ||
    typeof toolChoice === "object" && "oneOf" in toolChoice && toolChoice.mode === "required"
  ) {
    return { type: "any", ...parallel }
  }
  if (typeof toolChoice === "object" && "tool" in toolChoice) {
    const name = new Tool.NameMapper(tools).getProviderName(toolChoice.tool)
    return { type: "tool", name, ...parallel }
  }
  return parallel === undefined ? undefined : { type: "auto", ...parallel }
}

// -----------------------------------------------------------------------------
// the answer's schema
// -----------------------------------------------------------------------------

interface Format {
  readonly name: string
  readonly description: string | undefined
  readonly schema: JsonSchema.JsonSchema
}

const formats = new WeakMap<Schema.Top, JsonSchema.JsonSchema>()

const formatOf = ({ objectName, schema }: { readonly objectName: string; readonly schema: Schema.Top }): Format => {
  let json = formats.get(schema)
  if (json === undefined) {
    json = inSubset(schema, `The schema of ${JSON.stringify(objectName)}`)
    formats.set(schema, json)
  }
  return { name: objectName, description: SchemaAST.resolveDescription(schema.ast), schema: json }
}

const answerTool = (name: string, { description, schema }: Format): BetaTool => ({
  name,
  description: `${description === undefined ? "" : `${description} `}Answers: its input is the whole answer.`,
  input_schema: inputSchema(schema)
})

/** As the API spells names: an identifier may have dots and slashes. */
const toolName = (name: string): string => name.replaceAll(/[^\w-]/g, "_").slice(0, 128)

const inSubset = (schema: Schema.Constraint, what: string): JsonSchema.JsonSchema => {
  // What services it needs is for whoever decodes by it.
  const made = ObjectSchema.make(schema as Schema.Codec<unknown, unknown, unknown, unknown>)
  if (Result.isFailure(made)) {
    throw new AiError.UnsupportedSchemaError({
      description: `${what} cannot be sent as structured output: ${made.failure}` +
        ". Use structs, arrays, records, unions and primitives, without recursion."
    })
  }
  return made.success.jsonSchema
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

// -----------------------------------------------------------------------------
// tools of the program's own
// -----------------------------------------------------------------------------

interface Defined {
  readonly definition: BetaTool
  readonly isStrict: boolean
}

/** Tools do not change, and a JSON Schema takes long to make. */
const defined = new WeakMap<Tool.Any, Map<boolean | undefined, Defined>>()

const define = (tool: Tool.Any, settings: ToolSettings): Defined => {
  const asked = Tool.getStrictMode(tool) ?? settings.strictJsonSchema
  const mayBeStrict = settings.structuredOutputs && asked !== false
  // A schema that is given as JSON is for its author to fit to the subset.
  const wanted = mayBeStrict && (asked === true || !Tool.isDynamic(tool)) ? asked ?? "where it can" : false
  const key = wanted === "where it can" ? undefined : wanted
  let kept = defined.get(tool)
  if (kept === undefined) defined.set(tool, kept = new Map())
  let known = kept.get(key)
  if (known === undefined) kept.set(key, known = build(tool, key))
  return known
}

const build = (tool: Tool.Any, strict: boolean | undefined): Defined => {
  const schema = strict === false ? undefined : strictSchema(tool, strict === true)
  const description = Tool.getDescription(tool)
  return {
    isStrict: schema !== undefined,
    definition: {
      name: tool.name,
      ...(description === undefined ? undefined : { description }),
      input_schema: inputSchema(schema ?? plainSchema(tool)),
      ...(schema === undefined ? undefined : { strict: true }),
      ...Context.get(tool.annotations, ClaudeTool.Definition)
    }
  }
}

const strictSchema = (tool: Tool.Any, must: boolean): JsonSchema.JsonSchema | undefined => {
  if (Tool.isDynamic(tool) && tool.jsonSchema !== undefined) return tool.jsonSchema
  try {
    const schema = inSubset(tool.parametersSchema, `The parameters of the tool ${tool.name}`)
    // The input of a call is an object, and a list of pairs is none.
    return schema.type === "object" ? schema : undefined
  } catch (error) {
    if (must) throw error
    return undefined
  }
}

const plainSchema = (tool: Tool.Any): JsonSchema.JsonSchema => {
  try {
    return Tool.getJsonSchema(tool)
  } catch (error) {
    throw new AiError.UnsupportedSchemaError({
      description: `The parameters of the tool ${tool.name} have no JSON Schema: ${messageOf(error)}.`
    })
  }
}

// The API's own type of it asks for `type: "object"`, which it checks itself.
const inputSchema = (schema: JsonSchema.JsonSchema): BetaTool.InputSchema => schema as unknown as BetaTool.InputSchema

// -----------------------------------------------------------------------------
// parameters of a call
// -----------------------------------------------------------------------------

const readers = new WeakMap<Tool.Any, (input: unknown) => Option.Option<unknown>>()

const readStrict = (tool: Tool.Any, input: unknown): unknown => {
  if (Tool.isDynamic(tool)) return input
  let read = readers.get(tool)
  if (read === undefined) {
    // Of the encoded side alone: it runs none of the schema's own transformations, which are the toolkit's to run.
    const { codec } = ObjectSchema.codecOf(Schema.toEncoded(tool.parametersSchema))
    readers.set(tool, read = Schema.decodeUnknownOption(codec))
  }
  // What does not fit goes on as it is: the toolkit tells the model what is wrong with it.
  return Option.getOrElse(read(input), () => input)
}
