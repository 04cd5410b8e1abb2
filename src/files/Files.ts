/**
 * The Files API: uploads, lists, downloads and deletions as Effects and Streams, over the same SDK client as calls are.
 *
 * Each request is retried, timed out and traced by itself; nothing of it takes a turn at the gate, since files cost no
 * tokens. Uploads and downloads are streamed: no file is held in memory, but by a `client` whose fetch is Node's own.
 * The surprise: an upload whose answer is lost is made again, and may then be there twice.
 */
import type { FileMetadata } from "@anthropic-ai/sdk/resources/files"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as RetryPolicy from "../attempt/RetryPolicy.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import type * as AnthropicTransport from "../transport/AnthropicTransport.ts"
import * as Classify from "../transport/Classify.ts"
import * as MediaType from "./MediaType.ts"
import * as Multipart from "./Multipart.ts"
import * as Reading from "./Reading.ts"
import * as Requests from "./Requests.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What the API knows of a file. @category models @since 0.2.0 */
export type { FileMetadata } from "@anthropic-ai/sdk/resources/files"

/** A path, bytes, or a stream of bytes. @category models @since 0.2.0 */
export type Source = Reading.Bytes

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/** @category services @since 0.2.0 */
export class Files extends Context.Service<Files, {
  readonly upload: <const S extends Source>(
    source: S,
    options?: UploadOptions
  ) => Effect.Effect<FileMetadata, ClaudeError.ClaudeError | Reading.Error<S>, Reading.Services<S>>
  readonly list: (options?: ListOptions) => Stream.Stream<FileMetadata, ClaudeError.ClaudeError>
  readonly metadata: (fileId: string) => Effect.Effect<FileMetadata, ClaudeError.ClaudeError>
  readonly download: (fileId: string) => Stream.Stream<Uint8Array, ClaudeError.ClaudeError>
  readonly delete: (fileId: string) => Effect.Effect<void, ClaudeError.ClaudeError>
}>()("effect-claude/files/Files") {}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface Options extends AnthropicTransport.AnthropicTransportOptions {
  /** @default RetryPolicy.standard */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /** For the answer to a request. @default "30 seconds" */
  readonly timeout?: Duration.Input | undefined
  /** For an upload, all of it. @default "10 minutes" */
  readonly uploadTimeout?: Duration.Input | undefined
  /** For the next bytes of a download. @default "30 seconds" */
  readonly idleTimeout?: Duration.Input | undefined
}

/** @category options @since 0.2.0 */
export interface UploadOptions {
  /** @default the last part of the path, else "unnamed" */
  readonly filename?: string | undefined
  /** @default as the filename's extension says, else "application/octet-stream" */
  readonly mediaType?: string | undefined
  /** When the API deletes it: from an hour to ninety days. @default never */
  readonly expiresIn?: Duration.Input | undefined
  /** @default 500 MB, which is what the API takes */
  readonly maxBytes?: number | undefined
}

/** @category options @since 0.2.0 */
export interface ListOptions {
  /** Files of a session. */
  readonly scopeId?: string | undefined
  /** Files of a page: what comes is the same. @default as the API says */
  readonly pageSize?: number | undefined
}

