/** What a composed program does: chats, agents, prompts, objects, long documents and attachments, each by chance. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Layer, Ref, Schedule, Schema, Stream } from "effect"
import { Claude } from "effect-claude"
import { Agent } from "effect-claude/ai"
import { LongDocument } from "effect-claude/documents"
import { Attachment } from "effect-claude/files"
import { Prompts } from "effect-claude/prompts"
import { Chat, LanguageModel, Prompt } from "effect/ai"
import { random } from "../documents/support.ts"
import { type Files, filesLayer } from "../prompts/support.ts"
import { ASKED_PII, CANARY, type Dice } from "./composedServer.ts"
import { all, count, type Memory, ofConsumer } from "./composedTools.ts"

type Json = ReturnType<typeof JSON.parse>

/** A program, and what it needs: all that the composed layer has. */
export type Program = Effect.Effect<unknown, unknown, Json>

// -----------------------------------------------------------------------------
// prompts
// -----------------------------------------------------------------------------

const Question = Prompts.define("question", { variables: Schema.Struct({ text: Schema.String }) })

const template = (version: number) =>
  JSON.stringify({
    question: {
      latest: `${version}`,
      versions: {
        [version]: { system: `${CANARY} template of version ${version}.`, prompt: `Version ${version}: {{text}}` }
      }
    }
  })

/** A file of prompts that changes while it is served, and is wrong now and then. */
export const prompts = ({ pick, whole }: Dice) => {
  const files: Files = new Map([["p/a.json", template(1)]])
  let version = 1
  const change = Effect.forever(Effect.gen(function*() {
    yield* Effect.sleep(5 + whole(20))
    files.set("p/a.json", pick([template(++version), template(++version), "{", `${CANARY}: [`, template(++version)]))
  }))
  return {
    change,
    layer: Prompts.layerFiles({ path: "p", prompts: [Question], watch: "5 millis" }).pipe(
      Layer.provide(filesLayer(files)),
      Layer.fresh
    )
  }
}

// -----------------------------------------------------------------------------
// programs
// -----------------------------------------------------------------------------

const asked = (n: number) => `${CANARY} question ${n} of ${ASKED_PII}`

/** Takes some of a stream, or all of it, fast or slowly, or fails over it. */
const consumed = <A, E, R>(
  { isPatient }: Memory,
  { pick, whole }: Dice,
  stream: Stream.Stream<A, E, R>,
  each: (value: A) => void = () => {}
): Effect.Effect<void, E | string, R> => {
  const seen = Stream.tap(stream, (value) => Effect.sync(() => each(value)))
  const toItsEnd = [
    () => Stream.runDrain(seen),
    () => Stream.runForEachArray(seen, () => Effect.sleep(whole(5)))
  ]
  return pick<() => Effect.Effect<void, E | string, R>>(
    isPatient ? toItsEnd : [
      ...toItsEnd,
      ...toItsEnd,
      () => Stream.runDrain(Stream.take(seen, 1 + whole(25))),
      () => Stream.runForEach(seen, () => whole(30) === 0 ? Effect.fail(ofConsumer) : Effect.void)
    ]
  )()
}

const Answered = Schema.Struct({ answer: Schema.Int, words: Schema.Array(Schema.String) })

const png = Uint8Array.from(
  Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64"
  )
)

const partsOf = (prompt: Prompt.Prompt): ReadonlyArray<Json> =>
  prompt.content.flatMap(({ content }): ReadonlyArray<Json> => typeof content === "string" ? [] : content)

/** Says yes or no to what waits for an approval. */
const responses = (memory: Memory, { chance }: Dice, history: Prompt.Prompt): ReadonlyArray<Json> => {
  const parts = partsOf(history)
  const of = (type: string) => parts.filter((part) => part.type === type)
  const answered = new Set(of("tool-approval-response").map(({ approvalId }) => approvalId))
  const calls = new Map(of("tool-call").map(({ id, params }) => [id, params]))
  return of("tool-approval-request")
    .filter(({ approvalId }) => !answered.has(approvalId) && chance(0.8))
    .map(({ approvalId, toolCallId }) => {
      const approved = chance(0.7)
      if (approved) count(memory.approved, calls.get(toolCallId)?.number)
      return { type: "tool-approval-response", approvalId, approved, reason: `${CANARY} no` }
    })
}

const isFailureOf = (exit: Exit.Exit<unknown, unknown>) => Exit.isFailure(exit) && !Exit.hasInterrupts(exit)

