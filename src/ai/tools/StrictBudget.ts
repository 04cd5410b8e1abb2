/**
 * How much of its tools and formats the API enforces in one request: it refuses a request that asks for more.
 *
 * So of tools that nobody wants to be strict, those are that come first, and have room.
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as JsonSubset from "../../request/JsonSubset.ts"

/** @internal */
export class StrictBudget {
  private tools = JsonSubset.limits.tools
  private optional = JsonSubset.limits.optional
  private unions = JsonSubset.limits.unions

  /** What the answer's format takes. */
  format(schema: JsonSchema.JsonSchema): void {
    const { optional, unions } = JsonSubset.costOf(schema)
    this.optional -= optional
    this.unions -= unions
  }

  /** Whether there is room for a tool of this schema, which then is taken. */
  takes(schema: JsonSchema.JsonSchema): boolean {
    const { optional, unions } = JsonSubset.costOf(schema)
    if (this.tools < 1 || this.optional < optional || this.unions < unions) return false
    this.tools--
    this.optional -= optional
    this.unions -= unions
    return true
  }
}
