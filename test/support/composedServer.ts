/** The API of a composed program: it answers whatever is asked of it, says what must not be told, and fails in each way that it has. */
import { Effect } from "effect"
import { Answer, type ClaudeSimulator } from "effect-claude/testing"
import { seeded } from "../flow/observe.ts"

// JSON that came over a socket, read as a test likes.
type Json = ReturnType<typeof JSON.parse>

// -----------------------------------------------------------------------------
// chance
// -----------------------------------------------------------------------------

export const makeDice = (seed: number) => {
  const next = seeded(seed)
  const whole = (below: number) => Math.floor(next() * below)
  return {
    whole,
    chance: (part: number) => next() < part,
    pick: <A>(from: ReadonlyArray<A>): A => from[whole(from.length)]!
  }
}
export type Dice = ReturnType<typeof makeDice>

// -----------------------------------------------------------------------------
// what must not be told
// -----------------------------------------------------------------------------

/** The credential. */
export const KEY = "Xq7vKp2mWz9rTn4bHs6d-Yf3gLc8jRw5uEa1oDi0"
/** In every text that is asked, answered, given to a tool or told by one. */
export const CANARY = "CANARY"
/** What a guard hides on the way in, and on the way out. */
export const ASKED_PII = "pii-asked@example.com"
export const ANSWERED_PII = "pii-answered@example.com"
/** What a guard refuses in an answer. */
export const FORBIDDEN = "FORBIDDEN-WORD"

// -----------------------------------------------------------------------------
// good answers
// -----------------------------------------------------------------------------

/** Each call of a tool has a number of its own, from which its tool is known to have run or not. */
let numbers = 0

const pacing = ({ pick, whole }: Dice) => ({
  delay: whole(6),
  firstContent: whole(4),
  pace: whole(2),
  chunk: pick(["word", 3, 17] as const)
})

/** What the model says is right, or now and then wrong. */
interface Mood extends Dice {
  readonly mayErr: boolean
}

const said = ({ chance, mayErr }: Mood) =>
  `${CANARY} reply: write to ${ANSWERED_PII}, naïve 🎉 reader. ${mayErr && chance(0.03) ? FORBIDDEN : ""}`

const called = (dice: Mood, tools: ReadonlyArray<Json>): ReadonlyArray<Answer.Block> => {
  const { chance, mayErr, pick, whole } = dice
  const thought: ReadonlyArray<Answer.Block> = chance(0.3)
    ? [{ type: "thinking", thinking: `${CANARY} thought`, signature: "c2lnbmVk" }]
    : []
  const calls = Array.from({ length: 1 + whole(3) }, (): Answer.Block => {
    const number = ++numbers
    // Tools with an effect more than others.
    const { name } = pick(chance(0.4) ? tools.filter(({ name }) => name === "ship" || name === "pay") : tools)
    return {
      type: "tool_use",
      id: `toolu_${number}`,
      name: mayErr && chance(0.03) ? "nobodys" : name,
      input: name === "helper"
        ? { prompt: `${CANARY} help with ${number}` }
        : { number: mayErr && chance(0.04) ? `${CANARY} none` : number, text: `${CANARY} of ${ANSWERED_PII}` }
    }
  })
  return [...thought, ...(chance(0.4) ? [{ type: "text" as const, text: said(dice) }] : []), ...calls]
}

const object = ({ chance, mayErr, whole }: Mood) =>
  !mayErr || chance(0.85)
    ? { answer: whole(100), words: [`${CANARY} one`, ANSWERED_PII, "three"] }
    : { answer: `${CANARY} none`, words: [] }

