/**
 * What a request was made of: the name of a prompt and its version, which the span of its call tells.
 *
 * It rides on the request under a symbol, so it is never sent, is no part of a cache key, and stays when the request is
 * spread into another one. This is the one place that knows how it gets onto a span.
 */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as Claude from "../Claude.ts"
import * as Request from "../request/Request.ts"

/** A prompt's name, and one of its versions. @category models @since 0.2.0 */
export type Identity = Request.PromptIdentity

/** The request, knowing what it was made of. @internal */
export const identify = <Request extends object>(request: Request, { name, version }: Identity): Request =>
  Object.assign(request, { [Request.promptIdentity]: { name, version } })

/** The prompt that a request was rendered from, if it was. @category guards @since 0.2.0 */
export const identityOf = (request: object): Identity | undefined => Request.promptOf(request)

/**
 * Tells the prompt on the spans of all calls of an Effect or a Stream, for requests that were not rendered from it.
 *
 * @category combinators
 * @since 0.2.0
 */
export const withPrompt = (
  { name, version }: Identity
): <T extends Effect.Effect<unknown, unknown, unknown> | Stream.Stream<unknown, unknown, unknown>>(self: T) => T =>
  Claude.withPolicy({ prompt: { name, version } })
