/**
 * The transport over Anthropic's SDK, with the SDK's own retries, spans and logs off: those are ours.
 *
 * The SDK brings credentials, URLs, headers and the clients of other platforms. Our own client gets a `fetch` over
 * undici's dispatch; a client that is handed in keeps its own, and its web stream is read instead.
 */
import type { BaseAnthropic } from "@anthropic-ai/sdk/client"
import type { Messages } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { ReadableStream as NodeReadableStream } from "node:stream/web"
import type { Dispatcher } from "undici"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as Classify from "./Classify.ts"
import { mailboxKey, makeFetch } from "./Dispatch.ts"
import { Mailbox, type Producer } from "./Mailbox.ts"
import { type ResponseHead, Transport, type TransportRequest } from "./Transport.ts"

/**
 * Any client of the SDK's shape: `Anthropic`, `AnthropicBedrock`, `AnthropicVertex`, `AnthropicFoundry`.
 *
 * @category models
 * @since 0.1.0
 */
export type AnthropicClient = BaseAnthropic & { readonly messages: Pick<Messages, "create"> }

/** @category options @since 0.1.0 */
export interface AnthropicTransportOptions {
  readonly apiKey?: Redacted.Redacted | undefined
  readonly baseURL?: string | undefined
  readonly client?: AnthropicClient | undefined
  /** An undici dispatcher of your own, for a proxy or a private certificate authority; it stays yours to close. */
  readonly dispatcher?: Dispatcher | undefined
}

/** Longer than any timeout of ours; the longest that one timer takes. */
const NEVER_MILLIS = 2 ** 31 - 1

/** @internal */
export const make = Effect.fnUntraced(function*(
  options: AnthropicTransportOptions
): Effect.fn.Return<Transport["Service"], ClaudeError.ClaudeFatalError, Scope.Scope> {
  const client = options.client === undefined
    ? yield* makeClient(options)
    : options.client.withOptions({ maxRetries: 0, openTelemetry: false, logLevel: "off" })
  const clock = yield* Clock.Clock
  const dispatched = options.client === undefined
  const refreshes = client.apiKey == null && client.authToken == null

  const send = ({ body, headers, path }: TransportRequest, mailbox: Mailbox, signal?: AbortSignal) =>
    client.post(path, {
      ...withHeaderParams(body, headers),
      stream: body.stream ?? false,
      timeout: NEVER_MILLIS,
      ...(signal === undefined ? undefined : { signal }),
      // The SDK hands fetchOptions on to fetch as they are; ours finds the mailbox there.
      ...(dispatched ? { fetchOptions: { [mailboxKey]: mailbox } as {} } : undefined)
    }).asResponse()

  const open: Transport["Service"]["open"] = (request) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const mailbox = new Mailbox()
        const controller = dispatched ? undefined : new AbortController()
        const reader = controller === undefined ? undefined : new WebReader(mailbox, controller)
        if (reader !== undefined) mailbox.attach(reader)
        const start = (refreshed: boolean): void => {
          try {
            send(request, mailbox, controller?.signal).then(
              (response) => {
                mailbox.respond(response)
                reader?.start(response)
              },
              (thrown) => {
                // The SDK has dropped the token that was refused: a provider makes a new one for the second try.
                if (refreshes && !refreshed && thrown?.status === 401) return start(true)
                mailbox.refusal = refusalOf(thrown)
                mailbox.fail(Classify.fromThrown(thrown, clock.currentTimeMillisUnsafe(), secrets(client)))
              }
            )
          } catch (thrown) {
            mailbox.fail(Classify.fromThrown(thrown, clock.currentTimeMillisUnsafe(), secrets(client)))
          }
        }
        start(false)
        return mailbox
      }),
      (mailbox) => Effect.sync(() => mailbox.close())
    )

  const url = new URL(client.baseURL)
  return Transport.of({
    open,
    server: {
      // Without the credentials that a URL may carry.
      url: `${url.origin}${url.pathname}`.replace(/\/+$/, ""),
      address: url.hostname,
      port: url.port === "" ? (url.protocol === "http:" ? 80 : 443) : Number(url.port)
    },
    account: accountOf(client),
    provider: providers[client.constructor.name] ?? "anthropic",
    redact: (text) => Classify.redact(text, secrets(client))
  })
})

/** The SDK's errors of a status carry the response's headers. */
const refusalOf = (thrown: unknown): ResponseHead | undefined => {
  const { headers, status } = (thrown ?? {}) as {
    readonly headers?: ResponseHead["headers"]
    readonly status?: unknown
  }
  // Ours are no Headers of fetch's.
  return typeof status === "number" && typeof headers?.get === "function" ? { status, headers } : undefined
}

/** Two parameters travel as headers: the SDK's own `create` moves them, its `post` does not. */
const withHeaderParams = (body: TransportRequest["body"], headers: TransportRequest["headers"]) => {
  // No timeout of the SDK's is in force, so none is told.
  const own = { ...headers, "x-stainless-timeout": null }
  const { user_profile_id, workspace_id, ...rest } = body as { user_profile_id?: unknown; workspace_id?: unknown }
  if (user_profile_id == null && workspace_id == null) return { body, headers: own }
  return {
    body: rest,
    headers: {
      ...own,
      ...(user_profile_id == null ? undefined : { "anthropic-user-profile-id": String(user_profile_id) }),
      ...(workspace_id == null ? undefined : { "anthropic-workspace-id": String(workspace_id) })
    }
  }
}

