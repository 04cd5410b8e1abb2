/**
 * What of a request depends on the model that is asked, so that another may be asked in its place.
 */
import type { MessageCreateParamsBase } from "@anthropic-ai/sdk/resources/messages/messages"

/** Of a request's parameters, those that models take in different ways. @internal */
export type Fields = {
  readonly [K in "messages" | "tools" | "tool_choice" | "output_config"]?: MessageCreateParamsBase[K] | undefined
}

/** Where a request says how it is written for each model: it is never sent, nor part of a cache key. @internal */
export const perModel: unique symbol = Symbol.for("effect-claude/perModel")

/** The request as a model takes it, and how any other does. @internal */
export const write = <R extends object>(
  request: R,
  model: string,
  fieldsOf: (model: string) => Fields
): R & Fields => ({ ...request, ...fieldsOf(model), [perModel]: fieldsOf })

const fieldsOf = (request: object): ((model: string) => Fields) | undefined =>
  // Nobody but `write` sets the symbol.
  (request as { readonly [perModel]?: (model: string) => Fields })[perModel]

/** Hands on how a request is written to what it comes to. @internal */
export const carry = (request: object, resolved: object): void => {
  const fields = fieldsOf(request)
  if (fields !== undefined) Object.assign(resolved, { [perModel]: fields })
}

/** The request as another model takes it, with nothing left of the first; one that all take alike is the same. @internal */
export const rewrite = <R extends object>(resolved: R, model: string): R => {
  const fieldsFor = fieldsOf(resolved)
  if (fieldsFor === undefined) return resolved
  const rewritten = { ...resolved }
  const fields: Fields = { tools: undefined, tool_choice: undefined, output_config: undefined, ...fieldsFor(model) }
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) Reflect.deleteProperty(rewritten, key)
    else Object.assign(rewritten, { [key]: value })
  }
  return rewritten
}
