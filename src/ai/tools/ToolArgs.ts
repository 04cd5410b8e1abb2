/**
 * The API's own options of its tools, as schemas: what a tool is made with is checked by them when it is sent.
 */
import * as Schema from "effect/Schema"

/** @internal */
export const CacheControl = Schema.Struct({
  type: Schema.Literal("ephemeral"),
  ttl: Schema.optionalKey(Schema.Literals(["5m", "1h"]))
})

/** @internal */
export const text = Schema.String
const texts = Schema.Array(Schema.String)
/** @internal */
export const maybe = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What every tool takes. @internal */
export const common = {
  allowed_callers: Schema.optionalKey(
    Schema.Array(
      Schema.Literals(["direct", "code_execution_20250825", "code_execution_20260120", "code_execution_20260521"])
    )
  ),
  cache_control: maybe(CacheControl),
  defer_loading: Schema.optionalKey(Schema.Boolean),
  strict: Schema.optionalKey(Schema.Boolean)
}

/** What tools take that the program runs. @internal */
export const local = {
  ...common,
  input_examples: Schema.optionalKey(Schema.Array(Schema.Record(Schema.String, Schema.Unknown)))
}

const domains = { ...common, allowed_domains: maybe(texts), blocked_domains: maybe(texts), max_uses: maybe(Schema.Int) }

/** @internal */
export const inclusion = { response_inclusion: Schema.optionalKey(Schema.Literals(["full", "excluded"])) }

/** @internal */
export const search = {
  ...domains,
  user_location: maybe(
    Schema.Struct({
      type: Schema.Literal("approximate"),
      city: maybe(text),
      country: maybe(text),
      region: maybe(text),
      timezone: maybe(text)
    })
  )
}

const some = [Schema.Struct({ type: Schema.Literal("all") }), Schema.Struct({ type: Schema.Literal("none") })] as const
const those = Schema.Array(Schema.Struct({ type: Schema.Literal("tool_reference"), name: text }))
const ofTools = Schema.optionalKey(
  Schema.Union([
    ...some,
    Schema.Struct({ type: Schema.Literal("only"), tools: those }),
    Schema.Struct({ type: Schema.Literal("except"), tools: those })
  ])
)

/** @internal */
export const fetched = {
  ...domains,
  url_sources: maybe(
    Schema.Struct({
      user_input: Schema.optionalKey(Schema.Union(some)),
      client_tool_results: ofTools,
      server_tool_results: ofTools
    })
  ),
  citations: maybe(Schema.Struct({ enabled: Schema.optionalKey(Schema.Boolean) })),
  max_content_tokens: maybe(Schema.Int)
}

/** @internal */
export const display = {
  ...local,
  display_height_px: Schema.Int,
  display_width_px: Schema.Int,
  display_number: maybe(Schema.Int)
}

/** @internal */
export const set = {
  cache_control: maybe(CacheControl),
  configs: maybe(Schema.Record(Schema.String, Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))))
}
