/**
 * What effect/ai asks for as a request of the `Claude` service: the prompt, the tools and the model's own parameters
 * put together, and what is needed to read the answer.
 */
import type {
  BetaOutputConfig,
  BetaToolUnion,
  MessageCreateParamsBase
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import type { Model as ModelId } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Claude from "../Claude.ts"
import * as Model from "../request/Model.ts"
import * as Betas from "./Betas.ts"
import * as PromptBlocks from "./PromptBlocks.ts"
import type * as ResponseParts from "./ResponseParts.ts"
import * as ToolDefinitions from "./ToolDefinitions.ts"

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
  /** Whether the model calls one tool at a time. @default false */
  readonly disableParallelToolCalls?: boolean | undefined
  /**
   * Whether calls are held to the tools' schemas by the API. Where nobody says, they are if the schema can be told in
   * what the API enforces; `true` fails where it cannot. A tool's own `Tool.Strict` goes before it.
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

/** Throws an `AiErrorReason` where a part of it cannot be sent. @internal */
export const prepare = (
  options: LanguageModel.ProviderOptions,
  config: ConfigOptions & { readonly model: ModelId }
): Prepared => {
  const {
    betas = [],
    disableParallelToolCalls,
    output_config,
    strictJsonSchema,
    structuredOutputs = Model.hasStructuredOutput(config.model),
    ...params
  } = config
  const definitions = ToolDefinitions.make(options, { disableParallelToolCalls, strictJsonSchema, structuredOutputs })
  const { messages, system } = PromptBlocks.fromPrompt(options.prompt, new Tool.NameMapper(options.tools))
  const { betas: ofTools, forced, format, read, toolChoice } = definitions
  const tools = [...definitions.tools, ...toolsetsOf(params.mcp_servers, definitions.tools)]
  const request = {
    ...params,
    messages,
    ...(system === undefined ? undefined : { system }),
    ...(tools.length === 0 ? undefined : { tools }),
    ...(toolChoice === undefined ? undefined : { tool_choice: toolChoice }),
    ...(format === undefined && output_config === undefined
      ? undefined
      : { output_config: { ...output_config, ...(format && { format: { type: "json_schema", schema: format } }) } })
  }
  return {
    // The request's type is that of the API without betas; its parameters are an open set.
    request: request as unknown as Claude.MessageRequest,
    read: { tools: options.tools, forced, deferred: options.toolCallValidation === "deferred", read },
    withPolicy: policyOf(Betas.header([...betas, ...ofTools, ...Betas.of(config)]))
  }
}

/** The tools of each MCP server that nobody has spoken of: all of them. */
const toolsetsOf = (
  servers: MessageCreateParamsBase["mcp_servers"],
  tools: ReadonlyArray<BetaToolUnion>
): Array<BetaToolUnion> => {
  const known = new Set(tools.map((tool) => "mcp_server_name" in tool ? tool.mcp_server_name : undefined))
  return (servers ?? []).filter(({ name }) => !known.has(name)).map(({ name }) => ({
    type: "mcp_toolset",
    mcp_server_name: name
  }))
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
