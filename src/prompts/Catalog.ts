/**
 * The prompts that are served, and how new ones take their place: whole documents, each only if nothing is wrong with it.
 *
 * It is pure: a catalog and what was read make the next catalog, and what is wrong. A document that cannot be used keeps
 * its last good prompts, and so does one that does not go with the others: it has a prompt that another has, or no more one
 * that the code asks for. The rest is served as it is by now, so that one mistake holds up no other change.
 */
import * as Definition from "./Definition.ts"
import type { Prompt } from "./PromptDocument.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A file, or what a store has of one prompt. @internal */
export interface Document {
  /** What it is made of: it is read again only when one of them differs. */
  readonly texts: ReadonlyArray<string>
  /** Throws a `PromptError`. */
  readonly parse: () => ReadonlyArray<Prompt>
}

/** By source. @internal */
export type Documents = ReadonlyMap<string, Document>

interface Loaded {
  readonly texts: ReadonlyArray<string>
  readonly prompts: ReadonlyArray<Prompt>
}

/** @internal */
export interface Catalog {
  readonly documents: ReadonlyMap<string, Loaded>
  readonly prompts: ReadonlyMap<string, Prompt>
}

/** What came of reading. @internal */
export interface Update {
  readonly catalog: Catalog
  /** What stays as it was because of something wrong. */
  readonly problems: ReadonlyArray<PromptError.PromptError>
  /** What is first wrong, of each prompt, with versions that nobody is served. */
  readonly warnings: ReadonlyArray<PromptError.PromptError>
  /** The names of prompts that are new, gone, or no longer the same. */
  readonly changed: ReadonlyArray<string>
}

/** @internal */
export const empty: Catalog = { documents: new Map(), prompts: new Map() }

// -----------------------------------------------------------------------------
// combinators
// -----------------------------------------------------------------------------

/** The next catalog; what is being written still (not yet `settled`) stays as it was. @internal */
export const update = (
  before: Catalog,
  documents: Documents,
  definitions: ReadonlyMap<string, Definition.AnyDefinition>,
  /** What all documents are called together. */
  place: string,
  settled: (source: string) => boolean = () => true
): Update => {
  const problems: Array<PromptError.PromptError> = []
  const warnings: Array<PromptError.PromptError> = []
  const next = new Map<string, Loaded>()
  const keep = (source: string): void => {
    const known = before.documents.get(source)
    if (known === undefined) next.delete(source)
    else next.set(source, known)
  }
  for (const [source, document] of documents) {
    const known = before.documents.get(source)
    if ((known !== undefined && isSame(known, document)) || !settled(source)) {
      keep(source)
      continue
    }
    const prompts = parse(document)
    const wrong = prompts instanceof PromptError.PromptError ? prompts : misfit(prompts, definitions, warnings)
    if (wrong !== undefined || prompts instanceof PromptError.PromptError) {
      if (wrong !== undefined) problems.push(wrong)
      keep(source)
    } else next.set(source, { texts: document.texts, prompts })
  }
  for (const source of before.documents.keys()) if (!documents.has(source) && !settled(source)) keep(source)
  // One document after the other goes back to what it was, until nothing is wrong between them.
  while (true) {
    const conflict = conflictIn(before, next, definitions, place)
    if (conflict === undefined) break
    problems.push(conflict.problem)
    if (conflict.source === undefined) return { catalog: before, problems, warnings: [], changed: [] }
    keep(conflict.source)
  }
  const prompts = new Map(
    Array.from(next.values()).flatMap(({ prompts }) => prompts.map((prompt) => [prompt.name, prompt]))
  )
  return { catalog: { documents: next, prompts }, problems, warnings, changed: changes(before.prompts, prompts) }
}

/** Whether a document says what it said. @internal */
export const isSame = (
  a: { readonly texts: ReadonlyArray<string> },
  b: { readonly texts: ReadonlyArray<string> }
): boolean => a.texts.length === b.texts.length && a.texts.every((text, index) => text === b.texts[index])

// -----------------------------------------------------------------------------
// private
// -----------------------------------------------------------------------------

const parse = (document: Document): ReadonlyArray<Prompt> | PromptError.PromptError => {
  try {
    return document.parse()
  } catch (error) {
    if (error instanceof PromptError.PromptError) return error
    throw error
  }
}

/** What somebody is served has to fit; of what nobody is, it is told. */
const misfit = (
  prompts: ReadonlyArray<Prompt>,
  definitions: ReadonlyMap<string, Definition.AnyDefinition>,
  warnings: Array<PromptError.PromptError>
): PromptError.PromptError | undefined => {
  for (const prompt of prompts) {
    const definition = definitions.get(prompt.name)
    const released = Definition.released(prompt)
    let first: PromptError.PromptError | undefined
    for (const version of prompt.versions.keys()) {
      const isServed = released.has(version)
      if (first !== undefined && !isServed) continue
      const wrong = Definition.misfit(definition, prompt, version)
      if (isServed && wrong !== undefined) return wrong
      first ??= wrong
    }
    if (first !== undefined) warnings.push(first)
  }
  return undefined
}

/** What is wrong between documents, and which of those that have changed is to go back. */
interface Conflict {
  readonly problem: PromptError.PromptError
  readonly source?: string | undefined
}

const conflictIn = (
  before: Catalog,
  next: ReadonlyMap<string, Loaded>,
  definitions: ReadonlyMap<string, Definition.AnyDefinition>,
  place: string
): Conflict | undefined => {
  const prompts = new Map<string, Prompt>()
  for (const { prompts: own } of next.values()) {
    for (const prompt of own) {
      const other = prompts.get(prompt.name)
      // Who had it before keeps it.
      if (other !== undefined) {
        return before.prompts.get(prompt.name)?.source === prompt.source ? twice(other, prompt) : twice(prompt, other)
      }
      prompts.set(prompt.name, prompt)
    }
  }
  for (const name of definitions.keys()) {
    if (prompts.has(name)) continue
    return { problem: PromptFailure.missing(place, name, prompts.keys()), source: before.prompts.get(name)?.source }
  }
  return undefined
}

const twice = (prompt: Prompt, other: Prompt): Conflict => ({
  source: prompt.source,
  problem: PromptFailure.make(
    new PromptError.Duplicate({}),
    prompt.where([]),
    `The prompt is in ${other.source} too. Remove one of the two, or give it another name.`
  )
})

const changes = (before: ReadonlyMap<string, Prompt>, after: ReadonlyMap<string, Prompt>): ReadonlyArray<string> =>
  Array.from(new Set([...before.keys(), ...after.keys()])).filter((name) => before.get(name) !== after.get(name))
