/** effect/ai over a simulated API on a real socket, asked in each way that there is. */
import { it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema, type Scope, Stream } from "effect"
import { Claude, RetryPolicy } from "effect-claude"
import { ClaudeSimulator } from "effect-claude/testing"
import { LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import * as ClaudeLanguageModel from "../../src/ai/ClaudeLanguageModel.ts"
import { quiet } from "../flow/observe.ts"
import { type Json, MODEL } from "./support.ts"

// -----------------------------------------------------------------------------
// the model
// -----------------------------------------------------------------------------

export type Simulated = LanguageModel.LanguageModel | Claude.Claude | ClaudeSimulator.ClaudeSimulator

/** A client of the simulator that tries once, unless it is told otherwise. */
export const client = (options: Parameters<typeof Claude.layer>[0] = {}) =>
  Layer.unwrap(Effect.map(
    ClaudeSimulator.ClaudeSimulator,
    ({ url }) =>
      Claude.layer({ apiKey: Redacted.make("sk-test"), baseURL: url, retry: RetryPolicy.none, ...options }).pipe(
        Layer.orDie
      )
  ))

export const simulated = (
  answers: ClaudeSimulator.Answers,
  { config, model = MODEL, options }: {
    readonly config?: ClaudeLanguageModel.Options["config"]
    readonly model?: string
    readonly options?: Parameters<typeof Claude.layer>[0]
  } = {}
): Layer.Layer<Simulated> =>
  ClaudeLanguageModel.layer({ model, config }).pipe(
    Layer.provideMerge(client(options)),
    Layer.provideMerge(ClaudeSimulator.layer({ answers })),
    Layer.provideMerge(quiet)
  )

export const log = Effect.flatMap(ClaudeSimulator.ClaudeSimulator, ({ log }) => log)

/** The bodies that came. */
export const bodies: Effect.Effect<ReadonlyArray<Json>, never, ClaudeSimulator.ClaudeSimulator> = Effect.map(
  log,
  ({ entries }) => entries.map(({ body }) => body)
)

export const lastBody: Effect.Effect<Json, never, ClaudeSimulator.ClaudeSimulator> = Effect.map(
  bodies,
  (all) => all.at(-1)
)

// -----------------------------------------------------------------------------
// the ways
// -----------------------------------------------------------------------------

export type Parts = ReadonlyArray<Response.AnyPart>

export type Asked = Omit<LanguageModel.GenerateTextOptions<Json>, "toolkit"> & {
  readonly toolkit?: Toolkit.WithHandler<Json>
}

export type Ask = (options: Asked) => Effect.Effect<Parts, Json, LanguageModel.LanguageModel>

// The types of what a toolkit answers are effect's own affair.
const whole: Ask = (options) =>
  Effect.map(LanguageModel.generateText(options as Json), (answer: Json) => answer.content)

const streamed: Ask = (options) => Stream.runCollect(LanguageModel.streamText(options as Json)) as Json

export const ways: Readonly<Record<"whole" | "whole over JSON" | "streamed", Ask>> = {
  whole,
  "whole over JSON": (options) => whole(options).pipe(Claude.withPolicy({ wire: "json" })),
  streamed
}

export type Way = keyof typeof ways

/** One test for each way. */
export const inEachWay = (
  name: string,
  test: (ask: Ask, way: Way) => Effect.Effect<void, unknown, Scope.Scope>
): void => {
  for (const way of Object.keys(ways) as ReadonlyArray<Way>) {
    it.live(`${name} (${way})`, () => test(ways[way], way))
  }
}

// -----------------------------------------------------------------------------
// parts
// -----------------------------------------------------------------------------

export const only = <T extends Response.AnyPart["type"]>(
  parts: Parts,
  type: T
): ReadonlyArray<Extract<Response.AnyPart, { readonly type: T }>> => parts.filter((part) => part.type === type) as Json

/** What is said, whichever way it came. */
export const textOf = (parts: Parts): string =>
  parts.map((part) => part.type === "text" ? part.text : part.type === "text-delta" ? part.delta : "").join("")

export const thoughtOf = (parts: Parts): string =>
  parts.map((part) => part.type === "reasoning" ? part.text : part.type === "reasoning-delta" ? part.delta : "").join(
    ""
  )

export const finishOf = (parts: Parts): Json => {
  const finishes = only(parts, "finish")
  if (finishes.length !== 1 || parts.at(-1) !== finishes[0] && !parts.some(({ type }) => type.startsWith("tool-"))) {
    throw new Error(`An answer has one finish, and nothing comes after it but tools: ${JSON.stringify(parts)}`)
  }
  return finishes[0]
}

/** The last result of each call. */
export const resultsOf = (parts: Parts): Readonly<Record<string, Json>> =>
  Object.fromEntries(
    only(parts, "tool-result").filter(({ preliminary }) => !preliminary).map((part) => [part.id, part.result])
  )

/** The same whichever way it came. */
export const plain = <A>(value: A): Json => JSON.parse(JSON.stringify(value))

// -----------------------------------------------------------------------------
// blocks
// -----------------------------------------------------------------------------

export const use = (id: string, name: string, input: unknown) => ({
  type: "tool_use",
  id,
  name,
  input,
  caller: { type: "direct" }
})

export const said = (text: string) => ({ type: "text", text })

// -----------------------------------------------------------------------------
// a toolkit
// -----------------------------------------------------------------------------

const Weathers = Toolkit.make(Tool.make("weather", {
  description: "The weather of a city",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ degrees: Schema.Int }),
  failure: Schema.Struct({ why: Schema.String }),
  failureMode: "return"
}))
/** It knows every city but one. */
export const weather = Effect.provide(
  Weathers,
  Weathers.toLayer({
    weather: ({ city }) =>
      city === "Atlantis" ? Effect.fail({ why: "It sank." }) : Effect.succeed({ degrees: city.length })
  })
)
