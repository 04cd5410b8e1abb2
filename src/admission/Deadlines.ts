/**
 * Those who wait, the one who must leave first in front: a binary heap whose members know their place, so that one who
 * leaves early is taken out at once and nothing of it is kept.
 */

/** A member. @internal */
export interface Due {
  readonly deadline: number
  /** Where it is in the heap; -1 where it is in none. */
  place: number
}

/** @internal */
export class Deadlines<A extends Due> {
  private readonly heap: Array<A> = []

  get first(): A | undefined {
    return this.heap[0]
  }

  add(due: A): void {
    this.heap.push(due)
    this.up(this.heap.length - 1, due)
  }

  remove(due: A): void {
    const { place } = due
    if (place < 0) return
    due.place = -1
    const last = this.heap.pop()!
    if (last === due) return
    // The last one takes the place that is free, and goes to where it belongs from there.
    if (place > 0 && last.deadline < this.heap[(place - 1) >> 1]!.deadline) this.up(place, last)
    else this.down(place, last)
  }

  private up(from: number, due: A): void {
    let place = from
    while (place > 0) {
      const parent = this.heap[(place - 1) >> 1]!
      if (parent.deadline <= due.deadline) break
      this.set(place, parent)
      place = (place - 1) >> 1
    }
    this.set(place, due)
  }

  private down(from: number, due: A): void {
    const { heap } = this
    let place = from
    for (;;) {
      let child = 2 * place + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.deadline < heap[child]!.deadline) child++
      if (heap[child]!.deadline >= due.deadline) break
      this.set(place, heap[child]!)
      place = child
    }
    this.set(place, due)
  }

  private set(place: number, due: A): void {
    this.heap[place] = due
    due.place = place
  }
}
