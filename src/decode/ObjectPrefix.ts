/**
 * An object of a schema while its JSON arrives: what of it can be told already, decoded.
 *
 * What is complete is decoded by its own part of the schema, with its transformations; a part that does not decode is
 * left out. Around the end, structs, classes, records, lists and tuples go on, as plain objects and arrays without their
 * checks. A string goes on where nothing but its length is checked. All else comes when it is whole: numbers, literals,
 * other checked strings, what is transformed. A union goes on once all that is complete leaves one member.
 *
 * The surprise: a part is decoded when it is complete, and again with each that it completes, so a schema's own effects
 * run several times. And a long list or record is told less often than it comes: what is told is a copy of it.
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import { JsonPrefix, type Open, type OpenList, type OpenObject } from "./JsonPrefix.ts"
import { type Fields, mayBe, none, type Part, partOf, REST, type Shape, tailKey } from "./ObjectShape.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** What is known of an open value by one shape. */
interface Known {
  /** How many of its children have been decoded. */
  seen: number
  /** One of them did not decode: it is not of this shape. */
  isUnfit: boolean
  readonly items: Array<unknown>
  readonly fields: Map<string, unknown>
}

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** How many elements may be copied each time that a part is told, and how many more for each character that has come. */
const FREE = 1000
const PER_CHARACTER = 4
/** A record is made anew, at the price of so many elements for each of its keys. */
const KEY = 8

/** @internal */
export class ObjectPrefix {
  private readonly json = new JsonPrefix()
  private readonly known = new WeakMap<Open, Map<Shape, Known>>()
  private readonly part: Part
  private last: unknown = none
  /** What has come since something was told, and what that has copied. */
  private come = 0
  private copied = 0

  constructor(schema: Schema.Constraint) {
    this.part = partOf(schema.ast)
  }

  /** Takes more of the JSON. */
  add(json: string): void {
    this.json.add(json)
    this.come += json.length
  }

  /** What can be told now, if that is more than before; `pick` takes of it what is of interest. */
  next(pick: (value: unknown) => unknown): Effect.Effect<{ readonly value: unknown } | void, never, unknown> {
    const { isBroken, root } = this.json
    // What is complete is for who decodes all of it.
    if (root === undefined || isBroken) return Effect.void
    if (this.copied > FREE + this.come * PER_CHARACTER) return Effect.void
    this.come = 0
    this.copied = 0
    return Effect.map(this.view(root, this.part.shape()), (told) => {
      const value = told === none ? undefined : pick(told)
      if (value === undefined || isSame(this.last, value)) return undefined
      this.last = value
      return { value }
    })
  }

  private view(open: Open, shape: Shape): Effect.Effect<unknown, never, unknown> {
    switch (shape._tag) {
      case "Text":
        return open._tag === "Text" ? shape.decode(open.text) : untold
      case "List":
        return open._tag === "List" ? this.list(open, shape) : untold
      case "Record":
        return open._tag === "List" ? this.record(open, shape) : untold
      case "Fields":
        return open._tag === "Object" ? Effect.map(this.fields(open, shape), fromFields) : untold
      case "Tuple":
        return open._tag === "Object"
          ? Effect.map(this.fields(open, shape.fields), (fields) => tuple(fields, open.key, shape))
          : untold
      case "Union":
        return this.union(open, shape.members)
      default:
        return untold
    }
  }

  private readonly list = Effect.fnUntraced(function*(
    this: ObjectPrefix,
    open: OpenList,
    shape: Shape & { readonly _tag: "List" }
  ): Effect.fn.Return<unknown, never, unknown> {
    const known = this.of(open, shape)
    while (known.seen < open.items.length) {
      const item = yield* shape.item.decode(open.items[known.seen++])
      if (item === none) known.isUnfit = true
      // After one that is left out, the others would stand in another's place.
      if (!known.isUnfit) known.items.push(item)
    }
    this.copied += known.items.length
    if (known.isUnfit || open.open === undefined) return [...known.items]
    const last = yield* this.view(open.open, shape.item.shape())
    return last === none ? [...known.items] : [...known.items, last]
  })

