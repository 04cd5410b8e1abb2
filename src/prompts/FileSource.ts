/**
 * Prompts in files: YAML (`.yaml`, `.yml`) and JSON (`.json`), each a mapping of names to prompts.
 *
 * A path is a file, or a directory, whose files are read and whose directories are not. Each look reads them whole, so
 * it does not matter how a file was replaced, or what its times say.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import type * as Catalog from "./Catalog.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import * as PromptFile from "./PromptFile.ts"
import type { Source } from "./Reloading.ts"

/** What all files together may hold, in bytes: far more than prompts are, and few enough to be kept. */
const MAX_BYTES = 64 * 1024 * 1024

/** @internal */
export const make = (
  paths: ReadonlyArray<string>
): Effect.Effect<Source, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path

    const filesOf = Effect.fnUntraced(function*(path: string) {
      const { type } = yield* Effect.mapError(fs.stat(path), unreadable(path))
      if (type !== "Directory") return [path]
      const names = yield* Effect.mapError(fs.readDirectory(path), unreadable(path))
      return names.filter((name) => /^[^.].*\.(?:yaml|yml|json)$/i.test(name)).toSorted().map((name) =>
        join(path, name)
      )
    })

    /** What a file says; nothing where it is a directory, or gone by now. */
    const documentOf = Effect.fnUntraced(
      function*(path: string) {
        const { size, type } = yield* fs.stat(path)
        if (type === "Directory") return undefined
        // To read anything else, such as a pipe, may never end.
        if (type !== "File") return refused(PromptFailure.unavailable(path, `It is no file, but a ${type}.`))
        if (size > MAX_BYTES) return refused(tooLarge(path))
        return said(path, yield* fs.readFile(path))
      },
      // A file that cannot be read keeps what it said.
      (self, path) =>
        Effect.catch(
          self,
          (error) =>
            error.reason._tag === "NotFound" ? Effect.undefined : Effect.succeed(refused(unreadable(path)(error)))
        )
    )

    const read = Effect.gen(function*() {
      const documents = new Map<string, Catalog.Document>()
      let length = 0
      for (const path of paths) {
        for (const file of yield* filesOf(path)) {
          if (documents.has(file)) continue
          const document = yield* documentOf(file)
          if (document === undefined) continue
          documents.set(file, document)
          length += document.texts[0]!.length
          if (length > MAX_BYTES) return yield* tooLarge(file)
        }
      }
      return documents
    })
    return { name: PromptFailure.listed(paths), read }
  })

const said = (path: string, bytes: Uint8Array): Catalog.Document => {
  try {
    // Without a byte order mark. What is no UTF-8 would be read as other letters than it was written with.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    return { texts: [text], parse: () => PromptFile.parse(path, text) }
  } catch {
    return refused(PromptFailure.malformed({ source: path }, "The file is no UTF-8. Save it as UTF-8."))
  }
}

const refused = (problem: PromptError.PromptError): Catalog.Document => ({
  texts: [problem.reason._tag, problem.message],
  parse: () => {
    throw problem
  }
})

const tooLarge = (path: string) =>
  PromptFailure.unavailable(path, `The files of prompts are larger than ${MAX_BYTES} bytes together.`)

const unreadable = (path: string) => (error: PlatformError.PlatformError): PromptError.PromptError =>
  PromptFailure.unavailable(
    path,
    error.reason._tag === "NotFound"
      ? "There is no such file or directory. Correct the path, which begins where the process was started."
      : `It could not be read: ${error.reason._tag}. See that the process may read it.`
  )
