/**
 * Server-sent events, from bytes to the `data` of each event, wherever the network cut the bytes.
 *
 * Bytes are decoded up to the last line break of a read, so no character is ever split, and a long event that
 * arrives in many reads is scanned once. Comments, `id`, `retry` and event names are passed over: every event of the
 * Messages API names its type inside its data.
 */

import { MAX_BYTES } from "./Body.ts"

const LF = 10
const CR = 13
const SPACE = 32
const COLON = 58
const D = 100

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * A stateful decoder that calls `onData` once for each event that has data.
 *
 * @internal
 */
export class SseDecoder {
  /** How many bytes have been taken in. */
  offset = 0

  private readonly onData: (data: string) => void
  private pending: Array<Buffer> = []
  private pendingBytes = 0
  private data: string | undefined
  private afterCR = false
  private atStart = true

  constructor(onData: (data: string) => void) {
    this.onData = onData
  }

  /** Takes one read. Answers false when an event grew past any sense. */
  push(bytes: Uint8Array): boolean {
    this.offset += bytes.length
    const chunk = this.afterCR || bytes.includes(CR) ? this.withoutCR(bytes) : asBuffer(bytes)
    const end = chunk.lastIndexOf(LF) + 1
    if (end === 0) {
      this.pendingBytes += chunk.length
      this.pending.push(chunk)
      return this.pendingBytes <= MAX_BYTES
    }
    let from = 0
    if (this.pending.length > 0) {
      // Only the line that was cut is put together; the rest is decoded where it lies.
      from = chunk.indexOf(LF) + 1
      this.pending.push(chunk.subarray(0, from))
      this.lines(this.withoutBOM(Buffer.concat(this.pending).toString("utf8")))
      this.pending = []
      this.pendingBytes = 0
    }
    if (end < chunk.length) {
      this.pending.push(chunk.subarray(end))
      this.pendingBytes = chunk.length - end
    }
    if (from < end) this.lines(this.withoutBOM(chunk.toString("utf8", from, end)))
    return this.data === undefined || this.data.length <= MAX_BYTES
  }

  private withoutBOM(text: string): string {
    if (!this.atStart) return text
    this.atStart = false
    return text.charCodeAt(0) === 0xFEFF ? text.slice(1) : text
  }

  private lines(text: string): void {
    const { length } = text
    let from = 0
    while (from < length) {
      const end = text.indexOf("\n", from)
      const first = text.charCodeAt(from)
      if (first === LF) {
        if (this.data !== undefined) {
          const data = this.data
          this.data = undefined
          this.onData(data)
        }
      } else if (first === D && text.startsWith("data", from)) {
        const colon = text.charCodeAt(from + 4)
        if (colon === COLON) {
          const value = text.slice(text.charCodeAt(from + 5) === SPACE ? from + 6 : from + 5, end)
          if (this.data === undefined && text.charCodeAt(end + 1) === LF) {
            // One line of data and the end of its event: what the API sends.
            this.onData(value)
            from = end + 2
            continue
          }
          this.data = this.data === undefined ? value : `${this.data}\n${value}`
        } else if (colon === LF) {
          this.data = this.data === undefined ? "" : `${this.data}\n`
        }
      }
      from = end + 1
    }
  }

  /** CRLF and lone CR end lines as well; a CRLF may be cut in two. JSON never holds a raw CR, so none is lost. */
  private withoutCR(bytes: Uint8Array): Buffer {
    const out = Buffer.allocUnsafe(bytes.length)
    let length = 0
    for (const byte of bytes) {
      if (byte === CR) {
        out[length++] = LF
        this.afterCR = true
      } else {
        if (byte !== LF || !this.afterCR) out[length++] = byte
        this.afterCR = false
      }
    }
    return out.subarray(0, length)
  }
}
