/**
 * How a request reaches the API: one primitive, `open`, which answers an exchange at once.
 *
 * An exchange is one HTTP request and its response: headers, then a pull of byte arrays, one array per network read.
 * It is closed with its scope: an unfinished one closes its socket there. Everything that makes a call dependable
 * stands on this, so replacing the transport replaces nothing else.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ClaudeError } from "../ClaudeError.ts"

/** What is sent. @category models @since 0.1.0 */
export interface TransportRequest {
  readonly path: "/v1/messages" | "/v1/messages/count_tokens"
  readonly body: object & { readonly stream?: boolean | undefined }
  /** Headers beside the client's own: trace context, the number of the attempt. */
  readonly headers: Readonly<Record<string, string>>
}

/** The head of a response. @category models @since 0.1.0 */
export interface ResponseHead {
  readonly status: number
  readonly headers: { readonly get: (name: string) => string | null }
}

/** One request and its response. @category models @since 0.1.0 */
export interface Exchange {
  /** Waits for a successful response's headers. */
  readonly response: Effect.Effect<ResponseHead, ClaudeError>
  /** The next bytes of its body, whatever one or more network reads brought; none at its end. */
  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, ClaudeError>
  /** Ends it: closes the socket and fails what waits, now and later. */
  readonly fail: (error: ClaudeError) => void
  /** The head of a response that failed, where one came: it tells of rate limits. */
  readonly refusal?: ResponseHead | undefined
  /** All that matters has arrived: the connection may be kept if the body ends soon. */
  readonly complete: () => void
}

/** @category services @since 0.1.0 */
export class Transport extends Context.Service<Transport, {
  readonly open: (request: TransportRequest) => Effect.Effect<Exchange, never, Scope.Scope>
  /** Where requests go, for spans and metrics. */
  readonly server: { readonly url: string; readonly address: string; readonly port: number }
  /** Whose rate limits its requests count against, as a digest. @default one account for each server */
  readonly account?: string | undefined
  /** `gen_ai.provider.name` of what answers. */
  readonly provider: string
  /** Takes the client's credentials out of a text that came over the wire. @default as it is */
  readonly redact?: ((text: string) => string) | undefined
}>()("effect-claude/transport/Transport") {}