  /** A record comes as a list of its keys and values. */
  private readonly record = Effect.fnUntraced(function*(
    this: ObjectPrefix,
    open: OpenList,
    shape: Shape & { readonly _tag: "Record" }
  ): Effect.fn.Return<unknown, never, unknown> {
    const known = this.of(open, shape)
    while (known.seen < open.items.length) {
      const item = open.items[known.seen++]
      const key = Predicate.isObject(item) ? Reflect.get(item, "0") : undefined
      const entry = typeof key === "string" ? yield* shape.entry(key).decode([item]) : none
      if (entry === none) known.isUnfit = true
      else for (const [key, value] of Object.entries(entry as object)) known.fields.set(key, value)
    }
    this.copied += known.fields.size * KEY
    const pair = open.open
    if (pair?._tag !== "Object") return fromFields(known.fields)
    const children = new Map(pair.entries)
    const key = children.get("0")
    if (typeof key !== "string") return fromFields(known.fields)
    const entry = shape.entry(key)
    if (children.has("1")) {
      // Only its bracket is still to come.
      const last = yield* entry.decode([Object.fromEntries(children)])
      return fromFields(last === none ? known.fields : new Map([...known.fields, ...Object.entries(last as object)]))
    }
    if (pair.open === undefined || pair.key !== "1") return fromFields(known.fields)
    const last = yield* this.view(pair.open, entry.shape())
    return fromFields(last === none ? known.fields : new Map(known.fields).set(key, last))
  })

  private readonly fields = Effect.fnUntraced(function*(
    this: ObjectPrefix,
    open: OpenObject,
    shape: Fields
  ): Effect.fn.Return<ReadonlyMap<string, unknown>, never, unknown> {
    const known = this.of(open, shape)
    while (known.seen < open.entries.length) {
      const [key, value] = open.entries[known.seen++]!
      const decoded = (yield* shape.parts.get(key)?.decode(value) ?? untold) as object | typeof none
      if (decoded === none) known.isUnfit = true
      else if (Object.hasOwn(decoded, key)) known.fields.set(key, Reflect.get(decoded, key))
    }
    const part = open.key === undefined ? undefined : shape.parts.get(open.key)
    if (part === undefined || open.open === undefined) return known.fields
    const last = yield* this.view(open.open, part.shape())
    return last === none ? known.fields : new Map(known.fields).set(open.key!, last)
  })

  private readonly union = Effect.fnUntraced(function*(
    this: ObjectPrefix,
    open: Open,
    members: ReadonlyArray<Shape>
  ): Effect.fn.Return<unknown, never, unknown> {
    const possible = members.filter((member) => mayBe(member, open) && !this.isUnfit(open, member))
    if (open._tag === "Text") {
      // A literal is as much of a text as any other.
      const texts = possible.filter(({ _tag }) => _tag === "Text")
      return texts.length > 0 && possible.every(({ _tag }) => _tag === "Text" || _tag === "Literal")
        ? yield* this.view(open, texts[0]!)
        : none
    }
    let told: unknown = none
    let fit = 0
    for (const member of possible) {
      const value = yield* this.view(open, member)
      if (this.isUnfit(open, member)) continue
      fit++
      told = value
    }
    return fit === 1 ? told : none
  })

  private isUnfit(open: Open, shape: Shape): boolean {
    const of = shape._tag === "Tuple" ? shape.fields : shape
    return this.known.get(open)?.get(of)?.isUnfit === true
  }

  private of(open: Open, shape: Shape): Known {
    let known = this.known.get(open)
    if (known === undefined) this.known.set(open, known = new Map())
    let of = known.get(shape)
    if (of === undefined) known.set(shape, of = { seen: 0, isUnfit: false, items: [], fields: new Map() })
    return of
  }
}

const untold = Effect.succeed(none)

/** As `Object.fromEntries`, `__proto__` is a key as any other. */
const fromFields = (fields: ReadonlyMap<string, unknown>): unknown => Object.fromEntries(fields)

/** The elements of a tuple up to the first that is open or missing. */
const tuple = (
  fields: ReadonlyMap<string, unknown>,
  openKey: string | undefined,
  { length, tail }: { readonly length: number; readonly tail: number }
): unknown => {
  let items: Array<unknown> = []
  const keys = [
    ...Array.from({ length }, (_, n) => String(n)),
    REST,
    ...Array.from({ length: tail }, (_, n) => tailKey(n))
  ]
  for (const key of keys) {
    if (!fields.has(key)) break
    const value = fields.get(key)
    if (key === REST) items = items.concat(value)
    else items.push(value)
    if (key === openKey) break
  }
  return items
}

/** Parts that were complete before are the same values, so this is as cheap as making the object was. */
const isSame = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, n) => isSame(item, b[n]))
  if (!isPlain(a) || !isPlain(b)) return !isPlain(a) && !isPlain(b) && Equal.equals(a, b)
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]))
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
