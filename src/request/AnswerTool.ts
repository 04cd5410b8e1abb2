/**
 * The tool whose call is an object, where the API's own format is not asked for: of older models, and of schemas that
 * have more unions than the format takes.
 */
import type { Tool, ToolChoice } from "@anthropic-ai/sdk/resources/messages/messages"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Model from "./Model.ts"

/** Such a tool, under a name that none of the others has. @internal */
export const make = (
  name: string,
  others: ReadonlySet<string>,
  schema: Schema.Constraint,
  jsonSchema: object
): Tool => {
  const description = SchemaAST.resolveDescription(schema.ast)
  let free = name
  while (others.has(free)) free += "_"
  return {
    name: free,
    description: `${
      description === undefined ? "" : `${description} `
    }Call it to answer: its input is the whole answer.`,
    // Only what is of an object comes here.
    input_schema: jsonSchema as Tool.InputSchema
  }
}

/** One that thinks cannot be made to call a tool, and a newer one does where nobody says: it is told to. @internal */
export const choice = (
  name: string,
  { model, thinking }: { readonly model: string; readonly thinking: { readonly type: string } | null | undefined }
): ToolChoice => {
  const thinks = thinking == null ? Model.hasStructuredOutput(model) : thinking.type !== "disabled"
  return thinks
    ? { type: "auto", disable_parallel_tool_use: true }
    : { type: "tool", name, disable_parallel_tool_use: true }
}
