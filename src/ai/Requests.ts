/**
 * What effect/ai asks for as a request of the `Claude` service: the prompt, the tools and the model's own parameters
 * put together, and what is needed to read the answer.
 */
import type {
  BetaMCPToolset,
  BetaOutputConfig,
  MessageCreateParamsBase
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import type { Model as ModelId } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Claude from "../Claude.ts"
import * as Model from "../request/Model.ts"
import * as PerModel from "../request/PerModel.ts"
import * as Betas from "./Betas.ts"
import * as Breakpoints from "./Breakpoints.ts"
import * as PromptBlocks from "./PromptBlocks.ts"
import type * as ResponseParts from "./ResponseParts.ts"
import * as ToolDefinitions from "./tools/ToolDefinitions.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

type OrUndefined<T> = { readonly [K in keyof T]?: T[K] | undefined }

/** Of the API's parameters, those that effect/ai has no word for. @category options @since 0.2.0 */
export interface ConfigOptions extends
  OrUndefined<
    Omit<
      MessageCreateParamsBase,
      "messages" | "stream" | "system" | "tools" | "tool_choice" | "output_config" | "output_format"
    >
  >
{
  /** How much work goes into an answer; its format is `generateObject`'s. */
  readonly output_config?: Omit<BetaOutputConfig, "format"> | undefined
  /** What is offered of the tools of `mcp_servers`, and how. @default all tools of a server that none of them names */
  readonly mcpToolsets?: ReadonlyArray<Omit<BetaMCPToolset, "type">> | undefined
  /** Whether the model calls one tool at a time. @default false */
  readonly disableParallelToolCalls?: boolean | undefined
  /**
   * Whether calls are held to the tools' schemas by the API. Where nobody says, they are if the schema can be told in
   * what the API enforces, and as long as a request has room for it (20 tools, 16 unions, of which what is optional is
   * one); `true` fails where it cannot. A tool's own `Tool.Strict` goes before it.
   */
  readonly strictJsonSchema?: boolean | undefined
  /** Whether the model has structured output; one that has not is made to call a tool. @default as its id says */
  readonly structuredOutputs?: boolean | undefined
}

/** A request, and how its answer is read. @internal */
export interface Prepared {
  readonly request: Claude.MessageRequest
  readonly read: ResponseParts.ReadOptions
  readonly withPolicy: ReturnType<typeof Claude.withPolicy>
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Parameters over others, field by field: what is undefined is none. @internal */
export const over = <A extends ConfigOptions>(farther: A, nearer: ConfigOptions): A => ({
  ...farther,
  ...withoutUndefined(nearer)
})

/** Throws an `AiErrorReason` where a part of it cannot be sent. @internal */
export const prepare = (
  options: LanguageModel.ProviderOptions,
  config: ConfigOptions & { readonly model: ModelId }
): Prepared => {
  const {
    betas = [],
    disableParallelToolCalls,
    mcpToolsets = [],
    output_config,
    strictJsonSchema,
    structuredOutputs = Model.hasStructuredOutput(config.model),
    ...params
  } = config
  const { thinking } = params
  const definitionsFor = (model: string, structuredOutputs: boolean) =>
    ToolDefinitions.make(options, { disableParallelToolCalls, strictJsonSchema, structuredOutputs, model, thinking })
  const toolsets = toolsetsOf(params.mcp_servers ?? [], mcpToolsets)
  const fieldsOf = ({ format, toolChoice, tools }: ToolDefinitions.Definitions): PerModel.Fields =>
    // Of the API's beta, whose parameters are an open set to the types without it.
    withoutUndefined({
      tools: tools.length + toolsets.length === 0 ? undefined : [...tools, ...toolsets],
      tool_choice: toolChoice,
      output_config: format === undefined
        ? output_config
        : { ...output_config, format: { type: "json_schema", schema: format } }
    }) as PerModel.Fields

  const definitions = definitionsFor(config.model, structuredOutputs)
  const readers = new Map(definitions.readers)
  const toolsFor = (model: string): PerModel.Fields => {
    if (model === config.model || Model.hasStructuredOutput(model) === structuredOutputs) return fieldsOf(definitions)
    try {
      const others = definitionsFor(model, !structuredOutputs)
      for (const [tool, read] of others.readers) readers.set(tool, read)
      return fieldsOf(others)
    } catch {
      // A tool that cannot be told so, which the first model was not told of either.
      return fieldsOf(definitions)
    }
  }
  const { tools = [] } = fieldsOf(definitions)
  const conversationFor = (model: string): PromptBlocks.Conversation => {
    const conversation = PromptBlocks.fromPrompt(options.prompt, new Tool.NameMapper(options.tools), model)
    Breakpoints.limit(conversation, [...tools, params])
    return conversation
  }
  const { messages, system } = conversationFor(config.model)
  const fieldsFor = (model: string): PerModel.Fields => {
    if (Model.takesSystem(model) || !messages.some(({ role }) => role === "system")) return toolsFor(model)
    // As above.
    return { ...toolsFor(model), messages: conversationFor(model).messages } as PerModel.Fields
  }
  const request = { ...params, messages, ...(system === undefined ? undefined : { system }) }
  return {
    // As above.
    request: PerModel.write(request, config.model, fieldsFor) as unknown as Claude.MessageRequest,
    read: {
      tools: options.tools,
      answer: definitions.answer,
      deferred: options.toolCallValidation === "deferred",
      read: (tool, input) => readers.get(tool)?.(input) ?? input
    },
    withPolicy: policyOf(
      Betas.header([...betas, ...definitions.betas, ...Betas.of(config), ...Betas.ofMessages(messages)])
    )
  }
}

const withoutUndefined = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** The tools of MCP servers: as they are asked for, and all of a server that nobody has spoken of. */
const toolsetsOf = (
  servers: NonNullable<MessageCreateParamsBase["mcp_servers"]>,
  asked: NonNullable<ConfigOptions["mcpToolsets"]>
): Array<BetaMCPToolset> => {
  const known = new Set(asked.map(({ mcp_server_name }) => mcp_server_name))
  const others = servers.filter(({ name }) => !known.has(name)).map(({ name }) => ({ mcp_server_name: name }))
  return [...asked, ...others].map((toolset) => ({ type: "mcp_toolset", ...toolset }))
}

const MOST_POLICIES = 256

const policies = new Map<string | undefined, ReturnType<typeof Claude.withPolicy>>()

/** One for each set of betas, so that each is merged and checked once. Parts cannot tell of a stream that begins again. */
const policyOf = (header: string | undefined): ReturnType<typeof Claude.withPolicy> => {
  let policy = policies.get(header)
  if (policy === undefined) {
    policy = Claude.withPolicy({
      onBreak: "fail",
      ...(header === undefined ? undefined : { headers: { "anthropic-beta": header } })
    })
    // Betas are few; who makes them up anew for each call only loses what was kept.
    if (policies.size >= MOST_POLICIES) policies.clear()
    policies.set(header, policy)
  }
  return policy
}
