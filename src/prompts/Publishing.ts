/**
 * Prompts that a program changes: versions are added and never change, and a release says which are served.
 *
 * A release keeps the ones before it, so going back is one write, and brings back the weights too. Who publishes and who
 * releases at the same moment in two processes both succeed: versions do not touch each other, and of two releases the
 * latter holds.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as CanonicalKey from "../request/CanonicalKey.ts"
import * as Definition from "./Definition.ts"
import * as PromptDocument from "./PromptDocument.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"
import * as Records from "./Records.ts"
import type { Reloading } from "./Reloading.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** @internal */
export interface Publishing {
  readonly publish: (
    name: string,
    version: string,
    template: PromptDocument.TemplateDocument
  ) => Effect.Effect<void, PromptError.PromptError>
  readonly release: (name: string, release: PromptDocument.Release) => Effect.Effect<void, PromptError.PromptError>
  readonly rollback: (name: string) => Effect.Effect<PromptDocument.Release, PromptError.PromptError>
}

/** How many releases one can go back. */
const HISTORY = 20

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** @internal */
export const make = (
  records: Records.Records,
  source: Records.RecordSource,
  definitions: ReadonlyMap<string, Definition.AnyDefinition>,
  reloading: Reloading
): Publishing => {
  const semaphore = Semaphore.makeUnsafe(1)
  // It is served here at once; what is wrong with other prompts is the next look's to tell.
  const served = <A>(self: Effect.Effect<A, PromptError.PromptError>) =>
    semaphore.withPermit(Effect.tap(self, Effect.ignore(reloading.reload)))

  const publish: Publishing["publish"] = (name, version, document) =>
    served(Effect.gen(function*() {
      const key = { name, version }
      const text = yield* PromptFailure.attempt(() => textOf(records.name, key, document))
      const template = yield* PromptFailure.attempt(() => Records.templateOf(records.name, key, text))
      const where = Records.whereOf(records.name, name)
      const wrong = Definition.misfit(
        definitions.get(name),
        { versions: new Map([[version, template]]), where },
        version
      )
      if (wrong !== undefined) return yield* wrong
      // What a prompt serves that nobody has released is released before it has another version.
      const isReleased = (yield* records.get({ name, version: PromptDocument.LATEST })) !== undefined
      const implied = isReleased ? undefined : yield* impliedOf(name)
      if (implied !== undefined) yield* releaseFirst(name, implied)
      yield* records.add(key, text)
      const kept = yield* records.get(key)
      if (kept !== undefined && !saysTheSame(kept, text)) {
        return yield* PromptFailure.make(
          new PromptError.Duplicate({}),
          where(["versions", version]),
          "This version is there already, and says something else. Versions never change: publish it under another name."
        )
      }
      // The first of a prompt is served at once.
      yield* releaseFirst(name, version)
    }))

  const impliedOf = (name: string) =>
    Effect.map(source.stored, (all) => PromptDocument.impliedLatest(all.get(name)?.versions.keys() ?? []))

  /** Releases a version where none is. */
  const releaseFirst = (name: string, latest: string) =>
    records.add({ name, version: PromptDocument.LATEST }, JSON.stringify({ latest }))

  const storedOf = (name: string) =>
    Effect.flatMap(source.stored, (all) => {
      const stored = all.get(name)
      return stored === undefined
        ? Effect.fail(PromptFailure.missing(records.name, name, all.keys()))
        : Effect.succeed(stored)
    })

  const write = (name: string, record: Records.ReleaseRecord) =>
    records.set({ name, version: PromptDocument.LATEST }, JSON.stringify(record))

  /** Refuses what cannot be served, as far as this process knows. */
  const check = (name: string, release: PromptDocument.Release, { versions: stored }: Records.Stored) => {
    const where = Records.whereOf(records.name, name)
    const versions = new Map(Array.from(stored, ([version, { template }]) => [version, template]))
    const served = PromptDocument.releaseOf(release, versions, where)
    for (const version of Definition.released(served)) {
      const wrong = Definition.misfit(definitions.get(name), { versions, where }, version)
      if (wrong !== undefined) throw wrong
    }
    return served
  }

  const release: Publishing["release"] = (name, given) =>
    served(Effect.gen(function*() {
      const stored = yield* storedOf(name)
      const next = yield* PromptFailure.attempt(() => {
        const record = Records.releaseOf(records.name, name, JSON.stringify(given))
        if (record instanceof PromptError.PromptError) throw record
        check(name, record, stored)
        return record
      })
      const { history, ...current } = currentOf(records.name, name, stored)
      if (current.latest !== undefined && saysTheSame(JSON.stringify(current), JSON.stringify(next))) return
      const before = current.latest === undefined ? history : [current as PromptDocument.Release, ...history]
      yield* write(name, { ...next, history: before.slice(0, HISTORY) })
    }))

  const rollback: Publishing["rollback"] = (name) =>
    served(Effect.gen(function*() {
      const stored = yield* storedOf(name)
      const [earlier, ...history] = currentOf(records.name, name, stored).history
      if (earlier === undefined) {
        return yield* PromptFailure.make(
          new PromptError.NoEarlierRelease({}),
          Records.whereOf(records.name, name)([]),
          `There is no earlier release to go back to. Release one of ${PromptFailure.listed(stored.versions.keys())}.`
        )
      }
      yield* PromptFailure.attempt(() => check(name, earlier, stored))
      yield* write(name, { ...earlier, history })
      return earlier
    }))

  return { publish, release, rollback }
}

