/**
 * The tools of an MCP server as a toolkit, for an `Agent` or any `LanguageModel`, over effect/ai's `McpClient`.
 *
 * The server is asked for its tools when the toolkit is made: as an Effect it is made anew for each run, and knows what
 * has changed since. What a tool answers goes to the model as blocks, images included, and a call that fails is told to
 * the model. The surprise: names and schemas that the API refuses are changed so that it takes them; the server is
 * called by its own.
 */
import * as AiError from "effect/ai/AiError"
import type * as McpClient from "effect/ai/McpClient"
import type { McpClientError } from "effect/ai/McpClientError"
import type * as McpSchema from "effect/ai/McpSchema"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type * as Scope from "effect/Scope"
import * as McpInputs from "./McpInputs.ts"
import * as McpResults from "./McpResults.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/**
 * A tool of an MCP server. A program has its results as the server sent them, and its failures as `McpToolError`; where
 * they are kept, both are the text that the model is told.
 *
 * @category models
 * @since 0.2.0
 */
export interface McpTool extends
  Tool.Tool<string, {
    readonly parameters: typeof Schema.Unknown
    readonly success: Schema.Codec<McpSchema.CallToolResult, string>
    readonly failure: Schema.Codec<McpToolError, string>
    readonly failureMode: "return"
  }>
{}

