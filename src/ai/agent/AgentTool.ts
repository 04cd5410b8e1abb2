/**
 * An agent as a tool: of another agent or any `LanguageModel`, and of effect/ai's `McpServer`.
 *
 * It is a tool like others: `toolkit` goes where toolkits go, `layer` is its handler. Each call is a run of its own; its
 * result is the answer's text, and a run that did not come to one is a failure that says why. Interrupting the call, as
 * a client of MCP does when it cancels, interrupts the run. It tells on the way which tools it starts, as `ToolProgress`
 * or to a client of MCP that asks for progress. The surprise: the agent keeps the model, the tools and the
 * MCP server that `layer` was given, whatever its caller has; what it costs counts in its caller's limits too.
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as McpSchema from "effect/ai/McpSchema"
import type * as McpServer from "effect/ai/McpServer"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Stream from "effect/Stream"
import * as AiErrors from "../AiErrors.ts"
import type * as Agent from "./Agent.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @category models @since 0.2.0 */
export type AsTool<Name extends string, Parameters extends Schema.Top> = Tool.Tool<Name, {
  readonly parameters: Parameters
  readonly success: typeof Schema.String
  readonly failure: Schema.Codec<AgentToolError, string>
  readonly failureMode: "return"
}>

/** @category models @since 0.2.0 */
export interface AgentTool<Name extends string, Parameters extends Schema.Top, R> {
  readonly tool: AsTool<Name, Parameters>
  /** The tool alone: `Toolkit.merge` puts it beside others, `McpServer.toolkit` offers it to clients of MCP. */
  readonly toolkit: Toolkit.Toolkit<{ readonly [K in Name]: AsTool<Name, Parameters> }>
  /** What runs the agent. */
  readonly layer: Layer.Layer<Tool.Handler<Name>, never, LanguageModel.LanguageModel | R>
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface Options<Name extends string> {
  /** Of the tool: letters, digits, `_` and `-`. */
  readonly name: Name
  /** What it is for, for who chooses among tools. */
  readonly description: string
}

/** Parameters other than a prompt. @category options @since 0.2.0 */
export interface ParametersOptions<Name extends string, Parameters extends Schema.Top> extends Options<Name> {
  readonly parameters: Parameters
  /** What the agent is asked. */
  readonly prompt: (params: Parameters["Type"]) => Prompt.RawInput
}

/** What an agent is asked by default: `{ prompt }`. @category schemas @since 0.2.0 */
export const PromptParameters: Schema.Struct<{ readonly prompt: Schema.String }> = Schema.Struct({
  prompt: Schema.String.annotate({ description: "What to do, with all that has to be known for it." })
})

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * An agent as a tool. In another agent it has the timeout of a tool, a minute, unless that says otherwise.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: {
  <const Name extends string, Parameters extends Schema.Top, E, R>(
    agent: Agent.Agent<E, R>,
    options: ParametersOptions<Name, Parameters>
  ): AgentTool<Name, Parameters, R>
  <const Name extends string, E, R>(
    agent: Agent.Agent<E, R>,
    options: Options<Name>
  ): AgentTool<Name, typeof PromptParameters, R>
} = (<E, R>(
  agent: Agent.Agent<E, R>,
  options: Options<string> & Partial<ParametersOptions<string, Schema.Top>>
): AgentTool<string, Schema.Top, R> => {
  const { description, name } = options
  if (!/^[\w-]{1,128}$/.test(name)) {
    throw new RangeError(
      `AgentTool.make: name is ${JSON.stringify(name)}; expected 1 to 128 letters, digits, "_" and "-".`
    )
  }
  const parameters: Schema.Top = options.parameters ?? PromptParameters
  // Where there are no parameters of its own, they are those.
  const promptOf = options.prompt ?? ((params: unknown) => (params as typeof PromptParameters.Type).prompt)
  const tool: AsTool<string, Schema.Top> = Tool.make(name, {
    description,
    parameters,
    success: Schema.String,
    failure: Failure,
    failureMode: "return"
  })
  const toolkit = Toolkit.make(tool)
  const handler = (services: Context.Context<LanguageModel.LanguageModel | R>) => {
    const own = ownOf(services)
    return Effect.fnUntraced(function*(params: unknown, { preliminary }: Toolkit.HandlerContext<typeof tool>) {
      const progress = yield* McpProgress
      const tell = (doing: string) => Effect.andThen(preliminary(doing), progress(doing))
      // Nobody reads the answers as they come, so one that breaks off may begin again.
      const finished = yield* agent.stream(promptOf(params), { deltas: false }).pipe(
        Stream.runFoldEffect(
          (): Agent.Finished | undefined => undefined,
          (finished, step) =>
            step._tag === "ToolStarted"
              ? Effect.as(tell(`turn ${step.turn}: ${step.name}`), finished)
              : Effect.succeed(step._tag === "Finished" ? step : finished)
        ),
        // What is not among them, the toolkit has put into what is there.
        Effect.updateContext((now: Context.Context<never>) => Context.merge(now, own)),
        Effect.mapError((cause) => failed(agent.name, "failed", `its model or its tools: ${typeOf(cause)}`, cause))
      )
      // The last step is `Finished`, or it has failed.
      const { pending, reason, text } = finished!
      return reason === "done" ? text : yield* failed(agent.name, reason, whyOf(reason, pending))
    })
  }
  return {
    tool,
    toolkit,
    layer: toolkit.toLayer(
      Effect.map(Effect.context<LanguageModel.LanguageModel | R>(), (services) => ({ [name]: handler(services) }))
    )
  }
  // What it is called and what it takes, the overloads know.
}) as never

/** The model, the handlers of tools, and a server that has tools: a caller has its own, under the same keys. */
const ownOf = <R>(services: Context.Context<R>): Context.Context<R> =>
  Context.makeUnsafe(
    new Map([...services.mapUnsafe].filter(([key, value]) =>
      key === LanguageModel.LanguageModel.key || key === MCP_CLIENT || isHandler(value)
    ))
  )

/** That of a tool, whose key is its maker's to choose; another service may have a `handler` as well. */
const isHandler = (value: unknown): boolean =>
  Predicate.hasProperty(value, "handler") && typeof value.handler === "function" &&
  Predicate.hasProperty(value, "context") && Context.isContext(value.context)

// -----------------------------------------------------------------------------
// MCP
// -----------------------------------------------------------------------------

// Found by their keys: to import them loads all of MCP, which most who use agents have no use for.
const MCP_CLIENT = "effect/ai/McpClient"
const RequestContext = Context.Service<McpSchema.McpRequestContext, McpSchema.McpRequestContext["Service"]>(
  "effect/ai/McpSchema/McpRequestContext"
)
const Server = Context.Service<McpServer.McpServer, McpServer.McpServer["Service"]>("effect/ai/McpServer")

/** How often each request has been told: agents that run in one another count together. */
const told = new WeakMap<object, number>()

/** Tells a client of MCP what is going on, where one has asked to be told. */
const McpProgress: Effect.Effect<(message: string) => Effect.Effect<void>> = Effect.contextWith((context) => {
  const request = Option.getOrUndefined(Context.getOption(context, RequestContext))
  const server = Option.getOrUndefined(Context.getOption(context, Server))
  const progressToken = request?.requestMetadata?.["progressToken"]
  if (
    request === undefined || server === undefined ||
    (typeof progressToken !== "string" && typeof progressToken !== "number")
  ) return Effect.succeed(() => Effect.void)
  return Effect.succeed((message: string) => {
    const progress = (told.get(request) ?? 0) + 1
    told.set(request, progress)
    return Effect.ignore(server.notifications["notifications/progress"]({ progressToken, progress, message }))
  })
})

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * A run that came to no answer; the message is what the caller's model is told.
 *
 * @category errors
 * @since 0.2.0
 */
export class AgentToolError extends Data.TaggedError("AgentToolError")<{
  readonly agent: string
  readonly reason: Exclude<Agent.Reason, "done"> | "failed"
  readonly message: string
  /** What its model or its toolkit failed with, in this process alone. */
  readonly cause: unknown
}> {}

const Failure: Schema.Codec<AgentToolError, string> = Schema.String.pipe(Schema.decodeTo(
  Schema.declare((value): value is AgentToolError => value instanceof AgentToolError),
  SchemaTransformation.transform({
    decode: (message) => new AgentToolError({ agent: "", reason: "failed", message, cause: undefined }),
    encode: ({ message }) => message
  })
))

const failed = (agent: string, reason: AgentToolError["reason"], why: string, cause?: unknown) =>
  new AgentToolError({ agent, reason, message: `The agent ${agent} came to no answer: ${why}.`, cause })

const whyOf = (reason: Exclude<Agent.Reason, "done">, pending: ReadonlyArray<Agent.ApprovalRequest>): string => {
  switch (reason) {
    case "approval":
      return `it waits for an approval of ${pending.map(({ name }) => name).join(", ")}, which nobody can give here`
    case "refused":
      return "its model refused"
    case "cut":
      return "its model's answer was cut off"
    default:
      return `it has reached its ${reason.replace("-", " ")}`
  }
}

/** What kind of failure it is; what it says may hold anything. */
const typeOf = (cause: unknown): string =>
  Option.match(AiErrors.claudeError(cause), {
    onSome: ({ type }) => type,
    onNone: () =>
      AiError.isAiError(cause)
        ? cause.reason._tag
        : Predicate.hasProperty(cause, "_tag")
        ? String(cause._tag)
        : "an error"
  })
