/**
 * Files as blocks: images, PDFs, texts, and what was uploaded before.
 *
 * Data may be bytes, base64, a data URL, or where it lies (http, https). The one exception: the data of a text that is
 * a string is the text itself, since nobody writes a text in base64.
 */
import type {
  BetaContainerUploadBlockParam,
  BetaImageBlockParam,
  BetaRequestDocumentBlock
} from "@anthropic-ai/sdk/resources/beta/messages/messages"
import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"

/** What a file is sent as. @internal */
export type FileBlock = BetaImageBlockParam | BetaRequestDocumentBlock | BetaContainerUploadBlockParam

/** The block of a file; throws `InvalidUserInputError` where the API takes no such file. @internal */
export const fromPart = (part: Prompt.FilePart): FileBlock => {
  const mediaType = part.mediaType.split(";")[0]!.trim().toLowerCase()
  const isImage = mediaType.startsWith("image/")
  const fileId = part.options.anthropic?.fileId
  if (fileId != null) {
    const source = { type: "file", file_id: fileId } as const
    if (isImage) return { type: "image", source }
    return isDocument(mediaType) ? document(part, source) : { type: "container_upload", file_id: fileId }
  }
  if (!isImage && !isDocument(mediaType)) throw unsupported(part)
  const url = urlOf(part.data)
  if (isImage) {
    return { type: "image", source: url === undefined ? imageSource(part, mediaType) : { type: "url", url } }
  }
  if (url !== undefined) return document(part, { type: "url", url })
  return mediaType === "application/pdf"
    ? document(part, { type: "base64", media_type: mediaType, data: base64Of(part.data) })
    : document(part, { type: "text", media_type: "text/plain", data: textOf(part.data) })
}

const isDocument = (mediaType: string): boolean => mediaType === "application/pdf" || isText(mediaType)

const isText = (mediaType: string): boolean =>
  mediaType.startsWith("text/") || /^application\/(?:json|xml|yaml|x-ndjson)$|\+(?:json|xml)$/.test(mediaType)

const document = (part: Prompt.FilePart, source: BetaRequestDocumentBlock["source"]): BetaRequestDocumentBlock => {
  const { citations, documentContext, documentTitle } = part.options.anthropic ?? {}
  const title = documentTitle ?? part.fileName
  return {
    type: "document",
    source,
    ...(title == null ? undefined : { title }),
    ...(documentContext == null ? undefined : { context: documentContext }),
    ...(citations?.enabled === true ? { citations: { enabled: true } } : undefined)
  }
}

// -----------------------------------------------------------------------------
// data
// -----------------------------------------------------------------------------

type Data = Prompt.FilePart["data"]

const DATA_URL = /^data:[^,]*?(;base64)?,/i

const urlOf = (data: Data): string | undefined => {
  const url = data instanceof URL ? data.href : data
  return typeof url === "string" && /^https?:\/\//i.test(url) ? url : undefined
}

/** What a data URL holds, and whether as base64. */
const unwrap = (data: string | URL): { readonly text: string; readonly isUrl: boolean; readonly isBase64: boolean } => {
  const text = typeof data === "string" ? data : data.href
  const match = DATA_URL.exec(text)
  return match === null
    ? { text, isUrl: false, isBase64: false }
    : { text: text.slice(match[0].length), isUrl: true, isBase64: match[1] !== undefined }
}

const base64Of = (data: Data): string => {
  if (data instanceof Uint8Array) return Base64.encode(data)
  const { isBase64, isUrl, text } = unwrap(data)
  return isUrl && !isBase64 ? Base64.encode(decodeURIComponent(text)) : text
}

const textOf = (data: Data): string => {
  if (data instanceof Uint8Array) return new TextDecoder().decode(data)
  const { isBase64, isUrl, text } = unwrap(data)
  if (!isUrl) return text
  return isBase64 ? Buffer.from(text, "base64").toString("utf8") : decodeURIComponent(text)
}

type ImageType = "image/jpeg" | "image/png" | "image/gif" | "image/webp"

/** What the first bytes of an image are in base64. */
const magic: ReadonlyArray<readonly [string, ImageType]> = [
  ["/9j/", "image/jpeg"],
  ["iVBOR", "image/png"],
  ["R0lGOD", "image/gif"],
  ["UklGR", "image/webp"]
]

const imageSource = (part: Prompt.FilePart, mediaType: string) => {
  const data = base64Of(part.data)
  const known = magic.find(([, type]) => type === (mediaType === "image/jpg" ? "image/jpeg" : mediaType))
  const media_type = (known ?? magic.find(([start]) => data.startsWith(start)))?.[1]
  if (media_type === undefined) throw unsupported(part)
  return { type: "base64", media_type, data } as const
}

const unsupported = ({ fileName, mediaType }: Prompt.FilePart) =>
  new AiError.InvalidUserInputError({
    description: `The file ${fileName === undefined ? "" : `${JSON.stringify(fileName)} `}is ${mediaType}, which the ` +
      "API takes in no message. It takes JPEG, PNG, GIF and WebP images, PDFs and texts; any file that was uploaded " +
      "goes to a container by its id (options.anthropic.fileId)."
  })
