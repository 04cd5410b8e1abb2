/**
 * Questions that may be asked twice: ids for them, and the memory of a store that is in this process.
 */
import { REMEMBERED_MILLIS } from "./Stores.ts"

/** Makes ids that no other process makes: these are not a program's chance, which a test may seed. @internal */
export const makeIds = (): () => string => {
  const who = globalThis.crypto.randomUUID().slice(0, 18)
  let count = 0
  return () => `${who}-${count++}`
}

/** The ids that were asked under and what came of it, for as long as they may come again. @internal */
export class SeenIds<A> {
  private readonly seen = new Map<string, { readonly outcome: A; readonly until: number }>()

  get(id: string | undefined, now: number): A | undefined {
    const known = id === undefined ? undefined : this.seen.get(id)
    return known !== undefined && known.until > now ? known.outcome : undefined
  }

  set(id: string | undefined, outcome: A, now: number): void {
    if (id === undefined) return
    // All are kept equally long, so the oldest are the first.
    for (const [old, { until }] of this.seen) {
      if (until > now) break
      this.seen.delete(old)
    }
    this.seen.set(id, { outcome, until: now + REMEMBERED_MILLIS })
  }
}
