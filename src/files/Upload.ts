/**
 * What is uploaded: a form around a file, checked before any of it is sent, and read as it is sent.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as MediaType from "./MediaType.ts"
import * as Multipart from "./Multipart.ts"
import * as Reading from "./Reading.ts"
import * as Requests from "./Requests.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @internal */
export interface Upload<E, R> {
  readonly form: Multipart.Multipart<E, R>
  /** Whether all of it can be sent again. */
  readonly isWhole: () => boolean
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface UploadOptions {
  /** @default the last part of the path, else "unnamed" */
  readonly filename?: string | undefined
  /**
   * A text that is to be a document must be "text/plain".
   *
   * @default what a path or bytes begin with (an image, a PDF), else as the filename's extension says
   */
  readonly mediaType?: string | undefined
  /**
   * Whether a stream has all its bytes each time it is run: one that has not is sent once, whatever comes of that.
   *
   * @default false
   */
  readonly repeatable?: boolean | undefined
  /** When the API deletes it: from an hour to ninety days. @default never */
  readonly expiresIn?: Duration.Input | undefined
  /** @default 500 MB, which is what the API takes */
  readonly maxBytes?: number | undefined
}

const MAX_BYTES = 500 * 1024 * 1024

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const make = Effect.fnUntraced(function*<const S extends Reading.Bytes>(
  source: S,
  options: UploadOptions
): Effect.fn.Return<
  Upload<ClaudeError.ClaudeFatalError | Reading.Error<S>, Reading.Services<S>>,
  ClaudeError.ClaudeFatalError | Reading.Error<S>,
  Reading.Services<S>
> {
  const { maxBytes = MAX_BYTES } = options
  yield* Reading.checkLimit("maxBytes", maxBytes)
  const filename = options.filename ?? (typeof source === "string" ? source.split(/[\\/]/).at(-1)! : "unnamed")
  if (filename.length > 255 || /[<>:"|?*\p{Cc}]/u.test(filename)) {
    return yield* Reading.invalid(
      "filename",
      `filename is ${
        JSON.stringify(filename.slice(0, 300))
      }; expected at most 255 characters, without < > : " | ? * and ` +
        "line breaks. Set filename."
    )
  }
  if (options.mediaType !== undefined && !/^[\w.+-]+\/[\w.+-]+(?:;[\x20-\x7e]*)?$/.test(options.mediaType)) {
    return yield* Reading.invalid(
      "mediaType",
      `mediaType is ${JSON.stringify(options.mediaType)}; expected one such as text/csv.`
    )
  }
  const expires = options.expiresIn === undefined
    ? undefined
    : Math.round(Duration.toSeconds(yield* Requests.duration("expiresIn", options.expiresIn)))
  if (expires !== undefined && (expires < 3_600 || expires > 7_776_000)) {
    return yield* Reading.invalid(
      "expiresIn",
      `expiresIn is ${expires} seconds; expected from an hour to ninety days.`
    )
  }
  const size = yield* Reading.sizeOf(source)
  if (size !== undefined && size > maxBytes) return yield* tooLarge(filename, size, maxBytes)
  const mediaType = options.mediaType ?? MediaType.of(yield* Reading.beginning(source)) ?? MediaType.forName(filename)
  let wasRead = false
  const bytes = Stream.suspend(() => {
    wasRead = true
    let sent = 0
    return Stream.mapArrayEffect(Reading.toStream(source, size), (chunks) => {
      for (const { byteLength } of chunks) sent += byteLength
      return sent > maxBytes ? Effect.fail(tooLarge(filename, sent, maxBytes)) : Effect.succeed(chunks)
    }).pipe(
      Stream.concat(
        Stream.suspend(() =>
          size === undefined || sent === size ? Stream.empty : Stream.fail(shrunk(filename, sent, size))
        )
      )
    )
  })
  const form = Multipart.make({
    fields: expires === undefined ? {} : { expires_in_seconds: String(expires) },
    filename,
    mediaType,
    size,
    bytes
  })
  const isRepeatable = options.repeatable === true || typeof source === "string" || source instanceof Uint8Array
  return { form, isWhole: () => isRepeatable || !wasRead }
})

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const tooLarge = (filename: string, bytes: number, limit: number): ClaudeError.ClaudeFatalError =>
  Failure.fatal(
    new ClaudeError.RequestTooLarge({}),
    `${
      JSON.stringify(filename)
    } has ${bytes} bytes or more, and ${limit} are allowed. Split it, or upload a part of it.`,
    { type: "request_too_large" }
  )

const shrunk = (filename: string, bytes: number, size: number): ClaudeError.ClaudeFatalError =>
  Reading.invalid(
    "source",
    `${JSON.stringify(filename)} has changed while it was read: ${bytes} of its ${size} bytes were there. Upload it ` +
      "again when nobody writes to it."
  )
