/**
 * Where the bytes of a file come from: a path, bytes, or a stream of them; read no further than a limit allows.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"

/** A path, bytes, or a stream of bytes. @category models @since 0.2.0 */
export type Bytes = string | Uint8Array | Stream.Stream<Uint8Array, unknown, unknown>

/** What reading a source may fail with. @category models @since 0.2.0 */
export type Error<S> = S extends Stream.Stream<Uint8Array, infer E, unknown> ? E
  : S extends string ? PlatformError
  : never

/** What reading a source needs. @category models @since 0.2.0 */
export type Services<S> = S extends Stream.Stream<Uint8Array, unknown, infer R> ? R
  : S extends string ? FileSystem.FileSystem
  : never

/** How large a source says that it is; nothing where that is known at its end only. @internal */
export const sizeOf = <S extends Bytes>(source: S): Effect.Effect<number | undefined, Error<S>, Services<S>> => {
  const size: Effect.Effect<number | undefined, unknown, unknown> = typeof source === "string"
    ? Effect.flatMap(FileSystem.FileSystem, (files) =>
      // A pipe or a device has no size.
      Effect.map(files.stat(source), ({ size, type }) => type === "File" ? ByteSize.toNumberUnsafe(size) : undefined))
    : Effect.succeed(source instanceof Uint8Array ? source.byteLength : undefined)
  return size as Effect.Effect<number | undefined, Error<S>, Services<S>>
}

/** A source as a stream. @internal */
export const toStream = <S extends Bytes>(source: S): Stream.Stream<Uint8Array, Error<S>, Services<S>> => {
  const stream: Stream.Stream<Uint8Array, unknown, unknown> = typeof source === "string"
    ? Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => files.stream(source)))
    : source instanceof Uint8Array
    ? Stream.make(source)
    : source
  // Each of the three is what the types say of it.
  return stream as Stream.Stream<Uint8Array, Error<S>, Services<S>>
}

/** All bytes of a source, or an error as soon as there are too many. @internal */
export const readAll = Effect.fnUntraced(function*<S extends Bytes, E>(
  source: S,
  limit: number,
  tooLarge: (bytes: number, isAll: boolean) => E
): Effect.fn.Return<Uint8Array, E | Error<S>, Services<S>> {
  const known = yield* sizeOf(source)
  if (known !== undefined && known > limit) return yield* Effect.fail(tooLarge(known, true))
  if (source instanceof Uint8Array) return source
  const chunks: Array<Uint8Array> = []
  let total = 0
  yield* Stream.runForEachArray(toStream(source), (arrays) =>
    Effect.suspend(() => {
      for (const chunk of arrays) {
        chunks.push(chunk)
        total += chunk.byteLength
      }
      return total > limit ? Effect.fail(tooLarge(total, false)) : Effect.void
    }))
  return Buffer.concat(chunks, total)
})
