/** The answer of a token count: one JSON object, decoded as an attempt decodes a message. */
import * as Predicate from "effect/Predicate"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import { Body } from "./Body.ts"
import type { ErrorEvent } from "./Event.ts"

/** @internal */
export class TokenCount {
  tokens = 0
  isComplete = false
  failure: ErrorEvent | undefined
  readonly deltas = 0
  /** A count is no message. */
  readonly envelope: undefined = undefined
  private readonly body = new Body()

  push(bytes: ReadonlyArray<Uint8Array>): Array<never> {
    if (!this.body.push(bytes)) this.failure = { type: "error", failure: invalid() }
    return []
  }

  /** One element where there is an answer. */
  end(): Array<number> {
    try {
      const answer: unknown = this.body.json()
      if (Predicate.hasProperty(answer, "input_tokens") && typeof answer.input_tokens === "number") {
        return [answer.input_tokens]
      }
    } catch {
      // Told below, without what came.
    }
    this.failure = { type: "error", failure: invalid() }
    return []
  }

  add(tokens: ReadonlyArray<number>): number {
    for (const count of tokens) {
      this.tokens = count
      this.isComplete = true
    }
    return tokens.length
  }

  get hasContent(): boolean {
    return this.isComplete
  }
}

const invalid = () =>
  Failure.retryable(
    new ClaudeError.InvalidResponse({}),
    "The response is no token count. A proxy may have answered in place of the API: check the base URL.",
    { type: "_OTHER" }
  )
