/**
 * How many attempts may be in flight, found by trial: the highest level that provokes neither refusals nor a rise of the
 * time to first content.
 *
 * There is no baseline that could go stale. A level is held for some rounds, then compared with one above it, now and
 * then with one below, and the better of the two is held. So a slower day of the server, which lowering does not cure,
 * lowers nothing. Latencies are compared by their logarithms and against their own scatter.
 *
 * A pure state machine: milliseconds are passed in, a sample costs the same whatever came before.
 */
import { Latencies } from "./Latencies.ts"

/** An attempt that told something of the level. @internal */
export interface Sample {
  readonly startedAt: number
  /** How many attempts were in flight when it started, itself included. */
  readonly inFlight: number
}

/** One that was answered. @internal */
export interface AnswerSample extends Sample {
  /** Since it started, the level was reached or kept a call waiting (for a permit, not for rate). */
  readonly limited: boolean
}

/** One whose first content was timed. @internal */
export interface ContentSample extends AnswerSample {
  readonly firstContentMillis: number
}

/** High enough that a server that is well gives 64 after two doublings; one that takes 8 refuses one burst. */
const startLevel = 16
/** A trial rises over 8 answers, so a refusal, which comes within milliseconds, stops it an eighth beyond at most. */
const rampAnswers = 8
/** The first step beyond what is known, in parts of the level: half of it would not show in latencies. */
const smallStep = 1 / 16
/** A success widens the next step as much: from 8 to 64 in four trials. */
const stepGrowth = 6
/** How far a trial goes below: where latency doubles over a seventh of the range, that much shows. */
const downStep = 1 / 8
/** A round is as many answers as the level, but enough of them to compare. */
const roundAnswers = 8
/** Rounds between trials, doubled with each that fails: at most one refusal in 64 answers, below 2 %. */
const maxRounds = 8
/** Where a trial shows in latencies and is refused by nobody, it costs less. */
const fewRounds = 3
/** One lone refusal in so many answers lowers nothing: the 2 % that may remain are not always ours. */
const answersPerForgiven = 50
/** Calls a second are the level over their time: a rise of more than this part of the level's own gains too little. */
const gain = 0.75
/** In logarithms: a third slower is slower, however wide the step. */
const rise = 0.3
/** Standard errors that a rise must exceed: to leave a level, to refuse one, to do so without waiting for all answers. */
const enough = 2
const likely = 2.5
const sure = 3.5

/** @internal */
export class Controller {
  private readonly min: number
  private readonly max: number
  /** The best level known; a trial is about another. */
  private held: number
  private current: number
  private phase: "hold" | "up" | "down" = "hold"
  private target: number
  /** The lowest level that failed since the last probe. */
  private ceiling = Infinity
  private step: number
  /** How many rounds the next hold has, how many are left of this one, and how many holds brought nothing new. */
  private rounds = 1
  private roundsLeft = 1
  private holds = 0
  /** Attempts that started before tell nothing of this phase. */
  private since = -Infinity
  /** Answers before favour quick attempts, as the slow ones are still on their way. */
  private countFrom = -Infinity
  /** The most in flight in this trial: a level that is never filled is not known. */
  private peak = 0
  private cutAt = -Infinity
  private mostRounds = maxRounds
  private cut = 1
  private forgiveness = 0
  /** Latencies at the held level, and those of the round or trial under way. */
  private reference = new Latencies()
  private round = new Latencies()
  /** How far rounds at one level lie apart beyond their scatter: prompts change too. A variance. */
  private drift = 0

  constructor(options: { readonly min: number; readonly max: number }) {
    const { max, min } = options
    for (const [field, value] of [["min", min], ["max", max]] as const) {
      if (!(Number.isSafeInteger(value) && value >= 1)) {
        throw new RangeError(`Controller: ${field} must be a whole number of at least 1, got ${value}`)
      }
    }
    if (min > max) throw new RangeError(`Controller: min must not exceed max, got ${min} and ${max}`)
    this.min = min
    this.max = max
    this.held = this.current = this.target = Math.max(min, Math.min(max, startLevel))
    this.step = this.held
    this.climb(-Infinity)
  }

  /** How many attempts may be in flight now: a whole number between min and max. */
  get level(): number {
    return this.current
  }

  /** An attempt was answered with its first content. */
  content(now: number, sample: ContentSample): void {
    this.answered(now, sample, Math.log(Math.max(1, sample.firstContentMillis)))
  }

  /** An attempt succeeded that tells no time to its first content. */
  success(now: number, sample: AnswerSample): void {
    this.answered(now, sample, undefined)
  }

  /** An attempt was refused or lost because there was too much. */
  overloaded(now: number, sample: Sample): void {
    this.check(now)
    // One round trip brings one decrease, whatever else was on its way.
    if (sample.startedAt <= this.cutAt) return
    if (sample.inFlight > this.held) {
      if (this.phase !== "up") return
      this.cutAt = now
      this.ceiling = Math.min(this.ceiling, sample.inFlight)
      this.current = this.held
      this.mostRounds = maxRounds
      return this.climb(now)
    }
    this.cutAt = now
    if (this.forgiveness >= 1) {
      this.forgiveness -= 1
      return
    }
    // Twice as far with each refusal until a round has none: a capacity that fell is met in a few.
    const down = Math.max(1, Math.min(this.cut, Math.floor(sample.inFlight / 4)))
    this.held = this.current = Math.max(this.min, sample.inFlight - down)
    this.cut *= 2
    this.ceiling = Infinity
    this.step = this.small()
    this.rounds = 1
    this.holds = 0
    if (this.held === this.min) this.climb(now)
    else this.hold(now)
  }