const providers: Readonly<Record<string, string | undefined>> = {
  AnthropicBedrock: "aws.bedrock",
  AnthropicBedrockMantle: "aws.bedrock",
  AnthropicVertex: "gcp.vertex_ai",
  AnthropicFoundry: "azure.ai.inference"
}

/** The client of a key, whose credential and URL are checked. @internal */
export const makeClient = Effect.fnUntraced(function*(
  options: AnthropicTransportOptions
): Effect.fn.Return<AnthropicClient, ClaudeError.ClaudeFatalError, Scope.Scope> {
  // What a program without types may hand in is read as it comes.
  const given: unknown = Redacted.isRedacted(options.apiKey) ? Redacted.value(options.apiKey) : options.apiKey
  if (given === undefined || given === null || given === "") {
    return yield* Failure.misconfigured(
      "apiKey",
      "apiKey is missing. Set apiKey (a Redacted) or client in Claude.layer, or ANTHROPIC_API_KEY for Claude.layerConfig."
    )
  }
  if (!Redacted.isRedacted(options.apiKey)) {
    return yield* Failure.misconfigured(
      "apiKey",
      `apiKey is a bare ${typeof given}; wrap it, so that it is never shown: Redacted.make(key).`
    )
  }
  const apiKey = typeof given === "string" ? given.trim() : ""
  if (apiKey === "" || /[^\x21-\x7e]/.test(apiKey)) {
    return yield* Failure.misconfigured(
      "apiKey",
      "apiKey is no key: it is empty, or has spaces, line breaks or letters beyond ASCII, which no header may hold. Copy the key again."
    )
  }
  const baseURL = options.baseURL ?? "https://api.anthropic.com"
  if (!/^https?:$/.test(URL.parse(baseURL)?.protocol ?? "")) {
    return yield* Failure.misconfigured(
      "baseURL",
      `baseURL is ${JSON.stringify(baseURL)}; expected an http(s) URL such as https://api.anthropic.com.`
    )
  }
  // Loaded with the first layer, not with the library: both are large.
  const [{ Anthropic }, dispatcher] = yield* Effect.promise(() =>
    Promise.all([import("@anthropic-ai/sdk/client"), options.dispatcher ?? makeAgent()])
  )
  if (options.dispatcher === undefined) {
    yield* Effect.addFinalizer(() => Effect.promise(() => dispatcher.destroy()))
  }
  return new Anthropic({
    apiKey,
    authToken: null,
    baseURL,
    maxRetries: 0,
    openTelemetry: false,
    logLevel: "off",
    fetch: makeFetch(dispatcher)
  })
})

/** HTTP/1.1, a connection a call: on a shared HTTP/2 one, one reset ends many calls and a cancelled one goes unseen. */
const makeAgent = async (): Promise<Dispatcher> => {
  const Agent = await loadAgent()
  // As many connections as there are calls: those are bounded, and a body that is late to end delays no other.
  return new Agent({ allowH2: false, connections: null, headersTimeout: 0, bodyTimeout: 0, pipelining: 1 })
}

/** The Agent alone loads in a third of the time that all of undici takes; it has no types and no promise of its own. */
const loadAgent = async (): Promise<typeof import("undici").Agent> => {
  const path = "undici/lib/dispatcher/agent.js"
  try {
    return (await import(path)).default
  } catch {
    return (await import("undici")).Agent
  }
}

/** What no message may show, also where a proxy or the platform echoes it. @internal */
export const secrets = (client: AnthropicClient): ReadonlyArray<string> =>
  [client.apiKey, client.authToken].filter((secret) => secret != null && secret !== "") as ReadonlyArray<string>

const accountOf = (client: AnthropicClient): string | undefined => {
  const [secret] = secrets(client)
  return secret === undefined ? undefined : createHash("sha256").update(secret).digest("hex").slice(0, 12)
}

/** Reads the web stream of a client that was handed in, as fast as it is wanted. */
class WebReader implements Producer {
  private readonly mailbox: Mailbox
  private readonly controller: AbortController
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  private paused = false

  constructor(mailbox: Mailbox, controller: AbortController) {
    this.mailbox = mailbox
    this.controller = controller
  }

  start(response: Response): void {
    if (response.body === null) return this.mailbox.end()
    const { body } = response
    try {
      // Some fetches answer a Node stream, which the SDK reads as well.
      const readable = typeof body.getReader === "function" ? body : NodeReadableStream.from<Uint8Array>(body)
      // The two types of one class differ in what they accept, not in what is read of them.
      this.reader = readable.getReader() as ReadableStreamDefaultReader<Uint8Array>
    } catch {
      return this.mailbox.fail(Failure.misconfigured(
        "client",
        "The client's fetch answered a body that cannot be read: it must be a stream that nobody has read yet."
      ))
    }
    // A client that does not mind its signal answers also after the call was given up.
    if (this.controller.signal.aborted) return this.abort()
    this.next()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.next()
  }

  abort(): void {
    this.controller.abort()
    // A client that does not mind its signal is still left without a reader.
    this.reader?.cancel().catch(() => {})
  }

  private next(): void {
    this.reader?.read().then(({ done, value }) => {
      if (done) return this.mailbox.end()
      this.mailbox.push(value)
      if (!this.paused) this.next()
    }, (thrown) => this.mailbox.fail(Classify.fromBroken(thrown)))
  }
}
