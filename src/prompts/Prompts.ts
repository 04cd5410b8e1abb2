/**
 * Versioned prompts, kept outside the code: in files (YAML, JSON), a key-value store, or SQL.
 *
 * ```ts
 * const Welcome = Prompts.define("welcome", { variables: Schema.Struct({ name: Schema.String, days: Schema.Int }) })
 *
 * const greet = Effect.gen(function*() {
 *   const request = yield* Welcome.render({ name: "Ann", days: 3 }, { key: "user-7" })
 *   return yield* Claude.text(request)
 * })
 *
 * const prompts = Prompts.layerFiles({ path: "prompts", prompts: [Welcome] }).pipe(Layer.provide(NodeServices.layer))
 * ```
 *
 * A template is data: values go into its texts, in one pass, and never make a turn, a block or a parameter. What is
 * served changes without a deploy. The surprise: a key gets `latest` until the prompt has weights.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as SqlClient from "effect/sql/SqlClient"
import type { MessagesRequest } from "../request/Request.ts"
import * as Definitions from "./Definition.ts"
import * as FileSource from "./FileSource.ts"
import * as KeyValueRecords from "./KeyValueRecords.ts"
import type * as PromptDocument from "./PromptDocument.ts"
import { LATEST } from "./PromptDocument.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import * as PromptIdentity from "./PromptIdentity.ts"
import * as Publishing from "./Publishing.ts"
import * as Records from "./Records.ts"
import * as Reloading from "./Reloading.ts"
import * as Split from "./Split.ts"
import * as SqlRecords from "./SqlRecords.ts"

export { type Identity, identityOf, withPrompt } from "./PromptIdentity.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A prompt that the code knows. @category models @since 0.2.0 */
export interface Definition<in Values> extends AnyDefinition {
  /** The request that a version makes of these values; it is the caller's own. */
  readonly render: (
    values: Values,
    options?: RenderOptions
  ) => Effect.Effect<MessagesRequest, PromptError.PromptError, Prompts>
}

/** A prompt's name and its variables. @category models @since 0.2.0 */
export type AnyDefinition = Definitions.AnyDefinition

/** A version that is served. @category models @since 0.2.0 */
export type Chosen = Definitions.Chosen

/** Which versions of a prompt are served. @category models @since 0.2.0 */
export type Release = PromptDocument.Release

/** A prompt as it is written. @category models @since 0.2.0 */
export type Document = PromptDocument.PromptDocument

/** A version as it is written: a request whose texts have placeholders. @category models @since 0.2.0 */
export type TemplateDocument = PromptDocument.TemplateDocument

/** What there is of a prompt. @category models @since 0.2.0 */
export interface Listed {
  readonly name: string
  /** The file, or the store. */
  readonly source: string
  readonly versions: ReadonlyArray<string>
  readonly release: Release
}

// -----------------------------------------------------------------------------
// services
// -----------------------------------------------------------------------------

/** Prompts that are served. @category services @since 0.2.0 */
export class Prompts extends Context.Service<Prompts, {
  /** The version that is served for these options. */
  readonly choose: (name: string, options?: RenderOptions) => Effect.Effect<Chosen, PromptError.PromptError>
  readonly list: Effect.Effect<ReadonlyArray<Listed>>
  readonly reload: Effect.Effect<void, PromptError.PromptError>
}>()("effect-claude/prompts/Prompts") {}

/** Prompts that can be changed by the program: those in a store. @category services @since 0.2.0 */
export class Publisher extends Context.Service<Publisher, {
  readonly publish: (
    name: string,
    version: string,
    template: TemplateDocument
  ) => Effect.Effect<void, PromptError.PromptError>
  readonly release: (name: string, release: Release) => Effect.Effect<void, PromptError.PromptError>
  readonly rollback: (name: string) => Effect.Effect<Release, PromptError.PromptError>
}>()("effect-claude/prompts/Publisher") {}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** Which version is rendered. @category options @since 0.2.0 */
export interface RenderOptions {
  /** One version, whatever is released; `"latest"` is the release's. It goes before `key`. @default what `key` gets */
  readonly version?: string | undefined
  /** What a split by weights goes by, such as a user's id: the same key, the same version. @default `latest` is served, whatever the weights */
  readonly key?: string | undefined
}

