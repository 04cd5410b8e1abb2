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

/** The ids that were asked under, for as long as they may come again. @internal */
export class SeenIds {
  private readonly until = new Map<string, number>()

  has(id: string | undefined, now: number): boolean {
    return id !== undefined && (this.until.get(id) ?? now) > now
  }

  add(id: string | undefined, now: number): void {
    if (id === undefined) return
    // All are kept equally long, so the oldest are the first.
    for (const [old, until] of this.until) {
      if (until > now) break
      this.until.delete(old)
    }
    this.until.set(id, now + REMEMBERED_MILLIS)
  }
}
