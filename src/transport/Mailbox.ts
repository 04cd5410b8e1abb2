/**
 * The exchange between a producer of bytes (a socket, a reader, a script) and the fiber that pulls them.
 *
 * The producer pushes when it has something; the fiber is resumed in the same turn. When nobody pulls, bytes wait
 * here, and past a bound the producer is asked to pause.
 */
import * as Effect from "effect/Effect"
import type { ClaudeError } from "../ClaudeError.ts"
import type { Exchange, ResponseHead } from "./Transport.ts"

/** Past this many bytes the producer is paused: more than one read, less than what 1 000 idle streams would cost. */
const HIGH_WATER_BYTES = 128 * 1024

/** How long a completed body may take to end before its connection is given up. */
const DRAIN_MILLIS = 100

/** What the producer does when told. @internal */
export interface Producer {
  readonly pause: () => void
  readonly resume: () => void
  /** Closes the socket. Called at most once, and never after the body has ended. */
  readonly abort: () => void
}

type Read = Effect.Effect<ReadonlyArray<Uint8Array>, ClaudeError>

const endOfBody: Read = Effect.succeed([])

/** @internal */
export class Mailbox implements Exchange {
  /** The head of a response that was an error. */
  refusal: ResponseHead | undefined
  private producer: Producer | undefined
  private head: ResponseHead | undefined
  private error: ClaudeError | undefined
  private ended = false
  private aborted = false
  private draining = false
  private drainTimer: NodeJS.Timeout | undefined
  private paused = false
  private chunks: Array<Uint8Array> = []
  private bytes = 0
  private onHead: ((effect: Effect.Effect<ResponseHead, ClaudeError>) => void) | undefined
  private onRead: ((effect: Read) => void) | undefined

  readonly response: Effect.Effect<ResponseHead, ClaudeError> = Effect.callback((resume) => {
    if (this.error !== undefined) resume(Effect.fail(this.error))
    else if (this.head !== undefined) resume(Effect.succeed(this.head))
    else this.onHead = resume
  })

  readonly pull: Read = Effect.callback((resume) => {
    if (this.chunks.length > 0 || this.error !== undefined || this.ended) resume(this.taken)
    else this.onRead = resume
  })

  /** What there is, taken by the fiber when it runs: a read that was given up takes nothing with it. */
  private readonly taken: Read = Effect.suspend(() => {
    if (this.chunks.length > 0) return Effect.succeed(this.take())
    if (this.error !== undefined) return Effect.fail(this.error)
    return this.ended ? endOfBody : this.pull
  })

  /** Names the producer; one that comes after the end is aborted at once. */
  attach(producer: Producer): void {
    this.producer = producer
    if (this.aborted) producer.abort()
  }

  respond(head: ResponseHead): void {
    this.head ??= head
    const resume = this.onHead
    this.onHead = undefined
    resume?.(Effect.succeed(head))
  }

  push(chunk: Uint8Array): void {
    if (this.aborted || this.draining) return
    this.chunks.push(chunk)
    this.bytes += chunk.length
    this.wake()
    if (this.bytes > HIGH_WATER_BYTES && !this.paused) {
      this.paused = true
      this.producer?.pause()
    }
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    clearTimeout(this.drainTimer)
    this.wake()
  }

  fail(error: ClaudeError): void {
    if (this.ended || this.error !== undefined) return
    this.error = error
    this.abort()
    // What arrived before the failure is still there to be pulled.
    this.wake()
    const resume = this.onHead
    this.onHead = undefined
    resume?.(Effect.fail(error))
  }

  complete(): void {
    if (this.ended || this.aborted) return
    this.draining = true
    this.chunks = []
    if (this.paused) this.producer?.resume()
    this.drainTimer = setTimeout(() => this.abort(), DRAIN_MILLIS).unref()
  }

  /** With the scope: an exchange that is neither ended nor complete closes its socket. */
  close(): void {
    this.chunks = []
    if (!this.draining) this.abort()
  }

  private wake(): void {
    const resume = this.onRead
    this.onRead = undefined
    resume?.(this.taken)
  }

  private abort(): void {
    if (this.ended || this.aborted) return
    this.aborted = true
    this.producer?.abort()
  }

  private take(): ReadonlyArray<Uint8Array> {
    const chunks = this.chunks
    this.chunks = []
    this.bytes = 0
    if (this.paused) {
      this.paused = false
      this.producer?.resume()
    }
    return chunks
  }
}