const good = (dice: Mood, body: Json): Answer.Answer => {
  const { chance, mayErr, pick } = dice
  const errs = (part: number) => mayErr && chance(part)
  const options = pacing(dice)
  const forced = body.tool_choice?.type === "tool" ? body.tool_choice.name : undefined
  if (body.output_config?.format !== undefined) {
    return Answer.json(object(dice), errs(0.05) ? { ...options, stopReason: "max_tokens" } : options)
  }
  const tools: ReadonlyArray<Json> = body.tools ?? []
  if (forced !== undefined && tools.every(({ name }) => name === forced)) {
    return Answer.tool(forced, object(dice), { ...options, toolUseId: `toolu_${++numbers}` })
  }
  const isLong = body.messages.length > 9
  if (tools.length > 0 && !isLong && chance(0.6)) {
    return Answer.content(called(dice, tools), errs(0.04) ? { ...options, stopReason: "max_tokens" } : options)
  }
  if (errs(0.04)) return Answer.content([], { ...options, stopReason: "refusal" })
  return Answer.text(said(dice), errs(0.08) ? { ...options, stopReason: pick(["max_tokens", "refusal"]) } : options)
}

// -----------------------------------------------------------------------------
// bad answers
// -----------------------------------------------------------------------------

const bad = (dice: Dice, of: Answer.Answer): Answer.Answer => {
  const { pick, whole } = dice
  const anywhere = ["beforeHeaders", "afterHeaders", "midStream", { afterEvents: whole(14) }, {
    afterBytes: whole(1200)
  }] as const
  const inBody = anywhere.slice(1) as ReadonlyArray<Answer.BodyPoint>
  const told = `${CANARY} of ${KEY}`
  return pick<() => Answer.Answer>([
    () => Answer.error(429, { retryAfter: whole(30), retryAfterForm: "ms" }),
    () => Answer.error(429),
    () => Answer.error(529),
    () => Answer.error(pick([500, 502, 503, 408])),
    () => Answer.error(pick([401, 403, 413])),
    () => Answer.reset(pick(anywhere), of),
    () => Answer.close(pick(anywhere), of),
    () => Answer.stall(pick(anywhere), of),
    () => Answer.truncate(pick(inBody), of),
    () => Answer.errorEvent(pick(["overloaded_error", "api_error", "rate_limit_error"]), "no", pick(inBody), of),
    () => Answer.garbage(pick(["badEvent", "badJson", "html", "html502", "empty"])),
    () => Answer.raw([`event: x\ndata: {"${told}\n\n`]),
    () => Answer.delay(80 + whole(100), of),
    () => Answer.drip(of, { bytes: 1 + whole(40) })
  ])()
}

export const answers = (dice: Dice, faults: number): ClaudeSimulator.Answers => ({ body, endpoint }) => {
  const of = good({ ...dice, mayErr: faults > 0 }, endpoint === "messages" ? body : { messages: [] })
  return dice.chance(faults) ? bad(dice, of) : of
}

/** Its capacity moves, its limits come and go, it is down for a while. */
export const weather = (simulator: ClaudeSimulator.ClaudeSimulator["Service"], { pick, whole }: Dice) =>
  Effect.forever(
    Effect.gen(function*() {
      yield* Effect.sleep(20 + whole(80))
      yield* pick([
        simulator.setCapacity(pick([4, 16, Infinity])),
        simulator.setCapacity({ limit: 8 + whole(24), slowdown: 3 }),
        simulator.setRateLimits({ requests: 30 + whole(60), outputTokens: 20_000, window: "200 millis" }),
        simulator.setRateLimits(undefined),
        simulator.dropConnections,
        Effect.suspend(() =>
          simulator.setOutage(pick([true, 502, 503])).pipe(
            Effect.andThen(Effect.sleep(10 + whole(40))),
            Effect.andThen(simulator.setOutage(false))
          )
        )
      ])
    })
  )

export const calm = (simulator: ClaudeSimulator.ClaudeSimulator["Service"]) =>
  Effect.gen(function*() {
    yield* simulator.setOutage(false)
    yield* simulator.setCapacity(Infinity)
    yield* simulator.setRateLimits(undefined)
    yield* simulator.script([])
    yield* simulator.script([], "count_tokens")
  })
