/**
 * Who speaks: the instrumentation scope of this library, and what tells its data from the application's own.
 *
 * Exporters put the two under separate scopes, since only ours follows the schema of the GenAI conventions.
 */
import * as Attributes from "./Attributes.ts"

/** The instrumentation scope of this library. @internal */
export const scope = { name: "effect-claude", version: "0.1.0" } as const

/** Tells a metric, a log or an attribute of ours by its name. @internal */
export const isOwnName = (name: string): boolean => name.startsWith("claude.") || name.startsWith("gen_ai.")

/** Effect keeps a metric's unit among its attributes, where exporters take it for a label. @internal */
export const isUnit = (attribute: string): boolean => attribute === "unit" || attribute === "time_unit"

/** Attributes that are doubles by contract, also where their value is whole. @internal */
export const doubles: ReadonlySet<string> = new Set([
  Attributes.responseTimeToFirstChunk,
  Attributes.waitTotal,
  Attributes.costAmount
])

/** The doubles of a retry event, whose names mean nothing elsewhere. @internal */
export const retryDoubles: ReadonlySet<string> = new Set([Attributes.retryDelay, Attributes.retryHint])