/** Publishes what is written where the store has no prompt of its name; nothing where any of it is wrong. @internal */
export const initialize = Effect.fnUntraced(function*(
  records: Records.Records,
  initial: Readonly<Record<string, PromptDocument.PromptDocument>>,
  definitions: ReadonlyMap<string, Definition.AnyDefinition>
): Effect.fn.Return<void, PromptError.PromptError> {
  const prompts = yield* PromptFailure.attempt(() =>
    Object.entries(initial).map(([name, document]) => {
      const prompt = PromptDocument.fromDocument(name, document, { source: "initial", lineOf: () => undefined })
      for (const version of Definition.released(prompt)) {
        const wrong = Definition.misfit(definitions.get(name), prompt, version)
        if (wrong !== undefined) throw wrong
      }
      const texts = Array.from(prompt.versions.keys(), (version) => {
        const key = { name, version }
        return [key, textOf(records.name, key, document.versions[version]!)] as const
      })
      return { prompt, texts }
    })
  )
  const known = new Map<string, Set<string>>()
  for (const { name, version } of yield* records.keys) known.set(name, (known.get(name) ?? new Set()).add(version))
  for (const { prompt: { latest, name, versions, weights }, texts } of prompts) {
    // What a process that ended meanwhile has begun is gone on with: it has no release yet, and nobody else's versions.
    if (Array.from(known.get(name) ?? []).some((version) => !versions.has(version))) continue
    for (const [key, text] of texts) yield* records.add(key, text)
    const release = plain({ latest, weights: Object.fromEntries(weights) })
    yield* records.add({ name, version: PromptDocument.LATEST }, JSON.stringify(release))
  }
})

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

/** What is kept of a version; throws a `PromptError`. */
const textOf = (store: string, { name, version }: Records.Key, document: object): string => {
  const where = Records.whereOf(store, name)(["versions", version])
  if (!PromptDocument.isName(name)) throw PromptDocument.noName(where)
  let text: string | undefined
  try {
    text = JSON.stringify(document)
  } catch {
    text = undefined
  }
  if (text === undefined) throw PromptFailure.malformed(where, "The template is no JSON. Write it as plain data.")
  return text
}

/** Without weights where there are none. */
const plain = ({ latest, weights }: PromptDocument.Release): PromptDocument.Release =>
  weights === undefined || Object.keys(weights).length === 0 ? { latest } : { latest, weights }

/** What is served, and what was before; a record that cannot be read says nothing of either. */
const currentOf = (
  store: string,
  name: string,
  { release: text, versions }: Records.Stored
): Partial<PromptDocument.Release> & { readonly history: ReadonlyArray<PromptDocument.Release> } => {
  if (text !== undefined) {
    const record = Records.releaseOf(store, name, text)
    return record instanceof PromptError.PromptError
      ? { history: [] }
      : { ...plain(record), history: record.history ?? [] }
  }
  const implied = PromptDocument.impliedLatest(versions.keys())
  return implied === undefined ? { history: [] } : { latest: implied, history: [] }
}

const saysTheSame = (a: string, b: string): boolean => canonical(a) === canonical(b)

const canonical = (text: string): string | undefined => {
  try {
    return CanonicalKey.textOf(JSON.parse(text))
  } catch {
    return undefined
  }
}
