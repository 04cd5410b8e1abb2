/**
 * A document of any size, a window at a time: what is read and not yet done with, and a little of what was before it.
 *
 * It reads when more is needed than it holds, so its memory is the window and one piece of the source.
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"

/** Texts, or bytes of UTF-8, in pieces that may end anywhere. @internal */
export type Piece = string | Uint8Array

/** @internal */
export class Source<E> {
  /** What is read and kept. */
  text = ""
  /** Where in it the next chunk begins. */
  at = 0
  /** Where that is in the document, in UTF-16 units and in bytes of UTF-8. */
  chars = 0
  bytes = 0
  private isEnded = false
  private hasBytes = false
  private readonly pieces: Array<Piece> = []
  // A mark at its beginning is part of the document, as any character is.
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  private readonly read: Effect.Effect<boolean, E>

  constructor(pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Piece>, E>) {
    // Without its end, a pull's errors are the source's own.
    this.read = Pull.catchDone(
      Effect.map(pull, (pieces) => {
        // Turned round, so that each is taken off the end.
        for (let index = pieces.length - 1; index >= 0; index--) this.pieces.push(pieces[index]!)
        return true
      }),
      () => Effect.succeed(false)
    ) as Effect.Effect<boolean, E>
  }

  /** Reads until so many UTF-16 units are there from `at` on, or all there are. */
  need(units: number): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      this.decode(units)
      if (this.isEnded || this.text.length - this.at >= units) return Effect.void
      return Effect.flatMap(this.read, (isMore) => {
        if (!isMore) {
          this.isEnded = true
          this.text += this.decoder.decode()
        }
        return this.need(units)
      })
    })
  }

  /** Goes on to a later place, and keeps what is before it from a place on. */
  advance(to: number, kept: number): void {
    this.bytes += Buffer.byteLength(this.text.slice(this.at, to))
    this.chars += to - this.at
    this.text = this.text.slice(kept)
    this.at = to - kept
  }

  private decode(units: number): void {
    while (this.text.length - this.at < units) {
      const piece = this.pieces.pop()
      if (piece === undefined) return
      // No more than is needed: a chunk's text keeps all alive that it was cut from.
      const taken = Math.max(LEAST, units - (this.text.length - this.at))
      if (typeof piece === "string") {
        // What is left of bytes before it was no character.
        if (this.hasBytes) this.text += this.decoder.decode()
        this.text += piece.slice(0, taken)
        if (piece.length > taken) this.pieces.push(piece.slice(taken))
      } else {
        this.text += this.decoder.decode(piece.subarray(0, taken), { stream: true })
        if (piece.length > taken) this.pieces.push(piece.subarray(taken))
      }
      this.hasBytes = typeof piece !== "string"
    }
  }
}

/** What is worth a copy. */
const LEAST = 1024
