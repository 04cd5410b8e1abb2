/**
 * Whether a server that refuses some serves others: it is full then, and not down.
 */

/** How many attempts are looked at, and which part of them must be served. */
const LATEST = 20
const SERVED = 0.2

/** @internal */
export class Serving<A> {
  /** Of the latest attempts, which were served and which were too many. */
  private readonly latest: Array<boolean> = []
  /** What is on its way, in the order in which it was sent. */
  private readonly underWay = new Set<A>()

  sent(attempt: A): void {
    this.underWay.add(attempt)
  }

  over(attempt: A): void {
    this.underWay.delete(attempt)
  }

  /** It was served, or refused as one too many. */
  answered(served: boolean): void {
    this.latest.push(served)
    if (this.latest.length > LATEST) this.latest.shift()
  }

  /** Whether others are served, or seem to be, when this one is refused. */
  servesBeside(refused: A): boolean {
    // A refusal comes at once, so what was sent before and has no answer yet is being worked on.
    let older = 0
    for (const attempt of this.underWay) {
      if (attempt === refused) break
      older++
    }
    const served = this.latest.reduce((sum, served) => sum + Number(served), older)
    return served >= SERVED * (this.latest.length + older)
  }
}