  /** A clock that was set back makes all that was before unknown. */
  private check(now: number): void {
    if (now < this.cutAt) this.cutAt = -Infinity
    if (now < this.since) this.since = this.countFrom = now
  }

  private answered(now: number, sample: AnswerSample, latency: number | undefined): void {
    this.check(now)
    this.forgiveness = Math.min(1, this.forgiveness + 1 / answersPerForgiven)
    // Without demand nothing is learned.
    if (!sample.limited || 2 * sample.inFlight < Math.min(this.held, this.current)) return
    if (this.phase === "up") this.tryAbove(now, sample, latency)
    else if (sample.startedAt >= this.since && now >= this.countFrom) {
      this.round.add(latency)
      if (this.round.answers < Math.max(roundAnswers, this.current)) return
      this.cut = 1
      if (this.phase === "down") this.judgeBelow(now)
      else this.judgeRound(now)
    }
  }

  private tryAbove(now: number, sample: AnswerSample, latency: number | undefined): void {
    const { held, target } = this
    const ratio = target / held
    if (sample.startedAt >= this.since) {
      this.peak = Math.max(this.peak, sample.inFlight)
      if (sample.inFlight > held + 0.75 * (target - held)) this.round.add(latency)
    } else if (sample.inFlight <= held) this.reference.add(latency)
    this.current = Math.min(target, this.current + Math.ceil((target - held) / rampAnswers))
    if (!this.isSlower(this.reference, this.round, ratio, sure)) {
      // A narrow step shows less and takes more answers; a wide one must not wait until long calls make room for them.
      if (this.peak < target || this.round.answers < Math.max(4, 3 * held / ratio ** 4)) return
      this.cut = 1
      if (!this.isSlower(this.reference, this.round, ratio, likely)) {
        if (target >= this.ceiling) this.ceiling = Infinity
        if (this.step > this.small()) {
          this.rounds = 1
          this.holds = 0
        }
        this.step *= stepGrowth
        this.held = target
        this.reference = this.round
        return this.climb(now)
      }
    }
    this.ceiling = target
    this.current = held
    this.mostRounds = fewRounds
    this.climb(now)
  }

  private judgeBelow(now: number): void {
    if (this.isSlower(this.round, this.reference, this.held / this.current, enough)) {
      this.ceiling = this.held
      this.held = this.current
      this.reference = this.round
      this.descend(now)
    } else {
      this.current = this.held
      this.probe(now)
    }
  }

  private judgeRound(now: number): void {
    if (this.isSlower(this.reference, this.round, Infinity, sure)) {
      this.reference = this.round
      return this.descend(now)
    }
    this.drift += (this.reference.apart(this.round) - this.drift) / 16
    this.reference.follow(this.round)
    this.round = new Latencies()
    this.roundsLeft -= 1
    if (this.roundsLeft > 0) return
    this.holds += 1
    // A look below first, as refusals alone never tell that less is faster; seldom where nothing changes.
    if (this.holds < 3 || this.holds % 4 === 0) this.descend(now)
    else this.probe(now)
  }

  private small(): number {
    return Math.max(1, Math.round(this.held * smallStep))
  }

  private begin(now: number, phase: "hold" | "up" | "down"): void {
    this.phase = phase
    this.since = now
    this.countFrom = now + this.reference.slow()
    this.peak = 0
    this.round = new Latencies()
  }

  private hold(now: number): void {
    this.roundsLeft = this.rounds
    this.begin(now, "hold")
  }

  private probe(now: number): void {
    if (this.ceiling - this.held <= this.small()) {
      this.ceiling = Infinity
      this.step = this.small()
    }
    this.climb(now)
  }

  /** Tries a level above: by steps, or midway to one that failed; where none is left, holds. */
  private climb(now: number): void {
    const gap = this.ceiling - this.held
    if (gap <= this.small() || this.held === this.max) {
      this.hold(now)
      this.rounds = Math.min(this.mostRounds, this.rounds * 2)
    } else {
      this.target = Math.min(this.max, this.held + (gap === Infinity ? this.step : Math.floor(gap / 2)))
      this.begin(now, "up")
    }
  }

  private descend(now: number): void {
    if (this.held === this.min) return this.probe(now)
    this.current = Math.max(this.min, this.held - Math.max(1, Math.round(this.held * downStep)))
    this.begin(now, "down")
  }

  private isSlower(lower: Latencies, upper: Latencies, ratio: number, errors: number): boolean {
    if (lower.count < 4 || upper.count < 4) return false
    const error = Math.sqrt(lower.scatter(upper) + Math.max(0, this.drift))
    return upper.mean - lower.mean > Math.max(Math.min(rise, gain * Math.log(ratio)), errors * error)
  }
}