const chat = (memory: Memory, dice: Dice, n: number): Program => {
  const { chance, pick, whole } = dice
  const me = {}
  return Effect.gen(function*() {
    let chat = yield* Chat.fromPrompt([{ role: "system", content: `${CANARY} system` }])
    const keep = Effect.map(Ref.get(chat.history), (prompt) => void memory.kept.set(me, { of: `chat ${n}`, prompt }))
    for (let turn = 0; turn < 2 + whole(3); turn++) {
      const given = responses(memory, dice, yield* Ref.get(chat.history))
      const image = Attachment.toPart(yield* Attachment.image(png))
      const prompt = [
        ...(given.length === 0 ? [] : [{ role: "tool", content: given }]),
        ...(turn > 0 && chance(0.3) ? [] : [{
          role: "user",
          content: [{ type: "text", text: asked(n) }, ...(chance(0.2) ? [image] : [])]
        }])
      ]
      const options: Json = { prompt, toolkit: all, concurrency: pick([undefined, 2, "unbounded"]) }
      const turns: Program = pick<() => Program>([
        () => chat.generateText(options) as Json,
        () => Claude.withPolicy({ wire: "json" })(chat.generateText(options) as Json),
        () => consumed(memory, dice, chat.streamText(options) as Json),
        () => chat.generateObject({ prompt: asked(n), schema: Answered }) as Json
      ])()
      const exit = yield* Effect.ensuring(Effect.exit(turns), keep)
      if (isFailureOf(exit) && chance(0.5)) yield* exit as Program
      if (chance(0.3)) chat = yield* Chat.fromJson(yield* chat.exportJson)
    }
  })
}

const limits = ({ isPatient }: Memory, { chance, whole }: Dice): Agent.Limits => ({
  turns: 1 + whole(6),
  ...(chance(0.2) && !isPatient ? { time: 20 + whole(200) } : {}),
  ...(chance(0.2) ? { cost: 0.001 * (1 + whole(10)) } : {}),
  ...(chance(0.2) ? { tokens: 100 + whole(2_000) } : {})
})

/** Runs an agent, and from what is left of it again. */
const agent = (memory: Memory, dice: Dice, n: number): Program => {
  const { chance, pick, whole } = dice
  const approvedFor = (params: Json) => {
    count(memory.approved, params?.number)
    memory.ofAgents.add(params?.number)
  }
  const approve = ({ params }: Agent.ApprovalRequest) =>
    Effect.sync(() => {
      approvedFor(params)
      return true
    })
  const boss = Agent.make({
    name: "boss",
    toolkit: all,
    instructions: `${CANARY} boss`,
    limits: limits(memory, dice),
    tools: {
      timeout: 30 + whole(300),
      concurrency: 1 + whole(4),
      each: {
        fails: { retry: Schedule.recurs(2) },
        helper: { timeout: memory.isPatient ? "1 minute" : 30 + whole(500) }
      }
    },
    ...(chance(0.5) ? { approve } : {})
  })
  const me = {}
  const keep = (prompt: Prompt.Prompt) => void memory.kept.set(me, { of: `agent ${n}`, prompt })
  const within = (self: Effect.Effect<Agent.Result | Agent.Finished | undefined, unknown, Json>): Program => {
    const id = `run-${++memory.ids}`
    return self.pipe(
      Effect.tap((result) =>
        Effect.sync(() => {
          if (result === undefined) return
          keep(result.transcript)
          memory.costs.push({ of: "invoke_agent boss", id, cost: result.cost, reason: result.reason })
        })
      ),
      Effect.withSpan("run", { attributes: { id } })
    )
  }
  const streamed = (input: Prompt.RawInput) =>
    Effect.suspend(() => {
      let last: Agent.Finished | undefined
      return Effect.map(
        consumed(memory, dice, boss.stream(input), (step) => {
          if ("transcript" in step) keep(step.transcript)
          if (step._tag === "Finished") last = step
        }),
        () => last
      )
    })
  const approvals = (transcript: Prompt.Prompt) => {
    const answers: Record<string, boolean> = {}
    for (const { params, toolCallId } of Agent.pending(transcript)) {
      if (!chance(0.8)) continue
      answers[toolCallId] = chance(0.7)
      if (answers[toolCallId]) approvedFor(params)
    }
    return Agent.answer(transcript, answers)
  }
  return Effect.gen(function*() {
    let input: Prompt.RawInput = asked(n)
    for (let run = 0; run < 1 + whole(3); run++) {
      const failed = (error: unknown) =>
        Effect.suspend(() => {
          if (typeof error === "object" && error !== null && "transcript" in error) {
            keep(error.transcript as Prompt.Prompt)
          }
          return Effect.fail(error)
        })
      const exit = yield* Effect.exit(
        within(chance(0.4) ? Effect.catch(boss.run(input), failed) : Effect.catch(streamed(input), failed))
      )
      if (isFailureOf(exit) && chance(0.3)) yield* exit as Program
      const kept = memory.kept.get(me)
      if (kept === undefined) continue
      const transcript = approvals(kept.prompt)
      input = chance(0.5) || transcript.content.at(-1)?.role === "assistant"
        ? Prompt.concat(transcript, pick([asked(n), "Go on."]))
        : transcript
    }
  })
}

