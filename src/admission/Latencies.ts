/**
 * Answers, and what their latencies come to: sums of logarithms, since latencies scatter by factors.
 *
 * @internal
 */
export class Latencies {
  answers = 0
  count = 0
  private sum = 0
  private squares = 0

  add(latency: number | undefined): void {
    this.answers += 1
    if (latency === undefined) return
    this.count += 1
    this.sum += latency
    this.squares += latency * latency
  }

  get mean(): number {
    return this.sum / this.count
  }

  private get deviations(): number {
    return Math.max(0, this.squares - this.sum * this.sum / this.count)
  }

  /** The variance of the difference of both means, were they of one kind. */
  scatter(that: Latencies): number {
    const variance = (this.deviations + that.deviations) / (this.count + that.count - 2)
    return variance * (1 / this.count + 1 / that.count)
  }

  /** The square of that difference, beyond its variance. */
  apart(that: Latencies): number {
    return this.count < 4 || that.count < 4 ? 0 : (that.mean - this.mean) ** 2 - this.scatter(that)
  }

  /** Milliseconds in which nearly all of them answer. */
  slow(): number {
    return this.count < 4 ? 0 : Math.exp(this.mean + 2 * Math.sqrt(this.deviations / (this.count - 1)))
  }

  /** Takes a later round in and forgets the half of what was. */
  follow(round: Latencies): void {
    this.answers = this.answers / 2 + round.answers
    this.count = this.count / 2 + round.count
    this.sum = this.sum / 2 + round.sum
    this.squares = this.squares / 2 + round.squares
  }
}
