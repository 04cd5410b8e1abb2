/** A model that plays turns, and an agent's steps as a test reads them. */
import { Effect, Layer, Ref, Schema, Stream } from "effect"
import { type AiError, LanguageModel, Prompt, type Response } from "effect/ai"
import type * as Agent from "../../src/ai/agent/Agent.ts"

export type Part = Response.StreamPartEncoded

export const says = (text: string): ReadonlyArray<Part> => [
  { type: "text-start", id: "0" },
  ...text.split(/(?<= )/).map((delta): Part => ({ type: "text-delta", id: "0", delta })),
  { type: "text-end", id: "0" }
]

export const calls = (id: string, name: string, params: unknown = {}): Part => ({ type: "tool-call", id, name, params })

export const ends = (
  reason: Response.FinishReason,
  tokens: readonly [input: number, output: number] = [10, 5],
  cost?: number | null
): Part => ({
  type: "finish",
  reason,
  usage: {
    inputTokens: { uncached: tokens[0], cacheRead: 0, cacheWrite: 0, total: tokens[0] },
    outputTokens: { total: tokens[1] }
  },
  // Of what our provider tells, that alone.
  ...(cost === undefined
    ? undefined
    : { metadata: { anthropic: { cost: cost === null ? null : { amount: cost } } as never } })
})

export const done = (text = "Done."): ReadonlyArray<Part> => [...says(text), ends("stop")]
export const asks = (...all: ReadonlyArray<Part>): ReadonlyArray<Part> => [...all, ends("tool-calls")]

export type Turn = ReadonlyArray<Part> | Stream.Stream<Part, AiError.AiError>

/** A model whose turns these are, the last of them for all that follow, and the prompts that it was given. */
export const play = (...turns: readonly [Turn, ...Array<Turn>]) =>
  respond((_prompt, index) => turns[Math.min(index, turns.length - 1)]!)

/** A model that answers what it is asked, and what it was asked with. */
export const respond = (turnOf: (prompt: Prompt.Prompt, index: number) => Turn) => {
  const prompts: Array<Prompt.Prompt> = []
  const choices: Array<LanguageModel.ToolChoice<string>> = []
  const answer = ({ prompt, toolChoice }: LanguageModel.ProviderOptions) => {
    const turn = turnOf(prompt, prompts.length)
    prompts.push(prompt)
    choices.push(toolChoice)
    return Stream.isStream(turn) ? turn : Stream.fromIterable(turn)
  }
  const layer = Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({
      generateText: (options) => Effect.map(Stream.runCollect(answer(options)), whole),
      streamText: answer
    })
  )
  return { prompts, choices, layer }
}

/** The parts of an answer that came whole. */
const whole = (parts: ReadonlyArray<Part>): Array<Response.PartEncoded> => {
  const texts = new Map<string, { type: "text" | "reasoning"; text: string }>()
  return parts.flatMap((part): Array<Response.PartEncoded> => {
    switch (part.type) {
      case "text-start":
      case "reasoning-start": {
        const text = { type: part.type === "text-start" ? "text" as const : "reasoning" as const, text: "" }
        texts.set(part.id, text)
        return [text]
      }
      case "text-delta":
      case "reasoning-delta":
        texts.get(part.id)!.text += part.delta
        return []
      case "tool-call":
      case "finish":
        return [part]
      default:
        return []
    }
  })
}

/** The last transcript that was told. */
export const lastOf = (steps: ReadonlyArray<Agent.Step>): Prompt.Prompt | undefined => {
  const last = steps.findLast((step) => "transcript" in step)
  return last !== undefined && "transcript" in last ? last.transcript : undefined
}

/** A transcript as another process reads it. */
export const ofJson = (transcript: Prompt.Prompt): Prompt.Prompt =>
  Schema.decodeUnknownSync(Prompt.Prompt)(
    JSON.parse(JSON.stringify(Schema.encodeSync(Prompt.Prompt)(transcript)))
  )

export const tags = (steps: ReadonlyArray<Agent.Step>): ReadonlyArray<string> => steps.map(({ _tag }) => _tag)

export const finished = (steps: ReadonlyArray<Agent.Step>): ReadonlyArray<Agent.ToolFinished> =>
  steps.filter((step) => step._tag === "ToolFinished")

/** Each call of a tool and the result that it has in a transcript. */
export const answers = (transcript: Prompt.Prompt): Readonly<Record<string, unknown>> => {
  const found: Record<string, unknown> = {}
  for (const message of transcript.content) {
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      if (part.type === "tool-call") found[part.id] = undefined
      if (part.type === "tool-result") found[part.id] = part.result
    }
  }
  return found
}

/** How many effects were within `gauge.within` at most, and are. */
export const gauge = Effect.map(Ref.make({ now: 0, most: 0 }), (ref) => ({
  get: Ref.get(ref),
  within: <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Ref.update(ref, ({ most, now }) => ({ now: now + 1, most: Math.max(most, now + 1) })),
      () => self,
      () => Ref.update(ref, ({ most, now }) => ({ now: now - 1, most }))
    )
}))
