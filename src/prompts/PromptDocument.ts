/**
 * The form of prompts as they are written: a mapping of names to versions, and which of these is served.
 *
 * ```yaml
 * welcome:
 *   latest: 2                  # where it is left out, the highest of whole numbers
 *   weights: { 1: 90, 2: 10 }  # for calls that give a key
 *   versions:
 *     1:
 *       prompt: Greet {{name}}.
 *     2:
 *       model: claude-opus-5-5
 *       system: You greet people warmly.
 *       prompt: Greet {{name}}, who has been with us for {{days}} days.
 * ```
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import type * as Request from "../request/Request.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import type * as Split from "./Split.ts"
import * as Template from "./Template.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A version as it is written: a request whose texts have placeholders. @category models @since 0.2.0 */
export type TemplateDocument =
  | Request.MessageRequest
  | (Request.MessageFields & { readonly prompt?: undefined; readonly messages?: undefined })

/** A prompt as it is written. @category models @since 0.2.0 */
export interface PromptDocument {
  /** For people. */
  readonly description?: string | undefined
  /** What is served where nobody asks for a version. @default the highest, where all versions are whole numbers */
  readonly latest?: string | number | undefined
  /** How keys are split over versions, in any unit. @default all get `latest` */
  readonly weights?: Readonly<Record<string, number>> | undefined
  readonly versions: Readonly<Record<string, TemplateDocument>>
}

/** Which versions of a prompt are served. @category models @since 0.2.0 */
export interface Release {
  /** To whom gives no key, and to all where there are no weights. */
  readonly latest: string
  readonly weights?: Readonly<Record<string, number>> | undefined
}

/** A prompt that may be served. @internal */
export interface Prompt {
  readonly name: string
  readonly source: string
  readonly latest: string
  /** Empty where keys are not split. */
  readonly weights: Split.Weights
  /** A version that cannot be used is an error in its place. */
  readonly versions: ReadonlyMap<string, Template.Template | PromptError.PromptError>
  /** Where a place is, as it is written: `["versions", "3", "system"]`. */
  readonly where: (path: Template.Path) => PromptFailure.Where
}

// -----------------------------------------------------------------------------
// schemas
// -----------------------------------------------------------------------------

const Json = Schema.Record(Schema.String, Schema.Unknown)

const Block = Json.check(Schema.makeFilter((block) => {
  if (typeof block["type"] !== "string") return { path: ["type"], issue: "Expected the type of a block, such as text" }
  if (block["type"] === "text" && typeof block["text"] !== "string") return { path: ["text"], issue: "Expected a text" }
  return undefined
}))

const Content = Schema.Union([Schema.String, Schema.NonEmptyArray(Block)]).annotate({
  expected: "a text, or a list of blocks"
})

const Message = Schema.Struct({
  role: Schema.Literals(["user", "assistant", "system"]),
  content: Content
})

const parameters = {
  model: Schema.NonEmptyString,
  max_tokens: Schema.Natural,
  cache_control: Schema.NullOr(Json),
  container: Schema.Unknown,
  diagnostics: Schema.NullOr(Json),
  inference_geo: Schema.NullOr(Schema.String),
  metadata: Json,
  output_config: Json,
  service_tier: Schema.String,
  speed: Schema.NullOr(Schema.String),
  stop_sequences: Schema.Array(Schema.String),
  system: Content,
  thinking: Json,
  tool_choice: Json,
  tools: Schema.Array(Json),
  user_profile_id: Schema.String,
  workspace_id: Schema.String,
  prompt: Schema.String,
  messages: Schema.NonEmptyArray(Message)
} satisfies Record<keyof Request.MessageFields | "prompt" | "messages", Schema.Top>

