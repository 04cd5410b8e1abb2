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

    /** A file that cannot be read keeps what it said; one that is gone by now has nothing to say. */
    const documentOf = (path: string) =>
      fs.readFileString(path).pipe(
        Effect.map((text): Catalog.Document => ({ texts: [text], parse: () => PromptFile.parse(path, text) })),
        Effect.catch((error) => {
          if (error.reason._tag === "NotFound") return Effect.undefined
          const problem = unreadable(path)(error)
          const parse = () => {
            throw problem
          }
          return Effect.succeed<Catalog.Document>({ texts: ["unreadable", problem.message], parse })
        })
      )

    const read = Effect.gen(function*() {
      const documents = new Map<string, Catalog.Document>()
      let bytes = 0
      for (const path of paths) {
        for (const file of yield* filesOf(path)) {
          if (documents.has(file)) continue
          const document = yield* documentOf(file)
          if (document === undefined) continue
          documents.set(file, document)
          bytes += document.texts[0]!.length
          if (bytes > MAX_BYTES) {
            return yield* PromptFailure.unavailable(
              file,
              `The files of prompts are larger than ${MAX_BYTES} bytes together.`
            )
          }
        }
      }
      return documents
    })
    return { name: PromptFailure.listed(paths), read }
  })

const unreadable = (path: string) => (error: PlatformError.PlatformError): PromptError.PromptError =>
  PromptFailure.unavailable(
    path,
    error.reason._tag === "NotFound"
      ? "There is no such file or directory. Correct the path, which begins where the process was started."
      : `It could not be read: ${error.reason._tag}. See that the process may read it.`
  )
