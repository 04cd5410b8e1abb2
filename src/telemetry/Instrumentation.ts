/**
 * Who speaks: the instrumentation scope of this library, and what tells its data from the application's own.
 *
 * Exporters put the two under separate scopes, since only ours follows the schema of the GenAI conventions.
 */

/** The instrumentation scope of this library. @internal */
export const scope = { name: "effect-claude", version: "0.2.0" } as const

/** Tells a metric, a log or an attribute of ours by its name. @internal */
export const isOwnName = (name: string): boolean => name.startsWith("claude.") || name.startsWith("gen_ai.")

/** Effect keeps a metric's unit among its attributes, where exporters take it for a label. @internal */
export const isUnit = (attribute: string): boolean => attribute === "unit" || attribute === "time_unit"
