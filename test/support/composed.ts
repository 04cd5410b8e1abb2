/** Everything that there is, at once, over a real socket: many programs of several tenants while the API fails. */
import { assert } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Latch, Layer, Redacted, Schedule, Scope, Stream } from "effect"
import { Claude, Pricing, RetryPolicy } from "effect-claude"
import { Agent, ClaudeLanguageModel } from "effect-claude/ai"
import { Guard } from "effect-claude/guards"
import type { Prompts } from "effect-claude/prompts"
import { Answer, ClaudeSimulator } from "effect-claude/testing"
import { LanguageModel, Prompt } from "effect/ai"
import { observe, settle, warnings } from "../flow/observe.ts"
import * as Programs from "./composedPrograms.ts"
import * as Server from "./composedServer.ts"
import * as Tools from "./composedTools.ts"

type Json = ReturnType<typeof JSON.parse>
type Simulator = ClaudeSimulator.ClaudeSimulator["Service"]

// -----------------------------------------------------------------------------
// the layer
// -----------------------------------------------------------------------------

/** All models at one price. */
export const rates = { input: 4, output: 20, cacheRead: 4, cacheWrite5m: 4, cacheWrite1h: 4 }
export const models = ["claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-4"] as const
export const maxTokens = 200

export const tenants = ["acme", "globex", "capped", "small"] as const
/** In USD: what nobody comes to, and what a few calls come to. */
export const budgets: Readonly<Record<string, number>> = { acme: 2, globex: 2, capped: 2, small: 0.06 }

const leisure = { headers: "30 seconds", firstContent: "30 seconds", idle: "30 seconds", total: "1 minute" } as const

export const client = (url: string, isPatient: boolean) =>
  Claude.layer({
    apiKey: Redacted.make(Server.KEY),
    baseURL: url,
    defaults: { model: models[0], max_tokens: maxTokens },
    pricing: Pricing.make({ overrides: Object.fromEntries(models.map((model) => [model, rates])) }),
    concurrency: { min: 1, max: 32 },
    queue: 40,
    tenants: { known: { capped: { max: 2 }, acme: { weight: 3 } } },
    fallback: [models[1], models[2]],
    retry: RetryPolicy.make({ times: 3, initial: "2 millis", max: "20 millis", maxRetryAfter: "200 millis" }),
    retryBudget: { ratio: 1, burst: 1_000 },
    timeouts: isPatient
      ? leisure
      : { headers: "80 millis", firstContent: "150 millis", idle: "80 millis", total: 1_500 },
    circuit: { failureRate: 0.8, minimumCalls: 10, openDuration: "20 millis", maxOpenDuration: "100 millis" },
    rateLimits: { window: "200 millis" },
    budget: [{ name: "each", usd: 100, window: "36500 days", per: "tenant", tenants: budgets }],
    telemetry: { tenants: true }
  })

/** What is built upon a client: guards, the model, tools and prompts; the client itself is under `Unguarded`. */
const Unguarded = Context.Service<"Unguarded", Claude.Claude["Service"]>("test/composed/Unguarded")

const stack = (
  url: string,
  memory: Tools.Memory,
  dice: Server.Dice,
  prompts: Layer.Layer<Prompts.Prompts, unknown>
) => {
  const model = ClaudeLanguageModel.layer({ model: models[0] })
  const guarded = Guard.layer({
    input: [Guard.redactPii(), Guard.maxChars(300_000), Guard.maxTokens(60_000)],
    output: [Guard.redactPii(), Guard.noPattern(new RegExp(Server.FORBIDDEN), "what is forbidden", { window: 32 })]
  })
  const plain = Layer.effect(Unguarded, Claude.Claude)
  return Tools.tools(memory, dice).pipe(
    Layer.provideMerge(model),
    Layer.provideMerge(guarded),
    Layer.provideMerge(plain),
    Layer.provideMerge(client(url, memory.isPatient)),
    Layer.merge(prompts)
  )
}

// -----------------------------------------------------------------------------
// what happens
// -----------------------------------------------------------------------------

export interface Options {
  readonly seed: number
  readonly programs: number
  /** The part of answers that fail. @default 0.12 */
  readonly faults?: number
  /** The part of programs that are given up. @default 0.2 */
  readonly givenUp?: number
  /** Nobody leaves before the end. */
  readonly isPatient?: boolean
  /** In place of the tracer, the loggers and the metrics that are looked at. */
  readonly telemetry?: Layer.Layer<never>
  /** Closes the layer when so many programs have begun. */
  readonly closedAfter?: number
}

