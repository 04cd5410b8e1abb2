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
import * as MediaType from "../files/MediaType.ts"

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
  const url = urlOf(part.data, isText(mediaType))
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

const urlOf = (data: Data, isString: boolean): string | undefined => {
  if (data instanceof Uint8Array || typeof data === "string" && isString) return undefined
  const url = String(data)
  if (/^https?:\/\//i.test(url)) return url
  if (/^[a-z][a-z\d+.-]*:\/\//i.test(url)) throw unreadable(url)
  return undefined
}

const DATA_URL = /^data:[^,]*?(;base64)?,/i

/** What a data URL holds, and how. */
const unwrap = (data: string | URL): { readonly body: string; readonly as: "given" | "base64" | "percent" } => {
  const url = String(data)
  const match = DATA_URL.exec(url)
  return match === null
    ? { body: url, as: "given" }
    : { body: url.slice(match[0].length), as: match[1] === undefined ? "percent" : "base64" }
}

const base64Of = (data: Data): string => {
  if (data instanceof Uint8Array) return Base64.encode(data)
  const { as, body } = unwrap(data)
  return as === "percent" ? Base64.encode(percentDecoded(body)) : body
}

const textOf = (data: Data): string => {
  if (data instanceof Uint8Array) return new TextDecoder().decode(data)
  const { as, body } = unwrap(data)
  if (as === "given") return body
  return new TextDecoder().decode(as === "base64" ? Buffer.from(body, "base64") : percentDecoded(body))
}

/** Any text has bytes: what is no escape stands for itself. */
const percentDecoded = (text: string): Uint8Array => {
  const bytes = Buffer.from(text)
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    const hex = bytes[at] === PERCENT ? bytes.toString("latin1", at + 1, at + 3) : ""
    const isEscape = /^[\da-f]{2}$/i.test(hex)
    bytes[length++] = isEscape ? Number.parseInt(hex, 16) : bytes[at]!
    if (isEscape) at += 2
  }
  return bytes.subarray(0, length)
}

const PERCENT = 0x25

const imageSource = (part: Prompt.FilePart, mediaType: string) => {
  const data = base64Of(part.data)
  const given = mediaType === "image/jpg" ? "image/jpeg" : mediaType
  const media_type = MediaType.imageTypes.find((type) => type === given) ??
    MediaType.imageTypeOf(Buffer.from(data.slice(0, 32), "base64"))
  if (media_type === undefined) throw unsupported(part)
  return { type: "base64", media_type, data } as const
}

const unreadable = (url: string) =>
  new AiError.InvalidUserInputError({
    // What it may carry of credentials is not told.
    description:
      `The file ${url.replace(/\/\/[^/]*@/, "//").replace(/[?#].*$/s, "").slice(0, 200)} is at a place that ` +
      "the API does not read. It reads http and https; of all else, give the bytes, or upload the file and give its " +
      "id (options.anthropic.fileId)."
  })

const unsupported = ({ fileName, mediaType }: Prompt.FilePart) =>
  new AiError.InvalidUserInputError({
    description: `The file ${fileName === undefined ? "" : `${JSON.stringify(fileName)} `}is ${mediaType}, which the ` +
      "API takes in no message. It takes JPEG, PNG, GIF and WebP images, PDFs and texts; any file that was uploaded " +
      "goes to a container by its id (options.anthropic.fileId)."
  })
