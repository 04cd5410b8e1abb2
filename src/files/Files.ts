/**
 * The Files API: uploads, lists, downloads and deletions as Effects and Streams, over the same SDK client as calls are.
 *
 * Each request is retried, timed out and traced by itself; nothing of it takes a turn at the gate, since files cost no
 * tokens. Uploads and downloads are streamed: no file is held in memory, but by a `client` whose fetch is Node's own.
 * The surprise: an upload whose answer is lost is made again, and may then be there twice.
 */
import type { FileMetadata } from "@anthropic-ai/sdk/resources/files"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as RetryPolicy from "../attempt/RetryPolicy.ts"
import type * as ClaudeError from "../ClaudeError.ts"
import type * as AnthropicTransport from "../transport/AnthropicTransport.ts"
import * as Classify from "../transport/Classify.ts"
import * as Multipart from "./Multipart.ts"
import * as Reading from "./Reading.ts"
import * as Requests from "./Requests.ts"
import * as Upload from "./Upload.ts"

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
    options?: Upload.UploadOptions
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

export type { UploadOptions } from "./Upload.ts"

/** @category options @since 0.2.0 */
export interface ListOptions {
  /** Files of a page: what comes is the same. @default as the API says */
  readonly pageSize?: number | undefined
}

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
    options: Upload.UploadOptions = {}
  ): Effect.fn.Return<FileMetadata, ClaudeError.ClaudeError | Reading.Error<S>, Reading.Services<S>> {
    const { form, isWhole } = yield* Upload.make(source, options)
    const headers = {
      "content-type": form.contentType,
      ...(form.length === undefined ? undefined : { "content-length": String(form.length) })
    }
    let failure: Effect.Effect<never, ClaudeError.ClaudeError | Reading.Error<S>> | undefined
    const send = Effect.suspend(() => {
      failure = undefined
      return Effect.map(
        Multipart.toReadable(form.body, (cause) => failure = Effect.failCause(cause)),
        (body) => (options: Requests.SendOptions) =>
          client.post<FileMetadata>("/v1/files", { ...options, body, headers }).withResponse()
      )
    })
    return yield* request(
      { method: "POST", path: "/v1/files", timeout: uploadTimeout, isAnswer: isFile },
      send,
      { failed: Effect.suspend(() => failure ?? Effect.void), isWhole }
    )
  })

  const list: Files["Service"]["list"] = ({ pageSize } = {}) =>
    Stream.paginate(
      undefined as string | undefined,
      (page) =>
        Effect.map(
          request({ method: "GET", path: "/v1/files", timeout, isAnswer: isPage }, (options) =>
            client.get<Page>("/v1/files", {
              ...options,
              query: {
                ...(page === undefined ? undefined : { page }),
                ...(pageSize === undefined ? undefined : { limit: pageSize })
              }
            }).withResponse()),
          ({ data, next_page }) => [data, Option.fromNullishOr(next_page || undefined)] as const
        )
    )

  const metadata: Files["Service"]["metadata"] = (fileId) =>
    Effect.flatMap(pathOf(fileId), (path) =>
      request(
        { method: "GET", path, timeout, fileId, isAnswer: isFile },
        (options) => client.get<FileMetadata>(path, options).withResponse()
      ))

  const download: Files["Service"]["download"] = (fileId) =>
    Stream.unwrap(Effect.gen(function*() {
      const file = yield* pathOf(fileId)
      const path = `${file}/content` as const
      let body: ReadableStream<Uint8Array> | null = null
      // Also where nobody has begun to read it; one that is being read has a lock, and its reader closes it.
      yield* Effect.addFinalizer(() => Effect.sync(() => body?.cancel().catch(() => {})))
      yield* request({ method: "GET", path, timeout, fileId }, async (options) => {
        const response = await client.get(path, { ...options, headers: { accept: "application/binary" } }).asResponse()
        body = response.body
        return { data: undefined, response }
      })
      if (body === null) return Stream.empty
      const readable: ReadableStream<Uint8Array> = body
      return Stream.fromReadableStream({
        evaluate: () => readable,
        onError: (thrown): ClaudeError.ClaudeError => Classify.fromBroken(thrown)
      }).pipe(Stream.timeoutOrElse({
        duration: idleTimeout,
        orElse: () => Stream.fail(Requests.timedOut("idle", idleTimeout))
      }))
    }))

  const remove: Files["Service"]["delete"] = (fileId) =>
    Effect.flatMap(pathOf(fileId), (path) =>
      Effect.asVoid(
        request(
          { method: "DELETE", path, timeout, fileId, isAnswer: isFile },
          (options) => client.delete<unknown>(path, options).withResponse()
        )
      ))

  return Files.of({ upload, list, metadata, download, delete: remove })
})

interface Page {
  readonly data: ReadonlyArray<FileMetadata>
  readonly next_page?: string | null | undefined
}

const isPage = (data: unknown): boolean => Predicate.hasProperty(data, "data") && Array.isArray(data.data)

const isFile = (data: unknown): boolean => Predicate.hasProperty(data, "id") && typeof data.id === "string"

/** A name that is none, or goes up a folder, would make a request of another kind. */
const pathOf = (fileId: string): Effect.Effect<`/v1/files/${string}`, ClaudeError.ClaudeFatalError> =>
  /^\.{0,2}$/.test(fileId)
    ? Effect.fail(
      Reading.invalid(
        "fileId",
        `fileId is ${JSON.stringify(fileId)}; expected the id of a file, as Files.upload tells it.`
      )
    )
    : Effect.succeed(`/v1/files/${encodeURIComponent(fileId)}` as const)

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/** The Files API with a credential, or a client of your own. @category layers @since 0.2.0 */
export const layer = (options: Options): Layer.Layer<Files, ClaudeError.ClaudeFatalError> =>
  Layer.effect(Files, make(options))

/** The Files API with ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL, as `Claude.layerConfig` has them. @category layers @since 0.2.0 */
export const layerConfig: Layer.Layer<Files, ClaudeError.ClaudeFatalError | Config.ConfigError> = Layer.unwrap(
  Effect.map(
    Config.all({
      apiKey: Config.withDefault(Config.Redacted("ANTHROPIC_API_KEY"), undefined),
      baseURL: Config.withDefault(Config.String("ANTHROPIC_BASE_URL"), undefined)
    }),
    layer
  )
)

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

/** Uploads a file while it is read; `{ fileId: id }` is then a source of an Attachment. @category calls @since 0.2.0 */
export const upload = <const S extends Source>(
  source: S,
  options?: Upload.UploadOptions
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