const rendered = (memory: Memory, dice: Dice, n: number): Program =>
  Effect.gen(function*() {
    const request = yield* Question.render({ text: asked(n) })
    const { version } = Prompts.identityOf(request)!
    assert.include(JSON.stringify(request.messages), `Version ${version}: ${CANARY}`)
    assert.include(JSON.stringify(request.system), `version ${version}.`)
    return yield* dice.chance(0.5) ? Claude.text(request) : consumed(memory, dice, Claude.streamText(request))
  })

const object = (memory: Memory, dice: Dice, n: number): Program =>
  dice.chance(0.5)
    ? Claude.object(Answered, { prompt: asked(n) })
    : consumed(memory, dice, Claude.streamObject(Answered, { prompt: asked(n) }))

const modelled = (memory: Memory, dice: Dice, n: number): Program =>
  dice.chance(0.5)
    ? LanguageModel.generateObject({ prompt: asked(n), schema: Answered })
    : consumed(memory, dice, LanguageModel.streamText({ prompt: asked(n) }))

const prose = (seed: number) => {
  const next = random(seed)
  const sentence = () =>
    Array.from({ length: 4 + next(9) }, () => ["river", "stone", "under", CANARY, "naïve", "日本", "light"][next(7)])
      .join(" ")
  return Array.from({ length: 60 + next(60) }, () => `${sentence()}.${next(5) === 0 ? "\n\n" : ""}`).join(" ")
}

/** Reads a document, and goes on with what was done of it when it breaks off. */
const document = (memory: Memory, dice: Dice, n: number): Program => {
  const { chance, whole } = dice
  const book = LongDocument.make({
    map: ({ text }) => ({ system: `${CANARY} map`, prompt: LongDocument.enclose(text) }),
    reduce: (parts) => ({ prompt: `${CANARY} reduce ${parts.map(({ text }) => text).join("\n")}` }),
    chunk: { tokens: 250, overlap: whole(2) * 20 },
    fanIn: 2 + whole(4),
    concurrency: 1 + whole(4),
    ...(chance(0.3) ? { onFailure: { collect: 3 } } : {})
  })
  const text = prose(n)
  const done = new Map<string, LongDocument.Part>()
  const once = Effect.suspend(() => {
    const id = `run-${++memory.ids}`
    const before = done.size
    let answer: LongDocument.Answer | undefined
    return consumed(memory, dice, book.run(text, { done: done.values() }), (event) => {
      if (event._tag === "Mapped" || event._tag === "Reduced") done.set(event.part.key, event.part)
      if (event._tag === "Finished") answer = event.answer
    }).pipe(
      Effect.tap(() =>
        Effect.sync(() => {
          if (answer === undefined) return
          memory.costs.push({ of: "claude.document", id, cost: answer.totals.cost, reason: "done" })
          // What was answered is not asked again, unless a gap has made other reductions.
          if (answer.failed.length === 0) {
            const { mapped, reduced, resumed } = answer.totals
            assert.isAtLeast(resumed, before > 0 ? 1 : 0, JSON.stringify([mapped, reduced, resumed, before]))
          }
        })
      ),
      Effect.withSpan("run", { attributes: { id } })
    )
  })
  return Effect.gen(function*() {
    for (let run = 0; run < 3; run++) {
      const exit = yield* Effect.exit(
        chance(0.3) && !memory.isPatient ? Effect.timeoutOption(once, 20 + whole(200)) : once
      )
      if (run === 2) yield* exit as Program
    }
  })
}

const attached = (dice: Dice, n: number): Program =>
  Effect.gen(function*() {
    const file = yield* Attachment.file(
      dice.chance(0.5) ? png : new TextEncoder().encode(`${CANARY} file of ${ASKED_PII}`),
      { title: `${CANARY} title` }
    )
    const content = [file, { type: "text" as const, text: asked(n) }]
    return yield* Claude.message({ messages: [{ role: "user", content }] })
  })

/** Asked by several at once, and kept. */
const cached = (memory: Memory, dice: Dice): Program => {
  const prompt = asked(dice.whole(6))
  return Claude.withPolicy({ cache: true })(
    dice.chance(0.7) ? Claude.message({ prompt }) : consumed(memory, dice, Claude.stream({ prompt }))
  )
}

const kinds = ["chat", "agent", "rendered", "object", "modelled", "document", "attached", "cached"] as const
export type Kind = (typeof kinds)[number]

/** One program, whichever it is. */
export const program = (memory: Memory, dice: Dice, n: number): { readonly kind: Kind; readonly run: Program } => {
  const kind = dice.pick([...kinds, "chat", "chat", "agent", "agent", "agent"] as const)
  const run = {
    chat: () => chat(memory, dice, n),
    agent: () => agent(memory, dice, n),
    rendered: () => rendered(memory, dice, n),
    object: () => object(memory, dice, n),
    modelled: () => modelled(memory, dice, n),
    document: () => document(memory, dice, n),
    attached: () => attached(dice, n),
    cached: () => cached(memory, dice)
  }[kind]()
  return { kind, run }
}
