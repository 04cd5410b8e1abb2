/**
 * Guards around all calls of a program, also those that others make: effect/ai, an Agent, a LongDocument.
 *
 * A stream of events is looked at while it comes: a text as it comes, the arguments of a tool and thinking when they are
 * whole, and each waits until then. Partial objects are left out where there are guards on the way out: half of a number
 * looks like none. A refusal is a fatal error of the call, so nobody tries it again.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as Claude from "../Claude.ts"
import * as ClaudeError from "../ClaudeError.ts"
import { Chain } from "./Chain.ts"
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
      /** A call whose answer is refused where the guards refuse it, with what is known of it. */
      const answered = <A, R>(
        call: Effect.Effect<A, ClaudeError.ClaudeError, R>,
        check: (answer: A) => Effect.Effect<A, Checking.GuardRejected>,
        receiptOf: (answer: A) => Partial<Claude.Receipt>
      ) =>
        Effect.flatMap(
          Checking.checkFailed(output, call),
          (answer) => Effect.mapError(check(answer), (error) => toClaudeError(error, receiptOf(answer)))
        )
      const object = <A>(value: A) => Checking.checkAnswer(output, value, false)

      return Claude.Claude.of({
        ...claude,
        message: (given) =>
          Effect.flatMap(
            checked(given),
            ({ request, tagged }) =>
              answered(tagged(claude.message(request)), (message) => Checking.checkAnswer(output, message), identity)
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
            ({ request, tagged }) => answered(tagged(claude.object(schema, request)), object, () => ({}))
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
                Effect.map(
                  answered(Effect.succeed(part.value), object, () => part.receipt),
                  (value) => ({ ...part, value })
                )
              )
            )
          }))
      })
    })
  )

const toClaudeError = (
  error: ClaudeError.ClaudeError | Checking.GuardRejected,
  { attempts, billed, requestId }: Partial<Claude.Receipt> = {}
): ClaudeError.ClaudeError => {
  if (error._tag !== "GuardRejected") return error
  const isInput = error.where === "input"
  return new ClaudeError.ClaudeFatalError({
    reason: isInput
      ? new ClaudeError.InvalidRequest({ field: "messages" })
      : new ClaudeError.Incomplete({ stopReason: "guard" }),
    message: `The guard ${JSON.stringify(error.guard)} refused the ${isInput ? "request" : "answer"}. ${error.message}`,
    type: "_OTHER",
    retryHere: false,
    mayFailOver: false,
    attempts: attempts ?? (isInput ? 0 : 1),
    ...(billed === undefined ? undefined : { usage: billed }),
    ...(requestId === undefined ? undefined : { requestId })
  })
}

// -----------------------------------------------------------------------------
// while it comes
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<Claude.StreamEvent>
type Handed = ReadonlyArray<Claude.StreamEvent>
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
  let chain = new Chain(guards)
  let isOver = false

  const started = Effect.fnUntraced(function*(
    event: Event<"content_block_start">
  ): Effect.fn.Return<Handed, Checking.GuardRejected> {
    const { content_block, index } = event
    if (content_block.type === "text") {
      open.set(index, "text")
      const text = yield* accepted(chain.next(content_block.text))
      return [{ ...event, content_block: { ...content_block, text } }]
    }
    if (isHeld(content_block.type)) {
      open.set(index, { start: event, deltas: [] })
      return []
    }
    // Such as the result of a server's tool.
    return [{ ...event, content_block: yield* chain.block(content_block) }]
  })

  const continued = Effect.fnUntraced(function*(
    event: Event<"content_block_delta">
  ): Effect.fn.Return<Handed, Checking.GuardRejected> {
    const { delta, index } = event
    const block = open.get(index)
    if (block !== undefined && block !== "text") {
      block.deltas.push(event)
      return []
    }
    if (delta.type === "text_delta") {
      // Also one that nobody announced.
      open.set(index, "text")
      const text = yield* accepted(chain.next(delta.text))
      return text === "" ? [] : [{ ...event, delta: { ...delta, text } }]
    }
    if (delta.type !== "citations_delta") return [event]
    const { citations } = yield* chain.block({ type: "text", text: "", citations: [delta.citation] })
    return [{ ...event, delta: { ...delta, citation: citations?.[0] ?? delta.citation } }]
  })

  /** What was held back of a block that has ended. */
  const stopped = Effect.fnUntraced(function*(index: number): Effect.fn.Return<Handed, Checking.GuardRejected> {
    const block = open.get(index)
    open.delete(index)
    if (block === undefined) return []
    if (block !== "text") return yield* whole(chain, block.start, block.deltas)
    const text = yield* accepted(chain.end())
    return text === "" ? [] : [{ type: "content_block_delta", index, delta: { type: "text_delta", text } }]
  })

  const passed = Effect.fnUntraced(function*(events: Events): Effect.fn.Return<Handed, Checking.GuardRejected> {
    const handed: Array<Claude.StreamEvent> = []
    for (const event of events) {
      switch (event.type) {
        case "content_block_start":
          handed.push(...yield* started(event))
          break
        case "content_block_delta":
          handed.push(...yield* continued(event))
          break
        case "content_block_stop":
          handed.push(...yield* stopped(event.index), event)
          break
        case "message_start":
          // What an earlier turn has left to be done stands here.
          handed.push(
            event.message.content.length === 0 ? event : {
              ...event,
              message: {
                ...event.message,
                content: yield* Effect.forEach(event.message.content, (block) => chain.block(block))
              }
            }
          )
          break
        case "message_delta":
        case "message_stop":
          // A block that was cut does not say that it ends.
          for (const index of open.keys()) handed.push(...yield* stopped(index))
          if (event.type === "message_stop") yield* chain.told
          handed.push(event)
          break
        case "restart":
          open.clear()
          chain = new Chain(guards)
          handed.push({ ...event, error: yield* Checking.checkFailure(guards, event.error) })
          break
        default:
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
  chain: Chain,
  start: Event<"content_block_start">,
  deltas: ReadonlyArray<Event<"content_block_delta">>
): Effect.fn.Return<Handed, Checking.GuardRejected> {
  const { content_block } = start
  const given = [start, ...deltas]
  if (content_block.type === "thinking") {
    const thinking = content_block.thinking +
      deltas.map(({ delta }) => delta.type === "thinking_delta" ? delta.thinking : "").join("")
    yield* chain.block({ ...content_block, thinking })
    return given
  }
  if (!("input" in content_block)) return given
  const text = deltas.map(({ delta }) => delta.type === "input_json_delta" ? delta.partial_json : "").join("")
  const input = text === "" ? content_block.input : jsonOf(text)
  const checked = yield* chain.value(input)
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
