/** Plays calls against scripted answers by the test's clock, to their end. */
import { Clock, Effect, Exit, Fiber, Layer } from "effect"
import { Claude, type ClaudeError } from "effect-claude"
import { type Answer, ScriptedTransport } from "effect-claude/testing"
import { TestClock } from "effect/testing"
// What is loaded when it is first needed would come by the machine's clock.
import "effect/persistence/CircuitBreaker"

export type Options = NonNullable<Parameters<typeof Claude.layerTransport>[0]>

export interface Played<A> {
  readonly exit: Exit.Exit<A, ClaudeError.ClaudeError>
  /** When it ended and when each request was sent and given up, in milliseconds since it began. */
  readonly end: number
  readonly at: ReadonlyArray<number>
  readonly closedAt: ReadonlyArray<number | undefined>
  readonly sent: ReadonlyArray<ScriptedTransport.Sent>
}

const defaults: Options = { defaults: { model: "claude-sonnet-5-5", max_tokens: 100 } }

export const layer = (answers: ScriptedTransport.Answers, options: Options = {}) =>
  Layer.fresh(
    Claude.layerTransport({ ...defaults, ...options }).pipe(Layer.provideMerge(ScriptedTransport.layer(answers)))
  )

/** Runs a call for four hours of the clock, or until it has ended. */
export const play = <A>(
  answers: ReadonlyArray<Answer.Answer>,
  call: Effect.Effect<A, ClaudeError.ClaudeError, Claude.Claude>,
  options?: Options
): Effect.Effect<Played<A>, ClaudeError.ClaudeError> =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(
      Effect.flatMap(Effect.exit(call), (exit) => Effect.map(Clock.currentTimeMillis, (end) => ({ exit, end })))
    )
    yield* TestClock.adjust("4 hours")
    // One that makes many calls may still have been on its way to its first sleep.
    for (let more = 0; more < 100 && fiber.pollUnsafe() === undefined; more++) yield* TestClock.adjust("1 hour")
    const { end, exit } = yield* Fiber.join(fiber)
    const scripted = yield* ScriptedTransport.ScriptedTransport
    const sent = yield* scripted.sent
    return {
      exit,
      end: end - start,
      at: sent.map(({ at }) => at - start),
      closedAt: sent.map(({ closedAt }) => closedAt === undefined ? undefined : closedAt - start),
      sent
    }
  }).pipe(
    Effect.provide(layer((_, index) => answers[Math.min(index, answers.length - 1)] as Answer.Answer, options))
  )

/** The error of a call that failed. */
export const errorOf = ({ exit }: Played<unknown>): ClaudeError.ClaudeError => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (error?._tag !== "Fail") throw new Error(`expected a failure, got ${String(exit)}`)
  return error.error
}

/** The value of a call that succeeded. */
export const valueOf = <A>({ exit }: Played<A>): A => {
  if (Exit.isFailure(exit)) throw new Error(`expected a success, got ${String(exit.cause)}`)
  return exit.value
}
