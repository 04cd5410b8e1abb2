/**
 * Guards around all calls of a program, also those that others make: effect/ai, an Agent, a LongDocument.
 *
 * A stream of events is looked at while it comes: a text as it comes, the arguments of a tool and thinking when they are
 * whole, and each waits until then. Partial objects are left out where there are guards on the way out: half of a number
 * looks like none. A refusal is a fatal error of the call, so nobody tries it again.
 */
import type { Message } from "@anthropic-ai/sdk/resources/messages/messages"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as Claude from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import * as Checking from "./Checking.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/** @category options @since 0.2.0 */
export interface LayerOptions {
  /** What each request passes; a guard that counts asks the Claude that is guarded. */
  readonly input?: ReadonlyArray<Checking.Guard<ClaudeError.ClaudeError, Claude.Claude>> | undefined
  /** What each answer passes, whole or streamed. */
  readonly output?: ReadonlyArray<Checking.StreamGuard> | undefined
}

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * Claude with guards around each of its calls: `Guard.layer({ output: [Guard.redactPii()] }).pipe(Layer.provide(Claude.layerConfig))`.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = ({ input = [], output = [] }: LayerOptions): Layer.Layer<Claude.Claude, never, Claude.Claude> =>
  Layer.effect(
    Claude.Claude,
    Effect.map(Claude.Claude, (claude) => {
      /** The request as it may be sent, and how its call is told what was said. */
      const checked = (request: Claude.MessageRequest, guards = input) =>
        Checking.checkRequest(guards, request).pipe(
          Effect.provideService(Claude.Claude, claude),
          Effect.map(({ said, value }) => ({
            request: value,
            tagged: said.length === 0 ? identity : Claude.withPolicy({ tags: Checking.tags(said) })
          })),
          Effect.mapError(toClaudeError)
        )
      const answered = <A, R>(call: Effect.Effect<A, ClaudeError.ClaudeError, R>) =>
        Effect.mapError(Checking.checkCall(output, call), toClaudeError)

      return Claude.Claude.of({
        ...claude,
        message: (given) =>
          Effect.flatMap(
            checked(given),
            ({ request, tagged }) => answered(tagged(claude.message(request)))
          ),
        countTokens: (given) =>
          Effect.flatMap(
            // What a request may have beside these is of no use to a count, and has no texts.
            checked(given as Claude.MessageRequest, input.filter(({ isOfSize }) => isOfSize !== true)),
            ({ request, tagged }) => tagged(claude.countTokens(request))
          ),
        object: (schema, given) =>
          Effect.flatMap(
            checked(given),
            ({ request, tagged }) => answered(tagged(claude.object(schema, request)))
          ),
        stream: (given) =>
          Stream.unwrap(Effect.map(checked(given), ({ request, tagged }) => {
            const events = tagged(claude.stream(request))
            return output.length === 0 ? events : Stream.transformPull(
              Checking.checkFailures(output, events),
              (pull) => Effect.sync(() => passing(output, pull))
            )
          })),
        streamObject: (schema, given) =>
          Stream.unwrap(Effect.map(checked(given), ({ request, tagged }) => {
            const parts = tagged(claude.streamObject(schema, request))
            return output.length === 0 ? parts : Checking.checkFailures(output, parts).pipe(
              Stream.filter((part) => part._tag === "Complete"),
              Stream.mapEffect((part) =>
                Effect.map(answered(Effect.succeed(part.value)), (value) => ({ ...part, value }))
              )
            )
          }))
      })
    })
  )

const toClaudeError = (
  error: ClaudeError.ClaudeError | Checking.GuardRejected
): ClaudeError.ClaudeError =>
  error._tag !== "GuardRejected" ? error : new ClaudeError.ClaudeFatalError({
    reason: error.where === "input"
      ? new ClaudeError.InvalidRequest({ field: "messages" })
      : new ClaudeError.Incomplete({ stopReason: "guard" }),
    message: `The guard ${JSON.stringify(error.guard)} refused the ${
      error.where === "input" ? "request" : "answer"
    }. ${error.message}`,
    type: "_OTHER",
    retryHere: false,
    mayFailOver: false,
    attempts: error.where === "input" ? 0 : 1
  })

// -----------------------------------------------------------------------------
// while it comes
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<Claude.StreamEvent>
type Event<Type> = Extract<Claude.StreamEvent, { readonly type: Type }>

/** A block that is looked at when it is whole, or a text. */
type Open =
  | { readonly start: Event<"content_block_start">; readonly deltas: Array<Event<"content_block_delta">> }
  | "text"