/** @category models @since 0.2.0 */
export type McpToolkit = Toolkit.WithHandler<Record<string, McpTool>>

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface Options {
  /** Before the name of each tool, so that those of two servers differ: `"files_"`. @default "" */
  readonly prefix?: string | undefined
  /** Which tools the model is told of. @default all */
  readonly filter?: ((tool: McpSchema.Tool) => boolean) | undefined
  /** Which tools need an approval; what a server says of itself, as `readOnlyHint`, is worth what the server is. @default none */
  readonly needsApproval?: ((tool: McpSchema.Tool) => boolean) | undefined
  /** How long a call may take, here: an agent's own timeout holds as well. The server is told to stop. @default "1 minute" */
  readonly timeout?: Duration.Input | undefined
  /** How much text of a result the model is shown. @default 100000 */
  readonly maxCharacters?: number | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/**
 * The tools of a server, by its layer, by a client, or by what finds one. An agent takes it as it is; for a call of
 * `LanguageModel`, whose toolkits cannot fail, it is made beforehand.
 *
 * With a layer, as `McpTools.toolkit(McpClient.layerHttp({ … }))`, each run of an agent has a connection of its own that
 * ends with it: a server that was down or has forgotten a session is there again for the next one. A client that many
 * runs share, as by `McpTools.toolkit(McpClient.McpClient)`, is over for all of them when its connection is.
 *
 * @category constructors
 * @since 0.2.0
 */
export const toolkit: {
  <E, R>(
    client: Layer.Layer<McpClient.McpClient, E, R>,
    options?: Options
  ): Effect.Effect<McpToolkit, McpClientError | E, R | Scope.Scope>
  <E = never, R = never>(
    client: McpClient.McpClient | Effect.Effect<McpClient.McpClient, E, R>,
    options?: Options
  ): Effect.Effect<McpToolkit, McpClientError | E, R>
} = (client: Client, options?: Options) =>
  // The overloads know what a client needs, and what it fails with.
  make(client, check(options)) as Effect.Effect<McpToolkit, never, never>

type Client =
  | McpClient.McpClient
  | Effect.Effect<McpClient.McpClient, unknown, unknown>
  | Layer.Layer<McpClient.McpClient, unknown, unknown>

/** Connects anew by a layer, whatever else is connected by it. */
const connect = (client: Client): Effect.Effect<McpClient.McpClient, unknown, unknown> =>
  "callTool" in client
    ? Effect.succeed(client)
    : Effect.isEffect(client)
    ? client
    : Effect.map(Layer.build(Layer.fresh(client)), Context.get(Current))

// By its key: to import it loads all of MCP, which its layer's owner has.
const Current = Context.Service<McpClient.McpClient>("effect/ai/McpClient")

const check = ({ maxCharacters = 100_000, prefix = "", timeout: input = "1 minute", ...rest }: Options = {}) => {
  const timeout = Option.getOrUndefined(Duration.fromInput(input))
  if (timeout === undefined || !Duration.isPositive(timeout)) {
    throw new RangeError(`McpTools.toolkit: timeout is ${String(input)}; expected a time longer than nothing.`)
  }
  if (!(maxCharacters > 0)) {
    throw new RangeError(`McpTools.toolkit: maxCharacters is ${maxCharacters}; expected a number above 0.`)
  }
  return { maxCharacters, prefix, timeout, ...rest }
}

const make = Effect.fnUntraced(function*(
  client: Client,
  { filter, maxCharacters, needsApproval, prefix, timeout }: ReturnType<typeof check>
): Effect.fn.Return<McpToolkit, unknown, unknown> {
  const connected = yield* connect(client)
  const listed = yield* connected.listTools()
  const descriptors = filter === undefined ? listed : listed.filter(filter)
  const names = McpInputs.toolNames(descriptors.map(({ name }) => prefix + name))
  const { failure, success } = codecs(maxCharacters)

  const tools: Array<McpTool> = []
  // Without a prototype: a server may call a tool as it likes.
  const handlers: Handlers = Object.create(null)
  descriptors.forEach((descriptor, index) => {
    const name = names[index]!
    const { restore, schema } = McpInputs.input(descriptor.inputSchema)
    const description = descriptor.description ?? descriptor.title
    tools.push(
      Tool.dynamic(name, {
        parameters: schema,
        success,
        failure,
        failureMode: "return",
        ...(description === undefined ? undefined : { description }),
        ...(needsApproval === undefined ? undefined : { needsApproval: needsApproval(descriptor) }),
        toModelOutput: (result: McpSchema.CallToolResult) => McpResults.parts(result, maxCharacters)
      })
        // Its author knows nothing of the subset of JSON Schema that can be enforced.
        .annotate(Tool.Strict, false)
    )
    const failed = (message: string, cause?: McpClientError) => new McpToolError({ tool: name, message, cause })
    handlers[name] = (params) =>
      Predicate.isReadonlyObject(params)
        ? connected.callTool({ tool: descriptor, arguments: restore(params) }, { timeout }).pipe(
          Effect.mapError((error) => failed(error.message, error)),
          Effect.filterOrFail(
            ({ isError }) => isError !== true,
            (result) => failed(McpResults.text(result, maxCharacters))
          )
        )
        : Effect.fail(failed("Its parameters are to be an object."))
  })
  const made = Toolkit.make(...tools)
  return yield* Effect.provideContext(made, yield* made.toHandlers(handlers))
})

type Handlers = Record<string, (params: unknown) => Effect.Effect<McpSchema.CallToolResult, McpToolError>>

/** A result and a failure as they are here, and as what the model is told. */
const codecs = (maxCharacters: number) => ({
  success: Schema.String.pipe(Schema.decodeTo(
    Schema.declare(isResult),
    SchemaTransformation.transform({
      decode: (text): McpSchema.CallToolResult => ({ content: [{ type: "text", text }] }),
      encode: (result) => McpResults.text(result, maxCharacters)
    })
  )),
  failure: Schema.String.pipe(Schema.decodeTo(
    Schema.declare((value): value is McpToolError => value instanceof McpToolError),
    SchemaTransformation.transform({
      decode: (message) => new McpToolError({ tool: "", message, cause: undefined }),
      encode: ({ message }) => message
    })
  ))
})

const isResult = (value: unknown): value is McpSchema.CallToolResult =>
  Predicate.hasProperty(value, "content") && Array.isArray(value.content)

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** Tools with their handlers, whatever they are; an effect that makes them, as a `Toolkit` is. @category models @since 0.2.0 */
export type Mergeable = AnyTools | Effect.Effect<AnyTools, unknown, unknown>

interface AnyTools {
  readonly tools: Readonly<Record<string, Tool.Any>>
  readonly handle: (name: never, params: never, toolCallId?: string, options?: SchemaAST.ParseOptions) => unknown
}

type ToolsOf<T> = T extends Toolkit.WithHandler<infer Tools> ? Tools
  : T extends Effect.Effect<Toolkit.WithHandler<infer Tools>, infer _E, infer _R> ? Tools
  : never

type EffectOf<T> = Extract<T, Effect.Effect<unknown, unknown, unknown>>

/**
 * Toolkits as one: those of several servers, and the program's own. Where two have a tool of the same name it fails, or
 * a server could take the place of a tool that it knows of.
 *
 * @category combinators
 * @since 0.2.0
 */
export const merge = <const Toolkits extends ReadonlyArray<Mergeable>>(
  ...toolkits: Toolkits
): Effect.Effect<
  Toolkit.WithHandler<Toolkit.MergeRecords<ToolsOf<Toolkits[number]>>>,
  ToolNameClash | Effect.Error<EffectOf<Toolkits[number]>>,
  Effect.Services<EffectOf<Toolkits[number]>>
> =>
  Effect.gen(function*() {
    const owners = new Map<string, AnyTools>()
    for (const made of yield* Effect.forEach(toolkits, whole, { concurrency: "unbounded" })) {
      for (const name of Object.keys(made.tools)) {
        if (owners.has(name)) return yield* new ToolNameClash({ tool: name })
        owners.set(name, made)
      }
    }
    return {
      tools: Object.fromEntries([...owners].map(([name, { tools }]) => [name, tools[name]])),
      handle: (name: string, params: never, toolCallId?: string, options?: SchemaAST.ParseOptions) =>
        owners.get(name)?.handle(name as never, params, toolCallId, options) ?? Effect.fail(unknownTool(name, owners))
    }
    // Each is handed what is its own.
  }) as never

const whole = (self: Mergeable) => Effect.isEffect(self) ? self : Effect.succeed(self)

const unknownTool = (toolName: string, owners: ReadonlyMap<string, unknown>) =>
  AiError.make({
    module: "McpTools",
    method: "merge",
    reason: new AiError.ToolNotFoundError({ toolName, availableTools: [...owners.keys()] })
  })

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * A call of an MCP tool that failed; the message is what the model is told.
 *
 * @category errors
 * @since 0.2.0
 */
export class McpToolError extends Data.TaggedError("McpToolError")<{
  /** As the model knows it. */
  readonly tool: string
  readonly message: string
  /** Why there was no answer, in this process alone; undefined where the tool itself says that it failed. */
  readonly cause: McpClientError | undefined
}> {}

/** @category errors @since 0.2.0 */
export class ToolNameClash extends Data.TaggedError("ToolNameClash")<{
  readonly tool: string
}> {
  override get message(): string {
    return `Two toolkits have a tool ${this.tool}. Give the tools of one server a prefix: McpTools.toolkit(client, { prefix }).`
  }
}
