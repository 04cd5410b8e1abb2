/**
 * What can go wrong with prompts: where they are kept, what they say, and what is asked of them.
 *
 * A message names the file (or store), the prompt and the key, and the line where a file tells it. It never holds the
 * text of a prompt or a value that was inserted.
 */
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// reasons
// -----------------------------------------------------------------------------

/** A file, a directory or a store could not be read, or not be written. @category reasons @since 0.2.0 */
export class Unavailable extends Schema.TaggedClass<Unavailable>("effect-claude/prompts/Unavailable")(
  "Unavailable",
  {}
) {}

/** No YAML, no JSON, or not in the form that prompts have: a wrong type, an unknown key, a bad weight. @category reasons @since 0.2.0 */
export class Malformed extends Schema.TaggedClass<Malformed>("effect-claude/prompts/Malformed")("Malformed", {}) {}

/** A template inserts what its definition has no variable for. @category reasons @since 0.2.0 */
export class UnknownVariable extends Schema.TaggedClass<UnknownVariable>("effect-claude/prompts/UnknownVariable")(
  "UnknownVariable",
  { variable: Schema.String }
) {}

/** @category reasons @since 0.2.0 */
export class MissingPrompt
  extends Schema.TaggedClass<MissingPrompt>("effect-claude/prompts/MissingPrompt")("MissingPrompt", {})
{}

/** @category reasons @since 0.2.0 */
export class MissingVersion
  extends Schema.TaggedClass<MissingVersion>("effect-claude/prompts/MissingVersion")("MissingVersion", {})
{}

/** A prompt is in two files, or a version is published already and says something else. @category reasons @since 0.2.0 */
export class Duplicate extends Schema.TaggedClass<Duplicate>("effect-claude/prompts/Duplicate")("Duplicate", {}) {}

/** A value does not fit the variables, or leaves a text empty. @category reasons @since 0.2.0 */
export class InvalidValue
  extends Schema.TaggedClass<InvalidValue>("effect-claude/prompts/InvalidValue")("InvalidValue", {
    variable: Schema.optionalKey(Schema.String)
  })
{}

/** There is no earlier release to go back to. @category reasons @since 0.2.0 */
export class NoEarlierRelease
  extends Schema.TaggedClass<NoEarlierRelease>("effect-claude/prompts/NoEarlierRelease")("NoEarlierRelease", {})
{}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** Every failure of prompts. @category errors @since 0.2.0 */
export class PromptError extends Schema.TaggedError<PromptError>()("PromptError", {
  reason: Schema.Union([
    Unavailable,
    Malformed,
    UnknownVariable,
    MissingPrompt,
    MissingVersion,
    Duplicate,
    InvalidValue,
    NoEarlierRelease
  ]),
  /** What happened, where, and what to do. */
  message: Schema.String,
  /** The file, or the store. */
  source: Schema.optionalKey(Schema.String),
  prompt: Schema.optionalKey(Schema.String),
  version: Schema.optionalKey(Schema.String),
  /** Where in the source: `versions.3.messages[0].content`. */
  key: Schema.optionalKey(Schema.String),
  /** From 1. */
  line: Schema.optionalKey(Schema.Int)
}) {}
