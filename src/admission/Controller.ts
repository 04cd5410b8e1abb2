export class Controller {
  private readonly min: number
  private readonly max: number
  private held: number
  private current: number
  private phase: "hold" | "up" | "down" = "hold"
  private target: number
  private ceiling = Infinity
  private step: number
  private downStep = 0.13
  private wait = 1
  private left = 1
  private since = -Infinity
  private cutAt = -Infinity
  private cut = 1
  private reference = new Stats()
  private round = new Stats()

  constructor(options: { readonly min: number; readonly max: number }) {
    this.min = options.min
    this.max = options.max
    this.held = this.current = this.target = Math.max(this.min, Math.min(this.max, 16))
    this.step = this.held
    if (this.held < this.max) this.climb(-Infinity)
  }
  get level(): number {
    return this.current
  }

  content(now: number, s: { startedAt: number; firstContentMillis: number; inFlight: number; limited: boolean }): void {
    this.answered(now, s, Math.log(Math.max(1, s.firstContentMillis)))
  }
  success(now: number, s: { startedAt: number; inFlight: number; limited: boolean }): void {
    this.answered(now, s, undefined)
  }
  overloaded(now: number, s: { startedAt: number; inFlight: number }): void {
    if (s.startedAt <= this.cutAt) return
    const n = s.inFlight
    if (n > this.held) {
      if (this.phase !== "up") return
      this.cutAt = now
      this.ceiling = Math.min(this.ceiling, n)
      this.current = this.held
      this.climb(now)
      return
    }
    this.cutAt = now
    this.ceiling = n
    this.held = this.current = Math.max(this.min, n - Math.max(1, Math.min(this.cut, Math.floor(n / 4))))
    this.cut *= 2
    this.wait = 1
    this.hold(now)
  }

  private answered(now: number, s: { startedAt: number; inFlight: number; limited: boolean }, ln: number | undefined) {
    if (!s.limited || 2 * s.inFlight < Math.min(this.held, this.current)) return
    if (this.phase === "up") {
      if (s.startedAt < this.since) {
        if (s.inFlight <= this.held) this.reference.add(ln)
      } else if (2 * s.inFlight > this.held + this.target) this.round.add(ln)
      if (this.current < this.target) {
        this.current = Math.min(this.target, this.current + Math.ceil((this.target - this.held) / 8))
      }
      if (this.current === this.target && this.round.answers >= Math.max(8, this.target / 4)) {
        this.cut = 1
        if (worse(this.reference, this.round, this.target / this.held)) {
          this.ceiling = this.target
          this.current = this.held
        } else {
          if (this.target >= this.ceiling) this.ceiling = Infinity
          this.held = this.target
          this.reference = this.round
          this.step *= 4
          this.wait = 1
        }
        this.climb(now)
      }
      return
    }
    if (s.startedAt < this.since) return
    this.round.add(ln)
    if (this.phase === "down") {
      if (this.round.answers < Math.max(8, this.current / 4)) return
      this.cut = 1
      if (worse(this.round, this.reference, this.held / this.current)) {
        this.ceiling = this.held
        this.held = this.current
        this.reference = this.round
        this.downStep *= 2
        this.wait = 1
        this.descend(now)
      } else {
        this.current = this.held
        this.downStep = 0.13
        this.hold(now)
      }
      return
    }
    if (this.round.answers < Math.max(8, this.current)) return
    this.cut = 1
    if (worse(this.reference, this.round, 1.6, 3)) {
      this.reference = this.round
      this.descend(now)
      return
    }
    this.reference.halve()
    this.reference.merge(this.round)
    this.round = new Stats()
    if (--this.left > 0) return
    if (this.ceiling - this.held <= this.small) {
      this.ceiling = Infinity
      this.step = this.small
    }
    this.climb(now)
  }
  private get small() {
    return Math.max(1, Math.round(this.held / 16))
  }
  private hold(now: number) {
    this.phase = "hold"
    this.left = this.wait
    this.wait = Math.min(8, this.wait * 2)
    this.since = now
    this.round = new Stats()
  }
  private climb(now: number) {
    const gap = this.ceiling - this.held
    if (gap <= this.small || this.held === this.max) return this.descend(now)
    this.phase = "up"
    this.target = Math.min(this.max, this.held + Math.max(1, Math.min(this.step, Math.floor(gap / 2))))
    this.since = now
    this.round = new Stats()
  }
  private descend(now: number) {
    if (this.held === this.min) return this.hold(now)
    this.phase = "down"
    this.current = Math.max(this.min, this.held - Math.max(1, Math.round(this.held * this.downStep)))
    this.since = now
    this.round = new Stats()
  }
}

const worse = (a: Stats, b: Stats, ratio: number, z = 2) => {
  if (a.count < 4 || b.count < 4) return false
  const variance = (a.ss + b.ss) / (a.count + b.count - 2)
  return b.mean - a.mean > Math.max(0.5 * Math.log(ratio), z * Math.sqrt(variance * (1 / a.count + 1 / b.count)))
}

class Stats {
  answers = 0
  count = 0
  sum = 0
  squares = 0
  add(x: number | undefined) {
    this.answers++
    if (x === undefined) return
    this.count++
    this.sum += x
    this.squares += x * x
  }
  get mean() {
    return this.sum / this.count
  }
  get ss() {
    return Math.max(0, this.squares - this.sum * this.sum / this.count)
  }
  halve() {
    this.answers /= 2
    this.count /= 2
    this.sum /= 2
    this.squares /= 2
  }
  merge(b: Stats) {
    this.answers += b.answers
    this.count += b.count
    this.sum += b.sum
    this.squares += b.squares
  }
}
