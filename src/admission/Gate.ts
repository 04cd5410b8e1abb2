/**
 * The gate of one model at one endpoint: a call takes its turn, holds a permit while it is in flight, and tells how it
 * went.
 *
 * What is decided is decided in `Turns`, `Rates` and `Controller`, which know neither a clock nor a fiber; this is what
 * brings them time and wakes those whose turn it is. A turn is given back with its scope, whatever happens.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as ClaudeError from "../ClaudeError.ts"
import * as Failure from "../Failure.ts"
import { LONGEST_PAUSE } from "./Bucket.ts"
import { Controller } from "./Controller.ts"
import { Leasing, type Shared } from "./Leasing.ts"
import * as RateHeaders from "./RateHeaders.ts"
import { amountOf, type Need, Rates, type RatesOptions, type Told } from "./Rates.ts"
import { Serving } from "./Serving.ts"
import { SharedRates } from "./SharedRates.ts"
import { type Priority, type Refusal, type TenantOptions, Turn, Turns } from "./Turns.ts"

// -----------------------------------------------------------------------------
// models
// -----------------------------------------------------------------------------

/** A call before the gate. @internal */
export interface Waiter {
  readonly tenant: string
  readonly priority: Priority
  /** What it is estimated to use. */
  readonly need: Need
  /** When it must be over, by the clock. */
  readonly deadline: number
  /** It has to wait, since the answer. */
  readonly onQueued: Effect.Effect<bigint>
  /** It waits no longer. */
  readonly onLeft: (since: bigint, kind: WaitKind, outcome: WaitOutcome) => Effect.Effect<void>
}

/** What was waited for. @internal */
export type WaitKind = "concurrency" | "rate_limit"

/** @internal */
export type WaitOutcome = "granted" | "cancelled" | "deadline"

/** A response's status and headers, of an error too. @internal */
export interface Head {
  readonly status: number
  readonly headers: { readonly get: (name: string) => string | null }
}

/** A turn that was taken. It is over with its scope. @internal */
export interface Pass {
  /** The request is on its way: from here on the server may count it. */
  readonly sent: () => void
  readonly responded: (head: Head) => void
  /** The first content came, so long after the request was sent. */
  readonly content: (millis: number) => void
  /**
   * It is over: what it used, and the error that ended it. Answers whether the error says more than that this was too
   * much at once, which the level sees to.
   */
  readonly ended: (used: Need | undefined, error: ClaudeError.ClaudeError | undefined) => boolean
}

/** @internal */
export interface Gate {
  /** Takes a turn. */
  readonly enter: (waiter: Waiter) => Effect.Effect<Pass, ClaudeError.ClaudeError, Scope.Scope>
  readonly turns: Turns
}

/** @internal */
export interface GateOptions {
  readonly concurrency: { readonly min: number; readonly max: number }
  /** How many calls may wait, for each tenant and priority. */
  readonly queue: number
  readonly tenant: (name: string) => TenantOptions
  readonly rates: RatesOptions
  readonly shared: Shared | undefined
  /** The level moved. */
  readonly onLevel: (level: number) => void
  /** A response told of limits. */
  readonly onRates: (levels: ReturnType<Rates["levels"]>, told: ReadonlyArray<Told>) => void
}

/** @internal */
export { LEASE } from "./Leasing.ts"

/** How long nobody is tried after a refusal, in milliseconds, where all that is in flight is only going on. */
const TRY = 1000

// -----------------------------------------------------------------------------
// make
// -----------------------------------------------------------------------------