const passing = <E>(
  guards: ReadonlyArray<Checking.StreamGuard>,
  pull: Pull.Pull<Events, E>
): Pull.Pull<Events, E | ClaudeError.ClaudeError> => {
  const open = new Map<number, Open>()
  // Of all texts of the message: what counts goes on counting.
  let chain = new Checking.Chain(guards)
  let isOver = false

  const passed = Effect.fnUntraced(function*(
    events: Events
  ): Effect.fn.Return<ReadonlyArray<Claude.StreamEvent>, Checking.GuardRejected> {
    const handed: Array<Claude.StreamEvent> = []
    for (const event of events) {
      const isText = event.type === "content_block_delta" && event.delta.type === "text_delta"
      const block = "index" in event ? open.get(event.index) ?? (isText ? "text" : undefined) : undefined
      if (event.type === "content_block_start") {
        const { content_block } = event
        if (content_block.type === "text") {
          open.set(event.index, "text")
          const text = yield* accepted(chain.next(content_block.text))
          handed.push({ ...event, content_block: { ...content_block, text } })
        } else if (isHeld(content_block.type)) open.set(event.index, { start: event, deltas: [] })
        else handed.push(event)
      } else if (event.type === "content_block_delta" && block !== undefined) {
        const { delta } = event
        if (block !== "text") block.deltas.push(event)
        else if (delta.type === "text_delta") {
          const text = yield* accepted(chain.next(delta.text))
          if (text !== "") handed.push({ ...event, delta: { ...delta, text } })
        } else if (delta.type === "citations_delta") {
          const cited = yield* Checking.checkAnswer(
            guards,
            messageOf({ type: "text", text: "", citations: [delta.citation] })
          )
          const [citation = delta.citation] = cited.content.flatMap((block) =>
            block.type === "text" ? block.citations ?? [] : []
          )
          handed.push({ ...event, delta: { ...delta, citation } })
        } else handed.push(event)
      } else if (event.type === "content_block_stop" && block !== undefined) {
        open.delete(event.index)
        if (block === "text") {
          const text = yield* accepted(chain.end())
          const delta = { type: "text_delta", text } as const
          if (text !== "") handed.push({ type: "content_block_delta", index: event.index, delta })
        } else handed.push(...yield* whole(guards, block.start, block.deltas))
        handed.push(event)
      } else {
        if (event.type === "message_stop") yield* chain.told
        if (event.type === "restart") {
          open.clear()
          chain = new Checking.Chain(guards)
        }
        handed.push(event)
      }
    }
    return handed
  })

  const next: Pull.Pull<Events, E | ClaudeError.ClaudeError> = Effect.suspend(() =>
    isOver ? Cause.done() : Effect.flatMap(pull, (events) =>
      Effect.matchEffect(passed(events), {
        onSuccess: (handed) => Arr.isReadonlyArrayNonEmpty(handed) ? Effect.succeed(handed) : next,
        onFailure: (rejected) => {
          isOver = true
          return Effect.fail(toClaudeError(rejected))
        }
      }))
  )
  return next
}

const accepted = (handed: string | Checking.GuardRejected): Effect.Effect<string, Checking.GuardRejected> =>
  typeof handed === "string" ? Effect.succeed(handed) : Checking.refused(handed)

const isHeld = (type: string): boolean =>
  type === "tool_use" || type === "server_tool_use" || type === "mcp_tool_use" || type === "thinking"

/** A block whose events have all come, as the guards leave it. */
const whole = Effect.fnUntraced(function*(
  guards: ReadonlyArray<Checking.StreamGuard>,
  start: Event<"content_block_start">,
  deltas: ReadonlyArray<Event<"content_block_delta">>
): Effect.fn.Return<ReadonlyArray<Claude.StreamEvent>, Checking.GuardRejected> {
  const { content_block } = start
  const given = [start, ...deltas]
  if (content_block.type === "thinking") {
    const thinking = content_block.thinking +
      deltas.map(({ delta }) => delta.type === "thinking_delta" ? delta.thinking : "").join("")
    yield* Checking.checkAnswer(guards, messageOf({ ...content_block, thinking }))
    return given
  }
  if (!("input" in content_block)) return given
  const text = deltas.map(({ delta }) => delta.type === "input_json_delta" ? delta.partial_json : "").join("")
  const input = text === "" ? content_block.input : jsonOf(text)
  const checked = yield* Checking.checkAnswer(guards, input)
  if (checked === input) return given
  if (text === "") return [{ ...start, content_block: { ...content_block, input: checked } }]
  return [start, {
    type: "content_block_delta",
    index: start.index,
    delta: { type: "input_json_delta", partial_json: typeof checked === "string" ? checked : JSON.stringify(checked) }
  }]
})

/** One that was cut is looked at as the text that it is. */
const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** As much of a message as guards read. */
const messageOf = (block: Message["content"][number]): Pick<Message, "type" | "content"> => ({
  type: "message",
  content: [block]
})