const decodeTemplate = Schema.decodeUnknownResult(
  Schema.Struct({
    ...optional(parameters)
  }).check(Schema.makeFilter((template) => {
    if (template.prompt !== undefined && template.messages !== undefined) {
      return { path: ["prompt"], issue: "Expected messages or prompt, and there are both" }
    }
    return template.prompt === undefined && template.messages === undefined && template.system === undefined
      ? "Expected one of system, prompt and messages"
      : undefined
  })),
  { onExcessProperty: "error" }
)

const Weight = Schema.declare((u: unknown): u is number => typeof u === "number" && Number.isFinite(u) && u >= 0, {
  expected: "a weight, which is a number from 0"
})

const Weights = Schema.Record(Schema.String, Weight).check(
  Schema.makeFilter((weights) =>
    Object.values(weights).some((weight) => weight > 0) || "Expected one weight above 0, or no weights"
  )
)

/** YAML reads 1.10 as 1.1, which may be another version. */
const Version = Schema.declare(
  (u: unknown): u is string | number => typeof u === "string" || Number.isSafeInteger(u),
  { expected: "a version, quoted where it is no whole number" }
)

const decodePrompt = Schema.decodeUnknownResult(
  Schema.Struct({
    description: Schema.optionalKey(Schema.String),
    latest: Schema.optionalKey(Version),
    weights: Schema.optionalKey(Weights),
    versions: Json
  }),
  { onExcessProperty: "error" }
)

/** Each of them may be left out. */
function optional<S extends Record<string, Schema.Top>>(fields: S): { [K in keyof S]: Schema.optionalKey<S[K]> } {
  // Entries come back under the names that they had.
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [key, Schema.optionalKey(field)])
  ) as { [K in keyof S]: Schema.optionalKey<S[K]> }
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** What is known of where a prompt is written. @internal */
export interface Origin {
  readonly source: string
  readonly lineOf: (path: Template.Path) => number | undefined
}

/** A prompt as it is written; throws a `PromptError`. @internal */
export const fromDocument = (name: string, document: unknown, { lineOf, source }: Origin): Prompt => {
  const whereOf = (path: ReadonlyArray<PropertyKey>): PromptFailure.Where => ({
    source,
    prompt: name,
    ...(path[0] === "versions" && typeof path[1] === "string" ? { version: path[1] } : undefined),
    ...(path.length === 0 ? undefined : { key: PromptFailure.keyOf(path) }),
    line: lineOf(path.filter((part) => typeof part !== "symbol"))
  })
  if (!isName(name)) throw noName(whereOf([]))
  const decoded = decodePrompt(document)
  if (Result.isFailure(decoded)) throw invalid(decoded.failure.issue, whereOf, promptKeys)
  const { latest, versions: documents, weights = {} } = decoded.success
  const versions = new Map(
    Object.entries(documents).map(([version, template]) => {
      const at = ["versions", version]
      if (!isVersion(version)) throw noVersion(version, whereOf(at))
      const made = templateOf(template, (path) => whereOf([...at, ...path]))
      if (made instanceof PromptError.PromptError) throw made
      return [version, made]
    })
  )
  if (versions.size === 0) throw PromptFailure.malformed(whereOf(["versions"]), "There is no version. Write one.")
  return {
    name,
    source,
    versions,
    ...releaseOf({ latest: latest === undefined ? undefined : String(latest), weights }, versions, whereOf),
    where: whereOf
  }
}

type WhereOf = (path: ReadonlyArray<PropertyKey>) => PromptFailure.Where

/** A version as it is written, checked. @internal */
export const templateOf = (document: unknown, whereOf: WhereOf): Template.Template | PromptError.PromptError => {
  const decoded = decodeTemplate(document)
  if (Result.isFailure(decoded)) return invalid(decoded.failure.issue, whereOf, Object.keys(parameters))
  // It has been decoded as a record, and its members as they are.
  const template = Template.make(document as Readonly<Record<string, unknown>>)
  return Template.isProblem(template) ? PromptFailure.malformed(whereOf(template.path), template.text) : template
}

