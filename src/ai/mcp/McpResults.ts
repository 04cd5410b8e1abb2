/**
 * What an MCP tool answered, as the model is shown it: texts, images and PDFs as such, and a word for all else.
 *
 * The surprise: what the API would refuse (a picture that is too large, bytes that are not what they are said to be) is
 * told in words as well. It would stay in the conversation, and every call after it would fail.
 */
import type * as McpSchema from "effect/ai/McpSchema"
import * as Prompt from "effect/ai/Prompt"
import { limits } from "../../files/Attachment.ts"
import * as MediaType from "../../files/MediaType.ts"

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** The parts of a result, with so many characters of text at most. @internal */
export const parts = (
  { content, structuredContent }: McpSchema.CallToolResult,
  maxCharacters: number
): ReadonlyArray<Prompt.ToolModelOutputPart> => {
  const found: Array<Prompt.ToolModelOutputPart> = []
  let left = maxCharacters
  let omitted = 0
  const add = (part: Prompt.ToolModelOutputPart) => {
    if (part.type !== "text") return void found.push(part)
    const text = part.text.slice(0, left).toWellFormed()
    left -= text.length
    omitted += part.text.length - text.length
    // The API takes no text without a character that one can see.
    if (text.trim() !== "") found.push(Prompt.makePart("text", { text }))
  }
  content.forEach((block) => add(partOf(block)))
  if (content.length === 0 && structuredContent !== undefined) add(textPart(JSON.stringify(structuredContent)))
  if (omitted > 0) found.push(textPart(`[${omitted} more characters are left out]`))
  return found.length > 0 ? found : [textPart("[no output]")]
}

/** The same in words alone. @internal */
export const text = (result: McpSchema.CallToolResult, maxCharacters: number): string =>
  Prompt.toolModelOutputToText(parts(result, maxCharacters))

// -----------------------------------------------------------------------------
// blocks
// -----------------------------------------------------------------------------

const partOf = (block: McpSchema.ContentBlock): Prompt.ToolModelOutputPart => {
  switch (block.type) {
    case "text":
      return textPart(block.text)
    case "image":
    case "audio":
      return bytesPart(block.data, block.mimeType)
    case "resource_link": {
      const description = block.description === undefined ? "" : `\n${block.description}`
      return textPart(`${block.title ?? block.name}: ${block.uri}${description}`)
    }
    case "resource": {
      const { resource } = block
      if ("text" in resource) return textPart(resource.text)
      return bytesPart(resource.blob, resource.mimeType ?? "application/octet-stream", resource.uri)
    }
  }
}

const bytesPart = (bytes: Uint8Array, mediaType: string, uri?: string): Prompt.ToolModelOutputPart => {
  const where = uri === undefined ? "" : ` ${uri}`
  const refused = (why: string) => textPart(`[${mediaType}${where}, ${bytes.byteLength} bytes: ${why}]`)
  const image = MediaType.imageTypeOf(bytes)
  if (image !== undefined) {
    if (Math.ceil(bytes.byteLength / 3) * 4 > limits.imageBase64) return refused("too large to be shown")
    const { height, width } = MediaType.sizeOf(bytes, image) ?? { height: 0, width: 0 }
    return Math.max(height, width) > limits.imagePixels
      ? refused(`too large to be shown, ${width} x ${height} pixels`)
      : Prompt.makePart("file", { mediaType: image, data: bytes })
  }
  if (MediaType.isPdf(bytes)) return Prompt.makePart("file", { mediaType: "application/pdf", data: bytes })
  return mediaType.startsWith("text/") ? textPart(new TextDecoder().decode(bytes)) : refused("cannot be shown")
}

const textPart = (text: string) => Prompt.makePart("text", { text })