/** A gate, for as long as the scope is open. @internal */
export const make = Effect.fnUntraced(function*(options: GateOptions): Effect.fn.Return<Gate, never, Scope.Scope> {
  const { shared } = options
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const scope = yield* Effect.scope
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const controller = new Controller(options.concurrency)
  const local = new Rates(options.rates, now())
  const rates = shared === undefined ? local : new SharedRates(local, shared.guard.isResting)
  const turns = new Turns({ level: controller.level, queue: options.queue, rates, tenant: options.tenant })
  /** When somebody last had to wait for rate. */
  let rateLimitedAt = Number.NEGATIVE_INFINITY

  /** The fiber that sleeps until somebody's time comes. */
  let sleeper: Fiber.Fiber<void> | undefined
  let closed = false

  /** How many of those in flight have begun to answer: long streams, which may stay for minutes. */
  let answering = 0
  /** When the latest was refused, or one more was tried since; undefined where none ever was. */
  let refusedAt: number | undefined
  /** When one more may find out whether the level is still right; never, where others are about to tell. */
  const triesAt = (): number => {
    const isStuck = turns.waiting > 0 && answering === turns.inFlight && turns.inFlight >= controller.level
    return isStuck && refusedAt !== undefined && turns.inFlight < options.concurrency.max ? refusedAt + TRY : Infinity
  }

  let pumping = false
  /** Starts all who may, and sees to it that somebody looks again. */
  const pump = (): void => {
    // Whom it wakes may run at once and come back here; what they change is seen by the loop that woke them.
    if (pumping || closed) return
    pumping = true
    rates.check(now())
    const before = turns.inFlight
    const tries = triesAt() <= now()
    turns.level = tries ? before + 1 : controller.level
    const next = turns.next(now()) ?? Infinity
    if (tries && turns.inFlight > before) refusedAt = now()
    // One that could be tried already waits for something else, which wakes it.
    const at = tries ? next : Math.min(next, triesAt())
    pumping = false
    if (turns.waitsForRate) rateLimitedAt = now()
    wakeAt(at)
    leasing?.lease()
  }

  let alarm = Infinity
  const wakeAt = (at: number): void => {
    // One that rings too early sets the next; one for nobody is put off.
    if (at >= alarm && at !== Infinity) return
    sleeper?.interruptUnsafe()
    sleeper = undefined
    alarm = at
    if (at === Infinity) return
    const rings = Effect.sync(() => {
      alarm = Infinity
      pump()
    })
    sleeper = fork(Effect.andThen(Effect.sleep(Math.max(0, Math.ceil(at - now() - 1e-6))), rings))
  }

  const leasing = shared === undefined || !(rates instanceof SharedRates)
    ? undefined
    : new Leasing({ ...shared, rates, turns, now, fork, onLeased: () => pump() })
  // Runs at once where the client was closed before anybody asked for this model.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      sleeper?.interruptUnsafe()
      leasing?.stop()
      turns.close()
    })
  )

  const serving = new Serving<Turn>()
  /** The level that was told. */
  let level = controller.level

  const passOf = (turn: Turn): Pass & { readonly over: Effect.Effect<void> } => {
    let sentAt: number | undefined
    let told: ReadonlyArray<Told> = []
    let used: Need | undefined
    let hadContent = false
    /** What others who share the limits have to be told. */
    let news: Effect.Effect<unknown> = Effect.void
    const sample = () => ({
      startedAt: sentAt ?? now(),
      inFlight: turn.inFlight,
      limited: turns.fullAt >= turn.startedAt
    })
    const followed = () => {
      if (level === controller.level) return
      level = controller.level
      options.onLevel(level)
      pump()
    }
    return {
      sent: () => {
        serving.sent(turn)
        sentAt = now()
        used = { inputTokens: 0, outputTokens: 0 }
      },
      responded: ({ headers }) => {
        told = RateHeaders.read(headers)
        for (const limit of told) rates.told(limit, turn.need, turn.mark, now())
        if (told.length === 0) return
        options.onRates(rates.levels(now()), told)
        pump()
      },
      content: (firstContentMillis) => {
        if (!hadContent) answering++
        hadContent = true
        serving.answered(true)
        serving.over(turn)
        controller.content(now(), { ...sample(), firstContentMillis })
        followed()
      },
      ended: (usage, error) => {
        if (usage !== undefined) used = usage
        const reason = error?.reason._tag
        if (reason === "Overloaded" || reason === "TimedOut") refusedAt = now()
        if (!hadContent && (error === undefined ? usage !== undefined : reason === "Overloaded")) {
          serving.answered(error === undefined)
        }
        const isDown = reason !== "Overloaded" || !serving.servesBeside(turn)
        if (reason === "RateLimited") {
          const named = told.filter(({ kind, remaining }) =>
            remaining !== undefined && remaining < amountOf(kind, turn.need)
          )
          const hint = error?.retryAfter === undefined ? undefined : now() + Duration.toMillis(error.retryAfter)
          const reset = Math.min(
            now() + options.rates.windowMillis,
            Math.max(0, ...named.map(({ resetAt = 0 }) => resetAt))
          )
          const until = Math.min(now() + LONGEST_PAUSE, hint ?? reset)
          const kinds = named.map(({ kind }) => kind)
          rates.pause(kinds, until)
          // Nothing of it counted there. It counts here where a limit is named: this side was ahead of the server.
          const counts = (kind: Told["kind"]) => kinds.includes(kind) || kinds.includes("tokens")
          used = named.length === 0 ? undefined : {
            inputTokens: counts("inputTokens") ? turn.need.inputTokens : 0,
            outputTokens: counts("outputTokens") ? turn.need.outputTokens : 0
          }
          if (shared !== undefined && until > now()) {
            const { guard, key, store } = shared
            const told = guard.ask(store.pause(key, rates.limits, kinds, until - now()), Effect.void)
            news = Effect.forkIn(told, scope)
          }
          if (named.length === 0) controller.overloaded(now(), sample())
        } else if (reason === "Overloaded" || reason === "TimedOut") controller.overloaded(now(), sample())
        else if (error === undefined && usage !== undefined && !hadContent) controller.success(now(), sample())
        followed()
        return isDown
      },
      over: Effect.suspend(() => {
        serving.over(turn)
        if (hadContent) answering--
        turns.release(turn)
        rates.settle(turn.need, turn.mark, used, now())
        leasing?.again()
        pump()
        return Effect.asVoid(news)
      })
    }
  }

  const refused = (turn: Turn, refusal: Refusal): ClaudeError.ClaudeError => {
    if (refusal === "closed") return Failure.closed()
    if (refusal === "full") return queueFull(options.queue)
    const wait = turn.earliest - now()
    return wait > 0
      ? Failure.tooLong("Its turn would come, as the rate limits allow,", Duration.millis(Math.ceil(wait)))
      : Failure.deadlineExceeded()
  }

  const started = (turn: Turn) => {
    const pass = passOf(turn)
    return Effect.flatMap(Effect.scope, (scope) => Effect.as(Scope.addFinalizer(scope, pass.over), pass))
  }

  const enter: Gate["enter"] = (waiter) =>
    Effect.uninterruptibleMask((restore) => {
      if (closed) return Effect.fail(Failure.closed())
      const came = now()
      let refusal: Refusal | undefined
      let wake: (effect: Effect.Effect<void>) => void = noOne
      const turn = new Turn(waiter, (why) => {
        refusal = why
        wake(Effect.void)
      })
      rates.check(came)
      const entered = turns.enter(turn, came)
      if (entered === "started") return started(turn)
      if (entered === "deadline") {
        return Effect.andThen(
          Effect.flatMap(waiter.onQueued, (since) => waiter.onLeft(since, "rate_limit", "deadline")),
          Effect.fail(refused(turn, entered))
        )
      }
      if (entered !== "waiting") return Effect.fail(refused(turn, entered))
      const wait = Effect.callback<void>((resume) => {
        // Its turn may have come before it came to wait.
        if (turn.state === "waiting") wake = resume
        else resume(Effect.void)
      })
      return Effect.flatMap(waiter.onQueued, (since) => {
        pump()
        return Effect.flatMap(Effect.exit(restore(wait)), (exit) => {
          // Whoever is next now need not wait for what it would have taken.
          if (turns.leave(turn)) {
            leasing?.again()
            pump()
          }
          const kind = rateLimitedAt >= came ? "rate_limit" : "concurrency"
          if (Exit.isSuccess(exit)) {
            const left = waiter.onLeft(since, kind, refusal === undefined ? "granted" : "deadline")
            return Effect.andThen(left, refusal === undefined ? started(turn) : Effect.fail(refused(turn, refusal)))
          }
          const left = waiter.onLeft(since, kind, "cancelled")
          // Woken and interrupted at once: it gives back what it never used.
          const given = turn.state === "started" ? Effect.andThen(passOf(turn).over, left) : left
          return Effect.andThen(given, Effect.failCause(exit.cause))
        })
      })
    })

  return { enter, turns }
})

const noOne = () => {}

const queueFull = (limit: number) =>
  Failure.retryable(
    new ClaudeError.QueueFull({ limit }),
    `${limit} calls wait for their turn already, as many as may (queue). ` +
      "Send fewer at once, try again later, or raise queue.",
    { type: "queue_rejected", shouldRetry: false }
  )