export interface Ended {
  readonly kind: Programs.Kind
  readonly tenant: string
  readonly id: string
  readonly exit: Exit.Exit<unknown, unknown>
  readonly interrupted: boolean
}

/** What a run leaves behind. */
export interface Left {
  readonly ends: ReadonlyArray<Ended>
  readonly memory: Tools.Memory
  readonly observed: ReturnType<typeof observe>
  readonly log: ClaudeSimulator.Log
  readonly rows: ReadonlyArray<Claude.UsageRow>
  readonly spent: Readonly<Record<string, number>>
}

/** How long a program may take: far more than its calls, retries and tools may. */
const patience = 60_000

const crowd = (
  dice: Server.Dice,
  memory: Tools.Memory,
  { closedAfter, givenUp = 0.2, programs }: Options,
  close: Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const { chance, pick, whole } = dice
    const ends: Array<Fiber.Fiber<Ended>> = []
    for (let n = 0; n < programs; n++) {
      const { kind, run } = Programs.program(memory, dice, n)
      // What is turned away fails.
      const tenant = pick(memory.isPatient ? tenants.slice(0, -1) : tenants)
      const id = `program-${n}`
      const fiber = yield* run.pipe(
        Claude.withPolicy({
          tenant,
          priority: pick(["interactive", "batch"]),
          ...(chance(0.2) ? { fallback: [] } : {}),
          ...(chance(0.2) ? { onBreak: "restart" } : {}),
          ...(chance(0.2) ? { onRefusal: "fallback" } : {})
        }),
        Effect.withSpan("program", { root: true, attributes: { id, kind } }),
        Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.die(`a ${kind} (${id}) hangs`) }),
        Effect.forkChild
      )
      const isLeft = chance(givenUp)
      const end = (isLeft ? Effect.andThen(Effect.sleep(whole(250)), Fiber.interrupt(fiber)) : Effect.void).pipe(
        Effect.andThen(Fiber.await(fiber)),
        Effect.map((exit): Ended => ({ kind, tenant, id, exit, interrupted: isLeft }))
      )
      ends.push(yield* Effect.forkChild(end))
      if (n === closedAfter) yield* Effect.forkChild(close)
      if (!chance(0.3)) yield* Effect.sleep(whole(12))
    }
    return yield* Effect.forEach(ends, Fiber.join)
  })

/** What a budget says is spent: told to a call that is larger than what can be left of it. */
const spentOf = (tenant: string) =>
  Claude.message({ prompt: "how much", max_tokens: 128_000, model: models[1] }).pipe(
    Claude.withPolicy({ tenant, fallback: [], tags: { later: "yes" } }),
    Effect.flip,
    Effect.map(({ reason }) => reason._tag === "BudgetExceeded" ? reason : assert.fail(reason._tag))
  )

/** Nobody has anything of it reserved: a call that needs nearly all that is left goes through. */
const nothingReserved = (tenant: string, spent: number) =>
  Effect.gen(function*() {
    const left = budgets[tenant]! - spent
    const max_tokens = Math.min(100_000, Math.floor((left * 0.95 - 0.002) * 1e6 / rates.output))
    if (max_tokens < 10) return
    yield* Claude.message({ prompt: "nearly all", max_tokens }).pipe(
      Claude.withPolicy({ tenant, fallback: [], tags: { later: "yes" } }),
      atLeisure
    )
  })

/** Conversations go on, however they have ended. */
const goOn = ({ kept }: Tools.Memory) =>
  Effect.forEach([...kept.values()], ({ of, prompt }) => {
    const next = Prompt.concat(prompt, "And now?")
    const asked: Effect.Effect<unknown, unknown, Json> = of.startsWith("chat")
      ? LanguageModel.generateText({ prompt: next })
      : Agent.make({ name: "last", toolkit: Tools.all, limits: { turns: 1 } }).run(next)
    return Effect.catchCause(
      asked,
      (cause) =>
        Effect.sync(() => assert.fail(`${of} does not go on: ${Cause.pretty(cause)} ${JSON.stringify(prompt)}`))
    )
  }, { discard: true, concurrency: 4 }).pipe(atLeisure)

/** Whatever else the machine has to do. */
const atLeisure = Claude.withPolicy({ tenant: "finale", timeouts: leisure })

