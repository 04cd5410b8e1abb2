/** A whole body, as long as it is of a sensible length: what a JSON answer is read into. */

/** Nothing that the API answers comes near this. @internal */
export const MAX_BYTES = 64 * 1024 * 1024

/** @internal */
export class Body {
  length = 0
  private chunks: Array<Uint8Array> = []

  /** Takes one read. Answers false when the body grew past any sense. */
  push(bytes: ReadonlyArray<Uint8Array>): boolean {
    for (const chunk of bytes) {
      this.length += chunk.length
      this.chunks.push(chunk)
    }
    if (this.length <= MAX_BYTES) return true
    this.chunks = []
    return false
  }

  /** Throws `SyntaxError` where it is no JSON. */
  json(): unknown {
    return JSON.parse(Buffer.concat(this.chunks).toString("utf8"))
  }
}