/** Which versions are served, of those that there are; throws a `PromptError`. @internal */
export const releaseOf = (
  release: { readonly latest?: string | undefined; readonly weights?: Readonly<Record<string, number>> | undefined },
  versions: ReadonlyMap<string, unknown>,
  whereOf: WhereOf
): Pick<Prompt, "latest" | "weights"> => {
  const names = Array.from(versions.keys())
  const missing = (path: ReadonlyArray<PropertyKey>, version: string) =>
    PromptFailure.make(
      new PromptError.MissingVersion({}),
      { ...whereOf(path), version },
      `There is no version ${PromptFailure.show(version)}; there are ${PromptFailure.listed(names)}.`
    )
  const weights = Object.entries(release.weights ?? {})
  for (const [version] of weights) if (!versions.has(version)) throw missing(["weights", version], version)
  if (release.latest !== undefined) {
    if (!versions.has(release.latest)) throw missing(["latest"], release.latest)
    return { latest: release.latest, weights }
  }
  const latest = impliedLatest(names)
  if (latest === undefined) {
    throw PromptFailure.malformed(
      whereOf([]),
      `latest is missing, and not all versions are whole numbers, of which it would be the highest. ` +
        `Set it to one of ${PromptFailure.listed(names)}.`
    )
  }
  return { latest, weights }
}

/** What is served where nobody says: the only version, or the highest of whole numbers. @internal */
export const impliedLatest = (versions: Iterable<string>): string | undefined => {
  const names = Array.from(versions)
  if (names.length === 1) return names[0]
  return names.every((name) => /^\d{1,15}$/.test(name))
    ? names.toSorted((a, b) => Number(b) - Number(a))[0]
    : undefined
}

/** The schema of `Release`. @internal */
export const Release = Schema.Struct({ latest: Schema.String, weights: Schema.optionalKey(Weights) })

/** Whether a prompt can be called so. @internal */
export const isName = (name: string): boolean =>
  name.length <= 128 && /^[\p{L}\p{N}][\p{L}\p{N}._-]*(?:\/[\p{L}\p{N}][\p{L}\p{N}._-]*)*$/u.test(name)

/** What is wrong with a prompt that cannot be called so. @internal */
export const noName = (where: PromptFailure.Where): PromptError.PromptError =>
  PromptFailure.malformed(
    where,
    "The name of a prompt is of letters, digits, . _ and -, up to 128, and begins with a letter or a digit; " +
      "so does each part of it, where it has several with / between them."
  )

/** Whether a version can be called so. @internal */
export const isVersion = (version: string): boolean =>
  version !== LATEST && /^[\p{L}\p{N}][\p{L}\p{N}._+-]{0,63}$/u.test(version)

/** What is wrong with a version that cannot be called so. @internal */
export const noVersion = (version: string, where: PromptFailure.Where): PromptError.PromptError =>
  PromptFailure.malformed(
    where,
    version === LATEST
      ? "latest is the name of whichever version is served. Give this one a name of its own, such as a number."
      : "The name of a version is of letters, digits, . _ - and +, up to 64, and begins with a letter or a digit."
  )

/** What stands for the version that is served. @internal */
export const LATEST = "latest"

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const promptKeys = ["description", "latest", "weights", "versions"]

const invalid = (issue: SchemaIssue.Issue, whereOf: WhereOf, known: ReadonlyArray<string>): PromptError.PromptError => {
  const { message, path } = PromptFailure.firstIssue(issue)
  const key = path.at(-1)
  return PromptFailure.malformed(
    whereOf(path),
    message === "Expected no excess property"
      ? `There is no such key${path.length === 1 ? `; there are ${known.join(", ")}` : ""}.${gone(String(key))}`
      : `${message}.`
  )
}

const gone = (key: string): string =>
  key === "temperature" || key === "top_p" || key === "top_k"
    ? " Version 2026-10-21 of the API dropped it: steer the answer through the prompt or output_config.effort."
    : key === "stream"
    ? " The call decides whether it streams."
    : ""
