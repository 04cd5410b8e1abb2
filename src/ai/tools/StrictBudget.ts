/**
 * How much of its tools and formats the API enforces in one request: it refuses a request that asks for more.
 *
 * So of tools that nobody wants to be strict, those are that come first, and have room.
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"

/** The API's limits of a request: https://platform.claude.com/docs/en/build-with-claude/structured-outputs */
const limits = { tools: 20, optional: 24, unions: 16 }

/** @internal */
export class StrictBudget {
  private tools = limits.tools
  private optional = limits.optional
  private unions = limits.unions

  /** What the answer's format takes. */
  format(schema: object): void {
    const { optional, unions } = costOf(schema)
    this.optional -= optional
    this.unions -= unions
  }

  /** Whether there is room for a tool of this schema, which then is taken. */
  takes(schema: object): boolean {
    const { optional, unions } = costOf(schema)
    if (this.tools < 1 || this.optional < optional || this.unions < unions) return false
    this.tools--
    this.optional -= optional
    this.unions -= unions
    return true
  }
}

interface Cost {
  readonly optional: number
  readonly unions: number
}

/** Schemas do not change. */
const costs = new WeakMap<object, Cost>()

const costOf = (schema: object): Cost => {
  let cost = costs.get(schema)
  if (cost === undefined) {
    const counted = { optional: 0, unions: 0 }
    count(schema, counted)
    costs.set(schema, cost = counted)
  }
  return cost
}

/** Counts each place where a part of the schema is of a union, or may be absent. */
const count = (json: unknown, counted: { optional: number; unions: number }): void => {
  if (Array.isArray(json)) return json.forEach((member) => count(member, counted))
  if (!Predicate.isObject(json)) return
  const { $defs, anyOf, items, properties, required, type }: JsonSchema.JsonSchema = json
  if (Array.isArray(anyOf) || Array.isArray(type)) counted.unions++
  if (Predicate.isObject(properties)) {
    const names = new Set(Array.isArray(required) ? required : [])
    counted.optional += Object.keys(properties).filter((name) => !names.has(name)).length
    Object.values(properties).forEach((member) => count(member, counted))
  }
  if (Predicate.isObject($defs)) Object.values($defs).forEach((member) => count(member, counted))
  count(anyOf, counted)
  count(items, counted)
}
