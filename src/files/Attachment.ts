/**
 * Images, PDFs and texts as blocks of a message, from a path, bytes, a stream, a URL, or what was uploaded before.
 *
 * What the bytes are is told by the bytes, and what the API would refuse for its size is refused here, before anything
 * is sent: a file by its constructor, a request by `fits`; `batches` makes requests that fit out of many files. Pages
 * are not counted, and a password is not noticed. The surprise: the API's 10 MB for an image are of its base64, so the
 * image itself may have 7.5; Bedrock and Vertex take half of that (`maxBytes`).
 */
import type {
  CacheControlEphemeral,
  DocumentBlockParam,
  ImageBlockParam
} from "@anthropic-ai/sdk/resources/messages/messages"
import type { FilePartEncoded } from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import type * as ClaudeError from "../ClaudeError.ts"
import { limits } from "./Fitting.ts"
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

/** A block of a message. @category models @since 0.2.0 */
export type Attachment = ImageBlockParam | DocumentBlockParam

export type { BatchOptions } from "./Fitting.ts"

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
  const known = yield* elsewhere(source)
  if (known !== undefined) return { type: "image", source: known, ...cached(options) }
  return yield* imageOf(source, yield* read("image", source, options.maxBytes ?? IMAGE_BYTES, imageAdvice), options)
})

/** A PDF, of which the model sees text and pages. @category constructors @since 0.2.0 */
export const pdf = Effect.fnUntraced(function*<const S extends Source>(
  source: S,
  options: DocumentOptions = {}
): Effect.fn.Return<DocumentBlockParam, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> {
  const known = yield* elsewhere(source)
  if (known !== undefined) return document(known, options)
  return yield* pdfOf(source, yield* read("document", source, options.maxBytes ?? PDF_BYTES, pdfAdvice), options)
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
  const known = yield* elsewhere(source)
  if (known !== undefined) return document(known, options)
  return yield* textOf(source, yield* read("document", source, options.maxBytes ?? limits.request, textAdvice), options)
})

/**
 * An image, a PDF or a text: what its bytes are, whatever its name says. `Stream.mapEffect((path) => Attachment.file(path),
 * { concurrency: 4 })` reads a folder of them; options of documents are for those.
 *
 * @category constructors
 * @since 0.2.0
 */
export const file = Effect.fnUntraced(function*<const S extends Reading.Bytes>(
  source: S,
  options: DocumentOptions = {}
): Effect.fn.Return<Attachment, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> {
  const bytes = yield* read("document", source, options.maxBytes ?? limits.request, textAdvice)
  if (MediaType.imageTypeOf(bytes) !== undefined) {
    yield* checkSize("image", source, bytes.byteLength, IMAGE_BYTES, imageAdvice)
    return yield* imageOf(source, bytes, options)
  }
  if (MediaType.of(bytes) !== "application/pdf") return yield* textOf(source, bytes, options)
  yield* checkSize("document", source, bytes.byteLength, PDF_BYTES, pdfAdvice)
  return yield* pdfOf(source, bytes, options)
})

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

export { batches, fits, limits } from "./Fitting.ts"

/**
 * An attachment as a part of a prompt of effect/ai: `{ role: "user", content: [Attachment.toPart(cat), …] }`.
 *
 * @category combinators
 * @since 0.2.0
 */
export const toPart = (attachment: Attachment, fileName?: string): FilePartEncoded => {
  const { cache_control, source } = attachment
  const isImage = attachment.type === "image"
  const { citations, context, title }: Partial<DocumentBlockParam> = isImage ? {} : attachment
  if (source.type === "content") {
    throw new RangeError("Attachment.toPart: a document of blocks is no file; expected an image, a PDF or a text")
  }
  return {
    type: "file",
    mediaType: "media_type" in source ? source.media_type : isImage ? "image/*" : "application/pdf",
    ...(fileName === undefined ? undefined : { fileName }),
    // A text goes as bytes: one that begins with https:// would be taken for where it lies.
    data: source.type === "url"
      ? new URL(source.url)
      : source.type === "file"
      ? ""
      : source.type === "text"
      ? new TextEncoder().encode(source.data)
      : source.data,
    options: {
      anthropic: {
        ...(source.type === "file" ? { fileId: source.file_id } : undefined),
        ...(cache_control == null ? undefined : {
          cacheControl: {
            type: cache_control.type,
            ...(cache_control.ttl === undefined ? undefined : { ttl: cache_control.ttl })
          }
        }),
        ...(title == null ? undefined : { documentTitle: title }),
        ...(context == null ? undefined : { documentContext: context }),
        ...(citations == null ? undefined : { citations: { enabled: citations.enabled === true } })
      }
    }
  }
}

// -----------------------------------------------------------------------------
// blocks
// -----------------------------------------------------------------------------

const IMAGE_BYTES = Math.floor(limits.imageBase64 * 3 / 4)
const PDF_BYTES = Math.floor(limits.request * 3 / 4)

const imageAdvice = "Scale it down or compress it, or upload it with Files.upload and send its id."
const pdfAdvice = "Split it, or upload it with Files.upload and send its id."
const textAdvice = "Send a part of it, or upload it with Files.upload and send its id."

