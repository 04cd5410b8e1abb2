/**
 * The tools of a request as the API takes them, which of them are to be called, and the format of the answer.
 */
import type { BetaTool, BetaToolChoice, BetaToolUnion } from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import type * as JsonSchema from "effect/JsonSchema"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AnswerTool from "../../request/AnswerTool.ts"
import * as JsonSubset from "../../request/JsonSubset.ts"
import * as ObjectSchema from "../../request/ObjectSchema.ts"
import * as OwnTools from "./OwnTools.ts"
import * as ProviderTool from "./ProviderTool.ts"
import { StrictBudget } from "./StrictBudget.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What decides how tools are told. @internal */
export interface ToolSettings extends OwnTools.Settings {
  readonly disableParallelToolCalls: boolean | undefined
  /** The model that is asked, and whether it is to think: one that does cannot be made to call a tool. */
  readonly model: string
  readonly thinking: { readonly type: string } | null | undefined
}

/** @internal */
export interface Definitions {
  readonly tools: Array<BetaToolUnion>
  readonly toolChoice: BetaToolChoice | undefined
  readonly betas: Array<string>
  /** The schema of the answer, where it is to be JSON and the API holds the model to it. */
  readonly format: JsonSchema.JsonSchema | undefined
  /** The name of the tool whose call is the answer, where the API does not. */
  readonly answer: string | undefined
  /** How a call's input is read, of tools that are strict. */
  readonly readers: ReadonlyMap<Tool.Any, OwnTools.Defined["read"]>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Throws an `AiErrorReason` where a tool or a schema cannot be sent. @internal */
export const make = (options: LanguageModel.ProviderOptions, settings: ToolSettings): Definitions => {
  const { responseFormat } = options
  const format = responseFormat.type === "json" ? formatOf(responseFormat) : undefined
  const isEnforced = format !== undefined && settings.structuredOutputs && format.isEnforceable
  const budget = new StrictBudget()
  if (isEnforced) budget.format(format.schema)
  for (const tool of options.tools) {
    if (!Tool.isProviderDefined(tool)) OwnTools.reserve(tool, settings, budget)
  }

  const betas: Array<string> = []
  const readers = new Map<Tool.Any, OwnTools.Defined["read"]>()
  const tools = options.tools.map((tool): BetaToolUnion => {
    if (Tool.isProviderDefined(tool)) {
      const beta = ProviderTool.betaOf(tool)
      if (beta !== undefined) betas.push(beta)
      checkOptions(tool)
      return ProviderTool.onWire(tool) ?? throwForeign(tool)
    }
    const { definition, read } = OwnTools.define(tool, settings, budget)
    if (definition.strict === true) readers.set(tool, read)
    return definition
  })
  const answer = format === undefined ? undefined : answerTool(format, tools)
  const isCalled = answer !== undefined && !isEnforced
  if (isCalled) tools.push(answer)
  return {
    tools,
    toolChoice: isCalled ? AnswerTool.choice(answer.name, settings) : choiceOf(options, settings),
    betas,
    format: isEnforced ? format.schema : undefined,
    answer: answer?.name,
    readers
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
  readonly of: Schema.Constraint
  readonly schema: JsonSchema.JsonSchema
  /** Whether the API's own format takes it. */
  readonly isEnforceable: boolean
}

const formatOf = ({ objectName, schema }: { readonly objectName: string; readonly schema: Schema.Top }): Format => {
  const made = ObjectSchema.ofAnswer(schema)
  if (Result.isFailure(made)) {
    throw new AiError.UnsupportedSchemaError({
      description: `The schema of ${JSON.stringify(objectName)} cannot be sent as structured output: ${made.failure}` +
        ". Use structs, arrays, records, unions and primitives, without recursion."
    })
  }
  const { jsonSchema } = made.success
  return {
    name: objectName,
    of: schema,
    schema: jsonSchema,
    isEnforceable: JsonSubset.isEnforceable(jsonSchema)
  }
}

/** How the answer to a schema is read, as effect/ai asks for it; what cannot be asked for was refused before. @internal */
export const answerCodec: LanguageModel.CodecTransformer = (schema) =>
  // It was made of this very schema.
  Result.getOrThrowWith(ObjectSchema.ofAnswer(schema), (failure) => new Error(failure)) as never

/** As the API spells names: an identifier may have dots and slashes. */
const answerTool = ({ name, of, schema }: Format, tools: ReadonlyArray<BetaToolUnion>): BetaTool =>
  AnswerTool.make(
    name.replaceAll(/[^\w-]/g, "_").slice(0, 120) || "answer",
    new Set(tools.flatMap((tool) => "name" in tool ? [tool.name] : [])),
    of,
    schema
  )

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
