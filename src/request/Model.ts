/**
 * What is known of each model without asking the API: its label in metrics, its limits, its end.
 *
 * The surprise: what the SDK does not tell stays undefined and is left for the API to judge, so a model that is newer
 * than this table works. Limits and dates are of Anthropic's own platforms: Bedrock and Vertex retire on their own days.
 */

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A model of the table. @category models @since 0.1.0 */
export interface KnownModel {
  /** The id without a date: one of a closed list, so it may label a metric. */
  readonly label: string
  /** The most that `max_tokens` may be. */
  readonly maxOutput?: number | undefined
  /** The most tokens that a prompt and its answer may have together. */
  readonly contextWindow?: number | undefined
  /** The last day in service, as YYYY-MM-DD. */
  readonly retiresAt?: string | undefined
  /** What to use instead. */
  readonly successor?: string | undefined
}

// As the models' own pages say; those without are left to the API.
const large = { contextWindow: 1_000_000, maxOutput: 128_000 }
const small = { contextWindow: 200_000, maxOutput: 64_000 }

const table: ReadonlyArray<KnownModel> = [
  { label: "claude-fable-5-2" },
  { label: "claude-fable-5-1", ...large },
  { label: "claude-fable-5", ...large },
  { label: "claude-mythos-5-2" },
  { label: "claude-mythos-5-1" },
  { label: "claude-mythos-5" },
  { label: "claude-mythos-preview" },
  { label: "claude-opus-5-5", ...large },
  { label: "claude-opus-5", ...large },
  { label: "claude-opus-4-8" },
  { label: "claude-opus-4-7" },
  { label: "claude-opus-4-6" },
  { label: "claude-opus-4-5" },
  { label: "claude-opus-4-1" },
  { label: "claude-opus-4" },
  { label: "claude-sonnet-5-5", ...large },
  { label: "claude-sonnet-5", ...large },
  { label: "claude-sonnet-4-6", ...large },
  { label: "claude-sonnet-4-5", ...small, retiresAt: "2026-11-30", successor: "claude-sonnet-5-5" },
  { label: "claude-haiku-5-5", ...large },
  { label: "claude-haiku-4-5", ...small }
]

const byId: ReadonlyMap<string, KnownModel> = new Map(table.map((model) => [model.label, model]))

/** The label of every model that the table does not have. @category models @since 0.1.0 */
export const OTHER = "other"

/** All that `label` can answer. @category models @since 0.1.0 */
export const labels: ReadonlyArray<string> = [...byId.keys(), OTHER]

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

const DAY_MILLIS = 24 * 60 * 60 * 1000

/** `claude-haiku-4-5-20251001`: a model as of a day. */
const DATED = /^(claude-[a-z0-9-]+)-\d{8}$/

/** `eu.anthropic.claude-opus-4-5-20251101-v1:0`, also as the end of an ARN, and `claude-opus-4-5@20251101`. */
const PARTNER =
  /^(?:arn:[^/]+\/)?(?:[a-z-]+\.)?(?:anthropic\.)?(claude-[a-z0-9-]+?)(?:[-@]\d{8}|@default|@latest)?(?:-v\d+(?::\w+)?)?$/

/** The model that an id of Anthropic's own platforms names, with or without its date. @category combinators @since 0.1.0 */
export const firstParty = (id: string): KnownModel | undefined => byId.get(id) ?? byId.get(DATED.exec(id)?.[1] ?? "")

/** The model that an id names, also as Bedrock and Vertex spell it. @category combinators @since 0.1.0 */
export const lookup = (id: string): KnownModel | undefined => byId.get(id) ?? byId.get(PARTNER.exec(id)?.[1] ?? "")

/** The model's label, or "other": never an id that a caller made up. @category combinators @since 0.1.0 */
export const label = (id: string): string => lookup(id)?.label ?? OTHER

/** Whether a model's last day, in UTC, is over. @category combinators @since 0.1.0 */
export const isRetired = (model: KnownModel, now: number): boolean =>
  // The hour is not announced: a refusal too early would fail calls that work, one too late costs a 404.
  model.retiresAt !== undefined && now >= Date.parse(model.retiresAt) + DAY_MILLIS

/** Models before structured output: Claude 1 to 3, and 4.0. */
const OLD = /claude-(?:[123]\b|instant|(?:opus|sonnet|haiku)-4(?:-0)?(?:$|[@:]|-(?:\d{8}|latest|v\d)))/

/** Whether a model can be held to a JSON Schema; one that nobody knows is newer. @internal */
export const hasStructuredOutput = (id: string): boolean => !OLD.test(id)

/** The models that take a system message within a conversation; one that is wrongly left out still works. */
const TAKING_SYSTEM = /claude-(?:fable|mythos)-\d|claude-opus-(?:4-[89]|[5-9]|\d\d)(?!\d)/

/** Whether a model takes system messages within a conversation. @internal */
export const takesSystem = (id: string): boolean => TAKING_SYSTEM.test(id)
