/**
 * What bytes are, by how they begin, and how large the picture in them is: no name and no header of anybody's is asked.
 */

/** The images that the API takes. @category models @since 0.2.0 */
export type ImageType = (typeof imageTypes)[number]

/** @internal */
export const imageTypes = ["image/jpeg", "image/png", "image/gif", "image/webp"] as const

/** @internal */
export interface Size {
  readonly width: number
  readonly height: number
}

/** @internal */
export const imageTypeOf = (bytes: Uint8Array): ImageType | undefined => {
  if (begins(bytes, [0xff, 0xd8, 0xff])) return "image/jpeg"
  if (begins(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return "image/png"
  if (text(bytes, 0, 6) === "GIF87a" || text(bytes, 0, 6) === "GIF89a") return "image/gif"
  return text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP" ? "image/webp" : undefined
}

/** The mark of a PDF may stand anywhere in its first kilobyte. @internal */
export const isPdf = (bytes: Uint8Array): boolean => text(bytes, 0, 1024 + 5).includes("%PDF-")

/** What bytes are that say so with their first ones. @internal */
export const of = (bytes: Uint8Array): ImageType | "application/pdf" | undefined =>
  imageTypeOf(bytes) ?? (text(bytes, 0, 5) === "%PDF-" ? "application/pdf" : undefined)

/** What other bytes most likely are, in words; nothing where they are like none of these. @internal */
export const wordFor = (bytes: Uint8Array): string | undefined => {
  if (imageTypeOf(bytes) !== undefined) return "an image"
  if (isPdf(bytes)) return "a PDF"
  if (text(bytes, 4, 8) === "ftyp") {
    return /^(?:hei|hev|mif|msf)/.test(text(bytes, 8, 11)) ? "a HEIC image" : "a video or an AVIF image"
  }
  if (text(bytes, 0, 2) === "BM") return "a BMP image"
  if (begins(bytes, [0x49, 0x49, 0x2a, 0]) || begins(bytes, [0x4d, 0x4d, 0, 0x2a])) return "a TIFF image"
  if (begins(bytes, [0x50, 0x4b, 3, 4])) return "a ZIP archive or an Office document"
  const start = text(bytes, 0, 1024)
  if (/<svg[\s>]/i.test(start)) return "an SVG image"
  return /^\s*<(?:!doctype html|html)[\s>]/i.test(start) ? "an HTML page" : undefined
}

/** How large a picture is, where its header is whole. @internal */
export const sizeOf = (bytes: Uint8Array, type: ImageType): Size | undefined => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    return sizes[type](view, bytes)
  } catch {
    // It ends within its header: the API will say what it makes of it.
    return undefined
  }
}

const sizes: Readonly<Record<ImageType, (view: DataView, bytes: Uint8Array) => Size | undefined>> = {
  "image/png": (view) => ({ width: view.getUint32(16), height: view.getUint32(20) }),
  "image/gif": (view) => ({ width: view.getUint16(6, true), height: view.getUint16(8, true) }),
  "image/jpeg": (view) => {
    let at = 2
    // Each segment tells its length, so there is nothing to search.
    while (view.getUint8(at) === 0xff) {
      const marker = view.getUint8(at + 1)
      if (marker === 0xff) at += 1
      else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2
      else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
        return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) }
      } else at += 2 + Math.max(2, view.getUint16(at + 2))
    }
    return undefined
  },
  "image/webp": (view, bytes) => {
    const form = text(bytes, 12, 16)
    if (form === "VP8X") return { width: 1 + uint24(view, 24), height: 1 + uint24(view, 27) }
    if (form === "VP8 ") return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff }
    if (form !== "VP8L") return undefined
    const bits = view.getUint32(21, true)
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) }
  }
}

const uint24 = (view: DataView, at: number): number => view.getUint16(at, true) | (view.getUint8(at + 2) << 16)

const begins = (bytes: Uint8Array, start: ReadonlyArray<number>): boolean => start.every((byte, i) => bytes[i] === byte)

const text = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, Math.max(from, to)))

// -----------------------------------------------------------------------------
// by name
// -----------------------------------------------------------------------------

const mediaTypes: Readonly<Record<string, string | undefined>> = {
  csv: "text/csv",
  docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  gif: "image/gif",
  html: "text/html",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  md: "text/markdown",
  pdf: "application/pdf",
  png: "image/png",
  txt: "text/plain",
  webp: "image/webp",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  xml: "application/xml"
}

/** As the extension of a file's name says. @internal */
export const forName = (filename: string): string => {
  const extension = /\.(\w{1,8})$/.exec(filename)?.[1]?.toLowerCase() ?? ""
  return (Object.hasOwn(mediaTypes, extension) ? mediaTypes[extension] : undefined) ?? "application/octet-stream"
}
