/**
 * Keeps a catalog as its source has it: read whole when it begins, and looked at again from time to time.
 *
 * When it begins, anything wrong is a failure. Later, what cannot be used or read leaves the last good prompts in place,
 * is counted each time, and is logged once. What has changed is read twice, a moment apart, and taken when both say the
 * same: a file that is being written is left for the next look.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Attributes from "../telemetry/Attributes.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import * as Catalog from "./Catalog.ts"
import type { AnyDefinition } from "./Definition.ts"
import * as PromptError from "./PromptError.ts"
import * as PromptFailure from "./PromptFailure.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface LoadOptions {
  /** Prompts that the code asks for: each has to be there, and to insert no variable that it lacks. @default none is checked before it is used */
  readonly prompts?: ReadonlyArray<AnyDefinition> | undefined
  /** How often it is looked at again for changes; `false` never. @default "5 seconds" */
  readonly watch?: Duration.Input | false | undefined
}

/** @internal */
export interface Resolved {
  readonly definitions: ReadonlyMap<string, AnyDefinition>
  /** In milliseconds. */
  readonly every: number | undefined
}

/** Reads the options of a layer; throws a `RangeError` that names the one that is wrong. @internal */
export const resolve = (layer: string, { prompts = [], watch = "5 seconds" }: LoadOptions): Resolved => {
  const definitions = new Map<string, AnyDefinition>()
  for (const definition of prompts) {
    if (definitions.has(definition.name)) {
      throw new RangeError(
        `Prompts.${layer}: prompts has ${PromptFailure.show(definition.name)} twice; expected it once.`
      )
    }
    definitions.set(definition.name, definition)
  }
  if (watch === false) return { definitions, every: undefined }
  const every = Duration.fromInput(watch)
  const millis = every._tag === "Some" ? Duration.toMillis(every.value) : Number.NaN
  if (!(millis > 0 && Number.isFinite(millis))) {
    throw new RangeError(`Prompts.${layer}: watch is ${String(watch)}; expected a duration above zero, or false.`)
  }
  return { definitions, every: millis }
}

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** Where prompts are read from. @internal */
export interface Source {
  /** What it is called in messages. */
  readonly name: string
  readonly read: Effect.Effect<Catalog.Documents, PromptError.PromptError>
}

/** @internal */
export interface Reloading {
  /** What its source is called. */
  readonly name: string
  readonly catalog: () => Catalog.Catalog
  /** Looks now, and fails with the first thing that is wrong; what is not wrong is taken all the same. */
  readonly reload: Effect.Effect<void, PromptError.PromptError>
}

/** What has changed is read again after so long. */
const SETTLE_MILLIS = 100

/** A catalog that is up to date for as long as the scope is open. @internal */
export const make = Effect.fnUntraced(function*(
  source: Source,
  { definitions, every }: Resolved
): Effect.fn.Return<Reloading, PromptError.PromptError, Scope.Scope> {
  const semaphore = yield* Semaphore.make(1)
  let catalog = Catalog.empty
  // What is wrong and was told, so that it is told once; what is mended and breaks again is told again.
  let told: ReadonlySet<string> = new Set()

  const read = PromptFailure.inTime(source.name, source.read)

  const take = Effect.fnUntraced(function*(update: Catalog.Update): Effect.fn.Return<void> {
    const isFirst = catalog === Catalog.empty
    catalog = update.catalog
    if (!isFirst && update.changed.length > 0) {
      yield* counted("changed")
      yield* logChanged(update.changed)
    }
    for (const warning of update.warnings) yield* logWrong(warning)
  })

  const tell = Effect.fnUntraced(function*(problems: ReadonlyArray<PromptError.PromptError>): Effect.fn.Return<void> {
    for (const problem of problems) {
      yield* counted(problem.reason._tag === "Unavailable" ? "unavailable" : "refused")
      if (!told.has(problem.message)) yield* logWrong(problem)
    }
    told = new Set(problems.map((problem) => problem.message))
  })

  const load = Effect.flatMap(read, (documents) => {
    const update = Catalog.update(catalog, documents, definitions, source.name)
    const [problem] = update.problems
    return Effect.andThen(take(update), problem === undefined ? Effect.void : Effect.fail(problem))
  })

  const look = Effect.gen(function*() {
    const first = yield* read
    if (isSame(catalog, first)) return yield* tell([])
    yield* Effect.sleep(SETTLE_MILLIS)
    const second = yield* read
    const settled = (source: string) => {
      const [before, after] = [first.get(source), second.get(source)]
      return before === undefined || after === undefined ? before === after : Catalog.isSame(before, after)
    }
    const update = Catalog.update(catalog, second, definitions, source.name, settled)
    yield* take(update)
    yield* tell(update.problems)
  }).pipe(
    Effect.catch((problem) => tell([problem])),
    // A defect in one look must not end all looking.
    Effect.catchCause((cause) =>
      tell([PromptFailure.unavailable(source.name, `Reading failed: ${Cause.pretty(cause)}`)])
    )
  )

  yield* load
  if (every !== undefined) {
    yield* Effect.sleep(every).pipe(Effect.andThen(semaphore.withPermit(look)), Effect.forever, Effect.forkScoped)
  }
  return { name: source.name, catalog: () => catalog, reload: semaphore.withPermit(load) }
})

const isSame = (catalog: Catalog.Catalog, documents: Catalog.Documents): boolean => {
  if (catalog.documents.size !== documents.size) return false
  for (const [source, document] of documents) {
    const known = catalog.documents.get(source)
    if (known === undefined || !Catalog.isSame(known, document)) return false
  }
  return true
}

// -----------------------------------------------------------------------------
// telemetry
// -----------------------------------------------------------------------------

const counted = (outcome: Attributes.PromptsOutcome): Effect.Effect<void> =>
  Metric.update(Metrics.promptReloads(outcome), 1)

const logChanged = (names: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logInfo(Attributes.promptsChangedLog), {
    [Attributes.promptsNames]: PromptFailure.listed(names)
  })

const logWrong = ({ message, reason }: PromptError.PromptError): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWarning(Attributes.promptsRefusedLog), {
    [Attributes.promptsReason]: reason._tag,
    [Attributes.promptsMessage]: message
  })
