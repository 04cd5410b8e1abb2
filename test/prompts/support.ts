/** Files in memory that a test changes, and what it asks of prompts. */
import { assert } from "@effect/vitest"
import { ByteSize, Effect, FileSystem, Layer, Option, Path, PlatformError } from "effect"
import type { PromptError } from "../../src/prompts/index.ts"
import { Prompts } from "../../src/prompts/index.ts"

/** Files by path; an error in place of a text is what reading it comes to. */
export type Files = Map<string, string | Uint8Array | PlatformError.PlatformError>

const failure = (tag: "NotFound" | "PermissionDenied", path: string) =>
  PlatformError.systemError({ _tag: tag, module: "FileSystem", method: "read", pathOrDescriptor: path })

export const denied = (path: string) => failure("PermissionDenied", path)

/** Of a file that is gone by the time it is read. */
export const gone = (path: string) => failure("NotFound", path)

/** A file system that holds these; a directory is what files are in. */
export const filesLayer = (files: Files): Layer.Layer<FileSystem.FileSystem | Path.Path> => {
  const namesIn = (path: string) =>
    Array.from(files.keys()).filter((file) => file.startsWith(`${path}/`)).map((file) => file.slice(path.length + 1))
  const info = (type: FileSystem.File.Type): FileSystem.File.Info => ({
    type,
    mtime: Option.none(),
    atime: Option.none(),
    birthtime: Option.none(),
    dev: 0n,
    ino: Option.none(),
    mode: 0,
    nlink: Option.none(),
    uid: Option.none(),
    gid: Option.none(),
    rdev: Option.none(),
    size: ByteSize.zero,
    blksize: Option.none(),
    blocks: Option.none()
  })
  return Layer.merge(
    FileSystem.layerNoop({
      stat: (path) =>
        files.has(path)
          ? Effect.succeed(info("File"))
          : namesIn(path).length > 0
          ? Effect.succeed(info("Directory"))
          : Effect.fail(failure("NotFound", path)),
      readDirectory: (path) => Effect.sync(() => namesIn(path)),
      readFile: (path) =>
        Effect.suspend(() => {
          const file = files.get(path)
          return file === undefined
            ? Effect.fail(failure("NotFound", path))
            : file instanceof PlatformError.PlatformError
            ? Effect.fail(file)
            : Effect.succeed(typeof file === "string" ? Buffer.from(file) : file)
        })
    }),
    Path.layer
  )
}

/** Prompts of one YAML file, `prompts.yaml`. */
export const yamlLayer = (text: string, options: Prompts.LoadOptions = {}) =>
  Prompts.layerFiles({ path: "prompts.yaml", ...options }).pipe(
    Layer.provide(filesLayer(new Map([["prompts.yaml", text]])))
  )

/** What building a layer fails with. */
export const refusal = <A>(layer: Layer.Layer<A, PromptError.PromptError>): Effect.Effect<PromptError.PromptError> =>
  Effect.flip(Effect.scoped(Layer.build(layer))).pipe(
    Effect.catch(() => Effect.sync(() => assert.fail("the layer was built")))
  )

/** The text of the last message. */
export const lastText = (request: { readonly messages: ReadonlyArray<{ readonly content: unknown }> }): unknown =>
  request.messages.at(-1)?.content