const imageOf = Effect.fnUntraced(function*(
  source: Source,
  bytes: Uint8Array,
  options: ImageOptions
): Effect.fn.Return<ImageBlockParam, ClaudeError.ClaudeFatalError> {
  const { maxPixels = limits.imagePixels } = options
  yield* Reading.checkLimit("maxPixels", maxPixels)
  const media_type = MediaType.imageTypeOf(bytes)
  if (media_type === undefined) {
    const word = MediaType.wordFor(bytes)
    return yield* Reading.invalid(
      "image",
      `${nameOf(source)} is no JPEG, PNG, GIF or WebP image${word === undefined ? "" : `, but ${word}`}. Convert it` +
        `${MediaType.isPdf(bytes) ? ", or send it with Attachment.pdf." : "."}`
    )
  }
  const size = MediaType.sizeOf(bytes, media_type)
  if (size !== undefined && Math.max(size.width, size.height) > maxPixels) {
    return yield* Reading.invalid(
      "image",
      `${nameOf(source)} is ${size.width} x ${size.height} pixels, and ${maxPixels} a side are allowed. Scale it down.`
    )
  }
  return { type: "image", source: { type: "base64", media_type, data: base64(bytes) }, ...cached(options) }
})

const pdfOf = (
  source: Source,
  bytes: Uint8Array,
  options: DocumentOptions
): Effect.Effect<DocumentBlockParam, ClaudeError.ClaudeFatalError> =>
  MediaType.isPdf(bytes)
    ? Effect.succeed(document({ type: "base64", media_type: "application/pdf", data: base64(bytes) }, options))
    : Effect.fail(Reading.invalid(
      "document",
      `${nameOf(source)} is no PDF: there is no %PDF- at its beginning. Send images with Attachment.image and texts ` +
        "with Attachment.text."
    ))

const textOf = (
  source: Source,
  bytes: Uint8Array,
  options: DocumentOptions
): Effect.Effect<DocumentBlockParam, ClaudeError.ClaudeFatalError> => {
  const data = decoded(bytes)
  if (data !== undefined) return Effect.succeed(document({ type: "text", media_type: "text/plain", data }, options))
  const word = MediaType.wordFor(bytes)
  return Effect.fail(Reading.invalid(
    "document",
    `${nameOf(source)} is no text in UTF-8${word === undefined ? "" : `, but ${word}`}${
      MediaType.isPdf(bytes) ? ": send it with Attachment.pdf." : ". Convert it."
    }`
  ))
}

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

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

type Elsewhere = { readonly type: "url"; readonly url: string } | { readonly type: "file"; readonly file_id: string }

/** What the API reads from elsewhere. */
const elsewhere = (source: Source): Effect.Effect<Elsewhere | undefined, ClaudeError.ClaudeFatalError> => {
  if (typeof source !== "object" || source instanceof Uint8Array) return Effect.undefined
  if ("fileId" in source) {
    return source.fileId === ""
      ? Effect.fail(Reading.invalid("source", "fileId is empty; expected the id of a file, as Files.upload tells it."))
      : Effect.succeed({ type: "file", file_id: source.fileId })
  }
  if (!("url" in source)) return Effect.undefined
  const url = URL.parse(source.url)
  if (url !== null && /^https?:$/.test(url.protocol)) return Effect.succeed({ type: "url", url: String(source.url) })
  // A URL may hold a secret.
  const advice = url?.protocol === "file:" ? "Hand in its path: fileURLToPath(url)." : "Expected one with https://."
  return Effect.fail(
    Reading.invalid(
      "source",
      `The API cannot fetch the URL, which is ${url === null ? "none" : url.protocol}. ${advice}`
    )
  )
}

const read = <S extends Source>(
  field: string,
  source: S,
  limit: number,
  advice: string
): Effect.Effect<Uint8Array, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>> =>
  Reading.checkLimit("maxBytes", limit).pipe(
    // What lies elsewhere was answered already.
    Effect.andThen(Reading.readAll(
      source as S & Reading.Bytes,
      limit,
      (bytes, isAll) => tooLarge(field, source, isAll ? `${bytes}` : `at least ${bytes}`, limit, advice)
    )),
    Effect.filterOrFail(
      (bytes) => bytes.byteLength > 0,
      () => Reading.invalid(field, `${nameOf(source)} is empty. Send a file with something in it.`)
    )
  ) as Effect.Effect<Uint8Array, ClaudeError.ClaudeFatalError | SourceError<S>, SourceServices<S>>

const checkSize = (field: string, source: Source, bytes: number, limit: number, advice: string) =>
  bytes <= limit ? Effect.void : Effect.fail(tooLarge(field, source, `${bytes}`, limit, advice))

const tooLarge = (field: string, source: Source, bytes: string, limit: number, advice: string) =>
  Reading.invalid(field, `${nameOf(source)} has ${bytes} bytes, and ${limit} are allowed. ${advice}`)

const nameOf = (source: Source): string =>
  typeof source === "string" ? JSON.stringify(source) : source instanceof Uint8Array ? "The file" : "The stream"