/** Nobody holds a permit: as many calls as the level allows are in flight at once. */
const nothingHeld = (simulator: Simulator, observed: ReturnType<typeof observe>) =>
  Effect.gen(function*() {
    const level = observed.metrics().flatMap(({ attributes, id, state }) =>
      id === "claude.client.concurrency.level" && JSON.stringify(attributes).includes(models[0])
        ? [Number((state as Json).value)]
        : []
    )[0]!
    const all = Latch.makeUnsafe()
    let come = 0
    yield* simulator.script(() =>
      Effect.suspend(() => {
        if (++come === level) all.openUnsafe()
        return Effect.as(all.await, Answer.hello)
      })
    )
    yield* Effect.forEach(Array.from({ length: level }), () => Claude.message({ prompt: "at once" }), {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.timeoutOrElse({
        duration: "20 seconds",
        orElse: () => Effect.sync(() => assert.fail(`${come} of ${level} calls are in flight`))
      }),
      atLeisure
    )
    yield* simulator.script([])
  })

/** Runs a crowd in any weather, then looks at what is left of it in good weather. */
export const composed = (options: Options) =>
  Effect.gen(function*() {
    const { closedAfter, faults = 0.12, seed } = options
    const observed = observe()
    const memory = Tools.makeMemory(options.isPatient)
    const warned = yield* warnings
    const simulator: Simulator = yield* ClaudeSimulator.make({ answers: Server.answers(Server.makeDice(seed), faults) })
    yield* simulator.script(Server.answers(Server.makeDice(seed + 1), faults / 4), "count_tokens")
    const outer = yield* Layer.build(Layer.provideMerge(options.telemetry ?? Layer.empty, observed.layer))
    const fibers = observed.fibers()
    const scope = yield* Scope.make()
    const prompts = Programs.prompts(Server.makeDice(seed + 2))
    const services = yield* Effect.provideContext(
      Layer.buildWithScope(stack(simulator.url, memory, Server.makeDice(seed + 3), prompts.layer), scope),
      outer
    )
    const raw = Effect.provideService(Claude.Claude, Context.get(services as Context.Context<"Unguarded">, Unguarded))
    let rows: ReadonlyArray<Claude.UsageRow> = []
    const spent: Record<string, number> = {}
    const ends = yield* Effect.gen(function*() {
      const sky = faults === 0
        ? yield* Effect.forkChild(Effect.never)
        : yield* Effect.forkChild(Server.weather(simulator, Server.makeDice(seed + 4)))
      const changing = yield* Effect.forkChild(prompts.change)
      const ends = yield* crowd(Server.makeDice(seed + 5), memory, options, Scope.close(scope, Exit.void))
      yield* Fiber.interrupt(sky)
      yield* Fiber.interrupt(changing)
      if (closedAfter !== undefined) return ends

      // Nobody waits, and nothing is in flight: neither here nor there.
      assert.deepStrictEqual(observed.gauges(), {})
      yield* simulator.logWhen(({ inFlight }) => inFlight === 0)
      yield* Server.calm(simulator)
      for (const model of models) {
        const healthy = Claude.message({ prompt: "healthy", model }).pipe(
          Claude.withPolicy({ fallback: [] }),
          atLeisure,
          Effect.retry({ while: ({ reason }) => reason._tag === "CircuitOpen", schedule: Schedule.spaced(10) }),
          Effect.timeout("30 seconds")
        )
        assert.strictEqual((yield* raw(healthy)).model, model)
      }
      yield* goOn(memory)
      yield* raw(nothingHeld(simulator, observed))
      for (const tenant of tenants) spent[tenant] = (yield* raw(spentOf(tenant))).spent
      rows = yield* raw(Stream.runCollect(Claude.usage))
      for (const tenant of tenants) yield* raw(nothingReserved(tenant, spent[tenant]!))
      return ends
    }).pipe(
      Effect.withSpan("crowd"),
      Effect.provideContext(services as Context.Context<Json>),
      Effect.provideContext(outer)
    )

    yield* Scope.close(scope, Exit.void)
    assert.strictEqual(yield* settle(observed.fibers, (now) => now === fibers), fibers, "fibers")
    const log = yield* simulator.logWhen(({ sockets }) => sockets.open === 0)
    assert.deepStrictEqual(warned, [])
    const left: Left = { ends, memory, observed, log, rows, spent }
    return left
  }).pipe(Effect.scoped)
