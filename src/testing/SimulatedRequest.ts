/**
 * A request as the simulator reads it: which endpoint it means, and what the API would refuse at once.
 *
 * Only what the API insists on is checked: the credential, the path, the fields without which there is no message, and
 * that turns fit each other.
 */
import type { MessageCreateParamsBase } from "@anthropic-ai/sdk/resources/messages/messages"
import type { IncomingHttpHeaders } from "node:http"
import * as Answer from "./Answer.ts"
import { record } from "./EventFold.ts"
import * as SimulatedMessage from "./SimulatedMessage.ts"
import * as SimulatedTurns from "./SimulatedTurns.ts"

/** Whom a script speaks for. @category models @since 0.1.0 */
export type Endpoint = "messages" | "count_tokens" | "models"

/** What a script is asked with. @category models @since 0.1.0 */
export interface SimulatedRequest {
  readonly endpoint: Endpoint
  readonly method: string
  readonly path: string
  /** As sent, but for the credential. */
  readonly headers: Readonly<Record<string, string>>
  /** Which attempt the client says this is (`x-stainless-retry-count` + 1). */
  readonly attempt: number
  /** Empty where the endpoint takes none. */
  readonly body: Partial<MessageCreateParamsBase>
}

/** The endpoint that a request means, or the refusal. @category routes @since 0.1.0 */
export const route = (method: string, path: string): Endpoint | Answer.Answer => {
  const [endpoint, allowed] = path === "/v1/messages"
    ? ["messages", "POST"] as const
    : path === "/v1/messages/count_tokens"
    ? ["count_tokens", "POST"] as const
    : path === "/v1/models" || /^\/v1\/models\/[^/]+$/.test(path)
    ? ["models", "GET"] as const
    : [undefined, undefined]
  if (endpoint === undefined) return Answer.error(404, { message: `Not found: ${path}` })
  return method === allowed ? endpoint : Answer.error(405, { message: `Method not allowed: ${method} ${path}` })
}

/** The refusal of a request without a credential. @category checks @since 0.1.0 */
export const checkCredential = (headers: IncomingHttpHeaders): Answer.Answer | undefined =>
  /^Bearer \S/.test(headers.authorization ?? "") || headers["x-api-key"]
    ? undefined
    : Answer.error(401, { message: "authorization header is required" })

/** The refusal of a body that is no request. @category checks @since 0.1.0 */
export const checkBody = (
  endpoint: Endpoint,
  body: unknown,
  headers: IncomingHttpHeaders,
  models: ReadonlyArray<string> | undefined
): Answer.Answer | undefined => {
  if (endpoint === "models") return undefined
  const invalid = (message: string) => Answer.error(400, { message })
  if (typeof body !== "object" || body === null) return invalid("The request body is not valid JSON.")
  const { max_tokens, messages, model, ...rest } = record(body)
  if (model === undefined) return invalid("model: Field required")
  if (typeof model !== "string") return invalid("model: Input should be a valid string")
  if (endpoint === "messages") {
    if (max_tokens === undefined) return invalid("max_tokens: Field required")
    // Zero fills the prompt cache.
    if (!Number.isInteger(max_tokens) || Number(max_tokens) < 0) {
      return invalid("max_tokens: Input should be greater than or equal to 0")
    }
  }
  if (messages === undefined) return invalid("messages: Field required")
  if (!Array.isArray(messages)) return invalid("messages: Input should be a valid array")
  if (messages.length === 0) return invalid("messages: at least one message is required")
  const wrong = SimulatedTurns.refusal(messages)
  if (wrong !== undefined) return invalid(wrong)
  if (String(headers["anthropic-version"]) >= "2026-10-21" && headers["anthropic-version"] !== undefined) {
    for (const gone of ["temperature", "top_p", "top_k"]) {
      if (gone in rest) return invalid(`${gone}: Extra inputs are not permitted`)
    }
  }
  if (models !== undefined && !models.includes(model)) return Answer.error(404, { message: `model: ${model}` })
  return undefined
}

/** The input tokens of a body, by its size. @category estimates @since 0.1.0 */
export const inputTokens = (body: Partial<MessageCreateParamsBase>): number =>
  SimulatedMessage.estimateTokens(JSON.stringify([body.system, body.messages, body.tools]).length)
