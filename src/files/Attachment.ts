/**
 * Images, PDFs and texts as blocks of a message, from a path, bytes, a stream, a URL, or what was uploaded before.
 *
 * What the bytes are is told by the bytes, and what the API would refuse for its size is refused here, before anything
 * is sent. The surprise: the API's 5 MB for an image are of its base64, so the image itself may have 3.75.
 */
import type {
  CacheControlEphemeral,
  DocumentBlockParam,
  ImageBlockParam
} from "@anthropic-ai/sdk/resources/messages/messages"
import * as Effect from "effect/Effect"
import type { MessageRequest } from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as MediaType from "./MediaType.ts"
import * as Reading from "./Reading.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A path, bytes, a stream of bytes, where it lies on the web, or the id of an uploaded file. @category models @since 0.2.0 */
export type Source = Reading.Bytes | { readonly url: string | URL } | { readonly fileId: string }

/** What reading a source may fail with. @category models @since 0.2.0 */
export type SourceError<S> = Reading.Error<S>

/** What reading a source needs: a path needs a FileSystem. @category models @since 0.2.0 */
export type SourceServices<S> = Reading.Services<S>

/** What the API takes at most; other platforms may take less. @category models @since 0.2.0 */
export const limits = {
  /** Of an image in base64. */
  imageBase64: 5 * 1024 * 1024,
  /** Of either side of an image. */
  imagePixels: 8_000,
  /** Of a request, all of it. */
  request: 32 * 1024 * 1024
} as const

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface AttachmentOptions {
  readonly cache_control?: CacheControlEphemeral | undefined
  /** Bytes of the file itself. @default what the API takes */
  readonly maxBytes?: number | undefined
}

/** @category options @since 0.2.0 */
export interface ImageOptions extends AttachmentOptions {
  /** Of either side. @default 8000 */
  readonly maxPixels?: number | undefined
}