/** @category options @since 0.2.0 */
export interface LoadOptions extends Reloading.LoadOptions {}

/** @category options @since 0.2.0 */
export interface FileOptions extends LoadOptions {
  /** A file, or a directory of files, whose names end in `.yaml`, `.yml` or `.json`; or several. */
  readonly path: string | ReadonlyArray<string>
}

/** @category options @since 0.2.0 */
export interface StoreOptions extends LoadOptions {
  /** Prompts that are published when the layer is built, where the store has none of that name. */
  readonly initial?: Readonly<Record<string, Document>> | undefined
}

/** @category options @since 0.2.0 */
export interface KeyValueOptions extends StoreOptions {
  /** What the keys of prompts begin with. @default "prompts/" */
  readonly prefix?: string | undefined
}

/** @category options @since 0.2.0 */
export interface SqlOptions extends StoreOptions {
  /** @default "effect_claude_prompts" */
  readonly table?: string | undefined
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Says which variables a prompt has. A template may leave some out, and inserts no others.
 *
 * @category constructors
 * @since 0.2.0
 */
export const define = <S extends Definitions.Variables>(
  name: string,
  options: { readonly variables: S }
): Definition<S["Type"]> => {
  const { texts, ...definition } = Definitions.make(name, options.variables)
  return {
    ...definition,
    render: Effect.fnUntraced(function*(values, options) {
      const { fill, version } = yield* Prompts.use((prompts) => prompts.choose(name, options))
      const request = yield* fill(definition, yield* texts(values, version))
      return PromptIdentity.identify(request, { name, version })
    })
  }
}

const makePrompts = ({ catalog, name: source, reload }: Reloading.Reloading): Prompts["Service"] => ({
  choose: (name, { key, version } = {}) =>
    Effect.suspend(() => {
      const { prompts } = catalog()
      const prompt = prompts.get(name)
      if (prompt === undefined) return Effect.fail(PromptFailure.missing(source, name, prompts.keys()))
      const asked = version === LATEST ? prompt.latest : version
      const served = asked ?? (key === undefined ? undefined : Split.choose(name, key, prompt.weights)) ?? prompt.latest
      const template = prompt.versions.get(served)
      if (template === undefined) {
        return Effect.fail(PromptFailure.make(
          new PromptError.MissingVersion({}),
          { source: prompt.source, prompt: name, version: served },
          `There is no such version; there are ${PromptFailure.listed(prompt.versions.keys())}.`
        ))
      }
      return template instanceof PromptError.PromptError
        ? Effect.fail(template)
        : Effect.succeed(Definitions.chosen(prompt, served, template))
    }),
  list: Effect.sync(() =>
    Array.from(catalog().prompts.values(), ({ latest, name, source, versions, weights }) => ({
      name,
      source,
      versions: Array.from(versions.keys()),
      release: weights.length === 0 ? { latest } : { latest, weights: Object.fromEntries(weights) }
    }))
  ),
  reload
})

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Prompts in files, read again as they change. What a file says that is wrong, gone, or cannot be read keeps its last good
 * prompts, and a log and a metric tell of it.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerFiles = (
  options: FileOptions
): Layer.Layer<Prompts, PromptError.PromptError, FileSystem.FileSystem | Path.Path> => {
  const paths = typeof options.path === "string" ? [options.path] : options.path
  if (paths.length === 0 || paths.some((path) => path === "")) {
    throw new RangeError("Prompts.layerFiles: path is empty; expected a file or a directory, or a list of these.")
  }
  const resolved = Reloading.resolve("layerFiles", options)
  return Layer.effect(
    Prompts,
    FileSource.make(paths).pipe(
      Effect.flatMap((source) => Reloading.make(source, resolved)),
      Effect.map(makePrompts)
    )
  )
}

/**
 * Prompts in this process alone, for tests and for trying things out.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerMemory = (
  initial: Readonly<Record<string, Document>> = {},
  options: LoadOptions = {}
): Layer.Layer<Prompts | Publisher, PromptError.PromptError> =>
  layerRecords("layerMemory", { ...options, initial }, Effect.sync(Records.memory))

/**
 * Prompts in a key-value store, such as `KeyValueStore.layerFileSystem("…")`. Each look lists all keys of the store, so
 * give it one that holds little else. Of two processes that publish one version at the same moment, with other texts, the
 * latter wins: such a store cannot add a key in one step, as SQL does.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerKeyValueStore = (
  options: KeyValueOptions = {}
): Layer.Layer<Prompts | Publisher, PromptError.PromptError, KeyValueStore.KeyValueStore> =>
  layerRecords(
    "layerKeyValueStore",
    options,
    // Loaded by those who use it.
    Effect.promise(() => import("effect/persistence/KeyValueStore")).pipe(
      Effect.flatMap(({ KeyValueStore }) => KeyValueStore),
      Effect.map((store) => KeyValueRecords.make(store, options.prefix ?? "prompts/"))
    )
  )

/**
 * Prompts in a table of Postgres or SQLite, such as over `PgClient.layer({ url })`. The table is made where it is not there
 * (`name VARCHAR(128)`, `version VARCHAR(64)`, `content TEXT`, the first two its primary key); where a migration has made
 * it, `SELECT`, `INSERT` and `UPDATE` are all that is needed. Over other databases, take `KeyValueStore.layerSql`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerSql = (
  options: SqlOptions = {}
): Layer.Layer<Prompts | Publisher, PromptError.PromptError, SqlClient.SqlClient> => {
  const { table = "effect_claude_prompts" } = options
  if (table === "") throw new RangeError("Prompts.layerSql: table is empty; expected a name, such as app.prompts.")
  return layerRecords(
    "layerSql",
    options,
    // Loaded by those who use it.
    Effect.promise(() => import("effect/sql/SqlClient")).pipe(
      Effect.flatMap(({ SqlClient }) => SqlClient),
      Effect.flatMap((sql) => SqlRecords.make(sql, table))
    )
  )
}

const layerRecords = <R>(
  layer: string,
  options: StoreOptions,
  made: Effect.Effect<Records.Records, PromptError.PromptError, R>
): Layer.Layer<Prompts | Publisher, PromptError.PromptError, R> => {
  const resolved = Reloading.resolve(layer, options)
  return Layer.effectContext(Effect.gen(function*() {
    const records = yield* made
    yield* Publishing.initialize(records, options.initial ?? {}, resolved.definitions)
    const source = Records.source(records)
    const reloading = yield* Reloading.make(source, resolved)
    return Context.make(Prompts, makePrompts(reloading)).pipe(
      Context.add(Publisher, Publishing.make(records, source, resolved.definitions, reloading))
    )
  }))
}

// -----------------------------------------------------------------------------
// administration
// -----------------------------------------------------------------------------

/** All prompts that are served. @category administration @since 0.2.0 */
export const list: Effect.Effect<ReadonlyArray<Listed>, never, Prompts> = Prompts.use((prompts) => prompts.list)

/**
 * Looks for changes now, takes what is right, and fails with the first thing that is wrong. It does not wait for a file
 * that is being written still.
 *
 * @category administration
 * @since 0.2.0
 */
export const reload: Effect.Effect<void, PromptError.PromptError, Prompts> = Prompts.use((prompts) => prompts.reload)

/**
 * Adds a version, which never changes. The first of a prompt is served at once, any other when it is released; here at
 * once, in other processes when they look again.
 *
 * @category administration
 * @since 0.2.0
 */
export const publish = (
  name: string,
  version: string,
  template: TemplateDocument
): Effect.Effect<void, PromptError.PromptError, Publisher> =>
  Publisher.use((publisher) => publisher.publish(name, version, template))

/**
 * Says which versions are served: `latest`, and weights for calls that give a key; without weights all get `latest`.
 *
 * @category administration
 * @since 0.2.0
 */
export const release = (
  name: string,
  release: Release
): Effect.Effect<void, PromptError.PromptError, Publisher> =>
  Publisher.use((publisher) => publisher.release(name, release))

/**
 * Goes back to the release before this one, weights included, and answers it; again, to the one before that.
 *
 * @category administration
 * @since 0.2.0
 */
export const rollback = (name: string): Effect.Effect<Release, PromptError.PromptError, Publisher> =>
  Publisher.use((publisher) => publisher.rollback(name))
