/**
 * What fits into one request: all of its bytes, and its images, of which many may each be smaller only.
 */
import type { DocumentBlockParam, ImageBlockParam } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { MessageRequest } from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import * as MediaType from "./MediaType.ts"
import * as Reading from "./Reading.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What the API takes at most; other platforms take less, and models with a window of 200 000 tokens 100 images. @category models @since 0.2.0 */
export const limits = {
  /** Of an image in base64. */
  imageBase64: 10 * 1024 * 1024,
  /** Of either side of an image. */
  imagePixels: 8_000,
  /** A request with more images than this is one of many. */
  fewImages: 20,
  /** Of either side of each of many images. */
  manyImagesPixels: 2_000,
  /** Of a request. */
  images: 600,
  /** Of a request, all of it. */
  request: 32 * 1024 * 1024
} as const

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface BatchOptions {
  /** Files of a request. @default 20, so that images may be of any size that the API takes */
  readonly maxFiles?: number | undefined
  /** Bytes of all files of a request, as they are sent. @default 31 MB, which leaves one for the rest of it */
  readonly maxBytes?: number | undefined
}

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
    const images: Array<ImageBlockParam> = []
    const bytes = measure(request, (image) => images.push(image))
    if (bytes > limits.request) {
      return Failure.fatal(
        new ClaudeError.RequestTooLarge({}),
        `The request has ${bytes} bytes, and the API takes ${limits.request}. Send fewer or smaller files, or upload ` +
          "them with Files.upload and send their ids.",
        { type: "request_too_large" }
      )
    }
    if (images.length > limits.images) {
      return Reading.invalid(
        "messages",
        `The request has ${images.length} images, and the API takes ${limits.images}. Send them in several: Attachment.batches.`
      )
    }
    if (images.length <= limits.fewImages) return Effect.succeed(request)
    for (const [i, { source }] of images.entries()) {
      const size = source.type === "base64" ? sizeOf(source.data) : undefined
      if (size === undefined || Math.max(size.width, size.height) <= limits.manyImagesPixels) continue
      return Reading.invalid(
        "messages",
        `Image ${i + 1} of ${images.length} is ${size.width} x ${size.height} pixels, and a request with more than ` +
          `${limits.fewImages} images takes ${limits.manyImagesPixels} a side. Scale it down, or send them in several: ` +
          "Attachment.batches."
      )
    }
    return Effect.succeed(request)
  })

/**
 * Puts files together that fit into one request, in order and without waiting for more than that: so any number of them
 * passes in bounded memory. `files.pipe(Attachment.batches(), Stream.mapEffect(ask, { concurrency: 2 }))`.
 *
 * @throws RangeError when a limit is no whole number from 1.
 * @category combinators
 * @since 0.2.0
 */
export const batches = ({ maxBytes = limits.request - 2 ** 20, maxFiles = limits.fewImages }: BatchOptions = {}) => {
  for (const [name, limit] of [["maxBytes", maxBytes], ["maxFiles", maxFiles]] as const) {
    if (Number.isSafeInteger(limit) && limit >= 1) continue
    throw new RangeError(`Attachment.batches: ${name} is ${String(limit)}; expected a whole number from 1`)
  }
  return <A extends ImageBlockParam | DocumentBlockParam, E, R>(
    self: Stream.Stream<A, E, R>
  ): Stream.Stream<Arr.NonEmptyReadonlyArray<A>, E, R> =>
    Stream.mapAccum(
      self,
      (): Batch<A> => ({ files: [], bytes: 0 }),
      (batch, file) => {
        // And a comma.
        const bytes = measure(file) + 1
        const isFull = batch.files.length >= maxFiles || batch.bytes + bytes > maxBytes
        return isFull && Arr.isReadonlyArrayNonEmpty(batch.files)
          ? [{ files: [file], bytes }, [batch.files]]
          : [{ files: [...batch.files, file], bytes: batch.bytes + bytes }, []]
      },
      { onHalt: ({ files }) => Arr.isReadonlyArrayNonEmpty(files) ? [files] : [] }
    )
}

interface Batch<A> {
  readonly files: ReadonlyArray<A>
  readonly bytes: number
}

// -----------------------------------------------------------------------------
// measuring
// -----------------------------------------------------------------------------

/** The bytes of a value as it is sent, without making that. */
const measure = (value: object, onImage: (image: ImageBlockParam) => void = () => {}): number => {
  let bytes = 0
  const rest = JSON.stringify(value, (key, value: unknown) => {
    if (isImage(value)) onImage(value)
    // Base64 is as long as it is, and by far the most.
    if (key !== "data" || typeof value !== "string" || value.length < 1024 || !isBase64(value)) return value
    bytes += value.length
    return ""
  })
  return bytes + Buffer.byteLength(rest)
}

const isBase64 = (text: string): boolean => /^[A-Za-z0-9+/]+={0,2}$/.test(text)

const isImage = (value: unknown): value is ImageBlockParam =>
  typeof value === "object" && value !== null && "type" in value && value.type === "image" &&
  "source" in value && typeof value.source === "object" && value.source !== null

/** By as much of an image as holds its header. */
const sizeOf = (data: string): MediaType.Size | undefined => {
  const bytes = Buffer.from(data.slice(0, 2 ** 20), "base64")
  const type = MediaType.imageTypeOf(bytes)
  return type === undefined ? undefined : MediaType.sizeOf(bytes, type)
}
