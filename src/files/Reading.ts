/**
 * Where the bytes of a file come from: a path, bytes, or a stream of them; read no further than a limit allows.
 *
 * A path is read where it is a file. A pipe or a device may never end or never begin, and a read of one cannot be
 * interrupted, so those are refused: whoever means one hands in a stream of it.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

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

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** How large a source says that it is; nothing where that is known at its end only. @internal */
export const sizeOf = <S extends Bytes>(
  source: S
): Effect.Effect<number | undefined, ClaudeError.ClaudeFatalError | Error<S>, Services<S>> => {
  const size: Effect.Effect<number | undefined, unknown, unknown> = typeof source === "string"
    ? Effect.flatMap(
      FileSystem.FileSystem,
      (files) =>
        Effect.flatMap(
          files.stat(source),
          ({ size, type }) =>
            type === "File" ? Effect.succeed(ByteSize.toNumberUnsafe(size)) : Effect.fail(invalid(
              "source",
              `${JSON.stringify(source)} is no file but a ${
                words[type]
              }. Name a file, or hand in a stream of its bytes.`
            ))
        )
    )
    : Effect.succeed(source instanceof Uint8Array ? source.byteLength : undefined)
  // Each of the three is what the types say of it.
  return size as Effect.Effect<number | undefined, ClaudeError.ClaudeFatalError | Error<S>, Services<S>>
}

const words: Readonly<Record<Exclude<FileSystem.File.Type, "File">, string>> = {
  Directory: "directory",
  SymbolicLink: "symbolic link",
  BlockDevice: "block device",
  CharacterDevice: "character device",
  FIFO: "FIFO",
  Socket: "socket",
  Unknown: "thing of another kind"
}

/** A source as a stream; of a path no more than was there when it was looked at. @internal */
export const toStream = <S extends Bytes>(
  source: S,
  size?: number | undefined
): Stream.Stream<Uint8Array, Error<S>, Services<S>> => {
  const stream: Stream.Stream<Uint8Array, unknown, unknown> = typeof source === "string"
    ? Stream.unwrap(
      Effect.map(
        FileSystem.FileSystem,
        (files) => files.stream(source, size === undefined ? {} : { bytesToRead: ByteSize.bytes(size) })
      )
    )
    : source instanceof Uint8Array
    ? Stream.make(source)
    : source
  // As above.
  return stream as Stream.Stream<Uint8Array, Error<S>, Services<S>>
}

/** All bytes of a source, or an error as soon as there are too many. @internal */
export const readAll = Effect.fnUntraced(function*<S extends Bytes, E>(
  source: S,
  limit: number,
  tooLarge: (bytes: number, isAll: boolean) => E
): Effect.fn.Return<Uint8Array, ClaudeError.ClaudeFatalError | E | Error<S>, Services<S>> {
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

/** The beginning of what can be read twice; nothing of a stream. @internal */
export const beginning = <S extends Bytes>(source: S): Effect.Effect<Uint8Array, Error<S>, Services<S>> =>
  typeof source === "string"
    ? Effect.map(Stream.runCollect(toStream(source, BEGINNING)), (chunks) => Buffer.concat(chunks))
    : Effect.succeed(source instanceof Uint8Array ? source.subarray(0, BEGINNING) : nothing)

/** As much as tells a file's type. */
const BEGINNING = 16
const nothing = new Uint8Array(0)

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** @internal */
export const invalid = (field: string, message: string): ClaudeError.ClaudeFatalError =>
  Failure.fatal(new ClaudeError.InvalidRequest({ field }), message, { type: "invalid_request_error" })

/** What is no number would be no limit. @internal */
export const checkLimit = (field: string, limit: number): Effect.Effect<void, ClaudeError.ClaudeFatalError> =>
  Number.isSafeInteger(limit) && limit >= 1
    ? Effect.void
    : Effect.fail(invalid(field, `${field} is ${limit}; expected a whole number from 1.`))