/** @category options @since 0.2.0 */
export interface DocumentOptions extends AttachmentOptions {
  readonly title?: string | undefined
  /** What the model is told of it, and does not cite. */
  readonly context?: string | undefined
  /** Whether answers say which part of it they rest on. @default false */
  readonly citations?: boolean | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** A JPEG, PNG, GIF or WebP image. @category constructors @since 0.2.0 */
export const image = Effect.fnUntraced(function*<const S extends Source>(
  source: S,
  options: ImageOptions = {}
): Effect.fn.Return<ImageBlockParam, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> {
  const block = (source: ImageBlockParam["source"]): ImageBlockParam => ({ type: "image", source, ...cached(options) })
  const known = elsewhere(source)
  if (known !== undefined) return block(known)
  const bytes = yield* read("image", source, options.maxBytes ?? Math.floor(limits.imageBase64 * 3 / 4), imageAdvice)
  const media_type = MediaType.imageTypeOf(bytes)
  if (media_type === undefined) {
    return yield* invalid(
      "image",
      `${nameOf(source)} is no JPEG, PNG, GIF or WebP image, but ${MediaType.wordFor(bytes)}. Convert it` +
        `${MediaType.isPdf(bytes) ? ", or send it with Attachment.pdf." : "."}`
    )
  }
  const size = MediaType.sizeOf(bytes, media_type)
  const { maxPixels = limits.imagePixels } = options
  if (size !== undefined && Math.max(size.width, size.height) > maxPixels) {
    return yield* invalid(
      "image",
      `${nameOf(source)} is ${size.width} x ${size.height} pixels, and ${maxPixels} a side are allowed. Scale it down.`
    )
  }
  return block({ type: "base64", media_type, data: base64(bytes) })
})

/** A PDF, of which the model sees text and pages. @category constructors @since 0.2.0 */
export const pdf = Effect.fnUntraced(function*<const S extends Source>(
  source: S,
  options: DocumentOptions = {}
): Effect.fn.Return<DocumentBlockParam, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> {
  const known = elsewhere(source)
  if (known !== undefined) return document(known, options)
  const bytes = yield* read("document", source, options.maxBytes ?? Math.floor(limits.request * 3 / 4), pdfAdvice)
  if (!MediaType.isPdf(bytes)) {
    return yield* invalid(
      "document",
      `${nameOf(source)} is no PDF: there is no %PDF- at its beginning. Send images with Attachment.image and texts ` +
        "with Attachment.text."
    )
  }
  return document({ type: "base64", media_type: "application/pdf", data: base64(bytes) }, options)
})

/**
 * A text in UTF-8, as a document; a short one may as well stand in the prompt. What lies elsewhere on the web must be
 * read first: the API fetches PDFs only.
 *
 * @category constructors
 * @since 0.2.0
 */
export const text = Effect.fnUntraced(function*<const S extends Reading.Bytes | { readonly fileId: string }>(
  source: S,
  options: DocumentOptions = {}
): Effect.fn.Return<DocumentBlockParam, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> {
  const known = elsewhere(source)
  if (known !== undefined) return document(known, options)
  const bytes = yield* read("document", source, options.maxBytes ?? limits.request, textAdvice)
  const data = decoded(bytes)
  if (data === undefined) {
    return yield* invalid(
      "document",
      `${nameOf(source)} is no text in UTF-8${
        MediaType.isPdf(bytes) ? " but a PDF: send it with Attachment.pdf." : ". Convert it."
      }`
    )
  }
  return document({ type: "text", media_type: "text/plain", data }, options)
})

const imageAdvice = "Scale it down or compress it, or upload it with Files.upload and send its id."
const pdfAdvice = "Split it, or upload it with Files.upload and send its id."
const textAdvice = "Send a part of it, or upload it with Files.upload and send its id."

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/**
 * Refuses a request that is larger as a whole than the API takes: `pipe(request, Attachment.fits, Effect.flatMap(Claude.text))`.
 *
 * @category combinators
 * @since 0.2.0
 */
export const fits = (request: MessageRequest): Effect.Effect<MessageRequest, ClaudeError.ClaudeFatalError> =>
  Effect.suspend(() => {
    const bytes = sizeOfRequest(request)
    return bytes <= limits.request ? Effect.succeed(request) : Failure.fatal(
      new ClaudeError.RequestTooLarge({}),
      `The request has ${bytes} bytes, and the API takes ${limits.request}. Send fewer or smaller files, or upload them ` +
        "with Files.upload and send their ids.",
      { type: "request_too_large" }
    )
  })

/** The bytes of a request as it is sent, without making that. @internal */
export const sizeOfRequest = (request: MessageRequest): number => {
  let bytes = 0
  const rest = JSON.stringify(request, (key, value: unknown) => {
    // Base64 is as long as it is, and by far the most.
    if (key !== "data" || typeof value !== "string" || value.length < 1024 || !isBase64(value)) return value
    bytes += value.length
    return ""
  })
  return bytes + Buffer.byteLength(rest)
}

const isBase64 = (text: string): boolean => /^[A-Za-z0-9+/]+={0,2}$/.test(text)

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** What the API reads from elsewhere. */
const elsewhere = (source: Source): { type: "url"; url: string } | { type: "file"; file_id: string } | undefined => {
  if (typeof source !== "object" || source instanceof Uint8Array) return undefined
  if ("fileId" in source) return { type: "file", file_id: source.fileId }
  return "url" in source ? { type: "url", url: String(source.url) } : undefined
}

const read = <S extends Source>(
  field: string,
  source: S,
  limit: number,
  advice: string
): Effect.Effect<Uint8Array, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> =>
  // What lies elsewhere was answered already.
  Reading.readAll(source as S & Reading.Bytes, limit, (bytes, isAll) =>
    invalid(
      field,
      `${nameOf(source)} has ${isAll ? "" : "at least "}${bytes} bytes, and ${limit} are allowed. ${advice}`
    )).pipe(
      Effect.filterOrFail(
        (bytes) => bytes.byteLength > 0,
        () => invalid(field, `${nameOf(source)} is empty. Send a file with something in it.`)
      )
    ) as Effect.Effect<Uint8Array, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>>

const nameOf = (source: Source): string => typeof source === "string" ? JSON.stringify(source) : `The ${wordOf(source)}`

const wordOf = (source: Source): string => source instanceof Uint8Array ? "file" : "stream"

const document = (source: DocumentBlockParam["source"], options: DocumentOptions): DocumentBlockParam => ({
  type: "document",
  source,
  ...(options.title === undefined ? undefined : { title: options.title }),
  ...(options.context === undefined ? undefined : { context: options.context }),
  ...(options.citations === undefined ? undefined : { citations: { enabled: options.citations } }),
  ...cached(options)
})

const cached = ({ cache_control }: AttachmentOptions) => cache_control === undefined ? undefined : { cache_control }

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

const decoded = (bytes: Uint8Array): string | undefined => {
  if (bytes.includes(0)) return undefined
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const invalid = (field: string, message: string): ClaudeError.ClaudeFatalError =>
  Failure.fatal(new ClaudeError.InvalidRequest({ field }), message, { type: "invalid_request_error" })
