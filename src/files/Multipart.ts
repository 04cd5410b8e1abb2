/**
 * A file as the body of a form, sent while it is read: the SDK's own forms hold all of it in memory first.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"

/** @internal */
export interface Multipart<E, R> {
  readonly contentType: string
  /** Bytes of the whole body, where the file's are known. */
  readonly length: number | undefined
  readonly body: Stream.Stream<Uint8Array, E, R>
}

/** @internal */
export const make = <E, R>(options: {
  readonly fields: Readonly<Record<string, string>>
  /** Without quotes and line breaks. */
  readonly filename: string
  readonly mediaType: string
  readonly size: number | undefined
  readonly bytes: Stream.Stream<Uint8Array, E, R>
}): Multipart<E, R> => {
  // Nobody who wrote the file knows it, so nothing in the file can end the form.
  const boundary = `effect-claude-${randomUUID()}`
  const fields = Object.entries(options.fields).map(([name, value]) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  )
  const head = encoder.encode(
    `${fields.join("")}--${boundary}\r\nContent-Disposition: form-data; name="file"; ` +
      `filename="${options.filename}"\r\nContent-Type: ${options.mediaType}\r\n\r\n`
  )
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`)
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    length: options.size === undefined ? undefined : head.byteLength + options.size + tail.byteLength,
    body: Stream.make(head).pipe(Stream.concat(options.bytes), Stream.concat(Stream.make(tail)))
  }
}

/**
 * A stream as `fetch` reads one: no faster than it is sent, and no longer than its scope, which waits for its end.
 *
 * @internal
 */
export const toReadable = Effect.fnUntraced(function*<E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  onFailure: (cause: Cause.Cause<E>) => void
): Effect.fn.Return<ReadableStream<Uint8Array>, never, R | Scope.Scope> {
  const pull = yield* Stream.toPull(stream)
  const context = yield* Effect.context<R>()
  let reading: Fiber.Fiber<unknown, unknown> | undefined
  let isOver = false
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isOver = true
      return reading === undefined ? Effect.void : Fiber.interrupt(reading)
    })
  )
  const next = (controller: ReadableStreamDefaultController<Uint8Array>): Effect.Effect<void, never, R> =>
    Pull.matchEffect(pull, {
      onSuccess: (chunks) => Effect.sync(() => isOver || chunks.forEach((chunk) => controller.enqueue(chunk))),
      onFailure: (cause) =>
        Effect.sync(() => {
          // It is interrupted where the request ended first.
          if (isOver || Cause.hasInterruptsOnly(cause)) return
          onFailure(cause)
          controller.error(new Error("The source of the file failed"))
        }),
      onDone: () => Effect.sync(() => isOver || controller.close())
    })
  return new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (isOver) return undefined
      const fiber = reading = Effect.runForkWith(context)(next(controller))
      return new Promise<void>((resolve) => fiber.addObserver(() => resolve()))
    },
    cancel: () => {
      isOver = true
    }
  }, { highWaterMark: 0 })
})

const encoder = new TextEncoder()