const MAX_BYTES = 500 * 1024 * 1024

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @category constructors @since 0.2.0 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<Files["Service"], ClaudeError.ClaudeFatalError, Scope.Scope> {
  const timeout = yield* Requests.duration("timeout", options.timeout ?? "30 seconds")
  const uploadTimeout = yield* Requests.duration("uploadTimeout", options.uploadTimeout ?? "10 minutes")
  const idleTimeout = yield* Requests.duration("idleTimeout", options.idleTimeout ?? "30 seconds")
  const { client, request } = yield* Requests.make(options)

  const upload: Files["Service"]["upload"] = Effect.fnUntraced(function*<const S extends Source>(
    source: S,
    options: UploadOptions = {}
  ): Effect.fn.Return<FileMetadata, ClaudeError.ClaudeError | Reading.Error<S>, Reading.Services<S>> {
    const { maxBytes = MAX_BYTES } = options
    const filename = options.filename ?? (typeof source === "string" ? source.split(/[\\/]/).at(-1)! : "unnamed")
    const mediaType = options.mediaType ?? MediaType.forName(filename)
    if (/[^\x20-\x7e]/.test(mediaType)) {
      return yield* invalid("mediaType", `mediaType is ${JSON.stringify(mediaType)}; expected one such as text/csv.`)
    }
    const expires = options.expiresIn === undefined
      ? undefined
      : Math.round(Duration.toSeconds(yield* Requests.duration("expiresIn", options.expiresIn)))
    if (expires !== undefined && (expires < 3_600 || expires > 7_776_000)) {
      return yield* invalid("expiresIn", `expiresIn is ${expires} seconds; expected from an hour to ninety days.`)
    }
    const size = yield* Reading.sizeOf(source)
    if (size !== undefined && size > maxBytes) return yield* tooLarge(filename, size, maxBytes)
    let failure: Effect.Effect<never, ClaudeError.ClaudeError | Reading.Error<S>> | undefined
    const form = Multipart.make({
      fields: expires === undefined ? {} : { expires_in_seconds: String(expires) },
      filename,
      mediaType,
      size,
      bytes: Stream.suspend(() => {
        let sent = 0
        return Stream.mapArrayEffect(Reading.toStream(source), (chunks) => {
          for (const { byteLength } of chunks) sent += byteLength
          return sent > maxBytes ? Effect.fail(tooLarge(filename, sent, maxBytes)) : Effect.succeed(chunks)
        })
      })
    })
    const headers = {
      "content-type": form.contentType,
      ...(form.length === undefined ? undefined : { "content-length": String(form.length) })
    }
    const send = Effect.suspend(() => {
      failure = undefined
      return Effect.map(
        Multipart.toReadable(form.body, (cause) => failure = Effect.failCause(cause)),
        (body) => (options: Requests.SendOptions) =>
          client.post<FileMetadata>("/v1/files", { ...options, body, headers }).withResponse()
      )
    })
    return yield* request(
      { method: "POST", path: "/v1/files", timeout: uploadTimeout },
      send,
      Effect.suspend(() => failure ?? Effect.void)
    )
  })

  const list: Files["Service"]["list"] = ({ pageSize, scopeId } = {}) =>
    Stream.paginate(
      undefined as string | undefined,
      (page) =>
        Effect.map(
          request({ method: "GET", path: "/v1/files", timeout }, (options) =>
            client.get<Page>("/v1/files", {
              ...options,
              query: {
                ...(page === undefined ? undefined : { page }),
                ...(pageSize === undefined ? undefined : { limit: pageSize }),
                ...(scopeId === undefined ? undefined : { scope_id: scopeId })
              }
            }).withResponse()),
          ({ data, next_page }) => [data ?? [], Option.fromNullishOr(next_page || undefined)] as const
        )
    )

  const metadata: Files["Service"]["metadata"] = (fileId) =>
    Effect.flatMap(pathOf(fileId), (path) =>
      request(
        { method: "GET", path, timeout, fileId },
        (options) => client.get<FileMetadata>(path, options).withResponse()
      ))

  const download: Files["Service"]["download"] = (fileId) =>
    Effect.flatMap(pathOf(fileId), (file) => {
      const path = `${file}/content` as const
      return request({ method: "GET", path, timeout, fileId }, async (options) => {
        const response = await client.get(path, { ...options, headers: { accept: "application/binary" } }).asResponse()
        return { data: response, response }
      })
    }).pipe(
      Effect.map(({ body }) =>
        body === null ? Stream.empty : Stream.fromReadableStream({
          evaluate: () => body,
          onError: (thrown): ClaudeError.ClaudeError => Classify.fromBroken(thrown)
        }).pipe(Stream.timeoutOrElse({
          duration: idleTimeout,
          orElse: () => Stream.fail(Requests.timedOut("idle", idleTimeout))
        }))
      ),
      Stream.unwrap
    )

  const remove: Files["Service"]["delete"] = (fileId) =>
    Effect.flatMap(pathOf(fileId), (path) =>
      Effect.asVoid(
        request(
          { method: "DELETE", path, timeout, fileId },
          (options) => client.delete<unknown>(path, options).withResponse()
        )
      ))

  return Files.of({ upload, list, metadata, download, delete: remove })
})

interface Page {
  readonly data?: ReadonlyArray<FileMetadata> | null | undefined
  readonly next_page?: string | null | undefined
}

/** A name that is none, or goes up a folder, would make a request of another kind. */
const pathOf = (fileId: string): Effect.Effect<`/v1/files/${string}`, ClaudeError.ClaudeFatalError> =>
  /^\.{0,2}$/.test(fileId)
    ? Effect.fail(
      invalid("fileId", `fileId is ${JSON.stringify(fileId)}; expected the id of a file, as Files.upload tells it.`)
    )
    : Effect.succeed(`/v1/files/${encodeURIComponent(fileId)}` as const)

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** The Files API with a credential, or a client of your own. @category layers @since 0.2.0 */
export const layer = (options: Options): Layer.Layer<Files, ClaudeError.ClaudeFatalError> =>
  Layer.effect(Files, make(options))

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

/** Uploads a file while it is read; `{ fileId: id }` is then a source of an Attachment. @category calls @since 0.2.0 */
export const upload = <const S extends Source>(
  source: S,
  options?: UploadOptions
): Effect.Effect<FileMetadata, ClaudeError.ClaudeError | Reading.Error<S>, Files | Reading.Services<S>> =>
  Files.use((files) => files.upload(source, options))

/** All files of the workspace, page after page as they are asked for. @category calls @since 0.2.0 */
export const list = (options?: ListOptions): Stream.Stream<FileMetadata, ClaudeError.ClaudeError, Files> =>
  Stream.unwrap(Files.useSync((files) => files.list(options)))

/** What the API knows of a file. @category calls @since 0.2.0 */
export const metadata = (fileId: string): Effect.Effect<FileMetadata, ClaudeError.ClaudeError, Files> =>
  Files.use((files) => files.metadata(fileId))

/**
 * The bytes of a file that a tool made; what was uploaded cannot be downloaded. One that breaks off ends with
 * `StreamInterrupted`: what came was handed on already, so it is not begun again.
 *
 * @category calls
 * @since 0.2.0
 */
export const download = (fileId: string): Stream.Stream<Uint8Array, ClaudeError.ClaudeError, Files> =>
  Stream.unwrap(Files.useSync((files) => files.download(fileId)))

const delete_ = (fileId: string): Effect.Effect<void, ClaudeError.ClaudeError, Files> =>
  Files.use((files) => files.delete(fileId))

export {
  /** Deletes a file; messages that name it fail from then on. @category calls @since 0.2.0 */
  delete_ as delete
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

const invalid = (field: string, message: string): ClaudeError.ClaudeFatalError =>
  Failure.fatal(new ClaudeError.InvalidRequest({ field }), message, { type: "invalid_request_error" })

const tooLarge = (filename: string, bytes: number, limit: number): ClaudeError.ClaudeFatalError =>
  Failure.fatal(
    new ClaudeError.RequestTooLarge({}),
    `${
      JSON.stringify(filename)
    } has ${bytes} bytes or more, and ${limit} are allowed. Split it, or upload a part of it.`,
    { type: "request_too_large" }
  )
