/**
 * The prompts that are served, and how new ones take their place: whole documents, each only if nothing is wrong with it.
 *
 * It is pure: a catalog and what was read make the next catalog, and what is wrong. A document that cannot be used keeps
 * its last good prompts. What is wrong between documents (a prompt in two files, one that the code asks for and nobody
 * has) keeps all that was served before.
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
  /** What is wrong with versions that nobody is served. */
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
  for (const [source, document] of documents) {
    const known = before.documents.get(source)
    if ((known !== undefined && isSame(known, document)) || !settled(source)) {
      if (known !== undefined) next.set(source, known)
      continue
    }
    const prompts = parse(document)
    const wrong = prompts instanceof PromptError.PromptError ? prompts : misfit(prompts, definitions, warnings)
    if (wrong === undefined && !(prompts instanceof PromptError.PromptError)) {
      next.set(source, { texts: document.texts, prompts })
    } else {
      if (wrong !== undefined) problems.push(wrong)
      if (known !== undefined) next.set(source, known)
    }
  }
  for (const [source, known] of before.documents) {
    if (!documents.has(source) && !settled(source)) next.set(source, known)
  }
  const assembled = assemble(next, definitions, place)
  // What a document that is refused would have brought is not missing besides.
  if (assembled instanceof PromptError.PromptError) {
    return { catalog: before, problems: problems.length > 0 ? problems : [assembled], warnings: [], changed: [] }
  }
  return {
    catalog: { documents: next, prompts: assembled },
    problems,
    warnings,
    changed: changes(before.prompts, assembled)
  }
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
    for (const version of prompt.versions.keys()) {
      const wrong = Definition.misfit(definition, prompt, version)
      if (wrong === undefined) continue
      if (released.has(version)) return wrong
      warnings.push(wrong)
    }
  }
  return undefined
}

const assemble = (
  documents: ReadonlyMap<string, Loaded>,
  definitions: ReadonlyMap<string, Definition.AnyDefinition>,
  place: string
): ReadonlyMap<string, Prompt> | PromptError.PromptError => {
  const prompts = new Map<string, Prompt>()
  for (const { prompts: own } of documents.values()) {
    for (const prompt of own) {
      const other = prompts.get(prompt.name)
      if (other !== undefined) {
        return PromptFailure.make(
          new PromptError.Duplicate({}),
          prompt.where([]),
          `The prompt is in ${other.source} too. Remove one of the two, or give it another name.`
        )
      }
      prompts.set(prompt.name, prompt)
    }
  }
  for (const name of definitions.keys()) {
    if (!prompts.has(name)) return PromptFailure.missing(place, name, prompts.keys())
  }
  return prompts
}

const changes = (before: ReadonlyMap<string, Prompt>, after: ReadonlyMap<string, Prompt>): ReadonlyArray<string> =>
  Array.from(new Set([...before.keys(), ...after.keys()])).filter((name) => before.get(name) !== after.get(name))
