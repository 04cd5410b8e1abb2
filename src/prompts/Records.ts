/**
 * What a store has of prompts: a record for each version, which never changes, and one that says which are served.
 *
 * A record is JSON, under the name of a prompt and of a version; under `latest` it is the release. Since versions never
 * change, a process reads each once, and a look at a store asks for what is there and for releases alone.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Catalog from "./Catalog.ts"
import * as PromptDocument from "./PromptDocument.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import type { Source } from "./Reloading.ts"
import type { Template } from "./Template.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @internal */
export interface Key {
  readonly name: string
  /** Or `latest`, for the release. */
  readonly version: string
}

/** Texts by key. @internal */
export interface Records {
  /** What it is called in messages. */
  readonly name: string
  /** All keys that there are, with the text of some where that costs nothing. */
  readonly keys: Effect.Effect<ReadonlyArray<Key & { readonly text?: string | undefined }>, PromptError.PromptError>
  readonly get: (key: Key) => Effect.Effect<string | undefined, PromptError.PromptError>
  /** Keeps a text where there is none; leaves what is there. */
  readonly add: (key: Key, text: string) => Effect.Effect<void, PromptError.PromptError>
  readonly set: (key: Key, text: string) => Effect.Effect<void, PromptError.PromptError>
}

/** What a store has of one prompt. @internal */
export interface Stored {
  readonly versions: ReadonlyMap<string, StoredVersion>
  readonly release: string | undefined
}

/** @internal */
export interface StoredVersion {
  readonly text: string
  readonly template: Template | PromptError.PromptError
}

/** What is served, and what was before, the latest first. @internal */
export interface ReleaseRecord extends PromptDocument.Release {
  readonly history?: ReadonlyArray<PromptDocument.Release> | undefined
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export interface RecordSource extends Source {
  /** What there is by now, by the names of prompts. */
  readonly stored: Effect.Effect<ReadonlyMap<string, Stored>, PromptError.PromptError>
}

/** @internal */
export const source = (records: Records): RecordSource => {
  // Only what is whole: a record that cannot be used is read again, in case it is mended.
  let whole = new Map<string, StoredVersion>()

  const stored = Effect.gen(function*() {
    const all = new Map<string, { readonly versions: Map<string, StoredVersion>; release: string | undefined }>()
    const kept: typeof whole = new Map()
    // Stores list them in any order.
    const keys = (yield* records.keys).toSorted((a, b) => pathOf(a) < pathOf(b) ? -1 : 1)
    const texts = yield* Effect.forEach(keys, (key) => {
      const text = whole.get(pathOf(key))?.text ?? key.text
      return text === undefined ? records.get(key) : Effect.succeed(text)
    }, { concurrency: 8 })
    for (const [index, { name, version }] of keys.entries()) {
      const text = texts[index]
      if (text === undefined) continue
      let prompt = all.get(name)
      if (prompt === undefined) all.set(name, prompt = { versions: new Map(), release: undefined })
      if (version === PromptDocument.LATEST) {
        prompt.release = text
        continue
      }
      const path = pathOf({ name, version })
      const known = whole.get(path) ?? { text, template: templateOf(records.name, { name, version }, text) }
      if (!(known.template instanceof PromptError.PromptError)) kept.set(path, known)
      prompt.versions.set(version, known)
    }
    whole = kept
    return all
  })

  const read = Effect.map(stored, (all) => {
    const documents = new Map<string, Catalog.Document>()
    for (const [name, prompt] of all) {
      // A release of what is not there yet, or no more.
      if (prompt.versions.size === 0) continue
      const versions = Array.from(prompt.versions)
      documents.set(`${records.name} ${name}`, {
        texts: [prompt.release ?? "", ...versions.flatMap(([version, { text }]) => [version, text])],
        parse: () => [promptOf(records.name, name, prompt)]
      })
    }
    return documents
  })
  return { name: records.name, read, stored }
}

/** @internal */
export const pathOf = ({ name, version }: Key): string => `${name}/${version}`

/** The key that a path is of, if it is of one. @internal */
export const keyOf = (path: string): Key | undefined => {
  const slash = path.lastIndexOf("/")
  return slash <= 0 || slash === path.length - 1
    ? undefined
    : { name: path.slice(0, slash), version: path.slice(slash + 1) }
}

/** Where a place of a prompt is in a store. @internal */
export const whereOf = (store: string, name: string) => (path: ReadonlyArray<PropertyKey>): PromptFailure.Where => {
  const [part, version, ...rest] = path
  const within = (key: ReadonlyArray<PropertyKey>) => key.length === 0 ? {} : { key: PromptFailure.keyOf(key) }
  return part === "versions" && typeof version === "string"
    ? { source: `${store} ${name}/${version}`, prompt: name, version, ...within(rest) }
    : part === undefined
    ? { source: `${store} ${name}`, prompt: name }
    : { source: `${store} ${name}/${PromptDocument.LATEST}`, prompt: name, ...within(path) }
}

/** A version of a store, checked. @internal */
export const templateOf = (store: string, { name, version }: Key, text: string): Template | PromptError.PromptError => {
  const where = whereOf(store, name)
  const at = (path: ReadonlyArray<PropertyKey>) => where(["versions", version, ...path])
  if (!PromptDocument.isVersion(version)) return PromptDocument.noVersion(version, at([]))
  const document = parseJson(text)
  return document === undefined
    ? PromptFailure.malformed(at([]), "The record is no JSON.")
    : PromptDocument.templateOf(document, at)
}

/** A release of a store, or an error. @internal */
export const releaseOf = (store: string, name: string, text: string): ReleaseRecord | PromptError.PromptError => {
  const decoded = decodeRelease(parseJson(text))
  if (Result.isSuccess(decoded)) return decoded.success
  const { message, path } = PromptFailure.firstIssue(decoded.failure.issue)
  const where = whereOf(store, name)
  return PromptFailure.malformed(
    path.length === 0 ? where([PromptDocument.LATEST]) : where(path),
    `${message}. Release a version again, or mend the record.`
  )
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/** Records in this process alone. @internal */
export const memory = (): Records => {
  const texts = new Map<string, { readonly key: Key; readonly text: string }>()
  const set = (key: Key, text: string) => Effect.sync(() => void texts.set(pathOf(key), { key, text }))
  return {
    name: "memory",
    keys: Effect.sync(() => Array.from(texts.values(), ({ key, text }) => ({ ...key, text }))),
    get: (key) => Effect.sync(() => texts.get(pathOf(key))?.text),
    add: (key, text) => Effect.suspend(() => texts.has(pathOf(key)) ? Effect.void : set(key, text)),
    set
  }
}

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const decodeRelease = Schema.decodeUnknownResult(Schema.Struct({
  ...PromptDocument.Release.fields,
  history: Schema.optionalKey(Schema.Array(PromptDocument.Release))
}))

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const promptOf = (store: string, name: string, { release: text, versions }: Stored): PromptDocument.Prompt => {
  const where = whereOf(store, name)
  const templates = new Map(Array.from(versions, ([version, { template }]) => [version, template]))
  const release = text === undefined ? {} : releaseOf(store, name, text)
  if (release instanceof PromptError.PromptError) throw release
  if (!PromptDocument.isName(name)) throw PromptDocument.noName(where([]))
  return {
    name,
    source: `${store} ${name}`,
    versions: templates,
    ...PromptDocument.releaseOf(release, templates, where),
    where
  }
}
